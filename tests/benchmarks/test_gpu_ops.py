"""benchmarks.gpu_ops as far as it goes without a GPU: on the CPU, by a clock that says 2 ms of every call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from benchmarks import gpu_ops

CPU = torch.device("cpu")


def clock(call: Callable[[], object]) -> float:
    call()
    return 2.0


@pytest.mark.parametrize("name", list(gpu_ops.OPS))
def test_every_op_is_timed_beside_plain_torch(name: str) -> None:
    rows = gpu_ops.measure(name, "4x4x16x16", CPU, clock, repeats=10)
    assert [row["contender"] for row in rows] == ["sctd", "plain torch"]
    traffic = 4 * gpu_ops.OPS[name].traffic * 4 * 4 * 16 * 16  # bytes in 2 ms
    for row in rows:
        assert row["p20"] == row["p50"] == row["p80"] == 2.0
        assert row["gb_per_s"] == pytest.approx(traffic / 2e-3 / 1e9)
    table = gpu_ops.markdown(rows)
    assert table[2].startswith(f"| {name}, 4x4x16x16 | sctd | 2.0000 / 2.0000 / 2.0000 | ")


def test_a_wrong_op_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = gpu_ops.OPS["noise"]

    def wrong(
        x: list[torch.Tensor], level: torch.Tensor, backend: str
    ) -> tuple[torch.Tensor, ...]:  # by 0.1 %, in the fused backend alone
        return tuple(y * (1 if backend == "reference" else 1.001) for y in right.call(x, level, backend))

    monkeypatch.setitem(gpu_ops.OPS, "noise", replace(right, call=wrong))
    fused, plain = gpu_ops.measure("noise", "4x4x16x16", CPU, clock, repeats=10)
    assert "not timed" in fused["wrong"]
    assert "p50" not in fused
    assert plain["p50"] == 2.0
    assert "not timed" in gpu_ops.markdown([fused])[2]
