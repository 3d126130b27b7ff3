/*
arithmetic.cpp - integers, floats, comparisons. Source of every definition: PTX ISA 9.0, chapter 9.7.
*/
#include <cmath>
#include <limits>
#include <type_traits>

#include "numbers.h"
#include "table.h"

namespace sctd::ptx {
namespace {

template <typename T>
using Unsigned = std::make_unsigned_t<T>;

template <typename T>
T quotient(T a, T b) {  // PTX leaves x / 0 open; GPUs give all ones
    if (b == 0) return T(-1);
    if (std::is_signed_v<T> && b == T(-1)) return T(Unsigned<T>(0) - Unsigned<T>(a));
    return T(a / b);
}

template <typename T>
T remainder_of(T a, T b) {
    if (b == 0) return a;
    if (std::is_signed_v<T> && b == T(-1)) return 0;
    return T(a % b);
}

template <typename T>
void integers(const std::string& type) {
    using U = Unsigned<T>;
    row<T, T, T>("add." + type, [](T a, T b) { return T(U(a) + U(b)); });
    row<T, T, T>("sub." + type, [](T a, T b) { return T(U(a) - U(b)); });
    row<T, T, T>("min." + type, [](T a, T b) { return a < b ? a : b; });
    row<T, T, T>("max." + type, [](T a, T b) { return a < b ? b : a; });
    row<T, T, T>("mul.lo." + type, [](T a, T b) { return T(uint64_t(a) * uint64_t(b)); });
    row<T, T, T, T>("mad.lo." + type,
                    [](T a, T b, T c) { return T(uint64_t(a) * uint64_t(b) + uint64_t(c)); });
    row<T, T, T>("div." + type, [](T a, T b) { return quotient(a, b); });
    row<T, T, T>("rem." + type, [](T a, T b) { return remainder_of(a, b); });
    row<T, T, uint32_t>("shr." + type, [](T a, uint32_t n) {
        constexpr uint32_t kBits = 8 * sizeof(T);
        return n < kBits ? T(a >> n) : T(a < 0 ? -1 : 0);
    });
    using Twice = std::conditional_t<std::is_signed_v<T>, __int128, unsigned __int128>;
    row<T, T, T>("mul.hi." + type, [](T a, T b) { return T(Twice(a) * Twice(b) >> (8 * sizeof(T))); });
    if constexpr (std::is_signed_v<T>) {
        row<T, T>("neg." + type, [](T a) { return T(U(0) - U(a)); });
        row<T, T>("abs." + type, [](T a) { return a < 0 ? T(U(0) - U(a)) : a; });
    }
}

template <typename T, typename Wide>
void widening(const std::string& type) {
    row<Wide, T, T>("mul.wide." + type, [](T a, T b) { return Wide(Wide(a) * Wide(b)); });
    row<Wide, T, T, Wide>("mad.wide." + type,
                          [](T a, T b, Wide c) { return Wide(uint64_t(Wide(a) * Wide(b)) + uint64_t(c)); });
}

template <typename T>
void bits(const std::string& type) {
    row<T, T, T>("and." + type, [](T a, T b) { return T(a & b); });
    row<T, T, T>("or." + type, [](T a, T b) { return T(a | b); });
    row<T, T, T>("xor." + type, [](T a, T b) { return T(a ^ b); });
    if constexpr (std::is_same_v<T, bool>) {
        row<T, T>("not." + type, [](T a) { return !a; });
    } else {
        row<T, T>("not." + type, [](T a) { return T(~a); });
        row<T, T, uint32_t>("shl." + type,
                            [](T a, uint32_t n) { return n < 8 * sizeof(T) ? T(uint64_t(a) << n) : T(0); });
    }
}

// bfi: the low n bits of a, put into b from bit `at` on.
void inserted_bits() {
    row<uint32_t, uint32_t, uint32_t, uint32_t, uint32_t>(
        "bfi.b32", [](uint32_t a, uint32_t b, uint32_t at, uint32_t n) {
            at &= 255, n &= 255;
            if (at >= 32 || n == 0) return b;
            const uint32_t low = n >= 32 ? ~0u : (1u << n) - 1;
            return (b & ~(low << at)) | (a & low) << at;
        });
}

// lop3: any function of three bits, as the table of its eight results.
void three_bits() {
    row<uint32_t, uint32_t, uint32_t, uint32_t, uint32_t>(
        "lop3.b32", [](uint32_t a, uint32_t b, uint32_t c, uint32_t results) {
            uint32_t out = 0;
            for (int k = 0; k < 8; ++k)
                if (results >> k & 1) out |= (k & 4 ? a : ~a) & (k & 2 ? b : ~b) & (k & 1 ? c : ~c);
            return out;
        });
}

// setp, and with a predicate more: setp.lt.and p, a, b, q
template <typename T, typename F>
void compare(const std::string& name, const std::string& type, F) {
    row<bool, T, T>("setp." + name + "." + type, F{});
    row<bool, T, T, bool>("setp." + name + ".and." + type, [](T a, T b, bool c) { return F{}(a, b) && c; });
    row<bool, T, T, bool>("setp." + name + ".or." + type, [](T a, T b, bool c) { return F{}(a, b) || c; });
}

template <typename T>
void equality(const std::string& type) {
    compare<T>("eq", type, [](T a, T b) { return a == b; });
    compare<T>("ne", type, [](T a, T b) { return a != b && a == a && b == b; });
}

template <typename T>
void order(const std::string& type) {
    compare<T>("lt", type, [](T a, T b) { return a < b; });
    compare<T>("le", type, [](T a, T b) { return a <= b; });
    compare<T>("gt", type, [](T a, T b) { return a > b; });
    compare<T>("ge", type, [](T a, T b) { return a >= b; });
}

// The comparisons that NaN passes.
template <typename T>
void unordered(const std::string& type) {
    compare<T>("equ", type, [](T a, T b) { return !(a < b || a > b); });
    compare<T>("neu", type, [](T a, T b) { return !(a == b); });
    compare<T>("ltu", type, [](T a, T b) { return !(a >= b); });
    compare<T>("leu", type, [](T a, T b) { return !(a > b); });
    compare<T>("gtu", type, [](T a, T b) { return !(a <= b); });
    compare<T>("geu", type, [](T a, T b) { return !(a < b); });
    compare<T>("num", type, [](T a, T b) { return a == a && b == b; });
    compare<T>("nan", type, [](T a, T b) { return a != a || b != b; });
}

template <typename T>
T lesser(T a, T b) {  // the number, where the other is NaN; -0 is less than 0
    if (a != a) return b;
    if (b != b) return a;
    if (a == b) return std::signbit(a) ? a : b;
    return a < b ? a : b;
}

template <typename T>
T greater(T a, T b) {
    if (a != a) return b;
    if (b != b) return a;
    if (a == b) return std::signbit(a) ? b : a;
    return a > b ? a : b;
}

template <typename T>
void floats(const std::string& type) {
    for (const char* rounding : {".rn.", "."}) {
        row<T, T, T>("add" + (rounding + type), [](T a, T b) { return a + b; });
        row<T, T, T>("sub" + (rounding + type), [](T a, T b) { return a - b; });
        row<T, T, T>("mul" + (rounding + type), [](T a, T b) { return a * b; });
    }
    row<T, T, T>("div.rn." + type, [](T a, T b) { return a / b; });
    row<T, T, T, T>("fma.rn." + type, [](T a, T b, T c) { return std::fma(a, b, c); });
    row<T, T>("sqrt.rn." + type, [](T a) { return std::sqrt(a); });
    row<T, T>("rcp.rn." + type, [](T a) { return 1 / a; });
    row<T, T>("neg." + type, [](T a) { return -a; });
    row<T, T>("abs." + type, [](T a) { return std::fabs(a); });
    row<T, T, T>("min." + type, [](T a, T b) { return lesser(a, b); });
    row<T, T, T>("max." + type, [](T a, T b) { return greater(a, b); });
    row<T, T, T, T>("min." + type + ":3", [](T a, T b, T c) { return lesser(lesser(a, b), c); });
    row<T, T, T, T>("max." + type + ":3", [](T a, T b, T c) { return greater(greater(a, b), c); });
    row<T, T, T>("min.NaN." + type, [](T a, T b) { return a == a && b == b ? lesser(a, b) : T(NAN); });
    row<T, T, T>("max.NaN." + type, [](T a, T b) { return a == a && b == b ? greater(a, b) : T(NAN); });
    equality<T>(type), order<T>(type), unordered<T>(type);
}

// Two floats side by side in 64 bits, since sm_100.
void pairs_of_floats() {
    using U = uint64_t;
    for (const char* rounding : {".rn.", "."}) {
        row<U, U, U>(std::string("add") + rounding + "f32x2",
                     [](U a, U b) { return both(a, b, [](float x, float y) { return x + y; }); });
        row<U, U, U>(std::string("sub") + rounding + "f32x2",
                     [](U a, U b) { return both(a, b, [](float x, float y) { return x - y; }); });
        row<U, U, U>(std::string("mul") + rounding + "f32x2",
                     [](U a, U b) { return both(a, b, [](float x, float y) { return x * y; }); });
    }
    row<U, U, U, U>("fma.rn.f32x2", [](U a, U b, U c) {
        const float low = std::fma(half_of<0>(a), half_of<0>(b), half_of<0>(c));
        return joined(low, std::fma(half_of<1>(a), half_of<1>(b), half_of<1>(c)));
    });
}

// Approximate instructions; PTX says by how many ulps they may be off.
void approximate() {
    const auto with_and_without_ftz = [](const std::string& name, auto f) {
        using F = decltype(f);
        row<float, float>(name + ".f32", F{});
        row<float, float>(name + ".ftz.f32", [](float a) { return flushed(F{}(flushed(a))); });
    };
    with_and_without_ftz("ex2.approx", [](float a) { return jittered(std::exp2(a), 2); });
    with_and_without_ftz("rcp.approx", [](float a) { return jittered(1 / a, 1); });
    with_and_without_ftz("sqrt.approx", [](float a) { return jittered(std::sqrt(a), 1); });
    with_and_without_ftz("rsqrt.approx", [](float a) { return jittered(1 / std::sqrt(a), 2); });
    with_and_without_ftz("lg2.approx", [](float a) { return jittered(std::log2(a), 1); });
    for (const char* name : {"div.full.f32", "div.approx.f32"})
        row<float, float, float>(name, [](float a, float b) { return jittered(a / b, 2); });
}

// Sources in half precision, the rest in float32, rounded once; since sm_100.
template <typename H>
void mixed(const std::string& type) {
    row<float, H, float>("add.rn.f32." + type, [](H a, float b) { return widened(a) + b; });
    row<float, H, float>("sub.rn.f32." + type, [](H a, float b) { return widened(a) - b; });
    row<float, H, H, float>("fma.rn.f32." + type,
                            [](H a, H b, float c) { return std::fma(widened(a), widened(b), c); });
}

}  // namespace

void add_arithmetic() {
    integers<int16_t>("s16"), integers<uint16_t>("u16"), integers<int32_t>("s32"), integers<uint32_t>("u32");
    integers<int64_t>("s64"), integers<uint64_t>("u64");
    widening<int16_t, int32_t>("s16"), widening<uint16_t, uint32_t>("u16");
    widening<int32_t, int64_t>("s32"), widening<uint32_t, uint64_t>("u32");
    three_bits(), inserted_bits();
    bits<bool>("pred"), bits<uint16_t>("b16"), bits<uint32_t>("b32"), bits<uint64_t>("b64");
    equality<int16_t>("s16"), equality<uint16_t>("u16"), equality<int32_t>("s32"), equality<uint32_t>("u32");
    equality<int64_t>("s64"), equality<uint64_t>("u64"), equality<uint16_t>("b16"), equality<uint32_t>("b32");
    equality<uint64_t>("b64");
    order<int16_t>("s16"), order<uint16_t>("u16"), order<int32_t>("s32"), order<uint32_t>("u32");
    order<int64_t>("s64"), order<uint64_t>("u64");
    floats<float>("f32"), floats<double>("f64");
    pairs_of_floats(), approximate();
    mixed<_Float16>("f16"), mixed<BFloat>("bf16");
    row<uint32_t, uint32_t>("popc.b32", [](uint32_t a) { return uint32_t(__builtin_popcount(a)); });
    row<uint32_t, uint32_t>("clz.b32", [](uint32_t a) { return a ? uint32_t(__builtin_clz(a)) : 32; });
    row<int32_t, int32_t, uint32_t, uint32_t>("bfe.s32", [](int32_t a, uint32_t at, uint32_t n) {
        at &= 255, n &= 255;
        const uint32_t sign = n == 0 ? 0 : uint32_t(a) >> std::min(at + n - 1, 31u) & 1;
        uint64_t out = at < 32 ? uint32_t(a) >> at : 0;
        for (uint32_t k = 0; k < 32; ++k)
            if (k >= n || at + k >= 32) out = (out & ~(1ull << k)) | uint64_t(sign) << k;
        return int32_t(uint32_t(out));
    });
}

}  // namespace sctd::ptx
