/*
depth_sort.cpp - least significant digit first. Each pass: pieces count their digits, the counts become places, pieces write.
*/
#include "depth_sort.h"

#include "scratch.h"
#include "threads.h"

#include <cstring>

namespace sctd {
namespace {

// Entries of a piece: fewer are not worth the tables that each piece needs.
constexpr int64_t kPiece = 8192;
constexpr int kMaxDigitBits = 12;  // 4096 counters: half of a first-level cache

template <typename K>
int bit_length(K x) {
    int bits = 0;
    for (; x; x >>= 1) ++bits;
    return bits;
}

}  // namespace

template <typename K>
DepthEntry<K>* depth_sort(DepthEntry<K>* from, DepthEntry<K>* to, int64_t n, K low, K high) {
    if (n < 2 || low == high) return from;
    const int bits = bit_length(K(high - low));
    // Few entries: the tables' own cost counts, so more passes over smaller ones.
    const int most = n < kPiece ? 8 : kMaxDigitBits;
    const int passes = (bits + most - 1) / most, digit = (bits + passes - 1) / passes;
    const int64_t bins = int64_t(1) << digit;
    const K mask = K(bins - 1);
    int64_t pieces = (n + kPiece - 1) / kPiece;
    if (pieces > 2 * thread_count()) pieces = 2 * thread_count();
    const int64_t grain = (n + pieces - 1) / pieces;
    Scratch<uint32_t> table(size_t(pieces * bins));
    for (int p = 0; p < passes; ++p) {
        const int shift = p * digit;
        auto count = [&](int64_t begin, int64_t end) {
            uint32_t* mine = table.data() + begin / grain * bins;
            memset(mine, 0, size_t(bins) * sizeof *mine);
            for (int64_t i = begin; i < end; ++i) ++mine[((from[i].key - low) >> shift) & mask];
        };
        parallel_ranges(n, grain, count);
        const int64_t used = (n + grain - 1) / grain;
        uint32_t sum = 0;
        for (int64_t b = 0; b < bins; ++b)
            for (int64_t k = 0; k < used; ++k) {
                const uint32_t size = table[k * bins + b];
                table[k * bins + b] = sum;
                sum += size;
            }
        auto write = [&](int64_t begin, int64_t end) {
            uint32_t* mine = table.data() + begin / grain * bins;
            for (int64_t i = begin; i < end; ++i) to[mine[((from[i].key - low) >> shift) & mask]++] = from[i];
        };
        parallel_ranges(n, grain, write);
        DepthEntry<K>* t = from;
        from = to, to = t;
    }
    return from;
}

template DepthEntry<uint32_t>* depth_sort(DepthEntry<uint32_t>*, DepthEntry<uint32_t>*, int64_t, uint32_t,
                                          uint32_t);
template DepthEntry<uint64_t>* depth_sort(DepthEntry<uint64_t>*, DepthEntry<uint64_t>*, int64_t, uint64_t,
                                          uint64_t);

}  // namespace sctd
