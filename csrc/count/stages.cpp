/*
stages.cpp - every kernel of a training step once, on a small fixed workload: what benchmarks/instructions.py counts.

No Python and no torch, so the program runs for a second under callgrind, which is told to count inside the functions stage_* alone.
Each kernel has run before it is counted: working memory is there and static tables are made. 2000 Gaussians
in a ball, one camera, 128 x 128 pixels, 3 channels and a background, as sctd/bench/workload.py makes them. Then a sphere
of 2280 faces, as sctd/bench/triangles.py makes it, and a texture.
*/
#include "../cpu/kernels.h"

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <vector>

using namespace sctd;

namespace {

constexpr int64_t kCount = 2000;
constexpr int kSize = 128;
constexpr int64_t kPixels = int64_t(kSize) * kSize;
constexpr int64_t kAdam = 1 << 16;
constexpr int kRings = 20, kSectors = 60, kTexels = 64;

using Floats = std::vector<float>;

struct Random {
    uint64_t state = 1;
    double uniform() {  // in (0, 1)
        state = state * 6364136223846793005ull + 1442695040888963407ull;
        return (double(state >> 33) + 0.5) / double(uint64_t(1) << 31);
    }
    double normal() {
        const double radius = std::sqrt(-2 * std::log(uniform()));
        return radius * std::cos(6.283185307179586 * uniform());
    }
};

struct Workload {
    Floats means, quats, scales, opacities, colors, viewmat, k, background;
    Floats means2d, depths, conics, opacities_out, renders, alphas, transmittance, g_renders;
    Floats g_means2d, g_depths, g_conics, g_opacities_out, g_colors, g_background;
    Floats g_means, g_quats, g_scales, g_opacities, g_viewmat;
    Floats param, exp_avg, exp_avg_sq, grad;
    std::vector<int32_t> radii, last, slot_start, tile_start, pair_index, slot_pair;
    std::vector<int64_t> pair_mask;
    ProjectArgs<float> project{};
    BlendArgs<float> blend{};
    AdamArgs<float> adam{};
    TileLists* lists = nullptr;
};

Floats floats(int64_t n) { return Floats(size_t(n), 0.0f); }

void make_gaussians(Workload& w) {
    Random random;
    for (int64_t i = 0; i < kCount; ++i) {
        double d[3], length = 0;
        for (double& x : d) x = random.normal(), length += x * x;
        const double radius = std::cbrt(random.uniform()) / std::sqrt(length);
        for (double x : d) w.means.push_back(float(x * radius));
        for (int j = 0; j < 4; ++j) w.quats.push_back(float(random.normal()));
        for (int j = 0; j < 3; ++j) w.scales.push_back(float(0.037 * std::exp(0.5 * random.normal())));
        w.opacities.push_back(float(1 / (1 + std::exp(-random.normal()))));
        for (int j = 0; j < 3; ++j) w.colors.push_back(float(random.uniform()));
    }
    w.viewmat = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3.2f, 0, 0, 0, 1};
    const float focal = 0.5f * kSize / std::tan(0.5f * 0.7853982f);  // a field of 45 degrees
    w.k = {focal, 0, 0.5f * kSize, 0, focal, 0.5f * kSize, 0, 0, 1};
    w.background = {1, 1, 1};
    for (int64_t i = 0; i < 3 * kPixels; ++i) w.g_renders.push_back(float(random.uniform()));
    for (int64_t i = 0; i < kAdam; ++i) w.param.push_back(float(random.normal()));
    w.grad = w.param, w.exp_avg = floats(kAdam), w.exp_avg_sq = floats(kAdam);
}

void allocate(Workload& w) {
    w.means2d = w.g_means2d = floats(2 * kCount), w.depths = w.g_depths = floats(kCount);
    w.conics = w.g_conics = w.g_colors = floats(3 * kCount);
    w.opacities_out = w.g_opacities_out = w.g_opacities = floats(kCount);
    w.g_means = w.g_scales = floats(3 * kCount), w.g_quats = floats(4 * kCount), w.g_viewmat = floats(16);
    w.renders = floats(3 * kPixels), w.alphas = w.transmittance = floats(kPixels), w.g_background = floats(3);
    w.radii.resize(2 * kCount), w.last.resize(kPixels);

    ProjectArgs<float>& p = w.project;
    p.cameras = 1, p.count = kCount, p.width = p.height = kSize, p.sh_degree = -1;
    p.near_plane = 0.01, p.far_plane = 1e10, p.eps2d = 0.3;
    p.means = w.means.data(), p.quats = w.quats.data(), p.scales = w.scales.data();
    p.opacities = w.opacities.data(), p.viewmats = w.viewmat.data(), p.ks = w.k.data();
    p.means2d = w.means2d.data(), p.depths = w.depths.data(), p.conics = w.conics.data();
    p.opacities_out = w.opacities_out.data(), p.radii = w.radii.data();
    p.g_means2d = w.g_means2d.data(), p.g_depths = w.g_depths.data(), p.g_conics = w.g_conics.data();
    p.g_opacities_out = w.g_opacities_out.data();
    p.g_means = w.g_means.data(), p.g_quats = w.g_quats.data(), p.g_scales = w.g_scales.data();
    p.g_opacities = w.g_opacities.data(), p.g_viewmats = w.g_viewmat.data();

    AdamArgs<float>& o = w.adam;
    o.n = kAdam, o.row = 1, o.param = w.param.data(), o.exp_avg = w.exp_avg.data();
    o.exp_avg_sq = w.exp_avg_sq.data(), o.grad = w.grad.data();
    o.rate = 1e-3, o.root = 1, o.beta1 = 0.9, o.beta2 = 0.999, o.eps = 1e-15, o.clip = 1;
}

