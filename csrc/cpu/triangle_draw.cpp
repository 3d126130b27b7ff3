/*
triangle_draw.cpp - which triangle each pixel shows.

  in   clip [C,V,4]  faces [F,3]
  out  triangles [C,H,W]  barycentrics [C,H,W,3]  depth [C,H,W]

1 corners: vertices in pixels, and rounded to 1/256 pixel
2 pieces: what a face covers, one triangle, or some where planes cut it; counted, then written in face order
3 tiles: the pieces that touch each 16 x 16 tile, in face order (a stable counting sort)
4 pixels: a tile is drawn by one thread against its own depth buffer, W pixels of a row at a time. The nearest wins, of equal
  depths the face with the lower number

Limits   2^31 - 1 (tile, piece) pairs a camera.
Repeats  bit for bit, whatever the threads and the instruction set.
Maths    include/triangle.h, coverage.h.
*/
#include "simd_rows.h"  // first: the formulas below are instantiated with its vectors

#include "kernels.h"
#include "threads.h"
#include "triangle_mesh.h"

#include <cstring>

SCTD_BEGIN
namespace {

constexpr int64_t kFaces = 2048;  // of one unit of work

struct TilePiece {
    Piece piece;
    int32_t face;
};

// The pieces of one camera by tile: those of tile t at piece[list[start[t]]] ..
struct Lists {
    Scratch<TilePiece> piece;
    Scratch<int32_t> start, list, cursor;  // cursor [chunks, tiles]
    Scratch<int64_t> first;                // [chunks + 1] a chunk's first piece
};

// A side over a tile: nothing of it is inside (-1), all of it (1), or some.
SCTD_HD int classify(const Side& s, int x, int y, int64_t& at) {
    constexpr int64_t kFar = kTile - 1;
    at = s.c + int64_t(s.a) * x + int64_t(s.b) * y;
    const int64_t low = at + kFar * least(s.a, 0) + kFar * least(s.b, 0);
    const int64_t high = at + kFar * most(s.a, 0) + kFar * most(s.b, 0);
    return high < 0 ? -1 : low >= 0 ? 1 : 0;
}

// Calls found(tile) for the tiles that the piece may touch.
template <typename F>
SCTD_HD void tiles_of(const Piece& piece, int tiles_x, F&& found) {
    const int x0 = piece.box.x0 / kTile, x1 = piece.box.x1 / kTile;
    const int y0 = piece.box.y0 / kTile, y1 = piece.box.y1 / kTile;
    const bool small = x1 - x0 < 2 && y1 - y0 < 2;
    for (int y = y0; y <= y1; ++y)
        for (int x = x0; x <= x1; ++x) {
            int64_t at;
            bool touches = true;
            for (int k = 0; k < 3 && !small; ++k)
                touches &= classify(piece.side[k], x * kTile, y * kTile, at) >= 0;
            if (touches) found(y * tiles_x + x);
        }
}

template <typename S>
void make_lists(const CameraMesh<S>& mesh, int tiles_x, int64_t tiles, Lists& lists) {
    const int64_t chunks = (mesh.faces + kFaces - 1) / kFaces;
    lists.first.resize(chunks + 1), lists.cursor.resize(chunks * tiles), lists.start.resize(tiles + 1);
    auto count = [&](int64_t begin, int64_t end) {
        int64_t n = 0;
        Piece pieces[kMaxPieces];
        for (int64_t f = begin; f < end; ++f) n += mesh.pieces(f, pieces);
        lists.first[begin / kFaces] = n;
    };
    parallel_ranges(mesh.faces, kFaces, count);
    int64_t total = 0;
    for (int64_t c = 0; c <= chunks; ++c) {
        const int64_t n = c < chunks ? lists.first[c] : 0;
        lists.first[c] = total;
        total += n;
    }
    lists.piece.resize(total);
    auto write = [&](int64_t begin, int64_t end) {
        const int64_t chunk = begin / kFaces;
        TilePiece* out = lists.piece.data() + lists.first[chunk];
        int32_t* per_tile = lists.cursor.data() + chunk * tiles;
        memset(per_tile, 0, size_t(tiles) * sizeof *per_tile);
        Piece pieces[kMaxPieces];
        for (int64_t f = begin; f < end; ++f) {
            const int n = mesh.pieces(f, pieces);
            for (int k = 0; k < n; ++k) {
                *out++ = {pieces[k], int32_t(f)};
                tiles_of(pieces[k], tiles_x, [&](int tile) { ++per_tile[tile]; });
            }
        }
    };
    parallel_ranges(mesh.faces, kFaces, write);
    int32_t next = 0;
    for (int64_t t = 0; t < tiles; ++t) {
        lists.start[t] = next;
        for (int64_t c = 0; c < chunks; ++c) {
            const int32_t n = lists.cursor[c * tiles + t];
            lists.cursor[c * tiles + t] = next;
            next += n;
        }
    }
    lists.start[tiles] = next;
    lists.list.resize(next);
    auto fill = [&](ptrdiff_t chunk) {
        int32_t* cursor = lists.cursor.data() + chunk * tiles;
        for (int64_t i = lists.first[chunk]; i < lists.first[chunk + 1]; ++i)
            tiles_of(lists.piece[i].piece, tiles_x,
                     [&](int tile) { lists.list[cursor[tile]++] = int32_t(i); });
    };
    parallel_for(chunks, fill);
}

template <typename S>
struct TileBuffer {
    alignas(64) S depth[kTile * kTile];
    alignas(64) int32_t face[kTile * kTile];
};

template <typename S>
typename Simd<S>::V lane_centers(int first) {
    typename Simd<S>::V v;
    for (int l = 0; l < Simd<S>::W; ++l) v[l] = S(l) + S(first) + S(0.5);
    return v;
}

// One piece in the tile at (x, y).
template <typename S>
SCTD_HD void draw_piece(const CameraMesh<S>& mesh, const TilePiece& tp, int x, int y, TileBuffer<S>& tile) {
    using V = typename Simd<S>::V;
    using M = typename Simd<S>::M;
    using I = decltype(M{}[0] + 0);
    constexpr int W = Simd<S>::W;
    const Box& box = tp.piece.box;
    const int first = most(box.x0 - x, 0) / W, last = least(box.x1 - x, kTile - 1) / W;
    const int top = most(box.y0 - y, 0), bottom = least(box.y1 - y, kTile - 1);
    I at[3], across[3], down[3];
    for (int k = 0; k < 3; ++k) {
        const Side& side = tp.piece.side[k];
        int64_t corner;
        const int where = classify(side, x, y, corner);
        if (where < 0) return;
        at[k] = where ? 0 : I(corner), across[k] = where ? 0 : side.a, down[k] = where ? 0 : side.b;
    }
    Corner<S> c[3];
    mesh.corners_of(tp.face, c);
    M ramp;
    for (int l = 0; l < W; ++l) ramp[l] = l;
    for (int group = first; group <= last; ++group) {
        const V px = lane_centers<S>(x + group * W);
        V u[3];
        M side[3];
        for (int k = 0; k < 3; ++k) {
            u[k] = c[k].x - px * c[k].w;
            side[k] = (ramp + I(group * W)) * across[k] + (at[k] + down[k] * top);
        }
        for (int row = top; row <= bottom; ++row) {
            const M inside = (side[0] | side[1] | side[2]) >= 0;
            for (int k = 0; k < 3; ++k) side[k] += down[k];
            if (!bits(inside)) continue;
            const S py = S(y + row) + S(0.5);
            V v[3];
            for (int k = 0; k < 3; ++k) v[k] = splat<V>(c[k].y - py * c[k].w);
            const Weights<V> weights = weights_of(u, v);
            const V below = weighted(weights.e, c[0].w, c[1].w, c[2].w);
            const V depth = weighted(weights.e, c[0].z, c[1].z, c[2].z) / below;
            S* best = tile.depth + row * kTile + group * W;
            int32_t* face = tile.face + row * kTile + group * W;
            const V old = load<V>(best);
            const M nearer = inside & (below > V{}) & (depth < old);
            const uint32_t hit = bits(nearer);
            if (!hit) continue;
            store(best, select(nearer, depth, old));
            if constexpr (sizeof(S) == 4)
                store(face, nearer ? M{} + tp.face : load<M>(face));
            else
                for (int l = 0; l < W; ++l)
                    if (hit >> l & 1) face[l] = tp.face;
        }
    }
}

// The faces of `lanes` pixels of a row to fragments.
template <typename S>
SCTD_HD void write_fragments(const DrawArgs<S>& a, const CameraMesh<S>& mesh, const int32_t* face,
                             const S* depth, int x, int y, int lanes, int64_t pixel) {
    using V = typename Simd<S>::V;
    using M = typename Simd<S>::M;
    constexpr int W = Simd<S>::W;
    Corner<V> c[3];
    bool some = false, same = true;
    for (int l = 0; l < lanes; ++l) some |= face[l] >= 0, same &= face[l] == face[0];
    V b[3]{};
    if (some) {
        if (same) {
            Corner<S> s[3];
            mesh.corners_of(face[0], s);
            for (int k = 0; k < 3; ++k)
                c[k] = {splat<V>(s[k].x), splat<V>(s[k].y), splat<V>(s[k].z), splat<V>(s[k].w)};
        } else {
            alignas(64) S lane[3][3][W];
            int32_t before = -1;
            Corner<S> s[3]{};
            for (int l = 0; l < W; ++l) {
                const int32_t f = face[l < lanes ? l : lanes - 1];
                if (f >= 0 && f != before) mesh.corners_of(f, s), before = f;
                for (int k = 0; k < 3; ++k)
                    lane[k][0][l] = s[k].x, lane[k][1][l] = s[k].y, lane[k][2][l] = s[k].w;
            }
            for (int k = 0; k < 3; ++k)
                c[k] = {load<V>(lane[k][0]), load<V>(lane[k][1]), V{}, load<V>(lane[k][2])};
        }
        V u[3], v[3];
        subtract_pixel(c, lane_centers<S>(x), splat<V>(S(y) + S(0.5)), u, v);
        const Weights<V> weights = weights_of(u, v);
        const M seen = weights.sum > V{};
        for (int k = 0; k < 3; ++k) b[k] = masked(seen, weights.e[k] / weights.sum);
    }
    if (some && !same) {  // a pixel without a face has none of its neighbour's weights
        for (int l = 0; l < lanes; ++l)
            if (face[l] < 0)
                for (int k = 0; k < 3; ++k) b[k][l] = 0;
    }
    store_rows<3>(a.barycentrics + 3 * pixel, lanes, b);
    for (int l = 0; l < lanes; ++l) {
        a.triangles[pixel + l] = face[l];
        a.depth[pixel + l] = face[l] < 0 ? S(0) : depth[l];
    }
}

template <typename S>
void draw_tile(const DrawArgs<S>& a, const CameraMesh<S>& mesh, const Lists& lists, int64_t camera,
               int64_t tile, int tiles_x) {
    constexpr int W = Simd<S>::W;
    TileBuffer<S> buffer;
    const int x = int(tile % tiles_x) * kTile, y = int(tile / tiles_x) * kTile;
    for (int i = 0; i < kTile * kTile; ++i) buffer.depth[i] = S(__builtin_inff()), buffer.face[i] = -1;
    for (int32_t k = lists.start[tile]; k < lists.start[tile + 1]; ++k)
        draw_piece(mesh, lists.piece[lists.list[k]], x, y, buffer);
    for (int row = 0; row < kTile && y + row < a.mesh.height; ++row)
        for (int col = 0; col < kTile && x + col < a.mesh.width; col += W) {
            const int64_t pixel = (camera * a.mesh.height + y + row) * a.mesh.width + x + col;
            const int lanes = least(W, a.mesh.width - x - col);
            write_fragments(a, mesh, buffer.face + row * kTile + col, buffer.depth + row * kTile + col,
                            x + col, y + row, lanes, pixel);
        }
}

template <typename S>
void draw(const DrawArgs<S>& a) {
    const int tiles_x = (a.mesh.width + kTile - 1) / kTile, tiles_y = (a.mesh.height + kTile - 1) / kTile;
    const int64_t tiles = int64_t(tiles_x) * tiles_y;
    Lists lists;
    for (int64_t camera = 0; camera < a.mesh.cameras; ++camera) {
        CameraMesh<S> mesh(a.mesh, camera);
        mesh.snap_all();
        make_lists(mesh, tiles_x, tiles, lists);
        auto work = [&](ptrdiff_t tile) { draw_tile(a, mesh, lists, camera, tile, tiles_x); };
        parallel_for(tiles, work);
    }
}

}  // namespace

void set_triangle_draw(Kernels<float>& f, Kernels<double>& d) {
    f.triangles.draw = draw<float>, d.triangles.draw = draw<double>;
}

SCTD_END
