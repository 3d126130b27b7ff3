"""The interface between the trainer and every distillation method."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from sctd.cameras import Viewpoints
from sctd.prior.base import Prior
from sctd.text import ViewTexts

Number = float | Tensor
"""A known number, or a tensor that the device may still compute: one value an image; the log has the mean."""


@dataclass(frozen=True)
class Guidance:
    """A method's answer for one iteration; feed it back with ``z0.backward(guidance.grad)``.

    The device may still be computing it. Only members whose docstring says so wait for the device.
    """

    grad: Tensor
    """dL/dz0, [B, C, h, w], weighted, detached. Do not use it when there is an :attr:`offender`."""
    scalars: dict[str, Number] = field(default_factory=dict)
    """Numbers for the log: timesteps, weight, residual norms."""
    made: Callable[[], dict[str, Tensor]] = dict
    """The tensors that led to the gradient, in the order of computation, to find the first non-finite one."""
    of_pictures: Tensor | None = None
    """dL/dx of the encoded pictures, [B, 3, size, size] in 0..1, beside that of the latents."""

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The scalars that the device computes."""
        return {name: value for name, value in self.scalars.items() if isinstance(value, Tensor)}

    def numbers(self, read: Mapping[str, Tensor] | None = None) -> dict[str, float]:
        """The scalars as numbers, without those that are not finite.

        Args:
            read: :attr:`tensors` on the CPU; None waits for them.
        """
        read = self.tensors if read is None else read
        numbers = {
            name: float(read[name].double().mean()) if isinstance(value, Tensor) else value
            for name, value in self.scalars.items()
        }
        return {name: number for name, number in numbers.items() if math.isfinite(number)}

    @property
    def offender(self) -> str | None:
        """Name of the first tensor with a non-finite value, None if the gradient has none; waits."""
        if bool(torch.isfinite(self.grad).all()):
            return None
        for name, tensor in self.made().items():
            if not bool(torch.isfinite(tensor).all()):
                return name
        return "gradient"


class Method(Protocol):
    """A distillation method, ready for one run."""

    def __call__(
        self, z0: Tensor, cameras: Viewpoints, iteration: int, generator: torch.Generator
    ) -> Guidance:
        """The gradient of one iteration.

        Args:
            z0: latents of the renderings, [B, C, h, w], already times the VAE's scale; only read.
            cameras: the viewpoints of the B renderings, and their backgrounds.
            iteration: 0-based; together with the run's length it sets the warm-up.
            generator: CPU generator of all draws, in a fixed order.

        Returns:
            :class:`Guidance`; it reports a non-finite gradient, which is not raised.
        """
        ...


class MethodFactory(Protocol):
    """The class of a method, as :func:`sctd.methods.get` returns it."""

    def __call__(
        self, prior: Prior, texts: ViewTexts, settings: Any, *, iterations: int, seed: int
    ) -> Method:
        """A method for a run of that many iterations.

        Args:
            settings: the section of the config with the method's name.
            seed: of the noise that is drawn once a run.
        """
        ...
