"""Nearest-neighbour distances, for the scales that Gaussians start with."""

from __future__ import annotations

import torch
from torch import Tensor

from sctd.errors import InputError
from sctd.ops._checks import check_same


@torch.no_grad()
def knn_mean_distance(points: Tensor, k: int = 3) -> Tensor:
    """Mean distance of each point to its k nearest others; the usual start for scales.

    A k-d tree on the CPU, O(N log N), once a run: CUDA tensors go there and back. Distances and their mean
    are taken in double precision and rounded once, so the result is the exact one in the points' dtype.

    Args:
        points: [N, 3], float32 or float64, finite.
        k: number of neighbours, 1 <= k < N.

    Returns:
        [N], units of ``points``, on their device.

    Raises:
        InputError: a shape or ``k`` does not fit, or a coordinate is not finite.

    Plain twin: :func:`sctd.ops.reference.knn_mean_distance`.
    """
    if points.dim() != 2 or points.shape[1] != 3:
        raise InputError(f"points must have shape [N, 3]; got {list(points.shape)}")
    check_same("points", points)
    count = points.shape[0]
    if not 1 <= k < count:
        raise InputError(f"k must be in 1..N-1, as a point has N-1 neighbours; got k={k} with N={count}")
    if not bool(torch.isfinite(points).all()):
        raise InputError("points must be finite; some coordinates are NaN or infinite")
    import numpy as np
    from scipy.spatial import cKDTree  # here: it takes longer to load than to run

    # Each place is asked for once: N points at one place, a leaf of the tree, would otherwise cost O(N^2).
    cloud = points.cpu().numpy()
    places, place_of = np.unique(cloud, axis=0, return_inverse=True)
    distances, _ = cKDTree(cloud, balanced_tree=False, compact_nodes=False).query(places, k + 1)
    # The nearest is the point itself or one at the same place: distance 0 either way.
    mean = distances[:, 1:].mean(axis=1)[place_of.reshape(-1)]
    return torch.from_numpy(mean).to(points)
