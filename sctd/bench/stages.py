"""Seconds of a training step by stage, from the trainer's observer: the step itself does not change."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from sctd.stages import SILENT, Observer
from sctd.trainer import Trainer

OVERHEAD = "overhead"
STAGES = (
    "sampling",
    "render",
    "VAE encode",
    "network",
    "method",
    "regularisers",
    "VAE decode",
    "VAE backward",
    "render backward",
    "optimiser",
    "densify",
    OVERHEAD,
)
PRIOR_STAGES = ("VAE encode", "network", "VAE decode", "VAE backward")
"""The frozen networks, forward and backward; all others are "everything else"."""


@dataclass
class StageClock(Observer):
    """Wall and CPU seconds by stage; the time of a stage excludes the stages inside it."""

    wall: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)
    now: Callable[[], tuple[float, float]] = lambda: (time.perf_counter(), time.process_time())
    _open: list[str] = field(default_factory=list)
    _last: tuple[float, float] = (0.0, 0.0)

    @property
    def stage(self) -> str | None:
        """The innermost open stage; None outside all stages."""
        return self._open[-1] if self._open else None

    def enter(self, stage: str) -> None:
        """Time runs for ``stage`` until it is left or another one is entered."""
        self._settle()
        self._open.append(stage)

    def leave(self) -> None:
        """Time runs for the enclosing stage again."""
        self._settle()
        self._open.pop()

    def turn_into(self, stage: str) -> None:
        """The innermost stage ends, and another one begins in its place."""
        self._settle()
        self._open[-1] = stage

    def take(self) -> tuple[dict[str, float], dict[str, float]]:
        """Wall and CPU seconds by stage since the last call."""
        found = (self.wall, self.cpu)
        self.wall, self.cpu = {}, {}
        return found

    def _settle(self) -> None:
        wall, cpu = self.now()
        if self._open:
            stage = self._open[-1]
            self.wall[stage] = self.wall.get(stage, 0.0) + wall - self._last[0]
            self.cpu[stage] = self.cpu.get(stage, 0.0) + cpu - self._last[1]
        self._last = (wall, cpu)

    def timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function with its time booked on a stage."""

        def call(*arguments: Any, **options: Any) -> Any:
            self.enter(stage)
            try:
                return function(*arguments, **options)
            finally:
                self.leave()

        return call


@contextmanager
def instrumented(trainer: Trainer, clock: StageClock) -> Iterator[None]:
    """Inside the block every step of the trainer books its time on the clock, and so does its prior."""
    prior = trainer.prior
    with ExitStack() as stack:
        for name, stage in (("predict", "network"), ("decode", "VAE decode")):
            stack.enter_context(_replaced(prior, name, clock.timed(stage, getattr(prior, name))))
        trainer.observe(clock)
        stack.callback(trainer.observe, SILENT)
        yield


@contextmanager
def _replaced(owner: Any, name: str, function: Callable[..., Any]) -> Iterator[None]:
    """A method of this object alone, inside the block."""
    own = vars(owner)
    before = own.get(name)
    own[name] = function
    try:
        yield
    finally:
        del own[name]
        if before is not None:
            own[name] = before
