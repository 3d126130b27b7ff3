/*
bindings_cuda.h - the CUDA kernels for Python; of the real backend and of its emulation. See bindings.cpp for the conventions:
`at` lists the addresses of the op's fields (fields.h), then those of what CUDA alone takes, last the scratch memory; 0 stands
for "none". `stream` is the address of a cudaStream_t.
*/
#pragma once

#include "bindings.h"

#include "cuda/kernels.h"
#include "cuda/triangles.h"
#include "fields.h"

namespace sctd {

// The fields of CUDA's tile lists.
template <typename Args>
auto cuda_tile_lists(Args& a) {
    return std::tie(a.order, a.rank_start, a.tile_start, a.pair_index, a.pair_slot, a.pair_mask, a.records);
}

inline cuda::BlendArgs cuda_blend_args(const BlendShape& shape, bool deterministic) {
    auto a = blend_args<cuda::BlendArgs>(shape);
    a.deterministic = deterministic;
    return a;
}

inline cuda::Stream stream_at(uintptr_t address) { return reinterpret_cast<cuda::Stream>(address); }

inline void bind_cuda_triangles(py::module_& m) {
    using Release = py::call_guard<py::gil_scoped_release>;
    m.def("triangle_draw_scratch", [](const MeshShape& shape) {
        return cuda::triangle_draw_scratch(mesh_args<cuda::MeshArgs>(shape));
    });
    m.def(
        "triangle_draw",
        [](const MeshShape& shape, const Addresses& at, uintptr_t stream) {
            auto a = on_mesh<cuda::DrawArgs>(shape);
            read(at, fields::triangle_draw(a), a.scratch);
            cuda::triangle_draw(a, stream_at(stream));
        },
        Release());
    m.def(
        "triangle_interpolate",
        [](const MeshShape& shape, int channels, bool per_camera, const Addresses& at, uintptr_t stream) {
            auto a = on_mesh<cuda::InterpolateArgs>(shape);
            a.channels = channels, a.per_camera = per_camera;
            read(at, fields::triangle_interpolate(a));
            cuda::triangle_interpolate(a, stream_at(stream));
        },
        Release());
    m.def("triangle_interpolate_backward_scratch", [](const MeshShape& shape) {
        return cuda::triangle_interpolate_backward_scratch(mesh_args<cuda::MeshArgs>(shape));
    });
    m.def(
        "triangle_interpolate_backward",
        [](const MeshShape& shape, int channels, bool per_camera, const Addresses& at, uintptr_t stream) {
            auto a = on_mesh<cuda::InterpolateArgs>(shape);
            a.channels = channels, a.per_camera = per_camera;
            read(at, fields::triangle_interpolate_backward(a), a.scratch);
            cuda::triangle_interpolate_backward(a, stream_at(stream));
        },
        Release());
    m.def("triangle_edge_backward_scratch", [](const MeshShape& shape) {
        return cuda::triangle_edge_backward_scratch(mesh_args<cuda::MeshArgs>(shape));
    });
    m.def(
        "triangle_edge_backward",
        [](const MeshShape& shape, int channels, const Addresses& at, uintptr_t stream) {
            auto a = on_mesh<cuda::EdgeArgs>(shape);
            a.channels = channels;
            read(at, fields::triangle_edge_backward(a), a.scratch);
            cuda::triangle_edge_backward(a, stream_at(stream));
        },
        Release());
    m.def(
        "texture",
        [](int count, int channels, int width, int height, bool repeat, const Addresses& at,
           uintptr_t stream) {
            auto a = texture_args<cuda::TextureArgs>(count, channels, width, height, repeat);
            read(at, fields::texture(a));
            cuda::texture(a, stream_at(stream));
        },
        Release());
    m.def("texture_backward_scratch", &cuda::texture_backward_scratch);
    m.def(
        "texture_backward",
        [](int count, int channels, int width, int height, bool repeat, const Addresses& at,
           uintptr_t stream) {
            auto a = texture_args<cuda::TextureArgs>(count, channels, width, height, repeat);
            read(at, fields::texture_backward(a), a.scratch);
            cuda::texture_backward(a, stream_at(stream));
        },
        Release());
}

inline void bind_cuda(py::module_& m) {
    bind_cuda_triangles(m);
    using Release = py::call_guard<py::gil_scoped_release>;

    m.def("missing_device", &cuda::missing_device, py::arg("device") = -1,
          "Why no kernel can run on the device, -1 the current one; empty when one can.");
    m.def(
        "project_forward",
        [](const ProjectShape& shape, const Addresses& at, uintptr_t stream) {
            auto a = project_args<cuda::ProjectArgs>(shape);
            read(at, fields::project_forward(a));
            cuda::project_forward(a, stream_at(stream));
        },
        Release());
    m.def("project_backward_scratch", &cuda::project_backward_scratch);
    m.def(
        "project_backward",
        [](const ProjectShape& shape, const Addresses& at, uintptr_t stream) {
            auto a = project_args<cuda::ProjectArgs>(shape);
            read(at, fields::project_backward(a), a.pose_partial);
            cuda::project_backward(a, stream_at(stream));
        },
        Release());

    m.def("tiles_bands", &cuda::tiles_bands);
    m.def("tiles_count_scratch", &cuda::tiles_count_scratch);
    m.def("tiles_write_scratch", &cuda::tiles_write_scratch);
    m.def(
        "tiles_count",
        [](int cameras, int count, int width, int height, const Addresses& at, uintptr_t stream) {
            cuda::TilesArgs a{};
            a.cameras = cameras, a.count = count, a.width = width, a.height = height;
            read(at, fields::footprints(a), a.order, a.rank_start, a.records, a.bands, a.scratch);
            cuda::tiles_count(a, stream_at(stream));
        },
        Release());
    m.def(
        "tiles_write",
        [](int cameras, int count, int width, int height, int64_t capacity, const Addresses& at,
           uintptr_t stream) {
            cuda::TilesArgs a{};
            a.cameras = cameras, a.count = count, a.width = width, a.height = height, a.capacity = capacity;
            read(at, fields::footprints(a), cuda_tile_lists(a), a.bands, a.scratch);
            cuda::tiles_write(a, stream_at(stream));
        },
        Release());

    m.def(
        "blend_forward",
        [](const BlendShape& shape, const Addresses& at, uintptr_t stream) {
            cuda::BlendArgs a = cuda_blend_args(shape, false);
            read(at, fields::blend_forward(a, cuda_tile_lists(a)));
            cuda::blend_forward(a, stream_at(stream));
        },
        Release());
    m.def("blend_backward_scratch", [](const BlendShape& shape, bool deterministic) {
        return cuda::blend_backward_scratch(cuda_blend_args(shape, deterministic));
    });
    m.def(
        "blend_backward",
        [](const BlendShape& shape, bool deterministic, const Addresses& at, uintptr_t stream) {
            cuda::BlendArgs a = cuda_blend_args(shape, deterministic);
            read(at, fields::blend_backward(a, cuda_tile_lists(a)), a.scratch);
            cuda::blend_backward(a, stream_at(stream));
        },
        Release());

    m.attr("MAX_ADAM_GROUPS") = cuda::kMaxAdamGroups;
    m.def("adam_scratch", &cuda::adam_scratch);
    // sizes: (elements, elements of a row) of each group; elements of `watched`, or -1
    // each group's fields | the watched gradient, if any | schedule visible skip | norms | scratch
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
                reader(fields::adam(g));
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
