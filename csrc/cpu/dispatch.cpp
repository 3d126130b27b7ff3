/*
dispatch.cpp - picks the kernels for the CPU this runs on, once.

Every kernel file is compiled for several instruction sets (setup.py) and each copy fills a table; SCTD_CPU_ISA =
baseline | avx2 | avx512 asks for a lesser one (tests compare them). What this CPU lacks gets the best that it has, and
sctd/machine/environment.py refuses it.
*/
#include "kernels.h"

#include <cstdlib>
#include <cstring>

#define SCTD_DECLARE(ISA)                                       \
    namespace ISA {                                             \
    void set_project(Kernels<float>&, Kernels<double>&);        \
    void set_tiles(Kernels<float>&, Kernels<double>&);          \
    void set_blend(Kernels<float>&, Kernels<double>&);          \
    void set_blend_backward(Kernels<float>&, Kernels<double>&); \
    void set_diffusion(Kernels<float>&, Kernels<double>&);      \
    void set_variation(Kernels<float>&, Kernels<double>&);      \
    void set_adam(Kernels<float>&, Kernels<double>&);           \
    void set_triangle_draw(Kernels<float>&, Kernels<double>&);  \
    void set_triangle_shade(Kernels<float>&, Kernels<double>&); \
    void set_texture(Kernels<float>&, Kernels<double>&);        \
    }

namespace sctd {

SCTD_DECLARE(baseline)
#if defined(SCTD_HAVE_X86_ISAS)
SCTD_DECLARE(avx2)
SCTD_DECLARE(avx512)
#endif

namespace {

struct Table {
    const char* name;
    Kernels<float> f;
    Kernels<double> d;
};

#define SCTD_FILL(ISA)                         \
    table.name = #ISA;                         \
    ISA::set_project(table.f, table.d);        \
    ISA::set_tiles(table.f, table.d);          \
    ISA::set_blend(table.f, table.d);          \
    ISA::set_blend_backward(table.f, table.d); \
    ISA::set_diffusion(table.f, table.d);      \
    ISA::set_variation(table.f, table.d);      \
    ISA::set_adam(table.f, table.d);           \
    ISA::set_triangle_draw(table.f, table.d);  \
    ISA::set_triangle_shade(table.f, table.d); \
    ISA::set_texture(table.f, table.d)

Table choose() {
    Table table;
#if defined(SCTD_HAVE_X86_ISAS)
    const char* wish = std::getenv("SCTD_CPU_ISA");
    const bool any = !wish || !*wish;
    __builtin_cpu_init();
    const bool avx2 =
        __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi");
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw");
    if (avx512 && (any || !std::strcmp(wish, "avx512"))) {
        SCTD_FILL(avx512);
        return table;
    }
    if (avx2 && (any || !std::strcmp(wish, "avx2") || !std::strcmp(wish, "avx512"))) {
        SCTD_FILL(avx2);
        return table;
    }
#endif
    SCTD_FILL(baseline);
    return table;
}

const Table& table() {
    static const Table t = choose();
    return t;
}

}  // namespace

template <>
const Kernels<float>& kernels<float>() {
    return table().f;
}

template <>
const Kernels<double>& kernels<double>() {
    return table().d;
}

const char* isa_name() { return table().name; }

}  // namespace sctd
