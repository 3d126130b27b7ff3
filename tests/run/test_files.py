"""Checkpoints and the run folder: whole or absent, and never somebody else's files."""

from __future__ import annotations

import errno
import json
import os
import resource
from pathlib import Path

import pytest
import torch
from small import small_config, small_run

from sctd.errors import InputError
from sctd.run import checkpoint as checkpoints
from sctd.run.checkpoint import Checkpoint
from sctd.run.folder import LOG, IterationLog, RunFolder, check_target, read_log


def some_state(iteration: int) -> Checkpoint:
    tensors = {
        "gaussians": {
            "means": torch.randn(5, 3),
            "shN": torch.zeros(5, 0, 3),
            "flags": torch.ones(2, dtype=torch.bool),
        },
        "rng": {"scene": torch.Generator().get_state()},
    }
    return Checkpoint(iteration, tensors, {"seconds": 0.1 + 0.2, "skipped": 3})


def test_round_trip_keeps_every_bit(tmp_path: Path) -> None:
    state = some_state(12)
    state.tensors["gaussians"]["means"][0, 0] = float("nan")
    loaded = checkpoints.load(checkpoints.save(tmp_path, state, keep=2))
    assert loaded.iteration == 12
    assert loaded.counters == state.counters
    for part, named in state.tensors.items():
        for name, tensor in named.items():
            got = loaded.tensors[part][name]
            assert got.dtype == tensor.dtype
            assert got.shape == tensor.shape
            assert got.numpy().tobytes() == tensor.numpy().tobytes()


def test_the_latest_are_kept_and_nothing_else_is_touched(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for iteration in (5, 10, 15, 100):
        checkpoints.save(tmp_path, some_state(iteration), keep=2)
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == ["0000015.safetensors", "0000100.safetensors", "notes.txt"]


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped bit", "other file"])
def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path, damage: str) -> None:
    checkpoints.save(tmp_path, some_state(5), keep=5)
    newest = checkpoints.save(tmp_path, some_state(10), keep=5)
    data = bytearray(newest.read_bytes())
    if damage == "flipped bit":
        data[-3] ^= 0x10
    newest.write_bytes({"cut": data[:-40], "empty": b"", "flipped bit": data}.get(damage, b"hello" * 50))
    found, problems = checkpoints.latest(tmp_path)
    assert found is not None
    assert found.iteration == 5
    assert len(problems) == 1
    assert newest.name in problems[0]


def test_no_checkpoint_at_all(tmp_path: Path) -> None:
    assert checkpoints.latest(tmp_path) == (None, [])


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints.save(tmp_path, some_state(5), keep=1)

    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        checkpoints.save(tmp_path, some_state(10), keep=1)
    assert [p.name for p in tmp_path.iterdir()] == ["0000005.safetensors"]


def test_a_full_disk_in_a_run_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left on device; make room") as caught:
        small_run(tmp_path / "run", 6)
    assert "\n" not in str(caught.value)


def test_too_little_disk_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(InputError, match="MB free"):
        RunFolder.new(tmp_path / "run", overwrite=False)
    assert list(tmp_path.iterdir()) == []


def test_log_is_cut_to_the_checkpoint_and_half_lines_go(tmp_path: Path) -> None:
    path = tmp_path / LOG
    with IterationLog(path, 0) as log:
        for i in range(5):
            log.write(i, {"loss": float(i), "bad": float("nan"), "offender": "z0"})
    with path.open("a") as file:
        file.write('{"iteration": 5, "lo')
    with IterationLog(path, 3) as log:
        log.write(3, {"loss": 30.0})
    rows = read_log(path)
    assert [row["iteration"] for row in rows] == [0, 1, 2, 3]
    assert rows[0] == {"iteration": 0, "loss": 0.0, "bad": None, "offender": "z0"}
    assert rows[-1]["loss"] == 30.0
    assert path.read_text().count("\n") == 4


def test_a_log_line_that_cannot_be_written_is_said_once_and_left_out(tmp_path: Path) -> None:
    """The disk gets full in the middle of the second line, and has room again for the fourth."""
    path = tmp_path / LOG
    said: list[str] = []
    with IterationLog(path, 0, said.append) as log:
        log.write(0, {"loss": 0.0})
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 9, limits[1]))
        try:
            log.write(1, {"loss": 1.0})
            log.write(2, {"loss": 2.0})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        log.write(3, {"loss": 3.0})
    assert [json.loads(line)["iteration"] for line in path.read_text().splitlines()] == [0, 3]
    assert said == [f"cannot write {path}: File too large; the run continues, the log lacks lines"]


def test_what_a_kill_left_before_the_settings_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / ".lock").write_text("{}")
    (tmp_path / "run" / ".config.yaml.123.tmp").write_text("it")
    with RunFolder.new(tmp_path / "run", overwrite=False) as folder:
        folder.begin(small_config(3))
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["checkpoints", "config.yaml"]


def test_an_existing_folder_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with RunFolder.new(tmp_path / "run", overwrite=False) as folder:  # an empty one is fine
        folder.begin(small_config(3))
    with pytest.raises(InputError, match=r"exists; add --resume to continue, --overwrite"):
        check_target(tmp_path / "run", overwrite=False)
    check_target(tmp_path / "run", overwrite=True)


def test_overwriting_spares_what_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("three years of work")
    with pytest.raises(InputError, match="not the folder of a run"):
        RunFolder.new(tmp_path, overwrite=True)
    assert (tmp_path / "thesis.txt").read_text() == "three years of work"


def test_overwriting_starts_clean(tmp_path: Path) -> None:
    first = small_run(tmp_path / "run", 6)
    (first.folder / "checkpoints" / "0000999.safetensors").write_bytes(b"old")
    with RunFolder.new(tmp_path / "run", overwrite=True) as folder:
        folder.begin(small_config(3))
    assert sorted(p.name for p in folder.path.iterdir()) == ["checkpoints", "config.yaml"]
    assert list(folder.checkpoints.iterdir()) == []


@pytest.mark.parametrize("kind", ["file", "link", "below a file"])
def test_targets_that_are_no_folders(tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path)
    target = tmp_path / "file" / "run" if kind == "below a file" else tmp_path / kind
    with pytest.raises(InputError, match=r"not a folder|cannot write"):
        RunFolder.new(target, overwrite=True)


def test_a_folder_that_cannot_be_made_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "replace", refuse)
    with (
        pytest.raises(InputError, match="Read-only file system; choose another output folder"),
        RunFolder.new(tmp_path / "a" / "b" / "run", overwrite=False) as folder,
    ):
        folder.begin(small_config(3))
    assert list(tmp_path.iterdir()) == []


def test_resuming_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing to resume"):
        small_run(tmp_path / "none", 3, resume=True)
    assert list(tmp_path.iterdir()) == []


def test_resuming_with_every_checkpoint_damaged_starts_over_and_says_so(tmp_path: Path) -> None:
    from sctd.run.report import Silent

    class Listening(Silent):
        def __init__(self) -> None:
            self.messages: list[str] = []

        def message(self, text: str) -> None:
            self.messages.append(text)

    whole = small_run(tmp_path / "run", 6)
    before = whole.asset_ply.read_bytes()
    for path in (tmp_path / "run" / "checkpoints").iterdir():
        path.write_bytes(b"gone")
    report = Listening()
    again = small_run(tmp_path / "run", 6, resume=True, report=report)
    assert again.asset_ply.read_bytes() == before
    assert [m.split(" ")[0] for m in report.messages] == ["ignored", "ignored", "no"]
