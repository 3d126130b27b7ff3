/*
ellipse.h - where on the screen a footprint reaches alpha >= 1/255: its box, and its span along a pixel row.

  in   opacity, cov2d or conic (A, B, C) in 1/px^2
  out  reach: half the squared Mahalanobis distance at which alpha falls to 1/255 is ln(255 opacity)

Rows are exact up to rounding: at distance dy from the mean the ellipse spans
    x = mean_x - (B/A) dy +- sqrt(h0 - h2 dy^2),   h0 = 2 ln(255 opacity) / A,  h2 = (C - B^2/A) / A.
A small margin covers the rounding, so that culling never changes a pixel: the pixel test decides.
*/
#pragma once

#include "common.h"

SCTD_BEGIN

// Relative margin on the squared half width, absolute margin in pixels on the half width.
constexpr double kSpanSlack = 1e-5, kSpanMargin = 1e-2;

// Squared Mahalanobis radius of the visible ellipse; negative or NaN when nothing is visible.
template <typename T>
SCTD_HD T ellipse_reach(T opacity) {
    return 2 * vlog(opacity * 255);
}

template <typename T>
struct RowSpan {
    T mean_x, mean_y, shear, h0, h2;
    T half_height;  // px, rows further away are never touched
};

template <typename T>
SCTD_HD RowSpan<T> make_row_span(T mean_x, T mean_y, T a, T b, T c, T reach) {
    using S = Scalar<T>;
    RowSpan<T> e;
    e.mean_x = mean_x, e.mean_y = mean_y;
    e.shear = b / a;
    const T k = c - b * e.shear;  // 1 / cov2d_yy
    e.h0 = reach / a * S(1 + kSpanSlack);
    e.h2 = k / a;
    e.half_height = vsqrt(reach / k) * S(1 + kSpanSlack) + S(kSpanMargin);
    return e;
}

SCTD_END
