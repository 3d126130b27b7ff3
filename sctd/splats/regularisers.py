"""Losses on the rendering and the Gaussians, in addition to the distillation loss."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sctd.config.asset import RegulariserSettings
from sctd.gaussians import SH_C0, Gaussians
from sctd.prior.base import Prior
from sctd.render import Render
from sctd.representation import Term
from sctd.splats.optim import GaussianAdam

COLOR_MARGIN = 1 / 512
"""Base colours stay this far from 0 and 1: at 0 the rasterizer's clamp would stop their gradient."""


def losses(settings: RegulariserSettings, rendered: Render) -> list[Term]:
    """Terms on the rendering and on the Gaussians, without those of weight 0.

    Source: the authors' released code, TV(rgb) + TV(disparity) + mean(scale), all with weight 1.
    """
    disparity = 0.0 if rendered.disparity is None else settings.tv_disparity
    terms = [
        Term({"tv_rgb": settings.tv_rgb, "tv_disparity": disparity}, rendered.variation),
        Term({"scale": settings.scale, "opacity": settings.opacity}, rendered.sizes),
    ]
    return [term for term in terms if any(term.weights.values())]


def reconstruction(settings: RegulariserSettings, prior: Prior, images: Tensor, z0: Tensor) -> list[Term]:
    """Half squared distance of pictures [B, 3, size, size] to the VAE's decoding of their latents z0.

    The distillation loss acts only through the VAE's encoder. Changes that the encoder maps to the same
    latents cost nothing there, so colours drift (a yellow shadow turns magenta) while the decoded latents
    still look right. The decoding is held fixed, so this pulls the renderings to pictures on which encoder
    and decoder agree. A sum over pixels, as the method's gradient is one over latents. Empty when switched
    off.
    """
    if not settings.reconstruction:
        return []
    with torch.no_grad():
        target = prior.decode(z0.detach()).clamp(0, 1).to(images)
    distance = 0.5 * (images - target).square().sum()
    return [Term({"reconstruction": settings.reconstruction}, distance.reshape(1, 1))]


@torch.no_grad()
def limit_brightness(
    settings: RegulariserSettings,
    rendered: Render,
    optimiser: GaussianAdam,
    iteration: int,
    norms: Tensor | None = None,
) -> Tensor | None:
    """Lower the colours, in place, when the renderings are too bright.

    Brightness is the mean over the channels. For each image this takes the quantile over the
    pixels that show an object, and of the images the same quantile. It multiplies all coefficients, which
    pulls colours towards middle grey, and clears their moments in Adam. It does nothing if one of ``norms``
    is not finite.

    Returns:
        Whether it lowered them, one bool on the device; None in iterations without a check.

    Source: the brightness control (BEG) of the authors' released code, train.py and
    scene/gaussian_model.py, reset_brightness.
    """
    if not settings.brightness or not settings.brightness_start < iteration + 1 < settings.brightness_stop:
        return None
    brightness, seen = rendered.rgb.mean(dim=1).flatten(1), rendered.alpha.flatten(1) > 0
    of_images = _quantile(brightness, seen, settings.brightness_quantile)
    everywhere = torch.ones_like(of_images, dtype=torch.bool)
    quantile = _quantile(of_images[None], everywhere[None], settings.brightness_quantile)[0]
    bright = quantile > settings.brightness_limit
    if norms is not None:
        bright &= norms.isfinite().all()
    colors = ("sh0", "shN")
    for name, coefficients in optimiser.gaussians.parameters().items():
        if name in colors:
            coefficients.mul_(torch.where(bright, settings.brightness_factor, 1.0))
    for moments in (optimiser.exp_avg, optimiser.exp_avg_sq):
        for name in moments.keys() & set(colors):
            moments[name].mul_(torch.where(bright, 0.0, 1.0))
    return bright


def _quantile(values: Tensor, counted: Tensor, q: float) -> Tensor:
    """The quantile q of the counted values of each row, linear between two of them; [B, P] => [B].

    0 for a row without any. Does not wait for the device.
    """
    ordered = torch.where(counted, values, float("inf")).sort(dim=1).values
    last = (counted.sum(dim=1, keepdim=True) - 1).clamp_min(0)
    place = q * last
    low = place.floor().long()
    below, above = ordered.gather(1, low), ordered.gather(1, torch.minimum(low + 1, last))
    found = torch.lerp(below, above, (place - low).to(values.dtype))
    return torch.where(counted.any(dim=1), found[:, 0], 0.0)


@torch.no_grad()
def keep_in_bounds(gaussians: Gaussians, scale_range: tuple[float, float] | None, clamp_colors: bool) -> None:
    """Bring scales and base colours back into their bounds, in place, after an optimiser step."""
    if scale_range is not None:
        gaussians.scales.clamp_(math.log(scale_range[0]), math.log(scale_range[1]))
    if clamp_colors:
        bound = (0.5 - COLOR_MARGIN) / SH_C0
        gaussians.sh0.clamp_(-bound, bound)
