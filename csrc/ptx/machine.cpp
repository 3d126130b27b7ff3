/*
machine.cpp - schedules groups of lanes, warps and blocks. See ptx.h.
*/
#include <algorithm>
#include <climits>
#include <numeric>

#include "memory.h"
#include "table.h"

namespace sctd::ptx {

Machine g_machine;

Table& table() {
    static Table all;
    return all;
}

namespace {

uint64_t dice(uint64_t sides) { return g_machine.random() % sides; }

std::string place_name(const Warp& w, int pc) {
    const Instruction& i = w.block->kernel->code[size_t(pc)];
    return "line " + std::to_string(i.line) + " (" + i.text + ")";
}

class WarpRun {
public:
    explicit WarpRun(Warp& w) : w_(w), code_(w.block->kernel->code) {}

    // Runs one group, which the schedule picks. False where none can run.
    bool step() {
        release();
        const int chosen = choose();
        if (chosen < 0) return stuck();
        Group group = take(chosen);
        int budget = INT_MAX, limit = INT_MAX;
        if (g_machine.hostile) {
            budget = 1 + int(dice(40));
            if (dice(4) == 0) part(group);
        }
        for (const Group& other : w_.groups)
            if (other.state == Group::kReady && !g_machine.hostile) limit = std::min(limit, other.pc);
        go(group, budget, limit);
        return true;
    }

private:
    // The group of a place in the list, with all that stand where it stands: they go together.
    Group take(int chosen) {
        Group group = w_.groups[size_t(chosen)];
        w_.groups.erase(w_.groups.begin() + chosen);
        for (size_t g = 0; g < w_.groups.size();) {
            const Group& other = w_.groups[g];
            if (other.state == Group::kReady && other.pc == group.pc)
                group.lanes |= other.lanes, w_.groups.erase(w_.groups.begin() + long(g));
            else
                ++g;
        }
        return group;
    }

    int choose() const {
        int best = -1;
        uint64_t seen = 0;
        for (size_t g = 0; g < w_.groups.size(); ++g) {
            if (w_.groups[g].state != Group::kReady) continue;
            const bool better =
                best < 0 ||
                (g_machine.hostile ? dice(++seen + 1) == 0 : w_.groups[g].pc < w_.groups[size_t(best)].pc);
            if (better) best = int(g);
        }
        return best;
    }

    void part(Group& group) {
        const Mask away = group.lanes & Mask(g_machine.random());
        if (!away || away == group.lanes) return;
        w_.groups.push_back({Group::kReady, group.pc, away});
        group.lanes &= ~away;
    }

    void wait(Group::State state, int pc, Mask lanes, Mask wanted) {
        w_.groups.push_back({state, pc, lanes, wanted});
    }

    // Runs the collectives that all lanes of their masks have come to.
    void release() {
        for (size_t g = 0; g < w_.groups.size(); ++g) {
            const Group first = w_.groups[g];
            if (first.state != Group::kWaits) continue;
            const auto same = [&](const Group& o) {
                return o.state == Group::kWaits && o.pc == first.pc && o.wanted == first.wanted;
            };
            Mask come = 0;
            for (const Group& o : w_.groups) come |= same(o) ? o.lanes : 0;
            if (come != first.wanted) continue;
            w_.groups.erase(std::remove_if(w_.groups.begin(), w_.groups.end(), same), w_.groups.end());
            w_.pc = first.pc;
            code_[size_t(first.pc)].run(w_, code_[size_t(first.pc)], come);
            w_.groups.push_back({Group::kReady, first.pc + 1, come});
            g = size_t(-1);  // the list has changed
        }
    }

    // No group is ready: that is right where all that are left wait for the block.
    bool stuck() {
        for (const Group& g : w_.groups) {
            if (g.state != Group::kWaits) continue;
            w_.pc = g.pc, w_.lane = __builtin_ctz(g.lanes);
            for (int l = 0; l < kLanes; ++l) {
                if (!(g.wanted >> l & 1) || g.lanes >> l & 1) continue;
                std::string where = w_.there >> l & 1 ? "has left" : "the block does not have";
                for (const Group& o : w_.groups)
                    if (o.lanes >> l & 1 && (o.pc != g.pc || o.wanted != g.wanted))
                        where = "waits at " + place_name(w_, o.pc);
                    else if (o.lanes >> l & 1)
                        where.clear();
                if (!where.empty())
                    fail(w_, "deadlock: waits for lane " + std::to_string(l) + ", which " + where);
            }
        }
        return false;
    }

