/*
project.cpp - 3D Gaussians to 2D footprints on every camera, with colours from spherical harmonics; and the gradient.

  in   means [N,3]  quats [N,4] wxyz  scales [N,3]  opacities [N]  sh [N,K,3] or [C,N,K,3]  viewmats [C,4,4]  Ks [C,3,3]
  out  means2d [C,N,2] px  depths [C,N]  conics [C,N,3] 1/px^2  opacities [C,N]  colors [C,N,3]  radii [C,N,2] px, 0 = unseen

SIMD over Gaussians, threads over blocks of them, cameras innermost: a Gaussian's gradient is the sum over the cameras in
their order, in one thread. The cameras' own gradient is summed per block in double and then over the blocks in order.
An unseen Gaussian (see `visible`) has zero outputs and zero gradient, never 0 * NaN.

Repeats  bit for bit, for any number of threads.
Maths    include/projection.h, include/sh.h.
*/
#include "simd.h"  // first: the formulas below are instantiated with its vectors

#include "../include/ellipse.h"
#include "../include/projection.h"
#include "../include/sh.h"
#include "kernels.h"
#include "threads.h"

SCTD_BEGIN
namespace {

// Gaussians of one unit of work: large enough to hide the hand-out, small enough to balance two threads.
constexpr int64_t kBlock = 512;

template <typename S>
struct Lanes {  // W Gaussians, transposed
    using V = typename Simd<S>::V;
    static constexpr int W = Simd<S>::W;
    V p[3]{}, q[4]{}, s[3]{}, opacity{};

    // Past the end the last Gaussian is repeated; the results of these lanes are not stored.
    void read(const ProjectArgs<S>& a, int64_t first, int64_t end) {
        for (int l = 0; l < W; ++l) {
            const int64_t i = first + l < end ? first + l : end - 1;
            for (int k = 0; k < 3; ++k) p[k][l] = a.means[3 * i + k], s[k][l] = a.scales[3 * i + k];
            for (int k = 0; k < 4; ++k) q[k][l] = a.quats[4 * i + k];
            opacity[l] = a.opacities[i];
        }
    }
};

template <typename V>
SCTD_HD auto finite(V x) {
    return (x - x) == V{};
}

template <typename S>
Scratch<Camera<S>>& fill_cameras(const ProjectArgs<S>& a, Scratch<Camera<S>>& cams) {
    for (int64_t c = 0; c < a.cameras; ++c)
        cams[c] = make_camera(a.viewmats + 16 * c, a.ks + 9 * c, a.width, a.height);
    return cams;
}

// Unit direction from the camera to the Gaussian, and its length.
template <typename S>
S view_direction(const Camera<S>& cam, const S* mean, S d[3]) {
    for (int k = 0; k < 3; ++k) d[k] = mean[k] - cam.center[k];
    const S length = vsqrt(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]);
    for (int k = 0; k < 3; ++k) d[k] = length > 0 ? d[k] / length : S(0);
    return length;
}

template <typename S>
void colors_from_sh(const ProjectArgs<S>& a, const Camera<S>& cam, int64_t c, int64_t i) {
    const S* sh = a.sh + 3 * a.bases * (a.sh_per_camera ? c * a.count + i : i);
    S d[3] = {}, basis[kMaxShBases];
    if (a.sh_degree > 0) view_direction(cam, a.means + 3 * i, d);
    sh_basis(a.sh_degree, d, basis);
    const int used = (a.sh_degree + 1) * (a.sh_degree + 1);
    S* out = a.colors + 3 * (c * a.count + i);
    for (int k = 0; k < 3; ++k) {
        S sum = S(0.5);
        for (int b = 0; b < used; ++b) sum = madd(basis[b], sh[3 * b + k], sum);
        out[k] = sum < 0 ? S(0) : sum;  // a NaN stays visible as NaN
    }
}

