"""Rotations between a file's axes and ours.

Files of Gaussians are y down by custom, because the first ones were made from COLMAP's scenes. Our axes are
y up. Half a turn about x converts between them; it is its own inverse and changes only signs:

    means  (x, y, z)    => (x, -y, -z), a product with X = diag(1, -1, -1)
    quats  (w, x, y, z) => (w, x, -y, -z), as X R diag(s)^2 R^T X = (X R X) diag(s)^2 (X R X)^T
    shN    a colour seen along d is now seen along X d: a harmonic that is odd in (y, z) changes its sign
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from sctd.gaussians import Gaussians

Up = Literal["y", "-y", "z"]
"""The axis of a file that points up: y (ours), -y (y down), z (its front at -y, as in Blender)."""

HALF_TURN_SH = (
    *(-1, -1, 1),  # y, z, x
    *(-1, 1, 1, -1, 1),  # xy, yz, 2zz - xx - yy, xz, xx - yy
    *(
        -1,
        1,
        -1,
        -1,
        1,
        -1,
        1,
    ),  # y(3xx - yy), xyz, y(4zz - ..), z(2zz - ..), x(4zz - ..), z(xx - yy), x(xx - 3yy)
)
"""Signs of the coefficients of degrees 1 to 3 under (x, y, z) => (x, -y, -z)."""


def half_turn(gaussians: Gaussians) -> Gaussians:
    """Turned by 180 degrees about x, exactly: y down => y up, and y up => y down."""
    signs = gaussians.means.new_tensor([1, -1, -1])
    return Gaussians(
        means=gaussians.means * signs,
        scales=gaussians.scales,
        quats=gaussians.quats * gaussians.quats.new_tensor([1, 1, -1, -1]),
        opacities=gaussians.opacities,
        sh0=gaussians.sh0,
        shN=gaussians.shN * gaussians.shN.new_tensor(HALF_TURN_SH[: gaussians.shN.shape[1]])[:, None],
    )


def to_y_up(gaussians: Gaussians, up: Up) -> Gaussians:
    """From a file's axes to ours."""
    if up == "y":
        return gaussians
    if up == "-y":
        return half_turn(gaussians)
    return _quarter_turn(gaussians)


def _quarter_turn(gaussians: Gaussians) -> Gaussians:
    """Turned by -90 degrees about x, (x, y, z) => (x, z, -y): z up => y up."""
    half = math.sqrt(0.5)
    w, x, y, z = gaussians.quats.unbind(1)
    quats = torch.stack((w + x, x - w, y + z, z - y), dim=1) * half  # (half, -half, 0, 0) times the rotation
    means = gaussians.means[:, [0, 2, 1]] * gaussians.means.new_tensor([1, 1, -1])
    turn = torch.tensor([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]], dtype=torch.float64)
    matrix = sh_rotation(turn, gaussians.sh_degree).to(gaussians.shN.dtype)
    return Gaussians(
        means=means,
        scales=gaussians.scales,
        quats=quats,
        opacities=gaussians.opacities,
        sh0=gaussians.sh0,
        shN=torch.einsum("ij,njc->nic", matrix, gaussians.shN),
    )


def sh_rotation(turn: Tensor, degree: int) -> Tensor:
    """The matrix of coefficients of degree 1.. for a rotation of the world, [K - 1, K - 1] float64.

    The rotated colour is the old one in the direction rotated back. A rotation maps the harmonics of a degree
    to each other, so at least as many directions as coefficients determine the matrix exactly.
    """
    from sctd.ops.reference_raster import sh_basis

    directions = torch.randn(64, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    directions = torch.nn.functional.normalize(directions, dim=1)
    new, old = (sh_basis(d, degree)[:, 1:] for d in (directions, directions @ turn))  # rows times turn: back
    solution: Tensor = torch.linalg.lstsq(new, old).solution
    return solution
