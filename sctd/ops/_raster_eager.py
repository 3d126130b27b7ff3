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
from sctd.ops._raster_fields import (
    Footprints,
    ProjectInputs,
    blend_setup,
    blend_vjp,
    project_setup,
    project_vjp,
)

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
        out = Footprints(*ops.project_now(*inputs))
        project_setup(ctx, inputs, out)
        with_colors = ProjectInputs(*inputs[: len(ProjectInputs._fields)]).sh is not None
        ctx.mark_non_differentiable(*([out.radii] if with_colors else [out.colors, out.radii]))
        return tuple(out)

    @staticmethod
    @first_order("rasterization")
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return project_vjp(ops.project_backward_now, ctx, grads[:-1])  # radii have none


class _Blend(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, Tensor]:
        out = ops.blend_now(*inputs)
        blend_setup(ctx, inputs, out)
        renders, alphas = out[:2]
        ctx.shapes = renders.shape, alphas.shape
        ctx.set_materialize_grads(False)
        return renders, alphas

    @staticmethod
    @first_order("rasterization")
    def backward(ctx: Any, g_renders: Tensor | None, g_alphas: Tensor | None) -> tuple[Tensor | None, ...]:
        like: Tensor = ctx.saved_tensors[0]
        if g_renders is None:
            g_renders = like.new_zeros(ctx.shapes[0])
        if g_alphas is None and not core(ctx.settings.backend).optional_g_alphas:
            g_alphas = like.new_zeros(ctx.shapes[1])
        return blend_vjp(ops.blend_backward_now, ctx, g_renders, g_alphas)


def project(*inputs: Any) -> tuple[Tensor, ...]:
    """As :func:`sctd.ops._raster_ops.project`."""
    if not torch.is_grad_enabled():
        return ops.project_now(*inputs)
    out: tuple[Tensor, ...] = _Project.apply(*inputs)  # type: ignore[no-untyped-call]
    return out


def tile_lists(*inputs: Any) -> list[Tensor]:
    """As :func:`sctd.ops._raster_ops.tile_lists`."""
    return ops.tile_lists_now(*inputs)


def blend(*inputs: Any) -> tuple[Tensor, Tensor]:
    """The first two results of :func:`sctd.ops._raster_ops.blend`."""
    if not torch.is_grad_enabled():
        return ops.blend_now(*inputs)[:2]
    out: tuple[Tensor, Tensor] = _Blend.apply(*inputs)  # type: ignore[no-untyped-call]
    return out