template <typename S>
void forward_lanes(const ProjectArgs<S>& a, const Camera<S>& cam, const Lanes<S>& g, int64_t c, int64_t first,
                   int lanes) {
    using V = typename Simd<S>::V;
    Footprint<V> f;
    project(cam, g.p, g.q, g.s, S(a.eps2d), f);
    const V inv = 1 / f.det;
    V opacity = g.opacity;
    if (a.antialiased) opacity = opacity * vsqrt(vmax(f.det0 * inv, V{}));
    const V ka = f.c * inv, kb = -f.b * inv, kc = f.a * inv;
    const V reach = ellipse_reach(opacity);
    const V rx = vsqrt(reach * f.a), ry = vsqrt(reach * f.c);
    const auto visible = (f.z >= S(a.near_plane)) & (f.z <= S(a.far_plane)) & (f.det > 0) & (reach > 0) &
                         finite(f.det) & finite(f.a) & finite(f.c) & finite(ka) & finite(kb) & finite(kc) &
                         (ka > 0) & (kc > 0) & finite(f.mean_x) & finite(f.mean_y) & finite(opacity);
    for (int l = 0; l < lanes; ++l) {
        const int64_t at = c * a.count + first + l;
        // Whole pixels, as densification reads them; 1e9 keeps the conversion defined.
        const double wx = ::ceil(double(rx[l])), wy = ::ceil(double(ry[l]));
        const bool seen = visible[l] && !(wx <= a.radius_clip && wy <= a.radius_clip) &&
                          f.mean_x[l] + wx > 0 && f.mean_x[l] - wx < a.width && f.mean_y[l] + wy > 0 &&
                          f.mean_y[l] - wy < a.height;
        a.radii[2 * at] = seen ? int32_t(wx < 1e9 ? (wx < 1 ? 1 : wx) : 1e9) : 0;
        a.radii[2 * at + 1] = seen ? int32_t(wy < 1e9 ? (wy < 1 ? 1 : wy) : 1e9) : 0;
        const S m = seen ? S(1) : S(0);
        const S values[7] = {f.mean_x[l], f.mean_y[l], f.z[l], ka[l], kb[l], kc[l], opacity[l]};
        S kept[7];
        for (int k = 0; k < 7; ++k) kept[k] = m != 0 ? values[k] : S(0);
        a.means2d[2 * at] = kept[0], a.means2d[2 * at + 1] = kept[1];
        a.depths[at] = kept[2];
        a.conics[3 * at] = kept[3], a.conics[3 * at + 1] = kept[4], a.conics[3 * at + 2] = kept[5];
        a.opacities_out[at] = kept[6];
        if (a.sh_degree < 0) continue;
        if (seen)
            colors_from_sh(a, cam, c, first + l);
        else
            for (int k = 0; k < 3; ++k) a.colors[3 * at + k] = S(0);
    }
}

template <typename S>
void project_forward(const ProjectArgs<S>& a) {
    if (a.cameras == 0 || a.count == 0) return;
    Scratch<Camera<S>> cams(a.cameras);
    fill_cameras(a, cams);
    auto block = [&](int64_t begin, int64_t end) {
        constexpr int W = Simd<S>::W;
        for (int64_t i = begin; i < end; i += W) {
            Lanes<S> lanes;
            lanes.read(a, i, end);
            for (int64_t c = 0; c < a.cameras; ++c)
                forward_lanes(a, cams[c], lanes, c, i, int(end - i < W ? end - i : W));
        }
    };
    parallel_ranges(a.count, kBlock, block);
}

// Gradient of the SH colours of one Gaussian on one camera; adds to g_sh, g_mean [3] and the camera's centre [3].
template <typename S>
void sh_backward(const ProjectArgs<S>& a, const Camera<S>& cam, int64_t c, int64_t i, S g_mean[3]) {
    const int64_t row = 3 * a.bases * (a.sh_per_camera ? c * a.count + i : i);
    const S* sh = a.sh + row;
    const int used = (a.sh_degree + 1) * (a.sh_degree + 1);
    S d[3] = {}, basis[kMaxShBases], g_basis[kMaxShBases] = {};
    const S length = a.sh_degree > 0 ? view_direction(cam, a.means + 3 * i, d) : S(0);
    sh_basis(a.sh_degree, d, basis);
    const S* g_color = a.g_colors + 3 * (c * a.count + i);
    for (int k = 0; k < 3; ++k) {
        S sum = S(0.5);
        for (int b = 0; b < used; ++b) sum = madd(basis[b], sh[3 * b + k], sum);
        if (sum < 0) continue;  // clamped
        for (int b = 0; b < used; ++b) {
            a.g_sh[row + 3 * b + k] += basis[b] * g_color[k];
            g_basis[b] += sh[3 * b + k] * g_color[k];
        }
    }
    if (!(length > 0)) return;
    S g_dir[3];
    sh_basis_vjp(a.sh_degree, d, g_basis, g_dir);
    const S along = g_dir[0] * d[0] + g_dir[1] * d[1] + g_dir[2] * d[2];
    for (int k = 0; k < 3; ++k) g_mean[k] += (g_dir[k] - d[k] * along) / length;
}

// centre = -r^T t: adds the share of a gradient on the camera's centre to the pose gradient [r 9, t 3].
template <typename S>
void center_vjp(const Camera<S>& cam, const double g[3], double pose[12]) {
    for (int i = 0; i < 3; ++i)
        for (int j = 0; j < 3; ++j) {
            pose[3 * i + j] -= double(cam.t[i]) * g[j];
            pose[9 + i] -= double(cam.r[3 * i + j]) * g[j];
        }
}

template <typename S>
struct LaneSums {
    S p[3], q[4], s[3], opacity;
};

