"""The store of a batch: a folder of this machine, or any URL that fsspec supports. Loads no torch.

Runs always work in a folder. For a URL that is a scratch folder, and the store uploads what must survive: a
run's checkpoint, log and settings with each checkpoint, all its files when it is done, and the manifest at
intervals. The URL is authoritative: resumed runs are fetched from it first. So a scratch folder may be lost
at any moment, and no two machines need to see the same one.
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
    """What the coordinator of a batch, its workers and its readers need of its files.

    A file that cannot be read or written is an :class:`.OutputError`, after which the batch stops.
    """

    @property
    def folder(self) -> Path:
        """The folder to work in: a run folder for each asset in flight, and the coordinator's manifest."""
        ...

    @property
    def title(self) -> str:
        """The last part of its name."""
        ...

    def address(self, *parts: str) -> str:
        """The address of the batch, or of a file of it, as people write it."""
        ...

    def create(self, entries: Sequence[Entry]) -> None:
        """Begin a batch, with everything queued. Raises InputError: the place is not empty."""
        ...

    def exists(self) -> bool:
        """Whether there is a batch."""
        ...

    def held(self, say: Callable[[str], None]) -> AbstractContextManager[None]:
        """Be the only coordinator, with the manifest in :attr:`folder`. Raises SctdError: another is."""
        ...

    def is_held(self) -> bool:
        """Whether a coordinator is running."""
        ...

    def publish(self) -> None:
        """Called often by the coordinator; saves the manifest when it is time."""
        ...

    def reading(self) -> AbstractContextManager[Path]:
        """A folder with the saved manifest. Raises InputError: there is no batch."""
        ...

    def altered(self, done: Sequence[Asset]) -> list[str]:
        """Names of the assets whose files are missing or do not have the manifest's checksums."""
        ...

    def for_worker(self, name: str) -> Store:
        """This store for another process, on this machine or another one."""
        ...

    def fetch(self, name: str) -> None:
        """Fill an asset's run folder with its saved files, and nothing else."""
        ...

    def keep(self, name: str) -> None:
        """Save a run's new checkpoint."""
        ...

    def finish(self, name: str, last: str) -> None:
        """Save all files of a finished run, the one called ``last`` after the others."""
        ...

    def files(self) -> set[str]:
        """The saved files, each as "asset/file"."""
        ...

    def write(self, name: str, text: str) -> str:
        """Save a file beside the assets; returns its address."""
        ...


def is_url(name: str | Path) -> bool:
    """Whether this is a URL for fsspec."""
    return "://" in str(name)


def store_at(address: str | Path, scratch: Path | None = None) -> Store:
    """The store at an address.

    Args:
        scratch: parent of the scratch folder of a URL; None: the user's cache.

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
    """A folder in which runs work directly, so nothing needs to be copied."""

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
        """Whether a process holds it, on this machine or on another one whose locks reach here."""
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
        """The absolute path: workers have other working directories."""
        return Folder(self.folder.resolve())

    def fetch(self, name: str) -> None:
        """It is there."""

    def keep(self, name: str) -> None:
        """It is there."""

    def finish(self, name: str, last: str) -> None:
        """They are there."""

    def files(self) -> set[str]:
        """The files on the disk."""
        return {path.relative_to(self.folder).as_posix() for path in self.folder.glob("*/*")}

    def write(self, name: str, text: str) -> str:
        """Write the file whole or not at all."""
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
