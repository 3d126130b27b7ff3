"""Times the CUDA rasterizer on the common workload, beside gsplat where it is installed. Needs a CUDA device.

    python -m benchmarks.gpu [--cells N] [--repeats N] [--json FILE]

Contenders take turns (A B A B ...), after warm-up, each call between two CUDA events with the second-level
cache swept before it. Their pictures are compared with the CPU backend first; a wrong contender is not timed.
"""

from __future__ import annotations

import json
import platform
import statistics
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import torch
import typer
from torch import Tensor

import sctd
from sctd.bench.workload import make_workload

CELLS = ((1_000, 512), (10_000, 512), (100_000, 512), (1_000_000, 512), (100_000, 1024))
LEAVES = ("means", "quats", "scales", "opacities", "colors")
WARM_UP, REPEATS = 10, 100
SWEEP_BYTES = 256 << 20  # more than any second-level cache
TOLERANCE = {"sctd": 1e-4, "sctd, capacity": 1e-4, "gsplat": 5e-3}
"""Largest difference of a pixel to the CPU backend, but for one pixel in 10,000 that stands on a threshold.
gsplat cuts Gaussians off at 3.33 standard deviations."""

Rasterizer = Callable[..., tuple[Tensor, Tensor, dict[str, Any]]]
Clock = Callable[[Callable[[], object]], float]
"""Runs a call once and returns its milliseconds."""
K = TypeVar("K")


def contenders(scene: dict[str, Any]) -> dict[str, Rasterizer]:
    """Name => rasterization function."""
    with torch.no_grad():
        room = int(1.2 * sctd.rasterization(**scene, backend="cuda")[2]["n_pairs"])
    found: dict[str, Rasterizer] = {
        "sctd": lambda **s: sctd.rasterization(**s, backend="cuda"),
        "sctd, capacity": lambda **s: sctd.rasterization(**s, backend="cuda", capacity=room),
    }
    try:
        import gsplat
    except ImportError:
        return found
    return {**found, "gsplat": lambda **s: gsplat.rasterization(**s, packed=False)}


def disagreement(rasterize: Rasterizer, scene: dict[str, Any], want: Tensor) -> float:
    """Difference to a picture that all but one pixel in 10,000 keep to."""
    with torch.no_grad():
        off = (rasterize(**scene)[0].cpu() - want).abs().flatten()
    return float(off.kthvalue(max(1, int(0.9999 * off.numel()))).values)


def milliseconds(call: Callable[[], object], sweep: Tensor) -> float:
    """Of one call on the device, the cache swept before it."""
    sweep.zero_()
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    call()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end))


def in_turn(calls: Mapping[K, Callable[[], object]], clock: Clock, repeats: int) -> dict[K, dict[str, float]]:
    """p20, p50 and p80 of every call, ms: so many turns of all of them, after a warm-up."""
    samples: dict[K, list[float]] = {key: [] for key in calls}
    for turn in range(WARM_UP + repeats):
        for key, call in calls.items():
            taken = clock(call)
            if turn >= WARM_UP:
                samples[key].append(taken)
    deciles = {key: statistics.quantiles(taken, n=10) for key, taken in samples.items()}
    return {key: {"p20": at[1], "p50": at[4], "p80": at[7]} for key, at in deciles.items()}


def measure(count: int, size: int, repeats: int = REPEATS) -> list[dict[str, Any]]:
    """One row for each contender: p20, p50, p80 of forward and of forward+backward, ms."""
    host = make_workload(count, size, cameras=1)
    scene = {k: v.cuda() if isinstance(v, Tensor) else v for k, v in host.items()}
    want, _, _ = sctd.rasterization(**host, backend="cpu")
    weight = torch.rand(want.shape).cuda()
    leaves = [scene[name].requires_grad_() for name in LEAVES]
    sweep = torch.empty(SWEEP_BYTES, dtype=torch.uint8, device="cuda")
    rows, calls = [], {}
    for name, rasterize in contenders(scene).items():
        off = disagreement(rasterize, scene, want)
        rows.append({"gaussians": count, "edge": size, "contender": name, "off": off})
        if not off <= TOLERANCE[name]:
            rows[-1]["wrong"] = f"differs from the CPU by {off:.1e}, allowed {TOLERANCE[name]:.0e}: not timed"
            continue

        def forward(rasterize: Rasterizer = rasterize) -> None:
            with torch.no_grad():
                rasterize(**scene)

        def both(rasterize: Rasterizer = rasterize) -> None:
            torch.autograd.grad((rasterize(**scene)[0] * weight).sum(), leaves)

        calls[name, "forward"], calls[name, "forward+backward"] = forward, both
    times = in_turn(calls, partial(milliseconds, sweep=sweep), repeats)
    for row in rows:
        row |= {kind: found for (name, kind), found in times.items() if name == row["contender"]}
    return rows


def facts() -> dict[str, str]:
    """The machine of the figures."""
    properties = torch.cuda.get_device_properties(0)
    versions = {"python": platform.python_version(), "torch": torch.__version__, "sctd": sctd.__version__}
    memory, capability = properties.total_memory / 2**30, f"sm_{properties.major}{properties.minor}"
    return {
        "device": f"{properties.name}, {memory:.0f} GiB, {capability}",
        "cuda of torch": str(torch.version.cuda),
        **versions,
    }


def markdown(rows: list[dict[str, Any]]) -> list[str]:
    """A table."""
    lines = [
        "| Gaussians, edge | contender | forward, ms: p20 / p50 / p80 | forward+backward, ms |",
        "|---|---|---|---|",
    ]
    for row in rows:
        cells = [
            " / ".join(f"{row[kind][p]:.3f}" for p in ("p20", "p50", "p80")) if kind in row else row["wrong"]
            for kind in ("forward", "forward+backward")
        ]
        lines.append(f"| {row['gaussians']}, {row['edge']} | {row['contender']} | {' | '.join(cells)} |")
    return lines


def main(
    json_file: Annotated[Path | None, typer.Option("--json", help="File for the rows.")] = None,
    cells: Annotated[int, typer.Option(min=1, max=len(CELLS), help="Sizes, from the first.")] = len(CELLS),
    repeats: Annotated[int, typer.Option(min=10, help="Turns of each contender.")] = REPEATS,
) -> None:
    """Measure and print."""
    if not torch.cuda.is_available():
        print("error: benchmarks.gpu needs a CUDA device and a Torch built for it", file=sys.stderr)
        raise typer.Exit(2)
    rows = [row for cell in CELLS[:cells] for row in measure(*cell, repeats)]
    print("\n".join(markdown(rows)))
    if json_file is not None:
        json_file.write_text(json.dumps({"facts": facts(), "rows": rows}, indent=1))


if __name__ == "__main__":
    typer.run(main)
