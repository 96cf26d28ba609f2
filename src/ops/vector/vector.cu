// Products of one or two rows; formulas in vector.h.
//
// Launch: a block of OD_VECTOR_WARPS warps makes OD_VECTOR_COLUMNS columns of D for each of them; A's rows
// lie in shared memory. A lane takes eight of k at a time, 256 apart, and asks for several pieces before it
// needs the first; the first ones before the kernel in front of this one is done (overlap.cuh): weights are
// never written while a model serves. Bytes moved: B once.

#include <stdint.h>

#include "device/cuda/overlap.cuh"
#include "ops/vector/vector.h"

typedef unsigned short bf16;

enum { WARPS = OD_VECTOR_WARPS, COLUMNS = OD_VECTOR_COLUMNS, AHEAD = OD_VECTOR_AHEAD, LANES = 32 };

static __device__ __forceinline__ float low(unsigned pair)
{
    return __uint_as_float(pair << 16);
}

static __device__ __forceinline__ float high(unsigned pair)
{
    return __uint_as_float(pair & 0xFFFF0000u);
}

static __device__ __forceinline__ bf16 round_one(float x)
{
    unsigned pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;\n" : "=r"(pair) : "f"(0.0f), "f"(x));
    return (bf16)pair;
}

/// A piece of a row, eight of k; zeros from `k` on.
static __device__ __forceinline__ uint4 load_piece(const bf16 *row, int piece, int k)
{
    if (piece * 8 >= k) {
        return make_uint4(0, 0, 0, 0);
    }
    uint4 raw = __ldcs((const uint4 *)row + piece);
    if (piece * 8 + 8 > k) {
        unsigned word[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int left = k - piece * 8 - 2 * i;
            word[i] = left >= 2 ? word[i] : left == 1 ? word[i] & 0xFFFFu : 0u;
        }
        raw = make_uint4(word[0], word[1], word[2], word[3]);
    }
    return raw;
}

static __device__ __forceinline__ void add_products(float *sum, uint4 w, uint4 x)
{
    *sum = fmaf(low(w.x), low(x.x), *sum);
    *sum = fmaf(high(w.x), high(x.x), *sum);
    *sum = fmaf(low(w.y), low(x.y), *sum);
    *sum = fmaf(high(w.y), high(x.y), *sum);
    *sum = fmaf(low(w.z), low(x.z), *sum);
    *sum = fmaf(high(w.z), high(x.z), *sum);
    *sum = fmaf(low(w.w), low(x.w), *sum);
    *sum = fmaf(high(w.w), high(x.w), *sum);
}

/// A into shared memory, a row behind another; zeros from k on.
static __device__ __forceinline__ void bring_a(uint4 *to, const bf16 *a, long long lda, int rows,
                                               int pieces, int k)
{
    for (int i = 0; i < rows; i++) {
        for (int p = (int)threadIdx.x; p < pieces; p += WARPS * LANES) {
            to[i * pieces + p] = load_piece(a + i * lda, p, k);
        }
    }
    __syncthreads();
}

/// Sum over the block, in a fixed order, the same in every thread.
static __device__ __forceinline__ float sum_of_block(float x)
{
    __shared__ float parts[WARPS];
    float sum = 0.0f;
#pragma unroll
    for (int offset = LANES / 2; offset > 0; offset >>= 1) {
        x += __shfl_xor_sync(0xFFFFFFFFu, x, offset);
    }
    __syncthreads();  // a former sum may still be read
    if (threadIdx.x % LANES == 0) {
        parts[threadIdx.x / LANES] = x;
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < WARPS; i++) {
        sum += parts[i];
    }
    return sum;
}

static __device__ __forceinline__ unsigned scaled_pair(unsigned pair, float r, float w0, float w1)
{
    unsigned scaled;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;\n"
        : "=r"(scaled)
        : "f"(high(pair) * r * w1), "f"(low(pair) * r * w0));
    return scaled;
}

/// Rows of A in shared memory, normalised in place: each thread what it brought there. k has whole pieces.
static __device__ __forceinline__ void normalise(uint4 *x, const float *norm, float eps, int rows,
                                                 int pieces, int k)
{
    for (int i = 0; i < rows; i++) {
        float squares = 0.0f;
        for (int p = (int)threadIdx.x; p < pieces; p += WARPS * LANES) {
            add_products(&squares, x[i * pieces + p], x[i * pieces + p]);
        }
        const float r = rsqrtf(sum_of_block(squares) / (float)k + eps);
        for (int p = (int)threadIdx.x; p < pieces; p += WARPS * LANES) {
            const float4 w0 = *(const float4 *)(norm + p * 8);
            const float4 w1 = *(const float4 *)(norm + p * 8 + 4);
            uint4 v = x[i * pieces + p];
            v.x = scaled_pair(v.x, r, w0.x, w0.y);
            v.y = scaled_pair(v.y, r, w0.z, w0.w);
            v.z = scaled_pair(v.z, r, w1.x, w1.y);
            v.w = scaled_pair(v.w, r, w1.z, w1.w);
            x[i * pieces + p] = v;
        }
    }
    __syncthreads();
}

