/*
fusion.cpp - from pictures of depth and coverage, taken from all round an object, to a grid of signed distances to its surface.

  in   C pictures with their cameras; a grid: its first point, the distance of neighbours, points along x, y, z
  out  at each point the distance to the surface, world units, negative inside, cut to +-reach

A point's distance is the larger of two (include/fusion.h has what one picture says):

  outline   the carvers-th largest distance to the outlines of all pictures: a point is outside once so many pictures see it
            beside the object. More than one, since a soft object lets some ray through here or there.
  front     the mean distance before the surface over the pictures that cover the point. Farther before it than reach counts
            as reach. Farther behind it than reach, where the point is hidden, it counts as -reach with the weight `hidden`
            instead of 1: what one picture hides another may see.

What no picture sees is outside. A point without pictures that cover it has its outline alone.

Repeats  bit for bit, for any number of threads: a point is computed by one thread, picture after picture.
Source   Curless and Levoy 1996, "A Volumetric Method for Building Complex Models from Range Images"; the carving is ours.
*/
#include "fusion.h"

#include <algorithm>

#include "../include/fusion.h"
#include "threads.h"

namespace sctd {
namespace {

// The k largest numbers so far, the least of them first.
template <typename S>
class Largest {
public:
    Largest(int k, S least) : k_(k) { std::fill(values_, values_ + k, least); }
    void add(S value) {
        if (!(value > values_[0])) return;
        int i = 0;
        for (; i + 1 < k_ && values_[i + 1] < value; ++i) values_[i] = values_[i + 1];
        values_[i] = value;
    }
    S least() const { return values_[0]; }

private:
    int k_;
    S values_[kMostCarvers];
};

template <typename S>
S distance(const FusionArgs<S>& a, const S point[3]) {
    const S reach = S(a.reach), hidden = S(a.hidden);
    const int64_t pixels = int64_t(a.width) * a.height;
    Largest<S> outline(a.carvers, -reach);
    S sum = 0, weight = 0;
    bool seen = false;
    for (int64_t c = 0; c < a.views; ++c) {
        const DepthPicture<S> view{a.viewmats + 16 * c,  a.ks + 9 * c, a.depth + pixels * c,
                                   a.alpha + pixels * c, a.width,      a.height};
        const Sight<S> s = sight(view, point, S(a.level));
        if (!s.seen) continue;
        seen = true;
        outline.add(s.outline);
        if (outline.least() >= reach)
            return reach;  // it only grows: most points are done after a few pictures
        if (!s.covered) continue;
        const bool behind = s.front < -reach;
        sum += behind ? -hidden * reach : std::min(s.front, reach);
        weight += behind ? hidden : S(1);
    }
    if (!seen) return reach;
    const S front = weight > 0 ? sum / weight : -reach;
    return std::min(std::max(front, outline.least()), reach);
}

}  // namespace

template <typename S>
void fuse_depth(const FusionArgs<S>& a) {
    auto row = [&](ptrdiff_t i) {
        const int64_t x = i / a.size[1], y = i % a.size[1];
        for (int64_t z = 0; z < a.size[2]; ++z) {
            const S point[3] = {S(a.origin[0] + a.step * double(x)), S(a.origin[1] + a.step * double(y)),
                                S(a.origin[2] + a.step * double(z))};
            a.distance[i * a.size[2] + z] = distance(a, point);
        }
    };
    parallel_for(a.size[0] * a.size[1], row);
}

template void fuse_depth(const FusionArgs<float>&);
template void fuse_depth(const FusionArgs<double>&);

}  // namespace sctd
