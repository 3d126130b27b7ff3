/*
sculpt.h - the sphere tracer of the rich world's scenes; see cpu/sculpt.cpp for the manual.
*/
#pragma once

#include <cstdint>

namespace sctd {

// Channels of one traced picture, in this order: light (RGB), albedo (RGB), normal (world axes), coverage. All but
// the last are multiplied by the coverage.
enum SculptChannel { kLight, kAlbedo = 3, kNormal = 6, kCover = 9, kSculptChannels };

enum SculptShape {
    kSolidEllipsoid,
    kSolidBox,
    kSolidFrustum,
    kSolidTorus,
    kSolidCone,
    kSolidPrism,
    kSolidTriangle,
    kSolidLathe
};
enum SculptUse { kAdd, kCarve, kPaint };
enum SculptPattern {
    kPlain,
    kStripes,
    kSpots,
    kMottle,
    kWood,
    kMarble,
    kKnit,
    kFur,
    kPlaid,
    kScales,
    kKernels,
    kRings,
    kHoles
};

constexpr int kShapeParams = 16;

// A material as a row of floats.
struct SculptMaterial {
    float first[3], second[3];  // RGB 0..1; the pattern mixes them
    float pattern;              // SculptPattern
    float period;               // of the pattern, length
    float cavity;               // 0..1: how much darker the pattern's low places are
    float gloss, exponent;      // strength of the highlight, 0..1, and its sharpness
    float metal;                // 0..1: how much of the light is a mirrored sky
    float facet;                // size of flat faces, 0: none
    float rim;  // 0..1: how much lighter it is where the surface turns away, as glass and fur are
};

// A scene: groups of parts, in order of their group. In a group parts are joined, carved or painted in order.
struct SculptScene {
    int n_parts;
    const int32_t* kind;             // [P,4] SculptShape, SculptUse, group, material
    const float* params;             // [P,16] sizes, see cpu/sculpt.cpp
    const float* pose;               // [P,12] rotation row major, world -> part; centre, world
    const float* blend;              // [P] radius in which a part melts into its group; of paint: soft edge
    const SculptMaterial* material;  // [M]
};

// Trace n_views pictures of size x size pixels, supersample^2 rays a pixel; out [n_views, 10, size, size].
void sculpt(const SculptScene& scene, int n_views,
            const float* viewmats,  // [V,4,4] world -> camera, OpenCV axes
            const float* Ks,        // [V,3,3] pixels
            int size, int supersample, float* out);

// Signed distances of points [n,3] to the surface, negative inside; exact where they are 0.
void sculpt_distance(const SculptScene& scene, int64_t n_points, const float* points, float* out);

}  // namespace sctd
