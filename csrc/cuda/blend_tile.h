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

// A footprint as the loops read it, three 16-byte words: the Record, seen from the sub-tile's corner.
//     alpha = 2^-(p^2 + q^2 + faint),   q = down y + above,   p = (across x + left) + lean q
struct alignas(16) Packed {
    float across, left, down, above;
    float lean, faint;
    int32_t index;  // in the tile's list
    uint32_t row;   // where in the sums the backward pass adds
    float channel[kMaxChannels];
};

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

// Where a pass finds the channels of a footprint: the last may be the depth, which lies elsewhere.
template <int D>
struct Channels {
    const float *first, *last;
    int stride, last_stride;

    __device__ __forceinline__ Channels(const BlendArgs& a, const SubTile& s, Pass pass) {
        const bool depth = D > 0 && pass.first + D > a.channels;
        const int64_t shared =
            a.colors_per_camera ? 0 : int64_t(s.camera) * a.count;  // rows of other cameras
        first = a.colors + (pass.first - shared * a.channels), stride = a.channels;
        last = depth ? a.depths : first + (D - 1), last_stride = depth ? 1 : stride;
    }
    __device__ __forceinline__ void read(int32_t index, float (&out)[kMaxChannels]) const {
        const float* at = first + int64_t(index) * stride;
#pragma unroll
        for (int d = 0; d < D - 1; ++d) out[d] = at[d];
        if (D > 0) out[D - 1] = last[int64_t(index) * last_stride];
    }
};

// A footprint as seen from a sub-tile.
template <int D>
__device__ __forceinline__ Packed pack(const Record& r, const SubTile& s, const Channels<D>& channels,
                                       int32_t index) {
    Packed out{};
    out.across = r.across, out.left = r.across * (float(s.x) - r.mean_x);
    out.down = r.down, out.above = r.down * (float(s.y) - r.mean_y);
    out.lean = r.lean, out.faint = r.faint;
    channels.read(index, out.channel);
    return out;
}

// The share of a column of pixels in p.
__device__ __forceinline__ float along(const Packed& g, float x) { return madd(g.across, x, g.left); }

// The exponent at a pixel, minus log2 of alpha; p and q as above. Rounds alike wherever it is called.
__device__ __forceinline__ float exponent(const Packed& g, float column, float y, float& p, float& q) {
    q = madd(g.down, y, g.above);
    p = madd(g.lean, q, column);
    return madd(p, p, madd(q, q, g.faint));
}

// What a warp keeps at hand to pack: its bit in a pair's mask, the lanes before this one, where its part of a slab begins.
struct Packing {
    unsigned bit, before;
    int part;

    __device__ __forceinline__ explicit Packing(const SubTile& s)
        : bit(opaque(1u << s.warp)),
          before(opaque((1u << s.lane) - 1)),
          part(int(opaque(unsigned(s.warp * kWarp)))) {}
    // Of a lane among those of a vote.
    __device__ __forceinline__ int place(unsigned vote) const { return __popc(vote & before); }
};

}  // namespace sctd::cuda
