/**
 * @file
 * Dropout in front of an adapter: y = x * mask / (1 - p).
 *
 * The mask is a function of (seed, stream, pass, row, column) alone: word c mod 4 of the Philox draw
 * for element row * ceil(cols / 4) + c / 4; a value is kept when the word is not below p * 2^32. So
 * the backward pass draws it anew, and the GPU draws the same.
 *
 * @source Srivastava et al., "Dropout", 2014; Salmon et al., "Parallel random numbers", 2011.
 * @thread Re-entrant: distinct rows.
 */
#ifndef OD_OPS_DROPOUT_KERNEL_H
#define OD_OPS_DROPOUT_KERNEL_H

#include <stdint.h>

#include "base/random.h"
#include "ops/kernels.h"

static void dropout(float *y, const float *x, int64_t cols, const struct od_dropout *mask,
                    int accumulate, int64_t first, int64_t last)
{
    const uint64_t groups = (uint64_t)(cols + 3) / 4u;
    for (int64_t row = first; row < last; row++) {
        const float *xr = x + row * cols;
        float *yr = y + row * cols;
        for (int64_t c = 0; c < cols; c += 4) {
            const struct od_philox draw =
                od_philox_draw(mask->seed, mask->stream, mask->pass,
                               (uint64_t)(row + mask->first_row) * groups + (uint64_t)c / 4u);
            for (int64_t i = 0; i < 4 && c + i < cols; i++) {
                const float kept = draw.word[i] >= mask->threshold ? xr[c + i] * mask->scale : 0.0F;
                yr[c + i] = accumulate ? yr[c + i] + kept : kept;
            }
        }
    }
}

#endif
