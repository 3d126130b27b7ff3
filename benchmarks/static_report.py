"""The compiler's figures of the CUDA kernels, without a GPU: registers, spills, occupancy, instructions.

    SCTD_SIMT_MODULE=$(make -s simt) SCTD_PTX_MODULE=$(make -s ptx) python -m benchmarks.static_report
        [--page docs/kernels.md]

Compiles csrc/cuda with nvcc for sm_80 and sm_90, reads ptxas' report and the machine code (sass.py), and runs
the common workload under emulation to count warps and how often the inner loops turn, and once more as nvcc's
PTX, to count what is executed (executed.py). Nothing here is a time:
the bound says how many instruction issues a kernel cannot do without.
"""

from __future__ import annotations

import math
import re
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import executed, triton_static
from benchmarks.pages import Results, save
from benchmarks.pages.kernels import markdown
from benchmarks.sass import Loop, blend_loop, disassemble, working_path
from sctd.ops._backend import native_simt

CUDA = Path(__file__).resolve().parents[1] / "csrc" / "cuda"
FLAGS = ("-std=c++17", "-O3", "-DNDEBUG", "--fmad=false", "-Xptxas=-v", "-cubin")  # as setup.py
ARCHS = ("80", "90")
SHARED_PER_SM = {"80": 164 << 10, "90": 228 << 10}  # bytes; CUDA programming guide, compute capabilities
WARPS_PER_SM, REGISTERS_PER_SM, BLOCKS_PER_SM = 64, 65536, 32
# Budgets of the rasterizer on both architectures, for three colour channels.
BUDGETS = {"blend_forward_kernel<3>": 20.0, "blend_backward_kernel<3, false>": 60.0}
REGISTERS = {
    "project_backward_kernel<false>": 96,  # without the cameras' gradient; the colours' have their own kernel
    "draw_cells_kernel": 64,
    "count_cells_kernel": 48,
    "resolve_kernel": 40,
    "interpolate_kernel": 32,
    "boxes_kernel": 48,
    "attribute_sums_kernel": 48,
    "weight_sums_kernel": 80,
    "forces_kernel": 96,
    "force_sums_kernel": 64,
    "texture_kernel": 32,
    "places_gradient_kernel": 64,
    "texels_gradient_kernel": 40,
}
STACKS = {"draw_cells_kernel": 704, "count_cells_kernel": 640, "boxes_kernel": 640, "forces_kernel": 96}
"""Bytes, where a thread needs an array whose places it finds as it goes: corners and pieces of a face that
planes cut, and the two faces of an edge in the order of their pixels. Elsewhere there is no stack."""
INSTANCES = (*BUDGETS, *REGISTERS, "project_forward_kernel<-1>")
"""Of the templates, those that the common workload launches."""
PTXAS = (
    r"entry function '(\S+)'.*?(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads"
    r".*?Used (\d+) registers([^\n]*)"
)
WORKLOADS = ((1_000, 512), (100_000, 128), (100_000, 512))
MAX_MODELLED = (26e6, 90e6)
"""Warp instructions of the blend loops at 100,000 Gaussians on 512 x 512 pixels, forward and backward."""
A100_ISSUES = 108 * 4 * 1.41e9  # warp instructions a second: SMs, schedulers, clock of the datasheet
MAX_REGISTERS, MAX_SHUFFLES, MAX_ATOMICS = 64, 12, 9


@dataclass(frozen=True)
class Kernel:
    """One kernel on one architecture: bytes of ``stack`` and ``spills`` a thread, of ``shared`` a block."""

    name: str
    arch: str
    registers: int
    stack: int
    spills: int
    shared: int
    block: int
    loop: Loop | None
    path: int  # instructions of a warp that stores its result, at least

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
    """Threads a block, from __launch_bounds__ or the file's kBlock; constants by their names."""
    constants = {"kTileThreads": "128", **dict(re.findall(r"(\w+) = (\d+)[,;]", source))}
    found = re.search(
        rf"__launch_bounds__\((\w+)(?:, [^\n]*)?\)\s+{re.escape(kernel.split('<')[0])}\(", source
    )
    return int(constants.get(found[1] if found else "kBlock", "128"))


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
        for (mangled, stack, stores, loads, registers, rest), name in zip(
            found, demangled([row[0] for row in found]), strict=True
        ):
            shared = re.search(r"(\d+) bytes smem", rest)
            kernels.append(
                Kernel(
                    name,
                    arch,
                    int(registers),
                    int(stack),
                    int(stores) + int(loads),
                    int(shared[1]) if shared else 0,
                    block_size(path.read_text(), name),
                    blend_loop(code[mangled]),
                    working_path(code[mangled]),
                )
            )
    return kernels


def broken_budgets(kernels: list[Kernel]) -> list[str]:
    """Kernels over their budgets, one line each."""
    lines = []
    for k in kernels:
        what = f"{k.name} on sm_{k.arch}"
        if k.spills:
            lines.append(f"{what}: {k.spills} bytes of spills")
        if k.stack > STACKS.get(k.name, 0):
            lines.append(f"{what}: a stack frame of {k.stack} bytes")
        if k.registers > REGISTERS.get(k.name, 255):
            lines.append(f"{what}: {k.registers} registers, at most {REGISTERS[k.name]}")
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


