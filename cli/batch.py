"""``sctd batch``: many prompts with one prior, several assets at a time; resumable."""

from __future__ import annotations

import json as json_format
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sctd.errors import InputError, SctdError
from sctd.extras import need_ray
from sctd.run.places import check_writable

from . import inputs
from .failures import FAILED, Interrupted
from .options import Card, ConfigFile, Device, MethodName, Overrides, Preset, PriorName, Seed, Steps
from .progress import reporter, say

if TYPE_CHECKING:
    from sctd.batch.entry import Entry, Outcome
    from sctd.batch.store import Store
    from sctd.run.report import Reporter


def batch(
    prompts: Annotated[
        str | None,
        typer.Argument(
            help="A .txt with a prompt a line, a .jsonl, or a .csv with a header; a file or a URL."
        ),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(metavar="FOLDER|URL", help="Place of a new batch; nothing may be there yet."),
    ] = None,
    resume: Annotated[
        str | None, typer.Option(metavar="FOLDER|URL", help="Go on with the batch in this place.")
    ] = None,
    status: Annotated[
        str | None, typer.Option(metavar="FOLDER|URL", help="Say how the batch in this place goes, and stop.")
    ] = None,
    scratch: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="With a URL: assets are made here.  [default: the user's cache]"),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="With --status: as JSON.")] = False,
    assets_in_flight: Annotated[
        str, typer.Option(metavar="auto|N", help="Assets made at a time; auto: as fit into memory, up to 8.")
    ] = "auto",
    cluster: Annotated[
        str | None,
        typer.Option(
            metavar="auto|local|ADDRESS",
            help="Use a Ray cluster: local is this machine alone, auto the one that runs here, if any.",
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="With --cluster.  [default: one a GPU, else one a machine]")
    ] = None,
    cpus_per_worker: Annotated[
        int | None, typer.Option(min=1, help="With --cluster: CPU cores of a worker.  [default: all shared]")
    ] = None,
    retries: Annotated[
        int, typer.Option(min=0, help="How often an asset is tried again after it failed.")
    ] = 1,
    seed: Seed = None,
    steps: Steps = None,
    preset: Preset = None,
    card: Card = None,
    config: ConfigFile = None,
    set_: Overrides = None,
    prior: PriorName = None,
    method: MethodName = None,
    device: Device = None,
) -> None:
    """Make an asset of every prompt in a list; prints the path of each asset.ply once it is done."""
    if sum(given is not None for given in (prompts, resume, status)) != 1:
        raise InputError("give one of: a list of prompts with --out, --resume FOLDER, --status FOLDER")
    if json and status is None:
        raise InputError("--json goes with --status")
    if cluster is None and (workers or cpus_per_worker):
        raise InputError("--workers and --cpus-per-worker go with --cluster auto, local or ADDRESS")
    if cluster is not None:
        need_ray("sctd batch --cluster")
    if status is not None:
        _show(status, scratch, as_json=json)
        return
    from sctd.batch.store import store_at

    options: dict[str, Any] = {"seed": seed, "iterations": steps, "method": method, "device": device}
    options["prior"] = inputs.prior_options(prior)
    in_flight = _in_flight(assets_in_flight)
    if prompts is not None:
        if out is None:
            raise InputError("--out is missing; for example: sctd batch prompts.txt --out runs/night")
        store = store_at(out, scratch)
        _begin(store, _entries(prompts, options, preset, card, config, set_ or []))
    else:
        assert resume is not None
        given = {**options, "out": out, "preset": preset, "card": card, "config": config, "set": set_}
        idle = [key.replace("iterations", "steps") for key, value in given.items() if value is not None]
        if idle:
            text = ", ".join(f"--{key}" for key in idle)
            raise InputError(f"leave out {text} with --resume: every asset keeps the settings it has")
        store = store_at(resume, scratch)
    _carry_on(store, Crew(in_flight, retries, cluster, workers, cpus_per_worker))


def _show(place: str, scratch: Path | None, *, as_json: bool) -> None:
    from sctd.batch.status import status
    from sctd.batch.store import store_at

    found = status(store_at(place, scratch))
    typer.echo(json_format.dumps(found.as_dict(), indent=2) if as_json else "\n".join(found.lines()))


def _in_flight(text: str) -> int | None:
    if text == "auto":
        return None
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 1024):
        raise InputError(f"--assets-in-flight must be auto or a number in 1..1024; got {text!r}")
    return int(text)


def _entries(
    prompts: str,
    options: dict[str, Any],
    preset: str | None,
    card: str | None,
    config: Path | None,
    overrides: list[str],
) -> list[Entry]:
    """The checked assets of a list; reports each wrong line."""
    from sctd.batch.prompts import BadLines, Defaults, read_prompts

    if preset is None and config is None:
        preset = inputs.default_preset(options, overrides, card)
    try:
        return read_prompts(prompts, Defaults(preset, config, overrides, card, options))
    except BadLines as exc:
        for problem in exc.problems:
            say(problem)
        raise


def _begin(store: Store, entries: list[Entry]) -> None:
    check_writable(store.folder)
    store.create(entries)


@dataclass(frozen=True)
class Crew:
    """The options about workers, as given."""

    in_flight: int | None
    retries: int
    cluster: str | None
    workers: int | None
    cpus: int | None

    def carry_on(self, store: Store, report: Reporter) -> Iterator[tuple[Outcome, str]]:
        """Run the batch, here or on a cluster."""
        if self.cluster is None:
            from sctd.batch.run import carry_on

            return carry_on(store, report, in_flight=self.in_flight, retries=self.retries)
        from sctd.batch import cluster

        return cluster.carry_on(
            store,
            report,
            address=self.cluster,
            in_flight=self.in_flight,
            retries=self.retries,
            workers=self.workers,
            cpus=self.cpus,
        )


def _carry_on(store: Store, crew: Crew) -> None:
    """Run the batch and print the paths."""
    from sctd.batch.status import status
    from sctd.run.folder import ASSET, ASSET_MESH, MESH

    if not store.exists():
        status(store)  # says so
    report = reporter()
    try:
        for outcome, state in crew.carry_on(store, report):
            if state == "done":
                made = [name for name in (ASSET, ASSET_MESH, MESH) if name in outcome.checksums]
                for name in made:
                    typer.echo(store.address(outcome.name, name))
    except KeyboardInterrupt as exc:
        raise Interrupted(f"interrupted; continue with sctd batch --resume {store}") from exc
    finally:
        report.finish()
    found = status(store)
    if found.counts["queued"]:
        say(f"stopped, with a checkpoint of each asset; continue with sctd batch --resume {store}")
        raise typer.Exit(FAILED)
    for name, reason in found.failures.items():
        say(f"failed: {name}: {reason}")
    if found.failures:
        count = sum(found.counts.values())
        raise SctdError(f"{len(found.failures)} of {count} assets failed, the reasons are above")
