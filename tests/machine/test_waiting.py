"""How many cores a process takes, and that its OpenMP threads give way to other programs."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sctd.machine import cores, waiting


def group(root: Path, own: str, files: dict[str, str]) -> tuple[Path, Path]:
    """A made-up tree of control groups, and the file that says which of them are ours."""
    for name, text in files.items():
        (root / "mount" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "mount" / name).write_text(text)
    (root / "own").write_text(own)
    return root / "mount", root / "own"


@pytest.mark.parametrize(
    ("own", "files", "wanted"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/a/b\n", {"a/cpu.max": "50000 100000", "a/b/cpu.max": "200000 100000"}, 0.5),
        ("0::/a\n", {}, None),
        ("0::/../elsewhere\n", {"cpu.max": "400000 100000"}, 4.0),
        (
            "3:cpu,cpuacct:/d\n",
            {"cpu/d/cpu.cfs_quota_us": "250000", "cpu/d/cpu.cfs_period_us": "100000"},
            2.5,
        ),
        ("3:cpu,cpuacct:/d\n", {"cpu/d/cpu.cfs_quota_us": "-1", "cpu/d/cpu.cfs_period_us": "100000"}, None),
        ("4:cpuset:/d\n0::/\n", {"cpu.max": "nonsense"}, None),
        ("no groups here", {"cpu.max": "150000 0"}, None),
    ],
)
def test_quota_of_containers(tmp_path: Path, own: str, files: dict[str, str], wanted: float | None) -> None:
    assert cores.quota(*group(tmp_path, own, files)) == wanted
    assert cores.quota(tmp_path / "mount", tmp_path / "nothing") is None


def test_a_quota_counts_as_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    allowed = len(cores.allowed_cores())
    for granted, usable in ((None, allowed), (0.3, 1), (1.9, 1), (allowed + 7.0, allowed)):
        monkeypatch.setattr(cores, "quota", lambda granted=granted: granted)
        assert cores.usable_cores() == usable


QUOTA = """
    import os, torch
    from sctd import ops
    from sctd.run import threads
    os.sched_setaffinity(0, {0, 1} & os.sched_getaffinity(0))
    before = torch.get_num_threads()
    threads.usable_cores = lambda: 1
    threads.use_threads()
    print(before, torch.get_num_threads(), ops.get_num_threads())
"""


@pytest.mark.parametrize(
    ("given", "wanted"), [({}, "1 1"), ({"OMP_NUM_THREADS": "2", "SCTD_NUM_THREADS": "3"}, "2 3")]
)
def test_threads_keep_to_a_quota_unless_the_user_says_otherwise(given: dict[str, str], wanted: str) -> None:
    env = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "SCTD_NUM_THREADS")} | given
    shown = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(QUOTA)], env=env, capture_output=True, text=True, check=True
    )
    assert shown.stdout.split(maxsplit=1)[1].strip() == wanted


def stat(path: Path, *rows: tuple[int, ...]) -> None:
    lines = [f"cpu{n} " + " ".join(map(str, row)) + "\n" for n, row in enumerate(rows)]
    path.write_text("cpu  1 2 3 4 5 6 7 8 9 10\n" + "".join(lines) + "intr 5\n")


def test_load_of_others_leaves_out_this_process_and_other_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([10.0, 12.0, 14.0])
    own = iter([100.0, 101.5, 101.5])
    monkeypatch.setattr(waiting.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(waiting.time, "process_time", lambda: next(own))
    monkeypatch.setattr(waiting, "allowed_cores", lambda: [0, 2])
    monkeypatch.setattr(waiting.os, "sysconf", lambda name: 100)
    idle = (0,) * 10
    stat(tmp_path / "stat", idle, idle, idle)
    load = waiting.Load(tmp_path / "stat")
    # core 0: 200 ticks of work; core 1 is not ours; core 2: 20 of nice work, idle and disk do not count
    stat(tmp_path / "stat", (120, 0, 80, 0, 0, 0, 0, 0, 0, 0), (900,) * 10, (0, 20, 0, 70, 80, 0, 0, 0, 0, 0))
    assert load.others() == pytest.approx((2.2 - 1.5) / 2)
    stat(
        tmp_path / "stat", (120, 0, 80, 0, 0, 10, 20, 30, 0, 0), (0,) * 10, (0, 20, 0, 99, 99, 0, 0, 0, 0, 0)
    )
    assert load.others() == pytest.approx(0.6 / 2)
    (tmp_path / "stat").unlink()
    assert load.others() is None


@pytest.fixture
def others(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, float]]:
    """What the machine's other programs use, as the watch is told."""
    told = {"cores": 0.0}
    for name in waiting.SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(waiting.Load, "others", lambda self: told["cores"])
    return told


