"""Directions of a surface, differentiable, and the neighbours among its faces and vertices."""

from __future__ import annotations

import torch
from torch import Tensor


def unit(vectors: Tensor) -> Tensor:
    """[..., 3] at length 1; where there is no length the vector is 0, and so is its gradient."""
    square = vectors.square().sum(-1, keepdim=True)
    there = square > 0
    length = torch.where(there, square, 1.0).sqrt()
    found: Tensor = torch.where(there, vectors / length, 0.0)
    return found


def face_crosses(vertices: Tensor, faces: Tensor) -> Tensor:
    """[F, 3]: outwards from faces that turn counter-clockwise, as long as twice the face's area.

    Args:
        vertices: [V, 3].
        faces: [F, 3] int64.
    """
    a, b, c = vertices[faces].unbind(1)
    crosses: Tensor = torch.linalg.cross(b - a, c - a)
    return crosses


def face_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """[F, 3] of length 1; 0 for faces without area."""
    return unit(face_crosses(vertices, faces))


def vertex_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """[V, 3] of length 1: the mean of the faces around by their areas; 0 where there are none."""
    crosses = face_crosses(vertices, faces)
    sums = torch.zeros_like(vertices)
    for corner in faces.unbind(1):
        sums = sums.index_add(0, corner, crosses)
    return unit(sums)


def edges_of(faces: Tensor) -> Tensor:
    """Edges of a mesh [F, 3], each once, the lower vertex first: [E, 2] int64."""
    return distinct(_sides(faces))


def neighbouring_faces(faces: Tensor) -> Tensor:
    """Pairs of faces that meet along an edge which no third one has, [N, 2] int64."""
    ends = _sides(faces)
    keys = ends[:, 0] * (ends.amax() + 1 if len(ends) else 1) + ends[:, 1]
    ordered, order = torch.sort(keys, stable=True)
    begins = torch.ones(len(keys) + 1, dtype=torch.bool, device=keys.device)
    begins[1:-1] = ordered[1:] != ordered[:-1]
    first = torch.nonzero(begins)[:, 0]
    first = first[:-1][first.diff() == 2]
    return torch.stack((order[first], order[first + 1]), dim=1) // 3


def distinct(pairs: Tensor) -> Tensor:
    """Pairs of numbers [N, 2] of any order, each once, ordered, the lower number first: [E, 2] int64."""
    low, high = pairs.amin(1), pairs.amax(1)
    count = int(high.amax()) + 1 if len(high) else 1
    keys = torch.unique(low * count + high)
    return torch.stack((keys // count, keys % count), dim=1)


def _sides(faces: Tensor) -> Tensor:
    """The three sides of each face, face by face, the lower vertex first, [3 F, 2]."""
    ends = torch.stack((faces, faces.roll(-1, 1)), dim=2).reshape(-1, 2)
    return torch.stack((ends.amin(1), ends.amax(1)), dim=1)
