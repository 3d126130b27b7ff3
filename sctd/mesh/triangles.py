"""Step 3 of 4: the largest piece of the surface, smoothed, with fewer triangles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from sctd.mesh.surface import Faces, Vertices
from sctd.mesh.trained import normals

SMOOTHING = ((0.5, -0.53),) * 4
"""Steps towards the neighbours' mean and back: the second one keeps the size (Taubin 1995)."""
HASTE = 5.0
"""How soon the merging accepts large errors; higher values pinch more sheets together."""


@dataclass(frozen=True)
class Dropped:
    """The pieces beside the largest one."""

    pieces: int
    area: float
    """Share of all, 0..1."""


def largest_piece(vertices: Vertices, faces: Faces) -> tuple[Vertices, Faces, Dropped]:
    """The connected piece of the largest area, and what was dropped for it."""
    rows, columns = faces.ravel(), np.roll(faces, 1, axis=1).ravel()
    links = sparse.coo_array((np.ones(len(rows), np.int8), (rows, columns)), shape=(len(vertices),) * 2)
    count, piece = sparse.csgraph.connected_components(links, directed=False)
    areas = np.bincount(piece[faces[:, 0]], triangle_areas(vertices, faces), minlength=count)
    kept = int(areas.argmax())
    there = areas > 0  # vertices that no face has are pieces without an area
    dropped = Dropped(int(there.sum()) - 1, 1 - float(areas[kept] / areas.sum()))
    return *compact(vertices, faces[piece[faces[:, 0]] == kept]), dropped


def compact(vertices: Vertices, faces: Faces) -> tuple[Vertices, Faces]:
    """The mesh without the vertices that no face uses."""
    used, renamed = np.unique(faces, return_inverse=True)
    return vertices[used], renamed.reshape(faces.shape).astype(np.int32)


def smoothed(vertices: Vertices, faces: Faces) -> Vertices:
    """The surface without the steps of the grid; smoothing does not shrink it.

    Source: Taubin 1995, "A Signal Processing Approach to Fair Surface Design", with equal weights.
    """
    rows, columns = faces.ravel(), np.roll(faces, 1, axis=1).ravel()
    ones = np.ones(2 * len(rows))
    ends = (np.concatenate((rows, columns)), np.concatenate((columns, rows)))
    links = sparse.coo_array((ones, ends), shape=(len(vertices),) * 2).tocsr()
    links.data[:] = 1  # an edge comes from two faces
    degree = links.sum(axis=1)[:, None]
    for pair in SMOOTHING:
        for share in pair:
            vertices = vertices + share * (links @ vertices / degree - vertices)
    return vertices


def decimated(vertices: Vertices, faces: Faces, count: int) -> tuple[Vertices, Faces]:
    """At most about ``count`` faces, merged where that changes the shape least (quadric error metrics)."""
    if len(faces) <= count:
        return vertices, faces
    import fast_simplification

    points, triangles = fast_simplification.simplify(
        vertices.astype(np.float32), faces, target_count=count, agg=HASTE
    )
    return unpinched(points.astype(np.float64), np.asarray(triangles, np.int32))


def unpinched(vertices: Vertices, faces: Faces) -> tuple[Vertices, Faces]:
    """The same surface, with sheets separated that merely touch.

    Merging edges leaves pairs of faces back to back, and edges where two sheets of two faces each meet. The
    pairs are removed. Each vertex on such an edge is copied for every fan of faces round it.
    """
    _, leaf, times = np.unique(np.sort(faces, axis=1), axis=0, return_inverse=True, return_counts=True)
    faces = faces[times[leaf.reshape(-1)] == 1]
    # Corner i of all faces, in their order, is the start of half-edge i; the corner behind it is its end.
    corner = np.arange(faces.size)
    behind = np.roll(corner.reshape(faces.shape), -1, axis=1).ravel()
    start, end = faces.ravel().astype(np.int64), faces.ravel()[behind].astype(np.int64)
    edge = np.minimum(start, end) * (int(faces.max()) + 1) + np.maximum(start, end)
    _, edge, sides = np.unique(edge, return_inverse=True, return_counts=True)
    paired = np.flatnonzero(sides[edge.reshape(-1)] == 2)
    one, other = paired[np.argsort(edge.reshape(-1)[paired], kind="stable")].reshape(-1, 2).T
    ends = np.concatenate((one, behind[one])), np.concatenate((behind[other], other))
    links = sparse.coo_array((np.ones(len(ends[0]), np.int8), ends), shape=(faces.size,) * 2)
    _, fan = sparse.csgraph.connected_components(links, directed=False)
    _, first = np.unique(fan, return_index=True)
    return vertices[start[first]], fan.reshape(faces.shape).astype(np.int32)


def triangle_areas(vertices: Vertices, faces: Faces) -> NDArray[np.float64]:
    """[F], world units squared."""
    crosses = normals.face_crosses(*_tensors(vertices, faces))
    areas: NDArray[np.float64] = (crosses.norm(dim=1) / 2).numpy()
    return areas


def vertex_normals(vertices: Vertices, faces: Faces) -> Vertices:
    """Of length 1, [V, 3]: the mean of the faces around, by their areas; upwards where they have none."""
    found = normals.vertex_normals(*_tensors(vertices, faces)).numpy()
    return np.where(found.any(axis=1, keepdims=True), found, [0.0, 1.0, 0.0])


def open_edges(faces: Faces) -> int:
    """Edges that are not shared by exactly two faces of one orientation; 0: the mesh is watertight."""
    starts, ends = faces.ravel().astype(np.int64), np.roll(faces, -1, axis=1).ravel().astype(np.int64)
    base = int(faces.max()) + 1
    there, count = np.unique(starts * base + ends, return_counts=True)
    back = np.isin((there % base) * base + there // base, there)
    return int(((count != 1) | ~back).sum())


def _tensors(vertices: Vertices, faces: Faces) -> tuple[Tensor, Tensor]:
    """Copies where rows or columns run backwards, as marching cubes gives them; torch has no such tensors."""
    corners = torch.from_numpy(np.ascontiguousarray(faces, np.int64))
    return torch.from_numpy(np.ascontiguousarray(vertices)), corners