# In a process of its own: the threads of other tests come and go. A thread that Python has joined may stay
# listed for a moment, so the team is counted as the threads that were not there before.
TEAM = """
    import time
    from concurrent.futures import ThreadPoolExecutor
    from pathlib import Path

    import torch

    from sctd.machine import cores, waiting

    def tasks():
        return {task.name for task in Path("/proc/self/task").iterdir()}

    def until(condition, what):
        end = time.monotonic() + 60  # longer than any machine needs
        while not condition():
            assert time.monotonic() < end, f"not {what}: {len(tasks() - before)} new threads"
            time.sleep(0.005)

    torch.ones(10).sum()
    told, size = 0.0, len(cores.allowed_cores()) + 1
    waiting.Load.others = lambda self: told
    watch = waiting.Watch(interval=0.01)
    # The number of OpenMP threads is each thread's own: a new thread sees what the watch sees.
    with ThreadPoolExecutor(1) as pool:
        used = pool.submit(waiting._gomp().omp_get_max_threads).result()
    free = max(0, len(cores.allowed_cores()) - used)
    before = tasks()
    for _ in range(3):
        told = free + 2.0
        until(lambda: watch.parked, "parked")
        until(lambda: len(tasks() - before) == size, "a team of one more than the cores, with its leader")
        told = free + 0.2  # neither much nor little: as it was
        time.sleep(0.1)
        assert watch.parked
        told = free
        until(lambda: not watch.parked, "awake")
        until(lambda: not tasks() - before, "without a team")
    left = tasks()
    watch.close()
    until(lambda: tasks() < left, "over")
"""


def test_the_watch_parks_a_team_while_others_use_the_cores() -> None:
    env = {name: value for name, value in os.environ.items() if name not in waiting.SETTINGS}
    shown = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(TEAM)], env=env, capture_output=True, text=True, check=False
    )
    assert shown.returncode == 0, shown.stderr


def test_what_the_user_set_stays(others: dict[str, float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    others["cores"] = 2.0
    watch = waiting.Watch(interval=0.01)
    time.sleep(0.1)
    watch.close()
    assert not watch.parked
    assert waiting.in_force() == "torch's threads wait as OMP_WAIT_POLICY=active says"


SPIN = """
    import ctypes, sys, torch
    from sctd.machine import waiting

    gomp = waiting._gomp()
    torch.set_num_threads(2)
    x = torch.randn(512, 512)

    def used():
        '''Core seconds of 200 operations, with a pause after each in which a waiting thread may spin.'''
        import time
        torch.mm(x, x)
        before = time.process_time()
        for _ in range(200):
            x.tanh()
            time.sleep(0.002)
        return time.process_time() - before

    spinning = used()
    team = waiting._Team(gomp)
    import time; time.sleep(0.05)
    parked = used()
    team.dissolve()
    again = used()
    print(spinning, parked, again, (x @ x).sum().item())
"""


def test_parked_threads_do_not_spin() -> None:
    """In core seconds, which other programs do not change: a waiting thread takes the pause, or nothing."""
    env = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", *waiting.SETTINGS)}
    shown = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SPIN)], env=env, capture_output=True, text=True, check=True
    )
    spinning, parked, again = map(float, shown.stdout.split()[:3])
    assert parked < 0.5 * spinning, shown.stdout
    assert parked < 0.5 * again, shown.stdout


def test_nested_uses_share_one_watch(others: dict[str, float]) -> None:
    with waiting.considerate():
        first = waiting._watch
        with waiting.considerate():
            assert waiting._watch is first
        assert waiting._watch is first
    assert waiting._watch is None
