"""Where a batch is kept: in a folder of this machine, or at any URL that fsspec knows. Loads no torch.

The work is done in a folder either way. At a URL that is a scratch folder, and what must survive goes up: a
run's checkpoint, log and settings with each checkpoint, all its files when it is done, and the manifest now
and then. The URL has the say: whatever is gone on with is fetched from there first, so that a scratch folder
can be lost at any moment, and no two machines need see the same one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from sctd.batch import folder as folders
from sctd.batch.entry import Entry
from sctd.batch.manifest import MANIFEST, Asset, checksums
from sctd.errors import InputError
from sctd.files import whole_file
from sctd.run.claims import is_held


class Store(Protocol):
    """What the coordinator of a batch, its workers and its readers need of the place where it is kept.

    Whatever cannot be read or written is an :class:`.OutputError`, after which the batch stops.
    """

    @property
    def folder(self) -> Path:
        """Where the work is done: a run folder for each asset in flight, and the coordinator's manifest."""
        ...

    @property
    def title(self) -> str:
        """The last part of its name."""
        ...

    def address(self, *parts: str) -> str:
        """What people call the batch, or a file of it."""
        ...

    def create(self, entries: Sequence[Entry]) -> None:
        """Begin a batch, with everything queued. Raises InputError: something is there already."""
        ...

    def exists(self) -> bool:
        """Whether a batch is there."""
        ...

    def held(self, say: Callable[[str], None]) -> AbstractContextManager[None]:
        """Be the only coordinator, with the manifest in :attr:`folder`. Raises SctdError: there is one."""
        ...

    def is_held(self) -> bool:
        """Whether a coordinator is at work."""
        ...

    def publish(self) -> None:
        """Called often by the coordinator; keeps the manifest when it is time."""
        ...

    def reading(self) -> AbstractContextManager[Path]:
        """A folder with the manifest as it is kept. Raises InputError: there is no batch."""
        ...

    def altered(self, done: Sequence[Asset]) -> list[str]:
        """The names of those whose files are missing, or are not the ones with the manifest's checksums."""
        ...

    def for_worker(self, name: str) -> Store:
        """The same place for another process, on this machine or another one."""
        ...

    def fetch(self, name: str) -> None:
        """Make an asset's run folder what is kept of it."""
        ...

    def keep(self, name: str) -> None:
        """A run has saved a checkpoint."""
        ...

    def finish(self, name: str, last: str) -> None:
        """A run is done: keep all its files, the one called ``last`` after the others."""
        ...

    def files(self) -> set[str]:
        """What is kept, each as "asset/file"."""
        ...

    def write(self, name: str, text: str) -> str:
        """Keep a file beside the assets; its address."""
        ...


def is_url(name: str | Path) -> bool:
    """Whether this names something for fsspec."""
    return "://" in str(name)


def store_at(address: str | Path, scratch: Path | None = None) -> Store:
    """The place with this address.

    Args:
        scratch: where the assets of a URL are made, in a folder of its own; None: in the user's cache.

    Raises:
        InputError: the URL's protocol is unknown, or its package is not installed.
    """
    if is_url(address):
        from sctd.batch.remote import Url

        return Url(str(address), scratch)
    if scratch is not None:
        raise InputError(f"--scratch goes with a URL; {address} is a folder, and assets are made there")
    return Folder(Path(address))


class Folder:
    """A folder that is worked in directly: what is made is where it belongs."""

    def __init__(self, path: Path) -> None:
        self.folder = path

    def __str__(self) -> str:
        return str(self.folder)

    @property
    def title(self) -> str:
        """The folder's name."""
        return self.folder.resolve().name

    def address(self, *parts: str) -> str:
        """A path, relative if the folder's is."""
        return str(self.folder.joinpath(*parts))

    def create(self, entries: Sequence[Entry]) -> None:
        """See :func:`sctd.batch.folder.create`."""
        folders.create(self.folder, entries)

    def exists(self) -> bool:
        """Whether there is a manifest."""
        return (self.folder / MANIFEST).is_file()

    def held(self, say: Callable[[str], None]) -> AbstractContextManager[None]:
        """See :func:`sctd.batch.folder.held`."""
        return folders.held(self.folder, say)

    def is_held(self) -> bool:
        """By a process of this machine, or of another one whose locks reach here."""
        return is_held(self.folder)

    def publish(self) -> None:
        """It is there."""

    @contextmanager
    def reading(self) -> Iterator[Path]:
        """The folder."""
        yield self.folder

    def altered(self, done: Sequence[Asset]) -> list[str]:
        """Reads every file."""
        return [asset.name for asset in done if not self._is_there(asset)]

    def for_worker(self, name: str) -> Folder:
        """Workers have working directories of their own."""
        return Folder(self.folder.resolve())

    def fetch(self, name: str) -> None:
        """It is there."""

    def keep(self, name: str) -> None:
        """It is there."""

    def finish(self, name: str, last: str) -> None:
        """They are there."""

    def files(self) -> set[str]:
        """Of the file system."""
        return {path.relative_to(self.folder).as_posix() for path in self.folder.glob("*/*")}

    def write(self, name: str, text: str) -> str:
        """In one piece."""
        with whole_file(self.folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
        return self.address(name)

    def _is_there(self, asset: Asset) -> bool:
        try:
            return asset.checksums == checksums(self.folder / asset.name, asset.checksums)
        except OSError:
            return False


def read_bytes(name: str | Path) -> bytes:
    """A file's content, from the disk or from a URL.

    Raises:
        InputError: it cannot be read.
    """
    if is_url(name):
        from sctd.batch.objects import read_url

        return read_url(str(name))
    try:
        return Path(name).read_bytes()
    except OSError as exc:
        raise InputError(f"cannot read prompts from {name}: {exc.strerror or exc}") from exc
