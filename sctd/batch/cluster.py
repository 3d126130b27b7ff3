"""A batch on several devices and machines. Ray starts and places the workers and says when one is gone.

There is one worker for each GPU, or for each group of CPU cores, each with its own prior. A worker with room
takes the next asset from the coordinator, which alone writes the manifest. The coordinator replaces a worker
that dies; any worker with room resumes its assets from their last checkpoints. All workers must reach the
store: on more than one machine it is on a shared file system or at a URL.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sctd
from sctd.batch.entry import Entry, Outcome
from sctd.batch.manifest import Manifest
from sctd.batch.run import Progress, taken_up
from sctd.batch.store import Store
from sctd.config import Config
from sctd.errors import InputError, SctdError
from sctd.extras import need_ray
from sctd.run.interrupts import Interrupts
from sctd.run.report import Reporter

POLL_S = 0.5
"""Seconds between two readings of the reports, and at least between two reports of one worker."""
REPORT_S = 0.005
"""Seconds between two reports of any workers: a fifth of its time if one takes a millisecond."""
DEATHS = 3
"""After so many deaths of workers in a row, with no asset ended in between, the batch ends."""


@dataclass(frozen=True)
class Size:
    """The workers of a cluster and their resources."""

    workers: int
    cpus: int
    """Cores of each worker, and threads of its torch."""
    gpus: int
    """GPUs of each worker: 1, or 0 where there are none."""


def report_every(workers: int) -> float:
    """Seconds between two reports of a worker; the answer tells it whether to stop."""
    return max(POLL_S, REPORT_S * workers)


def carry_on(
    store: Store,
    report: Reporter,
    *,
    address: str,
    in_flight: int | None,
    retries: int,
    workers: int | None = None,
    cpus: int | None = None,
) -> Iterator[tuple[Outcome, str]]:
    """:func:`sctd.batch.run.carry_on`, on a Ray cluster.

    Args:
        address: "local": a new cluster of this machine alone, gone at the end; "auto": the cluster that
            already runs on this machine, or else a local one; or a cluster's address.
        workers, cpus: None: one worker a GPU; without GPUs one for each machine, with all its cores.

    Raises:
        InputError: as there; or Ray is missing, the cluster does not answer, is too small or cannot see the
            batch's store.
        SctdError: as there; or workers keep dying.
    """
    need_ray("sctd batch --cluster")
    import ray

    with taken_up(store, report, retries) as (manifest, widest):
        if widest is None:
            return
        with _connected(ray, address), Interrupts(report.message, wait=True) as interrupts:
            size = _size(ray, workers, cpus)
            report.message(f"{size.workers} workers with {size.cpus} CPU cores and {size.gpus} GPUs each")
            crew = _Crew(ray, size, store, widest.config, in_flight, retries)
            progress = Progress(manifest, address, report, store.publish)
            while crew.at_work():
                if interrupts.pending:
                    crew.stop()
                yield from _heard(crew, progress)
                progress.tick()
            yield from _heard(crew, progress)
            progress.write()


def _heard(crew: _Crew, progress: Progress) -> Iterator[tuple[Outcome, str]]:
    for kind, *what in crew.news():
        if kind == "at":
            progress.at(*what)
        elif kind == "message":
            progress.message(*what)
        else:
            progress.over(*what)
            yield what[0], what[1]


@contextmanager
def _connected(ray: Any, address: str) -> Iterator[None]:
    quiet = {"logging_level": "ERROR", "log_to_driver": False}
    # nothing large is sent: pictures and checkpoints go through the store
    own = {"address": "local", "include_dashboard": False, "object_store_memory": 128 << 20, **quiet}
    try:
        if address == "local":
            ray.init(**own)
        elif address == "auto":
            try:
                ray.init(address="auto", **quiet)
            except ConnectionError:
                ray.init(**own)
        else:
            ray.init(address=address, **quiet)
    except Exception as exc:  # grpc, timeouts and bad addresses have no common base
        reason = " ".join(str(exc).split())[:200]
        raise InputError(
            f"cannot reach a Ray cluster at {address} ({reason}); start one with `ray start --head`, "
            "or give --cluster auto"
        ) from exc
    try:
        yield
    except ray.exceptions.RayError as exc:
        reason = " ".join(str(exc).split())[:200]
        raise SctdError(f"the Ray cluster is gone or broken ({reason}); continue with --resume") from exc
    finally:
        ray.shutdown()


def _size(ray: Any, workers: int | None, cpus: int | None) -> Size:
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    every_cpu, every_gpu = (int(sum(node.get(kind, 0) for node in nodes)) for kind in ("CPU", "GPU"))
    machines = sum(node.get("CPU", 0) >= 1 for node in nodes)
    if workers is None:
        workers = every_gpu or (every_cpu // cpus if cpus else machines)
    if workers < 1:
        raise InputError(f"the cluster has {every_cpu} CPU cores; a worker with {cpus or 1} does not fit")
    gpus = int(every_gpu >= workers)
    if cpus is None:
        cpus = max(1, every_cpu // workers)
    if workers * cpus > every_cpu:
        raise InputError(
            f"{workers} workers with {cpus} CPU cores each need {workers * cpus}, the cluster has "
            f"{every_cpu}; give fewer --workers or --cpus-per-worker"
        )
    return Size(workers, cpus, gpus)


class _Crew:
    """The coordinator and the workers of a batch, for the process of the command."""

    def __init__(
        self, ray: Any, size: Size, store: Store, config: Config, in_flight: int | None, retries: int
    ) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._ray, self._size, self._store = ray, size, store
        self._arguments = config, in_flight, report_every(size.workers)
        # beside this process, which opens the manifest too: SQLite's locks are those of one machine
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        coordinator = ray.remote(num_cpus=0, scheduling_strategy=here)(Coordinator)
        self._coordinator = coordinator.remote(store.folder.resolve(), retries)
        self._at_work: dict[Any, tuple[str, Any]] = {}
        self._hired = 0
        self._deaths = 0
        self._stopping = False
        for _ in range(size.workers):
            self._hire()

    def at_work(self) -> bool:
        """Wait a moment and replace dead workers; returns whether any worker has not ended.

        Raises:
            SctdError: a worker found something that ends the batch, or workers keep dying.
        """
        over, _ = self._ray.wait(list(self._at_work), num_returns=1, timeout=POLL_S)
        for future in over:
            name, _ = self._at_work.pop(future)
            try:
                self._ray.get(future)
                # SIGTERM may have ended this worker with assets left in the queue
                if not self._stopping and self._ray.get(self._coordinator.waiting.remote()):
                    self._hire()
            except self._ray.exceptions.RayActorError as exc:
                self._bury(name, exc)
            except self._ray.exceptions.RayTaskError as exc:
                raise exc.cause if isinstance(exc.cause, SctdError) else SctdError(str(exc.cause)) from exc
        return bool(self._at_work)

    def news(self) -> list[tuple[Any, ...]]:
        """Reports of the workers since the last call."""
        found: list[tuple[Any, ...]] = self._ray.get(self._coordinator.news.remote())
        if any(kind == "over" for kind, *_ in found):
            self._deaths = 0
        return found

    def stop(self) -> None:
        """Make every worker save its assets in flight and end."""
        if not self._stopping:
            self._stopping = True
            self._ray.get(self._coordinator.stop.remote())

    def _hire(self) -> None:
        self._hired += 1
        name = f"worker {self._hired}"
        actor = self._ray.remote(num_cpus=self._size.cpus, num_gpus=self._size.gpus)(Worker)
        worker = actor.remote(name, self._coordinator, self._size.cpus, sctd.__version__)
        store = self._store.for_worker(name)
        self._at_work[worker.run.remote(store, *self._arguments)] = name, worker

    def _bury(self, name: str, exc: BaseException) -> None:
        self._deaths += 1
        self._ray.get(self._coordinator.lost.remote(name))
        if self._deaths >= DEATHS:
            reason = " ".join(str(exc).split())[:300]
            raise SctdError(f"{DEATHS} workers died one after the other, the last one so: {reason}")
        if not self._stopping:
            self._hire()


class Coordinator:
    """Gives entries to workers and records outcomes; an actor, so that it answers one call at a time."""

    def __init__(self, out: Path, retries: int) -> None:
        self._manifest = Manifest(out)
        self._retries = retries
        self._news: list[tuple[Any, ...]] = []
        self._stopping = False

    def take(self, worker: str) -> Entry | None:
        """The next entry; None: there is none, or the batch is to stop."""
        return None if self._stopping else self._manifest.take(worker)

    def over(self, outcome: Outcome) -> None:
        """Record the outcome of an asset."""
        self._news.append(("over", outcome, self._manifest.record(outcome, self._retries)))

    def tell(self, iterations: dict[str, int], messages: list[str]) -> bool:
        """Take a worker's report; returns whether the worker must stop."""
        self._news += [("at", name, count) for name, count in iterations.items()]
        self._news += [("message", text) for text in messages]
        return self._stopping

    def lost(self, worker: str) -> None:
        """Record that a worker is dead, which counts as an attempt for each asset that it had."""
        self._news.append(("message", f"{worker} died; its assets go on elsewhere"))
        for asset in self._manifest.assets("running"):
            if asset.worker == worker:
                self.over(Outcome(asset.name, "failed", "its worker died", may_retry=True))

    def waiting(self) -> bool:
        """Whether an asset is queued."""
        return self._manifest.widest() is not None

    def stop(self) -> None:
        """Give out no more entries."""
        self._stopping = True

    def news(self) -> list[tuple[Any, ...]]:
        """Everything since the last call, in order."""
        found, self._news = self._news, []
        return found


