/*
runtime.h - what tests use of the emulation beside the kernels: seeds, counters, the race check.
*/
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "simt.h"

namespace sctd::simt {

void set_seed(uint64_t seed);  // order of warps, lanes and blocks from the next launch on; 0: ascending
// Counters of COUNT_WARP, and "warps <kernel>", the warps launched of each; taking them sets them to zero.
std::map<std::string, int64_t> take_counters();

// A thread's position in the order of barriers, which the race check compares.
struct Moment {
    uint32_t block, thread, barrier,
        warp_sync;  // thread: in the block; barrier, warp_sync: how many it has passed
};

// Ends the launch with an error, in the name of the thread that runs.
[[noreturn]] void stop_thread(const std::string& what);
// The thread that runs; false between launches.
bool running(Moment& now);

// Called by the scheduler; the plain build does nothing (races_off.cpp), the race build checks (races.cpp).
void begin_race_check();
void forget_accesses(const void* address, size_t bytes);  // memory that begins a new life

}  // namespace sctd::simt
