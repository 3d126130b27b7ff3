"""Pictures of depth and coverage from all round an object => a grid of signed distances to its surface."""

from __future__ import annotations

import torch
from torch import Tensor

from sctd.errors import InputError
from sctd.ops import reference_fusion
from sctd.ops._backend import choose, native
from sctd.ops._checks import addresses, check_same, check_shape
from sctd.ops.reference_fusion import Grid as Grid

MOST_CARVERS = 16
"""As csrc/cpu/fusion.h has it."""


@torch.no_grad()
def fuse_depth(
    depth: Tensor,
    alpha: Tensor,
    viewmats: Tensor,
    Ks: Tensor,
    grid: Grid,
    *,
    reach: float,
    level: float = 0.5,
    hidden: float = 0.1,
    carvers: int = 3,
    backend: str = "auto",
) -> Tensor:
    """Signed distances to the surface that C pictures show, bit-identical for any number of threads.

    A point is outside where ``carvers`` pictures see it beside the object's outline, or where on the mean it
    lies before the surface; csrc/cpu/fusion.cpp has the rule. What no picture sees is outside.

    Args:
        depth: z in the camera's frame times ``alpha``, [C, H, W], float32 or float64, world units.
        alpha: coverage, [C, H, W], 0..1.
        viewmats: world to camera, [C, 4, 4].
        Ks: intrinsics without skew, [C, 3, 3], pixels.
        grid: where distances are asked for; at least one point along each axis.
        reach: distances are cut to +-reach, world units, > 0; a few steps of the grid.
        level: coverage at the outline, inside 0..1.
        hidden: weight of a picture in which the point is hidden, against 1; 0..1.
        carvers: pictures that make a point outside, 1..16.
        backend: "auto", "cpu" or "reference".

    Returns:
        [x, y, z], negative inside, in the dtype of ``depth``.

    Raises:
        InputError: a shape, dtype or number does not fit.

    Plain twin: :func:`sctd.ops.reference_fusion.fuse_depth`. Source: Curless and Levoy 1996, "A Volumetric
    Method for Building Complex Models from Range Images".
    """
    if depth.dim() != 3 or depth.shape[0] < 1 or min(depth.shape[1:]) < 2:
        raise InputError(f"depth must have shape [C, H, W], C >= 1, H, W >= 2; got {list(depth.shape)}")
    check_same("depth", depth, alpha=alpha, viewmats=viewmats, Ks=Ks)
    views, height, width = depth.shape
    check_shape("alpha", alpha, (views, height, width))
    check_shape("viewmats", viewmats, (views, 4, 4))
    check_shape("Ks", Ks, (views, 3, 3))
    _check_numbers(grid, reach, level, hidden, carvers)
    if choose(backend, depth) == "reference":
        return reference_fusion.fuse_depth(
            depth, alpha, viewmats, Ks, grid, reach=reach, level=level, hidden=hidden, carvers=carvers
        )
    held = [t.contiguous() for t in (depth, alpha, viewmats, Ks)]
    out = depth.new_empty(*grid.size)
    core = native()
    core.fuse_depth(
        depth.dtype == torch.float64,
        views,
        width,
        height,
        core.Grid(list(grid.size), list(grid.origin), grid.step),
        reach,
        level,
        hidden,
        carvers,
        addresses(*held, out),
    )
    return out


def _check_numbers(grid: Grid, reach: float, level: float, hidden: float, carvers: int) -> None:
    if len(grid.size) != 3 or min(grid.size) < 1 or not grid.step > 0:
        raise InputError(f"grid must have three sizes >= 1 and a step > 0; got {tuple(grid)}")
    for name, value, fits in (
        ("reach must be > 0", reach, reach > 0),
        ("level must be inside 0..1", level, 0 < level < 1),
        ("hidden must be in 0..1", hidden, 0 <= hidden <= 1),
        (f"carvers must be in 1..{MOST_CARVERS}", carvers, 1 <= carvers <= MOST_CARVERS),
    ):
        if not fits:
            raise InputError(f"{name}; got {value}")
