"""The state of every asset of a batch, in an SQLite file that survives any kill. Loads no torch."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sctd.batch.entry import Entry, Outcome
from sctd.config import build_config
from sctd.errors import InputError, OutputError

MANIFEST = "manifest.sqlite"

_TABLES = """
CREATE TABLE assets (
    position INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    prompt TEXT NOT NULL,
    seed INTEGER NOT NULL,
    method TEXT NOT NULL,
    config TEXT NOT NULL,               -- YAML, as in the run folder
    config_hash TEXT NOT NULL,          -- SHA-256 of it
    total INTEGER NOT NULL,             -- iterations
    cameras INTEGER NOT NULL,           -- pictures an iteration
    state TEXT NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'done', 'failed')),
    error TEXT NOT NULL DEFAULT '',     -- of the last attempt that failed
    may_retry INTEGER NOT NULL DEFAULT 1,
    attempts INTEGER NOT NULL DEFAULT 0,  -- that ended, well or not
    seconds REAL NOT NULL DEFAULT 0,
    iterations INTEGER NOT NULL DEFAULT 0,
    checksums TEXT NOT NULL DEFAULT '{}',  -- SHA-256 of files, by name, JSON
    worker TEXT NOT NULL DEFAULT '',
    updated REAL NOT NULL               -- seconds since 1970, as all times here
);
CREATE INDEX by_state ON assets (state, position);
CREATE TABLE sittings (id INTEGER PRIMARY KEY, worker TEXT NOT NULL, began REAL NOT NULL, seen REAL NOT NULL);
"""

_COLUMNS = (
    "name, prompt, seed, method, total, state, error, attempts, seconds, iterations, checksums, worker, "
    "updated"
)


@dataclass(frozen=True)
class Asset:
    """A row of the manifest."""

    name: str
    prompt: str
    seed: int
    method: str
    total: int
    """Iterations of its run."""
    state: str
    """queued, running, done or failed."""
    error: str
    attempts: int
    seconds: float
    iterations: int
    """Iterations done, by the last report."""
    checksums: dict[str, str]
    worker: str
    updated: float


@dataclass(frozen=True)
class Sitting:
    """A worker's working time, from begin to end; seconds since 1970."""

    worker: str
    began: float
    seen: float
    """Time of its last report."""


