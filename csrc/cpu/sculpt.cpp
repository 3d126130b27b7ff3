/*
sculpt.cpp - sphere tracing of the rich world's scenes: solids that melt into each other, are carved and painted.

  in   scene: parts in groups (include/sculpt.h; sizes in include/solids.h); cameras as viewmats and Ks
  out  [V, 10, size, size]: light, albedo, normal, coverage

Groups    A group is one surface: its parts are joined in order with a soft minimum, or taken away with a soft maximum.
          Paint changes only the material where it meets the surface of its group. Groups are joined hard.
Light     fixed to the world: a sky, darkened in hollows; a lamp above, in front and to the object's left, with a soft
          shadow; both the same from every side. Highlights, mirrored sky and rims alone depend on the camera.
Speed     a tile of pixels marches through the parts that its cone meets; a ray starts where it enters the first ball.
Limits    cameras outside of all parts.
Repeats   bit for bit: one thread, no state.
Source    Hart 1996, "Sphere Tracing"; the soft minimum is the circular one by polynomial, derived here.
*/
#include "../include/sculpt.h"

#include <vector>

#include "../include/patterns.h"

namespace sctd {
namespace {

using namespace solids;

constexpr float kHit = 1.5e-3f;
constexpr float kStep = 0.9f;  // the ellipsoid's distance is first order only
constexpr int kMaxSteps = 96, kShadowSteps = 14, kTile = 8;
constexpr float kFar = 1e9f;
const Vec kLamp = unit({0.40f, 0.80f, 0.60f});

struct Surface {
    Vec albedo{0, 0, 0};
    float gloss = 0, exponent = 1, metal = 0, rim = 0;
};

Surface mix(const Surface& a, const Surface& b, float t) {
    return {solids::mix(a.albedo, b.albedo, t), solids::mix(a.gloss, b.gloss, t),
            solids::mix(a.exponent, b.exponent, t), solids::mix(a.metal, b.metal, t),
            solids::mix(a.rim, b.rim, t)};
}

struct Part {
    int shape, use, group, material;
    float blend, radius;
    Vec center;
    float params[kShapeParams], turn[9];

