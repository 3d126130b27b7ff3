/*
collectives.cpp - what lanes of a warp do together. The schedule runs these for all lanes of their mask at once. The mask is
their last operand.
*/
#include "table.h"

namespace sctd::ptx {
namespace {

enum class Shuffle { kUp, kDown, kButterfly, kIndex };

// shfl.sync d|p, a, b, c, mask: c holds the clamp and the segment's mask. PTX ISA, 9.7.9.6.
template <Shuffle How>
void shuffle(Warp& w, const Instruction& i, Mask mask) {
    std::array<uint32_t, kLanes> given;
    std::memcpy(given.data(), w.slot<uint32_t>(i.at[2]), sizeof given);
    Mask in_range = 0;
    for_lanes(mask, [&](int l) {
        const int by = int(w.slot<uint32_t>(i.at[3])[l] & 31), c = int(w.slot<uint32_t>(i.at[4])[l]);
        const int segment = c >> 8 & 31, clamp = c & 31;
        const int highest = (l & segment) | (clamp & ~segment), lowest = l & segment;
        int from = l;
        bool valid = false;
        switch (How) {
            case Shuffle::kUp: from = l - by, valid = from >= highest; break;
            case Shuffle::kDown: from = l + by, valid = from <= highest; break;
            case Shuffle::kButterfly: from = l ^ by, valid = from <= highest; break;
            case Shuffle::kIndex: from = lowest | (by & ~segment), valid = from <= highest; break;
        }
        if (!valid) from = l;
        w.lane = l;
        if (!(mask >> from & 1))
            fail(w, "a shuffle reads lane " + std::to_string(from) + ", which is not in its mask");
        w.slot<uint32_t>(i.at[0])[l] = given[size_t(from)];
        in_range |= Mask(valid) << l;
    });
    Mask& p = w.predicate(i.at[1]);
    p = (p & ~mask) | in_range;
}

Mask votes(Warp& w, const Instruction& i, Mask mask) { return w.predicate(i.at[1]) & mask; }

void ballot(Warp& w, const Instruction& i, Mask mask) {
    const Mask found = votes(w, i, mask);
    for_lanes(mask, [&](int l) { w.slot<uint32_t>(i.at[0])[l] = found; });
}

template <bool Every>
void vote(Warp& w, const Instruction& i, Mask mask) {
    const Mask found = votes(w, i, mask);
    Mask& p = w.predicate(i.at[0]);
    p = (Every ? found == mask : found != 0) ? p | mask : p & ~mask;
}

template <typename T, typename F>
void reduce(Warp& w, const Instruction& i, Mask mask) {
    const T* const given = w.slot<T>(i.at[1]);
    T all{};
    bool first = true;
    for_lanes(mask, [&](int l) { all = first ? given[l] : F{}(all, given[l]), first = false; });
    for_lanes(mask, [&](int l) { w.slot<T>(i.at[0])[l] = all; });
}

template <typename T, typename F>
void reduction(const std::string& what, F) {
    special("redux.sync." + what, "www", reduce<T, F>, Kind::kWarpSync);
}

void active(Warp& w, const Instruction& i, Mask mask) {
    for_lanes(mask, [&](int l) { w.slot<uint32_t>(i.at[0])[l] = mask; });
}

void nothing(Warp&, const Instruction&, Mask) {}

}  // namespace

void add_collectives() {
    special("shfl.sync.up.b32", "w?wwww", shuffle<Shuffle::kUp>, Kind::kWarpSync);
    special("shfl.sync.down.b32", "w?wwww", shuffle<Shuffle::kDown>, Kind::kWarpSync);
    special("shfl.sync.bfly.b32", "w?wwww", shuffle<Shuffle::kButterfly>, Kind::kWarpSync);
    special("shfl.sync.idx.b32", "w?wwww", shuffle<Shuffle::kIndex>, Kind::kWarpSync);
    special("vote.sync.ballot.b32", "wpw", ballot, Kind::kWarpSync);
    special("vote.sync.all.pred", "ppw", vote<true>, Kind::kWarpSync);
    special("vote.sync.any.pred", "ppw", vote<false>, Kind::kWarpSync);
    reduction<uint32_t>("add.u32", [](uint32_t a, uint32_t b) { return a + b; });
    reduction<uint32_t>("add.s32", [](uint32_t a, uint32_t b) { return a + b; });
    reduction<int32_t>("min.s32", [](int32_t a, int32_t b) { return a < b ? a : b; });
    reduction<int32_t>("max.s32", [](int32_t a, int32_t b) { return a < b ? b : a; });
    reduction<uint32_t>("or.b32", [](uint32_t a, uint32_t b) { return a | b; });
    special("bar.warp.sync", "w", nothing, Kind::kWarpSync);
    special("activemask.b32", "w", active);
    for (const char* name : {"bar.sync", "barrier.sync"}) special(name, "w", nothing, Kind::kBarrier);
    for (const char* name : {"bra", "bra.uni"}) special(name, "", nothing, Kind::kBranch);
    for (const char* name : {"ret", "exit"}) special(name, "", nothing, Kind::kExit);
}

}  // namespace sctd::ptx
