/*
triangle_mesh.h - what the triangle kernels share: a mesh as one camera sees it.
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
    const S* clip;             // this camera's
    Scratch<Snapped> snapped;  // by snap_all
    Scratch<uint8_t> whole;    // likewise: the vertex needs no clipping

    CameraMesh(const MeshArgs<S>& a, int64_t camera)
        : vertices(a.vertices),
          faces(a.faces),
          width(a.width),
          height(a.height),
          index(a.index),
          clip(a.clip + 4 * camera * a.vertices) {}

    void snap_all() {
        snapped.resize(vertices), whole.resize(vertices);
        auto work = [&](int64_t begin, int64_t end) {
            for (int64_t v = begin; v < end; ++v) {
                const S* at = clip + 4 * v;
                const Corner<S> corner = to_pixels(at[0], at[1], at[2], at[3], width, height);
                whole[v] = needs_no_clip(corner);
                snapped[v] = whole[v] ? snap(corner) : Snapped{0, 0};
            }
        };
        parallel_ranges(vertices, 8192, work);
    }

    SCTD_HD void corners_of(int64_t face, Corner<S> out[3]) const {
        load_corners(clip, index + 3 * face, width, height, out);
    }

    SCTD_HD bool is_whole(int64_t face) const {
        const int32_t* v = index + 3 * face;
        return whole[v[0]] & whole[v[1]] & whole[v[2]];
    }

    // What a face covers; returns their number, at most 1 of a whole one.
    SCTD_HD int pieces(int64_t face, Piece out[kMaxPieces]) const {
        const int32_t* v = index + 3 * face;
        if (is_whole(face))
            return make_piece(snapped[v[0]], snapped[v[1]], snapped[v[2]], width, height, out[0]);
        Corner<S> corners[3];
        corners_of(face, corners);
        return clipped_pieces(corners, width, height, out);
    }
};

SCTD_END
