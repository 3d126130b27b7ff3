"""The store of a batch at a URL: which files it uploads and fetches, when, and in which order."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from sctd.batch import folder as folders
from sctd.batch.entry import Entry
from sctd.batch.lease import Lease
from sctd.batch.manifest import MANIFEST, Asset, Manifest
from sctd.batch.objects import PART, Objects
from sctd.errors import InputError, SctdError
from sctd.run.claims import Claim, clear
from sctd.run.folder import CHECKPOINTS, CONFIG, LOG

PUBLISH_S = 30.0
"""Seconds between two uploads of the manifest, and two renewals of the coordinator's lease."""
AT_ONCE = 4
"""Files whose checksums are computed at a time, each of them in memory."""


class Url:
    """A :class:`.Store`; the objects at the URL have the layout of a batch's folder."""

    def __init__(self, url: str, scratch: Path | None = None, worker: str = "") -> None:
        """Nothing is read yet.

        Args:
            scratch: parent of the scratch folder; None: the user's cache.
            worker: the worker that uses this store; "": the coordinator or a reader.

        Raises:
            InputError: the protocol is unknown, or its package is not installed.
        """
        self._objects = Objects(url, patient=bool(worker))
        self._scratch, self._worker = scratch, worker
        self._lease = Lease(self._objects)
        self._published = 0.0

    def __reduce__(self) -> tuple[Any, ...]:
        return Url, (self._objects.url, self._scratch, self._worker)

    def __str__(self) -> str:
        return self._objects.url

    @property
    def folder(self) -> Path:
        """The scratch folder: one for each URL, and in it one for each worker."""
        base = _cache() / "batch" if self._scratch is None else self._scratch
        return base / hashlib.sha256(str(self).encode()).hexdigest()[:16] / self._worker

    @property
    def title(self) -> str:
        """The part behind the last slash."""
        return str(self).rpartition("/")[2]

    def address(self, *parts: str) -> str:
        """The URL, or that of a file below it."""
        return self._objects.address("/".join(parts))

    def create(self, entries: Sequence[Entry]) -> None:
        """Write the manifest as the first object: if that fails, nothing has changed at the URL."""
        with Claim(self.folder):  # no process needs the files in it any more
            if self.exists():
                raise InputError(
                    f"{self} holds a batch; continue with --resume {self}, or choose another URL"
                )
            if self._objects.listed():
                raise InputError(f"{self} is not empty; choose another URL with --out")
            clear(self.folder)
            try:
                Manifest.create(self.folder, entries).close()
                self._objects.put(self.folder / MANIFEST, MANIFEST)
            except BaseException:
                clear(self.folder)
                raise

    def exists(self) -> bool:
        """Whether there is a manifest."""
        return self._objects.exists(MANIFEST)

    @contextmanager
    def held(self, say: Callable[[str], None]) -> Iterator[None]:
        """Hold the lease and the scratch folder's lock; remove that folder once the URL has everything."""
        with self.reading() as kept, folders.held(self.folder, say, str(self)):
            self._lease.take()
            self._objects.patient = True
            for old in self.folder.glob(f"{MANIFEST}*"):  # and its journals
                old.unlink()
            shutil.copyfile(kept / MANIFEST, self.folder / MANIFEST)
            say(f"assets are made in {self.folder} and kept at {self}")
            self._published = time.monotonic()
            try:
                yield
                self._publish()
            except BaseException:
                self._objects.patient = False
                for last in (self._publish, self._lease.drop):
                    with suppress(SctdError):
                        last()
                raise
            self._lease.drop()
            clear(self.folder)
        with suppress(OSError):  # another coordinator has taken over
            self.folder.rmdir()

    def is_held(self) -> bool:
        """Whether the lease is held; after a kill on another machine it takes a while to lapse."""
        return self._lease.holder() is not None

    def publish(self) -> None:
        """Upload the manifest every :data:`PUBLISH_S` seconds."""
        if time.monotonic() - self._published >= PUBLISH_S:
            self._publish()

    @contextmanager
    def reading(self) -> Iterator[Path]:
        """A temporary folder with a copy of the manifest."""
        data = self._objects.read(MANIFEST)
        if data is None:
            raise InputError(f"no batch in {self}: it has no {MANIFEST}; start one with --out {self}")
        with tempfile.TemporaryDirectory(prefix="sctd-batch-") as folder:
            (Path(folder) / MANIFEST).write_bytes(data)
            yield Path(folder)

    def altered(self, done: Sequence[Asset]) -> list[str]:
        """Read every file of the assets, renewing the lease meanwhile."""
        names = []
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for asset, same in zip(done, pool.map(self._is_there, done), strict=True):
                self.publish()
                if not same:
                    names.append(asset.name)
        return names

    def for_worker(self, name: str) -> Url:
        """The same URL with another scratch folder, on any machine."""
        scratch = None if self._scratch is None else self._scratch.absolute()
        return Url(str(self), scratch, name.replace(" ", "-"))

    def fetch(self, name: str) -> None:
        """Fetch settings, log and checkpoints, replacing the files of the scratch folder."""
        run = self.folder / name
        shutil.rmtree(run, ignore_errors=True)
        for key in self._objects.listed(name):
            file = key.removeprefix(f"{name}/")
            if file in (CONFIG, LOG) or (file.startswith(f"{CHECKPOINTS}/") and not file.endswith(PART)):
                self._objects.get(key, run / file)

    def keep(self, name: str) -> None:
        """Upload the checkpoint last: wherever this ends, the log covers the checkpoint there."""
        run = self.folder / name
        here = sorted(path.name for path in (run / CHECKPOINTS).glob("[!.]*"))
        there = {key.rpartition("/")[2] for key in self._objects.listed(f"{name}/{CHECKPOINTS}")}
        for file in (*([] if there else [CONFIG]), LOG, f"{CHECKPOINTS}/{here[-1]}"):
            self._objects.put(run / file, f"{name}/{file}")
        for old in there - set(here):
            self._objects.remove(f"{name}/{CHECKPOINTS}/{old}")

    def finish(self, name: str, last: str) -> None:
        """Upload the remaining files; the scratch folder does not need the run any more."""
        run = self.folder / name
        files = [path.name for path in run.glob("[!.]*") if path.is_file()]
        for file in sorted(files, key=lambda file: (file == last, file)):
            self._objects.put(run / file, f"{name}/{file}")
        shutil.rmtree(run, ignore_errors=True)

    def files(self) -> set[str]:
        """List the URL once."""
        return {key for key in self._objects.listed() if key.count("/") == 1}

    def write(self, name: str, text: str) -> str:
        """Upload the file whole or not at all."""
        self._objects.write(name, text.encode())
        return self.address(name)

    def _publish(self) -> None:
        self._lease.renew()  # before the manifest, which may belong to another coordinator now
        copy = self.folder / f".{MANIFEST}.copy"
        with closing(Manifest(self.folder)) as manifest:
            manifest.copy(copy)
        self._objects.put(copy, MANIFEST)
        self._published = time.monotonic()

    def _is_there(self, asset: Asset) -> bool:
        for file, digest in asset.checksums.items():
            data = self._objects.read(f"{asset.name}/{file}")
            if data is None or hashlib.sha256(data).hexdigest() != digest:
                return False
        return True


def _cache() -> Path:
    """The user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sctd"
