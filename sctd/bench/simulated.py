"""The emulated CUDA kernels on the common workload: what they count, and never a time.

An emulation on a CPU says nothing about how long a GPU takes; how many items its warps look at is exact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sctd.bench.check import Job, agreement, make_truth, values_of
from sctd.bench.pairs import count_pairs
from sctd.bench.peers import ours
from sctd.bench.report import Row
from sctd.bench.workload import make_workload
from sctd.ops._backend import native_simt

if TYPE_CHECKING:
    from sctd.bench.raster import Options, Say


def count_cells(options: Options, machine: dict[str, Any], say: Say) -> list[Row]:
    """One row a cell with the emulation's counters, all cameras together.

    Raises:
        BackendUnavailable: SCTD_SIMT_MODULE names no module.
    """
    counters = native_simt()
    rows = []
    for cell in options.cells:
        say(f"{cell.name}: running the CUDA kernels under emulation")
        scene = make_workload(cell.count, cell.size, options.cameras)
        pairs = count_pairs(scene)
        truth = make_truth(scene, pairs)
        rasterizer = ours("cuda-simt")
        counters.take_counters()
        found = agreement(Job(rasterizer, scene, truth.weights), truth)
        counts = counters.take_counters()
        fault = found.fault(rasterizer.tolerance)
        values: dict[str, float | None] = {**values_of(truth, pairs), **found.values()}
        if fault is None:
            values |= {name: float(count) for name, count in counts.items()}
        rows.append(
            Row(
                suite="raster",
                cell=cell.name,
                measure="counts",
                provider=rasterizer.name,
                version=rasterizer.version,
                device_class="simulated",
                settings={"backend": "cuda-simt", "cameras": options.cameras},
                machine=machine,
                status="ok" if fault is None else "wrong",
                note=fault or "",
                values=values,
            )
        )
    return rows
