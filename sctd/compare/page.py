"""A comparison as one web page that holds its pictures, and as page.json."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import sctd
from sctd.analysis.curves import CONSISTENCY, curves
from sctd.analysis.plot import plot_curves
from sctd.compare.comparison import Outcome
from sctd.evaluate.report import METRICS, meaning
from sctd.files import whole_file
from sctd.run.folder import CONTACT

PAGE, DATA, CURVES = "index.html", "page.json", "curves.png"
TAIL = 0.1
"""Share of a run, at its end, whose mean consistency the table shows."""

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222 }
body { margin: 2em auto; max-width: 1500px; padding: 0 1em }
h1 { font-size: 1.5em } h2 { font-size: 1.15em; margin-top: 2em }
table { border-collapse: collapse }
th, td { padding: .3em .7em; border-bottom: 1px solid #ddd; text-align: right }
th:first-child, td:first-child, td.bad { text-align: left } thead th { border-bottom: 2px solid #888 }
.wide { overflow-x: auto } .grid { display: grid; gap: 14px }
figure { margin: 0 } img { width: 100%; height: auto }
figcaption { font-size: .9em } .bad { color: #b3261e } .note { color: #666; font-size: .9em }
"""


def write(
    out: Path,
    outcomes: Sequence[Outcome],
    scores: Mapping[str, Mapping[str, float]],
    evaluations: int | None,
) -> Path:
    """Write the curves, page.json and the page into ``out``; the page's path.

    Args:
        outcomes: seed by seed, as :func:`sctd.compare.comparison.plan` orders them.
        scores: of the finished runs, by the name of their folder.
        evaluations: the budget of every run, None where the number of iterations is equal.
    """
    finished = [outcome.run for outcome in outcomes if outcome.run is not None]
    data = page_data(outcomes, scores, evaluations)
    if finished:
        plot_curves(finished, out / CURVES, columns=min(len(finished), len(_methods(data["runs"]))))
    _write(out / DATA, json.dumps(data, indent=1) + "\n")
    _write(out / PAGE, _html(out, data, curved=bool(finished)))
    return out / PAGE


def page_data(
    outcomes: Sequence[Outcome], scores: Mapping[str, Mapping[str, float]], evaluations: int | None
) -> dict[str, Any]:
    """The content of page.json; missing numbers are null."""
    config = outcomes[0].job.config
    measured = [name for name in METRICS if any(name in own for own in scores.values())]
    return {
        "sctd": sctd.__version__,
        "prompt": config.prompt,
        "prior": str(config.prior),
        "cameras": config.cameras.batch,
        "size": config.cameras.size,
        "evaluations": evaluations,
        "metrics": {name: meaning(name) for name in measured},
        "runs": [_facts(outcome, scores.get(outcome.job.name, {})) for outcome in outcomes],
    }


def _facts(outcome: Outcome, scores: Mapping[str, float]) -> dict[str, Any]:
    job, run = outcome.job, outcome.run
    facts: dict[str, Any] = {
        "run": job.name,
        "method": job.config.method,
        "seed": job.config.seed,
        "status": "finished" if run else "failed",
        "error": outcome.error or None,
        "iterations": job.config.iterations,
        "evaluations": None,
        "seconds": None,
        "gaussians": None,
        "at_the_end": {},
        "scores": dict(scores),
    }
    if run is not None:
        facts |= {"evaluations": run.evaluations, "seconds": run.seconds, "gaussians": run.gaussians}
        for curve in curves(run):
            if curve.key in CONSISTENCY:
                tail = curve.raw[-max(1, round(TAIL * len(curve.raw))) :]
                facts["at_the_end"][curve.key] = float(tail.mean())
    return facts


