"""Closed surfaces covered by flat Gaussians, of which everything is known."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sctd.gaussians import SH_C0, Gaussians

THIN = 0.005
"""Standard deviation of every Gaussian across the surface, world units."""
WIDE = 0.7
"""Along it, in distances of neighbours."""


def shell(
    points: Tensor, normals: Tensor, colors: Tensor, spacing: float, opacity: float = 0.95
) -> Gaussians:
    """A disc at each point [N, 3], across its normal [N, 3], of a colour [N, 3], 0..1."""
    count = len(points)
    axis = torch.tensor([0.0, 0.0, 1.0])  # the thin one, turned onto the normal
    quats = torch.cat((1 + normals @ axis[:, None], torch.linalg.cross(axis.expand_as(normals), normals)), 1)
    quats[normals[:, 2] < -0.9999] = torch.tensor([0.0, 1.0, 0.0, 0.0])
    return Gaussians(
        means=points,
        scales=torch.tensor([WIDE * spacing, WIDE * spacing, THIN]).log().expand(count, 3).contiguous(),
        quats=quats,
        opacities=torch.full((count,), math.log(opacity / (1 - opacity))),
        sh0=((colors - 0.5) / SH_C0)[:, None],
        shN=torch.zeros(count, 0, 3),
    )


def sphere_points(count: int) -> Tensor:
    """Evenly on the unit sphere (Fibonacci's lattice), [count, 3]."""
    turn = torch.arange(count) * (math.pi * (3 - math.sqrt(5)))
    y = 1 - (2 * torch.arange(count) + 1) / count
    level = (1 - y * y).sqrt()
    return torch.stack((level * turn.cos(), y, level * turn.sin()), dim=1)


def sphere(centre: Tensor, radius: float, colors: Tensor | None = None, count: int = 1500) -> Gaussians:
    """Of one grey, or of a colour a point."""
    normals = sphere_points(count)
    spacing = radius * math.sqrt(4 * math.pi / count)
    given = torch.full((count, 3), 0.5) if colors is None else colors
    return shell(centre + radius * normals, normals, given, spacing)


def torus(centre: Tensor, ring: float, tube: float, rows: int = 72, columns: int = 30) -> Gaussians:
    """Round the y axis through the centre."""
    u = (torch.arange(rows) * (2 * math.pi / rows)).repeat_interleave(columns)
    v = (torch.arange(columns) * (2 * math.pi / columns)).repeat(rows)
    normals = torch.stack((v.cos() * u.sin(), v.sin(), v.cos() * u.cos()), dim=1)
    points = centre + ring * torch.stack((u.sin(), torch.zeros_like(u), u.cos()), dim=1) + tube * normals
    return shell(points, normals, torch.full((len(u), 3), 0.5), 2 * math.pi * tube / columns)


def joined(*parts: Gaussians) -> Gaussians:
    """All of them as one."""
    tensors = [part.parameters() for part in parts]
    return Gaussians(**{name: torch.cat([t[name] for t in tensors]) for name in tensors[0]})


def rise(radius: float, spacing: float) -> float:
    """How far beyond a surface of that radius coverage may be a half, world units.

    Discs that overlap along a ray add up, which four deviations bound; and two deviations from its centre a
    flat disc lies outside the round surface.
    """
    return 4 * THIN + (2 * WIDE * spacing) ** 2 / (2 * radius)
