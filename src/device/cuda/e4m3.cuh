/**
 * @file
 * What kernels for eight-bit floats (formats/e4m3.h) ask of the card: instructions from compute capability
 * 8.9 on. A test puts a stand-in that runs on a CPU in place of this file.
 *
 * Cards below 8.9 have neither the conversion nor the product: there OD_HAS_E4M3 is 0 and such kernels
 * are empty; a program that would need them is refused when it is opened.
 */
#ifndef OD_DEVICE_CUDA_E4M3_CUH
#define OD_DEVICE_CUDA_E4M3_CUH

#include <cuda_bf16.h>
#include <stdint.h>

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 890
#define OD_HAS_E4M3 1
#else
#define OD_HAS_E4M3 0
#endif

#define OD_E4M3_KERNEL(threads) extern "C" __global__ void __launch_bounds__(threads, 1)
/** The block's dynamic shared memory as `name`. */
#define OD_E4M3_SHARED(name)    extern __shared__ __align__(128) char name[]

#if OD_HAS_E4M3
/** Two codes, the first in the low byte: to the nearest, halfway to even, held to +-448. */
static __device__ __forceinline__ uint32_t od_e4m3_pair(float first, float second)
{
    uint16_t pair;
    asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(second), "f"(first));
    return pair;
}

static __device__ __forceinline__ unsigned od_shared_address(const void *at)
{
    return (unsigned)__cvta_generic_to_shared(at);
}

/** Begin to copy 16 bytes into shared memory; zeros instead when `inside` is false. */
static __device__ __forceinline__ void od_copy16(unsigned to, const uint8_t *from, bool inside)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(to), "l"(from),
                 "r"(inside ? 16 : 0)
                 : "memory");
}

/** What was begun since the last call is one group. */
static __device__ __forceinline__ void od_copy_group()
{
    asm volatile("cp.async.commit_group;\n" ::: "memory");
}

/** Until all groups but the last one, or all of them, have come. */
static __device__ __forceinline__ void od_copy_wait_but_one()
{
    asm volatile("cp.async.wait_group 1;\n" ::: "memory");
}

static __device__ __forceinline__ void od_copy_wait()
{
    asm volatile("cp.async.wait_all;\n" ::: "memory");
}

/** Four times 8 rows of 16 bytes; lane l gives the address of row l % 8 of the (l / 8)-th. */
static __device__ __forceinline__ void od_read4(unsigned to[4], unsigned at)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(at)
                 : "memory");
}

/** sum [16, 8] += a [16, 32] b [32, 8], codes; fragments as PTX has them. */
static __device__ __forceinline__ void od_multiply_e4m3(float sum[4], const unsigned a[4],
                                                        unsigned b0, unsigned b1)
{
    asm volatile(
        "mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 {%0, %1, %2, %3}, "
        "{%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};\n"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
#endif

#endif
