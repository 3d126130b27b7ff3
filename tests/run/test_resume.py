"""Killed at any moment and resumed, a run ends with the very asset and log of an undisturbed one."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import pytest
from killed import kill_after
from small import ORIGINAL, Slow, small_run

from sctd.run.folder import LOG, PAGE, read_log

ITERATIONS = 24


def log_without_times(folder: Path) -> list[dict[str, object]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in read_log(folder / LOG)]


@pytest.mark.parametrize("overrides", [(), ORIGINAL], ids=["relocate", "original"])
def test_kill_and_resume_is_bit_identical(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    whole = small_run(tmp_path / "whole", ITERATIONS, *overrides)

    draws = random.Random(len(overrides))
    first = draws.randrange(1, ITERATIONS // 2)
    second = draws.randrange(first + 1, ITERATIONS)
    killed = tmp_path / "killed"
    kill_after(killed, first, overrides, iterations=ITERATIONS, resume=False)
    kill_after(killed, second, overrides, iterations=ITERATIONS, resume=True)
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
    kill_after(killed, 1, ("output.checkpoint_every=100",), iterations=ITERATIONS, resume=False)
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
