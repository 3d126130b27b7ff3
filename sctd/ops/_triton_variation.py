"""Triton kernel: total variation of pictures and its gradient in one pass.

  in   images [planes, h, w], contiguous, any floating type; down, across: 1 over the number of differences of
       a direction, 0 where there is none
  out  grad [planes, h, w]; sums [programs], float32, which add up to
       down sum (x_below - x)^2 + across sum (x_right - x)^2

Layout   a program is BLOCK pixels in a row of memory; neighbours come from the cache.
Limits   fewer than 2^31 pixels. Arithmetic in float32.
Repeats  bit for bit.
Maths    docs/algorithm.md, section 6. Definition: sctd/ops/reference.py.
"""

from __future__ import annotations

import triton
import triton.language as tl

from sctd.ops._triton_ode import read, write


@triton.jit
def total_variation_kernel(
    images_ptr,  # [count]
    sums_ptr,  # [programs]
    grad_ptr,  # [count]
    count,
    height,
    width,
    down,
    across,
    BLOCK: tl.constexpr,
):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = at < count
    column, row = at % width, at // width % height
    x = read(images_ptr, at, inside)
    has_below, has_above = inside & (row + 1 < height), inside & (row > 0)
    has_right, has_left = inside & (column + 1 < width), inside & (column > 0)
    below = tl.where(has_below, read(images_ptr, at + width, has_below) - x, 0.0)
    above = tl.where(has_above, x - read(images_ptr, at - width, has_above), 0.0)
    right = tl.where(has_right, read(images_ptr, at + 1, has_right) - x, 0.0)
    left = tl.where(has_left, x - read(images_ptr, at - 1, has_left), 0.0)
    write(grad_ptr, at, 2.0 * down * (above - below) + 2.0 * across * (left - right), inside)
    tl.store(sums_ptr + tl.program_id(0), tl.sum(down * below * below + across * right * right, 0))
