/*
triangle.h - with what weights of its corners a triangle is seen at a pixel, how deep; and how those move with its vertices.

Clip space: a vertex (x, y, z, w) is seen at the pixel position ((x/w + 1) W/2, (y/w + 1) H/2), y down, pixel centres at +0.5, with
depth z/w, smaller is nearer. A Corner is the same vertex with x and y scaled to pixels but not yet divided by w.

Weights are computed from the corners as they are, homogeneously (Olano and Greer 1997), which needs no clipping. With
u_k = x_k - X w_k, v_k = y_k - Y w_k for the pixel centre (X, Y):

    e_0 = u_1 v_2 - v_1 u_2  and cyclic,   b_k = e_k / (e_0 + e_1 + e_2),   depth = sum e_k z_k / sum e_k w_k

b are the perspective-correct weights: sum b_k corner_k is the point of the triangle that the pixel's ray meets. Subtracting the
pixel before multiplying keeps the error near eps times (distance of the corners from the pixel / size of the triangle); the
plain determinants would lose that squared. A weight below 0, at a pixel that only the rounded triangle of coverage.h covers,
is set to 0. No multiplication is fused with an addition here: every processor gets the same bits.

Gradients. Of the weights, with g_e_k = (g_b_k - sum_j b_j g_b_j) / sum e (0 where e_k was cut off):
    g_u_0 = v_1 g_e_2 - v_2 g_e_1,  g_v_0 = u_2 g_e_1 - u_1 g_e_2  and cyclic;  g_x = g_u,  g_y = g_v,  g_w = -(X g_u + Y g_v)
Summed over the pixels of a face, u and v being affine in the pixel, with moments m_k = sum g_e_k (X, Y, 1) and c_k = (x_k, y_k, w_k):
    g_c_0 = c_1 x m_2 - c_2 x m_1  and cyclic
Of the place where a fragment is seen: the point P = sum b_k corner_k of the surface, b fixed, is at s = (P_x, P_y, P_z) / P_w:
    ds / d corner_k = b_k (d(x, y, z) - s dw) / P_w
*/
#pragma once

#include "common.h"

SCTD_BEGIN

template <typename T>
struct Corner {
    T x, y, z, w;
};

template <typename T>
SCTD_HD Corner<T> to_pixels(T x, T y, T z, T w, int width, int height) {
    using S = Scalar<T>;
    return {(x + w) * (S(width) * S(0.5)), (y + w) * (S(height) * S(0.5)), z, w};
}

// Of a face with these vertices.
template <typename S>
SCTD_HD void load_corners(const S* clip, const int32_t* face, int width, int height, Corner<S> out[3]) {
    for (int k = 0; k < 3; ++k) {
        const S* v = clip + 4 * int64_t(face[k]);
        out[k] = to_pixels(v[0], v[1], v[2], v[3], width, height);
    }
}

// --- weights and depth at a pixel ---

// Corners k after the pixel has been subtracted, u_k and v_k, and what follows from them.
template <typename T>
struct Weights {
    T e[3];  // not negative
    T sum;
};

template <typename T>
SCTD_HD Weights<T> weights_of(const T u[3], const T v[3]) {
    const T zero{};
    Weights<T> r;
    r.e[0] = u[1] * v[2] - v[1] * u[2];
    r.e[1] = u[2] * v[0] - v[2] * u[0];
    r.e[2] = u[0] * v[1] - v[0] * u[1];
    const T turn = (r.e[0] + r.e[1]) + r.e[2];
    for (int k = 0; k < 3; ++k) r.e[k] = vmax(select(turn < zero, -r.e[k], r.e[k]), zero);
    r.sum = (r.e[0] + r.e[1]) + r.e[2];
    return r;
}

// sum e_k a_k
template <typename T, typename A>
SCTD_HD T weighted(const T e[3], A a0, A a1, A a2) {
    return (e[0] * a0 + e[1] * a1) + e[2] * a2;
}

