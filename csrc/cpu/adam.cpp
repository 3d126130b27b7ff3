/*
adam.cpp - the optimiser step of one parameter: gradient clipping, both moments, the step.

The norm of the gradient runs over fixed pieces in double, which are added in order: bit for bit, for any number of
threads.
Source   Kingma and Ba 2015, algorithm 1, with torch's placement of eps
*/
#include <algorithm>

#include "../include/common.h"

#include "kernels.h"
#include "threads.h"

SCTD_BEGIN
namespace {

template <typename S>
double gradient_norm(int64_t n, const S* grad) {
    const int64_t pieces = (n + kGrain - 1) / kGrain;
    Scratch<double> sums(pieces);
    auto work = [&](int64_t begin, int64_t end) {
        double sum = 0;
        for (int64_t i = begin; i < end; ++i) sum += double(grad[i]) * double(grad[i]);
        sums[begin / kGrain] = sum;
    };
    parallel_ranges(n, kGrain, work);
    double total = 0;
    for (int64_t p = 0; p < pieces; ++p) total += sums[p];
    return sqrt(total);
}

template <typename S>
void adam(const AdamArgs<S>& a) {
    const S rate = S(a.rate), root = S(a.root), eps = S(a.eps), clip = S(a.clip);
    const S beta1 = S(a.beta1), beta2 = S(a.beta2), rest1 = S(1 - a.beta1), rest2 = S(1 - a.beta2);
    auto update = [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            const S g = a.grad[i] * clip;
            const S m = a.exp_avg[i] = beta1 * a.exp_avg[i] + rest1 * g;
            const S v = a.exp_avg_sq[i] = beta2 * a.exp_avg_sq[i] + rest2 * g * g;
            a.param[i] -= rate * m / (vsqrt(v) / root + eps);
        }
    };
    auto update_visible = [&](int64_t begin, int64_t end) {
        for (int64_t row = begin / a.row; row * a.row < end; ++row)
            if (a.visible[row]) update(std::max(begin, row * a.row), std::min(end, (row + 1) * a.row));
    };
    if (a.visible)
        parallel_ranges(a.n, kGrain, update_visible);
    else
        parallel_ranges(a.n, kGrain, update);
}

template <typename S>
void fill(Kernels<S>& k) {
    k.gradient_norm = gradient_norm<S>;
    k.adam = adam<S>;
}

}  // namespace

void set_adam(Kernels<float>& f, Kernels<double>& d) {
    fill(f);
    fill(d);
}

SCTD_END
