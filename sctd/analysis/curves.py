"""Numbers from a run's log: smoothed curves, histograms of timesteps and segments, CSV files."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sctd.config.base import TIMESTEPS
from sctd.config.sctd import SctdSettings, segment_edges
from sctd.files import whole_file
from sctd.run.read_back import Run

CONSISTENCY = ("self_consistency", "cross_consistency")
"""The two residual norms of the paper's Figure 1, means over the batch."""
SHOWN = (*CONSISTENCY, "conditional_guidance")
"""The third is GCS's, for logs without its losses."""
LOSSES = ("L_CC", "L_CG + L_CP")
"""GCS's series instead: Figure 1 (a) of the paper's supplement. Weighted means over the batch."""
INSTEAD = ("residual", "loss")
"""For a method that logs neither: the first of these in its log."""
STEPS = ("t", "s", "e")
BIN = 20
"""Width of a bin of timesteps; the default's segments are about ten bins wide."""


@dataclass(frozen=True)
class Curve:
    """A scalar of one run."""

    run: Run
    key: str
    iterations: NDArray[np.int64]
    raw: NDArray[np.float64]
    smooth: NDArray[np.float64]


@dataclass(frozen=True)
class Histogram:
    """Counts of a run's draws; ``counts`` has one entry fewer than ``edges``, ascending timesteps."""

    run: Run
    key: str
    edges: list[int]
    counts: list[int]


def curves(run: Run) -> list[Curve]:
    """The run's consistencies, or its method's other series; empty if its log has none of them."""
    keys = [key for key in LOSSES if _sum(run, key)[0]] or [key for key in SHOWN if run.series(key)[0]]
    keys = keys or [key for key in INSTEAD if run.series(key)[0]][:1]
    found = []
    for key in keys:
        iterations, values = _sum(run, key)
        raw = np.asarray(values)
        found.append(Curve(run, key, np.asarray(iterations), raw, smoothed(raw)))
    return found


def _sum(run: Run, key: str) -> tuple[list[int], list[float]]:
    """The series of a scalar, or of a sum of some that are logged together."""
    series = [run.series(part) for part in key.split(" + ")]
    return series[0][0], [sum(values) for values in zip(*(values for _, values in series), strict=True)]


def smoothed(values: NDArray[np.float64], window: int | None = None) -> NDArray[np.float64]:
    """Centred moving mean, [n] => [n]; at the ends the mean of the existing values.

    Args:
        window: values in a mean, odd; None: a fifteenth of them, at least 5.
    """
    n = len(values)
    half = (max(5, n // 15) if window is None else window) // 2
    total = np.concatenate(([0.0], np.cumsum(values)))
    index = np.arange(n)
    low, high = np.maximum(index - half, 0), np.minimum(index + half + 1, n)
    return np.asarray((total[high] - total[low]) / (high - low))


def histograms(run: Run) -> list[Histogram]:
    """Of t, s and e in bins of BIN timesteps, and of e over the segments; leaves out those that the method
    does not log."""
    edges = list(range(0, TIMESTEPS + 1, BIN))
    found = [Histogram(run, key, edges, _counts(run, key, edges)) for key in STEPS if run.series(key)[0]]
    rule = run.config.rule
    if isinstance(rule, SctdSettings) and run.series("e")[0]:  # no other method has segments
        borders = segment_edges(rule)
        found.append(Histogram(run, "segment", borders, _counts(run, "e", borders)))
    return found


def _counts(run: Run, key: str, edges: Sequence[int]) -> list[int]:
    # numpy counts a value at the last edge into the last bin; every other bin leaves out its upper edge
    return [int(count) for count in np.histogram(run.series(key)[1], bins=np.asarray(edges))[0]]


def write_curves(path: Path, found: Iterable[Curve]) -> None:
    """A line for each run, scalar and iteration: raw and smoothed value."""
    rows = (
        (*_names(c.run), c.key, int(i), repr(float(raw)), f"{smooth:.6g}")
        for c in found
        for i, raw, smooth in zip(c.iterations, c.raw, c.smooth, strict=True)
    )
    _write(path, ("run", "method", "seed", "scalar", "iteration", "value", "smoothed"), rows)


def write_histograms(path: Path, found: Iterable[Histogram]) -> None:
    """A line for each run, histogram and bin: its edges in timesteps, and how many draws fell into it."""
    rows = (
        (*_names(h.run), h.key, low, high, count)
        for h in found
        for low, high, count in zip(h.edges[:-1], h.edges[1:], h.counts, strict=True)
    )
    _write(path, ("run", "method", "seed", "histogram", "from", "to", "count"), rows)


def _names(run: Run) -> tuple[str, str, int]:
    return run.name, run.config.method, run.config.seed


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
