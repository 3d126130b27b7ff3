/*
primitives.h - the two parallel primitives that are not ours: a stable radix sort and a prefix sum, from CUB.

Both take scratch in CUB's two-phase way; *_scratch tells the bytes. n is at most 2^31 - 1. Under g++ they are std::stable_sort and a loop.
*/
#pragma once

#include "device.h"

namespace sctd::cuda {

// Sorts n (key, value) pairs by the key's bits [0, end_bit), stably, from *_in to *_out.
size_t radix_sort_pairs_scratch(int64_t n);
void radix_sort_pairs(void* scratch, size_t scratch_bytes, const uint32_t* keys_in, uint32_t* keys_out,
                      const int32_t* values_in, int32_t* values_out, int64_t n, int end_bit, Stream stream);

// out[i] = in[0] + ... + in[i - 1] of numbers that are not negative; 2^31 - 1 where it would be more
size_t exclusive_sum_scratch(int64_t n);
void exclusive_sum(void* scratch, size_t scratch_bytes, const int32_t* in, int32_t* out, int64_t n,
                   Stream stream);

}  // namespace sctd::cuda
