"""What every distillation method takes and gives back; the trainer knows nothing else about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from sctd.prior.base import Prior
from sctd.text import ViewTexts


@dataclass(frozen=True)
class Guidance:
    """A method's answer for one iteration; feed it back with ``z0.backward(guidance.grad)``."""

    grad: Tensor
    """dL/dz0, [B, C, h, w], weighted, detached. Do not use it when :attr:`finite` is false."""
    scalars: dict[str, float] = field(default_factory=dict)
    """What the log keeps of the iteration: timesteps, weight, residual norms (means over the batch)."""
    offender: str | None = None
    """Name of the first tensor with a non-finite value, else None."""

    @property
    def finite(self) -> bool:
        """Whether the gradient may reach the parameters."""
        return self.offender is None


class Method(Protocol):
    """A distillation method, ready for one run."""

    def __call__(
        self, z0: Tensor, azimuth: Tensor, elevation: Tensor, iteration: int, generator: torch.Generator
    ) -> Guidance:
        """The gradient of one iteration.

        Args:
            z0: latents of the renderings, [B, C, h, w], already times the VAE's scale; only read.
            azimuth, elevation: of the cameras, [B], radians (0 = front, + = its left; 0 = level, + = up).
            iteration: 0-based; together with the run's length it sets the warm-up.
            generator: CPU generator that all draws come from, in a fixed order.

        Returns:
            :class:`Guidance`; a non-finite one is reported there and not raised.
        """
        ...


class MethodFactory(Protocol):
    """What :func:`sctd.methods.get` returns."""

    def __call__(
        self, prior: Prior, texts: ViewTexts, settings: Any, *, iterations: int, seed: int
    ) -> Method:
        """A method for a run of that many iterations.

        Args:
            settings: the section of the config that has the method's name.
            seed: fixes what is drawn once per run.
        """
        ...
