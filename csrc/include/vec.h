/*
vec.h - vectors of the two sphere tracers, and the rays of a camera.
*/
#pragma once

#include <algorithm>
#include <cmath>

namespace sctd {

struct Vec {
    float x, y, z;
};
inline Vec operator+(Vec a, Vec b) { return {a.x + b.x, a.y + b.y, a.z + b.z}; }
inline Vec operator-(Vec a, Vec b) { return {a.x - b.x, a.y - b.y, a.z - b.z}; }
inline Vec operator*(Vec a, float s) { return {a.x * s, a.y * s, a.z * s}; }
inline Vec operator*(Vec a, Vec b) { return {a.x * b.x, a.y * b.y, a.z * b.z}; }
inline float dot(Vec a, Vec b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
inline float norm(Vec a) { return std::sqrt(dot(a, a)); }
inline Vec unit(Vec a) { return a * (1.0f / std::max(norm(a), 1e-12f)); }
inline Vec cross(Vec a, Vec b) {
    return {a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x};
}

// Rays of a camera, from its viewmat [4,4] and K [3,3].
class View {
public:
    View(const float* viewmat, const float* K)
        : m_(viewmat), K_(K), origin_(to_world({m_[3], m_[7], m_[11]}) * -1.0f) {}
    Vec origin() const { return origin_; }
    // Through (u, v) of the picture, pixels; of length 1.
    Vec ray(float u, float v) const {
        return unit(to_world({(u - K_[2]) / K_[0], (v - K_[5]) / K_[4], 1.0f}));
    }

private:
    Vec to_world(Vec v) const {  // transpose of the rotation
        return {m_[0] * v.x + m_[4] * v.y + m_[8] * v.z, m_[1] * v.x + m_[5] * v.y + m_[9] * v.z,
                m_[2] * v.x + m_[6] * v.y + m_[10] * v.z};
    }
    const float *m_, *K_;
    Vec origin_;
};

}  // namespace sctd
