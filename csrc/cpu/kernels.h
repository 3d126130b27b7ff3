/*
kernels.h - the CPU kernels' arguments, and the table through which the right instruction set is called.

Plain pointers to contiguous arrays, sizes, nothing else. C cameras, N Gaussians, K SH bases, D colour channels,
H x W pixels. Each kernel exists once per instruction set (see SCTD_ISA in include/common.h) and scalar type.
*/
#pragma once

#include "scratch.h"
#include "triangles.h"

#include <cstdint>

namespace sctd {

template <typename S>
struct ProjectArgs {
    int64_t cameras, count, bases;  // bases: K of sh, 0 without
    int width, height, sh_degree, antialiased;
    double near_plane, far_plane, radius_clip, eps2d;
    const S *means, *quats, *scales, *opacities;  // [N,3] [N,4] [N,3] [N]
    const S* sh;                                  // [N,K,3] or [C,N,K,3]
    int sh_per_camera;
    const S *viewmats, *ks;  // [C,4,4] [C,3,3]
    // forward: outputs
    S *means2d, *depths, *conics, *opacities_out, *colors;  // [C,N,2] [C,N] [C,N,3] [C,N] [C,N,3]
    int32_t* radii;                                         // [C,N,2]; (0, 0) = not visible; backward: input
    // backward: gradients in (same shapes as the outputs), gradients out (same shapes as the inputs)
    const S *g_means2d, *g_depths, *g_conics, *g_opacities_out, *g_colors;
    S *g_means, *g_quats, *g_scales, *g_opacities, *g_sh, *g_viewmats;
};

// Which Gaussian touches which tile. A pair is a tile, a Gaussian (camera * N + index), and the 4 x 1 pixel strips of the tile
// that are touched: bit 16 * (column / 4) + row. Pairs are stored by tile, front to back. A slot is the place of a pair when
// sorted by Gaussian instead: the sums of a backward pass for one Gaussian lie in one row of slots.
template <typename S>
struct TilesArgs {
    int64_t cameras, count;
    int width, height;
    const S *means2d, *conics, *opacities, *depths;  // as ProjectArgs' outputs
    const int32_t* radii;
};

struct TileLists {
    int64_t total = 0, visible = 0, pairs = 0, tiles = 0;  // total: C * N; tiles: of all cameras
    int64_t grain = 1, pieces = 0;                         // pieces of `grain` of the visible, in depth order
    Scratch<int32_t> order;                                // [visible] the visible in depth order
    Scratch<int32_t> slot_start;                           // [total + 1] a Gaussian's first slot
    Scratch<int32_t> cursor;                               // [pieces, tiles] pairs; then where they go
    Scratch<int64_t> place,
        sizes;  // [pieces] where a piece's pairs begin in the next three, how many there are
    Scratch<int32_t> tile, index;  // with gaps: there is room for all tiles of every box
    Scratch<uint64_t> mask;        // likewise
};

struct TilesOut {
    int32_t *slot_start, *tile_start;  // [cameras * count + 1] [tiles + 1]
    int32_t *pair_index, *slot_pair;   // [pairs] the pair's Gaussian; [pairs] the slot's pair
    int64_t* pair_mask;                // [pairs]
};

template <typename S>
struct BlendArgs {
    int64_t cameras, count, channels;  // channels of colors; the depth comes on top
    int64_t pairs;
    int width, height, colors_per_camera, with_depth, absgrad;
    const S *means2d, *conics, *colors, *opacities, *depths;          // colors [C,N,D] or [N,D]
    const S* backgrounds;                                             // [C,D] or null
    const int32_t *slot_start, *tile_start, *pair_index, *slot_pair;  // as TilesOut
    const int64_t* pair_mask;
    // forward: outputs; backward: transmittance and last are inputs
    S *renders, *alphas, *transmittance;  // [C,H,W,D(+1)] [C,H,W,1] [C,H,W]
    int32_t* last;  // [C,H,W] pairs of the tile that were looked at before the pixel was done
    // backward
    const S *g_renders, *g_alphas;
    S *g_means2d, *g_conics, *g_colors, *g_opacities, *g_depths, *g_backgrounds, *g_means2d_abs;
};

template <typename S>
struct AdamArgs {
    int64_t n, row;  // elements; elements of a row of `visible`
    S *param, *exp_avg, *exp_avg_sq;
    const S* grad;
    const uint8_t* visible;                // rows that change; null: all
    double rate, root, beta1, beta2, eps;  // lr / (1 - beta1^step), sqrt(1 - beta2^step)
    double clip;                           // factor of the gradient
};

// Guidance with out = null + guidance (cond - null), and the steps from one point to two levels. With k > 0 wrong directions
// [b,k,n] the conditional output is Perp-Neg's.
template <typename S>
struct GuidanceArgs {
    int64_t b, n;
    int k, prediction;
    const S *z, *null, *cond, *wrong, *weights;  // weights [b,k]
    S guidance;
    const S* levels[6];  // alpha, sigma of the point and of the two ends, [b] each
    S *z_s, *z_e, *out;
};

// z_self = the step from z with `out`; grad = weight [(z_self - z_end) + (guidance + 1) (z_end - z_cond)].
template <typename S>
struct ResidualArgs {
    int64_t b, n;
    int prediction;
    const S *z, *out, *z_end, *z_cond, *weight;  // weight [b]
    S guidance;
    const S* levels[4];
    S *grad, *stats,
        *loss;  // stats [b,3]: |z_self - z_end|, |z_end - z_cond|, non-finite elements; loss [b]: 0.5 |grad|^2
};

// images [planes,h,w]: mean squared difference of neighbours, down plus across, and its gradient.
template <typename S>
struct VariationArgs {
    int64_t planes, h, w;
    const S* images;
    S *loss, *grad;
};

template <typename S>
struct Kernels {
    void (*project_forward)(const ProjectArgs<S>&);
    void (*project_backward)(const ProjectArgs<S>&);
    void (*tiles_find)(const TilesArgs<S>&, TileLists&);
    void (*blend_forward)(const BlendArgs<S>&);
    void (*blend_backward)(const BlendArgs<S>&);
    double (*gradient_norm)(int64_t n, const S* grad);
    void (*adam)(const AdamArgs<S>&);
    // b rows of n elements; level arrays [b]; prediction: sctd_math.h
    void (*noise)(int64_t b, int64_t n, const S* z0, const S* noise, const S* alpha, const S* sigma, S* out);
    void (*ode_step)(int64_t b, int64_t n, int prediction, const S* z, const S* out, const S* const levels[4],
                     S* z_to);
    void (*cfg_ode_steps)(const GuidanceArgs<S>&);
    void (*residual)(const ResidualArgs<S>&);
    void (*total_variation)(const VariationArgs<S>&);
    TriangleKernels<S> triangles;
};

void tiles_write(TileLists& lists, const TilesOut& out);  // same for every instruction set; once per lists

template <typename S>
const Kernels<S>& kernels();  // for this CPU
const char* isa_name();       // "avx512", "avx2", "baseline"

}  // namespace sctd
