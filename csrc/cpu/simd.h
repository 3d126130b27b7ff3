/*
simd.h - SIMD vectors of float or double, as wide as the instruction set this file is compiled for.

Plain GCC/Clang vector types (arithmetic, comparison and ?: are the compiler's), plus the few operations they lack.
A vector of W lanes covers W/4 rows of 4 pixels, so W is 4, 8 or 16.
*/
#pragma once

#include "../include/common.h"

#include <cstring>

#if defined(__AVX2__) || defined(__AVX512F__) || defined(__SSE2__)
#include <immintrin.h>
#endif
#if defined(__aarch64__)
#include <arm_neon.h>
#endif

SCTD_BEGIN

#if defined(__AVX512F__)
constexpr int kFloats = 16, kDoubles = 8;
#elif defined(__AVX2__)
constexpr int kFloats = 8, kDoubles = 4;
#else
constexpr int kFloats = 4, kDoubles = 4;  // doubles in two registers: they are for checking, not for speed
#endif
typedef float VF __attribute__((vector_size(4 * kFloats)));
typedef int32_t MF __attribute__((vector_size(4 * kFloats)));
typedef double VD __attribute__((vector_size(8 * kDoubles)));
typedef int64_t MD __attribute__((vector_size(8 * kDoubles)));

// V: vector of S, M: its comparison result, W: lanes.
template <typename S>
struct Simd;
template <>
struct Simd<float> {
    using V = VF;
    using M = MF;
    static constexpr int W = kFloats;
};
template <>
struct Simd<double> {
    using V = VD;
    using M = MD;
    static constexpr int W = kDoubles;
};

template <>
struct ScalarOf<VF> {
    using type = float;
};
template <>
struct ScalarOf<VD> {
    using type = double;
};

template <typename V, typename S>
SCTD_HD V load(const S* p) {
    V v;
    memcpy(&v, p, sizeof v);
    return v;
}

template <typename V, typename S>
SCTD_HD void store(S* p, V v) {
    memcpy(p, &v, sizeof v);
}

template <typename V, typename S>
SCTD_HD V splat(S s) {
    return V{} + s;
}

#define SCTD_GENERIC_OPS(V, M, S, W)                      \
    SCTD_HD V select(M m, V a, V b) { return m ? a : b; } \
    SCTD_HD V masked(M m, V a) { return (V)((M)a & m); }  \
    SCTD_HD V vabs(V a) { return a < V{} ? -a : a; }      \
    SCTD_HD S hsum(V a) { /* pairwise, a fixed order */   \
        S s[W];                                           \
        memcpy(s, &a, sizeof a);                          \
        for (int h = W / 2; h > 0; h /= 2)                \
            for (int i = 0; i < h; ++i) s[i] += s[i + h]; \
        return s[0];                                      \
    }
SCTD_GENERIC_OPS(VF, MF, float, kFloats)
SCTD_GENERIC_OPS(VD, MD, double, kDoubles)
#undef SCTD_GENERIC_OPS

#define SCTD_SLOW_OPS(V, M, S, W)                                  \
    SCTD_HD V madd(V a, V b, V c) { return a * b + c; }            \
    SCTD_HD V vmin(V a, V b) { return a < b ? a : b; }             \
    SCTD_HD V vmax(V a, V b) { return a > b ? a : b; }             \
    SCTD_HD V vsqrt(V a) {                                         \
        for (int i = 0; i < W; ++i) a[i] = sctd::vsqrt(S(a[i]));   \
        return a;                                                  \
    }                                                              \
    SCTD_HD uint32_t bits(M m) {                                   \
        uint32_t r = 0;                                            \
        for (int i = 0; i < W; ++i) r |= uint32_t(m[i] != 0) << i; \
        return r;                                                  \
    }

