#include "memory.h"

#include <algorithm>

namespace sctd::ptx {
namespace {

std::vector<Array> g_arrays;  // by address
std::map<uint64_t, std::vector<uint8_t>> g_notes;

const char* name_of(Access access) {
    return access == Access::kRead ? "load" : access == Access::kWrite ? "store" : "atomic";
}

std::string hex(uint64_t x) {
    char text[32];
    std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(x));
    return text;
}

const Array* array_at(uint64_t address) {
    static size_t last = 0;  // neighbours mostly touch the same
    if (last < g_arrays.size() && g_arrays[last].begin <= address && address < g_arrays[last].end)
        return &g_arrays[last];
    const auto after = std::upper_bound(g_arrays.begin(), g_arrays.end(), address,
                                        [](uint64_t a, const Array& x) { return a < x.begin; });
    if (after == g_arrays.begin() || address >= std::prev(after)->end) return nullptr;
    last = size_t(std::prev(after) - g_arrays.begin());
    return &g_arrays[last];
}

Spot in_bytes(Warp& warp, Bytes& memory, const char* space, uint64_t from, uint64_t size, uint64_t address,
              int bytes, Access access) {
    if (address >= size || address + bytes > size)
        fail(warp, std::string("out of range: ") + name_of(access) + " of " + std::to_string(bytes) +
                       " bytes at byte " + std::to_string(int64_t(address)) + " of " + std::to_string(size) +
                       " of " + space + " memory");
    return {memory.data.data() + from + address, memory.written.data() + from + address};
}

Spot in_arrays(Warp& warp, uint64_t address, int bytes, Access access) {
    const Array* array = array_at(address);
    if (!array || address + bytes > array->end) {
        std::string where = "no array that the launch was given";
        for (const Array& a : g_arrays)
            if (address >= a.end && address - a.end < 4096)
                where = std::to_string(address - a.end) + " bytes behind an array of " +
                        std::to_string(a.end - a.begin);
            else if (address < a.end && address + bytes > a.end)
                where = "across the end of an array of " + std::to_string(a.end - a.begin);
        fail(warp, std::string("out of range: ") + name_of(access) + " of " + std::to_string(bytes) +
                       " bytes at " + hex(address) + ", " + where);
    }
    return {reinterpret_cast<char*>(address),
            array->written ? array->written + (address - array->begin) : nullptr};
}

}  // namespace

uint64_t window(Space space) {
    switch (space) {
        case Space::kShared: return kSharedWindow;
        case Space::kLocal: return kLocalWindow;
        case Space::kParam: return kParamWindow;
        default: return 0;
    }
}

void know(const std::vector<Known>& arrays) {
    g_arrays.clear();
    for (const Known& known : arrays) {
        if (!known.bytes) continue;
        Array array{known.address, known.address + known.bytes, nullptr};
        if (known.fresh) {
            std::vector<uint8_t>& notes = g_notes[known.fresh];
            notes.resize(known.bytes);
            array.written = notes.data();
        }
        g_arrays.push_back(array);
    }
    std::sort(g_arrays.begin(), g_arrays.end(),
              [](const Array& a, const Array& b) { return a.begin < b.begin; });
    std::vector<Array> apart;  // views of one array overlap
    for (const Array& a : g_arrays)
        if (!apart.empty() && a.begin < apart.back().end)
            apart.back().end = std::max(apart.back().end, a.end);
        else
            apart.push_back(a);
    g_arrays.swap(apart);
}

void forget(uint64_t fresh) { g_notes.erase(fresh); }

void wrote(const void* at, size_t bytes) {
    const uint64_t address = reinterpret_cast<uint64_t>(at);
    const Array* array = array_at(address);
    if (!bytes || !array || !array->written) return;
    std::fill_n(array->written + (address - array->begin), std::min<uint64_t>(bytes, array->end - address),
                1);
}

Spot locate(Warp& warp, Space space, int lane, uint64_t address, int bytes, Access access) {
    warp.lane = lane;
    if (address % bytes)
        fail(warp, std::string("misaligned: ") + name_of(access) + " of " + std::to_string(bytes) +
                       " bytes at " + hex(address));
    if (space == Space::kGeneric) {
        const uint64_t high = address & kWindow;
        space = high == kSharedWindow  ? Space::kShared
                : high == kLocalWindow ? Space::kLocal
                : high == kParamWindow ? Space::kParam
                                       : Space::kGlobal;
        if (space != Space::kGlobal) address &= ~kWindow;
    }
    Block& block = *warp.block;
    const uint64_t own = uint64_t(block.kernel->local_bytes);
    switch (space) {
        case Space::kShared:
            return in_bytes(warp, block.shared, "shared", 0, block.shared.data.size(), address, bytes,
                            access);
        case Space::kLocal:
            return in_bytes(warp, warp.local, "local", lane * own, own, address, bytes, access);
        case Space::kParam:
            if (access != Access::kRead) fail(warp, "stores to a parameter");
            if (address + bytes > uint64_t(block.kernel->parameter_bytes))
                fail(warp, "out of range: load at byte " + std::to_string(address) + " of the parameters");
            return {const_cast<char*>(block.parameters) + address, nullptr};
        default: return in_arrays(warp, address, bytes, access);
    }
}

}  // namespace sctd::ptx
