"""The rasterizer's ops by field: what goes in, what comes out, and one gradient for both ways to call them.

An op takes its inputs and then its settings, in the order of these tuples. Its gradient is the same whether
torch.library calls it (_raster_ops.py) or autograd alone (_raster_eager.py): they differ in ``backward``, the
op that computes it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor

Backward = Callable[..., tuple[Tensor, ...]]


class ProjectInputs(NamedTuple):
    """Tensors of project; its gradients have the same fields."""

    means: Tensor | None
    quats: Tensor | None
    scales: Tensor | None
    opacities: Tensor | None
    sh: Tensor | None
    viewmats: Tensor | None
    Ks: Tensor | None


class ProjectSettings(NamedTuple):
    """The rest of project's arguments."""

    width: int
    height: int
    near_plane: float
    far_plane: float
    radius_clip: float
    eps2d: float
    sh_degree: int
    antialiased: bool
    backend: str


class Footprints(NamedTuple):
    """What project returns."""

    means2d: Tensor
    depths: Tensor
    conics: Tensor
    opacities: Tensor
    colors: Tensor
    radii: Tensor


class BlendInputs(NamedTuple):
    """Tensors of blend: footprints, backgrounds, and what tile_lists returned, which has no gradient."""

    means2d: Tensor | None
    conics: Tensor | None
    colors: Tensor | None
    opacities: Tensor | None
    depths: Tensor | None
    backgrounds: Tensor | None
    lists: list[Any] | None


class BlendSettings(NamedTuple):
    """The rest of blend's arguments."""

    width: int
    height: int
    with_depth: bool
    absgrad: bool
    deterministic: bool
    backend: str


_VIEWMATS = ProjectInputs._fields.index("viewmats")
_BACKGROUNDS = BlendInputs._fields.index("backgrounds")
LISTS = BlendInputs._fields.index("lists")


def project_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    """Keep what the gradient of project needs."""
    count = len(ProjectInputs._fields)
    ctx.save_for_backward(*inputs[:count], Footprints(*output).radii)
    ctx.settings = ProjectSettings(*inputs[count:])


def project_vjp(backward: Backward, ctx: Any, grads: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
    """Gradients of project's arguments; ``grads`` are those of its floating-point results."""
    *saved, radii = ctx.saved_tensors
    inputs, posed = ProjectInputs(*saved), ctx.needs_input_grad[_VIEWMATS]
    means, quats, scales, opacities, sh, viewmats = backward(*inputs, radii, *grads, posed, *ctx.settings)
    none = inputs.sh is None
    out = ProjectInputs(
        means, quats, scales, opacities, None if none else sh, viewmats if posed else None, Ks=None
    )
    return (*out, *[None] * len(ctx.settings))


def blend_setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    """Keep what the gradient of blend needs; ``output`` is all that the op returns."""
    count = len(BlendInputs._fields)
    *tensors, lists = inputs[:count]
    _renders, _alphas, transmittance, last = output
    ctx.save_for_backward(*tensors, transmittance, last, *lists)
    ctx.settings = BlendSettings(*inputs[count:])


def blend_vjp(
    backward: Backward,
    ctx: Any,
    g_renders: Tensor | None,
    g_alphas: Tensor | None,
    of_lists: list[Any] | None = None,
) -> tuple[Any, ...]:
    """Gradients of blend's arguments; ``of_lists`` is what the caller takes for none of the tile lists."""
    saved = ctx.saved_tensors
    transmittance, last, *lists = saved[LISTS:]
    inputs, seen = BlendInputs._make([*saved[:LISTS], lists]), ctx.needs_input_grad[_BACKGROUNDS]
    means2d, conics, colors, opacities, depths, backgrounds, absolute = backward(
        *inputs, transmittance, last, g_renders, g_alphas, seen, *ctx.settings
    )
    if ctx.settings.absgrad:
        watched: Any = inputs.means2d
        watched.absgrad = absolute  # as gsplat: beside the .grad of meta["means2d"]
    out = BlendInputs(means2d, conics, colors, opacities, depths, backgrounds if seen else None, of_lists)
    return (*out, *[None] * len(ctx.settings))
