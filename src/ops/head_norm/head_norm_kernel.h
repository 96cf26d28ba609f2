/**
 * @file
 * Root-mean-square normalisation of each query and key head of a row, values copied.
 *
 * Rows are (h + 2 g) heads of size d; query heads are scaled by w[0..d), key heads by w[d..2d).
 * rstd [rows, h + g].
 *
 * @source Qwen3's attention (transformers): q_norm and k_norm before the rotation.
 * @order  As rms_norm_kernel.h; sums over rows: in row order, heads in order.
 * @thread Re-entrant.
 */
#ifndef OD_OPS_HEAD_NORM_KERNEL_H
#define OD_OPS_HEAD_NORM_KERNEL_H

#include <stdint.h>
#include <string.h>

#include "ops/rms_norm/rms_norm_kernel.h"

static void head_norm(float *y, float *rstd, const float *x, const float *w, int64_t h, int64_t g,
                      int64_t d, float eps, int64_t first, int64_t last)
{
    const int64_t stride = (h + 2 * g) * d;
    for (int64_t row = first; row < last; row++) {
        for (int64_t head = 0; head < h + g; head++) {
            const int64_t at = row * stride + head * d;
            rms_norm(y + at, rstd ? rstd + row * (h + g) + head : NULL, x + at,
                     w + (head < h ? 0 : d), d, eps, 0, 1);
        }
        memcpy(y + row * stride + (h + g) * d, x + row * stride + (h + g) * d,
               (size_t)(g * d) * sizeof *y);
    }
}

static void head_norm_bwd(float *dx, const float *dy, const float *x, const float *w,
                          const float *rstd, int64_t h, int64_t g, int64_t d, int accumulate,
                          int64_t first, int64_t last)
{
    const int64_t stride = (h + 2 * g) * d;
    for (int64_t row = first; row < last; row++) {
        for (int64_t head = 0; head < h + g; head++) {
            const int64_t at = row * stride + head * d;
            rms_norm_bwd(dx + at, dy + at, x + at, w + (head < h ? 0 : d),
                         rstd + row * (h + g) + head, d, accumulate, 0, 1);
        }
        for (int64_t i = row * stride + (h + g) * d; i < (row + 1) * stride; i++) {
            dx[i] = accumulate ? dx[i] + dy[i] : dy[i];
        }
    }
}

// Columns [first, last) of dw [2, d].
static void head_norm_dw(float *dw, const float *dy, const float *x, const float *rstd,
                         int64_t rows, int64_t h, int64_t g, int64_t d, int64_t first, int64_t last)
{
    const int64_t stride = (h + 2 * g) * d;
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t head = 0; head < h + g; head++) {
            const int64_t at = row * stride + head * d;
            rms_norm_dw(dw + (head < h ? 0 : d), dy + at, x + at, rstd + row * (h + g) + head, 1, d,
                        first, last);
        }
    }
}

#endif
