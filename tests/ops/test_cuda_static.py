"""The CUDA kernels in the compiler's eyes: registers, spills, instructions of the inner loops. Needs nvcc."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import executed, triton_static
from benchmarks import static_report as static
from benchmarks.pages.kernels import markdown
from benchmarks.sass import Loop, blend_loop, distances, successors, tool, working_path
from sctd.ops import _backend

Need = Callable[[str, bool, str], None]


@pytest.fixture(scope="module")
def kernels() -> list[static.Kernel]:
    if shutil.which("nvcc") is None:
        return []
    return static.our_kernels()


@pytest.fixture(scope="module")
def triton_kernels() -> list[triton_static.Kernel]:
    return triton_static.in_a_process_of_its_own()


def test_triton_kernels_compile_without_spills(triton_kernels: list[triton_static.Kernel]) -> None:
    assert {k.arch for k in triton_kernels} == {80, 90, 100}
    assert len({k.name for k in triton_kernels}) == 16
    assert triton_static.broken_budgets(triton_kernels) == []
    fat = replace(triton_kernels[0], stack=8, registers=255, warps=16, fused=1)
    assert len(triton_static.broken_budgets([fat])) == 3


def test_triton_kernels_compare_no_fused_product(triton_kernels: list[triton_static.Kernel]) -> None:
    """`a * b - c != 0` would ask for the product's rounding error; Triton fuses, its interpreter does not."""
    assert [k for k in triton_kernels if k.fused] == []
    count = """
        mul.rn.f32 %f3, %f1, %f2;
        @%p1 fma.rn.f32 %f5, %f1, %f2, %f4;
        setp.neu.f32 %p2, %f5, 0f00000000;
        abs.f32 %f6, %f5;
        setp.lt.f32 %p3, %f6, 0f7F800000;
        setp.eq.f32 %p4, %f3, %f4;
        setp.eq.s32 %p5, %r1, 3;
        fma.rn.f32x2 %rd3, %rd1, %rd2, %rd4;
        mov.b64 {%r1, %r2}, %rd3;
        setp.neu.f32 %p6, %r2, 0f00000000;
        mov.f32 %f8, %f9;
        mov.f32 %f9, %f8;
        setp.eq.f32 %p7, %f9, %f3;
    """
    assert triton_static.fused_comparisons(count) == 3


def test_triton_compiles_a_kernel_once_a_run(repository: Path) -> None:
    """Not once for each alignment of a pointer into the tables of levels; one in four has another."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "tests/support/triton_variants.py"],
        cwd=repository,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    kernels = ("noise", "ode_step", "cfg_ode_steps", "perp_neg_ode_steps", "residual")
    kernels += ("activate", "activate_backward", "watch_screen")
    assert json.loads(done.stdout) == {f"{name}_kernel": 1 for name in kernels}


def test_kernels_keep_their_budgets(kernels: list[static.Kernel], need: Need) -> None:
    need("cuda-compile", bool(kernels), "no nvcc in PATH")
    for arch in static.ARCHS:
        of_arch = {k.name: k for k in kernels if k.arch == arch}
        assert all(of_arch[name].loop is not None for name in static.BUDGETS)
    assert static.broken_budgets(kernels) == []


def test_modelled_instructions_keep_their_budget(kernels: list[static.Kernel], need: Need) -> None:
    need("cuda-compile", bool(kernels), "no nvcc in PATH")
    counts = static.emulated_counts(100_000, 512)
    forward, backward = static.modelled(kernels, counts)
    assert forward <= static.MAX_MODELLED[0]
    assert backward <= static.MAX_MODELLED[1]
    assert 330_000 < counts["pairs"] < 333_000, "exact on pixel centres: 0.71 of the 467k of 3-sigma squares"


@pytest.mark.usefixtures("cuda_ptx")
def test_the_page_shows_these_kernels(
    kernels: list[static.Kernel], triton_kernels: list[triton_static.Kernel], need: Need, repository: Path
) -> None:
    need("cuda-compile", bool(kernels), "no nvcc in PATH")
    page = (repository / "docs" / "kernels.md").read_text()
    if f"release that made it: {executed.release()}." not in page:
        pytest.skip(f"docs/kernels.md was made by another release of nvcc than {executed.release()}")
    assert page == markdown(static.results(kernels, triton_kernels)), (
        "the kernels have changed: SCTD_SIMT_MODULE=$(make -s simt) SCTD_PTX_MODULE=$(make -s ptx) "
        "python -m benchmarks.static_report --page docs/kernels.md"
    )


def test_budgets_can_be_broken(kernels: list[static.Kernel], need: Need) -> None:
    """A kernel with a register too many, a spill, an instruction too many: each is named."""
    need("cuda-compile", bool(kernels), "no nvcc in PATH")
    good = next(k for k in kernels if k.name == "blend_backward_kernel<3, false>")
    assert good.loop is not None
    slow = Loop(0, good.loop.kinds + Counter({"float32": 8, "shuffle": 1}), 0)
    for change, said in (
        ({"registers": 65}, "65 registers, at most 64"),
        ({"spills": 4}, "4 bytes of spills"),
        ({"stack": 8}, "a stack frame of 8 bytes"),
        ({"loop": slow}, "instructions a pair, at most 60.0"),
        ({"loop": slow}, "13 shuffles, at most 12"),
    ):
        assert any(said in line for line in static.broken_budgets([replace(good, **change)])), said


def test_the_build_holds_every_architecture_and_says_why_it_is_off(need: Need) -> None:
    """The module loads on a machine without a driver; machine code for all, PTX for others."""
    need("cuda-compile", hasattr(_backend.native(), "cuda"), "built without nvcc")
    listed = [
        subprocess.run(
            [tool("cuobjdump"), kind, _backend.native().__file__], capture_output=True, text=True, check=True
        ).stdout
        for kind in ("--list-elf", "--list-ptx")
    ]
    machine, ptx = (sorted({int(n) for n in re.findall(r"sm_(\d+)", text)}) for text in listed)
    wanted = os.environ.get("SCTD_CUDA_ARCH_LIST", "7.5;8.0;8.6;8.9;9.0;10.0;12.0")
    assert machine == sorted(int(arch.replace(".", "")) for arch in wanted.split(";"))
    assert ptx == sorted({machine[0], machine[-1]})
    available, why = _backend.backends()["cuda"]
    if not available:
        assert re.search("cannot run: .+|Torch was built without CUDA", why), why


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
    assert loop.shortest == 6, "the branch over the second exponential"
    assert blend_loop([(0, "FADD R0, R1, R2"), (16, "EXIT")]) is None


def test_the_working_path_reaches_the_last_store() -> None:
    code = [
        "ISETP.GE.AND P0, PT, R0, R1, PT",
        "@P0 EXIT",  # a thread without work
        "@P1 BRA 0x50",
        "FADD R2, R3, R4",
        "FADD R2, R3, R4",
        "STG.E [R2.64], R5",
        "EXIT",
    ]
    numbered = [(16 * i, text) for i, text in enumerate(code)]
    assert working_path(numbered) == 5
    assert distances(numbered, successors(numbered), 0)[6] == 5
    assert working_path(numbered[:2] + numbered[6:]) == 0
