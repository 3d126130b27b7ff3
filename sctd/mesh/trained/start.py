"""Gaussians => the surface and the colours that a mesh begins with."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from sctd.config.surface import SurfaceSettings
from sctd.gaussians import Gaussians
from sctd.mesh.surface import REACH, Faces, Field, Vertices, distances, surface_of
from sctd.mesh.texture import seen_colors
from sctd.mesh.trained.colored import ColoredMesh
from sctd.mesh.trained.colors import nearest_colors
from sctd.mesh.trained.grid import tet_grid
from sctd.mesh.trained.surfaces import triangle_tensors
from sctd.mesh.triangles import decimated, largest_piece, smoothed, vertex_normals
from sctd.mesh.views import box_of, cameras_round, look

FINER = 2
"""Points of the grid of distances along a step of the surface's own."""

Piece = tuple[Vertices, Faces]


def first_mesh(gaussians: Gaussians, settings: SurfaceSettings) -> ColoredMesh:
    """The largest piece of the surface that Gaussians show, on their device.

    Raises:
        InputError: there are none, a value is not finite, or nothing of it is opaque enough.
    """
    box, inside = box_of(gaussians)
    views = look(inside, cameras_round(box, settings.views, settings.view_size))
    field = _largest(distances(views, box, FINER * settings.resolution))
    vertices, faces, _ = largest_piece(*surface_of(field))
    vertices = smoothed(vertices, faces)
    places = torch.from_numpy(vertices).float()
    directions = torch.from_numpy(vertex_normals(vertices, faces)).float()
    colors, _ = seen_colors(places, directions, views, REACH * field.step)
    corners = torch.stack((box.low, box.high))
    grid = nearest_colors(places, colors / 255, corners, settings.color_resolution)
    tensors = TENSORS[settings.kind](field, corners, (vertices, faces), settings)
    return ColoredMesh(settings, tensors, grid).to(gaussians.means.device)


def _largest(field: Field) -> Field:
    """Without the pieces beside the one of the most points inside."""
    pieces, _ = ndimage.label(field.distance < 0)
    largest = np.bincount(pieces.ravel())[1:].argmax() + 1
    others = (pieces > 0) & (pieces != largest)
    return field._replace(distance=np.where(others, np.float32(field.step), field.distance))


def _of_tetrahedra(field: Field, box: Tensor, mesh: Piece, settings: SurfaceSettings) -> dict[str, Tensor]:
    """The distances at points of a grid that is coarser than the field's."""
    step = float((box[1] - box[0]).max()) / settings.resolution
    grid = tet_grid(box[0], box[1], step)
    at = (grid.points.double().numpy() - field.origin) / field.step
    found = ndimage.map_coordinates(field.distance, at.T, order=1, mode="nearest")
    return {
        "distance": torch.from_numpy(found).float(),
        "offsets": torch.zeros(len(found), 3),
        "box": box,
        "step": torch.tensor(step, dtype=torch.float64),
    }


def _of_triangles(field: Field, box: Tensor, mesh: Piece, settings: SurfaceSettings) -> dict[str, Tensor]:
    vertices, faces = decimated(*mesh, settings.faces)
    return triangle_tensors(torch.from_numpy(vertices).float(), torch.from_numpy(faces).long(), settings)


TENSORS: dict[str, Callable[[Field, Tensor, Piece, SurfaceSettings], dict[str, Tensor]]] = {
    "tetrahedra": _of_tetrahedra,
    "triangles": _of_triangles,
}
"""By ``surface.kind``: what :data:`sctd.mesh.trained.surfaces.SURFACES` makes the first surface of."""
