/*
texture.cpp - bilinear lookup in a texture, and its gradient.

  in   image [H,W,D]  uv [N,2]
  out  out [N,D]; backward: g_image [H,W,D], g_uv [N,2]

The gradient of the texels is gathered row by row: places are sorted by the row of texels above them (a stable counting sort), and
a row adds up those that lie between it and the next one, then those between the row before and it.

Repeats  bit for bit for any number of threads: a row of texels is the work of one.
Maths    include/texture.h.
*/
#include "../include/texture.h"
#include "channels.h"
#include "kernels.h"
#include "threads.h"

#include <cstring>

SCTD_BEGIN
namespace {

constexpr int64_t kPlaces = 8192, kMostChunks = 32;

template <typename S>
SCTD_HD Footprint<S> footprint_at(const TextureArgs<S>& a, int64_t i) {
    return footprint_of(a.uv[2 * i], a.uv[2 * i + 1], a.width, a.height, a.repeat != 0);
}

// Calls at(i, footprint, top, bottom, x0, x1) for every place: the rows of its four texels, and their first channels there.
template <typename S, typename At>
void each_place(const TextureArgs<S>& a, At at) {
    const int64_t n = a.channels;
    auto work = [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
            const Footprint<S> f = footprint_at(a, i);
            const S* top = a.image + int64_t(f.y0) * a.width * n;
            const S* bottom = a.image + int64_t(f.y1) * a.width * n;
            at(i, f, top, bottom, int64_t(f.x0) * n, int64_t(f.x1) * n);
        }
    };
    parallel_ranges(a.count, kPlaces, work);
}

template <typename S, typename Channels>
void look_up(const TextureArgs<S>& a, Channels n) {
    each_place(a,
               [&](int64_t i, const Footprint<S>& f, const S* top, const S* bottom, int64_t x0, int64_t x1) {
                   for (int64_t d = 0; d < n; ++d) {
                       const S up = top[x0 + d] + f.fx * (top[x1 + d] - top[x0 + d]);
                       const S low = bottom[x0 + d] + f.fx * (bottom[x1 + d] - bottom[x0 + d]);
                       a.out[i * n + d] = up + f.fy * (low - up);
                   }
               });
}

template <typename S>
void texture(const TextureArgs<S>& a) {
    with_channels(a.channels, [&](auto n) { look_up(a, n); });
}

template <typename S, typename Channels>
void places_gradient(const TextureArgs<S>& a, Channels n) {
    each_place(
        a, [&](int64_t i, const Footprint<S>& f, const S* top, const S* bottom, int64_t x0, int64_t x1) {
            S g_x = 0, g_y = 0;
            for (int64_t d = 0; d < n; ++d) {
                const S g = a.g_out[i * n + d];
                const S across_up = top[x1 + d] - top[x0 + d], across_low = bottom[x1 + d] - bottom[x0 + d];
                const S left = bottom[x0 + d] - top[x0 + d];
                g_x += g * (across_up + f.fy * (across_low - across_up));
                g_y += g * (left + f.fx * (across_low - across_up));
            }
            a.g_uv[2 * i] = f.moves_x ? g_x * S(a.width) : S(0);
            a.g_uv[2 * i + 1] = f.moves_y ? g_y * S(a.height) : S(0);
        });
}

template <typename S, typename Channels>
void texels_gradient(const TextureArgs<S>& a, Channels n) {
    const int64_t rows = a.height;
    const int64_t grain = a.count / kMostChunks > kPlaces ? a.count / kMostChunks : kPlaces;
    const int64_t chunks = (a.count + grain - 1) / grain;
    Scratch<Footprint<S>> at(a.count);
    Scratch<int32_t> list(a.count), start(rows + 1), cursor(chunks * rows);
    auto count = [&](int64_t begin, int64_t end) {
        int32_t* own = cursor.data() + begin / grain * rows;
        memset(own, 0, size_t(rows) * sizeof *own);
        for (int64_t i = begin; i < end; ++i) at[i] = footprint_at(a, i), ++own[at[i].y0];
    };
    parallel_ranges(a.count, grain, count);
    int32_t next = 0;
    for (int64_t row = 0; row < rows; ++row) {
        start[row] = next;
        for (int64_t c = 0; c < chunks; ++c) {
            const int32_t here = cursor[c * rows + row];
            cursor[c * rows + row] = next;
            next += here;
        }
    }
    start[rows] = next;
    auto fill = [&](int64_t begin, int64_t end) {
        int32_t* own = cursor.data() + begin / grain * rows;
        for (int64_t i = begin; i < end; ++i) list[own[at[i].y0]++] = int32_t(i);
    };
    parallel_ranges(a.count, grain, fill);
    auto sum = [&](ptrdiff_t row) {
        Scratch<double> sums(a.width * n);
        memset(sums.data(), 0, size_t(a.width * n) * sizeof(double));
        const int64_t before = row ? row - 1 : a.repeat ? rows - 1 : -1;
        for (int lower = 0; lower < 2; ++lower) {
            const int64_t above = lower ? before : row;
            if (above < 0) continue;
            for (int32_t k = start[above]; k < start[above + 1]; ++k) {
                const Footprint<S>& f = at[list[k]];
                if (lower && f.y1 != row) continue;  // a place that is no number
                const S share = lower ? f.fy : 1 - f.fy, right = share * f.fx, left = share - right;
                const S* g = a.g_out + list[k] * n;
                for (int64_t d = 0; d < n; ++d) {
                    sums[f.x0 * n + d] += double(left * g[d]);
                    sums[f.x1 * n + d] += double(right * g[d]);
                }
            }
        }
        S* out = a.g_image + row * a.width * n;
        for (int64_t i = 0; i < a.width * n; ++i) out[i] = S(sums[i]);
    };
    parallel_for(rows, sum);
}

template <typename S>
void texture_backward(const TextureArgs<S>& a) {
    with_channels(a.channels, [&](auto n) {
        if (a.g_uv) places_gradient(a, n);
        if (a.g_image) texels_gradient(a, n);
    });
}

}  // namespace

void set_texture(Kernels<float>& f, Kernels<double>& d) {
    f.triangles.texture = texture<float>, d.triangles.texture = texture<double>;
    f.triangles.texture_backward = texture_backward<float>,
    d.triangles.texture_backward = texture_backward<double>;
}

SCTD_END
