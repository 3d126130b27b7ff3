"""The CUDA kernels in the compiler's eyes: registers, spills, instructions of the inner loops. Needs nvcc."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from benchmarks.sass import blend_loop
from benchmarks.static_report import BUDGETS, CUDA, broken_budgets, compiled


@pytest.mark.parametrize("arch", ["80", "90"])
def test_blend_kernels_keep_their_budgets(arch: str, need: Callable[[str, bool, str], None]) -> None:
    need("cuda-compile", shutil.which("nvcc") is not None, "no nvcc in PATH")
    kernels = compiled(arch, [CUDA / "blend_forward.cu", CUDA / "blend_backward.cu"])
    assert set(BUDGETS) <= {k.name for k in kernels}
    assert all(k.loop is not None for k in kernels if k.name in BUDGETS)
    assert broken_budgets(kernels) == []


def test_loops_are_counted_with_their_branches() -> None:
    """A loop of seven instructions with two exponentials inside a larger one, and a branch back out of it."""
    code = [
        "MOV R0, R1",
        "FADD R2, R3, R4",  # outer loop
        "FMUL R2, R3, R4",  # inner loop
        "MUFU.EX2 R5, R2",
        "@P0 BRA 0x60",
        "MUFU.EX2 R6, R2",
        "SHFL.BFLY PT, R7, R6, 0x10, 0x1f",
        "NOP",
        "ISETP.GE.AND P1, PT, R0, R1, PT",
        "@P1 BRA 0x20",
        "@P2 BRA 0x10",
        "EXIT",
    ]
    loop = blend_loop([(16 * i, text) for i, text in enumerate(code)])
    assert loop is not None
    assert (loop.address, loop.instructions, loop.pairs) == (0x20, 7, 2)
    assert loop.kinds["shuffle"] == 1
    assert blend_loop([(0, "FADD R0, R1, R2"), (16, "EXIT")]) is None
