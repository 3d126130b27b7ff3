/*
triangle_shade.cpp - attributes of vertices to pictures, and gradients of pictures to attributes and vertices.

  interpolate   attributes [C,V,D] or [V,D], fragments => image [C,H,W,D]
  its backward  g_image => g_attributes, g_clip [C,V,4]
  edges         image, g_image [C,H,W,D], fragments => g_clip [C,V,4] (include/edges.h)

Gradients are gathered, never scattered (triangle_gather.h). What interpolate's give a face is summed W of its pixels at a time,
whichever rows they are of: b g to the attributes, and the moments of g_e to the corners.
Edges come in two steps: the pixels beside one, row by row, as bits; then, for each of them, the forces that the pairs with its
four neighbours put on its fragment.

Repeats  bit for bit for any number of threads.
Maths    include/triangle.h, edges.h.
*/
#include "simd_rows.h"  // first: the formulas below are instantiated with its vectors

#include "../include/edges.h"
#include "channels.h"
#include "triangle_gather.h"

SCTD_BEGIN
namespace {

constexpr int64_t kRows = 8;  // of one unit of work

// --- forward ---

template <typename S, typename Channels>
SCTD_HD void interpolate_pixel(const InterpolateArgs<S>& a, const S* attributes, int64_t p, Channels n) {
    S* out = a.image + p * n;
    const int32_t face = a.triangles[p];
    if (face < 0) {
        for (int64_t d = 0; d < n; ++d) out[d] = 0;
        return;
    }
    const int32_t* v = a.mesh.index + 3 * int64_t(face);
    const S *b = a.barycentrics + 3 * p, *a0 = attributes + v[0] * n, *a1 = attributes + v[1] * n,
            *a2 = attributes + v[2] * n;
    for (int64_t d = 0; d < n; ++d) out[d] = weighted(b, a0[d], a1[d], a2[d]);
}

// The channels of a pixel at once, at most 4; a fourth is the next pixel's, which comes later.
template <typename S, typename Channels>
SCTD_HD void interpolate_row(const InterpolateArgs<S>& a, const S* attributes, int64_t first, int64_t last,
                             Channels n) {
    typedef S Four __attribute__((vector_size(4 * sizeof(S))));
    const int64_t safe = a.mesh.vertices * n - 4;  // four numbers from here on are the attributes'
    auto row_of = [&](int64_t at) {
        Four r{};
        if (at <= safe)
            memcpy(&r, attributes + at, sizeof r);
        else
            for (int64_t d = 0; d < n; ++d) r[d] = attributes[at + d];
        return r;
    };
    for (int64_t p = first; p + 1 < last; ++p) {
        const int32_t face = a.triangles[p];
        Four out{};
        if (face >= 0) {
            const int32_t* v = a.mesh.index + 3 * int64_t(face);
            const S* b = a.barycentrics + 3 * p;
            out = (b[0] * row_of(v[0] * n) + b[1] * row_of(v[1] * n)) + b[2] * row_of(v[2] * n);
        }
        memcpy(a.image + p * n, &out, sizeof out);
    }
    interpolate_pixel(a, attributes, last - 1, n);
}

template <typename S, typename Channels>
void interpolate_channels(const InterpolateArgs<S>& a, Channels n) {
    constexpr bool few = !std::is_same_v<Channels, int64_t>;
    const int64_t rows = a.mesh.cameras * a.mesh.height, width = a.mesh.width;
    auto work = [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; ++row) {
            const int64_t camera = row / a.mesh.height, first = row * width;
            const S* attributes = a.attributes + (a.per_camera ? camera * a.mesh.vertices * n : 0);
            if (few && width > 2)  // four numbers then fit into what is left of the row
                interpolate_row(a, attributes, first, first + width, n);
            else
                for (int64_t p = first; p < first + width; ++p) interpolate_pixel(a, attributes, p, n);
        }
    };
    parallel_ranges(rows, kRows, work);
}

template <typename S>
void interpolate(const InterpolateArgs<S>& a) {
    with_channels(a.channels, [&](auto n) { interpolate_channels(a, n); });
}

// --- interpolate's gradient ---

