/**
 * @file
 * AdamW with decoupled weight decay, in the order of torch.optim.AdamW.
 *
 *     w *= 1 - lr * decay;  m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2
 *     w -= lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps)
 *
 * @source Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019, algorithm 2.
 * @thread Re-entrant: distinct element ranges.
 */
#ifndef OD_OPS_ADAMW_KERNEL_H
#define OD_OPS_ADAMW_KERNEL_H

#include <math.h>
#include <stdint.h>

#include "device/cpu/vmath.h"
#include "ops/kernels.h"

static void adamw(float *w, float *m, float *v, const float *g, const struct od_adamw_step *step,
                  int64_t first, int64_t last)
{
    for (int64_t i = first; i < last; i++) {
        const float gi = g[i] * step->grad_scale;
        m[i] = m[i] * step->beta1 + gi * step->one_minus_beta1;
        v[i] = v[i] * step->beta2 + (gi * gi) * step->one_minus_beta2;
        const float root = sqrtf(v[i]) * step->inv_sqrt_bc2 + step->eps;
        w[i] = w[i] * step->decay - step->step_size * (m[i] / root);
    }
}

static double sum_squares(const float *x, int64_t n)
{
    double lane[8] = {0};
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        for (int j = 0; j < 8; j++) {
            lane[j] += (double)x[i + j] * (double)x[i + j];
        }
    }
    double sum =
        ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
    for (; i < n; i++) {
        sum += (double)x[i] * (double)x[i];
    }
    return sum;
}

#endif
