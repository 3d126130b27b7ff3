"""Step 2 of 9: the cameras of an iteration, a turntable or a contact sheet.

World axes: right-handed, +y up, the object's front faces +z. Azimuth 0 looks at the front from +z,
azimuth +90 degrees stands on +x, elevation is positive upwards.
Camera axes (OpenCV): x right, y down, z forward.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from sctd.config.asset import CameraSettings
from sctd.machine import transfer


@dataclass(frozen=True)
class CameraBatch:
    """C pinhole cameras with one image size."""

    viewmats: Tensor
    """World to camera, [C, 4, 4]."""
    Ks: Tensor
    """Intrinsics, [C, 3, 3], pixels."""
    width: int
    height: int
    azimuth: Tensor
    """[C], radians, before any jitter; it selects the view text."""
    elevation: Tensor
    """[C], radians, before any jitter."""
    radius: Tensor
    """Distance from the target, [C], world units, before any jitter."""
    fovy: Tensor
    """Vertical field of view, [C], radians."""
    near_plane: float = 0.01

    def __len__(self) -> int:
        return self.viewmats.shape[0]

    def __getitem__(self, index: slice) -> CameraBatch:
        """Some of the cameras."""
        each: dict[str, Any] = {
            name: value[index] for name, value in vars(self).items() if isinstance(value, Tensor)
        }
        return replace(self, **each)

    @property
    def far_plane(self) -> float:
        """Depth that triangles are drawn to with full precision, world units."""
        return 1e4 * self.near_plane

    def finer(self, factor: int) -> CameraBatch:
        """The same cameras with ``factor`` times as many pixels along each side."""
        Ks = self.Ks * self.Ks.new_tensor([factor, factor, 1.0])[:, None]
        return replace(self, Ks=Ks, width=self.width * factor, height=self.height * factor)

    def over(self, background: Tensor) -> Viewpoints:
        """The viewpoints of pictures over backgrounds [C, 3], 0..1, for a prior."""
        return Viewpoints(self.azimuth, self.elevation, self.radius, self.fovy, background)

    def to(self, device: torch.device | str) -> CameraBatch:
        """The matrices on a device; the angles stay on the CPU, where the texts are chosen."""
        matrices = transfer.to_device(self.viewmats, device), transfer.to_device(self.Ks, device)
        return replace(self, viewmats=matrices[0], Ks=matrices[1])


@dataclass(frozen=True)
class Viewpoints:
    """Viewpoints and backgrounds of B pictures, on the CPU."""

    azimuth: Tensor
    """[B] radians, 0 sees the front, + the object's own left."""
    elevation: Tensor
    """[B] radians, 0 level, + from above."""
    radius: Tensor
    """[B], distance from the object's middle, world units."""
    fovy: Tensor
    """[B] radians, vertical field of view."""
    background: Tensor
    """[B, 3], RGB 0..1."""

    def __len__(self) -> int:
        return self.azimuth.shape[0]

    def __getitem__(self, index: slice | Tensor) -> Viewpoints:
        return Viewpoints(*(values[index] for values in vars(self).values()))

    def mirrored(self) -> Viewpoints:
        """The viewpoints of the mirrored pictures: an object's left side looks like its right."""
        return replace(self, azimuth=-self.azimuth)


def positions(azimuth: Tensor, elevation: Tensor, radius: Tensor) -> Tensor:
    """Camera centres of spherical coordinates, [C] radians, radians, world units => [C, 3] world units."""
    level = torch.cos(elevation)
    direction = torch.stack(
        (level * torch.sin(azimuth), torch.sin(elevation), level * torch.cos(azimuth)), dim=-1
    )
    return radius[:, None] * direction


def look_at(eye: Tensor, target: Tensor, up: Tensor) -> Tensor:
    """World-to-camera matrices of cameras at ``eye`` that look at ``target``; [C, 3] each => [C, 4, 4].

    ``up`` may be any vector that is not parallel to the direction of view.
    """
    forward = torch.nn.functional.normalize(target - eye, dim=-1)
    right = torch.nn.functional.normalize(torch.linalg.cross(forward, up), dim=-1)
    down = torch.linalg.cross(forward, right)
    rotation = torch.stack((right, down, forward), dim=-2)
    viewmats = torch.zeros(eye.shape[0], 4, 4, dtype=eye.dtype, device=eye.device)
    viewmats[:, :3, :3] = rotation
    viewmats[:, :3, 3] = -(rotation @ eye[:, :, None])[:, :, 0]
    viewmats[:, 3, 3] = 1.0
    return viewmats


def intrinsics(fovy: Tensor, width: int, height: int) -> Tensor:
    """Pinhole matrices, square pixels, axis through the image's centre; [C] radians => [C, 3, 3] pixels."""
    focal = 0.5 * height / torch.tan(0.5 * fovy)
    Ks = torch.zeros(fovy.shape[0], 3, 3, dtype=fovy.dtype, device=fovy.device)
    Ks[:, 0, 0] = focal
    Ks[:, 1, 1] = focal
    Ks[:, 0, 2] = 0.5 * width
    Ks[:, 1, 2] = 0.5 * height
    Ks[:, 2, 2] = 1.0
    return Ks


