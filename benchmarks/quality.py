"""Generates assets of an embedded prior's world and scores them against the procedural truth.

    python -m benchmarks.quality --suite drawn,table1 --out runs/quality --page docs/quality.md

    drawn    what the world has drawn with a fixed seed for reported results
    table1   the forty prompts of the paper's Table 1, exactly as printed; seed 0 alone
    tuning   what settings are chosen on; no page reports it

A finished asset is not made again: repeat an interrupted command to continue it, or name one suite at a time.
Other weights or settings need another --out. Scores are always measured anew. Writes results.json, which
keeps the suites of earlier commands, contact sheets and, with --page, the page.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import statistics
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from benchmarks.pages import Results, pictures_of, save
from benchmarks.pages.quality import BARS, MEANINGS, SECTIONS, markdown
from benchmarks.sheets import Pair, save_sheet
from sctd import suites
from sctd.config import load_config
from sctd.embedded.recogniser import Recogniser, load_recogniser
from sctd.embedded.subject import Subject
from sctd.embedded.truth import Score, asset_views, score, truth_views
from sctd.embedded.weights import FOLDER
from sctd.embedded.world import World, world_of
from sctd.errors import InputError
from sctd.files import whole_file
from sctd.formats.table import read_gaussians
from sctd.initial.start import initialise
from sctd.names import slug
from sctd.pipeline import generate
from sctd.trainer import random_streams

Row = dict[str, Any]


class Asked(NamedTuple):
    """An asset to make."""

    prompt: str
    seed: int


class Sheet(NamedTuple):
    """How a suite is shown."""

    views: int
    columns: int
    """Assets beside each other."""


SHEETS = {"drawn": Sheet(8, 2), "table1": Sheet(4, 4), "tuning": Sheet(8, 2)}
"""By suite."""


def plan(suite: str, world: World, prompts: int, seeds: int) -> list[Asked]:
    """The assets of a suite, seed by seed.

    Raises:
        InputError: there is no such suite, or the world does not read its prompts.
    """
    if suite not in SHEETS:
        raise InputError(f"no suite is named {suite!r}; there are {', '.join(SHEETS)}")
    if suite == "table1":
        texts = suites.prompts(suite)
        for text in texts:
            world.check_prompt(text)
        return [Asked(text, 0) for text in texts]
    subjects = world.tuning() if suite == "tuning" else world.evaluated()[:prompts]
    return [Asked(str(subject), seed) for seed in range(seeds) for subject in subjects]


def place_of(asked: Asked, out: Path) -> Path:
    """The folder of an asset's run."""
    return out / f"{slug(asked.prompt)}-seed{asked.seed}"


def made(asked: Asked, out: Path, overrides: Sequence[str]) -> tuple[Path, float, int]:
    """The asset, its seconds and number of Gaussians; generated unless it is there."""
    folder = place_of(asked, out)
    facts = folder / "quality.json"
    if not facts.exists():
        config = load_config("embedded", None, overrides, prompt=asked.prompt, seed=asked.seed)
        result = generate(config, folder, resume=folder.exists())
        facts.write_text(json.dumps({"seconds": result.seconds, "gaussians": result.n_gaussians}))
    told = json.loads(facts.read_text())
    return folder / "asset.ply", told["seconds"], told["gaussians"]


def make(
    wanted: Sequence[Asked], out: Path, overrides: Sequence[str], jobs: int
) -> Iterator[tuple[Path, float, int]]:
    """Every asset in turn, as it is there; with several jobs they are made in as many processes of a thread
    each."""
    if jobs == 1:
        yield from (made(asked, out, overrides) for asked in wanted)
        return
    os.environ |= {"OMP_NUM_THREADS": "1", "SCTD_NUM_THREADS": "1"}  # for the processes below
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        n = len(wanted)
        yield from pool.map(made, wanted, [out] * n, [overrides] * n)


def ball_score(subject: Subject, recogniser: Recogniser | None = None) -> Score:
    """Scores of the undistilled first Gaussians, as a check that the scores can fail."""
    config = load_config("embedded", prompt=str(subject))
    ball = initialise(config.gaussians, random_streams(0)["scene"])
    return score(ball, subject, recogniser)


def mean(values: Iterable[float | None]) -> float | None:
    """Of the numbers; None where there is none."""
    numbers = [float(value) for value in values if value is not None]
    return statistics.fmean(numbers) if numbers else None


