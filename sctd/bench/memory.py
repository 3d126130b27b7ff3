"""Extra memory of a call, measured in its own process so that no earlier work affects it.

    python -c "from sctd.bench.memory import main; main()" '{"name": "sctd", ...}'

The peak of the resident memory during two calls of forward and backward, above what the process held with
torch, the kernels and the inputs loaded and warmed up on a tiny cell. On Linux the kernel's high-water mark
is reset first; elsewhere getrusage's is used, which the warm-up may have raised already: a lower bound.
"""

from __future__ import annotations

import ctypes
import json
import re
import resource
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sctd.errors import SctdError

if TYPE_CHECKING:
    from sctd.bench.options import RasterOptions
    from sctd.bench.workload import Cell

WARM_CELL = (200, 32)


def reset_peak() -> None:
    """Reset the high-water mark to the present size, where the system can."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_mb() -> float:
    """Largest resident size of this process since :func:`reset_peak`, MB."""
    found = _status("VmHWM")
    if found is not None:
        return found
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest / 1e6 if sys.platform == "darwin" else largest * 1024 / 1e6


def present_mb() -> float:
    """Resident size of this process now, MB; the peak where the system does not report it."""
    found = _status("VmRSS")
    return peak_mb() if found is None else found


def give_back_mb() -> float:
    """Make the C library return freed memory to the system; returns the MB; 0 without glibc."""
    before = present_mb()
    if sys.platform.startswith("linux") and hasattr(ctypes.CDLL(None), "malloc_trim"):
        ctypes.CDLL(None).malloc_trim(0)
    return max(0.0, before - present_mb())


def _status(field: str) -> float | None:
    with suppress(OSError):
        found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
        if found:
            return int(found[1]) * 1024 / 1e6
    return None


def call_child(module: str, task: dict[str, Any]) -> dict[str, Any]:
    """Run ``module.main`` in its own process; returns the JSON of its last line.

    Raises:
        SctdError: the process failed; with the last line that it wrote to stderr.
    """
    code = f"from {module} import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(task)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise SctdError(f"a measuring process ended with code {done.returncode}: {last}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def extra_mb(name: str, cell: Cell, options: RasterOptions) -> float | None:
    """Extra memory of a contender in a cell, MB; None when its process ran out of memory or was killed."""
    task = {
        "name": name,
        "backend": options.backend,
        "count": cell.count,
        "size": cell.size,
        "cameras": options.cameras,
        "threads": options.threads,
    }
    try:
        return float(call_child(__name__, task)["extra_mb"])
    except SctdError:
        return None


def main() -> None:
    """The child process."""
    task = json.loads(sys.argv[1])
    from sctd.bench.check import Job
    from sctd.bench.machine import facts
    from sctd.bench.peers import ours, peer
    from sctd.bench.workload import make_weights, make_workload

    facts(task["threads"])
    rasterizer = ours(task["backend"]) if task["name"] == "sctd" else peer(task["name"])

    def job(count: int, size: int) -> Job:
        cameras = task["cameras"]
        return Job(rasterizer, make_workload(count, size, cameras), make_weights(size, cameras))

    job(*WARM_CELL).forward_backward()
    measured = job(task["count"], task["size"])
    before = present_mb()
    reset_peak()
    measured.forward_backward()
    measured.forward_backward()
    sys.stdout.write(json.dumps({"extra_mb": max(0.0, peak_mb() - before)}) + "\n")
