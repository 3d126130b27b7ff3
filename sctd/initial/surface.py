"""Coloured triangles, and points spread evenly over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sctd.errors import InputError
from sctd.formats.srgb import linear_to_srgb
from sctd.initial.texture import Texture

FARTHEST = 1e30
"""Limit of a coordinate: areas are its square, and a run stores it in float32."""


@dataclass(frozen=True)
class Layer:
    """A texture and its coordinates at the vertices."""

    texture: Texture
    uvs: Tensor
    """Coordinates of the vertices, [V, 2], from the upper left corner of the texture."""

    def __post_init__(self) -> None:
        if not bool(torch.isfinite(self.uvs).all()):
            raise InputError("some texture coordinates are not finite")


@dataclass(frozen=True)
class Glow:
    """Light that a surface emits, added to its colour."""

    color: Tensor
    """[3], linear."""
    layer: Layer | None = None
    """A texture to multiply it with."""


@dataclass(frozen=True)
class Opacity:
    """The opacity of a surface; a surface without this is opaque."""

    levels: Tensor
    """At the vertices, [V], 0..1."""
    layer: Layer | None = None
    """A texture whose opacity multiplies them."""
    cutoff: float | None = None
    """Points exist where the opacity is at least this; None: the opacity is the share of points."""

    @property
    def nothing_shows(self) -> bool:
        top = float(self.levels.max()) if len(self.levels) else 0.0
        return top <= 0 if self.cutoff is None else top < self.cutoff


@dataclass(frozen=True)
class Surface:
    """Triangles of one material. Colours are linear light, as glTF defines them, until points are drawn."""

    vertices: Tensor
    """[V, 3], float64, world axes."""
    faces: Tensor
    """Rows of ``vertices``, [F, 3], int64."""
    colors: Tensor
    """Colours at the vertices, [V, 3], linear, 0..1; they multiply the texture."""
    texture: Layer | None = None
    glow: Glow | None = None
    opacity: Opacity | None = None

    def __post_init__(self) -> None:
        if not bool(torch.isfinite(self.vertices).all()):
            raise InputError("some vertices are not finite")
        if self.vertices.numel() and float(self.vertices.abs().max()) > FARTHEST:
            raise InputError(f"some vertices are farther than {FARTHEST:.0e} away; export it smaller")
        glow = () if self.glow is None else (self.glow.color,)
        levels = () if self.opacity is None else (self.opacity.levels,)
        if not all(bool(torch.isfinite(values).all()) for values in (self.colors, *glow, *levels)):
            raise InputError("some colours are not finite")
        count, named = len(self.vertices), self.faces
        if named.numel() and not 0 <= int(named.min()) <= int(named.max()) < count:
            raise InputError(f"a face names a vertex that is not there; there are {count}")

    def triangles(self) -> Tensor:
        """Corners, [F, 3, 3]."""
        return self.vertices[self.faces]


def fit(surfaces: Sequence[Surface], radius: float) -> list[Surface]:
    """The surfaces moved and scaled as one: the centre of their bounding box at the origin, the farthest
    corner at ``radius``.
    """
    corners = torch.cat([s.triangles().reshape(-1, 3) for s in surfaces])
    centre = (corners.amin(0) + corners.amax(0)) / 2
    farthest = float((corners - centre).norm(dim=1).max())
    if farthest == 0:
        raise InputError("all its triangles are one point")
    return [_moved(s, (s.vertices - centre) * (radius / farthest)) for s in surfaces]


def z_up_to_y_up(surfaces: Sequence[Surface]) -> list[Surface]:
    """From axes with z up and the front at -y to ours, y up and front at +z: (x, y, z) => (x, z, -y)."""
    flip = torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64)
    return [_moved(s, s.vertices[:, [0, 2, 1]] * flip) for s in surfaces]


def _moved(surface: Surface, vertices: Tensor) -> Surface:
    return replace(surface, vertices=vertices)


MOST_DRAWS = 1000
"""Draws for each kept point at most; beyond that a surface counts as invisible."""


def sample(surfaces: Sequence[Surface], count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Points spread over the visible parts of the triangles, in proportion to area.

    Drops draws on cut-out or clear parts, and makes more rounds until ``count`` are left.

    Args:
        surfaces: together at least one triangle with an area.
        generator: on the CPU.

    Returns:
        Points [count, 3] in world units and their colours [count, 3], sRGB 0..1, both float32.

    Raises:
        InputError: there is no area, or no visible part.
    """
    points, colors = _draw(surfaces, count, generator)
    drawn = count
    while len(points) < count:
        if drawn > MOST_DRAWS * count:
            raise InputError("less than a thousandth of it can be seen: its materials are clear or cut out")
        missing = (count - len(points)) * drawn / max(len(points), 1)
        draws = int(min(max(1.1 * missing, 100), 8 * count))
        more = _draw(surfaces, draws, generator)
        points, colors = torch.cat([points, more[0]]), torch.cat([colors, more[1]])
        drawn += draws
    kept = torch.arange(count) * len(points) // count  # evenly, because draws are ordered by triangle
    return points[kept].float(), linear_to_srgb(colors[kept]).float()


