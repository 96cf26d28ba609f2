/**
 * @file
 * Weights as the optimiser's kernels see them: fp32, or bf16 that is rounded by chance (rounding.h).
 */
#ifndef OD_OPS_ADAMW_ADAMW_CUH
#define OD_OPS_ADAMW_ADAMW_CUH

#include "ops/adamw/adamw_cuda.h"
#include "ops/adamw/rounding.h"
#include "ops/gpu.cuh"

/** Weight `i` of a chunk. */
static __device__ __forceinline__ float od_weight(const struct od_adamw_chunk *chunk, int32_t i)
{
    return chunk->is_half ? od_f32(((const od_bf16 *)chunk->w)[i]) : ((const float *)chunk->w)[i];
}

static __device__ __forceinline__ void od_set_weight(const struct od_adamw_chunk *chunk, int32_t i,
                                                     float x, const struct od_adamw_scalars *s)
{
    if (!chunk->is_half) {
        ((float *)chunk->w)[i] = x;
        return;
    }
    const uint64_t element = chunk->index + (uint64_t)i;
    const uint4 draw = od_philox_draw(s->seed, OD_STREAM_ROUNDING, s->step, element / 8u);
    const uint32_t words[4] = {draw.x, draw.y, draw.z, draw.w};
    const uint32_t word = words[element / 2u % 4u];
    uint32_t bits = __float_as_uint(x);
    if ((bits & 0x7F800000u) != 0x7F800000u) {
        bits += (element & 1u) != 0 ? word >> 16 : word & 0xFFFFu;
    }
    ((uint16_t *)chunk->w)[i] = (uint16_t)(bits >> 16);
}

#endif
