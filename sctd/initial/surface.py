"""Coloured triangles fitted into a ball, and points spread evenly over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from sctd.errors import InputError
from sctd.formats.meshes.surface import Opacity, Surface
from sctd.formats.srgb import linear_to_srgb


def fit(surfaces: Sequence[Surface], radius: float) -> list[Surface]:
    """The surfaces moved and scaled as one: the centre of their bounding box at the origin, the farthest
    corner at ``radius``.
    """
    corners = torch.cat([s.triangles().reshape(-1, 3) for s in surfaces])
    centre = (corners.amin(0) + corners.amax(0)) / 2
    farthest = float((corners - centre).norm(dim=1).max())
    if farthest == 0:
        raise InputError("all its triangles are one point")
    return [replace(s, vertices=(s.vertices - centre) * (radius / farthest)) for s in surfaces]


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
        colors[here] = surface.colors_at(faces, shares)
        if surface.opacity is not None:
            seen[here] = _seen(surface.opacity, faces, shares, generator)
        first += len(surface.faces)
    return points[seen], colors[seen]


def _seen(opacity: Opacity, faces: Tensor, weights: Tensor, generator: torch.Generator) -> Tensor:
    """Which draws give a point, [n]; at a partial opacity the generator decides."""
    levels = opacity.at(faces, weights)
    if opacity.cutoff is not None:
        return levels >= opacity.cutoff - 1e-9  # shares add up to 1 but for rounding
    return torch.rand(len(levels), dtype=torch.float64, generator=generator) < levels
