"""What the diffusion ops need of a backend; _diffusion_cores.py says which there are.

Every core has the same calls: contiguous tensors in, new ones out. Levels are alphas and sigmas, [B] each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

Three = tuple[Tensor, Tensor, Tensor]
Levels = Sequence[Tensor]


class Core(Protocol):
    """What the ops need of a backend."""

    def noise(self, z0: Tensor, noise: Tensor, level: Levels) -> Tensor: ...

    def ode_step(self, z: Tensor, out: Tensor, levels: Levels, prediction: int) -> Tensor: ...

    def cfg_ode_steps(
        self,
        z: Tensor,
        outs: tuple[Tensor, Tensor],
        wrong: tuple[Tensor, Tensor] | None,
        guidance: float,
        levels: Levels,
        prediction: int,
    ) -> Three: ...

    def residual(
        self,
        start: tuple[Tensor, Tensor],
        levels: Levels,
        ends: tuple[Tensor, Tensor],
        weight: Tensor,
        guidance: float,
        prediction: int,
    ) -> Three: ...

    def total_variation(self, images: Tensor) -> tuple[Tensor, Tensor]: ...
