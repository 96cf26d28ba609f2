// The product in plain C: the definition, and blocks and packing for processors without AVX2.

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "device/cpu/gemm.h"
#include "device/cpu/gemm_internal.h"

void od_gemm_ref(int64_t m, int64_t n, int64_t k, struct od_mat a, struct od_mat b, float *c,
                 int64_t ldc, bool accumulate)
{
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < n; j++) {
            float sum = accumulate ? c[i * ldc + j] : 0.0F;
            for (int64_t p = 0; p < k; p++) {
                sum = fmaf(a.data[i * a.row_stride + p * a.col_stride],
                           b.data[p * b.row_stride + j * b.col_stride], sum);
            }
            c[i * ldc + j] = sum;
        }
    }
}

static void row_panel(int64_t k, const float *a, int64_t a_col, const float *b, int64_t b_row,
                      float *c, int cols, bool load)
{
    float sum[OD_GEMM_PANEL_COLS] = {0};
    if (load) {
        memcpy(sum, c, (size_t)cols * sizeof *c);
    }
    for (int64_t p = 0; p < k; p++) {
        const float x = a[p * a_col];
        for (int j = 0; j < OD_GEMM_PANEL_COLS; j++) {
            sum[j] = fmaf(x, b[p * b_row + j], sum[j]);
        }
    }
    memcpy(c, sum, (size_t)cols * sizeof *c);
}

static void block_scalar(const struct od_gemm_block *block)
{
    for (int64_t r0 = 0; r0 < block->rows;) {
        const int rows = od_gemm_group_rows(block->rows - r0);
        for (int64_t j = 0; j < block->cols; j += OD_GEMM_PANEL_COLS) {
            const int64_t left = block->cols - j;
            const int cols = left < OD_GEMM_PANEL_COLS ? (int)left : OD_GEMM_PANEL_COLS;
            const float *b = block->b + j / OD_GEMM_PANEL_COLS * block->b_panel;
            for (int r = 0; r < rows; r++) {
                const float *a = block->a_packed ? block->a + r0 * block->k + r
                                                 : block->a + (r0 + r) * block->a_row;
                row_panel(block->k, a, block->a_packed ? rows : block->a_col, b, block->b_row,
                          block->c + (r0 + r) * block->ldc + j, cols, block->load);
            }
        }
        r0 += rows;
    }
}

static void pack_b_scalar(float *packed, int64_t panel, struct od_mat b, int64_t k, int64_t cols)
{
    for (int64_t at = 0; at < cols; at += OD_GEMM_PANEL_COLS, packed += panel) {
        for (int64_t p = 0; p < k; p++) {
            for (int j = 0; j < OD_GEMM_PANEL_COLS; j++) {
                packed[p * OD_GEMM_PANEL_COLS + j] =
                    at + j < cols ? b.data[p * b.row_stride + (at + j) * b.col_stride] : 0.0F;
            }
        }
    }
}

static void pack_a_scalar(float *packed, struct od_mat a, int64_t rows, int64_t k)
{
    for (int64_t r0 = 0; r0 < rows;) {
        const int group = od_gemm_group_rows(rows - r0);
        for (int r = 0; r < group; r++) {
            for (int64_t p = 0; p < k; p++) {
                packed[r0 * k + p * group + r] = a.data[(r0 + r) * a.row_stride + p * a.col_stride];
            }
        }
        r0 += group;
    }
}

const struct od_gemm_kernels od_gemm_kernels_scalar = {.block = block_scalar,
                                                       .pack_b = pack_b_scalar,
                                                       .pack_a = pack_a_scalar};