class Manifest:
    """One connection to a manifest. Its errors are :class:`OutputError`: the folder cannot be written."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        """Open the manifest of a batch's folder.

        Raises:
            InputError: there is none, or it is damaged.
        """
        self.folder = folder
        self._clock = clock
        path = folder / MANIFEST
        if not path.is_file():
            raise InputError(f"no batch in {folder}: it has no {MANIFEST}; start one with --out {folder}")
        # runs report from their own threads, but never from two at a time
        self._db = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
        try:
            self._db.execute("PRAGMA journal_mode=WAL")  # readers do not wait for the writer
            self._db.execute(f"SELECT {_COLUMNS} FROM assets LIMIT 1")
        except sqlite3.OperationalError as exc:
            self._db.close()
            raise self._unwritable(exc) from exc
        except sqlite3.DatabaseError as exc:
            self._db.close()
            raise InputError(f"{path} is damaged ({exc}); restore it, or begin in another folder") from exc

    @classmethod
    def create(
        cls, folder: Path, entries: Sequence[Entry], clock: Callable[[], float] = time.time
    ) -> Manifest:
        """Write the manifest of a new batch, whole or not at all.

        Raises:
            OutputError: the folder cannot be written.
        """
        path = folder / MANIFEST
        temporary = folder / f".{MANIFEST}.{os.getpid()}.tmp"
        try:
            temporary.unlink(missing_ok=True)
            with closing(sqlite3.connect(temporary)) as db, db:
                db.executescript(_TABLES)
                db.executemany(
                    "INSERT INTO assets "
                    "(name, prompt, seed, method, config, config_hash, total, cameras, updated) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (_row(entry, clock()) for entry in entries),
                )
            os.replace(temporary, path)
        except (OSError, sqlite3.Error) as exc:
            raise OutputError(f"cannot write {path}: {exc}; make room or choose another folder") from exc
        finally:
            for leftover in folder.glob(f"{temporary.name}*"):
                with suppress(OSError):
                    leftover.unlink()
        return cls(folder, clock)

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    def take(self, worker: str) -> Entry | None:
        """The first entry that is queued, now running; None when there is none."""
        with self._writing():
            found = self._db.execute(
                "SELECT name, config FROM assets WHERE state = 'queued' ORDER BY position LIMIT 1"
            ).fetchone()
            if found is None:
                return None
            self._set(found[0], state="running", worker=worker)
        return _entry(*found)

    def record(self, outcome: Outcome, retries: int) -> str:
        """Record the outcome of an entry, and queue it again if it may be retried; returns its new state.

        Args:
            retries: how often a failed asset is retried.
        """
        with self._writing():
            if outcome.state == "stopped":
                self._set(outcome.name, state="queued")
                return "queued"
            (attempts,) = self._db.execute(
                "SELECT attempts + 1 FROM assets WHERE name = ?", (outcome.name,)
            ).fetchone()
            if outcome.state == "failed":
                state = "queued" if outcome.may_retry and attempts <= retries else "failed"
                may = int(outcome.may_retry)
                self._set(outcome.name, state=state, error=outcome.error, may_retry=may, attempts=attempts)
                return state
            self._set(
                outcome.name,
                state="done",
                error="",
                attempts=attempts,
                seconds=outcome.seconds,
                iterations=outcome.iterations,
                checksums=json.dumps(outcome.checksums),
            )
            return "done"

    def recover(self, retries: int, lost: Sequence[str] = ()) -> None:
        """Queue again the assets that an ended batch left: running, failed but retryable, and lost ones.

        Args:
            lost: names of finished assets whose files are missing or altered.
        """
        with self._writing():
            self._db.execute("UPDATE assets SET state = 'queued' WHERE state = 'running'")
            self._db.execute(
                "UPDATE assets SET state = 'queued' WHERE state = 'failed' AND may_retry AND attempts <= ?",
                (retries,),
            )
            for name in lost:
                self._set(name, state="queued")

    def sit_down(self, worker: str) -> int:
        """Record that a worker begins; returns the number of its session for :meth:`progress`."""
        with self._writing():
            now = self._clock()
            row = self._db.execute("INSERT INTO sittings VALUES (NULL, ?, ?, ?)", (worker, now, now))
            return int(row.lastrowid or 0)

    def progress(self, sitting: int, iterations: Mapping[str, int]) -> None:
        """Record that a worker is alive, and how many iterations its runs have done, by name."""
        with self._writing():
            self._db.execute("UPDATE sittings SET seen = ? WHERE id = ?", (self._clock(), sitting))
            for name, count in iterations.items():
                self._set(name, iterations=count)

    def assets(self, state: str | None = None) -> list[Asset]:
        """All assets, or those in a state, in the order of the list."""
        rows = self._db.execute(
            f"SELECT {_COLUMNS} FROM assets WHERE ?1 IS NULL OR state = ?1 ORDER BY position", (state,)
        )
        return [_asset(row) for row in rows]

    def entries(self) -> list[Entry]:
        """All entries, in the order of the list."""
        return [_entry(*row) for row in self._db.execute("SELECT name, config FROM assets ORDER BY position")]

    def widest(self) -> Entry | None:
        """The queued entry with the most pictures an iteration; None when nothing is queued."""
        row = self._db.execute(
            "SELECT name, config FROM assets WHERE state = 'queued' ORDER BY cameras DESC, position LIMIT 1"
        ).fetchone()
        return None if row is None else _entry(*row)

    def sittings(self) -> list[Sitting]:
        """Working times of all workers."""
        return [Sitting(*row) for row in self._db.execute("SELECT worker, began, seen FROM sittings")]

    def copy(self, path: Path) -> None:
        """Write a copy of the manifest to another file, replacing it."""
        try:
            path.unlink(missing_ok=True)
            self._db.execute("VACUUM INTO ?", (str(path),))
        except (OSError, sqlite3.Error) as exc:
            raise OutputError(f"cannot write {path}: {exc}; make room or fix the disk") from exc

    def _set(self, name: str, **values: object) -> None:
        columns = ", ".join(f"{column} = ?" for column in values)
        self._db.execute(
            f"UPDATE assets SET {columns}, updated = ? WHERE name = ?",
            (*values.values(), self._clock(), name),
        )

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """All changes of the block, or none."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        except sqlite3.Error as exc:
            raise self._unwritable(exc) from exc

    def _unwritable(self, exc: sqlite3.Error) -> OutputError:
        return OutputError(
            f"cannot write to {self.folder / MANIFEST}: {exc}; make room or fix the disk, "
            "then continue with --resume"
        )


def checksums(folder: Path, names: Sequence[str] | Mapping[str, str]) -> dict[str, str]:
    """SHA-256 of files of a folder, by name.

    Raises:
        OSError: one is not there or cannot be read.
    """
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}


def _asset(row: tuple[Any, ...]) -> Asset:
    values = dict(zip(_COLUMNS.split(", "), row, strict=True))
    return Asset(**{**values, "checksums": json.loads(values["checksums"])})


def _entry(name: str, text: str) -> Entry:
    return Entry(name, build_config(yaml.safe_load(text)))


def _row(entry: Entry, now: float) -> tuple[object, ...]:
    text = entry.config.to_yaml()
    digest = hashlib.sha256(text.encode()).hexdigest()
    config = entry.config
    sizes = config.iterations, max(part.cameras.batch for part in config.parts())
    return entry.name, config.prompt, config.seed, config.method, text, digest, *sizes, now
