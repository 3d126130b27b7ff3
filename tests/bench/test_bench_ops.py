"""`sctd bench ops`: every op is checked against float64, then timed beside plain torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sctd import ops as product
from sctd.bench import ops, report

QUICK = ("--shapes", "4x4x16x16", "--seconds", "0.01", "--repeats", "3", "--threads", "1")


def test_every_op(bench: Callable[..., Any], tmp_path: Path) -> None:
    shown = bench("ops", *QUICK, "--json", "a.json")
    assert shown.code == 0, shown.err
    rows = report.load(tmp_path / "a.json")
    assert {(r.measure, r.provider) for r in rows} == {(o, p) for o in ops.OPS for p in ("sctd", "reference")}
    for row in rows:
        assert row.status == "ok"
        assert len(row.wall_ms) == 3
        assert row.values["error"] <= row.values["error_allowed"]
        traffic = 4 * ops.OPS[row.measure].traffic * 4 * 4 * 16 * 16
        assert row.values["bytes_per_s"] == pytest.approx(traffic / (sorted(row.wall_ms)[1] / 1e3))


def test_a_wrong_op_is_not_timed(
    bench: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = product.noise

    def wrong(*arguments: Any, backend: str) -> Any:
        return right(*arguments, backend=backend) * (1.001 if backend == "cpu" else 1.0)

    monkeypatch.setattr(product, "noise", wrong)
    shown = bench("ops", *QUICK, "--only", "noise", "--json", "a.json")
    assert shown.code == 1
    assert "sctd is wrong and was not timed" in shown.err
    rows = report.load(tmp_path / "a.json")
    assert [(r.provider, r.status, len(r.wall_ms)) for r in rows] == [
        ("sctd", "wrong", 0),
        ("reference", "ok", 3),
    ]


@pytest.mark.parametrize("arguments", [("--only", "nothing"), ("--shapes", "5"), ("--backend", "cuda")])
def test_unknown_names_are_refused(arguments: tuple[str, ...], bench: Callable[..., Any]) -> None:
    refused = bench("ops", *arguments)
    assert (refused.code, refused.out, len(refused.err.splitlines())) == (2, "", 1)
