"""Simulates a batch on many workers, to find its limits: measured costs with failures and stragglers.

A discrete simulation. Workers make assets, ``in_flight`` at a time; each asset's time is drawn from a
log-normal spread, some workers are permanently slow, and workers die at random, which loses the work since
the last checkpoint and the time until a new worker starts. One coordinator answers the workers' calls one by
one, and one store takes what they write. Nothing else is modelled: the network between machines has no
latency, the store has a bandwidth only, and workers come back after a fixed time.
"""

from __future__ import annotations

import heapq
import random
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from sctd.batch.cluster import report_every
from sctd.batch.entry import Entry, Outcome
from sctd.batch.folder import create
from sctd.batch.manifest import Manifest
from sctd.config import load_config

WORKERS = tuple(2**k for k in range(11))
ENTRIES = 1000


@dataclass(frozen=True)
class Costs:
    """Of one asset, and of the world around it."""

    asset_s: float
    """Seconds a worker takes an asset, measured: 8 in flight, per asset."""
    coordinator_s: float
    """Seconds the manifest takes to give out an asset and to take back its outcome, measured."""
    report_s: float = 1e-3
    """Seconds of the coordinator for a report of a worker (assumed: a small call of Ray)."""
    written_mb: float = 20.0
    """Checkpoints and results of an asset (assumed; the embedded preset writes about a tenth)."""
    store_mb_s: float = 500.0
    """Bandwidth of the shared store (assumed)."""
    in_flight: int = 8
    spread: float = 0.1
    """Standard deviation of the logarithm of an asset's time (assumed)."""
    slow_share: float = 0.02
    """Share of the workers that take twice as long (assumed)."""
    deaths_an_hour: float = 0.05
    """Of each worker (assumed: a spot instance lives 20 hours)."""
    replacement_s: float = 120.0
    """Seconds until a dead worker is replaced (assumed)."""
    checkpoint_share: float = 0.15
    """Part of an asset between two checkpoints (the embedded preset: 50 of 350 iterations)."""


@dataclass(frozen=True)
class Point:
    """A simulated batch."""

    workers: int
    assets: int
    hours: float
    efficiency: float
    """Assets an hour over workers times those of one worker that never dies."""
    coordinator_busy: float
    """Share of the time that the coordinator works; near 1 it is the limit."""
    store_busy: float
    """Share of the store's bandwidth that is used."""
    deaths: int


def measured_costs(asset_s: float) -> Costs:
    """The assumptions, with the manifest's own time measured on this machine."""
    config = load_config("embedded", prompt="a red mushroom")
    with tempfile.TemporaryDirectory(prefix="sctd-coordinator-") as name:
        out = Path(name) / "batch"
        create(out, [Entry(f"a{k}", config) for k in range(ENTRIES)])
        with closing(Manifest(out)) as manifest:
            begin = time.perf_counter()
            while (entry := manifest.take("w")) is not None:
                manifest.record(Outcome(entry.name, "done", seconds=1.0, iterations=350), 1)
            seconds = time.perf_counter() - begin
    return Costs(asset_s, seconds / ENTRIES)


def sweep(costs: Costs) -> list[Point]:
    """For each number of workers, a batch of 40 assets for each that is in flight."""
    return [simulate(costs, count, 40 * count * costs.in_flight) for count in WORKERS]


def simulate(costs: Costs, workers: int, assets: int, seed: int = 0) -> Point:
    """One batch. A slot makes one asset at a time; the ``in_flight`` slots of a worker share its speed."""
    random_ = random.Random(seed)
    speeds = [0.5 if random_.random() < costs.slow_share else 1.0 for _ in range(workers)]
    dies = [_lifetime(costs, random_) for _ in range(workers)]
    # Reports come at a steady rate and leave the coordinator the rest of its time. A worker waits for the
    # answer, so more reports than the coordinator can answer slow all workers down instead of piling up.
    reports = workers * costs.report_s / report_every(workers)
    answer_s = costs.coordinator_s / max(0.1, 1 - reports)
    speeds = [speed / max(1.0, reports) for speed in speeds]
    free_at = store_at = 0.0
    given = deaths = 0
    lost: list[float] = []  # shares of assets whose worker died, to be made elsewhere
    slots = [(0.0, worker) for worker in range(workers) for _ in range(costs.in_flight)]
    while given < assets or lost:
        now, worker = heapq.heappop(slots)
        if now >= dies[worker]:  # the first slot of its replacement
            deaths += 1
            dies[worker] = now + _lifetime(costs, random_)
        free_at = max(now, free_at) + answer_s
        if lost:
            share = lost.pop()
        else:
            given, share = given + 1, 1.0
        seconds = share * costs.asset_s * costs.in_flight * random_.lognormvariate(0, costs.spread)
        ends = free_at + seconds / speeds[worker]
        if ends <= dies[worker]:
            store_at = max(ends, store_at) + costs.written_mb / costs.store_mb_s
            heapq.heappush(slots, (ends, worker))
            continue
        made = share * max(0.0, dies[worker] - free_at) / (ends - free_at)
        lost.append(share - made + made % costs.checkpoint_share)
        heapq.heappush(slots, (max(dies[worker], free_at) + costs.replacement_s, worker))
    hours = max(store_at, *(at for at, _ in slots)) / 3600
    return Point(
        workers,
        assets,
        hours,
        assets * costs.asset_s / workers / 3600 / hours,
        min(1.0, assets * costs.coordinator_s / 3600 / hours + reports),
        min(1.0, assets * costs.written_mb / costs.store_mb_s / 3600 / hours),
        deaths,
    )


def _lifetime(costs: Costs, random_: random.Random) -> float:
    return 3600 * random_.expovariate(costs.deaths_an_hour) if costs.deaths_an_hour else float("inf")
