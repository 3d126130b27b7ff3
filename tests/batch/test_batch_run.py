"""A batch gives the assets that single runs give, whatever happens to it on the way."""

from __future__ import annotations

import dataclasses
import errno
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from night import Lines, alone, assert_same_runs, entries, entry, finish, kill_after

from sctd import pipeline
from sctd.batch import run as batch_run
from sctd.batch.entry import Entry, Outcome
from sctd.batch.folder import create
from sctd.batch.manifest import Manifest
from sctd.batch.sharing import shared as shared_module
from sctd.batch.store import Folder
from sctd.batch.worker import work
from sctd.errors import OutputError
from sctd.prior import load_prior
from sctd.prior.base import Prior


class Quiet:
    """A monitor that keeps what it is told."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.iterations: list[tuple[str, int]] = []

    def at(self, name: str, iteration: int) -> None:
        self.iterations.append((name, iteration))

    def message(self, text: str) -> None:
        self.messages.append(text)

    def tick(self) -> None:
        pass


def made(
    items: list[Entry], prior: Prior, out: Path, in_flight: int, stop: Callable[[], bool] = lambda: False
) -> tuple[list[Outcome], Quiet]:
    monitor, waiting = Quiet(), iter(items)
    outcomes = list(work(lambda: next(waiting, None), prior, Folder(out), in_flight, monitor, stop=stop))
    return outcomes, monitor


def test_a_batched_asset_is_the_same_alone(tmp_path: Path, embedded: Prior) -> None:
    """With the embedded prior and two in flight: the third asset enters when one of the first is over."""
    items = [
        entry("a", "sctd", prompt="a red ball"),
        entry("b", "sds", prompt="a blue cube", iterations=4),
        entry("c", "gcs", "cameras.batch=2", prompt="a green cone", iterations=3),
    ]
    outcomes, monitor = made(items, embedded, tmp_path / "batch", 2)
    assert [(outcome.name, outcome.state) for outcome in outcomes] == [
        ("b", "done"),
        ("a", "done"),
        ("c", "done"),
    ]
    order = monitor.iterations
    assert order.index(("c", 0)) < order.index(("a", 6))  # it did not wait for the slowest
    for item in items:
        alone(tmp_path / "alone", item, embedded)
        assert_same_runs(tmp_path / "batch" / item.name, tmp_path / "alone" / item.name)


def test_a_refused_prompt_fails_alone(tmp_path: Path, undisturbed: Path) -> None:
    odd = entry("odd", "sctd", "prior=analytic", prompt="a dragon")
    items = entries()
    create(tmp_path / "batch", [items[0], odd, *items[1:]])
    outcomes, said = finish(tmp_path / "batch", in_flight=3)
    assert {name: outcome.state for name, outcome in outcomes.items()} == {
        "odd": "failed",
        "one": "done",
        "two": "done",
        "three": "done",
    }
    assert outcomes["odd"].error.startswith("prompt 'a dragon' has none of the words")
    assert not (tmp_path / "batch" / "odd").exists()
    assert said == [f"odd: failed: {outcomes['odd'].error}"]
    for item in items:
        assert_same_runs(tmp_path / "batch" / item.name, undisturbed / item.name)


def test_killed_at_any_moment_it_ends_with_the_same_assets(tmp_path: Path, undisturbed: Path) -> None:
    """Three times, in the middle of what is left: 34 iterations are to do."""
    draws = random.Random(5)
    for _ in range(3):
        kill_after(tmp_path / "batch", draws.randrange(3, 14))
    finish(tmp_path / "batch")
    manifest = Manifest(tmp_path / "batch")
    assert [(asset.state, asset.attempts) for asset in manifest.assets()] == [("done", 1)] * 3
    for item in entries():
        assert_same_runs(tmp_path / "batch" / item.name, undisturbed / item.name)
    assert finish(tmp_path / "batch") == ({}, [])  # nothing is done twice


def test_a_killed_asset_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    """The same asset would also come of beginning anew; the time of a night would not."""
    items = entries()[:1]
    outcomes, _ = made(items, load_prior("analytic"), tmp_path, 1, stop=after(5))
    assert outcomes[0].state == "stopped"
    newest = max(int(path.stem) for path in (tmp_path / "one" / "checkpoints").iterdir())
    assert 0 < newest < 12
    _, monitor = made(items, load_prior("analytic"), tmp_path, 1)
    assert monitor.iterations[:2] == [("one", newest), ("one", newest + 1)]


def test_a_checkpoint_knows_the_threads_of_the_calls(tmp_path: Path) -> None:
    """Those of the prior's calls, on which bits depend; a run of a batch has one for the rest, always."""
    items = entries()[1:]
    torch.set_num_threads(2)
    made(items, load_prior("analytic"), tmp_path, 2, stop=after(20))
    torch.set_num_threads(3)
    _, monitor = made(items[:1], load_prior("analytic"), tmp_path, 1)
    (message,) = monitor.messages
    assert message.startswith("two: the checkpoint was made with torch_threads 2, this is 3")
    torch.set_num_threads(2)
    report = Lines()
    pipeline.generate(items[1].config, tmp_path / "three", resume=True, report=report)
    assert report.messages == []


def after(count: int) -> Callable[[], bool]:
    """A stop, once it was asked so often."""
    left = iter(range(count))
    return lambda: next(left, None) is None


