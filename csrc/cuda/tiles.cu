/*
tiles.cu - which footprint touches which 16 x 16 tile and which of its 8 x 8 sub-tiles, front to back.

  in   means2d [C,N,2]  conics [C,N,3]  opacities, depths [C,N]  radii [C,N,2]
  out  order, rank_start, tile_start, pair_index, pair_slot, pair_mask, records (kernels.h)

1 write a record of every footprint, which all later kernels and the blends read; sort by depth, once for all cameras; equal
  depths keep their order, unseen footprints come last
2 count every rank's tiles, exactly; prefix sum                             tiles_count ends here
3 emit (tile, slot) in depth order; stable sort by tile; starts             tiles_write
Counting and emitting share the work of a warp: it cuts its 32 ranks into tile rows (bands) and gives each lane a band, so that
one large footprint occupies all lanes. A band's extent is exact: the ellipse's span along rows of pixel centres. Its left edge
is a convex function of the row, so the minimum over a range of rows lies on one of the two rows about the turning point, moved
into the range. The right edge is the same, mirrored.

Limits   2^31 - 2 pairs and 2^31 - 1 footprints; slots beyond the capacity are not written, the prefix sum tells how many were
         wanted, 2^31 - 1 where these were more.
Repeats  bit for bit.
Maths    include/ellipse.h, in the coordinates of a Record.
*/
#include "device.h"
#include "kernels.h"
#include "primitives.h"

#include "../include/blend.h"
#include "../include/ellipse.h"

