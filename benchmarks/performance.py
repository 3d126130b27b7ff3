"""Measures everything that docs/performance.md shows, and writes the page.

    python -m benchmarks.performance [--page docs/performance.md] [--seconds 8]

Seven minutes on two quiet cores, most of it the peer's. Each part is a command that anyone can run
alone; the page names it. --again takes the reports of the last run instead of measuring.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks.scaling import Measured
from benchmarks.scaling import markdown as scaling_tables
from sctd.bench.machine import describe
from sctd.bench.report import Row, load
from sctd.bench.table import number, percent
from sctd.bench.timing import spread

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "build" / "performance"
PICTURES = ROOT / "docs" / "pictures"
CELLS = "1k@128,1k@256,1k@512,10k@128,10k@256,10k@512,100k@128,100k@256,100k@512"
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


def commands(seconds: float) -> dict[str, list[str]]:
    """Name of a report => the command that makes it."""
    sctd = [str(Path(sys.executable).with_name("sctd")), "bench"]
    return {
        "raster": [
            *(*sctd, "raster", "--cameras", "1", "--cells", CELLS, "--against", "gsplat"),
            *("--seconds", f"{seconds:g}", "--json", str(OUT / "raster.json")),
            *("--plot", str(PICTURES / "bench-raster.png")),
        ],
        "ops": [*sctd, "ops", "--json", str(OUT / "ops.json")],
        "step": [
            *(*sctd, "step", "--json", str(OUT / "step.json"), "--plot", str(PICTURES / "bench-step.png")),
        ],
        "scaling": [
            *(sys.executable, "-m", "benchmarks.scaling", "--json", str(OUT / "scaling.json")),
            *("--plot", str(PICTURES / "bench-scaling.png")),
        ],
    }


def shown(command: Sequence[str]) -> str:
    """The command as a person would type it."""
    words = [Path(word).name if word.startswith("/") else word for word in command]
    return " ".join("python" if word.startswith("python") else word for word in words)


def of(rows: Sequence[Row], cell: str, measure: str, provider: str) -> Row:
    """One row of a report."""
    return next(r for r in rows if (r.cell, r.measure, r.provider) == (cell, measure, provider))


def times(row: Row) -> str:
    """Median with the 20th and 80th percentile."""
    s = spread(row.wall_ms)
    return f"{number(s.p50)} ({number(s.p20)}-{number(s.p80)})"


def header(*names: str) -> list[str]:
    """The two lines that a Markdown table begins with."""
    return [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]


def raster_tables(rows: Sequence[Row]) -> list[str]:
    """Times with ratios; then what bounds them."""
    lines = header(*TIMES, "OpenSplat, ms", "times sctd")
    limits = header("cell", "measure", *LIMITS, "image error", "gradient error")
    for cell in CELLS.split(","):
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


def page(seconds: float) -> str:
    """The page, from the reports in OUT; ``seconds`` as they were measured with."""
    rows = {name: load(OUT / f"{name}.json") for name in ("raster", "ops", "step")}
    raw: dict[str, Any] = json.loads((OUT / "scaling.json").read_text())
    scaling = {name: [Measured(**row) for row in found] for name, found in raw["results"].items()}
    said = {name: f"`{shown(command)}`" for name, command in commands(seconds).items()}
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


def main(
    target: Annotated[Path | None, typer.Option("--page", help="Markdown page to write.")] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help="Budget of timing for each cell.")] = 8.0,
    again: Annotated[bool, typer.Option("--again", help="Use the reports of the last run.")] = False,
) -> None:
    """Measure, and print or write the page."""
    OUT.mkdir(parents=True, exist_ok=True)
    for name, command in commands(seconds).items():
        if not again:
            print(f"{name}: {shown(command)}", file=sys.stderr)
            subprocess.run(command, cwd=ROOT, check=True)
    text = page(seconds)
    if target is None:
        print(text)
    else:
        target.write_text(text, encoding="utf-8")
        shutil.copyfile(OUT / "raster.json", target.with_name("performance-raster.json"))


if __name__ == "__main__":
    typer.run(main)
