/*
variation.cpp - total variation of planes of h x w pixels, with the gradient, in one pass over memory.

The sum of a plane runs in double in one thread, and the planes are added in order: bit for bit, for any number of
threads.
Source   sctd/ops/reference.py, the definition in torch
*/
#include "../include/common.h"

#include "kernels.h"
#include "threads.h"

SCTD_BEGIN
namespace {

template <typename S>
void total_variation_planes(const VariationArgs<S>& a) {
    const int64_t h = a.h, w = a.w;
    const double down = h > 1 ? 1.0 / (double(a.planes) * (h - 1) * w) : 0,
                 across = w > 1 ? 1.0 / (double(a.planes) * h * (w - 1)) : 0;
    Scratch<double> sums(a.planes);
    auto work = [&](ptrdiff_t plane) {
        const S* x = a.images + plane * h * w;
        S* g = a.grad + plane * h * w;
        double vertical = 0, horizontal = 0;
        for (int64_t i = 0; i < h; ++i)
            for (int64_t j = 0; j < w; ++j) {
                const int64_t at = i * w + j;
                const S below = i + 1 < h ? x[at + w] - x[at] : S(0), above = i ? x[at] - x[at - w] : S(0);
                const S after = j + 1 < w ? x[at + 1] - x[at] : S(0), before = j ? x[at] - x[at - 1] : S(0);
                g[at] = S(2 * down) * (above - below) + S(2 * across) * (before - after);
                vertical += double(below) * double(below), horizontal += double(after) * double(after);
            }
        sums[plane] = down * vertical + across * horizontal;
    };
    parallel_for(a.planes, work);
    double total = 0;
    for (int64_t p = 0; p < a.planes; ++p) total += sums[p];
    *a.loss = S(total);
}

template <typename S>
void fill(Kernels<S>& k) {
    k.total_variation = total_variation_planes<S>;
}

}  // namespace

void set_variation(Kernels<float>& f, Kernels<double>& d) {
    fill(f);
    fill(d);
}

SCTD_END
