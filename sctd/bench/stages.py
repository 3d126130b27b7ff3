"""Timers round the functions of a training step, put on from outside: the step itself does not change."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from torch import Tensor

from sctd import trainer as trainer_module
from sctd.splats import regularisers
from sctd.trainer import Trainer

STEP = "step"
"""The whole; what no stage accounts for is its own time, called overhead."""
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
class StageClock:
    """Wall and CPU seconds by stage; a stage that runs inside another is taken off that one's time."""

    wall: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)
    now: Callable[[], tuple[float, float]] = lambda: (time.perf_counter(), time.process_time())
    _open: list[str] = field(default_factory=list)
    _last: tuple[float, float] = (0.0, 0.0)

    @property
    def stage(self) -> str | None:
        """The innermost stage that is open; None outside all of them."""
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
        """The innermost stage goes on as another one."""
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
    """Inside the block every step of the trainer books its time on the clock."""

    def backward(rendered: Any, *rest: Any) -> Any:
        # The gradient of the picture is complete: what follows is the rasterizer's backward pass.
        handle = rendered.rgb.register_hook(at_picture)
        clock.enter("VAE backward")
        try:
            return plain_backward(rendered, *rest)
        finally:
            clock.leave()
            handle.remove()

    def at_picture(gradient: Tensor) -> None:
        clock.turn_into("render backward")

    def after_step(*arguments: Any) -> Any:
        # a change replaces the statistics, whose method is timed too
        found = clock.timed("densify", plain_after_step)(*arguments)
        watch_statistics()
        return found

    def watch_statistics() -> None:
        statistics = trainer.densifier.statistics
        if "add" not in vars(statistics):
            vars(statistics)["add"] = clock.timed("densify", statistics.add)

    plain_backward, plain_after_step = trainer._backward, trainer.densifier.after_step
    prior = trainer.prior
    with ExitStack() as stack:

        def put(owner: Any, name: str, stage: str) -> None:
            stack.enter_context(patch.object(owner, name, clock.timed(stage, getattr(owner, name))))

        for name in ("sample_cameras", "sample_background", "sample_scale_noise"):
            put(trainer_module, name, "sampling")
        put(trainer_module, "render", "render")
        put(trainer_module, "render_to_latents", "VAE encode")
        put(prior, "predict", "network")
        put(prior, "decode_latents", "VAE decode")
        put(trainer, "method", "method")
        for name in ("losses", "reconstruction", "limit_brightness", "project"):
            put(regularisers, name, "regularisers")
        put(trainer.optimiser, "step", "optimiser")
        put(trainer, "step", STEP)
        stack.enter_context(patch.object(trainer, "_backward", backward))
        stack.enter_context(patch.object(trainer.densifier, "after_step", after_step))
        watch_statistics()
        try:
            yield
        finally:
            vars(trainer.densifier.statistics).pop("add", None)
