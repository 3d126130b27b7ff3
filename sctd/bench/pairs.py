"""Counts the (pixel, Gaussian) pairs of a picture, and finds pixels where rounding decides about a pair.

Plain torch over tiles, independent of the measured kernels.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from sctd.bench.timing import torch_threads
from sctd.bench.workload import in_double
from sctd.ops.reference_raster import ALPHA_MIN, TRANSMITTANCE_MIN

TILE = 16
"""Edge of a tile, pixels; any value gives the same pairs."""

UNDECIDED = 5e-5
"""Relative distance from a threshold within which float32 may fall on the other side: alpha is known there to
about 1e-5 (the exponent reaches ln 255, and its parts cancel), five times that leaves room."""
SAME_DEPTH = 1e-6
"""Relative depth difference below which float32 may sort two Gaussians the other way round: 8 eps."""
AT_ONCE = 512
"""Gaussians of a tile in one step; a tile stops when all its pixels are done."""


@dataclass(frozen=True)
class TileLists:
    """The Gaussians of each tile by depth, nearest first."""

    gaussians: Tensor
    """[M] int64, tile after tile."""
    starts: Tensor
    """Where each tile's Gaussians begin, row by row, and M at the end, [tiles + 1] int64."""


def tile_lists(
    means2d: Tensor, radii: Tensor, depths: Tensor, width: int, height: int, tile: int = TILE
) -> TileLists:
    """Every tile that a Gaussian's box touches.

    Args:
        means2d, radii: centre and half the box, [N, 2], pixels; a radius of 0 means not visible.
        depths: [N].
    """
    across, down = -(-width // tile), -(-height // tile)
    bounds = torch.tensor([across, down])
    low = ((means2d - radii) / tile).floor().long().clamp_min(0)
    high = torch.minimum(((means2d + radii) / tile).ceil().long(), bounds)
    extent = (high - low).clamp_min(0) * (radii > 0).all(1, keepdim=True)
    near_first = depths.argsort(stable=True)
    counts = extent.prod(1)[near_first]
    owner = near_first.repeat_interleave(counts)
    number = torch.arange(len(owner)) - (counts.cumsum(0) - counts).repeat_interleave(counts)
    column = low[owner, 0] + number % extent[owner, 0]
    row = low[owner, 1] + number // extent[owner, 0]
    tile_of = row * across + column
    by_tile = tile_of.argsort(stable=True)
    sizes = torch.bincount(tile_of, minlength=across * down)
    return TileLists(owner[by_tile], torch.cat([sizes.new_zeros(1), sizes.cumsum(0)]))


def pixel_grid(index: int, width: int, height: int, tile: int = TILE) -> tuple[Tensor, Tensor]:
    """Columns and rows of a tile's pixels inside the picture, [P] each, int64."""
    row, column = divmod(index, -(-width // tile))
    ys = torch.arange(row * tile, min((row + 1) * tile, height))
    xs = torch.arange(column * tile, min((column + 1) * tile, width))
    return xs.repeat(len(ys)), ys.repeat_interleave(len(xs))


@dataclass(frozen=True)
class Pairs:
    """The work of a scene for a rasterizer."""

    contributing: int
    """(pixel, Gaussian) pairs with alpha >= 1/255 before the pixel is done, all cameras together."""
    undecided: Tensor
    """Pixels where rounding decides whether a pair counts or which comes first, [C, H, W] bool."""


@torch.no_grad()
def count_pairs(scene: dict[str, Any]) -> Pairs:
    """Count the pairs of a scene (arguments of sctd.rasterization with plain colours), in float64."""
    from sctd import ops

    width, height = scene["width"], scene["height"]
    meta = ops.rasterization(**in_double(scene), backend="cpu")[2]
    total, masks = 0, []
    with torch_threads(1):  # tiles are too small to share
        for camera in range(meta["depths"].shape[0]):
            seen = {name: meta[name][camera] for name in ("means2d", "conics", "opacities", "depths")}
            radii = meta["radii"][camera]
            # a pixel wider: after rounding, alpha just below the threshold may count too
            radii = torch.where(radii > 0, radii + 1, 0)
            lists = tile_lists(seen["means2d"], radii, seen["depths"], width, height)
            mask = torch.zeros(height, width, dtype=torch.bool)
            starts = lists.starts.tolist()
            for index, (first, last) in enumerate(pairwise(starts)):
                xs, ys = pixel_grid(index, width, height)
                found, mask[ys, xs] = _tile(seen, lists.gaussians[first:last], xs, ys)
                total += found
            masks.append(mask)
    return Pairs(total, torch.stack(masks))


def _tile(seen: dict[str, Tensor], gaussians: Tensor, xs: Tensor, ys: Tensor) -> tuple[int, Tensor]:
    """Contributing pairs of a tile's pixels, and which pixels are undecided, [P]."""
    total = 0
    unsure = torch.zeros(len(xs), dtype=torch.bool)
    left = torch.ones(len(xs), dtype=torch.float64)
    for part in gaussians.split(AT_ONCE) if len(gaussians) else ():
        center, depth = seen["means2d"][part], seen["depths"][part]
        a, b, c = seen["conics"][part][:, :, None].unbind(1)
        dx = xs + 0.5 - center[:, 0, None]
        dy = ys + 0.5 - center[:, 1, None]
        exponent = 0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy
        alpha = (seen["opacities"][part][:, None] * torch.exp(-exponent)).clamp_max(0.999)
        counts = alpha >= ALPHA_MIN
        behind = left * torch.where(counts, 1 - alpha, 1.0).cumprod(0)
        total += int((counts & (behind >= TRANSMITTANCE_MIN)).sum())
        near = (alpha / ALPHA_MIN - 1).abs() < UNDECIDED
        near |= counts & ((behind / TRANSMITTANCE_MIN - 1).abs() < UNDECIDED)
        close = (depth[1:] - depth[:-1]) < SAME_DEPTH * depth[1:]
        swapped = close[:, None] & counts[1:] & counts[:-1]
        going_on = behind >= 0.5 * TRANSMITTANCE_MIN  # Gaussians farther back are decided for every pixel
        unsure |= (near & going_on).any(0) | (swapped & going_on[:-1]).any(0)
        left = behind[-1]
        if float(left.max()) < 0.5 * TRANSMITTANCE_MIN:
            break
    return total, unsure
