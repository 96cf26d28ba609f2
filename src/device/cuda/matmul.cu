// Matrix products of bf16 operands where cuBLASLt is missing or has nothing to offer.
//
//     for (i = 0; i < m; i++) for (j = 0; j < n; j++)
//         d[i][j] = alpha * sum_k op(a)[i][k] * op(b)[k][j] (+ c[i][j])
//
// Launch: one block of 256 threads per tile of 128 x 128 of D, in a row; 64 KiB of dynamic shared
// memory. Eight warps, each 64 x 32 of the tile, multiply with mma.sync m16n8k16; the operands come
// in steps of 32 along k through a ring of four stages (cp.async). Any m, n, k >= 0.
// Alignment: operands and leading dimensions 16 bytes; the kernels _any take every alignment and
// load element by element. Bytes moved: every operand element (tiles along the other side) times,
// mostly out of the L2 cache.
// Order: each element of D is one chain of fp32 sums over k in steps of 16, in rising order, inside
// a step as the tensor core adds; scaled, added to C and rounded once. No split along k.
//
// One source for all: the flags of the body are constants in each kernel, so that the compiler
// leaves out what a kernel does not use.

#define TILE    128
#define DEPTH   32
#define STAGES  4
#define THREADS 256
#define TILE_BYTES  (TILE * DEPTH * 2)  // of an operand, in one stage
#define STAGE_BYTES (2 * TILE_BYTES)
#define GROUP   8  // rows of tiles that share columns of B while these are in the cache

typedef unsigned short bf16;

/// Where one 16-byte piece of a stage lies in global and shared memory.
struct piece {
    const bf16 *from;
    unsigned to;     // offset in the operand's stage
    int valid_mn;    // elements inside the matrix along m or n
    int k;           // first index along k within the step
};

static __device__ __forceinline__ unsigned shared_address(const void *pointer)
{
    return (unsigned)__cvta_generic_to_shared(pointer);
}

static __device__ __forceinline__ void copy_async(unsigned to, const void *from, int bytes)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(to), "l"(from), "r"(bytes));
}

static __device__ __forceinline__ void load_4(unsigned r[4], unsigned address, bool transposed)
{
    if (transposed) {
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];\n"
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                     : "r"(address));
    } else {
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];\n"
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                     : "r"(address));
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
// [32 of k][128 of m or n] otherwise. Pieces of 16 bytes are permuted within a row so that the
// eight rows of an 8 x 8 matrix fall into different banks.
static __device__ __forceinline__ unsigned offset_k_fast(int mn, int piece)
{
    return (unsigned)(mn * (DEPTH * 2) + ((piece ^ ((mn >> 1) & 3)) << 4));
}

static __device__ __forceinline__ unsigned offset_mn_fast(int k, int piece)
{
    return (unsigned)(k * (TILE * 2) + ((piece ^ (k & 7)) << 4));
}

/// The two pieces of a thread in an operand: `first` is the tile's first row or column.
static __device__ __forceinline__ void place(struct piece pieces[2], const bf16 *matrix,
                                             long long ld, long long first, long long size,
                                             bool k_fast)
{
    for (int i = 0; i < 2; i++) {
        const int index = (int)threadIdx.x + i * THREADS;
        if (k_fast) {
            const int mn = index >> 2;
            const int at = index & 3;
            pieces[i].k = at * 8;
            pieces[i].valid_mn = first + mn < size ? 8 : 0;
            pieces[i].from = matrix + (pieces[i].valid_mn ? (first + mn) * ld : 0) + at * 8;
            pieces[i].to = offset_k_fast(mn, at);
        } else {
            const int k = index >> 4;
            const int at = index & 15;
            const long long left = size - (first + at * 8);
            pieces[i].k = k;
            pieces[i].valid_mn = left > 8 ? 8 : left > 0 ? (int)left : 0;
            pieces[i].from = matrix + k * ld + (left > 0 ? first + at * 8 : 0);
            pieces[i].to = offset_mn_fast(k, at);
        }
    }
}

