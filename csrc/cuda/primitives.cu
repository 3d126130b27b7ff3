#include "primitives.h"

#if defined(__CUDACC__)
#include <cub/device/device_radix_sort.cuh>
#include <cub/device/device_scan.cuh>
#else
#include <algorithm>
#include <numeric>
#include <vector>
#endif

namespace sctd::cuda {
namespace {

struct SaturatingSum {
    __host__ __device__ __forceinline__ int32_t operator()(int32_t a, int32_t b) const {
        const uint32_t sum = uint32_t(a) + uint32_t(b);
        return sum > uint32_t(INT32_MAX) ? INT32_MAX : int32_t(sum);
    }
};

}  // namespace

#if defined(__CUDACC__)

// CUB's template is of the type of n: with 64 bits it takes the variants for larger inputs, fewer items a thread.
size_t radix_sort_pairs_scratch(int64_t n) {
    size_t bytes = 0;
    const uint32_t* keys = nullptr;
    const int32_t* values = nullptr;
    check_cuda(cub::DeviceRadixSort::SortPairs(nullptr, bytes, keys, static_cast<uint32_t*>(nullptr), values,
                                               static_cast<int32_t*>(nullptr), int(n)),
               "radix_sort_pairs_scratch");
    return bytes;
}

void radix_sort_pairs(void* scratch, size_t scratch_bytes, const uint32_t* keys_in, uint32_t* keys_out,
                      const int32_t* values_in, int32_t* values_out, int64_t n, int end_bit, Stream stream) {
    check_cuda(
        cub::DeviceRadixSort::SortPairs(scratch, scratch_bytes, keys_in, keys_out, values_in, values_out,
                                        int(n), 0, end_bit, static_cast<cudaStream_t>(stream)),
        "radix_sort_pairs");
}

size_t exclusive_sum_scratch(int64_t n) {
    size_t bytes = 0;
    const int32_t* in = nullptr;
    check_cuda(cub::DeviceScan::ExclusiveScan(nullptr, bytes, in, static_cast<int32_t*>(nullptr),
                                              SaturatingSum(), int32_t(0), int(n)),
               "exclusive_sum_scratch");
    return bytes;
}

void exclusive_sum(void* scratch, size_t scratch_bytes, const int32_t* in, int32_t* out, int64_t n,
                   Stream stream) {
    check_cuda(cub::DeviceScan::ExclusiveScan(scratch, scratch_bytes, in, out, SaturatingSum(), int32_t(0),
                                              int(n), static_cast<cudaStream_t>(stream)),
               "exclusive_sum");
}

#else

size_t radix_sort_pairs_scratch(int64_t) { return 1; }  // CUB never asks for nothing

void radix_sort_pairs(void* scratch, size_t scratch_bytes, const uint32_t* keys_in, uint32_t* keys_out,
                      const int32_t* values_in, int32_t* values_out, int64_t n, int end_bit, Stream) {
    if (!scratch || scratch_bytes < radix_sort_pairs_scratch(n))
        throw std::runtime_error("sort: too little scratch");
    std::vector<int64_t> at(n);
    std::iota(at.begin(), at.end(), int64_t(0));
    const uint32_t mask = end_bit >= 32 ? ~0u : (1u << end_bit) - 1;
    std::stable_sort(at.begin(), at.end(),
                     [&](int64_t i, int64_t j) { return (keys_in[i] & mask) < (keys_in[j] & mask); });
    for (int64_t i = 0; i < n; ++i) keys_out[i] = keys_in[at[i]], values_out[i] = values_in[at[i]];
    HOST_WROTE(keys_out, size_t(n) * sizeof *keys_out);
    HOST_WROTE(values_out, size_t(n) * sizeof *values_out);
}

size_t exclusive_sum_scratch(int64_t) { return 1; }

void exclusive_sum(void* scratch, size_t scratch_bytes, const int32_t* in, int32_t* out, int64_t n, Stream) {
    if (!scratch || scratch_bytes < exclusive_sum_scratch(n))
        throw std::runtime_error("sum: too little scratch");
    int32_t sum = 0;
    for (int64_t i = 0; i < n; ++i) {
        const int32_t value = in[i];
        out[i] = sum;
        sum = SaturatingSum()(sum, value);
    }
    HOST_WROTE(out, size_t(n) * sizeof *out);
}

#endif

}  // namespace sctd::cuda
