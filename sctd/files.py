"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path``; renamed to ``path`` when the block succeeds, else removed.

    It keeps the ending, because encoders choose the format by it. The rename replaces an existing file in one
    step.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())  # else a power cut could keep the new name and lose the bytes
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
