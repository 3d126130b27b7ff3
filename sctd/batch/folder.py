"""The folder of a batch: made once, and held by one process at a time. Loads no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sctd.batch.entry import Entry
from sctd.batch.manifest import MANIFEST, Manifest
from sctd.errors import InputError, SctdError
from sctd.run.claims import Claim, Held
from sctd.run.folder import check_target, is_blank


def create(out: Path, entries: Sequence[Entry]) -> None:
    """Make the folder of a new batch, with everything queued.

    Raises:
        InputError: it exists and is not empty, or cannot be written; then no file is left.
    """
    _refuse(out)
    check_target(out, overwrite=False)
    with Claim(out):
        _refuse(out)  # another process may have begun a batch here in between
        Manifest.create(out, entries).close()


def _refuse(out: Path) -> None:
    if (out / MANIFEST).is_file():
        raise InputError(f"{out} holds a batch; continue with --resume {out}, or choose another folder")
    if out.is_dir() and not is_blank(out):
        raise InputError(f"output folder {out} is not empty; choose another one with --out")


@contextmanager
def held(out: Path, say: Callable[[str], None] | None = None, called: str = "") -> Iterator[None]:
    """Hold a batch's folder, so that no two processes make the same assets; a kill ends the lock.

    Args:
        say: gets a message when the folder cannot be locked.
        called: the name of the batch in messages, where it is not the folder's path.

    Raises:
        SctdError: another process holds it.
        OutputError: it cannot be written.
    """
    try:
        claim = Claim(out, say)
    except Held as exc:
        name = called or out
        raise SctdError(
            f"another sctd batch is running in {name} ({exc.holder}); see sctd batch --status {name}"
        ) from exc
    with claim:
        yield