def summary(rows: Sequence[Row]) -> dict[str, float | None]:
    """Means over assets; azimuth, and the lead over the truth's azimuth-average, on kinds with a front."""
    fronted = [row for row in rows if row["front"]]
    return {
        **{key: mean(row[key] for row in rows) for key in (*MEANINGS, "seconds")},
        "azimuth": mean(row["azimuth"] for row in fronted),
        "psnr_front": mean(row["psnr"] for row in fronted),
        "psnr_average_front": mean(row["psnr_average"] for row in fronted),
    }


class Suite:
    """One suite: its assets are made, scored and shown."""

    def __init__(self, name: str, wanted: Sequence[Asked], weights: Path) -> None:
        self.name = name
        self._wanted = wanted
        self._world = world_of(weights)
        self._recogniser = load_recogniser(weights)
        self._rows: list[Row] = []
        self._places: list[Path] = []

    def measure(self, out: Path, overrides: Sequence[str], jobs: int) -> None:
        """Make and score each asset, and say so."""
        assets = make(self._wanted, out, overrides, jobs)
        for asked, (place, seconds, count) in zip(self._wanted, assets, strict=True):
            subject = self._world.check_prompt(asked.prompt)
            measured = asdict(score(read_gaussians(place), subject, self._recogniser))
            row = {**asked._asdict(), "front": subject.has_front, **measured}
            self._rows.append({**row, "seconds": seconds, "gaussians": count})
            self._places.append(place)
            typer.echo(", ".join(f"{k} {_short(value)}" for k, value in self._rows[-1].items()))

    def results(self, jobs: int) -> Results:
        """Of the page."""
        subjects = [self._world.check_prompt(text) for text in dict.fromkeys(a.prompt for a in self._wanted)]
        balls = [asdict(ball_score(subject, self._recogniser)) for subject in subjects]
        return {
            "jobs": jobs,
            "summary": summary(self._rows),
            "bars": BARS.get(self.name, {}),
            "ball": {key: mean(ball[key] for ball in balls) for key in MEANINGS},
            "assets": self._rows,
        }

    def sheets(self, out: Path) -> list[Path]:
        """A contact sheet for each seed."""
        views, columns = SHEETS[self.name]
        paths = []
        for seed in dict.fromkeys(asked.seed for asked in self._wanted):
            pairs = [
                Pair(
                    asked.prompt,
                    truth_views(self._world.check_prompt(asked.prompt), views)[0],
                    asset_views(read_gaussians(place), views)[0],
                )
                for asked, place in zip(self._wanted, self._places, strict=True)
                if asked.seed == seed
            ]
            paths.append(out / f"quality-{self.name}-seed{seed}.png")
            save_sheet(pairs, columns, paths[-1])
        return paths


def _short(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else f"{value}"


def main(
    out: Annotated[Path, typer.Option(help="Folder of the assets and results.json.")] = Path("runs/quality"),
    suite: Annotated[str, typer.Option(help="drawn, table1, tuning, or several by commas.")] = "drawn",
    prompts: Annotated[int, typer.Option(min=1, help="Drawn prompts, the first so many.")] = suites.EVALUATED,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of each drawn prompt.")] = 2,
    weights: Annotated[Path, typer.Option(help="Folder of the prior's weights.", exists=True)] = FOLDER,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key=value, as of sctd generate.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Assets at once; several have a thread each.")] = 1,
    page: Annotated[Path | None, typer.Option(help="Markdown page to write, with its pictures.")] = None,
) -> None:
    """Generate, score, and write down."""
    if page is not None and not SECTIONS.keys() & set(suite.split(",")):
        raise typer.BadParameter(f"--page reports {' and '.join(SECTIONS)} alone; leave it out for {suite}")
    world, overrides = world_of(weights), [] if weights == FOLDER else [f"prior={weights}"]
    overrides += settings or []
    try:
        chosen = [Suite(name, plan(name, world, prompts, seeds), weights) for name in suite.split(",")]
    except InputError as exc:
        raise typer.BadParameter(str(exc)) from exc
    path, shown = out / "results.json", []
    results: Results = json.loads(path.read_text()) if path.exists() else {}
    for each in chosen:
        each.measure(out, overrides, jobs)
        results[each.name] = each.results(jobs)
        with whole_file(path) as temporary:
            temporary.write_text(json.dumps(results, indent=1))
        shown += each.sheets(out)
        for name, values in (("mean", "summary"), ("undistilled ball", "ball")):
            told = ", ".join(f"{k} {_short(value)}" for k, value in results[each.name][values].items())
            typer.echo(f"{each.name}, {name}: {told}")
    if page is not None:
        save(page, results, markdown)
        for picture in shown:
            shutil.copy(picture, pictures_of(page) / picture.name)


if __name__ == "__main__":
    typer.run(main)
