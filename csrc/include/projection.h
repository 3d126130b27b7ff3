/*
projection.h - one 3D Gaussian to its 2D footprint on one camera, and the gradient of that.

  in   camera (world-to-camera r [3,3] row-major, t [3]; fx fy cx cy in pixels). r is a rotation, as a rule: nothing
       below needs it to be, so a camera that scales or shears the world is projected and placed rightly too
       p [3] world position   q [4] quaternion wxyz, any length   s [3] standard deviations, world units
  out  mean2d [2] px   depth (camera z)   cov2d a b c in px^2 before the blur   det0 and det (after the blur)

With W = r R(q) diag(s) and J the Jacobian of the pinhole projection, U = J W (2 x 3) and cov2d = U U^T.
det(cov2d) is computed as |U0 x U1|^2: the difference a c - b^2 loses every digit for a thin footprint.
x/z and y/z inside J (not in mean2d) are clamped to 1.3 times the half field plus the principal point's offset.

T is float, double, or a SIMD vector of either; S is the scalar under T.
Source  Zwicker et al. 2001, "EWA Volume Splatting", eq. 26-31; docs/algorithm.md, section 7;
        docs/conventions.md.
*/
#pragma once

#include "common.h"

SCTD_BEGIN

template <typename S>
struct Camera {
    S r[9], t[3];                                  // world to camera
    S fx, fy, cx, cy;                              // pixels
    S lim_x_neg, lim_x_pos, lim_y_neg, lim_y_pos;  // bounds of x/z and y/z inside the Jacobian
    S center[3];                                   // camera position in the world, -r^-1 t
};

template <typename T>
SCTD_HD void cross(const T a[3], const T b[3], T out[3]) {
    out[0] = a[1] * b[2] - a[2] * b[1];
    out[1] = a[2] * b[0] - a[0] * b[2];
    out[2] = a[0] * b[1] - a[1] * b[0];
}

template <typename T>
SCTD_HD T dot3(const T a[3], const T b[3]) {
    return madd(a[0], b[0], madd(a[1], b[1], a[2] * b[2]));
}

// Coordinates of g in the basis of v's rows, by Cramer's rule: v^-T g. Not finite where v is singular.
template <typename S, typename A>
SCTD_HD void coordinates(const S v[9], const A g[3], A out[3]) {
    S row[3];
    for (int i = 2; i >= 0; --i) {
        cross(v + 3 * ((i + 1) % 3), v + 3 * ((i + 2) % 3), row);
        out[i] = A(row[0]) * g[0] + A(row[1]) * g[1] + A(row[2]) * g[2];
    }
    const A det = A(dot3(v, row));
    for (int i = 0; i < 3; ++i) out[i] = out[i] / det;
}

template <typename S>
SCTD_HD Camera<S> make_camera(const S* viewmat, const S* k, int width, int height) {
    Camera<S> cam;
    for (int i = 0; i < 3; ++i) {
        for (int j = 0; j < 3; ++j) cam.r[3 * i + j] = viewmat[4 * i + j];
        cam.t[i] = viewmat[4 * i + 3];
    }
    cam.fx = k[0], cam.fy = k[4], cam.cx = k[2], cam.cy = k[5];
    const S margin_x = S(0.3) * (S(0.5) * S(width) / cam.fx),
            margin_y = S(0.3) * (S(0.5) * S(height) / cam.fy);
    cam.lim_x_pos = (S(width) - cam.cx) / cam.fx + margin_x, cam.lim_x_neg = cam.cx / cam.fx + margin_x;
    cam.lim_y_pos = (S(height) - cam.cy) / cam.fy + margin_y, cam.lim_y_neg = cam.cy / cam.fy + margin_y;
    S columns[9];
    for (int i = 0; i < 3; ++i)
        for (int j = 0; j < 3; ++j) columns[3 * i + j] = cam.r[3 * j + i];
    coordinates(columns, cam.t, cam.center);
    for (int j = 0; j < 3; ++j) cam.center[j] = -cam.center[j];
    return cam;
}

// center = -r^-1 t: adds the share of g = dL/dcenter to the pose gradient [r 9, t 3].
template <typename S, typename A>
SCTD_HD void center_vjp(const Camera<S>& cam, const A g[3], A pose[12]) {
    A g_t[3];
    coordinates(cam.r, g, g_t);
    for (int i = 0; i < 3; ++i) {
        for (int j = 0; j < 3; ++j) pose[3 * i + j] -= g_t[i] * A(cam.center[j]);
        pose[9 + i] -= g_t[i];
    }
}

