"""The cameras and the backgrounds that all worlds' pictures have."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sctd.embedded.poses import Poses, camera_matrices

FOV_DEG = 40.0
RADIUS = (3.1, 3.5)  # camera distances; an object's radius is at most 0.95


def look_at(
    azimuth: float, elevation: float, radius: float, size: int, fov_deg: float = FOV_DEG
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """viewmat [4,4] and K [3,3] of a camera at azimuth and elevation (rad) that looks at the origin."""
    numbers = (azimuth, elevation, radius, math.radians(fov_deg))
    viewmats, Ks = camera_matrices(Poses(*(torch.tensor([x], dtype=torch.float64) for x in numbers)), size)
    return viewmats[0], Ks[0]


def random_backgrounds(n: int, generator: torch.Generator) -> Tensor:
    """Plain greys [n, 3] from 0.35 to 1: the backgrounds that renderings get during distillation."""
    return (0.35 + 0.65 * torch.rand(n, 1, generator=generator)).expand(n, 3)
