/*
triangle_mesh.h - what the triangle kernels share: a mesh as one camera sees it, its vertices in pixels.
*/
#pragma once

#include "../include/coverage.h"
#include "kernels.h"
#include "threads.h"

SCTD_BEGIN

template <typename S>
struct CameraMesh {
    int64_t vertices, faces;
    int width, height;
    const int32_t* index;
    const S* clip;  // this camera's
    Scratch<Corner<S>> corner;
    Scratch<Snapped> snapped;  // by snap_all
    Scratch<uint8_t> whole;    // likewise: the vertex needs no clipping

    CameraMesh(const MeshArgs<S>& a, int64_t camera)
        : vertices(a.vertices),
          faces(a.faces),
          width(a.width),
          height(a.height),
          index(a.index),
          clip(a.clip + 4 * camera * a.vertices) {
        corner.resize(vertices);
        auto work = [&](int64_t begin, int64_t end) {
            for (int64_t v = begin; v < end; ++v)
                corner[v] =
                    to_pixels(clip[4 * v], clip[4 * v + 1], clip[4 * v + 2], clip[4 * v + 3], width, height);
        };
        parallel_ranges(vertices, 8192, work);
    }

    void snap_all() {
        snapped.resize(vertices), whole.resize(vertices);
        auto work = [&](int64_t begin, int64_t end) {
            for (int64_t v = begin; v < end; ++v) {
                whole[v] = needs_no_clip(corner[v]);
                snapped[v] = whole[v] ? snap(corner[v]) : Snapped{0, 0};
            }
        };
        parallel_ranges(vertices, 8192, work);
    }

    SCTD_HD void corners_of(int64_t face, Corner<S> out[3]) const {
        for (int k = 0; k < 3; ++k) out[k] = corner[index[3 * face + k]];
    }

    // What a face covers; returns their number.
    SCTD_HD int pieces(int64_t face, Piece out[kMaxPieces]) const {
        const int32_t* v = index + 3 * face;
        if (whole[v[0]] & whole[v[1]] & whole[v[2]])
            return make_piece(snapped[v[0]], snapped[v[1]], snapped[v[2]], width, height, out[0]);
        Corner<S> corners[3];
        corners_of(face, corners);
        return clipped_pieces(corners, width, height, out);
    }
};

SCTD_END