def _methods(runs: Sequence[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(run["method"] for run in runs))


def _html(out: Path, data: dict[str, Any], *, curved: bool) -> str:
    runs, title = data["runs"], escape(data["prompt"])
    failed = sum(run["status"] == "failed" for run in runs)
    parts = [f"<h1>{title}</h1>", f"<p>{escape(_conditions(data))}</p>"]
    if failed:
        parts.append(f'<p class="bad">{failed} of {len(runs)} runs failed; the table says why.</p>')
    parts += ["<h2>Numbers</h2>", _table(data), "<h2>Views</h2>", _views(out, runs)]
    if curved:
        note = (
            "Thin: as logged; thick: moving mean. All panels share their axes. "
            "The residuals of two methods are different quantities: compare shapes, not heights."
        )
        parts += [
            "<h2>Consistency</h2>",
            f'<p class="note">{note}</p>',
            f'<div class="wide"><img alt="curves of every run" src="{_inlined(out / CURVES)}"></div>',
        ]
    head = f'<meta charset="utf-8"><title>{title}</title><style>{STYLE}</style>'
    body = "\n".join(parts)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _conditions(data: dict[str, Any]) -> str:
    """One paragraph about the equal conditions."""
    runs, size = data["runs"], f"{data['size']} x {data['size']}"
    if data["evaluations"]:
        length = f"about {data['evaluations']:,} network evaluations for each run"
    else:
        length = f"{runs[0]['iterations']} iterations for each run, whatever they cost"
    seeds = len({run["seed"] for run in runs})
    return (
        f"{len(_methods(runs))} method(s), {seeds} seed(s); prior {data['prior']}, "
        f"{data['cameras']} cameras of {size} pixels an iteration, {length}. "
        "Cameras and first Gaussians of a seed are the same for every method. One prompt: not a ranking."
    )


def _table(data: dict[str, Any]) -> str:
    names = list(data["metrics"])
    ends = [key for key in CONSISTENCY if any(key in run["at_the_end"] for run in data["runs"])]
    headers = ["run", "iterations", "evaluations", "seconds", "Gaussians"]
    headers += [key.replace("_", "-") for key in ends] + names
    rows = []
    for run in data["runs"]:
        name = f"<td>{escape(run['run'])}</td>"
        if run["status"] == "failed":
            rows.append(f'{name}<td class="bad" colspan="{len(headers) - 1}">{escape(run["error"])}</td>')
            continue
        cells = [_whole(run[key]) for key in ("iterations", "evaluations", "seconds", "gaussians")]
        cells += [_short(run["at_the_end"].get(key)) for key in ends]
        cells += [_short(run["scores"].get(key)) for key in names]
        rows.append(name + "".join(f"<td>{cell}</td>" for cell in cells))
    head = "".join(f"<th>{escape(header)}</th>" for header in headers)
    body = "\n".join(f"<tr>{row}</tr>" for row in rows)
    notes = ["evaluations: pictures that went through the network"]
    notes += [f"{key.replace('_', '-')}: mean norm over the last {TAIL:.0%} of the run" for key in ends]
    notes += [f"{name}: {text}" for name, text in data["metrics"].items()]
    note = "<br>".join(map(escape, notes))
    table = f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table>"
    return f'<div class="wide">{table}</div><p class="note">{note}</p>'


def _views(out: Path, runs: Sequence[dict[str, Any]]) -> str:
    figures = []
    for run in runs:
        contact = out / run["run"] / CONTACT
        if run["status"] == "failed":
            inside = '<p class="bad">failed</p>'
        elif contact.is_file():
            inside = f'<img alt="views of {escape(run["run"])}" src="{_inlined(contact)}">'
        else:
            inside = '<p class="note">no contact sheet (output.contact_views is 0)</p>'
        caption = f"{escape(run['method'])}, seed {run['seed']}"
        figures.append(f"<figure>{inside}<figcaption>{caption}</figcaption></figure>")
    columns = f"grid-template-columns: repeat({len(_methods(runs))}, minmax(0, 1fr))"
    return f'<div class="grid" style="{columns}">\n' + "\n".join(figures) + "</div>"


def _inlined(picture: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode()


def _whole(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def _write(path: Path, text: str) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
