"""The manifest: what is taken, recorded, queued again; and what the status makes of it."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from pathlib import Path

import pytest

from sctd.batch import folder as batch_folder
from sctd.batch.entry import Entry, Outcome
from sctd.batch.manifest import MANIFEST, Manifest, Sitting
from sctd.batch.status import duration, seconds_at_work, status
from sctd.batch.store import Folder
from sctd.config import load_config
from sctd.errors import InputError, OutputError, SctdError
from sctd.run.claims import Claim, Held


class Clock:
    """Seconds since 1970, as the test says."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def entries(count: int) -> list[Entry]:
    return [Entry(f"asset-{i}", load_config(prompt=f"p{i}", iterations=10, seed=i)) for i in range(count)]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def manifest(tmp_path: Path, clock: Clock) -> Manifest:
    return Manifest.create(tmp_path, entries(3), clock)


def states(manifest: Manifest) -> list[str]:
    return [asset.state for asset in manifest.assets()]


def done(folder: Path, name: str) -> Outcome:
    """An outcome with its file."""
    (folder / name).mkdir(exist_ok=True)
    (folder / name / "asset.ply").write_bytes(name.encode())
    digest = hashlib.sha256(name.encode()).hexdigest()
    return Outcome(name, "done", seconds=5.0, iterations=10, checksums={"asset.ply": digest})


def test_entries_are_taken_in_order_with_their_settings(manifest: Manifest) -> None:
    wanted = entries(3)
    assert [manifest.take("w"), manifest.take("w")] == wanted[:2]
    assert states(manifest) == ["running", "running", "queued"]
    assert manifest.take("v") == wanted[2]
    assert manifest.take("v") is None
    assert [asset.worker for asset in manifest.assets()] == ["w", "w", "v"]


def test_failures_are_tried_again_as_often_as_allowed(manifest: Manifest) -> None:
    failed = Outcome("asset-0", "failed", "no luck", may_retry=True)
    for state in ("queued", "queued", "failed"):
        manifest.take("w")
        assert manifest.record(failed, retries=2) == state
    (asset,) = manifest.assets("failed")
    assert (asset.error, asset.attempts) == ("no luck", 3)
    manifest.recover(retries=2)
    assert states(manifest) == ["failed", "queued", "queued"]
    manifest.recover(retries=3)
    assert states(manifest) == ["queued", "queued", "queued"]


def test_a_refused_asset_is_not_tried_again(manifest: Manifest) -> None:
    manifest.take("w")
    assert manifest.record(Outcome("asset-0", "failed", "unknown word"), retries=5) == "failed"
    manifest.recover(retries=5)
    assert states(manifest) == ["failed", "queued", "queued"]


def test_what_ran_when_all_was_killed_is_queued_again(manifest: Manifest, tmp_path: Path) -> None:
    manifest.take("w")
    manifest.record(done(tmp_path, "asset-0"), retries=1)
    manifest.take("w")
    manifest.close()
    again = Manifest(tmp_path)
    assert states(again) == ["done", "running", "queued"]
    again.recover(retries=1)
    assert states(again) == ["done", "queued", "queued"]
    assert again.record(Outcome("asset-1", "stopped"), retries=1) == "queued"
    assert [asset.attempts for asset in again.assets()] == [1, 0, 0]


@pytest.mark.parametrize("harm", ["missing", "altered"])
def test_done_assets_must_be_there(manifest: Manifest, tmp_path: Path, harm: str) -> None:
    for name in ("asset-0", "asset-1"):
        manifest.take("w")
        manifest.record(done(tmp_path, name), retries=1)
    file = tmp_path / "asset-1" / "asset.ply"
    file.unlink() if harm == "missing" else file.write_bytes(b"other")
    lost = Folder(tmp_path).altered(manifest.assets("done"))
    assert lost == ["asset-1"]
    manifest.recover(1, lost)
    assert states(manifest) == ["done", "queued", "queued"]


def test_the_widest_entry_is_the_one_with_most_cameras(tmp_path: Path) -> None:
    wide = Entry("wide", load_config(prompt="p", overrides=["cameras.batch=9"]))
    manifest = Manifest.create(tmp_path, [*entries(2), wide])
    assert manifest.widest() == wide
    for _ in range(3):
        manifest.take("w")
    assert manifest.widest() is None


