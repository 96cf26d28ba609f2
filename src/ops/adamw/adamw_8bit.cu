// AdamW with moments as 8-bit codes; formulas and order of roundings in adamw_8bit.h.
//
// A block of threads owns a chunk, a warp a block of 256 elements at a time, eight to a lane. Each
// operation is rounded by itself (no fused steps), so the bits are the CPU's. 16 bytes move an
// element: w read and written, g read, two codes read and written.

#include "ops/adamw/adamw.cuh"
#include "ops/adamw/adamw_cuda.h"
#include "ops/gpu.cuh"

enum { BLOCK = 256, EACH = BLOCK / 32 };

static __device__ __forceinline__ float warp_max(float x)
{
#pragma unroll
    for (int offset = 16; offset > 0; offset >>= 1) {
        x = fmaxf(x, __shfl_xor_sync(0xFFFFFFFFu, x, offset));
    }
    return x;
}

// As od_adamw_8bit_code.
static __device__ __forceinline__ int code_of(const float *map, float x)
{
    int below = 0;
    int above = 255;
    int at = 127;
#pragma unroll
    for (int step = 64; step > 0; step >>= 1) {
        const bool more = x > map[at];
        below = more ? at : below;
        above = more ? above : at;
        at += more ? step : -step;
    }
    if (x > map[at]) {
        return x > __fmul_rn(__fadd_rn(map[above], map[at]), 0.5f) ? above : at;
    }
    return x < __fmul_rn(__fadd_rn(map[below], map[at]), 0.5f) ? below : at;
}

static __device__ __forceinline__ int signed_code_of(const float *map, float m, float scale)
{
    const int code = code_of(map, __fdiv_rn(m, scale));
    if (m > 0.0f && map[code] <= 0.0f) {
        return code + 1;
    }
    return m < 0.0f && map[code] >= 0.0f ? code - 1 : code;
}

OD_KERNEL od_adamw_8bit(const struct od_adamw_chunk *chunks, const struct od_adamw_stats *stats,
                        const struct od_adamw_scalars *scalars, const float *maps)
{
    __shared__ float map[2][BLOCK];
    const struct od_adamw_chunk chunk = chunks[blockIdx.x];
    if (chunk.m_scales == 0 || stats->finite == 0.0) {
        return;
    }
    const struct od_adamw_scalars s = *scalars;
    const float scale = (float)stats->clip;
    const float decay = chunk.decays ? s.decay : 1.0f;
    const int lane = (int)(threadIdx.x & 31u);
    map[0][threadIdx.x] = maps[threadIdx.x];
    map[1][threadIdx.x] = maps[BLOCK + threadIdx.x];
    __syncthreads();
    for (int32_t first = (int32_t)(threadIdx.x >> 5) * BLOCK; first < chunk.count;
         first += OD_GPU_THREADS / 32 * BLOCK) {
        uint8_t *m_codes = (uint8_t *)chunk.m + first;
        uint8_t *v_codes = (uint8_t *)chunk.v + first;
        const float *g = (const float *)chunk.g + first;
        float *m_scale = (float *)chunk.m_scales + first / BLOCK;
        float *v_scale = (float *)chunk.v_scales + first / BLOCK;
        const int count = min((int)(chunk.count - first), (int)BLOCK);
        const float m_before = *m_scale;
        const float v_before = *v_scale;
        float m[EACH];
        float v[EACH];
        float m_most = 0.0f;
        float v_most = 0.0f;
#pragma unroll
        for (int j = 0; j < EACH; j++) {
            const int i = j * 32 + lane;
            m[j] = 0.0f;
            v[j] = 0.0f;
            if (i < count) {
                const float gi = __fmul_rn(g[i], scale);
                m[j] = __fadd_rn(__fmul_rn(__fmul_rn(map[0][m_codes[i]], m_before), s.beta1),
                                 __fmul_rn(gi, s.one_minus_beta1));
                v[j] = __fadd_rn(__fmul_rn(__fmul_rn(map[1][v_codes[i]], v_before), s.beta2),
                                 __fmul_rn(__fmul_rn(gi, gi), s.one_minus_beta2));
                const float root = __fadd_rn(__fmul_rn(__fsqrt_rn(v[j]), s.inv_sqrt_bc2), s.eps);
                const float w = od_weight(&chunk, first + i);
                od_set_weight(
                    &chunk, first + i,
                    __fsub_rn(__fmul_rn(w, decay), __fmul_rn(s.step_size, __fdiv_rn(m[j], root))),
                    &s);
            }
            m_most = fmaxf(m_most, fabsf(m[j]));
            v_most = fmaxf(v_most, v[j]);
        }
        m_most = warp_max(m_most);
        v_most = warp_max(v_most);
        if (lane == 0) {
            *m_scale = m_most;
            *v_scale = v_most;
        }
#pragma unroll
        for (int j = 0; j < EACH; j++) {
            const int i = j * 32 + lane;
            if (i < count) {
                m_codes[i] = (uint8_t)signed_code_of(map[0], m[j], m_most > 0.0f ? m_most : 1.0f);
                v_codes[i] =
                    (uint8_t)code_of(map[1], __fdiv_rn(v[j], v_most > 0.0f ? v_most : 1.0f));
            }
        }
    }
}