def test_a_kill_before_the_first_line_of_a_run_is_no_obstacle(tmp_path: Path, undisturbed: Path) -> None:
    items = entries()
    (tmp_path / "one" / "checkpoints").mkdir(parents=True)
    outcomes, _ = made(items[:1], load_prior("analytic"), tmp_path, 1)
    assert outcomes[0].state == "done"
    assert_same_runs(tmp_path / "one", undisturbed / "one")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_saves_every_asset_in_flight(
    tmp_path: Path, undisturbed: Path, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupting(batch_run.Progress):
        def at(self, name: str, iteration: int) -> None:
            if (name, iteration) == ("one", 5):
                os.kill(os.getpid(), number)
            super().at(name, iteration)

    create(tmp_path / "batch", entries())
    with monkeypatch.context() as patch:
        patch.setattr(batch_run, "Progress", Interrupting)
        outcomes, said = finish(tmp_path / "batch")
    assert {name: outcome.state for name, outcome in outcomes.items()} == {"one": "stopped", "two": "stopped"}
    assert said == []
    for name in ("one", "two"):
        saved = sorted(path.name for path in (tmp_path / "batch" / name / "checkpoints").iterdir())
        assert int(saved[-1].partition(".")[0]) in (
            5,
            6,
            7,
        )  # an iteration is reported while the next is made
    assert not (tmp_path / "batch" / "three").exists()
    finish(tmp_path / "batch")
    for item in entries():
        assert_same_runs(tmp_path / "batch" / item.name, undisturbed / item.name)


def test_an_asset_without_memory_beside_others_goes_on_later(
    tmp_path: Path, undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = iter([True])
    launch = pipeline.Trainer.launch

    def full(self: pipeline.Trainer) -> Any:
        if self.config.method == "sds" and self.iteration == 3 and next(planted, False):
            raise torch.OutOfMemoryError("planted")
        return launch(self)

    monkeypatch.setattr(pipeline.Trainer, "launch", full)
    create(tmp_path / "batch", entries())
    outcomes, said = finish(tmp_path / "batch", in_flight=3)
    assert said == [
        "two: out of memory; from now on 2 assets in flight",
    ] + [text for text in said[1:] if text.startswith("two: no checkpoint")]
    assert {outcome.state for outcome in outcomes.values()} == {"done"}
    for item in entries():
        assert_same_runs(tmp_path / "batch" / item.name, undisturbed / item.name)


def test_joint_calls_without_memory_lower_their_number_once(
    tmp_path: Path, undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = shared_module.forward

    def full(prior: Prior, call: Any) -> Any:
        if call.count > 6:  # of three pictures, under two texts
            raise torch.OutOfMemoryError("planted")
        return forward(prior, call)

    monkeypatch.setattr(shared_module, "forward", full)
    outcomes, monitor = made(entries(), load_prior("analytic"), tmp_path, 3)
    assert {outcome.state for outcome in outcomes} == {"done"}
    assert monitor.messages == ["out of memory with 3 assets in one call: from now on at most 1"]
    for item in entries():
        assert_same_runs(tmp_path / item.name, undisturbed / item.name)


def test_a_failed_asset_is_tried_again_and_stops_no_other(
    tmp_path: Path, undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = iter([True, True, False])
    launch = pipeline.Trainer.launch

    def unlucky(self: pipeline.Trainer) -> Any:
        if self.config.method == "cds" and self.iteration == 5 and next(bad):
            raise RuntimeError("a cosmic\nray")
        return launch(self)

    monkeypatch.setattr(pipeline.Trainer, "launch", unlucky)
    create(tmp_path / "batch", entries())
    outcomes, said = finish(tmp_path / "batch", retries=1)
    assert said == ["three: failed: a cosmic ray; it is tried again", "three: failed: a cosmic ray"]
    assert [o.state for o in outcomes.values()].count("done") == 2
    finish(tmp_path / "batch", retries=2)
    for item in entries():
        assert_same_runs(tmp_path / "batch" / item.name, undisturbed / item.name)


def test_a_full_disk_ends_the_batch_and_loses_nothing(
    tmp_path: Path, undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ENOSPC is planted where files are written; no file system of its own is needed for that."""
    save = pipeline.checkpoints.save

    def full(folder: Path, checkpoint: Any, keep: int) -> Path:
        if checkpoint.iteration == 6:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return save(folder, checkpoint, keep)

    create(tmp_path / "batch", entries())
    with monkeypatch.context() as patch:
        patch.setattr(pipeline.checkpoints, "save", full)
        with pytest.raises(OutputError, match="No space left on device; make room"):
            finish(tmp_path / "batch")
    manifest = Manifest(tmp_path / "batch")
    assert [asset.state for asset in manifest.assets()] == ["running", "running", "queued"]
    assert list((tmp_path / "batch").rglob("*.tmp*")) == []
    finish(tmp_path / "batch")
    for item in entries():
        assert_same_runs(tmp_path / "batch" / item.name, undisturbed / item.name)


def test_an_altered_asset_is_made_again(tmp_path: Path, undisturbed: Path) -> None:
    create(tmp_path / "batch", entries())
    finish(tmp_path / "batch")
    (tmp_path / "batch" / "two" / "asset.ply").write_bytes(b"half")
    outcomes, said = finish(tmp_path / "batch")
    assert list(outcomes) == ["two"]
    assert said == ["two: its files are missing or altered; making them again"]
    assert_same_runs(tmp_path / "batch" / "two", undisturbed / "two")


def test_entries_are_plain_data() -> None:
    """They go to other processes."""
    assert dataclasses.is_dataclass(Entry)
    assert dataclasses.is_dataclass(Outcome)
