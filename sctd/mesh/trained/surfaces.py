"""The two kinds of surface that are optimised, as the trainer sees them: parameters in, triangles out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from sctd.config.surface import SurfaceSettings
from sctd.mesh.trained.grid import SAFE, tet_grid
from sctd.mesh.trained.normals import edges_of, neighbouring_faces
from sctd.mesh.trained.precondition import Preconditioner
from sctd.mesh.trained.regularisers import laplacian, normal_consistency
from sctd.mesh.trained.tetrahedra import marching_tetrahedra


class Shape(NamedTuple):
    """Triangles of one moment."""

    vertices: Tensor
    """[V, 3], world units, differentiable."""
    faces: Tensor
    """[F, 3] int64, counter-clockwise seen from outside."""


class Surface(Protocol):
    """A surface made of named tensors, on one device."""

    parameters: dict[str, Tensor]
    """Those that are optimised, leaves with gradient, contiguous."""
    fixed: dict[str, Tensor]
    """Those that define it beside them."""

    def shape(self) -> Shape:
        """Its triangles now."""
        ...

    def roughness(self, shape: Shape) -> Tensor:
        """Scalars [2] without unit: mean of 1 - cosine between neighbouring faces; the Laplacian's square."""
        ...

    def keep_in_bounds(self) -> None:
        """Correct the parameters after a step."""
        ...


class TetrahedralSurface:
    """Where a function on a grid of tetrahedra is zero. Its topology may change.

    Parameters: "distance" [P], world units, below 0 inside; "offsets" [P, 3], how far points are moved, in
    shares of what they may. Fixed: "box" [2, 3] and "step" of the grid, float64.
    """

    def __init__(self, tensors: Mapping[str, Tensor], settings: SurfaceSettings) -> None:
        """``tensors``: parameters and fixed ones, as above."""
        device = tensors["distance"].device
        self.fixed = {name: tensors[name].double() for name in ("box", "step")}
        self.parameters = _leaves(tensors, ("distance", "offsets"))
        low, high = self.fixed["box"]
        self.grid = tet_grid(low, high, float(self.fixed["step"])).to(device)
        self._edges = self.grid.edges() if settings.laplacian else self.grid.tetrahedra[:0, :2]
        self.keep_in_bounds()

    def shape(self) -> Shape:
        """See :class:`Surface`."""
        offsets = self.parameters["offsets"]
        reach = SAFE * self.grid.step / (1 + offsets.square().sum(1, keepdim=True)).sqrt()
        points = self.grid.points + reach * offsets
        found = marching_tetrahedra(points, self.parameters["distance"], self.grid.tetrahedra)
        return Shape(found.vertices, found.faces)

    def roughness(self, shape: Shape) -> Tensor:
        """See :class:`Surface`: the Laplacian is that of the distances, in steps of the grid."""
        normals = normal_consistency(*shape, neighbouring_faces(shape.faces))
        distance = self.parameters["distance"][:, None] / self.grid.step
        return torch.stack((normals, laplacian(distance, self._edges)))

    @torch.no_grad()
    def keep_in_bounds(self) -> None:
        """The border of the grid stays outside, so that the surface is closed."""
        distance = self.parameters["distance"]
        distance.copy_(torch.where(self.grid.border, distance.clamp_min(self.grid.step / 100), distance))


class TriangleSurface:
    """Triangles that are given; their vertices move together (:class:`Preconditioner`).

    Parameters: "vertices" [V, 3], world units, multiplied by the preconditioner's matrix. Fixed: "faces",
    and "edge", the mean length of their edges at first, world units.
    """

    def __init__(self, tensors: Mapping[str, Tensor], settings: SurfaceSettings) -> None:
        """``tensors``: parameters and fixed ones, as above."""
        self.fixed = {"faces": tensors["faces"].long(), "edge": tensors["edge"]}
        self.parameters = _leaves(tensors, ("vertices",))
        faces = self.fixed["faces"]
        self._edges, self._pairs = edges_of(faces), neighbouring_faces(faces)
        self._smooth = Preconditioner(self._edges, len(tensors["vertices"]), settings.stiffness)

    def shape(self) -> Shape:
        """See :class:`Surface`."""
        return Shape(self._smooth.solved(self.parameters["vertices"]), self.fixed["faces"])

    def roughness(self, shape: Shape) -> Tensor:
        """See :class:`Surface`: the Laplacian is that of the vertices, in mean edges."""
        normals = normal_consistency(*shape, self._pairs)
        return torch.stack((normals, laplacian(shape.vertices / self.fixed["edge"], self._edges)))

    def keep_in_bounds(self) -> None:
        """Vertices may be anywhere."""


def triangle_tensors(vertices: Tensor, faces: Tensor, settings: SurfaceSettings) -> dict[str, Tensor]:
    """What a :class:`TriangleSurface` with its vertices [V, 3] there is made of."""
    edges = edges_of(faces)
    moved = Preconditioner(edges, len(vertices), settings.stiffness).multiplied(vertices)
    edge = vertices[edges].diff(dim=1).norm(dim=2).mean()
    return {"vertices": moved, "faces": faces, "edge": edge}


def _leaves(tensors: Mapping[str, Tensor], names: tuple[str, ...]) -> dict[str, Tensor]:
    return {name: tensors[name].detach().float().clone().contiguous().requires_grad_() for name in names}


SURFACES: dict[str, Callable[[Mapping[str, Tensor], SurfaceSettings], Surface]] = {
    "tetrahedra": TetrahedralSurface,
    "triangles": TriangleSurface,
}
"""By ``surface.kind``: what makes a surface of its tensors."""