template <typename T>
SCTD_HD void subtract_pixel(const Corner<T> c[3], T px, T py, T u[3], T v[3]) {
    for (int k = 0; k < 3; ++k) u[k] = c[k].x - px * c[k].w, v[k] = c[k].y - py * c[k].w;
}

// From the gradient of the weights b = e / sum at a pixel to that of e.
template <typename T>
SCTD_HD void edges_gradient(const T u[3], const T v[3], const T g_b[3], T g_e[3]) {
    using S = Scalar<T>;
    const T e[3] = {u[1] * v[2] - v[1] * u[2], u[2] * v[0] - v[2] * u[0], u[0] * v[1] - v[0] * u[1]};
    const T zero{}, turn = (e[0] + e[1]) + e[2];
    const Weights<T> w = weights_of(u, v);
    const T mean = weighted(w.e, g_b[0], g_b[1], g_b[2]) / w.sum;
    const T scale = select(turn < zero, zero - S(1), zero + S(1)) / w.sum;
    for (int k = 0; k < 3; ++k) g_e[k] = select(e[k] * scale >= zero, (g_b[k] - mean) * scale, zero);
}

// Gradient of the weights at a pixel to the corners; out[k] has x, y, w.
template <typename T>
SCTD_HD void weights_gradient(const Corner<T> c[3], T px, T py, const T g_b[3], T out[3][3]) {
    T u[3], v[3], g_e[3];
    subtract_pixel(c, px, py, u, v);
    edges_gradient(u, v, g_b, g_e);
    for (int k = 0; k < 3; ++k) {
        const int l = (k + 1) % 3, m = (k + 2) % 3;
        const T g_u = v[l] * g_e[m] - v[m] * g_e[l], g_v = u[m] * g_e[l] - u[l] * g_e[m];
        out[k][0] = g_u, out[k][1] = g_v, out[k][2] = -(px * g_u + py * g_v);
    }
}

// The same of many pixels, from the moments of g_e about (px, py); m[k] has X, Y, 1.
template <typename T>
SCTD_HD void moments_gradient(const Corner<T> c[3], T px, T py, const T m[3][3], T out[3][3]) {
    T u[3], v[3];
    subtract_pixel(c, px, py, u, v);
    for (int k = 0; k < 3; ++k) {
        const int p = (k + 1) % 3, q = (k + 2) % 3;
        const T g_u = (v[p] * m[q][2] - c[p].w * m[q][1]) - (v[q] * m[p][2] - c[q].w * m[p][1]);
        const T g_v = (c[p].w * m[q][0] - u[p] * m[q][2]) - (c[q].w * m[p][0] - u[q] * m[p][2]);
        const T turn = (u[p] * m[q][1] - v[p] * m[q][0]) - (u[q] * m[p][1] - v[q] * m[p][0]);
        out[k][0] = g_u, out[k][1] = g_v, out[k][2] = turn - (px * g_u + py * g_v);
    }
}

// Depth of the triangle's plane at any pixel, whether the triangle covers it or not; affine in the pixel.
template <typename T>
SCTD_HD T plane_depth(const Corner<T> c[3], T px, T py) {
    T u[3], v[3];
    subtract_pixel(c, px, py, u, v);
    const T e[3] = {u[1] * v[2] - v[1] * u[2], u[2] * v[0] - v[2] * u[0], u[0] * v[1] - v[0] * u[1]};
    return weighted(e, c[0].z, c[1].z, c[2].z) / weighted(e, c[0].w, c[1].w, c[2].w);
}

template <typename T>
SCTD_HD bool holds_pixel(const Corner<T> c[3], T px, T py) {
    T u[3], v[3];
    subtract_pixel(c, px, py, u, v);
    const T e[3] = {u[1] * v[2] - v[1] * u[2], u[2] * v[0] - v[2] * u[0], u[0] * v[1] - v[0] * u[1]};
    return (e[0] >= 0 && e[1] >= 0 && e[2] >= 0) || (e[0] <= 0 && e[1] <= 0 && e[2] <= 0);
}

SCTD_END
