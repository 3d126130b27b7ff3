"""An asset to make, and what became of it: all that a list, a manifest and a worker say to each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from sctd.config import Config


@dataclass(frozen=True)
class Entry:
    """An asset to make."""

    name: str
    """Unique, also the name of its run folder."""
    config: Config


@dataclass(frozen=True)
class Outcome:
    """What became of an entry in a worker."""

    name: str
    state: Literal["done", "failed", "stopped"]
    """stopped: it may go on from its last checkpoint."""
    error: str = ""
    """Why it failed, one line."""
    may_retry: bool = False
    """Whether another attempt may end otherwise; not so when the prompt or a setting was refused."""
    seconds: float = 0.0
    """Time of its iterations, all sittings together, waiting for its neighbours included."""
    iterations: int = 0
    checksums: dict[str, str] = field(default_factory=dict)
    """SHA-256 of the files in its folder, by name."""
