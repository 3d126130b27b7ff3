"""Where a run tells how it goes. No torch."""

from __future__ import annotations

from typing import Protocol


class Reporter(Protocol):
    """Where a run tells how it goes; see :class:`Silent` for one that listens to nothing."""

    def start(self, total: int, start_iteration: int) -> None:
        """The loop begins: ``total`` iterations, of which ``start_iteration`` are done already."""

    def update(self, iteration: int, scalars: dict[str, float]) -> None:
        """An iteration is done; ``iteration`` counts from 1."""

    def saved(self) -> None:
        """A checkpoint of the last iteration is on the disk, and the log is as far."""

    def stage(self, name: str) -> None:
        """Something else than the loop begins, e.g. "loading the prior"."""

    def message(self, text: str) -> None:
        """One line that the user should see."""

    def finish(self) -> None:
        """The run is over, well or not."""


class Silent:
    """A reporter that says nothing."""

    def start(self, total: int, start_iteration: int) -> None:
        """Nothing."""

    def update(self, iteration: int, scalars: dict[str, float]) -> None:
        """Nothing."""

    def saved(self) -> None:
        """Nothing."""

    def stage(self, name: str) -> None:
        """Nothing."""

    def message(self, text: str) -> None:
        """Nothing."""

    def finish(self) -> None:
        """Nothing."""
