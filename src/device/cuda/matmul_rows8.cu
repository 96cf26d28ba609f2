// Matrix products with at most 8 rows: reading the weights is all that counts.
//
//     for (i = 0; i < m; i++) for (j = 0; j < n; j++)
//         d[i][j] = alpha * sum_k a[i][k] * b[j][k] (+ c[i][j]) (+ bias[j])
//
// Launch: a block is one warp and makes 16 columns of D; matmul_rows.h. Here the weights are the larger
// operand of mma.sync m16n8k16, so that one product takes in 512 bytes of them. Each warp has a ring of
// its own (cp.async) and waits for nobody; fragments of the next step are read while the last ones are
// multiplied. Rows of the ring behind the last one of A hold anything: what they give is not stored.
// Alignment: operands and leading dimensions 16 bytes. Bytes moved: B once, A once for each 16 columns,
// mostly out of the L2 cache.
// Order: matmul.cuh's.
//
// Weights are never written while a model serves: they are fetched before the kernel before this one is
// done (overlap.cuh), everything else after.

#include "device/cuda/matmul_rows.h"
#include "device/cuda/overlap.cuh"

typedef unsigned short bf16;

enum {
    COLS = OD_ROWS8_TILE_N,
    ROWS = OD_ROWS8_TILE_M,
    DEPTH = OD_ROWS_TILE_K,
    STAGES = OD_ROWS8_STAGES,
    ROW_BYTES = DEPTH * 2,
    A_BYTES = ROWS * ROW_BYTES,  // of A in a stage; B follows
    STAGE_BYTES = (ROWS + COLS) * ROW_BYTES,
    PIECES = DEPTH / 8,       // of 16 bytes in a row
    ROWS_AT_ONCE = 32 / PIECES,  // that a warp fetches
};

/// One step's operands: four times sixteen of k.
struct fragments {
    unsigned b[4][4];
    unsigned a[2][4];
};

// Pieces of a row are permuted so that the eight rows of an 8 x 8 matrix fall into different banks.
static __device__ __forceinline__ unsigned offset(int row, int piece)
{
    return (unsigned)(row * ROW_BYTES + ((piece ^ (row & 7)) << 4));
}

static __device__ __forceinline__ void copy_async(unsigned to, const void *from, int bytes)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(to), "l"(from), "r"(bytes)
                 : "memory");
}

static __device__ __forceinline__ void load_4(unsigned r[4], unsigned address)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(address)
                 : "memory");
}

static __device__ __forceinline__ void multiply(float d[4], const unsigned b[4], unsigned a0,
                                                unsigned a1)
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, "
                 "{%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(b[0]), "r"(b[1]), "r"(b[2]), "r"(b[3]), "r"(a0), "r"(a1));
}

static __device__ __forceinline__ float widen(unsigned bits)
{
    return __uint_as_float(bits << 16);
}

static __device__ __forceinline__ bf16 round_one(float x)
{
    unsigned pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;\n" : "=r"(pair) : "f"(0.0f), "f"(x));
    return (bf16)pair;
}

/// Bytes of a piece that begins at `at` of k.
static __device__ __forceinline__ int valid_bytes(long long at, long long k)
{
    const long long left = k - at;
    return left >= 8 ? 16 : left > 0 ? (int)left * 2 : 0;
}

/// A lane's part of B's next step; `from` is its first row there, which moves on.
static __device__ __forceinline__ void fetch_b(unsigned stage, const bf16 **from, long long ldb,
                                               long long cols_left, long long at, long long k,
                                               int lane)
{
    const int row = lane / PIECES;
    const int bytes = valid_bytes(at + lane % PIECES * 8, k);
#pragma unroll
    for (int i = 0; i < COLS / ROWS_AT_ONCE; i++) {
        const int r = row + i * ROWS_AT_ONCE;
        copy_async(stage + A_BYTES + offset(r, lane % PIECES), *from + i * ROWS_AT_ONCE * ldb,
                   r < cols_left ? bytes : 0);
    }
    *from += DEPTH;
}

static __device__ __forceinline__ void fetch_a(unsigned stage, const bf16 *a, long long lda,
                                               long long m, long long at, long long k, int lane)
{
    const int bytes = valid_bytes(at + lane % PIECES * 8, k);
#pragma unroll
    for (int i = 0; i < ROWS / ROWS_AT_ONCE; i++) {
        const int r = lane / PIECES + i * ROWS_AT_ONCE;
        if (r < m) {
            copy_async(stage + offset(r, lane % PIECES), a + r * lda + at + lane % PIECES * 8,
                       bytes);
        }
    }
}

/// The same at once, for the steps whose weights are on their way already.
static __device__ __forceinline__ void bring_a(char *stage, const bf16 *a, long long lda,
                                               long long m, long long at, long long k, int lane)
{
    const long long column = at + lane % PIECES * 8;
    const int elements = valid_bytes(column, k) / 2;
#pragma unroll
    for (int i = 0; i < ROWS / ROWS_AT_ONCE; i++) {
        const int r = lane / PIECES + i * ROWS_AT_ONCE;
        if (r < m) {
            uint4 piece = make_uint4(0, 0, 0, 0);
            if (elements == 8) {
                piece = __ldcg((const uint4 *)(a + r * lda + column));
            } else {
                unsigned half[8];
#pragma unroll
                for (int e = 0; e < 8; e++) {
                    half[e] = e < elements ? __ldcg(a + r * lda + column + e) : 0u;
                }
                piece = make_uint4(half[0] | half[1] << 16, half[2] | half[3] << 16,
                                   half[4] | half[5] << 16, half[6] | half[7] << 16);
            }
            *(uint4 *)(stage + offset(r, lane % PIECES)) = piece;
        }
    }
}

