"""Step 2 of 4: the surface that the views agree on, as triangles."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sctd.errors import InputError
from sctd.mesh.views import Box, Views
from sctd.ops.fusion import Grid, fuse_depth

REACH = 4.0
"""Steps of the grid to which distances are cut: where walls are thinner, both sides disturb each other."""
MARGIN = 2
"""Points of the grid beyond the box on each side."""

Vertices = NDArray[np.float64]
Faces = NDArray[np.int32]


class Field(NamedTuple):
    """Signed distances on a grid, cut to REACH steps."""

    distance: NDArray[np.float32]
    """[x, y, z], world units, below 0 inside; the border is outside."""
    origin: NDArray[np.float64]
    """Of the first point, [3], world units."""
    step: float


def distances(views: Views, box: Box, resolution: int) -> Field:
    """What the views tell of every point of a grid round the box.

    Args:
        resolution: points of the grid along the longest side of the box.

    Raises:
        InputError: nowhere is the object opaque enough to have a surface.
    """
    extent = (box.high - box.low).numpy()
    step = float(extent.max()) / (resolution - 1)
    size = [int(np.ceil(side / step)) + 1 + 2 * MARGIN for side in extent]
    origin = box.centre.numpy() - step * (np.array(size) - 1) / 2
    cameras = views.cameras
    distance = fuse_depth(
        views.depth,
        views.alpha,
        cameras.viewmats,
        cameras.Ks,
        Grid(size, origin.tolist(), step),
        reach=REACH * step,
    ).numpy()
    for axis in range(3):  # closed at the border of the grid, whatever reaches it
        outside = np.moveaxis(distance, axis, 0)
        outside[[0, -1]] = np.maximum(outside[[0, -1]], step)
    if distance.min() >= 0:
        raise InputError(
            "no mesh can be made: the object is nowhere opaque enough to have a surface, "
            f"it covers {float(views.alpha.max()):.0%} of a pixel at most"
        )
    return Field(distance, origin, step)


def surface_of(field: Field) -> tuple[Vertices, Faces]:
    """Where the distance is zero: vertices [V, 3] in world units, faces [F, 3] counter-clockwise from
    outside."""
    from skimage.measure import marching_cubes

    vertices, faces, _, _ = marching_cubes(field.distance, 0.0, allow_degenerate=False)
    return field.origin + field.step * vertices.astype(np.float64), faces.astype(np.int32)