static __device__ __forceinline__ void body(const bf16 *a, long long lda, const bf16 *b,
                                            long long ldb, const void *c, long long ldc, void *d,
                                            long long ldd, int m, long long n, int k,
                                            float alpha, const bf16 *bias, const float *norm,
                                            float eps, int rows, bool f32)
{
    extern __shared__ __align__(16) char shared[];
    uint4 *x = (uint4 *)shared;
    const int lane = (int)threadIdx.x % LANES;
    const long long col0 = ((long long)blockIdx.x * WARPS + threadIdx.x / LANES) * COLUMNS;
    const int pieces = (k + 7) / 8;
    const bf16 *from[COLUMNS];
    uint4 raw[AHEAD][COLUMNS];
    float sums[COLUMNS][OD_VECTOR_ROWS];
    od_let_next_begin();
#pragma unroll
    for (int j = 0; j < COLUMNS; j++) {
        from[j] = b + (col0 + j < n ? col0 + j : n - 1) * ldb;
#pragma unroll
        for (int i = 0; i < rows; i++) {
            sums[j][i] = 0.0f;
        }
    }
#pragma unroll
    for (int u = 0; u < AHEAD; u++) {
#pragma unroll
        for (int j = 0; j < COLUMNS; j++) {
            raw[u][j] = load_piece(from[j], u * LANES + lane, k);
        }
    }
    for (int p = (int)threadIdx.x; norm && p < pieces; p += WARPS * LANES) {
        asm volatile("prefetch.global.L2 [%0];" ::"l"(norm + p * 8));
    }
    od_wait_for_last();
    bring_a(x, a, lda, m, pieces, k);
    if (norm) {
        normalise(x, norm, eps, m, pieces, k);
    }
    for (int first = lane; first < pieces; first += AHEAD * LANES) {
#pragma unroll
        for (int u = 0; u < AHEAD; u++) {
            const int piece = first + u * LANES;
            const bool inside = piece < pieces;
#pragma unroll
            for (int i = 0; i < rows; i++) {
                const uint4 v = inside && i < m ? x[i * pieces + piece] : make_uint4(0, 0, 0, 0);
#pragma unroll
                for (int j = 0; j < COLUMNS; j++) {
                    add_products(&sums[j][i], raw[u][j], v);
                }
            }
#pragma unroll
            for (int j = 0; j < COLUMNS; j++) {
                raw[u][j] = load_piece(from[j], piece + AHEAD * LANES, k);
            }
        }
    }
#pragma unroll
    for (int j = 0; j < COLUMNS; j++) {
#pragma unroll
        for (int i = 0; i < rows; i++) {
            float sum = sums[j][i];
#pragma unroll
            for (int offset = LANES / 2; offset > 0; offset >>= 1) {
                sum += __shfl_xor_sync(0xFFFFFFFFu, sum, offset);
            }
            const long long col = col0 + j;
            if (lane != 0 || i >= m || col >= n) {
                continue;
            }
            if (f32) {
                const float *add = (const float *)c + i * ldc + col;
                ((float *)d)[i * ldd + col] = c ? fmaf(alpha, sum, *add) : alpha * sum;
            } else {
                const bf16 *add = (const bf16 *)c + i * ldc + col;
                sum = c ? fmaf(alpha, sum, low(*add)) : alpha * sum;
                ((bf16 *)d)[i * ldd + col] = round_one(sum + (bias ? low(bias[col]) : 0.0f));
            }
        }
    }
}

#define KERNEL(name, rows, f32)                                                                 \
    extern "C" __global__ void __launch_bounds__(WARPS *LANES)                                  \
        name(const bf16 *a, long long lda, const bf16 *b, long long ldb, const void *c,         \
             long long ldc, void *d, long long ldd, long long m, long long n, long long k,      \
             float alpha, const bf16 *bias, const float *norm, float eps)                       \
    {                                                                                           \
        body(a, lda, b, ldb, c, ldc, d, ldd, (int)m, n, (int)k, alpha, bias, norm, eps, rows, f32); \
    }

KERNEL(od_vector_one_bf16, 1, false)
KERNEL(od_vector_one_f32, 1, true)
KERNEL(od_vector_few_bf16, OD_VECTOR_ROWS, false)
KERNEL(od_vector_few_f32, OD_VECTOR_ROWS, true)
