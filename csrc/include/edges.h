/*
edges.h - the gradient of a picture's edges to the places where its fragments are seen.

A picture jumps at the silhouette of a face, so its derivative there is no derivative of colours. Pidhorskyi et al. 2024
("Rasterized Edge Gradients", arXiv 2405.02508): let pixels p and q be neighbours along an axis, q after p, with fragments of
different surfaces; an edge crosses the way between their centres. Were a pixel the mean of its square, moving the edge by d would
replace the colour I_q by I_p on a share d of the pixel which the edge is in. Samples do not tell which of the two that is; half
of each gives

    dL/dd = 1/2 (g_p + g_q) . (I_p - I_q),   g = dL/dI

It goes to the fragment whose edge it is, the one in front, along the axis; the other surface only comes to light.
Who is in front: the planes of both triangles are compared at both pixels. If p's would hide q's surface at q, and q's would not
hide p's at p, then p's ends there: p is in front; and the other way round. If each would hide the other, the one that is nearer
where it is seen. If neither would, the planes cross in between: an intersection, if one of the triangles reaches the other's
pixel; else the surface bends there and goes on through faces too small to be seen: nothing. Nothing either for two faces with a
vertex in common: one surface.

Intersection: the edge is where f = depth_p - depth_q is 0. Moving p's surface by (dx, dy, dz) changes its depth at a fixed pixel by
df = dz - depth_p,x dx - depth_p,y dy, q's likewise with the other sign, and the edge then moves by -df f' / |f'|^2, f' = (f_x, f_y):
along its normal. As with silhouettes, a pair along an axis takes that axis' part; f rises along it, for p is in front at p.

    dL/dz_p = -K,   dL/d(x, y)_p = K depth_p',   for q the same with -K and depth_q',   K = dL/dd f_axis / |f'|^2

Stability: f' vanishes for planes that are almost parallel; |f'| is held above 1/kSteepest of the steepest slope, and coplanar
triangles get nothing. Everything else is bounded by the colours and gradients themselves.
Where this ends: the fragment stands for the edge, up to a pixel away from it, so a corner opposite to the edge gets a share of
about a pixel over the height of the triangle; two edges between neighbouring pixels count as one; edges that leave no pixel
different are not seen; where concave surfaces have faces smaller than a pixel, faces without a common vertex are taken for
two surfaces, and their difference of colour, small on a smooth picture, for an edge.
*/
#pragma once

#include "triangle.h"

SCTD_BEGIN

// What a loss asks of the place where a fragment is seen: its gradient to x and y in pixels, and depth.
template <typename T>
struct Force {
    T x, y, z;
};

constexpr double kSteepest = 4;  // bound of an intersection's weights

// The forces on the fragments of p at (px, py) and of q one pixel further along x, or y. `p`, `q`: corners, null where nothing is
// seen. `pull` = 1/2 (g_p + g_q) . (I_p - I_q).
template <typename S>
SCTD_HD void pair_forces(const Corner<S>* p, const Corner<S>* q, S px, S py, bool along_y, S pull,
                         Force<S>& on_p, Force<S>& on_q) {
    on_p = {0, 0, 0}, on_q = {0, 0, 0};
    Force<S> plain{along_y ? S(0) : pull, along_y ? pull : S(0), 0};
    if (!p || !q) {
        (p ? on_p : on_q) = plain;
        return;
    }
    const S qx = along_y ? px : px + 1, qy = along_y ? py + 1 : py;
    const S pp = plane_depth(p, px, py), pq = plane_depth(p, qx, qy);
    const S qp = plane_depth(q, px, py), qq = plane_depth(q, qx, qy);
    const bool p_hides = pq < qq, q_hides = qp < pp;
    if (p_hides || q_hides) {
        const bool p_front = p_hides && q_hides ? pp <= qq : p_hides;
        (p_front ? on_p : on_q) = plain;
        return;
    }
    if (!holds_pixel(p, qx, qy) && !holds_pixel(q, px, py)) return;
    const S cross_x = along_y ? px + 1 : px, cross_y = along_y ? py : py + 1;
    const S p_along = pq - pp, p_cross = plane_depth(p, cross_x, cross_y) - pp;
    const S q_along = qq - qp, q_cross = plane_depth(q, cross_x, cross_y) - qp;
    const S along = p_along - q_along, cross = p_cross - q_cross;
    const S lowest =
        vmax(vmax(p_along * p_along, p_cross * p_cross), vmax(q_along * q_along, q_cross * q_cross)) *
        S(1 / (kSteepest * kSteepest));
    const S square = vmax(along * along + cross * cross, lowest);
    if (!(square > 0)) return;
    const S pull_z = pull * along / square;
    on_p = {pull_z * (along_y ? p_cross : p_along), pull_z * (along_y ? p_along : p_cross), -pull_z};
    on_q = {-pull_z * (along_y ? q_cross : q_along), -pull_z * (along_y ? q_along : q_cross), pull_z};
}

