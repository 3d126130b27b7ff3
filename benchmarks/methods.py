"""All distillation methods on the suite of the embedded world, under one budget of network evaluations.

    python benchmarks/methods.py --out runs/methods --page docs/methods.md

Each run has the same prior, cameras and first Gaussians as the others of its prompt and seed. All are made as
one batch (docs/batch.md), whose neighbours do not change a bit of an asset; the same command goes on where it
stopped, and a failed run is reported. Writes results.json, a picture and, with --page, the page.
"""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import typer

from sctd import methods, suites
from sctd.analysis.comparison import run_lengths
from sctd.analysis.runs import read_run
from sctd.batch.entry import Entry
from sctd.batch.folder import create
from sctd.batch.manifest import MANIFEST, Manifest
from sctd.batch.run import carry_on
from sctd.batch.store import Folder
from sctd.config import Config, load_config
from sctd.errors import InputError
from sctd.evaluate.intervals import FEWEST
from sctd.evaluate.report import METRICS, Judges, Report, Row, meaning, score_run, verdict
from sctd.names import slug
from sctd.pipeline import ASSET, Silent

BASELINE = "sctd"
BUDGET = 6700  # what SCTD's 350 iterations of the preset take
VIEWS = 4
Results = dict[str, Any]


def run_name(text: str, name: str, seed: int) -> str:
    """The name of a run's folder."""
    return f"{slug(text)}-{name}-seed{seed}"


def plan(
    base: Config, names: Sequence[str], texts: Sequence[str], seeds: int, lengths: Mapping[str, int]
) -> list[Entry]:
    """The runs, seed by seed, so that a benchmark that is stopped has whole seeds."""
    entries = []
    for seed in range(seeds):
        for text in texts:
            for name in names:
                update = {"prompt": text, "method": name, "seed": seed, "iterations": lengths[name]}
                config = Config.model_validate({**base.model_dump(), **update})
                entries.append(Entry(run_name(text, name, seed), config))
    return entries


def make(entries: Sequence[Entry], out: Path, seats: int) -> None:
    """All runs as one batch, which goes on where it stopped; failed ones get another chance.

    Raises:
        InputError: the folder holds other runs, or cannot be written.
    """
    if not (out / MANIFEST).is_file():
        create(out, entries)
    with closing(Manifest(out)) as manifest:
        if manifest.entries() != entries:
            raise InputError(f"{out} holds other runs; give the options it was made with, or another --out")
    for number, (outcome, state) in enumerate(carry_on(Folder(out), Silent(), seats=seats, retries=1), 1):
        print(f"{number} {outcome.name}: {state} {outcome.error}".rstrip(), flush=True)


def known(path: Path | None, command: dict[str, Any]) -> tuple[list[Row], list[str]]:
    """The rows of an earlier results.json, and the commits that made them.

    Raises:
        InputError: it cannot be read, or its runs had other settings.
    """
    if path is None:
        return [], []
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        same = all(results["command"][key] == command[key] for key in ("evaluations", "settings"))
        rows, commits = [Row(**row) for row in results["runs"]], list(results["commits"])
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise InputError(f"{path} is no results.json of this benchmark ({exc})") from exc
    if not same:
        raise InputError(f"{path} is of other --evaluations or --set; give the same ones")
    return rows, commits


def missing(entries: Sequence[Entry], earlier: Sequence[Row], out: Path) -> list[Entry]:
    """What the earlier rows do not have, and all that the folder was made for, whoever else has it by now."""
    there = {run_name(row.prompt, row.method, row.seed) for row in earlier}
    if (out / MANIFEST).is_file():
        with closing(Manifest(out)) as manifest:
            there -= {asset.name for asset in manifest.assets()}
    return [entry for entry in entries if entry.name not in there]


def score(out: Path) -> tuple[list[Row], dict[str, str], int]:
    """A row for each run that is done, the errors of those that failed, and how many are not over."""
    with closing(Manifest(out)) as manifest:
        assets = manifest.assets()
    judges = Judges()
    done = [asset.name for asset in assets if asset.state == "done"]
    rows = [replace(score_run(read_run(out / name), judges), folder=name) for name in done]
    failed = {asset.name: asset.error for asset in assets if asset.state == "failed"}
    return rows, failed, len(assets) - len(rows) - len(failed)


def compared(rows: Sequence[Row], names: Sequence[str], failed: Mapping[str, str]) -> list[Row]:
    """Without the prompts and seeds that a method has not come to yet, so that all are judged on the same."""
    there = {(row.method, row.key) for row in rows}

    def is_over(name: str, key: tuple[str, int]) -> bool:
        return (name, key) in there or run_name(key[0], name, key[1]) in failed

    return [row for row in rows if row.method in names and all(is_over(name, row.key) for name in names)]


def picture(prompts: Sequence[str], names: Sequence[str], out: Path, path: Path) -> None:
    """A row a prompt: VIEWS views of the truth, then of each method's first asset; white where it failed."""
    import torch

    from sctd.embedded.sample import save_grid
    from sctd.embedded.truth import asset_views, truth_views
    from sctd.embedded.world import check_prompt
    from sctd.export.ply import load_ply

    tiles = []
    for prompt in prompts:
        truth = truth_views(check_prompt(prompt), VIEWS)[0]
        tiles += [*truth, torch.ones_like(truth[0, :, :, :8]).repeat(1, 1, 8)]
        for name in names:
            asset = out / run_name(prompt, name, 0) / ASSET
            made = asset.is_file()
            tiles += list(asset_views(load_ply(asset), VIEWS)[0] if made else torch.ones_like(truth))
    save_grid(torch.stack(tiles), path, 1 + VIEWS * (1 + len(names)))