def facts(kernel: Kernel) -> dict[str, Any]:
    """A kernel's figures, as the page shows them."""
    shown = ("name", "arch", "registers", "stack", "spills", "shared")
    numbers = {name: getattr(kernel, name) for name in shown}
    loop = kernel.loop
    turn = None if loop is None else {"pairs": loop.pairs, "kinds": dict(loop.kinds.most_common())}
    return {**numbers, "occupancy": kernel.occupancy, "loop": turn}


def emulated_counts(count: int, size: int) -> dict[str, int]:
    """Counters of one common picture, its gradient and an Adam step over means and colours; and its pairs."""
    simt = native_simt()
    simt.take_counters()
    pairs = executed.one_picture(count, size, "cuda-simt")
    return {**simt.take_counters(), "pairs": pairs}


def modelled(kernels: list[Kernel], counts: dict[str, int]) -> tuple[float, float]:
    """Warp instructions of the blend loops, forward and backward: an item is two pixels a lane."""
    loops = {k.name: k.loop for k in kernels if k.arch == "80" and k.loop is not None}
    forward, backward = (2 * loops[name].per_pair for name in BUDGETS)
    return counts["forward_items"] * forward, counts["backward_items"] * backward


def fewest_instructions(kernel: Kernel, warps: int, counts: dict[str, int]) -> int:
    """Warp instructions that so many warps of a kernel issue at least; of a blend kernel its loop alone."""
    loop = kernel.loop
    if loop is None:
        return warps * kernel.path
    if "forward" in kernel.name:  # a turn takes two items
        return counts["forward_items"] // 2 * loop.shortest
    drawn = counts["backward_reductions"]
    return (counts["backward_items"] - drawn) * loop.shortest + drawn * loop.instructions


def bounds(kernels: list[Kernel], counts: dict[str, int]) -> list[dict[str, Any]]:
    """The fewest instructions of every kernel, and the time in which issuing them would fit."""
    rows: list[dict[str, Any]] = []
    on_80 = {k.name: k for k in kernels if k.arch == "80"}
    for key, warps in sorted(counts.items()):
        if not key.startswith("warps "):
            continue
        base = key.removeprefix("warps ").strip("()").split("<")[0]
        kernel = next(
            on_80[name] for name in (base, *INSTANCES) if name.split("<")[0] == base and name in on_80
        )
        fewest = fewest_instructions(kernel, warps, counts)
        issued = {"instructions": fewest, "bound_us": fewest / A100_ISSUES * 1e6}
        rows.append({"kernel": kernel.name, "warps": warps, **issued})
    return rows


def our_kernels() -> list[Kernel]:
    """All but CUB's, on both architectures."""
    files = [path for path in sorted(CUDA.glob("*.cu")) if path.stem not in ("primitives", "device")]
    return [kernel for arch in ARCHS for kernel in compiled(arch, files)]


def results(kernels: list[Kernel], triton_kernels: list[triton_static.Kernel]) -> Results:
    """The numbers of the page."""
    counted = {workload: emulated_counts(*workload) for workload in WORKLOADS}
    rows = []
    for (count, size), counts in counted.items():
        forward, backward = modelled(kernels, counts)
        found = {"pairs": counts["pairs"], "items": counts["forward_items"]}
        rows.append({"gaussians": count, "edge": size, **found, "forward": forward, "backward": backward})
    pictures = {workload: executed.executed_counts(*workload) for workload in executed.SHOWN}
    faces, edge = executed.MESH
    mesh = executed.executed_counts(faces, edge, executed.one_mesh)
    return {
        "nvcc": executed.release(),
        "triton": version("triton"),
        "kernels": [facts(kernel) for kernel in kernels],
        "modelled": rows,
        "pictures": [
            {"gaussians": count, "edge": size, "stages": executed.stages(of)}
            for (count, size), of in pictures.items()
        ],
        "executed": dict(sorted(pictures[executed.SHOWN[-1]].items())),
        "mesh": {"faces": faces, "edge": edge, "executed": dict(sorted(mesh.items()))},
        "bounds": bounds(kernels, counted[WORKLOADS[-1]]),
        "triton_kernels": [asdict(kernel) for kernel in triton_kernels],
    }


def main(page: Annotated[Path | None, typer.Option(help="Markdown page to write.")] = None) -> None:
    """Print the page, or write it with its numbers beside it."""
    kernels = our_kernels()
    triton_kernels = triton_static.in_a_process_of_its_own()
    found = results(kernels, triton_kernels)
    print(markdown(found))
    for line in broken_budgets(kernels) + triton_static.broken_budgets(triton_kernels):
        print(f"over budget: {line}")
    if page is not None:
        save(page, found, markdown)


if __name__ == "__main__":
    typer.run(main)
