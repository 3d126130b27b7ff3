"""Rows as tables for people: aligned text, and the same with lines on a terminal."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from sctd.bench.machine import describe
from sctd.bench.report import Row, device_class
from sctd.bench.timing import spread

NOTHING = "-"


@dataclass
class Table:
    """Headers and cells, all text."""

    title: str
    headers: Sequence[str]
    lines: list[Sequence[str]] = field(default_factory=list)
    names: int = 2
    """Number of text columns at the left; the others are numbers, aligned to the right."""

    def text(self, *, terminal: bool = False) -> str:
        """Columns aligned with spaces; drawn by rich on a terminal."""
        if terminal:
            return self._drawn()
        rows = [list(self.headers), *self.lines]
        widths = [max(len(row[i]) for row in rows) for i in range(len(self.headers))]
        out = [self.title]
        for row in rows:
            out.append(
                "  ".join(
                    cell.ljust(w) if i < self.names else cell.rjust(w)
                    for i, (cell, w) in enumerate(zip(row, widths, strict=True))
                ).rstrip()
            )
        return "\n".join(out)

    def _drawn(self) -> str:
        from rich.console import Console
        from rich.table import Table as Drawn
        from rich.text import Text

        drawn = Drawn(title=self.title, title_justify="left")
        for i, header in enumerate(self.headers):
            drawn.add_column(header, justify="left" if i < self.names else "right")
        for row in self.lines:
            drawn.add_row(*(Text(cell) for cell in row))
        console = Console(file=io.StringIO(), force_terminal=True, width=None)
        with console.capture() as captured:
            console.print(drawn)
        return captured.get().rstrip("\n")


def number(value: float | None, digits: int = 3) -> str:
    """Significant digits without an exponent where one can read it."""
    if value is None:
        return NOTHING
    if value == 0:
        return "0"
    if 1e-3 <= abs(value) < 1e6:
        whole = len(str(int(abs(value)))) if abs(value) >= 1 else 1 - _leading_zeros(abs(value))
        return f"{value:.{max(0, digits - whole)}f}"
    return f"{value:.{digits - 1}e}"


def _leading_zeros(value: float) -> int:
    """Zeros between the point and the first digit, and one more; value in [0, 1)."""
    zeros = 1
    while 0 < value < 0.1:
        value *= 10
        zeros += 1
    return zeros


def spread_text(values: Sequence[float]) -> str:
    """p20/p50/p80."""
    if not values:
        return NOTHING
    s = spread(values)
    return "/".join(number(x) for x in (s.p20, s.p50, s.p80))


def median(values: Sequence[float]) -> float | None:
    """None without values."""
    return spread(values).p50 if values else None


def percent(value: float | None) -> str:
    """0.123 => 12.3%."""
    return NOTHING if value is None else f"{100 * value:.1f}%"


def count_text(value: float | None) -> str:
    """Whole numbers in full."""
    return NOTHING if value is None else f"{value:.0f}" if value == int(value) else number(value)


def error_text(value: float | None) -> str:
    """Two digits with an exponent."""
    return NOTHING if value is None else f"{value:.1e}"


def times_slower(row: Row, rows: Iterable[Row]) -> str:
    """Wall and own CPU time of a row over those of sctd's in the same run."""
    for other in rows:
        same = (other.cell, other.measure) == (row.cell, row.measure)
        if same and other.provider == "sctd" and other.wall_ms and row.wall_ms:
            wall, cpu = ((median(a) or 0.0, median(b) or 0.0) for a, b in _times(row, other))
            return " / ".join(number(a / b, 2) if b > 0 else NOTHING for a, b in (wall, cpu))
    return NOTHING


def _times(row: Row, other: Row) -> tuple[tuple[list[float], list[float]], tuple[list[float], list[float]]]:
    return (row.wall_ms, other.wall_ms), (row.cpu_ms, other.cpu_ms)


def tables(rows: Sequence[Row]) -> list[Table]:
    """The tables of one suite.

    Raises:
        InputError: the rows are of several device classes.
    """
    if device_class(rows) == "simulated":
        return [_counts(rows)]
    return SUITES[rows[0].suite](rows)


def text(rows: Sequence[Row], *, terminal: bool = False) -> str:
    """All tables, the failures, and the machine."""
    parts = [table.text(terminal=terminal) for table in tables(rows)]
    notes = dict.fromkeys(
        f"{row.cell} {row.provider}: {row.status}: {row.note}" for row in rows if row.status != "ok"
    )
    if notes:
        parts.append("\n".join(notes))
    machine = dict(rows[0].machine)
    where = f"device class {rows[0].device_class}: {describe(machine)}"
    caches = dict.fromkeys(f"cache {row.settings['cache']}" for row in rows if "cache" in row.settings)
    busy = max((row.values.get("others_cores") or 0.0 for row in rows), default=0.0)
    lines = [where, *caches]
    if "peaks" in machine:
        lines.append(
            f"{machine['peaks']}: {number(machine['exp_per_s'] / 1e9)} G exp/s, "
            f"{number(machine['fma_per_s'] / 1e9)} G multiply-adds/s, "
            f"{number(machine['bytes_per_s'] / 1e9)} GB/s"
        )
    if busy > 0.2:
        lines.append(
            f"other processes kept up to {busy:.1f} cores busy meanwhile: "
            "do not quote the wall times; trust ratios within this run only"
        )
    parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _raster(rows: Sequence[Row]) -> list[Table]:
    times = Table(
        "Milliseconds an image: p20/p50/p80 of the repeats, own CPU time (p50); "
        "times sctd: wall / CPU of the same run",
        ("cell", "rasterizer", "measure", "wall ms", "CPU ms", "times sctd", "extra MB", "repeats"),
        names=3,
    )
    limits = Table(
        "Contributing (pixel, Gaussian) pairs; shares of the measured peaks; errors against float64",
        (
            *("cell", "rasterizer", "measure", "M pairs", "M pairs/s", "exp", "multiply-add", "memory"),
            *("image error", "gradient error", "left out"),
        ),
        names=3,
    )
    for row in rows:
        v = row.values
        times.lines.append(
            (
                *(row.cell, f"{row.provider} {row.version}", row.measure, spread_text(row.wall_ms)),
                *(number(median(row.cpu_ms)), times_slower(row, rows), number(v.get("extra_mb"))),
                str(len(row.wall_ms)),
            )
        )
        rate, pairs = v.get("pairs_per_s"), v.get("pairs_per_image")
        limits.lines.append(
            (
                *(row.cell, f"{row.provider} {row.version}", row.measure),
                *(number(x / 1e6) if x is not None else NOTHING for x in (pairs, rate)),
                *(percent(v.get(name)) for name in ("exp_share", "fma_share", "memory_share")),
                *(error_text(v.get(name)) for name in ("image_error", "gradient_error")),
                percent(v.get("left_out_pixels")),
            )
        )
    return [times, limits]


