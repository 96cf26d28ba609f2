// AdamW over a table of chunks, the gradient's norm and clipping without a word from the host, and
// a hash of the weights; formulas in adamw_kernel.h.

#include "ops/adamw/adamw.cuh"
#include "ops/adamw/adamw_cuda.h"
#include "ops/gpu.cuh"

// partial[i] = sum of squares of chunk i's gradient.
OD_KERNEL od_square_parts(double *partial, const struct od_adamw_chunk *chunks)
{
    const struct od_adamw_chunk chunk = chunks[blockIdx.x];
    const float *g = (const float *)chunk.g;
    double sum = 0.0;
    for (int32_t i = (int32_t)threadIdx.x; i < chunk.count; i += OD_GPU_THREADS) {
        sum += (double)g[i] * (double)g[i];
    }
    sum = od_block_sum_f64(sum);
    if (threadIdx.x == 0) {
        partial[blockIdx.x] = sum;
    }
}

// Norm, clipping factor, and whether the step may be taken. One block.
OD_KERNEL od_norm_finish(struct od_adamw_stats *stats, const double *partial, int64_t count,
                         const struct od_adamw_scalars *scalars)
{
    double sum = 0.0;
    for (int64_t i = threadIdx.x; i < count; i += OD_GPU_THREADS) {
        sum += partial[i];
    }
    sum = od_block_sum_f64(sum);
    if (threadIdx.x == 0) {
        const double norm = sqrt(sum);
        const double most = (double)scalars->max_norm;
        stats->norm = norm;
        stats->clip = most > 0.0 && norm > most ? most / (norm + 1e-6) : 1.0;
        stats->finite = isfinite(norm) && isfinite(stats->loss_sum) ? 1.0 : 0.0;
    }
}

OD_KERNEL od_adamw(const struct od_adamw_chunk *chunks, const struct od_adamw_stats *stats,
                   const struct od_adamw_scalars *scalars)
{
    const struct od_adamw_chunk chunk = chunks[blockIdx.x];
    const struct od_adamw_scalars s = *scalars;
    const float scale = (float)stats->clip;
    float *m = (float *)chunk.m;
    float *v = (float *)chunk.v;
    const float *g = (const float *)chunk.g;
    const float decay = chunk.decays ? s.decay : 1.0f;
    if (chunk.m_scales != 0 || stats->finite == 0.0) {  // od_adamw_8bit's
        return;
    }
    for (int32_t i = (int32_t)threadIdx.x; i < chunk.count; i += OD_GPU_THREADS) {
        const float gi = g[i] * scale;
        const float mi = m[i] * s.beta1 + gi * s.one_minus_beta1;
        const float vi = v[i] * s.beta2 + (gi * gi) * s.one_minus_beta2;
        m[i] = mi;
        v[i] = vi;
        const float w = od_weight(&chunk, i);
        od_set_weight(&chunk, i,
                      w * decay - s.step_size * (mi / (sqrtf(vi) * s.inv_sqrt_bc2 + s.eps)), &s);
    }
}

static __device__ __forceinline__ uint64_t mix(uint64_t x)
{
    x ^= x >> 33;
    x *= 0xFF51AFD7ED558CCDull;
    x ^= x >> 33;
    x *= 0xC4CEB9FE1A85EC53ull;
    x ^= x >> 33;
    return x;
}

// stats->hash += over all elements mix(bits + index * odd): sums of integers have no order.
OD_KERNEL od_weight_hash(struct od_adamw_stats *stats, const struct od_adamw_chunk *chunks)
{
    const struct od_adamw_chunk chunk = chunks[blockIdx.x];
    uint64_t sum = 0;
    for (int32_t i = (int32_t)threadIdx.x; i < chunk.count; i += OD_GPU_THREADS) {
        const uint64_t index = chunk.index + (uint64_t)i;
        sum += mix((uint64_t)__float_as_uint(od_weight(&chunk, i)) +
                   (index + 1) * 0x9E3779B97F4A7C15ull);
    }
#pragma unroll
    for (int offset = 16; offset > 0; offset >>= 1) {
        sum += __shfl_xor_sync(0xFFFFFFFFu, sum, offset);
    }
    if ((threadIdx.x & 31u) == 0) {
        atomicAdd((unsigned long long *)&stats->hash, (unsigned long long)sum);
    }
}
