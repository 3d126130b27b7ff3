"""The cores that this process may use: its affinity, and the CPU quota of the containers around it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")


def allowed_cores() -> list[int]:
    """The numbers of the cores in this process's affinity."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def quota(root: Path = CGROUPS, own: Path = OWN_CGROUPS) -> float | None:
    """The smallest CPU quota of the control groups that this process is in, in cores; None without one.

    Source: the kernel's documentation of ``cpu.max`` (version 2) and ``cpu.cfs_quota_us`` (version 1).

    Args:
        root: the mount point of the control groups.
        own: the file that lists the groups of this process.
    """
    try:
        lines = own.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    found = []
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0":
            found += list(_limits_v2(root, path)) + list(_limits_v2(root / "unified", path))
        elif "cpu" in controllers.split(","):
            found += list(_limits_v1(root / "cpu", path)) + list(_limits_v1(root / controllers, path))
    return min(found, default=None)


def _levels(root: Path, path: str) -> Iterator[Path]:
    """The group's folder and those above it up to the mount, which inside a container is its own group."""
    parts = [part for part in path.split("/") if part not in ("", "..")]
    for n in range(len(parts), -1, -1):
        yield root.joinpath(*parts[:n])


def _limits_v2(root: Path, path: str) -> Iterator[float]:
    for folder in _levels(root, path):
        words = _words(folder / "cpu.max")
        if len(words) == 2 and words[0].isdecimal() and words[1].isdecimal() and int(words[1]):
            yield int(words[0]) / int(words[1])


def _limits_v1(root: Path, path: str) -> Iterator[float]:
    for folder in _levels(root, path):
        most, period = (_words(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
        if most and period and most[0].isdecimal() and period[0].isdecimal() and int(period[0]):
            yield int(most[0]) / int(period[0])


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii", errors="replace").split()
    except OSError:
        return []


def usable_cores() -> int:
    """Threads that can run at once: the allowed cores, or fewer where a quota grants less, at least 1."""
    cores, granted = len(allowed_cores()), quota()
    return cores if granted is None else max(1, min(cores, int(granted)))
