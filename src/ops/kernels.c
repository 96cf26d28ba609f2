// Compiled twice: OD_VARIANT is base (any x86-64) or avx2. Nothing here is a fused multiply-add, so
// both give the same bits.

#include "ops/kernels.h"

#include <stdint.h>

#include "ops/adamw/adamw_kernel.h"
#include "ops/attention/attention_kernel.h"
#include "ops/dropout/dropout_kernel.h"
#include "ops/embed/embed_kernel.h"
#include "ops/glu/glu_kernel.h"
#include "ops/head/head_kernel.h"
#include "ops/head_norm/head_norm_kernel.h"
#include "ops/layer_norm/layer_norm_kernel.h"
#include "ops/rms_norm/rms_norm_kernel.h"
#include "ops/rope/rope_kernel.h"

static void add(float *y, const float *x, int64_t first, int64_t last)
{
    for (int64_t i = first; i < last; i++) {
        y[i] += x[i];
    }
}

static void scale(float *y, float s, int64_t first, int64_t last)
{
    for (int64_t i = first; i < last; i++) {
        y[i] *= s;
    }
}

static void column_sums(float *sums, const float *x, int64_t rows, int64_t cols, int64_t first,
                        int64_t last)
{
    for (int64_t row = 0; row < rows; row++) {
        const float *xr = x + row * cols;
        for (int64_t c = first; c < last; c++) {
            sums[c] += xr[c];
        }
    }
}

const struct od_cpu_kernels OD_KERNEL(od_cpu_kernels) = {
    .rms_norm = rms_norm,
    .rms_norm_bwd = rms_norm_bwd,
    .rms_norm_dw = rms_norm_dw,
    .layer_norm = layer_norm,
    .layer_norm_bwd = layer_norm_bwd,
    .layer_norm_dw = layer_norm_dw,
    .head_norm = head_norm,
    .head_norm_bwd = head_norm_bwd,
    .head_norm_dw = head_norm_dw,
    .glu = glu,
    .glu_bwd = glu_bwd,
    .activation = activation,
    .activation_bwd = activation_bwd,
    .column_sums = column_sums,
    .rope = rope,
    .add = add,
    .scale = scale,
    .softmax_rows = softmax_rows,
    .softmax_again = softmax_again,
    .softmax_bwd = softmax_bwd,
    .dot = dot,
    .cross_entropy = cross_entropy,
    .attend_row = attend_row,
    .embed_bwd = embed_bwd,
    .dropout = dropout,
    .adamw = adamw,
    .sum_squares = sum_squares,
};
