"""The methods beside SCTD: their common set-up and report; each adds the gradient of an iteration."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

import torch
from torch import Tensor

from sctd.cameras import Viewpoints
from sctd.config.methods import BaselineSettings
from sctd.methods.base import Guidance, Number
from sctd.methods.common import Network, NoiseSource, norms
from sctd.prior.base import Prior
from sctd.schedule import Schedule
from sctd.text import ViewTexts

S = TypeVar("S", bound=BaselineSettings)


class Baseline(ABC, Generic[S]):
    """A :class:`sctd.methods.base.Method` whose gradient a subclass computes in :meth:`gradient`."""

    def __init__(self, prior: Prior, texts: ViewTexts, settings: S, *, iterations: int, seed: int) -> None:
        """See :class:`sctd.methods.base.MethodFactory`."""
        self._settings = settings
        self._schedule = Schedule(prior.traits.alphas_cumprod, settings.t_max)
        self._network = Network(prior, texts, self._schedule)
        self._iterations = iterations
        self._noise = self.noise_source(seed)

    def noise_source(self, seed: int) -> NoiseSource:
        """The method's noise: new in every iteration, unless a subclass says otherwise."""
        return NoiseSource(fixed=False, offset=0.0, seed=seed)

    @torch.no_grad()
    def __call__(
        self, z0: Tensor, cameras: Viewpoints, iteration: int, generator: torch.Generator
    ) -> Guidance:
        """See :class:`sctd.methods.base.Method`; :meth:`gradient` states the number of evaluations."""
        return self.gradient(z0.detach(), self._network.begin(cameras), iteration, generator)

    @abstractmethod
    def gradient(self, z0: Tensor, y: Tensor, iteration: int, generator: torch.Generator) -> Guidance:
        """The gradient of one iteration.

        Args:
            z0: latents of the renderings, [B, C, h, w], detached.
            y: the prompt's embeddings for the views, [B, L, D].
            iteration, generator: as for :class:`sctd.methods.base.Method`.
        """

    def _guidance(
        self, weight: float, residual: Tensor, scalars: dict[str, Number], made: dict[str, Tensor]
    ) -> Guidance:
        """The gradient weight * residual; beside ``scalars`` the log gets weight, evaluations and norm."""
        scalars = {
            **scalars,
            "weight": weight,
            "evaluations": float(self._network.evaluations),
            "residual": norms(residual),
        }
        return Guidance(weight * residual, scalars, lambda: made)
