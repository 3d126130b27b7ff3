"""Settings of the asset and of its pictures, with unit, range and default. Loads no torch.

The defaults are those of the preset ``embedded``; a preset's YAML file lists only what differs from them.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from sctd.config.base import (
    AzimuthRange,
    Color,
    ElevationAngle,
    ElevationRange,
    FovAngle,
    FovRange,
    Fraction,
    FractionRange,
    NonNegative,
    Positive,
    RadiusRange,
    Section,
)

Init = Annotated[
    Literal["ball", "sphere", "box", "shap-e", "auto", "file"],
    # older runs say ply, and can still be resumed
    BeforeValidator(lambda given: "file" if given == "ply" else given),
]


class GaussianSettings(Section):
    """The first Gaussians, and the bounds of the optimisation."""

    init: Init = Field(
        default="ball",
        description="ball, sphere, box, shap-e, auto (Shap-E where it can be had, else ball), or file for "
        "init_path",
    )
    init_prompt: str | None = Field(
        default=None,
        max_length=1000,
        description="what Shap-E makes; null: the main thing that the prompt names, such as `a corgi`",
    )
    init_path: str | None = Field(
        default=None,
        description="for init = file: Gaussians or points (.ply, .splat) or a mesh (.glb, .gltf, .obj, .stl)",
    )
    init_fit: bool = Field(
        default=True,
        description="meshes and Shap-E: bounding box centred at the origin, farthest point at init_radius; "
        "points and Gaussians likewise where they are out of view",
    )
    init_up: Literal["y", "-y", "z"] | None = Field(
        default=None,
        description="up axis of the file: y, -y (y down), or z with the front at -y, as in Blender; "
        "null: as it says; where it says nothing, -y for Gaussians and y for points and meshes",
    )
    shap_e: str = Field(
        default="openai/shap-e", min_length=1, description="for init = shap-e: a diffusers folder or hub id"
    )
    shap_e_steps: int = Field(default=64, ge=2, le=1000, description="denoising steps of Shap-E")
    shap_e_grid: int = Field(
        default=128, ge=8, le=512, description="samples of Shap-E's distance along each axis"
    )
    shap_e_guidance: float = Field(
        default=15.0, ge=1, description="guidance scale of Shap-E, no unit; 1 is no guidance"
    )
    count: int = Field(
        default=4000, ge=1, le=5_000_000, description="number of first Gaussians; a file of points: at most"
    )
    init_radius: Positive = Field(
        default=0.6,
        description="radius of the ball, sphere or fitted mesh, half edge of the box; world units",
    )
    init_color: Color = Field(default=(0.5, 0.5, 0.5), description="mean colour, 0..1")
    init_color_std: NonNegative = Field(
        default=0.0, description="standard deviation of the first colours, 0..1 scale"
    )
    init_opacity: float = Field(default=0.1, gt=0, lt=1, description="opacity of the first Gaussians")
    init_scale_factor: Positive = Field(
        default=1.0, description="first scale over the mean distance to the three nearest neighbours"
    )
    sh_degree: int = Field(
        default=0, ge=0, le=3, description="highest spherical-harmonics degree of the colours"
    )
    sh_raise_every: int = Field(
        default=500, ge=1, description="iterations between two raises of the degree in use"
    )
    scale_range: RadiusRange | None = Field(
        default=(0.008, 0.2),
        description="scales are kept inside after each step, world units; null: unbounded",
    )
    clamp_colors: bool = Field(
        default=True,
        description="keep the base colours in 0..1 after each step, so that renderings stay displayable",
    )
    faint: float = Field(
        default=0.05,
        ge=0,
        lt=1,
        description="Gaussians of less opacity are left out of the result, unless all are; they are haze",
    )
    scale_noise_probability: Fraction = Field(
        default=0.0, description="how often an iteration renders with noisy scales"
    )
    scale_noise_std: NonNegative = Field(
        default=math.sqrt(0.2) / 4,
        description="standard deviation of that noise, as a fraction of each scale",
    )

    @model_validator(mode="after")
    def _path_given(self) -> GaussianSettings:
        if (self.init == "file") != (self.init_path is not None):
            raise ValueError("init = file and init_path go together: set both or neither")
        if self.init != "file":
            self.init_up = None  # it has no meaning there, and older runs, without null, say y
        return self


class CameraSettings(Section):
    """The cameras of an iteration. Ranges ease geometrically from the first to the ``_end`` values."""

    batch: int = Field(default=4, ge=1, le=64, description="cameras an iteration")
    size: int = Field(default=128, ge=8, le=4096, description="width and height of a rendering, pixels")
    azimuth: Literal["even", "random"] = Field(
        default="even",
        description="evenly spaced round the object from a random start, or each camera at random",
    )
    azimuth_deg: AzimuthRange = Field(
        default=(-180.0, 180.0), description="range of azimuth = random, degrees"
    )
    elevation_deg: ElevationRange = Field(default=(-8.0, 45.0), description="range of elevations, degrees")
    gamma: float = Field(
        default=1.0,
        gt=0,
        le=10,
        description="elevations and azimuth = random: their distance from the middle of the range is a "
        "uniform draw to this power; 1: uniform, above 1: crowded in the middle",
    )
    high_probability: Fraction = Field(default=0.1, description="how often a camera goes above that range")
    high_elevation_deg: ElevationAngle = Field(
        default=80.0, description="highest elevation of those, degrees"
    )
    radius: RadiusRange = Field(default=(3.1, 3.5), description="distance from the target, world units")
    radius_end: RadiusRange = Field(default=(3.1, 3.5), description="the range that radius eases to")
    fovy_rad: FovRange = Field(
        default=(math.radians(40.0), math.radians(40.0)), description="vertical field of view, radians"
    )
    fovy_end_rad: FovRange = Field(
        default=(math.radians(40.0), math.radians(40.0)), description="the range that fovy_rad eases to"
    )
    ease_every: int = Field(default=500, ge=1, description="iterations between two steps of the easing")
    radius_factor: float = Field(default=0.95, gt=0, le=2, description="factor on both radii at each step")
    fovy_factor: tuple[Positive, Positive] = Field(
        default=(0.75, 1.1), description="factors on the field's low and high end"
    )
    jitter_position: NonNegative = Field(
        default=0.0, description="the camera moves by up to this on each axis, world units"
    )
    jitter_target: NonNegative = Field(default=0.0, description="std of the point looked at, world units")
    jitter_up: NonNegative = Field(default=0.0, description="std of the up vector, no unit")
    near_plane: Positive = Field(default=0.01, description="nothing nearer than this is drawn, world units")


class BackgroundSettings(Section):
    """The background during optimisation; :class:`OutputSettings` has that of the pictures."""

    kind: Literal["grey", "mixed", "fixed"] = Field(
        default="grey",
        description="grey: one random grey an iteration; mixed: for each camera a random colour, black or "
        "color; fixed: always color",
    )
    grey_range: FractionRange = Field(default=(0.5, 1.0), description="range of kind = grey, 0..1")
    color: Color = Field(default=(1.0, 1.0, 1.0), description="the colour of mixed and fixed, 0..1")
    mixed_probability: Fraction = Field(
        default=0.66,
        description="kind = mixed: how often it is not color, then a random colour or black, half each",
    )


class RegulariserSettings(Section):
    """Losses beside the method's, and brightness control. Weights have no unit; 0 switches a term off."""

    tv_rgb: NonNegative = Field(default=0.0, description="weight of the total variation of the rendering")
    tv_disparity: NonNegative = Field(
        default=0.0, description="weight of the total variation of the disparity"
    )
    scale: NonNegative = Field(default=0.0, description="weight of the mean scale")
    opacity: NonNegative = Field(default=0.0, description="weight of the mean opacity, which removes haze")
    reconstruction: NonNegative = Field(
        default=0.0,
        description="weight of the rendering's distance to what the VAE makes of it, which holds the colours "
        "that its encoder does not see",
    )
    reconstruction_every: int = Field(
        default=1, ge=1, description="iterations from one use of that term to the next; each decodes a batch"
    )
    brightness: bool = Field(
        default=False, description="scale the colours down when a rendering is too bright (BEG)"
    )
    brightness_start: int = Field(
        default=1000, ge=0, description="iteration, counted from 1, after which brightness is controlled"
    )
    brightness_stop: int = Field(default=4500, ge=0, description="and before which it is")
    brightness_quantile: Fraction = Field(
        default=0.85, description="quantile of the brightness that is looked at"
    )
    brightness_limit: Fraction = Field(default=0.9, description="the quantile may not exceed this")
    brightness_factor: float = Field(
        default=0.8, gt=0, le=1, description="factor on the coefficients of the colours when it does"
    )


