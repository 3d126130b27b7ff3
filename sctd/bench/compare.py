"""Compares two reports cell by cell: the second is faster, slower, or shows no difference.

The ratio of the medians (second over first) gets a 95% interval by bootstrap, which resamples both sets of
repeats independently. A difference is reported only where the interval excludes 1. The comparison cannot
detect a machine that was slower during one of the runs; a peer in both files can.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sctd.bench.report import Row, device_class
from sctd.bench.table import Table, count_text, median, number
from sctd.errors import InputError

DRAWS = 4000
"""Bootstrap draws: the interval's ends are then known to about a twentieth of its width."""
FEWEST = 5
"""Repeats on each side below which an interval is meaningless."""
LEVEL = 0.95
SEED = 0


@dataclass(frozen=True)
class Difference:
    """Of one kind of time of one measurement; ratios are second over first, below 1 is faster."""

    ratio: float
    low: float
    high: float
    verdict: str
    """"faster", "slower", "no difference seen", or "too few repeats"."""

    def text(self) -> str:
        """For a table's cell."""
        if self.verdict == "too few repeats":
            return f"{number(self.ratio)} ({self.verdict})"
        return f"{number(self.ratio)} [{number(self.low)}, {number(self.high)}] {self.verdict}"


def difference(first: Sequence[float], second: Sequence[float]) -> Difference:
    """Compare two sets of repeats, positive numbers; the same numbers give the same answer."""
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    ratio = float(np.median(b) / np.median(a))
    if min(len(a), len(b)) < FEWEST:
        return Difference(ratio, 0.0, float("inf"), "too few repeats")
    random = np.random.default_rng(SEED)
    medians = [np.median(x[random.integers(len(x), size=(DRAWS, len(x)))], axis=1) for x in (a, b)]
    low, high = np.quantile(medians[1] / medians[0], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    verdict = "faster" if high < 1 else "slower" if low > 1 else "no difference seen"
    return Difference(ratio, float(low), float(high), verdict)


def pair(first: Sequence[Row], second: Sequence[Row]) -> tuple[list[tuple[Row, Row]], list[str]]:
    """Rows of the same measurement, and remarks on omitted rows and on differences between the machines.

    Raises:
        InputError: device classes differ, or nothing can be paired.
    """
    classes = device_class(first), device_class(second)
    if classes[0] != classes[1]:
        raise InputError(
            f"a report of class {classes[0]} and one of class {classes[1]} are not compared: "
            "CPU, simulated and GPU figures say nothing about each other"
        )
    others = {row.key: row for row in second}
    pairs = [(row, others[row.key]) for row in first if row.key in others]
    if not pairs:
        raise InputError(
            "the reports share no measurement; suite, cell, provider, threads, cameras and cache must agree"
        )
    remarks = []
    keys = {row.key for row, _ in pairs}
    for which, rows in (("first", first), ("second", second)):
        alone = sum(row.key not in keys for row in rows)
        if alone:
            remarks.append(f"{alone} rows are in the {which} report alone")
    a, b = pairs[0][0].machine, pairs[0][1].machine
    for what in ("cpu", "usable_cores", "isa", "torch", "python", "compiler"):
        if a.get(what) != b.get(what):
            remarks.append(f"{what} differs: {a.get(what)}, then {b.get(what)}")
    return pairs, remarks


def compare(first: Sequence[Row], second: Sequence[Row]) -> tuple[Table, list[str]]:
    """The table of differences, and remarks for stderr.

    Raises:
        InputError: see :func:`pair`.
    """
    pairs, remarks = pair(first, second)
    commits = [rows[0].machine.get("commit", "unknown") for rows in (first, second)]
    title = f"second ({commits[1]}) over first ({commits[0]}), ratio of medians with its 95% interval"
    if device_class(first) == "simulated":
        return _counts(pairs, title), remarks
    table = Table(title, ("cell", "measure", "provider", "first ms", "second ms", "wall", "own CPU"), names=3)
    for a, b in pairs:
        if a.wall_ms and b.wall_ms:
            verdicts = [
                difference(x, y).text() if min(*x, *y) > 0 else "-"
                for x, y in ((a.wall_ms, b.wall_ms), (a.cpu_ms, b.cpu_ms))
            ]
        else:
            verdicts = [b.status if not b.wall_ms else f"first: {a.status}"] * 2
        medians = (number(median(row.wall_ms)) for row in (a, b))
        table.lines.append((a.cell, a.measure, a.provider, *medians, *verdicts))
    return table, remarks


def _counts(pairs: Sequence[tuple[Row, Row]], title: str) -> Table:
    """Counts are exact: equal or not."""
    table = Table(title.partition(",")[0], ("cell", "what", "first", "second", "verdict"))
    for a, b in pairs:
        for name in [n for n in a.values if n in b.values and not n.endswith("error")]:
            x, y = a.values[name], b.values[name]
            table.lines.append((a.cell, name, count_text(x), count_text(y), "same" if x == y else "differs"))
    return table
