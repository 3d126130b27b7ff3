"""Step 4 of 9: Gaussians and cameras in, images out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sctd.cameras import CameraBatch
from sctd.gaussians import Gaussians


@dataclass(frozen=True)
class Render:
    """What C cameras of H x W pixels see; differentiable."""

    rgb: Tensor
    """Colours over the background, [C, 3, H, W]; in 0..1 as long as every Gaussian's colour is."""
    alpha: Tensor
    """Coverage, [C, 1, H, W], 0..1."""
    depth: Tensor | None
    """Expected depth where something is seen, [C, 1, H, W], world units; None unless asked for."""
    meta: dict[str, Any]
    """The rasterizer's per-Gaussian results: means2d, radii, ...; see :func:`sctd.ops.rasterization`."""
    near_plane: float = 0.01

    @property
    def disparity(self) -> Tensor | None:
        """Coverage over depth, [C, 1, H, W], 1 / world units, 0 where nothing is seen; None without depth."""
        if self.depth is None:
            return None
        return self.alpha / self.depth.clamp_min(self.near_plane)


class PairCapacity:
    """Room for (tile, Gaussian) pairs on CUDA, so that a rendering waits for nothing; follows what is needed.

    Other backends need none.
    """

    def __init__(self) -> None:
        self.pairs = 0
        """For the next rendering; 0: it counts them first."""

    def overflowed(self, rendered: Render) -> bool:
        """Whether a rendering lacked room and has to be repeated; there is enough then. Waits for it."""
        needed = rendered.meta.get("pairs_needed")
        if needed is None:
            return False
        needed, had = int(needed), self.pairs
        # Half as much again: scenes grow slowly. Kept while it fits, as other sizes are other allocations.
        if not had / 4 <= needed <= 0.9 * had:
            self.pairs = max(1024, needed + needed // 2)
        return 0 < had < needed


def render(
    gaussians: Gaussians,
    cameras: CameraBatch,
    background: Tensor,
    *,
    depth: bool = False,
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
        depth: render the expected depth too.
        sh_degree: degree of the colours in use, 0..the stored one; None: the stored one.
        scale_noise: factors on the scales, [N, 3], about 1; a negative one counts as 0. Augmentation only.
        capacity, backend: see :func:`sctd.ops.rasterization`.

    Raises:
        InputError: a shape or dtype does not fit; the message names it.
    """
    from sctd.ops import rasterization

    means, quats, scales, opacities, colors = gaussians.activated()
    if scale_noise is not None:
        # Never quite zero: a scale of zero has no covariance to differentiate.
        scales = scales * scale_noise.clamp_min(1e-3)
    cameras = cameras.to(means.device)
    image, alpha, meta = rasterization(
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
        backgrounds=background.to(means.device),
        render_mode="RGB+ED" if depth else "RGB",
        capacity=capacity,
        backend=backend,
    )
    channels = image.permute(0, 3, 1, 2)
    rgb = channels[:, :3].contiguous()  # the layout that the networks behind expect
    seen_depth = channels[:, 3:] if depth else None
    return Render(rgb, alpha.permute(0, 3, 1, 2), seen_depth, meta, cameras.near_plane)


@torch.no_grad()
def render_images(
    gaussians: Gaussians,
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
        part = CameraBatch(
            cameras.viewmats[first : first + batch],
            cameras.Ks[first : first + batch],
            cameras.width,
            cameras.height,
            cameras.azimuth[first : first + batch],
            cameras.elevation[first : first + batch],
            cameras.radius[first : first + batch],
            cameras.fovy[first : first + batch],
            cameras.near_plane,
        )
        colors = torch.tensor(background, dtype=torch.float32).expand(len(part), 3)
        rgb = render(gaussians, part, colors).rgb
        frames.append((rgb.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu())
    return torch.cat(frames).contiguous()