#if defined(__AVX512F__)
SCTD_HD VF madd(VF a, VF b, VF c) { return (VF)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }
SCTD_HD VF vmin(VF a, VF b) { return (VF)_mm512_min_ps((__m512)a, (__m512)b); }
SCTD_HD VF vmax(VF a, VF b) { return (VF)_mm512_max_ps((__m512)a, (__m512)b); }
SCTD_HD VF vsqrt(VF a) { return (VF)_mm512_sqrt_ps((__m512)a); }
SCTD_HD uint32_t bits(MF m) { return _mm512_movepi32_mask((__m512i)m); }
SCTD_HD VD madd(VD a, VD b, VD c) { return (VD)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c); }
SCTD_HD VD vmin(VD a, VD b) { return (VD)_mm512_min_pd((__m512d)a, (__m512d)b); }
SCTD_HD VD vmax(VD a, VD b) { return (VD)_mm512_max_pd((__m512d)a, (__m512d)b); }
SCTD_HD VD vsqrt(VD a) { return (VD)_mm512_sqrt_pd((__m512d)a); }
SCTD_HD uint32_t bits(MD m) { return _mm512_movepi64_mask((__m512i)m); }
#elif defined(__AVX2__)
SCTD_HD VF madd(VF a, VF b, VF c) { return (VF)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }
SCTD_HD VF vmin(VF a, VF b) { return (VF)_mm256_min_ps((__m256)a, (__m256)b); }
SCTD_HD VF vmax(VF a, VF b) { return (VF)_mm256_max_ps((__m256)a, (__m256)b); }
SCTD_HD VF vsqrt(VF a) { return (VF)_mm256_sqrt_ps((__m256)a); }
SCTD_HD uint32_t bits(MF m) { return uint32_t(_mm256_movemask_ps((__m256)m)); }
SCTD_HD VD madd(VD a, VD b, VD c) { return (VD)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c); }
SCTD_HD VD vmin(VD a, VD b) { return (VD)_mm256_min_pd((__m256d)a, (__m256d)b); }
SCTD_HD VD vmax(VD a, VD b) { return (VD)_mm256_max_pd((__m256d)a, (__m256d)b); }
SCTD_HD VD vsqrt(VD a) { return (VD)_mm256_sqrt_pd((__m256d)a); }
SCTD_HD uint32_t bits(MD m) { return uint32_t(_mm256_movemask_pd((__m256d)m)); }
#else
#if defined(__aarch64__)
SCTD_HD VF madd(VF a, VF b, VF c) { return (VF)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b); }
SCTD_HD VF vmin(VF a, VF b) { return a < b ? a : b; }
SCTD_HD VF vmax(VF a, VF b) { return a > b ? a : b; }
SCTD_HD VF vsqrt(VF a) { return (VF)vsqrtq_f32((float32x4_t)a); }
SCTD_HD uint32_t bits(MF m) {
    const MF weight = {1, 2, 4, 8};
    return uint32_t(vaddvq_s32((int32x4_t)(m & weight)));
}
#elif defined(__SSE2__)
SCTD_HD VF madd(VF a, VF b, VF c) { return a * b + c; }
SCTD_HD VF vmin(VF a, VF b) { return (VF)_mm_min_ps((__m128)a, (__m128)b); }
SCTD_HD VF vmax(VF a, VF b) { return (VF)_mm_max_ps((__m128)a, (__m128)b); }
SCTD_HD VF vsqrt(VF a) { return (VF)_mm_sqrt_ps((__m128)a); }
SCTD_HD uint32_t bits(MF m) { return uint32_t(_mm_movemask_ps((__m128)m)); }
#else
SCTD_SLOW_OPS(VF, MF, float, kFloats)
#endif
SCTD_SLOW_OPS(VD, MD, double, kDoubles)
#endif
#undef SCTD_SLOW_OPS

// log(x) = k log 2 + 2 artanh(s), s = (m - 1) / (m + 1), x = 2^k m, m in [sqrt(1/2), sqrt(2)): there s^2 < 0.0295, and five
// terms of the series leave an error below one float epsilon. NaN for x <= 0 and NaN; denormals read as about 2^-127.
SCTD_HD VF vlog(VF x) {
    const MF sqrt_half = MF{} + 0x3f3504f3;
    const MF k = ((MF)x - sqrt_half) >> 23;
    const VF m = (VF)((MF)x - (k << 23));
    const VF s = (m - 1.0f) / (m + 1.0f), z = s * s;
    VF p = splat<VF>(2.0f / 9);
    p = madd(p, z, splat<VF>(2.0f / 7));
    p = madd(p, z, splat<VF>(2.0f / 5));
    p = madd(p, z, splat<VF>(2.0f / 3));
    const VF log_m = madd(p * z, s, s + s);
    const VF r = madd(__builtin_convertvector(k, VF), splat<VF>(0.693147181f), log_m);
    return select(x > VF{}, r, splat<VF>(__builtin_nanf("")));
}

