"""Triton kernels: the rasterizer's images to colours, disparity and total variation; grey images; and back.

  in   renders [C, H, W, CHANNELS], alphas [C, H, W]; CHANNELS 3: colours, 4: and the sum of weight * depth
       down, across: 1 over the number of differences of one plane of every camera, 0 where there is none
       back: g_rgb, g_disparity as they came out, g_sums [programs, 2] with its strides; absent where HAS_...
       is false
  out  rgb [C, 3, H, W], disparity [C, 1, H, W]; where VARIATION is set sums [programs, 2], which add up to
       down sum (x_below - x)^2 + across sum (x_right - x)^2, mean over the planes of a camera
       back: g_renders, g_alphas, as renders and alphas

       stretched: values [B, pixels] to images [B, 3, pixels], ranges [B] the largest less the smallest value,
       LEAST_RANGE at least; back: g_images, ranges to g_values

Layout   a program is BLOCK pixels in a row of memory; neighbours come from the cache, their disparity is
         computed again. A difference of two pixels belongs to the program of the upper or left one.
         Of stretched a program is an image, which it reads twice.
Limits   fewer than 2^29 pixels; float32.
Repeats  bit for bit.
Definition: sctd/ops/images.py, plain torch.
"""

from __future__ import annotations

import triton
import triton.language as tl

LEAST_ALPHA = tl.constexpr(1e-10)
LEAST_RANGE = tl.constexpr(1e-6)
"""Both as in sctd/ops/images.py."""


@triton.jit
def _seen(renders_ptr, alphas_ptr, at, inside, near, CHANNELS: tl.constexpr):
    """alpha, expected depth and disparity of pixels."""
    alpha = tl.load(alphas_ptr + at, mask=inside, other=0.0)
    depth = tl.load(renders_ptr + at * CHANNELS + 3, mask=inside, other=0.0)
    expected = depth / tl.maximum(alpha, LEAST_ALPHA)
    return alpha, expected, alpha / tl.maximum(expected, near)


@triton.jit
def _value(renders_ptr, alphas_ptr, at, inside, near, channel: tl.constexpr, CHANNELS: tl.constexpr):
    """A colour, or as the fourth channel the disparity."""
    if channel == 3:
        return _seen(renders_ptr, alphas_ptr, at, inside, near, CHANNELS)[2]
    return tl.load(renders_ptr + at * CHANNELS + channel, mask=inside, other=0.0)


@triton.jit
def views_kernel(
    renders_ptr,
    alphas_ptr,
    rgb_ptr,
    disparity_ptr,
    sums_ptr,
    count,  # pixels of all cameras
    height,
    width,
    near,
    down,
    across,
    CHANNELS: tl.constexpr,
    VARIATION: tl.constexpr,
    BLOCK: tl.constexpr,
):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < count
    column, row, camera = at % width, at // width % height, at // (width * height)
    below, right = inside & (row + 1 < height), inside & (column + 1 < width)
    of_rgb, of_disparity = 0.0, 0.0
    for channel in tl.static_range(CHANNELS):
        x = _value(renders_ptr, alphas_ptr, at, inside, near, channel, CHANNELS)
        varied = 0.0
        if VARIATION:
            under = _value(renders_ptr, alphas_ptr, at + width, below, near, channel, CHANNELS)
            beside = _value(renders_ptr, alphas_ptr, at + 1, right, near, channel, CHANNELS)
            vertical, horizontal = tl.where(below, under - x, 0.0), tl.where(right, beside - x, 0.0)
            varied = tl.sum(down * vertical * vertical + across * horizontal * horizontal, 0)
        if channel == 3:
            tl.store(disparity_ptr + at, x, mask=inside)
            of_disparity += varied
        else:
            plane = (camera * 3 + channel) * height + row
            tl.store(rgb_ptr + plane * width + column, x, mask=inside)
            of_rgb += varied / 3
    if VARIATION:
        tl.store(sums_ptr + 2 * tl.program_id(0), of_rgb)
        tl.store(sums_ptr + 2 * tl.program_id(0) + 1, of_disparity)


