"""From the rasterizer's images to what losses and networks take: colours, disparity, total variation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sctd.errors import InputError
from sctd.ops._backend import choose
from sctd.ops._checks import check_same
from sctd.ops.ode import DEVICES
from sctd.ops.variation import total_variation


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
    chosen = choose(backend, renders, ("triton", "triton-interpret"))
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
