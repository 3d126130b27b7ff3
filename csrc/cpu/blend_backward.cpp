/*
blend_backward.cpp - the gradient of blend_forward.cpp.

  in   as the forward pass, its transmittance [C,H,W] and last [C,H,W], gradients of renders [C,H,W,D(+1)] and alphas
  out  gradients of means2d [C,N,2], conics [C,N,3], colors, opacities, depths [C,N], backgrounds [C,D]; optionally the sum
       over the pixels of |gradient of means2d|

A tile walks its list back to front. With T the transmittance in front of a footprint, c its colour, g the pixel's gradient,
and B what lies behind it (sum of weight * (c . g), plus T_end * (background . g - g_alpha)):
    dL/dalpha = T (c . g) - B / (1 - alpha)
T is recovered by division. One number per pixel, B, replaces the colours behind. Per pair the pixels' contributions are
summed in registers: six moments (include/blend.h) and the channels, reduced once, written to the pair's own record. A second
pass adds a Gaussian's records in the order of its slots; pairs that no pixel reached have none.

Repeats  bit for bit, for any number of threads.
*/
#include "blend_tile.h"

#include <cstring>

SCTD_BEGIN
namespace {

constexpr int kMoments = 6;

constexpr int64_t kUsual = 12;  // the stride with 3 or 4 channels

// Results of the pass over the tiles for the pass over the Gaussians: `stride` numbers a pair, of which the first `size` count.
// Whole vectors are read, so there is room for one behind the last record.
template <typename S>
struct Partials {
    int64_t size, stride;
    S* sums;
    uint8_t* used;  // a byte a pair; zero: its record was never written

