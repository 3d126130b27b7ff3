/*
tiles.cpp - which footprint touches which 16 x 16 tile, front to back.

  in   means2d [C,N,2]  conics [C,N,3]  opacities, depths [C,N]  radii [C,N,2]
  out  TileLists (kernels.h): ranks in depth order, and per (tile, rank) the 4 x 1 pixel strips touched

1 depth sort, once per camera (radix on the bits of the depth; equal depths keep the Gaussians' order)
2 box of tiles of each rank, which bounds its number of pairs and so gives every rank its place to write
3 exact test: the span of the ellipse along each of a tile row's 16 pixel rows, against every 4 x 1 strip
tiles_write (tiles_write.cpp) then sorts the pairs by tile, which is one stable counting sort.

Limits   2^31 - 1 pairs.
Maths    include/ellipse.h.
*/
#include "simd.h"  // first: the formulas below are instantiated with its vectors

#include "../include/ellipse.h"
#include "kernels.h"
#include "threads.h"

#include <cstring>

SCTD_BEGIN
namespace {

SCTD_HD uint32_t depth_key(float depth) {
    uint32_t b;
    memcpy(&b, &depth, sizeof b);
    return b & 0x80000000u ? ~b : b | 0x80000000u;  // orders negative floats too
}

SCTD_HD uint64_t depth_key(double depth) {
    uint64_t b;
    memcpy(&b, &depth, sizeof b);
    return b & (uint64_t(1) << 63) ? ~b : b | (uint64_t(1) << 63);
}

template <typename K>
struct Entry {
    K key;
    int32_t index;
};

// Stable least-significant-digit radix sort, 11 bits a pass; a pass whose digit never differs is skipped.
template <typename K>
Entry<K>* radix_sort(Entry<K>* from, Entry<K>* to, int64_t n) {
    constexpr int kBits = 11, kBins = 1 << kBits;
    for (int shift = 0; shift < int(8 * sizeof(K)); shift += kBits) {
        uint32_t start[kBins] = {};
        for (int64_t i = 0; i < n; ++i) ++start[(from[i].key >> shift) & (kBins - 1)];
        if (n && start[(from[0].key >> shift) & (kBins - 1)] == uint64_t(n)) continue;
        uint32_t sum = 0;
        for (int b = 0; b < kBins; ++b) {
            const uint32_t size = start[b];
            start[b] = sum;
            sum += size;
        }
        for (int64_t i = 0; i < n; ++i) to[start[(from[i].key >> shift) & (kBins - 1)]++] = from[i];
        Entry<K>* t = from;
        from = to, to = t;
    }
    return from;
}

// Fills lists.order; returns how many are visible.
template <typename S>
int64_t sort_by_depth(const TilesArgs<S>& a, TileLists& lists) {
    using K = decltype(depth_key(S(0)));
    const int64_t total = a.cameras * a.count;
    Scratch<Entry<K>> first(total), second(total);
    Scratch<int64_t> seen(a.cameras + 1);
    Scratch<Entry<K>*> sorted(a.cameras + 1);
    auto one_camera = [&](ptrdiff_t c) {
        Entry<K>* entries = first.data() + c * a.count;
        int64_t n = 0;
        for (int64_t i = 0; i < a.count; ++i) {
            const int64_t at = c * a.count + i;
            if (a.radii[2 * at] > 0) entries[n++] = {depth_key(a.depths[at]), int32_t(at)};
        }
        seen[c] = n;
        sorted[c] = radix_sort(entries, second.data() + c * a.count, n);
    };
    parallel_for(a.cameras, one_camera);
    int64_t visible = 0;
    lists.order.resize(total);
    for (int64_t c = 0; c < a.cameras; ++c)
        for (int64_t k = 0; k < seen[c]; ++k) lists.order[visible++] = sorted[c][k].index;
    return visible;
}

struct TileBox {
    int32_t x0, x1, y0, y1;  // half open
};

SCTD_HD int clamp_tile(double pixel, int tiles) {
    const double t = ::floor(pixel / kTile);
    return t < 0 ? 0 : (t > tiles ? tiles : int(t));
}

template <typename S>
RowSpan<S> row_span(const TilesArgs<S>& a, int64_t at) {
    const S* k = a.conics + 3 * at;
    return make_row_span(a.means2d[2 * at], a.means2d[2 * at + 1], k[0], k[1], k[2], ellipse_reach(a.opacities[at]));
}

template <typename S>
TileBox tile_box(const TilesArgs<S>& a, int64_t at, int tiles_x, int tiles_y) {
    const RowSpan<S> e = row_span(a, at);
    const S* k = a.conics + 3 * at;
    const S half_width = vsqrt(ellipse_reach(a.opacities[at]) / (k[0] - k[1] * k[1] / k[2])) * S(1 + kSpanSlack) +
                         S(kSpanMargin);
    if (!(e.half_height >= 0) || !(half_width >= 0)) return {0, 0, 0, 0};  // NaN: not an ellipse
    // A pixel's centre must be inside, so the box shrinks by half a pixel on each side.
    const double mx = double(e.mean_x) - 0.5, my = double(e.mean_y) - 0.5;
    return {clamp_tile(::ceil(mx - half_width), tiles_x), clamp_tile(::floor(mx + half_width) + kTile, tiles_x),
            clamp_tile(::ceil(my - e.half_height), tiles_y), clamp_tile(::floor(my + e.half_height) + kTile, tiles_y)};
}

// First and last pixel column (as numbers) that the ellipse covers in each of a tile row's 16 rows.
template <typename S>
void row_extents(const RowSpan<S>& e, int tile_y, int width, int height, S first[kTile], S last[kTile]) {
    using V = typename Simd<S>::V;
    constexpr int W = Simd<S>::W;
    static const struct Ramp {
        S at[kTile];
        Ramp() {
            for (int i = 0; i < kTile; ++i) at[i] = S(i) + S(0.5);
        }
    } ramp;
    const S magic = sizeof(S) == 4 ? S(12582912.0) : S(6755399441055744.0);  // 1.5 * 2^(mantissa bits): rounds to integer
    for (int i = 0; i < kTile; i += W) {
        const V y = load<V>(ramp.at + i) + S(tile_y * kTile);
        const V dy = y - e.mean_y;
        const V h = e.h0 - e.h2 * dy * dy;
        const V half = vsqrt(vmax(h, V{})) * S(1 + kSpanSlack) + S(kSpanMargin);
        const V center = e.mean_x - e.shear * dy;
        // a centre i + 0.5 >= lo means i >= round(lo), <= hi means i <= round(hi) - 1; the margin covers the ties
        const V lo = vmax(center - half, V{}), hi = vmin(center + half, splat<V>(S(width)));
        const auto outside = ~((h >= S(-kSpanSlack) * e.h0) & (y < S(height)));
        const V rounded = (vmin(lo, splat<V>(S(width))) + magic) - magic;
        store(first + i, select(outside, splat<V>(S(3e8)), rounded));
        store(last + i, (vmax(hi, V{}) + magic) - magic - S(1));
    }
}

// Bit 16 s + row is set when strip s (4 pixels) of the tile's row holds a covered pixel centre.
template <typename S>
uint64_t strip_mask(const S first[kTile], const S last[kTile], int tile_x) {
    using V = typename Simd<S>::V;
    constexpr int W = Simd<S>::W;
    uint64_t mask = 0;
    for (int i = 0; i < kTile; i += W) {
        const V lo = load<V>(first + i), hi = load<V>(last + i);
        const auto some = lo <= hi;
        for (int s = 0; s < 4; ++s) {
            const S x = S(tile_x * kTile + 4 * s);
            mask |= uint64_t(bits(some & (lo <= x + S(3)) & (hi >= x))) << (16 * s + i);
        }
    }
    return mask;
}

template <typename S>
void tiles_find(const TilesArgs<S>& a, TileLists& lists) {
    const int tiles_x = (a.width + kTile - 1) / kTile, tiles_y = (a.height + kTile - 1) / kTile;
    lists.tiles = a.cameras * tiles_x * tiles_y;
    lists.pairs = 0;
    lists.visible = sort_by_depth(a, lists);
    const int64_t n = lists.visible;
    lists.place.resize(n + 1), lists.rank_start.resize(n + 1);
    Scratch<TileBox> boxes(n);
    auto box = [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
            boxes[r] = tile_box(a, lists.order[r], tiles_x, tiles_y);
            const TileBox& b = boxes[r];
            lists.place[r] = int64_t(b.x1 > b.x0 ? b.x1 - b.x0 : 0) * (b.y1 > b.y0 ? b.y1 - b.y0 : 0);
        }
    };
    parallel_ranges(n, 1024, box);
    int64_t bound = 0;
    for (int64_t r = 0; r < n; ++r) {
        const int64_t size = lists.place[r];
        lists.place[r] = bound;
        bound += size;
    }
    lists.place[n] = bound;
    lists.tile.resize(bound), lists.mask.resize(bound);
    auto emit = [&](int64_t begin, int64_t end) {
        S first[kTile], last[kTile];
        for (int64_t r = begin; r < end; ++r) {
            const int64_t at = lists.order[r];
            const TileBox& b = boxes[r];
            const int64_t camera_tiles = at / a.count * tiles_x * tiles_y;
            const RowSpan<S> e = row_span(a, at);
            int64_t out = lists.place[r];
            for (int ty = b.y0; ty < b.y1; ++ty) {
                row_extents(e, ty, a.width, a.height, first, last);
                for (int tx = b.x0; tx < b.x1; ++tx) {
                    const uint64_t mask = strip_mask(first, last, tx);
                    if (!mask) continue;
                    lists.tile[out] = int32_t(camera_tiles + ty * tiles_x + tx);
                    lists.mask[out++] = mask;
                }
            }
            lists.rank_start[r] = int32_t(out - lists.place[r]);  // a count for now
        }
    };
    parallel_ranges(n, 256, emit);
    for (int64_t r = 0; r < n; ++r) {
        const int32_t size = lists.rank_start[r];
        lists.rank_start[r] = int32_t(lists.pairs);
        lists.pairs += size;
    }
    lists.rank_start[n] = int32_t(lists.pairs);
}

}  // namespace

void set_tiles(Kernels<float>& f, Kernels<double>& d) {
    f.tiles_find = tiles_find<float>, d.tiles_find = tiles_find<double>;
}

SCTD_END