namespace sctd::cuda {
namespace {

constexpr int kBlock = 128, kSubTile = kTile / 2;
constexpr uint32_t kUnseen = 0xffffffffu;
constexpr uint32_t kFindAgain = 0xffffffffu;
constexpr int kBands = 2 * kWarp;  // kept of a warp's

// Half the ellipse's extent grows by this for the rounding of the exponent, here and in the blends: a share, and an amount.
constexpr float kReachSlack = 4e-6f;

// p^2 + q^2 on the edge of what is drawn.
__device__ __forceinline__ float reach_of(float faint) {
    return (kFaintest - faint) * float(1 + kSpanSlack) + kReachSlack;
}

// Of a footprint that is seen. `down` stays above 0, so that pixels that are done, far away, stay so.
__device__ __forceinline__ Record make_record(const float* mean, const float* conic, float opacity) {
    Record r;
    const float shear = conic[1] / conic[0], k = conic[2] - conic[1] * shear;  // k = 1 / cov2d_yy
    r.mean_x = mean[0], r.mean_y = mean[1];
    r.across = vsqrt(float(0.5 * kLog2E) * conic[0]);
    r.down = vmax(1e-15f, vsqrt(float(0.5 * kLog2E) * k));
    r.lean = shear * r.across / r.down;
    r.faint = -vlog(opacity) * float(kLog2E);
    const float height = vsqrt(reach_of(r.faint)) / r.down;
    r.half_height = height * float(1 + kSpanSlack) + float(kSpanMargin);
    const float lean = vmax(-1e18f, vmin(1e18f, r.lean));  // its square is finite
    r.turn = height * lean / vsqrt(1 + lean * lean);
    return r;
}

// A thread for each footprint: its key, by which it is sorted, and its record.
__global__ void __launch_bounds__(kBlock) records_kernel(TilesArgs a, uint32_t* keys, int32_t* values) {
    const int64_t i = int64_t(blockIdx.x) * kBlock + threadIdx.x;
    if (i >= int64_t(a.cameras) * a.count) return;
    const uint32_t bits = __float_as_uint(a.depths[i]);
    const uint32_t key = bits & 0x80000000u ? ~bits : bits | 0x80000000u;  // orders negative floats too
    const bool seen = a.radii[2 * i] > 0;
    keys[i] = seen ? key : kUnseen;
    values[i] = int32_t(i);
    Record r{};
    r.half_height = -1;
    if (seen) r = make_record(a.means2d + 2 * i, a.conics + 3 * i, a.opacities[i]);
    a.records[i] = r;
}

struct Grid {
    int across, down;  // tiles
};

__host__ __device__ __forceinline__ Grid grid_of(int width, int height) {
    return {(width + kTile - 1) / kTile, (height + kTile - 1) / kTile};
}

// One rank, as the lanes that work on its bands read it. Rows and columns are numbers of pixels, whose centres lie 0.5
// further on: the means are less by as much.
struct alignas(16) Ellipse {
    float mean_x, mean_y;         // px
    float down, reach;            // q = down * dy; p^2 + q^2 <= reach
    float shear, wide;            // px: the span's middle moves by -shear a row; its half width is wide * p
    float turn_left, turn_right;  // the rows just above the turning points
    float top, bottom;            // first and last row
    int tile0, index;             // first tile of the camera; the footprint
};

// Bands of a rank, 0 when unseen.
__device__ __forceinline__ int read_ellipse(const TilesArgs& a, int64_t rank, Ellipse& out) {
    if (rank >= int64_t(a.cameras) * a.count) return 0;
    const int index = a.order[rank];
    const Record r = a.records[index];
    Ellipse e;
    e.mean_x = r.mean_x - 0.5f, e.mean_y = r.mean_y - 0.5f;
    e.top = vmax(ceilf(e.mean_y - r.half_height), 0.0f);
    e.bottom = vmin(floorf(e.mean_y + r.half_height), float(a.height - 1));
    if (!(r.half_height > 0 && e.top <= e.bottom)) return 0;
    const Grid grid = grid_of(a.width, a.height);
    const float per_across = fast_reciprocal(r.across);
    e.down = r.down, e.reach = reach_of(r.faint);
    e.shear = r.lean * r.down * per_across, e.wide = per_across * float(1 + kSpanSlack);
    e.turn_left = floorf(e.mean_y + r.turn), e.turn_right = floorf(e.mean_y - r.turn);
    e.tile0 = index / a.count * (grid.across * grid.down), e.index = index;
    out = e;
    return int(unsigned(e.bottom) / kTile - unsigned(e.top) / kTile) + 1;
}

// Sub-tile columns, 8 pixels wide, that the ellipse covers in the upper and the lower 8 rows of a tile row; none: first > last.
struct Extent {
    int first[2], last[2];
    __device__ __forceinline__ int tile0() const { return (first[0] < first[1] ? first[0] : first[1]) / 2; }
    __device__ __forceinline__ int tiles() const {
        const int most = last[0] > last[1] ? last[0] : last[1];
        return most < 0 ? 0 : most / 2 - tile0() + 1;
    }
};
constexpr int kNoColumn = 1 << 28;

// Half widths grow by this (px) for the rounding of the centre, a few units in the last place of a pixel's number.
__device__ __forceinline__ float margin(int width, int height) {
    return 1e-3f + 5e-7f * float(width > height ? width : height);
}

// How far a row's span reaches to the right of the mean (side 1) or to the left (side -1), px; rows outside have the width 0.
__device__ __forceinline__ float edge(const Ellipse& e, float row, float side) {
    const float dy = row - e.mean_y, q = e.down * dy;
    const float p = fast_sqrt(vmax(e.reach - q * q, 0.0f));
    return madd(e.wide, p, -side * (e.shear * dy));
}

// The furthest over the rows low..high of whole numbers.
__device__ __forceinline__ float furthest(const Ellipse& e, float turn, float low, float high, float side) {
    const float above = vmax(vmin(turn, high), low), below = vmax(vmin(turn + 1, high), low);
    return vmax(edge(e, above, side), edge(e, below, side));
}

__device__ __forceinline__ Extent find_extent(const Ellipse& e, int band, int width, int height) {
    Extent x;
    const float slack = margin(width, height);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        const float begin = float(band * kTile + half * kSubTile);
        const float low = vmax(e.top, begin), high = vmin(e.bottom, begin + (kSubTile - 1));
        const float left = e.mean_x - (furthest(e, e.turn_left, low, high, -1) + slack);
        const float right = e.mean_x + (furthest(e, e.turn_right, low, high, 1) + slack);
        const float first = vmax(ceilf(left), 0.0f), last = vmin(floorf(right), float(width - 1));
        const bool some = low <= high && first <= last;
        x.first[half] = some ? int(unsigned(first) / kSubTile) : kNoColumn;
        x.last[half] = some ? int(unsigned(last) / kSubTile) : -1;
    }
    return x;
}

__device__ __forceinline__ uint32_t sub_tiles(const Extent& x, int tile_x) {
    uint32_t mask = 0;
#pragma unroll
    for (int half = 0; half < 2; ++half)
#pragma unroll
        for (int side = 0; side < 2; ++side) {
            const int column = 2 * tile_x + side;
            if (x.first[half] <= column && column <= x.last[half]) mask |= 1u << (2 * half + side);
        }
    return mask;
}

template <typename T>
__device__ __forceinline__ T inclusive_sum(T x, int lane) {
#pragma unroll
    for (int offset = 1; offset < kWarp; offset *= 2) {
        const T below = __shfl_up_sync(kFull, x, offset);
        if (lane >= offset) x += below;
    }
    return x;
}

// Calls use(owner lane, footprint, first tile, extent) for every band of the warp's 32 ranks, 32 at a time, all lanes together;
// a lane without a band gets zeros and an empty extent. `slab` holds the warp's ellipses, `ends` where each one's bands end.
template <typename F>
__device__ __forceinline__ void for_each_band(const TilesArgs& a, int64_t rank0, Ellipse* slab, int* ends,
                                              F use) {
    const int lane = threadIdx.x % kWarp, across = grid_of(a.width, a.height).across;
    const int end = inclusive_sum(read_ellipse(a, rank0 + lane, slab[lane]), lane);
    ends[lane] = end;
    const int bands = __shfl_sync(kFull, end, kWarp - 1);
    __syncwarp();
    for (int first = 0; first < bands; first += kWarp) {
        const int item = first + lane;
        int owner = 0, index = 0;
        uint32_t tile = 0;
        Extent extent = {{kNoColumn, kNoColumn}, {-1, -1}};
        if (item < bands) {  // of the first rank whose bands end beyond this one
#pragma unroll
            for (int step = kWarp / 2; step; step /= 2)
                if (ends[owner + step - 1] <= item) owner += step;
            const Ellipse e = slab[owner];
            const int band = int(unsigned(e.top) / kTile) + item - (owner ? ends[owner - 1] : 0);
            extent = find_extent(e, band, a.width, a.height);
            index = e.index, tile = uint32_t(e.tile0 + band * across + extent.tile0());
        }
        use(owner, index, tile, extent);
    }
}

// The sub-tiles of up to kWidest tiles of a band, four bits each from the left, as in a pair's mask.
constexpr int kWidest = 6;
__device__ __forceinline__ uint32_t nibbles(const Extent& x) {
    uint32_t all = 0;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        const int begin =
            2 * x.tile0();  // the two columns of a tile come first together, then four bits apart
        uint32_t bits =
            x.last[half] < 0 ? 0 : (2u << (x.last[half] - begin)) - (1u << (x.first[half] - begin));
        bits = (bits | bits << 8) & 0x00ff00ffu;
        bits = (bits | bits << 4) & 0x0f0f0f0fu;
        bits = (bits | bits << 2) & 0x33333333u;
        all |= bits << (2 * half);
    }
    return all;
}

