/*
triangle_shade.cpp - attributes of vertices to pictures, and gradients of pictures to attributes and vertices.

  interpolate   attributes [C,V,D] or [V,D], fragments => image [C,H,W,D]
  its backward  g_image => g_attributes, g_clip [C,V,4]
  edges         image, g_image [C,H,W,D], fragments => g_clip [C,V,4] (include/edges.h)

Gradients are gathered, never scattered: spans of pixels are sorted by the face that they show (a counting sort); a face adds up what
its pixels give its three corners, rows from the top; a vertex then adds up its corners, faces ascending.
Edges come in three steps: where they are; the forces that the pairs with its four neighbours put on each pixel's fragment beside
one; then the same gathering.

Repeats  bit for bit for any number of threads: a face and a vertex are the work of one.
Maths    include/triangle.h, edges.h. A face's sums are in double.
*/
#include "simd_rows.h"  // first: the formulas below are instantiated with its vectors

#include "../include/edges.h"
#include "channels.h"
#include "triangle_mesh.h"

#include <cstring>

SCTD_BEGIN
namespace {

constexpr int64_t kFaces = 512, kVertices = 4096, kRows = 8;  // of one unit of work

// --- forward ---

template <typename S, typename Channels>
void interpolate_channels(const InterpolateArgs<S>& a, Channels n) {
    const int64_t rows = a.mesh.cameras * a.mesh.height, width = a.mesh.width;
    auto work = [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row) {
            const int64_t camera = row / a.mesh.height;
            const S* attributes = a.attributes + (a.per_camera ? camera * a.mesh.vertices * n : 0);
            for (int64_t p = row * width; p < (row + 1) * width; ++p) {
                S* out = a.image + p * n;
                const int32_t face = a.triangles[p];
                if (face < 0) {
                    for (int64_t d = 0; d < n; ++d) out[d] = 0;
                    continue;
                }
                const int32_t* v = a.mesh.index + 3 * face;
                const S *b = a.barycentrics + 3 * p, *a0 = attributes + v[0] * n, *a1 = attributes + v[1] * n,
                        *a2 = attributes + v[2] * n;
                for (int64_t d = 0; d < n; ++d) out[d] = weighted(b, a0[d], a1[d], a2[d]);
            }
        }
    };
    parallel_ranges(rows, kRows, work);
}

template <typename S>
void interpolate(const InterpolateArgs<S>& a) {
    with_channels(a.channels, [&](auto n) { interpolate_channels(a, n); });
}

// --- gathering ---

// Calls found(face, pixel, end) for every run of pixels of a row that show the same face, in the picture's order.
template <typename F>
SCTD_HD void each_span(const int32_t* triangles, int width, int height, F&& found) {
    using M = typename Simd<float>::M;
    constexpr int W = Simd<float>::W;
    for (int32_t row = 0; row < height; ++row) {
        int32_t at = row * width;
        const int32_t last = at + width;
        while (at < last) {
            const int32_t face = triangles[at];
            int32_t end = at + 1;
            for (; end + W <= last; end += W) {
                const uint32_t same = bits(load<M>(triangles + end) == face);
                if (same + 1 == uint32_t(1) << W) continue;
                end += __builtin_ctz(~same);
                break;
            }
            while (end < last && triangles[end] == face) ++end;
            if (face >= 0) found(face, at, end);
            at = end;
        }
    }
}

// One camera's pixels by the face that they show: face f has the spans start[f] .. start[f + 1], rows from the top.
struct FaceSpans {
    Scratch<int32_t> start, first, end;

    void find(const int32_t* triangles, int width, int height, int64_t faces) {
        start.resize(faces + 2);
        int32_t* next = start.data() + 1;  // of each face: how many, then where the next one goes
        memset(start.data(), 0, size_t(faces + 2) * sizeof *next);
        each_span(triangles, width, height, [&](int32_t face, int32_t, int32_t) { ++next[face + 1]; });
        for (int64_t f = 0; f < faces; ++f) next[f + 1] += next[f];
        first.resize(next[faces]), end.resize(next[faces]);
        each_span(triangles, width, height, [&](int32_t face, int32_t from, int32_t to) {
            first[next[face]] = from, end[next[face]++] = to;
        });
    }
};

// What a face gives its corners: sums [3, N], N numbers a corner; `seen` tells the faces that have any.
struct FaceSums {
    Scratch<double> sum;
    Scratch<uint8_t> seen;
    FaceSpans spans;
};