// Everything the backward pass needs again; it is recomputed there, not stored.
template <typename T>
struct Footprint {
    T x, y, z, iz;      // camera space position, 1/z
    T u, v, cu, cv;     // x/z, y/z and their clamped values
    T qn[4], inv_norm;  // normalised quaternion and 1/|q|
    T rot[9];           // R(q)
    T vr[9];            // r R(q)
    T w[9];             // r R(q) diag(s)
    T u0[3], u1[3];     // rows of U
    T n[3];             // U0 x U1
    T mean_x, mean_y;   // px
    T a, b, c;          // cov2d with the blur on the diagonal
    T det0, det;        // determinant without and with the blur
};

template <typename T>
SCTD_HD void quaternion_to_matrix(const T q[4], T m[9]) {
    const T w = q[0], x = q[1], y = q[2], z = q[3];
    m[0] = 1 - 2 * (y * y + z * z), m[1] = 2 * (x * y - w * z), m[2] = 2 * (x * z + w * y);
    m[3] = 2 * (x * y + w * z), m[4] = 1 - 2 * (x * x + z * z), m[5] = 2 * (y * z - w * x);
    m[6] = 2 * (x * z - w * y), m[7] = 2 * (y * z + w * x), m[8] = 1 - 2 * (x * x + y * y);
}

// g = dL/dR(q), q of unit length; out = dL/dq.
template <typename T>
SCTD_HD void quaternion_to_matrix_vjp(const T q[4], const T g[9], T out[4]) {
    const T w = q[0], x = q[1], y = q[2], z = q[3];
    out[0] = 2 * (z * (g[3] - g[1]) + y * (g[2] - g[6]) + x * (g[7] - g[5]));
    out[1] = 2 * (y * (g[1] + g[3]) + z * (g[2] + g[6]) + w * (g[7] - g[5]) - 2 * x * (g[4] + g[8]));
    out[2] = 2 * (x * (g[1] + g[3]) + z * (g[5] + g[7]) + w * (g[2] - g[6]) - 2 * y * (g[0] + g[8]));
    out[3] = 2 * (x * (g[2] + g[6]) + y * (g[5] + g[7]) + w * (g[3] - g[1]) - 2 * z * (g[0] + g[4]));
}

template <typename T, typename S>
SCTD_HD void project(const Camera<S>& cam, const T p[3], const T q[4], const T s[3], S eps2d,
                     Footprint<T>& o) {
    const S* r = cam.r;
    o.x = r[0] * p[0] + r[1] * p[1] + r[2] * p[2] + cam.t[0];
    o.y = r[3] * p[0] + r[4] * p[1] + r[5] * p[2] + cam.t[1];
    o.z = r[6] * p[0] + r[7] * p[1] + r[8] * p[2] + cam.t[2];
    o.iz = S(1) / o.z;
    o.u = o.x * o.iz, o.v = o.y * o.iz;
    o.mean_x = cam.fx * o.u + cam.cx, o.mean_y = cam.fy * o.v + cam.cy;

    o.inv_norm = S(1) / vsqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3]);
    for (int i = 0; i < 4; ++i) o.qn[i] = q[i] * o.inv_norm;
    quaternion_to_matrix(o.qn, o.rot);
    for (int i = 0; i < 3; ++i)
        for (int j = 0; j < 3; ++j) {
            o.vr[3 * i + j] = r[3 * i] * o.rot[j] + r[3 * i + 1] * o.rot[3 + j] + r[3 * i + 2] * o.rot[6 + j];
            o.w[3 * i + j] = o.vr[3 * i + j] * s[j];
        }

    const T zero = o.z * S(0);
    o.cu = vmin(zero + cam.lim_x_pos, vmax(zero - cam.lim_x_neg, o.u));
    o.cv = vmin(zero + cam.lim_y_pos, vmax(zero - cam.lim_y_neg, o.v));
    const T jx = cam.fx * o.iz, jy = cam.fy * o.iz;  // J = [jx 0 -jx cu; 0 jy -jy cv]
    for (int j = 0; j < 3; ++j) {
        o.u0[j] = jx * (o.w[j] - o.cu * o.w[6 + j]);
        o.u1[j] = jy * (o.w[3 + j] - o.cv * o.w[6 + j]);
    }
    const T a = dot3(o.u0, o.u0), c = dot3(o.u1, o.u1);
    o.b = dot3(o.u0, o.u1);
    cross(o.u0, o.u1, o.n);
    o.det0 = dot3(o.n, o.n);
    o.det = o.det0 + eps2d * (a + c) + eps2d * eps2d;
    o.a = a + eps2d, o.c = c + eps2d;
}

// Gradients that arrive at one footprint.
template <typename T>
struct FootprintGrad {
    T mean_x, mean_y, depth;
    T conic_a, conic_b, conic_c;  // conic_b: of the packed value, which stands for both off-diagonal entries
    T compensation;               // of sqrt(det0 / det)
};

