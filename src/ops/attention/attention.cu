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
#include <cuda_bf16.h>
#include <stdint.h>

#include "ops/attention/attention_cuda.h"

#define INLINE         static __device__ __forceinline__
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

// delta[t][h] = sum(dO * O), eight lanes a row, fixed tree.
extern "C" __global__ void __launch_bounds__(OD_ATTENTION_DELTA_THREADS)
    od_attention_delta(const struct od_attention_args args)
{
    struct od_attention_tile tile;
    int32_t head;
    if (!find_work(&args, block_index(), args.heads, &tile, &head)) {
        return;
    }
    const int32_t lane = threadIdx.x % 8;
    // Every lane of a warp takes part in the shuffles, whether or not it has a row.
    for (int32_t first = 0; first < tile.rows; first += OD_ATTENTION_DELTA_THREADS / 8) {
        const int32_t r = first + (int32_t)threadIdx.x / 8;
        const int64_t t = tile.row + r;
        float sum = 0.0F;
        for (int32_t c = lane * 8; r < tile.rows && c < args.head_dim; c += 64) {
            const int64_t at = (int64_t)head * args.head_dim + c;
            const uint4 x = *(const uint4 *)(args.o + t * args.ld_o + at);
            const uint4 y = *(const uint4 *)(args.d_o + t * args.ld_do + at);
            const uint32_t xs[4] = {x.x, x.y, x.z, x.w};
            const uint32_t ys[4] = {y.x, y.y, y.z, y.w};
#pragma unroll
            for (int i = 0; i < 4; i++) {
                sum = fmaf(__uint_as_float(xs[i] << 16), __uint_as_float(ys[i] << 16), sum);
                sum = fmaf(__uint_as_float(xs[i] & 0xffff0000U),
                           __uint_as_float(ys[i] & 0xffff0000U), sum);
            }
        }
        sum += __shfl_xor_sync(0xffffffffU, sum, 1);
        sum += __shfl_xor_sync(0xffffffffU, sum, 2);
        sum += __shfl_xor_sync(0xffffffffU, sum, 4);
        if (lane == 0 && r < tile.rows) {
            args.delta[t * args.heads + head] = sum;
        }
    }
}

#define PASTE_(a, b) a##b
#define PASTE(a, b)  PASTE_(a, b)

#define HEAD_DIM     64
#include "ops/attention/attention_body.cuh"
#undef HEAD_DIM
#define HEAD_DIM 80
#include "ops/attention/attention_body.cuh"
#undef HEAD_DIM
#define HEAD_DIM 96
#include "ops/attention/attention_body.cuh"
#undef HEAD_DIM
#define HEAD_DIM 128
#include "ops/attention/attention_body.cuh"
#undef HEAD_DIM
#define HEAD_DIM 256
#include "ops/attention/attention_body.cuh"
#undef HEAD_DIM

// Versions by warpgroup products; other architectures have the kernels above only.
#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#include "ops/attention/attention_wgmma.cuh"
#define HEAD_DIM 64
#include "ops/attention/attention_sm90a.cuh"
#undef HEAD_DIM
#define HEAD_DIM 128
#include "ops/attention/attention_sm90a.cuh"
#undef HEAD_DIM
#endif
