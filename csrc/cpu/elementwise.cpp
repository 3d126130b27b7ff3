/*
elementwise.cpp - the fused diffusion ops and the optimiser step: one pass over memory each.

  noise, ode_step, cfg_ode_steps, residual   b rows of n elements, one noise level or weight per row
  total_variation                            planes of h x w pixels, with the gradient
  adam                                       one parameter: gradient clipping, both moments, the step

Sums (norms) run over fixed pieces in double and are added in order: bit for bit, for any number of threads.
Maths    include/sctd_math.h; Adam: Kingma and Ba 2015, algorithm 1, with torch's placement of eps.
*/
#include <algorithm>

#include "../include/sctd_math.h"

#include "kernels.h"
#include "threads.h"

SCTD_BEGIN
namespace {

constexpr int64_t kGrain = 8192;  // elements of one piece: half a typical L1 cache with four streams of float

// f(row, begin, end): element range inside one row.
template <typename F>
void over_rows(int64_t b, int64_t n, F& f) {
    const int64_t pieces = (n + kGrain - 1) / kGrain;
    auto work = [&](ptrdiff_t i) {
        const int64_t row = i / pieces, begin = i % pieces * kGrain;
        f(row, begin, begin + kGrain < n ? begin + kGrain : n);
    };
    parallel_for(b * pieces, work);
}

template <typename S>
void noise_rows(int64_t b, int64_t n, const S* z0, const S* noise, const S* alpha, const S* sigma, S* out) {
    auto work = [&](int64_t row, int64_t begin, int64_t end) {
        for (int64_t i = row * n + begin; i < row * n + end; ++i)
            out[i] = add_noise(z0[i], noise[i], alpha[row], sigma[row]);
    };
    over_rows(b, n, work);
}

template <typename S>
Step<S> step_of(int prediction, const S* const from[2], const S* const to[2], int64_t row) {
    return ode_step<S>(Prediction(prediction), double(from[0][row]), double(from[1][row]), double(to[0][row]),
                       double(to[1][row]));
}

template <typename S>
void ode_step_rows(int64_t b, int64_t n, int prediction, const S* z, const S* out, const S* const levels[4],
                   S* z_to) {
    auto work = [&](int64_t row, int64_t begin, int64_t end) {
        const Step<S> step = step_of(prediction, levels, levels + 2, row);
        for (int64_t i = row * n + begin; i < row * n + end; ++i)
            z_to[i] = madd(step.on_z, z[i], step.on_out * out[i]);
    };
    over_rows(b, n, work);
}

// Perp-Neg's factor of the right direction, for one image.
template <typename S>
S on_right_of(const GuidanceArgs<S>& a, int64_t row) {
    constexpr int kMost = 8;
    double square = 0, along[kMost] = {};
    const S *null = a.null + row * a.n, *cond = a.cond + row * a.n, *wrong = a.wrong + row * a.k * a.n;
    for (int64_t i = 0; i < a.n; ++i) {
        const double d = double(cond[i]) - double(null[i]);
        square += d * d;
        for (int k = 0; k < a.k; ++k) along[k] += d * (double(wrong[k * a.n + i]) - double(null[i]));
    }
    return perp_neg_on_right(a.k, a.weights + row * a.k, along, square);
}

template <typename S>
void cfg_ode_steps_rows(const GuidanceArgs<S>& a) {
    Scratch<S> on_right(a.b);
    auto project = [&](ptrdiff_t row) { on_right[row] = a.k ? on_right_of(a, row) : S(1); };
    parallel_for(a.b, project);
    auto work = [&](int64_t row, int64_t begin, int64_t end) {
        const Step<S> to_s = step_of(a.prediction, a.levels, a.levels + 2, row),
                      to_e = step_of(a.prediction, a.levels, a.levels + 4, row);
        const S right = on_right[row], *weights = a.weights + row * a.k;
        for (int64_t j = begin; j < end; ++j) {
            const int64_t i = row * a.n + j;
            S push = right * (a.cond[i] - a.null[i]);
            for (int k = 0; k < a.k; ++k)
                push = madd(weights[k], a.wrong[(row * a.k + k) * a.n + j] - a.null[i], push);
            const S out = madd(a.guidance, push, a.null[i]);
            a.out[i] = out;
            a.z_s[i] = madd(to_s.on_z, a.z[i], to_s.on_out * out);
            a.z_e[i] = madd(to_e.on_z, a.z[i], to_e.on_out * out);
        }
    };
    over_rows(a.b, a.n, work);
}

// One image per piece: its sums stay in one thread.
template <typename S>
void residual_rows(const ResidualArgs<S>& a) {
    auto work = [&](ptrdiff_t row) {
        const Step<S> step = step_of(a.prediction, a.levels, a.levels + 2, row);
        double self = 0, cross = 0, square = 0;
        int64_t bad = 0;
        for (int64_t i = row * a.n; i < (row + 1) * a.n; ++i) {
            const S z_self = madd(step.on_z, a.z[i], step.on_out * a.out[i]);
            const S g = residual(a.z_end[i], z_self, a.z_cond[i], a.weight[row], a.guidance);
            a.grad[i] = g;
            const double ds = double(z_self) - double(a.z_end[i]),
                         dc = double(a.z_end[i]) - double(a.z_cond[i]);
            self += ds * ds, cross += dc * dc, square += double(g) * double(g);
            bad += !(g - g == 0);
        }
        a.stats[3 * row] = S(sqrt(self)), a.stats[3 * row + 1] = S(sqrt(cross)),
                    a.stats[3 * row + 2] = S(bad);
        a.loss[row] = S(0.5 * square);
    };
    parallel_for(a.b, work);
}

// Plane by plane; the sum of each stays in one thread and the planes are added in order.
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
    k.noise = noise_rows<S>;
    k.ode_step = ode_step_rows<S>;
    k.cfg_ode_steps = cfg_ode_steps_rows<S>;
    k.residual = residual_rows<S>;
    k.total_variation = total_variation_planes<S>;
    k.gradient_norm = gradient_norm<S>;
    k.adam = adam<S>;
}

}  // namespace

void set_elementwise(Kernels<float>& f, Kernels<double>& d) {
    fill(f);
    fill(d);
}

SCTD_END