    Vec own(Vec p) const {
        const Vec q = p - center;
        return {turn[0] * q.x + turn[1] * q.y + turn[2] * q.z, turn[3] * q.x + turn[4] * q.y + turn[5] * q.z,
                turn[6] * q.x + turn[7] * q.y + turn[8] * q.z};
    }
    float distance(Vec p) const { return solids::distance(shape, own(p), params); }
    // Whether p is surely farther away than this.
    bool beyond(Vec p, float limit) const {
        const Vec q = p - center;
        const float reach = limit + radius;
        return reach <= 0 || dot(q, q) >= reach * reach;
    }
};

// Parts to march through, in order of their groups.
using List = std::vector<const Part*>;

// Sky and lamp at a point; the rays of a pixel share it where they meet the same surface.
struct Seen {
    Vec point{0, 0, 0}, normal{0, 0, 0};
    float open = -1, lamp = 0;
};

struct Nearest {
    float distance;
    int group;
};

Nearest nearest(const List& list, Vec p) {
    Nearest best{kFar, -1};
    float own = kFar;
    for (size_t i = 0; i < list.size(); ++i) {
        const Part& part = *list[i];
        const float k = part.blend;
        if (part.use == kAdd) {
            // The ball is a lower bound: most parts are dismissed without their own formula.
            if (!part.beyond(p, std::min(own + k, best.distance + 1.5f * k))) {
                const float d = part.distance(p);
                const float h = std::max(k - std::fabs(own - d), 0.0f);
                own = std::min(own, d) - (k > 0 ? h * h / (4 * k) : 0);
            }
        } else if (!part.beyond(p, k - own)) {
            const float d = -part.distance(p);
            const float h = std::max(k - std::fabs(own - d), 0.0f);
            own = std::max(own, d) + (k > 0 ? h * h / (4 * k) : 0);
        }
        if (i + 1 == list.size() || list[i + 1]->group != part.group) {
            if (own < best.distance) best = {own, part.group};
            own = kFar;
        }
    }
    return best;
}

Vec normal(const List& list, Vec p) {
    constexpr float h = 1e-3f;
    const auto d = [&](float x, float y, float z) { return nearest(list, p + Vec{x, y, z} * h).distance; };
    const float a = d(1, -1, -1), b = d(-1, -1, 1), c = d(-1, 1, -1), e = d(1, 1, 1);
    return unit({a - b - c + e, -a - b + c + e, -a + b - c + e});
}

// The mirrored sky of metals: light above, dark at the horizon, a lit floor.
float sky(Vec r) {
    const float above = solids::mix(0.35f, 1.25f, smooth(-0.05f, 0.75f, r.y));
    const float below = solids::mix(0.18f, 0.62f, smooth(0.0f, 0.8f, -r.y));
    const float lamp = std::pow(std::max(dot(r, kLamp), 0.0f), 24.0f);
    return (r.y > 0 ? above : below) + 0.9f * lamp;
}

class Sculptor {
public:
    explicit Sculptor(const SculptScene& scene) : scene_(scene) {
        parts_.reserve(scene.n_parts);
        for (int i = 0; i < scene.n_parts; ++i) {
            const int32_t* kind = scene.kind + 4 * i;
            const float* pose = scene.pose + 12 * i;
            Part part{kind[0], kind[1], kind[2], kind[3], scene.blend[i], 0, {pose[9], pose[10], pose[11]},
                      {},      {}};
            std::copy_n(scene.params + kShapeParams * i, kShapeParams, part.params);
            std::copy_n(pose, 9, part.turn);
            part.radius = bound(part.shape, part.params);
            parts_.push_back(part);
        }
        for (const Part& part : parts_) (part.use == kPaint ? paint_ : solid_).push_back(&part);
    }

    float distance(Vec p) const { return nearest(solid_, p).distance; }

    // Parts that a cone of rays meets: apex, unit axis, sine of its half angle.
    List met(Vec apex, Vec axis, float sine) const {
        List list;
        for (const Part* part : solid_) {
            const Vec to = part->center - apex;
            const float along = dot(to, axis), off = norm(to - axis * along);
            if (off < along * sine * 1.05f + part->radius + part->blend + 0.01f) list.push_back(part);
        }
        return list;
    }

    // How far all rays of a cone run freely: apex, unit axis, sine of its half angle.
    static float free_way(const List& list, Vec apex, Vec axis, float sine) {
        float t = 0;
        for (int step = 0; step < kMaxSteps / 2; ++step) {
            const float d = nearest(list, apex + axis * t).distance - t * sine * 1.05f;
            if (d < 0.01f) break;
            t += d * kStep;
        }
        return t * (1 - sine * sine);
    }

