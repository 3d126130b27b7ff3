"""How the diffusion ops call each backend: C++ on CPU tensors, Triton on CUDA tensors or interpreted."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from sctd.ops._backend import native
from sctd.ops._checks import addresses
from sctd.ops._diffusion_core import Core, GuidedSteps, Levels, SelfStep, Three

MAX_WRONG = 8
"""Wrong directions of Perp-Neg; kMost in csrc/cpu/diffusion.cpp."""


class CpuCore:
    """C++, float32 and float64; half precision is computed in float32."""

    @staticmethod
    def _ready(like: Tensor, *tensors: Tensor | None) -> list[Tensor | None]:
        """Contiguous, and all in the precision of ``like``, float32 at least."""
        dtype = torch.float64 if like.dtype == torch.float64 else torch.float32
        return [None if t is None else t.to(dtype).contiguous() for t in tensors]

    @staticmethod
    def _rows(z: Tensor) -> tuple[bool, int, int]:
        batch = z.shape[0]
        return z.dtype == torch.float64, batch, z.numel() // batch if batch else 0

    @staticmethod
    def _new(like: Tensor | None, count: int) -> list[Tensor]:
        assert like is not None
        return [torch.empty_like(like) for _ in range(count)]

    def noise(self, z0: Tensor, noise: Tensor, level: Levels) -> Tensor:
        inputs = self._ready(z0, z0, noise, *level)
        (out,) = self._new(inputs[0], 1)
        native().noise(*self._rows(out), addresses(*inputs, out))
        return out.to(z0.dtype)

    def ode_step(self, z: Tensor, out: Tensor, levels: Levels, prediction: int) -> Tensor:
        inputs = self._ready(z, z, out, *levels)
        (z_to,) = self._new(inputs[0], 1)
        native().ode_step(*self._rows(z_to), prediction, addresses(*inputs, z_to))
        return z_to.to(z.dtype)

    def cfg_ode_steps(self, steps: GuidedSteps) -> Three:
        z, outs, wrong, guidance, levels, prediction = steps
        inputs = self._ready(z, z, *outs, *(wrong or (None, None)), *levels)
        made = self._new(inputs[0], 3)
        count = 0 if wrong is None else wrong[0].shape[1]
        native().cfg_ode_steps(*self._rows(made[0]), count, prediction, guidance, addresses(*inputs, *made))
        z_s, z_e, out = (t.to(z.dtype) for t in made)
        return z_s, z_e, out

    def residual(self, step: SelfStep) -> Three:
        start, levels, ends, weight, guidance, prediction = step
        z = ends[0]
        inputs = self._ready(z, *start, *levels, *ends, weight)
        (grad,) = self._new(inputs[0], 1)
        batch = z.shape[0]
        stats, loss = grad.new_empty(batch, 3), grad.new_empty(batch)
        at = addresses(*inputs, grad, stats, loss)
        native().residual(*self._rows(grad), prediction, guidance, at)
        return grad.to(z.dtype), stats, loss

    def total_variation(self, images: Tensor) -> tuple[Tensor, Tensor]:
        (x,) = self._ready(images, images)
        (grad,) = self._new(x, 1)
        loss = grad.new_empty(())
        height, width = images.shape[-2:]
        planes = images.numel() // (height * width) if images.numel() else 0
        native().total_variation(grad.dtype == torch.float64, planes, height, width, addresses(x, loss, grad))
        return loss.to(images.dtype), grad.to(images.dtype)


@cache
def core(name: str) -> Core:
    """The core of a backend: "cpu", "triton" or "triton-interpret"."""
    if name == "cpu":
        return CpuCore()
    from sctd.ops._triton_core import TritonCore

    return TritonCore()
