/*
kernels.h - the CUDA kernels' arguments and entry points. Device pointers to contiguous float arrays, sizes, a stream.

C cameras, N Gaussians, K SH bases, D colour channels, H x W pixels; names, shapes and meanings as in cpu/kernels.h. Every
function only queues work on the stream: nothing waits, nothing is allocated, so a whole training step can be captured in a
CUDA graph. The caller brings scratch memory of the size that the *_scratch functions tell.
*/
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace sctd::cuda {

using Stream = void*;

struct ProjectArgs {
    int cameras, count, bases;
    int width, height, sh_degree, antialiased;
    float near_plane, far_plane, radius_clip, eps2d;
    const float *means, *quats, *scales, *opacities, *sh;
    int sh_per_camera;
    const float *viewmats, *ks;
    float *means2d, *depths, *conics, *opacities_out, *colors;
    int32_t* radii;
    const float *g_means2d, *g_depths, *g_conics, *g_opacities_out, *g_colors;
    float *g_means, *g_quats, *g_scales, *g_opacities, *g_sh, *g_viewmats;
    double* pose_partial;  // scratch of the backward pass: project_backward_scratch(...) bytes
    float* g_directions;   // in that scratch; filled by project_backward, as sh_vectors is by both
    int sh_vectors;
};

std::string missing_device(
    int device);  // why no kernel can run on it (-1: the current one); empty when one can

size_t project_backward_scratch(int64_t count, int64_t cameras, int sh_degree, bool pose);
void project_forward(const ProjectArgs& a, Stream stream);
void project_backward(const ProjectArgs& a, Stream stream);

// A footprint as tile lists and blends read it: two 16-byte words, one 32-byte sector. Its alpha at (x, y) is
//     2^-(p^2 + q^2 + faint),   q = down (y - mean_y),   p = across (x - mean_x) + lean q
struct alignas(16) Record {
    float mean_x, mean_y;  // px
    float across, down;    // 1/px
    float lean, faint;     // faint = -log2(opacity)
    float half_height;     // px: rows further from the mean are never touched; -1: unseen
    float turn;            // px: on this row, from the mean, the visible ellipse reaches furthest to the left
};
// Largest exponent that is drawn: log2(255).
constexpr float kFaintest = 7.994353436858858f;
constexpr int kRecord = sizeof(Record) / sizeof(float);

// What counting found of a footprint in a row of tiles, kept for writing.
struct Band {
    uint32_t first;  // tile
    uint32_t
        tiles;  // the sub-tiles of that and the next ones, four bits each; on top the rank within its warp
};

// Footprints: number camera * N + index. Ranks: all of them by depth, unseen ones last; `order` maps a rank to its footprint.
// A pair is (tile, footprint) plus the 8 x 8 sub-tiles touched: bit 2 * (lower half) + (right half). Slots: pairs by rank;
// positions: pairs by tile, front to back. At most `capacity` pairs are kept; rank_start[C * N] is how many there are,
// 2^31 - 1 standing for more too, so more than capacity is an overflow that the caller reads when it likes.
struct TilesArgs {
    int cameras, count, width, height;
    int64_t capacity;
    const float *means2d, *conics, *opacities, *depths;
    const int32_t* radii;
    int32_t *order, *rank_start;                   // [C N] [C N + 1]
    int32_t *tile_start, *pair_index, *pair_slot;  // [tiles + 1] [capacity] [capacity]
    uint8_t* pair_mask;                            // [capacity]
    Record* records;                               // [C N]
    Band* bands;                                   // tiles_bands(C N) bytes
    void* scratch;
};

size_t tiles_bands(int64_t footprints);
size_t tiles_count_scratch(int64_t footprints);
size_t tiles_write_scratch(int64_t capacity);
void tiles_count(const TilesArgs& a, Stream stream);  // fills order, rank_start, records, bands
void tiles_write(const TilesArgs& a, Stream stream);  // fills the others

struct BlendArgs {
    int cameras, count, channels, width, height;
    int colors_per_camera, with_depth, absgrad, deterministic;
    int64_t pairs;  // that the lists have room for
    const float *means2d, *conics, *colors, *opacities, *depths, *backgrounds;
    const int32_t *order, *rank_start, *tile_start, *pair_index, *pair_slot;
    const uint8_t* pair_mask;
    const Record* records;
    float *renders, *alphas, *transmittance;
    int32_t* last;
    const float *g_renders, *g_alphas;
    float *g_means2d, *g_conics, *g_colors, *g_opacities, *g_depths, *g_backgrounds, *g_means2d_abs;
    void* scratch;  // of the backward pass: blend_backward_scratch(a) bytes
};

size_t blend_backward_scratch(const BlendArgs& a);
void blend_forward(const BlendArgs& a, Stream stream);
void blend_backward(const BlendArgs& a, Stream stream);

constexpr int kMaxAdamGroups = 8;

struct AdamGroup {
    float *param, *exp_avg, *exp_avg_sq;
    const float* grad;
    int n, row;       // elements; elements of a row of `visible`
    int first_block;  // filled by adam
};

struct AdamArgs {
    int groups;    // those that are updated
    int norms_of;  // with those behind them, whose gradient alone is watched
    AdamGroup group[kMaxAdamGroups + 1];
    float beta1, beta2, rest1, rest2, eps;  // rest: 1 - beta, rounded once
    const double* schedule;                 // [groups + 2], see adam.cu
    const uint8_t *visible, *skip;
    double* norms;    // [norms_of]
    double* partial;  // scratch: adam_scratch(norms_of) bytes
    float* factors;   // in that scratch, filled by adam
};

size_t adam_scratch(int groups);
void adam(AdamArgs a, Stream stream);

}  // namespace sctd::cuda
