"""Step 9 of 9: layers of pictures, for compositing and for measuring."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sctd.cameras import CameraBatch
from sctd.formats.assets import Asset
from sctd.formats.meshes.surface import Triangles
from sctd.gaussians import Gaussians, rotations
from sctd.ops import rasterization
from sctd.render_triangles import render_triangles

_UNSEEN = 1e-4
"""Coverage below which there is no depth and no normal."""


@dataclass(frozen=True)
class Layers:
    """One picture, float32 on the CPU."""

    rgb: NDArray[np.float32]
    """Colours over the background, sRGB values, [H, W, 3], 0..1."""
    clear: NDArray[np.float32]
    """The same over black, so premultiplied by alpha, [H, W, 3]."""
    alpha: NDArray[np.float32]
    """Coverage, [H, W], 0..1."""
    depth: NDArray[np.float32]
    """z in the camera's frame, the mean of what a pixel shows, [H, W], world units; 0: no coverage."""
    normals: NDArray[np.float32]
    """Unit vectors in the world's axes, towards the camera, [H, W, 3]; 0: no coverage."""


def render_layers(asset: Asset, cameras: CameraBatch, background: Sequence[float]) -> Iterator[Layers]:
    """Render one camera at a time, so that memory holds one picture."""
    if isinstance(asset, Triangles):
        return _of_triangles(asset, cameras, background)
    return _of_gaussians(asset, cameras, background)


def _of_triangles(
    triangles: Triangles, cameras: CameraBatch, background: Sequence[float]
) -> Iterator[Layers]:
    for i in range(len(cameras)):
        seen = render_triangles(triangles, cameras[i : i + 1], torch.zeros(1, 3))
        clear, depth, normals = (t[0].permute(1, 2, 0) for t in (seen.rgb, seen.depth, seen.normals))
        yield _layers(clear, seen.alpha[0, 0], depth[..., 0], normals, background)


@torch.no_grad()
def _of_gaussians(
    gaussians: Gaussians, cameras: CameraBatch, background: Sequence[float]
) -> Iterator[Layers]:
    """A Gaussian's normal is its shortest axis, on the camera's side; normals along a ray are averaged by
    weight.
    """
    means, quats, scales, opacities, colors, _ = gaussians.activated()
    axes, degree = shortest_axes(quats, scales), gaussians.sh_degree
    for i in range(len(cameras)):
        viewmat, K = cameras.viewmats[i : i + 1].to(means), cameras.Ks[i : i + 1].to(means)
        where = (viewmat, K, cameras.width, cameras.height, cameras.near_plane)
        seen, alphas, _ = rasterization(
            means, quats, scales, opacities, colors, *where, sh_degree=degree, render_mode="RGB+ED"
        )
        eye = -viewmat[0, :3, :3].T @ viewmat[0, :3, 3]
        facing = axes * torch.where((axes * (eye - means)).sum(dim=1, keepdim=True) < 0, -1.0, 1.0)
        blended, _, _ = rasterization(means, quats, scales, opacities, facing, *where)
        alpha, normals = alphas[0, ..., 0], torch.nn.functional.normalize(blended[0], dim=-1)
        hit = alpha > _UNSEEN
        depth = torch.where(hit, seen[0, ..., 3], 0)
        yield _layers(seen[0, ..., :3], alpha, depth, torch.where(hit[..., None], normals, 0), background)


def _layers(
    clear: Tensor, alpha: Tensor, depth: Tensor, normals: Tensor, background: Sequence[float]
) -> Layers:
    behind = torch.tensor(background, dtype=clear.dtype, device=clear.device)
    over = (clear + (1 - alpha[..., None]) * behind).clamp(0, 1)
    return Layers(*(_array(values) for values in (over, clear, alpha, depth, normals)))


def shortest_axes(quats: Tensor, scales: Tensor) -> Tensor:
    """The direction in which each Gaussian is thinnest, [N, 3] of length 1; either sign."""
    return rotations(quats)[torch.arange(len(scales)), :, scales.argmin(dim=1)]


def _array(values: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = values.float().cpu().numpy()
    return array
