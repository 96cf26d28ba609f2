// The inner loops of the product with AVX2 and FMA, compiled with -mavx2 -mfma.
//
// A tile is up to six rows by two vectors of eight columns: twelve accumulators, two registers for
// a row of B and one for an element of A, of sixteen. Few rows take more columns at once, so that
// there are enough independent chains to hide the latency of the multiply-add.

#include "device/cpu/gemm.h"

#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "device/cpu/gemm_internal.h"

enum { LANES = 8, ROWS_MAX = OD_GEMM_GROUP_ROWS, VECTORS_MAX = 8, UNROLL = 4 };

#define INLINE static inline __attribute__((always_inline))

struct place {
    const float *a;
    int64_t a_row;
    int64_t a_col;
    const float *b;
    float *c;
    int64_t ldc;
};

// Eight floats, and a multiply-add with one element of A for two vectors. As text for the assembler,
// because compilers rearrange an unrolled loop of intrinsics until accumulators spill.
#if defined(__SANITIZE_ADDRESS__) || defined(__clang_analyzer__)
#define PLAIN_STEPS 1
#elif defined(__has_feature)
#define PLAIN_STEPS (__has_feature(address_sanitizer) || __has_feature(memory_sanitizer))
#else
#define PLAIN_STEPS 0
#endif

INLINE __m256 load8(const float *from)
{
#if PLAIN_STEPS
    return _mm256_loadu_ps(from);
#else
    __m256 x;
    __asm__ volatile("vmovups %1, %0" : "=x"(x) : "m"(*(const __m256_u *)from));
    return x;
#endif
}

INLINE void multiply_add(const float *a, __m256 b0, __m256 b1, __m256 *sum0, __m256 *sum1)
{
#if PLAIN_STEPS
    const __m256 x = _mm256_broadcast_ss(a);
    *sum0 = _mm256_fmadd_ps(x, b0, *sum0);
    *sum1 = _mm256_fmadd_ps(x, b1, *sum1);
#else
    __m256 x;
    __m256 s0 = *sum0;
    __m256 s1 = *sum1;
    __asm__ volatile(
        "vbroadcastss %3, %2\n\t"
        "vfmadd231ps %4, %2, %0\n\t"
        "vfmadd231ps %5, %2, %1"
        : "+x"(s0), "+x"(s1), "=&x"(x)
        : "m"(*a), "x"(b0), "x"(b1));
    *sum0 = s0;
    *sum1 = s1;
#endif
}

// One step of k: a column of A times a row of B.
INLINE void step(int rows, int vectors, __m256 sum[ROWS_MAX][VECTORS_MAX], const float *a,
                 int64_t a_row, const float *b, int64_t b_panel)
{
    __m256 row[VECTORS_MAX];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; v++) {
        row[v] = load8(b + v / 2 * b_panel + v % 2 * LANES);
    }
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v += 2) {
            multiply_add(a + r * a_row, row[v], row[v + 1], &sum[r][v], &sum[r][v + 1]);
        }
    }
}

// One tile: `rows` x (8 * vectors) elements; vectors 2 i and 2 i + 1 belong to panel i. `next` is
// the tile of C that comes after it.
INLINE void tile(int rows, int vectors, int64_t k, const float *a, int64_t a_row, int64_t a_col,
                 const float *b, int64_t b_row, int64_t b_panel, float *c, int64_t ldc,
                 const float *next, bool load)
{
    __m256 sum[ROWS_MAX][VECTORS_MAX];
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) {
            sum[r][v] =
                load ? _mm256_loadu_ps(c + r * ldc + v * (int64_t)LANES) : _mm256_setzero_ps();
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++) {
        _mm_prefetch(next + r * ldc, _MM_HINT_T0);
    }
    for (; k >= UNROLL; k -= UNROLL) {
#pragma GCC unroll 4
        for (int i = 0; i < UNROLL; i++) {
            step(rows, vectors, sum, a + i * a_col, a_row, b + i * b_row, b_panel);
        }
        a += UNROLL * a_col;
        b += UNROLL * b_row;
    }
    for (; k > 0; k--) {
        step(rows, vectors, sum, a, a_row, b, b_panel);
        a += a_col;
        b += b_row;
    }
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) {
            _mm256_storeu_ps(c + r * ldc + v * (int64_t)LANES, sum[r][v]);
        }
    }
}

