"""The stages of an iteration, and an observer that is told of them; timers are observers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

STEP = "step"
"""The whole; what no stage accounts for is its own time."""
SAMPLING = "sampling"
RENDER = "render"
VAE_ENCODE = "VAE encode"
METHOD = "method"
REGULARISERS = "regularisers"
VAE_BACKWARD = "VAE backward"
RENDER_BACKWARD = "render backward"
OPTIMISER = "optimiser"
DENSIFY = "densify"


class Observer:
    """Is told when a stage begins and ends; this one does nothing. Stages may stand inside one another."""

    def enter(self, stage: str) -> None:
        """A stage begins, inside the one that is open."""

    def leave(self) -> None:
        """The innermost stage ends."""

    def turn_into(self, stage: str) -> None:
        """The innermost stage ends, and another one begins in its place."""

    @contextmanager
    def within(self, stage: str) -> Iterator[None]:
        """The stage lasts as long as the block."""
        self.enter(stage)
        try:
            yield
        finally:
            self.leave()


SILENT = Observer()
