/*
bindings.cpp - the executor for Python, and the host code of the CUDA kernels over it. The module's name is SCTD_PTX_MODULE.
*/
#include <cxxabi.h>

#include "../bindings_cuda.h"
#include "launch.h"
#include "memory.h"
#include "table.h"

namespace sctd::ptx {
namespace {

std::map<std::string, Kernel> g_kernels;

// "blend_forward_kernel<3>" of a demangled name: what follows its last scope, up to its arguments.
std::string short_name(std::string name) {
    for (const char* type : {"(int)", "(bool)"})  // older demanglers write them before a number
        for (size_t at; (at = name.find(type)) != std::string::npos;) name.erase(at, std::strlen(type));
    const size_t kernel = name.find("_kernel");
    if (kernel == std::string::npos) return name;
    size_t end = kernel + 7;
    if (end < name.size() && name[end] == '<') end = name.find('>', end) + 1;
    const size_t from = name.rfind(':', kernel);
    return name.substr(from == std::string::npos ? 0 : from + 1,
                       end - (from == std::string::npos ? 0 : from + 1));
}

std::string demangled(const std::string& name) {
    int status = 0;
    char* const text = abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status);
    const std::string out = status == 0 && text ? text : name;
    std::free(text);
    return out;
}

const Kernel& kernel_of(const std::string& name) {
    const auto found = g_kernels.find(name);
    if (found == g_kernels.end()) throw std::runtime_error("ptx: no kernel " + name + " has been loaded");
    return found->second;
}

std::vector<std::string> load(const std::string& text, int dynamic_shared, const std::string& suffix) {
    static const bool ready = (add_arithmetic(), add_conversions(), add_access(), add_collectives(), true);
    (void)ready;
    std::vector<std::string> names;
    for (Kernel& kernel : parse(text, dynamic_shared)) {
        kernel.name = short_name(demangled(kernel.name)) + suffix;
        names.push_back(kernel.name);
        g_kernels[kernel.name] = std::move(kernel);
    }
    return names;
}

Size size_of(const std::vector<unsigned>& s) { return {s.at(0), s.at(1), s.at(2)}; }

std::map<std::string, std::map<std::string, int64_t>> take_counters() {
    std::map<std::string, std::map<std::string, int64_t>> out;
    for (const auto& [name, c] : g_machine.total)
        out[name] = {{"instructions", c.instructions},
                     {"sectors", c.sectors},
                     {"atomics", c.atomics},
                     {"warps", c.warps}};
    g_machine.total.clear();
    return out;
}

}  // namespace

void send_bytes(const char* signature, const dim3& grid, const dim3& block,
                const std::vector<char>& parameters) {
    const std::string text = signature;  // "... [with auto Kernel = sctd::...; ...]"
    const std::string name = short_name(text.substr(text.find("Kernel = ") + 9));
    launch(kernel_of(name), {grid.x, grid.y, grid.z}, {block.x, block.y, block.z}, parameters);
}

void host_wrote(const void* at, size_t bytes) { wrote(at, bytes); }

}  // namespace sctd::ptx

PYBIND11_MODULE(SCTD_PTX_MODULE, m) {
    using namespace sctd::ptx;
    m.doc() = "Executes PTX on the CPU: sctd's CUDA kernels, and Triton's. For tests.";
    sctd::bind_shapes(m);
    sctd::bind_cuda(m);
    m.def("load", &load, py::arg("text"), py::arg("dynamic_shared") = 0, py::arg("suffix") = "",
          "Parses PTX; names of its kernels, with the suffix; they replace those of the same name.");
    m.def(
        "kernels",
        [] {
            std::vector<std::string> names;
            for (const auto& [name, kernel] : g_kernels) names.push_back(name);
            return names;
        },
        "Names of the kernels that have been loaded.");
    m.def(
        "parameters",
        [](const std::string& name) {
            std::vector<std::pair<int, int>> out;
            for (const Parameter& p : kernel_of(name).parameters) out.emplace_back(p.offset, p.size);
            return out;
        },
        "Offset and size of each of a kernel's parameters.");
    m.def(
        "launch",
        [](const std::string& name, const std::vector<unsigned>& grid, const std::vector<unsigned>& block,
           const py::bytes& parameters) {
            const std::string bytes = parameters;
            launch(kernel_of(name), size_of(grid), size_of(block), {bytes.begin(), bytes.end()});
        },
        "Runs a kernel; grid and block are [x, y, z].");
    m.def(
        "know",
        [](const std::vector<std::tuple<uint64_t, uint64_t, uint64_t>>& arrays) {
            std::vector<Known> known;
            for (const auto& [address, bytes, fresh] : arrays) known.push_back({address, bytes, fresh});
            know(known);
        },
        "Address, bytes and, for memory that started unwritten, a number of its own or 0: all that kernels "
        "may touch.");
    m.def("forget", &forget, "That number's memory is no more.");
    m.def(
        "schedule",
        [](uint64_t seed, bool jitter) {
            g_machine.hostile = seed != 0, g_machine.jitter = jitter;
            g_machine.random.seed(seed);
        },
        py::arg("seed") = 0, py::arg("jitter") = false,
        "0: lockstep, else hostile; jitter: approximate instructions are off by ulps.");
    m.def("take_counters", &take_counters, "Counts of each kernel since the last call.");
}
