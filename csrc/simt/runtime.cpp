/*
runtime.cpp - fibers, the scheduler of a block, and the collectives. See simt.h.
*/
#include "runtime.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <random>
#include <stdexcept>
#include <vector>

#include "fiber.h"

dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace sctd::simt {
namespace {

constexpr unsigned kWarp = 32;

enum class State : uint8_t { kReady, kWaits, kDone };

struct Thread {
    Fiber fiber;
    State state = State::kReady;
    // what it waits at
    Op op{};
    unsigned mask = 0;
    uint64_t value = 0, result = 0;
    int from = 0;
    Site site{};
    uint32_t warp_sync = 0;
};

struct SharedArray {
    const char* file;
    int line;
    size_t bytes;
    std::unique_ptr<char[]> memory;
};

struct Block {
    const char* kernel = "";
    const std::function<void()>* body = nullptr;
    std::vector<Thread> threads;
    std::vector<SharedArray> shared;
    Fiber scheduler;
    unsigned current = 0;
    uint32_t index = 0, barriers = 0;
    std::string error;
};

uint64_t g_seed = 0;
Block* g_block = nullptr;
std::map<std::string, int64_t> g_counters;

std::string name_of(const Site& site) {
    const char* slash = std::strrchr(site.file, '/');
    return std::string(slash ? slash + 1 : site.file) + ":" + std::to_string(site.line);
}

const char* name_of(Op op) {
    switch (op) {
        case Op::kShuffle: return "shuffle";
        case Op::kBallot: return "__ballot_sync";
        case Op::kAll: return "__all_sync";
        case Op::kAny: return "__any_sync";
        case Op::kSyncWarp: return "__syncwarp";
        default: return "__syncthreads";
    }
}

dim3 place(unsigned index, const dim3& size) {
    return {index % size.x, index / size.x % size.y, index / size.x / size.y};
}

[[noreturn]] void fail(const Block& b, unsigned thread, const std::string& what) {
    throw std::runtime_error("simt: " + what + "; kernel " + b.kernel + ", block " + std::to_string(b.index) +
                             ", thread " + std::to_string(thread));
}

std::string where(const Thread& t) {
    if (t.state == State::kDone) return "has left the kernel";
    return std::string("waits at ") + name_of(t.op) + " (" + name_of(t.site) + ")";
}

bool same_call(const Thread& a, const Thread& b) {
    return a.state == State::kWaits && b.state == State::kWaits && a.op == b.op && a.mask == b.mask &&
           a.site.line == b.site.line && std::strcmp(a.site.file, b.site.file) == 0;
}

void fiber_main() {
    Block& b = *g_block;
    (*b.body)();
    Thread& self = g_block->threads[g_block->current];
    self.state = State::kDone;
    switch_fiber(self.fiber, g_block->scheduler);
    std::abort();  // a finished fiber is never resumed
}

void resume(Block& b, unsigned i) {
    b.current = i;
    threadIdx = place(i, blockDim);
    switch_fiber(b.scheduler, b.threads[i].fiber);
    if (!b.error.empty()) fail(b, i, b.error);
}

// Every lane of the mask waits at the call of lane `i`.
bool complete(const Block& b, unsigned first, unsigned i) {
    const Thread& t = b.threads[i];
    for (unsigned lane = 0; lane < kWarp; ++lane)
        if (t.mask >> lane & 1 && !(first + lane < b.threads.size() && same_call(t, b.threads[first + lane])))
            return false;
    return true;
}

void resolve(Block& b, unsigned first, unsigned i) {
    const unsigned mask = b.threads[i].mask;
    const Op op = b.threads[i].op;
    unsigned ballot = 0;
    for (unsigned lane = 0; lane < kWarp; ++lane)
        if (mask >> lane & 1 && b.threads[first + lane].value) ballot |= 1u << lane;
    bool whole = true;  // the mask holds every lane that is still there: memory is ordered for all of them
    for (unsigned lane = 0; lane < kWarp && first + lane < b.threads.size(); ++lane)
        whole &= (mask >> lane & 1) || b.threads[first + lane].state == State::kDone;
    for (unsigned lane = 0; lane < kWarp; ++lane) {
        if (!(mask >> lane & 1)) continue;
        Thread& t = b.threads[first + lane];
        switch (op) {
            case Op::kShuffle:
                if (!(mask >> t.from & 1))
                    fail(b, first + lane,
                         "a shuffle (" + name_of(t.site) + ") reads lane " + std::to_string(t.from) +
                             ", which is not in its mask");
                t.result = b.threads[first + unsigned(t.from)].value;
                break;
            case Op::kBallot: t.result = ballot; break;
            case Op::kAll: t.result = ballot == mask; break;
            case Op::kAny: t.result = ballot != 0; break;
            default: t.warp_sync += whole ? 1 : 0;
        }
        t.state = State::kReady;
    }
}

// Runs a warp until each lane has left or waits at the block's barrier.
void run_warp(Block& b, unsigned first, std::mt19937_64* random) {
    const unsigned end = std::min<unsigned>(first + kWarp, unsigned(b.threads.size()));
    std::vector<unsigned> order;
    for (unsigned i = first; i < end; ++i) order.push_back(i);
    for (;;) {
        if (random) std::shuffle(order.begin(), order.end(), *random);
        for (unsigned i : order)
            while (b.threads[i].state == State::kReady) resume(b, i);
        unsigned stuck = end;
        bool progress = false;
        for (unsigned i : order) {
            const Thread& t = b.threads[i];
            if (t.state != State::kWaits || t.op == Op::kBarrier) continue;
            if (complete(b, first, i)) {
                resolve(b, first, i);
                progress = true;
                break;
            }
            stuck = i;
        }
        if (progress) continue;
        if (stuck == end) return;
        const Thread& t = b.threads[stuck];
        for (unsigned lane = 0; lane < kWarp; ++lane) {
            if (!(t.mask >> lane & 1)) continue;
            if (first + lane >= b.threads.size())
                fail(b, stuck,
                     std::string(name_of(t.op)) + " (" + name_of(t.site) + ") names lane " +
                         std::to_string(lane) + ", which the block does not have");
            const Thread& other = b.threads[first + lane];
            if (!same_call(t, other))
                fail(b, stuck,
                     std::string("deadlock: ") + where(t) + " for lane " + std::to_string(lane) + ", which " +
                         where(other));
        }
    }
}

void run_block(Block& b, std::mt19937_64* random) {
    const unsigned n = unsigned(b.threads.size());
    std::vector<unsigned> warps;
    for (unsigned first = 0; first < n; first += kWarp) warps.push_back(first);
    for (;;) {
        if (random) std::shuffle(warps.begin(), warps.end(), *random);
        for (unsigned first : warps) run_warp(b, first, random);
        const Thread* waits = nullptr;
        for (const Thread& t : b.threads)
            if (t.state == State::kWaits) waits = &t;
        if (!waits) return;
        for (unsigned i = 0; i < n; ++i)
            if (!same_call(*waits, b.threads[i]))
                fail(b, i,
                     std::string("deadlock: part of the block ") + where(*waits) + ", this thread " +
                         where(b.threads[i]));
        ++b.barriers;
        for (Thread& t : b.threads) t.state = State::kReady;
    }
}

}  // namespace

void set_seed(uint64_t seed) { g_seed = seed; }

void count(const char* name, int64_t n) { g_counters[name] += n; }

std::map<std::string, int64_t> take_counters() {
    std::map<std::string, int64_t> taken;
    taken.swap(g_counters);
    return taken;
}

void stop_thread(const std::string& what) {
    Block& b = *g_block;
    b.error = what;
    switch_fiber(b.threads[b.current].fiber, b.scheduler);
    std::abort();  // a stopped fiber is never resumed
}

uint64_t collective(Op op, unsigned mask, uint64_t value, int from, Site site) {
    Block& b = *g_block;
    Thread& self = b.threads[b.current];
    if (op != Op::kBarrier && !(mask >> (b.current % kWarp) & 1))
        stop_thread(std::string(name_of(op)) + " (" + name_of(site) +
                    ") is called by a lane that its mask does not name");
    self.op = op, self.mask = mask, self.value = value, self.from = from, self.site = site;
    self.state = State::kWaits;
    switch_fiber(self.fiber, b.scheduler);
    return self.result;
}

void* shared(size_t bytes, const char* file, int line) {
    Block& b = *g_block;
    for (const SharedArray& a : b.shared)
        if (a.line == line && a.bytes == bytes && std::strcmp(a.file, file) == 0) return a.memory.get();
    b.shared.push_back({file, line, bytes, std::make_unique<char[]>(bytes)});
    char* const memory = b.shared.back().memory.get();
    std::memset(memory, 0xff, bytes);
    forget_accesses(memory, bytes);
    return memory;
}

bool running(Moment& now) {
    if (!g_block) return false;
    const Block& b = *g_block;
    now = {b.index, b.current, b.barriers, b.threads[b.current].warp_sync};
    return true;
}

void launch(const char* kernel, dim3 grid, dim3 block, const std::function<void()>& thread) {
    const unsigned blocks = grid.x * grid.y * grid.z, threads = block.x * block.y * block.z;
    if (blocks == 0 || threads == 0 || threads > 1024)
        throw std::runtime_error(std::string("simt: ") + kernel + " launched with " + std::to_string(blocks) +
                                 " blocks of " + std::to_string(threads) + " threads");
    std::mt19937_64 random(g_seed);
    std::vector<unsigned> order(blocks);
    for (unsigned i = 0; i < blocks; ++i) order[i] = i;
    if (g_seed) std::shuffle(order.begin(), order.end(), random);
    gridDim = grid, blockDim = block;
    g_counters["warps " + std::string(kernel)] += int64_t(blocks) * ((threads + kWarp - 1) / kWarp);
    begin_race_check();
    struct Leave {
        ~Leave() { g_block = nullptr; }
    } leave;
    for (unsigned index : order) {
        Block b;
        b.kernel = kernel, b.body = &thread, b.index = index;
        b.threads.resize(threads);
        g_block = &b;
        blockIdx = place(index, grid);
        for (unsigned i = 0; i < threads; ++i) start_fiber(b.threads[i].fiber, i, fiber_main);
        run_block(b, g_seed ? &random : nullptr);
    }
}

}  // namespace sctd::simt
