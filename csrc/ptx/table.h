/*
table.h - the opcodes: name => what an instruction's operands are, and what executes it.

    row<float, float, float>("mul.rn.f32", [](float a, float b) { return a * b; });

says the name, the type of the result, those of the sources, and what a lane computes. bool is a predicate. Opcodes whose
operands are not that plain (memory, collectives) bring a handler of their own and spell their form.

A form is a letter for each operand, in the order of the text, vectors and pairs (a|b) taken apart:
  p predicate   h, w, d  16, 32, 64 bits, exactly   * any width   [ address   ? a predicate that may be absent (b of a|b)
*/
#pragma once

#include <functional>
#include <unordered_map>
#include <utility>

#include "ptx.h"

namespace sctd::ptx {

struct Opcode {
    std::string form;
    Handler run = nullptr;
    Kind kind = Kind::kPlain;
};

using Table = std::unordered_map<std::string, Opcode>;
Table& table();

void add_arithmetic();
void add_conversions();
void add_access();
void add_collectives();

template <typename T>
constexpr char letter() {
    if constexpr (std::is_same_v<T, bool>) return 'p';
    static_assert(sizeof(T) != 1 || std::is_same_v<T, bool>, "registers have 16, 32 or 64 bits");
    return sizeof(T) == 2 ? 'h' : sizeof(T) == 4 ? 'w' : 'd';
}

// A source's elements; a predicate's are the bits of one word.
template <typename T>
struct Source {
    const T* lanes;
    Source(Warp& w, uint32_t at) : lanes(w.slot<T>(at)) {}
    T operator[](int lane) const { return lanes[lane]; }
};
template <>
struct Source<bool> {
    Mask bits;
    Source(Warp& w, uint32_t at) : bits(w.predicate(at)) {}
    bool operator[](int lane) const { return bits >> lane & 1; }
};

template <typename F, typename R, typename... A, size_t... I>
void each_lane(Warp& w, const Instruction& i, Mask mask, std::index_sequence<I...>) {
    F f;
    const std::tuple<Source<A>...> sources(Source<A>(w, i.at[1 + I])...);
    if constexpr (std::is_same_v<R, bool>) {
        Mask bits = 0;
        if (mask == kAll) {
            for (int l = 0; l < kLanes; ++l) bits |= Mask(f(std::get<I>(sources)[l]...)) << l;
        } else {
            for_lanes(mask, [&](int l) { bits |= Mask(f(std::get<I>(sources)[l]...)) << l; });
        }
        Mask& p = w.predicate(i.at[0]);
        p = (p & ~mask) | bits;
    } else {
        R* const out = w.slot<R>(i.at[0]);
        if (mask == kAll) {
#pragma GCC ivdep  // an instruction's result may be one of its sources, but lane by lane
            for (int l = 0; l < kLanes; ++l) out[l] = f(std::get<I>(sources)[l]...);
        } else {
            for_lanes(mask, [&](int l) { out[l] = f(std::get<I>(sources)[l]...); });
        }
    }
}

template <typename F, typename R, typename... A>
void run_row(Warp& w, const Instruction& i, Mask mask) {
    each_lane<F, R, A...>(w, i, mask, std::index_sequence_for<A...>());
}

template <typename R, typename... A, typename F>
void row(const std::string& name, F) {
    const bool fresh =
        table().try_emplace(name, Opcode{{letter<R>(), letter<A>()...}, run_row<F, R, A...>}).second;
    if (!fresh) throw std::logic_error("opcode twice in the table: " + name);
}

inline void special(const std::string& name, const std::string& form, Handler run, Kind kind = Kind::kPlain) {
    if (!table().try_emplace(name, Opcode{form, run, kind}).second)
        throw std::logic_error("opcode twice in the table: " + name);
}

// A lane's bits in a register of any width, and back.
inline uint64_t read_bits(Warp& w, const Instruction& i, int operand, int lane) {
    const uint32_t at = i.at[size_t(operand)];
    switch (i.size[size_t(operand)]) {
        case 2: return w.slot<uint16_t>(at)[lane];
        case 4: return w.slot<uint32_t>(at)[lane];
        default: return w.slot<uint64_t>(at)[lane];
    }
}

inline void write_bits(Warp& w, const Instruction& i, int operand, int lane, uint64_t bits) {
    const uint32_t at = i.at[size_t(operand)];
    switch (i.size[size_t(operand)]) {
        case 2: w.slot<uint16_t>(at)[lane] = uint16_t(bits); break;
        case 4: w.slot<uint32_t>(at)[lane] = uint32_t(bits); break;
        default: w.slot<uint64_t>(at)[lane] = bits;
    }
}

}  // namespace sctd::ptx
