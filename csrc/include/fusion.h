/*
fusion.h - what one picture of depth and coverage says of one point in space; cpu/fusion.cpp adds the pictures up.

A camera sees a point that lies before it and inside its picture. Coverage a and depth d are read between the four nearest
pixel centres, both blended alike, so that d / a is the depth.

  outline   how far outside the object's outline the point lies, world units, negative inside. The outline is where a falls to
            `level`; to first order its distance is (level - a) / |grad a|, with the gradient over the plane through the point
            that is parallel to the picture.
  front     how far before the object's surface the point lies, along the ray through it, world units; negative behind.
*/
#pragma once

#include "common.h"

SCTD_BEGIN

// Of the gradient, below which coverage counts as flat, 1 / world units: an outline is then nowhere near.
constexpr double kFlat = 1e-6;
// Before a camera, world units.
constexpr double kNear = 1e-6;

template <typename T>
struct DepthPicture {
    const T *viewmat, *k;    // [4,4] world -> camera, OpenCV axes; [3,3] pixels, without skew
    const T *depth, *alpha;  // [H,W] z times coverage, world units; [H,W] coverage, 0..1
    int width, height;       // >= 2
};

template <typename T>
struct Sight {
    bool seen, covered;  // covered: a >= level
    T outline, front;    // the latter only where covered
};

template <typename T>
SCTD_HD Sight<T> sight(const DepthPicture<T>& view, const T point[3], T level) {
    const T *m = view.viewmat, *k = view.k;
    T p[3];
    for (int i = 0; i < 3; ++i)
        p[i] = m[4 * i] * point[0] + m[4 * i + 1] * point[1] + m[4 * i + 2] * point[2] + m[4 * i + 3];
    Sight<T> s{false, false, T(0), T(0)};
    if (!(p[2] > T(kNear))) return s;
    const T near = T(1) / p[2];
    const T u = k[0] * p[0] * near + k[2] - T(0.5), v = k[4] * p[1] * near + k[5] - T(0.5);
    if (!(u >= 0 && v >= 0 && u <= T(view.width - 1) && v <= T(view.height - 1))) return s;
    const int column = u < T(view.width - 2) ? int(u) : view.width - 2,
              row = v < T(view.height - 2) ? int(v) : view.height - 2;
    const T right = u - T(column), below = v - T(row), left = T(1) - right, above = T(1) - below;
    const int64_t at = int64_t(row) * view.width + column;
    const T *a = view.alpha + at, *b = a + view.width, *d = view.depth + at, *e = d + view.width;
    const T alpha = above * (left * a[0] + right * a[1]) + below * (left * b[0] + right * b[1]);
    const T across = k[0] * (above * (a[1] - a[0]) + below * (b[1] - b[0])),
            down = k[4] * (left * (b[0] - a[0]) + right * (b[1] - a[1]));
    s.seen = true, s.covered = alpha >= level;
    s.outline = (level - alpha) / vmax(vsqrt(across * across + down * down) * near, T(kFlat));
    if (s.covered) {
        const T depth = (above * (left * d[0] + right * d[1]) + below * (left * e[0] + right * e[1])) / alpha;
        s.front = (depth - p[2]) * vsqrt(p[0] * p[0] + p[1] * p[1] + p[2] * p[2]) * near;
    }
    return s;
}

SCTD_END
