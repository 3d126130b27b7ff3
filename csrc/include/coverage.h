/*
coverage.h - which pixels a triangle covers, in integers.

Corners are rounded to 1/256 pixel, and the edge functions of those are exact in 64 bits. So every processor agrees, a pixel of a
closed surface belongs to exactly one of the faces that share an edge (top-left rule), and an edge is off by at most 1/512 pixel
along each axis. Triangles that reach behind the camera, or further out than the guard band, are cut before, in their own
coordinates; what is left is drawn as a fan of triangles.
*/
#pragma once

#include "triangle.h"

SCTD_BEGIN

constexpr int kSubPixels = 256;  // steps of a rounded corner, a pixel
constexpr int kGuard =
    130048;  // px: corners further out are cut off. Edge functions in a tile then fit 32 bits
constexpr int kClipPlanes = 5;  // near, and the guard band's four
constexpr int kMaxPolygon = 3 + kClipPlanes;
constexpr int kMaxPieces = kMaxPolygon - 2;

// A corner rounded to 1/256 pixel.
struct Snapped {
    int32_t x, y;
};

// How far a corner is on the good side of the near plane and of the guard band's four edges; not negative: inside.
template <typename S>
SCTD_HD S clip_distance(const Corner<S>& c, int plane) {
    const S reach = c.w * S(kGuard);
    switch (plane) {
        case 0: return c.z + c.w;
        case 1: return reach + c.x;
        case 2: return reach - c.x;
        case 3: return reach + c.y;
        default: return reach - c.y;
    }
}

// Whether the corner needs no clipping. A NaN or an infinity is never inside.
template <typename S>
SCTD_HD bool needs_no_clip(const Corner<S>& c) {
    const S reach = c.w * S(kGuard);
    return c.w > 0 && c.z + c.w >= 0 && c.x <= reach && c.x >= -reach && c.y <= reach && c.y >= -reach &&
           c.z - c.z == 0 && reach - reach == 0;
}

SCTD_HD int32_t round_even(float x) { return int32_t(rintf(x)); }
SCTD_HD int32_t round_even(double x) { return int32_t(rint(x)); }

// Of a corner that needs no clipping.
template <typename S>
SCTD_HD Snapped snap(const Corner<S>& c) {
    return {round_even(c.x / c.w * S(kSubPixels)), round_even(c.y / c.w * S(kSubPixels))};
}

// The edge function of a side, over whole pixels: a pixel (i, j) is inside when c + a i + b j >= 0.
struct Side {
    int32_t a, b;
    int64_t c;
};

// p to q with the triangle at the right hand as the picture shows it, y down. A pixel on the side belongs to it if that is a left
// or a top one. At the pixel's centre the function is C + 256 (a i + b j), so C can be divided by 256, rounded down.
SCTD_HD Side side_of(Snapped p, Snapped q) {
    const int32_t a = p.y - q.y, b = q.x - p.x;
    const bool owns = a > 0 || (a == 0 && b > 0);
    const int64_t half = kSubPixels / 2;
    const int64_t c = b * (half - p.y) + a * (half - p.x) - (owns ? 0 : 1);
    return {a, b, c >> 8};
}

// Pixels whose centre a piece may cover: x0 <= i <= x1, y0 <= j <= y1.
struct Box {
    int32_t x0, y0, x1, y1;
};

// A triangle after rounding. False where it covers no pixel's centre, because it has no area or lies between the centres or
// outside the picture.
struct Piece {
    Side side[3];
    Box box;
};

SCTD_HD int32_t first_pixel(int32_t low) { return (low + kSubPixels / 2 - 1) >> 8; }
SCTD_HD int32_t last_pixel(int32_t high) { return (high - kSubPixels / 2) >> 8; }
SCTD_HD int32_t least(int32_t a, int32_t b) { return a < b ? a : b; }
SCTD_HD int32_t most(int32_t a, int32_t b) { return a > b ? a : b; }

