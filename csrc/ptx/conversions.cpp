/*
conversions.cpp - mov, selp, cvt, cvta.
*/
#include <cmath>
#include <limits>
#include <type_traits>

#include "memory.h"
#include "numbers.h"
#include "table.h"

namespace sctd::ptx {
namespace {

template <typename T>
void copies(const std::string& type) {
    row<T, T>("mov." + type, [](T a) { return a; });
    if constexpr (!std::is_same_v<T, bool>)
        row<T, T, T, bool>("selp." + type, [](T a, T b, bool c) { return c ? a : b; });
}

// cvt between integers: registers may be wider than the types.
template <typename To, typename From>
void integer_to_integer(Warp& w, const Instruction& i, Mask mask) {
    for_lanes(mask, [&](int l) {
        const To value = To(From(read_bits(w, i, 1, l)));
        write_bits(w, i, 0, l, std::is_signed_v<To> ? uint64_t(int64_t(value)) : uint64_t(value));
    });
}

template <typename To, typename From>
void between(const std::string& to, const std::string& from) {
    special("cvt." + to + "." + from, "**", integer_to_integer<To, From>);
}

template <typename To>
void from_all(const std::string& to) {
    between<To, int8_t>(to, "s8"), between<To, uint8_t>(to, "u8"), between<To, int16_t>(to, "s16");
    between<To, uint16_t>(to, "u16"), between<To, int32_t>(to, "s32"), between<To, uint32_t>(to, "u32");
    between<To, int64_t>(to, "s64"), between<To, uint64_t>(to, "u64");
}

// A value out of range becomes the nearest of the type; NaN becomes 0.
template <typename I, typename F>
I to_integer(F rounded) {
    if (rounded != rounded) return 0;
    if (rounded <= F(std::numeric_limits<I>::min())) return std::numeric_limits<I>::min();
    if (rounded >= F(std::numeric_limits<I>::max())) return std::numeric_limits<I>::max();
    return I(rounded);
}

template <typename F>
void rounded(const std::string& f) {
    const auto each = [&f](const char* mode, auto round) {
        using R = decltype(round);
        const std::string cvt = std::string("cvt.") + mode;
        row<F, F>(cvt + "." + f + "." + f, R{});
        row<int32_t, F>(cvt + ".s32." + f, [](F a) { return to_integer<int32_t>(R{}(a)); });
        row<uint32_t, F>(cvt + ".u32." + f, [](F a) { return to_integer<uint32_t>(R{}(a)); });
        row<int64_t, F>(cvt + ".s64." + f, [](F a) { return to_integer<int64_t>(R{}(a)); });
        row<uint64_t, F>(cvt + ".u64." + f, [](F a) { return to_integer<uint64_t>(R{}(a)); });
    };
    each("rni", [](F a) { return std::nearbyint(a); });
    each("rzi", [](F a) { return std::trunc(a); });
    each("rmi", [](F a) { return std::floor(a); });
    each("rpi", [](F a) { return std::ceil(a); });
}

template <typename F>
void to_float(const std::string& f) {
    row<F, int32_t>("cvt.rn." + f + ".s32", [](int32_t a) { return F(a); });
    row<F, uint32_t>("cvt.rn." + f + ".u32", [](uint32_t a) { return F(a); });
    row<F, int64_t>("cvt.rn." + f + ".s64", [](int64_t a) { return F(a); });
    row<F, uint64_t>("cvt.rn." + f + ".u64", [](uint64_t a) { return F(a); });
}

void halves() {
    row<float, _Float16>("cvt.f32.f16", [](_Float16 a) { return float(a); });
    row<_Float16, float>("cvt.rn.f16.f32", [](float a) { return _Float16(a); });
    row<_Float16, int32_t>("cvt.rn.f16.s32", [](int32_t a) { return _Float16(a); });
    row<float, BFloat>("cvt.f32.bf16", [](BFloat a) { return widened(a); });
    row<BFloat, float>("cvt.rn.bf16.f32", [](float a) { return to_bfloat(a); });
    row<BFloat, int32_t>("cvt.rn.bf16.s32",
                         [](int32_t a) { return to_bfloat(float(a)); });  // rounds twice beyond 2^24
    row<uint32_t, float, float>("cvt.rn.f16x2.f32", [](float high, float low) {
        return uint32_t(bit_cast<uint16_t>(_Float16(high))) << 16 | bit_cast<uint16_t>(_Float16(low));
    });
    row<uint32_t, float, float>("cvt.rn.bf16x2.f32", [](float high, float low) {
        return uint32_t(to_bfloat(high).bits) << 16 | to_bfloat(low).bits;
    });
}

// mov.b64 {a, b}, c and its like: N parts of one register.
template <typename Whole, typename Part>
void take_apart(Warp& w, const Instruction& i, Mask mask) {
    constexpr int kParts = sizeof(Whole) / sizeof(Part);
    for_lanes(mask, [&](int l) {
        const Whole whole = w.slot<Whole>(i.at[kParts])[l];
        for (int p = 0; p < kParts; ++p)
            write_bits(w, i, p, l, uint64_t(Part(whole >> (8 * sizeof(Part) * p))));
    });
}

template <typename Whole, typename Part>
void put_together(Warp& w, const Instruction& i, Mask mask) {
    constexpr int kParts = sizeof(Whole) / sizeof(Part);
    for_lanes(mask, [&](int l) {
        Whole whole = 0;
        for (int p = 0; p < kParts; ++p)
            whole |= Whole(w.slot<Part>(i.at[1 + p])[l]) << (8 * sizeof(Part) * p);
        w.slot<Whole>(i.at[0])[l] = whole;
    });
}

template <Space S>
void windows(const std::string& name) {
    row<uint64_t, uint64_t>("cvta." + name + ".u64", [](uint64_t a) { return a + window(S); });
    row<uint64_t, uint64_t>("cvta.to." + name + ".u64", [](uint64_t a) { return a - window(S); });
}

}  // namespace

void add_conversions() {
    copies<bool>("pred"), copies<uint16_t>("b16"), copies<uint16_t>("u16"), copies<int16_t>("s16");
    copies<uint32_t>("b32"), copies<uint32_t>("u32"), copies<int32_t>("s32"), copies<float>("f32");
    copies<uint64_t>("b64"), copies<uint64_t>("u64"), copies<int64_t>("s64"), copies<double>("f64");
    special("mov.b64:take2", "**d", take_apart<uint64_t, uint32_t>);
    special("mov.b64:take4", "****d", take_apart<uint64_t, uint16_t>);
    special("mov.b32:take2", "**w", take_apart<uint32_t, uint16_t>);
    special("mov.b64:put2", "dww", put_together<uint64_t, uint32_t>);
    special("mov.b64:put4", "dhhhh", put_together<uint64_t, uint16_t>);
    special("mov.b32:put2", "whh", put_together<uint32_t, uint16_t>);
    from_all<int8_t>("s8"), from_all<uint8_t>("u8"), from_all<int16_t>("s16"), from_all<uint16_t>("u16");
    from_all<int32_t>("s32"), from_all<uint32_t>("u32"), from_all<int64_t>("s64"), from_all<uint64_t>("u64");
    rounded<float>("f32"), rounded<double>("f64");
    to_float<float>("f32"), to_float<double>("f64");
    row<double, float>("cvt.f64.f32", [](float a) { return double(a); });
    row<float, double>("cvt.rn.f32.f64", [](double a) { return float(a); });
    halves();
    windows<Space::kGlobal>("global"), windows<Space::kShared>("shared"), windows<Space::kLocal>("local");
    windows<Space::kParam>("param");
}

}  // namespace sctd::ptx
