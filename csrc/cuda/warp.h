/*
warp.h - sums over the 32 lanes of a warp, in an order that never changes.

  warp_sum        one value, 5 shuffles, the total in every lane
  transposed_sum  N values at once: in each round a lane keeps half of the values and gets the other lanes' share of
                  them, so 9 values cost 12 shuffles where one after another they would cost 45
All lanes of the warp must call them.
*/
#pragma once

#include "device.h"

namespace sctd {

template <typename T>
__device__ __forceinline__ T warp_sum(T x) {
#pragma unroll
    for (int offset = 16; offset; offset /= 2) x += __shfl_xor_sync(kFull, x, offset);
    return x;
}

__device__ __forceinline__ int warp_max(int x) {
#pragma unroll
    for (int offset = 16; offset; offset /= 2) {
        const int other = __shfl_xor_sync(kFull, x, offset);
        x = other > x ? other : x;
    }
    return x;
}

// How many of n values a lane still holds after the rounds with offsets 16, 8, ... down to `offset`.
__host__ __device__ constexpr int values_left(int n, int offset) {
    for (int o = 16; o >= offset; o /= 2) n = (n + 1) / 2;
    return n;
}

// Which half of the values a lane keeps in each round, as all-ones or zero: a choice is then one instruction without a
// predicate register, of which a thread has seven.
struct Halves {
    unsigned upper[5];  // by log2 of the offset

    __device__ __forceinline__ explicit Halves(int lane) {
#pragma unroll
        for (int i = 0; i < 5; ++i) upper[i] = opaque(0u - (unsigned(lane) >> i & 1u));
    }
};

__device__ __forceinline__ float pick(unsigned mask, float a, float b) {
#if defined(__CUDACC__)
    float y;
    asm("lop3.b32 %0, %1, %2, %3, 0xCA;" : "=f"(y) : "r"(mask), "f"(a), "f"(b));  // mask ? a : b, bit by bit
    return y;
#else
    return __uint_as_float((__float_as_uint(a) & mask) | (__float_as_uint(b) & ~mask));
#endif
}

// Round log2(offset) and all that follow; v[0] ends as the lane's total. The upper lanes keep the second half.
template <int N, int Round>
__device__ __forceinline__ void transposed_rounds(float* v, const Halves& halves) {
    constexpr int kLeft = (N + 1) / 2, kOffset = 1 << Round;
    const unsigned upper = halves.upper[Round];
#pragma unroll
    for (int i = 0; i < N - kLeft; ++i) {
        const float give = pick(upper, v[i], v[kLeft + i]), keep = pick(upper, v[kLeft + i], v[i]);
        v[i] = keep + __shfl_xor_sync(kFull, give, kOffset);
    }
    if (N % 2)
        v[kLeft - 1] += __shfl_xor_sync(kFull, v[kLeft - 1], kOffset);  // has no partner: summed in both
    if constexpr (Round > 0) transposed_rounds<kLeft, Round - 1>(v, halves);
}

// Which of the N totals transposed_sum leaves in a lane; -1: one that a lower lane has too.
template <int N>
__device__ __forceinline__ int transposed_index(int lane) {
    int at = 0;  // followed backwards, from the last round's place 0 to the place among all N
    bool first = true;
#pragma unroll
    for (int offset = 1; offset <= 16; offset *= 2) {
        const int before = offset == 16 ? N : values_left(N, 2 * offset), left = (before + 1) / 2;
        if (!(lane & offset)) continue;
        if (left + at < before)
            at += left;
        else
            first = false;
    }
    return first ? at : -1;
}

template <int N>
__device__ __forceinline__ float transposed_sum(float (&v)[N], const Halves& halves) {
    transposed_rounds<N, 4>(v, halves);
    return v[0];
}

}  // namespace sctd