// Keeps the warp's bands for emit_pairs_kernel, which finds them again where they are too many or too wide to keep.
__global__ void __launch_bounds__(kBlock) count_tiles_kernel(TilesArgs a, int32_t* counts) {
    SHARED(Ellipse, slabs, kBlock);
    SHARED(int, ends, kBlock);
    SHARED(int, totals, kBlock);
    const int base = threadIdx.x / kWarp * kWarp, lane = threadIdx.x % kWarp;
    const int64_t rank0 = int64_t(blockIdx.x) * kBlock + base, n = int64_t(a.cameras) * a.count;
    Band* const kept = a.bands + rank0 / kWarp * kBands;
    totals[threadIdx.x] = 0;
    __syncwarp();
    int round = 0;
    bool fits = true;
    for_each_band(a, rank0, slabs + base, ends + base, [&](int owner, int, uint32_t tile, const Extent& x) {
        const int tiles = x.tiles();
        if (tiles) atomicAdd(&totals[base + owner], tiles);
        fits = fits && tiles <= kWidest && round < kBands / kWarp;
        if (fits)
            kept[round * kWarp + lane] =
                tiles ? Band{tile, unsigned(owner) << 4 * kWidest | nibbles(x)} : Band{};
        ++round;
    });
    __syncwarp();
    // one more than the ranks: the prefix sum's last entry is then the total
    if (rank0 + lane <= n) counts[rank0 + lane] = totals[threadIdx.x];
    if (rank0 >= n) return;
    for (; round < kBands / kWarp; ++round) kept[round * kWarp + lane] = Band{};
    fits = __all_sync(kFull, fits);
    if (!fits && lane == 0) kept[0].first = kFindAgain;
}

