/*
diffusion.cpp - the fused diffusion ops: one pass over memory each.

  noise, ode_step, cfg_ode_steps, residual   b rows of n elements, one noise level or weight per row

Sums (norms) run in double over one row and one thread: bit for bit, for any number of threads.
Maths    include/sctd_math.h
*/
#include "../include/sctd_math.h"

#include "kernels.h"
#include "threads.h"

SCTD_BEGIN
namespace {

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

template <typename S>
void fill(Kernels<S>& k) {
    k.noise = noise_rows<S>;
    k.ode_step = ode_step_rows<S>;
    k.cfg_ode_steps = cfg_ode_steps_rows<S>;
    k.residual = residual_rows<S>;
}

}  // namespace

void set_diffusion(Kernels<float>& f, Kernels<double>& d) {
    fill(f);
    fill(d);
}

SCTD_END
