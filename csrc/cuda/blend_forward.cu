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
__device__ __forceinline__ float alpha_at(const Packed& g, float dx, float dy) {
    const float power = log2_alpha(g, dx, dy);
    const float alpha = fminf(fast_exp2(power), float(kAlphaMax));
    return power >= kDrawn ? alpha : 0;
}

// Blends two footprints into the lane's pixels; false, and nothing done, when that would finish a pixel of the warp. So the
// common loop has no branch but this one, which all lanes take together.
template <int D>
__device__ __forceinline__ bool blend_two(const Packed* g, float x, Pixel<D> (&pixel)[kPixels]) {
    float weight[2][kPixels], t[kPixels];
#pragma unroll
    for (int p = 0; p < kPixels; ++p) t[p] = pixel[p].transmittance;
#pragma unroll
    for (int i = 0; i < 2; ++i)
#pragma unroll
        for (int p = 0; p < kPixels; ++p) {
            const float alpha = alpha_at(g[i], x - g[i].mean_x, pixel[p].y - g[i].mean_y);
            weight[i][p] = alpha * t[p];
            t[p] = madd(-alpha, t[p], t[p]);  // one rounding: the backward pass divides by 1 - alpha again
        }
    // transmittance never grows: who stops at the first is below the limit after the second too
    const bool stops = t[0] <= float(kTransmittanceMin) || t[1] <= float(kTransmittanceMin);
    if (__any_sync(kFull, stops)) return false;
#pragma unroll
    for (int p = 0; p < kPixels; ++p) {
        pixel[p].add(g[0], weight[0][p]);
        pixel[p].add(g[1], weight[1][p]);
        pixel[p].transmittance = t[p];
    }
    return true;
}

// The same for one footprint that may finish pixels.
template <int D>
__device__ __forceinline__ void blend_last(const Packed& g, float x, Pixel<D> (&pixel)[kPixels]) {
#pragma unroll
    for (int p = 0; p < kPixels; ++p) {
        const float alpha = alpha_at(g, x - g.mean_x, pixel[p].y - g.mean_y), before = pixel[p].transmittance;
        const float after = madd(-alpha, before, before);
        if (after <= float(kTransmittanceMin)) {
            pixel[p].y = kFarAway, pixel[p].last = g.index;
        } else {
            pixel[p].add(g, alpha * before);
            pixel[p].transmittance = after;
        }
    }
}

template <int D>
__device__ __forceinline__ void blend_slab(const Packed* g, int n, float x, Pixel<D> (&pixel)[kPixels]) {
    while (n > 0) {    // not g < end: only of n does the compiler know that all lanes share it
        __syncwarp();  // keeps the rare path below out of the inner loop
        while (blend_two(g, x, pixel)) {
            g += 2, n -= 2;
            if (n <= 0) return;
        }
        blend_last(g[0], x, pixel);
        blend_last(g[1], x, pixel);
        g += 2, n -= 2;
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
    const SubTile s(a.width, a.height);
    Packed* slab = slabs + s.warp * kWarp;
    const int32_t begin = a.tile_start[s.tile], size = a.tile_start[s.tile + 1] - begin;
    const float x = float(s.column) + 0.5f;
    Pixel<D> pixel[kPixels];
#pragma unroll
    for (int p = 0; p < kPixels; ++p) {
        const bool inside = s.x + s.column < a.width && s.y + s.row[p] < a.height;
        pixel[p].y = inside ? float(s.row[p]) + 0.5f : kFarAway;
        pixel[p].last = size;
    }
    for (int32_t first = 0; first < size; first += kWarp) {
        const bool done = pixel[0].y == kFarAway && pixel[1].y == kFarAway;
        if (__all_sync(kFull, done)) break;
        const int32_t k = first + s.lane;
        const bool mine = k < size && (a.pair_mask[begin + k] >> s.warp & 1);
        const unsigned vote = __ballot_sync(kFull, mine);
        if (mine) {
            Packed& out = slab[place_in(vote, s.lane)];
            pack<D>(a, s, pass, a.pair_rank[begin + k], out);
            out.index = k;
        }
        const int n = __popc(vote);
        if (s.lane == n) {  // the loop takes two at a time: one that is never drawn, and no NaN in it
            slab[n] = Packed{};
            slab[n].limit = -kFarAway;
        }
        __syncwarp();
        COUNT_WARP(forward_items, n);
        blend_slab(slab, n, x, pixel);
        __syncwarp();
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
