"""Pictures of the rich world: in light, or as normal and albedo maps."""

from __future__ import annotations

import torch
from torch import Tensor

from sctd.cameras import Viewpoints
from sctd.embedded.pictures import Poses, camera_matrices
from sctd.embedded.worlds.rich.figures import sculpture_of
from sctd.embedded.worlds.rich.sculpture import trace
from sctd.embedded.worlds.rich.subjects import Subject


def maps_of(subject: Subject, cameras: Viewpoints, size: int) -> Tensor:
    """Light, albedo and normal, each RGB or xyz times coverage, and coverage, float32 [n, 10, size, size]."""
    poses = Poses(cameras.azimuth, cameras.elevation, cameras.radius, cameras.fovy)
    return torch.from_numpy(trace(sculpture_of(subject).fitted(), *camera_matrices(poses, size), size))


def picture_of(subject: Subject, cameras: Viewpoints, size: int) -> tuple[Tensor, Tensor]:
    """The subject from these cameras: pictures [n, 3, size, size] over their backgrounds and coverage [n,
    size, size], 0..1.

    A normal map shows unit normals in the object's axes as (n + 1) / 2, the same from every side.
    """
    maps = maps_of(subject, cameras, size)
    cover = maps[:, 9:]
    if subject.map == "normal":
        seen = (maps[:, 6:9] + cover) / 2
    else:
        seen = maps[:, 3:6] if subject.map == "albedo" else maps[:, :3]
    image = seen + (1 - cover) * cameras.background[..., None, None]
    return image.clamp(0, 1), cover[:, 0]