def main(
    out: Annotated[Path, typer.Option(help="Folder of the runs and results.json.")] = Path("runs/methods"),
    names: Annotated[
        str | None, typer.Option("--methods", help="Separated by commas.  [default: all]")
    ] = None,
    prompts: Annotated[int, typer.Option(min=1, help="The first so many prompts of the suite.")] = 24,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of each prompt.")] = 3,
    evaluations: Annotated[int, typer.Option(min=1, help="Network evaluations of every run.")] = BUDGET,
    seats: Annotated[int, typer.Option(min=1, help="Runs made at a time, whose calls are joined.")] = 8,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key=value of all runs, as of sctd generate.")
    ] = None,
    add: Annotated[
        Path | None, typer.Option(help="results.json of such a command; what it has is not made again.")
    ] = None,
    page: Annotated[Path | None, typer.Option(help="Markdown page to write, with its pictures.")] = None,
) -> None:
    """Run, score, compare, and write down what came out, whoever wins."""
    chosen = list(methods.BUILT) if names is None else [name.strip() for name in names.split(",")]
    texts = suites.prompts("embedded")[:prompts]
    overrides = ["output.turntable_frames=0", *(settings or [])]
    command = {"prompts": texts, "seeds": seeds, "evaluations": evaluations, "settings": settings or []}
    try:
        earlier, commits = known(add, command)
        base = load_config("embedded", None, overrides, prompt=texts[0])
        lengths = run_lengths(base, chosen, evaluations)
        entries = missing(plan(base, chosen, texts, seeds, lengths), earlier, out)
        if entries:
            make(entries, out, seats)
    except InputError as exc:
        raise typer.BadParameter(str(exc)) from exc
    rows, failed, left = score(out) if entries else ([], {}, 0)
    own = {row.folder for row in rows}
    earlier = [row for row in earlier if run_name(row.prompt, row.method, row.seed) not in own]
    report = Report(compared([*earlier, *rows], chosen, failed))
    machine = _machine()
    here = machine.pop("commit")
    results = {
        "command": command,
        "iterations": lengths,
        **_numbers(report),
        "failed": failed,
        "left": left,
        "commits": list(dict.fromkeys([*commits, *([here] if rows else [])])),
        "machine": machine,
    }
    out.mkdir(parents=True, exist_ok=True)  # with nothing to make there is none yet
    (out / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    if not earlier:  # those have no assets here
        picture(texts, chosen, out, out / "methods.png")
    print(report.text() if report.rows else "no run is done")
    if page is not None:
        write_page(page, out, results, report, chosen)
    if failed or left:
        print(f"{len(failed)} runs failed, {left} are not over, see {out}", file=sys.stderr)
        raise typer.Exit(1)


def _numbers(report: Report) -> Results:
    differences = report.differences(BASELINE)
    paired = {name: {key: asdict(found) for key, found in d.items()} for name, d in differences.items()}
    return {**report.as_json(), "difference": paired}


def _machine() -> dict[str, Any]:
    from sctd.bench.machine import facts

    told = facts(1)
    return {
        key: told[key] for key in ("cpu", "usable_cores", "torch", "python", "sctd", "commit") if key in told
    }


def write_page(page: Path, out: Path, results: Results, report: Report, names: Sequence[str]) -> None:
    """The results as Markdown, with the picture and the numbers copied beside it."""
    pictures = page.parent / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    shutil.copy(out / "results.json", page.with_suffix(".json"))
    if (out / "methods.png").is_file():
        shutil.copy(out / "methods.png", pictures / f"{page.stem}.png")
    lines = [
        "# The methods compared",
        "",
        _conditions(page, results),
        "",
        *_means(report, results, names),
        "",
        *_differences(report),
        "",
        f"Left to right: the truth, then {', '.join(names)}; four views each, seed 0, a row a prompt.",
        "",
        f"![every method's assets](pictures/{page.stem}.png)",
        "",
    ]
    if results["failed"]:
        lines += ["Failed runs, which no mean above contains:", ""]
        lines += [f"- {name}: {error}" for name, error in results["failed"].items()] + [""]
    page.write_text("\n".join(lines), encoding="utf-8")


def _conditions(page: Path, results: Results) -> str:
    """One paragraph: what was run, where, and what was equal."""
    command, machine = results["command"], results["machine"]
    called = (
        f"python benchmarks/methods.py --methods {','.join(results['iterations'])} "
        f"--prompts {len(command['prompts'])} --seeds {command['seeds']} "
        f"--evaluations {command['evaluations']} --page docs/{page.name}"
    )
    called += "".join(f" --set {setting}" for setting in command["settings"])
    text = (
        f"{len(command['prompts'])} prompts of the suite `embedded`, {command['seeds']} seed(s), about "
        f"{command['evaluations']:,} network evaluations for every run. Prior, cameras, first Gaussians and "
        "optimiser are the same; each method has the settings of its own section. "
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


if __name__ == "__main__":
    typer.run(main)
