"""Triton kernels: noising, one step of Phi, guidance with two steps, Perp-Neg with guidance and two steps.

  in   latents and network outputs [B, n], contiguous, of any floating type; levels: pointer and stride from
       image to image (0: the same for all); wrong directions [B, K, n], weights [B, K]
  out  [B, n], in the type of the latents

Layout   a program is BLOCK elements of one image; Perp-Neg: a program is an image, which it reads twice, as
         its projections are sums over all of it.
Limits   images of fewer than 2^31 elements. Arithmetic in float32.
Repeats  bit for bit.
Maths    csrc/include/sctd_math.h; docs/algorithm.md, sections 1 to 3. Definition: sctd/ops/reference.py.
"""

from __future__ import annotations

import triton
import triton.language as tl

LEVELS = [
    f"{name}_{what}"
    for name in (*(f"{a}{b}" for a in ("alpha", "sigma") for b in ("", "_to", "_s", "_e")), "weight")
    for what in ("ptr", "stride")
]
"""Arguments that point into tables. Triton must not specialise them, else it would compile again for each
alignment and stride."""


@triton.jit
def step_factors(alpha, sigma, alpha_to, sigma_to, PREDICTION: tl.constexpr):
    """Phi = on_z z + on_out out; PREDICTION of the network: 0 epsilon, 1 v, 2 sample."""
    if PREDICTION == 0:
        on_z = alpha_to / alpha
        on_out = sigma_to - alpha_to * sigma / alpha
    elif PREDICTION == 1:
        on_z = alpha_to * alpha + sigma_to * sigma
        on_out = sigma_to * alpha - alpha_to * sigma
    else:
        on_z = sigma_to / sigma
        on_out = alpha_to - sigma_to * alpha / sigma
    return on_z, on_out


@triton.jit
def number(pointer, stride, image):
    """The number of an image, in float32."""
    return tl.load(pointer + image * stride).to(tl.float32)


@triton.jit
def factors_to(
    alpha, sigma, alpha_ptr, alpha_stride, sigma_ptr, sigma_stride, image, PREDICTION: tl.constexpr
):
    """:func:`step_factors` to the level that an image has in a table."""
    alpha_to, sigma_to = number(alpha_ptr, alpha_stride, image), number(sigma_ptr, sigma_stride, image)
    return step_factors(alpha, sigma, alpha_to, sigma_to, PREDICTION)


@triton.jit
def read(pointer, at, inside):
    """Elements in float32, 0 outside."""
    return tl.load(pointer + at, mask=inside, other=0.0).to(tl.float32)


