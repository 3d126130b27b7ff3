/*
adam.cu - one Adam step over all groups of parameters, in three launches: norms, factors, step.

  in   per group: grad [n]   schedule [groups + 2] double: lr / (1 - beta1^step) of each group, sqrt(1 - beta2^step),
       largest norm of a group's gradient (infinity: no limit)   visible [rows] or none   skip [1] or none
       watched [n] or none: a gradient of something else
  out  per group: param, exp_avg, exp_avg_sq [n], in place   norms [groups, and 1 where watched] double, before clipping

The numbers that change from step to step are read from device memory, so a captured graph can be replayed with new ones.
Gradients are clipped group by group. Rows that are not visible keep parameter and moments. All rows keep them where skip is set
or a gradient is not finite: then its norm is not finite either (squares of float32 do not overflow a double).
A group's blocks follow each other in the grid; a thread takes kPerThread elements, a block's width apart.

Limits   kMaxAdamGroups groups of at most 2^31 - 1 elements.
Repeats  bit for bit: a norm is up to kNormBlocks partial sums in double, their number by the group's size, each added in a
         fixed order.
Source   Kingma and Ba 2015, algorithm 1; sparse by visibility: Mallick et al. 2024, "Taming 3DGS".
*/
#include "device.h"
#include "kernels.h"
#include "warp.h"

namespace sctd::cuda {
namespace {

constexpr int kBlock = 256, kPerThread = 4;
constexpr int kNormBlocks = 512,
              kNormItems = 16;  // at most so many blocks a group, so many elements a thread at least

constexpr int kFactorsBlock = 288;  // a warp for each group
static_assert(kFactorsBlock == (kMaxAdamGroups + 1) * kWarp, "");

__host__ __device__ __forceinline__ int norm_blocks(const AdamGroup& group) {
    const int blocks = (group.n - 1) / (kBlock * kNormItems) + 1;  // the sum would exceed an int
    return blocks < kNormBlocks ? blocks : kNormBlocks;
}

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
    const int blocks = norm_blocks(group);
    if (int(blockIdx.x) >= blocks) return;
    double sum = 0;
    for (int64_t i = blockIdx.x * kBlock + threadIdx.x; i < group.n; i += blocks * kBlock)
        sum += double(group.grad[i]) * double(group.grad[i]);
    sum = block_sum(sum);
    if (threadIdx.x == 0) a.partial[blockIdx.y * kNormBlocks + blockIdx.x] = sum;
}

// One block, a warp for each group: its norm, and the factor that brings its gradient down to the largest norm; 0 for all where
// no group may change.
__global__ void __launch_bounds__(kFactorsBlock) adam_factors_kernel(AdamArgs a) {
    SHARED(double, norms, kMaxAdamGroups + 1);
    const int group = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
    double sum = 0;
    for (int i = lane; i < norm_blocks(a.group[group]); i += kWarp) sum += a.partial[group * kNormBlocks + i];
    const double norm = sqrt(warp_sum(sum));
    if (lane == 0) norms[group] = a.norms[group] = norm;
    __syncthreads();
    if (lane != 0 || group >= a.groups) return;
    bool finite = !(a.skip && a.skip[0]);
    for (int i = 0; i < a.norms_of; ++i) finite = finite && norms[i] < HUGE_VAL;
    const double largest = a.schedule[a.groups + 1],
                 above = norm + 1e-6;  // as torch.nn.utils.clip_grad_norm_
    a.factors[group] = finite ? float(above > largest ? largest / above : 1) : 0;
}

__global__ void __launch_bounds__(kBlock) adam_kernel(AdamArgs a) {
    int at = 0;
    while (at + 1 < a.groups && int(blockIdx.x) >= a.group[at + 1].first_block) ++at;
    const AdamGroup& group = a.group[at];
    const float scale = a.factors[at];
    if (scale == 0) return;
    const float rate = float(a.schedule[at]), root = float(a.schedule[a.groups]);
    const int first = (int(blockIdx.x) - group.first_block) * kPerThread * kBlock + int(threadIdx.x);
    const float* __restrict__ grad = group.grad;
    float *__restrict__ param = group.param, *__restrict__ mean = group.exp_avg,
                       *__restrict__ square = group.exp_avg_sq;
    float g[kPerThread], m[kPerThread], v[kPerThread], p[kPerThread];
    bool mine[kPerThread];
#pragma unroll
    for (int k = 0; k < kPerThread; ++k) {  // all loads before the first store: they wait together
        const int i = first + k * kBlock;
        mine[k] = i < group.n && !(a.visible && !a.visible[i / group.row]);
        if (mine[k]) g[k] = grad[i], m[k] = mean[i], v[k] = square[i], p[k] = param[i];
    }
#pragma unroll
    for (int k = 0; k < kPerThread; ++k) {
        if (!mine[k]) continue;
        const int i = first + k * kBlock;
        const float scaled = g[k] * scale;
        m[k] = madd(a.beta1, m[k], a.rest1 * scaled);
        v[k] = madd(a.beta2, v[k], a.rest2 * scaled * scaled);
        mean[i] = m[k], square[i] = v[k];
        param[i] = p[k] - rate * m[k] / (vsqrt(v[k]) / root + a.eps);
    }
}

}  // namespace

size_t adam_scratch(int groups) { return size_t(groups) * (kNormBlocks * sizeof(double) + sizeof(float)); }

void adam(AdamArgs a, Stream stream) {
    int blocks = 0, norms = 1;
    for (int i = 0; i < a.groups; ++i) {
        a.group[i].first_block = blocks;
        blocks += int(blocks_for(a.group[i].n, kPerThread * kBlock));
    }
    if (a.norms_of == 0) return;
    for (int i = 0; i < a.norms_of; ++i)
        if (norm_blocks(a.group[i]) > norms) norms = norm_blocks(a.group[i]);
    a.factors = reinterpret_cast<float*>(a.partial + a.norms_of * kNormBlocks);
    LAUNCH(gradient_norm_kernel, dim3(norms, a.norms_of), kBlock, stream, a);
    LAUNCH(adam_factors_kernel, 1, a.norms_of * kWarp, stream, a);
    if (blocks) LAUNCH(adam_kernel, unsigned(blocks), kBlock, stream, a);
}

}  // namespace sctd::cuda
