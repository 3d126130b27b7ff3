"""Times the fused diffusion ops and Adam on a CUDA device, beside plain torch. Needs a CUDA device.

    python -m benchmarks.gpu_ops [--repeats N] [--json FILE]

Inputs, ops and shapes are those of ``sctd bench ops``. Each output is compared with the definition in double
on the same device first: a wrong one is not timed. Both take turns, each call between two CUDA events with
the second-level cache swept before it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from benchmarks.gpu import SWEEP_BYTES, Clock, facts, in_turn, milliseconds
from sctd.bench.ops import OPS, SHAPES, Op, error, make_inputs

CONTENDERS = {"sctd": "auto", "plain torch": "reference"}


def measure(name: str, shape: str, device: torch.device, clock: Clock, repeats: int) -> list[dict[str, Any]]:
    """A row for each contender: its error, and p20, p50, p80 of a call in ms with the GB/s of the median.

    Args:
        name, shape: of ``sctd.bench.ops``. clock: tells a call's time on the device.
    """
    op = OPS[name]
    inputs, level = make_inputs(op, SHAPES[shape])
    inputs, level = [x.to(device) for x in inputs], level.to(device)
    allowed = 2 * error(op, inputs, level, "reference") + 4 * torch.finfo(torch.float32).eps
    traffic = 4 * op.traffic * inputs[0].numel()
    rows: list[dict[str, Any]] = []
    calls: dict[str, Callable[[], object]] = {}
    for contender, backend in CONTENDERS.items():
        off = error(op, inputs, level, backend)
        rows.append({"op": name, "shape": shape, "contender": contender, "error": off})
        if not off <= allowed:
            rows[-1]["wrong"] = f"error {off:.1e}, allowed {allowed:.1e}: not timed"
            continue
        calls[contender] = partial(_call, op, [x.clone() for x in inputs], level, backend)
    times = in_turn(calls, clock, repeats)
    for row in rows:
        if found := times.get(row["contender"]):
            row |= {**found, "gb_per_s": traffic / found["p50"] / 1e6}
    return rows


def _call(op: Op, inputs: list[torch.Tensor], level: torch.Tensor, backend: str) -> object:
    return op.call(inputs, level, backend)


def markdown(rows: Sequence[dict[str, Any]]) -> list[str]:
    """A table."""
    lines = ["| op, shape | contender | ms: p20 / p50 / p80 | GB/s |", "|---|---|---|---|"]
    for row in rows:
        if "wrong" in row:
            cells = [row["wrong"], ""]
        else:
            cells = [" / ".join(f"{row[p]:.4f}" for p in ("p20", "p50", "p80")), f"{row['gb_per_s']:.0f}"]
        lines.append(f"| {row['op']}, {row['shape']} | {row['contender']} | {' | '.join(cells)} |")
    return lines


def main(
    json_file: Annotated[Path | None, typer.Option("--json", help="File for the rows.")] = None,
    repeats: Annotated[int, typer.Option(min=10, help="Turns of each contender.")] = 40,
) -> None:
    """Measure and print."""
    if not torch.cuda.is_available():
        print("error: benchmarks.gpu_ops needs a CUDA device and a Torch built for it", file=sys.stderr)
        raise typer.Exit(2)
    sweep = torch.empty(SWEEP_BYTES, dtype=torch.uint8, device="cuda")
    clock = partial(milliseconds, sweep=sweep)
    cells = [(shape, name) for shape in SHAPES for name in OPS]
    rows = [
        row for shape, name in cells for row in measure(name, shape, torch.device("cuda"), clock, repeats)
    ]
    print("\n".join(markdown(rows)))
    if json_file is not None:
        json_file.write_text(json.dumps({"facts": facts(), "rows": rows}, indent=1))


if __name__ == "__main__":
    typer.run(main)
