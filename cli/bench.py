"""``sctd bench``: measure rasterizer, ops, a step or runs on this machine; compare two reports."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sctd.errors import InputError
from sctd.run.claims import made_folder
from sctd.run.places import check_writable

from .groups import group
from .progress import say

if TYPE_CHECKING:
    from sctd.bench.report import Row
    from sctd.bench.timing import Plan

app = group("Measure raster, triangles, ops, step, generate or batch; compare two reports.")

CELLS = "1k@128,10k@256,10k@512,100k@128,100k@512"
TRIANGLE_CELLS = ",".join(f"{faces}@{size}" for faces in ("1k", "20k", "200k") for size in (128, 512, 1024))

Json = Annotated[Path | None, typer.Option("--json", help="File for the report, with every repeat.")]
Plot = Annotated[Path | None, typer.Option("--plot", help="Picture to write, .png; needs matplotlib.")]
Threads = Annotated[
    int | None,
    typer.Option(min=1, max=1024, help="Threads of torch and the native core.  [default: all cores]"),
]
Repeats = Annotated[int, typer.Option(min=3, max=100_000, help="Turns of each contender, at most.")]
Cache = Annotated[str, typer.Option(help="warm, or cold: 256 MiB are overwritten before each repeat.")]
Prompt = Annotated[str, typer.Option(help="What the run makes.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="One setting of the run; may be repeated."),
]


@app.command()
def raster(
    backend: Annotated[
        str, typer.Option(help="sctd's: cpu, reference, or cuda-simt, cuda-ptx (counts, no times).")
    ] = "cpu",
    against: Annotated[
        str, typer.Option(help="Peers, separated by commas: gsplat, reference.  [default: none]")
    ] = "",
    cells: Annotated[str, typer.Option(help="Sizes: Gaussians @ edge of the picture, pixels.")] = CELLS,
    cameras: Annotated[int, typer.Option(min=1, max=256, help="Pictures of each scene.")] = 4,
    threads: Threads = None,
    seconds: Annotated[float, typer.Option(min=0.01, help="Budget of timing for each cell.")] = 20.0,
    repeats: Repeats = 30,
    cache: Cache = "warm",
    memory: Annotated[bool, typer.Option(help="Measure extra memory, in processes of their own.")] = True,
    json: Json = None,
    plot: Plot = None,
) -> None:
    """Rasterizer: checked against float64, then timed in turn with its peers, beside the machine's limits."""

    def measure(say: Callable[[str], None]) -> list[Row]:
        from sctd.bench import raster as suite
        from sctd.bench.options import RasterOptions
        from sctd.bench.workload import parse_cells

        options = RasterOptions(
            cells=parse_cells(cells),
            backend=backend,
            against=_split(against),
            cameras=cameras,
            threads=threads,
            plan=_plan(seconds, repeats, cache),
            memory=memory,
        )
        return suite.run(options, say)

    _quiet_torch()
    _report(measure, json, plot)


@app.command()
def triangles(
    against: Annotated[str, typer.Option(help="Peers, separated by commas: deodr.  [default: none]")] = "",
    cells: Annotated[str, typer.Option(help="Sizes: faces @ edge of the picture, pixels.")] = TRIANGLE_CELLS,
    threads: Threads = None,
    seconds: Annotated[float, typer.Option(min=0.01, help="Budget of timing for each cell.")] = 10.0,
    repeats: Repeats = 30,
    cache: Cache = "warm",
    json: Json = None,
    plot: Plot = None,
) -> None:
    """Triangle rasterizer: checked against float64, then timed in turn with its peers."""

    def measure(say: Callable[[str], None]) -> list[Row]:
        from sctd.bench import triangles as suite
        from sctd.bench.workload import parse_cells

        plan = _plan(seconds, repeats, cache)
        options = suite.TriangleOptions(parse_cells(cells), _split(against), threads, plan)
        return suite.run(options, say)

    _quiet_torch()
    _report(measure, json, plot)


@app.command()
def ops(
    backend: Annotated[str, typer.Option(help="sctd's: cpu or reference.")] = "cpu",
    only: Annotated[str, typer.Option(help="Ops, separated by commas.  [default: all]")] = "",
    shapes: Annotated[
        str, typer.Option(help="Of 4x4x16x16, 4x4x64x64 and 16M elements.  [default: all]")
    ] = "",
    threads: Threads = None,
    seconds: Annotated[float, typer.Option(min=0.01, help="Budget of timing for each op and shape.")] = 2.0,
    repeats: Repeats = 30,
    cache: Cache = "warm",
    json: Json = None,
    plot: Plot = None,
) -> None:
    """Fused diffusion ops and Adam: checked, then timed in turn with plain torch, beside the bandwidth."""

    def measure(say: Callable[[str], None]) -> list[Row]:
        from sctd.bench import ops as suite

        names, sizes = _split(only) or tuple(suite.OPS), _split(shapes) or tuple(suite.SHAPES)
        return suite.run(suite.Options(backend, names, sizes, threads, _plan(seconds, repeats, cache)), say)

    _quiet_torch()
    _report(measure, json, plot)


