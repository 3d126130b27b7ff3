/*
trace.h - the sphere tracer that draws the scenes of the embedded prior; see cpu/trace.cpp for the manual.
*/
#pragma once

#include <cstdint>

namespace sctd {

// Channels of one traced picture, in this order; every one is a fraction of the pixel, 0..1.
enum TraceChannel { kFixedR, kFixedG, kFixedB, kBody, kStripe, kSpot, kShine, kCoverage, kTraceChannels };

enum TraceShape { kEllipsoid, kBox, kFrustum, kTorus, kCapsule, kPrism, kTraceShapes };

// A scene: a union of parts. Plain arrays, so that Python owns everything.
struct TraceScene {
    int n_parts;
    const int32_t* shape;     // [P] TraceShape
    const int32_t* material;  // [P] -1: the body, which takes the colour of the prompt; else a row of palette
    const float* params;      // [P,4] sizes, see cpu/trace.cpp
    const float* rotation;    // [P,9] row major, world -> part
    const float* center;      // [P,3] world
    const float* palette;     // [M,3] RGB 0..1 of the fixed materials
};

// Trace n_views pictures of size x size pixels, supersample^2 rays a pixel; out [n_views, kTraceChannels, size, size].
void trace(const TraceScene& scene, int n_views,
           const float* viewmats,  // [V,4,4] world -> camera, OpenCV axes
           const float* Ks,        // [V,3,3] pixels
           int size, int supersample, float* out);

// Signed distances of points [N,3] to the scene's surface, negative inside; out [N]. Right in sign and near the surface, where
// the shapes' formulas are exact to first order; elsewhere never farther than the surface is.
void trace_distance(const TraceScene& scene, int64_t n_points, const float* points, float* out);

}  // namespace sctd
