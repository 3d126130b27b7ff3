/*
blend_backward.cu - the gradient of blend_forward.cu.

  in   as the forward pass, its transmittance [C,H,W] and last [C,H,W], gradients of renders [C,H,W,D(+1)] and alphas
  out  gradients of means2d [C,N,2], conics [C,N,3], colors, opacities, depths [C,N], backgrounds [C,D]; optionally the sum
       over the pixels of |gradient of means2d|

A warp walks its sub-tile's list back to front. With T the transmittance in front of a footprint, c its colour, g the pixel's
gradient and b the (colour . g) of all that lies behind it, blended, which starts as background . g - g_alpha:
    dL/dalpha = T (c . g - b),   then   b += alpha (c . g - b)
T is recovered by division; one number a pixel, b, replaces the colours behind. A lane adds its two pixels in registers: six
moments (include/blend.h) and the channels; one transposed reduction then leaves one total in each of as many lanes, which
write them with a single instruction.

Layout   blend_tile.h. Channels beyond 4 take further passes, in which everything is linear but the absolute gradient.
Repeats  by default up to the order of the additions of different sub-tiles (atomicAdd); with `deterministic` each (pair,
         sub-tile) writes sums of its own, added afterwards in slot order: bit for bit, for (pairs x 4) rows of memory.
Limits   4 GiB of sums, which the caller checks: a row is found by a 32-bit number of bytes.
Source   Kerbl et al. 2023, appendix C.
*/
#include "blend_tile.h"
#include "warp.h"

namespace sctd::cuda {
namespace {

constexpr int kBlock = 128, kMoments = 6;
constexpr int kBackgroundBlock = 256, kParts = kWarp;  // of the background's gradient

__host__ __device__ __forceinline__ int total_channels(const BlendArgs& a) {
    return a.channels + (a.with_depth ? 1 : 0);
}

// Numbers of one row of sums: moments, channels, absolute gradient.
__host__ __device__ __forceinline__ int row_size(const BlendArgs& a) {
    return kMoments + total_channels(a) + (a.absgrad ? 2 : 0);
}

template <int D>
struct Pixel {
    float y, transmittance, behind, g[D ? D : 1];  // transmittance: behind the current footprint
    int32_t last;

    __device__ __forceinline__ void read(const BlendArgs& a, const SubTile& s, Pass pass, int row) {
        const int px = s.x + s.column, py = s.y + row;
        y = float(row) + 0.5f, transmittance = 1, behind = 0, last = 0;
#pragma unroll
        for (int d = 0; d < D; ++d) g[d] = 0;
        if (px >= a.width || py >= a.height) return;
        const int64_t pixel = (int64_t(s.camera) * a.height + py) * a.width + px;
        transmittance = a.transmittance[pixel];
        last = a.last[pixel];
        float sum = pass.first == 0 ? -a.g_alphas[pixel] : 0;
#pragma unroll
        for (int d = 0; d < D; ++d) {
            const int channel = pass.first + d;
            g[d] = a.g_renders[pixel * pass.total + channel];
            if (a.backgrounds && channel < a.channels)
                sum = madd(g[d], a.backgrounds[s.camera * a.channels + channel], sum);
        }
        behind = sum;
    }
};

// A lane's sums over its pixels: v, v q, v q^2 (the column's share of p is the same for both), channels, absolute gradient
// but for its factors 2 across / log2(e) and 2 down / log2(e). `First` pixels assign, so that no sum starts with an addition
// to zero.
template <int D, bool Abs>
struct LaneSums {
    float v, vy, vyy, color[D ? D : 1], abs_x, abs_y;

    template <bool First>
    __device__ __forceinline__ void add(const Packed& g, float p, float q, float falloff, Pixel<D>& pixel) {
        const float alpha = fminf(falloff, float(kAlphaMax));
        const float inverse = fast_reciprocal(1 - alpha);
        const float front = pixel.transmittance * inverse, weight = alpha * front;
        float cg = 0;
#pragma unroll
        for (int d = 0; d < D; ++d) {
            cg = d == 0 ? g.channel[0] * pixel.g[0] : madd(g.channel[d], pixel.g[d], cg);
            color[d] = First ? weight * pixel.g[d] : madd(weight, pixel.g[d], color[d]);
        }
        // at the cap alpha no longer depends on anything
        const float contrast = cg - pixel.behind, one = (falloff <= float(kAlphaMax) ? weight : 0) * contrast;
        pixel.behind = madd(alpha, contrast, pixel.behind);
        pixel.transmittance = front;
        const float one_y = one * q;
        v = First ? one : v + one, vy = First ? one_y : vy + one_y;
        vyy = First ? one_y * q : madd(one_y, q, vyy);
        if (Abs) {
            const float x = fabsf(one * p), y = fabsf(one * madd(g.lean, p, q));
            abs_x = First ? x : abs_x + x, abs_y = First ? y : abs_y + y;
        }
    }

