"""The folder of a batch: how it is made, and held by one process at a time. No torch."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from sctd.batch.entry import Entry
from sctd.batch.manifest import MANIFEST, Manifest
from sctd.errors import InputError, OutputError, SctdError
from sctd.runlog import check_target

LOCK = ".lock"


def create(out: Path, entries: Sequence[Entry]) -> None:
    """Make the folder of a new batch, with everything queued.

    Raises:
        InputError: it exists and is not empty, or cannot be written; nothing is left behind then.
    """
    if (out / MANIFEST).is_file():
        raise InputError(f"{out} holds a batch; go on with --resume {out}, or choose another folder")
    if out.is_dir() and any(out.iterdir()):
        raise InputError(f"output folder {out} is not empty; choose another one with --out")
    check_target(out, overwrite=False)
    missing = [path for path in (out, *out.parents) if not path.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
        Manifest.create(out, entries).close()
    except OSError as exc:
        raise OutputError(f"cannot write to {out}: {exc.strerror}; choose another folder") from exc
    finally:
        if not (out / MANIFEST).is_file():
            for path in missing:
                with suppress(OSError):
                    path.rmdir()


@contextmanager
def held(out: Path, called: str = "") -> Iterator[None]:
    """Hold a batch's folder, so that no two processes take the same assets; the system lets go after a kill.

    Args:
        called: what people call the batch, where it is not the folder's path.

    Raises:
        SctdError: another process holds it.
        OutputError: it cannot be written.
    """
    try:
        file = (out / LOCK).open("w")
    except OSError as exc:
        raise OutputError(f"cannot write to {out}: {exc.strerror}; make room or fix the disk") from exc
    with file:
        if not _locked(file, fcntl.LOCK_EX):
            time.sleep(0.1)  # whoever asks is_held() has it for a moment
            if not _locked(file, fcntl.LOCK_EX):
                name = called or out
                raise SctdError(f"another sctd batch is at work in {name}; see sctd batch --status {name}")
        yield


def is_held(out: Path) -> bool:
    """Whether a process holds a batch's folder."""
    try:
        with (out / LOCK).open() as file:
            return not _locked(file, fcntl.LOCK_SH)
    except OSError:
        return False  # never begun, or not ours to read


def _locked(file: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
