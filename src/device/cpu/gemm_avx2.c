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

enum { LANES = 8, ROWS_MAX = OD_GEMM_GROUP_ROWS, VECTORS_MAX = 8 };

#define INLINE static inline __attribute__((always_inline))

// One tile: `rows` x (8 * vectors) elements; vectors 2 i and 2 i + 1 belong to panel i.
INLINE void tile(int rows, int vectors, const struct od_gemm_block *block, const float *a,
                 int64_t a_row, int64_t a_col, const float *b, float *c, int64_t ldc)
{
    __m256 sum[ROWS_MAX][VECTORS_MAX];
    const int64_t b_row = block->b_row;
    const int64_t b_panel = block->b_panel;
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) {
            sum[r][v] = block->load ? _mm256_loadu_ps(c + r * ldc + v * (int64_t)LANES)
                                    : _mm256_setzero_ps();
        }
    }
    for (int64_t p = block->k; p > 0; p--) {
        __m256 row[VECTORS_MAX];
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++) {
            row[v] = _mm256_loadu_ps(b + v / 2 * b_panel + v % 2 * LANES);
        }
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++) {
            const __m256 x = _mm256_broadcast_ss(a + r * a_row);
#pragma GCC unroll 8
            for (int v = 0; v < vectors; v++) {
                sum[r][v] = _mm256_fmadd_ps(x, row[v], sum[r][v]);
            }
        }
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

struct place {
    const float *a;
    int64_t a_row;
    int64_t a_col;
    const float *b;
    float *c;
    int64_t ldc;
};

// Tiles of one panel.
static void tile_rows(int rows, const struct od_gemm_block *block, struct place at)
{
    switch (rows) {
    case 1: tile(1, 2, block, at.a, at.a_row, at.a_col, at.b, at.c, at.ldc); break;
    case 2: tile(2, 2, block, at.a, at.a_row, at.a_col, at.b, at.c, at.ldc); break;
    case 3: tile(3, 2, block, at.a, at.a_row, at.a_col, at.b, at.c, at.ldc); break;
    case 4: tile(4, 2, block, at.a, at.a_row, at.a_col, at.b, at.c, at.ldc); break;
    case 5: tile(5, 2, block, at.a, at.a_row, at.a_col, at.b, at.c, at.ldc); break;
    default:
        if (block->a_packed) {
            tile(6, 2, block, at.a, 1, 6, at.b, at.c, at.ldc);
        } else if (at.a_col == 1) {
            tile(6, 2, block, at.a, at.a_row, 1, at.b, at.c, at.ldc);
        } else {
            tile(6, 2, block, at.a, at.a_row, at.a_col, at.b, at.c, at.ldc);
        }
        break;
    }
}

// The last panel when the matrix ends inside it.
static void tile_cut(int rows, int cols, const struct od_gemm_block *block, struct place at)
{
    float whole[ROWS_MAX * OD_GEMM_PANEL_COLS];
    float *const c = at.c;
    if (block->load) {
        for (int r = 0; r < rows; r++) {
            memcpy(whole + r * OD_GEMM_PANEL_COLS, c + r * at.ldc, (size_t)cols * sizeof *c);
            memset(whole + r * OD_GEMM_PANEL_COLS + cols, 0,
                   (size_t)(OD_GEMM_PANEL_COLS - cols) * sizeof *c);
        }
    }
    const int64_t ldc = at.ldc;
    at.c = whole;
    at.ldc = OD_GEMM_PANEL_COLS;
    tile_rows(rows, block, at);
    for (int r = 0; r < rows; r++) {
        memcpy(c + r * ldc, whole + r * OD_GEMM_PANEL_COLS, (size_t)cols * sizeof *c);
    }
}

// All columns of a block for one group of rows, several panels at once when rows are few.
static void group_along(const struct od_gemm_block *block, int rows, struct place at)
{
    int64_t j = 0;
    const int64_t cols = block->cols;
    if (rows == 1) {
        for (; j + 64 <= cols; j += 64, at.b += 4 * block->b_panel, at.c += 64) {
            tile(1, 8, block, at.a, at.a_row, at.a_col, at.b, at.c, at.ldc);
        }
    } else if (rows == 2) {
        for (; j + 32 <= cols; j += 32, at.b += 2 * block->b_panel, at.c += 32) {
            tile(2, 4, block, at.a, at.a_row, at.a_col, at.b, at.c, at.ldc);
        }
    } else if (rows == 3) {
        for (; j + 32 <= cols; j += 32, at.b += 2 * block->b_panel, at.c += 32) {
            tile(3, 4, block, at.a, at.a_row, at.a_col, at.b, at.c, at.ldc);
        }
    }
    for (; j + OD_GEMM_PANEL_COLS <= cols; j += OD_GEMM_PANEL_COLS) {
        tile_rows(rows, block, at);
        at.b += block->b_panel;
        at.c += OD_GEMM_PANEL_COLS;
    }
    if (j < cols) {
        tile_cut(rows, (int)(cols - j), block, at);
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

static void block_avx2(const struct od_gemm_block *block)
{
    if (block->along_rows || block->rows <= OD_GEMM_GROUP_ROWS) {
        for (int64_t r0 = 0; r0 < block->rows;) {
            const int rows = od_gemm_group_rows(block->rows - r0);
            group_along(block, rows, place_of_group(block, r0, rows));
            r0 += rows;
        }
        return;
    }
    for (int64_t j = 0; j < block->cols; j += OD_GEMM_PANEL_COLS) {
        const int64_t left = block->cols - j;
        for (int64_t r0 = 0; r0 < block->rows;) {
            const int rows = od_gemm_group_rows(block->rows - r0);
            struct place at = place_of_group(block, r0, rows);
            at.b += j / OD_GEMM_PANEL_COLS * block->b_panel;
            at.c += j;
            if (left < OD_GEMM_PANEL_COLS) {
                tile_cut(rows, (int)left, block, at);
            } else {
                tile_rows(rows, block, at);
            }
            r0 += rows;
        }
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
