// for (i) for (j = begin; j <= i; j++) s[i][j] = scale * dot(q[i], k[j], D);
// for (i) for (j = begin; j <= i; j++) p[i][j] = exp(s[i][j] - lse[i]);
// for (i) for (j = begin; j <= i; j++) for (e) o[i][e] += p[i][j] * v[j][e];
//
// Launch: attention_cuda.h. Order: keys (dK, dV: query heads, then queries) in increasing order,
// fp32 sums; probabilities and their gradients are rounded to bf16 before the second product, as
// tensor cores need. Bytes moved from memory: each query, key, value and output once per tile of the
// other side; products bound the kernels. Alignment: 16 bytes.
//
// Every kernel: a warp owns 16-row tiles of the fixed side, whose accumulators stay in registers;
// the other side streams through shared memory by cp.async while products run. Scores of the first
// product have the layout that the second product's first operand needs, so that probabilities
// never leave registers. For dK and dV that means transposed scores, K Q^T. What was tried and what
// it brought: README.md.
#ifndef OD_ATTENTION_COMMON_CUH
#define OD_ATTENTION_COMMON_CUH

#include <cuda_bf16.h>
#include <stdint.h>

#include "ops/attention/attention_cuda.h"

#define INLINE         [[maybe_unused]] static __device__ __forceinline__
#define LOG2E          1.4426950408889634f
#define WORK_AT_A_TIME 256U

INLINE uint32_t shared_address(const void *p)
{
    return (uint32_t)__cvta_generic_to_shared(p);
}

// 16 bytes to shared memory; zeros when not `real`.
INLINE void copy16(uint32_t to, const void *from, bool real)
{
    asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;\n" ::"r"(to), "l"(from),
                 "r"(real ? 16 : 0)
                 : "memory");
}

INLINE void copy4(uint32_t to, const void *from, bool real)
{
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;\n" ::"r"(to), "l"(from),
                 "r"(real ? 4 : 0)
                 : "memory");
}

INLINE void copy_wait(void)
{
    asm volatile("cp.async.wait_all;\n" ::: "memory");
}

// Four 8x8 matrices; lane i gives the address of a row of matrix i / 8.
INLINE void load_matrices(uint32_t r[4], uint32_t address)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
}

INLINE void load_matrices_t(uint32_t r[4], uint32_t address)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];\n"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
}

// c[16,8] += a[16,16] b[16,8]
INLINE void multiply(float c[4], const uint32_t a[4], uint32_t b0, uint32_t b1)
{
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, "
        "{%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

INLINE uint32_t pack(float low, float high)
{
    uint32_t r;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;\n" : "=r"(r) : "f"(high), "f"(low));
    return r;
}

INLINE float power2(float x)
{
    float r;
    asm("ex2.approx.ftz.f32 %0, %1;\n" : "=f"(r) : "f"(x));
    return r;
}

INLINE float log_2(float x)
{
    float r;
    asm("lg2.approx.ftz.f32 %0, %1;\n" : "=f"(r) : "f"(x));
    return r;
}

// Over the four lanes that share a row of an accumulator.
INLINE float quad_max(float x)
{
    x = fmaxf(x, __shfl_xor_sync(0xffffffffU, x, 1));
    return fmaxf(x, __shfl_xor_sync(0xffffffffU, x, 2));
}

INLINE float quad_sum(float x)
{
    x += __shfl_xor_sync(0xffffffffU, x, 1);
    return x + __shfl_xor_sync(0xffffffffU, x, 2);
}

// Place of this block in the grid, whatever the shape of the grid.
INLINE uint32_t block_index(void)
{
    return blockIdx.y * gridDim.x + blockIdx.x;
}

// Tile and head of a piece of work. Heads are taken some at a time, with about WORK_AT_A_TIME tiles,
// so that what their tiles share stays in the second-level cache; among those, the longest tiles of
// all come first.
INLINE bool find_work(const struct od_attention_args *args, uint32_t index, int32_t heads,
                      struct od_attention_tile *tile, int32_t *head)
{
    const uint32_t tiles = (uint32_t)*args->tile_count;
    if (index >= tiles * (uint32_t)heads) {
        return false;
    }
    const uint32_t at_a_time = max(WORK_AT_A_TIME / tiles, 1U);
    const uint32_t first = index / (at_a_time * tiles) * at_a_time;
    const uint32_t some = min((uint32_t)heads - first, at_a_time);
    const uint32_t inner = index - first * tiles;
    const int4 t = *(const int4 *)&args->tiles[inner / some];
    tile->begin = t.x;
    tile->end = t.y;
    tile->row = t.z;
    tile->rows = t.w;
    *head = (int32_t)(first + inner % some);
    return true;
}

// First key of the first step of a query tile: steps lie on multiples of `step` from the start of
// the document.
INLINE int32_t first_key(const struct od_attention_tile *tile, int32_t window, int32_t step)
{
    const int32_t lowest = tile->row - window + 1;
    return window > 0 && lowest > tile->begin ? tile->begin + (lowest - tile->begin) / step * step
                                              : tile->begin;
}

#define PASTE_(a, b) a##b
#define PASTE(a, b)  PASTE_(a, b)

// od_attention_d64_fwd: the image attention_d64 is found by its kernels' names.
#define KERNEL_NAME(what) PASTE(PASTE(od_attention_d, HEAD_DIM), _##what)

#endif
