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
#include "simd_rows.h"  // first: the formulas below are instantiated with its vectors

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
    SCTD_HD void read(const ProjectArgs<S>& a, int64_t first, int lanes) {
        V o[1];
        load_rows<3>(a.means + 3 * first, lanes, p);
        load_rows<4>(a.quats + 4 * first, lanes, q);
        load_rows<3>(a.scales + 3 * first, lanes, s);
        load_rows<1>(a.opacities + first, lanes, o);
        opacity = o[0];
    }
};

template <typename V>
SCTD_HD auto finite(V x) {
    return (x - x) == V{};
}

// The smallest whole number >= x, given the largest <= x >= 0.
template <typename V>
SCTD_HD V up(V down, V x) {
    return select(down < x, down + 1, down);
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
    using M = typename Simd<S>::M;
    // Whole pixels, as densification reads them; 1e9 keeps the conversion defined.
    const V most = splat<V>(S(1e9)), one = splat<V>(S(1));
    const V rx = vmin(vsqrt(reach * f.a), most), ry = vmin(vsqrt(reach * f.c), most);
    const M down_x = __builtin_convertvector(rx, M), down_y = __builtin_convertvector(ry, M);
    const V ceil_x = up(__builtin_convertvector(down_x, V), rx),
            ceil_y = up(__builtin_convertvector(down_y, V), ry);
    const auto visible = (f.z >= S(a.near_plane)) & (f.z <= S(a.far_plane)) & (f.det > 0) & (reach > 0) &
                         finite(f.det) & finite(f.a) & finite(f.c) & finite(ka) & finite(kb) & finite(kc) &
                         (ka > 0) & (kc > 0) & finite(f.mean_x) & finite(f.mean_y) & finite(opacity);
    const S clip = S(a.radius_clip);
    const auto seen = visible & ((ceil_x > clip) | (ceil_y > clip)) & (f.mean_x + ceil_x > 0) &
                      (f.mean_x - ceil_x < S(a.width)) & (f.mean_y + ceil_y > 0) &
                      (f.mean_y - ceil_y < S(a.height));
    const int64_t at = c * a.count + first;
    const V mean[2] = {masked(seen, f.mean_x), masked(seen, f.mean_y)}, depth[1] = {masked(seen, f.z)};
    const V conic[3] = {masked(seen, ka), masked(seen, kb), masked(seen, kc)};
    const V kept[1] = {masked(seen, opacity)};
    store_rows<2>(a.means2d + 2 * at, lanes, mean);
    store_rows<1>(a.depths + at, lanes, depth);
    store_rows<3>(a.conics + 3 * at, lanes, conic);
    store_rows<1>(a.opacities_out + at, lanes, kept);
    S radius_x[Simd<S>::W], radius_y[Simd<S>::W];
    store(radius_x, masked(seen, vmax(ceil_x, one))), store(radius_y, masked(seen, vmax(ceil_y, one)));
    for (int l = 0; l < lanes; ++l)
        a.radii[2 * (at + l)] = int32_t(radius_x[l]), a.radii[2 * (at + l) + 1] = int32_t(radius_y[l]);
    if (a.sh_degree < 0) return;
    const uint32_t some = bits(seen);
    for (int l = 0; l < lanes; ++l) {
        if (some >> l & 1)
            colors_from_sh(a, cam, c, first + l);
        else
            for (int k = 0; k < 3; ++k) a.colors[3 * (at + l) + k] = S(0);
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
            const int lanes = int(end - i < W ? end - i : W);
            Lanes<S> g;
            g.read(a, i, lanes);
            for (int64_t c = 0; c < a.cameras; ++c) forward_lanes(a, cams[c], g, c, i, lanes);
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

// Of the cameras so far.
template <typename S>
struct LaneSums {
    using V = typename Simd<S>::V;
    V p[3]{}, q[4]{}, s[3]{}, opacity[1]{};
};

// The pose gradient [r 9, t 3] of one block's Gaussians on one camera, lane by lane; double, as there are many terms.
template <typename S>
struct PoseSums {
    double lane[12][Simd<S>::W];

    SCTD_HD void add(int k, typename Simd<S>::V v) {
        S lanes[Simd<S>::W];
        store(lanes, v);
        for (int l = 0; l < Simd<S>::W; ++l) lane[k][l] += double(lanes[l]);
    }
};

template <typename S>
void backward_lanes(const ProjectArgs<S>& a, const Camera<S>& cam, const Lanes<S>& g, int64_t c,
                    int64_t first, int lanes, LaneSums<S>& sum, PoseSums<S>& pose) {
    using V = typename Simd<S>::V;
    constexpr int W = Simd<S>::W;
    const int64_t at = c * a.count + first;
    S flags[W];
    for (int l = 0; l < W; ++l) flags[l] = S(l < lanes && a.radii[2 * (at + (l < lanes ? l : 0))] > 0);
    const auto seen = load<V>(flags) > V{};
    if (!bits(seen)) return;
    Footprint<V> f;
    project(cam, g.p, g.q, g.s, S(a.eps2d), f);
    const V comp = vsqrt(vmax(f.det0 / f.det, V{}));
    FootprintGrad<V> in{};
    V mean[2], depth[1], conic[3], opacity[1];
    load_rows<2>(a.g_means2d + 2 * at, lanes, mean);
    load_rows<1>(a.g_depths + at, lanes, depth);
    load_rows<3>(a.g_conics + 3 * at, lanes, conic);
    load_rows<1>(a.g_opacities_out + at, lanes, opacity);
    in.mean_x = mean[0], in.mean_y = mean[1], in.depth = depth[0];
    in.conic_a = conic[0], in.conic_b = conic[1], in.conic_c = conic[2];
    V g_opacity = opacity[0];
    if (a.antialiased) {
        in.compensation = g_opacity * g.opacity;
        g_opacity = g_opacity * comp;
    }
    GaussianGrad<V> out;
    project_vjp(cam, g.p, g.s, f, in, out);
    // An unseen lane may hold NaN: masked away, not multiplied.
    for (int k = 0; k < 3; ++k) {
        sum.p[k] += masked(seen, out.p[k]), sum.s[k] += masked(seen, out.s[k]);
        pose.add(9 + k, masked(seen, out.t[k]));
    }
    for (int k = 0; k < 4; ++k) sum.q[k] += masked(seen, out.q[k]);
    for (int k = 0; k < 9; ++k) pose.add(k, masked(seen, out.r[k]));
    sum.opacity[0] += masked(seen, g_opacity);
    if (a.sh_degree < 0) return;
    S direction[3][W] = {};
    double g_center[3] = {}, shares[12] = {};
    for (int l = 0; l < lanes; ++l) {
        if (flags[l] == 0) continue;
        S g_dir[3] = {};
        sh_backward(a, cam, c, first + l, g_dir);
        for (int k = 0; k < 3; ++k) direction[k][l] = g_dir[k], g_center[k] -= double(g_dir[k]);
    }
    for (int k = 0; k < 3; ++k) sum.p[k] += load<V>(direction[k]);
    if (a.sh_degree > 0) center_vjp(cam, g_center, shares);
    for (int k = 0; k < 12; ++k) pose.lane[k][0] += shares[k];
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
        Scratch<PoseSums<S>> lane_pose(a.cameras);
        for (int64_t c = 0; c < a.cameras; ++c) lane_pose[c] = {};
        for (int64_t i = begin; i < end; i += W) {
            const int lanes = int(end - i < W ? end - i : W);
            Lanes<S> g;
            g.read(a, i, lanes);
            LaneSums<S> sum;
            for (int64_t c = 0; c < a.cameras; ++c)
                backward_lanes(a, cams[c], g, c, i, lanes, sum, lane_pose[c]);
            store_rows<3>(a.g_means + 3 * i, lanes, sum.p);
            store_rows<4>(a.g_quats + 4 * i, lanes, sum.q);
            store_rows<3>(a.g_scales + 3 * i, lanes, sum.s);
            store_rows<1>(a.g_opacities + i, lanes, sum.opacity);
        }
        double* mine = pose.data() + begin / kBlock * a.cameras * 12;
        for (int64_t c = 0; c < a.cameras; ++c)
            for (int k = 0; k < 12; ++k) {
                double sum = 0;
                for (int l = 0; l < W; ++l) sum += lane_pose[c].lane[k][l];
                mine[12 * c + k] = sum;
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