// add(face, corners, pixel, px, py, sums [3, N]) for every pixel that shows the face.
template <typename S, typename F>
void sum_faces(const CameraMesh<S>& mesh, const int32_t* triangles, int64_t numbers, FaceSums& out, F&& add) {
    out.sum.resize(mesh.faces * 3 * numbers), out.seen.resize(mesh.faces);
    out.spans.find(triangles, mesh.width, mesh.height, mesh.faces);
    const FaceSpans& spans = out.spans;
    auto work = [&](int64_t begin, int64_t end) {
        for (int64_t f = begin; f < end; ++f) {
            out.seen[f] = spans.start[f] < spans.start[f + 1];
            if (!out.seen[f]) continue;
            double* sums = out.sum.data() + f * 3 * numbers;
            memset(sums, 0, size_t(3 * numbers) * sizeof *sums);
            Corner<S> corners[3];
            mesh.corners_of(f, corners);
            for (int32_t k = spans.start[f]; k < spans.start[f + 1]; ++k) {
                const int32_t y = spans.first[k] / mesh.width, row = y * mesh.width;
                for (int32_t pixel = spans.first[k]; pixel < spans.end[k]; ++pixel)
                    add(f, corners, pixel, S(pixel - row) + S(0.5), S(y) + S(0.5), sums);
            }
        }
    };
    parallel_ranges(mesh.faces, kFaces, work);
}

// write(vertex, sums [N]) with the sums over a vertex's corners.
template <typename F>
void sum_vertices(int64_t vertices, int64_t numbers, const CornerLists& lists, const FaceSums& faces,
                  F&& write) {
    auto work = [&](int64_t begin, int64_t end) {
        Scratch<double> sums(numbers);
        for (int64_t v = begin; v < end; ++v) {
            for (int64_t i = 0; i < numbers; ++i) sums[i] = 0;
            for (int32_t k = lists.start[v]; k < lists.start[v + 1]; ++k) {
                const int32_t corner = lists.corners[k];
                if (!faces.seen[corner / 3]) continue;
                const double* part = faces.sum.data() + corner * numbers;
                for (int64_t i = 0; i < numbers; ++i) sums[i] += part[i];
            }
            write(v, sums.data());
        }
    };
    parallel_ranges(vertices, kVertices, work);
}

// From a corner in pixels, x y z w, to clip space.
template <typename S>
SCTD_HD void to_clip(const double g[4], int width, int height, S* out) {
    const double x = g[0] * (0.5 * width), y = g[1] * (0.5 * height);
    out[0] = S(x), out[1] = S(y), out[2] = S(g[2]), out[3] = S(x + y + g[3]);
}

// --- interpolate's gradient ---

// Moved: numbers of a corner's own gradient, 0 where nobody wants it.
template <typename S, typename Channels, typename Moved>
void interpolate_backward_channels(const InterpolateArgs<S>& a, Channels n, Moved moved) {
    const int64_t pixels = int64_t(a.mesh.width) * a.mesh.height;
    const int64_t numbers = moved + n, count = a.mesh.vertices * n;
    const bool shared = !a.per_camera && a.g_attributes;
    Scratch<double> total(shared ? count : 0);
    for (int64_t i = 0; shared && i < count; ++i) total[i] = 0;
    FaceSums faces;
    for (int64_t camera = 0; camera < a.mesh.cameras; ++camera) {
        CameraMesh<S> mesh(a.mesh, camera);
        const S* attributes = a.attributes + (a.per_camera ? camera * count : 0);
        const S *barycentrics = a.barycentrics + 3 * camera * pixels,
                *g_image = a.g_image + n * camera * pixels;
        auto add = [&](int64_t f, const Corner<S>* corners, int64_t pixel, S px, S py, double* sums) {
            const S *b = barycentrics + 3 * pixel, *g = g_image + n * pixel;
            for (int k = 0; k < 3; ++k)
                for (int64_t d = 0; d < n; ++d) sums[k * numbers + moved + d] += double(b[k] * g[d]);
            if (!moved) return;
            S g_b[3], out[3][3];
            for (int k = 0; k < 3; ++k) {
                const S* at = attributes + a.mesh.index[3 * f + k] * n;
                g_b[k] = 0;
                for (int64_t d = 0; d < n; ++d) g_b[k] += g[d] * at[d];
            }
            weights_gradient(corners, px, py, g_b, out);
            for (int k = 0; k < 3; ++k)
                for (int i = 0; i < 3; ++i) sums[k * numbers + i] += double(out[k][i]);
        };
        sum_faces(mesh, a.triangles + camera * pixels, numbers, faces, add);
        auto write = [&](int64_t v, const double* sums) {
            if (moved) {
                const double g[4] = {sums[0], sums[1], 0, sums[2]};
                to_clip(g, mesh.width, mesh.height, a.g_clip + 4 * (camera * mesh.vertices + v));
            }
            for (int64_t d = 0; shared && d < n; ++d) total[v * n + d] += sums[moved + d];
            for (int64_t d = 0; a.per_camera && a.g_attributes && d < n; ++d)
                a.g_attributes[camera * count + v * n + d] = S(sums[moved + d]);
        };
        sum_vertices(mesh.vertices, numbers, a.lists, faces, write);
    }
    for (int64_t i = 0; shared && i < count; ++i) a.g_attributes[i] = S(total[i]);
}

