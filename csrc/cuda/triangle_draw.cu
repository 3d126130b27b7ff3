/*
triangle_draw.cu - which triangle each pixel shows: the bits of cpu/triangle_draw.cpp, by one 64-bit minimum a pixel and face.

  in   clip [C,V,4]  faces [F,3]
  out  triangles [C,H,W], -1 where none is seen  barycentrics [C,H,W,3]  depth [C,H,W]

1 cells: a face's box of pixels in squares of 32 x 32; how many there are, then by a prefix sum where each face's begin
2 draw: a warp takes cell after cell, 8 x 4 pixels at a time; what a lane finds goes to its pixel as a minimum of depth and, below
  it, the face's number: the nearest wins, of equal depths the lower number, in whatever order the warps come
3 resolve: the winners to fragments

Layout   scratch: a key [C,H,W] of 64 bits; cells of each face, and their prefix sum, [C F + 1]; the prefix sum's own.
         No shared memory: lanes meet in the keys alone. The pieces of a face that planes cut lie in a thread's stack.
Limits   2^31 / 12 faces, counted once for each camera, and 2^31 - 1 cells. Faces of vertices that are not finite are not drawn.
Repeats  bit for bit, and as the CPU: a minimum is the same in every order.
Source   Olano and Greer 1997 for the weights, Sutherland and Hodgman 1974 for the cut: include/triangle.h, coverage.h.
*/
#include "device.h"
#include "primitives.h"
#include "triangles.h"

#include "../include/coverage.h"

