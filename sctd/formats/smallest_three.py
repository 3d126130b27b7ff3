"""Rotations by their three smaller components, as compact formats store them.

A unit quaternion and its negative are the same rotation, so that the largest component can be made positive
and follows from the others, each at most sqrt(1/2). The components keep their order, wxyz or xyzw.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_OTHERS = np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])


def split(quats: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Unit quaternions [N, 4] => index of the largest component [N], the others [N, 3] within +-sqrt(.5)."""
    rows = np.arange(len(quats))
    index = np.abs(quats).argmax(axis=1)
    signs = np.where(quats[rows, index] < 0, -1.0, 1.0)
    return index, quats[rows[:, None], _OTHERS[index]] * signs[:, None]


def join(index: NDArray[np.int64], three: NDArray[np.float64]) -> NDArray[np.float64]:
    """The unit quaternions [N, 4] of :func:`split`'s argument, or their negatives.

    If rounding made the three longer than 1, the largest component becomes 0 and the length stays above 1.
    """
    rows = np.arange(len(index))
    quats = np.empty((len(index), 4))
    quats[rows[:, None], _OTHERS[index]] = three
    quats[rows, index] = np.sqrt(np.maximum(0.0, 1.0 - (three**2).sum(axis=1)))
    return quats
