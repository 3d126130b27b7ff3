"""The rasterizer's ops in eager mode: the same bodies as torch.library's ops, without its dispatcher.

torch.library's Python costs a call 15 us, with a gradient 60: forward and backward of an empty frame take
240 us instead of 520. What must see the ops themselves (torch.compile, export, modes, functorch) gets them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sctd.ops import _raster_ops as ops
from sctd.ops._first_order import first_order
from sctd.ops._raster_cores import core

_PLAIN = (Tensor, torch.nn.Parameter)


def is_eager(*tensors: Tensor | None) -> bool:
    """Whether nobody but autograd wants to see the ops on these tensors."""
    return (
        not torch.compiler.is_compiling()
        and torch._C._get_tracing_state() is None
        and torch._C._len_torch_dispatch_stack() == 0
        and torch._C._functorch.peek_interpreter_stack() is None
        and all(t is None or type(t) in _PLAIN for t in tensors)
    )


class _Project(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, ...]:
        out = ops.project_now(*inputs)
        ctx.save_for_backward(*inputs[:7], out[5])
        ctx.settings = inputs[7:]
        ctx.mark_non_differentiable(*(out[5:] if inputs[4] is not None else out[4:]))
        return out

    @staticmethod
    @first_order("rasterization")
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        posed = ctx.needs_input_grad[5]
        arguments: tuple[Any, ...] = (*saved, *grads[:5], posed, *ctx.settings)
        out = ops.project_backward_now(*arguments)
        g_sh = None if saved[4] is None else out[4]
        return (*out[:4], g_sh, out[5] if posed else None, *[None] * (1 + len(ctx.settings)))


class _Blend(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, Tensor]:
        renders, alphas, *state = ops.blend_now(*inputs)
        ctx.save_for_backward(*inputs[:13], *state)
        ctx.settings = inputs[13:]
        ctx.shapes = renders.shape, alphas.shape
        ctx.set_materialize_grads(False)
        return renders, alphas

    @staticmethod
    @first_order("rasterization")
    def backward(ctx: Any, g_renders: Tensor | None, g_alphas: Tensor | None) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        if g_renders is None:
            g_renders = saved[0].new_zeros(ctx.shapes[0])
        if g_alphas is None and not core(ctx.settings[-1]).optional_g_alphas:
            g_alphas = saved[0].new_zeros(ctx.shapes[1])
        seen = ctx.needs_input_grad[5]
        arguments: tuple[Any, ...] = (*saved, g_renders, g_alphas, seen, *ctx.settings)
        out = ops.blend_backward_now(*arguments)
        if ctx.settings[3]:
            saved[0].absgrad = out[6]  # as gsplat: beside the .grad of meta["means2d"]
        return (*out[:5], out[5] if seen else None, *[None] * (7 + len(ctx.settings)))


def project(*inputs: Any) -> tuple[Tensor, ...]:
    """As :func:`sctd.ops._raster_ops.project`."""
    if not torch.is_grad_enabled():
        return ops.project_now(*inputs)
    out: tuple[Tensor, ...] = _Project.apply(*inputs)  # type: ignore[no-untyped-call]
    return out


def tile_lists(*inputs: Any) -> tuple[Tensor, ...]:
    """As :func:`sctd.ops._raster_ops.tile_lists`."""
    return ops.tile_lists_now(*inputs)


def blend(*inputs: Any) -> tuple[Tensor, Tensor]:
    """The first two results of :func:`sctd.ops._raster_ops.blend`."""
    if not torch.is_grad_enabled():
        return ops.blend_now(*inputs)[:2]
    out: tuple[Tensor, Tensor] = _Blend.apply(*inputs)  # type: ignore[no-untyped-call]
    return out
