"""Whole files or none: everything that export writes goes through here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path`` that becomes ``path`` when the block ends well, else it vanishes.

    The ending stays, since encoders choose the format by it. An existing file is replaced in one step.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())  # the new name must not survive a power cut that the bytes do not
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
