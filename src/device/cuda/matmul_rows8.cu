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
    DEPTH = OD_ROWS8_TILE_K,
    STAGES = OD_ROWS8_STAGES,
    ROW_BYTES = DEPTH * 2,
    A_BYTES = ROWS * ROW_BYTES,  // of A in a stage; B follows
    STAGE_BYTES = (ROWS + COLS) * ROW_BYTES,
    PIECES = DEPTH / 8,          // of 16 bytes in a row
    ROWS_AT_ONCE = 32 / PIECES,  // that a warp fetches
    PIECES_A = ROWS / ROWS_AT_ONCE,  // that a lane fetches in a step
    PIECES_B = COLS / ROWS_AT_ONCE,
    SIXTEENS = DEPTH / 16,  // products in a step
};

/// One step's operands, sixteen of k at a time; two times sixteen of A in one.
struct fragments {
    unsigned b[SIXTEENS][4];
    unsigned a[SIXTEENS / 2][4];
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
static __device__ __forceinline__ int valid_bytes(int at, int k)
{
    const int left = k - at;
    return left >= 8 ? 16 : left > 0 ? left * 2 : 0;
}

/// Where a lane's pieces come from and go to. Columns behind the last one are read from the last one:
/// what they give is not stored.
struct lane_pieces {
    const bf16 *a;
    const bf16 *b[PIECES_B];
    int row;     // of the first piece
    int column;  // in a step
};

static __device__ __forceinline__ struct lane_pieces place(const bf16 *a, const bf16 *b,
                                                           long long lda, long long ldb,
                                                           long long n)
{
    struct lane_pieces p;
    p.row = (int)threadIdx.x / PIECES;
    p.column = (int)threadIdx.x % PIECES * 8;
    p.a = a + p.row * lda + p.column;
#pragma unroll
    for (int i = 0; i < PIECES_B; i++) {
        const long long col = (long long)blockIdx.x * COLS + p.row + i * ROWS_AT_ONCE;
        p.b[i] = b + (col < n ? col : n - 1) * ldb + p.column;
    }
    return p;
}

/// Piece `i` of a step that begins at `at` of k.
static __device__ __forceinline__ void fetch_b(unsigned stage, const struct lane_pieces *p, int i,
                                               int at, int bytes)
{
    copy_async(stage + A_BYTES + offset(p->row + i * ROWS_AT_ONCE, p->column / 8), p->b[i] + at,
               bytes);
}

static __device__ __forceinline__ void fetch_a(unsigned stage, const struct lane_pieces *p, int i,
                                               long long lda, int rows, int at, int bytes)
{
    if (p->row + i * ROWS_AT_ONCE < rows) {
        copy_async(stage + offset(p->row + i * ROWS_AT_ONCE, p->column / 8),
                   p->a + i * ROWS_AT_ONCE * lda + at, bytes);
    }
}

static __device__ __forceinline__ uint4 load_piece(const bf16 *from, int elements)
{
    unsigned half[8];
    if (elements == 8) {
        return __ldcg((const uint4 *)from);
    }
#pragma unroll
    for (int e = 0; e < 8; e++) {
        half[e] = e < elements ? __ldcg(from + e) : 0u;
    }
    return make_uint4(half[0] | half[1] << 16, half[2] | half[3] << 16, half[4] | half[5] << 16,
                      half[6] | half[7] << 16);
}

/// A's rows of the first `steps` steps, whose weights are on their way already: some pieces at a time, so
/// that all of few rows are asked for before the first has come.
static __device__ __forceinline__ void bring_a(char *ring, const bf16 *a, long long lda, int rows,
                                               int steps, int k)
{
    enum { AT_A_TIME = 4 };
    const int row = (int)threadIdx.x / PIECES;
    const int piece = (int)threadIdx.x % PIECES;
#pragma unroll 1
    for (int first = 0; first < steps * rows; first += AT_A_TIME * ROWS_AT_ONCE) {
        uint4 pieces[AT_A_TIME];
#pragma unroll
        for (int i = 0; i < AT_A_TIME; i++) {
            const int which = first + i * ROWS_AT_ONCE + row;  // step * rows + row
            const int column = which / rows * DEPTH + piece * 8;
            pieces[i] = which < steps * rows ? load_piece(a + which % rows * lda + column,
                                                          valid_bytes(column, k) / 2)
                                             : make_uint4(0, 0, 0, 0);
        }
#pragma unroll
        for (int i = 0; i < AT_A_TIME; i++) {
            const int which = first + i * ROWS_AT_ONCE + row;
            if (which < steps * rows) {
                *(uint4 *)(ring + which / rows * STAGE_BYTES + offset(which % rows, piece)) =
                    pieces[i];
            }
        }
    }
}

static __device__ __forceinline__ void read_b(struct fragments *f, unsigned stage, int i, int lane)
{
    load_4(f->b[i], stage + A_BYTES + offset(lane & 15, i * 2 + (lane >> 4)));
}

static __device__ __forceinline__ void read_a(struct fragments *f, unsigned stage, int pair,
                                              int lane)
{
    load_4(f->a[pair], stage + offset(lane & 7, pair * 4 + (lane >> 3)));
}

static __device__ __forceinline__ void store(const float sums[4], const void *c, long long ldc,
                                             void *d, long long ldd, long long m, long long n,
                                             float alpha, const bf16 *bias, bool f32)
{
    const int lane = (int)threadIdx.x;
#pragma unroll
    for (int e = 0; e < 4; e++) {
        const long long row = (lane & 3) * 2 + (e & 1);
        const long long col = (long long)blockIdx.x * COLS + (lane >> 2) + (e >> 1) * 8;
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

static __device__ __forceinline__ void body(const bf16 *a, long long lda, const bf16 *b,
                                            long long ldb, const void *c, long long ldc, void *d,
                                            long long ldd, long long m, long long n, long long k,
                                            float alpha, const bf16 *bias, bool f32)
{
    extern __shared__ __align__(128) char shared[];
    const int lane = (int)threadIdx.x;
    const int depth = (int)k;
    const int rows = (int)m;
    const int steps = (depth + DEPTH - 1) / DEPTH;
    const unsigned ring = (unsigned)__cvta_generic_to_shared(shared);
    const unsigned ring_end = ring + STAGES * STAGE_BYTES;
    const struct lane_pieces pieces = place(a, b, lda, ldb, n);
    struct fragments now;
    struct fragments next;
    float sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    od_let_next_begin();
#pragma unroll 1
    for (int s = 0; s < STAGES - 1; s++) {
        const int bytes = valid_bytes(s * DEPTH + pieces.column, depth);
#pragma unroll
        for (int i = 0; i < PIECES_B && s < steps; i++) {
            fetch_b(ring + s * STAGE_BYTES, &pieces, i, bytes > 0 ? s * DEPTH : 0, bytes);
        }
        asm volatile("cp.async.commit_group;\n" ::: "memory");
    }
    od_wait_for_last();
    bring_a(shared, a, lda, rows, steps < STAGES - 1 ? steps : STAGES - 1, depth);
    asm volatile("cp.async.wait_group %0;\n" ::"n"(STAGES - 2) : "memory");
    __syncwarp();
#pragma unroll
    for (int i = 0; i < SIXTEENS && steps > 0; i++) {
        read_b(&now, ring, i, lane);
        if (i % 2 == 0) {
            read_a(&now, ring, i / 2, lane);
        }
    }
    unsigned read_stage = ring;
    unsigned write_stage = ring_end - STAGE_BYTES;
#pragma unroll 2
    for (int step = 0; step < steps; step++) {
        const bool more = step + STAGES - 1 < steps;
        const int at = (step + STAGES - 1) * DEPTH;
        const int bytes = valid_bytes(at + pieces.column, depth);
        const int from = bytes > 0 ? at : 0;
        // The next step has come, and nobody reads the one before any more.
        asm volatile("cp.async.wait_group %0;\n" ::"n"(STAGES - 3) : "memory");
        __syncwarp();
        read_stage += STAGE_BYTES;
        read_stage = read_stage == ring_end ? ring : read_stage;
        // Each product waits for the one before; the next step's operands are read in between. Behind the
        // last step that is what nobody uses.
#pragma unroll
        for (int i = 0; i < SIXTEENS; i++) {
            multiply(sums, now.b[i], now.a[i / 2][i % 2 * 2], now.a[i / 2][i % 2 * 2 + 1]);
            read_b(&next, read_stage, i, lane);
            if (i % 2 == 0) {
                read_a(&next, read_stage, i / 2, lane);
            }
            if (more && i < PIECES_B) {
                fetch_b(write_stage, &pieces, i, from, bytes);
            }
            if (more && i < PIECES_A) {
                fetch_a(write_stage, &pieces, i, lda, rows, from, bytes);
            }
        }
        asm volatile("cp.async.commit_group;\n" ::: "memory");
        write_stage += STAGE_BYTES;
        write_stage = write_stage == ring_end ? ring : write_stage;
        now = next;
    }
    asm volatile("cp.async.wait_all;\n" ::: "memory");
    store(sums, c, ldc, d, ldd, m, n, alpha, bias, f32);
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
