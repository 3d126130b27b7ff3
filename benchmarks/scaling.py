"""How the CPU rasterizer's time and memory grow with Gaussians, pixels, cameras, channels and threads.

    python -m benchmarks.scaling [--json FILE] [--plot FILE.png]

One quantity at a time is varied on the common workload; times are medians of interleaved repeats, a call each
(all cameras together), forward and forward+backward; memory is the peak above the process's earlier use. The
exponent is the slope of log(time) over log(quantity), from the whole range and from its upper end.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `sctd bench raster`; before torch is loaded

import torch
import typer

from sctd.bench import memory
from sctd.bench.check import Job
from sctd.bench.machine import describe, facts
from sctd.bench.options import RasterOptions
from sctd.bench.peers import ours
from sctd.bench.timing import Plan, interleave, spread
from sctd.bench.workload import Cell, make_workload
from sctd.ops import set_num_threads


@dataclass(frozen=True)
class Point:
    """One size."""

    gaussians: int = 100_000
    pixels: int = 256
    """Edge."""
    cameras: int = 1
    channels: int = 3
    threads: int = 2


@dataclass(frozen=True)
class Sweep:
    """One quantity and its values; ``amount``: the quantity to which time could be proportional."""

    name: str
    field: str
    values: Sequence[int]
    base: Point
    amount: Callable[[int], float] = float
    memory: bool = True


THREADS = min(2, os.cpu_count() or 1)
SWEEPS = (
    Sweep("Gaussians", "gaussians", (1_000, 10_000, 100_000, 300_000, 1_000_000), Point(pixels=512)),
    Sweep(
        "pixels (edge)",
        "pixels",
        (64, 128, 256, 512, 1024, 2048),
        Point(100_000),
        lambda edge: float(edge**2),
    ),
    Sweep("cameras", "cameras", (1, 2, 4, 8), Point(10_000)),
    Sweep("channels", "channels", (1, 3, 4, 8, 16, 32), Point(10_000), memory=False),
    Sweep("threads", "threads", tuple(range(1, THREADS + 1)), Point(pixels=512), memory=False),
)
UPPER = 3
"""Values from which the exponent of the upper end is fitted."""


@dataclass(frozen=True)
class Measured:
    """Milliseconds a call, medians; MB."""

    value: int
    forward: float
    both: float
    extra_mb: float | None


def measure(point: Point, with_memory: bool, seconds: float) -> tuple[float, float, float | None]:
    """Forward and forward+backward, ms; extra memory, MB."""
    set_num_threads(point.threads)
    scene = make_workload(point.gaussians, point.pixels, point.cameras)
    g = torch.Generator().manual_seed(1)
    scene["colors"] = torch.rand(point.gaussians, point.channels, generator=g)
    scene["backgrounds"] = torch.ones(point.cameras, point.channels)
    shape = (point.cameras, point.pixels, point.pixels, point.channels)
    job = Job(ours("cpu"), scene, torch.randn(shape, generator=g))
    samples = interleave(job.calls, Plan(seconds, 30)).samples
    times = [spread(samples[name].wall_ms).p50 for name in ("forward", "forward+backward")]
    extra = None
    if with_memory:
        cell = Cell(point.gaussians, point.pixels)
        options = RasterOptions([cell], cameras=point.cameras, threads=point.threads)
        extra = memory.extra_mb("sctd", cell, options)
    return times[0], times[1], extra


def exponent(amounts: Sequence[float], times: Sequence[float]) -> float:
    """Least-squares slope of log(time) over log(amount)."""
    x, y = ([math.log(v) for v in values] for values in (amounts, times))
    mx, my = sum(x) / len(x), sum(y) / len(y)
    return sum((a - mx) * (b - my) for a, b in zip(x, y, strict=True)) / sum((a - mx) ** 2 for a in x)


def run(sweep: Sweep, seconds: float) -> list[Measured]:
    """All values of one quantity."""
    found = []
    for value in sweep.values:
        print(f"{sweep.name} {value}", file=sys.stderr)
        point = Point(**{**asdict(sweep.base), sweep.field: value})
        found.append(Measured(value, *measure(point, sweep.memory, seconds)))
    set_num_threads(THREADS)
    return found


def exponents(sweep: Sweep, rows: Sequence[Measured]) -> dict[str, tuple[float, float]]:
    """Of each measure, over the whole range and over its upper end."""
    amounts = [sweep.amount(row.value) for row in rows]
    return {
        name: tuple(  # type: ignore[misc]
            exponent(amounts[first:], [getattr(row, name) for row in rows[first:]])
            for first in (0, max(0, len(rows) - UPPER))
        )
        for name in ("forward", "both")
    }


def markdown(results: dict[str, list[Measured]]) -> list[str]:
    """A table a quantity, with its exponents below."""
    lines = []
    for sweep in SWEEPS:
        rows, b = results[sweep.name], sweep.base
        fixed = {"gaussians": b.gaussians, "pixels": b.pixels, "cameras": b.cameras, "channels": b.channels}
        others = ", ".join(f"{v} {k}" for k, v in fixed.items() if k != sweep.field)
        lines += [
            f"**{sweep.name}**, {others}:",
            "",
            f"| {sweep.name} | forward, ms | forward+backward, ms | extra MB |",
            "|---|---|---|---|",
        ]
        for row in rows:
            extra = "-" if row.extra_mb is None else f"{row.extra_mb:.1f}"
            lines.append(f"| {row.value:,} | {row.forward:.2f} | {row.both:.2f} | {extra} |")
        fitted = exponents(sweep, rows)
        texts = [
            f"{name} {whole:.2f} (upper end {upper:.2f})"
            for name, (whole, upper) in zip(("forward", "forward+backward"), fitted.values(), strict=True)
        ]
        what = "pixels, the edge squared" if sweep.field == "pixels" else sweep.name
        lines += ["", f"Exponent over {what}: {', '.join(texts)}.", ""]
    return lines


def plot(results: dict[str, list[Measured]], machine: dict[str, Any], path: Path) -> None:
    """A panel a quantity, with the line of exponent 1."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator

    figure = Figure(figsize=(13, 3.6), layout="constrained", dpi=130)
    for axis, sweep in zip(figure.subplots(1, len(SWEEPS)), SWEEPS, strict=True):
        rows = results[sweep.name]
        amounts = [sweep.amount(row.value) for row in rows]
        for name, color in (("forward", "#1b6ca8"), ("both", "#d1495b")):
            times = [getattr(row, name) for row in rows]
            axis.loglog(amounts, times, "o-", color=color, markersize=4)
            label = "forward" if name == "forward" else "+ backward"
            axis.annotate(
                label,
                (amounts[-1], times[-1]),
                (-4, 7),
                textcoords="offset points",
                color=color,
                ha="right",
                fontsize=8,
            )
            if sweep.field != "threads":
                line = [times[-1] * amount / amounts[-1] for amount in amounts]
                axis.loglog(amounts, line, ":", color=color, alpha=0.5)
        axis.set_xticks(amounts, [f"{row.value:,}" for row in rows], rotation=45, fontsize=7)
        axis.xaxis.set_minor_locator(NullLocator())
        axis.margins(y=0.15)
        axis.set_title(sweep.name, fontsize=10)
        axis.grid(alpha=0.3)
    figure.axes[0].set_ylabel("ms a call (dotted: in proportion)")
    figure.suptitle(f"{machine['cpu']}, CPU only; sctd {machine['commit']}", fontsize=10)
    figure.savefig(path)


def main(
    json_file: Annotated[Path | None, typer.Option("--json", help="File for the figures.")] = None,
    picture: Annotated[Path | None, typer.Option("--plot", help="Picture to write, .png.")] = None,
    seconds: Annotated[float, typer.Option(min=0.01, help="Budget for each value.")] = 6.0,
) -> None:
    """Measure and print."""
    machine: dict[str, Any] = facts(THREADS)
    results = {sweep.name: run(sweep, seconds) for sweep in SWEEPS}
    print("\n".join(markdown(results)))
    print(describe(machine))
    if json_file is not None:
        rows = {name: [asdict(row) for row in found] for name, found in results.items()}
        json_file.write_text(json.dumps({"machine": machine, "results": rows}, indent=1) + "\n")
    if picture is not None:
        plot(results, machine, picture)


if __name__ == "__main__":
    typer.run(main)
