"""Which triangle covers which texel of a picture, and where in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

AT_ONCE = 1 << 21
"""Texels that are looked at together: it bounds the memory and changes nothing else."""


@dataclass(frozen=True)
class Texels:
    """T texels whose centres triangles cover."""

    index: NDArray[np.int64]
    """Row times the picture's width plus column, [T]."""
    face: NDArray[np.int64]
    """[T]"""
    weights: NDArray[np.float64]
    """Of the face's three corners, [T, 3]; their sum is 1."""

    def taken(self, which: NDArray[Any]) -> Texels:
        """Those of some rows, or of a mask."""
        return Texels(self.index[which], self.face[which], self.weights[which])


def covered_texels(corners: NDArray[np.floating], size: int) -> Texels:
    """The texels of a picture of size x size, in their order, that triangles [F, 3, 2] in uv cover.

    A texel on an edge goes to the triangle that comes first.
    """
    found = fragments(corners * size, size)
    _, first_of = np.unique(found.index, return_index=True)
    return found.taken(first_of)


def fragments(corners: NDArray[np.floating], size: int) -> Texels:
    """Every texel of every triangle [F, 3, 2] in texels, from the picture's upper left corner."""
    places = corners.astype(np.float64) - 0.5  # texel centres are whole numbers
    found = [_inside(places[first:last], first, size) for first, last in _pieces(places, size)]
    return Texels(
        np.concatenate([part.index for part in found]),
        np.concatenate([part.face for part in found]),
        np.concatenate([part.weights for part in found]),
    )


def _spans(places: NDArray[np.float64], size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first texel of each triangle's box and how many along x and y, [F, 2] each."""
    low = np.clip(np.ceil(places.min(axis=1)), 0, size - 1).astype(np.int64)
    high = np.clip(np.floor(places.max(axis=1)), -1, size - 1).astype(np.int64)
    return low, np.maximum(high - low + 1, 0)


def _pieces(places: NDArray[np.float64], size: int) -> Iterator[tuple[int, int]]:
    """Ranges of triangles whose boxes hold about AT_ONCE texels together."""
    done = np.cumsum(_spans(places, size)[1].prod(axis=1))
    ends = np.searchsorted(done, np.arange(AT_ONCE, int(done[-1]) + AT_ONCE, AT_ONCE), side="right")
    first = 0
    for last in np.unique(np.append(ends, len(places))).tolist():
        if last > first:
            yield first, last
        first = last


def _inside(places: NDArray[np.float64], first: int, size: int) -> Texels:
    low, counts = _spans(places, size)
    total = counts.prod(axis=1)
    face = np.repeat(np.arange(len(places)), total)
    nth = np.arange(len(face)) - np.repeat(np.cumsum(total) - total, total)
    wide = np.maximum(counts[face, 0], 1)
    x, y = low[face, 0] + nth % wide, low[face, 1] + nth // wide
    a, b, c = (places[face, i] for i in range(3))

    def twice_area(p: NDArray[np.float64], q: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of the triangle p, q, texel; positive on one side."""
        area: NDArray[np.float64] = (q[:, 0] - p[:, 0]) * (y - p[:, 1]) - (q[:, 1] - p[:, 1]) * (x - p[:, 0])
        return area

    shares = np.stack((twice_area(b, c), twice_area(c, a), twice_area(a, b)), axis=1)
    whole = shares.sum(axis=1, keepdims=True)
    weights = np.divide(shares, whole, out=np.full_like(shares, -1), where=whole != 0)
    inside = (weights >= 0).all(axis=1)
    return Texels(y * size + x, face + first, weights).taken(inside)
