"""What the compiler says about the CUDA kernels, without a GPU: registers, spills, occupancy, instructions.

    SCTD_SIMT_MODULE=$(make -s simt) python -m benchmarks.static_report [--page docs/kernels.md]

Compiles csrc/cuda with nvcc for sm_80 and sm_90, reads ptxas' report and the machine code (sass.py), and runs
the common workload under emulation to count how often the inner loops turn. Nothing here is a time: the bound
says how many instruction issues a kernel cannot do without.
"""

from __future__ import annotations

import math
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.sass import Loop, blend_loop, disassemble
from sctd.bench.workload import make_workload
from sctd.ops import rasterization
from sctd.ops._backend import native_simt

CUDA = Path(__file__).resolve().parents[1] / "csrc" / "cuda"
FLAGS = ("-std=c++17", "-O3", "-DNDEBUG", "--fmad=false", "-Xptxas=-v", "-cubin")  # as setup.py
ARCHS = ("80", "90")
SHARED_PER_SM = {"80": 164 << 10, "90": 228 << 10}  # bytes; CUDA programming guide, compute capabilities
WARPS_PER_SM, REGISTERS_PER_SM, BLOCKS_PER_SM = 64, 65536, 32
# What the rasterizer is held to on both architectures, for three colour channels.
BUDGETS = {"blend_forward_kernel<3>": 20.0, "blend_backward_kernel<3, false>": 60.0}
PTXAS = (
    r"entry function '(\S+)'.*?(\d+) bytes spill stores, (\d+) bytes spill loads"
    r".*?Used (\d+) registers([^\n]*)"
)
WORKLOADS = ((1_000, 512), (100_000, 128), (100_000, 512))
A100_ISSUES = 108 * 4 * 1.41e9  # warp instructions a second: SMs, schedulers, clock of the datasheet
MAX_REGISTERS, MAX_SHUFFLES, MAX_ATOMICS = 64, 12, 9


INTRODUCTION = """\
# The CUDA kernels, as the compiler sees them

Written by `SCTD_SIMT_MODULE=$(make -s simt) python -m benchmarks.static_report --page docs/kernels.md`;
no GPU took part, nothing here is a time. Budgets, for three channels on sm_80 and sm_90: no
spills, at most 64 registers in the blend kernels, at most 20 instructions a (pixel, Gaussian) forward
and 60 backward, at most 12 shuffles and one atomic instruction (9 lanes) for each (sub-tile, Gaussian).
`tests/ops/test_cuda_static.py` holds the kernels to them.
"""
MODEL = """
Warp instructions of the blend loops for one picture of the common workload (`sctd/bench/workload.py`):
items that the emulation counted, times the instructions above. The last column is a lower bound, the
time in which an A100 could issue them if nothing else happened and nothing waited; no kernel has been
timed.
"""


@dataclass(frozen=True)
class Kernel:
    """One kernel on one architecture. ``shared`` in bytes a block, ``block`` in threads."""

    name: str
    arch: str
    registers: int
    spills: int
    shared: int
    block: int
    loop: Loop | None

    @property
    def occupancy(self) -> float:
        """Share of an SM's warp slots that can be filled: limits of registers, shared memory and blocks."""
        warps = math.ceil(self.block / 32)
        registers = math.ceil(self.registers * 32 / 256) * 256  # a warp gets them in pieces of 256
        fit = min(
            REGISTERS_PER_SM // (registers * warps),
            SHARED_PER_SM[self.arch] // (self.shared + 1024),  # the system keeps 1 KiB of each block's
            BLOCKS_PER_SM,
            WARPS_PER_SM // warps,
        )
        return fit * warps / WARPS_PER_SM


