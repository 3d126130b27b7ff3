/*
triangles.h - the triangle kernels' arguments. Plain pointers to contiguous arrays, sizes, nothing else.

C cameras, V vertices, F faces, D channels, H x W pixels. A fragment is what a pixel shows: a face and its weights.
*/
#pragma once

#include <cstdint>

namespace sctd {

// What all of them read.
template <typename S>
struct MeshArgs {
    int64_t cameras, vertices, faces;
    int width, height;
    const S* clip;         // [C,V,4] clip space
    const int32_t* index;  // [F,3]
};

template <typename S>
struct DrawArgs {
    MeshArgs<S> mesh;
    int32_t* triangles;  // [C,H,W] a face, or -1
    S* barycentrics;     // [C,H,W,3]
    S* depth;            // [C,H,W]
};

// Gradients go from pixels to the corners of faces, and by the lists of a vertex's corners (3 * face + corner, ascending) to
// the vertices.
struct CornerLists {
    const int32_t *start, *corners;  // [V + 1] [3 F]
};

template <typename S>
struct InterpolateArgs {
    MeshArgs<S> mesh;
    int64_t channels;
    int per_camera;  // attributes [C,V,D], else [V,D]
    const S* attributes;
    const int32_t* triangles;
    const S* barycentrics;
    S* image;  // [C,H,W,D]
    // backward
    CornerLists lists;
    const S* g_image;
    S *g_attributes, *g_clip;  // as attributes; [C,V,4]; either may be null
};

template <typename S>
struct EdgeArgs {
    MeshArgs<S> mesh;
    int64_t channels;
    CornerLists lists;
    const int32_t* triangles;
    const S *barycentrics, *image, *g_image;  // image [C,H,W,D]
    S* g_clip;                                // [C,V,4]
};

// image [H,W,D] at N places uv.
template <typename S>
struct TextureArgs {
    int64_t count, channels;
    int width, height, repeat;
    const S *image, *uv;  // uv [N,2]
    S* out;               // [N,D]
    // backward; g_image or g_uv may be null
    const S* g_out;
    S *g_image, *g_uv;
};

template <typename S>
struct TriangleKernels {
    void (*draw)(const DrawArgs<S>&);
    void (*interpolate)(const InterpolateArgs<S>&);
    void (*interpolate_backward)(const InterpolateArgs<S>&);
    void (*edge_backward)(const EdgeArgs<S>&);
    void (*texture)(const TextureArgs<S>&);
    void (*texture_backward)(const TextureArgs<S>&);
};

// corners 3 * face + corner of every vertex, ascending
void corner_lists(int64_t vertices, int64_t faces, const int32_t* index, int32_t* start, int32_t* corners);

}  // namespace sctd
