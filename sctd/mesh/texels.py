"""Which triangle covers which texel of a picture, and where in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from sctd.ops.triangles import rasterize


@dataclass(frozen=True)
class Texels:
    """T texels whose centres triangles cover."""

    index: NDArray[np.int64]
    """Row times the picture's width plus column, [T], ascending."""
    face: NDArray[np.int64]
    """[T]"""
    weights: NDArray[np.float64]
    """Of the face's three corners, [T, 3]; their sum is 1."""


def covered_texels(uvs: NDArray[np.floating], faces: NDArray[np.integer], size: int) -> Texels:
    """The texels of a picture of size x size that triangles [F, 3] of places [V, 2], 0..1, cover.

    The rules are those of :func:`sctd.ops.triangles.rasterize`; what several triangles cover goes to the
    first of them.
    """
    flat = torch.from_numpy(uvs.astype(np.float64))
    ones = torch.ones(len(flat), 1, dtype=torch.float64)
    places = torch.cat((2 * flat - 1, 0 * ones, ones), dim=1)  # clip space, all equally far
    found = rasterize(places[None], torch.from_numpy(faces.astype(np.int32)), size, size)
    index = torch.nonzero(found.covered.flatten()).flatten()
    return Texels(
        index.numpy(),
        found.triangles.flatten()[index].long().numpy(),
        found.barycentrics.reshape(-1, 3)[index].numpy(),
    )