struct Slots {  // by rank, before the sort
    uint32_t* tile;
    int32_t *number, *index;
    uint8_t* mask;
};

// Writes the pairs of a lane's band, from `next` on, those of lower lanes before it; all lanes of the warp together. `mask`
// gives the sub-tiles of a tile.
template <typename F>
__device__ __forceinline__ void emit(const TilesArgs& a, const Slots& slots, int64_t& next, uint32_t first,
                                     int tiles, int index, F mask) {
    const int lane = threadIdx.x % kWarp, upto = inclusive_sum(tiles, lane);
    int64_t slot = next + upto - tiles;
    for (int i = 0; i < tiles && slot < a.capacity; ++i, ++slot) {
        slots.tile[slot] = first + i;
        slots.index[slot] = index;
        slots.mask[slot] = uint8_t(mask(i));
    }
    next += __shfl_sync(kFull, upto, kWarp - 1);
}

// A thread for each rank and for each slot. A slot that no rank writes gets a tile beyond all others.
__global__ void __launch_bounds__(kBlock) emit_pairs_kernel(TilesArgs a, Slots slots, uint32_t beyond) {
    SHARED(Ellipse, slabs, kBlock);
    SHARED(int, ends, kBlock);
    const int base = threadIdx.x / kWarp * kWarp, lane = threadIdx.x % kWarp;
    const int64_t rank0 = int64_t(blockIdx.x) * kBlock + base, n = int64_t(a.cameras) * a.count;
    const int64_t own = rank0 + lane;
    if (own < a.capacity) {
        slots.number[own] = int32_t(own);
        if (own >= a.rank_start[n]) slots.tile[own] = beyond, slots.index[own] = 0, slots.mask[own] = 0;
    }
    if (rank0 >= n) return;              // the whole warp
    int64_t next = a.rank_start[rank0];  // the warp's pairs lie together, bands in their order
    const Band* const kept = a.bands + rank0 / kWarp * kBands;
    if (kept[0].first != kFindAgain) {
        for (int round = 0; round < kBands / kWarp; ++round) {
            const Band band = kept[round * kWarp + lane];
            if (!__any_sync(kFull, band.tiles != 0)) return;
            const uint32_t masks = band.tiles & ((1u << 4 * kWidest) - 1);
            const int index = masks ? a.order[rank0 + (band.tiles >> 4 * kWidest)] : 0;
            emit(a, slots, next, band.first, (35 - __clz(int(masks))) / 4, index,
                 [&](int i) { return masks >> 4 * i & 15; });
        }
        return;
    }
    for_each_band(a, rank0, slabs + base, ends + base, [&](int, int index, uint32_t tile, const Extent& x) {
        emit(a, slots, next, tile, x.tiles(), index, [&](int i) { return sub_tiles(x, x.tile0() + i); });
    });
}

// A thread for each pair, whose footprint and mask follow the sorted slots, and for each tile, whose pairs begin with the first
// sorted key that is not smaller.
__global__ void gather_pairs_kernel(TilesArgs a, Slots slots, const uint32_t* sorted, int tiles) {
    const int64_t i = int64_t(blockIdx.x) * kBlock + threadIdx.x;
    if (i < a.capacity) {
        const int32_t slot = a.pair_slot[i];
        a.pair_index[i] = slots.index[slot];
        a.pair_mask[i] = slots.mask[slot];
    }
    if (i > tiles) return;
    int64_t low = 0, high = a.capacity;
    while (low < high) {
        const int64_t mid = (low + high) / 2;
        if (sorted[mid] < uint32_t(i))
            low = mid + 1;
        else
            high = mid;
    }
    a.tile_start[i] = int32_t(low);
}

