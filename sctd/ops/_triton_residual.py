"""Triton kernel: the SCTD residual with its self-consistency step, norms, finite check and loss, in one pass.

  in   z, out [B, n]: the point at s and the network's output there; z_end, z_cond [B, n]; weight [B]; levels
       of s and of the segment's end
  out  grad [B, n] = weight [(G - z_end) + (guidance + 1) (z_end - z_cond)], G the step from z;
       stats [B, 3]: |G - z_end|, |z_end - z_cond|, number of non-finite elements of grad;
       loss [B] = |grad|^2 / 2

Layout   a program is an image: its norms are sums over all of it, and no atomic is needed.
Limits   images of fewer than 2^31 elements. Arithmetic in float32.
Repeats  bit for bit.
Maths    csrc/include/sctd_math.h; docs/algorithm.md, section 2. Definition: sctd/ops/reference.py.
"""

from __future__ import annotations

import triton
import triton.language as tl

from sctd.ops._triton_ode import LEVELS, factors_to, number, read, write


@triton.jit(do_not_specialize=LEVELS)
def residual_kernel(
    z_ptr,  # [B, n]
    out_ptr,  # [B, n] the network's output
    z_end_ptr,  # [B, n]
    z_cond_ptr,  # [B, n]
    weight_ptr,  # [B]
    weight_stride,
    alpha_ptr,
    sigma_ptr,
    alpha_to_ptr,
    sigma_to_ptr,
    alpha_stride,
    sigma_stride,
    alpha_to_stride,
    sigma_to_stride,
    grad_ptr,  # [B, n]
    stats_ptr,  # [B, 3]
    loss_ptr,  # [B]
    n,
    guidance,
    PREDICTION: tl.constexpr,
    BLOCK: tl.constexpr,
):
    image = tl.program_id(0)
    first = image.to(tl.int64) * n
    lane = tl.arange(0, BLOCK)
    weight = number(weight_ptr, weight_stride, image)
    alpha, sigma = number(alpha_ptr, alpha_stride, image), number(sigma_ptr, sigma_stride, image)
    on_z, on_out = factors_to(
        alpha, sigma, alpha_to_ptr, alpha_to_stride, sigma_to_ptr, sigma_to_stride, image, PREDICTION
    )
    self2, cross2 = tl.zeros([BLOCK], tl.float32), tl.zeros([BLOCK], tl.float32)
    grad2, bad = tl.zeros([BLOCK], tl.float32), tl.zeros([BLOCK], tl.int32)
    for start in range(0, n, BLOCK):
        inside = start + lane < n
        at = first + start + lane
        z_self = on_z * read(z_ptr, at, inside) + on_out * read(out_ptr, at, inside)
        z_end = read(z_end_ptr, at, inside)
        to_self, to_cond = z_self - z_end, z_end - read(z_cond_ptr, at, inside)
        grad = weight * (to_self + (guidance + 1.0) * to_cond)
        write(grad_ptr, at, grad, inside)
        self2 += to_self * to_self
        cross2 += to_cond * to_cond
        grad2 += grad * grad
        # Not `grad - grad != 0`: fused with the product above that is its rounding error.
        bad += (inside & ~(tl.abs(grad) < float("inf"))).to(tl.int32)
    tl.store(stats_ptr + 3 * image, tl.sqrt(tl.sum(self2, 0)))
    tl.store(stats_ptr + 3 * image + 1, tl.sqrt(tl.sum(cross2, 0)))
    tl.store(stats_ptr + 3 * image + 2, tl.sum(bad, 0).to(tl.float32))
    tl.store(loss_ptr + image, 0.5 * tl.sum(grad2, 0))
