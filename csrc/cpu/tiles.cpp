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

// Stable least-significant-digit radix sort; a pass whose digit never differs is skipped.
template <int kBits, typename K>
Entry<K>* radix_sort(Entry<K>* from, Entry<K>* to, int64_t n) {
    constexpr int kBins = 1 << kBits, kPasses = (int(8 * sizeof(K)) + kBits - 1) / kBits;
    uint32_t start[kPasses][kBins] = {};
    for (int64_t i = 0; i < n; ++i)
        for (int p = 0; p < kPasses; ++p) ++start[p][(from[i].key >> (p * kBits)) & (kBins - 1)];
    for (int p = 0; p < kPasses; ++p) {
        const int shift = p * kBits;
        if (n && start[p][(from[0].key >> shift) & (kBins - 1)] == uint64_t(n)) continue;
        uint32_t sum = 0;
        for (int b = 0; b < kBins; ++b) {
            const uint32_t size = start[p][b];
            start[p][b] = sum;
            sum += size;
        }
        for (int64_t i = 0; i < n; ++i) to[start[p][(from[i].key >> shift) & (kBins - 1)]++] = from[i];
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
        Entry<K>* other = second.data() + c * a.count;
        // Few keys: the tables' own cost counts, so more passes over smaller ones.
        sorted[c] = n < 8192 ? radix_sort<8>(entries, other, n) : radix_sort<11>(entries, other, n);
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

// The span of each pixel row, and the tiles that hold at least the centre of one pixel of the ellipse's box.
template <typename S>
struct Shape {
    RowSpan<S> span;
    TileBox box;
};

template <typename S>
Shape<S> find_shape(const TilesArgs<S>& a, int64_t at, int tiles_x, int tiles_y) {
    const S* k = a.conics + 3 * at;
    const S reach = ellipse_reach(a.opacities[at]);
    const RowSpan<S> e = make_row_span(a.means2d[2 * at], a.means2d[2 * at + 1], k[0], k[1], k[2], reach);
    const S half_width = vsqrt(reach / (k[0] - k[1] * k[1] / k[2])) * S(1 + kSpanSlack) + S(kSpanMargin);
    if (!(e.half_height >= 0) || !(half_width >= 0)) return {e, {0, 0, 0, 0}};  // NaN: not an ellipse
    // A pixel's centre must be inside, so the box shrinks by half a pixel on each side.
    const double mx = double(e.mean_x) - 0.5, my = double(e.mean_y) - 0.5;
    return {
        e,
        {clamp_tile(::ceil(mx - half_width), tiles_x), clamp_tile(::floor(mx + half_width) + kTile, tiles_x),
         clamp_tile(::ceil(my - e.half_height), tiles_y),
         clamp_tile(::floor(my + e.half_height) + kTile, tiles_y)}};
}

// First and last pixel column (as numbers) that the ellipse covers in each of a tile row's 16 rows, W rows a vector.
template <typename S>
struct RowExtents {
    using V = typename Simd<S>::V;
    static constexpr int kGroups = kTile / Simd<S>::W;
    V first[kGroups], last[kGroups];
    bool any[kGroups];  // whether a row of the group is covered at all
};

template <typename S>
SCTD_HD void row_extents(const RowSpan<S>& e, int tile_y, int width, int height, RowExtents<S>& out) {
    using V = typename Simd<S>::V;
    constexpr int W = Simd<S>::W;
    const S magic =
        sizeof(S) == 4 ? S(12582912.0) : S(6755399441055744.0);  // 1.5 * 2^(mantissa bits): rounds to integer
    V ramp;
    for (int l = 0; l < W; ++l) ramp[l] = S(l) + S(0.5);
    for (int i = 0; i < out.kGroups; ++i) {
        const S top = S(tile_y * kTile + i * W);
        out.any[i] = top < e.mean_y + e.half_height && top + S(W) > e.mean_y - e.half_height;
        if (!out.any[i]) continue;
        const V y = ramp + top;
        const V dy = y - e.mean_y;
        const V h = e.h0 - e.h2 * dy * dy;
        const V half = vsqrt(vmax(h, V{})) * S(1 + kSpanSlack) + S(kSpanMargin);
        const V center = e.mean_x - e.shear * dy;
        // a centre i + 0.5 >= lo means i >= round(lo), <= hi means i <= round(hi) - 1; the margin covers the ties
        const V right = splat<V>(S(width));
        const V lo = vmin(vmax(center - half, V{}), right), hi = vmax(vmin(center + half, right), V{});
        const auto inside = (h >= S(-kSpanSlack) * e.h0) & (y < S(height));
        out.first[i] = select(inside, (lo + magic) - magic, splat<V>(S(3e8)));
        out.last[i] = (hi + magic) - magic - S(1);
    }
}

// Bit 16 s + row is set when strip s (4 pixels) of the tile's row holds a covered pixel centre.
template <typename S>
SCTD_HD uint64_t strip_mask(const RowExtents<S>& rows, int tile_x) {
    constexpr int W = Simd<S>::W;
    uint64_t mask = 0;
    const S x = S(tile_x * kTile);
    for (int i = 0; i < rows.kGroups; ++i) {
        if (!rows.any[i]) continue;
        const auto lo = rows.first[i], hi = rows.last[i];
        const auto some = lo <= hi;
        for (int s = 0; s < 4; ++s)
            mask |= uint64_t(bits(some & (lo <= x + S(4 * s + 3)) & (hi >= x + S(4 * s))))
                    << (16 * s + i * W);
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
    Scratch<Shape<S>> shapes(n);
    auto box = [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
            shapes[r] = find_shape(a, lists.order[r], tiles_x, tiles_y);
            const TileBox& b = shapes[r].box;
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
        RowExtents<S> rows;
        for (int64_t r = begin; r < end; ++r) {
            const TileBox& b = shapes[r].box;
            const int64_t camera_tiles = lists.order[r] / a.count * tiles_x * tiles_y;
            int64_t out = lists.place[r];
            for (int ty = b.y0; ty < b.y1; ++ty) {
                row_extents(shapes[r].span, ty, a.width, a.height, rows);
                for (int tx = b.x0; tx < b.x1; ++tx) {
                    const uint64_t mask = strip_mask(rows, tx);
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