// Gradients that leave; r and t are those of the camera, to be summed over the Gaussians.
template <typename T>
struct GaussianGrad {
    T p[3], q[4], s[3], r[9], t[3];
};

// dL/dcov2d and dL/dn from dL/dconic and dL/dcompensation. conic = (c, -b, a) / det.
template <typename T>
SCTD_HD void footprint_vjp(const Footprint<T>& o, const FootprintGrad<T>& g, T& ga, T& gb, T& gc, T& gdet0) {
    const T inv = T(o.det * 0 + 1) / o.det;
    const T ka = o.c * inv, kb = -o.b * inv, kc = o.a * inv;
    const T half_b = g.conic_b / 2;
    // -K G K with K the conic and G the symmetric gradient
    const T m00 = ka * g.conic_a + kb * half_b, m01 = ka * half_b + kb * g.conic_c;
    const T m10 = kb * g.conic_a + kc * half_b, m11 = kb * half_b + kc * g.conic_c;
    ga = -(m00 * ka + m01 * kb);
    gb = -2 * (m00 * kb + m01 * kc);
    gc = -(m10 * kb + m11 * kc);
    // comp = sqrt(det0 / det); a footprint without area has comp = 0 and takes no gradient through it
    const T ratio = o.det0 * inv;
    const T zero = o.det * 0;
    const T gr = select(ratio > zero, g.compensation / (2 * vsqrt(ratio)), zero);
    gdet0 = gr * inv;
    const T gdet = -gr * ratio * inv;
    ga = ga + gdet * o.c, gc = gc + gdet * o.a, gb = gb - 2 * o.b * gdet;
}

template <typename T, typename S>
SCTD_HD void project_vjp(const Camera<S>& cam, const T p[3], const T s[3], const Footprint<T>& o,
                         const FootprintGrad<T>& g, GaussianGrad<T>& out) {
    T ga, gb, gc, gdet0;
    footprint_vjp(o, g, ga, gb, gc, gdet0);
    T gn[3], gu0[3], gu1[3], c0[3], c1[3];
    for (int j = 0; j < 3; ++j) gn[j] = 2 * gdet0 * o.n[j];
    cross(o.u1, gn, c0);
    cross(gn, o.u0, c1);
    for (int j = 0; j < 3; ++j) {
        gu0[j] = 2 * ga * o.u0[j] + gb * o.u1[j] + c0[j];
        gu1[j] = 2 * gc * o.u1[j] + gb * o.u0[j] + c1[j];
    }
    // U0 = jx (W0 - cu W2), U1 = jy (W1 - cv W2)
    const T jx = cam.fx * o.iz, jy = cam.fy * o.iz;
    const T gcu = -jx * dot3(gu0, o.w + 6), gcv = -jy * dot3(gu1, o.w + 6);
    // d jx = -jx/z dz and U0 is proportional to jx, so both share the factor U . gU
    T gz = -o.iz * (dot3(gu0, o.u0) + dot3(gu1, o.u1)) + g.depth;
    const T zero = o.z * S(0);
    const T gu = cam.fx * g.mean_x + select(o.u == o.cu, gcu, zero);
    const T gv = cam.fy * g.mean_y + select(o.v == o.cv, gcv, zero);
    const T gx = gu * o.iz, gy = gv * o.iz;
    gz = gz - (gu * o.u + gv * o.v) * o.iz;

    T gvr[9];
    for (int j = 0; j < 3; ++j) {
        const T w0 = jx * gu0[j], w1 = jy * gu1[j];
        const T w2 = -(o.cu * w0 + o.cv * w1);
        out.s[j] = w0 * o.vr[j] + w1 * o.vr[3 + j] + w2 * o.vr[6 + j];
        gvr[j] = w0 * s[j], gvr[3 + j] = w1 * s[j], gvr[6 + j] = w2 * s[j];
    }
    const S* r = cam.r;
    const T gc3[3] = {gx, gy, gz};
    T grot[9];
    for (int i = 0; i < 3; ++i) {
        out.p[i] = r[i] * gx + r[3 + i] * gy + r[6 + i] * gz;
        out.t[i] = gc3[i];
        for (int j = 0; j < 3; ++j) {
            out.r[3 * i + j] = gc3[i] * p[j] + dot3(gvr + 3 * i, o.rot + 3 * j);
            grot[3 * i + j] = r[i] * gvr[j] + r[3 + i] * gvr[3 + j] + r[6 + i] * gvr[6 + j];
        }
    }
    T gq[4];
    quaternion_to_matrix_vjp(o.qn, grot, gq);
    const T along = gq[0] * o.qn[0] + gq[1] * o.qn[1] + gq[2] * o.qn[2] + gq[3] * o.qn[3];
    for (int i = 0; i < 4; ++i) out.q[i] = (gq[i] - o.qn[i] * along) * o.inv_norm;
}

SCTD_END
