"""Triton kernel: adds an iteration to the statistics of densification.

  in   g_means2d [C, N, 2], radii [C, N, 2] int32, norms [groups] double where NORMS
  out  gradient, count, radius [N], in place; untouched where a norm is not finite

Layout   a program is BLOCK Gaussians, camera after camera.
Limits   fewer than 2^30 projected Gaussians; float32.
Repeats  bit for bit.
Definition: sctd/ops/screen.py, plain torch.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["n"])  # densification changes it
def watch_screen_kernel(
    gradient_ptr,
    count_ptr,
    radius_ptr,
    g_means2d_ptr,
    radii_ptr,
    norms_ptr,
    n,
    half_width,
    half_height,
    CAMERAS: tl.constexpr,
    NORMS: tl.constexpr,  # how many
    BLOCK: tl.constexpr,
):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    end = n
    for i in tl.static_range(NORMS):
        end = tl.where(tl.load(norms_ptr + i) < float("inf"), end, 0)
    inside = at < end
    gradient = tl.zeros([BLOCK], tl.float32)
    count, radius = tl.zeros([BLOCK], tl.float32), tl.zeros([BLOCK], tl.float32)
    for camera in tl.static_range(CAMERAS):
        pair = (camera * n + at) * 2
        wide = tl.load(radii_ptr + pair, mask=inside, other=0)
        largest = tl.maximum(wide, tl.load(radii_ptr + pair + 1, mask=inside, other=0)).to(tl.float32)
        across = half_width * tl.load(g_means2d_ptr + pair, mask=inside, other=0.0)
        down = half_height * tl.load(g_means2d_ptr + pair + 1, mask=inside, other=0.0)
        seen = largest > 0
        gradient += tl.where(seen, tl.sqrt(across * across + down * down), 0.0)
        count += tl.where(seen, 1.0, 0.0)
        radius = tl.maximum(radius, largest)
    tl.store(gradient_ptr + at, tl.load(gradient_ptr + at, mask=inside, other=0.0) + gradient, mask=inside)
    tl.store(count_ptr + at, tl.load(count_ptr + at, mask=inside, other=0.0) + count, mask=inside)
    tl.store(
        radius_ptr + at, tl.maximum(tl.load(radius_ptr + at, mask=inside, other=0.0), radius), mask=inside
    )
