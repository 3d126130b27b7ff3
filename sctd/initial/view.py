"""Checks that the cameras see the first Gaussians of a run.

The cameras of every preset stand 3 to 5 from the origin and look at the unit ball round it. A file is out of
view when fewer than half of its points lie within 2 of the origin, or when all but a few lie within 1/50 of
each other, a dot in a picture: map coordinates, millimetres, another program's scene. The check ignores
outliers, here the farthest 1 % along each axis, since captured scenes have them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sctd.config.asset import GaussianSettings
from sctd.gaussians import Gaussians

VIEW_RADIUS = 2.0
"""World units; points farther out are behind the cameras or beside their view."""

DOT = 0.02
"""Radius, world units."""


@dataclass(frozen=True)
class Placement:
    """A shift and a scale: ``(points - centre) * factor``."""

    centre: Tensor
    """[3], float64."""
    factor: float

    def points(self, points: Tensor) -> Tensor:
        """Transform points [N, 3], float64."""
        return (points.double() - self.centre) * self.factor

    def gaussians(self, gaussians: Gaussians) -> Gaussians:
        """Transform means and scales."""
        scaled = gaussians.scales + math.log(self.factor)
        return Gaussians(
            **{**gaussians.parameters(), "means": self.points(gaussians.means), "scales": scaled}
        )


def placement(
    path: Path, points: Tensor, settings: GaussianSettings, say: Callable[[str], None]
) -> Placement:
    """The placement that brings points [N, 3] of a file into view; none if they are in view.

    With ``init_fit`` it fits them into ``init_radius``, like a mesh; without, it only reports that they are
    out of view.
    """
    stay = Placement(torch.zeros(3, dtype=torch.float64), 1.0)
    centre, radius = extent(points)
    share = share_within(points, VIEW_RADIUS)
    if share >= 0.5 and not 0 < radius < DOT:
        return stay
    where = (
        f"{path} is out of view: {share:.0%} of it lies within {VIEW_RADIUS:g} of the origin, where the "
        f"cameras look; its middle is ({', '.join(f'{x:.4g}' for x in centre)}), its radius {radius:.4g}"
    )
    if not settings.init_fit:
        say(f"{where}; leave out gaussians.init_fit=false to have it moved and scaled")
        return stay
    say(
        f"{where}; it is moved and scaled to gaussians.init_radius = {settings.init_radius:g} "
        "(gaussians.init_fit=false leaves it there)"
    )
    return Placement(torch.from_numpy(centre), settings.init_radius / radius if radius > 0 else 1.0)


def share_within(points: Tensor, radius: float) -> float:
    """Share of points [N, 3] in a ball about the origin, 0..1."""
    return float((points.double().norm(dim=1) <= radius).double().mean())


def extent(points: Tensor) -> tuple[np.ndarray[tuple[int], np.dtype[np.float64]], float]:
    """The middle of the box of 99 % of the points, and the distance from it within which 99 % lie."""
    found = points.double().numpy()
    centre = np.quantile(found, (0.01, 0.99), axis=0).mean(axis=0)
    return centre, float(np.quantile(np.linalg.norm(found - centre, axis=1), 0.99))
