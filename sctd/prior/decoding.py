"""A Stable-Diffusion-style prior whose decoder lets the gradient through, for losses in pixels."""

from __future__ import annotations

from torch import Tensor

from sctd.prior.diffusers_prior import DiffusersPrior


class DecodingPrior(DiffusersPrior):
    """What :func:`sctd.prior.load_prior` gives for every model in diffusers' layout."""

    def decode(self, latents: Tensor) -> Tensor:
        """[B, C, h, w] => [B, 3, H, W], differentiable and not clamped; see :class:`.Prior`."""
        z = latents.to(self._dtype) / self._scale + self._shift
        images: Tensor = self._vae.decode(z, return_dict=False)[0]
        return images.to(latents) / 2 + 0.5
