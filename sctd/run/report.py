"""The reporter of a run: the interface for its progress. Loads no torch."""

from __future__ import annotations

from typing import Any, Protocol


class Reporter(Protocol):
    """Receives the progress of a run; :class:`Silent` ignores it."""

    def start(self, total: int, start_iteration: int) -> None:
        """The loop begins: ``total`` iterations, of which ``start_iteration`` are done already."""

    def update(self, iteration: int, scalars: dict[str, float]) -> None:
        """An iteration is done; ``iteration`` counts from 1."""

    def saved(self) -> None:
        """A checkpoint of the last iteration is on the disk, and the log has that iteration."""

    def stage(self, name: str) -> None:
        """A stage outside the loop begins, e.g. "loading the prior"."""

    def message(self, text: str) -> None:
        """One line that the user should see."""

    def finish(self) -> None:
        """The run has ended, successfully or not."""


class Silent:
    """A reporter that ignores everything."""

    def _ignore(self, *args: Any, **named: Any) -> None:
        """Nothing."""

    start = update = saved = stage = message = finish = _ignore