def _draw(surfaces: Sequence[Surface], count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Points and linear colours, float64, of ``count`` draws, without those on invisible parts.

    The area is cut into ``count`` equal strips with a draw in each, so that a triangle's number of draws
    differs from its share by less than one; independent draws would leave holes.

    Source: Osada et al. 2002, "Shape Distributions", section 4.2, for a point within a triangle.
    """
    corners = torch.cat([s.triangles() for s in surfaces])
    sides = corners[:, 1:] - corners[:, :1]
    areas = torch.linalg.cross(sides[:, 0], sides[:, 1]).norm(dim=1) / 2
    upto = areas.cumsum(0)
    if not len(upto) or not float(upto[-1]) > 0:
        raise InputError("its triangles have no area")
    strips = torch.arange(count) + torch.rand(count, dtype=torch.float64, generator=generator)
    chosen = torch.searchsorted(upto, strips * (upto[-1] / count), right=True)
    chosen.clamp_(max=int(torch.searchsorted(upto, upto[-1])))  # rounding at the very end
    a, b = torch.rand(2, count, dtype=torch.float64, generator=generator)
    weights = torch.stack((1 - a.sqrt(), a.sqrt() * (1 - b), a.sqrt() * b), dim=1)
    points = (weights[:, :, None] * corners[chosen]).sum(1)

    colors = torch.empty(count, 3, dtype=torch.float64)
    seen = torch.ones(count, dtype=torch.bool)
    first = 0
    for surface in surfaces:
        here = (chosen >= first) & (chosen < first + len(surface.faces))
        faces, shares = surface.faces[chosen[here] - first], weights[here]
        colors[here] = _colors(surface, faces, shares)
        if surface.opacity is not None:
            seen[here] = _seen(surface.opacity, faces, shares, generator)
        first += len(surface.faces)
    return points[seen], colors[seen]


def _colors(surface: Surface, faces: Tensor, weights: Tensor) -> Tensor:
    """Colours [n, 3] in faces [n, 3] at barycentric weights [n, 3]: vertices times texture, plus glow."""
    colors = _mix(surface.colors, faces, weights)
    if surface.texture is not None:
        colors = colors * _at(surface.texture, faces, weights)[0]
    if surface.glow is not None:
        layer = surface.glow.layer
        light = surface.glow.color.double()
        colors = colors + (light if layer is None else light * _at(layer, faces, weights)[0])
    return colors


def _seen(opacity: Opacity, faces: Tensor, weights: Tensor, generator: torch.Generator) -> Tensor:
    """Which draws give a point, [n]; at a partial opacity the generator decides."""
    levels = _mix(opacity.levels[:, None], faces, weights)[:, 0]
    if opacity.layer is not None:
        levels = levels * _at(opacity.layer, faces, weights)[1]
    if opacity.cutoff is not None:
        return levels >= opacity.cutoff - 1e-9  # shares add up to 1 but for rounding
    return torch.rand(len(levels), dtype=torch.float64, generator=generator) < levels


def _at(layer: Layer, faces: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    return layer.texture.at(_mix(layer.uvs, faces, weights))


def _mix(values: Tensor, faces: Tensor, weights: Tensor) -> Tensor:
    """Values at the vertices, [V, k], interpolated in faces, [n, k]."""
    return (weights[:, :, None] * values[faces].double()).sum(1)
