"""Who works in a folder: claimed at one moment, held for as long as the process lives, left without a trace.

The claim is a lock of the system (flock) on a hidden file in the folder. It dies with its process, so that a
file that is left after a kill or a power cut holds nobody up; after a clean end the file is removed.
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
except ImportError:  # Windows has other locks
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"
"""The hidden file in a claimed folder: who holds it, as JSON."""
PATIENCE_S = 0.1
"""Seconds until a folder that is taken is tried again: whoever only looks has it for a moment."""


class Held(SctdError):
    """Another process works in the folder."""

    def __init__(self, path: Path, holder: str) -> None:
        """Takes what :func:`holder` said."""
        super().__init__(
            f"another sctd is at work in {path} ({holder}); wait until it is done, or choose another folder"
        )
        self.holder = holder


class Claim:
    """A folder that is this process's alone while the block lasts.

    Folders that it made are removed again when the block fails, as far as they are empty then: what another
    put there, and what the block itself wants kept, stays.
    """

    def __init__(self, path: Path, say: Callable[[str], None] | None = None) -> None:
        """Make the folder if need be, and claim it.

        Args:
            say: told when the file system has no locks, which is no obstacle.

        Raises:
            Held: another process, or another block of this one, works in it.
            OutputError: it cannot be made or written.
        """
        self.path = path
        self.made: list[Path] = []
        """Folders that were not there before, outermost first."""
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
        """Whether the folder was not there before."""
        return self.path in self.made

    def release(self) -> None:
        """Let others have it."""
        if self._file is not None:
            with suppress(OSError):
                (self.path / LOCK).unlink()  # while it is held: nobody else's can be there
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
                continue  # another one has just removed the folder that it had made
            try:
                if not self._locked(file, say):
                    raise Held(self.path, holder(self.path))
                if _is_at(file, self.path / LOCK):
                    _sign(file)
                    return file
            except BaseException:
                os.close(file)
                raise
            os.close(file)  # whoever had it has removed it meanwhile

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
    """Make a folder and its parents; those that this call has made, outermost first."""
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
        return False  # never begun, over, or not ours to read
    try:
        return not _flock(file, shared=True)
    except OSError:
        return False
    finally:
        os.close(file)


def refuse_held(path: Path) -> None:
    """Raises Held when a process works in a folder; for those who would otherwise find out late."""
    if is_held(path):
        raise Held(path, holder(path))


def holder(path: Path) -> str:
    """Who holds a folder, for people: "process 123 on host, since 2025-01-31 12:00:00"."""
    try:
        said = json.loads((path / LOCK).read_text(encoding="utf-8"))
        return f"process {said['pid']} on {said['host']}, since {said['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "a process that did not say which"


def clear(path: Path) -> None:
    """Remove everything in a claimed folder but the claim; for folders in which everything is sctd's."""
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
    """Whether the lock could be had; OSError: there are none here."""
    if fcntl is None:
        raise OSError(0, "this system has no flock")
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # the latter where NFS makes flock of fcntl
        return False
    return True


def _is_at(file: int, path: Path) -> bool:
    """Whether an open file is the one with this name."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except OSError:
        return False


def _sign(file: int) -> None:
    """Say who holds it; where that cannot be written, the lock holds all the same."""
    said = {"pid": os.getpid(), "host": platform.node(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
    with suppress(OSError):
        os.truncate(file, 0)
        os.pwrite(file, json.dumps(said).encode(), 0)
