"""An asset to make and its outcome: the data that list, manifest and worker exchange."""

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
    """The result of an entry in a worker."""

    name: str
    state: Literal["done", "failed", "stopped"]
    """stopped: it can be resumed from its last checkpoint."""
    error: str = ""
    """Why it failed, one line."""
    may_retry: bool = False
    """Whether another attempt may succeed; false when the prompt or a setting was refused."""
    seconds: float = 0.0
    """Time of its iterations in all processes, with the time that it waited for its neighbours."""
    iterations: int = 0
    checksums: dict[str, str] = field(default_factory=dict)
    """SHA-256 of the files in its folder, by name."""
