"""Claims of folders: only one process at a time works in a folder, until it ends.

The claim is a lock of the system (flock) on a hidden file in the folder. The lock ends with its process, so
the file that a kill or a power cut leaves blocks nobody; a clean end removes the file.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sctd.errors import SctdError, unwritable

try:
    import fcntl
except ImportError:  # Windows has no flock
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"
"""The hidden file in a claimed folder: its holder, as JSON."""
PATIENCE_S = 0.1
"""Seconds before a second attempt at a held folder: a process that only checks holds it for a moment."""


class Held(SctdError):
    """Another process works in the folder."""

    def __init__(self, path: Path, holder: str) -> None:
        """Takes the text of :func:`holder`."""
        super().__init__(
            f"another sctd is running in {path} ({holder}); wait until it is done, or choose another folder"
        )
        self.holder = holder


class Claim:
    """A folder in which only this process works during the block.

    When the block fails, the claim removes the folders that it made, as far as they are empty: files of
    others, and files that the block leaves on purpose, stay.
    """

    def __init__(self, path: Path, say: Callable[[str], None] | None = None) -> None:
        """Claim the folder, making it if it does not exist.

        Args:
            say: gets a message when the file system has no locks; then the block runs without one.

        Raises:
            Held: another process, or another block of this one, works in it.
            OutputError: it cannot be made or written.
        """
        self.path = path
        self.made: list[Path] = []
        """Folders that this claim made, outermost first."""
        try:
            self._file = self._claimed(say)
        except OSError as exc:
            self._remove_made()
            raise unwritable(path, exc) from exc
        except BaseException:
            self._remove_made()
            raise

    @property
    def is_new(self) -> bool:
        """Whether this claim made the folder."""
        return self.path in self.made

    def release(self) -> None:
        """End the claim."""
        if self._file is not None:
            with suppress(OSError):
                (self.path / LOCK).unlink()  # while held: it cannot be another process's file
            os.close(self._file)
            self._file = None

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.release()
        if kind is not None:
            self._remove_made()

    def _claimed(self, say: Callable[[str], None] | None) -> int | None:
        """The lock's file descriptor."""
        while True:
            self.made += make_folders(self.path)
            try:
                file = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
            except FileNotFoundError:
                if self.path.is_dir():
                    raise
                continue  # another process has just removed the folder that it had made
            try:
                if not self._locked(file, say):
                    raise Held(self.path, holder(self.path))
                if _is_at(file, self.path / LOCK):
                    _sign(file)
                    return file
            except BaseException:
                os.close(file)
                raise
            os.close(file)  # the previous holder has removed it meanwhile

    def _locked(self, file: int, say: Callable[[str], None] | None) -> bool:
        try:
            if _flock(file):
                return True
            time.sleep(PATIENCE_S)
            return _flock(file)
        except OSError as exc:
            if say is not None:
                say(
                    f"{self.path} cannot be locked ({exc.strerror}); see to it that no other sctd works there"
                )
            return True

    def _remove_made(self) -> None:
        for path in reversed(self.made):
            with suppress(OSError):  # not empty, or gone
                path.rmdir()


@contextmanager
def made_folder(path: Path) -> Iterator[None]:
    """Make a folder for files that each are written whole; when the block fails, remove it if it is empty.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        made = make_folders(path)
    except OSError as exc:
        raise unwritable(path, exc) from exc
    try:
        yield
    except BaseException:
        for folder in reversed(made):
            with suppress(OSError):
                folder.rmdir()
        raise


def make_folders(path: Path) -> list[Path]:
    """Make a folder and its parents; returns those that this call made, outermost first."""
    made: list[Path] = []
    for missing in reversed([p for p in (path, *path.parents) if not p.exists()]):
        try:
            missing.mkdir()
        except FileExistsError:
            if not missing.is_dir():
                raise
        else:
            made.append(missing)
    return made


def is_held(path: Path) -> bool:
    """Whether a process holds a folder."""
    try:
        file = os.open(path / LOCK, os.O_RDONLY)
    except OSError:
        return False  # no claim, an ended one, or a file that we may not read
    try:
        return not _flock(file, shared=True)
    except OSError:
        return False
    finally:
        os.close(file)


def refuse_held(path: Path) -> None:
    """Raises Held when a process works in a folder; an early check before the claim."""
    if is_held(path):
        raise Held(path, holder(path))


def holder(path: Path) -> str:
    """The holder of a folder, for people: "process 123 on host, since 2025-01-31 12:00:00"."""
    try:
        said = json.loads((path / LOCK).read_text(encoding="utf-8"))
        return f"process {said['pid']} on {said['host']}, since {said['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "a process that did not say which"


def clear(path: Path) -> None:
    """Remove everything in a claimed folder but the claim; only for folders in which all files are sctd's."""
    with suppress(FileNotFoundError):
        for entry in path.iterdir():
            if entry.name == LOCK:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                with suppress(OSError):
                    entry.unlink()


def _flock(file: int, *, shared: bool = False) -> bool:
    """Whether this process got the lock; OSError: the system has no locks here."""
    if fcntl is None:
        raise OSError(0, "this system has no flock")
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # the latter on NFS, which implements flock by fcntl
        return False
    return True


def _is_at(file: int, path: Path) -> bool:
    """Whether an open file still has this name."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except OSError:
        return False


def _sign(file: int) -> None:
    """Write the holder into the file; the lock holds even if that fails."""
    said = {"pid": os.getpid(), "host": platform.node(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
    with suppress(OSError):
        os.truncate(file, 0)
        os.pwrite(file, json.dumps(said).encode(), 0)
