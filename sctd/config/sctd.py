"""Settings of segmented consistency trajectory distillation. Loads no torch, as the command line loads it."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from pydantic import Field, model_validator

from sctd.config.base import Fraction, MethodSection
from sctd.config.views import PerpNegSettings


class SctdSettings(MethodSection):
    """Segmented consistency trajectory distillation; timesteps of 1000. Defaults: the released run."""

    guidance_scale: float = Field(
        default=7.5, ge=0, le=200, description="Classifier-free guidance w, no unit."
    )
    guidance_weight: float = Field(
        default=0.1, gt=0, le=100, description="lambda_guidance, the factor of the whole gradient, no unit."
    )
    weighting: Literal["sigma_over_alpha", "one", "supplement"] = Field(
        default="sigma_over_alpha",
        description="w(t): sqrt((1 - abar_t) / abar_t); 1 at every t; or b(t) of S-(6), with 1 - abar_t for "
        "the weight that it leaves open.",
    )

    segments: int = Field(
        default=5, ge=1, le=40, description="Number of segments N_s between t_min and t_max."
    )
    segment_spacing: Literal["uniform", "mono"] = Field(
        default="uniform",
        description="uniform: equal widths; mono: the first is t_threshold - t_min wide, then growing.",
    )
    t_min: int = Field(default=20, ge=1, le=998, description="First edge, timestep of 1000.")
    t_max: int = Field(default=980, ge=2, le=999, description="Last edge, timestep of 1000.")
    t_threshold: int = Field(
        default=150,
        ge=0,
        le=1000,
        description="From this t on the inversion goes in two steps (e to s to t), below in one.",
    )
    t_span: int = Field(
        default=480, ge=1, le=999, description="Width of the window that t is drawn from, timesteps."
    )
    warmup: float = Field(
        default=0.3,
        ge=0,
        le=1,
        description="Share of the run in which the window slides from t_max down to t_min.",
    )
    warmup_lower_bound: bool = Field(
        default=True,
        description="The window's lower bound slides too (released); false keeps it at t_min (paper).",
    )
    timestep_sampling: Literal["released", "uniform_in_segment"] = Field(
        default="released",
        description="released: t = max(t, e + delta_t), about half of the late draws are e + delta_t; "
        "uniform_in_segment: t uniform in [e + delta_t, next edge].",
    )
    delta_t: int = Field(
        default=80, ge=1, le=900, description="Smallest distance of t from its segment's edge e, timesteps."
    )
    s_margin: int = Field(
        default=10, ge=0, le=400, description="s keeps this distance from e and from t, timesteps."
    )

    noise: Literal["fixed", "fresh"] = Field(
        default="fixed",
        description="fixed: one noise for the whole run (released); fresh: a new one every iteration.",
    )
    noise_offset: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Std of the per-channel constant in the noise; null: 0.1, with Perp-Neg 0.05.",
    )
    exact_null: bool = Field(
        default=False,
        description="Evaluate G_m(z_t, t, '') instead of letting z_e stand for it; 1 more evaluation.",
    )
    guided_condition: bool = Field(
        default=True,
        description="The conditional prediction carries guidance (released); false: eps(z_t, t, y) as it is.",
    )
    cp_weight: float = Field(
        default=0.0,
        ge=0,
        le=100,
        description="Weight of the pixel term L_CP, no unit, not times guidance_weight; costs 2 more "
        "evaluations (4 with Perp-Neg) and 2 decodings. 0: off (released).",
    )
    as_latent: Fraction = Field(
        default=0.2,
        description="Probability that the normalised disparity is encoded instead of the colours.",
    )
    perp_neg: PerpNegSettings = Field(default=PerpNegSettings(), description="Perp-Neg.")

    @property
    def effective_noise_offset(self) -> float:
        """The noise offset in force; the released code has a step for each of the two defaults."""
        if self.noise_offset is not None:
            return self.noise_offset
        return 0.05 if self.perp_neg.enabled else 0.1

    def texts_at_once(self, negative_prompt: str) -> int:
        """Texts in the widest call of the network: neg, the prompt, Perp-Neg's two, and the empty text if
        ``exact_null`` needs it and neg is another."""
        return 2 + 2 * int(self.perp_neg.enabled) + int(self.exact_null and negative_prompt != "")

    @model_validator(mode="after")
    def _timesteps_fit(self) -> SctdSettings:
        if self.t_min + self.t_span > self.t_max:
            raise ValueError(
                f"t_min {self.t_min} + t_span {self.t_span} must not exceed t_max {self.t_max}; lower t_span"
            )
        if self.delta_t <= 2 * self.s_margin:
            raise ValueError(
                f"delta_t {self.delta_t} must exceed twice s_margin {self.s_margin}, "
                "or no s fits between e and t"
            )
        edges = segment_edges(self)
        narrowest = min(b - a for a, b in pairwise(edges))
        if narrowest < self.delta_t:
            raise ValueError(
                f"segments {self.segments} ({self.segment_spacing}) leaves one {narrowest} timesteps wide, "
                f"delta_t needs {self.delta_t}; use fewer segments or a smaller delta_t"
            )
        return self


def segment_edges(settings: SctdSettings) -> list[int]:
    """Edges of the segments, N_s + 1 timesteps from t_min to t_max, ascending.

    uniform, 5: 20, 212, 404, 596, 788, 980.  mono, 5: 20, 150, 311, 503, 726, 980.

    Raises:
        ValueError: mono spacing with so many segments that they would have to shrink; the message says so.

    Source: the authors' released code.
    """
    count, first, last = settings.segments, settings.t_min, settings.t_max
    span = last - first
    if settings.segment_spacing == "uniform" or count == 1:
        return [first + round(span * m / count) for m in range(count + 1)]
    width = settings.t_threshold - first
    # count widths w, w + d, w + 2d, ... fill the span: count * w + d * count * (count - 1) / 2 = span
    growth = 2 * (span - count * width) / (count * (count - 1))
    if width <= 0 or growth < 0:
        raise ValueError(
            f"segment_spacing mono with segments {count}: a first segment of {width} timesteps "
            f"(t_threshold - t_min) cannot grow to fill {span}; "
            "use fewer segments, another t_threshold or uniform"
        )
    return [first + round(m * width + growth * m * (m - 1) / 2) for m in range(count + 1)]
