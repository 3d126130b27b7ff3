"""A run's folder: config.yaml, log.jsonl, checkpoints/; how it is made, resumed and given up."""

from __future__ import annotations

import errno
import json
import math
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO

from sctd.config import Config, differences, load_config
from sctd.errors import InputError, OutputError

CONFIG, LOG, CHECKPOINTS = "config.yaml", "log.jsonl", "checkpoints"
MAY_CHANGE = ("output.", "threads", "device")
"""Settings that a resumed run may have different: they do not belong to the result's definition."""
SPACE_NEEDED = 32 * 2**20
"""Bytes that must be free to begin: two checkpoints, the asset and the pictures of a small run."""


class RunFolder:
    """The folder of one run; made by :meth:`create` or :meth:`reopen`."""

    def __init__(self, path: Path, made: list[Path]) -> None:
        self.path = path
        self.checkpoints = path / CHECKPOINTS
        self._made = made
        """Folders that did not exist before, outermost first."""

    @classmethod
    def create(cls, path: Path, config: Config, *, overwrite: bool) -> RunFolder:
        """Make the folder of a new run.

        Raises:
            InputError: it exists already, or cannot be made or written to; nothing is left behind then.
        """
        from sctd.checkpoint import write_atomically  # here, since it loads torch

        check_target(path, overwrite=overwrite)
        made: list[Path] = []
        folder = cls(path, made)
        try:
            if path.exists():
                shutil.rmtree(path)
            for missing in reversed([p for p in (path, *path.parents) if not p.exists()]):
                missing.mkdir()
                made.append(missing)
            folder.checkpoints.mkdir()
            write_atomically(path / CONFIG, config.to_yaml().encode())
        except OSError as exc:
            folder.discard()
            raise _unwritable(path, exc) from exc
        return folder

    @classmethod
    def reopen(cls, path: Path, config: Config) -> RunFolder:
        """Open the folder of a run to go on with it.

        Raises:
            InputError: no run is there, or it is one with other settings; the message names them.
        """
        stored = read_config(path)
        changed = [key for key in differences(stored, config) if not key.startswith(MAY_CHANGE)]
        if changed:
            raise InputError(
                f"cannot resume {path}: its settings differ in {', '.join(changed)}; "
                "use the settings of its config.yaml, or another output folder"
            )
        folder = cls(path, [])
        try:
            folder.checkpoints.mkdir(exist_ok=True)
        except OSError as exc:
            raise _unwritable(path, exc) from exc
        return folder

    def discard(self) -> None:
        """Remove what :meth:`create` made; a folder that was there before stays."""
        with suppress(OSError):
            if self._made:
                shutil.rmtree(self._made[0])


def read_config(path: Path) -> Config:
    """The config that a run folder was made with.

    Raises:
        InputError: the folder holds no run.
    """
    file = path / CONFIG
    if not file.is_file():
        raise InputError(
            f"nothing to resume in {path}: it has no {CONFIG}; leave out --resume to start there"
        )
    return load_config(file=file)


def check_target(path: Path, *, overwrite: bool) -> None:
    """Find out, without writing, whether a new run can go into a folder.

    Raises:
        InputError: it exists and may not be replaced, its place is not writable, or the disk is full.
    """
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise InputError(f"output {path} is not a folder; choose another one")
    if path.exists() and not overwrite and any(path.iterdir()):
        raise InputError(f"output folder {path} exists; add --resume to go on, --overwrite to replace it")
    if path.exists() and overwrite and any(path.iterdir()) and not (path / CONFIG).is_file():
        raise InputError(f"will not overwrite {path}: it is not the folder of a run (no {CONFIG})")
    base = next(p for p in (path.absolute(), *path.absolute().parents) if p.exists())
    if not base.is_dir() or not os.access(base, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write to {base}; choose another output folder")
    free = shutil.disk_usage(base).free
    if free < SPACE_NEEDED:
        raise OutputError(
            f"only {free / 2**20:.0f} MB free at {base}, a run needs {SPACE_NEEDED / 2**20:.0f} MB; make room"
        )


def _unwritable(path: Path, exc: OSError) -> OutputError:
    reason = exc.strerror or type(exc).__name__
    hint = "make room" if exc.errno in (errno.ENOSPC, errno.EDQUOT) else "choose another output folder"
    return OutputError(f"cannot write to {path}: {reason}; {hint}")


def write_failed(path: Path, exc: OSError) -> OutputError:
    """The error of a run that could not write any more; what it saved before is still there."""
    reason = exc.strerror or str(exc) or type(exc).__name__
    return OutputError(
        f"cannot write to {path}: {reason}; make room or fix the disk, then go on with --resume"
    )


class IterationLog:
    """log.jsonl: one JSON object an iteration, in order, without gaps or repeats after a resume."""

    def __init__(self, path: Path, iterations_done: int) -> None:
        """Open the log, dropping lines of iterations that will be done again.

        Args:
            iterations_done: lines of iterations >= this are dropped, and so is a half-written last line.
        """
        self._path = path
        if path.exists():
            _truncate(path, iterations_done)
        # A line goes to the system at once: a kill takes none that a checkpoint counts, and `tail -f` works.
        self._file: IO[str] = path.open("a", encoding="utf-8", buffering=1)

    def write(self, iteration: int, scalars: Mapping[str, float | str]) -> None:
        """Append an iteration; numbers JSON has no words for become null."""
        row: dict[str, float | str | None] = {"iteration": iteration}
        for key, value in scalars.items():
            finite = isinstance(value, str) or math.isfinite(value)
            row[key] = value if finite else None
        self._file.write(json.dumps(row) + "\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> IterationLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_log(path: Path) -> list[dict[str, float | str | None]]:
    """The rows of a log.jsonl that are whole."""
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        with suppress(json.JSONDecodeError):
            row = json.loads(line)
            if isinstance(row, dict) and isinstance(row.get("iteration"), int):
                rows.append(row)
    return rows


def _truncate(path: Path, iterations_done: int) -> None:
    from sctd.checkpoint import write_atomically

    kept = [json.dumps(row) for row in read_log(path) if int(row["iteration"] or 0) < iterations_done]
    write_atomically(path, "".join(f"{line}\n" for line in kept).encode())
