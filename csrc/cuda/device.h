/*
device.h - the one header that every .cu file starts from: CUDA under nvcc, its emulation (csrc/simt) under g++.

What differs between the two is spelled once, here:
  LAUNCH(kernel, grid, block, stream, args...)   a launch; a refused one throws
  SHARED(T, name, n)                             n elements of shared memory, T* name
  COUNT_WARP(name, n)                            adds n to a counter of the emulation, once a warp; nothing on a GPU
  fast_exp2, fast_reciprocal, fast_sqrt          one instruction or two on a GPU (2^-22, 1 ulp, 2^-22 relative)
Kernels are compiled without contraction: forward and backward must round alike, so every fused multiply-add is a madd.
*/
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#if defined(__CUDACC__)
#include <cuda_runtime.h>
#else
#include "../simt/simt.h"
#endif

#ifndef SCTD_ISA
#define SCTD_ISA device
#endif
#include "../include/common.h"

namespace sctd {

using Stream = void*;  // a cudaStream_t; null is the default stream
constexpr int kWarp = 32;
constexpr unsigned kFull = 0xffffffffu;

#if defined(__CUDACC__)

#define SHARED(T, name, n) __shared__ T name[n]
#define COUNT_WARP(name, n) ((void)0)
#define LAUNCH(kernel, grid, block, stream, ...)                                          \
    do {                                                                                  \
        (kernel)<<<(grid), (block), 0, static_cast<cudaStream_t>(stream)>>>(__VA_ARGS__); \
        ::sctd::check_cuda(cudaGetLastError(), #kernel);                                  \
    } while (0)

inline void check_cuda(cudaError_t status, const char* what) {
    if (status != cudaSuccess)
        throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(status));
}

inline void fill_bytes(void* at, int value, size_t size, Stream stream) {
    check_cuda(cudaMemsetAsync(at, value, size, static_cast<cudaStream_t>(stream)), "cudaMemsetAsync");
}

__device__ __forceinline__ float fast_exp2(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

__device__ __forceinline__ float fast_reciprocal(float x) {
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

__device__ __forceinline__ float fast_sqrt(float x) {
    float y;
    asm("sqrt.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

// The same value, of which the compiler knows nothing more.
__device__ __forceinline__ unsigned opaque(unsigned x) {
    asm volatile("" : "+r"(x));
    return x;
}

#else

template <typename T>
T opaque(T x) {
    return x;
}

inline void fill_bytes(void* at, int value, size_t size, Stream) {
    __builtin_memset(at, value, size);
    HOST_WROTE(at, size);
}
inline float fast_exp2(float x) { return exp2f(x); }
inline float fast_reciprocal(float x) { return 1 / x; }
inline float fast_sqrt(float x) { return sqrtf(x); }

#endif

// Blocks of `block` threads that cover n items.
inline unsigned blocks_for(int64_t n, int block) { return unsigned((n + block - 1) / block); }

}  // namespace sctd
