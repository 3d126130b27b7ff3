"""Moves dead Gaussians onto live ones, which hardly changes the image.

Source: Kheradmand et al. 2024, "3D Gaussian Splatting as Markov Chain Monte Carlo".
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sctd.config.asset import DensifySettings
from sctd.gaussians import Gaussians, rotations
from sctd.machine import transfer
from sctd.splats.densify import Change, Strategy, gather, offsets

MOST_COPIES = 51
"""Opacity and scale are lowered as for at most this many in one place (the limit of the published code)."""


class Relocate(Strategy):
    """:func:`relocate`, and noise on faint Gaussians in between."""

    def change(self, gaussians: Gaussians, done: int, generator: torch.Generator) -> Change:
        """See :class:`.Strategy`."""
        return relocate(gaussians, self.settings, generator)

    def always(self, iteration: int, generator: torch.Generator, norms: Tensor | None) -> None:
        """The noise, if the settings enable it."""
        if self.settings.position_noise:
            self._shake(iteration, generator, norms)

    @torch.no_grad()
    def _shake(self, iteration: int, generator: torch.Generator, norms: Tensor | None) -> None:
        """Noise along each Gaussian's axes, which affects only faint ones. Source: Kheradmand et al. 2024."""
        g = self.optimiser.gaussians
        draw = transfer.to_device(torch.randn(len(g), 3, generator=generator), g.means.device)
        # The sigmoid with slope 100 about 0.005 is the paper's: 1 for a dead Gaussian, 0 from opacity 0.1 on.
        faint = torch.sigmoid(-100 * (torch.sigmoid(g.opacities) - self.settings.dead_opacity))
        step = self.settings.position_noise * self.optimiser.rate("means", iteration)
        rotation = rotations(g.quats)
        variance = torch.exp(2 * g.scales)
        along = (rotation * variance[:, None, :] @ (rotation.transpose(1, 2) @ draw[:, :, None]))[:, :, 0]
        move = step * faint[:, None] * along
        g.means.add_(move if norms is None else torch.where(norms.isfinite().all(), move, 0))


def relocate(gaussians: Gaussians, settings: DensifySettings, generator: torch.Generator) -> Change:
    """Move dead Gaussians onto live ones drawn by opacity, and add a share of new ones up to the cap.

    A live Gaussian and its copies together look about like the original, see :func:`_share`. Nothing changes
    when all are dead.

    Source: Kheradmand et al. 2024, the relocation formula of its section on recycling dead Gaussians.
    """
    n = len(gaussians)
    opacity = torch.sigmoid(gaussians.opacities)
    dead = (opacity < settings.dead_opacity).nonzero()[:, 0]
    extra = max(0, min(math.floor(n * settings.growth), settings.max_count - n))
    source = torch.arange(n, device=opacity.device)
    weights = torch.where(opacity < settings.dead_opacity, 0.0, opacity).double().cpu()
    if len(dead) + extra == 0 or float(weights.sum()) == 0:
        return Change(gather(gaussians, source), source, torch.zeros_like(source, dtype=torch.bool))

    # Inverse of the cumulative sum: torch.multinomial takes at most 2^24 weights.
    sums = weights.cumsum(0)
    draws = torch.rand(len(dead) + extra, generator=generator, dtype=torch.float64) * sums[-1]
    chosen = torch.searchsorted(sums, draws, right=True).clamp_max(n - 1).to(source.device)
    source[dead] = chosen[: len(dead)]
    source = torch.cat((source, chosen[len(dead) :]))
    result = gather(gaussians, source)

    copies = torch.bincount(source, minlength=n)[source].clamp_max(MOST_COPIES)
    shared = copies > 1
    new_opacity, factor = _share(opacity[source[shared]], copies[shared])
    result.opacities[shared] = torch.logit(new_opacity.clamp(settings.dead_opacity, 0.999)).to(
        result.opacities
    )
    result.scales[shared] += torch.log(factor)[:, None].to(result.scales)

    # Copies in one place would get equal gradients and never separate.
    moved = torch.cat((dead, torch.arange(n, len(source), device=source.device)))
    result.means[moved] += offsets(result, moved, settings.spread, generator)
    return Change(result, source, shared)


def _share(opacity: Tensor, copies: Tensor) -> tuple[Tensor, Tensor]:
    """Opacity and scale factor of each of ``copies`` Gaussians that stand for one; [K] 0..1, [K] int >= 1.

    opacity' = 1 - (1 - opacity)^(1/M)
    factor   = opacity / sum_i sum_k C(i-1, k) (-1)^k opacity'^(k+1) / sqrt(k+1)
    The inner sum alternates with binomials up to C(50, 25): it is evaluated as the integral over x of
    1 - (1 - opacity' exp(-pi x^2))^M, which is the same and stable.
    """
    opacity, m = opacity.double(), copies.double()
    shared = 1 - (1 - opacity) ** (1 / m)
    x = torch.linspace(-3, 3, 601, dtype=torch.float64, device=opacity.device)  # exp(-9 pi) is below 1e-12
    seen = 1 - (1 - shared[:, None] * torch.exp(-math.pi * x.square())) ** m[:, None]
    width = torch.trapezoid(seen, x, dim=1)
    return shared, (opacity / width).clamp(max=1.0)
