"""All distillation methods on the suite of the embedded world, under one budget of network evaluations.

    python -m benchmarks.methods --out runs/methods --page docs/methods.md

Each run has the same prior, cameras and first Gaussians as the others of its prompt and seed. All are made as
one batch (docs/batch.md), whose neighbours do not change a bit of an asset; repeat an interrupted command to
continue it; failed runs are reported. Writes results.json, a picture and, with --page, the page.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.pages import Results, pictures_of, save
from benchmarks.pages.methods import BASELINE, markdown, picture
from sctd import methods, suites
from sctd.batch.entry import Entry
from sctd.batch.folder import create
from sctd.batch.manifest import MANIFEST, Manifest
from sctd.batch.run import carry_on
from sctd.batch.store import Folder
from sctd.compare.comparison import run_lengths
from sctd.config import Config, load_config
from sctd.errors import InputError
from sctd.evaluate.report import Judges, Report, Row, score_run
from sctd.names import slug
from sctd.run.folder import ASSET
from sctd.run.read_back import read_run
from sctd.run.report import Silent

BUDGET = 6700  # evaluations of SCTD's 350 iterations in the preset


def run_name(text: str, name: str, seed: int) -> str:
    """The name of a run's folder."""
    return f"{slug(text)}-{name}-seed{seed}"


def as_published(names: Sequence[str]) -> list[str]:
    """Overrides that undo the preset's tuning: each baseline with its authors' settings."""
    sections = {name: getattr(load_config("sd21", prompt="x"), name) for name in names if name != BASELINE}
    return [
        f"{name}.{key}={json.dumps(value)}"
        for name, section in sections.items()
        for key, value in section.model_dump(mode="json").items()
    ]


def plan(
    base: Config, names: Sequence[str], texts: Sequence[str], seeds: int, lengths: Mapping[str, int]
) -> list[Entry]:
    """The runs, seed by seed, so that a benchmark that is stopped has whole seeds."""
    entries = []
    for seed in range(seeds):
        for text in texts:
            for name in names:
                update = {"prompt": text, "method": name, "seed": seed, "iterations": lengths[name]}
                config = base.with_changes(**update)
                entries.append(Entry(run_name(text, name, seed), config))
    return entries


def make(entries: Sequence[Entry], out: Path, in_flight: int) -> None:
    """Make all runs as one batch, which continues where it stopped and retries failed runs.

    Raises:
        InputError: the folder holds other runs, or cannot be written.
    """
    if not (out / MANIFEST).is_file():
        create(out, entries)
    with closing(Manifest(out)) as manifest:
        if manifest.entries() != entries:
            raise InputError(f"{out} holds other runs; give the options it was made with, or another --out")
    for number, (outcome, state) in enumerate(
        carry_on(Folder(out), Silent(), in_flight=in_flight, retries=1), 1
    ):
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
        fixed = ("evaluations", "settings", "published")
        same = all(results["command"].get(key, False) == command[key] for key in fixed)
        rows, commits = [Row(**row) for row in results["runs"]], list(results["commits"])
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise InputError(f"{path} is no results.json of this benchmark ({exc})") from exc
    if not same:
        raise InputError(f"{path} is of other --evaluations, --published or --set; give the same ones")
    return rows, commits


def missing(entries: Sequence[Entry], earlier: Sequence[Row], out: Path) -> list[Entry]:
    """Entries that the earlier rows lack, and all of the folder's batch, even if the rows have them."""
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


def main(
    out: Annotated[Path, typer.Option(help="Folder of the runs and results.json.")] = Path("runs/methods"),
    names: Annotated[
        str | None, typer.Option("--methods", help="Separated by commas.  [default: all]")
    ] = None,
    prompts: Annotated[int, typer.Option(min=1, help="The first so many prompts of the suite.")] = 24,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of each prompt.")] = 3,
    evaluations: Annotated[int, typer.Option(min=1, help="Network evaluations of every run.")] = BUDGET,
    in_flight: Annotated[int, typer.Option(min=1, help="Runs made at a time, whose calls are joined.")] = 8,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key=value of all runs, as of sctd generate.")
    ] = None,
    published: Annotated[
        bool, typer.Option("--published", help="The baselines' published settings, not the preset's.")
    ] = False,
    add: Annotated[
        Path | None, typer.Option(help="results.json of such a command; what it has is not made again.")
    ] = None,
    page: Annotated[Path | None, typer.Option(help="Markdown page to write, with its pictures.")] = None,
) -> None:
    """Run, score, compare, and write the results."""
    chosen = list(methods.BUILT) if names is None else [name.strip() for name in names.split(",")]
    texts = suites.prompts("embedded")[:prompts]
    overrides = ["output.turntable_frames=0", *(as_published(chosen) if published else []), *(settings or [])]
    command = {"prompts": texts, "seeds": seeds, "evaluations": evaluations, "settings": settings or []}
    command["published"] = published
    try:
        earlier, commits = known(add, command)
        base = load_config("embedded", None, overrides, prompt=texts[0])
        lengths = run_lengths(base, chosen, evaluations)
        entries = missing(plan(base, chosen, texts, seeds, lengths), earlier, out)
        if entries:
            make(entries, out, in_flight)
    except InputError as exc:
        raise typer.BadParameter(str(exc)) from exc
    rows, failed, left = score(out) if entries else ([], {}, 0)
    own = {row.folder for row in rows}
    earlier = [row for row in earlier if run_name(row.prompt, row.method, row.seed) not in own]
    report = Report(compared([*earlier, *rows], chosen, failed))
    machine = told_machine()
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
        assets = {name: [out / run_name(text, name, 0) / ASSET for text in texts] for name in chosen}
        picture(texts, assets, out / "methods.png")
    print(report.text() if report.rows else "no run is done")
    if page is not None:
        save(page, results, partial(markdown, stem=page.stem))
        if (out / "methods.png").is_file():
            shutil.copy(out / "methods.png", pictures_of(page) / f"{page.stem}.png")
    end(failed, left, out)


def end(failed: Mapping[str, str], left: int, out: Path) -> None:
    """Say what a batch lacks, and exit with 1 if it lacks something."""
    if failed or left:
        print(f"{len(failed)} runs failed, {left} are not over, see {out}", file=sys.stderr)
        raise typer.Exit(1)


def _numbers(report: Report) -> Results:
    differences = report.differences(BASELINE)
    paired = {name: {key: asdict(found) for key, found in d.items()} for name, d in differences.items()}
    return {**report.as_json(), "difference": paired}


def told_machine() -> dict[str, Any]:
    """What a page says of the machine, and the commit of the code."""
    from sctd.bench.machine import facts

    told = facts(1)
    return {
        key: told[key] for key in ("cpu", "usable_cores", "torch", "python", "sctd", "commit") if key in told
    }


if __name__ == "__main__":
    typer.run(main)