// Cuts scratch memory into aligned pieces; with a null base it only adds up.
class Pieces {
public:
    explicit Pieces(void* base) : base_(static_cast<char*>(base)) {}
    template <typename T>
    T* take(int64_t n) {
        T* piece = base_ ? reinterpret_cast<T*>(base_ + used_) : nullptr;
        used_ += (size_t(n) * sizeof(T) + 255) / 256 * 256;
        return piece;
    }
    size_t used() const { return used_; }

private:
    char* base_;
    size_t used_ = 0;
};

struct CountScratch {
    uint32_t *keys, *keys_sorted;
    int32_t *values, *counts;
    size_t library_bytes;
    char* library;

    CountScratch(Pieces& p, int64_t n) {
        keys = p.take<uint32_t>(n), keys_sorted = p.take<uint32_t>(n), values = p.take<int32_t>(n);
        counts = p.take<int32_t>(n + 1);
        const size_t sort = radix_sort_pairs_scratch(n), sum = exclusive_sum_scratch(n + 1);
        library_bytes = sort > sum ? sort : sum;
        library = p.take<char>(int64_t(library_bytes));
    }
};

struct WriteScratch {
    Slots slots;
    uint32_t* tile_sorted;
    size_t library_bytes;
    char* library;

    WriteScratch(Pieces& p, int64_t capacity) {
        slots.tile = p.take<uint32_t>(capacity), slots.number = p.take<int32_t>(capacity);
        slots.index = p.take<int32_t>(capacity), slots.mask = p.take<uint8_t>(capacity);
        tile_sorted = p.take<uint32_t>(capacity);
        library_bytes = radix_sort_pairs_scratch(capacity);
        library = p.take<char>(int64_t(library_bytes));
    }
};

int bits_for(uint32_t largest) {
    int bits = 0;
    while (largest >> bits) ++bits;
    return bits;
}

}  // namespace

size_t tiles_count_scratch(int64_t footprints) {
    Pieces pieces(nullptr);
    CountScratch scratch(pieces, footprints);
    return pieces.used();
}

size_t tiles_bands(int64_t footprints) {
    return size_t(blocks_for(footprints, kWarp)) * kBands * sizeof(Band);
}

size_t tiles_write_scratch(int64_t capacity) {
    Pieces pieces(nullptr);
    WriteScratch scratch(pieces, capacity);
    return pieces.used();
}

void tiles_count(const TilesArgs& a, Stream stream) {
    const int64_t n = int64_t(a.cameras) * a.count;
    if (n == 0) return fill_bytes(a.rank_start, 0, sizeof(int32_t), stream);
    Pieces pieces(a.scratch);
    const CountScratch s(pieces, n);
    LAUNCH(records_kernel, blocks_for(n, kBlock), kBlock, stream, a, s.keys, s.values);
    radix_sort_pairs(s.library, s.library_bytes, s.keys, s.keys_sorted, s.values, a.order, n, 32, stream);
    LAUNCH(count_tiles_kernel, blocks_for(n + 1, kBlock), kBlock, stream, a, s.counts);
    exclusive_sum(s.library, s.library_bytes, s.counts, a.rank_start, n + 1, stream);
}

void tiles_write(const TilesArgs& a, Stream stream) {
    const int64_t n = int64_t(a.cameras) * a.count;
    const Grid grid = grid_of(a.width, a.height);
    const int tiles = a.cameras * grid.across * grid.down;
    if (n == 0 || a.capacity == 0)
        return fill_bytes(a.tile_start, 0, size_t(tiles + 1) * sizeof(int32_t), stream);
    Pieces pieces(a.scratch);
    const WriteScratch s(pieces, a.capacity);
    const int64_t ranks_or_pairs = a.capacity > n ? a.capacity : n;
    const int64_t pairs_or_tiles = a.capacity > tiles ? a.capacity : tiles + 1;
    LAUNCH(emit_pairs_kernel, blocks_for(ranks_or_pairs, kBlock), kBlock, stream, a, s.slots,
           uint32_t(tiles));
    radix_sort_pairs(s.library, s.library_bytes, s.slots.tile, s.tile_sorted, s.slots.number, a.pair_slot,
                     a.capacity, bits_for(uint32_t(tiles)), stream);
    LAUNCH(gather_pairs_kernel, blocks_for(pairs_or_tiles, kBlock), kBlock, stream, a, s.slots, s.tile_sorted,
           tiles);
}

}  // namespace sctd::cuda
