"""benchmarks.gpu_triangles without a GPU: its kernels emulated, by a clock that says 2 ms of every call."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from benchmarks import gpu_triangles
from sctd.ops import triangles

CELL = (60, 32, "reference")


def clock(call: Callable[[], object]) -> float:
    return 2.0


def called(call: Callable[[], object]) -> float:
    call()
    return 2.0


def rows(tell: Callable[[Callable[[], object]], float]) -> list[dict[str, object]]:
    return gpu_triangles.measure(CELL, tell, 10, device="cpu", backend="cuda-simt")


@pytest.mark.usefixtures("simt_module")
def test_the_emulated_kernels_are_compared_with_the_definition_and_timed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("benchmarks.gpu.WARM_UP", 0)
    found = rows(called)
    assert [row["part"] for row in found] == ["picture", "texture"]
    for row in found:
        assert row["edge"] == 32
        assert 0 < float(str(row["gradient_off"])) < 1e-4
        assert row["forward"] == row["forward+backward"] == {"p20": 2.0, "p50": 2.0, "p80": 2.0}
    table = gpu_triangles.markdown(found)
    assert table[2].startswith(f"| {found[0]['faces']}, 32 | picture | ")
    assert table[3].endswith("| 2.000 / 2.000 / 2.000 | 2.000 / 2.000 / 2.000 |")


@pytest.mark.usefixtures("simt_module")
@pytest.mark.parametrize(("op", "part"), [("interpolate", "picture"), ("texture", "texture")])
def test_a_wrong_op_is_not_timed(monkeypatch: pytest.MonkeyPatch, op: str, part: str) -> None:
    """By 0.1 %, in the emulated kernels alone."""
    right = getattr(triangles, op)

    def wrong(*inputs: object, backend: str) -> Tensor:
        out: Tensor = right(*inputs, backend=backend)
        return out * (1.001 if backend == "cuda-simt" else 1)

    monkeypatch.setattr(triangles, op, wrong)
    found = {row["part"]: row for row in rows(clock)}
    assert "not timed" in str(found[part]["wrong"])
    assert "forward" not in found[part]
    assert "not timed" in gpu_triangles.markdown([found[part]])[2]
    (other,) = set(found) - {part}
    assert "forward" in found[other]
    assert torch.cuda.is_available() or "wrong" not in found[other]
