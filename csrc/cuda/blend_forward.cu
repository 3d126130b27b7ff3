/*
blend_forward.cu - blend depth-sorted footprints into images, front to back.

  in   means2d [C,N,2] px  conics [C,N,3]  colors [C,N,D] or [N,D]  opacities, depths [C,N]  backgrounds [C,D] or none
       the tile lists of tiles.cu
  out  renders [C,H,W,D(+1)]  alphas [C,H,W,1]  transmittance [C,H,W]  last [C,H,W], how far down its tile's list a pixel read

Layout   blend_tile.h. Up to 4 channels a pass; a further pass repeats the same decisions for the next channels.
Limits   alpha under 1/255 is skipped, a pixel stops before T <= 1e-4: constants in include/common.h.
Repeats  bit for bit.
Source   Kerbl et al. 2023, section 6; exponent in base 2 with the opacity inside it, tested before it is evaluated.
*/
#include "blend_tile.h"

namespace sctd::cuda {
namespace {

template <int D>
struct Pixel {
    float y, transmittance = 1, color[D ? D : 1] = {};
    int32_t last;

    __device__ __forceinline__ void add(const Packed& g, float weight) {
#pragma unroll
        for (int d = 0; d < D; ++d) color[d] = madd(weight, g.channel[d], color[d]);
    }
};

// Alpha of a footprint at a pixel, 0 where it is not drawn.
__device__ __forceinline__ float alpha_at(const Packed& g, float column, float y) {
    float p, q;
    const float power = exponent(g, column, y, p, q);
    const float alpha = fminf(fast_exp2(-power), float(kAlphaMax));
    return power <= kFaintest ? alpha : 0;
}

// Blends one footprint of this alpha at the lane's pixels, which may finish them. Without branches: lanes would part.
template <int D>
__device__ __forceinline__ void blend_one(const Packed& g, const float (&alpha)[kPixels],
                                          Pixel<D> (&pixel)[kPixels]) {
#pragma unroll
    for (int p = 0; p < kPixels; ++p) {
        const float drawn = pixel[p].y == kFarAway ? 0 : alpha[p];  // the one before may have finished it
        const float before = pixel[p].transmittance, after = madd(-drawn, before, before);
        const bool stops = after <= float(kTransmittanceMin);
        pixel[p].add(g, stops ? 0 : drawn * before);
        pixel[p].transmittance = stops ? before : after;
        pixel[p].y = stops ? kFarAway : pixel[p].y;
        pixel[p].last = stops ? g.index : pixel[p].last;
    }
}

// Two footprints at the lane's pixels: their alphas, their weights and the transmittance behind them.
struct Two {
    float alpha[2][kPixels], weight[2][kPixels], t[kPixels];

