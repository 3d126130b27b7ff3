"""Settings of the view phrases and of Perp-Neg. Loads no torch."""

from __future__ import annotations

from pydantic import Field

from sctd.config.base import Section

VIEWS = ("front", "left", "right", "back", "overhead")
"""Order of the view phrases, and of the columns of :func:`sctd.text.blend_weights`."""

OVERHEAD_ELEVATION_DEG = 60.0
"""From this elevation on a view counts as overhead; the embedded prior is trained with it."""

DEFAULT_NEGATIVE_PROMPT = (
    "unrealistic, blurry, low quality, out of focus, ugly, low contrast, dull, low-resolution, "
    "oversaturation."
)
"""Released default of the negative prompt, the `neg` inside classifier-free guidance."""


class ViewSettings(Section):
    """The view phrases; the text reads "<prompt>, <phrase>"."""

    enabled: bool = Field(
        default=True, description="Append view phrases; false gives every camera the bare prompt."
    )
    front: str = Field(default="front view", description="Phrase at azimuth 0.", max_length=200)
    left: str = Field(
        default="side view", description="Phrase at azimuth +90 deg (the object's own left).", max_length=200
    )
    right: str = Field(default="side view", description="Phrase at azimuth -90 deg.", max_length=200)
    back: str = Field(default="back view", description="Phrase at azimuth 180 deg.", max_length=200)
    overhead: str = Field(
        default="overhead view", description="Phrase above overhead_elevation_deg.", max_length=200
    )
    overhead_elevation_deg: float = Field(
        default=OVERHEAD_ELEVATION_DEG,
        ge=0,
        le=90,
        description="Elevation in degrees from which the overhead phrase replaces the others; 90 never does.",
    )


class PerpNegSettings(Section):
    """Perp-Neg: push away from the wrong views, perpendicularly to the right one. Armandpour et al. 2023."""

    enabled: bool = Field(
        default=False, description="Use Perp-Neg inside the guided prediction; 2 more network evaluations."
    )
    negative_weight: float = Field(
        default=-2.0, ge=-10, le=0, description="Weight of a negative direction, no unit."
    )
    front_decay: float = Field(
        default=2.0, ge=0, le=100, description="Decay of the front negative, exp(-front_decay * r)."
    )
    side_decay: float = Field(
        default=10.0, ge=0, le=100, description="Decay of the side negative, exp(-side_decay * (1 - r))."
    )