static __device__ __forceinline__ void read(struct fragments *f, unsigned stage, int lane)
{
#pragma unroll
    for (int step = 0; step < 4; step++) {
        load_4(f->b[step], stage + A_BYTES + offset(lane & 15, step * 2 + (lane >> 4)));
    }
#pragma unroll
    for (int pair = 0; pair < 2; pair++) {
        load_4(f->a[pair], stage + offset(lane & 7, pair * 4 + (lane >> 3)));
    }
}

static __device__ __forceinline__ void body(const bf16 *a, long long lda, const bf16 *b,
                                            long long ldb, const void *c, long long ldc, void *d,
                                            long long ldd, long long m, long long n, long long k,
                                            float alpha, const bf16 *bias, bool f32)
{
    extern __shared__ __align__(128) char shared[];
    const int lane = (int)threadIdx.x;
    const long long col0 = (long long)blockIdx.x * COLS;
    const int steps = (int)((k + DEPTH - 1) / DEPTH);
    const unsigned ring = (unsigned)__cvta_generic_to_shared(shared);
    const bf16 *from = b + (col0 + lane / PIECES) * ldb + lane % PIECES * 8;
    struct fragments now;
    struct fragments next;
    float sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    od_let_next_begin();
#pragma unroll 1
    for (int s = 0; s < STAGES - 1; s++) {
        if (s < steps) {
            fetch_b(ring + s * STAGE_BYTES, &from, ldb, n - col0, (long long)s * DEPTH, k, lane);
        }
        asm volatile("cp.async.commit_group;\n" ::: "memory");
    }
    od_wait_for_last();
#pragma unroll 1
    for (int s = 0; s < STAGES - 1 && s < steps; s++) {
        bring_a(shared + s * STAGE_BYTES, a, lda, m, (long long)s * DEPTH, k, lane);
    }
    asm volatile("cp.async.wait_group %0;\n" ::"n"(STAGES - 2) : "memory");
    __syncwarp();
    if (steps > 0) {
        read(&now, ring, lane);
    }
    unsigned read_stage = ring;
    unsigned write_stage = ring + (STAGES - 1) * STAGE_BYTES;
#pragma unroll 2
    for (int step = 0; step < steps; step++) {
        // The next step has come, and nobody reads the one before any more.
        asm volatile("cp.async.wait_group %0;\n" ::"n"(STAGES - 3) : "memory");
        __syncwarp();
        read_stage += STAGE_BYTES;
        read_stage = read_stage == ring + STAGES * STAGE_BYTES ? ring : read_stage;
        read(&next, read_stage, lane);  // behind the last step this reads what nobody uses
        if (step + STAGES - 1 < steps) {
            const long long at = (long long)(step + STAGES - 1) * DEPTH;
            fetch_b(write_stage, &from, ldb, n - col0, at, k, lane);
            fetch_a(write_stage, a, lda, m, at, k, lane);
        }
        asm volatile("cp.async.commit_group;\n" ::: "memory");
        write_stage += STAGE_BYTES;
        write_stage = write_stage == ring + STAGES * STAGE_BYTES ? ring : write_stage;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            multiply(sums, now.b[i], now.a[i / 2][i % 2 * 2], now.a[i / 2][i % 2 * 2 + 1]);
        }
        now = next;
    }
    asm volatile("cp.async.wait_all;\n" ::: "memory");
#pragma unroll
    for (int e = 0; e < 4; e++) {
        const long long row = (lane & 3) * 2 + (e & 1);
        const long long col = col0 + (lane >> 2) + (e >> 1) * 8;
        if (row >= m || col >= n) {
            continue;
        }
        if (f32) {
            const float *add = (const float *)c + row * ldc + col;
            ((float *)d)[row * ldd + col] = c ? fmaf(alpha, sums[e], *add) : alpha * sums[e];
        } else {
            const bf16 *add = (const bf16 *)c + row * ldc + col;
            const float b0 = bias ? widen(bias[col]) : 0.0f;
            ((bf16 *)d)[row * ldd + col] =
                round_one((c ? fmaf(alpha, sums[e], widen(*add)) : alpha * sums[e]) + b0);
        }
    }
}

#define KERNEL(name, f32)                                                                       \
    extern "C" __global__ void __launch_bounds__(32)                                            \
        name(const bf16 *a, long long lda, const bf16 *b, long long ldb, const void *c,         \
             long long ldc, void *d, long long ldd, long long m, long long n, long long k,      \
             float alpha, const bf16 *bias)                                                     \
    {                                                                                           \
        body(a, lda, b, ldb, c, ldc, d, ldd, m, n, k, alpha, bias, f32);                        \
    }

KERNEL(od_matmul_rows8_bf16, false)
KERNEL(od_matmul_rows8_f32, true)
