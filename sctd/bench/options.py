"""What a person chose for ``sctd bench raster``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sctd.bench.timing import Plan
from sctd.bench.workload import Cell

Say = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """What the person chose."""

    cells: Sequence[Cell]
    backend: str = "cpu"
    against: Sequence[str] = ()
    cameras: int = 4
    threads: int | None = None
    plan: Plan = field(default_factory=Plan)
    memory: bool = True
    """Measure the extra memory, in a process of its own for each contender and cell."""
