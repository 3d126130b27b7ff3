/*
device.cu - whether there is a device to run on, a driver that is new enough, and a kernel for it.
*/
#include "device.h"

#include "kernels.h"

namespace sctd::cuda {

#if defined(__CUDACC__)
namespace {

__global__ void probe_kernel() {}

std::string number(int version) {  // as CUDA writes them: 13000 is 13.0
    return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

std::string why_no_kernel(int device) {
    cudaFuncAttributes attributes;
    if (cudaFuncGetAttributes(&attributes, probe_kernel) == cudaSuccess) return "";
    cudaGetLastError();  // not left behind for the next launch to find
    cudaDeviceProp p;
    if (const cudaError_t status = cudaGetDeviceProperties(&p, device)) return cudaGetErrorString(status);
    return std::string(p.name) + " has compute capability " + std::to_string(p.major) + "." +
           std::to_string(p.minor) +
           ", for which this build has no kernels; build it with SCTD_CUDA_ARCH_LIST";
}

}  // namespace

std::string missing_device(int device) {
    int count = 0, driver = 0, before = 0;
    if (const cudaError_t status = cudaGetDeviceCount(&count)) {
        cudaGetLastError();
        if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) return cudaGetErrorString(status);
        return std::string(cudaGetErrorString(status)) + "; the kernels are of CUDA " +
               number(CUDART_VERSION) + ", the driver takes up to " + number(driver);
    }
    if (count == 0) return "no CUDA device";
    cudaError_t status = cudaGetDevice(&before);
    if (device < 0) device = before;
    if (status == cudaSuccess) status = cudaSetDevice(device);
    if (status != cudaSuccess) return cudaGetErrorString(status);
    const std::string why = why_no_kernel(device);
    cudaSetDevice(before);
    return why;
}
#else
std::string missing_device(int) { return ""; }
#endif

}  // namespace sctd::cuda
