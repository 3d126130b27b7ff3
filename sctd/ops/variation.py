"""Total variation of pictures, with its gradient in the same pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sctd.errors import InputError
from sctd.ops import reference
from sctd.ops._backend import choose
from sctd.ops._checks import check_float
from sctd.ops._diffusion_cores import core
from sctd.ops._first_order import first_order
from sctd.ops.ode import BACKENDS, DEVICES


@torch.library.custom_op("sctd::total_variation", mutates_args=(), device_types=DEVICES)
def _total_variation(images: Tensor, backend: str) -> tuple[Tensor, Tensor]:
    return core(backend).total_variation(images)


@_total_variation.register_fake
def _(images: Tensor, backend: str) -> tuple[Tensor, Tensor]:
    return images.new_empty(()), images.new_empty(images.shape)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(output[1])


@first_order("total_variation")
def _vjp(ctx: Any, g_loss: Tensor, g_grad: Tensor) -> tuple[Tensor | None, ...]:
    (grad,) = ctx.saved_tensors
    return g_loss * grad, None


_total_variation.register_autograd(_vjp, setup_context=_setup)


def total_variation(images: Tensor, *, backend: str = "auto") -> Tensor:
    """Mean squared difference of neighbours, down plus across; 0 where a direction has one pixel.

    Args:
        images: [..., H, W], floating; may carry a gradient.
        backend: as :func:`sctd.ops.noise`.

    Returns:
        A scalar in the dtype of ``images``; computed in float32 at least.

    Raises:
        InputError: fewer than two dimensions, no pixels, or not a floating type.

    Plain twin: :func:`sctd.ops.reference.total_variation`.
    """
    if images.dim() < 2 or images.numel() == 0:
        raise InputError(f"images must have shape [..., H, W] with pixels in them; got {list(images.shape)}")
    check_float("images", images)
    chosen = choose(backend, images, BACKENDS)
    if chosen == "reference":
        return reference.total_variation(images)
    loss: Tensor = _total_variation(images, chosen)[0]
    return loss