    // At a collective: groups by the mask that their lanes give.
    void arrive(const Instruction& i, int pc, Mask lanes) {
        const uint32_t* const masks = w_.slot<uint32_t>(i.at[size_t(i.operands - 1)]);
        while (lanes) {
            const Mask wanted = masks[__builtin_ctz(lanes)];
            Mask same = 0;
            for_lanes(lanes, [&](int l) { same |= Mask(masks[l] == wanted) << l; });
            if (const Mask outside = same & ~wanted) {
                w_.lane = __builtin_ctz(outside);
                fail(w_, "called by a lane that its mask does not name");
            }
            wait(Group::kWaits, pc, same, wanted);
            lanes &= ~same;
        }
    }

    // Until the group parts, waits, ends, has used up its budget or comes to `limit`, where others stand.
    void go(Group group, int budget, int limit) {
        Mask lanes = group.lanes;
        int pc = group.pc;
        for (; budget > 0; --budget) {
            if (pc >= limit) break;
            const Instruction& i = code_[size_t(pc)];
            Mask active = lanes;
            if (i.guard) active &= i.negated ? ~w_.predicate(i.guard) : w_.predicate(i.guard);
            w_.pc = pc;
            ++g_machine.counts.instructions;
            switch (i.kind) {
                case Kind::kPlain:
                    if (active) i.run(w_, i, active);
                    ++pc;
                    continue;
                case Kind::kBranch:
                    if (active && active != lanes) {
                        wait(Group::kReady, i.target, active, 0);
                        wait(Group::kReady, pc + 1, lanes & ~active, 0);
                        return;
                    }
                    pc = active ? i.target : pc + 1;
                    continue;
                case Kind::kExit:
                    lanes &= ~active;
                    if (!lanes) return;
                    ++pc;
                    continue;
                case Kind::kWarpSync:
                    if (active == kAll && same_mask(i)) {  // the common case, at once
                        i.run(w_, i, active);
                        ++pc;
                        continue;
                    }
                    arrive(i, pc, active);
                    if (lanes != active) wait(Group::kReady, pc + 1, lanes & ~active, 0);
                    return;
                case Kind::kBarrier:
                    if (active) wait(Group::kAtBarrier, pc, active, 0);
                    if (lanes != active) wait(Group::kReady, pc + 1, lanes & ~active, 0);
                    return;
            }
        }
        wait(Group::kReady, pc, lanes, 0);
    }

    bool same_mask(const Instruction& i) const {
        const uint32_t* const masks = w_.slot<uint32_t>(i.at[size_t(i.operands - 1)]);
        return std::all_of(masks, masks + kLanes, [](uint32_t m) { return m == kAll; });
    }

