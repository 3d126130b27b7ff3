/*
tiles_write.cpp - the pairs found by tiles.cpp, sorted by tile into the caller's arrays.

A stable counting sort by tile: pairs come in depth order, so every tile's list ends up front to back. The pieces of tiles.cpp
have counted their pairs per tile; the counts become start positions, each piece writes its own.
*/
#include "kernels.h"
#include "threads.h"

#include <cstring>

namespace sctd {

void tiles_write(TileLists& lists, const TilesOut& out) {
    const int64_t tiles = lists.tiles;
    // Row by row: the counts of one tile lie a row apart.
    Scratch<int32_t> next(tiles);
    memset(next.data(), 0, size_t(tiles) * sizeof(int32_t));
    for (int64_t p = 0; p < lists.pieces; ++p) {
        const int32_t* row = lists.cursor.data() + p * tiles;
        for (int64_t t = 0; t < tiles; ++t) next[t] += row[t];
    }
    int32_t sum = 0;
    for (int64_t t = 0; t < tiles; ++t) {
        const int32_t size = next[t];
        out.tile_start[t] = next[t] = sum;
        sum += size;
    }
    out.tile_start[tiles] = sum;
    for (int64_t p = 0; p < lists.pieces; ++p) {
        int32_t* row = lists.cursor.data() + p * tiles;
        for (int64_t t = 0; t < tiles; ++t) {
            const int32_t size = row[t];
            row[t] = next[t];
            next[t] += size;
        }
    }
    memcpy(out.slot_start, lists.slot_start.data(), size_t(lists.total + 1) * sizeof(int32_t));
    auto write = [&](ptrdiff_t piece) {
        int32_t* mine = lists.cursor.data() + piece * tiles;
        const int64_t first = lists.place[piece], past = first + lists.sizes[piece];
        for (int64_t from = first; from < past; ++from) {
            const int32_t index = lists.index[from], pair = mine[lists.tile[from]]++;
            out.pair_index[pair] = index;
            out.pair_mask[pair] = int64_t(lists.mask[from]);
            out.slot_pair[lists.slot_start[index]++] = pair;
        }
    };
    parallel_for(lists.pieces, write);
}

}  // namespace sctd