class RateSettings(Section):
    """A learning rate that goes log-linearly from ``start`` to ``end``, optionally after a damped start."""

    start: Positive = Field(..., description="learning rate of the first iteration")
    end: Positive | None = Field(
        default=None, description="learning rate at and after iteration `steps`; null: constant"
    )
    steps: int | None = Field(
        default=None, ge=1, description="length of the schedule; null: the run's iterations"
    )
    delay_steps: int = Field(default=0, ge=0, description="length of the damped start, iterations; 0: none")
    delay_factor: float = Field(default=1.0, gt=0, le=1, description="factor on the very first learning rate")


class OptimSettings(Section):
    """Adam, one learning rate for each kind of parameter."""

    means: RateSettings = Field(default=RateSettings(start=8e-3), description="positions, times `extent`")
    scales: RateSettings = Field(default=RateSettings(start=1.6e-2), description="log-scales")
    quats: RateSettings = Field(default=RateSettings(start=1e-2), description="rotations")
    opacities: RateSettings = Field(default=RateSettings(start=6e-2), description="opacity logits")
    sh0: RateSettings = Field(default=RateSettings(start=4e-2), description="base colours")
    shN: RateSettings = Field(default=RateSettings(start=2e-3), description="view-dependent colours")  # noqa: N815
    extent: Positive = Field(
        default=1.0, description="scene extent: scales the positions' learning rate; world units"
    )
    beta1: float = Field(default=0.9, ge=0, lt=1, description="decay of Adam's first moment")
    beta2: float = Field(default=0.99, ge=0, lt=1, description="decay of Adam's second moment")
    eps: Positive = Field(default=1e-15, description="Adam's epsilon")
    sparse: bool = Field(
        default=False,
        description="leave Gaussians that no camera of an iteration sees as they are, moments included",
    )
    clip: bool = Field(default=False, description="clip the gradient norm of each kind of parameter")
    clip_start: Positive = Field(default=2.0, description="largest norm in the first iteration")
    clip_end: Positive = Field(default=8.0, description="largest norm from iteration `clip_iterations` on")
    clip_iterations: int = Field(default=1000, ge=1, description="length of the linear rise of the limit")


