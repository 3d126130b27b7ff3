"""One report as a picture: matplotlib, from the optional extra ``bench``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sctd.bench.report import Row, device_class
from sctd.bench.stages import STAGES
from sctd.bench.step import PRIOR, REST
from sctd.bench.table import number, percent
from sctd.bench.timing import spread
from sctd.errors import InputError
from sctd.extras import need_matplotlib
from sctd.files import whole_file

COLORS = ("#1b6ca8", "#d1495b", "#66a182", "#edae49")
"""Colours by contender, distinguishable in grey too."""


def check_plot(path: Path) -> None:
    """Check before the measurement that a plot can be written.

    Raises:
        InputError: matplotlib is missing, or the name does not end in .png.
    """
    if path.suffix.lower() != ".png":
        raise InputError(f"--plot writes a picture and must end in .png; got {str(path)!r}")
    need_matplotlib("--plot")


def plot(rows: Sequence[Row], path: Path) -> None:
    """Draw a report of one suite.

    Raises:
        InputError: rows of several device classes, or none with a time.
    """
    kind = device_class(rows)
    timed = [row for row in rows if row.wall_ms]
    if not timed:
        raise InputError(
            "there is no time to plot: emulated kernels have counts only, wrong ones none at all"
        )
    from matplotlib.figure import Figure  # no pyplot: it looks for a display

    figure = Figure(figsize=(11, 5.2), layout="constrained", dpi=130)
    DRAWN[timed[0].suite](figure, timed)
    machine = timed[0].machine
    figure.suptitle(
        f"{machine['cpu']}, threads: {machine['native_threads']}, {machine['isa']}, {kind.upper()} only; "
        f"sctd {machine['commit']}, {machine['date'][:10]}",
        fontsize=10,
    )
    with whole_file(path) as temporary:
        figure.savefig(temporary)


def _names(values: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(values))


def _label(axis: Any, text: str, at: tuple[float, float], shift: tuple[float, float], **look: Any) -> None:
    """Text beside a point; ``shift`` in typographic points."""
    look = {"fontsize": 8, **look}
    axis.annotate(text, at, shift, textcoords="offset points", **look)


def _raster(figure: Any, rows: Sequence[Row]) -> None:
    """Milliseconds an image over the cells, a panel a measure, a line a rasterizer, named at its end."""
    measures, cells = _names([r.measure for r in rows]), _names([r.cell for r in rows])
    providers = _names([r.provider for r in rows])
    axes = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
    for axis, measure in zip(axes, measures, strict=True):
        axis.set_yscale("log")
        axis.margins(y=0.12)
        for provider, color in zip(providers, COLORS, strict=False):
            own = [r for r in rows if (r.measure, r.provider) == (measure, provider)]
            if not own:
                continue
            spreads = [spread(r.wall_ms) for r in own]
            xs, ys = [cells.index(r.cell) for r in own], [s.p50 for s in spreads]
            reach = [[s.p50 - s.p20 for s in spreads], [s.p80 - s.p50 for s in spreads]]
            axis.errorbar(xs, ys, yerr=reach, color=color, marker="o", markersize=4, capsize=3, linewidth=1.2)
            for x, s in zip(xs, spreads, strict=True):
                _label(axis, number(s.p50, 2), (x, s.p80), (0, 5), ha="center", color=color)
            name = f"{provider} {own[-1].version}"
            _label(axis, name, (xs[-1], ys[-1]), (9, -3), color=color, fontsize=9)
        turned = {"rotation": 35, "ha": "right"} if len(cells) > 6 else {}
        axis.set_xticks(range(len(cells)), cells, **turned)
        axis.set_xlim(-0.4, 1.18 * len(cells) - 0.8)  # room for the names
        axis.set_xlabel("Gaussians @ edge of the picture, pixels")
        axis.set_title(measure, fontsize=10)
        axis.grid(axis="y", which="major", alpha=0.3)
    axes[0].set_ylabel("wall time, ms an image (median, bars p20 to p80)")


def _ops(figure: Any, rows: Sequence[Row]) -> None:
    """GB/s by op, a panel a shape, with the measured bandwidth as a line."""
    shapes, names = _names([r.cell for r in rows]), _names([r.measure for r in rows])
    providers = _names([r.provider for r in rows])
    limit = rows[0].machine["bytes_per_s"] / 1e9
    axes = figure.subplots(1, len(shapes), sharey=True, squeeze=False)[0]
    for axis, shape in zip(axes, shapes, strict=True):
        axis.set_yscale("log")
        axis.margins(x=0.12, y=0.1)
        for provider, color, side in zip(providers, COLORS, (-0.12, 0.12), strict=False):
            own = [r for r in rows if (r.cell, r.provider) == (shape, provider)]
            points = [(names.index(r.measure) + side, (r.values["bytes_per_s"] or 0.0) / 1e9) for r in own]
            axis.plot(*zip(*points, strict=True), "o", color=color, markersize=5)
            for point in points:
                _label(axis, number(point[1], 2), point, (0, 5), ha="center", color=color, fontsize=7)
            if axis is axes[0]:
                _label(
                    axis,
                    provider,
                    points[0],
                    (7 * (1 if side > 0 else -1), -3),
                    color=color,
                    ha="left" if side > 0 else "right",
                )
        axis.axhline(limit, color="#555555", linestyle="--", linewidth=1)
        _label(axis, f"memory bandwidth {number(limit, 2)}", (-0.3, limit), (0, 3), color="#555555")
        axis.set_xticks(range(len(names)), names, rotation=25, ha="right", fontsize=8)
        axis.set_title(f"{shape} elements", fontsize=10)
        axis.grid(axis="y", which="major", alpha=0.3)
    axes[0].set_xlim(left=-1.1)
    axes[0].set_ylabel("GB/s: tensors read and written once, over the median wall time")


def _step(figure: Any, rows: Sequence[Row]) -> None:
    """Mean milliseconds by stage, longest on top, the two shares in the title."""
    by_name = {r.measure: r for r in rows}
    stages = sorted((by_name[s] for s in STAGES), key=lambda r: r.values["mean_wall_ms"] or 0.0)
    means = [r.values["mean_wall_ms"] or 0.0 for r in stages]
    shares = [percent(r.values["wall_share"]) for r in stages]
    labels = [f"{number(mean)} ms, {share}" for mean, share in zip(means, shares, strict=True)]
    axis = _bars(figure, [r.measure for r in stages], means, labels)
    parts = ", ".join(f"{n} {percent(by_name[n].values['wall_share'])}" for n in (PRIOR, REST))
    axis.set_title(f"one step, {stages[0].cell}: {parts} of the wall time", fontsize=10)
    axis.set_xlabel("mean wall time, ms")


def _generate(figure: Any, rows: Sequence[Row]) -> None:
    """Seconds by stage of a run."""
    seconds = [spread(r.wall_ms).p50 / 1e3 for r in rows]
    axis = _bars(figure, [r.measure for r in rows], seconds, [f"{number(s)} s" for s in seconds])
    axis.set_title(f"a whole run, {rows[0].cell}", fontsize=10)
    axis.set_xlabel("median wall time, s")


def _batch(figure: Any, rows: Sequence[Row]) -> None:
    """Assets an hour by number of runs side by side."""
    rates = [r.values["assets_per_hour"] or 0.0 for r in rows]
    axis = _bars(figure, [r.measure for r in rows], rates, [number(rate) for rate in rates])
    axis.set_title(f"whole runs, {rows[0].cell}", fontsize=10)
    axis.set_xlabel("assets an hour")


def _bars(figure: Any, names: Sequence[str], values: Sequence[float], labels: Sequence[str]) -> Any:
    axis = figure.subplots()
    axis.barh(names, values, color=COLORS[0])
    for y, (value, label) in enumerate(zip(values, labels, strict=True)):
        _label(axis, label, (value, y), (4, -3))
    axis.margins(x=0.15)
    return axis


DRAWN: dict[str, Callable[[Any, Sequence[Row]], None]] = {
    "raster": _raster,
    "ops": _ops,
    "step": _step,
    "generate": _generate,
    "batch": _batch,
}
