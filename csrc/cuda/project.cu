/*
project.cu - 3D Gaussians to 2D footprints on every camera, with colours from spherical harmonics; and the gradient.

  in   means [N,3]  quats [N,4] wxyz  scales [N,3]  opacities [N]  sh [N,K,3] or [C,N,K,3]  viewmats [C,4,4]  Ks [C,3,3]
  out  means2d [C,N,2] px  depths [C,N]  conics [C,N,3] 1/px^2  opacities [C,N]  colors [C,N,3]  radii [C,N,2] px, 0 = unseen

Forward: a thread for each (camera, Gaussian). Backward: one kernel for the colours, then one for the rest, with a thread for each
Gaussian. The thread walks the cameras in their order, so a Gaussian's gradient is a sum in fixed order. For the gradient of the
cameras each block adds its warps in order and writes one row; a last kernel adds the rows in order.
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

// Coefficients of a Gaussian are read and written a few bases at a time, as vectors where rows are aligned.
constexpr int kChunk = 4;
struct alignas(16) Four {
    float x[4];
};

__host__ __device__ constexpr int bases_of(int degree) { return (degree + 1) * (degree + 1); }

// Bases `first` up to four further ones, at most `used`.
template <int Used>
__device__ __forceinline__ void read_bases(const float* row, int first, bool vectors,
                                           float (&out)[3 * kChunk]) {
    const float* at = row + 3 * first;
    if (vectors && Used % kChunk == 0) {
#pragma unroll
        for (int v = 0; v < 3; ++v) {
            const Four four = reinterpret_cast<const Four*>(at)[v];
            for (int j = 0; j < 4; ++j) out[4 * v + j] = four.x[j];
        }
        return;
    }
#pragma unroll
    for (int j = 0; j < 3 * kChunk; ++j)
        if (3 * first + j < 3 * Used) out[j] = at[j];
}

// 0.5 and the sum of the harmonics, before it is clamped.
template <int Degree>
__device__ __forceinline__ void sh_sum(const float* row, bool vectors, const float* basis, float (&sum)[3]) {
    constexpr int kUsed = bases_of(Degree);
    for (int k = 0; k < 3; ++k) sum[k] = 0.5f;
#pragma unroll
    for (int first = 0; first < kUsed; first += kChunk) {
        float sh[3 * kChunk];
        read_bases<kUsed>(row, first, vectors, sh);
#pragma unroll
        for (int b = 0; b < kChunk; ++b)
            if (first + b < kUsed)
                for (int k = 0; k < 3; ++k) sum[k] = madd(basis[first + b], sh[3 * b + k], sum[k]);
    }
}

template <int Degree>
__device__ __forceinline__ void colors_from_sh(const ProjectArgs& a, const Camera<float>& cam, int camera,
                                               int i, float* out) {
    float d[3] = {}, basis[kMaxShBases], sum[3];
    if (Degree > 0) view_direction(cam, a.means + 3 * int64_t(i), d);
    sh_basis(Degree, d, basis);
    sh_sum<Degree>(a.sh + sh_row(a, camera, i), a.sh_vectors, basis, sum);
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

// Degree -1: no colours.
template <int Degree>
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
    if constexpr (Degree >= 0) {
        if (seen)
            colors_from_sh<Degree>(a, cam, camera, i, a.colors + 3 * at);
        else
            for (int k = 0; k < 3; ++k) a.colors[3 * at + k] = 0;
    }
}

template <int Used>
__device__ __forceinline__ void write_bases(float* row, bool vectors, const float (&values)[3 * Used]) {
    if constexpr (Used % kChunk == 0)
        if (vectors) {
#pragma unroll
            for (int v = 0; v < 3 * Used / 4; ++v) {
                Four four;
                for (int j = 0; j < 4; ++j) four.x[j] = values[4 * v + j];
                reinterpret_cast<Four*>(row)[v] = four;
            }
            return;
        }
#pragma unroll
    for (int j = 0; j < 3 * Used; ++j) row[j] = values[j];
}

// The gradient of the direction of view, from that of a Gaussian's colour on a camera, g.
template <int Degree>
__device__ __forceinline__ void direction_gradient(const float* row, bool vectors, const float* d,
                                                   float length, const float* g, float* out) {
    constexpr int kUsed = bases_of(Degree);
    float g_basis[kMaxShBases] = {}, g_d[3];
#pragma unroll
    for (int first = 0; first < kUsed; first += kChunk) {
        float sh[3 * kChunk];
        read_bases<kUsed>(row, first, vectors, sh);
#pragma unroll
        for (int b = 0; b < kChunk; ++b)
            if (first + b < kUsed)
                for (int k = 0; k < 3; ++k) g_basis[first + b] += sh[3 * b + k] * g[k];
    }
    sh_basis_vjp(Degree, d, g_basis, g_d);
    const float along = g_d[0] * d[0] + g_d[1] * d[1] + g_d[2] * d[2];
    for (int k = 0; k < 3; ++k) out[k] = (g_d[k] - d[k] * along) / length;
}

// The gradient of the colours: a thread for each Gaussian, which sums over the cameras in registers. The direction of view
// moves with the Gaussian, so its gradient goes to a.g_means, to which project_backward_kernel adds. It moves with the camera
// too: where poses are wanted its gradient also goes to a.g_directions [C,N,3].
template <int Degree>
__global__ void __launch_bounds__(kBlock, Degree == 3 ? 3 : 5) sh_backward_kernel(ProjectArgs a) {
    constexpr int kUsed = bases_of(Degree);
    const int i = blockIdx.x * kBlock + threadIdx.x;
    if (i >= a.count) return;
    float g_sh[3 * kUsed] = {}, g_mean[3] = {};
    for (int camera = 0; camera < a.cameras; ++camera) {
        const int64_t at = int64_t(camera) * a.count + i, row = sh_row(a, camera, i);
        if (a.radii[2 * at] > 0) {
            float d[3] = {}, basis[kMaxShBases], sum[3], g[3], g_direction[3] = {}, length = 0;
            if (Degree > 0) {
                const Camera<float> cam =
                    make_camera(a.viewmats + 16 * camera, a.ks + 9 * camera, a.width, a.height);
                length = view_direction(cam, a.means + 3 * int64_t(i), d);
            }
            sh_basis(Degree, d, basis);
            sh_sum<Degree>(a.sh + row, a.sh_vectors, basis, sum);
            for (int k = 0; k < 3; ++k) g[k] = sum[k] < 0 ? 0 : a.g_colors[3 * at + k];  // clamped: none
#pragma unroll
            for (int b = 0; b < kUsed; ++b)
                for (int k = 0; k < 3; ++k) g_sh[3 * b + k] += basis[b] * g[k];
            if (length > 0) direction_gradient<Degree>(a.sh + row, a.sh_vectors, d, length, g, g_direction);
            for (int k = 0; k < 3; ++k) {
                g_mean[k] += g_direction[k];
                if (a.g_directions) a.g_directions[3 * at + k] = g_direction[k];
            }
        }
        if (!a.sh_per_camera && camera + 1 < a.cameras) continue;
        write_bases<kUsed>(a.g_sh + row, a.sh_vectors, g_sh);
        for (int j = 3 * kUsed; j < 3 * a.bases; ++j) a.g_sh[row + j] = 0;
        for (float& g : g_sh) g = 0;
    }
    if (Degree > 0)
        for (int k = 0; k < 3; ++k) a.g_means[3 * int64_t(i) + k] = g_mean[k];
}

// The gradient of one (camera, Gaussian), into `sum` and, with Pose, `pose` (of this camera, rotation then translation).
template <bool Pose>
__device__ __forceinline__ void backward_one(const ProjectArgs& a, const Camera<float>& cam, int camera,
                                             int i, const Gaussian& g, GaussianGrad<float>& sum,
                                             float& opacity, float (&pose)[kPose]) {
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
    for (int k = 0; k < 3; ++k) sum.p[k] += out.p[k], sum.s[k] += out.s[k];
    for (int k = 0; k < 4; ++k) sum.q[k] += out.q[k];
    opacity += g_opacity;
    if constexpr (Pose) {
        for (int k = 0; k < 9; ++k) pose[k] = out.r[k];
        for (int k = 0; k < 3; ++k) pose[9 + k] = out.t[k];
        if (!a.g_directions) return;
        // the colours see the camera's centre with the opposite sign of the Gaussian's position
        float g_center[3];
        for (int k = 0; k < 3; ++k) g_center[k] = -a.g_directions[3 * at + k];
        center_vjp(cam, g_center, pose);
    }
}

// Without Pose fewer registers do: 5 blocks a multiprocessor of sm_80.
template <bool Pose>
__global__ void __launch_bounds__(kBlock, Pose ? 4 : 5) project_backward_kernel(ProjectArgs a) {
    SHARED(float, per_warp, kBlock / kWarp * kPose);
    const int i = blockIdx.x * kBlock + threadIdx.x;
    const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, mine = transposed_index<kPose>(lane);
    const Halves halves(lane);
    const bool inside = i < a.count;
    const Gaussian g = inside ? read_gaussian(a, i) : Gaussian{};
    GaussianGrad<float> sum{};
    float opacity = 0;
    for (int camera = 0; camera < a.cameras; ++camera) {
        float pose[kPose] = {};
        if (inside && a.radii[2 * (int64_t(camera) * a.count + i)] > 0) {
            const Camera<float> cam =
                make_camera(a.viewmats + 16 * camera, a.ks + 9 * camera, a.width, a.height);
            backward_one<Pose>(a, cam, camera, i, g, sum, opacity, pose);
        }
        if (!Pose) continue;
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
    for (int k = 0; k < 3; ++k) {
        float& g_mean = a.g_means[3 * int64_t(i) + k];
        g_mean = a.sh_degree > 0 ? g_mean + sum.p[k] : sum.p[k];
        a.g_scales[3 * int64_t(i) + k] = sum.s[k];
    }
    for (int k = 0; k < 4; ++k) a.g_quats[4 * int64_t(i) + k] = sum.q[k];
    a.g_opacities[i] = opacity;
}

// One block a camera, for each of the pose's numbers kRows threads, which take every kRows-th of the blocks' rows; then these
// sums in order.
constexpr int kPoseBlock = 768, kRows = kPoseBlock / kPose;
__global__ void __launch_bounds__(kPoseBlock)
    pose_gradient_kernel(const double* partial, int rows, float* g_viewmats) {
    SHARED(double, sums, kPose* kRows);
    const int k = threadIdx.x % kPose;
    const double* camera = partial + int64_t(blockIdx.x) * rows * kPose;
    double sum = 0;
    for (int r = threadIdx.x / kPose; r < rows; r += kRows) sum += camera[int64_t(r) * kPose + k];
    sums[threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.x >= 16) return;
    const int row = threadIdx.x / 4, column = threadIdx.x % 4;
    double all = 0;
    if (row < 3)
        for (int r = 0; r < kRows; ++r) all += sums[r * kPose + (column == 3 ? 9 + row : 3 * row + column)];
    g_viewmats[16 * blockIdx.x + threadIdx.x] = float(all);
}

template <int Degree>
void launch_sh_backward(const ProjectArgs& a, Stream stream) {
    LAUNCH(sh_backward_kernel<Degree>, blocks_for(a.count, kBlock), kBlock, stream, a);
}

template <int Degree>
void launch_forward(const ProjectArgs& a, Stream stream) {
    LAUNCH(project_forward_kernel<Degree>, dim3(blocks_for(a.count, kBlock), a.cameras), kBlock, stream, a);
}

// Whether rows of coefficients are whole 16-byte words.
int sh_vectors(const ProjectArgs& a) {
    return a.bases % kChunk == 0 && (uintptr_t(a.sh) | uintptr_t(a.g_sh)) % sizeof(Four) == 0;
}

int64_t pose_sums(int64_t count, int64_t cameras) { return blocks_for(count, kBlock) * cameras * kPose; }

}  // namespace

void project_forward(const ProjectArgs& given, Stream stream) {
    ProjectArgs a = given;
    if (a.cameras == 0 || a.count == 0) return;
    a.sh_vectors = sh_vectors(a);
    switch (a.sh_degree) {
        case 0: return launch_forward<0>(a, stream);
        case 1: return launch_forward<1>(a, stream);
        case 2: return launch_forward<2>(a, stream);
        case 3: return launch_forward<3>(a, stream);
        default: return launch_forward<-1>(a, stream);
    }
}

size_t project_backward_scratch(int64_t count, int64_t cameras, int sh_degree, bool pose) {
    const int64_t directions = sh_degree > 0 && pose ? 3 * count * cameras : 0;
    return size_t(pose_sums(count, cameras)) * sizeof(double) + size_t(directions) * sizeof(float);
}

void project_backward(const ProjectArgs& given, Stream stream) {
    ProjectArgs a = given;
    if (a.cameras == 0 || a.count == 0) return;
    a.sh_vectors = sh_vectors(a);
    if (a.sh_degree > 0 && a.g_viewmats)
        a.g_directions = reinterpret_cast<float*>(a.pose_partial + pose_sums(a.count, a.cameras));
    switch (a.sh_degree) {
        case 0: launch_sh_backward<0>(a, stream); break;
        case 1: launch_sh_backward<1>(a, stream); break;
        case 2: launch_sh_backward<2>(a, stream); break;
        case 3: launch_sh_backward<3>(a, stream); break;
        default: break;
    }
    const unsigned blocks = blocks_for(a.count, kBlock);
    if (!a.g_viewmats) {
        LAUNCH(project_backward_kernel<false>, blocks, kBlock, stream, a);
        return;
    }
    LAUNCH(project_backward_kernel<true>, blocks, kBlock, stream, a);
    LAUNCH(pose_gradient_kernel, a.cameras, kPoseBlock, stream, a.pose_partial, int(blocks), a.g_viewmats);
}

}  // namespace sctd::cuda
