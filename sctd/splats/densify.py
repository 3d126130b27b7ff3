"""Step 8 of 9: where Gaussians are added, moved and removed: what every strategy has.

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
    """M new Gaussians in place of the old ones, and where each comes from."""

    gaussians: Gaussians
    source: Tensor
    """Row of the old Gaussian, [M] int64."""
    fresh: Tensor
    """Adam starts anew for this row, [M] bool."""


Act = Callable[[int, torch.Generator], dict[str, float]]
"""What is done after so many iterations; what it did, by name."""


class Strategy:
    """Changes the Gaussians of an optimiser when it is time to."""

    def __init__(self, settings: DensifySettings, optimiser: GaussianAdam, iterations: int) -> None:
        self.settings = settings
        self.optimiser = optimiser
        self.last = min(settings.stop, iterations - 1 - settings.rest)
        """The last iteration, 0-based, after which Gaussians may change."""

    def change(self, gaussians: Gaussians, done: int, generator: torch.Generator) -> Change:
        """The Gaussians that are to stand in the place of these, after so many iterations."""
        raise NotImplementedError

    def watches(self, iteration: int) -> bool:
        """Whether :meth:`watch` wants the screen-space gradients of this iteration."""
        return False

    def watch(self, rendered: Render, g_means2d: Tensor, norms: Tensor | None = None) -> None:
        """Take in the gradient of ``rendered.meta["means2d"]``; as :meth:`after_step` for ``norms``."""

    def after_step(
        self, iteration: int, generator: torch.Generator, norms: Tensor | None = None
    ) -> dict[str, float]:
        """Change the Gaussians if this 0-based iteration is one for it; what was done, by name.

        Waits for the device only where Gaussians come and go. Nothing changes where one of ``norms`` is not
        finite.
        """
        if iteration > self.last:
            return {}
        self.always(iteration, generator, norms)
        due = self.due(iteration)
        if not due or (norms is not None and not bool(norms.isfinite().all())):
            return {}
        return {name: value for act in due for name, value in act(iteration + 1, generator).items()}

    def always(self, iteration: int, generator: torch.Generator, norms: Tensor | None) -> None:
        """What happens after every iteration up to the last, without waiting for the device."""

    def due(self, iteration: int) -> list[Act]:
        """What there is to do after this 0-based iteration, in order."""
        done = iteration + 1
        changes = done >= max(1, self.settings.start) and done % self.settings.every == 0
        return [self._replace] if changes else []

    def _replace(self, done: int, generator: torch.Generator) -> dict[str, float]:
        before = len(self.optimiser.gaussians)
        change = self.change(self.optimiser.gaussians.detach(), done, generator)
        self.optimiser.replace(change.gaussians, change.source, change.fresh)
        return {"added": float(len(change.gaussians) - before), "renewed": float(change.fresh.sum())}

    def state_dict(self) -> dict[str, Tensor]:
        """For the checkpoint: what it decides by, beside the Gaussians."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take over :meth:`state_dict`."""


class Still(Strategy):
    """No Gaussian comes or goes."""

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
