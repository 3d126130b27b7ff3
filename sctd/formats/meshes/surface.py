"""Coloured triangles, as files of meshes hold them, and as commands show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from sctd.errors import InputError
from sctd.formats.axes import Up
from sctd.formats.meshes.texture import Texture
from sctd.triangle_mesh import Mesh

FARTHEST = 1e30
"""Limit of a coordinate: areas are its square, and a run stores it in float32."""


@dataclass(frozen=True)
class Layer:
    """A texture and its coordinates at the vertices."""

    texture: Texture
    uvs: Tensor
    """Coordinates of the vertices, [V, 2], from the upper left corner of the texture."""

    def __post_init__(self) -> None:
        if not bool(torch.isfinite(self.uvs).all()):
            raise InputError("some texture coordinates are not finite")

    def at(self, faces: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Linear colours [n, 3] and opacities [n] in faces [n, 3] at barycentric weights [n, 3]."""
        return self.texture.at(mixed(self.uvs, faces, weights))


@dataclass(frozen=True)
class Glow:
    """Light that a surface emits, added to its colour."""

    color: Tensor
    """[3], linear."""
    layer: Layer | None = None
    """A texture to multiply it with."""


@dataclass(frozen=True)
class Opacity:
    """The opacity of a surface; a surface without this is opaque."""

    levels: Tensor
    """At the vertices, [V], 0..1."""
    layer: Layer | None = None
    """A texture whose opacity multiplies them."""
    cutoff: float | None = None
    """Points exist where the opacity is at least this; None: the opacity is the share of points."""

    @property
    def nothing_shows(self) -> bool:
        top = float(self.levels.max()) if len(self.levels) else 0.0
        return top <= 0 if self.cutoff is None else top < self.cutoff

    def at(self, faces: Tensor, weights: Tensor) -> Tensor:
        """Opacities [n] in faces [n, 3] at barycentric weights [n, 3]."""
        levels = mixed(self.levels[:, None], faces, weights)[:, 0]
        return levels if self.layer is None else levels * self.layer.at(faces, weights)[1]


@dataclass(frozen=True)
class Surface:
    """Triangles of one material. Colours are linear light, as glTF defines them, until points are drawn."""

    vertices: Tensor
    """[V, 3], float64, world axes."""
    faces: Tensor
    """Rows of ``vertices``, [F, 3], int64."""
    colors: Tensor
    """Colours at the vertices, [V, 3], linear, 0..1; they multiply the texture."""
    texture: Layer | None = None
    glow: Glow | None = None
    opacity: Opacity | None = None

    def __post_init__(self) -> None:
        if not bool(torch.isfinite(self.vertices).all()):
            raise InputError("some vertices are not finite")
        if self.vertices.numel() and float(self.vertices.abs().max()) > FARTHEST:
            raise InputError(f"some vertices are farther than {FARTHEST:.0e} away; export it smaller")
        glow = () if self.glow is None else (self.glow.color,)
        levels = () if self.opacity is None else (self.opacity.levels,)
        if not all(bool(torch.isfinite(values).all()) for values in (self.colors, *glow, *levels)):
            raise InputError("some colours are not finite")
        count, named = len(self.vertices), self.faces
        if named.numel() and not 0 <= int(named.min()) <= int(named.max()) < count:
            raise InputError(f"a face names a vertex that is not there; there are {count}")

    def triangles(self) -> Tensor:
        """Corners, [F, 3, 3]."""
        return self.vertices[self.faces]

    def colors_at(self, faces: Tensor, weights: Tensor) -> Tensor:
        """Linear colours [n, 3] in faces [n, 3] at barycentric weights [n, 3].

        Of the vertices times the texture, plus the glow, which may be above 1.
        """
        colors = mixed(self.colors, faces, weights)
        if self.texture is not None:
            colors = colors * self.texture.at(faces, weights)[0]
        if self.glow is not None:
            layer = self.glow.layer
            light = self.glow.color.double()
            colors = colors + (light if layer is None else light * layer.at(faces, weights)[0])
        return colors


@dataclass(frozen=True, eq=False)
class Triangles:
    """What a file of a mesh shows, y up: beside Gaussians the other kind of asset."""

    surfaces: tuple[Surface, ...]
    """At least one, with a triangle each."""

    def __len__(self) -> int:
        return sum(len(surface.faces) for surface in self.surfaces)

    @property
    def corners(self) -> Tensor:
        """Of every triangle, [3 F, 3], float64, world units."""
        return torch.cat([surface.triangles().reshape(-1, 3) for surface in self.surfaces])

    @classmethod
    def of_mesh(cls, mesh: Mesh) -> Triangles:
        """A mesh with one picture on it, as a file of it is read."""
        opaque = np.full((*mesh.texture.shape[:2], 1), 255, np.uint8)
        pixels = torch.from_numpy(np.concatenate((mesh.texture, opaque), axis=2))
        layer = Layer(Texture(pixels, ("clamp", "clamp")), torch.from_numpy(mesh.uvs).double())
        vertices = torch.from_numpy(mesh.vertices).double()
        return cls(
            (Surface(vertices, torch.from_numpy(mesh.faces).long(), torch.ones_like(vertices), layer),)
        )


def mixed(values: Tensor, faces: Tensor, weights: Tensor) -> Tensor:
    """Values at the vertices, [V, k], interpolated in faces [n, 3] at weights [n, 3]: [n, k]."""
    a, b, c = (weights[:, k, None] * values[faces[:, k]].double() for k in range(3))
    return a + b + c


_QUARTER_TURNS: dict[Up, int] = {"y": 0, "z": 1, "-y": 2}
"""Of (x, y, z) => (x, z, -y), from the axis that is up to ours."""


def points_y_up(points: Tensor, up: Up | None) -> Tensor:
    """Points [n, 3] turned so that the axis ``up`` of theirs becomes y; None: it is y."""
    for _ in range(_QUARTER_TURNS[up or "y"]):
        points = points[:, [0, 2, 1]] * points.new_tensor([1, 1, -1])
    return points


def y_up(surfaces: Sequence[Surface], up: Up | None) -> list[Surface]:
    """Surfaces turned as :func:`points_y_up` turns points."""
    return [replace(surface, vertices=points_y_up(surface.vertices, up)) for surface in surfaces]
