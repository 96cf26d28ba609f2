// Rows and weights of eight-bit floats (formats/e4m3.h) for products that take them as they are.
// Cards below compute capability 8.9 have neither the conversion nor the product: there these kernels
// are empty, and a program that would need them is refused when it is opened.

#include "ops/gpu.cuh"

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 890
#define HAS_E4M3 1
#else
#define HAS_E4M3 0
#endif

#if HAS_E4M3
// Two codes, the first in the low byte: to the nearest, halfway to even, held to +-448.
static __device__ __forceinline__ uint32_t codes_of(float first, float second)
{
    uint16_t pair;
    asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(second), "f"(first));
    return pair;
}

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
#if HAS_E4M3
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
        eight.x = codes_of(values[0], values[1]) | codes_of(values[2], values[3]) << 16;
        eight.y = codes_of(values[4], values[5]) | codes_of(values[6], values[7]) << 16;
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

// Codes of normal values, four a thread, for weights whose values matter to nobody but a benchmark.
OD_KERNEL od_random_e4m3(uint32_t *to, int64_t count, uint64_t seed, uint32_t tensor,
                         float deviation)
{
#if HAS_E4M3
    const int64_t i = (int64_t)blockIdx.x * OD_GPU_THREADS + threadIdx.x;
    if (i >= count) {
        return;
    }
    const uint4 draw = od_philox_draw(seed, 0x434F4445u, tensor, (uint64_t)i);
    const uint32_t c[4] = {draw.x, draw.y, draw.z, draw.w};
    float value[4];
#pragma unroll
    for (int j = 0; j < 2; j++) {
        const float u = ((float)c[2 * j] + 0.5f) * 2.3283064365386963e-10f;
        const float radius = deviation * sqrtf(-2.0f * __logf(fminf(u, 0.99999994f)));
        float sine;
        float cosine;
        __sincosf((float)c[2 * j + 1] * 1.4629180792671596e-9f, &sine, &cosine);
        value[2 * j] = radius * cosine;
        value[2 * j + 1] = radius * sine;
    }
    to[i] = codes_of(value[0], value[1]) | codes_of(value[2], value[3]) << 16;
#endif
}
