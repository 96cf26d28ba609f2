/**
 * @file
 * AdamW whose moments are kept as 8-bit codes, a scale for each block of 256 elements.
 *
 *     m' = b1 m + (1 - b1) g;  v' = b2 v + (1 - b2) g^2     with m = map[code] * scale of its block
 *     w  = w (1 - lr * decay) - lr / (1 - b1^t) * m' / (sqrt(v') / sqrt(1 - b2^t) + eps)
 *     scale' = largest |m'| of the block;  code' = nearest entry of the map to m' / scale'
 *
 * The weight moves by m' and v' as they were before they are rounded to codes. m and v have a map
 * each, sorted and with 1 as its last entry: m's has both signs, v's none and twice the entries. A
 * map is made of seven decades, the largest ending at 1; decade i (from the smallest on) is cut
 * into 2^i equal parts (v: 2^(i+1)) between a tenth of its end and its end, whose middles are
 * entries; 0 and 1 are added. An m' that is not zero keeps its sign: where the nearest entry has
 * the other one, or none, the next entry on its side is taken. A block without a value other than
 * zero has scale 0 and the code of 0.
 *
 * Every step is one rounding to fp32, so the CPU and the GPU give the same bits.
 *
 * @source Dettmers et al., "8-bit Optimizers via Block-wise Quantization", 2022, sections 2 and 3
 *         and appendix F; the size of a block and which tensors stay fp32 as bitsandbytes has them.
 * @thread Re-entrant: distinct blocks.
 */
#ifndef OD_OPS_ADAMW_ADAMW_8BIT_H
#define OD_OPS_ADAMW_ADAMW_8BIT_H

#include <stdint.h>

#include "ops/kernels.h"

enum {
    OD_ADAMW_8BIT_BLOCK = 256,  ///< elements that share a scale
    OD_ADAMW_8BIT_MIN = 4096,   ///< smaller tensors keep fp32 moments
    OD_ADAMW_8BIT_CODES = 256
};

/** What a code stands for, before the scale. Ascending. */
struct od_adamw_maps {
    float m[OD_ADAMW_8BIT_CODES];
    float v[OD_ADAMW_8BIT_CODES];
};
/** Fill the two maps. */
void od_adamw_maps_make(struct od_adamw_maps *maps);

/** A trained tensor of `count` elements. */
struct od_adamw_8bit {
    float *w;         ///< [count]
    uint8_t *m;       ///< [count] codes
    uint8_t *v;       ///< [count] codes
    float *m_scales;  ///< [count / 256, rounded up]
    float *v_scales;  ///< the same
    const float *g;   ///< [count]
    int64_t count;
};

/** How many blocks a tensor has. */
static inline int64_t od_adamw_8bit_blocks(int64_t count)
{
    return (count + OD_ADAMW_8BIT_BLOCK - 1) / OD_ADAMW_8BIT_BLOCK;
}

/** The code of x, at most 1 and at least -1 (0): the nearest entry of an ascending map. */
uint8_t od_adamw_8bit_code(const float map[OD_ADAMW_8BIT_CODES], float x);

/** A step for blocks [first, last); the definition that the GPU's kernel follows. */
void od_adamw_8bit_step(const struct od_adamw_8bit *t, const struct od_adamw_maps *maps,
                        const struct od_adamw_step *step, int64_t first, int64_t last);

#endif
