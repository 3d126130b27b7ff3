/*
simt.h - makes a .cu file ordinary C++: the CUDA words that the kernels use, executed thread by thread on the CPU.

One fiber a thread, blocks one after another. A warp's lanes run to the next collective, in a seeded order; the collective is
resolved when every lane of its mask has come to the same one; then the next warp. What a GPU leaves undefined is an error
here, with kernel, block, thread and source lines: a caller outside its own mask, lanes that have left or wait elsewhere, a
barrier that part of the block never reaches, a shuffle from a lane outside the mask. Shared memory starts as NaN.
__activemask tells of the caller alone, so no code can rely on lanes staying together.

For tests. Nothing measured here is a time; the counters (COUNT_WARP) are numbers that a GPU would have too.
*/
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

#ifndef LAUNCH  // else csrc/ptx/launch.h has sent it elsewhere
#define LAUNCH(kernel, grid, block, stream, ...) \
    ((void)(stream), ::sctd::simt::launch(#kernel, (grid), (block), [&] { (kernel)(__VA_ARGS__); }))
#define HOST_WROTE(at, bytes) ((void)0)  // device memory that the host's stand-ins have written
#endif
#define SHARED(T, name, n) \
    T* const name = static_cast<T*>(::sctd::simt::shared(sizeof(T) * (n), __FILE__, __LINE__))
#define COUNT_WARP(name, n)                                       \
    do {                                                          \
        if (threadIdx.x % 32 == 0) ::sctd::simt::count(#name, n); \
    } while (0)

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
extern dim3 threadIdx, blockIdx, blockDim, gridDim;  // of the thread that runs

namespace sctd::simt {

struct Site {
    const char* file;
    int line;
};

enum class Op : uint8_t { kShuffle, kBallot, kAll, kAny, kSyncWarp, kBarrier };

void launch(const char* kernel, dim3 grid, dim3 block, const std::function<void()>& thread);
void* shared(size_t bytes, const char* file, int line);
void count(const char* name, int64_t n);
// Hands over `value` and waits for the lanes of `mask`; `from` is the lane whose value a shuffle returns.
uint64_t collective(Op op, unsigned mask, uint64_t value, int from, Site site);
void note_atomic(const void* address, size_t bytes, const void* caller);  // for the race check

inline int lane() { return int(threadIdx.x % 32); }

template <typename T>
T shuffle(unsigned mask, T value, int from, Site site) {
    static_assert(sizeof(T) <= 8, "a shuffle moves at most 8 bytes");
    uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof(T));
    bits = collective(Op::kShuffle, mask, bits, from, site);
    std::memcpy(&value, &bits, sizeof(T));
    return value;
}

// The race check treats it as a whole, in the name of the kernel's line.
template <typename T>
__attribute__((noinline, no_sanitize("thread"))) T atomic_add(T* address, T value) {
    note_atomic(address, sizeof(T), __builtin_return_address(0));
    const T old = *address;
    *address = old + value;
    return old;
}

template <typename T>
__attribute__((noinline, no_sanitize("thread"))) T atomic_min(T* address, T value) {
    note_atomic(address, sizeof(T), __builtin_return_address(0));
    const T old = *address;
    *address = value < old ? value : old;
    return old;
}

}  // namespace sctd::simt

#define SIMT_HERE const char *file = __builtin_FILE(), int line = __builtin_LINE()
#define SIMT_SITE (::sctd::simt::Site{file, line})

inline void __syncthreads(SIMT_HERE) { sctd::simt::collective(sctd::simt::Op::kBarrier, 0, 0, 0, SIMT_SITE); }
inline void __syncwarp(unsigned mask = 0xffffffffu, SIMT_HERE) {
    sctd::simt::collective(sctd::simt::Op::kSyncWarp, mask, 0, 0, SIMT_SITE);
}
inline unsigned __ballot_sync(unsigned mask, bool vote, SIMT_HERE) {
    return unsigned(sctd::simt::collective(sctd::simt::Op::kBallot, mask, vote, 0, SIMT_SITE));
}
inline bool __all_sync(unsigned mask, bool vote, SIMT_HERE) {
    return sctd::simt::collective(sctd::simt::Op::kAll, mask, vote, 0, SIMT_SITE) != 0;
}
inline bool __any_sync(unsigned mask, bool vote, SIMT_HERE) {
    return sctd::simt::collective(sctd::simt::Op::kAny, mask, vote, 0, SIMT_SITE) != 0;
}
inline unsigned __activemask() { return 1u << sctd::simt::lane(); }

template <typename T>
T __shfl_sync(unsigned mask, T value, int from, SIMT_HERE) {
    return sctd::simt::shuffle(mask, value, from & 31, SIMT_SITE);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int offset, SIMT_HERE) {
    return sctd::simt::shuffle(mask, value, sctd::simt::lane() ^ offset, SIMT_SITE);
}
// Lanes without a source keep their own value, as on a GPU.
template <typename T>
T __shfl_up_sync(unsigned mask, T value, int offset, SIMT_HERE) {
    const int from = sctd::simt::lane() - offset;
    return sctd::simt::shuffle(mask, value, from < 0 ? sctd::simt::lane() : from, SIMT_SITE);
}

inline float atomicAdd(float* address, float value) { return sctd::simt::atomic_add(address, value); }
inline int atomicAdd(int* address, int value) { return sctd::simt::atomic_add(address, value); }

inline unsigned long long atomicMin(unsigned long long* address, unsigned long long value) {
    return sctd::simt::atomic_min(address, value);
}

inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __clz(int x) { return x ? __builtin_clz(unsigned(x)) : 32; }
inline uint32_t __float_as_uint(float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    return bits;
}
inline float __uint_as_float(uint32_t bits) {
    float x;
    std::memcpy(&x, &bits, sizeof x);
    return x;
}
