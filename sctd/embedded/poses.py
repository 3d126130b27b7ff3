"""Where cameras stand: as poses round the object, as matrices, and those that a prior is trained on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sctd import cameras
from sctd.cameras import Viewpoints

# The trainer's cameras (settings.CameraSettings: 3.1-3.5, 40 degrees, -8 to 45 degrees, now and then up to
# 80) and a little more on every side, so that none of them lies at the edge of the training data.
_RADIUS, _FOV_DEG = (3.0, 3.6), (38.0, 43.0)
_ELEVATION_DEG, _HIGH_DEG, _HIGH_SHARE = (-12.0, 48.0), (48.0, 85.0), 0.2


@dataclass(frozen=True)
class Poses:
    """Where n cameras stand that look at the origin."""

    azimuth: Tensor
    """[n] rad, 0 sees the front, + the object's left."""
    elevation: Tensor
    """[n] rad, positive upwards."""
    radius: Tensor
    """[n], distance from the origin."""
    fovy: Tensor
    """[n] rad, vertical field of view."""

    def __len__(self) -> int:
        return len(self.azimuth)

    def __getitem__(self, index: Tensor) -> Poses:
        return Poses(*(values[index] for values in vars(self).values()))

    def over(self, background: Tensor) -> Viewpoints:
        """What a prior is told of pictures from here over backgrounds [n, 3], 0..1."""
        return Viewpoints(self.azimuth, self.elevation, self.radius, self.fovy, background)

    @staticmethod
    def join(parts: Sequence[Poses]) -> Poses:
        """One after the other."""
        return Poses(*(torch.cat(values) for values in zip(*(vars(p).values() for p in parts), strict=True)))


def training_poses(seed: int, block: int, n: int) -> Poses:
    """The n cameras of a block of traced views: all round, a part of them from high above."""
    rng = np.random.default_rng([seed, block])
    high = rng.random(n) < _HIGH_SHARE
    elevation = np.where(high, rng.uniform(*_HIGH_DEG, n), rng.uniform(*_ELEVATION_DEG, n))
    numbers = (
        rng.uniform(-math.pi, math.pi, n),
        np.radians(elevation),
        rng.uniform(*_RADIUS, n),
        np.radians(rng.uniform(*_FOV_DEG, n)),
    )
    return Poses(*(torch.from_numpy(x).float() for x in numbers))


def camera_matrices(poses: Poses, size: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """viewmats [n,4,4] and Ks [n,3,3], pixels, of cameras that look at the origin."""
    turn, tilt, distance, field = (x.double() for x in vars(poses).values())
    up = torch.tensor([[0.0, 1.0, 0.0]], dtype=torch.float64)  # no view is quite from the pole
    eye = cameras.positions(turn, tilt, distance)
    viewmats = cameras.look_at(eye, torch.zeros_like(eye), up.expand_as(eye))
    return viewmats.float().numpy(), cameras.intrinsics(field, size, size).float().numpy()
