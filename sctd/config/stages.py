"""A run as a list of stages: each has a share of the iterations and settings of its own. No torch here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field, field_validator

from sctd.config.base import Positive, Section

OF_THE_RUN = ("prompt", "seed", "iterations", "device", "dtype", "threads", "output", "stages")
"""Settings that all stages of a run have in common."""


class StageSettings(Section):
    """One stage: what it starts from is what the stage before it has made."""

    name: str = Field(..., pattern=r"^[A-Za-z0-9_-]{1,40}$", description="letters, digits, _ and -")
    share: Positive = Field(
        default=1.0, description="of the run's iterations, in proportion to the other stages' shares"
    )
    settings: dict[str, Any] = Field(
        default_factory=dict,
        description="settings of this stage, as in the run's own: method, prior, cameras, densify, ...",
    )

    @field_validator("settings")
    @classmethod
    def _own(cls, settings: dict[str, Any]) -> dict[str, Any]:
        common = [key for key in settings if key in OF_THE_RUN]
        if common:
            raise ValueError(f"{', '.join(common)}: the same in all stages; set it for the run")
        return settings


def lengths(stages: Sequence[StageSettings], iterations: int) -> list[int]:
    """Iterations of each stage, in proportion to the shares; they add up to those of the run."""
    whole = sum(stage.share for stage in stages)
    ends = [round(iterations * sum(s.share for s in stages[: k + 1]) / whole) for k in range(len(stages))]
    return [end - begin for begin, end in zip([0, *ends], ends, strict=False)]


def picked(given: Mapping[str, Any], whole: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a whole tree for the keys that were given, section by section."""
    return {
        key: picked(value, whole[key])
        if isinstance(value, Mapping) and isinstance(whole[key], Mapping)
        else whole[key]
        for key, value in given.items()
    }
