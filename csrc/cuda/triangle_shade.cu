/*
triangle_shade.cu - attributes of vertices to pictures, gradients of pictures to attributes and vertices; as
cpu/triangle_shade.cpp.

  interpolate   attributes [C,V,D] or [V,D], fragments => image [C,H,W,D]
  its backward  g_image => g_attributes, g_clip [C,V,4]; either may be none
  edges         image, g_image [C,H,W,D], fragments => g_clip [C,V,4]

Backward, a warp looks through the box of a face, 8 x 4 pixels at a time; the lanes that find the face add up, in registers, what
their pixels give its corners, and the warp adds up the lanes. A thread then adds up the corners that meet in a vertex. Edges come
in two steps: the forces that the pairs with its four neighbours put on each pixel's fragment, then the same gathering. No atomics.

Layout   scratch: boxes [C,F]; sums of the corners [C,F,3,N], N = 4 attributes a pass, or 3 or 4 numbers of a vertex; of edges,
         forces [C,H,W] after them. No shared memory: lanes meet in shuffles alone, which every lane of a warp must reach.
Limits   2^31 - 1 numbers of the corners: 12 for every face and camera. A face that fills the picture is the work of one warp.
Repeats  bit for bit: every sum has its order. Not the CPU's bits, which adds up in another order and in double.
Source   Pidhorskyi et al. 2024 for the edges: include/triangle.h, edges.h.
*/
#include "device.h"
#include "triangles.h"
#include "warp.h"

#include "../include/coverage.h"
#include "../include/edges.h"

