"""The rasterizer's native ops: schema, fake and gradient of each, registered with torch.library.

    project      3D Gaussians, cameras => footprints (and colours from spherical harmonics)
    tile_lists   footprints => which tile each one touches, front to back; no gradient
    blend        footprints, tile lists => images

Bodies allocate with torch and hand over to the native core of a name (_raster_cores.py); the public function
checks shapes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._library.custom_ops import CustomOpDef

from sctd.ops._first_order import first_order
from sctd.ops._raster_cores import core, core_type, count_tiles
from sctd.ops._raster_fields import (
    LISTS,
    BlendInputs,
    BlendSettings,
    ProjectInputs,
    ProjectSettings,
    blend_setup,
    blend_vjp,
    project_setup,
    project_vjp,
)

DEVICES = ("cpu", "cuda")


def _register(name: str, body: Callable[..., Any]) -> CustomOpDef:
    """``body``, which is also called as it is by _raster_eager.py, as the op sctd::name."""
    return torch.library.custom_op(f"sctd::{name}", body, mutates_args=(), device_types=DEVICES)


def _contiguous(*tensors: Tensor | None) -> list[Tensor | None]:
    return [None if t is None else t.contiguous() for t in tensors]


def _project_sizes(means: Tensor, sh: Tensor | None, viewmats: Tensor, s: ProjectSettings) -> tuple[Any, ...]:
    """The fields of ProjectShape, csrc/bindings.h."""
    return (
        viewmats.shape[0],
        means.shape[0],
        0 if sh is None else sh.shape[-2],
        s.width,
        s.height,
        -1 if sh is None else s.sh_degree,
        s.antialiased,
        sh is not None and sh.dim() == 4,
        s.near_plane,
        s.far_plane,
        s.radius_clip,
        s.eps2d,
    )


def project_now(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    sh: Tensor | None,
    viewmats: Tensor,
    Ks: Tensor,
    width: int,
    height: int,
    near_plane: float,
    far_plane: float,
    radius_clip: float,
    eps2d: float,
    sh_degree: int,
    antialiased: bool,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """=> means2d [C,N,2], depths, conics [C,N,3], opacities, colors [C,N,3] or [C,0,3], radii [C,N,2]."""
    inputs = _contiguous(means, quats, scales, opacities, sh, viewmats, Ks)
    out = _project_fake(means, sh, viewmats)
    settings = ProjectSettings(
        width, height, near_plane, far_plane, radius_clip, eps2d, sh_degree, antialiased, backend
    )
    sizes = _project_sizes(means, sh, viewmats, settings)
    core(backend).project_forward(sizes, inputs, out)
    return out


def _project_fake(
    means: Tensor, sh: Tensor | None, viewmats: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    cameras, count = viewmats.shape[0], means.shape[0]
    return (
        means.new_empty(cameras, count, 2),
        means.new_empty(cameras, count),
        means.new_empty(cameras, count, 3),
        means.new_empty(cameras, count),
        means.new_empty(cameras, 0 if sh is None else count, 3),
        means.new_empty(cameras, count, 2, dtype=torch.int32),
    )


project = _register("project", project_now)


@project.register_fake
def _(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    sh: Tensor | None,
    viewmats: Tensor,
    *rest: Any,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    return _project_fake(means, sh, viewmats)


def project_backward_now(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    sh: Tensor | None,
    viewmats: Tensor,
    Ks: Tensor,
    radii: Tensor,
    g_means2d: Tensor,
    g_depths: Tensor,
    g_conics: Tensor,
    g_opacities: Tensor,
    g_colors: Tensor,
    with_pose: bool,
    width: int,
    height: int,
    near_plane: float,
    far_plane: float,
    radius_clip: float,
    eps2d: float,
    sh_degree: int,
    antialiased: bool,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """=> gradients of means, quats, scales, opacities, sh, viewmats; the last two [0] where not wanted."""
    tensors = (means, quats, scales, opacities, sh, viewmats, Ks, radii)
    grads = (g_means2d, g_depths, g_conics, g_opacities, g_colors)
    inputs = _contiguous(*tensors, *grads)
    a, b, c, d = (
        torch.empty_like(t, memory_format=torch.contiguous_format) for t in (means, quats, scales, opacities)
    )
    g_sh = means.new_empty(0) if sh is None else torch.empty_like(sh, memory_format=torch.contiguous_format)
    new = torch.empty_like if means.shape[0] else torch.zeros_like  # without Gaussians no kernel runs
    g_viewmats = new(viewmats, memory_format=torch.contiguous_format) if with_pose else means.new_empty(0)
    out = (a, b, c, d, g_sh, g_viewmats)
    settings = ProjectSettings(
        width, height, near_plane, far_plane, radius_clip, eps2d, sh_degree, antialiased, backend
    )
    sizes = _project_sizes(means, sh, viewmats, settings)
    core(backend).project_backward(sizes, inputs, (*out[:5], out[5] if with_pose else None))
    return out


project_backward = _register("project_backward", project_backward_now)


@project_backward.register_fake
def _(*given: Any) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    count = len(ProjectInputs._fields)
    means, quats, scales, opacities, sh, viewmats, _Ks = given[:count]
    _radii, _means2d, _depths, _conics, _opacities, _colors, with_pose, *_settings = given[count:]
    a, b, c, d = (t.new_empty(t.shape) for t in (means, quats, scales, opacities))
    g_sh = means.new_empty(0 if sh is None else sh.shape)
    return a, b, c, d, g_sh, means.new_empty(viewmats.shape if with_pose else 0)


@first_order("rasterization")
def _project_vjp(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
    return project_vjp(torch.ops.sctd.project_backward, ctx, grads[:-1])  # radii have none


project.register_autograd(_project_vjp, setup_context=project_setup)


def tile_lists_now(
    means2d: Tensor,
    conics: Tensor,
    opacities: Tensor,
    depths: Tensor,
    radii: Tensor,
    width: int,
    height: int,
    capacity: int,
    backend: str,
) -> list[Tensor]:
    """=> what the core's blend reads; its ``room`` and ``needed`` count the pairs.

    On CUDA there is room for ``capacity`` pairs, and more may be needed; elsewhere, and with capacity 0, for
    all, whose number is known only afterwards.
    """
    footprints = [t.contiguous() for t in (means2d, conics, opacities, depths, radii)]
    return core(backend).tile_lists(footprints, (width, height), capacity)


tile_lists = _register("tile_lists", tile_lists_now)


@tile_lists.register_fake
def _(
    means2d: Tensor, conics: Tensor, opacities: Tensor, depths: Tensor, radii: Tensor, *rest: Any
) -> list[Tensor]:
    width, height, capacity, backend = rest
    fixed = capacity > 0 and backend != "cpu"
    pairs = capacity if fixed else torch.library.get_ctx().new_dynamic_size()
    return core_type(backend).empty_lists(depths, count_tiles(depths.shape[0], width, height), pairs)


def _blend_sizes(
    colors: Tensor, depths: Tensor, pairs: int, size: tuple[int, int], depth: bool, absgrad: bool
) -> tuple[Any, ...]:
    """The fields of BlendShape, csrc/bindings.h."""
    return (*depths.shape, colors.shape[-1], pairs, *size, colors.dim() == 3, depth, absgrad)


def blend_now(
    means2d: Tensor,
    conics: Tensor,
    colors: Tensor,
    opacities: Tensor,
    depths: Tensor,
    backgrounds: Tensor | None,
    lists: list[Tensor],
    width: int,
    height: int,
    with_depth: bool,
    absgrad: bool,
    deterministic: bool,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """=> renders [C,H,W,D(+1)], alphas [C,H,W,1]; and for the backward pass transmittance, last [C,H,W]."""
    inputs = _contiguous(means2d, conics, colors, opacities, depths, backgrounds)
    out = _blend_fake(colors, depths, width, height, with_depth)
    chosen = core(backend)
    sizes = _blend_sizes(colors, depths, chosen.room(lists), (width, height), with_depth, absgrad)
    chosen.blend_forward(sizes, (*inputs, *lists), out)
    return out


def _blend_fake(
    colors: Tensor, depths: Tensor, width: int, height: int, with_depth: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    size = (depths.shape[0], height, width)
    return (
        depths.new_empty(*size, colors.shape[-1] + int(with_depth)),
        depths.new_empty(*size, 1),
        depths.new_empty(size),
        depths.new_empty(size, dtype=torch.int32),
    )


blend = _register("blend", blend_now)


@blend.register_fake
def _(*given: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    count = len(BlendInputs._fields)
    _means2d, _conics, colors, _opacities, depths, _backgrounds, _lists = given[:count]
    settings = BlendSettings(*given[count:])
    return _blend_fake(colors, depths, settings.width, settings.height, settings.with_depth)


def blend_backward_now(
    means2d: Tensor,
    conics: Tensor,
    colors: Tensor,
    opacities: Tensor,
    depths: Tensor,
    backgrounds: Tensor | None,
    lists: list[Tensor],
    transmittance: Tensor,
    last: Tensor,
    g_renders: Tensor,
    g_alphas: Tensor | None,
    with_backgrounds: bool,
    width: int,
    height: int,
    with_depth: bool,
    absgrad: bool,
    deterministic: bool,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """=> gradients of means2d, conics, colors, opacities, depths, backgrounds, |means2d|; or [0]."""
    inputs = _contiguous(means2d, conics, colors, opacities, depths, backgrounds)
    grads = _contiguous(g_renders, g_alphas)  # named: they must outlive the call below
    given = (*inputs, *lists, transmittance, last, *grads)
    out = tuple(
        torch.empty_like(t, memory_format=torch.contiguous_format)
        for t in (means2d, conics, colors, opacities, depths)
    )
    g_backgrounds = None
    if with_backgrounds and backgrounds is not None:
        g_backgrounds = torch.empty_like(backgrounds, memory_format=torch.contiguous_format)
    g_abs = torch.empty_like(out[0]) if absgrad else None
    chosen = core(backend)
    sizes = _blend_sizes(colors, depths, chosen.room(lists), (width, height), with_depth, absgrad)
    chosen.blend_backward(sizes, deterministic, given, (*out, g_backgrounds, g_abs))
    none = means2d.new_empty(0)
    return (
        out[0],
        out[1],
        out[2],
        out[3],
        out[4],
        none if g_backgrounds is None else g_backgrounds,
        torch.empty_like(none) if g_abs is None else g_abs,
    )


blend_backward = _register("blend_backward", blend_backward_now)


@blend_backward.register_fake
def _(*given: Any) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    count = len(BlendInputs._fields)
    means2d, conics, colors, opacities, depths, backgrounds, _lists = given[:count]
    _transmittance, _last, _renders, _alphas, with_backgrounds, *settings = given[count:]
    a, b, c, d, e = (t.new_empty(t.shape) for t in (means2d, conics, colors, opacities, depths))
    background = means2d.new_empty(backgrounds.shape if with_backgrounds and backgrounds is not None else 0)
    absolute = means2d.new_empty(means2d.shape if BlendSettings(*settings).absgrad else 0)
    return a, b, c, d, e, background, absolute


@first_order("rasterization")
def _blend_vjp(ctx: Any, g_renders: Tensor, g_alphas: Tensor, *unused: Any) -> tuple[Any, ...]:
    of_lists = [None] * len(ctx.needs_input_grad[LISTS])  # torch.library wants one for each tensor
    return blend_vjp(torch.ops.sctd.blend_backward, ctx, g_renders, g_alphas, of_lists)


blend.register_autograd(_blend_vjp, setup_context=blend_setup)
