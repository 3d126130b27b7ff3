"""Random backgrounds and scales: what keeps a run from explaining the prompt by the empty space."""

from __future__ import annotations

import torch
from torch import Tensor

from sctd.settings import BackgroundSettings, GaussianSettings


def sample_background(settings: BackgroundSettings, cameras: int, generator: torch.Generator) -> Tensor:
    """One colour for all cameras of an iteration, [C, 3], 0..1, on the CPU.

    The number of draws does not depend on their outcome,
    so that changed settings leave later draws alone.

    Source of kind = mixed: the authors' released code.
    """
    draws = torch.rand(6, generator=generator)
    default = torch.tensor(settings.color, dtype=torch.float32)
    if settings.kind == "grey":
        low, high = settings.grey_range
        color = (low + (high - low) * draws[0]).expand(3)
    elif settings.kind == "mixed" and draws[1] < settings.mixed_probability:
        color = draws[3:6] if draws[2] < 0.5 else torch.zeros(3)
    else:
        color = default
    return color.expand(cameras, 3).contiguous()


def sample_scale_noise(settings: GaussianSettings, n: int, generator: torch.Generator) -> Tensor | None:
    """Factors on the scales of N Gaussians, [N, 3], mean 1, on the CPU; None when this iteration has none.

    Source: the authors' released code (std sqrt(0.2) / 4 in every iteration).
    """
    if settings.scale_noise_probability == 0:
        return None
    noise = 1 + settings.scale_noise_std * torch.randn(n, 3, generator=generator)
    used = torch.rand(1, generator=generator) < settings.scale_noise_probability
    return noise if bool(used) else None
