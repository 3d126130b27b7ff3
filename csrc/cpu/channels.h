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

SCTD_END