namespace sctd::cuda {
namespace {

constexpr int kBlock = 256, kWarps = kBlock / kWarp;
constexpr int kCell = 32, kAcross = 8, kDown = 4;
constexpr int kDrawBlocks = 2048;  // at most; their warps take the cells in turn

using Key = unsigned long long;

// Larger for larger depths, as integers; of the two zeros there is one.
__device__ __forceinline__ uint32_t depth_key(float depth) {
    const uint32_t b = __float_as_uint(depth == 0 ? 0.0f : depth);
    return b & 0x80000000u ? ~b : b | 0x80000000u;
}

__device__ __forceinline__ float key_depth(uint32_t key) {
    return __uint_as_float(key & 0x80000000u ? key & 0x7fffffffu : ~key);
}

__device__ __forceinline__ void corners_of(const MeshArgs& m, int camera, int face, Corner<float> out[3]) {
    load_corners(m.clip + 4 * int64_t(camera) * m.vertices, m.index + 3 * int64_t(face), m.width, m.height,
                 out);
}

__global__ void __launch_bounds__(kBlock) count_cells_kernel(MeshArgs m, int32_t* cells) {
    const int i = blockIdx.x * kBlock + threadIdx.x, total = m.cameras * m.faces;
    if (i > total) return;
    int32_t count = 0;
    if (i < total) {
        Corner<float> corners[3];
        corners_of(m, i / m.faces, i % m.faces, corners);
        Piece pieces[kMaxPieces];
        const int n = pieces_of(corners, m.width, m.height, pieces);
        if (n) {
            const Box box = box_around(pieces, n);
            count = ((box.x1 - box.x0) / kCell + 1) * ((box.y1 - box.y0) / kCell + 1);
        }
    }
    cells[i] = count;
}

// The last of n + 1 ascending starts that is at most `item`, and below the next one.
__device__ __forceinline__ int owner_of(const int32_t* start, int n, int32_t item) {
    int low = 0, high = n;
    while (low < high) {
        const int middle = (low + high + 1) / 2;
        if (start[middle] <= item)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

// Pixels of the box of a piece within a cell, a lane each.
__device__ __forceinline__ void draw_piece(const MeshArgs& m, const Corner<float> corners[3],
                                           const Piece& piece, const Box& cell, int camera, uint32_t face,
                                           Key* keys) {
    const int lane = threadIdx.x % kWarp;
    const int x0 = most(piece.box.x0, cell.x0), x1 = least(piece.box.x1, cell.x1);
    const int y0 = most(piece.box.y0, cell.y0), y1 = least(piece.box.y1, cell.y1);
    for (int y = y0 + lane / kAcross; y <= y1; y += kDown)
        for (int x = x0 + lane % kAcross; x <= x1; x += kAcross) {
            bool inside = true;
            for (int k = 0; k < 3; ++k) {
                const Side& s = piece.side[k];
                inside = inside && s.c + int64_t(s.a) * x + int64_t(s.b) * y >= 0;
            }
            if (!inside) continue;
            float u[3], v[3];
            subtract_pixel(corners, float(x) + 0.5f, float(y) + 0.5f, u, v);
            const Weights<float> w = weights_of(u, v);
            const float below = weighted(w.e, corners[0].w, corners[1].w, corners[2].w);
            const float depth = weighted(w.e, corners[0].z, corners[1].z, corners[2].z) / below;
            if (!(below > 0 && depth < __uint_as_float(0x7f800000u))) continue;
            Key* const pixel = keys + (int64_t(camera) * m.height + y) * m.width + x;
            const Key key = Key(depth_key(depth)) << 32 | face;
            atomicMin(pixel, key);
        }
}

__global__ void __launch_bounds__(kBlock) draw_cells_kernel(MeshArgs m, const int32_t* first, Key* keys) {
    const int total = m.cameras * m.faces;
    const int64_t cells = first[total], step = int64_t(gridDim.x) * kWarps;
    for (int64_t item = int64_t(blockIdx.x) * kWarps + threadIdx.x / kWarp; item < cells; item += step) {
        const int number = owner_of(first, total, int32_t(item)), camera = number / m.faces;
        const int face = number - camera * m.faces;
        Corner<float> corners[3];
        corners_of(m, camera, face, corners);
        Piece pieces[kMaxPieces];
        const int n = pieces_of(corners, m.width, m.height, pieces);
        if (n == 0) continue;  // never: it has cells
        Box cell = box_around(pieces, n);
        const int across = (cell.x1 - cell.x0) / kCell + 1, at = int32_t(item) - first[number];
        cell.x0 += at % across * kCell, cell.y0 += at / across * kCell;
        cell.x1 = least(cell.x1, cell.x0 + kCell - 1), cell.y1 = least(cell.y1, cell.y0 + kCell - 1);
        for (int k = 0; k < n; ++k) draw_piece(m, corners, pieces[k], cell, camera, uint32_t(face), keys);
    }
}

__global__ void __launch_bounds__(kBlock) resolve_kernel(DrawArgs a, const Key* keys) {
    const MeshArgs& m = a.mesh;
    const int64_t pixel = int64_t(blockIdx.x) * kBlock + threadIdx.x, in_camera = int64_t(m.width) * m.height;
    if (pixel >= m.cameras * in_camera) return;
    const Key key = keys[pixel];
    const bool seen = key != ~Key(0);
    const int32_t face = seen ? int32_t(key & 0xffffffffu) : -1;
    float b[3] = {0, 0, 0};
    if (seen) {
        Corner<float> corners[3];
        const int64_t camera = pixel / in_camera, at = pixel - camera * in_camera;
        corners_of(m, int(camera), face, corners);
        float u[3], v[3];
        subtract_pixel(corners, float(at % m.width) + 0.5f, float(at / m.width) + 0.5f, u, v);
        const Weights<float> w = weights_of(u, v);
        for (int k = 0; k < 3; ++k) b[k] = w.e[k] / w.sum;
    }
    a.triangles[pixel] = face;
    a.depth[pixel] = seen ? key_depth(uint32_t(key >> 32)) : 0;
    for (int k = 0; k < 3; ++k) a.barycentrics[3 * pixel + k] = b[k];
}

struct Scratch {
    size_t keys, cells, sum;  // bytes
    explicit Scratch(const MeshArgs& m) {
        const int64_t faces = int64_t(m.cameras) * m.faces + 1;
        keys = size_t(m.cameras) * m.width * m.height * sizeof(Key);
        cells = (size_t(faces) * sizeof(int32_t) + 15) / 16 * 16;
        sum = exclusive_sum_scratch(faces);
    }
};

}  // namespace

size_t triangle_draw_scratch(const MeshArgs& mesh) {
    const Scratch s(mesh);
    return s.keys + 2 * s.cells + s.sum;
}

void triangle_draw(const DrawArgs& a, Stream stream) {
    const MeshArgs& m = a.mesh;
    const Scratch s(m);
    const int64_t faces = int64_t(m.cameras) * m.faces, pixels = int64_t(m.cameras) * m.width * m.height;
    char* at = static_cast<char*>(a.scratch);
    Key* keys = reinterpret_cast<Key*>(at);
    int32_t* cells = reinterpret_cast<int32_t*>(at + s.keys);
    int32_t* first = reinterpret_cast<int32_t*>(at + s.keys + s.cells);
    fill_bytes(keys, 0xff, s.keys, stream);
    if (faces) {
        LAUNCH(count_cells_kernel, blocks_for(faces + 1, kBlock), kBlock, stream, m, cells);
        exclusive_sum(at + s.keys + 2 * s.cells, s.sum, cells, first, faces + 1, stream);
        const unsigned wanted = blocks_for(faces, kWarps);
        LAUNCH(draw_cells_kernel, wanted < kDrawBlocks ? wanted : kDrawBlocks, kBlock, stream, m, first,
               keys);
    }
    LAUNCH(resolve_kernel, blocks_for(pixels, kBlock), kBlock, stream, a, keys);
}

}  // namespace sctd::cuda
