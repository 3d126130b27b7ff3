"""The CUDA kernels on the common workload, emulated or executed as PTX: counts, and never a time.

Neither tells on a CPU how long a GPU takes; the number of items that warps process, and of instructions that
they execute, is exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sctd.bench.check import Job, agreement, make_truth, values_of
from sctd.bench.options import RasterOptions, Say
from sctd.bench.pairs import count_pairs
from sctd.bench.peers import ours
from sctd.bench.report import Row
from sctd.bench.workload import make_workload
from sctd.ops._backend import cuda_module


def _flat(counters: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """The emulation's counters are numbers, the executor's numbers of each kernel."""
    for name, value in counters.items():
        if isinstance(value, int):
            yield name, value
        else:
            yield from ((f"{name} {what}", count) for what, count in value.items())


def count_cells(options: RasterOptions, machine: dict[str, Any], say: Say) -> list[Row]:
    """One row a cell with the backend's counters, all cameras together.

    Raises:
        BackendUnavailable: SCTD_SIMT_MODULE, or SCTD_PTX_MODULE, names no module.
    """
    counters = cuda_module(options.backend)
    rows = []
    for cell in options.cells:
        say(f"{cell.name}: running the CUDA kernels with backend {options.backend}")
        scene = make_workload(cell.count, cell.size, options.cameras)
        pairs = count_pairs(scene)
        truth = make_truth(scene, pairs)
        rasterizer = ours(options.backend)
        counters.take_counters()
        found = agreement(Job(rasterizer, scene, truth.weights), truth)
        counts = dict(_flat(counters.take_counters()))
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
                settings={"backend": options.backend, "cameras": options.cameras},
                machine=machine,
                status="ok" if fault is None else "wrong",
                note=fault or "",
                values=values,
            )
        )
    return rows
