/*
solids.h - signed distances of the solids that the rich world's scenes are made of, in their own axes.

Sizes     ellipsoid: radii x y z.  box: half extents x y z, rounding.  frustum: radius at -y, radius at +y, half height,
          rounding.  torus: ring radius, tube radius, half of its arc in rad round +z, axis y.  cone (two balls and what
          lies between): radius at -y, radius at +y, half length.  prism: half width in x at the base, height, half
          length in z; the base lies in y = 0.  triangle: three corners, half thickness.  lathe (a sheet turned round y):
          number of corners n <= 6, half thickness, n times radius and height, then height and number of waves in
          params 14 and 15.
Source    derived here; the cone after its tangent line in the plane of axis and point.
*/
#pragma once

#include "sculpt.h"
#include "vec.h"

namespace sctd::solids {

inline float hypot2(float a, float b) { return std::sqrt(a * a + b * b); }
inline float mix(float a, float b, float t) { return a + (b - a) * t; }
inline Vec mix(Vec a, Vec b, float t) { return a + (b - a) * t; }
inline float fraction(float x) { return x - std::floor(x); }
inline float smooth(float low, float high, float x) {
    const float t = std::clamp((x - low) / (high - low), 0.0f, 1.0f);
    return t * t * (3 - 2 * t);
}

inline float ellipsoid(Vec p, const float* r) {
    const Vec q{p.x / r[0], p.y / r[1], p.z / r[2]};
    const Vec g{q.x / r[0], q.y / r[1], q.z / r[2]};
    const float k = norm(q);
    // First-order distance; exact for a sphere, and at the centre, where the quotient is 0/0, the smallest radius.
    return k < 1e-6f ? -std::min({r[0], r[1], r[2]}) : k * (k - 1.0f) / norm(g);
}

inline float box(Vec p, const float* h) {
    const float r = h[3];
    const Vec q{std::fabs(p.x) - h[0] + r, std::fabs(p.y) - h[1] + r, std::fabs(p.z) - h[2] + r};
    const Vec out{std::max(q.x, 0.0f), std::max(q.y, 0.0f), std::max(q.z, 0.0f)};
    return norm(out) + std::min(std::max({q.x, q.y, q.z}), 0.0f) - r;
}

inline float segment(float px, float py, float ax, float ay, float bx, float by) {
    const float dx = bx - ax, dy = by - ay;
    const float along = ((px - ax) * dx + (py - ay) * dy) / std::max(dx * dx + dy * dy, 1e-12f);
    const float t = std::clamp(along, 0.0f, 1.0f);
    return hypot2(px - ax - t * dx, py - ay - t * dy);
}

inline float frustum(Vec p, const float* s) {
    const float r = s[3], rho = hypot2(p.x, p.z), h = std::max(s[2] - r, 1e-4f);
    const float bottom = std::max(s[0] - r, 0.0f), top = std::max(s[1] - r, 0.0f);
    const float side = segment(rho, p.y, bottom, -h, top, h);
    const float caps = std::min(segment(rho, p.y, 0, -h, bottom, -h), segment(rho, p.y, 0, h, top, h));
    const bool inside = std::fabs(p.y) < h && rho < bottom + (top - bottom) * (p.y + h) / (2 * h);
    return (inside ? -std::min(side, caps) : std::min(side, caps)) - r;
}

inline float torus(Vec p, const float* s) {
    const float half = s[2];
    if (half < 3.1f) {
        const float angle = std::atan2(std::fabs(p.x), p.z);
        if (angle > half) {
            const Vec end{s[0] * std::sin(half), 0, s[0] * std::cos(half)};
            return norm(Vec{std::fabs(p.x), p.y, p.z} - end) - s[1];
        }
    }
    return hypot2(hypot2(p.x, p.z) - s[0], p.y) - s[1];
}

inline float cone(Vec p, const float* s) {
    const float length = 2 * s[2], rho = hypot2(p.x, p.z), y = p.y + s[2];
    const float b = (s[0] - s[1]) / std::max(length, 1e-6f), a = std::sqrt(std::max(1 - b * b, 0.0f));
    const float k = -b * rho + a * y;
    if (k < 0 || b * b >= 1) return hypot2(rho, y) - s[0];
    if (k > a * length) return hypot2(rho, y - length) - s[1];
    return a * rho + b * y - s[0];
}

inline float prism(Vec p, const float* s) {
    const float slope = hypot2(s[0], s[1]);
    const float roof = (std::fabs(p.x) * s[1] + (p.y - s[1]) * s[0]) / slope;
    return std::max({roof, -p.y, std::fabs(p.z) - s[2]});
}

inline float edge(Vec p, Vec e) {
    const float t = std::clamp(dot(e, p) / std::max(dot(e, e), 1e-12f), 0.0f, 1.0f);
    const Vec q = e * t - p;
    return dot(q, q);
}

inline float triangle(Vec p, const float* s) {
    const Vec a{s[0], s[1], s[2]}, b{s[3], s[4], s[5]}, c{s[6], s[7], s[8]};
    const Vec ab = b - a, bc = c - b, ca = a - c, n = cross(ab, a - c);
    const Vec pa = p - a, pb = p - b, pc = p - c;
    const bool over = dot(cross(ab, n), pa) >= 0 && dot(cross(bc, n), pb) >= 0 && dot(cross(ca, n), pc) >= 0;
    const float plane = dot(n, pa) * dot(n, pa) / std::max(dot(n, n), 1e-12f);
    const float square = over ? plane : std::min({edge(pa, ab), edge(pb, bc), edge(pc, ca)});
    return std::sqrt(square) - s[9];
}

inline float lathe(Vec p, const float* s) {
    const int n = static_cast<int>(s[0]);
    const float rho = hypot2(p.x, p.z);
    float y = p.y, nearest = 1e9f;
    if (s[14] > 0) y -= s[14] * std::sin(s[15] * std::atan2(p.x, p.z)) * std::min(1.0f, rho * 2 / s[2 * n]);
    for (int i = 0; i + 1 < n; ++i)
        nearest = std::min(nearest, segment(rho, y, s[2 + 2 * i], s[3 + 2 * i], s[4 + 2 * i], s[5 + 2 * i]));
    return (nearest - s[1]) * (s[14] > 0 ? 0.7f : 1.0f);  // waves stretch the distance
}

inline float distance(int shape, Vec p, const float* s) {
    switch (shape) {
        case kSolidEllipsoid: return ellipsoid(p, s);
        case kSolidBox: return box(p, s);
        case kSolidFrustum: return frustum(p, s);
        case kSolidTorus: return torus(p, s);
        case kSolidCone: return cone(p, s);
        case kSolidPrism: return prism(p, s);
        case kSolidTriangle: return triangle(p, s);
        default: return lathe(p, s);
    }
}

// Radius of a ball round the origin that holds the solid.
inline float bound(int shape, const float* s) {
    switch (shape) {
        case kSolidEllipsoid: return std::max({s[0], s[1], s[2]});
        case kSolidBox: return norm({s[0], s[1], s[2]});
        case kSolidFrustum: return hypot2(std::max(s[0], s[1]), s[2]);
        case kSolidTorus: return s[0] + s[1];
        case kSolidCone: return s[2] + std::max(s[0], s[1]);
        case kSolidPrism: return norm({s[0], s[1], s[2]});
        case kSolidTriangle:
            return std::max({norm({s[0], s[1], s[2]}), norm({s[3], s[4], s[5]}), norm({s[6], s[7], s[8]})}) +
                   s[9];
        default: {
            float far = 0;
            for (int i = 0; i < static_cast<int>(s[0]); ++i)
                far = std::max(far, hypot2(s[2 + 2 * i], std::fabs(s[3 + 2 * i]) + s[14]));
            return far + s[1];
        }
    }
}

}  // namespace sctd::solids
