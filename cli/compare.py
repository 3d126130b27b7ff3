"""``sctd compare``: one prompt by several methods, everything else equal, on one page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sctd.errors import InputError, SctdError
from sctd.run.claims import Claim
from sctd.run.places import check_writable

from . import inputs
from .failures import Interrupted
from .generate import new_settings
from .options import ConfigFile, Device, Overrides, Preset, PriorName, Steps
from .progress import reporter, say

if TYPE_CHECKING:
    from sctd.compare.comparison import Outcome, PlannedRun
    from sctd.config import Config
    from sctd.prior.base import Prior


def compare(
    prompt: Annotated[str, typer.Argument(help="What to make, in quotes.")],
    methods: Annotated[
        str | None, typer.Option(help="Distillation losses, separated by commas.  [default: all]")
    ] = None,
    seeds: Annotated[str, typer.Option(help="Seeds, separated by commas.")] = "0",
    out: Annotated[
        Path | None, typer.Option(help="Folder of the runs and the page.  [default: runs/compare-PROMPT]")
    ] = None,
    steps: Steps = None,
    evaluations: Annotated[
        int | None,
        typer.Option(min=1, help="Images through the network in every run, instead of equal --steps."),
    ] = None,
    preset: Preset = None,
    config: ConfigFile = None,
    set_: Overrides = None,
    prior: PriorName = None,
    device: Device = None,
    clip: Annotated[str | None, typer.Option(help="A CLIP to score with: folder or hub id.")] = None,
) -> None:
    """Run methods side by side and write index.html; after an interruption the same command continues."""
    if steps is not None and evaluations is not None:
        raise InputError("--steps and --evaluations exclude each other: one of them sets the runs' length")
    from sctd import registry
    from sctd.extras import need_matplotlib

    need_matplotlib("sctd compare")
    names = list(registry.METHODS) if methods is None else [registry.check(name) for name in _split(methods)]
    numbers = _seeds(seeds)
    options: dict[str, Any] = {"seed": None, "iterations": steps, "method": None, "device": device}
    options["prior"] = inputs.prior_options(prior)
    base = new_settings(prompt, options, preset, config, set_ or [])
    folder = out or Path("runs") / f"compare-{inputs.slug(base.prompt)}"
    check_writable(folder)

    from sctd.compare.comparison import plan, run_lengths

    jobs = plan(base, names, numbers, folder, run_lengths(base, names, evaluations))
    with Claim(folder, say):
        outcomes = _carry_out(base, jobs)
        typer.echo(_page(folder, outcomes, evaluations, clip))
    failed = [outcome for outcome in outcomes if outcome.error]
    if failed:
        raise SctdError(
            f"{len(failed)} of {len(jobs)} runs failed, first {failed[0].job.name}: {failed[0].error}; "
            "the same command retries them"
        )


def _carry_out(base: Config, jobs: list[PlannedRun]) -> list[Outcome]:
    from sctd.compare.comparison import carry_out_all
    from sctd.prior import prior_of

    def load() -> Prior:
        say("loading the prior")
        return prior_of(base)

    try:
        return carry_out_all(jobs, load, reporter, say)
    except KeyboardInterrupt as exc:
        raise Interrupted("stopped; the same command continues from here") from exc


def _page(folder: Path, outcomes: list[Outcome], evaluations: int | None, clip: str | None) -> Path:
    from sctd.compare import page
    from sctd.evaluate.clip import Clip
    from sctd.evaluate.report import Judges, score_run

    judges = Judges(clip=None if clip is None else Clip.load(clip))
    scores = {o.job.name: score_run(o.run, judges).scores for o in outcomes if o.run is not None}
    return page.write(folder, outcomes, scores, evaluations)


def _seeds(text: str) -> list[int]:
    parts = _split(text)
    if not parts or not all(part.isascii() and part.isdigit() for part in parts):
        raise InputError(f"--seeds must be whole numbers of at least 0, separated by commas; got {text!r}")
    return [int(part) for part in parts]


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