@triton.jit
def _owner(column_ptr, row_stride, at, inside, BLOCK: tl.constexpr):
    """The gradient of the sum that a pixel's differences went into."""
    return tl.load(column_ptr + at // BLOCK * row_stride, mask=inside, other=0.0)


@triton.jit
def views_backward_kernel(
    renders_ptr,
    alphas_ptr,
    g_rgb_ptr,
    g_disparity_ptr,
    g_sums_ptr,
    row_stride,
    column_stride,
    g_renders_ptr,
    g_alphas_ptr,
    count,
    height,
    width,
    near,
    down,
    across,
    CHANNELS: tl.constexpr,
    HAS_RGB: tl.constexpr,
    HAS_DISPARITY: tl.constexpr,
    HAS_SUMS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < count
    column, row, camera = at % width, at // width % height, at // (width * height)
    below, above = inside & (row + 1 < height), inside & (row > 0)
    right, left = inside & (column + 1 < width), inside & (column > 0)
    g_alpha = tl.zeros([BLOCK], tl.float32)
    for channel in tl.static_range(CHANNELS):
        g = tl.zeros([BLOCK], tl.float32)
        if HAS_SUMS:
            column_ptr = g_sums_ptr + column_stride if channel == 3 else g_sums_ptr
            share = 2.0 if channel == 3 else 2.0 / 3.0
            x = _value(renders_ptr, alphas_ptr, at, inside, near, channel, CHANNELS)
            under = _value(renders_ptr, alphas_ptr, at + width, below, near, channel, CHANNELS)
            over = _value(renders_ptr, alphas_ptr, at - width, above, near, channel, CHANNELS)
            beside = _value(renders_ptr, alphas_ptr, at + 1, right, near, channel, CHANNELS)
            before = _value(renders_ptr, alphas_ptr, at - 1, left, near, channel, CHANNELS)
            own = _owner(column_ptr, row_stride, at, inside, BLOCK)
            vertical = _owner(column_ptr, row_stride, at - width, above, BLOCK) * tl.where(
                above, x - over, 0.0
            )
            vertical -= own * tl.where(below, under - x, 0.0)
            horizontal = _owner(column_ptr, row_stride, at - 1, left, BLOCK) * tl.where(left, x - before, 0.0)
            horizontal -= own * tl.where(right, beside - x, 0.0)
            g += share * (down * vertical + across * horizontal)
        if channel == 3:
            if HAS_DISPARITY:
                g += tl.load(g_disparity_ptr + at, mask=inside, other=0.0)
            alpha, expected, _ = _seen(renders_ptr, alphas_ptr, at, inside, near, CHANNELS)
            far = expected >= near
            divisor = tl.maximum(alpha, LEAST_ALPHA)
            depth = tl.maximum(expected, near)
            g_expected = tl.where(far, -g * alpha / (depth * depth), 0.0)
            g_alpha = g / depth
            g_alpha += tl.where(alpha >= LEAST_ALPHA, -g_expected * expected / divisor, 0.0)
            g = g_expected / divisor
        else:
            if HAS_RGB:
                plane = (camera * 3 + channel) * height + row
                g += tl.load(g_rgb_ptr + plane * width + column, mask=inside, other=0.0)
        tl.store(g_renders_ptr + at * CHANNELS + channel, g, mask=inside)
    tl.store(g_alphas_ptr + at, g_alpha, mask=inside)


@triton.jit
def stretched_kernel(values_ptr, images_ptr, ranges_ptr, pixels, BLOCK: tl.constexpr):
    image = tl.program_id(0)
    start = values_ptr + image.to(tl.int64) * pixels
    least, most = tl.full([BLOCK], float("inf"), tl.float32), tl.full([BLOCK], float("-inf"), tl.float32)
    for first in range(0, pixels, BLOCK):
        at = first + tl.arange(0, BLOCK)
        least = tl.minimum(least, tl.load(start + at, mask=at < pixels, other=float("inf")))
        most = tl.maximum(most, tl.load(start + at, mask=at < pixels, other=float("-inf")))
    low = tl.min(least, 0)
    extent = tl.maximum(tl.max(most, 0) - low, LEAST_RANGE)
    tl.store(ranges_ptr + image, extent)
    for first in range(0, pixels, BLOCK):
        at = first + tl.arange(0, BLOCK)
        grey = (tl.load(start + at, mask=at < pixels, other=0.0) - low) / extent
        for channel in tl.static_range(3):
            tl.store(images_ptr + (image.to(tl.int64) * 3 + channel) * pixels + at, grey, mask=at < pixels)


@triton.jit
def stretched_backward_kernel(g_images_ptr, ranges_ptr, g_values_ptr, count, pixels, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < count
    image, pixel = at // pixels, at % pixels
    g = tl.zeros([BLOCK], tl.float32)
    for channel in tl.static_range(3):
        g += tl.load(g_images_ptr + (image * 3 + channel) * pixels + pixel, mask=inside, other=0.0)
    tl.store(g_values_ptr + at, g / tl.load(ranges_ptr + image, mask=inside, other=1.0), mask=inside)
