// Matrix products of bf16 operands where cuBLASLt is missing or has nothing to offer.
//
//     for (i = 0; i < m; i++) for (j = 0; j < n; j++)
//         d[i][j] = alpha * sum_k op(a)[i][k] * op(b)[k][j] (+ c[i][j]) (+ bias[j])
//
// Launch: one block per tile of D, all in x; sizes, threads and dynamic shared memory stand in
// matmul_tile.h. Each warp multiplies its part of the tile with mma.sync m16n8k16; the operands
// come in steps along k through a ring of stages (cp.async), and the next sixteen of k are read
// from shared memory while the last sixteen are multiplied. Any m, n, k >= 0.
// Alignment: operands and leading dimensions 16 bytes; the kernels any_ take every alignment and
// load element by element. Bytes moved: every operand element once for each tile along the other
// side, mostly out of the L2 cache.
// Order: each element of D is one chain of fp32 sums over k in steps of 16, in rising order, inside
// a step as the tensor core adds; scaled, added to C and the bias and rounded once. No split along
// k. The kernels with an fp32 D take no bias.
//
// One source for all: the flags of the body are constants in each kernel, so that the compiler
// leaves out what a kernel does not use.

#ifndef OD_DEVICE_MATMUL_CUH
#define OD_DEVICE_MATMUL_CUH

#include "device/cuda/matmul_tile.h"
#include "device/cuda/overlap.cuh"

#define THREADS    OD_TILE_THREADS
#define DEPTH      OD_TILE_K
#define A_BYTES    (OD_TILE_M * DEPTH * 2)  // of A in a stage; B follows
#define FRAGS_A    (OD_WARP_M / 16)
#define FRAGS_B    (OD_WARP_N / 16)
#define GROUP      8  // rows of tiles that share columns of B while these are in the cache

typedef unsigned short bf16;

/// A thread's pieces of 16 bytes of an operand's part of a stage: `count` of them, `rows` apart.
struct pieces {
    const bf16 *from;  // the first, of the step that is fetched next
    int ld;        // of the operand; less than 2^31
    unsigned to;   // the first, in the operand's part of a stage
    int left_mn;   // elements from the first to the end of the matrix, along m or n
    int k;         // of the first, within the step
};

static __device__ __forceinline__ unsigned shared_address(const void *pointer)
{
    return (unsigned)__cvta_generic_to_shared(pointer);
}

static __device__ __forceinline__ void copy_async(unsigned to, const void *from, int bytes)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(to), "l"(from), "r"(bytes)
                 : "memory");
}

static __device__ __forceinline__ void load_4(unsigned r[4], unsigned address, bool transposed)
{
    if (transposed) {
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];\n"
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                     : "r"(address)
                     : "memory");
    } else {
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n"
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                     : "r"(address)
                     : "memory");
    }
}

static __device__ __forceinline__ void multiply(float d[4], const unsigned a[4], unsigned b0,
                                                unsigned b1)
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, "
                 "{%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

