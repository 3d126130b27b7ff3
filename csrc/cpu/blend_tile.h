/*
blend_tile.h - what the forward and the backward blend share: packed footprints, the order of pixels in a tile, groups.

A tile's 256 pixels are kept strip-wise: index = 64 * (column / 4) + 4 * row + column % 4. So bit b of a pair's coverage
mask is the strip at index 4 b, and the strips of two (or four) rows below one another lie side by side: a vector of 8 (16)
lanes is a block of 4 x 2 (4 x 4) pixels, for which the bits are merged.
*/
#pragma once

#include "simd_rows.h"  // first: the formulas below are instantiated with its vectors

#include "../include/blend.h"
#include "kernels.h"
#include "threads.h"

SCTD_BEGIN

constexpr int kPixels = kTile * kTile;

// One footprint, packed: the kernel's 7 numbers, the conic's 3, then the channels. 16 floats hold up to 6 channels and
// fill one cache line.
enum Field { kMeanX, kMeanY, kShear, kKa, kKc, kLimit, kOpacity, kA, kB, kC, kChannel0 };

SCTD_HD int64_t record_stride(int64_t channels) { return (kChannel0 + channels + 15) / 16 * 16; }

template <typename S>
int64_t total_channels(const BlendArgs<S>& a) {
    return a.channels + (a.with_depth ? 1 : 0);
}

// Records of all Gaussians that have pairs, at camera * N + index.
template <typename S>
void pack_records(const BlendArgs<S>& a, S* records) {
    using V = typename Simd<S>::V;
    constexpr int W = Simd<S>::W;
    constexpr int kKernel = 7;
    const int64_t stride = record_stride(total_channels(a));
    const bool own_colors = a.colors_per_camera || a.cameras == 1;
    auto group = [&](int64_t first, int lanes) {
        S out[kKernel][W];
        V mean[2], conic[3], opacity[1];
        load_rows<2>(a.means2d + 2 * first, lanes, mean);
        load_rows<3>(a.conics + 3 * first, lanes, conic);
        load_rows<1>(a.opacities + first, lanes, opacity);
        const Kernel2D<V> k = make_kernel(mean[0], mean[1], conic[0], conic[1], conic[2], opacity[0]);
        const V numbers[kKernel] = {k.mean_x, k.mean_y, k.shear, k.ka, k.kc, k.limit, k.opacity};
        for (int f = 0; f < kKernel; ++f) store(out[f], numbers[f]);
        for (int l = 0; l < lanes; ++l) {
            const int64_t at = first + l;
            S* record = records + at * stride;
            for (int f = 0; f < kKernel; ++f) record[f] = out[f][l];
            for (int f = 0; f < 3; ++f) record[kA + f] = a.conics[3 * at + f];
            const S* color = a.colors + a.channels * (own_colors ? at : at % a.count);
            for (int64_t d = 0; d < a.channels; ++d) record[kChannel0 + d] = color[d];
            if (a.with_depth) record[kChannel0 + a.channels] = a.depths[at];
        }
    };
    auto pack = [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; i += W) {
            const int lanes = int(end - i < W ? end - i : W);
            if (a.slot_start[i + lanes] > a.slot_start[i]) group(i, lanes);
        }
    };
    parallel_ranges(a.cameras * a.count, 1024, pack);
}

struct TileAt {
    int64_t camera;
    int x, y;           // of its first pixel
    int width, height;  // inside the image
};

SCTD_HD TileAt locate_tile(int64_t tile, int width, int height) {
    const int64_t across = (width + kTile - 1) / kTile, down = (height + kTile - 1) / kTile;
    TileAt t;
    t.camera = tile / (across * down);
    const int64_t in_camera = tile - t.camera * across * down;
    t.x = int(in_camera % across) * kTile, t.y = int(in_camera / across) * kTile;
    t.width = width - t.x < kTile ? width - t.x : kTile;
    t.height = height - t.y < kTile ? height - t.y : kTile;
    return t;
}

SCTD_HD int strip_index(int column, int row) { return 64 * (column / 4) + 4 * row + column % 4; }

// Pixel centres relative to the tile's corner, in strip order.
template <typename S>
struct PixelCenters {
    alignas(64) S x[kPixels], y[kPixels];
    PixelCenters() {
        for (int row = 0; row < kTile; ++row)
            for (int col = 0; col < kTile; ++col) {
                x[strip_index(col, row)] = S(col) + S(0.5);
                y[strip_index(col, row)] = S(row) + S(0.5);
            }
    }
};

template <typename S>
const PixelCenters<S>& pixel_centers() {
    static const PixelCenters<S> centers;
    return centers;
}

// Merges the bits of the strips that share one vector; the lowest of them stands for the block.
template <int W>
SCTD_HD uint64_t merge_strips(uint64_t m) {
    if (W >= 8) m |= m >> 1;
    if (W >= 16) m |= m >> 2;
    return W == 4 ? m : W == 8 ? m & 0x5555555555555555ull : m & 0x1111111111111111ull;
}

// One footprint broadcast to all lanes, and its alpha on a block of pixels.
template <typename S>
struct Broadcast {
    using V = typename Simd<S>::V;
    V mean_x, mean_y, shear, ka, kc, limit, opacity;

    SCTD_HD Broadcast(const S* record, const TileAt& t) {
        mean_x = splat<V>(record[kMeanX] - S(t.x)), mean_y = splat<V>(record[kMeanY] - S(t.y));
        shear = splat<V>(record[kShear]), ka = splat<V>(record[kKa]), kc = splat<V>(record[kKc]);
        limit = splat<V>(record[kLimit]), opacity = splat<V>(record[kOpacity]);
    }
    SCTD_HD V exponent(V dx, V dy) const {
        const V u = madd(shear, dy, dx);
        return madd(ka * u, u, kc * dy * dy);
    }
    // Opacity times the Gaussian; beyond the limit the value at the limit, which the caller masks away. e is no sum of
    // negative terms: tiles.cpp lists no footprint whose ka or kc is.
    SCTD_HD V falloff(V e) const { return opacity * exp2_neg(vmin(e, limit)); }
};

SCTD_END