SCTD_HD VD vlog(VD x) {
    for (int i = 0; i < kDoubles; ++i) x[i] = ::log(x[i]);
    return x;
}

// bits((a <= b) & (c >= d)); with AVX-512 a mask never becomes a vector
template <typename V>
SCTD_HD uint32_t bits_between(V a, V b, V c, V d) {
#if defined(__AVX512F__)
    if constexpr (sizeof(a[0]) == 4)
        return _mm512_mask_cmp_ps_mask(_mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_LE_OQ), (__m512)c,
                                       (__m512)d, _CMP_GE_OQ);
#endif
    return bits((a <= b) & (c >= d));
}

#if defined(__AVX512F__)
// Up to 16 vectors summed together, as a transposition: halves, quarters, then within quarters. The tree's inputs are ordered so
// that its only vector holds the sums in order; numbers past N are never read.
template <int N>
SCTD_HD VF hsum_16(const VF (&v)[N]) {
    auto at = [&](int i) { return (__m512)v[i < N ? i : 0]; };
    auto quarters =
        [&](int i) {  // four partial sums of v[i], v[4 + i], v[8 + i], v[12 + i], one quarter each
            const __m512 a = at(i), b = at(4 + i), c = at(8 + i), d = at(12 + i);
            const __m512 ab =
                _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
            const __m512 cd =
                8 + i < N ? _mm512_add_ps(_mm512_shuffle_f32x4(c, d, 0x44), _mm512_shuffle_f32x4(c, d, 0xee))
                          : ab;
            return _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xdd));
        };
    auto pairs = [](__m512 a, __m512 b) {
        return _mm512_add_ps(_mm512_shuffle_ps(a, b, 0x44), _mm512_shuffle_ps(a, b, 0xee));
    };
    const __m512 low = pairs(quarters(0), quarters(1)), high = pairs(quarters(2), quarters(3));
    return (VF)_mm512_add_ps(_mm512_shuffle_ps(low, high, 0x88), _mm512_shuffle_ps(low, high, 0xdd));
}
#endif

// out[i] = sum of the lanes of v[i], i < N
template <typename S, int N>
SCTD_HD void hsum_all(const typename Simd<S>::V (&v)[N], S* out) {
    int i = 0;
#if defined(__AVX512F__)
    if constexpr (sizeof(S) == 4 && N > 4 && N <= 16)
        return _mm512_mask_storeu_ps(out, __mmask16((1u << N) - 1), (__m512)hsum_16(v));
#elif defined(__AVX2__)
    // Four vectors are summed together.
    if (sizeof(S) == 4)
        for (; i + 3 < N; i += 4) {
            const __m256 a = _mm256_hadd_ps((__m256)v[i], (__m256)v[i + 1]),
                         b = _mm256_hadd_ps((__m256)v[i + 2], (__m256)v[i + 3]);
            const __m256 c = _mm256_hadd_ps(a, b);
            const __m128 sum = _mm_add_ps(_mm256_castps256_ps128(c), _mm256_extractf128_ps(c, 1));
            memcpy(out + i, &sum, sizeof sum);
        }
#endif
    for (; i < N; ++i) out[i] = hsum(v[i]);
}

// 2^-e for 0 <= e <= 126, relative error below one float epsilon. The polynomial is the relative minimax of degree 6 on
// [-1/2, 1/2] with p(0) = 1; degree 5 has an error of 1.4 epsilons, and the gradients then miss their tolerance. Adding
// 1.5 * 2^23 rounds to an integer, which then sits in the low bits.
SCTD_HD VF exp2_neg(VF e) {
    const VF magic = splat<VF>(12582912.0f);
    const VF n = magic - e;
    const VF f = (magic - n) - e;  // -e = rounded + f
    VF p = splat<VF>(1.53533416e-4f);
    p = madd(p, f, splat<VF>(1.33988727e-3f));
    p = madd(p, f, splat<VF>(9.61843785e-3f));
    p = madd(p, f, splat<VF>(5.55033237e-2f));
    p = madd(p, f, splat<VF>(2.40226477e-1f));
    p = madd(p, f, splat<VF>(6.93147182e-1f));
    p = madd(p, f, splat<VF>(1.0f));
    return (VF)((MF)p + ((MF)n << 23));
}

SCTD_HD VD exp2_neg(VD e) {
    for (int i = 0; i < kDoubles; ++i) e[i] = ::exp2(-e[i]);
    return e;
}

SCTD_END
