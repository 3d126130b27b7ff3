"""A run's folder: config.yaml, log.jsonl, checkpoints/; how it is claimed, begun, resumed and given up."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from sctd.config import Config, differences, load_config
from sctd.errors import InputError, OutputError, unwritable
from sctd.run.claims import LOCK, Claim, refuse_held
from sctd.run.places import check_writable

CONFIG, LOG, CHECKPOINTS = "config.yaml", "log.jsonl", "checkpoints"
ASSET, TURNTABLE, CONTACT, PAGE = "asset.ply", "turntable.mp4", "contact.png", "asset.html"
MESH = "mesh.glb"
SHEETS, TIMELAPSE, LOSSES, EVENTS = "progress", "progress.mp4", "losses.png", "tensorboard"
"""What `sctd/diary.py` keeps."""
MAY_CHANGE = ("output.", "mesh.", "threads", "device")
"""Settings that a resumed run may have different: they do not belong to the result's definition."""

_HALF_WRITTEN = re.compile(
    r"\.(config\.yaml|log\.jsonl|asset|mesh|turntable|contact|progress|losses)\.\d+\.tmp(\.\w+)?"
)
_FOLDERS = {
    CHECKPOINTS: re.compile(r"\d+\.safetensors|\.\d+\.safetensors\.\d+\.tmp"),
    SHEETS: re.compile(r"\d{7}\.png|\.\d{7}\.\d+\.tmp\.png"),
    EVENTS: re.compile(r"events\.out\.tfevents\..+"),
}
"""Folders of a run, and the names of its files in them."""

Say = Callable[[str], None]


class RunFolder:
    """The folder of one run, which no other process works in while the block lasts.

    A run that fails before its first iteration was done leaves nothing behind of what it made; after that all
    of it stays, whatever happens.
    """

    def __init__(self, claim: Claim, *, worked: bool) -> None:
        """Made by :meth:`new` or :meth:`reopen`."""
        self.path = claim.path
        self.checkpoints = claim.path / CHECKPOINTS
        self.worked = worked
        """Whether an iteration was done in it."""
        self._claim = claim
        self._begun = False

    @classmethod
    def new(cls, path: Path, *, overwrite: bool, say: Say | None = None) -> RunFolder:
        """Claim the folder of a new run. What is there stays until :meth:`begin`.

        Args:
            overwrite: another run in it may be replaced.
            say: told when the folder cannot be locked.

        Raises:
            InputError: it exists already, or cannot be made or written to; nothing is left behind then.
            Held: another process works in it.
        """
        check_target(path, overwrite=overwrite)
        check_writable(path)
        claim = Claim(path, say)
        try:
            check_target(path, overwrite=overwrite, held=True)  # another one may have been here in between
        except BaseException as exc:
            claim.__exit__(type(exc), exc, None)
            raise
        return cls(claim, worked=False)

    def begin(self, config: Config) -> None:
        """Write the settings of a new run, and remove the files of the run that it replaces, if any.

        Raises:
            OutputError: the folder cannot be written to.
        """
        from sctd.run.checkpoint import write_atomically  # here, since it loads torch

        self._begun = True
        try:
            _remove_run(self.path)
            self.checkpoints.mkdir(exist_ok=True)
            write_atomically(self.path / CONFIG, config.to_yaml().encode())
        except OSError as exc:
            raise unwritable(self.path, exc) from exc

    @classmethod
    def reopen(cls, path: Path, config: Config, *, say: Say | None = None) -> RunFolder:
        """Claim the folder of a run to go on with it.

        Raises:
            InputError: no run is there, or it is one with other settings; the message names them.
            Held: another process works in it.
        """
        check_same_settings(path, config)
        claim = Claim(path, say)
        try:
            (path / CHECKPOINTS).mkdir(exist_ok=True)
        except OSError as exc:
            claim.release()
            raise unwritable(path, exc) from exc
        return cls(claim, worked=True)

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, kind: type[BaseException] | None, *others: object) -> None:
        if kind is not None and self._begun and not self.worked:
            with suppress(OSError):
                _remove_run(self.path)
        self._claim.__exit__(kind, *others)


