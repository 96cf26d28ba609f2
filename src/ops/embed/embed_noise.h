/**
 * @file
 * Noise on the rows of the embedding while training: y[t][c] += u * alpha / sqrt(L C), with u
 * uniform in [-1, 1), L the tokens of the row's document and C the channels.
 *
 * u is a function of (seed, stream, pass, row, column) alone: word c mod 4 of the Philox draw for
 * element row * ceil(C / 4) + c / 4, of which the upper 24 bits count. So the GPU draws the same.
 *
 * @source Jain et al., "NEFTune: Noisy Embeddings Improve Instruction Finetuning", 2023, alg. 1.
 * @thread Re-entrant: distinct rows.
 */
#ifndef OD_OPS_EMBED_NOISE_H
#define OD_OPS_EMBED_NOISE_H

#include <math.h>
#include <stdint.h>

#include "base/random.h"
#include "ops/op.h"

/** The document that row `t` of the batch belongs to. */
static inline int64_t od_embed_segment(const struct od_batch *batch, int64_t t)
{
    int64_t low = 0;
    int64_t high = batch->segments;
    while (high - low > 1) {
        const int64_t middle = low + (high - low) / 2;
        if (batch->segment_start[middle] <= t) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

/** Largest noise on the rows of a document of `length` tokens. */
static inline float od_embed_bound(const struct od_op *op, int64_t length)
{
    return (float)((double)op->noise / sqrt((double)length * (double)op->n));
}

/**
 * Add the noise to rows [first, last).
 *
 * @param y     [tokens, cols], all rows.
 * @param op    Its `noise` is alpha, its `stream` what u is drawn from, its `n` the channels.
 * @order       Element by element: the bits do not depend on threads.
 */
static inline void od_embed_noise(float *y, const struct od_op *op, const struct od_batch *batch,
                                  int64_t first, int64_t last)
{
    const int64_t cols = op->n;
    const uint64_t groups = (uint64_t)(cols + 3) / 4u;
    int64_t segment = first < last ? od_embed_segment(batch, first) : 0;
    for (int64_t t = first; t < last; t++) {
        while (segment + 1 < batch->segments && batch->segment_start[segment + 1] <= t) {
            segment++;
        }
        const float bound =
            od_embed_bound(op, batch->segment_start[segment + 1] - batch->segment_start[segment]);
        for (int64_t c = 0; c < cols; c += 4) {
            const struct od_philox draw =
                od_philox_draw(batch->dropout_seed, op->stream, batch->dropout_pass,
                               (uint64_t)t * groups + (uint64_t)c / 4u);
            for (int64_t i = 0; i < 4 && c + i < cols; i++) {
                y[t * cols + c + i] += (2.0F * od_uniform_f32(draw.word[i]) - 1.0F) * bound;
            }
        }
    }
}

#endif
