/*
simd_rows.h - rows of 1 to 4 numbers ([N,3], say) to vectors, one per column, and back.

With AVX-512 a transposition is two or three permutations a vector; element by element it costs more than the projection's
arithmetic. Fewer rows than lanes go element by element: the last row then fills the lanes that are left.
*/
#pragma once

#include "simd.h"

SCTD_BEGIN

#if defined(__AVX512F__)
struct LaneIndex {
    alignas(64) int32_t at[16];
};

// Picks for column k of rows of K: lane l wants element K l + k of the vectors that lie one after another in memory. Of the pair
// (2 p, 2 p + 1) of them, element e is picked by e - 32 p.
template <int K>
constexpr LaneIndex column_index(int k, int pair) {
    LaneIndex index{};
    for (int l = 0; l < 16; ++l) index.at[l] = (K * l + k - 32 * pair) & 31;
    return index;
}

// Picks for vector j of rows of K: element e = 16 j + l is lane e / K of column e % K. Of the columns (2 p, 2 p + 1).
template <int K>
constexpr LaneIndex row_index(int j, int pair) {
    LaneIndex index{};
    for (int l = 0; l < 16; ++l) {
        const int e = 16 * j + l, column = e % K - 2 * pair;
        index.at[l] = (e / K + 16 * column) & 31;
    }
    return index;
}

template <int K>
constexpr uint16_t column_mask(int k) {  // lanes whose element lies in the second pair
    uint16_t mask = 0;
    for (int l = 0; l < 16; ++l) mask |= uint16_t((K * l + k >= 32) << l);
    return mask;
}

template <int K>
constexpr uint16_t row_mask(int j) {
    uint16_t mask = 0;
    for (int l = 0; l < 16; ++l) mask |= uint16_t(((16 * j + l) % K >= 2) << l);
    return mask;
}

SCTD_HD __m512 pick(const LaneIndex& index, __m512 a, __m512 b) {
    return _mm512_permutex2var_ps(a, _mm512_load_si512(index.at), b);
}

template <int K, int k>
SCTD_HD void load_column(const __m512 (&in)[4], VF* out) {
    static constexpr LaneIndex low = column_index<K>(k, 0), high = column_index<K>(k, 1);
    const __m512 first = pick(low, in[0], in[1]);
    out[k] = (VF)(K < 3 ? first : _mm512_mask_mov_ps(first, column_mask<K>(k), pick(high, in[2], in[3])));
    if constexpr (k + 1 < K) load_column<K, k + 1>(in, out);
}

template <int K, int j>
SCTD_HD void store_row_vector(const __m512 (&in)[4], float* out) {
    static constexpr LaneIndex low = row_index<K>(j, 0), high = row_index<K>(j, 1);
    const __m512 first = pick(low, in[0], in[1]);
    _mm512_storeu_ps(out + 16 * j,
                     K < 3 ? first : _mm512_mask_mov_ps(first, row_mask<K>(j), pick(high, in[2], in[3])));
    if constexpr (j + 1 < K) store_row_vector<K, j + 1>(in, out);
}
#endif

// out[k][l] = p[K l + k]
template <int K, typename S>
SCTD_HD void load_rows(const S* p, int rows, typename Simd<S>::V (&out)[K]) {
    constexpr int W = Simd<S>::W;
    using V = typename Simd<S>::V;
#if defined(__AVX512F__)
    if constexpr (sizeof(S) == 4 && K > 1)
        if (rows == W) {
            __m512 in[4];
            for (int j = 0; j < 4; ++j) in[j] = _mm512_loadu_ps(p + 16 * (j < K ? j : 0));
            return load_column<K, 0>(in, out);
        }
#endif
    if (K == 1 && rows == W) {
        out[0] = load<V>(p);
        return;
    }
    S lanes[K][W];
    for (int l = 0; l < W; ++l)
        for (int k = 0; k < K; ++k) lanes[k][l] = p[K * (l < rows ? l : rows - 1) + k];
    for (int k = 0; k < K; ++k) out[k] = load<V>(lanes[k]);
}

// p[K l + k] = v[k][l] for l < rows
template <int K, typename S>
SCTD_HD void store_rows(S* p, int rows, const typename Simd<S>::V (&v)[K]) {
    constexpr int W = Simd<S>::W;
#if defined(__AVX512F__)
    if constexpr (sizeof(S) == 4 && K > 1)
        if (rows == W) {
            __m512 in[4];
            for (int k = 0; k < 4; ++k) in[k] = (__m512)v[k < K ? k : 0];
            return store_row_vector<K, 0>(in, p);
        }
#endif
    if (K == 1 && rows == W) return store(p, v[0]);
    S lanes[K][W];
    for (int k = 0; k < K; ++k) store(lanes[k], v[k]);
    for (int l = 0; l < rows; ++l)
        for (int k = 0; k < K; ++k) p[K * l + k] = lanes[k][l];
}

SCTD_END
