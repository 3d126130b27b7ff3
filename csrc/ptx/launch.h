/*
launch.h - included before everything else when the host code of csrc/cuda is compiled for the executor: a launch goes to the
kernel of the same name in the PTX, and what the host writes is noted. Everything else is the emulation's (csrc/simt/simt.h).
*/
#pragma once

#include <cstring>
#include <tuple>
#include <vector>

#define HOST_WROTE(at, bytes) ::sctd::ptx::host_wrote((at), (bytes))
#define LAUNCH(kernel, grid, block, stream, ...) \
    ((void)(stream), ::sctd::ptx::send<(kernel)>((kernel), dim3(grid), dim3(block), __VA_ARGS__))

#include "../simt/simt.h"

namespace sctd::ptx {

// `signature`: of a function template instance that has the kernel as its argument; its name is found there.
void send_bytes(const char* signature, const dim3& grid, const dim3& block,
                const std::vector<char>& parameters);
void host_wrote(const void* at, size_t bytes);

// As PTX lays parameters out: each at a multiple of its alignment.
template <typename T>
void append(std::vector<char>& bytes, const T& value) {
    const size_t at = (bytes.size() + alignof(T) - 1) / alignof(T) * alignof(T);
    bytes.resize(at + sizeof(T));
    std::memcpy(bytes.data() + at, &value, sizeof(T));
}

// Arguments are converted to what the kernel takes, as a call would.
template <auto Kernel, typename... P, typename... A>
void send(void (*)(P...), const dim3& grid, const dim3& block, const A&... arguments) {
    std::vector<char> bytes;
    (append<P>(bytes, static_cast<P>(arguments)), ...);
    send_bytes(__PRETTY_FUNCTION__, grid, block, bytes);
}

}  // namespace sctd::ptx
