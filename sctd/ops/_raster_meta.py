"""The third result of the rasterizer: gsplat's keys, the costly ones made when they are first asked for."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

LISTS = ("tiles_per_gauss", "isect_ids", "flatten_ids", "isect_offsets")
"""Which tiles the Gaussians' boxes touch. Drawing takes lists of its own, which hold fewer pairs."""


class Meta(dict[str, Any]):
    """Intermediate results, [C, N, ...]: gsplat's with ``packed=False``, key by key.

    The four of ``LISTS`` are computed, and kept, at the first access; until then ``in`` and ``get`` know
    them, iteration and a copy do not.
    """

    def __init__(self, results: dict[str, Any], size: tuple[int, int], tile_size: int) -> None:
        """``results`` of the drawing, for a picture of ``size`` (width, height), pixels."""
        super().__init__(results)
        width, height = size
        self |= {"width": width, "height": height, "tile_size": tile_size}
        self |= {"tile_width": -(-width // tile_size), "tile_height": -(-height // tile_size)}
        self |= {"n_batches": 1, "n_cameras": results["depths"].shape[0]}
        self |= dict.fromkeys(
            ("batch_ids", "camera_ids", "gaussian_ids")
        )  # of packed rows; None, as gsplat's

    def __missing__(self, key: str) -> Any:
        if key not in LISTS:
            raise KeyError(key)
        footprints = (self["means2d"], self["radii"], self["depths"])
        self.update(
            tile_intersections(*footprints, self["tile_size"], self["tile_width"], self["tile_height"])
        )
        return self[key]

    def __contains__(self, key: object) -> bool:
        return key in LISTS or super().__contains__(key)

    def get(self, key: str, default: Any = None) -> Any:
        """``self[key]``, or the default where there is no such key."""
        return super().get(key, default) if key not in LISTS else self[key]


@torch.no_grad()
def tile_intersections(
    means2d: Tensor, radii: Tensor, depths: Tensor, tile_size: int, tile_width: int, tile_height: int
) -> dict[str, Tensor]:
    """The M pairs of a tile and a Gaussian whose box, mean +- radii, touches it, as gsplat lists them.

    Args:
        means2d, radii, depths: as in the rasterizer's meta, [C, N, 2], [C, N, 2], [C, N].
        tile_size: a tile's edge, pixels.
        tile_width, tile_height: tiles of a picture, across and down.

    Returns:
        tiles_per_gauss [C, N] int32; isect_ids [M] int64, sorted: from the top the camera, the tile (in as
        many bits as the number of tiles has) and the 32 bits of the depth in float32; flatten_ids [M] int32:
        camera * N + Gaussian; isect_offsets [C, tile_height, tile_width] int32: each tile's first pair.
    """
    cameras, count = depths.shape
    device, tiles = depths.device, tile_width * tile_height
    bits = tiles.bit_length()
    most = torch.tensor([tile_width, tile_height], device=device)
    mean, reach = means2d / tile_size, radii / tile_size
    first, last = (
        torch.minimum(t.clamp_min(0).to(torch.int64), most)
        for t in ((mean - reach).floor(), (mean + reach).ceil())
    )
    spans = (last - first) * (radii > 0).all(-1, keepdim=True)
    per_gaussian = spans.prod(-1)
    ends = per_gaussian.flatten().cumsum(0)
    flat = torch.repeat_interleave(torch.arange(cameras * count, device=device), per_gaussian.flatten())
    place = torch.arange(flat.shape[0], device=device) - (ends - per_gaussian.flatten())[flat]
    across = spans[..., 0].flatten()[flat]
    left, top = (first[..., axis].flatten()[flat] for axis in (0, 1))
    tile = (top + place // across) * tile_width + left + place % across
    cell = (flat // max(count, 1) << bits) + tile
    depth = depths.float().flatten().view(torch.int32).long()[flat] & 0xFFFFFFFF
    keys, order = torch.sort(cell << 32 | depth, stable=True)
    corners = (torch.arange(cameras, device=device)[:, None] << bits) + torch.arange(tiles, device=device)
    starts = torch.searchsorted(keys >> 32, corners.flatten())
    return {
        "tiles_per_gauss": per_gaussian.int(),
        "isect_ids": keys,
        "flatten_ids": flat[order].int(),
        "isect_offsets": starts.int().reshape(cameras, tile_height, tile_width),
    }
