"""How fast it is on a CPU, as measured by benchmarks/performance.py: the page."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.pages import Results, header
from benchmarks.scaling import Measured
from benchmarks.scaling import markdown as scaling_tables
from sctd.bench.machine import describe
from sctd.bench.report import Report, Row
from sctd.bench.table import number, percent
from sctd.bench.timing import spread

OPENSPLAT = {
    "1k@128": (10.6, 19.2),
    "10k@256": (81.0, 139.0),
    "10k@512": (266.0, 486.0),
    "100k@128": (94.0, 187.0),
    "100k@512": (508.0, 845.0),
}
"""ms forward, forward+backward; measured once on such a machine, with two of its bugs fixed; see PEERS."""
PEERS = """\
OpenSplat's C++ rasterizer is not on PyPI, so no command here runs it again: its column was measured once, on
two cores of a machine of this kind, with two of its bugs mended (it sorts depths wrongly and scales the
conic's gradient by 0.5 as shipped). gsplat is version 1.5.3's own torch code, in the same process, in turn.
"""
TIMES = ("cell", "measure", "sctd, ms (p20-p80)", "gsplat's torch, ms", "times sctd, own CPU time")
LIMITS = ("M pairs/s", "of exp", "of multiply-add", "of bandwidth", "extra MB")


def of(rows: Sequence[Row], cell: str, measure: str, provider: str) -> Row:
    """One row of a report."""
    return next(r for r in rows if (r.cell, r.measure, r.provider) == (cell, measure, provider))


def times(row: Row) -> str:
    """Median with the 20th and 80th percentile."""
    s = spread(row.wall_ms)
    return f"{number(s.p50)} ({number(s.p20)}-{number(s.p80)})"


def raster_tables(rows: Sequence[Row]) -> list[str]:
    """Times with ratios; then their bounds."""
    lines = header(*TIMES, "OpenSplat, ms", "times sctd")
    limits = header("cell", "measure", *LIMITS, "image error", "gradient error")
    for cell in dict.fromkeys(row.cell for row in rows):
        for i, measure in enumerate(("forward", "forward+backward")):
            ours, theirs = (of(rows, cell, measure, name) for name in ("sctd", "gsplat"))
            mine, cpu = spread(ours.wall_ms).p50, spread(ours.cpu_ms).p50
            peer = "-"
            if cell in OPENSPLAT:
                peer = f"{OPENSPLAT[cell][i]:g} | {OPENSPLAT[cell][i] / mine:.1f}"
            lines.append(
                f"| {cell} | {measure} | {times(ours)} | {number(spread(theirs.wall_ms).p50)} | "
                f"{spread(theirs.cpu_ms).p50 / cpu:.0f} | {peer if cell in OPENSPLAT else '- | -'} |"
            )
            v = ours.values
            shares = " | ".join(percent(v[name]) for name in ("exp_share", "fma_share", "memory_share"))
            errors = " | ".join(f"{v[name]:.1e}" for name in ("image_error", "gradient_error"))
            limits.append(
                f"| {cell} | {measure} | {number((v['pairs_per_s'] or 0) / 1e6)} | {shares} | "
                f"{number(v['extra_mb'])} | {errors} |"
            )
    return [*lines, "", PEERS, *limits]


def ops_table(rows: Sequence[Row]) -> list[str]:
    """Microseconds of ours and of plain torch."""
    lines = header("op", "shape", "sctd, us", "plain torch, us", "GB/s", "of bandwidth")
    for row in (r for r in rows if r.provider == "sctd"):
        plain = of(rows, row.cell, row.measure, "reference")
        ours, theirs = (number(1e3 * spread(r.wall_ms).p50) for r in (row, plain))
        v = row.values
        lines.append(
            f"| {row.measure} | {row.cell} | {ours} | {theirs} | "
            f"{number((v['bytes_per_s'] or 0) / 1e9)} | {percent(v['memory_share'])} |"
        )
    return lines


def step_table(rows: Sequence[Row]) -> list[str]:
    """Stages of a step."""
    lines = header("stage", "mean ms", "of wall time", "of own CPU time")
    for row in rows:
        v = row.values
        shares = f"{percent(v['wall_share'])} | {percent(v['cpu_share'])}"
        lines.append(f"| {row.measure} | {number(v['mean_wall_ms'])} | {shares} |")
    return lines


def markdown(results: Results) -> str:
    """The page."""
    reports, said = results["reports"], {name: f"`{text}`" for name, text in results["commands"].items()}
    rows = {name: Report.model_validate(reports[name]).rows for name in ("raster", "ops", "step")}
    sweeps = reports["scaling"]["results"]
    scaling = {name: [Measured(**row) for row in found] for name, found in sweeps.items()}
    machine = rows["raster"][0].machine
    busy = max((r.values.get("others_cores") or 0.0) for r in rows["raster"])
    peaks = (
        f"{machine['exp_per_s'] / 1e9:.2f} G exponentials, {machine['fma_per_s'] / 1e9:.0f} G multiply-adds, "
        f"{machine['bytes_per_s'] / 1e9:.1f} GB a second"
    )
    lines = [
        *("# How fast it is, on a CPU", ""),
        "Written by `python -m benchmarks.performance --page docs/performance.md`. How it is measured, what",
        "the columns mean and what is left out of the comparison: `docs/benchmarks.md`. Nothing here was",
        "measured on a GPU; what is known of the CUDA kernels without one is in `docs/kernels.md`.",
        "",
        f"Machine: {describe(machine)}; other processes kept up to {busy:.2f} cores busy meanwhile.",
        f"Peaks, by torch in the same run: {peaks}.",
        *("", "## The rasterizer", "", said["raster"], ""),
        *raster_tables(rows["raster"]),
        *(
            "",
            "Every repeat: `performance-raster.json`, for `sctd bench compare` with another machine's.",
        ),
        *("", "![milliseconds an image over the cells](pictures/bench-raster.png)", ""),
        *("## How it grows", "", said["scaling"], ""),
        *scaling_tables(scaling),
        *("![time over each quantity](pictures/bench-scaling.png)", ""),
        *("## One training step of the embedded prior", "", said["step"], ""),
        *(f"At commit {rows['step'][0].machine['commit']}, torch's threads as a run has them.", ""),
        *step_table(rows["step"]),
        *("", "![stages of a step](pictures/bench-step.png)", ""),
        *("## Fused ops", "", said["ops"], ""),
        *ops_table(rows["ops"]),
        "",
    ]
    return "\n".join(lines)