    Warp& w_;
    const std::vector<Instruction>& code_;
};

void fill(Warp& w, const std::array<uint32_t, 3>& places, const Size& size) {
    const unsigned values[3] = {size.x, size.y, size.z};
    for (size_t axis = 0; axis < 3; ++axis)
        if (places[axis]) std::fill_n(w.slot<uint32_t>(places[axis]), kLanes, values[axis]);
}

Size place(uint64_t index, const Size& size) {
    return {unsigned(index % size.x), unsigned(index / size.x % size.y), unsigned(index / size.x / size.y)};
}

void start(Block& block) {
    const Kernel& kernel = *block.kernel;
    const int threads = int(block.size.count());
    block.shared.start(size_t(kernel.shared_bytes));
    block.warps.resize(size_t(threads + kLanes - 1) / kLanes);
    for (size_t n = 0; n < block.warps.size(); ++n) {
        Warp& w = block.warps[n];
        w.block = &block, w.first = int(n) * kLanes;
        w.file = kernel.file;
        w.local.start(size_t(kernel.local_bytes) * kLanes);
        const int left = threads - w.first;
        w.there = left >= kLanes ? kAll : (1u << left) - 1;
        w.groups = {{Group::kReady, 0, w.there}};
        fill(w, kernel.ctaid, block.index), fill(w, kernel.ntid, block.size),
            fill(w, kernel.nctaid, block.grid);
        for (int l = 0; l < kLanes; ++l) {
            const Size at = place(uint64_t(w.first + l), block.size);
            const unsigned values[3] = {at.x, at.y, at.z};
            for (size_t axis = 0; axis < 3; ++axis)
                if (kernel.tid[axis]) w.slot<uint32_t>(kernel.tid[axis])[l] = values[axis];
        }
    }
}

// All threads have come to the barrier: they go on. False where none is left.
bool pass_barrier(Block& block) {
    int pc = -1;
    const Warp* waits = nullptr;
    for (Warp& w : block.warps)
        if (!w.groups.empty() && !waits) waits = &w, pc = w.groups[0].pc;
    if (!waits) return false;
    for (Warp& w : block.warps) {
        Mask here = 0;
        for (const Group& g : w.groups) {
            here |= g.lanes;
            if (g.pc == pc) continue;
            w.pc = pc, w.lane = __builtin_ctz(g.lanes);
            fail(w,
                 "deadlock: part of the block waits at this barrier, this thread at " + place_name(w, g.pc));
        }
        if (here != w.there) {
            w.pc = pc, w.lane = __builtin_ctz(w.there & ~here);
            fail(w, "deadlock: part of the block waits at this barrier, this thread has left");
        }
    }
    for (Warp& w : block.warps) w.groups = {{Group::kReady, pc + 1, w.there}};
    return true;
}

void run(Block& block) {
    std::vector<size_t> order(block.warps.size());
    std::iota(order.begin(), order.end(), size_t(0));
    do {
        for (bool any = true; any;) {
            any = false;
            if (g_machine.hostile) std::shuffle(order.begin(), order.end(), g_machine.random);
            for (size_t n : order) {
                WarpRun warp(block.warps[n]);
                while (warp.step()) {
                    any = true;
                    if (g_machine.hostile && dice(4) == 0) break;
                }
            }
        }
    } while (pass_barrier(block));
}

}  // namespace

void fail(const Warp& w, const std::string& what) {
    const Block& b = *w.block;
    const uint64_t index = b.index.x + uint64_t(b.grid.x) * (b.index.y + uint64_t(b.grid.y) * b.index.z);
    throw std::runtime_error("ptx: " + what + "; kernel " + b.kernel->name + ", block " +
                             std::to_string(index) + ", thread " + std::to_string(w.first + w.lane) + ", " +
                             place_name(w, w.pc));
}

void launch(const Kernel& kernel, Size grid, Size size, const std::vector<char>& parameters) {
    const auto refuse = [&](const std::string& why) {
        throw std::runtime_error("ptx: kernel " + kernel.name + " cannot be launched: " + why);
    };
    if (int(parameters.size()) < kernel.parameter_bytes)
        refuse("it takes " + std::to_string(kernel.parameter_bytes) + " bytes of parameters, got " +
               std::to_string(parameters.size()));
    if (!grid.count() || grid.x > INT_MAX || grid.y > 65535 || grid.z > 65535)
        refuse("a grid is 1 to 2^31 - 1 blocks, 65535 in y and z");
    if (!size.count() || size.count() > 1024) refuse("a block has 1 to 1024 threads");
    std::vector<uint64_t> order(grid.count());
    std::iota(order.begin(), order.end(), uint64_t(0));
    if (g_machine.hostile) std::shuffle(order.begin(), order.end(), g_machine.random);
    g_machine.counts = {};
    Block block{&kernel, grid, size, {}, parameters.data(), {}, {}};
    for (uint64_t index : order) {
        block.index = place(index, grid);
        start(block);
        run(block);
    }
    Counts& total = g_machine.total[kernel.name];
    total.instructions += g_machine.counts.instructions, total.sectors += g_machine.counts.sectors;
    total.atomics += g_machine.counts.atomics;
    total.warps += int64_t(order.size() * block.warps.size());
}

}  // namespace sctd::ptx
