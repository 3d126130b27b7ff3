"""The CUDA and Triton kernels as the compiler sees them, by benchmarks/static_report.py: the page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from benchmarks.pages import Results, header

INTRODUCTION = """\
# The CUDA kernels, as the compiler sees them

Written by `SCTD_SIMT_MODULE=$(make -s simt) SCTD_PTX_MODULE=$(make -s ptx) python -m
benchmarks.static_report --page docs/kernels.md`; no GPU took part, nothing here is a time. Budgets, for
three channels on sm_80 and sm_90: no spills, at most 64 registers in the blend kernels, at most 20
instructions a (pixel, Gaussian) forward and 60 backward, at most 12 shuffles and one atomic instruction (9
lanes) for each (sub-tile, Gaussian); no stack, but for faces that planes cut and the two faces of an edge.
`tests/ops/test_cuda_static.py` holds the kernels to them, and this
page to the kernels, where nvcc is of the release that made it: {nvcc}.
"""
MODEL = """
Warp instructions of the blend loops for one picture of the common workload (`sctd/bench/workload.py`), as
rasterizers are modelled: items, (8x8 sub-tile, Gaussian) that the emulation counted, times all instructions
of a turn.
"""
TRITON = """
The Triton kernels, compiled ahead of time by Triton {version} (`python -m benchmarks.triton_static`); no
spills, which would stand in the column of the stack:
"""
EXECUTED = """
What warps execute of the kernels for a picture of that workload, its gradient and an Adam step, counted by
running nvcc's PTX for sm_80 in lockstep (`csrc/ptx`, `python -m benchmarks.executed`): whole kernels with
all their loops, in PTX instructions. Machine instructions differ: a turn of the backward loop has 154 of PTX
and fewer than 120 of the machine, a division or a root is one of PTX and many of the machine. Then 32-byte
sectors of global loads and stores, and atomic instructions. `tests/benchmarks/test_executed.py` holds the
counts of two small pictures; the last table is of the largest.
"""
MESHES = """
The same of the triangle kernels (`triangle_draw.cu`, `triangle_shade.cu`, `texture.cu`): a textured sphere of
{count} faces on {size} x {size} pixels, drawn, its edges included, and the gradient of its vertices,
attributes and texels. The sort of the texture's places and the prefix sum of the faces' cells are CUB's and
not counted.
"""
STEPS = """
What brought them there, M instructions of the picture of 10000 Gaussians on 256 x 256 pixels:

| step | forward | backward | count + emit |
|---|---|---|---|
| at first | 5.05 | 16.27 | 1.45 |
| a 32-byte record; the exponent as two squares; edges at turning points | 4.10 | 15.21 | 0.60 |
| lookups kept at hand; a choice by bits is one instruction | 3.99 | 11.52 | 0.60 |
| a warp gathers 32 footprints before it packs them; pixels end without branches | 3.83 | 11.52 | 0.60 |
| one loop less nested, one comparison less | 3.78 | 11.52 | 0.60 |
| counting keeps what it found for emitting | 3.78 | 11.52 | 0.50 |

