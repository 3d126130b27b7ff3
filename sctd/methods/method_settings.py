"""Settings of the methods beside SCTD. No torch here: the command line loads it.

Timesteps are of 1000. Equations, sources and what is our choice: docs/algorithm.md, section 10.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from sctd.methods.settings import Settings


class _Shared(Settings):
    """What every method beside SCTD has."""

    guidance_weight: float = Field(
        default=1.0, gt=0, le=100, description="Factor of the whole gradient, no unit."
    )
    t_min: int = Field(default=20, ge=1, le=998, description="Lowest timestep drawn (0.02 T).")
    t_max: int = Field(default=980, ge=2, le=999, description="Highest timestep drawn (0.98 T).")
    as_latent: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Probability that the normalised disparity is encoded instead of the colours.",
    )

    @property
    def room(self) -> int:
        """Timesteps that must lie between t_min and t_max."""
        return 0

    def texts_at_once(self, negative_prompt: str) -> int:
        """Texts in the widest call of the network: neg and the prompt."""
        return 2

    @model_validator(mode="after")
    def _timesteps_fit(self) -> _Shared:
        if self.t_min + self.room > self.t_max:
            raise ValueError(
                f"t_min {self.t_min} + {self.room} must not exceed t_max {self.t_max}; lower t_min"
            )
        return self


class SdsSettings(_Shared):
    """Score distillation. Poole et al., DreamFusion, 2022, arXiv:2209.14988."""

    guidance_scale: float = Field(
        default=100.0, ge=0, le=1000, description="Guidance w, no unit (DreamFusion)."
    )


class CsdSettings(_Shared):
    """Classifier score distillation, which has no guidance scale. Yu et al., 2023, arXiv:2310.19415."""


class IsmSettings(_Shared):
    """Interval score matching. Liang et al., LucidDreamer, CVPR 2024, arXiv:2311.11284."""

    guidance_weight: float = Field(
        default=0.1, gt=0, le=100, description="Factor of the whole gradient, no unit (as for sctd)."
    )
    guidance_scale: float = Field(
        default=7.5, ge=0, le=200, description="Guidance w, no unit (LucidDreamer)."
    )
    inversion_step: int = Field(
        default=200, ge=1, le=999, description="Length of an inversion step, timesteps (LucidDreamer)."
    )
    inversion_steps: int = Field(
        default=5, ge=1, le=100, description="At most so many; the first takes what is left (LucidDreamer)."
    )
    interval_start: int = Field(
        default=100, ge=1, le=900, description="t - s in the first iteration, timesteps."
    )
    interval_end: int = Field(default=50, ge=1, le=900, description="t - s after the warm-up, timesteps.")
    warmup: float = Field(
        default=0.3, ge=0, le=1, description="Share of the run in which t - s goes to interval_end."
    )

    @property
    def room(self) -> int:
        """The longest interval."""
        return max(self.interval_start, self.interval_end)


class CdsSettings(_Shared):
    """Consistency distillation sampling. Wu et al., Consistent3D, CVPR 2024, arXiv:2401.09050."""

    guidance_start: float = Field(
        default=20.0, ge=0, le=200, description="Guidance w of the first iteration (Consistent3D 20 to 40)."
    )
    guidance_end: float = Field(
        default=40.0, ge=0, le=200, description="Guidance w of the last iteration; linear between."
    )
    interval: int = Field(default=50, ge=1, le=900, description="t - s, timesteps (our choice).")
    trained: Literal["noisier", "cleaner"] = Field(
        default="cleaner",
        description="The estimate that is pulled to the other: cleaner, x0(z_s, s), the sign of "
        "Consistent3D's code; or noisier, x0(z_t, t).",
    )
    noise: Literal["fixed", "fresh"] = Field(
        default="fixed", description="One noise for the run (Consistent3D), or a new one every iteration."
    )

    @property
    def room(self) -> int:
        """The interval."""
        return self.interval


class GcsSettings(_Shared):
    """Guided consistency sampling. ConnectCD, ECCV 2024, arXiv:2407.13584; supplement, S-(1)."""

    guidance_weight: float = Field(
        default=0.1, gt=0, le=100, description="Factor of the whole gradient, no unit (as for sctd)."
    )
    guidance_scale: float = Field(
        default=7.5, ge=0, le=200, description="Guidance w, no unit (supplement, Fig. 2)."
    )
    cc_weight: float = Field(default=1.0, ge=0, le=100, description="Weight of L_CC, no unit.")
    cg_weight: float = Field(default=0.5, ge=0, le=100, description="Weight of L_CG, no unit.")
    cp_weight: float = Field(
        default=0.5, ge=0, le=100, description="Weight of L_CP, no unit; 0 saves evaluations and decodings."
    )
    margin: int = Field(
        default=40, ge=1, le=400, description="Least distance of s from e and from t, timesteps (ours)."
    )
    noise: Literal["fixed", "fresh"] = Field(
        default="fresh", description="One noise for the run, or a new one every iteration (our choice)."
    )

    @property
    def room(self) -> int:
        """e, s and t must fit."""
        return 2 * self.margin

    def texts_at_once(self, negative_prompt: str) -> int:
        """Neg, the prompt, and the empty text where neg is another."""
        return 2 + int(negative_prompt != "")
