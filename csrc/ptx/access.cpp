/*
access.cpp - ld, st, atom and red, which check every lane's access before they make it. See memory.h.
*/
#include <algorithm>
#include <type_traits>

#include "memory.h"
#include "numbers.h"
#include "table.h"

namespace sctd::ptx {
namespace {

// Where a lane's access lies; the address is the operand after `before` others. Counts the global ones' sectors.
class Place {
public:
    Place(Warp& w, const Instruction& i, int operand, Space space, int bytes, Access access)
        : w_(w), i_(i), operand_(operand), space_(space), bytes_(bytes), access_(access) {}

    Spot of(int lane) {
        const uint64_t address = read_bits(w_, i_, operand_, lane) + uint64_t(i_.offset);
        const Spot spot = locate(w_, space_, lane, address, bytes_, access_);
        if (space_ == Space::kGlobal || (space_ == Space::kGeneric && !(address & kWindow)))
            sectors_.touch(address, bytes_);
        return spot;
    }

private:
    Warp& w_;
    const Instruction& i_;
    const int operand_;
    const Space space_;
    const int bytes_;
    const Access access_;
    Sectors sectors_;
};

// The element's bits, extended as its type says: registers may be wider.
template <typename T>
uint64_t extended(const char* at) {
    T value;
    std::memcpy(&value, at, sizeof value);
    return std::is_signed_v<T> ? uint64_t(int64_t(value)) : uint64_t(value);
}

template <typename T>
bool written(const Spot& spot, int element) {
    if (!spot.written) return true;
    constexpr uint64_t kNotes = 0x0101010101010101ull;
    return std::memcmp(spot.written + element * sizeof(T), &kNotes, sizeof(T)) == 0;
}

template <typename T, int N, Space S>
void load(Warp& w, const Instruction& i, Mask mask) {
    Place place(w, i, N, S, N * int(sizeof(T)), Access::kRead);
    for_lanes(mask, [&](int l) {
        const Spot spot = place.of(l);
        int missing = 0;
        for (int n = 0; n < N; ++n) {
            const bool there = written<T>(spot, n);
            missing += !there;
            write_bits(w, i, n, l, there ? extended<T>(spot.at + n * sizeof(T)) : ~uint64_t(0));
        }
        if (missing == N) fail(w, "reads memory that nothing has written");
    });
}

template <typename T, int N, Space S>
void store(Warp& w, const Instruction& i, Mask mask) {
    Place place(w, i, 0, S, N * int(sizeof(T)), Access::kWrite);
    for_lanes(mask, [&](int l) {
        const Spot spot = place.of(l);
        for (int n = 0; n < N; ++n) {
            const T value = T(read_bits(w, i, 1 + n, l));
            std::memcpy(spot.at + n * sizeof(T), &value, sizeof value);
        }
        if (spot.written) std::fill_n(spot.written, N * sizeof(T), uint8_t(1));
    });
}

template <typename T, int N, Space S>
void load_and_store(const std::string& space, const std::string& type) {
    const std::string many = N == 1 ? "" : ".v" + std::to_string(N), registers(N, '*');
    special("ld" + space + many + type, registers + "[", load<T, N, S>);
    if constexpr (S != Space::kParam) special("st" + space + many + type, "[" + registers, store<T, N, S>);
    if constexpr (S == Space::kGlobal) special("ld.global.nc" + many + type, registers + "[", load<T, N, S>);
}

template <typename T, Space S>
void of_type(const std::string& space, const std::string& type) {
    load_and_store<T, 1, S>(space, type), load_and_store<T, 2, S>(space, type);
    if constexpr (sizeof(T) < 8) load_and_store<T, 4, S>(space, type);
}

template <Space S>
void of_space(const std::string& space) {
    for (const char* type : {".b8", ".u8"}) of_type<uint8_t, S>(space, type);
    for (const char* type : {".b16", ".u16"}) of_type<uint16_t, S>(space, type);
    for (const char* type : {".b32", ".u32", ".f32"}) of_type<uint32_t, S>(space, type);
    for (const char* type : {".b64", ".u64", ".f64"}) of_type<uint64_t, S>(space, type);
    of_type<int8_t, S>(space, ".s8"), of_type<int16_t, S>(space, ".s16");
    of_type<int32_t, S>(space, ".s32"), of_type<int64_t, S>(space, ".s64");
}

// Old values into the register, one lane after another: atom d, [a], b. `red` is the same without a result.
template <typename T, typename F, Space S, bool Result>
void atomic(Warp& w, const Instruction& i, Mask mask) {
    Place place(w, i, Result ? 1 : 0, S, sizeof(T), Access::kBoth);
    for_lanes(mask, [&](int l) {
        const Spot spot = place.of(l);
        if (!written<T>(spot, 0)) fail(w, "adds to memory that nothing has written");
        T old, with = w.slot<T>(i.at[Result ? 2 : 1])[l];
        std::memcpy(&old, spot.at, sizeof old);
        with = F{}(old, with);
        std::memcpy(spot.at, &with, sizeof with);
        if constexpr (Result) w.slot<T>(i.at[0])[l] = old;
    });
    if (S != Space::kShared) ++g_machine.counts.atomics;
}

template <typename T, typename F>
void atomics(const std::string& what, F) {
    const std::string r(1, letter<T>());
    special("atom.global." + what, r + "[" + r, atomic<T, F, Space::kGlobal, true>);
    special("red.global." + what, "[" + r, atomic<T, F, Space::kGlobal, false>);
    special("atom.shared." + what, r + "[" + r, atomic<T, F, Space::kShared, true>);
    special("red.shared." + what, "[" + r, atomic<T, F, Space::kShared, false>);
    special("atom." + what, r + "[" + r, atomic<T, F, Space::kGeneric, true>);
    special("red." + what, "[" + r, atomic<T, F, Space::kGeneric, false>);
}

}  // namespace

void add_access() {
    of_space<Space::kGeneric>(""), of_space<Space::kGlobal>(".global"), of_space<Space::kShared>(".shared");
    of_space<Space::kLocal>(".local"), of_space<Space::kParam>(".param");
    const auto add = [](auto a, auto b) { return decltype(a)(a + b); };
    const auto least = [](auto a, auto b) { return a < b ? a : b; };
    const auto most = [](auto a, auto b) { return a < b ? b : a; };
    atomics<float>("add.f32", add), atomics<double>("add.f64", add);
    atomics<uint32_t>("add.u32", add), atomics<uint32_t>("add.s32", add), atomics<uint64_t>("add.u64", add);
    atomics<int32_t>("min.s32", least), atomics<uint32_t>("min.u32", least);
    atomics<uint64_t>("min.u64", least);
    atomics<int32_t>("max.s32", most), atomics<uint32_t>("max.u32", most);
}

}  // namespace sctd::ptx
