"""Step 8 of 9: where Gaussians are added, moved and removed.

Two strategies: "original" (Kerbl et al. 2023, section 5.2: clone, split, prune, opacity reset),
and "relocate" (Kheradmand et al. 2024, "3D Gaussian Splatting as Markov Chain Monte Carlo": dead Gaussians
move onto live ones, and the image stays about the same).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from sctd.config.asset import DensifySettings
from sctd.gaussians import Gaussians, rotations
from sctd.machine import transfer
from sctd.render import Render
from sctd.splats.optim import GaussianAdam

SPLIT_SHRINK = 1.6
"""The halves of a split Gaussian are this much smaller (Kerbl et al. 2023: "determined experimentally")."""

MOST_COPIES = 51
"""Opacity and scale are lowered as for at most this many in one place (the limit of the published code)."""


@dataclass
class Change:
    """M new Gaussians in place of the old ones, and where each comes from."""

    gaussians: Gaussians
    source: Tensor
    """Row of the old Gaussian, [M] int64."""
    fresh: Tensor
    """Adam starts anew for this row, [M] bool."""


class ScreenStatistics:
    """What the original strategy decides by: screen-space gradients and radii since the last change.

    All cameras of a batch count, not only the last one as in the released code.
    """

    def __init__(self, n: int, device: torch.device | str = "cpu") -> None:
        self.gradient = torch.zeros(n, device=device)
        self.count = torch.zeros(n, device=device)
        self.radius = torch.zeros(n, device=device)

    def add(self, rendered: Render, g_means2d: Tensor, norms: Tensor | None = None) -> None:
        """Take in one backward pass.

        Args:
            g_means2d: gradient of ``rendered.meta["means2d"]``.
            norms: see :func:`sctd.ops.watch_screen_`, which turns pixels into halves of the image, the unit
                of the published thresholds.
        """
        from sctd.ops import watch_screen_

        meta = rendered.meta
        size = (meta["width"], meta["height"])
        kept = (self.gradient, self.count, self.radius)
        watch_screen_(*kept, g_means2d, meta["radii"], size, norms=norms)

    def mean_gradient(self) -> Tensor:
        """[N], image halves; 0 for a Gaussian that nobody saw."""
        return self.gradient / self.count.clamp_min(1)

    def state_dict(self) -> dict[str, Tensor]:
        """For the checkpoint."""
        return {"gradient": self.gradient, "count": self.count, "radius": self.radius}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take over :meth:`state_dict`."""
        device = self.gradient.device
        self.gradient, self.count, self.radius = (
            state[k].to(device) for k in ("gradient", "count", "radius")
        )


class Densifier:
    """Changes the Gaussians of an optimiser when it is time to."""

    def __init__(self, settings: DensifySettings, optimiser: GaussianAdam, iterations: int) -> None:
        self.settings = settings
        self.optimiser = optimiser
        self.last = min(settings.stop, iterations - 1 - settings.rest)
        """The last iteration, 0-based, after which Gaussians may change."""
        self.last_reset = min(self.last, iterations - 1 - settings.reset_rest)
        """The last one after which opacities may be reset: later ones would leave them low in the asset."""
        self.statistics = self._new_statistics()

    def _new_statistics(self) -> ScreenStatistics:
        means = self.optimiser.gaussians.means
        return ScreenStatistics(means.shape[0], means.device)

    def watches(self, iteration: int) -> bool:
        """Whether the screen-space gradients of this iteration are needed."""
        return self.settings.strategy == "original" and iteration <= self.last

    def after_step(
        self, iteration: int, generator: torch.Generator, norms: Tensor | None = None
    ) -> dict[str, float]:
        """Change the Gaussians if this 0-based iteration is one for it; what was done, by name.

        Waits for the device only where Gaussians come and go. Nothing changes where one of ``norms`` is not
        finite.
        """
        s, done = self.settings, iteration + 1
        if s.strategy == "none" or iteration > self.last:
            return {}
        if s.strategy == "relocate" and s.position_noise:
            self._shake(iteration, generator, norms)
        changes = done >= max(1, s.start) and done % s.every == 0
        resets = s.strategy == "original" and done % s.reset_every == 0 and iteration <= self.last_reset
        if not (changes or resets) or (norms is not None and not bool(norms.isfinite().all())):
            return {}
        report: dict[str, float] = {}
        if changes:
            report = self._change(done, generator)
        if resets:
            self._reset_opacities()
            report["opacity_reset"] = 1.0
        return report

    def _change(self, done: int, generator: torch.Generator) -> dict[str, float]:
        gaussians, before = self.optimiser.gaussians.detach(), len(self.optimiser.gaussians)
        if self.settings.strategy == "original":
            change = grow_and_prune(gaussians, self.statistics, self.settings, done, generator)
        else:
            change = relocate(gaussians, self.settings, generator)
        self.optimiser.replace(change.gaussians, change.source, change.fresh)
        self.statistics = self._new_statistics()
        return {"added": float(len(change.gaussians) - before), "renewed": float(change.fresh.sum())}

    @torch.no_grad()
    def _shake(self, iteration: int, generator: torch.Generator, norms: Tensor | None) -> None:
        """Noise along each Gaussian's own axes that only faint ones feel. Source: Kheradmand et al. 2024."""
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

    @torch.no_grad()
    def _reset_opacities(self) -> None:
        logit = math.log(self.settings.reset_opacity / (1 - self.settings.reset_opacity))
        self.optimiser.gaussians.opacities.clamp_(max=logit)
        self.optimiser.reset_moments("opacities")


