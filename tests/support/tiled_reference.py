"""The rasterizer's definition for scenes too large for it: square by square, the same numbers.

A square is blended from the Gaussians whose box meets it, by the definition itself; the gradients of all
squares are added up and go through the projection once. So memory stays small; only culling is added.
Pixels near a threshold are named too: there float32 may decide otherwise than double, whoever computes.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from raster_scenes import Scene
from torch import Tensor

from sctd.ops import reference_raster
from sctd.ops.reference_raster import ALPHA_MAX, ALPHA_MIN, TRANSMITTANCE_MIN, Projection

EDGE = 16
"""Pixels of a square's edge."""
NEAR = 1e-5
"""Relative distance to a threshold, beyond what float32's exponential and its argument are off by."""
SAME_DEPTH = 1e-6
"""Relative distance of two depths of which float32 may take either for the lesser: 8 roundings."""


class Square(NamedTuple):
    """Part of one camera's picture, and the Gaussians that may be seen in it."""

    camera: int
    x: int
    y: int
    width: int
    height: int
    rows: Tensor


def squares(p: Projection, width: int, height: int) -> list[Square]:
    """All squares of all cameras."""
    found = []
    for camera in range(p.depths.shape[0]):
        mean, radius = p.means2d[camera].detach(), p.radii[camera].to(p.depths.dtype) + 1
        low, high = mean - radius, mean + radius
        for y in range(0, height, EDGE):
            for x in range(0, width, EDGE):
                w, h = min(EDGE, width - x), min(EDGE, height - y)
                meets = (p.radii[camera, :, 0] > 0) & (high[:, 0] > x) & (low[:, 0] < x + w)
                meets &= (high[:, 1] > y) & (low[:, 1] < y + h)
                found.append(Square(camera, x, y, w, h, meets.nonzero()[:, 0]))
    return found


def blend_squares(
    p: Projection, backgrounds: Tensor, width: int, height: int, weights: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Pictures and alphas; leaves the gradient of sum(weights * (renders, alphas)) in the inputs' leaves."""
    assert p.colors is not None
    inputs = (p.means2d, p.conics, p.colors, p.opacities, p.depths)
    leaves = [t.detach().requires_grad_() for t in inputs]
    renders, alphas = (torch.zeros_like(w) for w in weights)
    for s in squares(p, width, height):
        part = [leaf[s.camera, s.rows][None] for leaf in leaves]
        corner = torch.tensor([s.x, s.y], dtype=part[0].dtype)
        radii = p.radii[s.camera, s.rows][None]
        background = backgrounds[s.camera][None]
        image, alpha = reference_raster.blend(
            part[0] - corner, *part[1:], radii, background, s.width, s.height
        )
        at = (s.camera, slice(s.y, s.y + s.height), slice(s.x, s.x + s.width))
        ((image[0] * weights[0][at]).sum() + (alpha[0] * weights[1][at]).sum()).backward()
        renders[at], alphas[at] = image[0].detach(), alpha[0].detach()
    alive = [(t, leaf.grad) for t, leaf in zip(inputs, leaves, strict=True) if t.requires_grad]
    torch.autograd.backward(
        [t for t, _ in alive], [torch.zeros_like(t) if g is None else g for t, g in alive]
    )
    return renders, alphas


@torch.no_grad()
def near_a_threshold(p: Projection, width: int, height: int) -> Tensor:
    """[C, H, W] bool: pixels with an alpha close to 1/255 or its cap, a transmittance close to 1e-4, or two
    Gaussians at one depth.
    """
    out = torch.zeros(p.depths.shape[0], height, width, dtype=torch.bool)
    for s in squares(p, width, height):
        rows = s.rows[p.depths[s.camera, s.rows].argsort(stable=True)]
        y, x = torch.meshgrid(
            torch.arange(s.y, s.y + s.height), torch.arange(s.x, s.x + s.width), indexing="ij"
        )
        d = torch.stack([x, y], -1).reshape(-1, 2) + 0.5 - p.means2d[s.camera, rows, None]
        k = p.conics[s.camera, rows, :, None]
        power = 0.5 * (k[:, 0] * d[..., 0] ** 2 + k[:, 2] * d[..., 1] ** 2) + k[:, 1] * d[..., 0] * d[..., 1]
        raw = p.opacities[s.camera, rows, None] * torch.exp(-power)
        near = ((raw / ALPHA_MIN - 1).abs() < NEAR) | ((raw / ALPHA_MAX - 1).abs() < NEAR)
        alpha = torch.where(raw >= ALPHA_MIN, raw.clamp_max(ALPHA_MAX), 0.0)
        near |= (torch.cumprod(1 - alpha, 0) / TRANSMITTANCE_MIN - 1).abs() < 10 * NEAR
        depths, seen = p.depths[s.camera, rows], alpha > 0
        near[1:] |= (depths.diff() < SAME_DEPTH * depths[1:])[:, None] & seen[1:] & seen[:-1]
        at = (s.camera, slice(s.y, s.y + s.height), slice(s.x, s.x + s.width))
        out[at] = near.any(0).reshape(s.height, s.width)
    return out


def project(scene: Scene, sh_degree: int | None, rasterize_mode: str) -> Projection:
    """The definition's projection, with the defaults of rasterization; colours where there is a degree."""
    sh = None if sh_degree is None else scene.colors
    return reference_raster.project(
        scene.means,
        scene.quats,
        scene.scales,
        scene.opacities,
        sh,
        scene.viewmats,
        scene.Ks,
        scene.width,
        scene.height,
        0.01,
        1e10,
        0.0,
        0.3,
        sh_degree or 0,
        rasterize_mode == "antialiased",
    )
