/*
bindings.cpp - the border to Python: addresses, sizes and numbers in, nothing else. No Torch header, no array type.

Every function takes `f64` (False: float, True: double) and `at`, a list of addresses in the order of the op's fields (fields.h,
or the comment of an op that only the CPU has); 0 stands for "none". Shapes, dtypes, devices and contiguity are checked by sctd/ops, which also allocates every output. The GIL
is released while a kernel runs.
*/
#include "bindings.h"

#include <array>

#include "cpu/fusion.h"
#include "cpu/kernels.h"
#include "cpu/threads.h"
#include "fields.h"
#include "include/sculpt.h"
#include "include/trace.h"
#ifdef SCTD_CUDA
#include "bindings_cuda.h"
#endif

using namespace sctd;

namespace {

// Calls f with a value of the scalar type.
template <typename F>
auto with_scalar(bool f64, F&& f) {
    return f64 ? f(double(0)) : f(float(0));
}

void project_forward(bool f64, const ProjectShape& shape, const Addresses& at) {
    with_scalar(f64, [&](auto s) {
        auto a = project_args<ProjectArgs<decltype(s)>>(shape);
        read(at, fields::project_forward(a));
        kernels<decltype(s)>().project_forward(a);
    });
}

void project_backward(bool f64, const ProjectShape& shape, const Addresses& at) {
    with_scalar(f64, [&](auto s) {
        auto a = project_args<ProjectArgs<decltype(s)>>(shape);
        read(at, fields::project_backward(a));
        kernels<decltype(s)>().project_backward(a);
    });
}

// The fields of the CPU's tile lists.
template <typename Args>
auto tile_lists(Args& a) {
    return std::tie(a.slot_start, a.tile_start, a.pair_index, a.slot_pair, a.pair_mask);
}

// Two calls, because only the first knows how large the arrays of the second are.
class Tiles {
public:
    Tiles(bool f64, int64_t cameras, int64_t count, int width, int height, const Addresses& at) {
        py::gil_scoped_release release;
        with_scalar(f64, [&](auto s) {
            TilesArgs<decltype(s)> a{};
            a.cameras = cameras, a.count = count, a.width = width, a.height = height;
            read(at, fields::footprints(a));
            kernels<decltype(s)>().tiles_find(a, lists_);
        });
    }
    int64_t pairs() const { return lists_.pairs; }
    void write(const Addresses& at) {
        py::gil_scoped_release release;
        TilesOut out{};
        read(at, tile_lists(out));
        tiles_write(lists_, out);
    }

private:
    TileLists lists_;
};

void blend_forward(bool f64, const BlendShape& shape, const Addresses& at) {
    with_scalar(f64, [&](auto s) {
        auto a = blend_args<BlendArgs<decltype(s)>>(shape);
        read(at, fields::blend_forward(a, tile_lists(a)));
        kernels<decltype(s)>().blend_forward(a);
    });
}

void blend_backward(bool f64, const BlendShape& shape, const Addresses& at) {
    with_scalar(f64, [&](auto s) {
        auto a = blend_args<BlendArgs<decltype(s)>>(shape);
        read(at, fields::blend_backward(a, tile_lists(a)));
        kernels<decltype(s)>().blend_backward(a);
    });
}

// z0 noise alpha sigma | z
void noise(bool f64, int64_t b, int64_t n, const Addresses& at) {
    with_scalar(f64, [&](auto s) {
        using S = decltype(s);
        const S *z0, *eps, *alpha, *sigma;
        S* out;
        read(at, z0, eps, alpha, sigma, out);
        kernels<S>().noise(b, n, z0, eps, alpha, sigma, out);
    });
}

// z out alpha_from sigma_from alpha_to sigma_to | z_to
void ode_step(bool f64, int64_t b, int64_t n, int prediction, const Addresses& at) {
    with_scalar(f64, [&](auto s) {
        using S = decltype(s);
        const S *z, *out, *lv[4];
        S* z_to;
        read(at, z, out, lv[0], lv[1], lv[2], lv[3], z_to);
        kernels<S>().ode_step(b, n, prediction, z, out, lv, z_to);
    });
}

// z null cond wrong weights, (alpha sigma) of from, to_s, to_e | z_s z_e out
void cfg_ode_steps(bool f64, int64_t b, int64_t n, int k, int prediction, double guidance,
                   const Addresses& at) {
    with_scalar(f64, [&](auto s) {
        using S = decltype(s);
        GuidanceArgs<S> a{};
        a.b = b, a.n = n, a.k = k, a.prediction = prediction, a.guidance = S(guidance);
        read(at, a.z, a.null, a.cond, a.wrong, a.weights, a.levels[0], a.levels[1], a.levels[2], a.levels[3],
             a.levels[4], a.levels[5], a.z_s, a.z_e, a.out);
        kernels<S>().cfg_ode_steps(a);
    });
}

// z out alpha_from sigma_from alpha_to sigma_to z_end z_cond weight | grad stats loss
void residual(bool f64, int64_t b, int64_t n, int prediction, double guidance, const Addresses& at) {
    with_scalar(f64, [&](auto s) {
        using S = decltype(s);
        ResidualArgs<S> a{};
        a.b = b, a.n = n, a.prediction = prediction, a.guidance = S(guidance);
        read(at, a.z, a.out, a.levels[0], a.levels[1], a.levels[2], a.levels[3], a.z_end, a.z_cond, a.weight,
             a.grad, a.stats, a.loss);
        kernels<S>().residual(a);
    });
}

// images | loss grad
void total_variation(bool f64, int64_t planes, int64_t h, int64_t w, const Addresses& at) {
    with_scalar(f64, [&](auto s) {
        using S = decltype(s);
        VariationArgs<S> a{};
        a.planes = planes, a.h = h, a.w = w;
        read(at, a.images, a.loss, a.grad);
        kernels<S>().total_variation(a);
    });
}

// grad
double gradient_norm(bool f64, int64_t n, const Addresses& at) {
    return with_scalar(f64, [&](auto s) -> double {
        using S = decltype(s);
        const S* grad = nullptr;
        read(at, grad);
        return kernels<S>().gradient_norm(n, grad);
    });
}

void adam(bool f64, int64_t n, int64_t row, double rate, double root, double beta1, double beta2, double eps,
          double clip, const Addresses& at) {
    with_scalar(f64, [&](auto s) {
        using S = decltype(s);
        AdamArgs<S> a{};
        a.n = n, a.row = row, a.rate = rate, a.root = root, a.beta1 = beta1, a.beta2 = beta2, a.eps = eps;
        a.clip = clip;
        read(at, fields::adam(a), a.visible);
        kernels<S>().adam(a);
    });
}

void triangle_draw(bool f64, const MeshShape& shape, const Addresses& at) {
    with_scalar(f64, [&](auto s) {
        auto a = on_mesh<DrawArgs<decltype(s)>>(shape);
        read(at, fields::triangle_draw(a));
        kernels<decltype(s)>().triangles.draw(a);
    });
}

void triangle_interpolate(bool f64, const MeshShape& shape, int64_t channels, bool per_camera,
                          const Addresses& at) {
    with_scalar(f64, [&](auto s) {
        auto a = on_mesh<InterpolateArgs<decltype(s)>>(shape);
        a.channels = channels, a.per_camera = per_camera;
        read(at, fields::triangle_interpolate(a));
        kernels<decltype(s)>().triangles.interpolate(a);
    });
}

void triangle_interpolate_backward(bool f64, const MeshShape& shape, int64_t channels, bool per_camera,
                                   const Addresses& at) {
    with_scalar(f64, [&](auto s) {
        auto a = on_mesh<InterpolateArgs<decltype(s)>>(shape);
        a.channels = channels, a.per_camera = per_camera;
        read(at, fields::triangle_interpolate_backward(a));
        kernels<decltype(s)>().triangles.interpolate_backward(a);
    });
}

void triangle_edge_backward(bool f64, const MeshShape& shape, int64_t channels, const Addresses& at) {
    with_scalar(f64, [&](auto s) {
        auto a = on_mesh<EdgeArgs<decltype(s)>>(shape);
        a.channels = channels;
        read(at, fields::triangle_edge_backward(a));
        kernels<decltype(s)>().triangles.edge_backward(a);
    });
}

void texture(bool f64, int64_t count, int64_t channels, int width, int height, bool repeat,
             const Addresses& at) {
    with_scalar(f64, [&](auto s) {
        auto a = texture_args<TextureArgs<decltype(s)>>(count, channels, width, height, repeat);
        read(at, fields::texture(a));
        kernels<decltype(s)>().triangles.texture(a);
    });
}

void texture_backward(bool f64, int64_t count, int64_t channels, int width, int height, bool repeat,
                      const Addresses& at) {
    with_scalar(f64, [&](auto s) {
        auto a = texture_args<TextureArgs<decltype(s)>>(count, channels, width, height, repeat);
        read(at, fields::texture_backward(a));
        kernels<decltype(s)>().triangles.texture_backward(a);
    });
}

// index | start corners
void triangle_corners(int64_t vertices, int64_t faces, const Addresses& at) {
    const int32_t* index;
    int32_t *start, *corners;
    read(at, index, start, corners);
    corner_lists(vertices, faces, index, start, corners);
}

// shape material params rotation center palette viewmats Ks | out
void trace_scene(int parts, int views, int size, int supersample, const Addresses& at) {
    TraceScene scene{};
    scene.n_parts = parts;
    const float *viewmats, *ks;
    float* out;
    read(at, scene.shape, scene.material, scene.params, scene.rotation, scene.center, scene.palette, viewmats,
         ks, out);
    trace(scene, views, viewmats, ks, size, supersample, out);
}

// shape params rotation center points | distances
void scene_distance(int parts, int64_t points, const Addresses& at) {
    TraceScene scene{};
    scene.n_parts = parts;
    const float* place;
    float* out;
    read(at, scene.shape, scene.params, scene.rotation, scene.center, place, out);
    trace_distance(scene, points, place, out);
}

struct Grid {
    std::array<int64_t, 3> size;
    std::array<double, 3> origin;
    double step;
};

// depth alpha viewmats Ks | distance
void fuse(bool f64, int64_t views, int width, int height, const Grid& grid, double reach, double level,
          double hidden, int carvers, const Addresses& at) {
    with_scalar(f64, [&](auto s) {
        using S = decltype(s);
        FusionArgs<S> a{};
        a.views = views, a.width = width, a.height = height, a.step = grid.step;
        for (int i = 0; i < 3; ++i) a.size[i] = grid.size[i], a.origin[i] = grid.origin[i];
        a.reach = reach, a.level = level, a.hidden = hidden, a.carvers = carvers;
        read(at, a.depth, a.alpha, a.viewmats, a.ks, a.distance);
        fuse_depth(a);
    });
}

// kind params pose blend material viewmats Ks | out
void sculpt_scene(int parts, int views, int size, int supersample, const Addresses& at) {
    SculptScene scene{};
    scene.n_parts = parts;
    const float *material, *viewmats, *ks;
    float* out;
    read(at, scene.kind, scene.params, scene.pose, scene.blend, material, viewmats, ks, out);
    scene.material = reinterpret_cast<const SculptMaterial*>(material);
    sculpt(scene, views, viewmats, ks, size, supersample, out);
}

// kind params pose blend points | distances
void solid_distance(int parts, int64_t points, const Addresses& at) {
    SculptScene scene{};
    scene.n_parts = parts;
    const float* place;
    float* out;
    read(at, scene.kind, scene.params, scene.pose, scene.blend, place, out);
    sculpt_distance(scene, points, place, out);
}

}  // namespace

