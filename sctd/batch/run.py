"""A batch on one device: the worker makes the entries of the manifest and records their outcomes there."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from sctd.batch.capacity import assets_that_fit
from sctd.batch.entry import Entry, Outcome
from sctd.batch.manifest import Manifest
from sctd.batch.store import Store
from sctd.batch.worker import work
from sctd.prior import prior_of
from sctd.run.interrupts import Interrupts
from sctd.run.report import Reporter

REPORT_S = 5.0
"""Seconds between two entries of progress in the manifest."""


@contextmanager
def taken_up(store: Store, report: Reporter, retries: int) -> Iterator[tuple[Manifest, Entry | None]]:
    """Become a batch's coordinator: its manifest, with interrupted assets queued again, and the widest entry.

    Raises:
        InputError: there is no batch, or its store cannot be written.
        SctdError: another process is its coordinator.
    """
    with store.held(report.message), closing(Manifest(store.folder)) as manifest:
        lost = store.altered(manifest.assets("done"))
        manifest.recover(retries, lost)
        for name in lost:
            report.message(f"{name}: its files are missing or altered; making them again")
        yield manifest, manifest.widest()


def carry_on(
    store: Store, report: Reporter, *, in_flight: int | None, retries: int
) -> Iterator[tuple[Outcome, str]]:
    """Make the remaining assets of a batch, on the device that its settings name.

    Ctrl-C, SIGTERM and SIGHUP let every asset in flight finish its iteration and save a checkpoint.

    Args:
        report: gets the progress, counted in iterations of all assets.
        in_flight: assets in flight; None: as many as fit into memory.
        retries: how often a failed asset is retried.

    Yields:
        Each outcome, once it is in the manifest, with the asset's state there.

    Raises:
        InputError: there is no batch, its prior cannot be loaded, or its store cannot be written.
        SctdError: another process is its coordinator.
    """
    with taken_up(store, report, retries) as (manifest, widest):
        if widest is None:
            return
        report.stage("loading the prior")
        prior = prior_of(widest.config)
        if in_flight is None:
            in_flight, why = assets_that_fit(prior, widest.config)
            report.message(f"up to {in_flight} assets in flight: {why}")
        worker = f"{platform.node()}:{os.getpid()}"
        progress = Progress(manifest, worker, report, store.publish)
        with Interrupts(report.message, wait=True) as interrupts:
            outcomes = work(
                lambda: manifest.take(worker),
                prior,
                store,
                in_flight,
                progress,
                stop=lambda: interrupts.pending,
            )
            for outcome in outcomes:
                state = manifest.record(outcome, retries)
                progress.over(outcome, state)
                yield outcome, state
        progress.write()


class Progress:
    """Adds up the iterations of all assets: at once for the screen, at intervals for the manifest."""

    def __init__(
        self, manifest: Manifest, worker: str, report: Reporter, publish: Callable[[], None]
    ) -> None:
        self._manifest, self._report, self._publish = manifest, report, publish
        self._sitting = manifest.sit_down(worker)
        assets = manifest.assets()
        self._totals = {asset.name: asset.total for asset in assets}
        self._done = {asset.name: asset.iterations for asset in assets}
        self._over = {asset.name for asset in assets if asset.state in ("done", "failed")}
        self._changed: dict[str, int] = {}
        self._written = time.monotonic()
        self._tell()
        report.start(sum(self._totals.values()), sum(self._done.values()))

    def at(self, name: str, iteration: int) -> None:
        """An asset has done so many iterations."""
        self._done[name] = self._changed[name] = iteration
        self._report.update(sum(self._done.values()), {})

    def message(self, text: str) -> None:
        """One line that the user should see."""
        self._report.message(text)

    def tick(self) -> None:
        """Write progress to the manifest when it is time."""
        if time.monotonic() - self._written >= REPORT_S:
            self.write()

    def write(self) -> None:
        """Write progress to the manifest."""
        self._manifest.progress(self._sitting, self._changed)
        self._changed = {}
        self._publish()
        self._written = time.monotonic()

    def over(self, outcome: Outcome, state: str) -> None:
        """Count an asset that has left the worker, by its state in the manifest."""
        if outcome.state == "failed":
            again = "; it is tried again" if state == "queued" else ""
            self.message(f"{outcome.name}: failed: {outcome.error}{again}")
        if state in ("done", "failed"):
            self._over.add(outcome.name)
            self._done[outcome.name] = self._totals[outcome.name]
            self._changed.pop(outcome.name, None)
            self._tell()

    def _tell(self) -> None:
        self._report.stage(f"{len(self._over)} of {len(self._totals)} assets over")
