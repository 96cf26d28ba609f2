// Products of eight-bit floats where cuBLASLt is missing or has nothing to offer.
//
//     for (i = 0; i < m; i++) for (j = 0; j < n; j++)
//         d[i][j] = sum_x a[i][x] b[j][x] * a_scale[i] * b_scale[j] (+ c[i][j]) (+ bias[j])
//
// A [m, k] and B [n, k] are codes (formats/e4m3.h), C and D bf16. A block makes a tile of 128 by 128, its
// eight warps 32 by 64 each; operands come in steps of 64 along k through a ring of three stages. Launch:
// grid: tiles of m, tiles of n; 256 threads; OD_E4M3_SHARED_BYTES. Alignment: A, B and their rows 16
// bytes, k a multiple of 16; C and D 2 bytes. D may be C.
//
// Order: the tensor core adds 64 products to zero, at its own precision; these sums are added in fp32 in
// the order of k. What the core keeps of a sum does not wander through all of k.

#include <stdint.h>

#include "device/cuda/e4m3.cuh"
#include "device/cuda/matmul_e4m3.h"

typedef __nv_bfloat16 bf16;

#if OD_HAS_E4M3
enum {
    WARP_M = 32,
    WARP_N = 64,
    WARPS_M = OD_E4M3_TILE_M / WARP_M,
    FRAGS_M = WARP_M / 16,
    FRAGS_N = WARP_N / 8,
    HALVES = OD_E4M3_TILE_K / 32,  // of a step: what one instruction takes along k
    CHUNKS = OD_E4M3_TILE_K / 16,  // of a row of a tile, 16 bytes each
    A_BYTES = OD_E4M3_TILE_M * OD_E4M3_PITCH,
};

// Rows [row0, row0 + 128) and columns [k0, k0 + 64) of a matrix into a stage; zeros outside of it.
static __device__ __forceinline__ void fetch(unsigned to, const uint8_t *from, long long ld,
                                             long long row0, long long rows, long long k0,
                                             long long k)
{
#pragma unroll
    for (int i = 0; i < OD_E4M3_TILE_M * CHUNKS / OD_E4M3_THREADS; i++) {
        const int piece = (int)threadIdx.x + i * OD_E4M3_THREADS;
        const int row = piece / CHUNKS;
        const int col = piece % CHUNKS * 16;
        const bool inside = row0 + row < rows && k0 + col < k;
        const uint8_t *source = inside ? from + (row0 + row) * ld + k0 + col : from;
        od_copy16(to + (unsigned)(row * OD_E4M3_PITCH + col), source, inside);
    }
}

// One step along k from a stage.
static __device__ __forceinline__ void step(float sums[FRAGS_M][FRAGS_N][4], unsigned stage,
                                            int warp_m, int warp_n, int lane)
{
    unsigned a[HALVES][FRAGS_M][4];
    unsigned b[HALVES][FRAGS_N / 2][4];
#pragma unroll
    for (int h = 0; h < HALVES; h++) {
#pragma unroll
        for (int i = 0; i < FRAGS_M; i++) {  // rows 0-7, 8-15 of bytes 0-15; the same of 16-31
            const int row = warp_m + i * 16 + lane % 16;
            od_read4(a[h][i], stage + (unsigned)(row * OD_E4M3_PITCH + h * 32 + lane / 16 * 16));
        }
#pragma unroll
        for (int j = 0; j < FRAGS_N / 2; j++) {  // bytes 0-15, 16-31 of columns 0-7; then of 8-15
            const int row = warp_n + j * 16 + lane / 16 * 8 + lane % 8;
            od_read4(b[h][j], stage + A_BYTES +
                                  (unsigned)(row * OD_E4M3_PITCH + h * 32 + lane / 8 % 2 * 16));
        }
    }
#pragma unroll
    for (int i = 0; i < FRAGS_M; i++) {
#pragma unroll
        for (int j = 0; j < FRAGS_N; j++) {
            float part[4] = {0.0f, 0.0f, 0.0f, 0.0f};
#pragma unroll
            for (int h = 0; h < HALVES; h++) {
                od_multiply_e4m3(part, a[h][i], b[h][j / 2][j % 2 * 2], b[h][j / 2][j % 2 * 2 + 1]);
            }
#pragma unroll
            for (int e = 0; e < 4; e++) {
                sums[i][j][e] += part[e];
            }
        }
    }
}
#endif

