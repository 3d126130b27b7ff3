"""An asset without any symmetry, so that no turn or mirror of it goes unseen."""

from __future__ import annotations

import torch

from sctd.gaussians import Gaussians


def lopsided(degree: int, count: int = 40, seed: int = 1) -> Gaussians:
    """Gaussians of moderate numbers, as an asset has them; y up, scattered within about 1 of the origin."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    return Gaussians(
        means=0.3 * normal(count, 3) + torch.tensor([0.1, 0.2, -0.15]),
        scales=-3 + 0.7 * normal(count, 3),
        quats=torch.nn.functional.normalize(normal(count, 4), dim=1),
        opacities=1 + 2 * normal(count),
        sh0=0.8 * normal(count, 1, 3),
        shN=0.2 * normal(count, (degree + 1) ** 2 - 1, 3),
    )
