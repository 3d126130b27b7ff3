"""A mesh as what is optimised: its surface, its colours, their learning rates. Loads no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from sctd.config.asset import RateSettings
from sctd.config.base import Fraction, NonNegative, Section

SHAPING = ("kind", "resolution", "faces", "color_resolution", "stiffness")
"""Settings of which the surface is made; stages that go on with it have the same."""


class SurfaceSettings(Section):
    """Of `representation: mesh`. What it starts from is the surface of the Gaussians before it."""

    kind: Literal["tetrahedra", "triangles"] = Field(
        default="tetrahedra",
        description="tetrahedra: where a function on a grid is zero, whose holes and pieces may change; "
        "triangles: those of the start, whose vertices move together",
    )
    resolution: int = Field(
        default=20,
        ge=8,
        le=256,
        description="steps of the grid along the object's longest side; triangles: at which they are made",
    )
    faces: int = Field(
        default=6_000, ge=100, le=2_000_000, description="kind = triangles: at most about so many"
    )
    color_resolution: int = Field(
        default=64, ge=8, le=512, description="steps of the grid of colours along the longest side"
    )
    views: int = Field(
        default=48, ge=16, le=400, description="pictures of the Gaussians that the first surface is made from"
    )
    view_size: int = Field(default=256, ge=64, le=2048, description="width and height of those, pixels")
    shown: Literal["colors", "normals", "material"] = Field(
        default="colors",
        description="what the prior sees: the mesh in its colours, or its normal map, which shapes the "
        "surface and leaves the colours as they are, or a material (base colour, roughness, metal) in "
        "a light, which leaves the surface as it is",
    )
    latent_share: Fraction = Field(
        default=0.1,
        description="shown = normals: share of the stage's iterations, the first of them, in which normals "
        "and coverage, made as small as latents, are the latents themselves; the rest encode the normal map",
    )
    supersample: int = Field(
        default=2, ge=1, le=8, description="samples of a pixel along each side, which smooth the edges"
    )
    stiffness: NonNegative = Field(
        default=20.0,
        description="kind = triangles: how far a step spreads over neighbouring vertices; 0: not at all",
    )
    normals: NonNegative = Field(
        default=3000.0, description="weight of 1 - cosine between neighbouring faces, on the mean"
    )
    laplacian: NonNegative = Field(
        default=1000.0,
        description="weight of the squared distance to the neighbours' mean, on the mean: of the function, "
        "in steps of the grid, or of the vertices, in edges",
    )
    distance: RateSettings = Field(
        default=RateSettings(start=2e-3, end=5e-4), description="kind = tetrahedra: the function, world units"
    )
    offsets: RateSettings = Field(
        default=RateSettings(start=1e-2, end=2e-3),
        description="kind = tetrahedra: how far points of the grid are moved, in shares of what they may",
    )
    vertices: RateSettings = Field(
        default=RateSettings(start=4e-3, end=1e-3), description="kind = triangles: the vertices, world units"
    )
    colors: RateSettings = Field(default=RateSettings(start=4e-3, end=1e-3), description="colours, 0..1")
