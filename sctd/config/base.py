"""Base class of the sections, and types of their numbers. Loads no torch."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

TIMESTEPS = 1000
"""Training timesteps of the diffusion schedules, the unit of settings about timesteps."""


class Section(BaseModel):
    """A group of settings: unknown keys, NaN and infinities are refused."""

    model_config = ConfigDict(
        extra="forbid", allow_inf_nan=False, coerce_numbers_to_str=True, validate_default=True
    )


def _ordered(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError(f"the low end {pair[0]:g} is above the high end {pair[1]:g}")
    return pair


Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Color = tuple[Fraction, Fraction, Fraction]
FractionRange = Annotated[tuple[Fraction, Fraction], AfterValidator(_ordered)]
RadiusRange = Annotated[tuple[Positive, Positive], AfterValidator(_ordered)]
FovAngle = Annotated[float, Field(gt=0.01, lt=3.0)]
FovRange = Annotated[tuple[FovAngle, FovAngle], AfterValidator(_ordered)]
ElevationAngle = Annotated[float, Field(ge=-89, le=89)]
ElevationRange = Annotated[tuple[ElevationAngle, ElevationAngle], AfterValidator(_ordered)]
AzimuthRange = Annotated[
    tuple[Annotated[float, Field(ge=-360, le=360)], Annotated[float, Field(ge=-360, le=360)]],
    AfterValidator(_ordered),
]


class MethodSection(Section):
    """Settings that the trainer reads of every method; a method adds its own."""

    as_latent: Fraction = Field(
        default=0.0,
        description="Probability that the normalised disparity is encoded instead of the colours.",
    )
    flip: Fraction = Field(
        default=0.0,
        description="Probability that an iteration's pictures are mirrored, their view texts too.",
    )

    def texts_at_once(self, negative_prompt: str) -> int:
        """Texts in the widest call of the network: the negative prompt and the prompt."""
        return 2