TilesArgs<float> tiles_args(const Workload& w) {
    TilesArgs<float> t{};
    t.cameras = 1, t.count = kCount, t.width = t.height = kSize;
    t.means2d = w.means2d.data(), t.conics = w.conics.data(), t.opacities = w.opacities_out.data();
    t.depths = w.depths.data(), t.radii = w.radii.data();
    return t;
}

// Room for the lists that were found, and the blend's arguments, which point to them.
void allocate_lists(Workload& w) {
    const size_t pairs = size_t(w.lists->pairs);
    w.slot_start.resize(kCount + 1), w.tile_start.resize(size_t(w.lists->tiles) + 1);
    w.pair_index.resize(pairs), w.slot_pair.resize(pairs), w.pair_mask.resize(pairs);

    BlendArgs<float>& b = w.blend;
    b.cameras = 1, b.count = kCount, b.channels = 3, b.pairs = w.lists->pairs, b.width = b.height = kSize;
    b.means2d = w.means2d.data(), b.conics = w.conics.data(), b.colors = w.colors.data();
    b.opacities = w.opacities_out.data(), b.depths = w.depths.data(), b.backgrounds = w.background.data();
    b.slot_start = w.slot_start.data(), b.tile_start = w.tile_start.data();
    b.pair_index = w.pair_index.data(), b.slot_pair = w.slot_pair.data(), b.pair_mask = w.pair_mask.data();
    b.renders = w.renders.data(), b.alphas = w.alphas.data(), b.transmittance = w.transmittance.data();
    b.last = w.last.data(), b.g_renders = w.g_renders.data();
    b.g_means2d = w.g_means2d.data(), b.g_conics = w.g_conics.data(), b.g_colors = w.g_colors.data();
    b.g_opacities = w.g_opacities_out.data(), b.g_depths = w.g_depths.data();
    b.g_backgrounds = w.g_background.data();
}

// A sphere from the front, orthographic, and a texture that is spread over the picture.
struct Mesh {
    Floats clip, colors, barycentrics, depth, image, uv, texels, looked_up;
    Floats g_image, g_colors, g_clip, g_texels, g_uv;
    std::vector<int32_t> index, triangles, start, corners;
    DrawArgs<float> draw{};
    InterpolateArgs<float> interpolate{};
    EdgeArgs<float> edges{};
    TextureArgs<float> texture{};
};

void make_sphere(Mesh& m) {
    for (int i = 0; i <= kRings; ++i)
        for (int j = 0; j < kSectors; ++j) {
            const double theta = 3.141592653589793 * i / kRings, phi = 6.283185307179586 * j / kSectors + 0.1;
            const double at[3] = {std::sin(theta) * std::cos(phi), -std::cos(theta),
                                  std::sin(theta) * std::sin(phi)};
            for (int k = 0; k < 2; ++k) m.clip.push_back(float(0.84 * at[k] + 0.001));
            m.clip.push_back(float(0.5 * at[2])), m.clip.push_back(1);
            for (double x : at) m.colors.push_back(float(0.5 + 0.4 * x));
        }
    for (int i = 0; i < kRings; ++i)
        for (int j = 0; j < kSectors; ++j) {
            const int a = i * kSectors + j, b = i * kSectors + (j + 1) % kSectors;
            if (i + 1 < kRings) m.index.insert(m.index.end(), {a, a + kSectors, b + kSectors});
            if (i > 0) m.index.insert(m.index.end(), {a, b + kSectors, b});
        }
    Random random;
    for (int64_t i = 0; i < 3 * kPixels; ++i) m.g_image.push_back(float(random.uniform()));
    for (int64_t i = 0; i < 3 * kTexels * kTexels; ++i) m.texels.push_back(float(random.uniform()));
    for (int64_t i = 0; i < 2 * kPixels; ++i) m.uv.push_back(float(i / 2 % kSize + i % 2) / kSize);
}

