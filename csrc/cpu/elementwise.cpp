/*
elementwise.cpp - the fused diffusion ops and the optimiser step: one pass over memory each.

  noise, ode_step, cfg_ode_steps, residual   b rows of n elements, one noise level or weight per row
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
void ode_step_rows(int64_t b, int64_t n, const S* z, const S* eps, const S* const lv[4], S* out) {
    auto work = [&](int64_t row, int64_t begin, int64_t end) {
        const S a0 = lv[0][row], s0 = lv[1][row], a1 = lv[2][row], s1 = lv[3][row];
        for (int64_t i = row * n + begin; i < row * n + end; ++i)
            out[i] = ode_step(z[i], eps[i], a0, s0, a1, s1);
    };
    over_rows(b, n, work);
}

template <typename S>
void cfg_ode_steps_rows(int64_t b, int64_t n, const S* z, const S* null, const S* cond, S guidance,
                        const S* const lv[6], S* z_s, S* z_e, S* eps) {
    auto work = [&](int64_t row, int64_t begin, int64_t end) {
        const S a0 = lv[0][row], s0 = lv[1][row], a1 = lv[2][row], s1 = lv[3][row], a2 = lv[4][row],
                s2 = lv[5][row];
        for (int64_t i = row * n + begin; i < row * n + end; ++i) {
            const S e = guided(null[i], cond[i], guidance);
            eps[i] = e;
            z_s[i] = ode_step(z[i], e, a0, s0, a1, s1);
            z_e[i] = ode_step(z[i], e, a0, s0, a2, s2);
        }
    };
    over_rows(b, n, work);
}

// stats [b,3]: |z_self - z_end|, |z_end - z_cond|, number of non-finite elements of the gradient; loss [b]: 0.5 |grad|^2.
// One image per piece: its sums stay in one thread.
template <typename S>
void residual_rows(int64_t b, int64_t n, const S* z_end, const S* z_self, const S* z_cond, const S* weight,
                   S guidance, S* grad, S* stats, S* loss) {
    auto work = [&](ptrdiff_t row) {
        double self = 0, cross = 0, square = 0;
        int64_t bad = 0;
        for (int64_t i = row * n; i < (row + 1) * n; ++i) {
            const S g = residual(z_end[i], z_self[i], z_cond[i], weight[row], guidance);
            grad[i] = g;
            const double ds = double(z_self[i]) - double(z_end[i]), dc = double(z_end[i]) - double(z_cond[i]);
            self += ds * ds, cross += dc * dc, square += double(g) * double(g);
            bad += !(g - g == 0);
        }
        stats[3 * row] = S(sqrt(self)), stats[3 * row + 1] = S(sqrt(cross)), stats[3 * row + 2] = S(bad);
        loss[row] = S(0.5 * square);
    };
    parallel_for(b, work);
}

template <typename S>
double gradient_norm(const AdamArgs<S>& a) {
    const int64_t pieces = (a.n + kGrain - 1) / kGrain;
    Scratch<double> sums(pieces);
    auto work = [&](int64_t begin, int64_t end) {
        double sum = 0;
        for (int64_t i = begin; i < end; ++i) sum += double(a.grad[i]) * double(a.grad[i]);
        sums[begin / kGrain] = sum;
    };
    parallel_ranges(a.n, kGrain, work);
    double total = 0;
    for (int64_t p = 0; p < pieces; ++p) total += sums[p];
    return sqrt(total);
}

template <typename S>
double adam(const AdamArgs<S>& a) {
    double norm = 0, scale = 1;
    if (a.clip_norm < HUGE_VAL) {
        norm = gradient_norm(a);
        scale = a.clip_norm / (norm + 1e-6);  // as torch.nn.utils.clip_grad_norm_
        if (!(scale < 1)) scale = 1;
    }
    const S rate = S(a.rate), root = S(a.root), eps = S(a.eps), clip = S(scale);
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
    return norm;
}

template <typename S>
void fill(Kernels<S>& k) {
    k.noise = noise_rows<S>;
    k.ode_step = ode_step_rows<S>;
    k.cfg_ode_steps = cfg_ode_steps_rows<S>;
    k.residual = residual_rows<S>;
    k.adam = adam<S>;
}

}  // namespace

void set_elementwise(Kernels<float>& f, Kernels<double>& d) {
    fill(f);
    fill(d);
}

SCTD_END
