"""Pictures of the rich world: in light, or as normal and albedo maps."""

from __future__ import annotations

import torch
from torch import Tensor

from sctd.cameras import Viewpoints
from sctd.embedded.poses import Poses, camera_matrices
from sctd.embedded.worlds.rich.figures import sculpture_of
from sctd.embedded.worlds.rich.sculpture import trace
from sctd.embedded.worlds.rich.subjects import Subject


def traced(subject: Subject, poses: Poses, size: int) -> Tensor:
    """Light, albedo and normal, each RGB or xyz times coverage, and coverage, float32 [n, 10, size, size]."""
    return torch.from_numpy(trace(sculpture_of(subject).fitted(), *camera_matrices(poses, size), size))


def maps_of(subject: Subject, cameras: Viewpoints, size: int) -> Tensor:
    """As :func:`traced`."""
    return traced(subject, Poses(cameras.azimuth, cameras.elevation, cameras.radius, cameras.fovy), size)


def seen_as(name: str, maps: Tensor) -> Tensor:
    """What a picture or a map (a name of subjects.MAPS) shows, times coverage, [n, 3, size, size].

    A normal map shows unit normals in the object's axes as (n + 1) / 2, the same from every side.

    Args:
        maps: of :func:`traced`.
    """
    if name == "normal":
        return (maps[:, 6:9] + maps[:, 9:]) / 2
    return maps[:, 3:6] if name == "albedo" else maps[:, :3]


def over(seen: Tensor, coverage: Tensor, background: Tensor) -> Tensor:
    """What is seen times coverage [n, 3, H, W], over backgrounds [n, 3] where coverage [n, 1, H, W] leaves
    room; 0..1."""
    return (seen + (1 - coverage) * background[..., None, None]).clamp(0, 1)


def picture_of(subject: Subject, cameras: Viewpoints, size: int) -> tuple[Tensor, Tensor]:
    """The subject from these cameras: pictures [n, 3, size, size] over their backgrounds and coverage [n,
    size, size], 0..1."""
    maps = maps_of(subject, cameras, size)
    cover = maps[:, 9:]
    return over(seen_as(subject.map, maps), cover, cameras.background), cover[:, 0]
