"""Clone, split, prune, opacity reset. Source: Kerbl et al. 2023, section 5.2."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sctd.config.asset import DensifySettings
from sctd.gaussians import Gaussians
from sctd.render import Render
from sctd.splats.densify import Act, Change, Strategy, gather, offsets
from sctd.splats.optim import GaussianAdam

SPLIT_SHRINK = 1.6
"""The halves of a split Gaussian are this much smaller (Kerbl et al. 2023: "determined experimentally")."""


class ScreenStatistics:
    """Statistics of the original strategy: screen-space gradients and radii since the last change.

    All cameras of a batch count, not only the last one as in the released code.
    """

    def __init__(self, n: int, device: torch.device | str = "cpu") -> None:
        self.gradient = torch.zeros(n, device=device)
        self.count = torch.zeros(n, device=device)
        self.radius = torch.zeros(n, device=device)

    def add(self, rendered: Render, g_means2d: Tensor, norms: Tensor | None = None) -> None:
        """Add one backward pass.

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
        """[N], image halves; 0 for a Gaussian that no camera saw."""
        return self.gradient / self.count.clamp_min(1)

    def state_dict(self) -> dict[str, Tensor]:
        """For the checkpoint."""
        return {"gradient": self.gradient, "count": self.count, "radius": self.radius}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore :meth:`state_dict`."""
        device = self.gradient.device
        self.gradient, self.count, self.radius = (
            state[k].to(device) for k in ("gradient", "count", "radius")
        )


class Original(Strategy):
    """:func:`grow_and_prune` by what the screen shows, and opacities that are reset now and then."""

    def __init__(self, settings: DensifySettings, optimiser: GaussianAdam, iterations: int) -> None:
        super().__init__(settings, optimiser, iterations)
        self.last_reset = min(self.last, iterations - 1 - settings.reset_rest)
        """The last one after which opacities may be reset: later ones would leave them low in the asset."""
        self._watch_anew()

    def _watch_anew(self) -> None:
        means = self.optimiser.gaussians.means
        self.statistics = ScreenStatistics(means.shape[0], means.device)

    def watches(self, iteration: int) -> bool:
        """Whether Gaussians may still change."""
        return iteration <= self.last

    def watch(self, rendered: Render, g_means2d: Tensor, norms: Tensor | None = None) -> None:
        """See :class:`.Strategy`."""
        self.statistics.add(rendered, g_means2d, norms)

    def due(self, iteration: int) -> list[Act]:
        """A change, a reset, or both."""
        resets = (iteration + 1) % self.settings.reset_every == 0 and iteration <= self.last_reset
        return [*super().due(iteration), *([self._reset_opacities] if resets else [])]

    def change(self, gaussians: Gaussians, done: int, generator: torch.Generator) -> Change:
        """See :class:`.Strategy`."""
        return grow_and_prune(gaussians, self.statistics, self.settings, done, generator)

    def _replace(self, done: int, generator: torch.Generator) -> dict[str, float]:
        report = super()._replace(done, generator)
        self._watch_anew()
        return report

    @torch.no_grad()
    def _reset_opacities(self, done: int, generator: torch.Generator) -> dict[str, float]:
        logit = math.log(self.settings.reset_opacity / (1 - self.settings.reset_opacity))
        self.optimiser.gaussians.opacities.clamp_(max=logit)
        self.optimiser.reset_moments("opacities")
        return {"opacity_reset": 1.0}

    def state_dict(self) -> dict[str, Tensor]:
        """What was watched."""
        return self.statistics.state_dict()

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """See :class:`.Strategy`."""
        self.statistics.load_state_dict(state)


def grow_and_prune(
    gaussians: Gaussians,
    statistics: ScreenStatistics,
    settings: DensifySettings,
    done: int,
    generator: torch.Generator,
) -> Change:
    """Clone small and split large Gaussians with large gradients, then remove faint and oversized ones.

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
        result.means[new] += offsets(result, new, 1.0, generator)
        result.scales[new] -= math.log(SPLIT_SHRINK)
    fresh = torch.ones(len(source), dtype=torch.bool, device=source.device)
    fresh[: len(survivors)] = False
    # no camera has seen the new ones yet
    radius = torch.where(fresh, 0.0, statistics.radius[source])
    keep = (_kept(result, radius, settings, done)).nonzero()[:, 0]
    return Change(gather(result, keep), source[keep], fresh[keep])


def _kept(gaussians: Gaussians, radius: Tensor, settings: DensifySettings, done: int) -> Tensor:
    """Gaussians that pruning keeps, [N] bool; at least the most opaque: an empty scene would stay empty."""
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
