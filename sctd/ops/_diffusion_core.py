"""The interface of a backend of the diffusion ops; _diffusion_cores.py lists the backends.

Every core has the same calls: contiguous tensors in, new ones out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from torch import Tensor

Three = tuple[Tensor, Tensor, Tensor]
Levels = Sequence[Tensor]
"""alpha and sigma, [B] each, of one noise level or of several in turn."""


class GuidedSteps(NamedTuple):
    """Guidance at one point, and the steps from there to two levels; B images of n elements."""

    z: Tensor
    """The point, [B, ...]."""
    outs: tuple[Tensor, Tensor]
    """The network's outputs there under the negative prompt and the prompt, [B, ...]."""
    wrong: tuple[Tensor, Tensor] | None
    """Perp-Neg: outputs for K wrong directions, [B, K, ...], and their weights, [B, K]."""
    guidance: float
    levels: Levels
    """Of the point and of the two ends."""
    prediction: int
    """Place in :data:`sctd.ops.reference.PREDICTIONS`."""


class SelfStep(NamedTuple):
    """The self-consistency step and the residual at its end."""

    start: tuple[Tensor, Tensor]
    """The point at s and the network's output there, [B, ...]."""
    levels: Levels
    """Of s and of the segment's end."""
    ends: tuple[Tensor, Tensor]
    """z_end and z_cond, [B, ...]."""
    weight: Tensor
    """[B]."""
    guidance: float
    prediction: int


class Core(Protocol):
    """A backend of the diffusion ops."""

    def noise(self, z0: Tensor, noise: Tensor, level: Levels) -> Tensor:
        """alpha z0 + sigma noise."""
        ...

    def ode_step(self, z: Tensor, out: Tensor, levels: Levels, prediction: int) -> Tensor:
        """The point at the second level."""
        ...

    def cfg_ode_steps(self, steps: GuidedSteps) -> Three:
        """The points at both ends, and the guided output."""
        ...

    def residual(self, step: SelfStep) -> Three:
        """The gradient [B, ...], its statistics [B, 3] and the loss [B]."""
        ...

    def total_variation(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The variation, a scalar, and its gradient."""
        ...
