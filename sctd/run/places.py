"""Checks before the work starts that a folder can be written. Loads no torch."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from sctd.errors import OutputError, unwritable

RUN_BYTES = 64 << 20
"""Free space required before a run starts; a run of the embedded preset writes about a tenth of it."""


def check_writable(out: Path, needed: int = RUN_BYTES) -> None:
    """Try to write in the nearest existing part of a folder's path, and remove the trial file.

    Raises:
        OutputError: it is no folder, cannot be written, or has less than ``needed`` bytes free.
    """
    path = out.absolute()
    base = next(p for p in (path, *path.parents) if os.path.lexists(p))
    if not base.is_dir():
        raise OutputError(f"cannot write {out}: {base} is not a folder; choose another output folder")
    try:
        out.exists()  # raises if the name is too long
        # Permission bits do not cover read-only mounts, quotas and size limits, so this writes a file.
        with tempfile.TemporaryFile(dir=base) as probe:
            probe.write(b"\0" * (1 << 20))
            probe.flush()
    except OSError as exc:
        raise unwritable(out, exc) from exc
    free = shutil.disk_usage(base).free
    if free < needed:
        raise OutputError(
            f"only {free / 2**20:.0f} MB free at {base}, {needed / 2**20:.0f} MB are needed; "
            "make room, or choose another output folder"
        )
