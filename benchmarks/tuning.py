"""Trials of each method's settings for the embedded prior, on prompts that no result is reported on.

    python -m benchmarks.tuning --out runs/tuning --page docs/tuning.md

Every method has as many. A trial is a few settings on top of the preset `embedded`; the first one is the
preset itself. All trials cost the same network evaluations. Repeat an interrupted command to continue it.
Whoever takes a trial over writes its settings into the preset; docs/methods.md is measured with those.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.methods import end, make, score, told_machine
from benchmarks.pages import save
from benchmarks.pages.tuning import markdown
from sctd.batch.entry import Entry
from sctd.compare.comparison import run_lengths
from sctd.config import Config, load_config
from sctd.embedded.world import world_of
from sctd.errors import InputError
from sctd.names import slug

TRIALS: Mapping[str, Sequence[str]] = {
    "sctd": (
        "",
        "guidance_scale=4",
        "guidance_scale=12",
        "guidance_scale=20",
        "warmup=0.8",
        "guidance_weight=0.4",
    ),
    "sds": (
        "",
        "guidance_scale=50",
        "guidance_scale=25",
        "guidance_scale=12",
        "guidance_scale=25 guidance_weight=16",
        "guidance_scale=25 t_max=700",
    ),
    "csd": (
        "",
        "t_max=700",
        "t_max=500",
        "null_share_end=0.5",
        "guidance_weight=16",
        "guidance_weight=1",
    ),
    "cds": (
        "",
        "guidance_start=10 guidance_end=20",
        "guidance_start=7.5 guidance_end=7.5",
        "gap=100 gap_width=200 s_start=700 s_end=100",
        "noise=fresh",
        "guidance_weight=16",
    ),
    "ism": (
        "",
        "guidance_scale=4",
        "guidance_scale=12",
        "interval_end=100",
        "t_max_end=500 interval_end=80",
        "guidance_weight=0.4",
    ),
    "gcs": (
        "",
        "guidance_scale=4",
        "guidance_scale=12",
        "cp_weight=0",
        "timestep_sampling=released",
        "guidance_weight=1.6",
    ),
}
"""Method => its trials: settings of its section, separated by spaces."""


def plan(
    names: Sequence[str], prompts: Sequence[str], evaluations: int, settings: Sequence[str]
) -> list[Entry]:
    """All runs of the trials, prompt by prompt: a command that is stopped has tried everything on some.

    Raises:
        InputError: a trial's settings do not fit.
    """
    tried = [(name, number) for name in names for number in range(len(TRIALS[name]))]
    configs = [settings_of(name, TRIALS[name][number], evaluations, settings) for name, number in tried]
    return [
        Entry(f"{slug(prompt)}-{name}-trial{number}", config.with_changes(prompt=prompt))
        for prompt in prompts
        for (name, number), config in zip(tried, configs, strict=True)
    ]


def settings_of(name: str, trial: str, evaluations: int, settings: Sequence[str]) -> Config:
    """Of a trial, with as many iterations as cost the network evaluations."""
    own = [f"{name}.{setting}" for setting in trial.split()]
    base = load_config("embedded", None, ["output.turntable_frames=0", *settings, *own], prompt="any")
    return base.with_changes(method=name, iterations=run_lengths(base, [name], evaluations)[name])


def main(
    out: Annotated[Path, typer.Option(help="Folder of the runs and results.json.")] = Path("runs/tuning"),
    names: Annotated[str, typer.Option("--methods", help="Separated by commas.")] = ",".join(TRIALS),
    prompts: Annotated[int, typer.Option(min=1, help="The first so many tuning prompts of the world.")] = 3,
    evaluations: Annotated[int, typer.Option(min=1, help="Network evaluations of every run.")] = 2000,
    in_flight: Annotated[int, typer.Option(min=1, help="Runs made at a time, whose calls are joined.")] = 8,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key=value of all runs, as of sctd generate.")
    ] = None,
    page: Annotated[Path | None, typer.Option(help="Markdown page to write.")] = None,
) -> None:
    """Run, score, and write the results."""
    chosen = [name.strip() for name in names.split(",")]
    if unknown := [name for name in chosen if name not in TRIALS]:
        raise typer.BadParameter(f"no trials of {', '.join(unknown)}; there are those of {', '.join(TRIALS)}")
    texts = [str(subject) for subject in world_of().tuning()[:prompts]]
    try:
        make(plan(chosen, texts, evaluations, settings or []), out, in_flight)
    except InputError as exc:
        raise typer.BadParameter(str(exc)) from exc
    rows, failed, left = score(out)
    results = {
        "command": {"prompts": texts, "evaluations": evaluations, "settings": settings or []},
        "trials": {name: list(TRIALS[name]) for name in chosen},
        "runs": [asdict(row) for row in rows],
        "failed": failed,
        "left": left,
        "machine": told_machine(),
    }
    (out / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if page is not None:
        save(page, results, markdown)
    else:
        print(markdown(results))
    end(failed, left, out)


if __name__ == "__main__":
    typer.run(main)
