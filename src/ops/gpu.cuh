/**
 * @file
 * What the GPU kernels share: eight bf16 at a time, sums over a block in a fixed tree.
 *
 * Kernels read and write bf16 (or fp32 where they say so) and compute in fp32. Rows are `ld`
 * elements apart. Rows whose length or place is not a multiple of eight elements take the scalar
 * path. Sums depend on the shape alone: no floating-point atomics.
 */
#ifndef OD_OPS_GPU_CUH
#define OD_OPS_GPU_CUH

#include <cuda_bf16.h>
#include <stdint.h>

#include "device/cuda/overlap.cuh"

typedef __nv_bfloat16 od_bf16;

enum { OD_GPU_THREADS = 256 };

#define OD_KERNEL extern "C" __global__ void __launch_bounds__(OD_GPU_THREADS)

/** First in kernels that may overlap: they wait for those in front of them. The next may begin then, not
 *  before: a product whose blocks come while others still run is spread unevenly over the card. */
static __device__ __forceinline__ void od_follow(void)
{
    od_wait_for_last();
    od_let_next_begin();
}

static __device__ __forceinline__ float od_f32(od_bf16 x)
{
    return __bfloat162float(x);
}

static __device__ __forceinline__ od_bf16 od_round(float x)
{
    return __float2bfloat16_rn(x);
}

static __device__ __forceinline__ void od_load8(float x[8], const od_bf16 *from)
{
    const uint4 raw = *(const uint4 *)from;
    const uint32_t word[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        x[2 * i] = __uint_as_float(word[i] << 16);
        x[2 * i + 1] = __uint_as_float(word[i] & 0xFFFF0000u);
    }
}

static __device__ __forceinline__ uint32_t od_pack2(float low, float high)
{
    const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
    return *(const uint32_t *)&pair;
}

static __device__ __forceinline__ void od_store8(od_bf16 *to, const float x[8])
{
    uint4 raw;
    raw.x = od_pack2(x[0], x[1]);
    raw.y = od_pack2(x[2], x[3]);
    raw.z = od_pack2(x[4], x[5]);
    raw.w = od_pack2(x[6], x[7]);
    *(uint4 *)to = raw;
}

/** One of Philox 4x32's ten rounds; the key grows between them. */
static __device__ __forceinline__ void od_philox_round(uint32_t c[4], uint32_t k0, uint32_t k1)
{
    const uint32_t high0 = __umulhi(0xD2511F53u, c[0]);
    const uint32_t low0 = 0xD2511F53u * c[0];
    const uint32_t high1 = __umulhi(0xCD9E8D57u, c[2]);
    const uint32_t low1 = 0xCD9E8D57u * c[2];
    const uint32_t c1 = c[1];
    const uint32_t c3 = c[3];
    c[0] = high1 ^ c1 ^ k0;
    c[1] = low1;
    c[2] = high0 ^ c3 ^ k1;
    c[3] = low0;
}

/** The four words of od_philox_draw (base/random.h). */
static __device__ __forceinline__ uint4 od_philox_draw(uint64_t seed, uint32_t stream,
                                                       uint32_t step, uint64_t element)
{
    uint32_t c[4] = {(uint32_t)element, (uint32_t)(element >> 32), step, stream};
    uint32_t k0 = (uint32_t)seed;
    uint32_t k1 = (uint32_t)(seed >> 32);
#pragma unroll
    for (int round = 0; round < 10; round++) {
        od_philox_round(c, k0, k1);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return make_uint4(c[0], c[1], c[2], c[3]);
}

/** True when `a` and rows of `ld` elements are good for 16-byte accesses. */
static __device__ __forceinline__ bool od_aligned(const void *a, int64_t ld)
{
    return ((uintptr_t)a & 15u) == 0 && (ld & 7) == 0;
}

/** Sum over the block's OD_GPU_THREADS threads, the same in every thread. */
static __device__ __forceinline__ float od_block_sum(float x)
{
    __shared__ float warp_sum[OD_GPU_THREADS / 32];
#pragma unroll
    for (int offset = 16; offset > 0; offset >>= 1) {
        x += __shfl_xor_sync(0xFFFFFFFFu, x, offset);
    }
    __syncthreads();  // a former call may still be read
    if ((threadIdx.x & 31u) == 0) {
        warp_sum[threadIdx.x >> 5] = x;
    }
    __syncthreads();
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < OD_GPU_THREADS / 32; i++) {
        sum += warp_sum[i];
    }
    return sum;
}

static __device__ __forceinline__ float od_block_max(float x)
{
    __shared__ float warp_max[OD_GPU_THREADS / 32];
#pragma unroll
    for (int offset = 16; offset > 0; offset >>= 1) {
        x = fmaxf(x, __shfl_xor_sync(0xFFFFFFFFu, x, offset));
    }
    __syncthreads();
    if ((threadIdx.x & 31u) == 0) {
        warp_max[threadIdx.x >> 5] = x;
    }
    __syncthreads();
    float most = warp_max[0];
#pragma unroll
    for (int i = 1; i < OD_GPU_THREADS / 32; i++) {
        most = fmaxf(most, warp_max[i]);
    }
    return most;
}

static __device__ __forceinline__ double od_block_sum_f64(double x)
{
    __shared__ double part[OD_GPU_THREADS];
    __syncthreads();
    part[threadIdx.x] = x;
    __syncthreads();
    for (unsigned width = OD_GPU_THREADS / 2; width > 0; width >>= 1) {
        if (threadIdx.x < width) {
            part[threadIdx.x] += part[threadIdx.x + width];
        }
        __syncthreads();
    }
    return part[0];
}

#endif
