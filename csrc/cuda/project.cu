/*
project.cu - 3D Gaussians to 2D footprints on every camera, with colours from spherical harmonics; and the gradient.

  in   means [N,3]  quats [N,4] wxyz  scales [N,3]  opacities [N]  sh [N,K,3] or [C,N,K,3]  viewmats [C,4,4]  Ks [C,3,3]
  out  means2d [C,N,2] px  depths [C,N]  conics [C,N,3] 1/px^2  opacities [C,N]  colors [C,N,3]  radii [C,N,2] px, 0 = unseen

Forward: a thread for each (camera, Gaussian). Backward: a thread for each Gaussian, cameras in their order, so a Gaussian's
gradient is a sum in fixed order in one thread; the cameras' own gradient is summed over a block's warps in order, written as
one row a block, and the rows are added in order by a last kernel.
An unseen Gaussian has zero outputs and exactly zero gradient.

Repeats  bit for bit.
Maths    include/projection.h, include/sh.h.
*/
#include "device.h"
#include "kernels.h"
#include "warp.h"

#include "../include/ellipse.h"
#include "../include/projection.h"
#include "../include/sh.h"

namespace sctd::cuda {
namespace {

constexpr int kBlock = 128;
constexpr int kPose = 12;  // gradient of one camera: rotation 9, translation 3

__device__ __forceinline__ bool finite(float x) { return x - x == 0; }

// Unit direction from the camera to the Gaussian, and its length.
__device__ __forceinline__ float view_direction(const Camera<float>& cam, const float* mean, float d[3]) {
    for (int k = 0; k < 3; ++k) d[k] = mean[k] - cam.center[k];
    const float length = vsqrt(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]);
    for (int k = 0; k < 3; ++k) d[k] = length > 0 ? d[k] / length : 0;
    return length;
}

__device__ __forceinline__ int64_t sh_row(const ProjectArgs& a, int camera, int i) {
    return 3 * a.bases * (a.sh_per_camera ? int64_t(camera) * a.count + i : int64_t(i));
}

__device__ void colors_from_sh(const ProjectArgs& a, const Camera<float>& cam, int camera, int i,
                               float* out) {
    const float* sh = a.sh + sh_row(a, camera, i);
    float d[3] = {}, basis[kMaxShBases];
    if (a.sh_degree > 0) view_direction(cam, a.means + 3 * int64_t(i), d);
    sh_basis(a.sh_degree, d, basis);
    float sum[3] = {0.5f, 0.5f, 0.5f};
#pragma unroll
    for (int b = 0; b < kMaxShBases; ++b)
        if (b < (a.sh_degree + 1) * (a.sh_degree + 1))
            for (int k = 0; k < 3; ++k) sum[k] = madd(basis[b], sh[3 * b + k], sum[k]);
    for (int k = 0; k < 3; ++k) out[k] = sum[k] < 0 ? 0 : sum[k];  // a NaN stays visible as NaN
}

struct Gaussian {
    float p[3], q[4], s[3], opacity;
};

__device__ __forceinline__ Gaussian read_gaussian(const ProjectArgs& a, int64_t i) {
    Gaussian g;
    for (int k = 0; k < 3; ++k) g.p[k] = a.means[3 * i + k], g.s[k] = a.scales[3 * i + k];
    for (int k = 0; k < 4; ++k) g.q[k] = a.quats[4 * i + k];
    g.opacity = a.opacities[i];
    return g;
}

__global__ void __launch_bounds__(kBlock) project_forward_kernel(ProjectArgs a) {
    const int i = blockIdx.x * kBlock + threadIdx.x, camera = blockIdx.y;
    if (i >= a.count) return;
    const Camera<float> cam = make_camera(a.viewmats + 16 * camera, a.ks + 9 * camera, a.width, a.height);
    const Gaussian g = read_gaussian(a, i);
    Footprint<float> f;
    project(cam, g.p, g.q, g.s, a.eps2d, f);
    const float inv = 1 / f.det;
    const float opacity = a.antialiased ? g.opacity * vsqrt(vmax(f.det0 * inv, 0.0f)) : g.opacity;
    const float ka = f.c * inv, kb = -f.b * inv, kc = f.a * inv;
    const float reach = ellipse_reach(opacity);
    const bool visible = f.z >= a.near_plane && f.z <= a.far_plane && f.det > 0 && reach > 0 &&
                         finite(f.det) && finite(f.a) && finite(f.c) && finite(ka) && finite(kb) &&
                         finite(kc) && ka > 0 && kc > 0 && finite(f.mean_x) && finite(f.mean_y) &&
                         finite(opacity);
    // Whole pixels, as densification reads them; 1e9 keeps the conversion defined.
    const float wx = vmin(ceilf(vsqrt(reach * f.a)), 1e9f), wy = vmin(ceilf(vsqrt(reach * f.c)), 1e9f);
    const bool seen = visible && !(wx <= a.radius_clip && wy <= a.radius_clip) && f.mean_x + wx > 0 &&
                      f.mean_x - wx < a.width && f.mean_y + wy > 0 && f.mean_y - wy < a.height;
    const int64_t at = int64_t(camera) * a.count + i;
    a.radii[2 * at] = seen ? int32_t(vmax(wx, 1.0f)) : 0;
    a.radii[2 * at + 1] = seen ? int32_t(vmax(wy, 1.0f)) : 0;
    a.means2d[2 * at] = seen ? f.mean_x : 0, a.means2d[2 * at + 1] = seen ? f.mean_y : 0;
    a.depths[at] = seen ? f.z : 0;
    a.conics[3 * at] = seen ? ka : 0, a.conics[3 * at + 1] = seen ? kb : 0,
                 a.conics[3 * at + 2] = seen ? kc : 0;
    a.opacities_out[at] = seen ? opacity : 0;
    if (a.sh_degree < 0) return;
    if (seen)
        colors_from_sh(a, cam, camera, i, a.colors + 3 * at);
    else
        for (int k = 0; k < 3; ++k) a.colors[3 * at + k] = 0;
}

// Gradient of the SH colours of one Gaussian on one camera: adds to g_sh, gives g_mean [3]. The row is zeroed before.
__device__ void sh_backward(const ProjectArgs& a, const Camera<float>& cam, int camera, int i,
                            float g_mean[3]) {
    const int64_t row = sh_row(a, camera, i);
    const float* sh = a.sh + row;
    const float* g_color = a.g_colors + 3 * (int64_t(camera) * a.count + i);
    float d[3] = {}, basis[kMaxShBases], g_basis[kMaxShBases] = {};
    const float length = a.sh_degree > 0 ? view_direction(cam, a.means + 3 * int64_t(i), d) : 0;
    sh_basis(a.sh_degree, d, basis);
    const int used = (a.sh_degree + 1) * (a.sh_degree + 1);
    for (int k = 0; k < 3; ++k) {
        float sum = 0.5f;
#pragma unroll
        for (int b = 0; b < kMaxShBases; ++b)
            if (b < used) sum = madd(basis[b], sh[3 * b + k], sum);
        if (sum < 0) continue;  // clamped
#pragma unroll
        for (int b = 0; b < kMaxShBases; ++b)
            if (b < used) {
                a.g_sh[row + 3 * b + k] += basis[b] * g_color[k];
                g_basis[b] += sh[3 * b + k] * g_color[k];
            }
    }
    if (!(length > 0)) return;
    float g_dir[3];
    sh_basis_vjp(a.sh_degree, d, g_basis, g_dir);
    const float along = g_dir[0] * d[0] + g_dir[1] * d[1] + g_dir[2] * d[2];
    for (int k = 0; k < 3; ++k) g_mean[k] = (g_dir[k] - d[k] * along) / length;
}

// The gradient of one (camera, Gaussian), into `sum` and `pose` (of this camera, rotation then translation).
__device__ void backward_one(const ProjectArgs& a, const Camera<float>& cam, int camera, int i,
                             const Gaussian& g, GaussianGrad<float>& sum, float& opacity, float pose[kPose]) {
    const int64_t at = int64_t(camera) * a.count + i;
    Footprint<float> f;
    project(cam, g.p, g.q, g.s, a.eps2d, f);
    FootprintGrad<float> in{};
    in.mean_x = a.g_means2d[2 * at], in.mean_y = a.g_means2d[2 * at + 1], in.depth = a.g_depths[at];
    in.conic_a = a.g_conics[3 * at], in.conic_b = a.g_conics[3 * at + 1], in.conic_c = a.g_conics[3 * at + 2];
    float g_opacity = a.g_opacities_out[at];
    if (a.antialiased) {
        in.compensation = g_opacity * g.opacity;
        g_opacity *= vsqrt(vmax(f.det0 / f.det, 0.0f));
    }
    GaussianGrad<float> out;
    project_vjp(cam, g.p, g.s, f, in, out);
    float g_dir[3] = {};
    if (a.sh_degree >= 0) sh_backward(a, cam, camera, i, g_dir);
    for (int k = 0; k < 3; ++k) {
        sum.p[k] += out.p[k] + g_dir[k];
        sum.s[k] += out.s[k];
    }
    for (int k = 0; k < 4; ++k) sum.q[k] += out.q[k];
    opacity += g_opacity;
    for (int k = 0; k < 9; ++k) pose[k] = out.r[k];
    for (int k = 0; k < 3; ++k) pose[9 + k] = out.t[k];
    if (a.sh_degree <= 0) return;
    // the colours see the camera's centre with the opposite sign of the Gaussian's position
    const float g_center[3] = {-g_dir[0], -g_dir[1], -g_dir[2]};
    center_vjp(cam, g_center, pose);
}

__global__ void __launch_bounds__(kBlock) project_backward_kernel(ProjectArgs a) {
    SHARED(float, per_warp, kBlock / kWarp * kPose);
    const int i = blockIdx.x * kBlock + threadIdx.x;
    const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, mine = transposed_index<kPose>(lane);
    const Halves halves(lane);
    const bool inside = i < a.count;
    const Gaussian g = inside ? read_gaussian(a, i) : Gaussian{};
    GaussianGrad<float> sum{};
    float opacity = 0;
    if (inside && a.sh_degree >= 0)
        for (int camera = 0; camera < (a.sh_per_camera ? a.cameras : 1); ++camera)
            for (int k = 0; k < 3 * a.bases; ++k) a.g_sh[sh_row(a, camera, i) + k] = 0;
    for (int camera = 0; camera < a.cameras; ++camera) {
        float pose[kPose] = {};
        if (inside && a.radii[2 * (int64_t(camera) * a.count + i)] > 0) {
            const Camera<float> cam =
                make_camera(a.viewmats + 16 * camera, a.ks + 9 * camera, a.width, a.height);
            backward_one(a, cam, camera, i, g, sum, opacity, pose);
        }
        if (!a.g_viewmats) continue;  // the same for all threads
        const float total = transposed_sum(pose, halves);
        if (mine >= 0) per_warp[warp * kPose + mine] = total;
        __syncthreads();
        if (threadIdx.x < kPose) {
            double block = 0;
            for (int w = 0; w < kBlock / kWarp; ++w) block += per_warp[w * kPose + threadIdx.x];
            a.pose_partial[(int64_t(camera) * gridDim.x + blockIdx.x) * kPose + threadIdx.x] = block;
        }
        __syncthreads();
    }
    if (!inside) return;
    for (int k = 0; k < 3; ++k)
        a.g_means[3 * int64_t(i) + k] = sum.p[k], a.g_scales[3 * int64_t(i) + k] = sum.s[k];
    for (int k = 0; k < 4; ++k) a.g_quats[4 * int64_t(i) + k] = sum.q[k];
    a.g_opacities[i] = opacity;
}

// One block a camera, a thread for each of the 4 x 4 numbers: adds the blocks' rows in order.
__global__ void pose_gradient_kernel(const double* partial, int rows, float* g_viewmats) {
    const int row = threadIdx.x / 4, column = threadIdx.x % 4;
    const int k = row == 3 ? -1 : (column == 3 ? 9 + row : 3 * row + column);
    const double* camera = partial + int64_t(blockIdx.x) * rows * kPose;
    double sum = 0;
    for (int r = 0; k >= 0 && r < rows; ++r) sum += camera[int64_t(r) * kPose + k];
    g_viewmats[16 * blockIdx.x + threadIdx.x] = float(sum);
}

}  // namespace

void project_forward(const ProjectArgs& a, Stream stream) {
    if (a.cameras == 0 || a.count == 0) return;
    LAUNCH(project_forward_kernel, dim3(blocks_for(a.count, kBlock), a.cameras), kBlock, stream, a);
}

size_t project_backward_scratch(int64_t count, int64_t cameras) {
    return size_t(blocks_for(count, kBlock)) * cameras * kPose * sizeof(double);
}

void project_backward(const ProjectArgs& a, Stream stream) {
    if (a.cameras == 0 || a.count == 0) return;
    const unsigned blocks = blocks_for(a.count, kBlock);
    LAUNCH(project_backward_kernel, blocks, kBlock, stream, a);
    if (a.g_viewmats)
        LAUNCH(pose_gradient_kernel, a.cameras, 16, stream, a.pose_partial, int(blocks), a.g_viewmats);
}

}  // namespace sctd::cuda
