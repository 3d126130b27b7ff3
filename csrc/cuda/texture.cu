/*
texture.cu - bilinear lookup in a texture, and its gradient; as cpu/texture.cpp.

  in   image [H,W,D]  uv [N,2]
  out  out [N,D]; backward: g_image [H,W,D], g_uv [N,2], either may be none

The gradient of the texels is gathered: places are sorted by the first of their four texels, those without a gradient last, and a
texel adds up those that lie between it and its neighbours to the right and below, then those to the left, above, and both. No
atomics.

Layout   scratch: keys and places, before and after the sort, [N] each; where each texel's places begin, [H W + 1]; the sort's own.
Limits   2^31 - 1 places, 2^30 texels. A texel to which all places give is the work of one thread.
Repeats  bit for bit: every sum has its order.
Maths    include/texture.h.
*/
#include "device.h"
#include "primitives.h"
#include "triangles.h"

#include "../include/texture.h"

namespace sctd::cuda {
namespace {

constexpr int kBlock = 256;
constexpr int kChannels = 4;  // a texel's, a pass over its places

__device__ __forceinline__ Footprint<float> footprint_at(const TextureArgs& a, int64_t i) {
    return footprint_of(a.uv[2 * i], a.uv[2 * i + 1], a.width, a.height, a.repeat != 0);
}

// The texels of a footprint, first channel.
struct Texels {
    const float *top_left, *top_right, *low_left, *low_right;
};

__device__ __forceinline__ Texels texels_of(const TextureArgs& a, const Footprint<float>& f) {
    const float* top = a.image + int64_t(f.y0) * a.width * a.channels;
    const float* low = a.image + int64_t(f.y1) * a.width * a.channels;
    const int64_t left = int64_t(f.x0) * a.channels, right = int64_t(f.x1) * a.channels;
    return {top + left, top + right, low + left, low + right};
}

__global__ void __launch_bounds__(kBlock) texture_kernel(TextureArgs a) {
    const int64_t i = int64_t(blockIdx.x) * kBlock + threadIdx.x;
    if (i >= a.count) return;
    const Footprint<float> f = footprint_at(a, i);
    const Texels t = texels_of(a, f);
    for (int d = 0; d < a.channels; ++d) {
        const float up = t.top_left[d] + f.fx * (t.top_right[d] - t.top_left[d]);
        const float low = t.low_left[d] + f.fx * (t.low_right[d] - t.low_left[d]);
        a.out[i * a.channels + d] = up + f.fy * (low - up);
    }
}

__global__ void __launch_bounds__(kBlock) places_gradient_kernel(TextureArgs a) {
    const int64_t i = int64_t(blockIdx.x) * kBlock + threadIdx.x;
    if (i >= a.count) return;
    const Footprint<float> f = footprint_at(a, i);
    const Texels t = texels_of(a, f);
    float g_x = 0, g_y = 0;
    for (int d = 0; d < a.channels; ++d) {
        const float g = a.g_out[i * a.channels + d];
        const float across = t.top_right[d] - t.top_left[d], twist = t.low_right[d] - t.low_left[d] - across;
        g_x += g * (across + f.fy * twist);
        g_y += g * (t.low_left[d] - t.top_left[d] + f.fx * twist);
    }
    a.g_uv[2 * i] = f.moves_x ? g_x * float(a.width) : 0;
    a.g_uv[2 * i + 1] = f.moves_y ? g_y * float(a.height) : 0;
}

// The first texel of each place; of one without a gradient, texel H W: a background's pixels all read the same texel, and one
// thread would add up their zeros.
__global__ void __launch_bounds__(kBlock) place_keys_kernel(TextureArgs a, uint32_t* keys, int32_t* places) {
    const int64_t i = int64_t(blockIdx.x) * kBlock + threadIdx.x;
    if (i >= a.count) return;
    const Footprint<float> f = footprint_at(a, i);
    bool gives = !(f.fx >= 0 && f.fy >= 0);  // no number: shows in the sum, whatever its gradient
    for (int d = 0; d < a.channels && !gives; ++d) gives = a.g_out[i * a.channels + d] != 0;
    const uint32_t texel = uint32_t(f.y0) * uint32_t(a.width) + uint32_t(f.x0);
    keys[i] = gives ? texel : uint32_t(a.width) * uint32_t(a.height);
    places[i] = int32_t(i);
}

// Where the places of each texel begin among the sorted ones; texel H W: how many have a gradient.
__global__ void __launch_bounds__(kBlock)
    place_starts_kernel(const uint32_t* keys, int count, int64_t texels, int32_t* starts) {
    const int64_t texel = int64_t(blockIdx.x) * kBlock + threadIdx.x;
    if (texel > texels) return;
    int low = 0, high = count;
    while (low < high) {
        const int middle = low + (high - low) / 2;
        if (keys[middle] < uint32_t(texel))
            low = middle + 1;
        else
            high = middle;
    }
    starts[texel] = low;
}

__global__ void __launch_bounds__(kBlock)
    texels_gradient_kernel(TextureArgs a, const int32_t* starts, const int32_t* places) {
    const int64_t texel = int64_t(blockIdx.x) * kBlock + threadIdx.x;
    if (texel >= int64_t(a.width) * a.height) return;
    const int x = int(texel % a.width), y = int(texel / a.width);
    for (int first = 0; first < a.channels; first += kChannels) {
        float sums[kChannels] = {};
        for (int side = 0; side < 4; ++side) {  // this texel is the left or right, the top or low one
            const bool right = side & 1, low = side & 2;
            const int from_x = !right ? x : x ? x - 1 : a.repeat ? a.width - 1 : -1;
            const int from_y = !low ? y : y ? y - 1 : a.repeat ? a.height - 1 : -1;
            if (from_x < 0 || from_y < 0) continue;
            const int64_t from = int64_t(from_y) * a.width + from_x;
            for (int32_t k = starts[from]; k < starts[from + 1]; ++k) {
                const int64_t i = places[k];
                const Footprint<float> f = footprint_at(a, i);
                if ((right && f.x1 != x) || (low && f.y1 != y)) continue;  // a place that is no number
                const float share = (right ? f.fx : 1 - f.fx) * (low ? f.fy : 1 - f.fy);
                for (int d = 0; d < kChannels; ++d)
                    if (first + d < a.channels) sums[d] += share * a.g_out[i * a.channels + first + d];
            }
        }
        for (int d = 0; d < kChannels; ++d)
            if (first + d < a.channels) a.g_image[texel * a.channels + first + d] = sums[d];
    }
}

int bits_for(int64_t values) {
    int bits = 1;
    while (int64_t(1) << bits < values) ++bits;
    return bits;
}

struct Scratch {
    size_t list, starts, sort;  // bytes
    Scratch(int count, int width, int height) {
        list = (size_t(count) * 4 + 15) / 16 * 16;
        starts = ((size_t(width) * height + 1) * 4 + 15) / 16 * 16;
        sort = radix_sort_pairs_scratch(count);
    }
};

}  // namespace

void texture(const TextureArgs& a, Stream stream) {
    if (a.count) LAUNCH(texture_kernel, blocks_for(a.count, kBlock), kBlock, stream, a);
}

size_t texture_backward_scratch(int count, int width, int height) {
    const Scratch s(count, width, height);
    return 4 * s.list + s.starts + s.sort;
}

void texture_backward(const TextureArgs& a, Stream stream) {
    const unsigned blocks = blocks_for(a.count, kBlock);
    const int64_t texels = int64_t(a.width) * a.height;
    if (a.g_uv && blocks) LAUNCH(places_gradient_kernel, blocks, kBlock, stream, a);
    if (!a.g_image) return;
    const Scratch s(a.count, a.width, a.height);
    char* at = static_cast<char*>(a.scratch);
    uint32_t *keys = reinterpret_cast<uint32_t*>(at), *sorted_keys = reinterpret_cast<uint32_t*>(at + s.list);
    int32_t *places = reinterpret_cast<int32_t*>(at + 2 * s.list),
            *sorted = reinterpret_cast<int32_t*>(at + 3 * s.list);
    int32_t* starts = reinterpret_cast<int32_t*>(at + 4 * s.list);
    if (blocks) {
        LAUNCH(place_keys_kernel, blocks, kBlock, stream, a, keys, places);
        radix_sort_pairs(at + 4 * s.list + s.starts, s.sort, keys, sorted_keys, places, sorted, a.count,
                         bits_for(texels + 1), stream);
    }
    LAUNCH(place_starts_kernel, blocks_for(texels + 1, kBlock), kBlock, stream, sorted_keys, a.count, texels,
           starts);
    LAUNCH(texels_gradient_kernel, blocks_for(texels, kBlock), kBlock, stream, a, starts, sorted);
}

}  // namespace sctd::cuda
