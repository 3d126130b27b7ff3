/*
races.cpp - finds two threads of a launch that touch the same byte without a barrier between them.

The kernels are compiled with -fsanitize=thread, which calls a __tsan_* function before every access to memory; these
functions are defined here instead of libtsan's, which knows nothing of warps and blocks. For every byte they remember the
last write and the last reads, each with its thread's place in the order that barriers give (Moment). Two accesses of
different threads, one of them a write and not both atomic, race unless
    they are in one block and __syncthreads lies between them, or
    they are in one warp and a __syncwarp of all its lanes lies between them.
Shuffles and votes order no memory. The check leaves out stacks and the emulation's own variables.
*/
#include <dlfcn.h>

#include <cstdio>
#include <stdexcept>
#include <unordered_map>

#include "fiber.h"
#include "runtime.h"

namespace sctd::simt {
namespace {

struct Access {
    Moment at{};
    const void* pc = nullptr;  // null: none yet
    bool atomic = false;
};

struct Byte {
    Access write, read[2];  // the two last readers, of different threads
};

std::unordered_map<uintptr_t, Byte> g_bytes;

bool ordered(const Moment& before, const Moment& now) {
    if (before.block != now.block) return false;
    if (before.thread == now.thread || before.barrier != now.barrier) return true;
    return before.thread / 32 == now.thread / 32 && before.warp_sync != now.warp_sync;
}

// "file.cu:123 (function)" of an instruction, by the system's addr2line; the address alone where that is missing.
std::string line_of(const void* pc) {
    Dl_info info{};
    if (!dladdr(pc, &info) || !info.dli_fname) return "?";
    char command[1024], line[512] = "";
    std::snprintf(command, sizeof command, "addr2line -s -e '%s' %#zx 2>/dev/null", info.dli_fname,
                  size_t(static_cast<const char*>(pc) - static_cast<const char*>(info.dli_fbase)) - 1);
    if (FILE* pipe = popen(command, "r")) {
        if (!std::fgets(line, sizeof line, pipe)) line[0] = 0;
        pclose(pipe);
    }
    std::string text = line;
    while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
    return text.empty() ? info.dli_fname : text;
}

void check(const Access& before, const Access& now, bool write_before, bool write_now) {
    if (!before.pc || !(write_before || write_now)) return;
    if ((before.atomic && now.atomic) || ordered(before.at, now.at)) return;
    auto tell = [](const Access& a, bool write) {
        return std::string(a.atomic ? "an atomic"
                           : write  ? "a write"
                                    : "a read") +
               " by thread " + std::to_string(a.at.thread) + " of block " + std::to_string(a.at.block) +
               " at " + line_of(a.pc);
    };
    stop_thread("race: " + tell(before, write_before) + " and " + tell(now, write_now) +
                " touch the same byte without a barrier between them");
}

void touch_byte(uintptr_t address, const Access& now, bool write) {
    Byte& w = g_bytes[address];
    check(w.write, now, true, write);
    if (write) {
        for (const Access& r : w.read) check(r, now, false, true);
        w.write = now;
        w.read[0] = w.read[1] = Access{};
    } else {
        if (w.read[0].at.thread != now.at.thread || w.read[0].at.block != now.at.block) w.read[1] = w.read[0];
        w.read[0] = now;
    }
}

bool inside(const void* p, const dim3& variable) { return p >= &variable && p < &variable + 1; }

bool own_variable(const void* p) {
    return inside(p, threadIdx) || inside(p, blockIdx) || inside(p, blockDim) || inside(p, gridDim);
}

}  // namespace

void touch(const void* p, size_t bytes, bool write, bool atomic, const void* pc) {
    Access now;
    if (!running(now.at) || fiber_stack_holds(p) || own_variable(p)) return;
    now.pc = pc, now.atomic = atomic;
    for (size_t i = 0; i < bytes; ++i) touch_byte(reinterpret_cast<uintptr_t>(p) + i, now, write);
}

void begin_race_check() { g_bytes.clear(); }

void forget_accesses(const void* p, size_t bytes) {
    for (size_t i = 0; i < bytes; ++i) g_bytes.erase(reinterpret_cast<uintptr_t>(p) + i);
}

void note_atomic(const void* address, size_t bytes, const void* caller) {
    touch(address, bytes, true, true, caller);
}

}  // namespace sctd::simt

#define HERE __builtin_return_address(0)
#define ACCESS(n)                                                                           \
    void __tsan_read##n(void* p) { sctd::simt::touch(p, n, false, false, HERE); }           \
    void __tsan_write##n(void* p) { sctd::simt::touch(p, n, true, false, HERE); }           \
    void __tsan_unaligned_read##n(void* p) { sctd::simt::touch(p, n, false, false, HERE); } \
    void __tsan_unaligned_write##n(void* p) { sctd::simt::touch(p, n, true, false, HERE); }

extern "C" {
ACCESS(1)
ACCESS(2)
ACCESS(4)
ACCESS(8)
ACCESS(16)
void __tsan_read_range(void* p, unsigned long n) { sctd::simt::touch(p, n, false, false, HERE); }
void __tsan_write_range(void* p, unsigned long n) { sctd::simt::touch(p, n, true, false, HERE); }
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
}
