"""Polygons => triangles that cover them and nothing else, concave ones too.

Where a fan from the first corner stays inside, as in every convex polygon, it is the result and needs only
numpy. Otherwise mapbox_earcut cuts the polygon as seen along its normal. A hole that a seam joins to the
corners is part of the polygon, as in files.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sctd.extras import need_earcut

_ROUNDING = 1e-9
"""Share of a polygon's area below which an area counts as zero."""


def triangulate(
    corners: NDArray[np.float64], sizes: NDArray[np.int64], crossing: Callable[[int], None]
) -> NDArray[np.int64]:
    """Triangles of many polygons.

    Args:
        corners: of all polygons, one after the other, [sum of sizes, 3], finite.
        sizes: corners of each, [P], at least 3.
        crossing: gets the number of each polygon that crosses itself, which becomes a fan.

    Returns:
        Rows of ``corners``, [T, 3].

    Raises:
        InputError: a polygon is concave and mapbox_earcut is not installed.
    """
    firsts = np.cumsum(sizes) - sizes
    triangles = [np.zeros((0, 3), np.int64)]
    for size in np.unique(sizes):
        polygons = np.flatnonzero(sizes == size)
        points = corners[firsts[polygons, None] + np.arange(size)]
        as_fans = _fans_stay_inside(points)
        for i in np.flatnonzero(~as_fans):
            ears = _ears(points[i])
            if ears is None:
                crossing(int(polygons[i]))
                as_fans[i] = True
            else:
                triangles.append(firsts[polygons[i]] + ears)
        steps = np.arange(1, size - 1)
        fan = np.stack([np.zeros_like(steps), steps, steps + 1], axis=1)
        triangles.append((firsts[polygons[as_fans], None, None] + fan).reshape(-1, 3))
    return np.concatenate(triangles)


def _doubled_areas(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Area vectors of the triangles of fans from the first corners: points [P, n, 3] => [P, n - 2, 3]."""
    arms = points[:, 1:] - points[:, :1]
    crossed: NDArray[np.float64] = np.cross(arms[:, :-1], arms[:, 1:])
    return crossed


def _fans_stay_inside(points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether no triangle of a fan is turned over, which covers a polygon that does not cross itself.

    A fan without any area counts as covering too.
    """
    areas = _doubled_areas(points)
    whole = areas.sum(1)  # the normal after Newell, twice as long as the area
    along = np.einsum("pti,pi->pt", areas, whole)
    squares = np.square(areas).sum((1, 2))
    extent = np.square(points - points[:, :1]).sum(2).max(1)
    turned = (along < -_ROUNDING * squares[:, None]).any(1) | (along.sum(1) <= _ROUNDING * squares)
    right: NDArray[np.bool_] = (squares <= (1e-12 * extent) ** 2) | ~turned
    return right


def _ears(points: NDArray[np.float64]) -> NDArray[np.int64] | None:
    """Triangles of one polygon [n, 3] that cover its area; None where it crosses itself."""
    need_earcut("a concave polygon")
    from mapbox_earcut import triangulate_float64

    areas = _doubled_areas(points[None])[0]
    whole = areas.sum(0)
    length = float(np.linalg.norm(whole))
    if length <= _ROUNDING * float(np.abs(areas).sum()):
        return None
    normal = whole / length
    helper = np.eye(3)[np.abs(normal).argmin()]
    right = np.cross(helper, normal)
    right /= np.linalg.norm(right)
    flat = (points - points[0]) @ np.stack([right, np.cross(normal, right)]).T
    found = triangulate_float64(np.ascontiguousarray(flat), np.array([len(flat)], np.uint32))
    cut = np.asarray(found, np.int64).reshape(-1, 3)
    sides = flat[cut[:, 1:]] - flat[cut[:, :1]]
    covered = np.abs(sides[:, 0, 0] * sides[:, 1, 1] - sides[:, 0, 1] * sides[:, 1, 0]).sum()
    return cut if abs(covered - length) <= 1e-6 * length else None
