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

// Phi: first-order step of the probability-flow ODE (DDIM with eta 0), either direction in time.
template <typename T>
SCTD_HD T ode_step(T z, T eps, T alpha_from, T sigma_from, T alpha_to, T sigma_to) {
    const T z0 = (z - sigma_from * eps) / alpha_from;
    return madd(alpha_to, z0, sigma_to * eps);
}

// Classifier-free guidance.
template <typename T>
SCTD_HD T guided(T eps_null, T eps_cond, T guidance) {
    return madd(guidance, eps_cond - eps_null, eps_null);
}

// w * [(z_self - z_end) + (guidance + 1) * (z_end - z_cond)], one element.
template <typename T>
SCTD_HD T residual(T z_end, T z_self, T z_cond, T weight, T guidance) {
    return weight * ((z_self - z_end) + (guidance + T(1)) * (z_end - z_cond));
}

SCTD_END
