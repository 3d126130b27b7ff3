"""From the rasterizer's images to what losses and networks take: colours, disparity, total variation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sctd.errors import InputError
from sctd.ops._backend import choose
from sctd.ops._checks import check_same
from sctd.ops._first_order import first_order
from sctd.ops.ode import DEVICES
from sctd.ops.variation import total_variation

EMPTY_DEPTH = 10.0
"""Depth of what lies behind the Gaussians, world units."""
LEAST_DEPTH = 1e-5
OPAQUE = 0.9
"""Least alpha of a pixel that shows a surface."""
LEAST_RANGE = 1e-6
"""Of the disparities of a picture that are stretched to 0..1, 1 / world units."""


@torch.library.custom_op("sctd::disparity_ranges", mutates_args=(), device_types=DEVICES)
def _ranges(renders: Tensor, alphas: Tensor) -> Tensor:
    from sctd.ops import _triton_scene

    return _triton_scene.disparity_ranges(renders.contiguous(), alphas.contiguous())


@_ranges.register_fake
def _(renders: Tensor, alphas: Tensor) -> Tensor:
    return renders.new_empty(renders.shape[0], 2)


@torch.library.custom_op("sctd::views", mutates_args=(), device_types=DEVICES)
def _views(renders: Tensor, alphas: Tensor, ranges: Tensor, variation: bool) -> tuple[Tensor, Tensor, Tensor]:
    from sctd.ops import _triton_scene

    return _triton_scene.views(renders.contiguous(), alphas.contiguous(), ranges, variation)


@_views.register_fake
def _(renders: Tensor, alphas: Tensor, ranges: Tensor, variation: bool) -> tuple[Tensor, Tensor, Tensor]:
    from sctd.ops import _triton_scene

    return _triton_scene.new_views(renders, variation)


@torch.library.custom_op("sctd::views_backward", mutates_args=(), device_types=DEVICES)
def _views_backward(
    renders: Tensor,
    alphas: Tensor,
    ranges: Tensor,
    g_rgb: Tensor | None,
    g_disparity: Tensor | None,
    g_sums: Tensor | None,
) -> tuple[Tensor, Tensor]:
    from sctd.ops import _triton_scene

    images = (renders.contiguous(), alphas.contiguous(), ranges)
    return _triton_scene.views_backward(images, (g_rgb, g_disparity, g_sums))


@_views_backward.register_fake
def _(renders: Tensor, alphas: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    return renders.new_empty(renders.shape), alphas.new_empty(alphas.shape)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.save_for_backward(*inputs[:3])
    ctx.depth, ctx.variation = inputs[0].shape[-1] == 4, inputs[3]
    ctx.set_materialize_grads(False)


@first_order("views")
def _vjp(
    ctx: Any, g_rgb: Tensor | None, g_disparity: Tensor | None, g_sums: Tensor | None
) -> tuple[Tensor | None, ...]:
    given = (g_rgb, g_disparity if ctx.depth else None, g_sums if ctx.variation else None)
    return *_views_backward(*ctx.saved_tensors, *given), None, None


_views.register_autograd(_vjp, setup_context=_setup)


def views(
    renders: Tensor, alphas: Tensor, *, variation: bool = False, backend: str = "auto"
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Colours, a picture of the disparity and the total variation of both; two launches on a GPU, one back.

    The disparity is d = 1 / (depth + 10 (1 - alpha) + 1e-5): what lies behind the Gaussians is 10 away. Its
    picture is (d - low) / (high - low), 0 where d is less than low. high is the largest d of a camera, low
    the least of its pixels with alpha >= 0.9, of all pixels where there is none: the farthest surface and the
    background are black. low and high count as constant for the gradient: through them two pixels would
    collect that of all. Source: the authors' released code, gaussian_renderer/__init__.py, which lets the
    gradient through.

    Args:
        renders: of :func:`rasterization` with ``render_mode`` "RGB" or "RGB+D", float32, [C, H, W, 3 or 4];
            float64 too in plain torch.
        alphas: [C, H, W, 1], 0..1.
        variation: whether the third result is wanted.
        backend: "auto" (plain torch on a CPU), "triton", "triton-interpret" or "reference", which defines it.

    Returns:
        rgb [C, 3, H, W]; the picture of the disparity, [C, 1, H, W], 0..1, 0 where all of a camera have the
        same, None without a depth; and sums [P, 2] that add up to :func:`total_variation` of the two, 0 for
        what is not there. P depends on the backend, and is 0 where ``variation`` is false.

    Raises:
        InputError: a shape, dtype or device does not fit; the message names it.
    """
    if renders.dim() != 4 or renders.shape[-1] not in (3, 4) or renders.numel() == 0:
        raise InputError(f"renders must have shape [C, H, W, 3 or 4]; got {list(renders.shape)}")
    if alphas.shape != (*renders.shape[:3], 1):
        raise InputError(f"alphas must have shape {[*renders.shape[:3], 1]}; got {list(alphas.shape)}")
    check_same("renders", renders, alphas=alphas)
    chosen = choose(backend, renders, ("triton", "triton-interpret", "triton-ptx"))
    if not chosen.startswith("triton"):
        return _plain(renders, alphas, variation, chosen)
    depth = renders.shape[-1] == 4
    ranges = _ranges(renders.detach(), alphas.detach()) if depth else renders.new_empty(0, 2)
    rgb, disparity, sums = _views(renders, alphas, ranges, variation)
    return rgb, disparity if depth else None, sums


def _plain(
    renders: Tensor, alphas: Tensor, variation: bool, backend: str
) -> tuple[Tensor, Tensor | None, Tensor]:
    channels = renders.permute(0, 3, 1, 2)
    rgb = channels[:, :3].contiguous()  # the layout that the networks behind expect
    disparity = None
    if renders.shape[-1] == 4:
        disparity = _disparity(channels[:, 3:], alphas.permute(0, 3, 1, 2))
    if not variation:
        return rgb, disparity, rgb.new_empty(0, 2)
    sums = [
        rgb.new_zeros(()) if images is None else total_variation(images, backend=backend)
        for images in (rgb, disparity)
    ]
    return rgb, disparity, torch.stack(sums)[None]


def _disparity(depth: Tensor, alpha: Tensor) -> Tensor:
    """The picture of it; all [C, 1, H, W]."""
    d = 1 / (depth + EMPTY_DEPTH * (1 - alpha) + LEAST_DEPTH)
    flat, opaque = d.detach().flatten(1), alpha.flatten(1) >= OPAQUE
    surface = flat.where(opaque | ~opaque.any(1, keepdim=True), torch.inf)
    low, high = (x[:, None, None, None] for x in (surface.amin(1), flat.amax(1)))
    return ((d - low) / (high - low).clamp_min(LEAST_RANGE)).clamp_min(0)
