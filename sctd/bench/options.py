"""Options that several benchmarks have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sctd.bench.timing import Plan
from sctd.bench.workload import Cell

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options of a benchmark that makes training steps or whole runs of the embedded prior."""

    prompt: str = "a red mushroom"
    steps: int = 50
    overrides: Sequence[str] = ()
    """Settings, key=value."""

    @property
    def as_settings(self) -> dict[str, str]:
        """For the settings of a row."""
        return {"prompt": self.prompt, "overrides": " ".join(self.overrides)}


@dataclass(frozen=True)
class RasterOptions:
    """Options of ``sctd bench raster``."""

    cells: Sequence[Cell]
    backend: str = "cpu"
    against: Sequence[str] = ()
    cameras: int = 4
    threads: int | None = None
    plan: Plan = field(default_factory=Plan)
    memory: bool = True
    """Measure the extra memory, in a separate process for each contender and cell."""
