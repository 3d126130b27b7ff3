/*
common.h - what every formula header shares: host/device macro, the namespace, the constants of the blend.

Each formula is written once, templated on the scalar T, and compiled by nvcc (T = float), by g++ for the CPU
(T = float, double, or a SIMD vector of either) and by the double-precision tests. So formulas are branch-free:
they use select(mask, a, b), never `if` on a T.

The kernels are compiled several times, once per instruction set, into one library. SCTD_ISA names the
namespace of each copy: without it the linker would keep one copy of every inline function, perhaps the one
with instructions that this CPU lacks.
*/
#pragma once

#include <cmath>
#include <cstdint>

#if defined(__CUDACC__)
#define SCTD_HD __host__ __device__ __forceinline__
#else
#define SCTD_HD inline __attribute__((always_inline))
#endif

#ifndef SCTD_ISA
#define SCTD_ISA generic
#endif
#define SCTD_BEGIN   \
    namespace sctd { \
    inline namespace SCTD_ISA {
#define SCTD_END \
    }            \
    }

SCTD_BEGIN

// An 8-bit display cannot show less than 1/255, so a smaller alpha is skipped (Kerbl et al. 2023, appendix C).
constexpr double kAlphaMin = 1.0 / 255.0;
// Below one, so that T / (1 - alpha) in the backward pass stays finite.
constexpr double kAlphaMax = 0.999;
// A pixel stops before its transmittance falls to this: Gaussians behind change it by at most 1e-4.
constexpr double kTransmittanceMin = 1e-4;
// Pixels along a tile's edge. 16 x 16 pixels = 64 strips of 4 x 1, one bit each in a 64-bit coverage mask.
constexpr int kTile = 16;
constexpr double kLog2E = 1.4426950408889634;

// The scalar under a T: itself, or the element of a SIMD vector (cpu/simd.h).
template <typename T>
struct ScalarOf {
    using type = T;
};
template <typename T>
using Scalar = typename ScalarOf<T>::type;

// Scalar versions of the operations for which C++ has no operator; cpu/simd.h overloads them for vectors.
SCTD_HD float select(bool m, float a, float b) { return m ? a : b; }
SCTD_HD double select(bool m, double a, double b) { return m ? a : b; }
SCTD_HD float vmin(float a, float b) { return a < b ? a : b; }
SCTD_HD double vmin(double a, double b) { return a < b ? a : b; }
SCTD_HD float vmax(float a, float b) { return a > b ? a : b; }
SCTD_HD double vmax(double a, double b) { return a > b ? a : b; }
SCTD_HD float vsqrt(float a) { return sqrtf(a); }
SCTD_HD double vsqrt(double a) { return sqrt(a); }
SCTD_HD float vlog(float a) { return logf(a); }
SCTD_HD double vlog(double a) { return log(a); }

// a * b + c, fused where the hardware fuses. Contraction by the compiler is off, so that the forward and the
// backward pass round alike and agree on which pixels are skipped.
#if defined(__CUDACC__) || defined(__FMA__) || defined(__aarch64__)
SCTD_HD float madd(float a, float b, float c) { return fmaf(a, b, c); }
SCTD_HD double madd(double a, double b, double c) { return fma(a, b, c); }
#else
SCTD_HD float madd(float a, float b, float c) { return a * b + c; }
SCTD_HD double madd(double a, double b, double c) { return a * b + c; }
#endif

SCTD_END
