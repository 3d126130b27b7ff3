/*
adam.cu - one Adam step over all groups of parameters, in two launches.

  in   per group: grad [n]   schedule [groups + 2] double: lr / (1 - beta1^step) of each group, sqrt(1 - beta2^step),
       largest norm of a group's gradient (infinity: no limit)   visible [rows] or none   skip [1] or none
       watched [n] or none: a gradient of something else
  out  per group: param, exp_avg, exp_avg_sq [n], in place   norms [groups, and 1 where watched] double, before clipping

The numbers that change from step to step are read from device memory, so a captured graph can be replayed with new ones.
Gradients are clipped group by group. Rows that are not visible keep parameter and moments. All do where skip is set, and where
any of the gradients is not finite, which its norm tells (float32 squares do not overflow a double).
A group's blocks follow each other in the grid; a thread takes kPerThread elements, a block's width apart.

Limits   kMaxAdamGroups groups of at most 2^31 - 1 elements.
Repeats  bit for bit: the norm is kNormBlocks partial sums in double, each added in a fixed order.
Source   Kingma and Ba 2015, algorithm 1; sparse by visibility: Mallick et al. 2024, "Taming 3DGS".
*/
#include "device.h"
#include "kernels.h"
#include "warp.h"

namespace sctd::cuda {
namespace {

constexpr int kBlock = 256, kPerThread = 4, kNormBlocks = 64;

// The sum over a block's threads, in thread 0.
__device__ __forceinline__ double block_sum(double x) {
    SHARED(double, per_warp, kBlock / kWarp);
    x = warp_sum(x);
    if (threadIdx.x % kWarp == 0) per_warp[threadIdx.x / kWarp] = x;
    __syncthreads();
    double sum = 0;
    for (int w = 0; w < kBlock / kWarp; ++w) sum += per_warp[w];
    return sum;
}

__global__ void __launch_bounds__(kBlock) gradient_norm_kernel(AdamArgs a) {
    const AdamGroup& group = a.group[blockIdx.y];
    double sum = 0;
    for (int i = blockIdx.x * kBlock + threadIdx.x; i < group.n; i += kNormBlocks * kBlock)
        sum += double(group.grad[i]) * double(group.grad[i]);
    sum = block_sum(sum);
    if (threadIdx.x == 0) a.partial[blockIdx.y * kNormBlocks + blockIdx.x] = sum;
}

// The norm of a group's gradient; called by a whole warp.
__device__ double norm_of(const AdamArgs& a, int group) {
    double sum = 0;
    for (int i = threadIdx.x; i < kNormBlocks; i += kWarp) sum += a.partial[group * kNormBlocks + i];
    return sqrt(warp_sum(sum));
}

// The factor that brings a group's gradient down to the largest norm, 0 where no group may change; called by the first warp.
__device__ double clip_factor(const AdamArgs& a, int own) {
    bool finite = !(a.skip && a.skip[0]);
    double factor = 1;
    const double largest = a.schedule[a.groups + 1];
    for (int group = 0; group < a.norms_of; ++group) {
        const double norm = norm_of(a, group);
        finite = finite && norm < HUGE_VAL;
        if (threadIdx.x == 0 && blockIdx.x == 0) a.norms[group] = norm;
        if (group == own && norm + 1e-6 > largest)
            factor = largest / (norm + 1e-6);  // as torch.nn.utils.clip_grad_norm_
    }
    return finite ? factor : 0;
}

__global__ void __launch_bounds__(kBlock) adam_kernel(AdamArgs a) {
    SHARED(float, clip, 1);
    int at = 0;
    while (at + 1 < a.groups && int(blockIdx.x) >= a.group[at + 1].first_block) ++at;
    const AdamGroup& group = a.group[at];
    if (threadIdx.x < kWarp) {
        const double factor = clip_factor(a, at);
        if (threadIdx.x == 0) clip[0] = float(factor);
    }
    __syncthreads();
    const float scale = clip[0];
    if (scale == 0) return;
    const float rate = float(a.schedule[at]), root = float(a.schedule[a.groups]);
    const int first = (int(blockIdx.x) - group.first_block) * kPerThread * kBlock + int(threadIdx.x);
#pragma unroll
    for (int k = 0; k < kPerThread; ++k) {
        const int i = first + k * kBlock;
        if (i >= group.n || (a.visible && !a.visible[i / group.row])) continue;
        const float g = group.grad[i] * scale;
        const float m = madd(a.beta1, group.exp_avg[i], a.rest1 * g);
        const float v = madd(a.beta2, group.exp_avg_sq[i], a.rest2 * g * g);
        group.exp_avg[i] = m, group.exp_avg_sq[i] = v;
        group.param[i] -= rate * m / (vsqrt(v) / root + a.eps);
    }
}

}  // namespace

size_t adam_scratch(int groups) { return size_t(groups) * kNormBlocks * sizeof(double); }

void adam(AdamArgs a, Stream stream) {
    int blocks = 0;
    for (int i = 0; i < a.groups; ++i) {
        a.group[i].first_block = blocks;
        blocks += int(blocks_for(a.group[i].n, kPerThread * kBlock));
    }
    LAUNCH(gradient_norm_kernel, dim3(kNormBlocks, a.norms_of), kBlock, stream, a);
    LAUNCH(adam_kernel, unsigned(blocks ? blocks : 1), kBlock, stream, a);  // one at least writes the norms
}

}  // namespace sctd::cuda