def gather(gaussians: Gaussians, source: Tensor) -> Gaussians:
    """The Gaussians of some rows, [M] int64, as copies."""
    return Gaussians(**{name: p[source] for name, p in gaussians.parameters().items()})


def grow_and_prune(
    gaussians: Gaussians,
    statistics: ScreenStatistics,
    settings: DensifySettings,
    done: int,
    generator: torch.Generator,
) -> Change:
    """Clone small and split large Gaussians that the loss pulls at, then remove faint and oversized ones.

    Survivors come first in their old order, then clones, then the halves of the split ones. Growing comes
    first, so that a large Gaussian may be split before its size is judged.

    Source: Kerbl et al. 2023, section 5.2, in the order of their released code.
    """
    grow = statistics.mean_gradient() >= settings.grad_threshold
    faint = torch.sigmoid(gaussians.opacities) < settings.dead_opacity
    grow &= ~faint  # its copies would be as faint, and go
    grow = _strongest(grow, statistics.mean_gradient(), settings.max_count - int((~faint).sum()))
    largest = torch.exp(gaussians.scales).amax(dim=1)
    split = grow & (largest > settings.split_fraction * settings.extent)
    survivors, clones, halves = (m.nonzero()[:, 0] for m in (~split, grow & ~split, split))
    halves = halves.repeat(2)
    source = torch.cat((survivors, clones, halves))
    result = gather(gaussians, source)
    if len(halves):
        new = torch.arange(len(source) - len(halves), len(source), device=source.device)
        result.means[new] += _offsets(result, new, 1.0, generator)
        result.scales[new] -= math.log(SPLIT_SHRINK)
    fresh = torch.ones(len(source), dtype=torch.bool, device=source.device)
    fresh[: len(survivors)] = False
    # nobody has seen the new ones yet
    radius = torch.where(fresh, 0.0, statistics.radius[source])
    keep = (_kept(result, radius, settings, done)).nonzero()[:, 0]
    return Change(gather(result, keep), source[keep], fresh[keep])


def _kept(gaussians: Gaussians, radius: Tensor, settings: DensifySettings, done: int) -> Tensor:
    """Which Gaussians pruning leaves, [N] bool; at least the most opaque, as an empty scene stays empty."""
    keep = torch.sigmoid(gaussians.opacities) >= settings.dead_opacity
    if done > settings.prune_big_after:
        keep &= torch.exp(gaussians.scales).amax(dim=1) <= settings.prune_fraction * settings.extent
        if settings.prune_screen_px is not None:
            keep &= radius <= settings.prune_screen_px
    if not keep.any():
        keep[gaussians.opacities.argmax()] = True
    return keep


def _strongest(mask: Tensor, strength: Tensor, room: int) -> Tensor:
    """At most ``room`` true entries of a mask, those of greatest strength."""
    if int(mask.sum()) <= room:
        return mask
    order = torch.where(mask, strength, -1.0).argsort(descending=True, stable=True)
    kept = torch.zeros_like(mask)
    kept[order[: max(room, 0)]] = True
    return kept


def relocate(gaussians: Gaussians, settings: DensifySettings, generator: torch.Generator) -> Change:
    """Move dead Gaussians onto live ones drawn by opacity, and add a share of new ones up to the cap.

    A live Gaussian and its copies together look about as it did before, see :func:`_share`. Nothing changes
    when all are dead: there is nowhere to go.

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

    # Twins in one place would get equal gradients and never part.
    moved = torch.cat((dead, torch.arange(n, len(source), device=source.device)))
    result.means[moved] += _offsets(result, moved, settings.spread, generator)
    return Change(result, source, shared)


def _offsets(gaussians: Gaussians, rows: Tensor, spread: float, generator: torch.Generator) -> Tensor:
    """Draws from some Gaussians' own normal distributions, times ``spread``, [len(rows), 3], world units."""
    draw = torch.randn(len(rows), 3, generator=generator).to(gaussians.means)
    along = spread * torch.exp(gaussians.scales[rows]) * draw
    return (rotations(gaussians.quats[rows]) @ along[:, :, None])[:, :, 0]


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
