"""Triton kernels: optimised numbers => rendered numbers, and the gradients back.

  in   scales [N, 3] logarithms, opacities [N] logits, sh0 [N, 3], shN [N, K - 1, 3], noise [N, 3] where NOISE
       back: the gradients of the results; absent where HAS_... is false
  out  spread [N, 3] = exp(scales) noise, opaque [N] = sigmoid(opacities), colors [N, K, 3] where K > 1; sums
       [programs, 2], which add up to the means of exp(scales) and of opaque
       back: g_scales, g_opacities, and where K > 1 g_sh0, g_shN

Layout   a program is BLOCK numbers of each array; there are as many programs as the longest needs.
Limits   fewer than 2^31 numbers an array; float32.
Repeats  bit for bit.
Definition: sctd/ops/activation.py, plain torch.
"""

from __future__ import annotations

import triton
import triton.language as tl

LEAST_NOISE = tl.constexpr(1e-3)
"""As in sctd/ops/activation.py."""


@triton.jit(do_not_specialize=["n"])  # densification changes it
def activate_kernel(
    scales_ptr,
    opacities_ptr,
    sh0_ptr,
    shN_ptr,
    noise_ptr,
    spread_ptr,
    opaque_ptr,
    colors_ptr,
    sums_ptr,
    n,
    K: tl.constexpr,
    NOISE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    scaled = at < 3 * n
    spread = tl.where(scaled, tl.exp(tl.load(scales_ptr + at, mask=scaled, other=0.0)), 0.0)
    tl.store(sums_ptr + 2 * tl.program_id(0), tl.sum(spread, 0) / (3 * n))
    if NOISE:
        spread *= tl.maximum(tl.load(noise_ptr + at, mask=scaled, other=1.0), LEAST_NOISE)
    tl.store(spread_ptr + at, spread, mask=scaled)
    there = at < n
    opaque = tl.where(there, tl.sigmoid(tl.load(opacities_ptr + at, mask=there, other=0.0)), 0.0)
    tl.store(sums_ptr + 2 * tl.program_id(0) + 1, tl.sum(opaque, 0) / n)
    tl.store(opaque_ptr + at, opaque, mask=there)
    if K > 1:
        for k in tl.static_range(K):
            row, channel = at // 3, at % 3
            if k == 0:
                x = tl.load(sh0_ptr + at, mask=scaled, other=0.0)
            else:
                x = tl.load(shN_ptr + (row * (K - 1) + k - 1) * 3 + channel, mask=scaled, other=0.0)
            tl.store(colors_ptr + (row * K + k) * 3 + channel, x, mask=scaled)


@triton.jit(do_not_specialize=["n"])  # densification changes it
def activate_backward_kernel(
    scales_ptr,
    opacities_ptr,
    noise_ptr,
    g_spread_ptr,
    g_opaque_ptr,
    g_colors_ptr,
    g_sums_ptr,
    row_stride,
    column_stride,
    g_scales_ptr,
    g_opacities_ptr,
    g_sh0_ptr,
    g_shN_ptr,
    n,
    K: tl.constexpr,
    NOISE: tl.constexpr,
    HAS_SPREAD: tl.constexpr,
    HAS_OPAQUE: tl.constexpr,
    HAS_COLORS: tl.constexpr,
    HAS_SUMS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    scaled, there = at < 3 * n, at < n
    g_spread, g_opaque = tl.zeros([BLOCK], tl.float32), tl.zeros([BLOCK], tl.float32)
    if HAS_SPREAD:
        g_spread += tl.load(g_spread_ptr + at, mask=scaled, other=0.0)
        if NOISE:
            g_spread *= tl.maximum(tl.load(noise_ptr + at, mask=scaled, other=1.0), LEAST_NOISE)
    if HAS_OPAQUE:
        g_opaque += tl.load(g_opaque_ptr + at, mask=there, other=0.0)
    if HAS_SUMS:
        sums_ptr = g_sums_ptr + tl.program_id(0) * row_stride
        g_spread += tl.load(sums_ptr) / (3 * n)
        g_opaque += tl.load(sums_ptr + column_stride) / n
    g_spread *= tl.exp(tl.load(scales_ptr + at, mask=scaled, other=0.0))
    tl.store(g_scales_ptr + at, g_spread, mask=scaled)
    opaque = tl.sigmoid(tl.load(opacities_ptr + at, mask=there, other=0.0))
    tl.store(g_opacities_ptr + at, g_opaque * opaque * (1.0 - opaque), mask=there)
    if K > 1:
        for k in tl.static_range(K):
            row, channel = at // 3, at % 3
            g = tl.zeros([BLOCK], tl.float32)
            if HAS_COLORS:
                g += tl.load(g_colors_ptr + (row * K + k) * 3 + channel, mask=scaled, other=0.0)
            if k == 0:
                tl.store(g_sh0_ptr + at, g, mask=scaled)
            else:
                tl.store(g_shN_ptr + (row * (K - 1) + k - 1) * 3 + channel, g, mask=scaled)
