"""A prior with a known answer: a Gaussian mixture, whose noise prediction is exact at every level. For tests.

Nothing is learnt, so tests can check the identities and the error bound of the method to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from sctd.cameras import Viewpoints
from sctd.errors import PromptError
from sctd.prior.base import Timestep, Traits


def scaled_linear_alphas_cumprod(count: int = 1000, first: float = 0.00085, last: float = 0.012) -> Tensor:
    """Stable Diffusion's noise levels: betas linear in their square roots; abar_t, [count], float64."""
    betas = torch.linspace(first**0.5, last**0.5, count, dtype=torch.float64) ** 2
    return torch.cumprod(1 - betas, 0)


class AnalyticPrior:
    """Latents distributed as sum_k w_k N(mean_k, spread_k^2 I); each label in a text selects components.

    Implements :class:`sctd.prior.base.Prior`. A label is a word that stands for some components; a text
    keeps those that all its labels share; without any label, so also when empty, it keeps them all.
    """

    def __init__(
        self,
        means: Tensor,
        spreads: Tensor,
        weights: Tensor,
        labels: Mapping[str, Sequence[int]],
        *,
        factor: int = 4,
    ) -> None:
        """A mixture of K components over latents of shape (C, h, w).

        Args:
            means: [K, C, h, w], float32 or float64: the dtype of the prior.
            spreads: [K], standard deviations, > 0.
            weights: [K], > 0, any sum.
            labels: word -> its components.
            factor: pixels per latent, in each direction; images have 3 channels.
        """
        self._means = means
        self._log_weights = (weights / weights.sum()).log().to(means)
        self._spreads2 = (spreads**2).to(means)
        self._labels = dict(labels)
        self._factor = factor
        _, channels, height, width = means.shape
        self.traits = Traits(
            device=means.device,
            dtype=means.dtype,
            image_size=width * factor,
            latent_shape=(channels, height, width),
            alphas_cumprod=scaled_linear_alphas_cumprod(),
        )
        """The noise levels are Stable Diffusion's; it predicts the noise, the same from every side."""
        # any fixed full-rank map from colours to channels serves as a VAE
        self._mix = torch.eye(max(channels, 3)).to(means)[:channels, :3] + 0.1
        self.evaluations = 0
        """Images whose noise was predicted so far."""

    def check_prompt(self, prompt: str, texts: Sequence[str] = ()) -> None:
        """Raises PromptError for a prompt that contains no label."""
        if not any(label in prompt for label in self._labels):
            raise PromptError(f"prompt {prompt!r} has none of the words {', '.join(sorted(self._labels))}")

    def encode_text(self, texts: list[str]) -> Tensor:
        """n texts => [n, 1, K]: 1 where the component belongs to the text."""
        rows = []
        for text in texts:
            parts = [ks for label, ks in self._labels.items() if label in text]
            row = [1.0 if all(k in part for part in parts) else 0.0 for k in range(len(self._means))]
            if not any(row):
                raise PromptError(f"text {text!r} names components that have none in common")
            rows.append(row)
        return torch.tensor(rows, dtype=self._means.dtype, device=self._means.device)[:, None]

    def encode_cameras(self, views: Viewpoints) -> None:
        """None."""

    @torch.no_grad()
    def predict(
        self, latents: Tensor, t: Timestep, embeddings: Tensor, cameras: Tensor | None = None
    ) -> Tensor:
        """The exact noise prediction, -sigma_t times the score of the noised mixture; [B, C, h, w].

        z_t ~ sum_k w_k N(alpha mean_k, (alpha^2 spread_k^2 + sigma^2) I), hence
        eps = sigma sum_k p(k | z_t) (z_t - alpha mean_k) / (alpha^2 spread_k^2 + sigma^2).
        """
        if isinstance(t, int):
            return self.noise_at(latents, float(self.traits.alphas_cumprod[t]), embeddings)
        each = zip(t.tolist(), latents.split(1), embeddings.split(1), strict=True)
        return torch.cat([self.predict(z, at, y) for at, z, y in each])

    def noise_at(self, latents: Tensor, abar: float, embeddings: Tensor) -> Tensor:
        """:meth:`predict` at any noise level, between timesteps too; for reference integrators."""
        self.evaluations += latents.shape[0]
        alpha, sigma = math.sqrt(abar), math.sqrt(1 - abar)
        variance = alpha**2 * self._spreads2 + sigma**2  # [K]
        away = (latents[:, None] - alpha * self._means[None]).flatten(2)  # [B, K, n]
        size = away.shape[-1]
        log_p = (
            self._log_weights
            + embeddings[:, 0].to(latents).log()
            - 0.5 * (away**2).sum(-1) / variance
            - 0.5 * size * variance.log()
        )
        share = torch.softmax(log_p, dim=1) / variance  # [B, K]
        return sigma * torch.einsum("bk,bkn->bn", share, away).view_as(latents)

    def posterior_noise(self, images: Tensor, generator: torch.Generator) -> None:
        """None: latents are exact."""

    def encode_images(self, images: Tensor, noise: Tensor | None = None) -> Tensor:
        """[B, 3, H, W] => block means, colours mixed to C channels; no posterior noise."""
        small = F.avg_pool2d(images.to(self._means.dtype) * 2 - 1, self._factor)
        return torch.einsum("cr,brhw->bchw", self._mix, small)

    def decode(self, latents: Tensor) -> Tensor:
        """[B, C, h, w] => [B, 3, H, W]; least-squares inverse of :meth:`encode_images`, linear."""
        small = torch.einsum("rc,bchw->brhw", torch.linalg.pinv(self._mix), latents)
        return F.interpolate(small / 2 + 0.5, scale_factor=self._factor, mode="nearest")