@app.command()
def step(
    prompt: Prompt = "a red mushroom",
    steps: Annotated[int, typer.Option(min=1, max=100_000, help="Steps to measure.")] = 40,
    warmup: Annotated[int, typer.Option(min=0, max=100_000, help="Steps before them.")] = 10,
    set_: Set = None,
    threads: Threads = None,
    json: Json = None,
    plot: Plot = None,
) -> None:
    """One training step of the embedded prior, stage by stage; networks and VAE against everything else."""
    _measure_runs("step", prompt, set_, json, plot, steps=steps, warmup=warmup, threads=threads)


@app.command()
def generate(
    prompt: Prompt = "a red mushroom",
    steps: Annotated[int, typer.Option(min=1, max=100_000, help="Optimisation steps of a run.")] = 50,
    repeats: Annotated[int, typer.Option(min=1, max=1000, help="Runs.")] = 1,
    set_: Set = None,
    threads: Threads = None,
    json: Json = None,
    plot: Plot = None,
) -> None:
    """A whole short run in a temporary folder: seconds, iterations a second, peak memory."""
    _measure_runs("generate", prompt, set_, json, plot, steps=steps, repeats=repeats, threads=threads)


@app.command()
def batch(
    prompt: Prompt = "a red mushroom",
    steps: Annotated[int, typer.Option(min=1, max=100_000, help="Optimisation steps of a run.")] = 50,
    repeats: Annotated[int, typer.Option(min=1, max=1000, help="Rounds for each number.")] = 1,
    processes: Annotated[str, typer.Option(help="Runs side by side, numbers separated by commas.")] = "1,2",
    set_: Set = None,
    json: Json = None,
    plot: Plot = None,
) -> None:
    """Assets an hour: whole runs one after another, and several side by side that share the cores."""
    numbers = [int(part) if part.isdigit() else 0 for part in _split(processes)]
    _measure_runs("batch", prompt, set_, json, plot, steps=steps, repeats=repeats, processes=numbers)


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(help="Report to compare with, from --json.")],
    second: Annotated[Path, typer.Argument(help="Report that may be faster or slower.")],
) -> None:
    """Compare two reports cell by cell, and tell real differences from noise."""
    from sctd.bench import compare as comparison
    from sctd.bench.report import load

    table, remarks = comparison.compare(load(first), load(second))
    for remark in remarks:
        say(remark)
    typer.echo(table.text(terminal=sys.stdout.isatty()))


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _plan(seconds: float, repeats: int, cache: str) -> Plan:
    from sctd.bench.timing import Plan

    if cache not in ("warm", "cold"):
        raise InputError(f"--cache must be warm or cold; got {cache!r}")
    return Plan(seconds, repeats, cache)


def _measure_runs(
    name: str, prompt: str, overrides: list[str] | None, json: Path | None, plot: Path | None, **options: Any
) -> None:
    """Run ``sctd.bench.NAME``, one of those that make steps or runs of the embedded prior."""

    def measure(say: Callable[[str], None]) -> list[Row]:
        suite = import_module(f"sctd.bench.{name}")
        rows: list[Row] = suite.run(suite.Options(prompt=prompt, overrides=overrides or (), **options), say)
        return rows

    _check_prompt(prompt)
    _report(measure, json, plot)


def _check_prompt(prompt: str) -> None:
    from sctd.config.prior import PriorSettings
    from sctd.preflight import check_prompt

    check_prompt(prompt, PriorSettings())


def _quiet_torch() -> None:
    """Torch's idle threads sleep instead of spinning, before torch is loaded.

    Otherwise the spinning of one contender's threads adds to the time of the next, and beside another busy
    process torch takes up to fifty times as long. Every row records this as part of the environment.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _report(
    measure: Callable[[Callable[[str], None]], Sequence[Any]], json: Path | None, plot: Path | None
) -> None:
    """Measure, then print, save and draw the rows."""
    for path in (json, plot):
        if path is not None:
            if path.is_dir():
                raise InputError(f"{path} is a folder; give the name of a file")
            check_writable(path.parent, needed=1 << 20)
    if plot is not None:
        from sctd.bench.plot import check_plot

        check_plot(plot)
    from sctd.bench import report, table

    rows = measure(say)
    if json is not None:
        with made_folder(json.parent):
            report.save(rows, json)
        say(f"report: {json}")
    typer.echo(table.text(rows, terminal=sys.stdout.isatty()))
    report.refuse_wrong(rows)
    if plot is not None:
        from sctd.bench.plot import plot as draw

        with made_folder(plot.parent):
            draw(rows, plot)
        say(f"plot: {plot}")
