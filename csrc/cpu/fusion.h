/*
fusion.h - from pictures of depth and coverage to a grid of signed distances; fusion.cpp is the manual.
*/
#pragma once

#include <cstdint>

namespace sctd {

constexpr int kMostCarvers = 16;

template <typename S>
struct FusionArgs {
    int64_t views;
    int width, height;
    const S *depth, *alpha, *viewmats, *ks;  // [C,H,W] [C,H,W] [C,4,4] [C,3,3]
    int64_t size[3];                         // points along x, y, z
    double origin[3], step;                  // of the first point; between neighbours
    double reach, level, hidden;
    int carvers;  // 1..kMostCarvers
    S* distance;  // [x,y,z], out
};

template <typename S>
void fuse_depth(const FusionArgs<S>& a);

}  // namespace sctd
