/**
 * @file
 * What kernels on the tensor cores share: one product of fragments, pairs of bf16, reductions over the
 * four lanes of a row.
 */
#ifndef OD_OPS_MMA_CUH
#define OD_OPS_MMA_CUH

#include <stdbool.h>
#include <stdint.h>

#include "device/cuda/overlap.cuh"

#define OD_MMA_SHARED(name) extern __shared__ __align__(128) char name[]
#define OD_MMA_KERNEL(threads) extern "C" __global__ void __launch_bounds__(threads)

/** c[16, 8] += a[16, 16] b[16, 8], bf16 with fp32 sums. */
static __device__ __forceinline__ void od_mma(float c[4], const uint32_t a[4], uint32_t b0,
                                              uint32_t b1)
{
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, "
        "{%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/** Two bf16, rounded to the nearest. */
static __device__ __forceinline__ uint32_t od_pair(float low, float high)
{
    uint32_t pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;\n" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}

static __device__ __forceinline__ float od_power2(float x)
{
    float power;
    asm("ex2.approx.ftz.f32 %0, %1;\n" : "=f"(power) : "f"(x));
    return power;
}

static __device__ __forceinline__ float od_quad_max(float x)
{
    x = fmaxf(x, __shfl_xor_sync(0xFFFFFFFFu, x, 1));
    return fmaxf(x, __shfl_xor_sync(0xFFFFFFFFu, x, 2));
}

static __device__ __forceinline__ float od_quad_sum(float x)
{
    x += __shfl_xor_sync(0xFFFFFFFFu, x, 1);
    return x + __shfl_xor_sync(0xFFFFFFFFu, x, 2);
}

/** 16 bytes on their way into shared memory; zeros when they are not `real`. */
static __device__ __forceinline__ void od_copy16(char *to, const void *from, bool real)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(
                     (unsigned)__cvta_generic_to_shared(to)),
                 "l"(from), "r"(real ? 16 : 0)
                 : "memory");
}

/** What was sent since the last call is a group. */
static __device__ __forceinline__ void od_copies_end(void)
{
    asm volatile("cp.async.commit_group;\n" ::: "memory");
}

/** All groups of this warp but the last two have come. */
static __device__ __forceinline__ void od_copies_but_two(void)
{
    asm volatile("cp.async.wait_group 2;\n" ::: "memory");
    __syncwarp();
}

/** No lane of the warp goes on before all have come here. */
static __device__ __forceinline__ void od_warp_meet(void)
{
    __syncwarp();
}

#endif
