/*
blend_tile.h - what the forward and the backward blend share: a warp's sub-tile, its list, the packed footprint.

A block is one 16 x 16 tile, four warps, each with an 8 x 8 sub-tile of its own: a lane has two pixels, four rows apart. The
warps never wait for each other. A warp walks its tile's list 32 pairs at a time: every lane looks at one pair's mask, those
whose footprint touches the sub-tile are packed side by side into the warp's slab of shared memory, and all lanes then walk
the slab. So a footprint costs a warp nothing where it is not.

Positions are relative to the sub-tile's corner: pixel coordinates would cost up to 15 bits of the mean.
*/
#pragma once

#include "device.h"
#include "kernels.h"

#include "../include/blend.h"

namespace sctd::cuda {

constexpr int kSubTile = kTile / 2, kWarps = 4, kTileThreads = kWarps * kWarp;
constexpr int kPixels = 2;       // of a lane
constexpr int kMaxChannels = 4;  // of one pass; more go through in several
// A pixel that is done is moved this far away (px), where every exponent is minus infinity: no test in the loop.
constexpr float kFarAway = 1e30f;

// A footprint as the loops read it, three 16-byte words.
struct alignas(16) Packed {
    float mean_x, mean_y;  // px, from the sub-tile's corner
    float shear, ka,
        kc;       // alpha = 2^(limit - ka u^2 - kc dy^2), u = dx + shear dy; -0.5 log2(e) is in ka and kc
    float limit;  // log2(opacity)
    float channel[kMaxChannels];
    int32_t index;  // in the tile's list
    uint32_t row;   // where in the sums the backward pass adds
};

// Smallest exponent that is drawn: log2(1 / 255).
constexpr float kDrawn = -7.994353436858858f;

struct SubTile {
    int camera, tile, warp, lane;
    int x, y;    // its corner, px
    int column;  // of the lane's pixels, px from the corner
    int row[kPixels];

    __device__ __forceinline__ SubTile(int width, int height) {
        const int across = (width + kTile - 1) / kTile, down = (height + kTile - 1) / kTile;
        tile = blockIdx.x, camera = tile / (across * down);
        const int in_camera = tile - camera * across * down;
        warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
        x = in_camera % across * kTile + warp % 2 * kSubTile;
        y = in_camera / across * kTile + warp / 2 * kSubTile;
        column = lane % kSubTile;
        row[0] = lane / kSubTile, row[1] = row[0] + kSubTile / 2;
    }
};

// One pass over the channels: `first` of the D(+1) channels, the last of which may be the depth.
struct Pass {
    int first, total;
};

__device__ __forceinline__ float channel_of(const BlendArgs& a, int64_t at, int channel) {
    if (channel >= a.channels) return a.depths[at];
    return a.colors[a.channels * (a.colors_per_camera ? at : at % a.count) + channel];
}

template <int D>
__device__ __forceinline__ void pack(const BlendArgs& a, const SubTile& s, Pass pass, int32_t rank,
                                     Packed& out) {
    const int64_t at = a.order[rank];
    const float* conic = a.conics + 3 * at;
    const float a11 = conic[0], shear = conic[1] / a11;
    out.mean_x = a.means2d[2 * at] - float(s.x), out.mean_y = a.means2d[2 * at + 1] - float(s.y);
    out.shear = shear;
    out.ka = float(-0.5 * kLog2E) * a11;
    out.kc = float(-0.5 * kLog2E) * (conic[2] - conic[1] * shear);
    out.limit = vlog(a.opacities[at]) * float(kLog2E);
#pragma unroll
    for (int d = 0; d < D; ++d) out.channel[d] = channel_of(a, at, pass.first + d);
}

// log2 of opacity times the Gaussian at a pixel. Rounds alike wherever it is called.
__device__ __forceinline__ float log2_alpha(const Packed& g, float dx, float dy) {
    const float u = madd(g.shear, dy, dx);
    return madd(g.ka * u, u, madd(g.kc * dy, dy, g.limit));
}

// Lanes before this one among those of a vote.
__device__ __forceinline__ int place_in(unsigned vote, int lane) { return __popc(vote & ((1u << lane) - 1)); }

}  // namespace sctd::cuda