class Worker:
    """One device with a prior; an actor."""

    def __init__(self, name: str, coordinator: Any, threads: int, version: str) -> None:
        self._name, self._coordinator, self._threads = name, coordinator, threads
        if sctd.__version__ != version:
            raise SctdError(f"a machine of the cluster has sctd {sctd.__version__}, this one {version}")

    def run(self, store: Store, config: Config, in_flight: int | None, every: float) -> None:
        """Make assets until the coordinator has none left, reporting ``every`` so many seconds."""
        import ray
        import torch

        from sctd.batch.capacity import assets_that_fit
        from sctd.batch.worker import work
        from sctd.prior import prior_of

        if not store.exists():
            raise InputError(
                f"a machine of the cluster cannot see {store}; use a folder that all of them share, or a URL"
            )
        torch.set_num_threads(self._threads)
        prior = prior_of(config)
        if in_flight is None:
            in_flight, _ = assets_that_fit(prior, config)
        # SIGTERM: the machine is taken away; this worker saves its assets, and another one resumes them
        with Interrupts(wait=True) as interrupts:
            line = _Line(self._coordinator, interrupts, every)
            outcomes = work(
                lambda: ray.get(self._coordinator.take.remote(self._name)),
                prior,
                store,
                in_flight,
                line,
                stop=line.stop,
            )
            for outcome in outcomes:
                line.say()
                ray.get(self._coordinator.over.remote(outcome))
        line.say()


class _Line:
    """Reports of one worker to the coordinator."""

    def __init__(self, coordinator: Any, interrupts: Interrupts, every: float) -> None:
        self._coordinator, self._interrupts, self._every = coordinator, interrupts, every
        self._iterations: dict[str, int] = {}
        self._messages: list[str] = []
        self._stopping = False
        self._said = time.monotonic()

    def at(self, name: str, iteration: int) -> None:
        """An asset has done so many iterations."""
        self._iterations[name] = iteration

    def message(self, text: str) -> None:
        """One line that the user should see."""
        self._messages.append(text)

    def tick(self) -> None:
        """Send a report when it is time."""
        if time.monotonic() - self._said >= self._every:
            self.say()

    def say(self) -> None:
        """Send everything to the coordinator; its answer says whether to stop."""
        import ray

        self._stopping = ray.get(self._coordinator.tell.remote(self._iterations, self._messages))
        self._iterations, self._messages = {}, []
        self._said = time.monotonic()

    def stop(self) -> bool:
        """Whether to stop: the coordinator says so, or a signal came."""
        return self._stopping or self._interrupts.pending
