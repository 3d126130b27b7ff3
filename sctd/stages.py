"""The stages of an iteration, and their observer; timers are observers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

STEP = "step"
"""The whole step; its own time is that outside all other stages."""
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
    """Called when a stage begins and ends; this one does nothing. Stages may be nested."""

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
