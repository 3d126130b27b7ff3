"""Repeated measurements of several contenders in turn, wall time and own CPU time, and their percentiles."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import torch

Call = Callable[[], object]

FEWEST_REPEATS = 3
"""Turns that are made even beyond the budget of seconds: a median needs them."""
RESOLUTION_S = 1e-3
"""A sample lasts at least this long: shorter calls are repeated inside it, and divided by their number."""
REWARM_BELOW_S = 0.1
"""Calls shorter than this run once untimed before each warm sample; longer ones warm up by themselves."""
MOST_SAMPLES = 5
"""Samples of one contender in one turn at most: beside a peer that takes seconds, a fast one gets more than
one, as long as they take less than a tenth of the slowest contender's time."""
SWEEP_BYTES = 256 << 20
"""Overwritten before each cold sample; more than the last-level cache of any processor on sale."""


@dataclass(frozen=True)
class Spread:
    """Percentiles of repeats, in their unit."""

    p20: float
    p50: float
    p80: float


def quantile(values: Sequence[float], q: float) -> float:
    """Linear between the ordered values; q in 0..1, at least one value."""
    ordered = sorted(values)
    position = q * (len(ordered) - 1)
    low = int(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (position - low) * (ordered[high] - ordered[low])


def spread(values: Sequence[float]) -> Spread:
    """The 20th, 50th and 80th percentile."""
    return Spread(*(quantile(values, q) for q in (0.2, 0.5, 0.8)))


@dataclass
class Samples:
    """One contender's repeats, milliseconds a call."""

    wall_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    """Time of all threads of this process."""

    def add(self, wall_s: float, cpu_s: float, calls: int = 1) -> None:
        """One sample that lasted so many calls."""
        self.wall_ms.append(1e3 * wall_s / calls)
        self.cpu_ms.append(1e3 * cpu_s / calls)


@dataclass(frozen=True)
class Clock:
    """Seconds, so that a test can bring its own."""

    wall: Callable[[], float] = time.perf_counter
    cpu: Callable[[], float] = time.process_time


@dataclass(frozen=True)
class Plan:
    """How a measurement is made."""

    seconds: float = 10.0
    """Budget of all contenders together; the turn that exceeds it is finished."""
    repeats: int = 30
    """At most so many turns."""
    cache: str = "warm"
    """"warm": the contender ran just before; "cold": 256 MB were overwritten just before."""

    def describe(self) -> str:
        """For the row."""
        if self.cache == "cold":
            return f"cold: {SWEEP_BYTES >> 20} MiB overwritten before each repeat"
        return f"warm: an untimed call before each repeat of less than {1e3 * REWARM_BELOW_S:.0f} ms"


@dataclass(frozen=True)
class Measured:
    """Samples by contender, and how quiet the machine was."""

    samples: dict[str, Samples]
    others_cores: float | None
    """Cores that other processes kept busy meanwhile, on average; None if the system has no number."""


def interleave(contenders: Mapping[str, Call], plan: Plan, clock: Clock | None = None) -> Measured:
    """Time the contenders in turn, A B A B ..., so that all of them see the same machine.

    Two calls of each come first, untimed: they load, allocate and measure the length of a call.
    """
    clock = clock or Clock()
    calls = {name: _calls_a_sample(call, plan, clock) for name, call in contenders.items()}
    slowest = max(c.seconds for c in calls.values())
    in_a_turn = {n: max(1, min(MOST_SAMPLES, int(0.1 * slowest / c.seconds))) for n, c in calls.items()}
    samples = {name: Samples() for name in contenders}
    sweep = torch.empty(SWEEP_BYTES // 4) if plan.cache == "cold" else None
    busy, own, began = busy_seconds(), clock.cpu(), clock.wall()
    with _no_collector():
        for turn in range(1, max(plan.repeats, 1) + 1):
            for name, call in contenders.items():
                for _ in range(in_a_turn[name]):
                    if sweep is not None:
                        sweep.fill_(float(turn))
                    elif calls[name].rewarm:
                        call()
                    samples[name].add(*_time(call, calls[name].number, clock), calls[name].number)
            if turn >= FEWEST_REPEATS and clock.wall() - began >= plan.seconds:
                break
    wall, now = clock.wall() - began, busy_seconds()
    others = None
    if busy is not None and now is not None and wall > 0:
        others = max(0.0, now - busy - (clock.cpu() - own)) / wall
    return Measured(samples, others)


@dataclass(frozen=True)
class _Calls:
    number: int
    rewarm: bool
    seconds: float
    """Of a whole sample."""


def _calls_a_sample(call: Call, plan: Plan, clock: Clock) -> _Calls:
    call()
    seconds, _ = _time(call, 1, clock)
    if plan.cache == "cold":  # a second call would be warm
        return _Calls(1, False, max(seconds, 1e-7))
    number = max(1, min(10_000, round(RESOLUTION_S / max(seconds, 1e-7))))
    return _Calls(number, seconds < REWARM_BELOW_S, max(number * seconds, 1e-7))


def _time(call: Call, number: int, clock: Clock) -> tuple[float, float]:
    """Wall and CPU seconds of some calls in a row."""
    cpu, wall = clock.cpu(), clock.wall()
    for _ in range(number):
        call()
    return clock.wall() - wall, clock.cpu() - cpu


@contextmanager
def _no_collector() -> Iterator[None]:
    """Python's collector runs now rather than inside a sample."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@contextmanager
def torch_threads(number: int) -> Iterator[None]:
    """So many threads of torch inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def busy_seconds() -> float | None:
    """Core-seconds that the whole machine has worked since its start; None if the system has no number."""
    with suppress(OSError, ValueError, IndexError):
        user, nice, system, _, _, irq, softirq, steal = (
            int(part) for part in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
        )
        return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    return None
