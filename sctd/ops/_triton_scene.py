"""Triton's side of the ops around the rasterizer: outputs, grids, launches. Loaded at first use.

Each call is one launch. No call waits for the device.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sctd.ops import _triton_activation, _triton_images, _triton_screen
from sctd.ops._checks import stream_of

BLOCK = 256
"""Elements of one program; with four warps two a thread, as pixels of four channels take many registers."""
IMAGE_BLOCK, IMAGE_WARPS = 4096, 16
"""Pixels at a time where a program is a whole picture."""

Some = tuple[Tensor | None, ...]


def _programs(elements: int) -> int:
    return -(-elements // BLOCK)


def new_views(renders: Tensor, variation: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Unfilled results of :func:`views`; the second empty without a depth, the third without variation."""
    cameras, height, width, channels = renders.shape
    return (
        renders.new_empty(cameras, 3, height, width),
        renders.new_empty(cameras, 1, height, width) if channels == 4 else renders.new_empty(0),
        renders.new_empty(_programs(cameras * height * width) if variation else 0, 2),
    )


def _differences(renders: Tensor) -> tuple[float, float]:
    """1 over the number of differences down and across in a plane of every camera, 0 where there is none."""
    cameras, height, width, _ = renders.shape
    down, across = cameras * (height - 1) * width, cameras * height * (width - 1)
    return 1 / down if down else 0.0, 1 / across if across else 0.0


def disparity_ranges(renders: Tensor, alphas: Tensor) -> Tensor:
    """Ranges of disparities that :func:`sctd.ops.images.views` stretches: [C, 2], low, then high - low."""
    cameras, height, width, channels = renders.shape
    ranges = renders.new_empty(cameras, 2)
    with stream_of(renders):
        _triton_images.disparity_ranges_kernel[(cameras,)](
            renders,
            alphas,
            ranges,
            height * width,
            CHANNELS=channels,
            BLOCK=IMAGE_BLOCK,
            num_warps=IMAGE_WARPS,
        )
    return ranges


def views(renders: Tensor, alphas: Tensor, ranges: Tensor, variation: bool) -> tuple[Tensor, Tensor, Tensor]:
    """See :func:`sctd.ops.images.views`."""
    cameras, height, width, channels = renders.shape
    out = new_views(renders, variation)
    count = cameras * height * width
    with stream_of(renders):
        _triton_images.views_kernel[(_programs(count),)](
            renders,
            alphas,
            ranges,
            *out,
            count,
            height,
            width,
            *_differences(renders),
            CHANNELS=channels,
            VARIATION=variation,
            BLOCK=BLOCK,
        )
    return out


def views_backward(images: tuple[Tensor, Tensor, Tensor], grads: Some) -> tuple[Tensor, Tensor]:
    """Gradients of renders and alphas from those of rgb, disparity and sums."""
    renders, alphas, _ = images
    cameras, height, width, channels = renders.shape
    g_rgb, g_disparity = (None if g is None else g.contiguous() for g in grads[:2])
    g_sums = grads[2]
    out = torch.empty_like(renders), torch.empty_like(alphas)
    count = cameras * height * width
    with stream_of(renders):
        _triton_images.views_backward_kernel[(_programs(count),)](
            *images,
            g_rgb,
            g_disparity,
            g_sums,
            *_strides(g_sums),
            *out,
            count,
            height,
            width,
            *_differences(renders),
            CHANNELS=channels,
            HAS_RGB=g_rgb is not None,
            HAS_DISPARITY=g_disparity is not None,
            HAS_SUMS=g_sums is not None,
            BLOCK=BLOCK,
        )
    return out


def _strides(sums: Tensor | None) -> tuple[int, int]:
    return (0, 0) if sums is None else (sums.stride(0), sums.stride(1))


def new_activated(scales: Tensor, opacities: Tensor, higher: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Unfilled results of :func:`activate`; no colours where there are no higher coefficients."""
    n, k = scales.shape[0], higher.shape[1] + 1
    return (
        scales.new_empty(n, 3),
        opacities.new_empty(n),
        scales.new_empty(n, k, 3) if k > 1 else scales.new_empty(0),
        scales.new_empty(_programs(3 * n), 2),
    )


def activate(
    scales: Tensor, opacities: Tensor, sh0: Tensor, higher: Tensor, noise: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """See :func:`sctd.ops.activation.activate`."""
    out = new_activated(scales, opacities, higher)
    if scales.shape[0]:
        with stream_of(scales):
            _triton_activation.activate_kernel[(_programs(3 * scales.shape[0]),)](
                scales,
                opacities,
                sh0,
                higher,
                noise,
                *out,
                scales.shape[0],
                K=higher.shape[1] + 1,
                NOISE=noise is not None,
                BLOCK=BLOCK,
            )
    return out


def new_gradients(scales: Tensor, opacities: Tensor, higher: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Unfilled results of :func:`activate_backward`; the last two empty without higher coefficients."""
    n, k = scales.shape[0], higher.shape[1] + 1
    colors = (scales.new_empty(n, 1, 3), scales.new_empty(n, k - 1, 3)) if k > 1 else ()
    return (
        scales.new_empty(n, 3),
        opacities.new_empty(n),
        *(colors or (scales.new_empty(0), scales.new_empty(0))),
    )


def activate_backward(
    inputs: tuple[Tensor, Tensor, Tensor | None], higher: Tensor, grads: Some
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of scales, opacities, sh0 and shN from those of :func:`activate`'s results."""
    scales, opacities, noise = inputs
    out, n = new_gradients(scales, opacities, higher), scales.shape[0]
    given = [None if g is None else g.contiguous() for g in grads[:3]]
    g_sums = grads[3]
    if n:
        with stream_of(scales):
            _triton_activation.activate_backward_kernel[(_programs(3 * n),)](
                *inputs,
                *given,
                g_sums,
                *_strides(g_sums),
                *out,
                n,
                K=higher.shape[1] + 1,
                NOISE=noise is not None,
                HAS_SPREAD=given[0] is not None,
                HAS_OPAQUE=given[1] is not None,
                HAS_COLORS=given[2] is not None,
                HAS_SUMS=g_sums is not None,
                BLOCK=BLOCK,
            )
    return out


def watch_screen(kept: tuple[Tensor, Tensor, Tensor], inputs: Some, half: tuple[float, float]) -> None:
    """See :func:`sctd.ops.screen.watch_screen_`."""
    g_means2d, radii, norms = inputs
    assert g_means2d is not None  # the op's schema says so
    n = kept[0].shape[0]
    if n:
        with stream_of(kept[0]):
            _triton_screen.watch_screen_kernel[(_programs(n),)](
                *kept,
                g_means2d,
                radii,
                norms,
                n,
                *half,
                CAMERAS=g_means2d.shape[0],
                NORMS=0 if norms is None else norms.shape[0],
                BLOCK=BLOCK,
            )
