/*
bindings.h - what the bindings of every backend share: lists of addresses, and the sizes of the rasterizer's calls.
*/
#pragma once

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

namespace py = pybind11;

namespace sctd {

using Addresses = std::vector<uintptr_t>;

// Hands out the addresses one after another and insists that all are used.
class Reader {
public:
    explicit Reader(const Addresses& at) : at_(at) {}
    template <typename T>
    void operator()(T*& field) {
        if (next_ == at_.size())
            throw std::invalid_argument("too few addresses: got " + std::to_string(at_.size()));
        field = reinterpret_cast<T*>(at_[next_++]);
    }
    template <typename... T>
    void operator()(const std::tuple<T*&...>& fields) {
        std::apply([this](auto&... field) { (operator()(field), ...); }, fields);
    }
    void done() const {
        if (next_ != at_.size())
            throw std::invalid_argument("too many addresses: got " + std::to_string(at_.size()));
    }

private:
    const Addresses& at_;
    size_t next_ = 0;
};

// Each of `fields` is a pointer or a list of pointers, std::tie(...).
template <typename... T>
void read(const Addresses& at, T&&... fields) {
    Reader reader(at);
    (reader(fields), ...);
    reader.done();
}

// The sizes of a call of the rasterizer, which sctd/ops keeps within what a backend counts with.
struct ProjectShape {
    int64_t cameras, count, bases;
    int width, height, sh_degree;
    bool antialiased, sh_per_camera;
    double near_plane, far_plane, radius_clip, eps2d;
};

struct BlendShape {
    int64_t cameras, count, channels, pairs;
    int width, height;
    bool colors_per_camera, with_depth, absgrad;
};

template <typename Args>
Args project_args(const ProjectShape& p) {
    Args a{};
    a.cameras = p.cameras, a.count = p.count, a.bases = p.bases;
    a.width = p.width, a.height = p.height, a.sh_degree = p.sh_degree;
    a.antialiased = p.antialiased, a.sh_per_camera = p.sh_per_camera;
    a.near_plane = p.near_plane, a.far_plane = p.far_plane, a.radius_clip = p.radius_clip, a.eps2d = p.eps2d;
    return a;
}

template <typename Args>
Args blend_args(const BlendShape& b) {
    Args a{};
    a.cameras = b.cameras, a.count = b.count, a.channels = b.channels, a.pairs = b.pairs;
    a.width = b.width, a.height = b.height;
    a.colors_per_camera = b.colors_per_camera, a.with_depth = b.with_depth, a.absgrad = b.absgrad;
    return a;
}

struct MeshShape {
    int64_t cameras, vertices, faces;
    int width, height;
};

template <typename Args>
Args mesh_args(const MeshShape& m) {
    Args a{};
    a.cameras = m.cameras, a.vertices = m.vertices, a.faces = m.faces, a.width = m.width, a.height = m.height;
    return a;
}

// Arguments that have a mesh among them.
template <typename Args>
Args on_mesh(const MeshShape& shape) {
    Args a{};
    a.mesh = mesh_args<decltype(a.mesh)>(shape);
    return a;
}

template <typename Args>
Args texture_args(int64_t count, int64_t channels, int width, int height, bool repeat) {
    Args a{};
    a.count = count, a.channels = channels, a.width = width, a.height = height, a.repeat = repeat;
    return a;
}

inline void bind_shapes(py::module_& m) {
    py::class_<MeshShape>(m, "MeshShape", py::module_local())
        .def(py::init([](int64_t cameras, int64_t vertices, int64_t faces, int width, int height) {
            return MeshShape{cameras, vertices, faces, width, height};
        }));
    py::class_<ProjectShape>(m, "ProjectShape", py::module_local())
        .def(py::init([](int64_t cameras, int64_t count, int64_t bases, int width, int height, int sh_degree,
                         bool antialiased, bool sh_per_camera, double near_plane, double far_plane,
                         double radius_clip, double eps2d) {
            return ProjectShape{cameras,     count,         bases,      width,     height,      sh_degree,
                                antialiased, sh_per_camera, near_plane, far_plane, radius_clip, eps2d};
        }));
    py::class_<BlendShape>(m, "BlendShape", py::module_local())
        .def(py::init([](int64_t cameras, int64_t count, int64_t channels, int64_t pairs, int width,
                         int height, bool colors_per_camera, bool with_depth, bool absgrad) {
            return BlendShape{cameras,           count,      channels, pairs, width, height,
                              colors_per_camera, with_depth, absgrad};
        }));
}

}  // namespace sctd
