"""The definition of :func:`sctd.ops.fuse_depth` in plain torch, all points of the grid at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

FLAT, NEAR = 1e-6, 1e-6
"""As csrc/include/fusion.h has them."""


class Grid(NamedTuple):
    """Points along the axes."""

    size: Sequence[int]
    """How many along x, y, z."""
    origin: Sequence[float]
    """The first, world units."""
    step: float
    """Between neighbours, world units."""


def points(grid: Grid, like: Tensor) -> Tensor:
    """Of a grid, [x, y, z, 3], in the dtype and on the device of ``like``."""
    axes = [
        first + grid.step * torch.arange(count, dtype=torch.float64)
        for first, count in zip(grid.origin, grid.size, strict=True)
    ]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).to(like)


def between(picture: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Sequence[Tensor]]:
    """Values of a picture [H, W] between the centres of its pixels, and their slopes along u and v.

    ``u`` and ``v`` count from the centre of the first pixel, and lie inside the picture.
    """
    height, width = picture.shape
    column, row = u.floor().clamp(0, width - 2).long(), v.floor().clamp(0, height - 2).long()
    right, below = u - column, v - row
    a, b = picture[row, column], picture[row, column + 1]
    c, d = picture[row + 1, column], picture[row + 1, column + 1]
    value = (1 - below) * ((1 - right) * a + right * b) + below * ((1 - right) * c + right * d)
    return value, ((1 - below) * (b - a) + below * (d - c), (1 - right) * (c - a) + right * (d - b))


def fuse_depth(
    depth: Tensor,
    alpha: Tensor,
    viewmats: Tensor,
    Ks: Tensor,
    grid: Grid,
    *,
    reach: float,
    level: float,
    hidden: float,
    carvers: int,
) -> Tensor:
    """As :func:`sctd.ops.fuse_depth`."""
    height, width = depth.shape[1:]
    place = points(grid, depth)
    shape = place.shape[:3]
    outlines = [depth.new_full(shape, -reach)] * carvers
    total, weight, ever = (depth.new_zeros(shape) for _ in range(3))
    for i in range(len(depth)):
        x, y, z = (place @ viewmats[i, :3, :3].T + viewmats[i, :3, 3]).unbind(-1)
        u, v = Ks[i, 0, 0] * x / z + Ks[i, 0, 2] - 0.5, Ks[i, 1, 1] * y / z + Ks[i, 1, 2] - 0.5
        seen = (z > NEAR) & (u >= 0) & (v >= 0) & (u <= width - 1) & (v <= height - 1)
        u, v = torch.where(seen, u, 0), torch.where(seen, v, 0)
        a, (across, down) = between(alpha[i], u, v)
        d, _ = between(depth[i], u, v)
        slope = torch.hypot(Ks[i, 0, 0] * across, Ks[i, 1, 1] * down) / z
        outlines.append(torch.where(seen, (level - a) / slope.clamp_min(FLAT), -reach))
        covered = seen & (a >= level)
        front = (d / a - z) * torch.sqrt(x * x + y * y + z * z) / z
        behind = front < -reach
        share = torch.where(behind, depth.new_tensor(hidden), 1.0)
        total += torch.where(covered, share * front.clamp(-reach, reach), 0)
        weight += torch.where(covered, share, 0)
        ever += seen
    outline = torch.stack(outlines).sort(dim=0, descending=True).values[carvers - 1]
    front = torch.where(weight > 0, total / weight, -reach)
    distance = torch.maximum(front, outline).clamp(-reach, reach)
    return torch.where(ever > 0, distance, reach)
