/*
numbers.h - numbers that C++ does not have: bfloat16, two floats in 64 bits; flushing of subnormals, and jitter by ulps.
*/
#pragma once

#include <cmath>

#include "ptx.h"

namespace sctd::ptx {

template <typename To, typename From>
To bit_cast(const From& from) {
    static_assert(sizeof(To) == sizeof(From), "a cast keeps the bits");
    To to;
    std::memcpy(&to, &from, sizeof to);
    return to;
}

struct BFloat {
    uint16_t bits;
};

inline float widened(_Float16 x) { return float(x); }
inline float widened(BFloat x) { return bit_cast<float>(uint32_t(x.bits) << 16); }

inline BFloat to_bfloat(float x) {  // to the nearest, ties to even
    const uint32_t bits = bit_cast<uint32_t>(x);
    if (x != x) return {0x7fff};
    return {uint16_t((bits + 0x7fffu + (bits >> 16 & 1)) >> 16)};
}

template <int Half>
float half_of(uint64_t x) {
    return bit_cast<float>(uint32_t(x >> (32 * Half)));
}
inline uint64_t joined(float low, float high) {
    return uint64_t(bit_cast<uint32_t>(high)) << 32 | bit_cast<uint32_t>(low);
}
template <typename F>
uint64_t both(uint64_t a, uint64_t b, F f) {
    return joined(f(half_of<0>(a), half_of<0>(b)), f(half_of<1>(a), half_of<1>(b)));
}

inline float flushed(float x) { return std::fabs(x) < 1.17549435e-38f ? std::copysign(0.0f, x) : x; }

// The value, or one up to `most` ulps beside it where the machine is told to jitter.
inline float jittered(float x, int most) {
    if (!g_machine.jitter || !std::isfinite(x) || x == 0) return x;
    int by = int(g_machine.random() % uint64_t(2 * most + 1)) - most;
    for (; by > 0; --by) x = std::nextafterf(x, INFINITY);
    for (; by < 0; ++by) x = std::nextafterf(x, -INFINITY);
    return x;
}

}  // namespace sctd::ptx