// A tile of one panel with any number of rows.
static void tile_rows(int rows, const struct od_gemm_block *block, const struct place *at)
{
    const int64_t k = block->k;
    const int64_t b_row = block->b_row;
    const bool load = block->load;
    switch (rows) {
    case 1: tile(1, 2, k, at->a, 0, at->a_col, at->b, b_row, 0, at->c, 0, at->c, load); break;
    case 2:
        tile(2, 2, k, at->a, at->a_row, at->a_col, at->b, b_row, 0, at->c, at->ldc, at->c, load);
        break;
    case 3:
        tile(3, 2, k, at->a, at->a_row, at->a_col, at->b, b_row, 0, at->c, at->ldc, at->c, load);
        break;
    case 4:
        tile(4, 2, k, at->a, at->a_row, at->a_col, at->b, b_row, 0, at->c, at->ldc, at->c, load);
        break;
    case 5:
        tile(5, 2, k, at->a, at->a_row, at->a_col, at->b, b_row, 0, at->c, at->ldc, at->c, load);
        break;
    default:
        tile(6, 2, k, at->a, at->a_row, at->a_col, at->b, b_row, 0, at->c, at->ldc, at->c, load);
        break;
    }
}

// The last panel when the matrix ends inside it.
static void tile_cut(int rows, int cols, const struct od_gemm_block *block, const struct place *at)
{
    float whole[ROWS_MAX * OD_GEMM_PANEL_COLS] = {0};
    if (block->load) {
        for (int r = 0; r < rows; r++) {
            memcpy(whole + r * OD_GEMM_PANEL_COLS, at->c + r * at->ldc,
                   (size_t)cols * sizeof *whole);
        }
    }
    struct place inside = *at;
    inside.c = whole;
    inside.ldc = OD_GEMM_PANEL_COLS;
    tile_rows(rows, block, &inside);
    for (int r = 0; r < rows; r++) {
        memcpy(at->c + r * at->ldc, whole + r * OD_GEMM_PANEL_COLS, (size_t)cols * sizeof *whole);
    }
}

static struct place place_of_group(const struct od_gemm_block *block, int64_t r0, int rows)
{
    struct place at = {.b = block->b, .c = block->c + r0 * block->ldc, .ldc = block->ldc};
    if (block->a_packed) {
        at.a = block->a + r0 * block->k;
        at.a_row = 1;
        at.a_col = rows;
    } else {
        at.a = block->a + r0 * block->a_row;
        at.a_row = block->a_row;
        at.a_col = block->a_col;
    }
    return at;
}

// Full groups of six against one panel: `a_next` floats from one group of A to the next.
INLINE void full_groups(int64_t groups, const struct od_gemm_block *block, const float *a,
                        int64_t a_row, int64_t a_col, int64_t a_next, const float *b, float *c)
{
    const int64_t k = block->k;
    const int64_t ldc = block->ldc;
    const int64_t b_row = block->b_row;
    const bool load = block->load;
    for (; groups > 0; groups--) {
        float *next = c + ROWS_MAX * ldc;
        tile(ROWS_MAX, 2, k, a, a_row, a_col, b, b_row, 0, c, ldc, groups > 1 ? next : c, load);
        a += a_next;
        c = next;
    }
}

static void full_groups_packed(int64_t groups, const struct od_gemm_block *block, const float *b,
                               float *c)
{
    full_groups(groups, block, block->a, 1, ROWS_MAX, ROWS_MAX * block->k, b, c);
}

static void full_groups_rows(int64_t groups, const struct od_gemm_block *block, const float *b,
                             float *c)
{
    full_groups(groups, block, block->a, block->a_row, 1, ROWS_MAX * block->a_row, b, c);
}

static void full_groups_any(int64_t groups, const struct od_gemm_block *block, const float *b,
                            float *c)
{
    full_groups(groups, block, block->a, block->a_row, block->a_col, ROWS_MAX * block->a_row, b, c);
}

// How many groups of six come before the last one or two, which may be smaller.
static int64_t full_group_count(int64_t rows)
{
    int64_t groups = 0;
    for (; od_gemm_group_rows(rows) == ROWS_MAX; rows -= ROWS_MAX) {
        groups++;
    }
    return groups;
}

