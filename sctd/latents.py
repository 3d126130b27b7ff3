"""Step 5 of 9: renderings => latents of the prior's VAE, differentiable."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from sctd.prior.base import Prior


class Encoded(NamedTuple):
    """The latents of an iteration, and their pictures."""

    z0: Tensor
    """[B, C, h, w], times the VAE's scale, differentiable."""
    images: Tensor | None
    """The encoded pictures, [B, 3, size, size], 0..1, differentiable; None where none was encoded."""
    from_disparity: bool
    """Whether these show the disparity instead of the colours."""
    mirrored: bool
    """Whether left and right are exchanged in all of them."""


def render_to_latents(
    prior: Prior,
    rgb: Tensor,
    disparity: Tensor | None,
    generator: torch.Generator,
    *,
    latents: Tensor | None = None,
    as_latent: float = 0.0,
    flip: float = 0.0,
) -> Encoded:
    """Encode the colours, or at random the disparity as a grey picture, which improves geometry.

    Args:
        rgb: [B, 3, H, W] in 0..1, any size; resized to the prior's when it differs.
        disparity: its picture, [B, 1, H, W] in 0..1, or None when ``as_latent`` is 0.
        latents: [B, C, H, W], any size, channels and units of the prior's latents: they are taken instead of
            encoded colours.
        generator: CPU generator of the draws and of the VAE's posterior sample.
        as_latent: probability of the disparity, one draw for the whole batch.
        flip: probability of mirrored pictures, one draw for the whole batch. Source: the authors' released
            code, guidance/sctd_utils.py.
    """
    from_disparity = as_latent > 0 and _happens(as_latent, generator)
    if not from_disparity:
        images = rgb
    elif disparity is None:
        raise ValueError("as_latent > 0 needs a disparity, got None")
    else:
        images = disparity.expand(-1, 3, -1, -1)
    mirrored = flip > 0 and _happens(flip, generator)
    if latents is not None and not from_disparity:
        given = resized(latents.flip(-1) if mirrored else latents, prior.traits.latent_shape[-1])
        return Encoded(given, None, False, mirrored)
    images = resized(images.flip(-1) if mirrored else images, prior.traits.image_size)
    z0 = prior.encode_images(images, prior.posterior_noise(images, generator))
    return Encoded(z0, images, from_disparity, mirrored)


def _happens(probability: float, generator: torch.Generator) -> bool:
    return float(torch.rand(1, generator=generator)) < probability


def resized(images: Tensor, size: int) -> Tensor:
    """[B, C, H, W] => [B, C, size, size], bilinear with antialiasing; untouched when it already fits."""
    if images.shape[-2:] == (size, size):
        return images
    return F.interpolate(images, (size, size), mode="bilinear", antialias=True, align_corners=False)
