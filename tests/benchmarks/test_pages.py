"""The pages of docs/ that benchmarks write are those of the numbers beside them."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.pages.__main__ import page_of
from benchmarks.pages.performance import raster_tables
from sctd.bench.report import load

NAMES = (
    "batch_speed",
    "embedded_prior",
    "full_size",
    "kernels",
    "launches",
    "mesh_quality",
    "methods",
    "quality",
)


@pytest.mark.parametrize("name", NAMES)
def test_the_committed_page_is_that_of_the_committed_numbers(repository: Path, name: str) -> None:
    """`python -m benchmarks.pages NAME` writes it anew."""
    assert page_of(name) == (repository / "docs" / f"{name}.md").read_text(encoding="utf-8")


def test_the_rasterizers_tables_are_those_of_the_committed_report(repository: Path) -> None:
    tables = raster_tables(load(repository / "docs" / "performance-raster.json"))
    assert "\n".join(tables) in (repository / "docs" / "performance.md").read_text(encoding="utf-8")