    // Add one ray's light, from ``start`` on, to the channels of its pixel.
    void trace_ray(const List& list, Vec origin, Vec direction, float start, Seen& seen, float weight,
                   float* pixel, int stride) const {
        float t = kFar, last = 0;
        for (const Part* part : list) {
            if (part->use != kAdd) continue;
            const Vec q = origin - part->center;
            const float r = part->radius + part->blend, b = dot(q, direction);
            const float discriminant = b * b - dot(q, q) + r * r;
            if (discriminant <= 0) continue;
            const float root = std::sqrt(discriminant);
            t = std::min(t, -b - root), last = std::max(last, -b + root);
        }
        t = std::max(t, start);
        for (int step = 0; step < kMaxSteps && t < last; ++step) {
            const Vec p = origin + direction * t;
            const Nearest hit = nearest(list, p);
            if (hit.distance < kHit)
                return add_light(list, hit.group, p, direction, seen, weight, pixel, stride);
            t += hit.distance * kStep;
        }
    }

private:
    void add_light(const List& list, int group, Vec p, Vec direction, Seen& seen, float weight, float* pixel,
                   int stride) const {
        float facet = 0;
        Vec n = normal(list, p);
        Surface surface = surface_at(group, p, &facet);
        if (facet > 0) {  // a flat face has the normal and the colour of its middle
            const Vec middle = onto(list, cell(p, facet));
            n = normal(list, middle), surface = surface_at(group, middle, &facet);
        }
        if (dot(n, direction) > 0) n = unit(n - direction * (1.02f * dot(n, direction)));
        const Vec away = p + n * (4 * kHit);
        if (seen.open < 0 || dot(n, seen.normal) < 0.95f || norm(p - seen.point) > 0.03f)
            seen = {p, n, openness(away, n), dot(n, kLamp) > 0 ? lamp_seen(away) : 0};
        const float open = seen.open, lamp = std::max(dot(n, kLamp), 0.0f) * seen.lamp;
        const Vec mirrored = direction - n * (2 * dot(direction, n));
        const float turned = std::pow(1 - std::max(-dot(direction, n), 0.0f), 3.0f);
        const float diffuse = (0.60f + 0.15f * n.y + 0.06f * n.z) * open + 0.46f * lamp;
        const float highlight = surface.gloss * (0.25f + 0.75f * seen.lamp) *
                                std::pow(std::max(dot(n, unit(kLamp - direction)), 0.0f), surface.exponent);
        const float mirror = sky(mirrored) * solids::mix(0.5f, 1.0f, open);
        const float shade = solids::mix(diffuse, 0.25f * diffuse + 0.85f * mirror, surface.metal);
        Vec light = surface.albedo * shade + Vec{1, 1, 1} * (highlight + surface.rim * turned * open);
        const Vec albedo = surface.albedo;
        const float out[] = {light.x, light.y, light.z, albedo.x, albedo.y, albedo.z, n.x, n.y, n.z, 1};
        for (int k = 0; k < kSculptChannels; ++k)
            pixel[k * stride] += weight * (k < kNormal ? std::clamp(out[k], 0.0f, 1.0f) : out[k]);
    }

    Surface material_at(const Part& part, Vec p, float* facet) const {
        const SculptMaterial& m = scene_.material[part.material];
        const auto [second, low] = patterns::texel(static_cast<int>(m.pattern), p, part.own(p), m.period);
        const Vec a{m.first[0], m.first[1], m.first[2]}, b{m.second[0], m.second[1], m.second[2]};
        *facet = std::max(*facet, m.facet);
        return {solids::mix(a, b, second) * (1 - m.cavity * low), m.gloss, m.exponent, m.metal, m.rim};
    }

    // What the group is made of at its surface: its parts nearest to p, mixed where they melt; then its paint.
    Surface surface_at(int group, Vec p, float* facet) const {
        float least = kFar;
        distances_.clear();
        for (const Part* part : solid_)
            if (part->group == group && part->use == kAdd && !part->beyond(p, part->blend + 0.05f)) {
                distances_.push_back({part->distance(p), part});
                least = std::min(least, distances_.back().first);
            }
        Surface surface;
        float sum = 0;
        for (const auto& [d, part] : distances_) {
            const float reach = std::max(0.7f * part->blend, 1e-4f), near = 1 - (d - least) / reach;
            if (near <= 0) continue;
            const float share = near * near;
            surface = mix(surface, material_at(*part, p, facet), share / (sum += share));
        }
        for (const Part* part : paint_) {
            if (part->group != group || part->beyond(p, part->blend)) continue;
            const float share = 1 - smooth(-part->blend, part->blend, part->distance(p));
            if (share > 0) surface = mix(surface, material_at(*part, p, facet), share);
        }
        return surface;
    }