namespace sctd::cuda {
namespace {

constexpr int kBlock = 256, kWarps = kBlock / kWarp;
constexpr int kAcross = 8, kDown = 4;
constexpr int kChannels = 4;  // of attributes, a pass

__global__ void __launch_bounds__(kBlock) interpolate_kernel(InterpolateArgs a) {
    const int64_t pixel = int64_t(blockIdx.x) * kBlock + threadIdx.x;
    const int64_t in_camera = int64_t(a.mesh.width) * a.mesh.height;
    if (pixel >= a.mesh.cameras * in_camera) return;
    const int n = a.channels;
    float* out = a.image + pixel * n;
    const int32_t face = a.triangles[pixel];
    if (face < 0) {
        for (int d = 0; d < n; ++d) out[d] = 0;
        return;
    }
    const int64_t first = a.per_camera ? pixel / in_camera * a.mesh.vertices : 0;
    const int32_t* v = a.mesh.index + 3 * int64_t(face);
    const float* at[3];
    float b[3];
    for (int k = 0; k < 3; ++k)
        at[k] = a.attributes + (first + v[k]) * n, b[k] = a.barycentrics[3 * pixel + k];
    for (int d = 0; d < n; ++d) out[d] = weighted(b, at[0][d], at[1][d], at[2][d]);
}

// Where each face may be seen; x1 = -1: nowhere.
__global__ void __launch_bounds__(kBlock) boxes_kernel(MeshArgs m, Box* boxes) {
    const int number = blockIdx.x * kBlock + threadIdx.x;
    if (number >= m.cameras * m.faces) return;
    const int64_t camera = number / m.faces, face = number % m.faces;
    Corner<float> corners[3];
    load_corners(m.clip + 4 * camera * m.vertices, m.index + 3 * face, m.width, m.height, corners);
    Piece pieces[kMaxPieces];
    const int count = pieces_of(corners, m.width, m.height, pieces);
    boxes[number] = count ? box_around(pieces, count) : Box{0, 0, -1, -1};
}

// Which face a warp works on, and its corners.
struct Face {
    int64_t camera, face;
    Corner<float> corners[3];
};

// Calls add(face, pixel, x, y, sums) for the pixels that show the warp's face, and writes the sums [3, N] of its corners.
template <int N, typename Add>
__device__ __forceinline__ void sum_faces(const MeshArgs& m, const int32_t* triangles, const Box* boxes,
                                          float* out, Add add) {
    const int number = blockIdx.x * kWarps + threadIdx.x / kWarp;
    if (number >= m.cameras * m.faces) return;  // the whole warp
    const int lane = threadIdx.x % kWarp;
    Face f;
    f.camera = number / m.faces, f.face = number % m.faces;
    load_corners(m.clip + 4 * f.camera * m.vertices, m.index + 3 * f.face, m.width, m.height, f.corners);
    float sums[3 * N];
#pragma unroll
    for (int i = 0; i < 3 * N; ++i) sums[i] = 0;
    const Box box = boxes[number];
    for (int y = box.y0 + lane / kAcross; y <= box.y1; y += kDown)
        for (int x = box.x0 + lane % kAcross; x <= box.x1; x += kAcross) {
            const int64_t pixel = (f.camera * m.height + y) * m.width + x;
            if (triangles[pixel] == int32_t(f.face)) add(f, pixel, float(x) + 0.5f, float(y) + 0.5f, sums);
        }
    __syncwarp();
    const Halves halves(lane);
    const float total = transposed_sum(sums, halves);
    const int at = transposed_index<3 * N>(lane);
    if (at >= 0) out[number * (3 * N) + at] = total;
}

// The sums over the corners that meet in a vertex.
template <int N>
__device__ __forceinline__ void sum_corners(const CornerLists& lists, const float* corners, int vertex,
                                            float out[N]) {
    for (int32_t k = lists.start[vertex]; k < lists.start[vertex + 1]; ++k)
        for (int i = 0; i < N; ++i) out[i] += corners[int64_t(lists.corners[k]) * N + i];
}

__global__ void __launch_bounds__(kBlock)
    attribute_sums_kernel(InterpolateArgs a, int first, const Box* boxes, float* out) {
    const int count = least(kChannels, a.channels - first);
    sum_faces<kChannels>(a.mesh, a.triangles, boxes, out,
                         [&](const Face&, int64_t pixel, float, float, float* sums) {
                             const float* g = a.g_image + pixel * a.channels + first;
                             const float* b = a.barycentrics + 3 * pixel;
#pragma unroll
                             for (int d = 0; d < kChannels; ++d) {
                                 const float g_d = d < count ? g[d] : 0;
#pragma unroll
                                 for (int k = 0; k < 3; ++k) sums[k * kChannels + d] += b[k] * g_d;
                             }
                         });
}

__global__ void __launch_bounds__(kBlock)
    attributes_kernel(InterpolateArgs a, int first, const float* corners) {
    const int64_t i = int64_t(blockIdx.x) * kBlock + threadIdx.x;
    const int own = a.per_camera ? a.mesh.cameras : 1;
    if (i >= int64_t(own) * a.mesh.vertices) return;
    const int vertex = int(i % a.mesh.vertices);
    const int64_t row = 3 * int64_t(a.mesh.faces) * kChannels;
    float sums[kChannels] = {};
    const int begin = a.per_camera ? int(i / a.mesh.vertices) : 0,
              end = a.per_camera ? begin + 1 : a.mesh.cameras;
    for (int camera = begin; camera < end; ++camera)
        sum_corners<kChannels>(a.lists, corners + camera * row, vertex, sums);
    for (int d = 0; d < kChannels; ++d)
        if (first + d < a.channels) a.g_attributes[i * a.channels + first + d] = sums[d];
}

__global__ void __launch_bounds__(kBlock)
    weight_sums_kernel(InterpolateArgs a, const Box* boxes, float* out) {
    const int n = a.channels;
    sum_faces<3>(a.mesh, a.triangles, boxes, out,
                 [&](const Face& f, int64_t pixel, float px, float py, float* sums) {
                     const int64_t first = a.per_camera ? f.camera * a.mesh.vertices : 0;
                     const float* g = a.g_image + pixel * n;
                     float g_b[3], moved[3][3];
#pragma unroll
                     for (int k = 0; k < 3; ++k) {
                         const float* at = a.attributes + (first + a.mesh.index[3 * f.face + k]) * n;
                         g_b[k] = 0;
                         for (int d = 0; d < n; ++d) g_b[k] += g[d] * at[d];
                     }
                     weights_gradient(f.corners, px, py, g_b, moved);
#pragma unroll
                     for (int k = 0; k < 3; ++k)
#pragma unroll
                         for (int i = 0; i < 3; ++i) sums[3 * k + i] += moved[k][i];
                 });
}

__global__ void __launch_bounds__(kBlock) forces_kernel(EdgeArgs a, Force<float>* forces) {
    const int64_t pixel = int64_t(blockIdx.x) * kBlock + threadIdx.x;
    const MeshArgs& m = a.mesh;
    const int64_t in_camera = int64_t(m.width) * m.height;
    if (pixel >= m.cameras * in_camera) return;
    const int64_t camera = pixel / in_camera, at = pixel % in_camera;
    const Picture<float> picture{m.width,
                                 m.height,
                                 a.channels,
                                 m.clip + 4 * camera * m.vertices,
                                 m.index,
                                 a.triangles + camera * in_camera,
                                 a.image + camera * in_camera * a.channels,
                                 a.g_image + camera * in_camera * a.channels};
    Force<float> force;
    force_at(picture, int(at % m.width), int(at / m.width), force);
    forces[pixel] = force;
}

__global__ void __launch_bounds__(kBlock)
    force_sums_kernel(EdgeArgs a, const Force<float>* forces, const Box* boxes, float* out) {
    sum_faces<4>(a.mesh, a.triangles, boxes, out,
                 [&](const Face& f, int64_t pixel, float px, float py, float* sums) {
                     const Force<float> force = forces[pixel];
                     if (force.x == 0 && force.y == 0 && force.z == 0) return;
                     const float b[3] = {a.barycentrics[3 * pixel], a.barycentrics[3 * pixel + 1],
                                         a.barycentrics[3 * pixel + 2]};
                     float moved[3][4];
                     force_gradient(f.corners, b, px, py, force, moved);
#pragma unroll
                     for (int k = 0; k < 3; ++k)
#pragma unroll
                         for (int i = 0; i < 4; ++i) sums[4 * k + i] += moved[k][i];
                 });
}

// N = 3: x, y, w of a corner; 4: x, y, z, w.
template <int N>
__global__ void __launch_bounds__(kBlock)
    vertices_kernel(MeshArgs m, CornerLists lists, const float* corners, float* g_clip) {
    const int64_t i = int64_t(blockIdx.x) * kBlock + threadIdx.x;
    if (i >= int64_t(m.cameras) * m.vertices) return;
    float s[N] = {};
    sum_corners<N>(lists, corners + i / m.vertices * 3 * m.faces * N, int(i % m.vertices), s);
    const float x = s[0] * (0.5f * float(m.width)), y = s[1] * (0.5f * float(m.height));
    float* out = g_clip + 4 * i;
    out[0] = x, out[1] = y, out[2] = N == 4 ? s[2] : 0.0f, out[3] = x + y + s[N - 1];
}

int64_t faces_of(const MeshArgs& m) { return int64_t(m.cameras) * m.faces; }
int64_t pixels_of(const MeshArgs& m) { return int64_t(m.cameras) * m.width * m.height; }

}  // namespace

void triangle_interpolate(const InterpolateArgs& a, Stream stream) {
    LAUNCH(interpolate_kernel, blocks_for(pixels_of(a.mesh), kBlock), kBlock, stream, a);
}

// Boxes of the faces, then their corners' sums; of edges, the forces of the pixels after them.
size_t triangle_interpolate_backward_scratch(const MeshArgs& mesh) {
    return size_t(faces_of(mesh)) * (sizeof(Box) + 3 * kChannels * sizeof(float)) + 1;
}

void triangle_interpolate_backward(const InterpolateArgs& a, Stream stream) {
    const MeshArgs& m = a.mesh;
    const unsigned blocks = blocks_for(faces_of(m), kWarps);
    const int64_t owners = (a.per_camera ? m.cameras : 1) * int64_t(m.vertices);
    Box* boxes = static_cast<Box*>(a.scratch);
    float* sums = reinterpret_cast<float*>(boxes + faces_of(m));
    if (blocks) LAUNCH(boxes_kernel, blocks_for(faces_of(m), kBlock), kBlock, stream, m, boxes);
    for (int first = 0; a.g_attributes && owners && first < a.channels; first += kChannels) {
        if (blocks) LAUNCH(attribute_sums_kernel, blocks, kBlock, stream, a, first, boxes, sums);
        LAUNCH(attributes_kernel, blocks_for(owners, kBlock), kBlock, stream, a, first, sums);
    }
    if (!a.g_clip || !m.vertices) return;
    if (blocks) LAUNCH(weight_sums_kernel, blocks, kBlock, stream, a, boxes, sums);
    LAUNCH(vertices_kernel<3>, blocks_for(int64_t(m.cameras) * m.vertices, kBlock), kBlock, stream, m,
           a.lists, sums, a.g_clip);
}

size_t triangle_edge_backward_scratch(const MeshArgs& mesh) {
    return size_t(faces_of(mesh)) * (sizeof(Box) + 12 * sizeof(float)) +
           size_t(pixels_of(mesh)) * sizeof(Force<float>);
}

void triangle_edge_backward(const EdgeArgs& a, Stream stream) {
    const MeshArgs& m = a.mesh;
    if (!m.vertices) return;
    Box* boxes = static_cast<Box*>(a.scratch);
    float* sums = reinterpret_cast<float*>(boxes + faces_of(m));
    Force<float>* forces = reinterpret_cast<Force<float>*>(sums + faces_of(m) * 12);
    if (m.faces) {
        LAUNCH(boxes_kernel, blocks_for(faces_of(m), kBlock), kBlock, stream, m, boxes);
        LAUNCH(forces_kernel, blocks_for(pixels_of(m), kBlock), kBlock, stream, a, forces);
        LAUNCH(force_sums_kernel, blocks_for(faces_of(m), kWarps), kBlock, stream, a, forces, boxes, sums);
    }
    LAUNCH(vertices_kernel<4>, blocks_for(int64_t(m.cameras) * m.vertices, kBlock), kBlock, stream, m,
           a.lists, sums, a.g_clip);
}

}  // namespace sctd::cuda