@triton.jit
def write(pointer, at, value, inside):
    """Elements in the type that they are stored in."""
    tl.store(pointer + at, value.to(pointer.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=LEVELS)
def noise_kernel(
    z0_ptr,  # [B, n]
    noise_ptr,  # [B, n]
    alpha_ptr,
    sigma_ptr,
    alpha_stride,
    sigma_stride,
    out_ptr,  # [B, n]
    n,
    BLOCK: tl.constexpr,
):
    image = tl.program_id(1)
    column = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = column < n
    at = image.to(tl.int64) * n + column
    alpha, sigma = number(alpha_ptr, alpha_stride, image), number(sigma_ptr, sigma_stride, image)
    write(out_ptr, at, alpha * read(z0_ptr, at, inside) + sigma * read(noise_ptr, at, inside), inside)


@triton.jit(do_not_specialize=LEVELS)
def ode_step_kernel(
    z_ptr,  # [B, n]
    out_ptr,  # [B, n] the network's output
    alpha_ptr,
    sigma_ptr,
    alpha_to_ptr,
    sigma_to_ptr,
    alpha_stride,
    sigma_stride,
    alpha_to_stride,
    sigma_to_stride,
    z_to_ptr,  # [B, n]
    n,
    PREDICTION: tl.constexpr,
    BLOCK: tl.constexpr,
):
    image = tl.program_id(1)
    column = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = column < n
    at = image.to(tl.int64) * n + column
    alpha, sigma = number(alpha_ptr, alpha_stride, image), number(sigma_ptr, sigma_stride, image)
    on_z, on_out = factors_to(
        alpha, sigma, alpha_to_ptr, alpha_to_stride, sigma_to_ptr, sigma_to_stride, image, PREDICTION
    )
    write(z_to_ptr, at, on_z * read(z_ptr, at, inside) + on_out * read(out_ptr, at, inside), inside)


@triton.jit(do_not_specialize=LEVELS)
def cfg_ode_steps_kernel(
    z_ptr,  # [B, n]
    null_ptr,  # [B, n] network outputs
    cond_ptr,  # [B, n]
    alpha_ptr,
    sigma_ptr,
    alpha_s_ptr,
    sigma_s_ptr,
    alpha_e_ptr,
    sigma_e_ptr,
    alpha_stride,
    sigma_stride,
    alpha_s_stride,
    sigma_s_stride,
    alpha_e_stride,
    sigma_e_stride,
    z_s_ptr,  # [B, n]
    z_e_ptr,  # [B, n]
    out_ptr,  # [B, n] the guided output
    n,
    guidance,
    PREDICTION: tl.constexpr,
    BLOCK: tl.constexpr,
):
    image = tl.program_id(1)
    column = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = column < n
    at = image.to(tl.int64) * n + column
    alpha, sigma = number(alpha_ptr, alpha_stride, image), number(sigma_ptr, sigma_stride, image)
    s_on_z, s_on_out = factors_to(
        alpha, sigma, alpha_s_ptr, alpha_s_stride, sigma_s_ptr, sigma_s_stride, image, PREDICTION
    )
    e_on_z, e_on_out = factors_to(
        alpha, sigma, alpha_e_ptr, alpha_e_stride, sigma_e_ptr, sigma_e_stride, image, PREDICTION
    )
    z, null = read(z_ptr, at, inside), read(null_ptr, at, inside)
    out = null + guidance * (read(cond_ptr, at, inside) - null)
    write(out_ptr, at, out, inside)
    write(z_s_ptr, at, s_on_z * z + s_on_out * out, inside)
    write(z_e_ptr, at, e_on_z * z + e_on_out * out, inside)


@triton.jit(do_not_specialize=LEVELS)
def perp_neg_ode_steps_kernel(
    z_ptr,  # [B, n]
    null_ptr,  # [B, n] network outputs
    cond_ptr,  # [B, n]
    wrong_ptr,  # [B, WRONG, n]
    weights_ptr,  # [B, WRONG]
    alpha_ptr,
    sigma_ptr,
    alpha_s_ptr,
    sigma_s_ptr,
    alpha_e_ptr,
    sigma_e_ptr,
    alpha_stride,
    sigma_stride,
    alpha_s_stride,
    sigma_s_stride,
    alpha_e_stride,
    sigma_e_stride,
    z_s_ptr,  # [B, n]
    z_e_ptr,  # [B, n]
    out_ptr,  # [B, n] the guided output
    n,
    guidance,
    WRONG: tl.constexpr,
    PREDICTION: tl.constexpr,
    BLOCK: tl.constexpr,
):
    image = tl.program_id(0)
    first = image.to(tl.int64) * n
    lane = tl.arange(0, BLOCK)
    # d . d, and the sum over the wrong directions of weight_k d_k . d: all that the projections need
    square, along = tl.zeros([BLOCK], tl.float32), tl.zeros([BLOCK], tl.float32)
    for start in range(0, n, BLOCK):
        inside = start + lane < n
        at = first + start + lane
        null = read(null_ptr, at, inside)
        d = read(cond_ptr, at, inside) - null
        square += d * d
        for k in tl.static_range(WRONG):
            weight = tl.load(weights_ptr + image * WRONG + k).to(tl.float32)
            wrong = read(wrong_ptr, first * WRONG + k * n + start + lane, inside)
            along += weight * (wrong - null) * d
    length2 = tl.sum(square, 0)
    on_right = 1.0 - tl.sum(along, 0) / tl.where(length2 > 0, length2, 1.0)
    alpha, sigma = number(alpha_ptr, alpha_stride, image), number(sigma_ptr, sigma_stride, image)
    s_on_z, s_on_out = factors_to(
        alpha, sigma, alpha_s_ptr, alpha_s_stride, sigma_s_ptr, sigma_s_stride, image, PREDICTION
    )
    e_on_z, e_on_out = factors_to(
        alpha, sigma, alpha_e_ptr, alpha_e_stride, sigma_e_ptr, sigma_e_stride, image, PREDICTION
    )
    for start in range(0, n, BLOCK):
        inside = start + lane < n
        at = first + start + lane
        z, null = read(z_ptr, at, inside), read(null_ptr, at, inside)
        push = on_right * (read(cond_ptr, at, inside) - null)
        for k in tl.static_range(WRONG):
            weight = tl.load(weights_ptr + image * WRONG + k).to(tl.float32)
            push += weight * (read(wrong_ptr, first * WRONG + k * n + start + lane, inside) - null)
        out = null + guidance * push
        write(out_ptr, at, out, inside)
        write(z_s_ptr, at, s_on_z * z + s_on_out * out, inside)
        write(z_e_ptr, at, e_on_z * z + e_on_out * out, inside)
