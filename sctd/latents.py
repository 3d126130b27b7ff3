"""Step 5 of 9: a rendering in, latents of the prior's VAE out, with the gradient left open."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from sctd.prior.base import Prior


def render_to_latents(
    prior: Prior,
    rgb: Tensor,
    disparity: Tensor | None,
    as_latent: float,
    generator: torch.Generator,
) -> tuple[Tensor, bool]:
    """Encodes the colours, or now and then the normalised disparity as a grey picture: that shapes geometry.

    Args:
        rgb: [B, 3, H, W] in 0..1, any size; resized to the prior's when it differs.
        disparity: [B, 1, H, W] >= 0, 1 / depth, or None when ``as_latent`` is 0.
        as_latent: probability of the disparity, one draw for the whole batch.
        generator: CPU generator of that draw and of the VAE's posterior sample.

    Returns:
        (latents [B, C, h, w] times the VAE's scale, differentiable; whether the disparity was encoded).
    """
    from sctd.ops import stretched

    from_disparity = False
    if as_latent > 0:
        from_disparity = float(torch.rand(1, generator=generator)) < as_latent
    if from_disparity:
        if disparity is None:
            raise ValueError("as_latent > 0 needs a disparity, got None")
        images = stretched(disparity)
    else:
        images = rgb
    images = fit(images, prior.image_size)
    return prior.encode_images(images, prior.posterior_noise(images, generator)), from_disparity


def fit(images: Tensor, size: int) -> Tensor:
    """[B, 3, H, W] => [B, 3, size, size], bilinear with antialiasing; untouched when it already fits."""
    if images.shape[-2:] == (size, size):
        return images
    return F.interpolate(images, (size, size), mode="bilinear", antialias=True, align_corners=False)