    static int64_t size_of(const BlendArgs<S>& a) {
        return kMoments + total_channels(a) + (a.absgrad ? 2 : 0);
    }
    static int64_t stride_of(const BlendArgs<S>& a) { return (size_of(a) + 3) / 4 * 4; }
};

template <typename S>
struct BackwardState {
    alignas(64) S transmittance[kPixels];  // behind the current footprint
    alignas(64) S behind[kPixels];         // B
    alignas(64) S last[kPixels];           // list index, as a number of type S so that lanes compare directly
    S* g;                                  // [D][256]
    int32_t block_last[64];                // largest `last` in each block
    uint64_t alive;                        // blocks with block_last > k
    int32_t next;                          // largest block_last among the others
};

template <typename S>
void wake_blocks(BackwardState<S>& state, int32_t k) {
    state.alive = 0;
    state.next = 0;
    for (int b = 0; b < 64; b += Simd<S>::W / 4) {
        if (state.block_last[b] > k)
            state.alive |= uint64_t(1) << b;
        else if (state.block_last[b] > state.next)
            state.next = state.block_last[b];
    }
}

// Input of start_tile for one pixel.
template <typename S>
struct PixelInputs {
    alignas(64) S g_alpha[kPixels];
    alignas(64) int32_t last[kPixels];
};

// Pixels col .. col + n of a row, which lie in one strip.
template <typename S>
SCTD_HD void read_pixels(const BlendArgs<S>& a, int64_t pixel, int i, int n, int64_t channels,
                         BackwardState<S>& state, PixelInputs<S>& in) {
    for (int k = 0; k < n; ++k) {
        state.transmittance[i + k] = a.transmittance[pixel + k];
        in.last[i + k] = a.last[pixel + k];
        in.g_alpha[i + k] = a.g_alphas ? a.g_alphas[pixel + k] : S(0);
        for (int64_t d = 0; d < channels; ++d)
            state.g[d * kPixels + i + k] = a.g_renders[(pixel + k) * channels + d];
    }
}

// Reads the tile's gradients; adds the background's own gradient to g_background [D] (double) when asked for.
template <typename S, int D>
int32_t start_tile(const BlendArgs<S>& a, const TileAt& tile, int64_t all_channels, BackwardState<S>& state,
                   double* g_background) {
    using V = typename Simd<S>::V;
    constexpr int W = Simd<S>::W;
    const int64_t channels = D ? D : all_channels;
    const S* background = a.backgrounds ? a.backgrounds + tile.camera * a.channels : nullptr;
    PixelInputs<S> in;
    if (tile.width < kTile || tile.height < kTile) {
        for (int i = 0; i < kPixels; ++i) state.transmittance[i] = S(1), in.last[i] = 0, in.g_alpha[i] = S(0);
        for (int64_t i = 0; i < channels * kPixels; ++i) state.g[i] = S(0);
    }
    for (int row = 0; row < tile.height; ++row) {
        const int64_t pixel = (tile.camera * a.height + tile.y + row) * a.width + tile.x;
        int col = 0;
        for (; col + 4 <= tile.width; col += 4)
            read_pixels(a, pixel + col, strip_index(col, row), 4, channels, state, in);
        read_pixels(a, pixel + col, strip_index(col, row), tile.width - col, channels, state, in);
    }
    int32_t longest = 0;
    V sums[D ? D : 1] = {};
    for (int i = 0; i < kPixels; i += W) {
        const V t = load<V>(state.transmittance + i);
        V behind = -load<V>(in.g_alpha + i);
        for (int64_t d = 0; background && d < a.channels; ++d) {
            const V g = load<V>(state.g + d * kPixels + i);
            behind = madd(g, splat<V>(background[d]), behind);
            if (D)
                sums[D ? d : 0] = madd(t, g, sums[D ? d : 0]);
            else if (g_background)
                g_background[d] += double(hsum(t * g));
        }
        store(state.behind + i, t * behind);
        int32_t block = 0;
        for (int l = 0; l < W; ++l) {
            state.last[i + l] = S(in.last[i + l]);
            block = in.last[i + l] > block ? in.last[i + l] : block;
        }
        state.block_last[i / 4] = block;
        longest = block > longest ? block : longest;
    }
    if (D && background && g_background)
        for (int64_t d = 0; d < a.channels; ++d) g_background[d] += double(hsum(sums[D ? d : 0]));
    return longest;
}

template <typename S, int D, bool Abs>
void backward_pair(const S* record, const TileAt& tile, uint64_t blocks, int32_t index, int64_t channels,
                   BackwardState<S>& state, S* out) {
    using V = typename Simd<S>::V;
    const PixelCenters<S>& centers = pixel_centers<S>();
    const Broadcast<S> g(record, tile);
    const int64_t n = D ? D : channels;
    const V k = splat<V>(S(index)), one = splat<V>(S(1)), most = splat<V>(S(kAlphaMax));
    V sums[kMoments + D] = {}, abs_x{}, abs_y{};
    if (!D)
        for (int64_t d = 0; d < n; ++d) out[kMoments + d] = S(0);
    do {
        const int block = __builtin_ctzll(blocks);
        blocks &= blocks - 1;
        const int o = 4 * block;
        const V dx = load<V>(centers.x + o) - g.mean_x, dy = load<V>(centers.y + o) - g.mean_y;
        const V e = g.exponent(dx, dy);
        const auto drawn = (e <= g.limit) & (k < load<V>(state.last + o));
        const V falloff = g.falloff(e);
        const V alpha = masked(drawn, vmin(falloff, most));
        const V inverse = one / (one - alpha);
        const V front = load<V>(state.transmittance + o) * inverse;
        const V weight = alpha * front;
        const V behind = load<V>(state.behind + o);
        V cg{};
        for (int64_t d = 0; d < n; ++d) {
            const V gd = load<V>(state.g + d * kPixels + o);
            cg = madd(splat<V>(record[kChannel0 + d]), gd, cg);
            if (D)
                sums[D ? kMoments + d : 0] = madd(weight, gd, sums[D ? kMoments + d : 0]);
            else
                out[kMoments + d] += hsum(weight * gd);
        }
        store(state.transmittance + o, front);
        store(state.behind + o, madd(weight, cg, behind));
        // at the cap alpha no longer depends on anything
        const V v = masked(falloff <= most, alpha) * (front * cg - behind * inverse);
        const V vx = v * dx, vy = v * dy;
        sums[0] += v, sums[1] += vx, sums[2] += vy;
        sums[3] = madd(vx, dx, sums[3]), sums[4] = madd(vx, dy, sums[4]), sums[5] = madd(vy, dy, sums[5]);
        if (Abs) {
            abs_x += vabs(record[kA] * vx + record[kB] * vy);
            abs_y += vabs(record[kB] * vx + record[kC] * vy);
        }
    } while (blocks);
    hsum_all<S>(sums, out);
    if (Abs) out[kMoments + n] = hsum(abs_x), out[kMoments + n + 1] = hsum(abs_y);
}

template <typename S, int D, bool Abs>
void backward_tile(const BlendArgs<S>& a, const S* records, int64_t index, S* g, const Partials<S>& partial,
                   double* g_background) {
    const int64_t channels = total_channels(a), stride = record_stride(channels);
    const TileAt tile = locate_tile(index, a.width, a.height);
    const int32_t begin = a.tile_start[index], end = a.tile_start[index + 1];
    BackwardState<S> state;
    state.g = g;
    const int32_t longest = start_tile<S, D>(a, tile, channels, state, g_background);
    memset(partial.used + begin, 0, size_t(end - begin));
    state.alive = 0, state.next = longest;
    for (int32_t k = begin + longest - 1; k >= begin; --k) {
        if (k - begin < state.next) wake_blocks(state, k - begin);
        if (k - 8 >= begin) __builtin_prefetch(records + a.pair_index[k - 8] * stride);
        const uint64_t blocks = merge_strips<Simd<S>::W>(uint64_t(a.pair_mask[k])) & state.alive;
        if (!blocks) continue;
        backward_pair<S, D, Abs>(records + a.pair_index[k] * stride, tile, blocks, k - begin, channels, state,
                                 partial.sums + k * partial.stride);
        partial.used[k] = 1;
    }
}

template <typename S, int D, bool Abs>
void backward_tiles(const BlendArgs<S>& a, const S* records, int64_t tiles, const Partials<S>& partial,
                    double* g_backgrounds) {
    const int64_t channels = total_channels(a);
    auto work = [&](ptrdiff_t tile) {
        double* background = g_backgrounds ? g_backgrounds + tile * a.channels : nullptr;
        for (int64_t d = 0; background && d < a.channels; ++d) background[d] = 0;
        if (D) {
            alignas(64) S g[(D ? D : 1) * kPixels];
            backward_tile<S, D, Abs>(a, records, tile, g, partial, background);
        } else {
            Scratch<S> g(channels * kPixels);
            backward_tile<S, D, Abs>(a, records, tile, g.data(), partial, background);
        }
    };
    parallel_for(tiles, work);
}

// sum [stride] = the records of the slots first .. past, in order; kVectors: vectors a record, 0 if not known.
template <typename S, int kVectors>
SCTD_HD void add_records(const Partials<S>& partial, const int32_t* slot_pair, int64_t first, int64_t past,
                         int64_t slots, S* sum) {
    using V = typename Simd<S>::V;
    constexpr int W = Simd<S>::W;
    alignas(64) static const S zeros[16] = {};
    V total[kVectors ? kVectors : 1] = {};
    if (!kVectors)
        for (int64_t i = 0; i < partial.stride; ++i) sum[i] = S(0);
    for (int64_t s = first; s < past; ++s) {
        const int64_t ahead = slot_pair[s + 16 < slots ? s + 16 : s], pair = slot_pair[s];
        __builtin_prefetch(partial.used[ahead] ? partial.sums + ahead * partial.stride : zeros);
        if (kVectors) {  // unused: zeros, as a branch here is hard to foresee
            const S* one = partial.used[pair] ? partial.sums + pair * partial.stride : zeros;
            for (int v = 0; v < kVectors; ++v) total[v] += load<V>(one + v * W);
        } else if (partial.used[pair]) {
            const S* one = partial.sums + pair * partial.stride;
            for (int64_t i = 0; i < partial.stride; ++i) sum[i] += one[i];
        }
    }
    for (int v = 0; v < kVectors; ++v) store(sum + v * W, total[v]);
}

// Turns a Gaussian's moments into gradients. Writes every Gaussian: zeros where nothing was seen.
template <typename S, int kVectors>
void reduce_slots(const BlendArgs<S>& a, const Partials<S>& partial, S* g_colors) {
    const int64_t channels = total_channels(a), slots = a.slot_start[a.cameras * a.count];
    auto work = [&](int64_t begin, int64_t end) {
        Scratch<S> total(partial.stride + 16);
        S* sum = total.data();
        for (int64_t at = begin; at < end; ++at) {
            const int64_t first = a.slot_start[at], past = a.slot_start[at + 1];
            add_records<S, kVectors>(partial, a.slot_pair, first, past, slots, sum);
            S g[6] = {};
            if (first < past) {
                const S* conic = a.conics + 3 * at;
                moments_to_gradient(conic[0], conic[1], conic[2], a.opacities[at], sum, g);
            }
            a.g_means2d[2 * at] = g[0], a.g_means2d[2 * at + 1] = g[1];
            for (int k = 0; k < 3; ++k) a.g_conics[3 * at + k] = g[2 + k];
            a.g_opacities[at] = g[5];
            for (int64_t d = 0; d < a.channels; ++d) g_colors[a.channels * at + d] = sum[kMoments + d];
            a.g_depths[at] = a.with_depth ? sum[kMoments + a.channels] : S(0);
            if (a.absgrad)
                for (int k = 0; k < 2; ++k) a.g_means2d_abs[2 * at + k] = sum[kMoments + channels + k];
        }
    };
    parallel_ranges(a.cameras * a.count, 1024, work);
}

template <typename S>
void reduce(const BlendArgs<S>& a, const Partials<S>& partial, S* g_colors) {
    if (partial.stride == kUsual)
        reduce_slots<S, (kUsual + Simd<S>::W - 1) / Simd<S>::W>(a, partial, g_colors);
    else
        reduce_slots<S, 0>(a, partial, g_colors);
}

// Colours shared by the cameras: the sum over the cameras, in order.
template <typename S>
void sum_over_cameras(const BlendArgs<S>& a, const S* per_camera) {
    const int64_t row = a.count * a.channels;
    auto work = [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            S sum = S(0);
            for (int64_t c = 0; c < a.cameras; ++c) sum += per_camera[c * row + i];
            a.g_colors[i] = sum;
        }
    };
    parallel_ranges(row, 8192, work);
}

