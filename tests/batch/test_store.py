"""A batch at a URL: the same assets, whatever happens to the scratch folder, the network and the objects."""

from __future__ import annotations

import errno
import os
import pickle
import random
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry as registry
from fsspec.registry import known_implementations
from night import Lines, alone, assert_same_runs, begun, entries, entry, finish, kill_after, states

from sctd.batch import gallery, objects, remote
from sctd.batch.manifest import MANIFEST, Manifest
from sctd.batch.prompts import Defaults, read_prompts
from sctd.batch.remote import Url
from sctd.batch.run import carry_on
from sctd.batch.status import status
from sctd.batch.store import Folder, store_at
from sctd.errors import InputError, OutputError
from sctd.run.claims import Claim, Held

pytestmark = pytest.mark.usefixtures("cache")


def kept(store: Url, folder: Path) -> Path:
    """A copy of everything at the URL."""
    fs, path = fsspec.url_to_fs(str(store))
    fs.get(path, str(folder), recursive=True)
    return folder


def assert_undisturbed(store: Url, undisturbed: Path, folder: Path) -> None:
    assert set(states(store).values()) == {"done"}
    copy = kept(store, folder)
    for item in entries():
        assert_same_runs(copy / item.name, undisturbed / item.name)
    assert [path for path in copy.rglob("*") if path.name.endswith((".part", ".lease", ".tmp"))] == []


@pytest.mark.parametrize("protocol", ["file", "memory"])
def test_a_batch_at_a_url(protocol: str, tmp_path: Path, undisturbed: Path, cache: Path) -> None:
    store = begun(f"{protocol}://{tmp_path}/night")
    outcomes, said = finish(store)
    assert {outcome.state for outcome in outcomes.values()} == {"done"}
    assert said == [f"assets are made in {store.folder} and kept at {store}"]
    assert store.folder.is_relative_to(cache)
    assert not store.folder.exists()
    assert_undisturbed(store, undisturbed, tmp_path / "copy")
    assert sorted(path.name for path in (tmp_path / "copy" / "one" / "checkpoints").iterdir()) == [
        "0000010.safetensors",
        "0000012.safetensors",
    ]
    assert finish(store)[0] == {}  # nothing is done twice


def test_killed_and_its_scratch_folder_deleted(tmp_path: Path, undisturbed: Path, cache: Path) -> None:
    """Three times, as on another machine that has nothing but the URL: 34 iterations are to do."""
    url = f"file://{tmp_path}/night"
    draws = random.Random(7)
    for _ in range(3):
        kill_after(url, draws.randrange(5, 14))
        shutil.rmtree(cache)
    store = store_at(url)
    assert isinstance(store, Url)
    finish(store)
    assert_undisturbed(store, undisturbed, tmp_path / "copy")


def test_an_asset_goes_on_from_the_checkpoint_at_the_url(night: Url, cache: Path) -> None:
    kill_after(str(night), 9)
    shutil.rmtree(cache)
    iterations: list[int] = []

    class First(Lines):
        def start(self, total: int, start_iteration: int) -> None:
            iterations.append(start_iteration)

    class Looking(First):
        def update(self, iteration: int, scalars: dict[str, float]) -> None:
            iterations.append(iteration)

    list(carry_on(night, Looking(), in_flight=1, retries=1))
    assert 0 < len(iterations[1:]) <= 34 - 4 + 3  # two assets had at least two iterations each, kept


def test_what_a_scratch_folder_holds_does_not_matter(tmp_path: Path, night: Url, undisturbed: Path) -> None:
    """It may be older than what is at the URL, or of a batch that was there once."""
    kill_after(str(night), 9)
    for path in (night.folder / "one").rglob("*.*"):
        path.write_bytes(b"nonsense")
    alone(night.folder, entry("three", "sds", "prior=analytic"))
    finish(night)
    assert_undisturbed(night, undisturbed, tmp_path / "copy")


def test_the_manifest_of_the_url_counts_and_no_journal_of_another(night: Url) -> None:
    """A killed coordinator leaves one, with changes that never were in the file beside it."""
    kill_after(str(night), 9)
    assert (night.folder / f"{MANIFEST}-wal").stat().st_size
    with night.held(lambda text: None), closing(Manifest(night.folder)) as manifest:
        assert [asset.state for asset in manifest.assets()] == ["queued"] * 3


