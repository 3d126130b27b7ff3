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

LEAST_RANGE = 1e-6
"""Of the values of an image that is stretched to 0..1."""


@torch.library.custom_op("sctd::views", mutates_args=(), device_types=DEVICES)
def _views(
    renders: Tensor, alphas: Tensor, near_plane: float, variation: bool
) -> tuple[Tensor, Tensor, Tensor]:
    from sctd.ops import _triton_scene

    return _triton_scene.views(renders.contiguous(), alphas.contiguous(), near_plane, variation)


@_views.register_fake
def _(renders: Tensor, alphas: Tensor, near_plane: float, variation: bool) -> tuple[Tensor, Tensor, Tensor]:
    from sctd.ops import _triton_scene

    return _triton_scene.new_views(renders, variation)


@torch.library.custom_op("sctd::views_backward", mutates_args=(), device_types=DEVICES)
def _views_backward(
    renders: Tensor,
    alphas: Tensor,
    g_rgb: Tensor | None,
    g_disparity: Tensor | None,
    g_sums: Tensor | None,
    near_plane: float,
) -> tuple[Tensor, Tensor]:
    from sctd.ops import _triton_scene

    images = (renders.contiguous(), alphas.contiguous())
    return _triton_scene.views_backward(images, (g_rgb, g_disparity, g_sums), near_plane)


@_views_backward.register_fake
def _(renders: Tensor, alphas: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    return renders.new_empty(renders.shape), alphas.new_empty(alphas.shape)


def _setup(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    ctx.save_for_backward(*inputs[:2])
    ctx.near_plane, ctx.depth, ctx.variation = inputs[2], inputs[0].shape[-1] == 4, inputs[3]
    ctx.set_materialize_grads(False)


@first_order("views")
def _vjp(
    ctx: Any, g_rgb: Tensor | None, g_disparity: Tensor | None, g_sums: Tensor | None
) -> tuple[Tensor | None, ...]:
    given = (g_rgb, g_disparity if ctx.depth else None, g_sums if ctx.variation else None)
    return *_views_backward(*ctx.saved_tensors, *given, ctx.near_plane), None, None


_views.register_autograd(_vjp, setup_context=_setup)


def views(
    renders: Tensor, alphas: Tensor, near_plane: float, *, variation: bool = False, backend: str = "auto"
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Colours, disparity and the total variation of both, with one launch each way on a GPU.

    Args:
        renders: of :func:`rasterization` with ``render_mode`` "RGB" or "RGB+D", float32, [C, H, W, 3 or 4];
            float64 too in plain torch.
        alphas: [C, H, W, 1].
        near_plane: smallest depth that the disparity is taken of, world units.
        variation: whether the third result is wanted.
        backend: "auto" (plain torch on a CPU), "triton", "triton-interpret" or "reference", which defines it.

    Returns:
        rgb [C, 3, H, W]; disparity alpha / max(near_plane, depth / alpha), [C, 1, H, W], 1 / world units, 0
        where nothing is seen, None without a depth; and sums [P, 2] that add up to
        :func:`total_variation` of the two, 0 for what is not there. P depends on the backend, and is 0 where
        ``variation`` is false.

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
        return _plain(renders, alphas, near_plane, variation, chosen)
    rgb, disparity, sums = _views(renders, alphas, near_plane, variation)
    return rgb, disparity if renders.shape[-1] == 4 else None, sums


def _plain(
    renders: Tensor, alphas: Tensor, near_plane: float, variation: bool, backend: str
) -> tuple[Tensor, Tensor | None, Tensor]:
    channels, alpha = renders.permute(0, 3, 1, 2), alphas.permute(0, 3, 1, 2)
    rgb = channels[:, :3].contiguous()  # the layout that the networks behind expect
    disparity = None
    if renders.shape[-1] == 4:
        expected = channels[:, 3:] / alpha.clamp_min(1e-10)
        disparity = alpha / expected.clamp_min(near_plane)
    if not variation:
        return rgb, disparity, rgb.new_empty(0, 2)
    sums = [
        rgb.new_zeros(()) if images is None else total_variation(images, backend=backend)
        for images in (rgb, disparity)
    ]
    return rgb, disparity, torch.stack(sums)[None]


@torch.library.custom_op("sctd::stretched", mutates_args=(), device_types=DEVICES)
def _stretched(values: Tensor) -> tuple[Tensor, Tensor]:
    from sctd.ops import _triton_scene

    return _triton_scene.stretched(values.contiguous())


@_stretched.register_fake
def _(values: Tensor) -> tuple[Tensor, Tensor]:
    from sctd.ops import _triton_scene

    return _triton_scene.new_stretched(values)


@torch.library.custom_op("sctd::stretched_backward", mutates_args=(), device_types=DEVICES)
def _stretched_backward(g_images: Tensor, ranges: Tensor) -> Tensor:
    from sctd.ops import _triton_scene

    return _triton_scene.stretched_backward(g_images.contiguous(), ranges)


@_stretched_backward.register_fake
def _(g_images: Tensor, ranges: Tensor) -> Tensor:
    return g_images.new_empty(g_images.shape[0], 1, *g_images.shape[2:])


def _stretched_setup(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(output[1])


@first_order("stretched")
def _stretched_vjp(ctx: Any, g_images: Tensor, g_ranges: Tensor) -> Tensor:
    g_values: Tensor = _stretched_backward(g_images, *ctx.saved_tensors)
    return g_values


_stretched.register_autograd(_stretched_vjp, setup_context=_stretched_setup)


def stretched(values: Tensor, *, backend: str = "auto") -> Tensor:
    """Grey images whose values are stretched to 0..1, each image by itself; one that is constant becomes 0.

    The range counts as constant for the gradient: through it one extreme pixel would collect that of all.

    Args:
        values: [B, 1, H, W], float32, finite; float64 too in plain torch.
        backend: "auto" (plain torch on a CPU), "triton", "triton-interpret" or "reference", which defines it.

    Returns:
        [B, 3, H, W], three times the same.

    Raises:
        InputError: the shape does not fit.
    """
    if values.dim() != 4 or values.shape[1] != 1 or values.numel() == 0:
        raise InputError(f"values must have shape [B, 1, H, W]; got {list(values.shape)}")
    chosen = choose(backend, values, ("triton", "triton-interpret", "triton-ptx"))
    if chosen.startswith("triton"):
        images: Tensor = _stretched(values)[0]
        return images
    flat = values.detach().flatten(1)
    low, high = (x[:, None, None, None] for x in (flat.amin(1), flat.amax(1)))
    return ((values - low) / (high - low).clamp(min=LEAST_RANGE)).expand(-1, 3, -1, -1)