SCTD_HD bool make_piece(Snapped p, Snapped q, Snapped r, int width, int height, Piece& piece) {
    Box& box = piece.box;
    box.x0 = most(first_pixel(least(p.x, least(q.x, r.x))), 0);
    box.y0 = most(first_pixel(least(p.y, least(q.y, r.y))), 0);
    box.x1 = least(last_pixel(most(p.x, most(q.x, r.x))), width - 1);
    box.y1 = least(last_pixel(most(p.y, most(q.y, r.y))), height - 1);
    if (box.x0 > box.x1 || box.y0 > box.y1) return false;
    const int64_t turn = int64_t(q.x - p.x) * (r.y - p.y) - int64_t(q.y - p.y) * (r.x - p.x);
    if (turn == 0) return false;
    if (turn < 0) {
        const Snapped other = q;
        q = r, r = other;
    }
    piece.side[0] = side_of(q, r), piece.side[1] = side_of(r, p), piece.side[2] = side_of(p, q);
    return true;
}

// The triangle cut by the near plane and the guard band (Sutherland and Hodgman 1974); returns the corners left. A cut is
// computed from the corner inside, so that two faces cut their common edge at the same place.
template <typename S>
SCTD_HD int clip_polygon(const Corner<S> in[3], Corner<S> out[kMaxPolygon]) {
    Corner<S> from[kMaxPolygon];
    int n = 3;
    for (int k = 0; k < 3; ++k) out[k] = in[k];
    for (int plane = 0; plane < kClipPlanes; ++plane) {
        const int before = n;
        for (int k = 0; k < before; ++k) from[k] = out[k];
        n = 0;
        for (int k = 0; k < before; ++k) {
            const Corner<S>&p = from[k], &q = from[k + 1 < before ? k + 1 : 0];
            const S dp = clip_distance(p, plane), dq = clip_distance(q, plane);
            if (dp >= 0) out[n++] = p;
            if ((dp >= 0) == (dq >= 0)) continue;
            const Corner<S>&inner = dp >= 0 ? p : q, &outer = dp >= 0 ? q : p;
            const S d = dp >= 0 ? dp : dq, t = d / (d - (dp >= 0 ? dq : dp));
            out[n++] = {inner.x + t * (outer.x - inner.x), inner.y + t * (outer.y - inner.y),
                        inner.z + t * (outer.z - inner.z), inner.w + t * (outer.w - inner.w)};
        }
        if (n < 3) return 0;
    }
    return n;
}

// What is left of a face, as triangles; returns their number.
template <typename S>
SCTD_HD int clipped_pieces(const Corner<S> in[3], int width, int height, Piece out[kMaxPieces]) {
    Corner<S> polygon[kMaxPolygon];
    for (int k = 0; k < 3; ++k)
        if (!(in[k].x - in[k].x == 0 && in[k].y - in[k].y == 0 && in[k].z - in[k].z == 0 &&
              in[k].w - in[k].w == 0))
            return 0;  // not finite
    const int n = clip_polygon(in, polygon);
    Snapped at[kMaxPolygon];
    for (int k = 0; k < n; ++k) {
        if (!(polygon[k].w > 0)) return 0;
        at[k] = snap(polygon[k]);
    }
    int count = 0;
    for (int k = 1; k + 1 < n; ++k) count += make_piece(at[0], at[k], at[k + 1], width, height, out[count]);
    return count;
}

// The same for a face that may need no clipping.
template <typename S>
SCTD_HD int pieces_of(const Corner<S> in[3], int width, int height, Piece out[kMaxPieces]) {
    if (needs_no_clip(in[0]) && needs_no_clip(in[1]) && needs_no_clip(in[2]))
        return make_piece(snap(in[0]), snap(in[1]), snap(in[2]), width, height, out[0]);
    return clipped_pieces(in, width, height, out);
}

// The box around pieces, at least one.
SCTD_HD Box box_around(const Piece* pieces, int count) {
    Box box = pieces[0].box;
    for (int k = 1; k < count; ++k) {
        box.x0 = least(box.x0, pieces[k].box.x0), box.y0 = least(box.y0, pieces[k].box.y0);
        box.x1 = most(box.x1, pieces[k].box.x1), box.y1 = most(box.y1, pieces[k].box.y1);
    }
    return box;
}

SCTD_END
