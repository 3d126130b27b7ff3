"""Step 8 of 9: densification, which adds, moves and removes Gaussians; the base of every strategy.

A strategy is one entry of the table in strategies.py and one class.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sctd.config.asset import DensifySettings
from sctd.gaussians import Gaussians, rotations
from sctd.render import Render
from sctd.splats.optim import GaussianAdam


@dataclass
class Change:
    """M new Gaussians that replace the old ones, and the origin of each."""

    gaussians: Gaussians
    source: Tensor
    """Row of the old Gaussian, [M] int64."""
    fresh: Tensor
    """Adam starts anew for this row, [M] bool."""


Act = Callable[[int, torch.Generator], dict[str, float]]
"""Called with the number of iterations done; returns counts of its changes by name."""


class Strategy:
    """Changes the Gaussians of an optimiser at intervals."""

    def __init__(self, settings: DensifySettings, optimiser: GaussianAdam, iterations: int) -> None:
        self.settings = settings
        self.optimiser = optimiser
        self.last = min(settings.stop, iterations - 1 - settings.rest)
        """The last iteration, 0-based, after which Gaussians may change."""

    def change(self, gaussians: Gaussians, done: int, generator: torch.Generator) -> Change:
        """The Gaussians that replace these, after so many iterations."""
        raise NotImplementedError

    def watches(self, iteration: int) -> bool:
        """Whether :meth:`watch` needs the screen-space gradients of this iteration."""
        return False

    def watch(self, rendered: Render, g_means2d: Tensor, norms: Tensor | None = None) -> None:
        """Add the gradient of ``rendered.meta["means2d"]``; as :meth:`after_step` for ``norms``."""

    def after_step(
        self, iteration: int, generator: torch.Generator, norms: Tensor | None = None
    ) -> dict[str, float]:
        """Change the Gaussians if it is time after this 0-based iteration; returns counts by name.

        Waits for the device only when it changes the number of Gaussians. Nothing changes if one of ``norms``
        is not finite.
        """
        if iteration > self.last:
            return {}
        self.always(iteration, generator, norms)
        due = self.due(iteration)
        if not due or (norms is not None and not bool(norms.isfinite().all())):
            return {}
        return {name: value for act in due for name, value in act(iteration + 1, generator).items()}

    def always(self, iteration: int, generator: torch.Generator, norms: Tensor | None) -> None:
        """Work after every iteration up to the last, without waiting for the device."""

    def due(self, iteration: int) -> list[Act]:
        """The changes after this 0-based iteration, in order."""
        done = iteration + 1
        changes = done >= max(1, self.settings.start) and done % self.settings.every == 0
        return [self._replace] if changes else []

    def _replace(self, done: int, generator: torch.Generator) -> dict[str, float]:
        before = len(self.optimiser.gaussians)
        change = self.change(self.optimiser.gaussians.detach(), done, generator)
        self.optimiser.replace(change.gaussians, change.source, change.fresh)
        return {"added": float(len(change.gaussians) - before), "renewed": float(change.fresh.sum())}

    def state_dict(self) -> dict[str, Tensor]:
        """Statistics for the checkpoint."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore :meth:`state_dict`."""


class Still(Strategy):
    """A strategy without changes."""

    def due(self, iteration: int) -> list[Act]:
        """Nothing."""
        return []


def gather(gaussians: Gaussians, source: Tensor) -> Gaussians:
    """The Gaussians of some rows, [M] int64, as copies."""
    return Gaussians(**{name: p[source] for name, p in gaussians.parameters().items()})


def offsets(gaussians: Gaussians, rows: Tensor, spread: float, generator: torch.Generator) -> Tensor:
    """Draws from some Gaussians' own normal distributions, times ``spread``, [len(rows), 3], world units."""
    draw = torch.randn(len(rows), 3, generator=generator).to(gaussians.means)
    along = spread * torch.exp(gaussians.scales[rows]) * draw
    return (rotations(gaussians.quats[rows]) @ along[:, :, None])[:, :, 0]
