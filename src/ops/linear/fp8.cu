// Rows and weights of eight-bit floats (formats/e4m3.h) for products that take them as they are.

#include "device/cuda/e4m3.cuh"
#include "ops/gpu.cuh"

#if OD_HAS_E4M3
static __device__ __forceinline__ void load(float x[8], const od_bf16 *from, const float *factor,
                                            int64_t c)
{
    od_load8(x, from + c);
    if (factor) {
        const float4 low = *(const float4 *)(factor + c);
        const float4 high = *(const float4 *)(factor + c + 4);
        const float f[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
        for (int i = 0; i < 8; i++) {
            x[i] = __fmul_rn(x[i], f[i]);
        }
    }
}
#endif

// Rows rounded to eight bits, as od_e4m3_encode_row:
//
//     for each row: scale = max_c |x[c] f[c]| / 448; codes[c] = e4m3(x[c] f[c] (1 / scale))
//
// Launch: a block for a row. Bytes moved: two an element are read (a second time from the caches), one
// is written. Columns are a multiple of 16, rows of x and `factor` (0: none) start at 16 bytes.
OD_KERNEL od_round_e4m3(uint8_t *codes, float *scales, const od_bf16 *x, int64_t ldx,
                        const float *factor, int64_t cols)
{
#if OD_HAS_E4M3
    const od_bf16 *from = x + (int64_t)blockIdx.x * ldx;
    uint8_t *to = codes + (int64_t)blockIdx.x * cols;
    float most = 0.0f;
    float values[8];
    for (int64_t c = threadIdx.x * 8; c < cols; c += OD_GPU_THREADS * 8) {
        load(values, from, factor, c);
#pragma unroll
        for (int i = 0; i < 8; i++) {
            most = fmaxf(most, fabsf(values[i]));  // passes over what is no number
        }
    }
    const float share = __fdiv_rn(od_block_max(most), 448.0f);
    const float scale = share >= 1.17549435e-38f ? share : 0.0f;
    const float inverse = scale > 0.0f ? __frcp_rn(scale) : 0.0f;
    for (int64_t c = threadIdx.x * 8; c < cols; c += OD_GPU_THREADS * 8) {
        load(values, from, factor, c);
#pragma unroll
        for (int i = 0; i < 8; i++) {
            values[i] = __fmul_rn(values[i], inverse);
        }
        uint2 eight;
        eight.x = od_e4m3_pair(values[0], values[1]) | od_e4m3_pair(values[2], values[3]) << 16;
        eight.y = od_e4m3_pair(values[4], values[5]) | od_e4m3_pair(values[6], values[7]) << 16;
        *(uint2 *)(to + c) = eight;
    }
    if (threadIdx.x == 0) {
        scales[blockIdx.x] = scale;
    }
#endif
}

// to[c][r] = from[r][c], bytes. Launch: a block for a tile of 64 by 64; grid: columns / 64, rows / 64.
// Bytes moved: two an element. Rows and columns are multiples of 16, both matrices are contiguous.
OD_KERNEL od_transpose_codes(uint8_t *to, const uint8_t *from, int64_t rows, int64_t cols)
{
    enum { TILE = 64, WORDS = TILE / 4, PITCH = TILE + 4 };
    __shared__ __align__(4) uint8_t tile[TILE][PITCH];
    const int64_t col0 = (int64_t)blockIdx.x * TILE;
    const int64_t row0 = (int64_t)blockIdx.y * TILE;
    for (int i = (int)threadIdx.x; i < TILE * WORDS; i += OD_GPU_THREADS) {
        const int r = i / WORDS;
        const int c = i % WORDS * 4;
        if (row0 + r < rows && col0 + c < cols) {
            *(uint32_t *)&tile[r][c] = *(const uint32_t *)(from + (row0 + r) * cols + col0 + c);
        }
    }
    __syncthreads();
    for (int i = (int)threadIdx.x; i < TILE * WORDS; i += OD_GPU_THREADS) {
        const int c = i / WORDS;
        const int r = i % WORDS * 4;
        if (col0 + c < cols && row0 + r < rows) {
            const uint32_t word = (uint32_t)tile[r][c] | (uint32_t)tile[r + 1][c] << 8 |
                                  (uint32_t)tile[r + 2][c] << 16 | (uint32_t)tile[r + 3][c] << 24;
            *(uint32_t *)(to + (col0 + c) * rows + row0 + r) = word;
        }
    }
}
