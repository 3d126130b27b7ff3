"""Coloured triangles, and points spread evenly over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sctd.errors import InputError


@dataclass(frozen=True)
class Surface:
    """Triangles of one material. Colours are linear light, as glTF defines them, until points are drawn."""

    vertices: Tensor
    """[V, 3], float64, world axes."""
    faces: Tensor
    """Rows of ``vertices``, [F, 3], int64."""
    colors: Tensor
    """At the vertices, [V, 3], linear, 0..1; what the texture is multiplied with."""
    uvs: Tensor | None = None
    """Texture coordinates of the vertices, [V, 2], from the lower left corner, repeated outside 0..1."""
    texture: Tensor | None = None
    """[H, W, 3], uint8, sRGB; needs ``uvs``."""

    def __post_init__(self) -> None:
        if not bool(torch.isfinite(self.vertices).all()):
            raise InputError("some vertices are not finite")
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
    """From axes with z up and the front at -y to ours, y up and the front at +z: (x, y, z) => (x, z, -y)."""
    flip = torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64)
    return [_moved(s, s.vertices[:, [0, 2, 1]] * flip) for s in surfaces]


def _moved(surface: Surface, vertices: Tensor) -> Surface:
    return Surface(vertices, surface.faces, surface.colors, surface.uvs, surface.texture)


def sample(surfaces: Sequence[Surface], count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Points spread over the triangles, as many on each as its share of the area.

    The area is cut into ``count`` equal strips with a point in each, so that a triangle's number of points is
    its share within one, where independent draws would leave holes.

    Args:
        surfaces: at least one triangle with an area in all.
        generator: on the CPU.

    Returns:
        Points [count, 3] in world units and their colours [count, 3], sRGB 0..1, both float32.

    Raises:
        InputError: there is no area.

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
    first = 0
    for surface in surfaces:
        here = (chosen >= first) & (chosen < first + len(surface.faces))
        colors[here] = _colors(surface, surface.faces[chosen[here] - first], weights[here])
        first += len(surface.faces)
    return points.float(), linear_to_srgb(colors).float()


def _colors(surface: Surface, faces: Tensor, weights: Tensor) -> Tensor:
    """Linear colours [n, 3] in faces [n, 3] at barycentric weights [n, 3]: vertices times texture."""
    colors = (weights[:, :, None] * surface.colors[faces].double()).sum(1)
    if surface.texture is None or surface.uvs is None:
        return colors
    return colors * _texels(surface.texture, (weights[:, :, None] * surface.uvs[faces].double()).sum(1))


def _texels(texture: Tensor, uv: Tensor) -> Tensor:
    """Linear colours [n, 3] at uv [n, 2]: the four nearest texels, weighted, with the texture repeated.

    That is glTF's sampler where a file names none (2.0 specification, sections 3.8.4.2 and 3.8.4.3), and what
    OBJ does; other samplers are lost in trimesh. So u = 1 is u = 0, the last column and the first in equal
    parts; a texture that is meant to be clamped differs from that within half a texel of its border.
    """
    size = torch.tensor(texture.shape[1::-1])
    place = torch.stack((uv[:, 0] % 1, -uv[:, 1] % 1), dim=1) * size - 0.5  # texel centres at whole numbers
    near = place.floor().long()[:, None] + torch.tensor([[0, 0], [1, 0], [0, 1], [1, 1]])
    share = (1 - (place[:, None] - near).abs()).prod(-1, keepdim=True)
    column, row = (near % size).unbind(-1)
    return (share * srgb_to_linear(texture[row, column].double() / 255)).sum(1)


def srgb_to_linear(encoded: Tensor) -> Tensor:
    """IEC 61966-2-1, values 0..1."""
    return torch.where(encoded <= 0.04045, encoded / 12.92, ((encoded.clamp_min(0) + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(linear: Tensor) -> Tensor:
    """The inverse of :func:`srgb_to_linear`, cut to 0..1."""
    linear = linear.clamp(0, 1)
    return torch.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
