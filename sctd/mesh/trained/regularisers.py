"""What keeps a surface smooth: losses on its normals, its vertices, or the function that is zero on it."""

from __future__ import annotations

import torch
from torch import Tensor

from sctd.mesh.trained.normals import face_normals


def normal_consistency(vertices: Tensor, faces: Tensor, pairs: Tensor) -> Tensor:
    """Mean of 1 - cosine between the normals of faces that meet along an edge; a scalar, 0..2, 0 when flat.

    Args:
        vertices: [V, 3].
        faces: [F, 3] int64.
        pairs: of :func:`sctd.mesh.trained.normals.neighbouring_faces`, [N, 2]; 0 of them give 0.
    """
    one, other = face_normals(vertices, faces)[pairs].unbind(1)
    return (1 - (one * other).sum(1)).sum() / max(len(pairs), 1)


def laplacian(values: Tensor, edges: Tensor) -> Tensor:
    """Mean squared distance of each row from the mean of its neighbours; a scalar.

    Of vertices it makes them even and the surface smooth. Of the signed distances of a grid, [P, 1], it is
    the smoothness of the function, also where no surface is yet.

    Args:
        values: [N, D].
        edges: [E, 2] int64, each once. Rows without an edge count as in their place.
    """
    one, other = edges.unbind(1)
    ones = torch.ones_like(one, dtype=values.dtype)
    degree = values.new_zeros(len(values)).index_add(0, one, ones).index_add(0, other, ones)
    sums = torch.zeros_like(values).index_add(0, one, values[other]).index_add(0, other, values[one])
    off = torch.where(degree[:, None] > 0, values - sums / degree.clamp_min(1)[:, None], 0)
    return off.square().sum(1).mean()