// Panel after panel, each against all rows.
static void block_by_panels(const struct od_gemm_block *block)
{
    const int64_t groups = full_group_count(block->rows);
    for (int64_t j = 0; j < block->cols; j += OD_GEMM_PANEL_COLS) {
        const float *b = block->b + j / OD_GEMM_PANEL_COLS * block->b_panel;
        const int64_t left = block->cols - j;
        int64_t r0 = 0;
        if (left >= OD_GEMM_PANEL_COLS) {
            if (block->a_packed) {
                full_groups_packed(groups, block, b, block->c + j);
            } else if (block->a_col == 1) {
                full_groups_rows(groups, block, b, block->c + j);
            } else {
                full_groups_any(groups, block, b, block->c + j);
            }
            r0 = groups * ROWS_MAX;
        }
        while (r0 < block->rows) {
            const int rows = od_gemm_group_rows(block->rows - r0);
            struct place at = place_of_group(block, r0, rows);
            at.b = b;
            at.c += j;
            if (left < OD_GEMM_PANEL_COLS) {
                tile_cut(rows, (int)left, block, &at);
            } else {
                tile_rows(rows, block, &at);
            }
            r0 += rows;
        }
    }
}

// Several full panels at once for one to three rows; gives the columns done.
static int64_t wide_tiles(const struct od_gemm_block *block, int rows, const struct place *at)
{
    const int64_t k = block->k;
    const int64_t b_row = block->b_row;
    const int64_t panel = block->b_panel;
    const int64_t ldc = at->ldc;
    const bool load = block->load;
    const float *b = at->b;
    int64_t j = 0;
    if (rows == 1) {
        for (; j + 64 <= block->cols; j += 64, b += 4 * panel) {
            tile(1, 8, k, at->a, 0, at->a_col, b, b_row, panel, at->c + j, 0, at->c + j, load);
        }
    } else if (rows == 2) {
        for (; j + 32 <= block->cols; j += 32, b += 2 * panel) {
            tile(2, 4, k, at->a, at->a_row, at->a_col, b, b_row, panel, at->c + j, ldc, at->c + j,
                 load);
        }
    } else if (rows == 3) {
        for (; j + 32 <= block->cols; j += 32, b += 2 * panel) {
            tile(3, 4, k, at->a, at->a_row, at->a_col, b, b_row, panel, at->c + j, ldc, at->c + j,
                 load);
        }
    }
    return j;
}

// Group after group, each against all panels.
static void block_by_groups(const struct od_gemm_block *block)
{
    for (int64_t r0 = 0; r0 < block->rows;) {
        const int rows = od_gemm_group_rows(block->rows - r0);
        struct place at = place_of_group(block, r0, rows);
        int64_t j = wide_tiles(block, rows, &at);
        at.b += j / OD_GEMM_PANEL_COLS * block->b_panel;
        at.c += j;
        if (rows == ROWS_MAX && block->a_packed) {
            for (; j + OD_GEMM_PANEL_COLS <= block->cols; j += OD_GEMM_PANEL_COLS) {
                tile(ROWS_MAX, 2, block->k, at.a, 1, ROWS_MAX, at.b, block->b_row, 0, at.c, at.ldc,
                     at.c + OD_GEMM_PANEL_COLS, block->load);
                at.b += block->b_panel;
                at.c += OD_GEMM_PANEL_COLS;
            }
        }
        for (; j + OD_GEMM_PANEL_COLS <= block->cols; j += OD_GEMM_PANEL_COLS) {
            tile_rows(rows, block, &at);
            at.b += block->b_panel;
            at.c += OD_GEMM_PANEL_COLS;
        }
        if (j < block->cols) {
            tile_cut(rows, (int)(block->cols - j), block, &at);
        }
        r0 += rows;
    }
}

static void block_avx2(const struct od_gemm_block *block)
{
    if (block->along_rows || block->rows <= OD_GEMM_GROUP_ROWS) {
        block_by_groups(block);
    } else {
        block_by_panels(block);
    }
}

// Eight rows of eight floats, turned round.
INLINE void transpose8(__m256 x[8])
{
    __m256 t[8];
    __m256 u[8];
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(x[i], x[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(x[i], x[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        u[i] = _mm256_shuffle_ps(t[i], t[i + 2], _MM_SHUFFLE(1, 0, 1, 0));
        u[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], _MM_SHUFFLE(3, 2, 3, 2));
        u[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], _MM_SHUFFLE(1, 0, 1, 0));
        u[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], _MM_SHUFFLE(3, 2, 3, 2));
    }
    for (int i = 0; i < 4; i++) {
        x[i] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x20);
        x[i + 4] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x31);
    }
}

