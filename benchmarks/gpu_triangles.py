"""Times the triangle rasterizer on a CUDA device. Needs a CUDA device.

    python -m benchmarks.gpu_triangles [--cells N] [--repeats N] [--json FILE]

The sphere is that of ``sctd bench triangles``: "picture" is rasterize, interpolate, edge_gradient; "texture"
is a lookup for each of its pixels. What came out is compared with float64 first: with the definition in plain
torch where that ends in seconds, else with the CPU's kernels, which the tests compare with the definition. A
wrong op is not timed. Each call stands between two CUDA events, with the second-level cache swept before it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import Tensor

import sctd
from benchmarks.gpu import REPEATS, SWEEP_BYTES, Clock, facts, in_turn, milliseconds
from sctd.bench.triangles import ALLOWED, MEASURES, Contender, Result, Workload, errors, make_workload, ours
from sctd.ops import triangles

CELLS = ((1_000, 128, "reference"), (20_000, 512, "cpu"), (200_000, 1024, "cpu"))
"""Faces, edge of the picture, and the backend that in float64 is the truth."""
TEXELS = 512
TEXTURE_ALLOWED = 1e-4, 2e-2
"""Of the values and, relative, of the gradients. A place within a rounding of a texel's border is seen in the
next one, where the gradient of uv is another."""


def textured(work: Workload, dtype: torch.dtype, device: str, backend: str) -> Contender:
    """A lookup for each pixel of the picture, about a texel from pixel to pixel, turned."""
    at = torch.arange(TEXELS, dtype=torch.float64) / TEXELS
    waves = [(a * at[:, None] + b * at[None]).sin() for a, b in ((31, 12), (-43, 22), (11, 57))]
    y, x = torch.meshgrid(*2 * [(torch.arange(work.size, dtype=torch.float64) + 0.5) / TEXELS], indexing="ij")
    places = torch.stack((0.8 * x - 0.6 * y + 0.3, 0.6 * x + 0.8 * y + 0.1), -1).float()  # the same for all
    texels = torch.stack(waves, -1).to(device, dtype).requires_grad_()
    uv = places.to(device, dtype).requires_grad_()
    weight = work.weight.to(device, dtype)

    def look() -> Tensor:
        return triangles.texture(texels, uv, backend=backend)

    def both() -> Tensor:
        texels.grad = uv.grad = None
        image = look()
        image.backward(weight)
        return image.detach()

    def result() -> Result:
        image = both()
        assert uv.grad is not None
        assert texels.grad is not None
        return image.double().cpu(), uv.grad.double().cpu(), texels.grad.double().cpu()

    return Contender("texture", sctd.__version__, torch.no_grad()(look), both, result)


def off_picture(found: Result, truth: Result, work: Workload) -> tuple[float, float, bool]:
    """Of the picture and of the worst gradient, and whether that is allowed."""
    off = errors(found, truth, work)
    image, gradient = off["image_error"], max(off["position_error"], off["color_error"])
    return image, gradient, image <= ALLOWED["sctd"][0] and gradient <= ALLOWED["sctd"][1]


def off_texture(found: Result, truth: Result, work: Workload) -> tuple[float, float, bool]:
    """As :func:`off_picture`."""
    image = float((found[0] - truth[0]).abs().max())
    gradient = max(float((a - b).norm() / b.norm()) for a, b in zip(found[1:], truth[1:], strict=True))
    return image, gradient, image <= TEXTURE_ALLOWED[0] and gradient <= TEXTURE_ALLOWED[1]


PARTS = {"picture": (ours, off_picture), "texture": (textured, off_texture)}


def measure(
    cell: tuple[int, int, str], clock: Clock, repeats: int, device: str = "cuda", backend: str = "cuda"
) -> list[dict[str, Any]]:
    """A row for each part: its errors, and p20, p50, p80 of forward and of forward+backward, ms.

    Args:
        cell: of ``CELLS``. clock: tells a call's time on the device.
    """
    count, size, truth = cell
    work = make_workload(count, size)
    rows: list[dict[str, Any]] = []
    calls = {}
    for part, (make, off) in PARTS.items():
        made = make(work, torch.float32, device, backend)
        exact = make(work, torch.float64, "cpu", truth).result()
        image, gradient, right = off(made.result(), exact, work)
        row = {"faces": len(work.faces), "edge": size, "part": part, "off": image, "gradient_off": gradient}
        rows.append(row)
        if right:
            calls[part, "forward"], calls[part, "forward+backward"] = made.forward, made.both
        else:
            row["wrong"] = f"off by {image:.1e}, its gradients by {gradient:.1e}: not timed"
    times = in_turn(calls, clock, repeats)
    for row in rows:
        row |= {kind: found for (part, kind), found in times.items() if part == row["part"]}
    return rows


def markdown(rows: Sequence[dict[str, Any]]) -> list[str]:
    """A table."""
    head = "| faces, edge | part | off, gradients | forward, ms: p20 / p50 / p80 | forward+backward, ms |"
    lines = [head, "|---|---|---|---|---|"]
    for row in rows:
        cells = [
            " / ".join(f"{row[kind][p]:.3f}" for p in ("p20", "p50", "p80")) if kind in row else row["wrong"]
            for kind in MEASURES
        ]
        off = f"{row['off']:.1e}, {row['gradient_off']:.1e}"
        lines.append(f"| {row['faces']}, {row['edge']} | {row['part']} | {off} | {' | '.join(cells)} |")
    return lines


def main(
    json_file: Annotated[Path | None, typer.Option("--json", help="File for the rows.")] = None,
    cells: Annotated[int, typer.Option(min=1, max=len(CELLS), help="Sizes, from the first.")] = len(CELLS),
    repeats: Annotated[int, typer.Option(min=10, help="Turns of each part.")] = REPEATS,
) -> None:
    """Measure and print."""
    if not torch.cuda.is_available():
        print("error: benchmarks.gpu_triangles needs a CUDA device and a Torch built for it", file=sys.stderr)
        raise typer.Exit(2)
    clock = partial(milliseconds, sweep=torch.empty(SWEEP_BYTES, dtype=torch.uint8, device="cuda"))
    rows = [row for cell in CELLS[:cells] for row in measure(cell, clock, repeats)]
    print("\n".join(markdown(rows)))
    if json_file is not None:
        json_file.write_text(json.dumps({"facts": facts(), "rows": rows}, indent=1))


if __name__ == "__main__":
    typer.run(main)
