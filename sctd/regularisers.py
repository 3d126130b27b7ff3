"""Losses on the rendering and the Gaussians that stand beside the distillation loss."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sctd.gaussians import SH_C0, Gaussians
from sctd.latents import fit
from sctd.prior.base import Prior
from sctd.render import Render
from sctd.settings import RegulariserSettings

COLOR_MARGIN = 1 / 512
"""Base colours stay this far from 0 and 1: at 0 the rasterizer's clamp would stop their gradient."""


def losses(settings: RegulariserSettings, rendered: Render, gaussians: Gaussians) -> dict[str, Tensor]:
    """Weighted terms by name, scalars; terms of weight 0 are not computed.

    Source: the authors' released code, TV(rgb) + TV(disparity) + mean(scale), all with weight 1.
    """
    from sctd.ops import total_variation

    terms = {}
    if settings.tv_rgb:
        terms["tv_rgb"] = settings.tv_rgb * total_variation(rendered.rgb)
    if settings.tv_disparity and rendered.disparity is not None:
        terms["tv_disparity"] = settings.tv_disparity * total_variation(rendered.disparity)
    if settings.scale:
        terms["scale"] = settings.scale * torch.exp(gaussians.scales).mean()
    if settings.opacity:
        terms["opacity"] = settings.opacity * torch.sigmoid(gaussians.opacities).mean()
    return terms


def reconstruction(settings: RegulariserSettings, prior: Prior, rgb: Tensor, z0: Tensor) -> dict[str, Tensor]:
    """Weighted half squared distance of renderings [B, 3, H, W] to the VAE's decoding of their latents z0.

    The distillation loss acts through the VAE's encoder alone. Whatever the encoder maps to the same latents
    costs nothing there, so colours drift (a yellow shadow turns magenta) while the decoded latents still look
    right. The decoding is held fixed: this pulls the renderings to where encoder and decoder agree. A sum
    over pixels, as the method's gradient is one over latents. Empty when switched off.
    """
    if not settings.reconstruction:
        return {}
    images = fit(rgb, prior.image_size)
    target = prior.decode_latents(z0.detach()).to(images)
    return {"reconstruction": 0.5 * settings.reconstruction * (images - target).square().sum()}


@torch.no_grad()
def limit_brightness(
    settings: RegulariserSettings, rgb: Tensor, gaussians: Gaussians, iteration: int
) -> bool:
    """Scale the base colours down, in place, when the renderings are too bright; says whether it did.

    Brightness is the mean over the channels; [C, 3, H, W] in 0..1.

    Source: the brightness control (BEG) of the authors' released code.
    """
    if not settings.brightness or not settings.brightness_start <= iteration <= settings.brightness_stop:
        return False
    brightness = rgb.mean(dim=1).flatten()
    rank = min(brightness.numel(), 1 + math.floor(settings.brightness_quantile * (brightness.numel() - 1)))
    # kthvalue rather than quantile, which refuses more than 16 million pixels
    if float(brightness.kthvalue(rank).values) <= settings.brightness_limit:
        return False
    color = 0.5 + SH_C0 * gaussians.sh0
    gaussians.sh0.copy_((settings.brightness_factor * color - 0.5) / SH_C0)
    gaussians.shN.mul_(settings.brightness_factor)
    return True


@torch.no_grad()
def project(gaussians: Gaussians, scale_range: tuple[float, float] | None, clamp_colors: bool) -> None:
    """Bring scales and base colours back into their bounds, in place, after an optimiser step."""
    if scale_range is not None:
        gaussians.scales.clamp_(math.log(scale_range[0]), math.log(scale_range[1]))
    if clamp_colors:
        bound = (0.5 - COLOR_MARGIN) / SH_C0
        gaussians.sh0.clamp_(-bound, bound)
