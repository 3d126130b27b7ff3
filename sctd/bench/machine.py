"""The machine of a row: processor, versions, threads, commit; no names of hosts."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

import sctd
from sctd.machine.cores import usable_cores
from sctd.ops import get_num_threads
from sctd.ops._backend import native

_LIMITS = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "MKL_NUM_THREADS", "SCTD_NUM_THREADS")
UNKNOWN = "unknown"


def facts(threads: int | None = None) -> dict[str, Any]:
    """Everything about this process that a number depends on; plain values for JSON.

    Args:
        threads: set for torch and the native core first; None leaves both as they are.
    """
    if threads is not None:
        from sctd.ops import set_num_threads

        set_num_threads(threads)
        torch.set_num_threads(threads)
    core = native()
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count() or 1,
        "usable_cores": usable_cores(),
        "memory_gib": _memory_gib(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "sctd": sctd.__version__,
        "commit": commit(Path(sctd.__file__).resolve().parents[1]),
        "compiler": str(getattr(core, "compiler", UNKNOWN)),
        "isa": str(core.isa()),
        "native_threads": get_num_threads(),
        "torch_threads": torch.get_num_threads(),
        "environment": {name: os.environ[name] for name in _LIMITS if name in os.environ},
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def cpu_model() -> str:
    """The processor's name."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or UNKNOWN


def commit(root: Path) -> str:
    """Git commit of a checkout, "-dirty" when tracked files differ from it; "unknown" elsewhere."""
    if not (root / ".git").exists():
        return UNKNOWN
    try:
        head, changed = (
            subprocess.run(
                ["git", "-C", str(root), *command], capture_output=True, text=True, check=True, timeout=20
            ).stdout.strip()
            for command in (("rev-parse", "--short=12", "HEAD"), ("status", "--porcelain", "-uno"))
        )
    except (OSError, subprocess.SubprocessError):
        return UNKNOWN
    return f"{head}-dirty" if changed else head


def _memory_gib() -> float | None:
    with suppress(OSError):
        found = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text(encoding="ascii"))
        if found:
            return round(int(found[1]) / 2**20, 1)
    return None


def describe(facts: dict[str, Any]) -> str:
    """One line under a table or over a plot."""
    return (
        f"{facts['cpu']}, {facts['usable_cores']} cores, {facts['native_threads']} native and "
        f"{facts['torch_threads']} torch threads, {facts['isa']}, compiler {facts['compiler']}, "
        f"python {facts['python']}, torch {facts['torch']}, sctd {facts['sctd']} at {facts['commit']}, "
        f"{facts['date']}"
    )