def _triangles(rows: Sequence[Row]) -> list[Table]:
    table = Table(
        "Milliseconds a picture: p20/p50/p80 of the repeats, own CPU time (p50); "
        "times sctd: wall / CPU of the same run; errors against float64",
        (
            *("cell", "rasterizer", "measure", "faces", "wall ms", "CPU ms", "times sctd"),
            *("image error", "positions", "colours", "repeats"),
        ),
        names=3,
    )
    for row in rows:
        v = row.values
        table.lines.append(
            (
                *(row.cell, f"{row.provider} {row.version}", row.measure, count_text(v.get("faces"))),
                *(spread_text(row.wall_ms), number(median(row.cpu_ms)), times_slower(row, rows)),
                *(error_text(v.get(name)) for name in ("image_error", "position_error", "color_error")),
                str(len(row.wall_ms)),
            )
        )
    return [table]


def _ops(rows: Sequence[Row]) -> list[Table]:
    table = Table(
        "Microseconds a call: p20/p50/p80 of the repeats, own CPU time (p50)",
        (
            *("op", "provider", "shape", "wall us", "CPU us", "times sctd"),
            *("GB/s", "of the bandwidth", "error", "repeats"),
        ),
        names=3,
    )
    for row in rows:
        rate, cpu = row.values.get("bytes_per_s"), median(row.cpu_ms)
        table.lines.append(
            (
                *(row.measure, row.provider, row.cell, spread_text([1e3 * t for t in row.wall_ms])),
                *(number(None if cpu is None else 1e3 * cpu), times_slower(row, rows)),
                *(number(None if rate is None else rate / 1e9), percent(row.values.get("memory_share"))),
                *(error_text(row.values.get("error")), str(len(row.wall_ms))),
            )
        )
    return [table]


def _step(rows: Sequence[Row]) -> list[Table]:
    first = rows[0]
    table = Table(
        f"One step, {first.cell}: mean of {first.settings['steps']} steps "
        f"from iteration {first.settings['warmup']} on; shares of wall and own CPU time",
        ("stage", "mean ms", "p20/p50/p80 ms", "mean CPU ms", "of wall", "of CPU"),
        names=1,
    )
    for row in rows:
        v = row.values
        table.lines.append(
            (
                *(row.measure, number(v["mean_wall_ms"]), spread_text(row.wall_ms)),
                *(number(v["mean_cpu_ms"]), percent(v["wall_share"]), percent(v["cpu_share"])),
            )
        )
    return [table]


def _generate(rows: Sequence[Row]) -> list[Table]:
    table = Table(
        f"Seconds of a whole run, {rows[0].cell}: p20/p50/p80 of {len(rows[0].wall_ms)}",
        ("stage", "seconds", "CPU seconds", "iterations/s", "peak MB"),
        names=1,
    )
    for row in rows:
        cpu = median(row.cpu_ms)
        table.lines.append(
            (
                *(row.measure, spread_text([t / 1e3 for t in row.wall_ms])),
                number(None if cpu is None else cpu / 1e3),
                *(number(row.values.get(name)) for name in ("iterations_per_s", "peak_mb")),
            )
        )
    return [table]


def _batch(rows: Sequence[Row]) -> list[Table]:
    table = Table(
        f"Whole runs, {rows[0].cell}: seconds an asset, p20/p50/p80 of {len(rows[0].wall_ms)}",
        ("runs", "threads each", "seconds an asset", "CPU seconds", "assets/hour", "MB together"),
        names=1,
    )
    for row in rows:
        cpu = median(row.cpu_ms)
        table.lines.append(
            (
                *(row.measure, str(row.settings["threads_each"])),
                spread_text([t / 1e3 for t in row.wall_ms]),
                number(None if cpu is None else cpu / 1e3),
                *(number(row.values.get(name)) for name in ("assets_per_hour", "peak_mb")),
            )
        )
    return [table]


def _counts(rows: Sequence[Row]) -> Table:
    """One line a count: their names are the backend's."""
    table = Table(
        "Counts of the CUDA kernels on a CPU, all cameras together; there are no times",
        ("cell", "what", "count"),
    )
    for row in rows:
        for name, value in row.values.items():
            shown = error_text(value) if name.endswith("error") else count_text(value)
            table.lines.append((row.cell, name, shown))
    return table


SUITES: dict[str, Callable[[Sequence[Row]], list[Table]]] = {
    "raster": _raster,
    "triangles": _triangles,
    "ops": _ops,
    "step": _step,
    "generate": _generate,
    "batch": _batch,
}
