/*
tiles.cpp - which footprint touches which 16 x 16 tile, front to back.

  in   means2d [C,N,2]  conics [C,N,3]  opacities, depths [C,N]  radii [C,N,2]
  out  TileLists (kernels.h): the visible in depth order, and per (Gaussian, tile) the 4 x 1 pixel strips touched

1 shape of every footprint, SIMD over Gaussians: the span of its rows, and the box of tiles, which bounds its pairs
2 depth sort (depth_sort.h), once per camera; equal depths keep the Gaussians' order
3 pairs, in depth order: the span of the ellipse along each of a tile row's 16 pixel rows, against every 4 x 1 strip.
  Ranks are cut into pieces; each writes its pairs to a place of its own and counts them per tile
tiles_write (tiles_write.cpp) then sorts the pairs by tile, which is one stable counting sort.

Limits   2^31 - 2 tiles in all boxes together; of more there are no lists, only their number.
Maths    include/ellipse.h.
*/
#include "simd_rows.h"  // first: the formulas below are instantiated with its vectors

#include "../include/ellipse.h"
#include "depth_sort.h"
#include "kernels.h"
#include "threads.h"

#include <cstring>

SCTD_BEGIN
namespace {

constexpr int64_t kBlock = 1024;  // Gaussians of one unit of work

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

template <typename S>
using Entry = DepthEntry<decltype(depth_key(S(0)))>;

// The span of each pixel row, and the tiles (half open) that hold at least the centre of one pixel of the ellipse's box.
template <typename S>
struct Shape {
    RowSpan<S> span;
    uint16_t x0, x1, y0, y1;
};

// Tiles begin .. end that hold a pixel whose centre is within `half` of `mean`; at least one unless begin >= end.
// A pixel p is within when mean - half <= p + 0.5 <= mean + half. Truncation stands for ceil and floor: where the two
// differ the centre is on the bound itself, which has a margin.
template <typename S, typename V, typename M>
SCTD_HD void tile_range(V mean, V half, int size, M& begin, M& end) {
    const V low = mean - half + S(0.5), high = mean + half + S(0.5), edge = splat<V>(S(size));
    const M first = __builtin_convertvector(vmin(vmax(low, V{}), edge), M);
    const M past = __builtin_convertvector(vmin(vmax(high, V{}), edge), M);
    begin = first / kTile;
    end = first < past ? (past + (kTile - 1)) / kTile : begin;
}

// Shapes of `lanes` Gaussians from the first; area: tiles of the box, 0 when nothing is seen.
template <typename S>
void find_shapes(const TilesArgs<S>& a, int64_t first, int lanes, Shape<S>* shapes, int32_t* area) {
    using V = typename Simd<S>::V;
    using M = typename Simd<S>::M;
    constexpr int W = Simd<S>::W;
    V mean[2], conic[3], opacity[1];
    load_rows<2>(a.means2d + 2 * first, lanes, mean);
    load_rows<3>(a.conics + 3 * first, lanes, conic);
    load_rows<1>(a.opacities + first, lanes, opacity);
    const V reach = ellipse_reach(opacity[0]);
    const RowSpan<V> e = make_row_span(mean[0], mean[1], conic[0], conic[1], conic[2], reach);
    const V xx = conic[0] - conic[1] * conic[1] / conic[2];  // 1 / cov2d_xx
    const V half_width = vsqrt(reach / xx) * S(1 + kSpanSlack) + S(kSpanMargin);
    M box[4];
    tile_range<S>(e.mean_x, half_width, a.width, box[0], box[1]);
    tile_range<S>(e.mean_y, e.half_height, a.height, box[2], box[3]);
    // a NaN is no ellipse
    const M tiles = (box[1] - box[0]) * (box[3] - box[2]) & (e.half_height >= V{}) & (half_width >= V{});
    const V numbers[6] = {e.mean_x, e.mean_y, e.shear, e.h0, e.h2, e.half_height};
    S out[6][W];
    decltype(tiles[0] + 0) bounds[4][W], count[W];
    for (int k = 0; k < 6; ++k) store(out[k], numbers[k]);
    for (int k = 0; k < 4; ++k) store(bounds[k], box[k]);
    store(count, tiles);
    for (int l = 0; l < lanes; ++l) {
        shapes[l] = {{out[0][l], out[1][l], out[2][l], out[3][l], out[4][l], out[5][l]},
                     uint16_t(bounds[0][l]),
                     uint16_t(bounds[1][l]),
                     uint16_t(bounds[2][l]),
                     uint16_t(bounds[3][l])};
        area[l] = a.radii[2 * (first + l)] > 0 ? int32_t(count[l]) : 0;
    }
}

// First and last pixel column (as numbers) that the ellipse covers in each of 16 rows, W rows a vector.
template <typename S>
struct RowExtents {
    using V = typename Simd<S>::V;
    static constexpr int kGroups = kTile / Simd<S>::W;
    V first[kGroups], last[kGroups];
    bool any[kGroups];  // whether a row of the group is covered at all
};

// Of the rows from `first_row` on.
template <typename S>
SCTD_HD void row_extents(const RowSpan<S>& e, int first_row, int width, int height, RowExtents<S>& out) {
    using V = typename Simd<S>::V;
    constexpr int W = Simd<S>::W;
    const S magic =
        sizeof(S) == 4 ? S(12582912.0) : S(6755399441055744.0);  // 1.5 * 2^(mantissa bits): rounds to integer
    V ramp;
    for (int l = 0; l < W; ++l) ramp[l] = S(l) + S(0.5);
    for (int i = 0; i < out.kGroups; ++i) {
        const S top = S(first_row + i * W);
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
        const V first = (lo + magic) - magic, last = (hi + magic) - magic - S(1);
        const auto inside = (h >= S(-kSpanSlack) * e.h0) & (y < S(height)) & (first <= last);
        out.first[i] = select(inside, first, splat<V>(S(3e8)));
        out.last[i] = last;
    }
}

// Bit 16 s + row is set when strip s (4 pixels) of the tile's row holds a covered pixel centre.
template <typename S>
SCTD_HD uint64_t strip_mask(const RowExtents<S>& rows, int tile_x) {
    using V = typename Simd<S>::V;
    constexpr int W = Simd<S>::W;
    uint64_t mask = 0;
    const S x = S(tile_x * kTile);
    for (int i = 0; i < rows.kGroups; ++i) {
        if (!rows.any[i]) continue;
        const V lo = rows.first[i] - x, hi = rows.last[i] - x;
        for (int s = 0; s < 4; ++s) {
            const uint64_t some = bits_between(lo, splat<V>(S(4 * s + 3)), hi, splat<V>(S(4 * s)));
            mask |= some << (16 * s + i * W);
        }
    }
    return mask;
}

// The mask of the rows from `first_row` on as the mask of the tile's 16 rows; -16 < down = first_row - the tile's < 16.
SCTD_HD uint64_t shift_rows(uint64_t mask, int down) {
    constexpr uint64_t kEvery = 0x0001000100010001ull;
    return down >= 0 ? (mask << down) & kEvery * ((0xffffu << down) & 0xffffu)
                     : (mask >> -down) & kEvery * (0xffffu >> -down);
}

// Shapes of all Gaussians of a camera; its visible ones in depth order at order[0 ..]; returns their number.
template <typename S>
int64_t sort_camera(const TilesArgs<S>& a, int64_t camera, Shape<S>* shapes, int32_t* area, int32_t* order) {
    constexpr int W = Simd<S>::W;
    using E = Entry<S>;
    using K = decltype(E::key);
    const int64_t base = camera * a.count, blocks = (a.count + kBlock - 1) / kBlock;
    struct Found {
        int64_t n;
        K low, high;
    };
    Scratch<E> first(a.count), second(a.count);
    Scratch<Found> found(blocks);
    auto shape = [&](int64_t begin, int64_t end) {
        Found f{0, K(~K(0)), 0};
        E* out = first.data() + begin;
        for (int64_t i = begin; i < end; i += W) {
            const int lanes = int(end - i < W ? end - i : W);
            find_shapes(a, base + i, lanes, shapes + base + i, area + base + i);
            for (int l = 0; l < lanes; ++l) {
                if (area[base + i + l] == 0) continue;
                const K key = depth_key(a.depths[base + i + l]);
                f.low = key < f.low ? key : f.low, f.high = key > f.high ? key : f.high;
                out[f.n++] = {key, int32_t(base + i + l)};
            }
        }
        found[begin / kBlock] = f;
    };
    parallel_ranges(a.count, kBlock, shape);
    Found all{0, K(~K(0)), 0};
    for (int64_t b = 0; b < blocks; ++b) {
        const Found f = found[b];
        found[b].n = all.n;  // where its entries go
        if (all.n != b * kBlock)
            memmove(first.data() + all.n, first.data() + b * kBlock, size_t(f.n) * sizeof(E));
        all.n += f.n;
        all.low = f.low < all.low ? f.low : all.low, all.high = f.high > all.high ? f.high : all.high;
    }
    const E* sorted = depth_sort(first.data(), second.data(), all.n, all.low, all.high);
    for (int64_t k = 0; k < all.n; ++k) order[k] = sorted[k].index;
    return all.n;
}

// Calls found(tile_x, tile_y, mask) for every tile of the footprint's box; the mask is zero where no pixel's centre is covered.
template <typename S, typename F>
SCTD_HD void cover_tiles(const Shape<S>& shape, int width, int height, F&& found) {
    const RowSpan<S>& e = shape.span;
    RowExtents<S> rows;
    const S low = vmax(e.mean_y - e.half_height, S(0)), high = e.mean_y + e.half_height;
    if (high - low <
        S(kTile - 1)) {  // 16 rows hold it all: one look at its rows, though two tiles may share them
        const int first_row = int(low);
        row_extents(e, first_row, width, height, rows);
        for (int tx = shape.x0; tx < shape.x1; ++tx) {
            const uint64_t all = strip_mask(rows, tx);
            for (int ty = shape.y0; ty < shape.y1; ++ty)
                found(tx, ty, shift_rows(all, first_row - ty * kTile));
        }
        return;
    }
    for (int ty = shape.y0; ty < shape.y1; ++ty) {
        row_extents(e, ty * kTile, width, height, rows);
        for (int tx = shape.x0; tx < shape.x1; ++tx) found(tx, ty, strip_mask(rows, tx));
    }
}

// Pairs of the ranks begin .. end, from `place` on; counts them per tile and per Gaussian; returns their number.
template <typename S>
int64_t emit_pairs(const TilesArgs<S>& a, const Shape<S>* shapes, TileLists& lists, int64_t begin,
                   int64_t end, int64_t place, int32_t* per_tile) {
    const int tiles_x = (a.width + kTile - 1) / kTile, tiles_y = (a.height + kTile - 1) / kTile;
    const int32_t* order = lists.order.data();
    int32_t* tile_out = lists.tile.data() + place;
    int32_t* index_out = lists.index.data() + place;
    uint64_t* mask_out = lists.mask.data() + place;
    int64_t n = 0;
    for (int64_t r = begin; r < end; ++r) {
        if (r + 8 < end) __builtin_prefetch(shapes + order[r + 8]);
        const int64_t before = n;
        const int32_t first = a.cameras == 1 ? 0 : int32_t(order[r] / a.count * tiles_x * tiles_y);
        cover_tiles(shapes[order[r]], a.width, a.height, [&](int tx, int ty, uint64_t mask) {
            const int32_t tile = first + ty * tiles_x + tx;
            // written in any case, kept or not: a branch here is wrong every third time
            tile_out[n] = tile, index_out[n] = order[r], mask_out[n] = mask;
            n += mask != 0, per_tile[tile] += mask != 0;
        });
        lists.slot_start[order[r]] = int32_t(n - before);  // a count for now
    }
    return n;
}

template <typename S>
void tiles_find(const TilesArgs<S>& a, TileLists& lists) {
    const int tiles_x = (a.width + kTile - 1) / kTile, tiles_y = (a.height + kTile - 1) / kTile;
    const int64_t total = a.cameras * a.count;
    lists.tiles = a.cameras * tiles_x * tiles_y, lists.total = total;
    lists.order.resize(total), lists.slot_start.resize(total + 1);
    Scratch<Shape<S>> shapes(total);
    Scratch<int32_t> area(total);
    Scratch<int64_t> seen(a.cameras);
    auto sort = [&](ptrdiff_t c) {
        seen[c] = sort_camera(a, c, shapes.data(), area.data(), lists.order.data() + c * a.count);
    };
    parallel_for(a.cameras, sort);
    int64_t n = 0;
    for (int64_t c = 0; c < a.cameras; ++c) {
        if (n != c * a.count)
            memmove(lists.order.data() + n, lists.order.data() + c * a.count,
                    size_t(seen[c]) * sizeof(int32_t));
        n += seen[c];
    }
    lists.visible = n;
    // Each piece has a counter for every tile; 32 of them balance well beyond any desktop's threads.
    lists.grain = n / 32 > 512 ? n / 32 : 512;
    lists.pieces = (n + lists.grain - 1) / lists.grain;
    lists.place.resize(lists.pieces + 1), lists.cursor.resize(lists.pieces * lists.tiles);
    auto bound = [&](int64_t begin, int64_t end) {
        int64_t sum = 0;
        for (int64_t r = begin; r < end; ++r) sum += area[lists.order[r]];
        lists.place[begin / lists.grain] = sum;
        int32_t* mine = lists.cursor.data() + begin / lists.grain * lists.tiles;
        memset(mine, 0, size_t(lists.tiles) * sizeof *mine);
    };
    parallel_ranges(n, lists.grain, bound);
    int64_t room = 0;
    for (int64_t p = 0; p < lists.pieces; ++p) {
        const int64_t size = lists.place[p];
        lists.place[p] = room;
        room += size;
    }
    lists.pairs = room;
    if (room >= INT32_MAX) return;
    lists.tile.resize(room), lists.index.resize(room), lists.mask.resize(room);
    lists.sizes.resize(lists.pieces);
    memset(lists.slot_start.data(), 0, size_t(total) * sizeof(int32_t));
    auto emit = [&](int64_t begin, int64_t end) {
        const int64_t piece = begin / lists.grain;
        lists.sizes[piece] = emit_pairs(a, shapes.data(), lists, begin, end, lists.place[piece],
                                        lists.cursor.data() + piece * lists.tiles);
    };
    parallel_ranges(n, lists.grain, emit);
    lists.pairs = 0;
    for (int64_t i = 0; i < total; ++i) {
        const int32_t size = lists.slot_start[i];
        lists.slot_start[i] = int32_t(lists.pairs);
        lists.pairs += size;
    }
    lists.slot_start[total] = int32_t(lists.pairs);
}

}  // namespace

void set_tiles(Kernels<float>& f, Kernels<double>& d) {
    f.tiles_find = tiles_find<float>, d.tiles_find = tiles_find<double>;
}

SCTD_END
