"""Killed at any moment and resumed, a run ends with the very asset and log of an undisturbed one."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from small import ORIGINAL, Slow, small_run

from sctd.run.folder import LOG, PAGE, read_log

ITERATIONS = 24


def log_without_times(folder: Path) -> list[dict[str, object]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in read_log(folder / LOG)]


def kill_after(out: Path, iteration: int, overrides: tuple[str, ...], *, resume: bool) -> None:
    """Start the run in a process of its own and SIGKILL it once it reports an iteration, or later."""
    script = Path(__file__).parents[1] / "support" / "small.py"
    command = [sys.executable, str(script), str(out), str(ITERATIONS), *overrides]
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
    }
    with subprocess.Popen(
        [*command, "--resume"] if resume else command, stdout=subprocess.PIPE, text=True, env=environment
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if int(line) >= iteration:
                break
        else:
            pytest.fail(f"the child ended by itself with {child.wait()} before iteration {iteration}")
        child.send_signal(signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL


@pytest.mark.parametrize("overrides", [(), ORIGINAL], ids=["relocate", "original"])
def test_kill_and_resume_is_bit_identical(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    whole = small_run(tmp_path / "whole", ITERATIONS, *overrides)

    draws = random.Random(len(overrides))
    first = draws.randrange(1, ITERATIONS // 2)
    second = draws.randrange(first + 1, ITERATIONS)
    killed = tmp_path / "killed"
    kill_after(killed, first, overrides, resume=False)
    kill_after(killed, second, overrides, resume=True)
    result = small_run(killed, ITERATIONS, *overrides, resume=True)

    where = f"killed after iterations {first} and {second}"
    assert result.asset_ply.read_bytes() == whole.asset_ply.read_bytes(), where
    assert result.contact_png is not None
    assert whole.contact_png is not None
    assert result.contact_png.read_bytes() == whole.contact_png.read_bytes(), where
    assert (killed / PAGE).read_bytes() == (tmp_path / "whole" / PAGE).read_bytes(), where
    assert log_without_times(killed) == log_without_times(tmp_path / "whole"), where
    assert [row["iteration"] for row in read_log(killed / LOG)] == list(range(ITERATIONS))


def test_kill_before_the_first_checkpoint_starts_over(tmp_path: Path) -> None:
    killed = tmp_path / "killed"
    kill_after(killed, 1, ("output.checkpoint_every=100",), resume=False)
    assert list((killed / "checkpoints").iterdir()) == []
    result = small_run(killed, ITERATIONS, "output.checkpoint_every=100", resume=True)
    whole = small_run(tmp_path / "whole", ITERATIONS)
    assert result.asset_ply.read_bytes() == whole.asset_ply.read_bytes()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_a_checkpoint_and_says_how_to_go_on(tmp_path: Path, number: signal.Signals) -> None:
    class Interrupting(Slow):
        messages: list[str] = []  # noqa: RUF012

        def update(self, iteration: int, scalars: dict[str, float]) -> None:
            if iteration == 7:  # while the device has the eighth
                os.kill(os.getpid(), number)

        def message(self, text: str) -> None:
            self.messages.append(text)

    report = Interrupting()
    report.messages = []
    handler = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt, match="after iteration 8 of 24; continue with --resume"):
        small_run(tmp_path / "run", ITERATIONS, report=report)
    assert signal.getsignal(number) == handler
    assert len(report.messages) == 1
    assert sorted(p.name for p in (tmp_path / "run/checkpoints").iterdir())[-1] == "0000008.safetensors"

    result = small_run(tmp_path / "run", ITERATIONS, resume=True)
    whole = small_run(tmp_path / "whole", ITERATIONS)
    assert result.asset_ply.read_bytes() == whole.asset_ply.read_bytes()


def test_resuming_a_finished_run_writes_the_same_asset_again(tmp_path: Path) -> None:
    whole = small_run(tmp_path / "run", 6)
    before = whole.asset_ply.read_bytes()
    whole.asset_ply.unlink()
    again = small_run(tmp_path / "run", 6, resume=True)
    assert again.asset_ply.read_bytes() == before
    assert again.iterations == 6
