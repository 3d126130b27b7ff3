"""Step 1 of 4: colours, coverage and depth of an object from cameras all round it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sctd.cameras import CameraBatch, intrinsics, look_at, positions
from sctd.errors import InputError
from sctd.gaussians import Gaussians, rotations
from sctd.ops import rasterization

FOV_DEG = 35.0
FAINT = 0.02
"""Opacity below which a Gaussian has no say in where the object is."""
OUTLIERS = 0.01
"""Share of the Gaussians that may lie far away."""
DENSER = 10.0
"""How much more opaque Gaussians are made to find their near side."""


@dataclass(frozen=True)
class Box:
    """Where the object is."""

    low: Tensor
    """[3], float64, world units."""
    high: Tensor

    @property
    def centre(self) -> Tensor:
        return (self.low + self.high) / 2

    @property
    def radius(self) -> float:
        """Of the ball round it."""
        return float((self.high - self.low).norm()) / 2


@dataclass(frozen=True)
class Views:
    """C square pictures of S x S pixels, on the CPU."""

    cameras: CameraBatch
    colors: Tensor
    """[C, S, S, 3], uint8, sRGB: the object's own, without what shows through it."""
    alpha: Tensor
    """Coverage, [C, S, S], float32, 0..1."""
    depth: Tensor
    """Of the near side, times ``alpha``, [C, S, S], float32, world units."""


def box_of(gaussians: Gaussians) -> tuple[Box, Gaussians]:
    """Where the object is, and the Gaussians whose centres are there.

    The box holds two standard deviations round every Gaussian that is not faint. Gaussians far outside are
    no part of the object: along each axis at most a hundredth of them, those that reach beyond all others by
    more than half the others' size.

    Raises:
        InputError: there are no Gaussians, all are faint, or a number is not finite.
    """
    for name, values in gaussians.parameters().items():
        bad = int((~torch.isfinite(values)).sum())
        if bad:
            raise InputError(f"no mesh can be made: {bad} values of {name} are not finite")
    solid = torch.sigmoid(gaussians.opacities) > FAINT
    if not bool(solid.any()):
        raise InputError(
            f"no mesh can be made: none of the {len(gaussians)} Gaussians has an opacity above {FAINT}"
        )
    axes = rotations(gaussians.quats[solid].double()) * gaussians.scales[solid].double().exp()[:, None]
    half = 2 * axes.square().sum(dim=2).sqrt()
    centres = gaussians.means[solid].double()
    low, high = (centres - half).cpu(), (centres + half).cpu()
    inner_low = torch.quantile(low[:, :], OUTLIERS, dim=0, interpolation="higher")
    inner_high = torch.quantile(high, 1 - OUTLIERS, dim=0, interpolation="lower")
    margin = (inner_high - inner_low).clamp_min(0) / 2
    box = Box(
        torch.maximum(low.amin(0), inner_low - margin), torch.minimum(high.amax(0), inner_high + margin)
    )
    means = gaussians.means.double().cpu()
    inside = ((means >= box.low) & (means <= box.high)).all(dim=1).to(gaussians.means.device)
    return box, Gaussians(**{name: values[inside] for name, values in gaussians.parameters().items()})


def cameras_round(box: Box, count: int, size: int) -> CameraBatch:
    """``count`` cameras evenly on a sphere (Fibonacci's lattice), each with all of the box in its picture."""
    turn = torch.arange(count, dtype=torch.float64)
    elevation = torch.asin(1 - (2 * turn + 1) / count)
    azimuth = torch.remainder(turn * (math.pi * (3 - math.sqrt(5))), 2 * math.pi) - math.pi
    fovy = torch.full_like(turn, math.radians(FOV_DEG))
    distance = torch.full_like(turn, 1.02 * box.radius / math.sin(math.radians(FOV_DEG / 2)))
    eye = box.centre + positions(azimuth, elevation, distance)
    up = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64).expand(count, 3)
    return CameraBatch(
        look_at(eye, box.centre.expand(count, 3), up).float(),
        intrinsics(fovy, size, size).float(),
        size,
        size,
        azimuth.float(),
        elevation.float(),
        distance.float(),
        fovy.float(),
        near_plane=float(distance[0]) / 100,
    )


@torch.no_grad()
def look(gaussians: Gaussians, cameras: CameraBatch) -> Views:
    """Render the pictures, one after the other.

    Depth is that of the near side. Soft Gaussians blend over some length of a ray, so their mean depth lies
    behind the surface that the outline shows. Two corrections apply to the depth alone: each Gaussian
    counts as DENSER. Where several still blend, the depth is their mean less its standard deviation,
    which includes each Gaussian's own extent along the ray.
    """
    means, quats, scales, opacities, colors, _ = gaussians.activated()
    axes = rotations(quats) * scales[:, None]
    dense = 1 - (1 - opacities) ** DENSER
    made: tuple[list[Tensor], ...] = ([], [], [])
    for i in range(len(cameras)):
        viewmat, K = (t[i : i + 1].to(means) for t in (cameras.viewmats, cameras.Ks))
        where = (viewmat, K, cameras.width, cameras.height, cameras.near_plane)
        seen, alpha, _ = rasterization(
            means, quats, scales, opacities, colors, *where, sh_degree=gaussians.sh_degree
        )
        # Depths from the box's centre: their squares lose less to rounding.
        off = means @ viewmat[0, 2, :3] + viewmat[0, 2, 3] - cameras.radius[i].item()
        square = off * off + (viewmat[0, 2, :3] @ axes).square().sum(dim=1)
        moments, covered, _ = rasterization(
            means, quats, scales, dense, torch.stack((off, square, off), dim=1), *where
        )
        share = covered[0, ..., 0].clamp_min(1e-6)
        mean = moments[0, ..., 0] / share
        deviation = (moments[0, ..., 1] / share - mean * mean).clamp_min(0).sqrt()
        near = mean - deviation + cameras.radius[i].item()
        straight = (seen[0] / alpha[0].clamp_min(1e-6)).clamp(0, 1)
        made[0].append((255 * straight).round().to(torch.uint8).cpu())
        made[1].append(alpha[0, ..., 0].float().cpu())
        made[2].append((near * alpha[0, ..., 0]).float().cpu())
    return Views(cameras, *(torch.stack(pictures) for pictures in made))
