// Dropout in front of an adapter; the mask is that of dropout_kernel.h. A block is a row.

#include "ops/gpu.cuh"

// y (+)= x * mask * scale. *pass is the number of the pass; the mask knows row 0 as `first`.
OD_KERNEL od_dropout(od_bf16 *y, int64_t ldy, const od_bf16 *x, int64_t ldx, int64_t cols,
                     uint64_t seed, uint32_t stream, const uint32_t *pass, uint32_t threshold,
                     float scale, int64_t first, int accumulate)
{
    const od_bf16 *xr = x + (int64_t)blockIdx.x * ldx;
    od_bf16 *yr = y + (int64_t)blockIdx.x * ldy;
    const uint64_t groups = (uint64_t)(cols + 3) / 4u;
    const uint64_t row = (uint64_t)first + blockIdx.x;
    for (int64_t c = threadIdx.x * 4; c < cols; c += OD_GPU_THREADS * 4) {
        const uint4 words = od_philox_draw(seed, stream, *pass, row * groups + (uint64_t)c / 4u);
        const uint32_t word[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
        for (int i = 0; i < 4; i++) {
            if (c + i < cols) {
                const float kept = word[i] >= threshold ? od_f32(xr[c + i]) * scale : 0.0f;
                yr[c + i] = od_round(accumulate ? od_f32(yr[c + i]) + kept : kept);
            }
        }
    }
}