def demangled(names: list[str]) -> list[str]:
    """Short names: blend_forward_kernel<3>."""
    text = subprocess.run(
        ["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True
    ).stdout
    return [re.sub(r"^.*?(\w+_kernel(?:<[^>]*>)?)\(.*$", r"\1", line) for line in text.splitlines()]


def block_size(source: str, kernel: str) -> int:
    """Threads a block, from __launch_bounds__ or the file's kBlock."""
    text = re.sub(r"kTileThreads", "128", source)
    found = re.search(rf"__launch_bounds__\((\w+)\) {re.escape(kernel.split('<')[0])}\(", text)
    if found and found[1].isdigit():
        return int(found[1])
    constant = re.search(r"kBlock = (\d+)", text)
    return int(constant[1]) if constant else 128


def compiled(arch: str, files: list[Path]) -> list[Kernel]:
    """Every kernel of the files on one architecture."""
    kernels = []
    for path in files:
        with tempfile.TemporaryDirectory() as folder:
            cubin = Path(folder) / "kernels.cubin"
            command = ["nvcc", *FLAGS, f"-arch=sm_{arch}", str(path), "-o", str(cubin)]
            report = subprocess.run(command, capture_output=True, text=True, check=True).stderr
            code = disassemble(cubin)
        found = re.findall(PTXAS, report, re.DOTALL)
        for (mangled, stores, loads, registers, rest), name in zip(
            found, demangled([row[0] for row in found]), strict=True
        ):
            shared = re.search(r"(\d+) bytes smem", rest)
            kernels.append(
                Kernel(
                    name,
                    arch,
                    int(registers),
                    int(stores) + int(loads),
                    int(shared[1]) if shared else 0,
                    block_size(path.read_text(), name),
                    blend_loop(code[mangled]),
                )
            )
    return kernels


def broken_budgets(kernels: list[Kernel]) -> list[str]:
    """What exceeds its budget, one line each."""
    lines = []
    for k in kernels:
        what = f"{k.name} on sm_{k.arch}"
        if k.spills:
            lines.append(f"{what}: {k.spills} bytes of spills")
        if not k.name.startswith("blend_") or k.loop is None:
            continue
        if k.registers > MAX_REGISTERS:
            lines.append(f"{what}: {k.registers} registers, at most {MAX_REGISTERS}")
        if k.name not in BUDGETS:
            continue
        if k.loop.per_pair > BUDGETS[k.name]:
            lines.append(f"{what}: {k.loop.per_pair:.1f} instructions a pair, at most {BUDGETS[k.name]}")
        if k.loop.kinds["shuffle"] > MAX_SHUFFLES:
            lines.append(f"{what}: {k.loop.kinds['shuffle']} shuffles, at most {MAX_SHUFFLES}")
        if k.loop.kinds["atomic"] > 1:  # one instruction, in which 9 lanes write
            lines.append(
                f"{what}: {k.loop.kinds['atomic']} atomic instructions, at most 1 of {MAX_ATOMICS} lanes"
            )
    return lines


def table(kernels: list[Kernel]) -> list[str]:
    """Markdown: resources of every kernel, then the inner loops of the blend kernels."""
    lines = [
        "| kernel | sm | registers | spills, bytes | shared, bytes | occupancy |",
        "|---|---|---|---|---|---|",
    ]
    for k in kernels:
        lines.append(
            f"| `{k.name}` | {k.arch} | {k.registers} | {k.spills} | {k.shared} | {k.occupancy:.0%} |"
        )
    lines += [
        "",
        "| inner loop | sm | instructions | pairs a turn | instructions a pair | of which |",
        "|---|---|---|---|---|---|",
    ]
    for k in kernels:
        if k.loop is None:
            continue
        parts = ", ".join(f"{n} {name}" for name, n in k.loop.kinds.most_common())
        counts = f"{k.loop.instructions} | {k.loop.pairs} | {k.loop.per_pair:.1f}"
        lines.append(f"| `{k.name}` | {k.arch} | {counts} | {parts} |")
    return lines


def emulated_counts(count: int, size: int) -> dict[str, int]:
    """Items of one common picture, (8x8 sub-tile, Gaussian) that a warp looks at, and pairs."""
    simt = native_simt()
    simt.take_counters()
    scene = make_workload(count, size, cameras=1)
    scene["colors"].requires_grad_()
    renders, _, meta = rasterization(**scene, backend="cuda-simt")
    renders.sum().backward()
    return {**simt.take_counters(), "pairs": meta["n_pairs"]}


def bounds(kernels: list[Kernel]) -> list[str]:
    """Markdown: warp instructions of the blend loops, and the time in which their issue alone would fit."""
    lines = [
        "| Gaussians, edge | (tile, Gaussian) pairs | items | forward, M | backward, M | bound, ms |",
        "|---|---|---|---|---|---|",
    ]
    loops = {k.name: k.loop for k in kernels if k.arch == "80" and k.loop is not None}
    forward, backward = (loops[name] for name in BUDGETS)
    for count, size in WORKLOADS:
        counts = emulated_counts(count, size)
        # an item is two pixels a lane
        f = counts["forward_items"] * 2 * forward.per_pair / 1e6
        b = counts["backward_items"] * 2 * backward.per_pair / 1e6
        items = f"{counts['pairs']} | {counts['forward_items']}"
        bound = (f + b) * 1e6 / A100_ISSUES * 1e3
        lines.append(f"| {count}, {size} | {items} | {f:.1f} | {b:.1f} | {bound:.3f} |")
    return lines


def main(page: Annotated[Path | None, typer.Option(help="Markdown page to write.")] = None) -> None:
    """Print the report, or write it."""
    files = sorted(CUDA.glob("*.cu"))
    kernels = [k for arch in ARCHS for k in compiled(arch, files) if k.name.endswith(("_kernel", ">"))]
    kernels = [k for k in kernels if "cub" not in k.name]
    text = "\n".join([INTRODUCTION, *table(kernels), MODEL, *bounds(kernels), ""])
    print(text)
    for line in broken_budgets(kernels):
        print(f"over budget: {line}")
    if page is not None:
        page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
