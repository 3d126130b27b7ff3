/*
triangle_gather.h - gradients from pixels to the faces that they show, and on to the vertices.

The rows of a picture are cut into bands, each the work of one thread. In a band the runs of pixels that show the same face are
linked, rows from the top. What a face gives its three corners there is a part. A vertex adds up parts in double, bands from the
top; a range of vertices is the work of one thread.
*/
#pragma once

#include "triangle_mesh.h"

#include <cstring>

SCTD_BEGIN

constexpr int kBandRows = 32;

SCTD_HD int bands_of(int height) { return (height + kBandRows - 1) / kBandRows; }

// Pixels first <= x < end of a row. `next`: the face's next run of the band, -1 after the last; `last`: of a face's first run, its
// last one, else -1.
struct Run {
    int32_t face, row, first, end, next, last;
};

// Calls found(face, first, end) for the runs of a row that show a face.
template <typename F>
SCTD_HD void each_run(const int32_t* row, int32_t width, F&& found) {
    using M = typename Simd<float>::M;
    constexpr int W = Simd<float>::W;
    int32_t at = 0;
    while (at < width) {
        const int32_t face = row[at];
        int32_t end = at + 1;
        for (; end + W <= width; end += W) {
            const uint32_t same = bits(load<M>(row + end) == face);
            if (same + 1 == uint32_t(1) << W) continue;
            end += __builtin_ctz(~same);
            break;
        }
        while (end < width && row[end] == face) ++end;
        if (face >= 0) found(face, at, end);
        at = end;
    }
}

struct BandRuns {
    int32_t runs, faces;
};

// The runs of a band, linked by face with a hash table of the faces' first runs.
inline BandRuns find_runs(const int32_t* triangles, int width, int top, int bottom, Run* runs) {
    int32_t n = 0, faces = 0;
    for (int row = top; row < bottom; ++row)
        each_run(triangles + int64_t(row) * width, width, [&](int32_t face, int32_t first, int32_t end) {
            runs[n++] = {face, row, first, end, -1, -1};
        });
    int size = 4;
    while ((1 << size) < 2 * n) ++size;
    const uint32_t mask = (uint32_t(1) << size) - 1;
    Scratch<int32_t> table(mask + 1);
    memset(table.data(), 0xff, (size_t(mask) + 1) * sizeof(int32_t));
    for (int32_t i = 0; i < n; ++i) {
        uint32_t at = uint32_t(runs[i].face) * 2654435769u >> (32 - size);
        while (table[at] >= 0 && runs[table[at]].face != runs[i].face) at = (at + 1) & mask;
        const int32_t first = table[at];
        if (first < 0) {
            table[at] = i, runs[i].last = i, ++faces;
        } else {
            runs[runs[first].last].next = i;
            runs[first].last = i;
        }
    }
    return {n, faces};
}

// What faces give their corners: sums [3, N] of each part.
template <typename S>
struct Parts {
    int64_t count = 0;
    Scratch<int32_t> face;
    Scratch<S> sum;

    void resize(int64_t parts, int64_t numbers) {
        count = parts;
        face.resize(parts), sum.resize(parts * 3 * numbers);
    }
};

// Where each band's parts begin, from how many it has; returns the sum.
inline int64_t add_up(const int32_t* counts, int bands, int64_t* first) {
    int64_t total = 0;
    for (int band = 0; band < bands; ++band) first[band] = total, total += counts[band];
    return total;
}

// add(runs, i, sums [3, N]) for every face of every band, with the number i of its first run.
template <typename S, typename F>
void sum_faces(const int32_t* triangles, int width, int height, int64_t numbers, Parts<S>& parts, F&& add) {
    const int bands = bands_of(height);
    const int64_t most_runs = int64_t(kBandRows) * width;
    Scratch<Run> runs(bands * most_runs);
    Scratch<int32_t> count(bands), faces(bands);
    Scratch<int64_t> first(bands);
    auto find = [&](ptrdiff_t band) {
        const int top = int(band) * kBandRows, bottom = least(top + kBandRows, height);
        const BandRuns found = find_runs(triangles, width, top, bottom, runs.data() + band * most_runs);
        count[band] = found.runs, faces[band] = found.faces;
    };
    parallel_for(bands, find);
    parts.resize(add_up(faces.data(), bands, first.data()), numbers);
    auto sum = [&](ptrdiff_t band) {
        const Run* own = runs.data() + band * most_runs;
        int64_t part = first[band];
        for (int32_t i = 0; i < count[band]; ++i) {
            if (own[i].last < 0) continue;
            parts.face[part] = own[i].face;
            add(own, i, parts.sum.data() + part * 3 * numbers);
            ++part;
        }
    };
    parallel_for(bands, sum);
}

// write(vertex, sums [N]) for every vertex.
template <typename S, typename N, typename F>
void sum_vertices(int64_t vertices, const int32_t* index, N numbers, const Parts<S>& parts, F&& write) {
    const int64_t grain = (vertices + thread_count() - 1) / thread_count();
    auto work = [&](int64_t begin, int64_t end) {
        Scratch<double> sums((end - begin) * numbers);
        memset(sums.data(), 0, size_t((end - begin) * numbers) * sizeof(double));
        for (int64_t part = 0; part < parts.count; ++part)
            for (int k = 0; k < 3; ++k) {
                const int64_t v = index[3 * int64_t(parts.face[part]) + k];
                if (v < begin || v >= end) continue;
                double* to = sums.data() + (v - begin) * numbers;
                const S* from = parts.sum.data() + (3 * part + k) * numbers;
                for (int64_t i = 0; i < numbers; ++i) to[i] += double(from[i]);
            }
        for (int64_t v = begin; v < end; ++v) write(v, sums.data() + (v - begin) * numbers);
    };
    parallel_ranges(vertices, grain ? grain : 1, work);
}

// From a corner in pixels, x y z w, to clip space.
template <typename S>
SCTD_HD void to_clip(const double g[4], int width, int height, S* out) {
    const double x = g[0] * (0.5 * width), y = g[1] * (0.5 * height);
    out[0] = S(x), out[1] = S(y), out[2] = S(g[2]), out[3] = S(x + y + g[3]);
}

SCTD_END