// A face and D of its channels, while its pixels are summed.
template <typename S, int D, bool Moved>
class FaceSum {
    using V = typename Simd<S>::V;
    static constexpr int W = Simd<S>::W, kFlush = 64;  // vectors that are summed before lanes are

public:
    SCTD_HD FaceSum(const Corner<S> corners[3], const S* const attributes[3], S x, S y)
        : origin_x_(splat<V>(x)), origin_y_(splat<V>(y)) {
        for (int k = 0; k < 3; ++k) {
            const Corner<S>& c = corners[k];
            c_[k] = {splat<V>(c.x), splat<V>(c.y), V{}, splat<V>(c.w)};
            for (int d = 0; d < D; ++d) a_[k][d] = splat<V>(attributes[k][d]);
        }
    }

    SCTD_HD void add(S x, S y, const S* g) {
        x_[lane_] = x, y_[lane_] = y;
        for (int d = 0; d < D; ++d) g_[d][lane_] = g[d];
        if (++lane_ == W) add_lanes();
    }

    // Fills the lanes that are left with the last pixel, without a gradient.
    SCTD_HD void finish() {
        if (lane_) {
            for (int l = lane_; l < W; ++l) {
                x_[l] = x_[lane_ - 1], y_[l] = y_[lane_ - 1];
                for (int d = 0; d < D; ++d) g_[d][l] = 0;
            }
            add_lanes();
        }
        add_sums();
    }

    double share[3 * D] = {}, moment[9] = {};  // of the attributes' gradient; of g_e

private:
    SCTD_HD void add_lanes() {
        const V px = load<V>(x_), py = load<V>(y_), zero{};
        V u[3], v[3], g[D];
        for (int d = 0; d < D; ++d) g[d] = load<V>(g_[d]);
        subtract_pixel(c_, px, py, u, v);
        const Weights<V> w = weights_of(u, v);
        const V inverse = (zero + S(1)) / w.sum;
        for (int k = 0; k < 3; ++k) {
            const V b = w.e[k] * inverse;
            for (int d = 0; d < D; ++d) shares_[k * D + d] = madd(b, g[d], shares_[k * D + d]);
        }
        if constexpr (Moved) {
            V g_b[3], g_e[3];
            for (int k = 0; k < 3; ++k) {
                g_b[k] = g[0] * a_[k][0];
                for (int d = 1; d < D; ++d) g_b[k] = madd(g[d], a_[k][d], g_b[k]);
            }
            edges_gradient(u, v, g_b, g_e);
            const V x = px - origin_x_, y = py - origin_y_;
            for (int k = 0; k < 3; ++k) {
                moments_[3 * k] = madd(x, g_e[k], moments_[3 * k]);
                moments_[3 * k + 1] = madd(y, g_e[k], moments_[3 * k + 1]);
                moments_[3 * k + 2] += g_e[k];
            }
        }
        lane_ = 0;
        if (++vectors_ == kFlush) add_sums();
    }

    SCTD_HD void add_sums() {
        S sums[9];
        hsum_all<S, 3 * D>(shares_, sums);
        for (int i = 0; i < 3 * D; ++i) share[i] += double(sums[i]), shares_[i] = V{};
        vectors_ = 0;
        if constexpr (!Moved) return;
        hsum_all<S, 9>(moments_, sums);
        for (int i = 0; i < 9; ++i) moment[i] += double(sums[i]), moments_[i] = V{};
    }

    const V origin_x_, origin_y_;
    Corner<V> c_[3];
    V a_[3][D], shares_[3 * D] = {}, moments_[9] = {};
    alignas(64) S x_[W], y_[W], g_[D][W];
    int lane_ = 0, vectors_ = 0;
};

