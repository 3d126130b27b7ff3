/*
sctd_math.h - the element-wise formulas of the diffusion side: noising, one PF-ODE step, guidance, the SCTD residual.

alpha, sigma: sqrt(abar_t), sqrt(1 - abar_t) of one noise level, no unit.
Source  docs/algorithm.md, sections 1 and 2; Zhu et al., "SegmentDreamer", ICCV 2025, section 4.
*/
#pragma once

#include "common.h"

SCTD_BEGIN

// z = alpha z0 + sigma noise
template <typename T>
SCTD_HD T add_noise(T z0, T noise, T alpha, T sigma) {
    return madd(alpha, z0, sigma * noise);
}

// What the network predicts: the noise, v = alpha eps - sigma z0 (Salimans and Ho 2022, appendix D), or z0.
enum Prediction { kEpsilon, kV, kSample };

// Phi as z_to = on_z z + on_out out, with the network's own output: z0 and eps are linear in both.
template <typename T>
struct Step {
    T on_z, on_out;
};

// First-order step of the probability-flow ODE (DDIM with eta 0), either direction in time; computed in double.
template <typename T>
inline Step<T> ode_step(Prediction prediction, double alpha, double sigma, double alpha_to, double sigma_to) {
    switch (prediction) {
        case kEpsilon: return {T(alpha_to / alpha), T(sigma_to - alpha_to * sigma / alpha)};
        case kV: return {T(alpha_to * alpha + sigma_to * sigma), T(sigma_to * alpha - alpha_to * sigma)};
        default: return {T(sigma_to / sigma), T(alpha_to - sigma_to * alpha / sigma)};
    }
}

// Classifier-free guidance.
template <typename T>
SCTD_HD T guided(T eps_null, T eps_cond, T guidance) {
    return madd(guidance, eps_cond - eps_null, eps_null);
}

// Sums of an image over which Perp-Neg projects: d . d, and d_k . d of each wrong direction.
// eps_null + d + sum_k weight_k (d_k - d (d_k . d) / (d . d)) = null + on_right d + sum_k weight_k d_k, d = right - null.
template <typename T>
inline T perp_neg_on_right(int k, const T* weight, const double* along, double square) {
    double sum = 1;
    for (int i = 0; i < k; ++i) sum -= double(weight[i]) * (square > 0 ? along[i] / square : 0);
    return T(sum);
}

// w * [(z_self - z_end) + (guidance + 1) * (z_end - z_cond)], one element.
template <typename T>
SCTD_HD T residual(T z_end, T z_self, T z_cond, T weight, T guidance) {
    return weight * ((z_self - z_end) + (guidance + T(1)) * (z_end - z_cond));
}

SCTD_END
