"""Random backgrounds and scales, which keep a run from satisfying the prompt with the background."""

from __future__ import annotations

import torch
from torch import Tensor

from sctd.config.asset import BackgroundSettings, GaussianSettings


def sample_background(settings: BackgroundSettings, cameras: int, generator: torch.Generator) -> Tensor:
    """The colours behind the cameras of an iteration, [C, 3], 0..1, on the CPU.

    All cameras share a grey; a mixed colour is drawn for each of them. The number of draws does not depend on
    their outcome.

    Source of kind = mixed: the authors' released code (gaussian_renderer/__init__.py).
    """
    draws = torch.rand(cameras if settings.kind == "mixed" else 1, 6, generator=generator)
    color = torch.tensor(settings.color, dtype=torch.float32).expand(cameras, 3)
    if settings.kind == "grey":
        low, high = settings.grey_range
        color = (low + (high - low) * draws[:, :1]).expand(cameras, 3)
    elif settings.kind == "mixed":
        other = torch.where(draws[:, 2:3] < 0.5, draws[:, 3:], 0.0)
        color = torch.where(draws[:, 1:2] < settings.mixed_probability, other, color)
    return color.contiguous()


def sample_scale_noise(settings: GaussianSettings, n: int, generator: torch.Generator) -> Tensor | None:
    """Factors on the scales of N Gaussians, [N, 3], mean 1, on the CPU; None when this iteration has none.

    Source: the authors' released code (std sqrt(0.2) / 4 in every iteration).
    """
    if settings.scale_noise_probability == 0:
        return None
    noise = 1 + settings.scale_noise_std * torch.randn(n, 3, generator=generator)
    used = torch.rand(1, generator=generator) < settings.scale_noise_probability
    return noise if bool(used) else None
