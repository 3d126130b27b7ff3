/*
trace.cpp - sphere tracing of small signed-distance scenes, to draw the pictures that the embedded prior learns from.

  in   scene: parts with a shape, sizes, a pose and a material (include/trace.h); cameras as viewmats and Ks
  out  [V, 8, size, size]: light from fixed materials (RGB), light from the body, the part of that light that stripes
       and that spots would repaint, the highlight that a shiny body adds, coverage

A picture is linear in these maps (sctd/embedded/worlds/small/pictures.py composes them), so that one traced view serves every
colour, pattern and background.

Sizes     ellipsoid: radii x y z.  box: half extents x y z, rounding.  frustum: radius at -y, radius at +y, half height.
          torus: ring radius, tube radius, axis y.  capsule: half length along y, radius.
          prism: half width in x at the base, height, half length in z; the base lies in y = 0.
Light     fixed to the world and the same from every side: a soft sky, brighter above and in front, so that an object's
          colour at a point does not depend on the camera (only the highlight of a shiny body does).
Limits    scenes inside the ball of radius kSceneRadius round the origin; cameras outside of it.
Repeats   bit for bit: one thread, no state.
Source    Hart 1996, "Sphere Tracing"; distances of the shapes derived here.
*/
#include "../include/trace.h"

#include <vector>

#include "../include/solids.h"

namespace sctd {
namespace {

constexpr float kSceneRadius = 1.05f;
constexpr float kHit = 1.5e-3f;  // under a tenth of a pixel at the usual camera distance
constexpr int kMaxSteps = 80;
constexpr float kStripePeriod = 0.30f;
constexpr float kSpotPeriod = 0.34f;
constexpr float kSpotRadius = 0.115f;

float segment_distance(float px, float py, float ax, float ay, float bx, float by) {
    const float dx = bx - ax, dy = by - ay;
    const float along = ((px - ax) * dx + (py - ay) * dy) / std::max(dx * dx + dy * dy, 1e-12f);
    const float t = std::clamp(along, 0.0f, 1.0f);
    return std::hypot(px - ax - t * dx, py - ay - t * dy);
}

float frustum(Vec p, const float* s) {
    const float rho = std::hypot(p.x, p.z), bottom = s[0], top = s[1], h = s[2];
    const float side = segment_distance(rho, p.y, bottom, -h, top, h);
    const float caps =
        std::min(segment_distance(rho, p.y, 0, -h, bottom, -h), segment_distance(rho, p.y, 0, h, top, h));
    const float radius = bottom + (top - bottom) * (p.y + h) / (2 * h);
    const bool inside = std::fabs(p.y) < h && rho < radius;
    return inside ? -std::min(side, caps) : std::min(side, caps);
}

float torus(Vec p, const float* s) { return std::hypot(std::hypot(p.x, p.z) - s[0], p.y) - s[1]; }

float capsule(Vec p, const float* s) { return norm({p.x, p.y - std::clamp(p.y, -s[0], s[0]), p.z}) - s[1]; }

float prism(Vec p, const float* s) {
    const float slope = std::hypot(s[0], s[1]);
    const float roof = (std::fabs(p.x) * s[1] + (p.y - s[1]) * s[0]) / slope;
    return std::max({roof, -p.y, std::fabs(p.z) - s[2]});
}

float shape_distance(int shape, Vec p, const float* params) {
    switch (shape) {
        case kEllipsoid: return solids::ellipsoid(p, params);
        case kBox: return solids::box(p, params);
        case kFrustum: return frustum(p, params);
        case kTorus: return torus(p, params);
        case kCapsule: return capsule(p, params);
        default: return prism(p, params);
    }
}

float bounding_radius(int shape, const float* s) {
    switch (shape) {
        case kEllipsoid: return std::max({s[0], s[1], s[2]});
        case kBox: return norm({s[0], s[1], s[2]});
        case kFrustum: return std::hypot(std::max(s[0], s[1]), s[2]);
        case kTorus: return s[0] + s[1];
        case kCapsule: return s[0] + s[1];
        default: return norm({s[0], s[1], s[2]});
    }
}

struct Nearest {
    float distance;
    int part;
};

class Tracer {
public:
    explicit Tracer(const TraceScene& scene) : scene_(scene), bound_(scene.n_parts) {
        for (int i = 0; i < scene.n_parts; ++i)
            bound_[i] = bounding_radius(scene.shape[i], scene.params + 4 * i);
    }

    float part_distance(int i, Vec p) const {
        const float* r = scene_.rotation + 9 * i;
        const Vec q = p - center(i);
        const Vec local{r[0] * q.x + r[1] * q.y + r[2] * q.z, r[3] * q.x + r[4] * q.y + r[5] * q.z,
                        r[6] * q.x + r[7] * q.y + r[8] * q.z};
        return shape_distance(scene_.shape[i], local, scene_.params + 4 * i);
    }

