/*
corner_lists.cpp - the corners of faces that meet in each vertex: a counting sort, ascending in face and corner.
*/
#include "triangles.h"

#include <cstring>

namespace sctd {

void corner_lists(int64_t vertices, int64_t faces, const int32_t* index, int32_t* start, int32_t* corners) {
    memset(start, 0, size_t(vertices + 1) * sizeof *start);
    for (int64_t i = 0; i < 3 * faces; ++i) ++start[index[i]];
    int32_t next = 0;
    for (int64_t v = 0; v <= vertices; ++v) {
        const int32_t n = start[v];
        start[v] = next;
        next += n;
    }
    for (int64_t i = 0; i < 3 * faces; ++i) corners[start[index[i]]++] = int32_t(i);
    for (int64_t v = vertices; v > 0; --v) start[v] = start[v - 1];  // each had become the next one's
    start[0] = 0;
}

}  // namespace sctd
