"""What the samples of a picture that a triangle covers look like: by ``surface.shown``."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from sctd.cameras import CameraBatch
from sctd.machine import transfer
from sctd.mesh.trained.colors import ColorGrid
from sctd.mesh.trained.light import shaded
from sctd.mesh.trained.normals import unit, vertex_normals
from sctd.mesh.trained.surfaces import Shape


class Paint(NamedTuple):
    """How the samples that a triangle covers get their colours."""

    carried: Tensor
    """What vertices carry and faces interpolate, [V, D], or [C, V, D] for each camera its own."""
    color: Callable[[Tensor], Tensor]
    """From that at N samples, [N, D], to their colours, [N, 3], 0..1."""


def unlit(shape: Shape, colors: ColorGrid, cameras: CameraBatch) -> Paint:
    """The colours as they are, without light."""
    return Paint(shape.vertices, lambda places: colors.at(places)[:, :3])


def normal_map(shape: Shape, colors: ColorGrid, cameras: CameraBatch) -> Paint:
    """Normals as colours: red, green, blue = (1 + x, 1 + y, 1 + z) / 2, as each camera sees them.

    x points to the right of the picture, y up and z towards the camera: what faces the camera is
    (0.5, 0.5, 1). Vertices have the mean of their faces' normals by area, samples that of their face's
    vertices at length 1. They are those of the side that is outside, also where a camera sees the inside.
    """
    axes = _UPRIGHT[:, None] * cameras.viewmats[:, :3, :3]
    turned = transfer.to_device(axes, shape.vertices.device)
    carried = vertex_normals(shape.vertices, shape.faces) @ turned.transpose(1, 2)
    return Paint(carried, lambda seen: (1 + unit(seen)) / 2)


def lit(shape: Shape, colors: ColorGrid, cameras: CameraBatch) -> Paint:
    """The material of the places in the light of :func:`sctd.mesh.trained.light.sky`."""
    turns, moves = cameras.viewmats[:, :3, :3], cameras.viewmats[:, :3, 3:]
    eyes = transfer.to_device(-(turns.transpose(1, 2) @ moves)[:, None, :, 0], shape.vertices.device)
    places, normals = shape.vertices, vertex_normals(shape.vertices, shape.faces)
    both = torch.cat((places, normals), dim=1).expand(len(eyes), -1, -1)
    carried = torch.cat((both, eyes - places), dim=2)
    return Paint(carried, lambda seen: shaded(colors.at(seen[:, :3]), seen[:, 3:6], seen[:, 6:]))


PAINTS: dict[str, Callable[[Shape, ColorGrid, CameraBatch], Paint]] = {
    "colors": unlit,
    "normals": normal_map,
    "material": lit,
}
"""By ``surface.shown``, for cameras on the CPU. A material's first three channels are colours."""

_UPRIGHT = torch.tensor([1.0, -1.0, -1.0])
"""From the cameras' axes, whose y points down and z away, to those of a normal map."""
