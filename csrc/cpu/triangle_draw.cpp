/*
triangle_draw.cpp - which triangle each pixel shows.

  in   clip [C,V,4]  faces [F,3]
  out  triangles [C,H,W]  barycentrics [C,H,W,3]  depth [C,H,W]

1 corners: vertices rounded to 1/256 pixel
2 pieces: what a face covers, one triangle, or some where planes cut it; in face order
3 tiles: the pieces that touch each 16 x 16 tile, in face order (a stable counting sort)
4 pixels: a tile is drawn by one thread against its own depth buffer, 4 x W/4 pixels at a time: faces are small, so blocks have
  fewer lanes outside than rows. The nearest wins, of equal depths the face with the lower number; the buffer keeps its weights

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

constexpr int64_t kFewest = 2048, kMostChunks = 32;  // faces of a chunk; chunks

struct TilePiece {
    Piece piece;
    int32_t face;
};

// The pieces of one camera by tile: those of tile t at piece[list[start[t]]] ..
struct Lists {
    Scratch<TilePiece> piece;
    Scratch<int32_t> start, list, next, cursor;  // cursor [chunks, tiles]
    Scratch<int64_t> first, last;                // [chunks] a chunk's pieces lie from first on, up to last
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

// The pieces, and how many of a chunk touch each tile; returns the chunks.
template <typename S>
int64_t make_pieces(const CameraMesh<S>& mesh, int tiles_x, int64_t tiles, Lists& lists) {
    const int64_t share = (mesh.faces + kMostChunks - 1) / kMostChunks;
    const int64_t grain = share > kFewest ? share : kFewest, chunks = (mesh.faces + grain - 1) / grain;
    lists.first.resize(chunks), lists.last.resize(chunks), lists.cursor.resize(chunks * tiles);
    auto room = [&](int64_t begin, int64_t end) {
        int64_t clipped = 0;
        for (int64_t f = begin; f < end; ++f) clipped += !mesh.is_whole(f);
        lists.last[begin / grain] = end - begin + (kMaxPieces - 1) * clipped;
    };
    parallel_ranges(mesh.faces, grain, room);
    int64_t total = 0;
    for (int64_t c = 0; c < chunks; ++c) lists.first[c] = total, total += lists.last[c];
    lists.piece.resize(total);
    auto write = [&](int64_t begin, int64_t end) {
        const int64_t chunk = begin / grain;
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
        lists.last[chunk] = out - lists.piece.data();
    };
    parallel_ranges(mesh.faces, grain, write);
    return chunks;
}

template <typename S>
void make_lists(const CameraMesh<S>& mesh, int tiles_x, int64_t tiles, Lists& lists) {
    const int64_t chunks = make_pieces(mesh, tiles_x, tiles, lists);
    lists.start.resize(tiles + 1), lists.next.resize(tiles + 1);
    int32_t *start = lists.start.data(), *next = lists.next.data();
    memset(next, 0, size_t(tiles + 1) * sizeof *next);
    for (int64_t c = 0; c < chunks; ++c)
        for (int64_t t = 0; t < tiles; ++t) next[t] += lists.cursor[c * tiles + t];
    int32_t total = 0;
    for (int64_t t = 0; t <= tiles; ++t) {
        start[t] = total;
        total += next[t];
        next[t] = start[t];
    }
    for (int64_t c = 0; c < chunks; ++c)
        for (int64_t t = 0; t < tiles; ++t) {
            int32_t& cursor = lists.cursor[c * tiles + t];
            const int32_t n = cursor;
            cursor = next[t];
            next[t] += n;
        }
    lists.list.resize(total);
    auto fill = [&](ptrdiff_t chunk) {
        int32_t* cursor = lists.cursor.data() + chunk * tiles;
        for (int64_t i = lists.first[chunk]; i < lists.last[chunk]; ++i)
            tiles_of(lists.piece[i].piece, tiles_x,
                     [&](int tile) { lists.list[cursor[tile]++] = int32_t(i); });
    };
    parallel_for(chunks, fill);
}

// A tile's pixels in strips of 4 columns: pixel (column, row) is at 64 (column / 4) + 4 row + column % 4.
template <typename S>
struct TileBuffer {
    alignas(64) S depth[kTile * kTile];
    alignas(64) S e[3][kTile * kTile];  // where a face is seen
    alignas(64) int32_t face[kTile * kTile];
};

// A number for each lane of a block: the column that it is in, or the row.
template <typename Vector, int W>
Vector lane_columns() {
    Vector v{};
    for (int l = 0; l < W; ++l) v[l] = l % 4;
    return v;
}

template <typename Vector, int W>
Vector lane_lines() {
    Vector v{};
    for (int l = 0; l < W; ++l) v[l] = l / 4;
    return v;
}

// One piece in the tile at (x, y).
template <typename S>
SCTD_HD void draw_piece(const CameraMesh<S>& mesh, const TilePiece& tp, int x, int y, TileBuffer<S>& tile) {
    using V = typename Simd<S>::V;
    using M = typename Simd<S>::M;
    using I = decltype(M{}[0] + 0);
    constexpr int W = Simd<S>::W, kLines = W / 4;
    const Box& box = tp.piece.box;
    const int left = most(box.x0 - x, 0) / 4, right = least(box.x1 - x, kTile - 1) / 4;
    const int top = most(box.y0 - y, 0) / kLines, bottom = least(box.y1 - y, kTile - 1) / kLines;
    const M columns = lane_columns<M, W>(), lines = lane_lines<M, W>();
    I across[3], down[3];
    M corner[3];
    for (int k = 0; k < 3; ++k) {
        const Side& side = tp.piece.side[k];
        int64_t at;
        const int where = classify(side, x, y, at);
        if (where < 0) return;
        across[k] = where ? 0 : side.a, down[k] = where ? 0 : side.b;
        corner[k] = columns * across[k] + lines * down[k] + (where ? I(0) : I(at)) + down[k] * (top * kLines);
    }
    Corner<S> c[3];
    mesh.corners_of(tp.face, c);
    const V first_x = lane_columns<V, W>() + (S(x) + S(0.5)), first_y = lane_lines<V, W>() + (S(y) + S(0.5));
    for (int strip = left; strip <= right; ++strip) {
        const V px = first_x + S(4 * strip);
        V u[3];
        M side[3];
        for (int k = 0; k < 3; ++k) {
            u[k] = c[k].x - px * c[k].w;
            side[k] = corner[k] + across[k] * (4 * strip);
        }
        for (int group = top; group <= bottom; ++group) {
            const M inside = (side[0] | side[1] | side[2]) >= 0;
            for (int k = 0; k < 3; ++k) side[k] += down[k] * kLines;
            if (!bits(inside)) continue;
            const V py = first_y + S(kLines * group);
            V v[3];
            for (int k = 0; k < 3; ++k) v[k] = c[k].y - py * c[k].w;
            const Weights<V> weights = weights_of(u, v);
            const V below = weighted(weights.e, c[0].w, c[1].w, c[2].w);
            const V depth = weighted(weights.e, c[0].z, c[1].z, c[2].z) / below;
            const int at = 4 * kTile * strip + W * group;
            const V old = load<V>(tile.depth + at);
            const M nearer = inside & (below > V{}) & (depth < old);
            store(tile.depth + at, select(nearer, depth, old));
            for (int k = 0; k < 3; ++k)
                store(tile.e[k] + at, select(nearer, weights.e[k], load<V>(tile.e[k] + at)));
            int32_t* face = tile.face + at;
            if constexpr (sizeof(S) == 4)
                store(face, nearer ? M{} + tp.face : load<M>(face));
            else
                for (uint32_t hit = bits(nearer); hit; hit &= hit - 1) face[__builtin_ctz(hit)] = tp.face;
        }
    }
}

// A tile's fragments, row by row.
template <typename S>
struct TileRows {
    alignas(64) S b[3][kTile * kTile];
    alignas(64) S depth[kTile * kTile];
    alignas(64) int32_t face[kTile * kTile];
};

template <typename S>
SCTD_HD void make_rows(const TileBuffer<S>& tile, TileRows<S>& rows) {
    using V = typename Simd<S>::V;
    constexpr int W = Simd<S>::W;
    auto put = [](const auto* block, auto* to) {
        for (int line = 0; line < W / 4; ++line) memcpy(to + line * kTile, block + 4 * line, 4 * sizeof *to);
    };
    for (int at = 0; at < kTile * kTile; at += W) {
        const int to = at % (4 * kTile) / 4 * kTile + at / (4 * kTile) * 4;
        const V depth = load<V>(tile.depth + at);
        const V zero{}, e[3] = {load<V>(tile.e[0] + at), load<V>(tile.e[1] + at), load<V>(tile.e[2] + at)};
        const V sum = (e[0] + e[1]) + e[2];
        const auto seen = depth < splat<V>(S(__builtin_inff()));
        const V shown = masked(seen, depth);
        for (int k = 0; k < 3; ++k) {
            const V b = masked(seen & (sum > zero), e[k] / sum);
            put(reinterpret_cast<const S*>(&b), rows.b[k] + to);
        }
        put(reinterpret_cast<const S*>(&shown), rows.depth + to);
        put(tile.face + at, rows.face + to);
    }
}

// `lanes` pixels of a row.
template <typename S>
SCTD_HD void write_fragments(const DrawArgs<S>& a, const TileRows<S>& rows, int at, int lanes,
                             int64_t pixel) {
    using V = typename Simd<S>::V;
    const V b[3] = {load<V>(rows.b[0] + at), load<V>(rows.b[1] + at), load<V>(rows.b[2] + at)};
    store_rows<3>(a.barycentrics + 3 * pixel, lanes, b);
    memcpy(a.depth + pixel, rows.depth + at, size_t(lanes) * sizeof(S));
    memcpy(a.triangles + pixel, rows.face + at, size_t(lanes) * sizeof(int32_t));
}

// A tile that no piece touches.
template <typename S>
void write_nothing(const DrawArgs<S>& a, int lanes, int64_t pixel) {
    memset(a.triangles + pixel, 0xff, size_t(lanes) * sizeof *a.triangles);
    memset(a.barycentrics + 3 * pixel, 0, size_t(3 * lanes) * sizeof *a.barycentrics);
    memset(a.depth + pixel, 0, size_t(lanes) * sizeof *a.depth);
}

template <typename S>
void draw_tile(const DrawArgs<S>& a, const CameraMesh<S>& mesh, const Lists& lists, int64_t camera,
               int64_t tile, int tiles_x) {
    constexpr int W = Simd<S>::W;
    const int width = a.mesh.width, height = a.mesh.height;
    const int x = int(tile % tiles_x) * kTile, y = int(tile / tiles_x) * kTile;
    const int columns = least(kTile, width - x), rows = least(kTile, height - y);
    const int64_t corner = (camera * height + y) * width + x;
    if (lists.start[tile] == lists.start[tile + 1]) {
        for (int row = 0; row < rows; ++row) write_nothing(a, columns, corner + int64_t(row) * width);
        return;
    }
    TileBuffer<S> buffer{};
    for (int i = 0; i < kTile * kTile; ++i) buffer.depth[i] = S(__builtin_inff()), buffer.face[i] = -1;
    for (int32_t k = lists.start[tile]; k < lists.start[tile + 1]; ++k)
        draw_piece(mesh, lists.piece[lists.list[k]], x, y, buffer);
    TileRows<S> fragments;
    make_rows(buffer, fragments);
    for (int row = 0; row < rows; ++row)
        for (int col = 0; col < columns; col += W)
            write_fragments(a, fragments, row * kTile + col, least(W, columns - col),
                            corner + int64_t(row) * width + col);
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
