"""Every suite's plot is a picture; what has no time is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sctd.bench import step
from sctd.bench.plot import check_plot, plot
from sctd.bench.report import Row
from sctd.bench.stages import STAGES
from sctd.errors import InputError

MACHINE = {"cpu": "a processor", "native_threads": 2, "isa": "avx2", "commit": "abc", "date": "2026-01-01"}


def rows_of(suite: str, make_row: Callable[..., Row]) -> list[Row]:
    fields: dict[str, Any] = {"suite": suite, "machine": {**MACHINE, "bytes_per_s": 2e10}}
    if suite == "raster":
        cells = [{"cell": c, "measure": m} for c in ("1k@8", "2k@8") for m in ("forward", "forward+backward")]
        return [make_row(**fields, **c, provider=p) for c in cells for p in ("sctd", "gsplat")]
    if suite == "ops":
        values = {"bytes_per_s": 1e9}
        return [make_row(**fields, measure="noise", provider=p, values=values) for p in ("sctd", "reference")]
    names = (*STAGES, step.PRIOR, step.REST) if suite == "step" else ("optimising", "whole process")
    return [make_row(**fields, measure=n, values={"mean_wall_ms": 1.0, "wall_share": 0.1}) for n in names]


@pytest.mark.parametrize("suite", ["raster", "ops", "step", "generate"])
def test_a_picture(suite: str, make_row: Callable[..., Row], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason='matplotlib is not installed: pip install "sctd[bench]"')
    path = tmp_path / "a.png"
    check_plot(path)
    plot(rows_of(suite, make_row), path)
    assert path.read_bytes()[:4] == b"\x89PNG"
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_counts_are_not_drawn(make_row: Callable[..., Row], tmp_path: Path) -> None:
    counts = make_row([], device_class="simulated", values={"items": 3.0})
    with pytest.raises(InputError, match="no time to plot"):
        plot([counts], tmp_path / "a.png")
    with pytest.raises(InputError, match="never mixed"):
        plot([counts, make_row()], tmp_path / "a.png")
