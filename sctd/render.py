"""Step 4 of 9: Gaussians and cameras in, images out; for people, a mesh instead of Gaussians too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sctd.cameras import CameraBatch
from sctd.formats.assets import Asset
from sctd.formats.meshes.surface import Triangles
from sctd.gaussians import Gaussians
from sctd.machine import transfer
from sctd.render_triangles import Picture, render_triangles


@dataclass(frozen=True)
class Render:
    """Renderings of C cameras of H x W pixels; differentiable."""

    rgb: Tensor
    """Colours over the background, [C, 3, H, W]; in 0..1 as long as every Gaussian's colour is."""
    alpha: Tensor
    """Coverage, [C, 1, H, W], 0..1."""
    disparity: Tensor | None
    """Picture of it, [C, 1, H, W], 0..1, as :func:`sctd.ops.views` has it; None unless requested."""
    variation: Tensor
    """Sums [P, 2] that add up to the total variation of the two; P = 0 unless requested."""
    sizes: Tensor
    """Sums [P, 2] that add up to the mean scale, without noise, and the mean opacity of the Gaussians."""
    meta: dict[str, Any]
    """The rasterizer's per-Gaussian results: means2d, radii, ...; see :func:`sctd.ops.rasterization`."""


class PairCapacity:
    """Capacity for (tile, Gaussian) pairs on CUDA, so that a rendering does not wait; follows the need.

    Other backends ignore it.
    """

    def __init__(self) -> None:
        self.pairs = 0
        """For the next rendering; 0: it counts them first."""

    def needed(self, rendered: Render) -> transfer.Readback | None:
        """Queue the copy of the number that a rendering needed."""
        needed = rendered.meta.get("pairs_needed")
        return None if needed is None else transfer.Readback({"pairs": needed})

    def overflowed(self, needed: transfer.Readback | None) -> bool:
        """Whether a rendering lacked capacity and must be repeated, with enough capacity.

        Waits for the rendering, but not for what was queued after it.

        Raises:
            TooLarge: no capacity would suffice.
        """
        from sctd.ops._raster_cores import MAX_PAIRS, check_pairs

        if needed is None:
            return False
        pairs, had = check_pairs(int(needed.get()["pairs"])), self.pairs
        # Half as much again: scenes grow slowly. Kept while it fits, as other sizes are other allocations; no
        # more than twice what is needed, as all of it is sorted.
        if not had / 2 <= pairs <= 0.9 * had:
            self.pairs = min(max(1024, pairs + pairs // 2), MAX_PAIRS)
        return 0 < had < pairs


def render(
    gaussians: Gaussians,
    cameras: CameraBatch,
    background: Tensor,
    *,
    disparity: bool = False,
    variation: bool = False,
    sh_degree: int | None = None,
    scale_noise: Tensor | None = None,
    capacity: int = 0,
    backend: str = "auto",
) -> Render:
    """Render Gaussians.

    Args:
        gaussians: on the device to render on.
        cameras: moved there when they are elsewhere.
        background: colour behind everything, [C, 3], 0..1.
        disparity: also render the disparity.
        variation: also sum up the total variation.
        sh_degree: degree of the colours in use, 0..the stored one; None: the stored one.
        scale_noise: factors on the scales, [N, 3], about 1; see :func:`sctd.ops.activate`. Augmentation only.
        capacity: see :func:`sctd.ops.rasterization`.
        backend: that of the rasterizer; the ops around it choose theirs themselves.

    Raises:
        InputError: a shape or dtype does not fit; the message names it.
    """
    from sctd.ops import rasterization, views

    device = gaussians.means.device
    noise = None if scale_noise is None else transfer.to_device(scale_noise, device)
    means, quats, scales, opacities, colors, sizes = gaussians.activated(noise)
    cameras = cameras.to(device)
    renders, alphas, meta = rasterization(
        means,
        quats,
        scales,
        opacities,
        colors,
        cameras.viewmats,
        cameras.Ks,
        cameras.width,
        cameras.height,
        near_plane=cameras.near_plane,
        sh_degree=gaussians.sh_degree if sh_degree is None else sh_degree,
        backgrounds=transfer.to_device(background, device),
        render_mode="RGB+D" if disparity else "RGB",
        capacity=capacity,
        backend=backend,
    )
    rgb, seen, sums = views(renders, alphas, variation=variation)
    return Render(rgb, alphas.permute(0, 3, 1, 2), seen, sums, sizes, meta)


@torch.no_grad()
def look_at_asset(asset: Asset, cameras: CameraBatch, background: Tensor) -> Render | Picture:
    """Colours over a background [C, 3], 0..1, and coverage of an asset of either kind, without a gradient."""
    if isinstance(asset, Triangles):
        return render_triangles(asset, cameras, background)
    return render(asset, cameras, background)


def render_images(
    asset: Asset,
    cameras: CameraBatch,
    background: Sequence[float] = (1.0, 1.0, 1.0),
    *,
    batch: int = 8,
) -> Tensor:
    """Pictures for people, uint8 on the CPU, [C, H, W, 3].

    Args:
        background: colour, 0..1.
        batch: cameras rendered at once; it bounds the memory and changes nothing else.
    """
    frames = []
    for first in range(0, len(cameras), batch):
        part = cameras[first : first + batch]
        colors = torch.tensor(background, dtype=torch.float32).expand(len(part), 3)
        rgb = look_at_asset(asset, part, colors).rgb
        frames.append((rgb.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu())
    return torch.cat(frames).contiguous()
