// Rotary positions in place on the first `heads` heads of each row, half style; formulas in
// rope_kernel.h. A block is a row.

#include "ops/gpu.cuh"
#include "ops/rope/rope.cuh"

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
            const float cosine[2] = {row[j], row[j + 1]};
            const float sine[2] = {row[half + j] * direction, row[half + j + 1] * direction};
            od_rope_turn(low, low + pairs, cosine, sine);
        }
        return;
    }
    for (int32_t i = (int32_t)threadIdx.x; i < heads * half; i += OD_GPU_THREADS) {
        od_bf16 *low = at + i / half * d + i % half;
        float a = od_f32(low[0]);
        float b = od_f32(low[half]);
        od_rope_pair(&a, &b, row[i % half], row[half + i % half] * direction);
        low[0] = od_round(a);
        low[half] = od_round(b);
    }
}
