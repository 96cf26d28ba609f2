// Dropout in front of an adapter; the mask is that of dropout_kernel.h. A block is a row.

#include "ops/gpu.cuh"

static __device__ __forceinline__ uint4 draw(uint64_t seed, uint32_t stream, uint32_t pass,
                                             uint64_t element)
{
    uint32_t key0 = (uint32_t)seed;
    uint32_t key1 = (uint32_t)(seed >> 32);
    uint4 c = make_uint4((uint32_t)element, (uint32_t)(element >> 32), pass, stream);
#pragma unroll
    for (int round = 0; round < 10; round++) {
        const uint32_t next0 = __umulhi(0xCD9E8D57u, c.z) ^ c.y ^ key0;
        const uint32_t next2 = __umulhi(0xD2511F53u, c.x) ^ c.w ^ key1;
        c.y = 0xCD9E8D57u * c.z;
        c.w = 0xD2511F53u * c.x;
        c.x = next0;
        c.z = next2;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    return c;
}

// y (+)= x * mask * scale. *pass is the number of the pass.
OD_KERNEL od_dropout(od_bf16 *y, int64_t ldy, const od_bf16 *x, int64_t ldx, int64_t cols,
                     uint64_t seed, uint32_t stream, const uint32_t *pass, uint32_t threshold,
                     float scale, int accumulate)
{
    const od_bf16 *xr = x + (int64_t)blockIdx.x * ldx;
    od_bf16 *yr = y + (int64_t)blockIdx.x * ldy;
    const uint64_t groups = (uint64_t)(cols + 3) / 4u;
    for (int64_t c = threadIdx.x * 4; c < cols; c += OD_GPU_THREADS * 4) {
        const uint4 words = draw(seed, stream, *pass, blockIdx.x * groups + (uint64_t)c / 4u);
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