    // In the order of a row of sums. Moments are of `column`, across (x - mean_x), and q.
    __device__ __forceinline__ void spread(float column, float (&out)[kMoments + D + 2 * Abs]) const {
        const float vx = v * column;
        out[0] = v, out[1] = vx, out[2] = vy, out[3] = vx * column, out[4] = vy * column, out[5] = vyy;
#pragma unroll
        for (int d = 0; d < D; ++d) out[kMoments + d] = color[d];
        if constexpr (Abs) out[kMoments + D] = abs_x, out[kMoments + D + 1] = abs_y;
    }
};

__device__ __forceinline__ float* at_byte(float* base, uint32_t offset) {
    return reinterpret_cast<float*>(reinterpret_cast<char*>(base) + offset);
}

// Where in a row the total number `index` of a pass belongs.
template <int D>
__device__ __forceinline__ int place_in_row(int index, Pass pass) {
    if (index < kMoments) return index;
    return index < kMoments + D ? index + pass.first : index - D + pass.total;
}

// One footprint on the warp's pixels. Lanes that hold a total add it to its `place` (bytes) in the
// footprint's row.
template <int D, bool Abs>
__device__ __forceinline__ void backward_one(const Packed& shared, float x, Pixel<D> (&pixel)[kPixels],
                                             const Halves& halves, float* rows, int place) {
    const Packed g = shared;
    const float column = along(g, x);
    float p[kPixels], q[kPixels], power[kPixels];
    bool drawn[kPixels];
#pragma unroll
    for (int i = 0; i < kPixels; ++i) {
        power[i] = exponent(g, column, pixel[i].y, p[i], q[i]);
        drawn[i] = power[i] <= kFaintest && g.index < pixel[i].last;
    }
    if (!__any_sync(kFull, drawn[0] || drawn[1])) return;
    COUNT_WARP(backward_reductions, 1);
    float falloff[kPixels];
#pragma unroll
    for (int i = 0; i < kPixels; ++i) falloff[i] = fast_exp2(drawn[i] ? -power[i] : -HUGE_VALF);
    LaneSums<D, Abs> lane_sums;
    lane_sums.template add<true>(g, p[0], q[0], falloff[0], pixel[0]);
    lane_sums.template add<false>(g, p[1], q[1], falloff[1], pixel[1]);
    float sums[kMoments + D + 2 * Abs];
    lane_sums.spread(column, sums);
    const float total = transposed_sum(sums, halves);
    // A deterministic row is written once: 0 + total.
    if (place >= 0) atomicAdd(at_byte(rows, g.row + place), total);
}

template <int D, bool Abs>
__global__ void __launch_bounds__(kTileThreads) blend_backward_kernel(BlendArgs a, Pass pass, float* rows) {
    SHARED(Packed, slabs, kTileThreads);
    constexpr int kSums = kMoments + D + 2 * Abs;
    const SubTile s(a.width, a.height);
    const Packing packing(s);
    Packed* const slab = slabs + packing.part;
    const Channels<D> channels(a, s, pass);
    const int32_t begin = a.tile_start[s.tile], size = a.tile_start[s.tile + 1] - begin;
    const int stride = row_size(a), mine = transposed_index<kSums>(s.lane);
    const Halves halves(s.lane);
    const int place = int(opaque(mine < 0 ? kFull : 4u * place_in_row<D>(mine, pass)));
    const float x = float(s.column) + 0.5f;
    Pixel<D> pixel[kPixels];
#pragma unroll
    for (int p = 0; p < kPixels; ++p) pixel[p].read(a, s, pass, s.row[p]);
    const int32_t longest = warp_max(pixel[0].last > pixel[1].last ? pixel[0].last : pixel[1].last);
    // From the list's end, not from `longest`: the compiler must see that all lanes take the same turns.
    for (int32_t top = size - 1; top >= 0; top -= kWarp) {
        const int32_t k = top - s.lane;
        const bool touches = k >= 0 && k < longest && (a.pair_mask[begin + k] & packing.bit);
        const unsigned vote = __ballot_sync(kFull, touches);
        if (touches) {
            const int32_t index = a.pair_index[begin + k];
            Packed out = pack<D>(a.records[index], s, channels, index);
            out.index = k;
            out.row =
                uint32_t(a.deterministic ? a.pair_slot[begin + k] * kWarps + s.warp : index) * stride * 4;
            slab[packing.place(vote)] = out;
        }
        __syncwarp();
        const int n = __popc(vote);
        COUNT_WARP(backward_items, n);
        const Packed* g = slab;
        // not g < end: only of n does the compiler know that all lanes share it
        for (int left = n; left > 0; --left, ++g) backward_one<D, Abs>(*g, x, pixel, halves, rows, place);
        __syncwarp();
    }
}

// Deterministic mode: a footprint's row is the sum of its slots' rows, in order.
__global__ void add_slots_kernel(BlendArgs a, const float* slot_rows, float* rows) {
    const int64_t rank = int64_t(blockIdx.x) * kBlock + threadIdx.x;
    if (rank >= int64_t(a.cameras) * a.count) return;
    const int size = row_size(a);
    int64_t end = a.rank_start[rank + 1];
    if (end > a.pairs) end = a.pairs;
    float* const out = rows + int64_t(a.order[rank]) * size;
    for (int i = 0; i < size; ++i) {
        float sum = 0;
        for (int64_t r = int64_t(a.rank_start[rank]) * kWarps; r < end * kWarps; ++r)
            sum += slot_rows[r * size + i];
        out[i] = sum;
    }
}

__global__ void moments_to_gradients_kernel(BlendArgs a, const float* rows) {
    const int64_t at = int64_t(blockIdx.x) * kBlock + threadIdx.x;
    if (at >= int64_t(a.cameras) * a.count) return;
    const float* sum = rows + at * row_size(a);
    const float* conic = a.conics + 3 * at;
    const float opacity = a.opacities[at];
    float moments[kMoments] = {}, g[6] = {}, across = 0, down = 0;
    if (opacity > 0) {  // else: unseen
        across = a.records[at].across, down = a.records[at].down;
        const float x = 1 / across, y = 1 / down, scale[kMoments] = {1, x, y, x * x, x * y, y * y};
        for (int k = 0; k < kMoments; ++k) moments[k] = sum[k] * scale[k];
        moments_to_gradient(conic[0], conic[1], conic[2], opacity, moments, g);
    }
    a.g_means2d[2 * at] = g[0], a.g_means2d[2 * at + 1] = g[1];
    for (int k = 0; k < 3; ++k) a.g_conics[3 * at + k] = g[2 + k];
    a.g_opacities[at] = g[5];
    const float* channels = sum + kMoments;
    if (a.colors_per_camera || a.cameras == 1)
        for (int d = 0; d < a.channels; ++d) a.g_colors[a.channels * at + d] = channels[d];
    a.g_depths[at] = a.with_depth ? channels[a.channels] : 0.0f;
    if (!a.absgrad) return;
    const float* absolute = channels + total_channels(a);
    a.g_means2d_abs[2 * at] = absolute[0] * float(2 / kLog2E) * across;
    a.g_means2d_abs[2 * at + 1] = absolute[1] * float(2 / kLog2E) * down;
}

// Colours shared by the cameras: the sum over the cameras, in order.
__global__ void add_cameras_kernel(BlendArgs a, const float* rows) {
    const int64_t i = int64_t(blockIdx.x) * kBlock + threadIdx.x;
    if (i >= int64_t(a.count) * a.channels) return;
    const int64_t gaussian = i / a.channels, channel = i % a.channels;
    float sum = 0;
    for (int c = 0; c < a.cameras; ++c)
        sum += rows[(int64_t(c) * a.count + gaussian) * row_size(a) + kMoments + channel];
    a.g_colors[i] = sum;
}

// A block for each (part of the pixels, channel, camera): the part's sum of T g, in a fixed order.
__global__ void __launch_bounds__(kBackgroundBlock) background_parts_kernel(BlendArgs a, double* parts) {
    SHARED(double, per_warp, kBackgroundBlock / kWarp);
    const int channel = blockIdx.y, camera = blockIdx.z, total = total_channels(a);
    const int64_t pixels = int64_t(a.width) * a.height, base = camera * pixels;
    double sum = 0;
    for (int64_t i = int64_t(blockIdx.x) * kBackgroundBlock + threadIdx.x; i < pixels;
         i += kParts * kBackgroundBlock)
        sum += double(a.transmittance[base + i]) * double(a.g_renders[(base + i) * total + channel]);
    sum = warp_sum(sum);
    if (threadIdx.x % kWarp == 0) per_warp[threadIdx.x / kWarp] = sum;
    __syncthreads();
    if (threadIdx.x != 0) return;
    double all = 0;
    for (int w = 0; w < kBackgroundBlock / kWarp; ++w) all += per_warp[w];
    parts[(int64_t(camera) * a.channels + channel) * kParts + blockIdx.x] = all;
}

// A warp for each (camera, channel): the sum of its parts.
__global__ void background_gradient_kernel(BlendArgs a, const double* parts) {
    const double sum = warp_sum(parts[int64_t(blockIdx.x) * kParts + threadIdx.x]);
    if (threadIdx.x == 0) a.g_backgrounds[blockIdx.x] = float(sum);
}

template <int D>
void launch(const BlendArgs& a, unsigned tiles, Pass pass, float* rows, Stream stream) {
    if (a.absgrad)
        LAUNCH((blend_backward_kernel<D, true>), tiles, kTileThreads, stream, a, pass, rows);
    else
        LAUNCH((blend_backward_kernel<D, false>), tiles, kTileThreads, stream, a, pass, rows);
}

int64_t sum_rows(const BlendArgs& a) { return int64_t(a.cameras) * a.count; }
int64_t slot_rows(const BlendArgs& a) { return a.deterministic ? a.pairs * kWarps : 0; }
int64_t background_parts(const BlendArgs& a) { return int64_t(a.cameras) * a.channels * kParts; }
size_t sums_size(const BlendArgs& a) {
    return size_t(sum_rows(a) + slot_rows(a)) * row_size(a) * sizeof(float);
}

}  // namespace

size_t blend_backward_scratch(const BlendArgs& a) {
    return size_t(background_parts(a)) * sizeof(double) + sums_size(a);
}

void blend_backward(const BlendArgs& a, Stream stream) {
    const unsigned tiles =
        unsigned(a.cameras) * ((a.width + kTile - 1) / kTile) * ((a.height + kTile - 1) / kTile);
    const int total = total_channels(a);
    const int64_t n = sum_rows(a);
    double* const parts = static_cast<double*>(a.scratch);
    if (a.g_backgrounds && a.channels > 0) {
        LAUNCH(background_parts_kernel, dim3(kParts, a.channels, a.cameras), kBackgroundBlock, stream, a,
               parts);
        LAUNCH(background_gradient_kernel, unsigned(a.channels * a.cameras), kWarp, stream, a, parts);
    }
    if (n == 0) return;
    float *const rows = reinterpret_cast<float*>(parts + background_parts(a)), *const slots =
                                                                                   rows + n * row_size(a);
    fill_bytes(rows, 0, sums_size(a), stream);
    int first = 0;
    do {
        const Pass pass{first, total};
        float* const target = a.deterministic ? slots : rows;
        switch (total - first < kMaxChannels ? total - first : kMaxChannels) {
            case 0: launch<0>(a, tiles, pass, target, stream); break;
            case 1: launch<1>(a, tiles, pass, target, stream); break;
            case 2: launch<2>(a, tiles, pass, target, stream); break;
            case 3: launch<3>(a, tiles, pass, target, stream); break;
            default: launch<4>(a, tiles, pass, target, stream);
        }
        first += kMaxChannels;
    } while (first < total);
    if (a.deterministic) LAUNCH(add_slots_kernel, blocks_for(n, kBlock), kBlock, stream, a, slots, rows);
    LAUNCH(moments_to_gradients_kernel, blocks_for(n, kBlock), kBlock, stream, a, rows);
    if (!a.colors_per_camera && a.cameras > 1 && a.channels > 0)
        LAUNCH(add_cameras_kernel, blocks_for(int64_t(a.count) * a.channels, kBlock), kBlock, stream, a,
               rows);
}

}  // namespace sctd::cuda