def _remove_run(path: Path) -> None:
    """Remove the files that a run writes, and no others: people put their own beside them."""
    for name, pattern in _FOLDERS.items():
        folder = path / name
        if folder.is_dir() and not folder.is_symlink():
            for file in folder.iterdir():
                if pattern.fullmatch(file.name):
                    file.unlink(missing_ok=True)
            with suppress(OSError):  # something of somebody else's is in it
                folder.rmdir()
    for file in path.iterdir():
        known = file.name in (CONFIG, LOG, ASSET, MESH, TURNTABLE, CONTACT, PAGE, TIMELAPSE, LOSSES)
        if (known or _HALF_WRITTEN.fullmatch(file.name)) and not file.is_dir():
            file.unlink(missing_ok=True)


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


def check_same_settings(path: Path, config: Config) -> None:
    """Find out whether a folder holds a run that can be gone on with.

    Raises:
        InputError: no run is there, or it is one with other settings; the message names them.
    """
    changed = [key for key in differences(read_config(path), config) if not key.startswith(MAY_CHANGE)]
    if changed:
        raise InputError(
            f"cannot resume {path}, which holds a run with other settings ({', '.join(changed)}); "
            f"use those of its {CONFIG}, or another output folder"
        )


def check_target(path: Path, *, overwrite: bool, held: bool = False) -> None:
    """Find out, without writing, whether a new run can go into a folder.

    Args:
        held: this process has claimed it.

    Raises:
        InputError: it exists and may not be replaced.
        Held: another process works in it.
    """
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise InputError(f"output {path} is not a folder; choose another one")
    if not held:
        refuse_held(path)
    if path.exists() and not is_blank(path):
        if not overwrite:
            raise InputError(f"output folder {path} exists; add --resume to go on, --overwrite to replace it")
        if not _is_run(path):
            raise InputError(f"will not overwrite {path}: it is not the folder of a run (no {CONFIG} of one)")


def is_blank(path: Path) -> bool:
    """Whether a folder holds nothing, or what a run leaves that was killed before it had its settings."""
    return all(
        entry.name == LOCK
        or _HALF_WRITTEN.fullmatch(entry.name)
        or (entry.name == CHECKPOINTS and entry.is_dir() and not any(entry.iterdir()))
        for entry in path.iterdir()
    )


def _is_run(path: Path) -> bool:
    """Whether the settings in a folder are those of a run, maybe one of an older version."""
    try:
        text = (path / CONFIG).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    return re.search(r"^prompt:", text, re.M) is not None


def write_failed(path: Path, exc: OSError) -> OutputError:
    """The error of a run that could not write any more; what it saved before is still there."""
    reason = exc.strerror or str(exc) or type(exc).__name__
    return OutputError(
        f"cannot write to {path}: {reason}; make room or fix the disk, then go on with --resume"
    )


class IterationLog:
    """log.jsonl: one JSON object an iteration, in order, without gaps or repeats after a resume.

    A line that cannot be written is left out: the checkpoints decide whether a run can go on, not its log.
    """

    def __init__(self, path: Path, iterations_done: int, say: Say | None = None) -> None:
        """Open the log, dropping lines of iterations that will be done again.

        Args:
            iterations_done: lines of iterations >= this are dropped, and so is a half-written last line.
            say: told once, when a line cannot be written.
        """
        self._path, self._say = path, say
        if path.exists():
            _truncate(path, iterations_done)
        # A line goes to the system at once: a kill takes none that a checkpoint counts, and `tail -f` works.
        self._file = path.open("ab", buffering=0)

    def write(self, iteration: int, scalars: Mapping[str, float | str]) -> None:
        """Append an iteration; numbers JSON has no words for become null."""
        row: dict[str, float | str | None] = {"iteration": iteration}
        for key, value in scalars.items():
            finite = isinstance(value, str) or math.isfinite(value)
            row[key] = value if finite else None
        self._append(f"{json.dumps(row)}\n".encode())

    def _append(self, line: bytes) -> None:
        end = os.fstat(self._file.fileno()).st_size
        left = memoryview(line)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as exc:
            with suppress(OSError):
                self._file.truncate(end)  # no half lines
            if self._say is not None:
                say, self._say = self._say, None
                say(f"cannot write {self._path}: {exc.strerror}; the run goes on, the log lacks lines")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> IterationLog:
        return self

    def __exit__(self, *_: object) -> None:
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
    from sctd.run.checkpoint import write_atomically

    kept = [json.dumps(row) for row in read_log(path) if int(row["iteration"] or 0) < iterations_done]
    write_atomically(path, "".join(f"{line}\n" for line in kept).encode())
