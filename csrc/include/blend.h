/*
blend.h - alpha of one footprint at one pixel.

    alpha = min(0.999, opacity * exp(-0.5 d^T K d)),  d = pixel centre - mean,  K = conic [A B; B C] in 1/px^2

K is completed to squares, d^T K d = A (dx + (B/A) dy)^2 + (C - B^2/A) dy^2, because the plain form cancels for thin
footprints; and both factors carry 0.5 log2(e), so that the exponential is one exp2. A pixel is tested before the
exponential: alpha >= 1/255 exactly when the exponent <= log2(255 opacity).

Gradient: with v = dL/dalpha * alpha summed against (1, dx, dy, dx^2, dx dy, dy^2) over the pixels, everything about
the footprint follows once per (tile, Gaussian); see moments_to_gradient.
Source  Kerbl et al. 2023, section 4 and appendix C; docs/algorithm.md, section 7.
*/
#pragma once

#include "common.h"

SCTD_BEGIN

template <typename T>
struct Kernel2D {
    T mean_x, mean_y;  // px
    T shear, ka, kc;   // B/A; 0.5 log2(e) A; 0.5 log2(e) (C - B^2/A)
    T limit;           // log2(255 opacity): largest exponent that is still drawn
    T opacity;
};

template <typename T>
SCTD_HD Kernel2D<T> make_kernel(T mean_x, T mean_y, T a, T b, T c, T opacity) {
    using S = Scalar<T>;
    Kernel2D<T> k;
    k.mean_x = mean_x, k.mean_y = mean_y;
    k.shear = b / a;
    k.ka = S(0.5 * kLog2E) * a;
    k.kc = S(0.5 * kLog2E) * (c - b * k.shear);
    k.limit = vlog(opacity * 255) * S(kLog2E);
    k.opacity = opacity;
    return k;
}

// The exponent e in alpha = opacity * 2^-e.
template <typename T, typename S>
SCTD_HD T exponent(S shear, S ka, S kc, T dx, T dy) {
    const T u = madd(T(dx * 0 + shear), dy, dx);
    return madd(ka * u, u, kc * dy * dy);
}

// m = sums of v, v dx, v dy, v dx^2, v dx dy, v dy^2; out = gradients of mean (2), conic (3), opacity (1).
template <typename S>
SCTD_HD void moments_to_gradient(S a, S b, S c, S opacity, const S m[6], S out[6]) {
    out[0] = a * m[1] + b * m[2];
    out[1] = b * m[1] + c * m[2];
    out[2] = S(-0.5) * m[3];
    out[3] = -m[4];
    out[4] = S(-0.5) * m[5];
    out[5] = m[0] / opacity;
}

SCTD_END