def eased_range(
    start: tuple[float, float], end: tuple[float, float], factor: tuple[float, float], steps: int
) -> tuple[float, float]:
    """A range after ``steps`` multiplications of its ends, neither end going past that of ``end``.

    Source: the authors' released code, which multiplies every 500 iterations.
    """

    def ease(a: float, b: float, f: float) -> float:
        value = a * f**steps
        # A factor that leads away from the end does not change the value.
        if a == b or (b > a) != (f > 1.0):
            return a
        return min(value, b) if b > a else max(value, b)

    low, high = (ease(start[i], end[i], factor[i]) for i in range(2))
    return low, max(low, high)


def sample_cameras(settings: CameraSettings, iteration: int, generator: torch.Generator) -> CameraBatch:
    """The cameras of one optimisation step, on the CPU, float32.

    Args:
        settings: ranges; see :class:`sctd.config.asset.CameraSettings`.
        iteration: 0-based, sets how far the ranges have eased.
        generator: CPU generator of every draw.
    """
    n, steps = settings.batch, iteration // settings.ease_every
    radius = _uniform(
        n,
        eased_range(settings.radius, settings.radius_end, (settings.radius_factor,) * 2, steps),
        generator,
    )
    fovy = _uniform(
        n, eased_range(settings.fovy_rad, settings.fovy_end_rad, settings.fovy_factor, steps), generator
    )
    azimuth = _sample_azimuth(settings, generator)
    elevation = _sample_elevation(settings, generator)

    eye = positions(azimuth, elevation, radius)
    eye = eye + settings.jitter_position * (2 * torch.rand(n, 3, generator=generator) - 1)
    target = settings.jitter_target * torch.randn(n, 3, generator=generator)
    up = torch.tensor([0.0, 1.0, 0.0]) + settings.jitter_up * torch.randn(n, 3, generator=generator)
    return CameraBatch(
        look_at(eye, target, up),
        intrinsics(fovy, settings.size, settings.size),
        settings.size,
        settings.size,
        azimuth,
        elevation,
        radius,
        fovy,
        settings.near_plane,
    )


def orbit_cameras(
    n: int, elevation_deg: float, radius: float, fov_deg: float, size: int, width: int | None = None
) -> CameraBatch:
    """n cameras evenly spaced round the object, the first at its front, then towards its own left (+x).

    Args:
        n: number of cameras, >= 1.
        elevation_deg: degrees, -89..89.
        radius: distance from the origin, world units, > 0.
        fov_deg: vertical field of view, degrees.
        size: height of an image, pixels, and its width if none is given.
    """
    width = size if width is None else width
    azimuth = torch.arange(n, dtype=torch.float64) * (2 * math.pi / n)
    azimuth = torch.remainder(azimuth + math.pi, 2 * math.pi) - math.pi
    elevation = torch.full_like(azimuth, math.radians(elevation_deg))
    distance = torch.full_like(azimuth, radius)
    fovy = torch.full_like(azimuth, math.radians(fov_deg))
    eye = positions(azimuth, elevation, distance)
    up = torch.tensor([[0.0, 1.0, 0.0]], dtype=eye.dtype).expand(n, 3)
    return CameraBatch(
        look_at(eye, torch.zeros_like(eye), up).float(),
        intrinsics(fovy, width, size).float(),
        width,
        size,
        azimuth.float(),
        elevation.float(),
        distance.float(),
        fovy.float(),
    )


def _uniform(n: int, bounds: tuple[float, float], generator: torch.Generator, gamma: float = 1.0) -> Tensor:
    """[n] in ``bounds``. Their distance from the middle is uniform to the power ``gamma``.

    Source of gamma: ``rand_cam_gamma`` of the authors' released code (scene/dataset_readers.py). It draws the
    side and the distance separately; one draw for both has the same distribution.
    """
    draws = torch.rand(n, generator=generator)
    if gamma != 1.0:
        off = 2 * draws - 1
        draws = 0.5 + 0.5 * off.sign() * off.abs() ** gamma
    return bounds[0] + (bounds[1] - bounds[0]) * draws


def _sample_azimuth(settings: CameraSettings, generator: torch.Generator) -> Tensor:
    """[C] radians in -pi..pi."""
    n = settings.batch
    if settings.azimuth == "even":
        offset = torch.rand(1, generator=generator) * (2 * math.pi)
        azimuth = offset + torch.arange(n) * (2 * math.pi / n)
    else:
        azimuth = torch.deg2rad(_uniform(n, settings.azimuth_deg, generator, settings.gamma))
    return torch.remainder(azimuth + math.pi, 2 * math.pi) - math.pi


def _sample_elevation(settings: CameraSettings, generator: torch.Generator) -> Tensor:
    """[C] radians; mostly in the usual range, now and then above it."""
    n, (low, high) = settings.batch, settings.elevation_deg
    usual = _uniform(n, (low, high), generator, settings.gamma)
    above = _uniform(n, (high, max(high, settings.high_elevation_deg)), generator)
    is_above = torch.rand(n, generator=generator) < settings.high_probability
    return torch.deg2rad(torch.where(is_above, above, usual))