class DensifySettings(Section):
    """Changes of the number and the positions of the Gaussians."""

    strategy: Literal["relocate", "original", "none"] = Field(
        default="relocate",
        description="relocate: dead Gaussians move to live ones; original: clone, split, prune, reset",
    )
    every: int = Field(default=50, ge=1, description="iterations between two changes")
    start: int = Field(default=50, ge=0, description="first iteration of changes")
    stop: int = Field(
        default=100_000, ge=0, description="no changes after this iteration, nor in the run's last `rest`"
    )
    rest: int = Field(default=25, ge=0, description="iterations without changes at the end of a run")
    max_count: int = Field(default=5_000_000, ge=1, description="cap on the number of Gaussians")
    growth: NonNegative = Field(
        default=0.0, description="relocate: share of new Gaussians at each change, up to the cap"
    )
    dead_opacity: float = Field(default=0.005, gt=0, lt=1, description="below this a Gaussian is dead")
    spread: NonNegative = Field(
        default=0.5,
        description="relocate: a moved Gaussian lands this many standard deviations off its new place",
    )
    position_noise: NonNegative = Field(
        default=0.0,
        description="relocate: noise on the positions of faint Gaussians, times their learning rate; 0: none",
    )
    grad_threshold: Positive = Field(
        default=7.5e-4, description="original: mean screen-space gradient to grow at, image halves (no unit)"
    )
    extent: Positive = Field(
        default=1.0, description="original: scene extent the two fractions refer to; world units"
    )
    split_fraction: Positive = Field(
        default=0.003, description="original: above this share of the extent split, else clone"
    )
    prune_fraction: Positive = Field(
        default=0.1, description="original: Gaussians above this share of the extent go"
    )
    prune_screen_px: Positive | None = Field(
        default=None,
        description="original: Gaussians with a larger screen radius go, pixels; null: none (released: its "
        "limit of 20 looks at radii that growing has set to 0 before)",
    )
    prune_big_after: int = Field(
        default=300, ge=0, description="original: iteration from which big Gaussians go"
    )
    reset_every: int = Field(default=300, ge=1, description="original: iterations between two opacity resets")
    reset_rest: int = Field(
        default=500,
        ge=0,
        description="original: iterations without a reset at the end of a run, in which opacities come back",
    )
    reset_opacity: float = Field(
        default=0.01, gt=0, lt=1, description="original: opacities are lowered to this"
    )

    def most(self, first: int) -> int:
        """How many Gaussians there can be in a run that starts with ``first``."""
        grows = {"relocate": self.growth > 0, "original": True, "none": False}[self.strategy]
        return max(first, self.max_count) if grows else first


class OutputSettings(Section):
    """Files of a run, and how often it writes them."""

    checkpoint_every: int = Field(default=50, ge=1, description="iterations between two checkpoints")
    keep_checkpoints: int = Field(default=2, ge=1, description="how many of the latest checkpoints are kept")
    turntable_frames: int = Field(default=90, ge=0, le=2000, description="frames of turntable.mp4; 0: none")
    turntable_fps: int = Field(default=30, ge=1, le=120, description="frames per second")
    contact_views: int = Field(default=8, ge=0, le=64, description="views on contact.png; 0: none")
    page: bool = Field(default=True, description="write asset.html, the asset to turn in any browser")
    mesh: bool = Field(
        default=False, description="write mesh.glb, triangles with a texture; needs sctd[mesh]"
    )
    progress_every: int = Field(
        default=0, ge=0, description="iterations between two sheets of views for progress.mp4; 0: none"
    )
    plot: bool = Field(default=False, description="draw losses.png at the end; needs matplotlib")
    tensorboard: bool = Field(default=False, description="write events for TensorBoard; needs tensorboardX")
    size: int = Field(
        default=256, ge=16, le=4096, description="width and height of both, pixels; video needs an even one"
    )
    background: Color = Field(default=(1.0, 1.0, 1.0), description="colour behind both, 0..1")
    elevation_deg: ElevationAngle = Field(default=15.0, description="elevation of both, degrees")
    radius: Positive = Field(default=3.3, description="distance of the camera of both, world units")
    fovy_rad: FovAngle = Field(
        default=math.radians(40.0), description="vertical field of view of both, radians"
    )

    @model_validator(mode="after")
    def _even(self) -> OutputSettings:
        if self.size % 2:
            raise ValueError(f"size must be even for the video; got {self.size}")
        return self
