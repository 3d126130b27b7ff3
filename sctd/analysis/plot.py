"""The curves and histograms of runs as pictures: matplotlib, from the optional extra ``bench``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sctd.analysis.curves import LOSSES, STEPS, Curve, Histogram, curves, histograms
from sctd.files import whole_file
from sctd.run.read_back import Run

COLORS = {
    "self_consistency": "#1b6ca8",
    "cross_consistency": "#d1495b",
    "conditional_guidance": "#8f5fa8",
    "L_CC": "#1b6ca8",
    "L_CG + L_CP": "#d1495b",
    "t": "#1b6ca8",
    "s": "#edae49",
    "e": "#66a182",
}
OTHER = "#555555"
NAMES = {
    "self_consistency": "self-consistency",
    "cross_consistency": "cross-consistency",
    "conditional_guidance": "conditional guidance",
    "L_CC": "self-consistency, L_CC",
    "L_CG + L_CP": "cross-consistency, L_CG + L_CP",
}
PANEL = (4.2, 2.9)
"""Inches of one run's panel."""


def plot_curves(runs: Sequence[Run], path: Path, columns: int | None = None) -> None:
    """The paper's Figure 1, a panel a run: self- against cross-consistency over the iterations.

    The thin line has the logged values, the thick one their moving mean. The vertical axis is logarithmic,
    since norms lie far apart; the panels of norms share one, and those of GCS's losses another. Another
    method's residual is another quantity and not comparable with SCTD's.

    Args:
        columns: panels in a row; None: at most 4.
    """
    from matplotlib.figure import Figure  # no pyplot: it looks for a display

    columns = columns or min(4, len(runs))
    height = math.ceil(len(runs) / columns)
    figure = Figure(figsize=(PANEL[0] * columns, 0.5 + PANEL[1] * height), layout="constrained", dpi=110)
    axes = figure.subplots(height, columns, squeeze=False, sharex=True).ravel()
    first: dict[str, Any] = {}
    for axis, run in zip(axes, runs, strict=False):
        found = curves(run)
        like = first.setdefault(_quantity(found), axis)
        if like is not axis:
            axis.sharey(like)
        _curves(axis, run, found)
    for axis in axes[len(runs) :]:
        axis.remove()
    _save(figure, path)


def _quantity(found: Sequence[Curve]) -> str:
    return "loss" if any(curve.key in LOSSES for curve in found) else "norm of the residual"


def _curves(axis: Any, run: Run, found: Sequence[Curve]) -> None:
    axis.set_yscale("log")
    axis.set_title(run.name, fontsize=9)
    axis.set_xlabel("iteration", fontsize=8)
    axis.tick_params(labelsize=8, labelbottom=True)  # below it there may be no panel that would show them
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.grid(alpha=0.3)
    for curve in found:
        color = COLORS.get(curve.key, OTHER)
        above = curve.raw > 0  # a logarithm has no place for zero
        axis.plot(curve.iterations[above], curve.raw[above], color=color, linewidth=0.5, alpha=0.3)
        label = NAMES.get(curve.key, curve.key)
        axis.plot(curve.iterations, curve.smooth, color=color, linewidth=1.8, label=label)
    if found:
        axis.set_ylabel(_quantity(found), fontsize=8)
        axis.legend(fontsize=8, loc="best", framealpha=0.85)
    else:
        axis.text(0.5, 0.5, "logs no residual", ha="center", transform=axis.transAxes, fontsize=9)


def plot_histograms(runs: Sequence[Run], path: Path) -> None:
    """A row a run: how often each timestep was drawn (t, s, e), and each segment."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 0.4 + 2.6 * len(runs)), layout="constrained", dpi=110)
    axes = figure.subplots(len(runs), 2, squeeze=False, gridspec_kw={"width_ratios": [3, 2]})
    for (left, right), run in zip(axes, runs, strict=True):
        found = {h.key: h for h in histograms(run)}
        _timesteps(left, run, found)
        _segments(right, found.get("segment"))
    _save(figure, path)


def _timesteps(axis: Any, run: Run, found: dict[str, Histogram]) -> None:
    drawn = [found[key] for key in STEPS if key in found]
    for h in drawn:
        if h.key == "t":
            axis.stairs(h.counts, h.edges, color=COLORS[h.key], fill=True, alpha=0.35)
        axis.stairs(h.counts, h.edges, color=COLORS[h.key], linewidth=1.3, label=h.key)
    axis.set_title(f"{run.name}: timesteps", fontsize=9)
    axis.set_xlabel("timestep", fontsize=8)
    axis.set_ylabel("iterations", fontsize=8)
    axis.yaxis.get_major_locator().set_params(integer=True)
    axis.tick_params(labelsize=8)
    if drawn:
        axis.legend(fontsize=8)


def _segments(axis: Any, found: Histogram | None) -> None:
    axis.set_title("segments", fontsize=9)
    axis.tick_params(labelsize=8)
    if found is None:
        axis.text(0.5, 0.5, "has none", ha="center", transform=axis.transAxes, fontsize=9)
        axis.set_xticks([])
        axis.set_yticks([])
        return
    names = [f"{low}-{high}" for low, high in zip(found.edges[:-1], found.edges[1:], strict=True)]
    bars = axis.bar(names, found.counts, color=COLORS["e"])
    axis.bar_label(bars, fontsize=8)
    axis.margins(y=0.15)
    axis.set_xlabel("timesteps from e to the next edge", fontsize=8)


def _save(figure: Any, path: Path) -> None:
    with whole_file(path) as temporary:
        figure.savefig(temporary)
