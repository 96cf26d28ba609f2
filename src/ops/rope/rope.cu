// Rotary positions in place on the first `heads` heads of each row, half style; formulas in
// rope_kernel.h. A block is a row.

#include "ops/gpu.cuh"

OD_KERNEL od_rope(od_bf16 *x, int64_t ld, const float *table, const int32_t *positions,
                  int32_t heads, int32_t d, float direction)
{
    od_follow();
    const int32_t half = d / 2;
    const float *row = table + (int64_t)positions[blockIdx.x] * d;
    od_bf16 *at = x + (int64_t)blockIdx.x * ld;
    if ((half & 1) == 0 && (ld & 1) == 0) {
        const int32_t pairs = half / 2;
        for (int32_t i = (int32_t)threadIdx.x; i < heads * pairs; i += OD_GPU_THREADS) {
            const int32_t j = i % pairs * 2;
            uint32_t *low = (uint32_t *)(at + i / pairs * d + j);
            uint32_t *high = (uint32_t *)(at + i / pairs * d + j + half);
            const uint32_t a = *low;
            const uint32_t b = *high;
            const float a0 = __uint_as_float(a << 16);
            const float a1 = __uint_as_float(a & 0xFFFF0000u);
            const float b0 = __uint_as_float(b << 16);
            const float b1 = __uint_as_float(b & 0xFFFF0000u);
            const float c0 = row[j];
            const float c1 = row[j + 1];
            const float s0 = row[half + j] * direction;
            const float s1 = row[half + j + 1] * direction;
            *low = od_pack2(a0 * c0 - b0 * s0, a1 * c1 - b1 * s1);
            *high = od_pack2(b0 * c0 + a0 * s0, b1 * c1 + a1 * s1);
        }
        return;
    }
    for (int32_t i = (int32_t)threadIdx.x; i < heads * half; i += OD_GPU_THREADS) {
        od_bf16 *low = at + i / half * d + i % half;
        const float a = od_f32(low[0]);
        const float b = od_f32(low[half]);
        const float c = row[i % half];
        const float s = row[half + i % half] * direction;
        low[0] = od_round(a * c - b * s);
        low[half] = od_round(b * c + a * s);
    }
}