static __device__ __forceinline__ unsigned round_pair(float low, float high)
{
    unsigned pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;\n" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}

static __device__ __forceinline__ float widen(unsigned bits)
{
    return __uint_as_float(bits << 16);
}

// A stage holds an operand as it lies in memory: [128 of m or n][32 of k] when k runs fastest,
// [32 of k][128 of m or n] otherwise (with the sizes of matmul_tile.h). Pieces of 16 bytes are
// permuted within a row so that the eight rows of an 8 x 8 matrix fall into different banks.
static __device__ __forceinline__ unsigned offset_k_fast(int mn, int piece)
{
    const int turn = DEPTH == 32 ? (mn >> 1) & 3 : mn & 7;
    return (unsigned)(mn * (DEPTH * 2) + ((piece ^ turn) << 4));
}

static __device__ __forceinline__ unsigned offset_mn_fast(int k, int piece, int tile)
{
    return (unsigned)(k * (tile * 2) + ((piece ^ (k & 7)) << 4));
}

/// How many rows of a stage lie between two pieces of a thread: a multiple of 8, so that all its
/// pieces are permuted alike.
static __device__ __forceinline__ int row_step(int tile, bool k_fast)
{
    return k_fast ? THREADS / (DEPTH / 8) : THREADS / (tile / 8);
}

/// Where a thread's pieces of an operand start: `first` is the tile's first row or column.
static __device__ __forceinline__ struct pieces place(const bf16 *matrix, long long ld,
                                                      long long first, long long size, int tile,
                                                      bool k_fast)
{
    struct pieces pieces;
    const int per_row = k_fast ? DEPTH / 8 : tile / 8;
    const int row = (int)threadIdx.x / per_row;
    const int at = (int)threadIdx.x % per_row;
    const long long mn = first + (k_fast ? row : at * 8);
    const long long left = size - mn;
    pieces.left_mn = left > tile ? tile : left > 0 ? (int)left : 0;
    pieces.k = k_fast ? at * 8 : row;
    pieces.from = matrix + (k_fast ? mn * ld + pieces.k : pieces.k * ld + mn);
    pieces.ld = (int)ld;
    pieces.to = k_fast ? offset_k_fast(row, at) : offset_mn_fast(row, at, tile);
    return pieces;
}

static __device__ __forceinline__ int clamp8(int n)
{
    return n > 8 ? 8 : n > 0 ? n : 0;
}

/// Fetch an operand's part of the next step, `left` of k before the end of the matrix; what lies
/// outside the matrix becomes 0 and is not read.
static __device__ __forceinline__ void fetch(unsigned stage, struct pieces *pieces, int left,
                                             int tile, bool k_fast, bool aligned)
{
    const int rows = row_step(tile, k_fast);
    const int row_bytes = k_fast ? DEPTH * 2 : tile * 2;
    const int count = tile * (DEPTH / 8) / THREADS;
    const int valid_in_row = clamp8(k_fast ? left - pieces->k : pieces->left_mn);
    const int rows_left = k_fast ? pieces->left_mn : left - pieces->k;
    if (aligned) {
#pragma unroll
        for (int i = 0; i < count; i++) {
            copy_async(stage + pieces->to + i * rows * row_bytes,
                       pieces->from + (long long)pieces->ld * (i * rows),
                       i * rows < rows_left ? valid_in_row * 2 : 0);
        }
    } else {
#pragma unroll 1
        for (int i = 0; i < count; i++) {
            const bf16 *from = pieces->from + (long long)pieces->ld * (i * rows);
            const unsigned to = stage + pieces->to + i * rows * row_bytes;
            const int valid = i * rows < rows_left ? valid_in_row : 0;
            for (int e = 0; e < 8; e++) {
                const bf16 value = e < valid ? from[e] : (bf16)0;
                asm volatile("st.shared.u16 [%0], %1;\n" ::"r"(to + e * 2), "h"(value) : "memory");
            }
        }
    }
    pieces->from += k_fast ? DEPTH : (long long)pieces->ld * DEPTH;
}

/// Read a warp's sixteen of k from a stage into registers.
static __device__ __forceinline__ void read_a(unsigned frags[FRAGS_A][4], unsigned stage, int half,
                                              int warp_m, int lane, bool k_fast)
{
#pragma unroll
    for (int i = 0; i < FRAGS_A; i++) {
        const int mn = warp_m + i * 16;
        const unsigned at =
            k_fast ? offset_k_fast(mn + (lane & 15), half * 2 + (lane >> 4))
                   : offset_mn_fast(half * 16 + (lane & 7) + (lane >> 4) * 8,
                                    (mn >> 3) + ((lane >> 3) & 1), OD_TILE_M);
        load_4(frags[i], stage + at, !k_fast);
    }
}

static __device__ __forceinline__ void read_b(unsigned frags[FRAGS_B][4], unsigned stage, int half,
                                              int warp_n, int lane, bool k_fast)
{
#pragma unroll
    for (int j = 0; j < FRAGS_B; j++) {
        const int mn = warp_n + j * 16;
        const unsigned at =
            k_fast ? offset_k_fast(mn + (lane & 7) + (lane >> 4) * 8,
                                   half * 2 + ((lane >> 3) & 1))
                   : offset_mn_fast(half * 16 + (lane & 15), (mn >> 3) + (lane >> 4), OD_TILE_N);
        load_4(frags[j], stage + A_BYTES + at, !k_fast);
    }
}

/// Which tile of D a block takes: groups of GROUP rows of tiles, column after column.
static __device__ __forceinline__ void tile_of(long long m, long long n, long long *row,
                                               long long *col)
{
    const long long rows = (m + OD_TILE_M - 1) / OD_TILE_M;
    const long long cols = (n + OD_TILE_N - 1) / OD_TILE_N;
    const long long index = blockIdx.x;
    const long long group = index / (GROUP * cols);
    const long long left = rows - group * GROUP;
    const long long height = left < GROUP ? left : GROUP;
    const long long within = index - group * GROUP * cols;
    *row = (group * GROUP + within % height) * OD_TILE_M;
    *col = within / height * OD_TILE_N;
}

static __device__ __forceinline__ void store(void *d, const void *c, long long at_d, long long at_c,
                                             float v0, float v1, float alpha, float b0, float b1,
                                             bool two, bool f32, bool aligned)
{
    if (f32) {
        const float *add = (const float *)c + at_c;
        float *out = (float *)d + at_d;
        const float r0 = c ? fmaf(alpha, v0, add[0]) : alpha * v0;
        const float r1 = c && two ? fmaf(alpha, v1, add[1]) : alpha * v1;
        if (two && aligned) {
            *(float2 *)out = make_float2(r0, r1);
        } else {
            out[0] = r0;
            if (two) {
                out[1] = r1;
            }
        }
    } else {
        const bf16 *add = (const bf16 *)c + at_c;
        bf16 *out = (bf16 *)d + at_d;
        const float r0 = (c ? fmaf(alpha, v0, widen(add[0])) : alpha * v0) + b0;
        const float r1 = (c && two ? fmaf(alpha, v1, widen(add[1])) : alpha * v1) + b1;
        const unsigned pair = round_pair(r0, r1);
        if (two && aligned) {
            *(unsigned *)out = pair;
        } else {
            out[0] = (bf16)pair;
            if (two) {
                out[1] = (bf16)(pair >> 16);
            }
        }
    }
}

static __device__ __forceinline__ void body(const bf16 *a, long long lda, const bf16 *b,
                                            long long ldb, const void *c, long long ldc, void *d,
                                            long long ldd, long long m, long long n, long long k,
                                            float alpha, const bf16 *bias, bool a_k_fast,
                                            bool b_k_fast, bool f32, bool aligned)
{
    extern __shared__ __align__(128) char shared[];
    const int lane = (int)threadIdx.x & 31;
    const int warp = (int)threadIdx.x >> 5;
    const int warp_m = warp % (OD_TILE_M / OD_WARP_M) * OD_WARP_M;
    const int warp_n = warp / (OD_TILE_M / OD_WARP_M) * OD_WARP_N;
    const int steps = (int)((k + DEPTH - 1) / DEPTH);
    const unsigned ring = shared_address(shared);
    const unsigned ring_end = ring + OD_TILE_SHARED_BYTES;
    unsigned fa[2][FRAGS_A][4];
    unsigned fb[2][FRAGS_B][4];
    float sums[FRAGS_A][FRAGS_B * 2][4];
    long long row0;
    long long col0;
    tile_of(m, n, &row0, &col0);
    struct pieces pieces_a = place(a, lda, row0, m, OD_TILE_M, a_k_fast);
    struct pieces pieces_b = place(b, ldb, col0, n, OD_TILE_N, b_k_fast);
    int left = (int)k;  // of k, from the step that is fetched next
#pragma unroll
    for (int i = 0; i < FRAGS_A; i++) {
#pragma unroll
        for (int j = 0; j < FRAGS_B * 2; j++) {
#pragma unroll
            for (int e = 0; e < 4; e++) {
                sums[i][j][e] = 0.0f;
            }
        }
    }
    // B is asked for before the kernel in front of this one is done: launches that overlap (overlap.cuh)
    // have weights there.
    od_let_next_begin();
#pragma unroll
    for (int s = 0; s < OD_STAGES - 1; s++) {
        if (s < steps) {
            fetch(ring + s * OD_STAGE_BYTES + A_BYTES, &pieces_b, left - s * DEPTH, OD_TILE_N,
                  b_k_fast, aligned);
        }
    }
    od_wait_for_last();
#pragma unroll
    for (int s = 0; s < OD_STAGES - 1; s++) {
        if (s < steps) {
            fetch(ring + s * OD_STAGE_BYTES, &pieces_a, left, OD_TILE_M, a_k_fast, aligned);
            left -= DEPTH;
        }
        asm volatile("cp.async.commit_group;\n" ::: "memory");
    }
    unsigned write_stage = ring + (OD_STAGES - 1) * OD_STAGE_BYTES;
    unsigned read_stage = ring;
    asm volatile("cp.async.wait_group %0;\n" ::"n"(OD_STAGES - 2) : "memory");
    __syncthreads();
    if (steps > 0) {
        read_a(fa[0], read_stage, 0, warp_m, lane, a_k_fast);
        read_b(fb[0], read_stage, 0, warp_n, lane, b_k_fast);
    }
    for (int step = 0; step < steps; step++) {
#pragma unroll
        for (int half = 0; half < DEPTH / 16; half++) {
            const int now = half & 1;
            if (half == DEPTH / 16 - 1) {
                // The next stage has come, and nobody reads the one before any more.
                asm volatile("cp.async.wait_group %0;\n" ::"n"(OD_STAGES - 2) : "memory");
                __syncthreads();
                read_stage += OD_STAGE_BYTES;
                read_stage = read_stage == ring_end ? ring : read_stage;
            }
            // Behind the last step this reads what nobody uses.
            read_a(fa[now ^ 1], read_stage, (half + 1) % (DEPTH / 16), warp_m, lane, a_k_fast);
            read_b(fb[now ^ 1], read_stage, (half + 1) % (DEPTH / 16), warp_n, lane, b_k_fast);
            if (half == 0) {
                if (left > 0) {
                    fetch(write_stage, &pieces_a, left, OD_TILE_M, a_k_fast, aligned);
                    fetch(write_stage + A_BYTES, &pieces_b, left, OD_TILE_N, b_k_fast, aligned);
                }
                left -= DEPTH;
                write_stage += OD_STAGE_BYTES;
                write_stage = write_stage == ring_end ? ring : write_stage;
                asm volatile("cp.async.commit_group;\n" ::: "memory");
            }
#pragma unroll
            for (int i = 0; i < FRAGS_A; i++) {
#pragma unroll
                for (int j = 0; j < FRAGS_B * 2; j++) {
                    multiply(sums[i][j], fa[now][i], fb[now][j >> 1][(j & 1) * 2],
                             fb[now][j >> 1][(j & 1) * 2 + 1]);
                }
            }
        }
    }
    asm volatile("cp.async.wait_all;\n" ::: "memory");
#pragma unroll
    for (int i = 0; i < FRAGS_A; i++) {
#pragma unroll
        for (int j = 0; j < FRAGS_B * 2; j++) {
            const long long col = col0 + warp_n + j * 8 + (lane & 3) * 2;
            const float b0 = bias && !f32 && col < n ? widen(bias[col]) : 0.0f;
            const float b1 = bias && !f32 && col + 1 < n ? widen(bias[col + 1]) : 0.0f;
#pragma unroll
            for (int h = 0; h < 2; h++) {
                const long long row = row0 + warp_m + i * 16 + h * 8 + (lane >> 2);
                if (row < m && col < n) {
                    store(d, c, row * ldd + col, row * ldc + col, sums[i][j][h * 2],
                          sums[i][j][h * 2 + 1], alpha, b0, b1, col + 1 < n, f32, aligned);
                }
            }
        }
    }
}

#define KERNEL(name, a_k_fast, b_k_fast, f32, aligned)                                            \
    extern "C" __global__ void __launch_bounds__(THREADS, OD_BLOCKS)                                      \
        name(const bf16 *a, long long lda, const bf16 *b, long long ldb, const void *c,           \
             long long ldc, void *d, long long ldd, long long m, long long n, long long k,        \
             float alpha, const bf16 *bias)                                                      \
    {                                                                                             \
        body(a, lda, b, ldb, c, ldc, d, ldd, m, n, k, alpha, bias, a_k_fast, b_k_fast, f32,       \
             aligned);                                                                            \
    }

#endif
