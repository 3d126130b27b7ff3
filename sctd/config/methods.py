"""Settings of the methods beside SCTD. Loads no torch, since the command line loads it.

Timesteps are of 1000. docs/algorithm.md, section 10, has equations, sources and our choices.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from sctd.config.base import MethodSection


class BaselineSettings(MethodSection):
    """Settings that every method beside SCTD has."""

    guidance_weight: float = Field(
        default=1.0, gt=0, le=100, description="Factor of the whole gradient, no unit."
    )
    t_min: int = Field(default=20, ge=1, le=998, description="Lowest timestep drawn (0.02 T).")
    t_max: int = Field(default=980, ge=2, le=999, description="Highest timestep drawn (0.98 T).")

    @property
    def room(self) -> int:
        """Timesteps that must lie between t_min and t_max."""
        return 0

    @model_validator(mode="after")
    def _timesteps_fit(self) -> BaselineSettings:
        if self.t_min + self.room > self.t_max:
            raise ValueError(
                f"t_min {self.t_min} + {self.room} must not exceed t_max {self.t_max}; lower t_min"
            )
        return self


class SdsSettings(BaselineSettings):
    """Score distillation. Poole et al., DreamFusion, 2022, arXiv:2209.14988."""

    guidance_scale: float = Field(
        default=100.0,
        ge=0,
        le=1000,
        description="Guidance w, no unit. DreamFusion and threestudio count from the text: their 100 is 101.",
    )


class CsdSettings(BaselineSettings):
    """Classifier score distillation, which has no guidance scale. Yu et al., 2023, arXiv:2310.19415."""

    t_max: int = Field(
        default=500,
        ge=2,
        le=999,
        description="Highest timestep drawn (0.5 T, the stage of Stable Diffusion).",
    )
    null_share_start: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of the empty text in what is subtracted, first iteration; the rest is neg's.",
    )
    null_share_end: float = Field(
        default=0.5, ge=0, le=1, description="The same in the last iteration; linear between."
    )

    def texts_at_once(self, negative_prompt: str) -> int:
        """Neg, the prompt, and the empty text where it has a share and neg is another."""
        shares = self.null_share_start > 0 or self.null_share_end > 0
        return 2 + int(shares and negative_prompt != "")


class IsmSettings(BaselineSettings):
    """Interval score matching. Liang et al., LucidDreamer, CVPR 2024, arXiv:2311.11284."""

    guidance_weight: float = Field(
        default=0.1, gt=0, le=100, description="Factor of the whole gradient, no unit (as for sctd)."
    )
    guidance_scale: float = Field(
        default=7.5, ge=0, le=200, description="Guidance w, no unit (LucidDreamer)."
    )
    t_max_end: int = Field(
        default=500, ge=2, le=999, description="What t_max falls to over the warm-up (LucidDreamer)."
    )
    inversion_step: int = Field(
        default=200,
        ge=1,
        le=999,
        description="Length of an inversion step, timesteps; the last takes what is left (LucidDreamer).",
    )
    inversion_steps: int = Field(
        default=5,
        ge=1,
        le=100,
        description="At most so many; with fewer than s needs the latent is noised at once up to where they "
        "begin (LucidDreamer).",
    )
    interval_start: int = Field(
        default=100, ge=1, le=900, description="t - s in the first iteration, timesteps."
    )
    interval_end: int = Field(
        default=80, ge=1, le=900, description="t - s after the warm-up, timesteps (LucidDreamer's bagel)."
    )
    warmup: float = Field(
        default=0.3,
        ge=0,
        le=1,
        description="Share of the run in which t_max goes to t_max_end and t - s to interval_end.",
    )

    @property
    def room(self) -> int:
        """The longest interval."""
        return max(self.interval_start, self.interval_end)

    @model_validator(mode="after")
    def _end_above_start(self) -> IsmSettings:
        if self.t_max_end < self.t_min + self.room:
            raise ValueError(
                f"t_max_end {self.t_max_end} must be at least t_min + the longest interval, "
                f"{self.t_min + self.room}"
            )
        return self


class CdsSettings(BaselineSettings):
    """Consistency distillation sampling. Wu et al., Consistent3D, CVPR 2024, arXiv:2401.09050."""

    guidance_start: float = Field(
        default=101.0,
        ge=0,
        le=200,
        description="Guidance w of the first iteration. Consistent3D counts from the text: its 100 is 101.",
    )
    guidance_end: float = Field(
        default=51.0, ge=0, le=200, description="Guidance w of the last iteration; linear between."
    )
    s_start: int = Field(
        default=700, ge=1, le=998, description="s in the first iteration (Consistent3D's coarse stage)."
    )
    s_end: int = Field(
        default=100,
        ge=1,
        le=998,
        description="s in the last iteration, reached as the square root of the progress (Consistent3D).",
    )
    gap: int = Field(default=100, ge=1, le=900, description="Least t - s, timesteps (Consistent3D).")
    gap_width: int = Field(
        default=200,
        ge=1,
        le=900,
        description="t - s is uniform in gap .. gap + gap_width - 1 (Consistent3D).",
    )
    weighting: Literal["epsilon", "clean"] = Field(
        default="epsilon",
        description="What is compared with weight 1: noise predictions (Consistent3D), or clean latents.",
    )
    clip_start: float | None = Field(
        default=2.0,
        gt=0,
        description="Each element of the difference is kept within +- this, first iteration; null: no limit.",
    )
    clip_end: float = Field(default=8.0, gt=0, description="The same in the last iteration; linear between.")
    trained: Literal["noisier", "cleaner"] = Field(
        default="cleaner",
        description="The estimate that is pulled to the other: cleaner, x0(z_s, s), the sign of "
        "Consistent3D's code; or noisier, x0(z_t, t).",
    )
    noise: Literal["shared", "fixed", "fresh"] = Field(
        default="shared",
        description="One noise for the run, the same for all images (Consistent3D) or one for each (fixed); "
        "or new ones every iteration.",
    )

    @property
    def room(self) -> int:
        """The interval."""
        return self.gap + self.gap_width - 1

    @model_validator(mode="after")
    def _falls(self) -> CdsSettings:
        highest = self.t_max - self.gap
        if not self.t_min <= self.s_end <= self.s_start <= highest:
            raise ValueError(
                f"s_end {self.s_end} and s_start {self.s_start} must lie between t_min {self.t_min} and "
                f"t_max - gap {highest}, the end not above the start"
            )
        return self


class GcsSettings(BaselineSettings):
    """Guided consistency sampling. ConnectCD, ECCV 2024, arXiv:2407.13584; supplement, S-(1)."""

    guidance_weight: float = Field(
        default=0.1, gt=0, le=100, description="Factor of the whole gradient, no unit (ConnectCD)."
    )
    guidance_scale: float = Field(
        default=7.5, ge=0, le=200, description="Guidance w, no unit (ConnectCD; supplement, Fig. 2)."
    )
    cc_weight: float = Field(default=1.0, ge=0, le=100, description="Weight of L_CC, no unit.")
    cg_weight: float = Field(default=0.5, ge=0, le=100, description="Weight of L_CG, no unit.")
    cp_weight: float = Field(
        default=0.5, ge=0, le=100, description="Weight of L_CP, no unit; 0 saves evaluations and decodings."
    )
    losses: Literal["released", "supplement"] = Field(
        default="released",
        description="released: y in L_CG's last F, and L_CP pulls the pictures' pixels; supplement: '' "
        "there, and L_CP acts through the decoder, S-(1).",
    )
    timestep_sampling: Literal["released", "anywhere"] = Field(
        default="released",
        description="released: t in a window that slides down, e one to two intervals below; anywhere: t "
        "uniform, then e, then s between them (ours).",
    )
    t_span: int = Field(
        default=480, ge=1, le=999, description="released: width of the window of t, timesteps (ConnectCD)."
    )
    interval_start: int = Field(
        default=100, ge=11, le=400, description="released: t - s in the first iteration (ConnectCD)."
    )
    interval_end: int = Field(
        default=80, ge=11, le=400, description="released: t - s after the warm-up (ConnectCD)."
    )
    warmup: float = Field(
        default=0.3,
        ge=0,
        le=1,
        description="released: share of the run in which window and interval go to their ends.",
    )
    margin: int = Field(
        default=40, ge=1, le=400, description="anywhere: least distance of s from e and from t, timesteps."
    )
    noise: Literal["fixed", "fresh"] = Field(
        default="fresh", description="One noise for the run, or a new one every iteration (ConnectCD)."
    )
    noise_offset: float = Field(
        default=0.1, ge=0, le=1, description="Std of the per-channel constant in the noise (ConnectCD)."
    )

    @property
    def room(self) -> int:
        """e, s and t must fit."""
        return 2 * self.margin if self.timestep_sampling == "anywhere" else self.t_span

    def texts_at_once(self, negative_prompt: str) -> int:
        """Neg, the prompt, and the empty text where neg is another."""
        return 2 + int(negative_prompt != "")
