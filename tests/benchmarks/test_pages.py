"""The pages of docs/ that benchmarks write are those of the numbers beside them."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.pages.__main__ import page_of
from benchmarks.pages.embedded_prior import markdown as model_card
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


def test_the_model_card_is_of_the_world_that_the_weights_know() -> None:
    shares = {"kind": 0.95, "color": 0.96, "traits": 0.65, "view": 0.85}
    told = {f"{name}_by_camera": share for name, share in shares.items()}
    facts = {"seed": 1, "torch": "2.13", "threads": 1, "data": "some views", "recogniser": shares}
    runs = {"diffusion": {"step": 5, "seconds": 60.0}}
    scores = {**shares, **told, "samples": 8.0, "guidance_scale": 4.0}
    text = model_card({"world": "rich", **facts, "training": runs, "evaluation": scores})
    assert "- To wear: top hat, " in text
    assert "| style, pose, clothes, what it holds and is with | 0.650 | 0.650 | >= 0.70 | 0.650 |" in text
    assert "Below its bar: style, pose" in text
    assert "pattern |" not in text
    assert "not yet" not in text
    assert "1 CPU threads: diffusion" in text
    both = {"world": "rich", **facts, "processes": 2, "training": runs, "evaluation": scores}
    assert "1 CPU threads, text encoder and UNet by 2 processes: diffusion" in model_card(both)


def test_the_rasterizers_tables_are_those_of_the_committed_report(repository: Path) -> None:
    tables = raster_tables(load(repository / "docs" / "performance-raster.json"))
    assert "\n".join(tables) in (repository / "docs" / "performance.md").read_text(encoding="utf-8")