template <typename S>
void interpolate_backward(const InterpolateArgs<S>& a) {
    with_channels(a.channels, [&](auto n) {
        if (a.g_clip)
            interpolate_backward_channels(a, n, std::integral_constant<int64_t, 3>());
        else
            interpolate_backward_channels(a, n, std::integral_constant<int64_t, 0>());
    });
}

// --- edges ---

// Which pixels have an edge to the next one, 1, or to the one below, 2: another surface, or none, is seen there.
void mark_edges(const int32_t* index, const int32_t* triangles, int width, int height, uint8_t* edges) {
    auto apart = [&](int32_t p, int32_t q) {
        return p != q && (p < 0 || q < 0 || !meet(index + 3 * int64_t(p), index + 3 * int64_t(q)));
    };
    auto work = [&](int64_t begin, int64_t end) {
        for (int64_t y = begin; y < end; ++y)
            for (int x = 0; x < width; ++x) {
                const int64_t pixel = y * width + x;
                const bool next = x + 1 < width && apart(triangles[pixel], triangles[pixel + 1]);
                const bool below = y + 1 < height && apart(triangles[pixel], triangles[pixel + width]);
                edges[pixel] = uint8_t(next | below << 1);
            }
    };
    parallel_ranges(height, kRows, work);
}

template <typename S>
void edge_backward(const EdgeArgs<S>& a) {
    const int64_t pixels = int64_t(a.mesh.width) * a.mesh.height, n = a.channels;
    Scratch<Force<S>> force(pixels);
    Scratch<uint8_t> pulled(pixels), edges(pixels);
    FaceSums faces;
    for (int64_t camera = 0; camera < a.mesh.cameras; ++camera) {
        CameraMesh<S> mesh(a.mesh, camera);
        const int32_t* triangles = a.triangles + camera * pixels;
        const Picture<S> picture{mesh.width,
                                 mesh.height,
                                 n,
                                 mesh.clip,
                                 mesh.index,
                                 triangles,
                                 a.image + camera * pixels * n,
                                 a.g_image + camera * pixels * n};
        const S* barycentrics = a.barycentrics + 3 * camera * pixels;
        mark_edges(mesh.index, triangles, mesh.width, mesh.height, edges.data());
        auto pull = [&](int64_t begin, int64_t end) {
            for (int64_t y = begin; y < end; ++y)
                for (int x = 0; x < mesh.width; ++x) {
                    const int64_t pixel = y * mesh.width + x;
                    const bool any =
                        edges[pixel] || (x && edges[pixel - 1] & 1) || (y && edges[pixel - mesh.width] & 2);
                    pulled[pixel] = any && force_at(picture, x, int(y), force[pixel]);
                }
        };
        parallel_ranges(mesh.height, kRows, pull);
        auto add = [&](int64_t, const Corner<S>* corners, int64_t pixel, S px, S py, double* sums) {
            if (!pulled[pixel]) return;
            S out[3][4];
            force_gradient(corners, barycentrics + 3 * pixel, px, py, force[pixel], out);
            for (int k = 0; k < 3; ++k)
                for (int i = 0; i < 4; ++i) sums[4 * k + i] += double(out[k][i]);
        };
        sum_faces(mesh, triangles, 4, faces, add);
        auto write = [&](int64_t v, const double* sums) {
            to_clip(sums, mesh.width, mesh.height, a.g_clip + 4 * (camera * mesh.vertices + v));
        };
        sum_vertices(mesh.vertices, 4, a.lists, faces, write);
    }
}

}  // namespace

void set_triangle_shade(Kernels<float>& f, Kernels<double>& d) {
    f.triangles.interpolate = interpolate<float>, d.triangles.interpolate = interpolate<double>;
    f.triangles.interpolate_backward = interpolate_backward<float>;
    d.triangles.interpolate_backward = interpolate_backward<double>;
    f.triangles.edge_backward = edge_backward<float>, d.triangles.edge_backward = edge_backward<double>;
}

SCTD_END
