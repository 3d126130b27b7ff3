/*
tiles_write.cpp - the pairs found by tiles.cpp, sorted by tile into the caller's arrays.

A stable counting sort by tile: pairs come in rank order, so every tile's list ends up front to back. Ranks are cut into
pieces; each counts its pairs per tile, the counts become start positions, each piece writes its own.
*/
#include "kernels.h"
#include "threads.h"

#include <cstring>

namespace sctd {

void tiles_write(const TileLists& lists_in, int64_t capacity, const TilesOut& out) {
    TileLists& lists = const_cast<TileLists&>(lists_in);  // Scratch has no const access
    const int64_t n = lists.visible, tiles = lists.tiles;
    // Counters cost pieces * tiles; 32 pieces balance well beyond any desktop's threads.
    const int64_t grain = n / 32 > 512 ? n / 32 : 512;
    const int64_t pieces = (n + grain - 1) / grain;
    Scratch<int32_t> cursor(pieces * tiles + 1);
    auto count = [&](int64_t begin, int64_t end) {
        int32_t* mine = cursor.data() + begin / grain * tiles;
        memset(mine, 0, size_t(tiles) * sizeof *mine);
        for (int64_t r = begin; r < end; ++r) {
            const int32_t size = lists.rank_start[r + 1] - lists.rank_start[r];
            for (int32_t k = 0; k < size; ++k) ++mine[lists.tile[lists.place[r] + k]];
        }
    };
    parallel_ranges(n, grain, count);
    int32_t sum = 0;
    for (int64_t t = 0; t < tiles; ++t) {
        out.tile_start[t] = sum;
        for (int64_t p = 0; p < pieces; ++p) {
            const int32_t size = cursor[p * tiles + t];
            cursor[p * tiles + t] = sum;
            sum += size;
        }
    }
    out.tile_start[tiles] = sum;
    auto write = [&](int64_t begin, int64_t end) {
        int32_t* mine = cursor.data() + begin / grain * tiles;
        for (int64_t r = begin; r < end; ++r) {
            const int32_t slot = lists.rank_start[r], size = lists.rank_start[r + 1] - slot;
            for (int32_t k = 0; k < size; ++k) {
                const int64_t from = lists.place[r] + k;
                const int32_t at = mine[lists.tile[from]]++;
                out.pair_rank[at] = int32_t(r);
                out.pair_slot[at] = slot + k;
                out.pair_mask[at] = int64_t(lists.mask[from]);
            }
        }
    };
    parallel_ranges(n, grain, write);
    if (n) memcpy(out.order, lists.order.data(), size_t(n) * sizeof(int32_t));
    memcpy(out.rank_start, lists.rank_start.data(), size_t(n + 1) * sizeof(int32_t));
    // The arrays have a fixed size; what is past the last rank reads as "no pairs".
    for (int64_t r = n; r < capacity; ++r) out.order[r] = -1, out.rank_start[r + 1] = int32_t(lists.pairs);
}

}  // namespace sctd