template <typename S, int D>
void pick_abs(const BlendArgs<S>& a, const S* records, int64_t tiles, const Partials<S>& partial,
              double* g_backgrounds) {
    if (a.absgrad)
        backward_tiles<S, D, true>(a, records, tiles, partial, g_backgrounds);
    else
        backward_tiles<S, D, false>(a, records, tiles, partial, g_backgrounds);
}

template <typename S>
void blend_backward(const BlendArgs<S>& a) {
    const int64_t across = (a.width + kTile - 1) / kTile, down = (a.height + kTile - 1) / kTile;
    const int64_t channels = total_channels(a), per_camera = across * down, tiles = a.cameras * per_camera;
    const int64_t stride = Partials<S>::stride_of(a);
    Scratch<S> records(a.cameras * a.count * record_stride(channels)), sums(a.pairs * stride + 16);
    Scratch<uint8_t> used(a.pairs);
    const Partials<S> partial{Partials<S>::size_of(a), stride, sums.data(), used.data()};
    Scratch<double> g_backgrounds(a.g_backgrounds ? tiles * a.channels : 0);
    pack_records(a, records.data());
    double* background = a.g_backgrounds ? g_backgrounds.data() : nullptr;
    switch (channels) {
        case 1: pick_abs<S, 1>(a, records.data(), tiles, partial, background); break;
        case 3: pick_abs<S, 3>(a, records.data(), tiles, partial, background); break;
        case 4: pick_abs<S, 4>(a, records.data(), tiles, partial, background); break;
        default: pick_abs<S, 0>(a, records.data(), tiles, partial, background);
    }
    if (background)
        for (int64_t c = 0; c < a.cameras; ++c)
            for (int64_t d = 0; d < a.channels; ++d) {
                double sum = 0;
                for (int64_t t = 0; t < per_camera; ++t)
                    sum += background[(c * per_camera + t) * a.channels + d];
                a.g_backgrounds[c * a.channels + d] = S(sum);
            }
    if (a.colors_per_camera || a.cameras == 1) return reduce(a, partial, a.g_colors);
    Scratch<S> g_colors(a.cameras * a.count * a.channels);
    reduce(a, partial, g_colors.data());
    sum_over_cameras(a, g_colors.data());
}

}  // namespace

void set_blend_backward(Kernels<float>& f, Kernels<double>& d) {
    f.blend_backward = blend_backward<float>, d.blend_backward = blend_backward<double>;
}

SCTD_END