class Puts:
    """Every upload to a disk passes here; a test says what becomes of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.keys: list[str] = []
        self.fault: Callable[[str], BaseException | None] = lambda key: None
        put = LocalFileSystem.put_file

        def put_file(fs: Any, path: str, place: str, **options: Any) -> Any:
            key = place.partition("/night/")[2].removesuffix(".part")
            exc = self.fault(key)
            if exc is not None:
                Path(place).write_bytes(Path(path).read_bytes()[:10])
                raise exc
            self.keys.append(key)
            return put(fs, path, place, **options)

        monkeypatch.setattr(LocalFileSystem, "put_file", put_file)


@pytest.fixture
def puts(night: Url, monkeypatch: pytest.MonkeyPatch) -> Puts:
    return Puts(monkeypatch)


def test_the_asset_comes_last_and_the_manifest_after_it(
    night: Url, puts: Puts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "PUBLISH_S", 0.0)
    monkeypatch.setattr("sctd.batch.run.REPORT_S", 0.0)
    seen: list[dict[str, str]] = []

    def look(key: str) -> None:
        if key.endswith("asset.ply"):
            seen.append(states(night))

    puts.fault = look
    finish(night, in_flight=1)
    assert [found[name] for found, name in zip(seen, ("one", "two", "three"), strict=True)] == ["running"] * 3
    keys = [key for key in puts.keys if key.startswith("two/")]
    assert keys[-1] == "two/asset.ply"
    assert keys.index("two/config.yaml") < keys.index("two/log.jsonl")
    assert keys.index("two/log.jsonl") < keys.index("two/checkpoints/0000002.safetensors")
    assert keys[-5:-1] == ["two/asset.html", "two/config.yaml", "two/contact.png", "two/log.jsonl"]


def test_a_network_that_comes_back_is_no_event(
    tmp_path: Path, night: Url, puts: Puts, undisturbed: Path
) -> None:
    bad = iter([True, True])
    puts.fault = lambda key: ConnectionError("gone") if "000006" in key and next(bad, False) else None
    _, said = finish(night)
    assert len(said) == 1
    assert next(bad, None) is None
    assert_undisturbed(night, undisturbed, tmp_path / "copy")


def test_what_is_waited_for_in_vain_is_waited_for_once(
    night: Url, puts: Puts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many assets are in flight when the network goes."""
    waited: list[float] = []
    monkeypatch.setattr(objects, "PAUSES_S", (2.0, 8.0))
    monkeypatch.setattr(objects.time, "sleep", waited.append)
    puts.fault = lambda key: ConnectionError("gone") if "checkpoints" in key else None
    with pytest.raises(OutputError, match="gone"):
        finish(night, in_flight=3)
    assert waited == [2.0, 8.0]


@pytest.mark.parametrize("what", ["two/asset.ply", "one/checkpoints/0000006.safetensors", MANIFEST])
@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (ConnectionError("the network is down"), "the network is down"),
        (PermissionError(errno.EACCES, "Forbidden"), r"permission denied \(Forbidden\)"),
    ],
)
def test_an_upload_that_fails_ends_the_batch_and_loses_nothing(
    what: str, fault: Exception, says: str, tmp_path: Path, night: Url, puts: Puts, undisturbed: Path
) -> None:
    puts.fault = lambda key: fault if key == what else None
    with pytest.raises(
        OutputError, match=rf"^cannot write {night}/{what}: {says}; continue with --resume file://"
    ):
        finish(night)
    copy = kept(night, tmp_path / "broken")
    assert not (copy / "two" / "asset.ply").exists() or what != "two/asset.ply"
    assert not (copy / "one" / "checkpoints" / "0000006.safetensors").exists() or "0000006" not in what
    assert states(night)["one" if "one" in what else "two"] != "done"
    puts.fault = lambda key: None
    finish(night)
    assert_undisturbed(night, undisturbed, tmp_path / "copy")


def test_a_url_that_cannot_be_written_is_left_as_it_was(tmp_path: Path, puts: Puts, cache: Path) -> None:
    puts.fault = lambda key: OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    store = store_at(f"file://{tmp_path}/night/new")
    with pytest.raises(OutputError, match="No space left"):
        store.create(entries())
    assert not store.folder.exists()
    assert not store.exists()
    with pytest.raises(InputError, match="no batch in file://"):
        finish(store)


@pytest.mark.parametrize("harm", ["altered", "missing"])
@pytest.mark.parametrize("file", ["asset.ply", "contact.png"])
def test_an_object_that_is_not_what_it_was_is_made_again(
    harm: str, file: str, tmp_path: Path, night: Url, undisturbed: Path
) -> None:
    finish(night)
    path = tmp_path / "deep" / "night" / "two" / file
    path.unlink() if harm == "missing" else path.write_bytes(b"half")
    outcomes, said = finish(night)
    assert list(outcomes) == ["two"]
    assert said[1:] == ["two: its files are missing or altered; making them again"]
    assert_undisturbed(night, undisturbed, tmp_path / "copy")