def test_status_counts_iterations_at_work(manifest: Manifest, tmp_path: Path, clock: Clock) -> None:
    store = Folder(tmp_path)
    assert status(store).lines() == [
        "3 assets: 3 queued, 0 running, 0 done, 0 failed; no coordinator running"
    ]
    sitting = manifest.sit_down("w")
    for _ in range(2):
        manifest.take("w")
    clock.now += 36
    manifest.progress(sitting, {"asset-1": 5})
    manifest.record(done(tmp_path, "asset-0"), retries=1)
    with batch_folder.held(tmp_path):
        found = status(store)
    assert found.counts == {"queued": 1, "running": 1, "done": 1, "failed": 0}
    assert found.at_work
    assert found.assets_per_hour == pytest.approx(150)  # 15 iterations in a hundredth of an hour, 10 each
    assert found.seconds_left == pytest.approx(36)  # 15 are left
    assert found.lines()[1] == "150.0 assets an hour, 36 s left"

    manifest.record(Outcome("asset-1", "failed", "why"), retries=0)
    clock.now += 3600  # hours without a worker do not count
    found = status(store)
    assert not found.at_work
    assert found.assets_per_hour == pytest.approx(100)
    assert found.as_dict()["failures"] == {"asset-1": "why"}
    assert found.lines()[-1] == "failed: asset-1: why"


def test_time_at_work_is_counted_once() -> None:
    sittings = [Sitting("a", 0, 10), Sitting("b", 5, 12), Sitting("c", 20, 21), Sitting("d", 6, 7)]
    assert seconds_at_work(sittings) == 13
    assert seconds_at_work([]) == 0
    assert [duration(s) for s in (12, 250, 12000)] == ["12 s", "4 min 10 s", "3 h 20 min"]


def test_a_damaged_manifest_is_one_line(tmp_path: Path, manifest: Manifest) -> None:
    manifest.close()
    (tmp_path / MANIFEST).write_bytes(b"not a database" * 1000)
    with pytest.raises(InputError, match="damaged"):
        Manifest(tmp_path)
    with pytest.raises(InputError, match="no batch in"):
        Manifest(tmp_path / "elsewhere")


def test_a_manifest_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    class Full:
        def __call__(self) -> float:
            raise sqlite3.OperationalError("database or disk is full")

    with pytest.raises(OutputError, match=r"full; make room"):
        Manifest.create(tmp_path, entries(2), Full())
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="choose another"):
        batch_folder.create(tmp_path / "file" / "batch", entries(1))


def test_a_full_disk_undoes_the_whole_change(tmp_path: Path, manifest: Manifest, clock: Clock) -> None:
    manifest.take("w")
    clock.__class__ = type("Full", (), {"__call__": lambda self: _full()})  # the second statement fails
    with pytest.raises(OutputError, match="continue with --resume"):
        manifest.record(done(tmp_path, "asset-0"), retries=1)
    assert states(Manifest(tmp_path)) == ["running", "queued", "queued"]


def _full() -> float:
    raise sqlite3.OperationalError("database or disk is full")


def test_new_folders_only(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "batch"
    batch_folder.create(out, entries(1))
    assert [path.name for path in out.iterdir()] == [MANIFEST]
    with pytest.raises(InputError, match=f"continue with --resume {out}"):
        batch_folder.create(out, entries(1))
    (tmp_path / "mine").write_text("keep")
    with pytest.raises(InputError, match="is not empty"):
        batch_folder.create(tmp_path, entries(1))


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with batch_folder.held(tmp_path):
        reader, writer = os.pipe()
        if os.fork() == 0:
            try:
                with batch_folder.held(tmp_path):
                    os.write(writer, b"held twice")
            except SctdError as exc:
                os.write(writer, str(exc).encode())
            finally:
                os._exit(0)
        os.wait()
        said = os.read(reader, 1000)
        assert b"another sctd batch is running" in said
        assert b"(process %d on " % os.getpid() in said
    with batch_folder.held(tmp_path):
        pass


def test_a_batch_that_is_being_begun_is_not_begun_over(tmp_path: Path) -> None:
    """Two that start at once: the second looked before the first had written anything."""
    with Claim(tmp_path / "night"), pytest.raises(Held, match=f"process {os.getpid()} on "):
        batch_folder.create(tmp_path / "night", entries(1))
    batch_folder.create(tmp_path / "night", entries(2))
    assert len(Manifest(tmp_path / "night").assets()) == 2
