/*
threads.h - a small thread pool: parallel_for over chunks, handed out one by one.

Own threads, because torch brings an OpenMP runtime and two of them in one process fight over the cores. Waiting threads
sleep. A call from inside a worker, or while another thread uses the pool, runs on the calling thread alone: never a
deadlock, never more threads than asked for. Which thread runs which chunk varies; so a chunk may write only what no
other chunk writes, and results cannot depend on the number of threads.
*/
#pragma once

#include <cstddef>

namespace sctd {

int thread_count();
void set_thread_count(int n);  // n >= 1

using ChunkFunction = void (*)(void* context, ptrdiff_t chunk);
void run_chunks(ptrdiff_t chunks, ChunkFunction function, void* context);

// Calls f(chunk) for chunk = 0 .. chunks-1, on any thread, and returns when all are done. f must not throw.
template <typename F>
inline void parallel_for(ptrdiff_t chunks, F& f) {
    run_chunks(chunks, [](void* c, ptrdiff_t i) { (*static_cast<F*>(c))(i); }, &f);
}

// Elements of one piece of an element-wise kernel: half a typical L1 cache with four streams of float.
constexpr ptrdiff_t kGrain = 8192;

// Calls f(begin, end) over pieces of [0, n) of `grain` items.
template <typename F>
inline void parallel_ranges(ptrdiff_t n, ptrdiff_t grain, F& f) {
    auto piece = [&](ptrdiff_t i) {
        const ptrdiff_t begin = i * grain, end = begin + grain < n ? begin + grain : n;
        f(begin, end);
    };
    parallel_for((n + grain - 1) / grain, piece);
}

}  // namespace sctd
