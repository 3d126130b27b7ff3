/*
bindings_cuda.h - the CUDA kernels for Python; of the real backend and of its emulation. See bindings.cpp for the conventions:
`at` lists addresses in the order of the comment, 0 stands for "none". `stream` is the address of a cudaStream_t.
*/
#pragma once

#include "bindings.h"

#include "cuda/kernels.h"
#include "cuda/triangles.h"

namespace sctd {

inline cuda::ProjectArgs cuda_project_args(const ProjectShape& p) {
    cuda::ProjectArgs a{};
    a.cameras = int(p.cameras), a.count = int(p.count), a.bases = int(p.bases);
    a.width = p.width, a.height = p.height, a.sh_degree = p.sh_degree;
    a.antialiased = p.antialiased, a.sh_per_camera = p.sh_per_camera;
    a.near_plane = float(p.near_plane), a.far_plane = float(p.far_plane);
    a.radius_clip = float(p.radius_clip), a.eps2d = float(p.eps2d);
    return a;
}

inline cuda::BlendArgs cuda_blend_args(const BlendShape& b, bool deterministic) {
    cuda::BlendArgs a{};
    a.cameras = int(b.cameras), a.count = int(b.count), a.channels = int(b.channels), a.capacity = b.pairs;
    a.width = b.width, a.height = b.height;
    a.colors_per_camera = b.colors_per_camera, a.with_depth = b.with_depth, a.absgrad = b.absgrad;
    a.deterministic = deterministic;
    return a;
}

inline cuda::MeshArgs cuda_mesh_args(const MeshShape& m) {
    return {int(m.cameras), int(m.vertices), int(m.faces), m.width, m.height, nullptr, nullptr};
}

inline cuda::Stream stream_at(uintptr_t address) { return reinterpret_cast<cuda::Stream>(address); }

// The triangle ops, as the CPU's; scratch comes last where there is any.
inline void bind_cuda_triangles(py::module_& m) {
    using Release = py::call_guard<py::gil_scoped_release>;
    m.def("triangle_draw_scratch",
          [](const MeshShape& shape) { return cuda::triangle_draw_scratch(cuda_mesh_args(shape)); });
    m.def(
        "triangle_draw",
        [](const MeshShape& shape, const Addresses& at, uintptr_t stream) {
            cuda::DrawArgs a{};
            a.mesh = cuda_mesh_args(shape);
            read(at, a.mesh.clip, a.mesh.index, a.triangles, a.barycentrics, a.depth, a.scratch);
            cuda::triangle_draw(a, stream_at(stream));
        },
        Release());
    m.def(
        "triangle_interpolate",
        [](const MeshShape& shape, int channels, bool per_camera, const Addresses& at, uintptr_t stream) {
            cuda::InterpolateArgs a{};
            a.mesh = cuda_mesh_args(shape), a.channels = channels, a.per_camera = per_camera;
            read(at, a.attributes, a.mesh.clip, a.mesh.index, a.triangles, a.barycentrics, a.image);
            cuda::triangle_interpolate(a, stream_at(stream));
        },
        Release());
    m.def("triangle_interpolate_backward_scratch", [](const MeshShape& shape) {
        return cuda::triangle_interpolate_backward_scratch(cuda_mesh_args(shape));
    });
    m.def(
        "triangle_interpolate_backward",
        [](const MeshShape& shape, int channels, bool per_camera, const Addresses& at, uintptr_t stream) {
            cuda::InterpolateArgs a{};
            a.mesh = cuda_mesh_args(shape), a.channels = channels, a.per_camera = per_camera;
            read(at, a.attributes, a.mesh.clip, a.mesh.index, a.triangles, a.barycentrics, a.lists.start,
                 a.lists.corners, a.g_image, a.g_attributes, a.g_clip, a.scratch);
            cuda::triangle_interpolate_backward(a, stream_at(stream));
        },
        Release());
    m.def("triangle_edge_backward_scratch",
          [](const MeshShape& shape) { return cuda::triangle_edge_backward_scratch(cuda_mesh_args(shape)); });
    m.def(
        "triangle_edge_backward",
        [](const MeshShape& shape, int channels, const Addresses& at, uintptr_t stream) {
            cuda::EdgeArgs a{};
            a.mesh = cuda_mesh_args(shape), a.channels = channels;
            read(at, a.image, a.mesh.clip, a.mesh.index, a.triangles, a.barycentrics, a.lists.start,
                 a.lists.corners, a.g_image, a.g_clip, a.scratch);
            cuda::triangle_edge_backward(a, stream_at(stream));
        },
        Release());
    m.def(
        "texture",
        [](int count, int channels, int width, int height, bool repeat, const Addresses& at,
           uintptr_t stream) {
            cuda::TextureArgs a{};
            a.count = count, a.channels = channels, a.width = width, a.height = height, a.repeat = repeat;
            read(at, a.image, a.uv, a.out);
            cuda::texture(a, stream_at(stream));
        },
        Release());
    m.def("texture_backward_scratch", &cuda::texture_backward_scratch);
    m.def(
        "texture_backward",
        [](int count, int channels, int width, int height, bool repeat, const Addresses& at,
           uintptr_t stream) {
            cuda::TextureArgs a{};
            a.count = count, a.channels = channels, a.width = width, a.height = height, a.repeat = repeat;
            read(at, a.image, a.uv, a.g_out, a.g_image, a.g_uv, a.scratch);
            cuda::texture_backward(a, stream_at(stream));
        },
        Release());
}

inline void bind_cuda(py::module_& m) {
    bind_cuda_triangles(m);
    using Release = py::call_guard<py::gil_scoped_release>;

    m.def("missing_device", &cuda::missing_device, py::arg("device") = -1,
          "Why no kernel can run on the device, -1 the current one; empty when one can.");
    // as the CPU's project_forward
    m.def(
        "project_forward",
        [](const ProjectShape& shape, const Addresses& at, uintptr_t stream) {
            cuda::ProjectArgs a = cuda_project_args(shape);
            read(at, a.means, a.quats, a.scales, a.opacities, a.sh, a.viewmats, a.ks, a.means2d, a.depths,
                 a.conics, a.opacities_out, a.colors, a.radii);
            cuda::project_forward(a, stream_at(stream));
        },
        Release());
    m.def("project_backward_scratch", &cuda::project_backward_scratch);
    // as the CPU's project_backward, then scratch
    m.def(
        "project_backward",
        [](const ProjectShape& shape, const Addresses& at, uintptr_t stream) {
            cuda::ProjectArgs a = cuda_project_args(shape);
            int32_t* radii;
            read(at, a.means, a.quats, a.scales, a.opacities, a.sh, a.viewmats, a.ks, radii, a.g_means2d,
                 a.g_depths, a.g_conics, a.g_opacities_out, a.g_colors, a.g_means, a.g_quats, a.g_scales,
                 a.g_opacities, a.g_sh, a.g_viewmats, a.pose_partial);
            a.radii = radii;
            cuda::project_backward(a, stream_at(stream));
        },
        Release());

    m.def("tiles_bands", &cuda::tiles_bands);
    m.def("tiles_count_scratch", &cuda::tiles_count_scratch);
    m.def("tiles_write_scratch", &cuda::tiles_write_scratch);
    // means2d conics opacities depths radii | order rank_start records bands | scratch
    m.def(
        "tiles_count",
        [](int cameras, int count, int width, int height, const Addresses& at, uintptr_t stream) {
            cuda::TilesArgs a{};
            a.cameras = cameras, a.count = count, a.width = width, a.height = height;
            read(at, a.means2d, a.conics, a.opacities, a.depths, a.radii, a.order, a.rank_start, a.records,
                 a.bands, a.scratch);
            cuda::tiles_count(a, stream_at(stream));
        },
        Release());
    // means2d conics opacities depths radii order rank_start | tile_start pair_index pair_slot pair_mask records | bands scratch
    m.def(
        "tiles_write",
        [](int cameras, int count, int width, int height, int64_t capacity, const Addresses& at,
           uintptr_t stream) {
            cuda::TilesArgs a{};
            a.cameras = cameras, a.count = count, a.width = width, a.height = height, a.capacity = capacity;
            read(at, a.means2d, a.conics, a.opacities, a.depths, a.radii, a.order, a.rank_start, a.tile_start,
                 a.pair_index, a.pair_slot, a.pair_mask, a.records, a.bands, a.scratch);
            cuda::tiles_write(a, stream_at(stream));
        },
        Release());

    // as the CPU's blend_forward; BlendShape's pairs are the capacity
    m.def(
        "blend_forward",
        [](const BlendShape& shape, const Addresses& at, uintptr_t stream) {
            cuda::BlendArgs a = cuda_blend_args(shape, false);
            read(at, a.means2d, a.conics, a.colors, a.opacities, a.depths, a.backgrounds, a.order,
                 a.rank_start, a.tile_start, a.pair_index, a.pair_slot, a.pair_mask, a.records, a.renders,
                 a.alphas, a.transmittance, a.last);
            cuda::blend_forward(a, stream_at(stream));
        },
        Release());
    m.def("blend_backward_scratch", [](const BlendShape& shape, bool deterministic) {
        return cuda::blend_backward_scratch(cuda_blend_args(shape, deterministic));
    });
    // as the CPU's blend_backward, then scratch
    m.def(
        "blend_backward",
        [](const BlendShape& shape, bool deterministic, const Addresses& at, uintptr_t stream) {
            cuda::BlendArgs a = cuda_blend_args(shape, deterministic);
            read(at, a.means2d, a.conics, a.colors, a.opacities, a.depths, a.backgrounds, a.order,
                 a.rank_start, a.tile_start, a.pair_index, a.pair_slot, a.pair_mask, a.records,
                 a.transmittance, a.last, a.g_renders, a.g_alphas, a.g_means2d, a.g_conics, a.g_colors,
                 a.g_opacities, a.g_depths, a.g_backgrounds, a.g_means2d_abs, a.scratch);
            cuda::blend_backward(a, stream_at(stream));
        },
        Release());

    m.attr("MAX_ADAM_GROUPS") = cuda::kMaxAdamGroups;
    m.def("adam_scratch", &cuda::adam_scratch);
    // sizes: (elements, elements of a row) of each group; elements of `watched`, or -1
    // param exp_avg exp_avg_sq grad of each group | watched, if any | schedule visible skip | norms | scratch
    m.def(
        "adam",
        [](const std::vector<std::pair<int, int>>& sizes, int watched, double beta1, double beta2, double eps,
           const Addresses& at, uintptr_t stream) {
            if (sizes.size() > cuda::kMaxAdamGroups) throw std::invalid_argument("too many groups");
            cuda::AdamArgs a{};
            a.groups = int(sizes.size());
            a.beta1 = float(beta1), a.beta2 = float(beta2), a.eps = float(eps);
            a.rest1 = float(1 - beta1), a.rest2 = float(1 - beta2);
            Reader reader(at);
            for (int i = 0; i < a.groups; ++i) {
                cuda::AdamGroup& g = a.group[i];
                g.n = sizes[i].first, g.row = sizes[i].second;
                reader(g.param), reader(g.exp_avg), reader(g.exp_avg_sq), reader(g.grad);
            }
            a.norms_of = a.groups;
            if (watched >= 0) {
                cuda::AdamGroup& g = a.group[a.norms_of++];
                g.n = watched;
                reader(g.grad);
            }
            reader(a.schedule), reader(a.visible), reader(a.skip), reader(a.norms), reader(a.partial);
            reader.done();
            cuda::adam(a, stream_at(stream));
        },
        Release());
}

}  // namespace sctd
