/*
channels.h - the usual numbers of channels as constants: loops over them are unrolled. Over n they cost more than their bodies.
*/
#pragma once

#include "../include/common.h"

#include <cstdint>
#include <type_traits>

SCTD_BEGIN

// Calls f with n, as a constant where it is that of places or of colours.
template <typename F>
SCTD_HD void with_channels(int64_t n, F&& f) {
    switch (n) {
        case 2: return f(std::integral_constant<int64_t, 2>());
        case 3: return f(std::integral_constant<int64_t, 3>());
        default: return f(n);
    }
}

// Calls f(size, first) for the channels 0 .. n, three at a time.
template <typename F>
SCTD_HD void each_three(int64_t n, F&& f) {
    int64_t d = 0;
    for (; d + 3 <= n; d += 3) f(std::integral_constant<int, 3>(), d);
    if (n - d == 2) f(std::integral_constant<int, 2>(), d);
    if (n - d == 1) f(std::integral_constant<int, 1>(), d);
}

// K + n, a constant where n is.
template <int64_t K>
SCTD_HD int64_t plus(int64_t n) {
    return K + n;
}
template <int64_t K, int64_t N>
SCTD_HD std::integral_constant<int64_t, K + N> plus(std::integral_constant<int64_t, N>) {
    return {};
}

SCTD_END
