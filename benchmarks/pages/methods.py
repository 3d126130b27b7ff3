"""The methods compared, as measured by benchmarks/methods.py: the page and its picture."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from benchmarks.pages import Results
from benchmarks.sheets import COLORS, strip
from sctd.evaluate.intervals import FEWEST
from sctd.evaluate.report import METRICS, Report, Row, meaning, verdict

BASELINE = "sctd"
VIEWS = 4
TITLE, GAP = 30, 12  # of the picture, px


def picture(prompts: Sequence[str], assets: Mapping[str, Sequence[Path]], path: Path) -> None:
    """A row a prompt: VIEWS views of the truth, then of each method's asset; white where there is none."""
    from sctd.embedded.truth import asset_views, truth_views
    from sctd.embedded.world import world_of
    from sctd.formats.table import read_gaussians

    rows = []
    for prompt, *made in zip(prompts, *assets.values(), strict=True):
        truth = truth_views(world_of().check_prompt(prompt), VIEWS)[0]
        columns = [truth]
        for asset in made:
            there = asset.is_file()
            columns.append(
                asset_views(read_gaussians(asset), VIEWS)[0] if there else truth.new_ones(truth.shape)
            )
        rows.append([strip(views) for views in columns])
    titled(rows, ["truth", *assets]).quantize(COLORS).save(path, optimize=True)


def titled(rows: Sequence[Sequence[NDArray[np.float32]]], titles: Sequence[str]) -> Image.Image:
    """Rows of pictures [H, W, 3], 0..1, all of one size, with gaps between columns and titles above them."""
    height, width = rows[0][0].shape[:2]
    sheet = np.ones((TITLE + len(rows) * height, len(titles) * (width + GAP) - GAP, 3), np.float32)
    for i, row in enumerate(rows):
        for k, image in enumerate(row):
            top, left = TITLE + i * height, k * (width + GAP)
            sheet[top : top + height, left : left + width] = image
    made = Image.fromarray((sheet.clip(0, 1) * 255 + 0.5).astype(np.uint8))
    draw, font = ImageDraw.Draw(made), ImageFont.load_default(TITLE * 0.7)
    for k, title in enumerate(titles):
        draw.text((k * (width + GAP) + width / 2, TITLE / 2), title, fill="black", font=font, anchor="mm")
    return made


def markdown(results: Results, stem: str = "methods") -> str:
    """The page; ``stem`` is its name and its picture's."""
    report = Report([Row(**row) for row in results["runs"]])
    names = list(results["iterations"])
    lines = [
        "# The methods compared",
        "",
        _conditions(stem, results),
        "",
        *_means(report, results, names),
        "",
        *_differences(report),
        "",
        f"{VIEWS} views of the truth and of each method's asset, seed 0, a row a prompt.",
        "",
        f"![the truth and every method's assets](pictures/{stem}.png)",
        "",
    ]
    if results["failed"]:
        lines += ["Failed runs, which no mean above contains:", ""]
        lines += [f"- {name}: {error}" for name, error in results["failed"].items()] + [""]
    return "\n".join(lines)


def _conditions(stem: str, results: Results) -> str:
    """One paragraph: the command, the machine, and the equal conditions."""
    command, machine = results["command"], results["machine"]
    called = (
        f"python -m benchmarks.methods --methods {','.join(results['iterations'])} "
        f"--prompts {len(command['prompts'])} --seeds {command['seeds']} "
        f"--evaluations {command['evaluations']} --page docs/{stem}.md"
    )
    published = command.get("published", False)
    called += " --published" if published else ""
    own = "the settings that its authors published" if published else "the settings of its own section"
    called += "".join(f" --set {setting}" for setting in command["settings"])
    text = (
        f"{len(command['prompts'])} prompts of the suite `embedded`, {command['seeds']} seed(s), about "
        f"{command['evaluations']:,} network evaluations for every run. Prior, cameras, first Gaussians and "
        f"optimiser are the same; each method has {own}. "
        f"{machine['cpu']}, {machine['usable_cores']} cores, runs made as batches at commit "
        f"{', '.join(results['commits'])}. "
        "In brackets: 95%, bootstrap over prompts and their seeds."
    )
    if results["left"]:
        text += (
            f" {results['left']} runs are not over; counted are the prompts and seeds that all methods have."
        )
    return f"    {called}\n\n{textwrap.fill(text, 124)}"


def _means(report: Report, results: Results, names: Sequence[str]) -> list[str]:
    metrics, summary = report.metrics(), report.summary()
    lines = [
        f"| | runs | iterations | evaluations | {' | '.join(metrics)} |",
        "|" + "---|" * (4 + len(metrics)),
    ]
    for name in names:
        own = report.of(name)
        if not own:
            lines.append(f"| {name} | 0 |" + " - |" * (2 + len(metrics)))
            continue
        used = fmean(row.evaluations or 0 for row in own)
        cells = [summary[name][m].text(METRICS[m].digits) if m in summary[name] else "-" for m in metrics]
        facts = [name, str(len(own)), str(results["iterations"][name]), f"{used:,.0f}"]
        lines.append("| " + " | ".join([*facts, *cells]) + " |")
    return [*lines, "", *(f"- {m}: {meaning(m)}" for m in metrics)]


def _differences(report: Report) -> list[str]:
    found = report.differences(BASELINE)
    if not found:
        return []
    explained = textwrap.fill(
        f"The other method less {BASELINE}, run by run of the same prompt and seed. A difference is called "
        f"one only where its interval excludes 0 and at least {FEWEST} prompts stand behind it; the "
        "intervals are not corrected for their number.",
        124,
    )
    lines = [
        f"## Against {BASELINE}",
        "",
        explained,
        "",
        "| method | number | difference | |",
        "|---|---|---|---|",
    ]
    for method, metrics in found.items():
        for name, d in metrics.items():
            text = d.text(METRICS[name].digits)
            lines.append(f"| {method} | {name} | {text} | {verdict(name, d, BASELINE)} |")
    return lines
