// Blocks of the product with AVX-512, compiled with -mavx512f.
//
// A tile is two groups of six rows by two panels, 24 accumulators of 32 registers: a row of B is read
// once for twelve rows. Groups that have no partner take four panels, so that there are as many chains.
// Columns behind the matrix are masked.

#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>

#include "device/cpu/gemm.h"
#include "device/cpu/gemm_internal.h"

#define INLINE static inline __attribute__((always_inline))

enum {
    NR = OD_GEMM_PANEL_COLS,
    GROUP = OD_GEMM_GROUP_ROWS,
    ROWS_MAX = OD_GEMM_TWO_GROUPS,
    PANELS_MAX = 4,
    LINE_FLOATS = 16,
    FAR_FLOATS = 1 << 16,
    AHEAD_ROWS = 16  // of a panel that comes from memory
};

// Where a tile's operands are. Rows from GROUP on have their own start.
struct place {
    const float *a;
    const float *a_second;
    int64_t a_row;
    int64_t a_col;
    const float *b;
    float *c;
};

INLINE const float *row_of(const struct place *at, int row)
{
    return row < GROUP ? at->a + row * at->a_row : at->a_second + (row - GROUP) * at->a_row;
}

// `rows` x (16 * panels) elements; `mask` are the columns of the last panel.
INLINE void tile(int rows, int panels, const struct od_gemm_block *block, struct place at,
                 __mmask16 mask, bool far)
{
    __m512 sum[ROWS_MAX][PANELS_MAX];
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++) {
        float *c = at.c + r * block->ldc;
#pragma GCC unroll 4
        for (int v = 0; v < panels; v++) {
            const __mmask16 here = v + 1 < panels ? (__mmask16)0xFFFF : mask;
            sum[r][v] = block->load ? _mm512_maskz_loadu_ps(here, c + v * (int64_t)NR)
                                    : _mm512_setzero_ps();
            _mm_prefetch(c + (v + panels) * (int64_t)NR, _MM_HINT_T0);
        }
    }
    for (int64_t p = 0; p < block->k; p++) {
        __m512 row[PANELS_MAX];
#pragma GCC unroll 4
        for (int v = 0; v < panels; v++) {
            row[v] = _mm512_loadu_ps(at.b + v * block->b_panel);
            if (far) {
                _mm_prefetch(at.b + v * block->b_panel + AHEAD_ROWS * block->b_row, _MM_HINT_T0);
            }
        }
#pragma GCC unroll 12
        for (int r = 0; r < rows; r++) {
            const __m512 x = _mm512_set1_ps(*row_of(&at, r));
#pragma GCC unroll 4
            for (int v = 0; v < panels; v++) {
                sum[r][v] = _mm512_fmadd_ps(x, row[v], sum[r][v]);
            }
        }
        at.a += at.a_col;
        at.a_second += at.a_col;
        at.b += block->b_row;
    }
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 4
        for (int v = 0; v < panels; v++) {
            const __mmask16 here = v + 1 < panels ? (__mmask16)0xFFFF : mask;
            _mm512_mask_storeu_ps(at.c + r * block->ldc + v * (int64_t)NR, here, sum[r][v]);
        }
    }
}

// Packed rows stand side by side: with the stride known, their addresses are constants.
INLINE void tile_of(int rows, int panels, const struct od_gemm_block *block, struct place at,
                    __mmask16 mask, bool far)
{
    if (block->a_packed) {
        at.a_row = 1;
        at.a_col = rows > GROUP ? GROUP : rows;
    }
    tile(rows, panels, block, at, mask, far);
}

// Rows of a tile against all panels.
INLINE void run_rows(int rows, int panels, const struct od_gemm_block *block, struct place at,
                     bool far)
{
    int64_t left = block->cols;
    for (; left >= (int64_t)panels * NR; left -= (int64_t)panels * NR) {
        tile_of(rows, panels, block, at, 0xFFFF, far);
        at.b += panels * block->b_panel;
        at.c += panels * (int64_t)NR;
    }
    for (; left > 0; left -= NR) {
        const __mmask16 mask = (__mmask16)(left >= NR ? 0xFFFFu : (1u << left) - 1u);
        tile_of(rows, 1, block, at, mask, far);
        at.b += block->b_panel;
        at.c += NR;
    }
}

static void twelve(const struct od_gemm_block *block, const struct place *at)
{
    run_rows(ROWS_MAX, 2, block, *at, false);
}

static void six(const struct od_gemm_block *block, const struct place *at)
{
    run_rows(GROUP, PANELS_MAX, block, *at, false);
}

// Fewer rows than a group, often of weights that come from memory.
static void few(int rows, const struct od_gemm_block *block, const struct place *at)
{
    const bool far = block->k * block->cols > FAR_FLOATS;
    switch (rows) {
    case 1: run_rows(1, PANELS_MAX, block, *at, far); break;
    case 2: run_rows(2, PANELS_MAX, block, *at, far); break;
    case 3: run_rows(3, PANELS_MAX, block, *at, far); break;
    case 4: run_rows(4, PANELS_MAX, block, *at, far); break;
    case 5: run_rows(5, PANELS_MAX, block, *at, far); break;
    default: six(block, at); break;
    }
}

static struct place place_of(const struct od_gemm_block *block, int64_t first)
{
    const int64_t stride = block->a_packed ? block->k : block->a_row;
    return (struct place){.a = block->a + first * stride,
                          .a_second = block->a + (first + GROUP) * stride,
                          .a_row = block->a_row,
                          .a_col = block->a_col,
                          .b = block->b,
                          .c = block->c + first * block->ldc};
}

void od_gemm_block_avx512(const struct od_gemm_block *block)
{
    for (int64_t first = 0; first < block->rows;) {
        const int64_t left = block->rows - first;
        const int rows = od_gemm_group_rows(left);
        const struct place at = place_of(block, first);
        if (rows == GROUP && left > GROUP && od_gemm_group_rows(left - GROUP) == GROUP) {
            twelve(block, &at);
            first += ROWS_MAX;
        } else {
            few(rows, block, &at);
            first += rows;
        }
    }
}

float od_gemm_spin_avx512(int64_t rounds)
{
    __m512 sum[12];
    const __m512 x = _mm512_set1_ps(0.999F);
    const __m512 y = _mm512_set1_ps(0.001F);
#pragma GCC unroll 12
    for (int i = 0; i < 12; i++) {
        sum[i] = _mm512_set1_ps((float)i);
    }
    for (int64_t round = 0; round < rounds; round++) {
#pragma GCC unroll 8
        for (int step = 0; step < 8; step++) {
#pragma GCC unroll 12
            for (int i = 0; i < 12; i++) {
                sum[i] = _mm512_fmadd_ps(sum[i], x, y);
            }
        }
    }
    __m512 all = sum[0];
    for (int i = 1; i < 12; i++) {
        all = _mm512_add_ps(all, sum[i]);
    }
    return _mm512_reduce_add_ps(all);
}