// The sums of one face: 3 numbers of a corner's own gradient where it is wanted, then its attributes'.
template <bool Moved, typename S>
void sum_face(const InterpolateArgs<S>& a, const S* attributes, const S* g_image, const Corner<S> corners[3],
              const Run* runs, int32_t i, S* sums) {
    const int64_t n = a.channels, width = a.mesh.width;
    const int32_t* v = a.mesh.index + 3 * int64_t(runs[i].face);
    const S x = S(runs[i].first) + S(0.5), y = S(runs[i].row) + S(0.5);
    constexpr int64_t own = Moved ? 3 : 0;
    double moments[9] = {};
    each_three(n, [&](auto channels, int64_t d) {
        constexpr int D = channels;
        const S* at[3];
        for (int k = 0; k < 3; ++k) at[k] = attributes + v[k] * n + d;
        FaceSum<S, D, Moved> sum(corners, at, x, y);
        for (int32_t r = i; r >= 0; r = runs[r].next) {
            const Run& run = runs[r];
            const S* g = g_image + n * (run.row * width) + d;
            for (int32_t px = run.first; px < run.end; ++px)
                sum.add(S(px) + S(0.5), S(run.row) + S(0.5), g + n * px);
        }
        sum.finish();
        for (int k = 0; k < 3; ++k)
            for (int c = 0; c < D; ++c) sums[k * (own + n) + own + d + c] = S(sum.share[k * D + c]);
        for (int m = 0; m < 9; ++m) moments[m] += sum.moment[m];
    });
    if constexpr (Moved) {
        Corner<double> c[3];
        double m[3][3], out[3][3];
        for (int k = 0; k < 3; ++k) {
            c[k] = {double(corners[k].x), double(corners[k].y), double(corners[k].z), double(corners[k].w)};
            for (int axis = 0; axis < 3; ++axis) m[k][axis] = moments[3 * k + axis];
        }
        moments_gradient(c, double(x), double(y), m, out);
        for (int k = 0; k < 3; ++k)
            for (int axis = 0; axis < 3; ++axis) sums[k * (own + n) + axis] = S(out[k][axis]);
    }
}

template <bool Moved, typename S>
void interpolate_backward_of(const InterpolateArgs<S>& a) {
    const int64_t pixels = int64_t(a.mesh.width) * a.mesh.height, count = a.mesh.vertices * a.channels;
    const bool shared = !a.per_camera && a.g_attributes;
    Scratch<double> total(shared ? count : 0);
    if (shared) memset(total.data(), 0, size_t(count) * sizeof(double));
    Parts<S> parts;
    for (int64_t camera = 0; camera < a.mesh.cameras; ++camera) {
        const CameraMesh<S> mesh(a.mesh, camera);
        const S* attributes = a.attributes + (a.per_camera ? camera * count : 0);
        const S* g_image = a.g_image + a.channels * camera * pixels;
        auto add = [&](const Run* runs, int32_t i, S* sums) {
            Corner<S> corners[3];
            mesh.corners_of(runs[i].face, corners);
            sum_face<Moved>(a, attributes, g_image, corners, runs, i, sums);
        };
        constexpr int64_t own = Moved ? 3 : 0;
        sum_faces(a.triangles + camera * pixels, mesh.width, mesh.height, own + a.channels, parts, add);
        with_channels(a.channels, [&](auto n) {
            auto write = [&](int64_t v, const double* sums) {
                if (Moved) {
                    const double g[4] = {sums[0], sums[1], 0, sums[2]};
                    to_clip(g, mesh.width, mesh.height, a.g_clip + 4 * (camera * mesh.vertices + v));
                }
                for (int64_t d = 0; shared && d < n; ++d) total[v * n + d] += sums[own + d];
                for (int64_t d = 0; a.per_camera && a.g_attributes && d < n; ++d)
                    a.g_attributes[camera * count + v * n + d] = S(sums[own + d]);
            };
            sum_vertices(mesh.vertices, mesh.index, plus<own>(n), parts, write);
        });
    }
    for (int64_t i = 0; shared && i < count; ++i) a.g_attributes[i] = S(total[i]);
}

template <typename S>
void interpolate_backward(const InterpolateArgs<S>& a) {
    if (a.g_clip)
        interpolate_backward_of<true>(a);
    else
        interpolate_backward_of<false>(a);
}

// --- edges ---

// Bit x of marks: p[x] and q[x] are different surfaces, or one of them is none.
inline void mark_apart(const int32_t* index, const int32_t* p, const int32_t* q, int count, uint32_t* marks) {
    using M = typename Simd<float>::M;
    constexpr int W = Simd<float>::W;
    for (int x = 0; x < count; x += W) {
        uint32_t differ = 0, apart = 0;
        if (x + W <= count)
            differ = bits(load<M>(p + x) != load<M>(q + x));
        else
            for (int l = 0; x + l < count; ++l) differ |= uint32_t(p[x + l] != q[x + l]) << l;
        for (; differ; differ &= differ - 1) {
            const int l = __builtin_ctz(differ);
            const int32_t one = p[x + l], other = q[x + l];
            const bool joined =
                one >= 0 && other >= 0 && meet(index + 3 * int64_t(one), index + 3 * int64_t(other));
            apart |= uint32_t(!joined) << l;
        }
        marks[x / W] = apart;
    }
}