def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path, night: Url, undisturbed: Path) -> None:
    kill_after(str(night), 14)
    newest = max((tmp_path / "deep" / "night" / "one" / "checkpoints").iterdir())
    newest.write_bytes(newest.read_bytes()[:100])
    _, said = finish(night)
    assert any(text.startswith("one: ignored a checkpoint: ") for text in said)
    assert_undisturbed(night, undisturbed, tmp_path / "copy")


def test_status_and_gallery_need_the_url_alone(tmp_path: Path, night: Url, cache: Path) -> None:
    finish(night)
    shutil.rmtree(cache, ignore_errors=True)
    found = status(night)
    assert found.counts == {"queued": 0, "running": 0, "done": 3, "failed": 0}
    assert found.assets_per_hour is not None
    assert gallery.write(night, gallery.cards_of(night)) == f"{night}/index.html"
    page = (tmp_path / "deep" / "night" / "index.html").read_text()
    assert "<h1>night</h1>" in page
    assert '"contact": "three/contact.png"' in page
    assert '"turntable": null' in page
    copy = gallery.page("night", gallery.cards_of(night), night.files())
    folder = Folder(tmp_path / "deep" / "night")
    assert copy == page == gallery.page(folder.title, gallery.cards_of(folder), folder.files())
    assert not cache.exists()


def test_a_list_at_a_url() -> None:
    fsspec.filesystem("memory").pipe_file("/lists/p.jsonl", b'{"prompt": "a red ball", "seed": 4}\n')
    (found,) = read_prompts("memory://lists/p.jsonl", Defaults("embedded"))
    assert (found.name, found.config.prompt) == ("a-red-ball-seed4", "a red ball")
    with pytest.raises(InputError, match=r"^cannot read memory://lists/q.txt: no such file"):
        read_prompts("memory://lists/q.txt", Defaults("embedded"))
    with pytest.raises(InputError, match="must end in"):
        read_prompts("memory://lists/p.yaml?p.txt", Defaults("embedded"))


def test_protocols_that_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(known_implementations, "far", {"class": "farfs.Far", "err": "Install farfs"})
    with pytest.raises(InputError, match=r"^far:// needs a package .*; run `pip install farfs`$"):
        store_at("far://bucket/night")
    with pytest.raises(InputError, match="Protocol not known: nonsense; give a folder, or a URL"):
        store_at("nonsense://bucket/night")
    with pytest.raises(InputError, match="--scratch goes with a URL"):
        store_at("night", Path("scratch"))


def test_no_slip_of_the_pen_makes_a_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    """An object store makes one of the first part of a path, where it is asked to and may."""
    asked: list[tuple[str, bool]] = []

    class Buckets(MemoryFileSystem):
        protocol = "buckets"

        @classmethod
        def _strip_protocol(cls, path: str) -> str:
            return path.removeprefix("buckets://").rstrip("/")

        def put_file(self, lpath: str, rpath: str, **options: Any) -> None:
            raise FileNotFoundError(rpath)

        def mkdir(self, path: str, create_parents: bool = True, **options: Any) -> None:
            asked.append((path, create_parents))
            raise FileNotFoundError(path)

    monkeypatch.setitem(registry, "buckets", Buckets)
    with pytest.raises(OutputError, match=r"no such file, folder or bucket; make it first$"):
        store_at("buckets://misspelt/night").create(entries())
    assert asked == [("misspelt/night", False)]


def test_workers_have_folders_of_their_own(night: Url, tmp_path: Path) -> None:
    one, two = (pickle.loads(pickle.dumps(night.for_worker(f"worker {i}"))) for i in (1, 2))
    assert str(one) == str(two) == str(night)
    assert one.folder == night.folder / "worker-1"
    assert two.folder == night.folder / "worker-2"
    assert store_at(str(night), tmp_path / "fast").folder.parent == tmp_path / "fast"


def test_a_scratch_folder_in_use_is_not_emptied(tmp_path: Path) -> None:
    """Two that begin a batch at one URL at once: the second looked before the first had put a thing there."""
    store = store_at(f"file://{tmp_path}/night")
    with Claim(store.folder):
        (store.folder / "one").mkdir()
        (store.folder / "one" / "asset.ply").write_text("being made")
        with pytest.raises(Held, match=f"process {os.getpid()} on "):
            store.create(entries())
        assert (store.folder / "one" / "asset.ply").read_text() == "being made"
    store.create(entries())  # what a dead process left there is not needed
    assert [path.name for path in store.folder.iterdir()] == [MANIFEST]
