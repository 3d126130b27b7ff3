"""Triton kernels: the rasterizer's images to colours, a picture of disparity and total variation; and back.

  in   renders [C, H, W, CHANNELS], alphas [C, H, W]; CHANNELS 3: colours, 4: and the sum of weight * depth
       ranges [C, 2], of the disparities of each camera the one that is black, and from there to the largest,
       LEAST_RANGE at least; disparity_ranges finds them
       down, across: 1 over the number of differences of one plane of every camera, 0 where there is none
       back: g_rgb, g_disparity as they came out, g_sums [programs, 2] with its strides; absent where HAS_...
       is false
  out  rgb [C, 3, H, W], disparity [C, 1, H, W]; where VARIATION is set sums [programs, 2], which add up to
       down sum (x_below - x)^2 + across sum (x_right - x)^2, mean over the planes of a camera
       back: g_renders, g_alphas, as renders and alphas

Layout   a program is BLOCK pixels in a row of memory; neighbours come from the cache, their disparity is
         computed again. A difference of two pixels belongs to the program of the upper or left one.
         Of disparity_ranges a program is a camera.
Limits   fewer than 2^29 pixels; float32.
Repeats  bit for bit.
Definition: sctd/ops/images.py, plain torch.
"""

from __future__ import annotations

import triton
import triton.language as tl

EMPTY_DEPTH = tl.constexpr(10.0)
LEAST_DEPTH = tl.constexpr(1e-5)
OPAQUE = tl.constexpr(0.9)
LEAST_RANGE = tl.constexpr(1e-6)
"""All as in sctd/ops/images.py."""


@triton.jit
def _seen(renders_ptr, alphas_ptr, at, inside, CHANNELS: tl.constexpr):
    """alpha and disparity of pixels."""
    alpha = tl.load(alphas_ptr + at, mask=inside, other=0.0)
    depth = tl.load(renders_ptr + at * CHANNELS + 3, mask=inside, other=0.0)
    return alpha, 1.0 / (depth + EMPTY_DEPTH * (1.0 - alpha) + LEAST_DEPTH)


@triton.jit
def _value(renders_ptr, alphas_ptr, at, inside, low, extent, channel: tl.constexpr, CHANNELS: tl.constexpr):
    """A colour, or as the fourth channel the picture of the disparity."""
    if channel == 3:
        d = _seen(renders_ptr, alphas_ptr, at, inside, CHANNELS)[1]
        return tl.where(d < low, 0.0, (d - low) / extent)
    return tl.load(renders_ptr + at * CHANNELS + channel, mask=inside, other=0.0)


@triton.jit
def _range(ranges_ptr, camera, inside, CHANNELS: tl.constexpr):
    """What stretches the disparities of pixels."""
    there = inside & (CHANNELS == 4)
    low = tl.load(ranges_ptr + 2 * camera, mask=there, other=0.0)
    return low, tl.load(ranges_ptr + 2 * camera + 1, mask=there, other=1.0)


@triton.jit
def disparity_ranges_kernel(
    renders_ptr, alphas_ptr, ranges_ptr, pixels, CHANNELS: tl.constexpr, BLOCK: tl.constexpr
):
    camera = tl.program_id(0)
    none = tl.full([BLOCK], float("inf"), tl.float32)
    surface, least, most = none, none, -none
    for first in range(0, pixels, BLOCK):
        inside = first + tl.arange(0, BLOCK) < pixels
        at = camera * pixels + first + tl.arange(0, BLOCK)
        alpha, d = _seen(renders_ptr, alphas_ptr, at, inside, CHANNELS)
        surface = tl.minimum(surface, tl.where(inside & (alpha >= OPAQUE), d, none))
        least, most = (
            tl.minimum(least, tl.where(inside, d, none)),
            tl.maximum(most, tl.where(inside, d, -none)),
        )
    low = tl.min(surface, 0)
    low = tl.where(low == float("inf"), tl.min(least, 0), low)
    tl.store(ranges_ptr + 2 * camera, low)
    tl.store(ranges_ptr + 2 * camera + 1, tl.maximum(tl.max(most, 0) - low, LEAST_RANGE))


@triton.jit
def views_kernel(
    renders_ptr,
    alphas_ptr,
    ranges_ptr,
    rgb_ptr,
    disparity_ptr,
    sums_ptr,
    count,  # pixels of all cameras
    height,
    width,
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
    low, extent = _range(ranges_ptr, camera, inside, CHANNELS)
    of_rgb, of_disparity = 0.0, 0.0
    for channel in tl.static_range(CHANNELS):
        x = _value(renders_ptr, alphas_ptr, at, inside, low, extent, channel, CHANNELS)
        varied = 0.0
        if VARIATION:
            under = _value(renders_ptr, alphas_ptr, at + width, below, low, extent, channel, CHANNELS)
            beside = _value(renders_ptr, alphas_ptr, at + 1, right, low, extent, channel, CHANNELS)
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
    ranges_ptr,
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
    low, extent = _range(ranges_ptr, camera, inside, CHANNELS)
    g_alpha = tl.zeros([BLOCK], tl.float32)
    for channel in tl.static_range(CHANNELS):
        g = tl.zeros([BLOCK], tl.float32)
        if HAS_SUMS:
            column_ptr = g_sums_ptr + column_stride if channel == 3 else g_sums_ptr
            share = 2.0 if channel == 3 else 2.0 / 3.0
            x = _value(renders_ptr, alphas_ptr, at, inside, low, extent, channel, CHANNELS)
            under = _value(renders_ptr, alphas_ptr, at + width, below, low, extent, channel, CHANNELS)
            over = _value(renders_ptr, alphas_ptr, at - width, above, low, extent, channel, CHANNELS)
            beside = _value(renders_ptr, alphas_ptr, at + 1, right, low, extent, channel, CHANNELS)
            before = _value(renders_ptr, alphas_ptr, at - 1, left, low, extent, channel, CHANNELS)
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
            d = _seen(renders_ptr, alphas_ptr, at, inside, CHANNELS)[1]
            g = tl.where(d < low, 0.0, -g / extent * d * d)
            g_alpha = -EMPTY_DEPTH * g
        else:
            if HAS_RGB:
                plane = (camera * 3 + channel) * height + row
                g += tl.load(g_rgb_ptr + plane * width + column, mask=inside, other=0.0)
        tl.store(g_renders_ptr + at * CHANNELS + channel, g, mask=inside)
    tl.store(g_alphas_ptr + at, g_alpha, mask=inside)
