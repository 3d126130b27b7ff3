"""The trials of each method's settings, as made by benchmarks/tuning.py: the page."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from benchmarks.pages import Results, header

MEASURED = {"psnr": 2, "iou": 3, "azimuth": 3, "color": 3, "edge": 3}
"""Numbers of a run that the page has, and their decimals: see benchmarks/methods.py."""
PRESET = "the preset"


def markdown(results: Results) -> str:
    """The page: a table of trials for each method, over the prompts on which all of its trials are done."""
    command, machine = results["command"], results["machine"]
    said = "".join(f" --set {setting}" for setting in command["settings"])
    counts = sorted({len(trials) for trials in results["trials"].values()})
    called = (
        f"    python -m benchmarks.tuning --prompts {len(command['prompts'])} "
        f"--evaluations {command['evaluations']}{said} --page docs/tuning.md"
    )
    text = (
        f"Each method has {' or '.join(map(str, counts))} trials, the preset `embedded` itself among them, "
        f"of about {command['evaluations']:,} network evaluations each, seed 0, on prompts that no result "
        f"is reported on: {', '.join(command['prompts'])}. Bold: the highest PSNR of a method. Edge: above "
        f"0 the colours are too saturated. {machine['cpu']}, commit {machine['commit']}."
    )
    lines = ["# Trials of the methods' settings", "", called, "", textwrap.fill(text, 124), ""]
    for name, trials in results["trials"].items():
        lines += [f"## {name}", "", *_table(results["runs"], name, trials), ""]
    if results["failed"]:
        lines += [
            "Failed runs:",
            "",
            *(f"- {name}: {error}" for name, error in results["failed"].items()),
            "",
        ]
    return "\n".join(lines)


def trial_of(run: Mapping[str, Any]) -> int:
    """The number of a run's trial, which its folder's name ends with."""
    return int(run["folder"].rsplit("-trial", 1)[1])


def _table(runs: Sequence[Mapping[str, Any]], name: str, trials: Sequence[str]) -> list[str]:
    own = [run for run in runs if run["method"] == name]
    by_trial = [
        {run["prompt"]: run["scores"] for run in own if trial_of(run) == n} for n in range(len(trials))
    ]
    common = set.intersection(*(set(scores) for scores in by_trial)) if by_trial else set()
    lines = header("settings", "prompts", *MEASURED)
    means = [
        {key: fmean(found) for key in MEASURED if (found := [s[p][key] for p in common if key in s[p]])}
        for s in by_trial
    ]
    best = max((m["psnr"] for m in means if m), default=0.0)
    for trial, mean in zip(trials, means, strict=True):
        cells = [f"{mean[key]:.{digits}f}" if key in mean else "-" for key, digits in MEASURED.items()]
        if mean and mean["psnr"] == best:
            cells[0] = f"**{cells[0]}**"
        lines.append(f"| {f'`{trial}`' if trial else PRESET} | {len(common)} | {' | '.join(cells)} |")
    return lines
