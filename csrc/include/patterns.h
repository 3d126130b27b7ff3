/*
patterns.h - solid textures of the rich world's materials: position => how much of the second colour, and how low.
*/
#pragma once

#include "solids.h"

namespace sctd::patterns {

using solids::fraction;
using solids::mix;
using solids::smooth;

struct Texel {
    float second;  // 0..1
    float low;     // 0..1, a cavity
};

inline float hash(int x, int y, int z) {
    uint32_t h = static_cast<uint32_t>(x) * 73856093u ^ static_cast<uint32_t>(y) * 19349663u ^
                 static_cast<uint32_t>(z) * 83492791u;
    h = (h ^ (h >> 13)) * 0x5bd1e995u;
    return static_cast<float>((h ^ (h >> 15)) & 0xffffffu) / 16777215.0f;
}

// Smooth noise, 0..1, one bump a unit.
inline float noise(Vec p) {
    const float fx = std::floor(p.x), fy = std::floor(p.y), fz = std::floor(p.z);
    const int x = static_cast<int>(fx), y = static_cast<int>(fy), z = static_cast<int>(fz);
    const float u = smooth(0, 1, p.x - fx), v = smooth(0, 1, p.y - fy), w = smooth(0, 1, p.z - fz);
    const auto edge = [&](int j, int k) { return mix(hash(x, y + j, z + k), hash(x + 1, y + j, z + k), u); };
    return mix(mix(edge(0, 0), edge(1, 0), v), mix(edge(0, 1), edge(1, 1), v), w);
}

inline float cloud(Vec p) { return (4 * noise(p) + 2 * noise(p * 2.1f) + noise(p * 4.3f)) / 7; }

inline float spots(Vec p) {
    const auto lattice = [&](float shift) {
        const auto offset = [&](float x) { return x + shift - std::round(x + shift); };
        return norm({offset(p.x), offset(p.y), offset(p.z)});
    };
    return std::min(lattice(0.0f), lattice(0.5f));
}

// Rows of stitches round the part's axis; each stitch is a V.
inline Texel knit(Vec own, float period) {
    const float rho = std::max(solids::hypot2(own.x, own.z), period);
    const float around =
        std::atan2(own.x, own.z) * std::max(1.0f, std::round(rho * 6.28f / period)) / 6.2832f;
    const float u = std::fabs(fraction(around) - 0.5f) * 2, v = fraction(own.y / period * 1.15f + 0.45f * u);
    const float low = 1 - smooth(0.0f, 0.28f, u) * smooth(0.0f, 0.3f, v) * smooth(1.0f, 0.7f, v);
    return {low, low};
}

// Round holes of many sizes, as in cheese: dark below their upper rim, lit at the lower one.
inline Texel holes(Vec q) {
    const int x = static_cast<int>(std::floor(q.x)), y = static_cast<int>(std::floor(q.y)),
              z = static_cast<int>(std::floor(q.z));
    Texel best{0, 0};
    for (int i = x - 1; i <= x + 1; ++i)
        for (int j = y - 1; j <= y + 1; ++j)
            for (int k = z - 1; k <= z + 1; ++k) {
                const Vec c{i + hash(i, j, k), j + hash(i + 57, j, k), k + hash(i, j + 91, k)};
                const float radius = 0.12f + 0.34f * hash(i, j, k + 23), d = norm(q - c);
                if (d < radius)
                    best = {smooth(radius, radius * 0.88f, d),
                            smooth(-0.6f * radius, 0.9f * radius, q.y - c.y)};
            }
    return best;
}

// p: position in the world; own: in the part's axes.
inline Texel texel(int pattern, Vec p, Vec own, float period) {
    const Vec q = p * (1 / period), o = own * (1 / period);
    switch (pattern) {
        case kStripes: {
            const float phase = fraction(dot(q, {0.51f, 0.80f, 0.33f}));
            return {smooth(0.0f, 0.06f, phase) - smooth(0.42f, 0.48f, phase), 0};
        }
        case kSpots: return {1 - smooth(0.31f, 0.35f, spots(q)), 0};
        case kMottle: {
            const float c = cloud(q);
            return {smooth(0.35f, 0.65f, c), 1 - c};
        }
        case kWood: {
            const float ring =
                fraction(solids::hypot2(o.x + 0.25f * noise(o), o.z + 2.3f) + 0.4f * noise(o * 0.6f));
            return {smooth(0.0f, 0.7f, ring) - smooth(0.85f, 1.0f, ring), 0};
        }
        case kMarble: {
            const float vein =
                std::fabs(std::sin(3.14f * (q.x + 0.6f * q.y + 0.4f * q.z + 2.2f * cloud(q * 0.8f))));
            return {1 - smooth(0.0f, 0.28f, vein), 0};
        }
        case kKnit: return knit(own, period);
        case kFur: {
            const float hair =
                noise({q.x, q.y * 0.4f, q.z}) * 0.65f + noise({q.x * 2.1f, q.y * 0.8f, q.z * 2.1f}) * 0.35f;
            return {smooth(0.3f, 0.75f, hair), 1 - hair};
        }
        case kPlaid: {
            const float a = smooth(0.48f, 0.52f, fraction(q.x + 0.35f * q.z)),
                        b = smooth(0.48f, 0.52f, fraction(q.y));
            return {(a + b) / 2, 0};
        }
        case kScales: {
            const float row = std::floor(q.y), shift = 0.5f * (row - 2 * std::floor(row / 2));
            const float u = fraction(std::atan2(p.x, p.z) * 1.6f / period * 0.4f + shift) - 0.5f,
                        v = q.y - row;
            const float low = smooth(0.3f, 0.5f, solids::hypot2(u, 0.5f * (1 - v)));
            return {low, low};
        }
        case kKernels: {
            const float u = fraction(std::atan2(own.x, own.z) * 14 / 6.2832f) - 0.5f,
                        v = fraction(o.y) - 0.5f;
            const float low = smooth(0.3f, 0.55f, solids::hypot2(u, v));
            return {low, low};
        }
        case kRings: {
            const float low = smooth(0.75f, 0.95f, fraction(o.y + 0.3f * noise(o * 0.5f)));
            return {low, low};
        }
        case kHoles: return holes(q);
        default: return {0, 0};
    }
}

}  // namespace sctd::patterns