/// Fetch an operand's part of the step that starts at k0; what lies outside the matrix becomes 0.
static __device__ __forceinline__ void fetch(char *stage, const struct piece pieces[2],
                                             const bf16 *matrix, long long ld, int k0, int k_size,
                                             bool k_fast, bool aligned)
{
    for (int i = 0; i < 2; i++) {
        const int left = k_size - k0 - pieces[i].k;
        const int valid_k = left > 8 ? 8 : left > 0 ? left : 0;
        const int valid = k_fast ? (pieces[i].valid_mn ? valid_k : 0)
                                 : (valid_k ? pieces[i].valid_mn : 0);
        const bf16 *from = pieces[i].from + (k_fast ? (long long)k0 : (long long)k0 * ld);
        if (aligned) {
            copy_async(shared_address(stage + pieces[i].to), valid ? (const void *)from : matrix,
                       valid * 2);
        } else {
            union {
                bf16 element[8];
                uint4 all;
            } value;
            value.all = make_uint4(0, 0, 0, 0);
            for (int e = 0; e < 8; e++) {
                if (e < valid) {
                    value.element[e] = from[e];
                }
            }
            *(uint4 *)(stage + pieces[i].to) = value.all;
        }
    }
}

/// Which tile of D a block takes: groups of GROUP rows of tiles, column after column.
static __device__ __forceinline__ void tile_of(long long m, long long n, long long *row,
                                               long long *col)
{
    const long long rows = (m + TILE - 1) / TILE;
    const long long cols = (n + TILE - 1) / TILE;
    const long long index = blockIdx.x;
    const long long group = index / (GROUP * cols);
    const long long left = rows - group * GROUP;
    const long long height = left < GROUP ? left : GROUP;
    const long long within = index - group * GROUP * cols;
    *row = (group * GROUP + within % height) * TILE;
    *col = within / height * TILE;
}

static __device__ __forceinline__ void store(void *d, const void *c, long long at_d, long long at_c,
                                             float v0, float v1, float alpha, bool two, bool f32,
                                             bool aligned)
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
        const float r0 = c ? fmaf(alpha, v0, widen(add[0])) : alpha * v0;
        const float r1 = c && two ? fmaf(alpha, v1, widen(add[1])) : alpha * v1;
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
                                            float alpha, bool a_k_fast, bool b_k_fast, bool f32,
                                            bool aligned)
{
    extern __shared__ __align__(128) char shared[];
    const int lane = (int)threadIdx.x & 31;
    const int warp = (int)threadIdx.x >> 5;
    const int warp_m = (warp & 1) * 64;
    const int warp_n = (warp >> 1) * 32;
    const int steps = (int)((k + DEPTH - 1) / DEPTH);
    long long row0;
    long long col0;
    struct piece pieces_a[2];
    struct piece pieces_b[2];
    float sums[4][4][4];
    tile_of(m, n, &row0, &col0);
    place(pieces_a, a, lda, row0, m, a_k_fast);
    place(pieces_b, b, ldb, col0, n, b_k_fast);
#pragma unroll
    for (int i = 0; i < 4; i++) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
#pragma unroll
            for (int e = 0; e < 4; e++) {
                sums[i][j][e] = 0.0f;
            }
        }
    }
