/*
bindings.cpp - the emulated CUDA backend as a Python module of its own, for tests. The module's name is SCTD_SIMT_MODULE.
*/
#include "../bindings_cuda.h"
#include "runtime.h"

PYBIND11_MODULE(SCTD_SIMT_MODULE, m) {
    m.doc() = "The CUDA kernels of sctd, executed thread by thread on the CPU. For tests.";
    sctd::bind_shapes(m);
    sctd::bind_cuda(m);
    m.def("set_seed", &sctd::simt::set_seed, "Seed of the order of threads; 0 is ascending.");
    m.def("take_counters", &sctd::simt::take_counters, "The kernels' counters since the last call.");
}
