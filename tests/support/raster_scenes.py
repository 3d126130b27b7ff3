"""Small scenes for the rasterizer's tests, the same numbers in every dtype."""

from __future__ import annotations

import math
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

on_every_backend = pytest.mark.parametrize(
    "backend", ["cpu", "cuda-simt", "cuda-ptx", pytest.param("cuda", marks=pytest.mark.gpu)]
)


def device_of(backend: str) -> str:
    """The device of a backend's tensors."""
    return "cuda" if backend == "cuda" else "cpu"


class Scene(NamedTuple):
    """Arguments of rasterization, in its order."""

    means: Tensor
    quats: Tensor
    scales: Tensor
    opacities: Tensor
    colors: Tensor
    viewmats: Tensor
    Ks: Tensor
    width: int
    height: int

    def to(self, dtype: torch.dtype, backend: str = "cpu") -> Scene:
        """Copies that require gradients (all but Ks), on the backend's device."""
        device = device_of(backend)
        tensors = [t.to(device, dtype, copy=True).requires_grad_(i != 6) for i, t in enumerate(self[:7])]
        return Scene(*tensors, self.width, self.height)


def look_at(azimuth: float, elevation: float, distance: float) -> Tensor:
    """World-to-camera [4, 4] float64 of a camera that looks at the origin; angles in degrees, +y up."""
    az, el = math.radians(azimuth), math.radians(elevation)
    eye = distance * torch.tensor(
        [math.cos(el) * math.sin(az), math.sin(el), math.cos(el) * math.cos(az)], dtype=torch.float64
    )
    forward = -eye / eye.norm()
    right = torch.linalg.cross(forward, torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64))
    right = right / right.norm()
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:3, :3] = torch.stack([right, torch.linalg.cross(forward, right), forward])
    matrix[:3, 3] = -matrix[:3, :3] @ eye
    return matrix


def make_scene(
    count: int,
    width: int = 40,
    height: int = 33,
    cameras: int = 2,
    *,
    seed: int = 0,
    size: float = 0.08,
    spread: float = 0.5,
    channels: int = 3,
    bases: int | None = None,
    opacity: float = 0.0,
) -> Scene:
    """Random Gaussians in the unit ball; ``bases`` gives harmonics [N, bases, 3] instead of colours."""
    g = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    means = normal(count, 3)
    means = (
        means
        / means.norm(dim=1, keepdim=True)
        * torch.rand(count, 1, generator=g, dtype=torch.float64) ** (1 / 3)
    )
    colors = normal(count, channels) if bases is None else 0.3 * normal(count, bases, 3)
    focal = 0.9 * width
    K = torch.tensor(
        [[focal, 0, width / 2 + 1.5], [0, 1.1 * focal, height / 2 - 0.7], [0, 0, 1]], dtype=torch.float64
    )
    tensors = [
        means,
        normal(count, 4),
        size * torch.exp(spread * normal(count, 3)),
        torch.sigmoid(opacity + normal(count)),
        colors,
        torch.stack([look_at(37 + 360 * c / cameras, 20 - 5 * c, 2.7) for c in range(cameras)]),
        K.expand(cameras, 3, 3),
    ]
    # Rounded once, so that float32 and double see the same numbers.
    return Scene(*(t.float().double().contiguous() for t in tensors), width, height)