#pragma unroll
    for (int s = 0; s < STAGES - 1; s++) {
        if (s < steps) {
            char *stage = shared + s * STAGE_BYTES;
            fetch(stage, pieces_a, a, lda, s * DEPTH, (int)k, a_k_fast, aligned);
            fetch(stage + TILE_BYTES, pieces_b, b, ldb, s * DEPTH, (int)k, b_k_fast, aligned);
        }
        asm volatile("cp.async.commit_group;\n");
    }
    for (int step = 0; step < steps; step++) {
        asm volatile("cp.async.wait_group %0;\n" ::"n"(STAGES - 2));
        __syncthreads();
        const int ahead = step + STAGES - 1;
        if (ahead < steps) {
            char *stage = shared + (ahead % STAGES) * STAGE_BYTES;
            fetch(stage, pieces_a, a, lda, ahead * DEPTH, (int)k, a_k_fast, aligned);
            fetch(stage + TILE_BYTES, pieces_b, b, ldb, ahead * DEPTH, (int)k, b_k_fast, aligned);
        }
        asm volatile("cp.async.commit_group;\n");
        const unsigned base_a = shared_address(shared + (step % STAGES) * STAGE_BYTES);
        const unsigned base_b = base_a + TILE_BYTES;
#pragma unroll
        for (int half = 0; half < DEPTH / 16; half++) {
            unsigned fa[4][4];
            unsigned fb[2][4];
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int mn = warp_m + i * 16;
                const unsigned at =
                    a_k_fast ? offset_k_fast(mn + (lane & 15), half * 2 + (lane >> 4))
                             : offset_mn_fast(half * 16 + (lane & 7) + (lane >> 4) * 8,
                                              (mn >> 3) + ((lane >> 3) & 1));
                load_4(fa[i], base_a + at, !a_k_fast);
            }
#pragma unroll
            for (int j = 0; j < 2; j++) {
                const int mn = warp_n + j * 16;
                const unsigned at =
                    b_k_fast ? offset_k_fast(mn + (lane & 7) + (lane >> 4) * 8,
                                             half * 2 + ((lane >> 3) & 1))
                             : offset_mn_fast(half * 16 + (lane & 15), (mn >> 3) + (lane >> 4));
                load_4(fb[j], base_b + at, !b_k_fast);
            }
#pragma unroll
            for (int i = 0; i < 4; i++) {
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    multiply(sums[i][j], fa[i], fb[j >> 1][(j & 1) * 2],
                             fb[j >> 1][(j & 1) * 2 + 1]);
                }
            }
        }
    }
    asm volatile("cp.async.wait_all;\n");
#pragma unroll
    for (int i = 0; i < 4; i++) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const long long col = col0 + warp_n + j * 8 + (lane & 3) * 2;
#pragma unroll
            for (int h = 0; h < 2; h++) {
                const long long row = row0 + warp_m + i * 16 + h * 8 + (lane >> 2);
                if (row < m && col < n) {
                    store(d, c, row * ldd + col, row * ldc + col, sums[i][j][h * 2],
                          sums[i][j][h * 2 + 1], alpha, col + 1 < n, f32, aligned);
                }
            }
        }
    }
}

#define KERNEL(name, a_k_fast, b_k_fast, f32, aligned)                                            \
    extern "C" __global__ void __launch_bounds__(THREADS, 2)                                      \
        name(const bf16 *a, long long lda, const bf16 *b, long long ldb, const void *c,           \
             long long ldc, void *d, long long ldd, long long m, long long n, long long k,        \
             float alpha)                                                                         \
    {                                                                                             \
        body(a, lda, b, ldb, c, ldc, d, ldd, m, n, k, alpha, a_k_fast, b_k_fast, f32, aligned);   \
    }

// A lies as [m, k] (n) or [k, m] (t), B as [k, n] (n) or [n, k] (t).
KERNEL(od_matmul_nn_bf16, true, false, false, true)
KERNEL(od_matmul_nt_bf16, true, true, false, true)
KERNEL(od_matmul_tn_bf16, false, false, false, true)
KERNEL(od_matmul_tt_bf16, false, true, false, true)
KERNEL(od_matmul_nn_f32, true, false, true, true)
KERNEL(od_matmul_nt_f32, true, true, true, true)
KERNEL(od_matmul_tn_f32, false, false, true, true)
KERNEL(od_matmul_tt_f32, false, true, true, true)
KERNEL(od_matmul_nn_bf16_any, true, false, false, false)
KERNEL(od_matmul_nt_bf16_any, true, true, false, false)
KERNEL(od_matmul_tn_bf16_any, false, false, false, false)
KERNEL(od_matmul_tt_bf16_any, false, true, false, false)
KERNEL(od_matmul_nn_f32_any, true, false, true, false)
KERNEL(od_matmul_nt_f32_any, true, true, true, false)
KERNEL(od_matmul_tn_f32_any, false, false, true, false)
KERNEL(od_matmul_tt_f32_any, false, true, true, false)
