"""The status of a batch: counts, speed, time left, failures. Loads no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

from sctd.batch.manifest import Manifest, Sitting
from sctd.batch.store import Store


@dataclass(frozen=True)
class Status:
    """The status at one moment."""

    counts: dict[str, int]
    """Assets by state: queued, running, done, failed."""
    at_work: bool
    """Whether a coordinator is running."""
    assets_per_hour: float | None
    """Over the hours of work; an asset in flight counts by its iterations. None: not known yet."""
    seconds_left: float | None
    """At that speed; None: not known, or no asset is left."""
    failures: dict[str, str]
    """The error of each failed asset, by name."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """For people."""
        count = sum(self.counts.values())
        states = ", ".join(f"{number} {state}" for state, number in self.counts.items())
        work = "coordinator running" if self.at_work else "no coordinator running"
        lines = [f"{count} assets: {states}; {work}"]
        if self.assets_per_hour is not None:
            left = "" if self.seconds_left is None else f", {duration(self.seconds_left)} left"
            lines.append(f"{self.assets_per_hour:.1f} assets an hour{left}")
        return lines + [f"failed: {name}: {reason}" for name, reason in self.failures.items()]


def status(store: Store) -> Status:
    """Read a batch's manifest.

    Raises:
        InputError: there is no batch.
    """
    with store.reading() as folder, closing(Manifest(folder)) as manifest:
        assets, sittings = manifest.assets(), manifest.sittings()
    counts = Counter(asset.state for asset in assets)
    unfinished = [asset for asset in assets if asset.state in ("queued", "running")]
    done = sum(asset.iterations for asset in assets if asset.state != "failed")
    left = sum(asset.total - asset.iterations for asset in unfinished)
    hours = seconds_at_work(sittings) / 3600
    rate = done / hours if hours > 0 and done else None  # iterations an hour
    mean = sum(asset.total for asset in assets) / max(len(assets), 1)
    return Status(
        {state: counts[state] for state in ("queued", "running", "done", "failed")},
        store.is_held(),
        None if rate is None else rate / mean,
        None if rate is None or not unfinished else 3600 * left / rate,
        {asset.name: asset.error for asset in assets if asset.state == "failed"},
    )


def seconds_at_work(sittings: Sequence[Sitting]) -> float:
    """Seconds in which at least one worker was at work."""
    total, until = 0.0, float("-inf")
    for sitting in sorted(sittings, key=lambda sitting: sitting.began):
        total += max(0.0, sitting.seen - max(sitting.began, until))
        until = max(until, sitting.seen)
    return total


def duration(seconds: float) -> str:
    """For example "3 h 20 min", "4 min 10 s", "12 s"."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"