    static Vec cell(Vec p, float size) {
        const Vec q = p * (1 / size);
        const int x = static_cast<int>(std::floor(q.x)), y = static_cast<int>(std::floor(q.y)),
                  z = static_cast<int>(std::floor(q.z));
        float least = kFar;
        Vec best = p;
        for (int i = x - 1; i <= x + 1; ++i)
            for (int j = y - 1; j <= y + 1; ++j)
                for (int k = z - 1; k <= z + 1; ++k) {
                    const Vec c{i + patterns::hash(i, j, k), j + patterns::hash(i + 57, j, k),
                                k + patterns::hash(i, j + 91, k)};
                    const float d = dot(c - q, c - q);
                    if (d < least) least = d, best = c * size;
                }
        return best;
    }

    Vec onto(const List& list, Vec p) const {
        for (int i = 0; i < 3; ++i) p = p - normal(list, p) * nearest(list, p).distance;
        return p;
    }

    float openness(Vec p, Vec n) const {
        float closed = 0, share = 1;
        for (const float h : {0.04f, 0.10f, 0.20f, 0.34f}) {
            closed += share * std::max(h - nearest(solid_, p + n * h).distance, 0.0f) / h;
            share *= 0.75f;
        }
        return std::clamp(1 - 0.36f * closed, 0.22f, 1.0f);
    }

    float lamp_seen(Vec p) const {
        float seen = 1, t = 0.02f;
        for (int step = 0; step < kShadowSteps && t < 1.1f; ++step) {
            const float d = nearest(solid_, p + kLamp * t).distance;
            seen = std::min(seen, 0.5f + 5 * d / t);
            if (seen <= 0) return 0;
            t += std::clamp(d, 0.025f, 0.2f);
        }
        return smooth(0, 1, std::clamp(seen, 0.0f, 1.0f));
    }

    const SculptScene& scene_;
    std::vector<Part> parts_;
    List solid_, paint_;
    mutable std::vector<std::pair<float, const Part*>> distances_;
};

void trace_tile(const Sculptor& sculptor, const View& view, int left, int top, int size, int supersample,
                float* out) {
    const int right = std::min(left + kTile, size), bottom = std::min(top + kTile, size);
    const Vec axis = view.ray((left + right) / 2.0f, (top + bottom) / 2.0f);
    const Vec corner = view.ray(static_cast<float>(left), static_cast<float>(top));
    const float sine = norm(cross(axis, corner));
    const List list = sculptor.met(view.origin(), axis, sine);
    if (list.empty()) return;
    const float start = Sculptor::free_way(list, view.origin(), axis, sine);
    const float weight = 1.0f / (supersample * supersample);
    for (int y = top; y < bottom; ++y)
        for (int x = left; x < right; ++x) {
            Seen seen;
            for (int sub = 0; sub < supersample * supersample; ++sub) {
                const float u = x + (sub % supersample + 0.5f) / supersample;
                const float v = y + (sub / supersample + 0.5f) / supersample;
                sculptor.trace_ray(list, view.origin(), view.ray(u, v), start, seen, weight,
                                   out + y * size + x, size * size);
            }
        }
}

}  // namespace

void sculpt(const SculptScene& scene, int n_views, const float* viewmats, const float* Ks, int size,
            int supersample, float* out) {
    const Sculptor sculptor(scene);
    const size_t picture = static_cast<size_t>(kSculptChannels) * size * size;
    std::fill(out, out + picture * n_views, 0.0f);
    for (int i = 0; i < n_views; ++i) {
        const View view(viewmats + 16 * i, Ks + 9 * i);
        for (int top = 0; top < size; top += kTile)
            for (int left = 0; left < size; left += kTile)
                trace_tile(sculptor, view, left, top, size, supersample, out + picture * i);
    }
}

void sculpt_distance(const SculptScene& scene, int64_t n_points, const float* points, float* out) {
    const Sculptor sculptor(scene);
    for (int64_t i = 0; i < n_points; ++i)
        out[i] = sculptor.distance({points[3 * i], points[3 * i + 1], points[3 * i + 2]});
}

}  // namespace sctd