// `count` (1 to 8) lines of `k` floats each, `stride` apart, become k lines of `count` floats,
// `width` apart; lanes behind `count` are 0. A store covers eight floats.
INLINE void turn(float *out, int64_t width, const float *in, int64_t stride, int count, int64_t k)
{
    int64_t p = 0;
    for (; p + LANES <= k; p += LANES) {
        __m256 x[LANES];
        for (int i = 0; i < LANES; i++) {
            x[i] = i < count ? _mm256_loadu_ps(in + i * stride + p) : _mm256_setzero_ps();
        }
        transpose8(x);
        for (int i = 0; i < LANES; i++) {
            _mm256_storeu_ps(out + (p + i) * width, x[i]);
        }
    }
    for (; p < k; p++) {
        float line[LANES] = {0};
        for (int i = 0; i < count; i++) {
            line[i] = in[i * stride + p];
        }
        _mm256_storeu_ps(out + p * width, _mm256_loadu_ps(line));
    }
}

static void pack_b_avx2(float *panel, struct od_mat b, int64_t k, int cols)
{
    if (b.col_stride == 1 && cols == OD_GEMM_PANEL_COLS) {
        const float *in = b.data;
        for (int64_t p = 0; p < k; p++, in += b.row_stride, panel += OD_GEMM_PANEL_COLS) {
            _mm256_store_ps(panel, _mm256_loadu_ps(in));
            _mm256_store_ps(panel + LANES, _mm256_loadu_ps(in + LANES));
        }
    } else if (b.row_stride == 1 && cols == OD_GEMM_PANEL_COLS) {
        turn(panel, OD_GEMM_PANEL_COLS, b.data, b.col_stride, LANES, k);
        turn(panel + LANES, OD_GEMM_PANEL_COLS, b.data + LANES * b.col_stride, b.col_stride, LANES,
             k);
    } else if (b.row_stride == 1) {
        const int low = cols < LANES ? cols : LANES;
        turn(panel, OD_GEMM_PANEL_COLS, b.data, b.col_stride, low, k);
        turn(panel + LANES, OD_GEMM_PANEL_COLS, b.data + low * b.col_stride, b.col_stride,
             cols - low, k);
    } else {
        od_gemm_kernels_scalar.pack_b(panel, b, k, cols);
    }
}

static void pack_a_avx2(float *packed, struct od_mat a, int64_t rows, int64_t k)
{
    for (int64_t r0 = 0; r0 < rows;) {
        const int group = od_gemm_group_rows(rows - r0);
        const float *in = a.data + r0 * a.row_stride;
        float *out = packed + r0 * k;
        if (a.col_stride == 1 && group == OD_GEMM_GROUP_ROWS) {
            turn(out, OD_GEMM_GROUP_ROWS, in, a.row_stride, OD_GEMM_GROUP_ROWS, k);
        } else if (a.col_stride == 1) {
            turn(out, group, in, a.row_stride, group, k);
        } else if (a.row_stride == 1 && group == OD_GEMM_GROUP_ROWS) {
            for (int64_t p = 0; p < k; p++, in += a.col_stride, out += OD_GEMM_GROUP_ROWS) {
                memcpy(out, in, OD_GEMM_GROUP_ROWS * sizeof *out);
            }
        } else {
            for (int64_t p = 0; p < k; p++) {
                for (int r = 0; r < group; r++) {
                    *out++ = in[r * a.row_stride + p * a.col_stride];
                }
            }
        }
        r0 += group;
    }
}

const struct od_gemm_kernels od_gemm_kernels_avx2 = {.block = block_avx2,
                                                     .pack_b = pack_b_avx2,
                                                     .pack_a = pack_a_avx2};

float od_gemm_spin_avx2(int64_t rounds)
{
    __m256 sum[12];
    const __m256 x = _mm256_set1_ps(0.999F);
    const __m256 y = _mm256_set1_ps(0.001F);
#pragma GCC unroll 12
    for (int i = 0; i < 12; i++) {
        sum[i] = _mm256_set1_ps((float)i);
    }
    for (int64_t round = 0; round < rounds; round++) {
#pragma GCC unroll 8
        for (int step = 0; step < 8; step++) {
#pragma GCC unroll 12
            for (int i = 0; i < 12; i++) {
                sum[i] = _mm256_fmadd_ps(sum[i], x, y);
            }
        }
    }
    float lanes[LANES];
    __m256 all = sum[0];
    for (int i = 1; i < 12; i++) {
        all = _mm256_add_ps(all, sum[i]);
    }
    _mm256_storeu_ps(lanes, all);
    return lanes[0];
}
