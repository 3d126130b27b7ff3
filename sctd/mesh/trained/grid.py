"""Tetrahedra that fill a box: the space in which a surface is sought.

The points are the corners and the centres of cubes (a body-centred cubic grid). The centres of two cubes that
share a square, and the two ends of one side of that square, make a tetrahedron. All of them have one shape,
without a preferred direction; their edges are as long as the cube's, or sqrt(3)/2 of it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sctd.mesh.trained.normals import distinct

MAX_POINTS = 50_000_000
SAFE = 0.25
"""Steps that every point may move, in any direction, before a tetrahedron can turn inside out: between two
opposite edges of length 1 lies half a step, the least width of a tetrahedron."""


@dataclass(frozen=True, eq=False)
class TetGrid:
    """Points and the tetrahedra between them."""

    points: Tensor
    """[P, 3], float32, world units."""
    tetrahedra: Tensor
    """[T, 4] int64, rows of ``points``. The last three corners turn counter-clockwise seen from the first:
    the determinant of the edges from the first corner is positive."""
    border: Tensor
    """[P] bool. A surface that has these outside is closed."""
    step: float
    """Edge of a cube, world units."""

    def to(self, device: torch.device | str) -> TetGrid:
        """The same on a device."""
        moved = {name: getattr(self, name).to(device) for name in ("points", "tetrahedra", "border")}
        return replace(self, **moved)

    def edges(self) -> Tensor:
        """[E, 2] int64, each once, the lower point first."""
        return distinct(self.tetrahedra[:, torch.combinations(torch.arange(4))].reshape(-1, 2))


def tet_grid(low: Tensor, high: Tensor, step: float) -> TetGrid:
    """Fill a box, and about a step more on each side, so that the border is outside of what the box holds.

    Args:
        low, high: opposite corners of the box, [3], world units.
        step: edge of a cube, world units.

    Raises:
        ValueError: the box has no extent, the step is not above 0, or there would be too many points.
    """
    extent = (high - low).double().cpu()
    if not bool((extent > 0).all() & extent.isfinite().all()) or not step > 0:
        raise ValueError(f"a grid needs a box and a step above 0; got {extent.tolist()} and {step}")
    cubes = torch.ceil(extent / step).long() + 2
    if int((cubes + 1).double().prod()) * 2 > MAX_POINTS:
        raise ValueError(f"a grid has at most {MAX_POINTS} points; got {cubes.tolist()} cubes")
    origin = (low + high).double().cpu() / 2 - step * cubes / 2
    corners, centres = _lattice(cubes + 1), _lattice(cubes)
    border = torch.cat([((at == 0) | (at == at.amax(0))).any(1) for at in (corners, centres)])
    points = origin + step * torch.cat((corners.double(), centres + 0.5))
    return TetGrid(points.float(), _tetrahedra(cubes), border, float(step))


def _lattice(size: Tensor) -> Tensor:
    """All whole places in a box of that many, [N, 3]; the last axis varies fastest."""
    return torch.cartesian_prod(*(torch.arange(int(n)) for n in size))


def _tetrahedra(cubes: Tensor) -> Tensor:
    """Corners are numbered first, then centres, both as :func:`_lattice` has them."""
    corners = int((cubes + 1).prod())

    def number(at: Tensor, size: Tensor) -> Tensor:
        return (at[..., 0] * size[1] + at[..., 1]) * size[2] + at[..., 2]

    found = []
    for axis in range(3):
        along, across, beyond = torch.eye(3, dtype=torch.long).roll(-axis, 0)
        one = _lattice(cubes - along)
        both = torch.stack((number(one, cubes), number(one + along, cubes)), dim=1) + corners
        # The sides of the square, counter-clockwise seen from the second cube.
        around = torch.stack((0 * along, across, across + beyond, beyond))
        square = number((one + along)[:, None] + around, cubes + 1)
        sides = torch.stack((square, square.roll(-1, 1)), dim=2)
        found.append(torch.cat((both[:, None].expand(-1, 4, -1), sides), dim=2).reshape(-1, 4))
    return torch.cat(found)