PYBIND11_MODULE(_native, m, py::mod_gil_not_used()) {
    m.doc() = "Native kernels of sctd. Called through sctd.ops; nothing here checks its input.";
    using Release = py::call_guard<py::gil_scoped_release>;

#if defined(__clang__)
    m.attr("compiler") = "clang " __clang_version__;
#else
    m.attr("compiler") = "GCC " __VERSION__;
#endif
    m.def("isa", &isa_name, "Instruction set of the CPU kernels in use.");
    m.def("get_num_threads", &thread_count);
    m.def("set_num_threads", &set_thread_count, Release());
    m.def("release_scratch", &release_scratch, "Give the kernels' cached working memory back to the system.");
    m.def("scratch_bytes", &scratch_bytes);

    bind_shapes(m);
    m.def("project_forward", &project_forward, Release());
    m.def("project_backward", &project_backward, Release());
    py::class_<Tiles>(m, "Tiles")
        .def(py::init<bool, int64_t, int64_t, int, int, const Addresses&>())
        .def_property_readonly("pairs", &Tiles::pairs)
        .def("write", &Tiles::write);
    m.def("blend_forward", &blend_forward, Release());
    m.def("blend_backward", &blend_backward, Release());

#ifdef SCTD_CUDA
    py::module_ cuda = m.def_submodule("cuda", "The CUDA kernels: device addresses, a stream.");
    cuda.attr("MeshShape") = m.attr("MeshShape");
    cuda.attr("ProjectShape") = m.attr("ProjectShape"), cuda.attr("BlendShape") = m.attr("BlendShape");
    bind_cuda(cuda);
#endif

    m.def("triangle_draw", &triangle_draw, Release());
    m.def("triangle_interpolate", &triangle_interpolate, Release());
    m.def("triangle_interpolate_backward", &triangle_interpolate_backward, Release());
    m.def("triangle_edge_backward", &triangle_edge_backward, Release());
    m.def("triangle_corners", &triangle_corners, Release());
    m.def("texture", &texture, Release());
    m.def("texture_backward", &texture_backward, Release());

    m.def("noise", &noise, Release());
    m.def("ode_step", &ode_step, Release());
    m.def("cfg_ode_steps", &cfg_ode_steps, Release());
    m.def("residual", &residual, Release());
    m.def("total_variation", &total_variation, Release());
    m.def("gradient_norm", &gradient_norm, Release());
    m.def("adam", &adam, Release());
    m.def("trace", &trace_scene, Release());
    m.def("sculpt", &sculpt_scene, Release());
    m.def("solid_distance", &solid_distance, Release());
    m.def("scene_distance", &scene_distance, Release());
    py::class_<Grid>(m, "Grid").def(
        py::init([](const std::array<int64_t, 3>& size, const std::array<double, 3>& origin, double step) {
            return Grid{size, origin, step};
        }));
    m.def("fuse_depth", &fuse, Release());
}
