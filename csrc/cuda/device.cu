/*
device.cu - whether there is a device to run on.
*/
#include "device.h"

#include "kernels.h"

namespace sctd::cuda {

#if defined(__CUDACC__)
std::string missing_device() {
    int count = 0;
    const cudaError_t status = cudaGetDeviceCount(&count);
    if (status != cudaSuccess) return cudaGetErrorString(status);
    return count ? "" : "no CUDA device";
}
#else
std::string missing_device() { return ""; }
#endif

}  // namespace sctd::cuda
