/*
fields.h - the order of an op's addresses, written once for every backend that has the op.

An op names the fields that it reads and writes, in the order in which sctd/ops lists their addresses. A backend's struct of
arguments has them under these names (kernels.h and triangles.h of cpu/ and cuda/: shapes and meanings). What only one backend wants follows
its call: read(at, fields::project_backward(a), a.pose_partial).
*/
#pragma once

#include "bindings.h"

#include <tuple>

namespace sctd::fields {

template <typename Args>
auto project_inputs(Args& a) {
    return std::tie(a.means, a.quats, a.scales, a.opacities, a.sh, a.viewmats, a.ks);
}

template <typename Args>
auto project_forward(Args& a) {
    return std::tuple_cat(project_inputs(a),
                          std::tie(a.means2d, a.depths, a.conics, a.opacities_out, a.colors, a.radii));
}

template <typename Args>
auto project_backward(Args& a) {
    return std::tuple_cat(
        project_inputs(a),
        std::tie(a.radii, a.g_means2d, a.g_depths, a.g_conics, a.g_opacities_out, a.g_colors),
        std::tie(a.g_means, a.g_quats, a.g_scales, a.g_opacities, a.g_sh, a.g_viewmats));
}

// What tile lists are made of; the lists are the backend's own.
template <typename Args>
auto footprints(Args& a) {
    return std::tie(a.means2d, a.conics, a.opacities, a.depths, a.radii);
}

template <typename Args>
auto blend_inputs(Args& a) {
    return std::tie(a.means2d, a.conics, a.colors, a.opacities, a.depths, a.backgrounds);
}

// `lists`: fields of the backend's tile lists.
template <typename Args, typename Lists>
auto blend_forward(Args& a, const Lists& lists) {
    return std::tuple_cat(blend_inputs(a), lists, std::tie(a.renders, a.alphas, a.transmittance, a.last));
}

template <typename Args, typename Lists>
auto blend_backward(Args& a, const Lists& lists) {
    return std::tuple_cat(blend_inputs(a), lists, std::tie(a.transmittance, a.last, a.g_renders, a.g_alphas),
                          std::tie(a.g_means2d, a.g_conics, a.g_colors, a.g_opacities, a.g_depths,
                                   a.g_backgrounds, a.g_means2d_abs));
}

// Of one parameter.
template <typename Args>
auto adam(Args& a) {
    return std::tie(a.param, a.exp_avg, a.exp_avg_sq, a.grad);
}

template <typename Args>
auto triangle_draw(Args& a) {
    return std::tie(a.mesh.clip, a.mesh.index, a.triangles, a.barycentrics, a.depth);
}

// A mesh and what was drawn of it.
template <typename Args>
auto fragments(Args& a) {
    return std::tie(a.mesh.clip, a.mesh.index, a.triangles, a.barycentrics);
}

template <typename Args>
auto triangle_interpolate(Args& a) {
    return std::tuple_cat(std::tie(a.attributes), fragments(a), std::tie(a.image));
}

template <typename Args>
auto triangle_interpolate_backward(Args& a) {
    return std::tuple_cat(std::tie(a.attributes), fragments(a), std::tie(a.lists.start, a.lists.corners),
                          std::tie(a.g_image, a.g_attributes, a.g_clip));
}

template <typename Args>
auto triangle_edge_backward(Args& a) {
    return std::tuple_cat(std::tie(a.image), fragments(a), std::tie(a.lists.start, a.lists.corners),
                          std::tie(a.g_image, a.g_clip));
}

template <typename Args>
auto texture(Args& a) {
    return std::tie(a.image, a.uv, a.out);
}

template <typename Args>
auto texture_backward(Args& a) {
    return std::tie(a.image, a.uv, a.g_out, a.g_image, a.g_uv);
}

}  // namespace sctd::fields