void allocate(Mesh& m) {
    const size_t vertices = m.clip.size() / 4, faces = m.index.size() / 3;
    m.barycentrics = m.image = m.looked_up = floats(3 * kPixels), m.depth = floats(kPixels);
    m.g_colors = floats(3 * vertices), m.g_clip = floats(4 * vertices);
    m.g_texels = floats(3 * kTexels * kTexels), m.g_uv = floats(2 * kPixels);
    m.triangles.resize(kPixels), m.start.resize(vertices + 1), m.corners.resize(3 * faces);
    corner_lists(int64_t(vertices), int64_t(faces), m.index.data(), m.start.data(), m.corners.data());
    m.draw = {{1, int64_t(vertices), int64_t(faces), kSize, kSize, m.clip.data(), m.index.data()},
              m.triangles.data(),
              m.barycentrics.data(),
              m.depth.data()};
    const CornerLists lists{m.start.data(), m.corners.data()};
    InterpolateArgs<float>& i = m.interpolate;
    i.mesh = m.draw.mesh, i.channels = 3, i.attributes = m.colors.data(), i.triangles = m.triangles.data();
    i.barycentrics = m.barycentrics.data(), i.image = m.image.data(), i.lists = lists;
    i.g_image = m.g_image.data(), i.g_attributes = m.g_colors.data(), i.g_clip = m.g_clip.data();
    EdgeArgs<float>& e = m.edges;
    e.mesh = m.draw.mesh, e.channels = 3, e.lists = lists, e.triangles = m.triangles.data();
    e.barycentrics = m.barycentrics.data(), e.image = m.image.data(), e.g_image = m.g_image.data();
    e.g_clip = m.g_clip.data();
    TextureArgs<float>& t = m.texture;
    t.count = kPixels, t.channels = 3, t.width = t.height = kTexels, t.repeat = 1;
    t.image = m.texels.data(), t.uv = m.uv.data(), t.out = m.looked_up.data(), t.g_out = m.g_image.data();
    t.g_image = m.g_texels.data(), t.g_uv = m.g_uv.data();
}

}  // namespace

#define STAGE extern "C" __attribute__((noinline)) void

STAGE stage_project_forward(Workload& w) { kernels<float>().project_forward(w.project); }
STAGE stage_project_backward(Workload& w) { kernels<float>().project_backward(w.project); }
STAGE stage_tiles_find(Workload& w) { kernels<float>().tiles_find(tiles_args(w), *w.lists); }
STAGE stage_tiles_write(Workload& w) {
    tiles_write(*w.lists, {w.slot_start.data(), w.tile_start.data(), w.pair_index.data(), w.slot_pair.data(),
                           w.pair_mask.data()});
}
STAGE stage_blend_forward(Workload& w) { kernels<float>().blend_forward(w.blend); }
STAGE stage_blend_backward(Workload& w) { kernels<float>().blend_backward(w.blend); }
STAGE stage_adam(Workload& w) {
    kernels<float>().gradient_norm(w.adam.n, w.adam.grad);
    kernels<float>().adam(w.adam);
}
STAGE stage_triangle_draw(Mesh& m) { kernels<float>().triangles.draw(m.draw); }
STAGE stage_triangle_interpolate(Mesh& m) { kernels<float>().triangles.interpolate(m.interpolate); }
STAGE stage_triangle_interpolate_backward(Mesh& m) {
    kernels<float>().triangles.interpolate_backward(m.interpolate);
}
STAGE stage_triangle_edge_backward(Mesh& m) { kernels<float>().triangles.edge_backward(m.edges); }
STAGE stage_texture(Mesh& m) { kernels<float>().triangles.texture(m.texture); }
STAGE stage_texture_backward(Mesh& m) { kernels<float>().triangles.texture_backward(m.texture); }

int main() {
    Workload w;
    make_gaussians(w);
    allocate(w);
    Mesh m;
    make_sphere(m);
    allocate(m);
    for (int round = 0; round < 2; ++round) {  // the second is the one that counts
        TileLists lists;
        w.lists = &lists;
        stage_project_forward(w);
        stage_tiles_find(w);
        allocate_lists(w);
        stage_tiles_write(w);
        stage_blend_forward(w);
        stage_blend_backward(w);
        stage_project_backward(w);
        stage_adam(w);
        std::printf("%lld pairs, first pixel %.6f\n", (long long)lists.pairs, double(w.renders[0]));
        stage_triangle_draw(m);
        stage_triangle_interpolate(m);
        stage_triangle_interpolate_backward(m);
        stage_triangle_edge_backward(m);
        stage_texture(m);
        stage_texture_backward(m);
        const size_t middle = kPixels / 2 + kSize / 2;
        std::printf("face %d, pixel %.6f\n", m.triangles[middle], double(m.image[3 * middle]));
    }
    return 0;
}
