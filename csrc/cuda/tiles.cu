/*
tiles.cu - which footprint touches which 16 x 16 tile and which of its 8 x 8 sub-tiles, front to back.

  in   means2d [C,N,2]  conics [C,N,3]  opacities, depths [C,N]  radii [C,N,2]
  out  order, rank_start, tile_start, pair_rank, pair_slot, pair_mask (kernels.h)

1 sort all footprints by depth, once for all cameras; equal depths keep their order, unseen ones come last
2 count every rank's tiles, exactly; prefix sum                             tiles_count ends here
3 emit (tile, slot) in depth order; stable sort by tile; starts             tiles_write
Counting and emitting share the work of a warp: its 32 ranks are cut into tile rows (bands), a lane takes a band, so that one
large footprint occupies all lanes. A band's extent is exact: the ellipse's span along each of its 16 rows of pixel centres.

Limits   2^31 - 2 pairs and 2^31 - 1 footprints; slots beyond the capacity are not written, the prefix sum tells how many were
         wanted, 2^31 - 1 where these were more.
Repeats  bit for bit.
Maths    include/ellipse.h.
*/
#include "device.h"
#include "kernels.h"
#include "primitives.h"

#include "../include/ellipse.h"

namespace sctd::cuda {
namespace {

constexpr int kBlock = 128, kSubTile = kTile / 2;
constexpr uint32_t kUnseen = 0xffffffffu;

__global__ void depth_keys_kernel(const float* depths, const int32_t* radii, int64_t n, uint32_t* keys,
                                  int32_t* values) {
    const int64_t i = int64_t(blockIdx.x) * kBlock + threadIdx.x;
    if (i >= n) return;
    const uint32_t bits = __float_as_uint(depths[i]);
    const uint32_t key = bits & 0x80000000u ? ~bits : bits | 0x80000000u;  // orders negative floats too
    keys[i] = radii[2 * i] > 0 ? key : kUnseen;
    values[i] = int32_t(i);
}

struct Grid {
    int across, down;  // tiles
};

__host__ __device__ __forceinline__ Grid grid_of(int width, int height) {
    return {(width + kTile - 1) / kTile, (height + kTile - 1) / kTile};
}

// One rank, as the lanes that work on its bands read it.
struct Ellipse {
    RowSpan<float> span;
    int band, tile0;  // first tile row; first tile of the camera
};

// Bands of a rank, 0 when unseen.
__device__ __forceinline__ int read_ellipse(const TilesArgs& a, int64_t rank, Ellipse& e) {
    const int64_t n = int64_t(a.cameras) * a.count;
    if (rank >= n) return 0;
    const int64_t at = a.order[rank];
    if (a.radii[2 * at] <= 0) return 0;
    const float* k = a.conics + 3 * at;
    e.span = make_row_span(a.means2d[2 * at], a.means2d[2 * at + 1], k[0], k[1], k[2],
                           ellipse_reach(a.opacities[at]));
    const Grid grid = grid_of(a.width, a.height);
    // centres y + 0.5 within half_height of the mean
    const float top = vmax(ceilf(e.span.mean_y - e.span.half_height - 0.5f), 0.0f);
    const float bottom = vmin(floorf(e.span.mean_y + e.span.half_height - 0.5f), float(a.height - 1));
    if (!(top <= bottom)) return 0;
    e.band = int(top) / kTile;
    e.tile0 = int(at / a.count) * grid.across * grid.down;
    return int(bottom) / kTile - e.band + 1;
}

// Pixel columns that the ellipse covers in the upper and the lower 8 rows of a tile row.
struct Extent {
    int first[2], last[2];
    __device__ __forceinline__ int tile0() const {
        return (first[0] < first[1] ? first[0] : first[1]) / kTile;
    }
    __device__ __forceinline__ int tile1() const { return (last[0] > last[1] ? last[0] : last[1]) / kTile; }
    __device__ __forceinline__ int tiles() const {
        return last[0] < 0 && last[1] < 0 ? 0 : tile1() - tile0() + 1;
    }
};

// Half widths grow by this (px) for the rounding of the centre, a few units in the last place of a pixel's number.
__device__ __forceinline__ float margin(int width, int height) {
    return 1e-3f + 5e-7f * float(width > height ? width : height);
}

__device__ Extent find_extent(const RowSpan<float>& e, int band, int width, int height) {
    Extent x = {{1 << 30, 1 << 30}, {-1, -1}};
#pragma unroll 4
    for (int row = 0; row < kTile; ++row) {
        const int y = band * kTile + row, half = row / kSubTile;
        const float dy = float(y) + 0.5f - e.mean_y;
        const float h = e.h0 - e.h2 * dy * dy;
        if (y >= height || !(h >= -float(kSpanSlack) * e.h0)) continue;
        const float reach = vsqrt(vmax(h, 0.0f)) * float(1 + kSpanSlack) + margin(width, height);
        const float center = e.mean_x - e.shear * dy - 0.5f;
        const float first = vmax(ceilf(center - reach), 0.0f),
                    last = vmin(floorf(center + reach), float(width - 1));
        if (!(first <= last)) continue;
        x.first[half] = int(first) < x.first[half] ? int(first) : x.first[half];
        x.last[half] = int(last) > x.last[half] ? int(last) : x.last[half];
    }
    return x;
}

__device__ __forceinline__ uint32_t sub_tiles(const Extent& x, int tile_x) {
    uint32_t mask = 0;
    for (int half = 0; half < 2; ++half)
        for (int side = 0; side < 2; ++side) {
            const int left = tile_x * kTile + side * kSubTile;
            if (x.first[half] < left + kSubTile && x.last[half] >= left) mask |= 1u << (2 * half + side);
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

// Calls use(owner lane, ellipse, band, extent) for every band of the warp's 32 ranks, 32 at a time, all lanes together; a
// lane without a band gets owner -1 and an empty extent. `slab` holds the warp's ellipses, `ends` where each one's bands end.
template <typename F>
__device__ __forceinline__ void for_each_band(const TilesArgs& a, int64_t rank0, Ellipse* slab, int* ends,
                                              F use) {
    const int lane = threadIdx.x % kWarp;
    const int end = inclusive_sum(read_ellipse(a, rank0 + lane, slab[lane]), lane);
    ends[lane] = end;
    const int bands = __shfl_sync(kFull, end, kWarp - 1);
    __syncwarp();
    for (int first = 0; first < bands; first += kWarp) {
        const int item = first + lane;
        int owner = -1, band = 0;
        Extent extent = {{0, 0}, {-1, -1}};
        if (item < bands) {
            owner = 0;  // the first rank whose bands end beyond this one
#pragma unroll
            for (int step = kWarp / 2; step; step /= 2)
                if (ends[owner + step - 1] <= item) owner += step;
            band = slab[owner].band + item - (owner ? ends[owner - 1] : 0);
            extent = find_extent(slab[owner].span, band, a.width, a.height);
        }
        use(owner, slab[owner < 0 ? 0 : owner], band, extent);
    }
}

__global__ void __launch_bounds__(kBlock) count_tiles_kernel(TilesArgs a, int32_t* counts) {
    SHARED(Ellipse, slabs, kBlock);
    SHARED(int, ends, kBlock);
    SHARED(int, totals, kBlock);
    const int base = threadIdx.x / kWarp * kWarp, lane = threadIdx.x % kWarp;
    const int64_t rank0 = int64_t(blockIdx.x) * kBlock + base, n = int64_t(a.cameras) * a.count;
    totals[threadIdx.x] = 0;
    __syncwarp();
    for_each_band(a, rank0, slabs + base, ends + base, [&](int owner, const Ellipse&, int, const Extent& x) {
        if (owner >= 0) atomicAdd(&totals[base + owner], x.tiles());
    });
    __syncwarp();
    // one more than the ranks: the prefix sum's last entry is then the total
    if (rank0 + lane <= n) counts[rank0 + lane] = totals[threadIdx.x];
}

struct Slots {  // by rank, before the sort
    uint32_t* tile;
    int32_t *number, *rank;
    uint8_t* mask;
};

// A thread for each rank and for each slot. What no rank writes gets a tile beyond all others.
__global__ void __launch_bounds__(kBlock) emit_pairs_kernel(TilesArgs a, Slots slots, uint32_t beyond) {
    SHARED(Ellipse, slabs, kBlock);
    SHARED(int, ends, kBlock);
    const int base = threadIdx.x / kWarp * kWarp, lane = threadIdx.x % kWarp;
    const int64_t rank0 = int64_t(blockIdx.x) * kBlock + base, n = int64_t(a.cameras) * a.count;
    const int64_t own = rank0 + lane;
    if (own < a.capacity) {
        slots.number[own] = int32_t(own);
        if (own >= a.rank_start[n]) slots.tile[own] = beyond, slots.rank[own] = 0, slots.mask[own] = 0;
    }
    if (rank0 >= n) return;  // the whole warp
    const int across = grid_of(a.width, a.height).across;
    int64_t next = a.rank_start[rank0];  // the warp's pairs lie together, bands in their order
    for_each_band(a, rank0, slabs + base, ends + base,
                  [&](int owner, const Ellipse& e, int band, const Extent& x) {
                      const int tiles = x.tiles(), upto = inclusive_sum(tiles, lane);
                      int64_t slot = next + upto - tiles;
                      for (int i = 0; i < tiles; ++i, ++slot) {
                          if (slot >= a.capacity) break;
                          const int tile_x = x.tile0() + i;
                          slots.tile[slot] = uint32_t(e.tile0 + band * across + tile_x);
                          slots.rank[slot] = int32_t(rank0 + owner);
                          slots.mask[slot] = uint8_t(sub_tiles(x, tile_x));
                      }
                      next += __shfl_sync(kFull, upto, kWarp - 1);
                  });
}

// A thread for each pair, whose rank and mask follow the sorted slots, and for each tile, whose pairs begin with the first
// sorted key that is not smaller.
__global__ void gather_pairs_kernel(TilesArgs a, Slots slots, const uint32_t* sorted, int tiles) {
    const int64_t i = int64_t(blockIdx.x) * kBlock + threadIdx.x;
    if (i < a.capacity) {
        const int32_t slot = a.pair_slot[i];
        a.pair_rank[i] = slots.rank[slot];
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
        slots.rank = p.take<int32_t>(capacity), slots.mask = p.take<uint8_t>(capacity);
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
    LAUNCH(depth_keys_kernel, blocks_for(n, kBlock), kBlock, stream, a.depths, a.radii, n, s.keys, s.values);
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
