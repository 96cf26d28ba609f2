/**
 * @file
 * Rotary positions in kernels; formulas in rope_kernel.h. One routine for all of them, so that a row has
 * the same bits whichever turns it.
 */
#ifndef OD_OPS_ROPE_CUH
#define OD_OPS_ROPE_CUH

#include <stdint.h>

#include "ops/gpu.cuh"

/** Turn a pair: a c - b s and b c + a s. Fused steps are written out: a compiler may choose others from
 *  one kernel to the next. */
static __device__ __forceinline__ void od_rope_pair(float *a, float *b, float cosine, float sine)
{
    const float low = *a;
    *a = __fmaf_rn(low, cosine, -__fmul_rn(*b, sine));
    *b = __fmaf_rn(*b, cosine, __fmul_rn(low, sine));
}

/** Turn two neighbouring pairs: channels j and j + 1 in `low`, j + half and j + 1 + half in `high`, by the
 *  cosines and sines of j and j + 1. */
static __device__ __forceinline__ void od_rope_turn(uint32_t *low, uint32_t *high,
                                                    const float cosine[2], const float sine[2])
{
    float a0 = __uint_as_float(*low << 16);
    float a1 = __uint_as_float(*low & 0xFFFF0000u);
    float b0 = __uint_as_float(*high << 16);
    float b1 = __uint_as_float(*high & 0xFFFF0000u);
    od_rope_pair(&a0, &b0, cosine[0], sine[0]);
    od_rope_pair(&a1, &b1, cosine[1], sine[1]);
    *low = od_pack2(a0, a1);
    *high = od_pack2(b0, b1);
}

#endif
