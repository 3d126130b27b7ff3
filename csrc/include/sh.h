/*
sh.h - real spherical harmonics of degree 0-3 along a unit direction, and their gradient.

  in   d [3] unit direction from the camera to the Gaussian
  out  basis [16], order (l, m) = (0,0) (1,-1) (1,0) (1,1) (2,-2) ... (3,3); signs as in 3DGS .ply files

Source  Sloan 2013, "Efficient Spherical Harmonic Evaluation", appendix A2; signs: Kerbl et al. 2023.
*/
#pragma once

#include "common.h"

SCTD_BEGIN

constexpr int kMaxShDegree = 3;
constexpr int kMaxShBases = 16;

constexpr double kSh0 = 0.28209479177387814;  // 1 / (2 sqrt(pi))
constexpr double kSh1 = 0.4886025119029199;   // sqrt(3 / (4 pi))
// Numbers of their own, not arrays: device code may read constants but not take elements of host arrays.
constexpr double kSh20 = 1.0925484305920792, kSh21 = 0.31539156525252005, kSh22 = 0.5462742152960396;
constexpr double kSh30 = 0.5900435899266435, kSh31 = 2.890611442640554, kSh32 = 0.4570457994644658,
                 kSh33 = 0.3731763325901154, kSh34 = 1.445305721320277;

template <typename T>
SCTD_HD void sh_basis(int degree, const T d[3], T out[kMaxShBases]) {
    const T x = d[0], y = d[1], z = d[2];
    out[0] = T(kSh0);
    if (degree < 1) return;
    out[1] = T(-kSh1) * y, out[2] = T(kSh1) * z, out[3] = T(-kSh1) * x;
    if (degree < 2) return;
    const T xx = x * x, yy = y * y, zz = z * z;
    out[4] = T(kSh20) * x * y;
    out[5] = T(-kSh20) * y * z;
    out[6] = T(kSh21) * (2 * zz - xx - yy);
    out[7] = T(-kSh20) * x * z;
    out[8] = T(kSh22) * (xx - yy);
    if (degree < 3) return;
    out[9] = T(-kSh30) * y * (3 * xx - yy);
    out[10] = T(kSh31) * x * y * z;
    out[11] = T(-kSh32) * y * (4 * zz - xx - yy);
    out[12] = T(kSh33) * z * (2 * zz - 3 * xx - 3 * yy);
    out[13] = T(-kSh32) * x * (4 * zz - xx - yy);
    out[14] = T(kSh34) * z * (xx - yy);
    out[15] = T(-kSh30) * x * (xx - 3 * yy);
}

// g [16] = dL/dbasis; out [3] = dL/dd (d not yet normalised away).
template <typename T>
SCTD_HD void sh_basis_vjp(int degree, const T d[3], const T g[kMaxShBases], T out[3]) {
    const T x = d[0], y = d[1], z = d[2];
    T gx = 0, gy = 0, gz = 0;
    if (degree >= 1) {
        gx += T(-kSh1) * g[3], gy += T(-kSh1) * g[1], gz += T(kSh1) * g[2];
    }
    if (degree >= 2) {
        gx += T(kSh20) * (y * g[4] - z * g[7]) + T(-2 * kSh21) * x * g[6] + T(2 * kSh22) * x * g[8];
        gy += T(kSh20) * (x * g[4] - z * g[5]) + T(-2 * kSh21) * y * g[6] - T(2 * kSh22) * y * g[8];
        gz += T(-kSh20) * (y * g[5] + x * g[7]) + T(4 * kSh21) * z * g[6];
    }
    if (degree >= 3) {
        const T xx = x * x, yy = y * y, zz = z * z;
        const T g9 = T(-kSh30) * g[9], g10 = T(kSh31) * g[10], g11 = T(-kSh32) * g[11];
        const T g12 = T(kSh33) * g[12], g13 = T(-kSh32) * g[13], g14 = T(kSh34) * g[14];
        const T g15 = T(-kSh30) * g[15];
        gx += g9 * 6 * x * y + g10 * y * z - g11 * 2 * x * y - g12 * 6 * x * z +
              g13 * (4 * zz - 3 * xx - yy) + g14 * 2 * x * z + g15 * 3 * (xx - yy);
        gy += g9 * 3 * (xx - yy) + g10 * x * z + g11 * (4 * zz - xx - 3 * yy) - g12 * 6 * y * z -
              g13 * 2 * x * y - g14 * 2 * y * z - g15 * 6 * x * y;
        gz += g10 * x * y + g11 * 8 * y * z + g12 * (6 * zz - 3 * xx - 3 * yy) + g13 * 8 * x * z +
              g14 * (xx - yy);
    }
    out[0] = gx, out[1] = gy, out[2] = gz;
}

SCTD_END
