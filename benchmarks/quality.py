"""Generates assets of the embedded world and scores them against the procedural truth.

    python -m benchmarks.quality --out runs/quality --page docs/quality.md

Prompts are drawn with a fixed seed; none of them is in TUNING, the prompts that settings were chosen on. An
interrupted run continues when the command is repeated. Writes results.json, one contact sheet for each seed,
and, with --page, the page.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import statistics
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from benchmarks.pages import Results, pictures_of, save
from benchmarks.pages.quality import BARS, markdown
from sctd.config import load_config
from sctd.embedded.prompts import TUNING, drawn_subjects
from sctd.embedded.recogniser import load_recogniser
from sctd.embedded.sample import save_grid
from sctd.embedded.truth import Score, asset_views, score, truth_views
from sctd.embedded.worlds.small.words import Subject
from sctd.formats.table import read_gaussians
from sctd.initial.start import initialise
from sctd.pipeline import generate
from sctd.trainer import random_streams

Row = dict[str, Any]


def made(subject: Subject, seed: int, out: Path, overrides: list[str]) -> tuple[Path, float, int]:
    """The asset of a subject and seed, its seconds and number of Gaussians; generated unless it is there."""
    folder = out / f"{str(subject).replace(' ', '-')}-seed{seed}"
    facts = folder / "quality.json"
    if not facts.exists():
        config = load_config("embedded", None, overrides, prompt=str(subject), seed=seed)
        result = generate(config, folder, resume=folder.exists())
        facts.write_text(json.dumps({"seconds": result.seconds, "gaussians": result.n_gaussians}))
    told = json.loads(facts.read_text())
    return folder / "asset.ply", told["seconds"], told["gaussians"]


def make(subjects: Sequence[Subject], seeds: int, out: Path, overrides: list[str], jobs: int) -> None:
    """Every asset that is not there yet; with several jobs in as many processes of one thread."""
    wanted = [(subject, seed, out, overrides) for seed in range(seeds) for subject in subjects]
    if jobs == 1:
        for asset in wanted:
            made(*asset)
        return
    os.environ |= {"OMP_NUM_THREADS": "1", "SCTD_NUM_THREADS": "1"}  # for the processes below
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        list(pool.map(made, *zip(*wanted, strict=True)))


def ball_score(subject: Subject) -> Score:
    """Scores of the undistilled first Gaussians, as a check that the scores can fail."""
    config = load_config("embedded", prompt=str(subject))
    ball = initialise(config.gaussians, random_streams(0)["scene"])
    return score(ball, subject)


def contact_sheet(subjects: list[Subject], assets: list[Path], path: Path) -> None:
    """Two rows a subject: the truth, and the asset, from eight azimuths."""
    rows = []
    for subject, asset in zip(subjects, assets, strict=True):
        rows += [truth_views(subject, 8)[0], asset_views(read_gaussians(asset), 8)[0]]
    half = (len(rows) // 2 + 1) // 2 * 2
    left, right = torch.stack(rows[:half]), torch.stack(rows[half:])
    if len(right) < len(left):
        right = torch.cat((right, torch.ones(len(left) - len(right), *left.shape[1:])))
    save_grid(torch.cat((left, right), dim=1).flatten(0, 1), path, 16)


def summary(rows: list[Row]) -> dict[str, float]:
    """Means over assets; azimuth, and the lead over the truth's azimuth-average, on kinds with a front."""

    def mean(key: str, fronted: bool = False) -> float:
        return statistics.fmean(float(r[key]) for r in rows if r["front"] or not fronted)

    return {
        **{key: mean(key) for key in ("iou", "psnr", "kind", "color", "seconds")},
        "azimuth": mean("azimuth", True),
        "psnr_front": mean("psnr", True),
        "psnr_average_front": mean("psnr_average", True),
    }


def main(
    out: Annotated[Path, typer.Option(help="Folder of the assets and results.json.")] = Path("runs/quality"),
    prompts: Annotated[int, typer.Option(min=2, help="Number of prompts, even.")] = 24,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of each prompt.")] = 2,
    tuning: Annotated[bool, typer.Option("--tuning", help="Use the tuning prompts instead.")] = False,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key=value, as of sctd generate.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Assets at once; several have a thread each.")] = 1,
    page: Annotated[Path | None, typer.Option(help="Markdown page to write, with its pictures.")] = None,
) -> None:
    """Generate, score, and write down."""
    subjects = list(TUNING) if tuning else drawn_subjects(prompts)
    make(subjects, seeds, out, settings or [], jobs)
    recogniser, rows = load_recogniser(), []
    for seed in range(seeds):
        assets = []
        for subject in subjects:
            asset, seconds, count = made(subject, seed, out, settings or [])
            assets.append(asset)
            measured = asdict(score(read_gaussians(asset), subject, recogniser))
            row = {"prompt": str(subject), "seed": seed, "front": subject.has_front, **measured}
            rows.append({**row, "seconds": seconds, "gaussians": count})
            typer.echo(
                ", ".join(f"{k} {v:.2f}" if isinstance(v, float) else f"{v}" for k, v in rows[-1].items())
            )
        contact_sheet(subjects, assets, out / f"contact-seed{seed}.png")
    ball = {key: statistics.fmean(asdict(ball_score(s))[key] for s in subjects) for key in BARS}
    results: Results = {"summary": summary(rows), "bars": BARS, "ball": ball, "jobs": jobs, "assets": rows}
    (out / "results.json").write_text(json.dumps(results, indent=1))
    for name, values in (("mean", results["summary"]), ("undistilled ball", ball)):
        typer.echo(f"{name}: " + ", ".join(f"{k} {v:.3f}" for k, v in values.items()))
    if page is not None:
        save(page, results, markdown)
        for seed in range(seeds):
            shutil.copy(out / f"contact-seed{seed}.png", pictures_of(page) / f"quality-seed{seed}.png")


if __name__ == "__main__":
    typer.run(main)
