/*
blend_forward.cpp - blend depth-sorted footprints into images, front to back.

  in   means2d [C,N,2] px  conics [C,N,3]  colors [C,N,D] or [N,D]  opacities, depths [C,N]  backgrounds [C,D] or none
       the tile lists of tiles.cpp
  out  renders [C,H,W,D(+1)]  alphas [C,H,W,1]  transmittance [C,H,W]  last [C,H,W], how far down its tile's list a pixel read

Threads over tiles, SIMD over the pixels of 4 x W/4 blocks; only blocks that the ellipse touches are visited (the pair's
mask), and blocks whose pixels are all done are struck from the mask. A finished pixel is marked by a negative
transmittance, so the state needs no extra flag.

Repeats  bit for bit, for any number of threads: a pixel belongs to one tile.
Limits   alpha under 1/255 is skipped, a pixel stops before T <= 1e-4: constants in include/common.h.
Maths    include/blend.h. Source: Kerbl et al. 2023, section 6.
*/
#include "blend_tile.h"

SCTD_BEGIN
namespace {

template <typename S>
struct ForwardState {
    S* transmittance;  // [256], negative: done
    S* color;          // [D][256]
    int32_t* last;     // [256]
    uint64_t live;     // blocks with a pixel that is not done, as merged bits
};

// At least one lane of this block stops at this footprint: one block in eight.
template <typename S, typename V, typename M>
SCTD_HD void finish_pixels(ForwardState<S>& state, int block, M stop, V before, V after, int32_t index) {
    constexpr int W = Simd<S>::W;
    int32_t* last = state.last + 4 * block;
    store(state.transmittance + 4 * block, select(stop, -before, after));
    if constexpr (sizeof(stop[0]) == sizeof *last)
        store(last, stop ? M{} + index : load<M>(last));
    else
        for (int l = 0; l < W; ++l) last[l] = stop[l] ? index : last[l];
    if (!bits(~stop & (after > V{}))) state.live &= ~(uint64_t(1) << block);
}

// D > 0: channels known at compile time; D = 0: `channels`.
template <typename S, int D>
void blend_pair(const S* record, const TileAt& tile, uint64_t blocks, int32_t index, int64_t channels,
                ForwardState<S>& state) {
    using V = typename Simd<S>::V;
    const PixelCenters<S>& centers = pixel_centers<S>();
    const Broadcast<S> g(record, tile);
    const int64_t n = D ? D : channels;
    do {
        const int block = __builtin_ctzll(blocks);
        blocks &= blocks - 1;
        const int o = 4 * block;
        const V e = g.exponent(load<V>(centers.x + o) - g.mean_x, load<V>(centers.y + o) - g.mean_y);
        const V before = load<V>(state.transmittance + o);
        const auto drawn = (e <= g.limit) & (before > V{});
        const V alpha = masked(drawn, vmin(g.falloff(e), splat<V>(S(kAlphaMax))));
        V weight = alpha * before;
        // not before - weight: that loses the digits of a nearly opaque footprint, which the backward pass divides by
        const V after = before * (splat<V>(S(1)) - alpha);
        const auto stop = (after <= splat<V>(S(kTransmittanceMin))) & drawn;
        if (__builtin_expect(bits(stop) != 0, 0)) {
            weight = masked(~stop, weight);
            finish_pixels(state, block, stop, before, after, index);
        } else {
            store(state.transmittance + o, after);
        }
        for (int64_t d = 0; d < n; ++d) {
            S* color = state.color + d * kPixels + o;
            store(color, madd(weight, splat<V>(record[kChannel0 + d]), load<V>(color)));
        }
    } while (blocks);
}

template <typename S>
void start_tile(const TileAt& tile, int32_t list_size, int64_t channels, ForwardState<S>& state) {
    for (int64_t i = 0; i < channels * kPixels; ++i) state.color[i] = S(0);
    if (tile.width == kTile && tile.height == kTile) {
        for (int i = 0; i < kPixels; ++i) state.transmittance[i] = S(1), state.last[i] = list_size;
        state.live = merge_strips<Simd<S>::W>(~uint64_t(0));
        return;
    }
    for (int i = 0; i < kPixels; ++i) state.transmittance[i] = S(-1), state.last[i] = 0;
    uint64_t strips = 0;
    for (int row = 0; row < tile.height; ++row)
        for (int col = 0; col < tile.width; ++col) {
            const int i = strip_index(col, row);
            state.transmittance[i] = S(1);
            state.last[i] = list_size;
            strips |= uint64_t(1) << (i / 4);
        }
    state.live = merge_strips<Simd<S>::W>(strips);
}

template <typename S, int D>
void write_tile(const BlendArgs<S>& a, const TileAt& tile, int64_t n, const ForwardState<S>& state) {
    const int64_t channels = D ? D : n;
    const S* background = a.backgrounds ? a.backgrounds + tile.camera * a.channels : nullptr;
    for (int row = 0; row < tile.height; ++row)
        for (int col = 0; col < tile.width; ++col) {
            const int i = strip_index(col, row);
            const int64_t pixel = (tile.camera * a.height + tile.y + row) * a.width + tile.x + col;
            const S t = state.transmittance[i] < 0 ? -state.transmittance[i] : state.transmittance[i];
            a.transmittance[pixel] = t;
            a.alphas[pixel] = 1 - t;
            a.last[pixel] = state.last[i];
            S* out = a.renders + pixel * channels;
            for (int64_t d = 0; d < channels; ++d) out[d] = state.color[d * kPixels + i];
            if (background)
                for (int64_t d = 0; d < a.channels; ++d) out[d] = madd(t, background[d], out[d]);
        }
}

template <typename S, int D>
void forward_tile(const BlendArgs<S>& a, const S* records, int64_t index, S* color) {
    alignas(64) S transmittance[kPixels];
    alignas(64) int32_t last[kPixels];
    const int64_t channels = total_channels(a), stride = record_stride(channels);
    const TileAt tile = locate_tile(index, a.width, a.height);
    const int32_t begin = a.tile_start[index], end = a.tile_start[index + 1];
    ForwardState<S> state{transmittance, color, last, 0};
    start_tile(tile, end - begin, channels, state);
    for (int32_t k = begin; k < end && state.live; ++k) {
        if (k + 8 < end) __builtin_prefetch(records + a.pair_index[k + 8] * stride);
        const uint64_t blocks = merge_strips<Simd<S>::W>(uint64_t(a.pair_mask[k])) & state.live;
        if (blocks)
            blend_pair<S, D>(records + a.pair_index[k] * stride, tile, blocks, k - begin, channels, state);
    }
    write_tile<S, D>(a, tile, channels, state);
}

template <typename S, int D>
void forward_tiles(const BlendArgs<S>& a, const S* records, int64_t tiles) {
    auto work = [&](ptrdiff_t tile) {
        if (D) {
            alignas(64) S color[(D ? D : 1) * kPixels];
            forward_tile<S, D>(a, records, tile, color);
        } else {
            Scratch<S> color(total_channels(a) * kPixels);
            forward_tile<S, D>(a, records, tile, color.data());
        }
    };
    parallel_for(tiles, work);
}

template <typename S>
void blend_forward(const BlendArgs<S>& a) {
    const int64_t across = (a.width + kTile - 1) / kTile, down = (a.height + kTile - 1) / kTile;
    const int64_t channels = total_channels(a);
    Scratch<S> records(a.cameras * a.count * record_stride(channels));
    pack_records(a, records.data());
    const int64_t tiles = a.cameras * across * down;
    switch (channels) {
        case 1: return forward_tiles<S, 1>(a, records.data(), tiles);
        case 3: return forward_tiles<S, 3>(a, records.data(), tiles);
        case 4: return forward_tiles<S, 4>(a, records.data(), tiles);
        default: return forward_tiles<S, 0>(a, records.data(), tiles);
    }
}

}  // namespace

void set_blend(Kernels<float>& f, Kernels<double>& d) {
    f.blend_forward = blend_forward<float>, d.blend_forward = blend_forward<double>;
}

SCTD_END