    Nearest nearest(Vec p) const {
        Nearest best{1e9f, -1};
        for (int i = 0; i < scene_.n_parts; ++i) {
            // The bounding ball is a lower bound: most parts are dismissed without their own formula.
            if (norm(p - center(i)) - bound_[i] > best.distance) continue;
            const float d = part_distance(i, p);
            if (d < best.distance) best = {d, i};
        }
        return best;
    }

    Vec normal(int i, Vec p) const {
        constexpr float h = 1e-3f;
        return unit({part_distance(i, p + Vec{h, 0, 0}) - part_distance(i, p - Vec{h, 0, 0}),
                     part_distance(i, p + Vec{0, h, 0}) - part_distance(i, p - Vec{0, h, 0}),
                     part_distance(i, p + Vec{0, 0, h}) - part_distance(i, p - Vec{0, 0, h})});
    }

    // Add one ray's light to the channels of its pixel.
    void shade_ray(Vec origin, Vec direction, float weight, float* pixel, int stride) const {
        const float b = dot(origin, direction), c = dot(origin, origin) - kSceneRadius * kSceneRadius;
        const float discriminant = b * b - c;
        if (discriminant <= 0) return;
        const float last = -b + std::sqrt(discriminant);
        float t = std::max(0.0f, -b - std::sqrt(discriminant));
        for (int step = 0; step < kMaxSteps && t < last; ++step) {
            const Vec p = origin + direction * t;
            const Nearest hit = nearest(p);
            if (hit.distance < kHit) return add_light(hit.part, p, direction, weight, pixel, stride);
            t += hit.distance * 0.95f;  // the ellipsoid's distance is first order only
        }
    }

private:
    Vec center(int i) const {
        return {scene_.center[3 * i], scene_.center[3 * i + 1], scene_.center[3 * i + 2]};
    }

    void add_light(int part, Vec p, Vec direction, float weight, float* pixel, int stride) const {
        const Vec n = normal(part, p);
        const Vec sky = unit({0.35f, 0.0f, 0.94f}), lamp = unit({0.35f, 0.85f, 0.55f});
        const float light = std::clamp(0.66f + 0.20f * n.y + 0.14f * dot(n, sky), 0.0f, 1.0f) * weight;
        pixel[kCoverage * stride] += weight;
        const int material = scene_.material[part];
        if (material >= 0) {
            for (int k = 0; k < 3; ++k)
                pixel[(kFixedR + k) * stride] += light * scene_.palette[3 * material + k];
            return;
        }
        pixel[kBody * stride] += light;
        if (in_stripe(p)) pixel[kStripe * stride] += light;
        if (in_spot(p)) pixel[kSpot * stride] += light;
        const float cosine = std::max(0.0f, dot(n, unit(lamp - direction)));
        pixel[kShine * stride] += 0.85f * std::pow(cosine, 20.0f) * weight;
    }

    static bool in_stripe(Vec p) {
        const float phase = dot(p, unit({0.5f, 0.8f, 0.35f})) / kStripePeriod;
        return phase - std::floor(phase) < 0.42f;
    }

    static bool in_spot(Vec p) {
        // Balls on a body-centred lattice cut the surface in round spots, whatever its shape.
        const auto lattice = [&](float shift) {
            const auto offset = [&](float x) {
                const float u = x / kSpotPeriod + shift;
                return (u - std::round(u)) * kSpotPeriod;
            };
            return norm({offset(p.x), offset(p.y), offset(p.z)});
        };
        return std::min(lattice(0.0f), lattice(0.5f)) < kSpotRadius;
    }

    const TraceScene& scene_;
    std::vector<float> bound_;
};

void trace_view(const Tracer& tracer, const View& view, int size, int supersample, float* out) {
    const float weight = 1.0f / (supersample * supersample);
    for (int y = 0; y < size; ++y)
        for (int x = 0; x < size; ++x)
            for (int sub = 0; sub < supersample * supersample; ++sub) {
                const float u = x + (sub % supersample + 0.5f) / supersample;
                const float v = y + (sub / supersample + 0.5f) / supersample;
                tracer.shade_ray(view.origin(), view.ray(u, v), weight, out + y * size + x, size * size);
            }
}

}  // namespace

void trace(const TraceScene& scene, int n_views, const float* viewmats, const float* Ks, int size,
           int supersample, float* out) {
    const Tracer tracer(scene);
    const size_t picture = static_cast<size_t>(kTraceChannels) * size * size;
    std::fill(out, out + picture * n_views, 0.0f);
    for (int i = 0; i < n_views; ++i)
        trace_view(tracer, View(viewmats + 16 * i, Ks + 9 * i), size, supersample, out + picture * i);
}

void trace_distance(const TraceScene& scene, int64_t n_points, const float* points, float* out) {
    const Tracer tracer(scene);
    for (int64_t i = 0; i < n_points; ++i)
        out[i] = tracer.nearest({points[3 * i], points[3 * i + 1], points[3 * i + 2]}).distance;
}

}  // namespace sctd
