"""Triton's side of the diffusion ops: outputs, grids, launches. Loaded at first use: Triton takes a second.

Each call is one launch, the total variation two. No call waits for the device.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sctd.ops import _triton_ode, _triton_residual, _triton_variation
from sctd.ops._checks import stream_of
from sctd.ops._diffusion_core import GuidedSteps, Levels, SelfStep, Three

BLOCK = 1024
"""Elements of one program; with four warps eight a thread."""
IMAGE_BLOCK, IMAGE_WARPS = 4096, 16
"""Elements at a time where a program is a whole image: a latent of Stable Diffusion takes four turns."""


def _cut(elements: int) -> int:
    return -(-elements // BLOCK)


class TritonCore:
    """Float32 arithmetic; storage in any floating type of 16 or 32 bits."""

    @staticmethod
    def _combined(kernel: Any, a: Tensor, b: Tensor, levels: Levels, **constants: int) -> Tensor:
        """What a kernel makes of two tensors [B, n], element by element, and the levels of each row."""
        a, b = a.contiguous(), b.contiguous()
        out = torch.empty_like(a)
        if a.numel() == 0:
            return out
        batch, n = a.shape[0], a.numel() // a.shape[0]
        strides = [t.stride(0) for t in levels]
        with stream_of(a):
            kernel[(_cut(n), batch)](a, b, *levels, *strides, out, n, **constants, BLOCK=BLOCK)
        return out

    def noise(self, z0: Tensor, noise: Tensor, level: Levels) -> Tensor:
        return self._combined(_triton_ode.noise_kernel, z0, noise, level)

    def ode_step(self, z: Tensor, out: Tensor, levels: Levels, prediction: int) -> Tensor:
        return self._combined(_triton_ode.ode_step_kernel, z, out, levels, PREDICTION=prediction)

    def cfg_ode_steps(self, steps: GuidedSteps) -> Three:
        z, outs, wrong, guidance, levels, prediction = steps
        z, null, cond = (t.contiguous() for t in (z, *outs))
        made = (torch.empty_like(z), torch.empty_like(z), torch.empty_like(z))
        if z.numel() == 0:
            return made
        batch, n = z.shape[0], z.numel() // z.shape[0]
        rest = (*levels, *(t.stride(0) for t in levels), *made, n, guidance)
        with stream_of(z):
            if wrong is None:
                _triton_ode.cfg_ode_steps_kernel[(_cut(n), batch)](
                    z, null, cond, *rest, PREDICTION=prediction, BLOCK=BLOCK
                )
            else:
                directions, weights = wrong[0].contiguous(), wrong[1].contiguous()
                _triton_ode.perp_neg_ode_steps_kernel[(batch,)](
                    z,
                    null,
                    cond,
                    directions,
                    weights,
                    *rest,
                    WRONG=weights.shape[1],
                    PREDICTION=prediction,
                    BLOCK=IMAGE_BLOCK,
                    num_warps=IMAGE_WARPS,
                )
        return made

    def residual(self, step: SelfStep) -> Three:
        start, levels, ends, weight, guidance, prediction = step
        z, out, z_end, z_cond = (t.contiguous() for t in (*start, *ends))
        grad, batch = torch.empty_like(z_end), z_end.shape[0]
        stats, loss = (z_end.new_empty(shape, dtype=torch.float32) for shape in ((batch, 3), (batch,)))
        if batch == 0:
            return grad, stats, loss
        with stream_of(z_end):
            _triton_residual.residual_kernel[(batch,)](
                z,
                out,
                z_end,
                z_cond,
                weight,
                weight.stride(0),
                *levels,
                *(t.stride(0) for t in levels),
                grad,
                stats,
                loss,
                z_end.numel() // batch,
                guidance,
                PREDICTION=prediction,
                BLOCK=IMAGE_BLOCK,
                num_warps=IMAGE_WARPS,
            )
        return grad, stats, loss

    def total_variation(self, images: Tensor) -> tuple[Tensor, Tensor]:
        images = images.contiguous()
        height, width = images.shape[-2:]
        planes = images.numel() // (height * width)
        down = 1.0 / (planes * (height - 1) * width) if height > 1 else 0.0
        across = 1.0 / (planes * height * (width - 1)) if width > 1 else 0.0
        grad, programs = torch.empty_like(images), _cut(images.numel())
        sums = images.new_empty(programs, dtype=torch.float32)
        with stream_of(images):
            _triton_variation.total_variation_kernel[(programs,)](
                images, sums, grad, images.numel(), height, width, down, across, BLOCK=BLOCK
            )
        return sums.sum().to(images.dtype), grad
