"""How torch's OpenMP threads wait for one another: in a loop while the cores are free, else asleep.

After each parallel operation GCC's OpenMP threads poll for the next one in a loop of 300,000 turns before
they sleep. On free cores that saves the time of waking up. Beside another busy program the loop occupies the
core that the awaited thread needs, and a run takes many times longer than its share of the cores explains.

The OpenMP library has an exception: while a process has more OpenMP threads than there are cores, its threads
poll only 1,000 times (libgomp's manual, GOMP_SPINCOUNT). :class:`Watch` measures twice a second how much of
the cores other programs use. While that is more than a quarter of a core beyond what torch leaves free, the
watch keeps a team of threads asleep in the library, so that it counts more threads than cores. The way of
waiting changes no result.

A user's OMP_WAIT_POLICY or GOMP_SPINCOUNT stays in force, and the watch does nothing. Other OpenMP libraries
(LLVM's, Intel's) have their own rules and are left alone.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sctd.machine.cores import allowed_cores

SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
INTERVAL = 0.5
"""Seconds between two measurements of the other programs."""
MUCH, LITTLE = 0.25, 0.15
"""In cores: threads sleep when other programs use more than the first, and spin again below the second."""


def in_force() -> str:
    """How torch's threads wait on this machine, in words for ``sctd doctor``."""
    given = _given()
    if given:
        return f"torch's threads wait as {' '.join(given)} says"
    if _gomp() is None and "torch" in sys.modules:
        return "torch's threads wait as their OpenMP library does by itself: it is not GCC's"
    return "torch's threads wait in a loop, and asleep while other programs use the cores"


def _given() -> list[str]:
    """The variables that the user has set."""
    return [f"{name}={os.environ[name]}" for name in SETTINGS if name in os.environ]


class Watch:
    """Chooses how torch's OpenMP threads wait, twice a second, until :meth:`close`."""

    def __init__(self, interval: float = INTERVAL) -> None:
        self.parked = False
        """Whether the threads currently sleep soon."""
        self._interval = interval
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sctd-waiting", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop; the threads then wait as the library does by default."""
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        load, team = Load(), None
        while not self._over.wait(self._interval) and not _given():
            others = load.others()
            gomp = _gomp()
            if others is None or gomp is None:
                continue
            spare = max(0, len(allowed_cores()) - gomp.omp_get_max_threads())
            if team is None and others > spare + MUCH:
                team = _Team(gomp)
            elif team is not None and others < spare + LITTLE:
                team.dissolve()
                team = None
            self.parked = team is not None
        if team is not None:
            team.dissolve()


class Load:
    """Measures how much of the allowed cores other programs use, from one call to the next."""

    def __init__(self, stat: Path = Path("/proc/stat")) -> None:
        self._stat = stat
        self._last = self._look()

    def others(self) -> float | None:
        """Cores that others used since the last call; None where the system has no such numbers."""
        before, self._last = self._last, self._look()
        if before is None or self._last is None:
            return None
        seconds = self._last[0] - before[0]
        busy, own = (now - then for now, then in zip(self._last[1:], before[1:], strict=True))
        return max(0.0, busy - own) / seconds if seconds > 0 else None

    def _look(self) -> tuple[float, float, float] | None:
        """The time, and the core seconds that all processes and this process have used so far."""
        try:
            lines = self._stat.read_text(encoding="ascii", errors="replace").splitlines()
        except OSError:
            return None
        names = {f"cpu{core}" for core in allowed_cores()}
        rows = [line.split() for line in lines]
        rows = [row for row in rows if row and row[0] in names and len(row) >= 9]
        if not rows:
            return None
        # user, nice, system, irq, softirq and steal; neither idle nor waiting for a disk
        ticks = sum(int(row[column]) for row in rows for column in (1, 2, 3, 6, 7, 8))
        return time.monotonic(), ticks / os.sysconf("SC_CLK_TCK"), time.process_time()


class _Team:
    """OpenMP threads asleep in a semaphore: one more than the cores, so that the library counts too many."""

    def __init__(self, gomp: ctypes.CDLL) -> None:
        self._libc = ctypes.CDLL(None)
        self._size = len(allowed_cores()) + 1
        self._semaphore = ctypes.create_string_buffer(64)  # sem_t has at most 32 bytes in glibc
        self._libc.sem_init(self._semaphore, 0, 0)
        sleep = ctypes.cast(self._libc.sem_wait, ctypes.c_void_p)
        gomp.GOMP_parallel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
        gomp.GOMP_parallel.restype = None
        # A separate thread leads the team: when it ends, the library forgets the team's threads.
        self._leader = threading.Thread(
            target=gomp.GOMP_parallel,
            args=(sleep, ctypes.addressof(self._semaphore), self._size, 0),
            name="sctd-parked",
            daemon=True,
        )
        self._leader.start()

    def dissolve(self) -> None:
        for _ in range(self._size):
            self._libc.sem_post(self._semaphore)
        self._leader.join()


def _gomp() -> ctypes.CDLL | None:
    """GCC's OpenMP library, once torch has loaded it; None before, and where torch has another."""
    if "torch" not in sys.modules or not hasattr(os, "RTLD_NOLOAD"):
        return None
    try:
        maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
        paths = {line.split(maxsplit=5)[5] for line in maps if "libgomp" in line}
        ours = [path for path in paths if "/torch/" in path] or sorted(paths)
        return ctypes.CDLL(ours[0], mode=os.RTLD_NOLOAD) if ours else None
    except OSError:
        return None


_lock = threading.Lock()
_users = 0
_watch: Watch | None = None


@contextmanager
def considerate() -> Iterator[None]:
    """Inside, torch's threads yield to other programs. Blocks may be nested and may overlap."""
    global _users, _watch
    with _lock:
        _users += 1
        if _watch is None:
            _watch = Watch()
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            over = _watch if _users == 0 else None
            if over is not None:
                _watch = None
        if over is not None:
            over.close()
