/*
triangles.h - the triangle kernels' arguments and entry points; names, shapes and meanings as in cpu/triangles.h. Float32 alone.

Every function only queues work on the stream; scratch is the caller's, of the size that the *_scratch functions tell.
*/
#pragma once

#include <cstddef>
#include <cstdint>

namespace sctd::cuda {

using Stream = void*;

struct MeshArgs {
    int cameras, vertices, faces, width, height;
    const float* clip;
    const int32_t* index;
};

struct DrawArgs {
    MeshArgs mesh;
    int32_t* triangles;
    float *barycentrics, *depth;
    void* scratch;
};

struct CornerLists {
    const int32_t *start, *corners;
};

struct InterpolateArgs {
    MeshArgs mesh;
    int channels, per_camera;
    const float* attributes;
    const int32_t* triangles;
    const float* barycentrics;
    float* image;
    CornerLists lists;
    const float* g_image;
    float *g_attributes, *g_clip;
    void* scratch;
};

struct EdgeArgs {
    MeshArgs mesh;
    int channels;
    CornerLists lists;
    const int32_t* triangles;
    const float *barycentrics, *image, *g_image;
    float* g_clip;
    void* scratch;
};

struct TextureArgs {
    int count, channels, width, height, repeat;
    const float *image, *uv;
    float* out;
    const float* g_out;
    float *g_image, *g_uv;
    void* scratch;
};

size_t triangle_draw_scratch(const MeshArgs& mesh);
void triangle_draw(const DrawArgs& a, Stream stream);
void triangle_interpolate(const InterpolateArgs& a, Stream stream);
size_t triangle_interpolate_backward_scratch(const MeshArgs& mesh);
void triangle_interpolate_backward(const InterpolateArgs& a, Stream stream);
size_t triangle_edge_backward_scratch(const MeshArgs& mesh);
void triangle_edge_backward(const EdgeArgs& a, Stream stream);
void texture(const TextureArgs& a, Stream stream);
size_t texture_backward_scratch(int count, int width, int height);
void texture_backward(const TextureArgs& a, Stream stream);

}  // namespace sctd::cuda