The Adam step went from 0.22 to 0.11 there: factors once, norms by as many blocks as the size asks for. Most
of the backward pass's second step changes the PTX alone: the compiler had made one machine instruction of it
before. The forward pass misses its target by 5%: of the 82 instructions of a turn 8 are negations, which
the machine does not have, and the rest loads two footprints, blends them at two pixels, ends and counts.
Unrolling the loop once more made the pass longer, 23.2 M, and was left out.
"""
BOUND = """
What a picture with its gradient and one Adam step cannot do without, {count} Gaussians on {size} x {size}
pixels on sm_80: warps that the emulation counted, times the fewest instructions of a warp that stores its
result; of the blend kernels only their loop, a shorter turn for items that are not drawn. The bound is the
time in which an A100 could issue so many, if nothing waited: a **lower bound, no measurement**. The sort and
the prefix sum are CUB's and not counted; loops elsewhere count as passed by.
"""
TARGETS = (
    ((100_000, 512), "forward", 30.43, 21),
    ((100_000, 512), "backward", 89.38, 80),
    ((100_000, 512), "count + emit", 13.81, 5),
    ((100_000, 128), "count + emit", 12.13, 4),
)
"""Picture, stage, M instructions that it took at first, and at most so many that it was to take."""


def _millions(count: float) -> str:
    return f"{count / 1e6:.2f}"


def _resources(kernels: list[dict[str, Any]]) -> list[str]:
    """Registers and memory of every kernel, then the inner loops of the blend kernels."""
    lines = header("kernel", "sm", "registers", "stack, bytes", "spills, bytes", "shared, bytes", "occupancy")
    for k in kernels:
        memory = f"{k['stack']} | {k['spills']} | {k['shared']}"
        lines.append(f"| `{k['name']}` | {k['arch']} | {k['registers']} | {memory} | {k['occupancy']:.0%} |")
    lines += [
        "",
        *header("inner loop", "sm", "instructions", "pairs a turn", "instructions a pair", "of which"),
    ]
    for k in kernels:
        if k["loop"] is None:
            continue
        kinds, pairs = k["loop"]["kinds"], k["loop"]["pairs"]
        total = sum(kinds.values())
        parts = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        lines.append(f"| `{k['name']}` | {k['arch']} | {total} | {pairs} | {total / pairs:.1f} | {parts} |")
    return lines


def _modelled(rows: list[dict[str, Any]]) -> list[str]:
    return [
        *header("Gaussians, edge", "(tile, Gaussian) pairs", "items", "forward, M", "backward, M"),
        *(
            f"| {r['gaussians']}, {r['edge']} | {r['pairs']} | {r['items']} "
            f"| {r['forward'] / 1e6:.1f} | {r['backward'] / 1e6:.1f} |"
            for r in rows
        ),
    ]


def _stages(rows: list[dict[str, Any]]) -> list[str]:
    """Stages of every picture, then their targets."""
    found = {(r["gaussians"], r["edge"]): r["stages"] for r in rows}
    lines = header("Gaussians, edge", *(f"{stage}, M" for stage in rows[0]["stages"]))
    for (count, size), stages in found.items():
        lines.append(f"| {count}, {size} | {' | '.join(map(_millions, stages.values()))} |")
    lines += ["", *header("Gaussians, edge", "stage", "at first, M", "target, M", "now, M")]
    for (count, size), stage, first, target in TARGETS:
        now = _millions(found[count, size][stage])
        lines.append(f"| {count}, {size} | {stage} | {first:.2f} | {target:.2f} | {now} |")
    return lines


def _executed(kernels: dict[str, dict[str, int]]) -> list[str]:
    lines = header("kernel", "warps", "instructions, M", "sectors, M", "atomics, M")
    for name, of in kernels.items():
        numbers = " | ".join(_millions(of[what]) for what in ("instructions", "sectors", "atomics"))
        lines.append(f"| `{name}` | {of['warps']} | {numbers} |")
    return lines


def _bounds(rows: list[dict[str, Any]]) -> list[str]:
    return [
        *header("kernel", "warps", "instructions, M, at least", "bound, us"),
        *(
            f"| `{r['kernel']}` | {r['warps']} | {_millions(r['instructions'])} | {r['bound_us']:.1f} |"
            for r in rows
        ),
    ]


def triton_table(kernels: list[dict[str, Any]]) -> list[str]:
    """Registers and memory of every Triton kernel."""
    columns = ("arch", "warps", "registers", "stack", "shared")
    return [
        *header("Triton kernel", "sm", "warps", "registers", "stack, bytes", "shared, bytes"),
        *(f"| `{k['name']}` | {' | '.join(str(k[column]) for column in columns)} |" for k in kernels),
    ]


def markdown(results: Results) -> str:
    """The page."""
    largest = results["modelled"][-1]
    mesh = results["mesh"]
    parts: tuple[str | Iterable[str], ...] = (
        INTRODUCTION.format(nvcc=results["nvcc"]),
        _resources(results["kernels"]),
        MODEL,
        _modelled(results["modelled"]),
        EXECUTED,
        [*_stages(results["pictures"]), "", *_executed(results["executed"])],
        STEPS,
        MESHES.format(count=mesh["faces"], size=mesh["edge"]),
        _executed(mesh["executed"]),
        BOUND.format(count=largest["gaussians"], size=largest["edge"]),
        _bounds(results["bounds"]),
        TRITON.format(version=results["triton"]),
        triton_table(results["triton_kernels"]),
        "",
    )
    return "\n".join(part if isinstance(part, str) else "\n".join(part) for part in parts)
