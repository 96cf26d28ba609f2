/**
 * @file
 * Gradient of the embedding table: row ids[t] gets the gradient of token t, tokens in order.
 *
 * @thread Re-entrant: distinct column ranges.
 */
#ifndef OD_OPS_EMBED_KERNEL_H
#define OD_OPS_EMBED_KERNEL_H

#include <stdint.h>

static void embed_bwd(float *dw, const float *dy, const int32_t *ids, int64_t rows, int64_t cols,
                      int64_t first, int64_t last)
{
    for (int64_t t = 0; t < rows; t++) {
        float *to = dw + (int64_t)ids[t] * cols;
        const float *from = dy + t * cols;
        for (int64_t c = first; c < last; c++) {
            to[c] += from[c];
        }
    }
}

#endif
