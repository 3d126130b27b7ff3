"""A run's folder: config.yaml, log.jsonl, checkpoints/; claimed, begun, resumed, removed after failures."""

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
ASSET_MESH, MESH = "asset.glb", "mesh.glb"
"""The result of a run whose last stage makes a mesh; a mesh made of the Gaussians of any other run."""
SHEETS, TIMELAPSE, LOSSES, EVENTS = "progress", "progress.mp4", "losses.png", "tensorboard"
"""Files of `sctd/diary.py`."""
MAY_CHANGE = ("output.", "mesh.", "threads", "device")
"""Settings that may differ in a resumed run, because they do not define the result."""

_HALF_WRITTEN = re.compile(
    r"\.(config\.yaml|log\.jsonl|asset|mesh|turntable|contact|progress|losses)\.\d+\.tmp(\.\w+)?"
)
_FOLDERS = {
    CHECKPOINTS: re.compile(r"\d+\.safetensors|\.\d+\.safetensors\.\d+\.tmp"),
    SHEETS: re.compile(r"\d{7}\.png|\.\d{7}\.\d+\.tmp\.png"),
    EVENTS: re.compile(r"events\.out\.tfevents\..+"),
}
"""Subfolders of a run, and the patterns of its files in them."""

Say = Callable[[str], None]


class RunFolder:
    """The folder of one run, in which no other process works during the block.

    A run that fails before its first iteration is complete removes the files that it made; after that all of
    them stay.
    """

    def __init__(self, claim: Claim, *, worked: bool) -> None:
        """Use :meth:`new` or :meth:`reopen` instead."""
        self.path = claim.path
        self.checkpoints = claim.path / CHECKPOINTS
        self.worked = worked
        """Whether the run has completed an iteration."""
        self._claim = claim
        self._begun = False

    @classmethod
    def new(cls, path: Path, *, overwrite: bool, say: Say | None = None) -> RunFolder:
        """Claim the folder of a new run. Existing files stay until :meth:`begin`.

        Args:
            overwrite: the new run may replace another run in it.
            say: gets a message when the folder cannot be locked.

        Raises:
            InputError: it exists already, or cannot be made or written; then no file is left.
            Held: another process works in it.
        """
        check_target(path, overwrite=overwrite)
        check_writable(path)
        claim = Claim(path, say)
        try:
            check_target(path, overwrite=overwrite, held=True)  # another process may have used it in between
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
        """Claim the folder of a run to continue with it.

        Raises:
            InputError: it holds no run, or a run with other settings; the message names them.
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
    """Remove the files that a run writes, and no others: people put their own files beside them."""
    for name, pattern in _FOLDERS.items():
        folder = path / name
        if folder.is_dir() and not folder.is_symlink():
            for file in folder.iterdir():
                if pattern.fullmatch(file.name):
                    file.unlink(missing_ok=True)
            with suppress(OSError):  # it holds a file of somebody else
                folder.rmdir()
    for file in path.iterdir():
        written = (ASSET, ASSET_MESH, MESH, TURNTABLE, CONTACT, PAGE, TIMELAPSE, LOSSES)
        known = file.name in (CONFIG, LOG, *written)
        if (known or _HALF_WRITTEN.fullmatch(file.name)) and not file.is_dir():
            file.unlink(missing_ok=True)


def asset_of(path: Path) -> Path | None:
    """The result in a run's folder, Gaussians or a mesh; None: there is none yet."""
    return next((path / name for name in (ASSET, ASSET_MESH) if (path / name).is_file()), None)


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
    """Check that a folder holds a run that can be resumed.

    Raises:
        InputError: it holds no run, or a run with other settings; the message names them.
    """
    changed = [key for key in differences(read_config(path), config) if not key.startswith(MAY_CHANGE)]
    if changed:
        raise InputError(
            f"cannot resume {path}, which holds a run with other settings ({', '.join(changed)}); "
            f"use those of its {CONFIG}, or another output folder"
        )


def check_target(path: Path, *, overwrite: bool, held: bool = False) -> None:
    """Check, without writing, that a folder can take a new run.

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
            raise InputError(
                f"output folder {path} exists; add --resume to continue, --overwrite to replace it"
            )
        if not _is_run(path):
            raise InputError(f"will not overwrite {path}: it is not the folder of a run (no {CONFIG} of one)")


def is_blank(path: Path) -> bool:
    """Whether a folder holds nothing, or only files of a run that was killed before it wrote its settings."""
    return all(
        entry.name == LOCK
        or _HALF_WRITTEN.fullmatch(entry.name)
        or (entry.name == CHECKPOINTS and entry.is_dir() and not any(entry.iterdir()))
        for entry in path.iterdir()
    )


def _is_run(path: Path) -> bool:
    """Whether the settings in a folder are those of a run, perhaps of an older version."""
    try:
        text = (path / CONFIG).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False
    return re.search(r"^prompt:", text, re.M) is not None


def write_failed(path: Path, exc: OSError) -> OutputError:
    """The error of a run that cannot write; the files that it saved before are intact."""
    reason = exc.strerror or str(exc) or type(exc).__name__
    return OutputError(
        f"cannot write to {path}: {reason}; make room or fix the disk, then continue with --resume"
    )


class IterationLog:
    """log.jsonl: one JSON object an iteration, in order, without gaps or repeats after a resume.

    The log leaves out a line that cannot be written, because a resume depends on checkpoints, not on the log.
    """

    def __init__(self, path: Path, iterations_done: int, say: Say | None = None) -> None:
        """Open the log, dropping lines of iterations that the run will repeat.

        Args:
            iterations_done: the log drops lines of iterations >= this, and a half-written last line.
            say: gets one message when a line cannot be written.
        """
        self._path, self._say = path, say
        if path.exists():
            _truncate(path, iterations_done)
        # Lines are not buffered: a kill loses none that a checkpoint counts, and `tail -f` works.
        self._file = path.open("ab", buffering=0)

    def write(self, iteration: int, scalars: Mapping[str, float | str]) -> None:
        """Append an iteration; NaN and infinities become null, since JSON lacks them."""
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
                say(f"cannot write {self._path}: {exc.strerror}; the run continues, the log lacks lines")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> IterationLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_log(path: Path) -> list[dict[str, float | str | None]]:
    """The complete rows of a log.jsonl."""
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