// What a force on the fragment with weights b means for the corners; out[k] has x, y, z, w.
template <typename S>
SCTD_HD void force_gradient(const Corner<S> c[3], const S b[3], S px, S py, const Force<S>& f, S out[3][4]) {
    const S w = weighted(b, c[0].w, c[1].w, c[2].w), z = weighted(b, c[0].z, c[1].z, c[2].z) / w;
    const S turn = (f.x * px + f.y * py) + f.z * z;
    for (int k = 0; k < 3; ++k) {
        const S share = b[k] / w;
        out[k][0] = share * f.x, out[k][1] = share * f.y, out[k][2] = share * f.z, out[k][3] = -share * turn;
    }
}

// Whether two faces share a vertex.
SCTD_HD bool meet(const int32_t* p, const int32_t* q) {
    bool found = false;
    for (int k = 0; k < 3; ++k) found |= p[k] == q[0] || p[k] == q[1] || p[k] == q[2];
    return found;
}

// A picture of one camera and its loss.
template <typename S>
struct Picture {
    int width, height;
    int64_t channels;
    const S* clip;                     // [V,4]
    const int32_t *index, *triangles;  // [F,3] [H,W]
    const S *image, *g_image;          // [H,W,D]
};

// The force on a pixel's fragment from the pairs with its four neighbours; false where there are none.
template <typename S>
SCTD_HD bool force_at(const Picture<S>& a, int x, int y, Force<S>& force) {
    const int64_t pixel = int64_t(y) * a.width + x, n = a.channels;
    const int32_t face = a.triangles[pixel];
    force = {0, 0, 0};
    if (face < 0) return false;
    bool some = false;
    for (int way = 0; way < 4; ++way) {
        const bool along_y = way & 1, before = way & 2;
        const int qx = x + (along_y ? 0 : before ? -1 : 1), qy = y + (along_y ? before ? -1 : 1 : 0);
        if (qx < 0 || qy < 0 || qx >= a.width || qy >= a.height) continue;
        const int64_t other_pixel = int64_t(qy) * a.width + qx;
        const int32_t other = a.triangles[other_pixel];
        if (other == face || (other >= 0 && meet(a.index + 3 * face, a.index + 3 * other))) continue;
        const S *first = a.image + n * (before ? other_pixel : pixel),
                *second = a.image + n * (before ? pixel : other_pixel);
        const S *g = a.g_image + n * pixel, *g_other = a.g_image + n * other_pixel;
        S pull = 0;
        for (int64_t d = 0; d < n; ++d) pull += S(0.5) * (g[d] + g_other[d]) * (first[d] - second[d]);
        Corner<S> own[3], others[3];
        load_corners(a.clip, a.index + 3 * face, a.width, a.height, own);
        if (other >= 0) load_corners(a.clip, a.index + 3 * other, a.width, a.height, others);
        const Corner<S>* theirs = other >= 0 ? others : nullptr;
        Force<S> on_first, on_second;
        pair_forces(before ? theirs : own, before ? own : theirs, S(before ? qx : x) + S(0.5),
                    S(before ? qy : y) + S(0.5), along_y, pull, on_first, on_second);
        const Force<S>& mine = before ? on_second : on_first;
        force.x += mine.x, force.y += mine.y, force.z += mine.z;
        some = true;
    }
    return some;
}

SCTD_END