OD_E4M3_KERNEL(OD_E4M3_THREADS)
od_matmul_e4m3(const uint8_t *a, long long lda, const uint8_t *b, long long ldb, const bf16 *c,
               long long ldc, bf16 *d, long long ldd, long long m, long long n, long long k,
               const float *a_scale, const float *b_scale, const bf16 *bias)
{
#if OD_HAS_E4M3
    OD_E4M3_SHARED(shared);
    const unsigned ring = od_shared_address(shared);
    const int lane = (int)threadIdx.x & 31;
    const int warp = (int)threadIdx.x >> 5;
    const int warp_m = warp % WARPS_M * WARP_M;
    const int warp_n = warp / WARPS_M * WARP_N;
    const long long row0 = (long long)blockIdx.x * OD_E4M3_TILE_M;
    const long long col0 = (long long)blockIdx.y * OD_E4M3_TILE_N;
    const int steps = (int)((k + OD_E4M3_TILE_K - 1) / OD_E4M3_TILE_K);
    float sums[FRAGS_M][FRAGS_N][4];
#pragma unroll
    for (int i = 0; i < FRAGS_M; i++) {
#pragma unroll
        for (int j = 0; j < FRAGS_N; j++) {
#pragma unroll
            for (int e = 0; e < 4; e++) {
                sums[i][j][e] = 0.0f;
            }
        }
    }
#pragma unroll
    for (int s = 0; s < OD_E4M3_STAGES - 1; s++) {
        if (s < steps) {
            const unsigned stage = ring + (unsigned)s * OD_E4M3_STAGE_BYTES;
            fetch(stage, a, lda, row0, m, (long long)s * OD_E4M3_TILE_K, k);
            fetch(stage + A_BYTES, b, ldb, col0, n, (long long)s * OD_E4M3_TILE_K, k);
        }
        od_copy_group();
    }
    for (int s = 0; s < steps; s++) {
        // This stage has come, and nobody reads the one before any more.
        od_copy_wait_but_one();
        __syncthreads();
        const int next = s + OD_E4M3_STAGES - 1;
        if (next < steps) {
            const unsigned stage = ring + (unsigned)(next % OD_E4M3_STAGES) * OD_E4M3_STAGE_BYTES;
            fetch(stage, a, lda, row0, m, (long long)next * OD_E4M3_TILE_K, k);
            fetch(stage + A_BYTES, b, ldb, col0, n, (long long)next * OD_E4M3_TILE_K, k);
        }
        od_copy_group();
        step(sums, ring + (unsigned)(s % OD_E4M3_STAGES) * OD_E4M3_STAGE_BYTES, warp_m, warp_n,
             lane);
    }
    od_copy_wait();
#pragma unroll
    for (int i = 0; i < FRAGS_M; i++) {
#pragma unroll
        for (int j = 0; j < FRAGS_N; j++) {
#pragma unroll
            for (int e = 0; e < 4; e++) {
                const long long row = row0 + warp_m + i * 16 + e / 2 * 8 + lane / 4;
                const long long col = col0 + warp_n + j * 8 + lane % 4 * 2 + e % 2;
                if (row < m && col < n) {
                    float value = sums[i][j][e] * a_scale[row] * b_scale[col];
                    value += c ? __bfloat162float(c[row * ldc + col]) : 0.0f;
                    value += bias ? __bfloat162float(bias[col]) : 0.0f;
                    d[row * ldd + col] = __float2bfloat16_rn(value);
                }
            }
        }
    }
#endif
}
