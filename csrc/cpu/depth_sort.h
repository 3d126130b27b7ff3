/*
depth_sort.h - stable parallel radix sort of the visible Gaussians by depth.

Keys are unsigned integers in the depths' order. Only the bits in which the keys differ are sorted: depths of one object share
their exponent, so 32-bit keys mostly take two passes. The result does not depend on the number of threads: a stable order
is unique.
*/
#pragma once

#include <cstdint>

namespace sctd {

template <typename K>
struct DepthEntry {
    K key;
    int32_t index;
};

// n entries of `from`, with keys in low .. high; returns which of the two arrays holds them sorted.
template <typename K>
DepthEntry<K>* depth_sort(DepthEntry<K>* from, DepthEntry<K>* to, int64_t n, K low, K high);

}  // namespace sctd
