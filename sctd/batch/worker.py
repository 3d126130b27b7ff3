"""Makes assets, several at a time, with one prior; knows no lists, manifests or processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol

from sctd.batch.entry import Entry, Outcome
from sctd.batch.manifest import checksums
from sctd.batch.sharing.shared import SharedPrior
from sctd.batch.sharing.tasks import Task
from sctd.batch.store import Store
from sctd.errors import InputError, OutputError, out_of_memory
from sctd.pipeline import generate
from sctd.prior.base import Prior
from sctd.run.folder import CONFIG
from sctd.run.report import Silent

Take = Callable[[], Entry | None]


class Monitor(Protocol):
    """Receives the progress of a worker."""

    def at(self, name: str, iteration: int) -> None:
        """An asset has done so many iterations."""

    def message(self, text: str) -> None:
        """One line that the user should see."""

    def tick(self) -> None:
        """Called many times a second, in the worker's own thread."""


def work(
    take: Take, prior: Prior, store: Store, in_flight: int, monitor: Monitor, *, stop: Callable[[], bool]
) -> Iterator[Outcome]:
    """Make assets until there are none, each as ``sctd generate`` would alone, in ``store.folder / name``.

    A run already in the store is resumed. As soon as an asset ends, the worker takes the next one.

    Args:
        take: returns the next entry; None when there is none before another asset ends.
        in_flight: assets in flight at most; an asset that runs out of memory beside others lowers it.
        stop: called all the time; once it is true, the worker takes no more entries, and the assets in
            flight save a checkpoint and end as ``stopped``.

    Raises:
        OutputError: the disk is full, or the store cannot be written for another reason; the assets in
            flight keep their last checkpoints.
    """
    shared = SharedPrior(prior, monitor.message)
    flying: dict[Task[Outcome], Entry] = {}
    try:
        more = True
        while True:
            while more and len(flying) < in_flight and not stop():
                entry = take()
                more = entry is not None
                if entry is not None:
                    flying[shared.start(partial(_make, entry, store, monitor, stop))] = entry
            if not flying:
                return
            for task in shared.advance():
                entry = flying.pop(task)
                if out_of_memory(task.error) and in_flight > 1:
                    in_flight = max(1, len(flying))
                    monitor.message(f"{entry.name}: out of memory; from now on {in_flight} assets in flight")
                    yield Outcome(entry.name, "stopped")
                else:
                    yield _outcome(entry, task)
                more = True
            monitor.tick()
    finally:
        shared.close()


def _make(entry: Entry, store: Store, monitor: Monitor, stop: Callable[[], bool], prior: Prior) -> Outcome:
    store.fetch(entry.name)
    folder = store.folder / entry.name
    begun = (folder / CONFIG).is_file()
    report = _Report(entry.name, monitor, stop, store)
    result = generate(entry.config, folder, resume=begun, report=report, prior=prior, stop=stop, alone=False)
    written = [result.asset, result.turntable_mp4, result.contact_png, result.page_html]
    written += [result.progress_mp4, result.losses_png, result.mesh_glb]
    made = [path.name for path in written if path]
    sums = checksums(folder, made)
    store.finish(entry.name, last=result.asset.name)
    return Outcome(entry.name, "done", seconds=result.seconds, iterations=result.iterations, checksums=sums)


def _outcome(entry: Entry, task: Task[Outcome]) -> Outcome:
    error, result = task.error, task.result
    if isinstance(error, OutputError):
        raise error
    if isinstance(error, KeyboardInterrupt):
        return Outcome(entry.name, "stopped")
    if isinstance(error, Exception):
        text = " ".join(str(error).split()) or type(error).__name__
        known = isinstance(error, InputError)
        return Outcome(entry.name, "failed", text, may_retry=not known)
    if error is not None:
        raise error
    assert result is not None
    return result


class _Report(Silent):
    """The reporter of one run: passes messages on with the run's name, and saves its checkpoints."""

    def __init__(self, name: str, monitor: Monitor, stop: Callable[[], bool], store: Store) -> None:
        self._name, self._monitor, self._stop, self._store = name, monitor, stop, store

    def start(self, total: int, start_iteration: int) -> None:
        """The run begins at an iteration."""
        self._monitor.at(self._name, start_iteration)

    def update(self, iteration: int, scalars: dict[str, float]) -> None:
        """An iteration is done."""
        self._monitor.at(self._name, iteration)

    def saved(self) -> None:
        """A checkpoint is on the disk."""
        self._store.keep(self._name)

    def message(self, text: str) -> None:
        """Pass one line on, except how to resume a stopped run: the batch says that itself."""
        if not self._stop():
            self._monitor.message(f"{self._name}: {text}")
