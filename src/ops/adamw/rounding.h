/**
 * @file
 * Weights that are bf16 values without an fp32 master: after a step each is rounded up or down by
 * chance, so that steps smaller than half the distance to its neighbour are not lost but taken now and
 * then, and the mean is what fp32 would have.
 *
 *     bits(w') = (bits(w) + r) with the lower 16 bits cleared,  r uniform in 0 .. 65535
 *
 * r is a function of (seed, step, element) alone, the element counted over all trained tensors in
 * their order: half e mod 8 (the lower half of a word first) of the Philox draw for element e / 8.
 * What is infinite or no number stays.
 *
 * @source Gupta et al., "Deep Learning with Limited Numerical Precision", 2015, section 3;
 *         Zamirai et al., "Revisiting BFloat16 Training", 2020, section 3.
 * @thread Re-entrant: distinct element ranges.
 */
#ifndef OD_OPS_ADAMW_ROUNDING_H
#define OD_OPS_ADAMW_ROUNDING_H

#include <stdint.h>
#include <string.h>

/** Philox stream of the rounding. */
enum { OD_STREAM_ROUNDING = 0x524F554E };

/** What the chance of a step is drawn from. */
struct od_rounding {
    uint64_t seed;
    uint32_t step;
    uint64_t index;  ///< of the first weight among all that are trained
};

/** x as one of the two bf16 values around it; `half` is uniform in 0 .. 65535. */
static inline float od_round_by_chance(float x, uint32_t half)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7F800000u) != 0x7F800000u) {
        bits = (bits + half) & 0xFFFF0000u;
    }
    memcpy(&x, &bits, sizeof x);
    return x;
}

/** x as the nearest bf16 value, the even one of two. */
static inline float od_round_to_nearest(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7F800000u) != 0x7F800000u) {
        bits = (bits + 0x7FFFu + ((bits >> 16) & 1u)) & 0xFFFF0000u;
    }
    memcpy(&x, &bits, sizeof x);
    return x;
}

#endif
