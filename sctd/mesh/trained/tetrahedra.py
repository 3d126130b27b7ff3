"""Marching tetrahedra: the surface where a function on a grid of tetrahedra is zero, differentiable.

Shen et al. 2021, "Deep Marching Tetrahedra", section 3.1.2; Doi and Koide 1991. Each tetrahedron cuts off the
corner, or the pair of corners, that is on the other side. Its vertices lie on edges that neighbours share, so
a surface has no gaps; the table of 16 cases is made here from the order of a tetrahedron's corners.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from sctd.errors import InputError

_PAIRS = torch.combinations(torch.arange(4))
"""The corners of a tetrahedron's six edges, [6, 2]."""


class Crossing(NamedTuple):
    """Where a surface crosses a grid."""

    vertices: Tensor
    """[V, 3], differentiable in the grid's points and its values."""
    faces: Tensor
    """[F, 3] int64, counter-clockwise seen from outside."""
    ends: Tensor
    """[V, 2] int64: the points whose edge a vertex lies on, the lower one first."""
    share: Tensor
    """[V], 0..1: how far along that edge it lies; differentiable."""


def marching_tetrahedra(points: Tensor, distance: Tensor, tetrahedra: Tensor) -> Crossing:
    """The surface between the points where ``distance`` is below 0 (inside) and the others.

    It is closed where the border of the grid is outside. A value of exactly 0 is outside: vertices of
    several edges then lie on that point, and faces between them have no area. With all points on one side
    there are no vertices and no faces.

    Args:
        points: [P, 3], float32 or float64.
        distance: signed distances or any other function of that sign, [P], of the same dtype.
        tetrahedra: [T, 4] int64, all turning as :class:`sctd.mesh.trained.grid.TetGrid` says.

    Raises:
        InputError: a value is not finite.
    """
    bad = int((~distance.isfinite()).sum())
    if bad:
        raise InputError(f"a surface needs finite distances; {bad} of {len(distance)} are not")
    device = tetrahedra.device
    bits = torch.tensor([1, 2, 4, 8], device=device)
    cases = ((distance < 0)[tetrahedra] * bits).sum(1)
    crossed = torch.nonzero((cases > 0) & (cases < 15))[:, 0]
    edges = _TABLE.to(device)[cases[crossed]]
    tetrahedron, which = torch.nonzero(edges[..., 0] >= 0, as_tuple=True)
    corners = _PAIRS.to(device)[edges[tetrahedron, which]]
    pairs = tetrahedra[crossed[tetrahedron]][:, None].expand(-1, 3, -1).gather(2, corners)
    count = len(points)
    keys, faces = torch.unique(pairs.amin(2) * count + pairs.amax(2), return_inverse=True)
    ends = torch.stack((keys // count, keys % count), dim=1)
    first, second = distance[ends[:, 0]], distance[ends[:, 1]]
    share = first / (first - second)  # one is below 0 and the other is not
    return Crossing(
        torch.lerp(points[ends[:, 0]], points[ends[:, 1]], share[:, None]), faces.reshape(-1, 3), ends, share
    )


def _table() -> Tensor:
    """Up to two triangles of edges for each case, [16, 2, 3], -1 where there is none.

    Bit k of a case: corner k is inside. Corners are written inside first, as an even permutation of 0 to 3:
    then the places where the surface crosses, in the order below, turn counter-clockwise seen from outside.
    """
    number = {frozenset(pair): k for k, pair in enumerate(_PAIRS.tolist())}
    table = torch.full((16, 2, 3), -1)
    for case in range(1, 15):
        inside = [k for k in range(4) if case >> k & 1]
        outside = [k for k in range(4) if not case >> k & 1]
        if _odd(inside + outside):
            (outside if len(outside) > 1 else inside).reverse()
        ring = [(inside[0], k) for k in outside]
        if len(inside) > 1:
            ring += [(k, outside[-1]) for k in inside[1:]]
        if len(inside) == len(outside):
            ring += [(inside[1], outside[0])]
        edges = [number[frozenset(pair)] for pair in ring]
        table[case, 0] = torch.tensor(edges[:3])
        if len(edges) == 4:
            table[case, 1] = torch.tensor([edges[0], edges[2], edges[3]])
    return table


def _odd(order: list[int]) -> bool:
    """Whether an odd number of exchanges sorts it."""
    return sum(order[i] > order[j] for j in range(4) for i in range(j)) % 2 == 1


_TABLE = _table()