    template <int D>
    __device__ __forceinline__ Two(const Packed (&g)[2], float x, const Pixel<D> (&pixel)[kPixels]) {
#pragma unroll
        for (int p = 0; p < kPixels; ++p) t[p] = pixel[p].transmittance;
#pragma unroll
        for (int i = 0; i < 2; ++i) {
            const float column = along(g[i], x);
#pragma unroll
            for (int p = 0; p < kPixels; ++p) {
                alpha[i][p] = alpha_at(g[i], column, pixel[p].y);
                weight[i][p] = alpha[i][p] * t[p];
                t[p] = madd(-alpha[i][p], t[p],
                            t[p]);  // one rounding: the backward pass divides by 1 - alpha again
            }
        }
    }
    // Whether they finish a pixel. Transmittance never grows: who stops at the first is below the limit after the second too.
    __device__ __forceinline__ bool stop() const { return fminf(t[0], t[1]) <= float(kTransmittanceMin); }
};

// Blends footprints into the lane's pixels, two at a time; an odd number is padded with one that is never drawn. True when every
// pixel of the warp is done. The inner loop has two branches, and all lanes take them together: one leaves the loop where two
// footprints would finish a pixel of the warp, the other ends it.
template <int D>
__device__ __forceinline__ bool blend_slab(const Packed* g, const Packed* end, float x,
                                           Pixel<D> (&pixel)[kPixels]) {
    if (g >= end) return false;
    for (;;) {
        __syncwarp();  // keeps the rare path below out of the inner loop
        for (;;) {
            const Packed pair[2] = {g[0], g[1]};
            const Two two(pair, x, pixel);
            if (__any_sync(kFull, two.stop())) {
                blend_one(g[0], two.alpha[0], pixel);
                blend_one(g[1], two.alpha[1], pixel);
                break;
            }
#pragma unroll
            for (int p = 0; p < kPixels; ++p) {
                pixel[p].add(pair[0], two.weight[0][p]);
                pixel[p].add(pair[1], two.weight[1][p]);
                pixel[p].transmittance = two.t[p];
            }
            g += 2;
            if (g >= end) return false;
        }
        const bool finished = pixel[0].y == kFarAway && pixel[1].y == kFarAway;
        if (__all_sync(kFull, finished)) return true;
        g += 2;
        if (g >= end) return false;
    }
}

template <int D>
__device__ __forceinline__ void store(const BlendArgs& a, const SubTile& s, Pass pass, const Pixel<D>& p,
                                      int row) {
    const int x = s.x + s.column, y = s.y + row;
    if (x >= a.width || y >= a.height) return;
    const int64_t pixel = (int64_t(s.camera) * a.height + y) * a.width + x;
    if (pass.first == 0) {
        a.transmittance[pixel] = p.transmittance;
        a.alphas[pixel] = 1 - p.transmittance;
        a.last[pixel] = p.last;
    }
#pragma unroll
    for (int d = 0; d < D; ++d) {
        const int channel = pass.first + d;
        const bool lit = a.backgrounds && channel < a.channels;
        a.renders[pixel * pass.total + channel] =
            lit ? madd(p.transmittance, a.backgrounds[s.camera * a.channels + channel], p.color[d])
                : p.color[d];
    }
}

template <int D>
__global__ void __launch_bounds__(kTileThreads) blend_forward_kernel(BlendArgs a, Pass pass) {
    SHARED(Packed, slabs, kTileThreads);
    SHARED(int32_t, lists, 2 * kTileThreads);
    const SubTile s(a.width, a.height);
    const Packing packing(s);
    const Channels<D> channels(a, s, pass);
    const int32_t begin = a.tile_start[s.tile], size = a.tile_start[s.tile + 1] - begin;
    const float x = float(s.column) + 0.5f;
    Pixel<D> pixel[kPixels];
#pragma unroll
    for (int p = 0; p < kPixels; ++p) {
        const bool inside = s.x + s.column < a.width && s.y + s.row[p] < a.height;
        pixel[p].y = inside ? float(s.row[p]) + 0.5f : kFarAway;
        pixel[p].last = size;
    }
    Packed* const slab = slabs + packing.part;
    int32_t* const list = lists + 2 * packing.part;  // pairs that wait: they touch the sub-tile
    int waiting = 0;
    for (int32_t next = 0; next < size || waiting > 0;) {
        for (; next < size && waiting < kWarp; next += kWarp) {
            const int32_t k = next + s.lane;
            const bool touches = k < size && (a.pair_mask[begin + k] & packing.bit);
            const unsigned vote = __ballot_sync(kFull, touches);
            if (touches) list[waiting + packing.place(vote)] = k;
            waiting += __popc(vote);
        }
        __syncwarp();
        const int n = waiting < kWarp ? waiting : kWarp;
        const bool stays = kWarp + s.lane < waiting;
        const int32_t kept = stays ? list[kWarp + s.lane] : 0;
        if (s.lane < n) {
            const int32_t k = list[s.lane], index = a.pair_index[begin + k];
            Packed out = pack<D>(a.records[index], s, channels, index);
            out.index = k;
            slab[s.lane] = out;
        } else if (s.lane == n) {  // the loop takes two at a time: one that is never drawn, and no NaN in it
            Packed none{};
            none.faint = kFarAway;
            slab[n] = none;
        }
        __syncwarp();
        if (stays) list[s.lane] = kept;
        waiting -= n;
        COUNT_WARP(forward_items, n);
        if (blend_slab(slab, slab + n, x, pixel)) break;
    }
#pragma unroll
    for (int p = 0; p < kPixels; ++p) store<D>(a, s, pass, pixel[p], s.row[p]);
}

template <int D>
void launch(const BlendArgs& a, unsigned tiles, Pass pass, Stream stream) {
    LAUNCH(blend_forward_kernel<D>, tiles, kTileThreads, stream, a, pass);
}

}  // namespace

void blend_forward(const BlendArgs& a, Stream stream) {
    const unsigned tiles =
        unsigned(a.cameras) * ((a.width + kTile - 1) / kTile) * ((a.height + kTile - 1) / kTile);
    const int total = a.channels + (a.with_depth ? 1 : 0);
    int first = 0;
    do {
        const Pass pass{first, total};
        switch (total - first < kMaxChannels ? total - first : kMaxChannels) {
            case 0: launch<0>(a, tiles, pass, stream); break;
            case 1: launch<1>(a, tiles, pass, stream); break;
            case 2: launch<2>(a, tiles, pass, stream); break;
            case 3: launch<3>(a, tiles, pass, stream); break;
            default: launch<4>(a, tiles, pass, stream);
        }
        first += kMaxChannels;
    } while (first < total);
}

}  // namespace sctd::cuda
