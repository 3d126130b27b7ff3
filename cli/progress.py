"""Progress of a run on stderr: a bar on a terminal, plain lines elsewhere (log files, batch systems)."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

if TYPE_CHECKING:
    from sctd.run.report import Reporter

SHOWN = {
    "self_consistency": "self",
    "cross_consistency": "cross",
    "loss": "loss",
    "gaussians": "gaussians",
    "skipped": "skipped",
}
"""Scalars of an iteration that the screen shows, with their names there."""


def reporter() -> Reporter:
    """The reporter for stderr: a bar on a terminal, else lines."""
    return RichReporter() if sys.stderr.isatty() else PlainReporter()


def say(text: str) -> None:
    """One line to stderr, at once."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def describe(scalars: Mapping[str, float]) -> str:
    """For example "self 0.12  cross 1.3  gaussians 1500"; empty when none of these was logged."""
    return "  ".join(f"{SHOWN[key]} {scalars[key]:.4g}" for key in SHOWN if key in scalars)


class _Rate(ProgressColumn):
    """Iterations per second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f} it/s" if task.speed else "- it/s", style="cyan")


class RichReporter:
    """A bar with stage, iterations, speed, time left, losses and the number of Gaussians."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._progress = Progress(
            TextColumn("[bold]{task.description}", table_column=Column(no_wrap=True)),
            BarColumn(bar_width=12),
            TextColumn("{task.completed:.0f}/{task.total:.0f}", table_column=Column(no_wrap=True)),
            _Rate(table_column=Column(no_wrap=True)),
            TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True)),
            # On a narrow terminal only the details are cut off.
            TextColumn("{task.fields[details]}", table_column=Column(no_wrap=True, ratio=1)),
            console=self._console,
            transient=True,
            expand=True,
        )
        self._task = self._progress.add_task("starting", total=1, details="", visible=False)

    def start(self, total: int, start_iteration: int) -> None:
        self._progress.update(self._task, total=total, completed=start_iteration, visible=True)
        self._progress.start()

    def update(self, iteration: int, scalars: Mapping[str, float]) -> None:
        self._progress.update(self._task, completed=iteration, details=escape(describe(scalars)))

    def saved(self) -> None:
        pass

    def stage(self, name: str) -> None:
        self._progress.update(self._task, description=escape(name))
        if not self._progress.live.is_started:
            self._console.print(Text(name, style="bold"))

    def message(self, text: str) -> None:
        self._console.print(Text(text), soft_wrap=True)

    def finish(self) -> None:
        self._progress.stop()


class PlainReporter:
    """One line a stage, and one every few seconds while iterating."""

    def __init__(self, every_s: float = 5.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._every_s = every_s
        self._clock = clock
        self._total = 0
        self._first = 0
        self._began = self._last_line = clock()

    def start(self, total: int, start_iteration: int) -> None:
        self._total, self._first = total, start_iteration
        self._began = self._last_line = self._clock()

    def update(self, iteration: int, scalars: Mapping[str, float]) -> None:
        now = self._clock()
        if now - self._last_line < self._every_s and iteration != self._total:
            return
        self._last_line = now
        rate = (iteration - self._first) / max(now - self._began, 1e-9)
        left = (self._total - iteration) / rate if rate > 0 else 0.0
        self.message(
            f"{iteration}/{self._total}  {rate:.1f} it/s  {left:.0f} s left  {describe(scalars)}".rstrip()
        )

    def saved(self) -> None:
        pass

    def stage(self, name: str) -> None:
        self.message(name)

    def message(self, text: str) -> None:
        say(text)

    def finish(self) -> None:
        pass