template <typename S>
void backward_lanes(const ProjectArgs<S>& a, const Camera<S>& cam, const Lanes<S>& g, int64_t c,
                    int64_t first, int lanes, LaneSums<S>* sums, double pose[12]) {
    using V = typename Simd<S>::V;
    bool any = false;
    for (int l = 0; l < lanes; ++l) any |= a.radii[2 * (c * a.count + first + l)] > 0;
    if (!any) return;
    Footprint<V> f;
    project(cam, g.p, g.q, g.s, S(a.eps2d), f);
    const V comp = vsqrt(vmax(f.det0 / f.det, V{}));
    FootprintGrad<V> in{};
    V g_opacity{};
    for (int l = 0; l < lanes; ++l) {
        const int64_t at = c * a.count + first + l;
        in.mean_x[l] = a.g_means2d[2 * at], in.mean_y[l] = a.g_means2d[2 * at + 1];
        in.depth[l] = a.g_depths[at];
        in.conic_a[l] = a.g_conics[3 * at], in.conic_b[l] = a.g_conics[3 * at + 1],
        in.conic_c[l] = a.g_conics[3 * at + 2];
        g_opacity[l] = a.g_opacities_out[at];
    }
    if (a.antialiased) {
        in.compensation = g_opacity * g.opacity;
        g_opacity = g_opacity * comp;
    }
    GaussianGrad<V> out;
    project_vjp(cam, g.p, g.s, f, in, out);
    double g_center[3] = {};
    for (int l = 0; l < lanes; ++l) {
        if (a.radii[2 * (c * a.count + first + l)] == 0) continue;
        LaneSums<S>& sum = sums[l];
        S g_dir[3] = {};
        if (a.sh_degree >= 0) sh_backward(a, cam, c, first + l, g_dir);
        for (int k = 0; k < 3; ++k) {
            sum.p[k] += out.p[k][l] + g_dir[k];
            sum.s[k] += out.s[k][l];
            g_center[k] -= double(g_dir[k]);
            pose[9 + k] += double(out.t[k][l]);
        }
        for (int k = 0; k < 4; ++k) sum.q[k] += out.q[k][l];
        for (int k = 0; k < 9; ++k) pose[k] += double(out.r[k][l]);
        sum.opacity += g_opacity[l];
    }
    center_vjp(cam, g_center, pose);
}

template <typename S>
void project_backward(const ProjectArgs<S>& a) {
    if (a.cameras == 0 || a.count == 0) return;
    constexpr int W = Simd<S>::W;
    Scratch<Camera<S>> cams(a.cameras);
    fill_cameras(a, cams);
    const int64_t blocks = (a.count + kBlock - 1) / kBlock;
    Scratch<double> pose(blocks * a.cameras * 12);
    auto block = [&](int64_t begin, int64_t end) {
        double* mine = pose.data() + begin / kBlock * a.cameras * 12;
        for (int64_t k = 0; k < a.cameras * 12; ++k) mine[k] = 0;
        for (int64_t i = begin; i < end; i += W) {
            Lanes<S> g;
            g.read(a, i, end);
            const int lanes = int(end - i < W ? end - i : W);
            LaneSums<S> sums[W] = {};
            for (int64_t c = 0; c < a.cameras; ++c)
                backward_lanes(a, cams[c], g, c, i, lanes, sums, mine + 12 * c);
            for (int l = 0; l < lanes; ++l) {
                for (int k = 0; k < 3; ++k)
                    a.g_means[3 * (i + l) + k] = sums[l].p[k], a.g_scales[3 * (i + l) + k] = sums[l].s[k];
                for (int k = 0; k < 4; ++k) a.g_quats[4 * (i + l) + k] = sums[l].q[k];
                a.g_opacities[i + l] = sums[l].opacity;
            }
        }
    };
    parallel_ranges(a.count, kBlock, block);
    for (int64_t c = 0; c < a.cameras; ++c) {
        double sum[12] = {};
        for (int64_t b = 0; b < blocks; ++b)
            for (int k = 0; k < 12; ++k) sum[k] += pose[(b * a.cameras + c) * 12 + k];
        for (int i = 0; i < 3; ++i) {
            for (int j = 0; j < 3; ++j) a.g_viewmats[16 * c + 4 * i + j] = S(sum[3 * i + j]);
            a.g_viewmats[16 * c + 4 * i + 3] = S(sum[9 + i]);
        }
        for (int j = 0; j < 4; ++j) a.g_viewmats[16 * c + 12 + j] = S(0);
    }
}

}  // namespace

void set_project(Kernels<float>& f, Kernels<double>& d) {
    f.project_forward = project_forward<float>, d.project_forward = project_forward<double>;
    f.project_backward = project_backward<float>, d.project_backward = project_backward<double>;
}

SCTD_END
