/*
texture.h - the four texels around a place in a texture.

Texel (i, j) is centred at u = (i + 0.5) / W, v = (j + 0.5) / H. With x = u W - 0.5 between texels x0 = floor(x) and x0 + 1, and f
the fraction, the value is (1 - f) t_x0 + f t_x1; likewise along v.
*/
#pragma once

#include "common.h"

SCTD_BEGIN

SCTD_HD float vfloor(float x) { return floorf(x); }
SCTD_HD double vfloor(double x) { return floor(x); }

// The four texels around a place, and how far it is between them. Texel (i, j) is centred at ((i + 0.5) / width, (j + 0.5) / height).
template <typename S>
struct Footprint {
    int x0, x1, y0, y1;
    S fx, fy;
    bool moves_x, moves_y;  // whether the place moves with u, v
};

// One axis. A number that is not finite keeps its fraction, so that it shows, and reads the first texel.
template <typename S>
SCTD_HD void texel_span(S u, int size, bool repeat, int& first, int& second, S& fraction, bool& moves) {
    S x = u * S(size) - S(0.5);
    moves = true;
    if (!repeat) {
        const S high = S(size - 1);
        moves = x >= 0 && x <= high;
        x = x < 0 ? S(0) : x > high ? high : x;
    }
    const S low = vfloor(x);
    fraction = x - low;
    if (!(fraction >= 0 && fraction <= 1)) {
        first = second = 0;
        return;
    }
    S at = repeat ? low - S(size) * vfloor(low / S(size)) : low;
    at = at < 0 ? S(0) : at > S(size - 1) ? S(size - 1) : at;
    first = int(at);
    second = first + 1 < size ? first + 1 : repeat ? 0 : first;
}

template <typename S>
SCTD_HD Footprint<S> footprint_of(S u, S v, int width, int height, bool repeat) {
    Footprint<S> f;
    texel_span(u, width, repeat, f.x0, f.x1, f.fx, f.moves_x);
    texel_span(v, height, repeat, f.y0, f.y1, f.fy, f.moves_y);
    return f;
}

SCTD_END