// Pixels that show a face and have an edge beside them, in rows top .. bottom; returns how many.
inline int32_t find_edges(const int32_t* index, const int32_t* triangles, int width, int height, int top,
                          int bottom, int32_t* pixels) {
    constexpr int W = Simd<float>::W;
    const int groups = (width + W - 1) / W;
    Scratch<uint32_t> marks(3 * groups);
    uint32_t *right = marks.data(), *above = right + groups, *below = above + groups;
    auto mark_below = [&](int row) {  // between the row and the next one
        const int32_t* at = triangles + int64_t(row) * width;
        if (row < 0 || row + 1 >= height)
            memset(below, 0, size_t(groups) * sizeof *below);
        else
            mark_apart(index, at, at + width, width, below);
    };
    int32_t n = 0;
    mark_below(top - 1);
    right[groups - 1] = 0;
    for (int row = top; row < bottom; ++row) {
        const int32_t first = row * width, *at = triangles + first;
        uint32_t* const last = above;
        above = below, below = last;
        mark_below(row);
        mark_apart(index, at, at + 1, width - 1, right);
        for (int group = 0; group < groups; ++group) {
            const uint32_t left = right[group] << 1 | (group ? right[group - 1] >> (W - 1) : 0);
            uint32_t beside = (right[group] | left | above[group] | below[group]) & ((uint32_t(1) << W) - 1);
            for (; beside; beside &= beside - 1) {
                const int x = group * W + __builtin_ctz(beside);
                if (at[x] >= 0) pixels[n++] = first + x;
            }
        }
    }
    return n;
}

template <typename S>
void edge_backward(const EdgeArgs<S>& a) {
    const int width = a.mesh.width, height = a.mesh.height, bands = bands_of(height);
    const int64_t pixels = int64_t(width) * height, n = a.channels, most_pixels = int64_t(kBandRows) * width;
    Scratch<int32_t> beside(bands * most_pixels), count(bands);
    Scratch<int64_t> begin(bands);
    Parts<S> parts;
    for (int64_t camera = 0; camera < a.mesh.cameras; ++camera) {
        const CameraMesh<S> mesh(a.mesh, camera);
        const int32_t* triangles = a.triangles + camera * pixels;
        const S *image = a.image + camera * pixels * n, *g_image = a.g_image + camera * pixels * n;
        const Picture<S> picture{width, height, n, mesh.clip, mesh.index, triangles, image, g_image};
        const S* barycentrics = a.barycentrics + 3 * camera * pixels;
        auto find = [&](ptrdiff_t band) {
            const int top = int(band) * kBandRows, bottom = least(top + kBandRows, height);
            count[band] = find_edges(mesh.index, triangles, width, height, top, bottom,
                                     beside.data() + band * most_pixels);
        };
        parallel_for(bands, find);
        parts.resize(add_up(count.data(), bands, begin.data()), 4);
        auto pull = [&](ptrdiff_t band) {
            for (int32_t i = 0; i < count[band]; ++i) {
                const int32_t pixel = beside[band * most_pixels + i], y = pixel / width,
                              x = pixel - y * width;
                const int64_t part = begin[band] + i;
                Force<S> force;
                Corner<S> corners[3];
                S out[3][4];
                force_at(picture, x, y, force);
                mesh.corners_of(triangles[pixel], corners);
                force_gradient(corners, barycentrics + 3 * pixel, S(x) + S(0.5), S(y) + S(0.5), force, out);
                parts.face[part] = triangles[pixel];
                memcpy(parts.sum.data() + part * 12, out, sizeof out);
            }
        };
        parallel_for(bands, pull);
        auto write = [&](int64_t v, const double* sums) {
            to_clip(sums, width, height, a.g_clip + 4 * (camera * mesh.vertices + v));
        };
        sum_vertices(mesh.vertices, mesh.index, std::integral_constant<int64_t, 4>(), parts, write);
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
