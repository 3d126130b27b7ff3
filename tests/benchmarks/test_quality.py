"""The quality benchmark: what it makes for each world, that it goes on where it stopped, and its page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from benchmarks.pages.quality import BARS, MEANINGS, markdown
from benchmarks.quality import SHEETS, Asked, Suite, main, place_of, plan, summary
from sctd.embedded.weights import FOLDER
from sctd.embedded.world import WORLDS, world_named, world_of
from sctd.errors import InputError

RICH = world_named("rich")


@pytest.mark.parametrize("name", list(WORLDS))
def test_drawn_prompts_are_the_worlds_own_seed_by_seed(name: str) -> None:
    world = world_named(name)
    wanted = plan("drawn", world, 24, 2)
    assert [asked.seed for asked in wanted] == [0] * 24 + [1] * 24
    assert len({asked.prompt for asked in wanted}) == 24
    assert [world.check_prompt(asked.prompt) for asked in wanted[:24]] == list(world.evaluated()[:24])
    tuning = plan("tuning", world, 24, 1)
    assert tuning
    assert not {asked.prompt for asked in tuning} & {asked.prompt for asked in wanted}


def test_the_rich_world_has_twice_as_many_and_table_1() -> None:
    assert len(plan("drawn", RICH, 48, 1)) == 48
    table = plan("table1", RICH, 24, 2)
    assert len(table) == 40
    assert table[8] == Asked("A DSLR photo of a corgi wearing a top hat", 0)
    asked = [a for suite in SHEETS for a in plan(suite, RICH, 48, 1)]
    assert len({place_of(a, Path()) for a in asked}) == len(asked) == 96  # no two share a folder


def test_what_cannot_be_asked_is_refused_before_anything_is_made() -> None:
    with pytest.raises(InputError, match="mullet"):
        plan("table1", world_named("small"), 24, 1)
    with pytest.raises(InputError, match="no suite is named 'table2'; there are drawn, table1, tuning"):
        plan("table2", RICH, 24, 1)


def test_an_asset_is_made_once_scored_and_shown(tmp_path: Path) -> None:
    asked, tiny = Asked(str(world_of().evaluated()[0]), 0), ["iterations=1", "gaussians.count=50"]
    quick = [*tiny, "output.turntable_frames=0", "output.contact_views=0", "output.page=false"]
    first, again = (Suite("drawn", [asked], FOLDER) for _ in range(2))
    first.measure(tmp_path, quick, 1)
    (asset,) = tmp_path.glob("*/asset.ply")
    made = asset.stat().st_mtime_ns
    again.measure(tmp_path, quick, 1)
    assert asset.stat().st_mtime_ns == made
    results = again.results(1)
    assert results["assets"] == first.results(1)["assets"]
    (row,) = results["assets"]
    assert (row["prompt"], row["seed"], row["gaussians"]) == (*asked, 50)
    (sheet,) = again.sheets(tmp_path)
    with Image.open(sheet) as picture:
        assert picture.size == (8 * 128, 2 * 128 + 20)
    assert f"| {asked.prompt} | 0 |" in markdown({"drawn": results})


def row(prompt: str, **more: Any) -> dict[str, Any]:
    return {
        "prompt": prompt,
        "seed": 0,
        "front": True,
        "iou": 0.9,
        "psnr": 26.0,
        "psnr_average": 20.0,
        "azimuth": 1.0,
        "kind": 1.0,
        "color": 1.0,
        "traits": 1.0,
        "seconds": 90.0,
        **more,
    }


def results_of(suite: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    ball = dict.fromkeys(MEANINGS, 0.1)
    return {"jobs": 1, "summary": summary(rows), "bars": BARS[suite], "ball": ball, "assets": rows}


def test_what_was_not_asked_counts_in_no_mean() -> None:
    rows = [row("a robot", color=None, traits=None), row("a red robot", color=0.5, traits=0.25)]
    means = summary([*rows, row("an egg", front=False, azimuth=0.0, color=1.0, traits=None)])
    assert (means["color"], means["traits"], means["azimuth"]) == (0.75, 0.25, 1.0)
    assert summary(rows[:1])["color"] is None


def test_the_page_tells_and_counts_what_fails() -> None:
    drawn = results_of("drawn", [row("a red bear"), row("a robot", color=None, psnr=19.0, iou=0.95)])
    table = [
        row("A typewriter", traits=None, kind=0.875),
        row("A blue lobster", traits=0.5),
        row("A ripe strawberry", traits=None),
    ]
    text = markdown({"table1": results_of("table1", table), "drawn": drawn})
    assert "`python -m benchmarks.quality --suite drawn,table1 --seeds 1 --jobs 1 --page" in text
    assert "below the azimuth-average of their truth: a robot." in text
    assert "Below its bar: PSNR, dB." in text
    assert "| a robot | 0 | 0.95 | 19.0 | 20.0 | 1.00 | 1.00 | - | 1.00 | 90 |" in text
    assert "2 of 3 prompts are below a bar" in text
    assert "| A typewriter | 0.88 | - | 1.00 | 0.90 | 26.0 | 90 | kind |" in text
    assert "| A blue lobster | 1.00 | 0.50 | 1.00 | 0.90 | 26.0 | 90 | said |" in text
    assert "| A ripe strawberry | 1.00 | - | 1.00 | 0.90 | 26.0 | 90 |  |" in text
    assert "pictures/quality-table1-seed0.png" in text
    assert "## Table 1" not in markdown({"drawn": drawn})
    assert "## Drawn" not in markdown({"table1": results_of("table1", table)})


def test_a_page_without_a_suite_to_report_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(main)
    options = ["--suite", "tuning", "--page", str(tmp_path / "page.md"), "--out", str(tmp_path / "out")]
    told = CliRunner().invoke(app, options)
    assert told.exit_code == 2
    assert "--page reports drawn and table1 alone" in told.output
    assert not list(tmp_path.iterdir())
