"""Counts the instructions that a GPU would execute in the CUDA kernels, and compares with committed counts.

    SCTD_PTX_MODULE=$(make -s ptx) python -m benchmarks.executed [--update]

The executor of PTX (csrc/ptx) runs nvcc's output for sm_80, in lockstep, on one picture of the common
workload, its gradient and an Adam step, and on a textured mesh and its gradient: instructions that warps
executed, whole kernels with all their loops; 32-byte sectors that their global loads and stores touched;
global atomic instructions. PTX is not machine code: ptxas makes one instruction of two here and there, or
the other way round. Counts are those of one release of nvcc.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks import instructions
from sctd.bench import triangles as meshes
from sctd.bench.workload import make_workload
from sctd.ops import AdamGroup, adam_schedule, adam_step_, rasterization, triangles
from sctd.ops._backend import native_ptx

COUNTS = Path(__file__).with_suffix(".json")
HELD = ((1_000, 64), (10_000, 256))
"""Gaussians and edge of the pictures whose counts are committed."""
SHOWN = ((1_000, 64), (10_000, 256), (100_000, 128), (100_000, 512))
"""Those on the page."""
HELD_MESHES = ((1_000, 64),)
"""Faces and edge of the pictures of meshes whose counts are committed."""
MESH = (20_000, 128)
"""The one on the page."""
WHAT = ("instructions", "sectors", "atomics")
STAGES = {
    "forward": ("blend_forward",),
    "backward": ("blend_backward",),
    "count + emit": ("count_tiles", "emit_pairs"),
    "project forward": ("project_forward",),
    "project backward": ("project_backward",),
}
"""Name => beginnings of its kernels' names."""
Counts = dict[str, dict[str, int]]
"""Counts by name, for each kernel."""


def one_picture(count: int, size: int, backend: str) -> int:
    """A picture, its gradient and an Adam step over means and colours; its (tile, Gaussian) pairs."""
    scene = make_workload(count, size, cameras=1)
    for name in ("means", "colors"):
        scene[name].requires_grad_()
    renders, _, meta = rasterization(**scene, backend=backend)
    renders.sum().backward()
    groups = [AdamGroup(*(torch.zeros_like(scene["means"]) for _ in range(4))) for _ in range(2)]
    schedule = adam_schedule([0.1, 0.1], step=1, beta1=0.9, beta2=0.99)
    adam_step_(groups, schedule, beta1=0.9, beta2=0.99, eps=1e-15, backend=backend)
    return int(meta["n_pairs"])


def one_mesh(count: int, size: int, backend: str) -> None:
    """The sphere of ``sctd bench triangles`` with a texture, its edges and every gradient."""
    work = meshes.make_workload(count, size)
    leaves = (work.clip(), work.colors, torch.linspace(0, 1, 32 * 32 * 3).reshape(32, 32, 3))
    vertices, attributes, texels = (t.float().requires_grad_() for t in leaves)
    mesh = triangles.topology(work.faces, vertices.shape[1])
    drawn = triangles.rasterize(vertices, mesh, size, size, backend=backend)
    shaded = triangles.interpolate(attributes, vertices, mesh, drawn, backend=backend)
    picture = shaded * triangles.texture(texels, shaded[..., :2], backend=backend)
    picture = triangles.edge_gradient(picture, vertices, mesh, drawn, backend=backend)
    picture.backward(work.weight[None].float())


def executed_counts(count: int, size: int, draw: Callable[[int, int, str], object] = one_picture) -> Counts:
    """Counts of warps' work in :func:`one_picture`, or another.

    Raises:
        BackendUnavailable: SCTD_PTX_MODULE names no module.
    """
    executor = native_ptx()
    executor.schedule()
    executor.take_counters()
    draw(count, size, "cuda-ptx")
    found: Counts = executor.take_counters()
    return found


def flat(counts: Counts) -> dict[str, int]:
    """One number a name, as :func:`benchmarks.instructions.differences` compares them."""
    return {
        f"{kernel} {what}": of[what] for kernel, of in sorted(counts.items()) for what in WHAT if of[what]
    }


def release() -> str:
    """Of nvcc, for example 13.0."""
    told = subprocess.run(["nvcc", "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"release (\S+),", told)
    return found[1] if found else "unknown"


def held() -> dict[str, Any]:
    """nvcc's release, and the counts of each picture that is held, as they are committed."""
    counts = {f"{count}, {size}": flat(executed_counts(count, size)) for count, size in HELD}
    for count, size in HELD_MESHES:
        counts[f"{count} faces, {size}"] = flat(executed_counts(count, size, one_mesh))
    return {"nvcc": release(), "counts": counts}


def differences(now: dict[str, Any], committed: dict[str, Any]) -> list[str]:
    """Counts that differ by more than a CPU's exponential explains, a line each."""
    return [
        f"{picture}: {line}"
        for picture, counts in now["counts"].items()
        for line in instructions.differences(counts, committed["counts"].get(picture, {}))
    ]


def stages(counts: Counts) -> dict[str, int]:
    """Instructions of each stage."""
    return {
        stage: sum(of["instructions"] for kernel, of in counts.items() if kernel.startswith(begins))
        for stage, begins in STAGES.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--update", action="store_true", help="commit these counts")
    now = held()
    if parser.parse_args().update:
        COUNTS.write_text(json.dumps(now, indent=2) + "\n")
        return
    print("\n".join(differences(now, json.loads(COUNTS.read_text()))) or "as committed")


if __name__ == "__main__":
    main()
