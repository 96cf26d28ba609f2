/**
 * @file
 * A stand-in for device/cuda/e4m3.cuh and ops/gpu.cuh that runs the source of kernels for eight-bit
 * floats on a CPU: a thread for each of a block's, which meet where the card's would; fragments as the
 * PTX manual draws them. A test includes this file, then kernels; blocks run one after another.
 *
 * It shows that a kernel reads and writes what it should. It cannot show the precision of the card's
 * sums, nor races that its own barriers hide.
 *
 * @source PTX ISA 8.7, "Matrix Fragments for mma.m16n8k32", ldmatrix.
 * @thread One owner.
 */
#ifndef OD_TESTS_OPS_E4M3_LANES_H
#define OD_TESTS_OPS_E4M3_LANES_H

#define OD_DEVICE_CUDA_E4M3_CUH  // instead of them
#define OD_OPS_GPU_CUH

#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "formats/e4m3.h"

#define OD_HAS_E4M3             1
#define OD_E4M3_KERNEL(threads) static void
#define OD_E4M3_SHARED(name)    char *name = lanes.shared
#define OD_KERNEL               static void
#define __device__
#define __forceinline__ inline
#define __shared__      static
#define __align__(n)    _Alignas(n)

enum { OD_GPU_THREADS = 256, LANES = 32, WARPS = OD_GPU_THREADS / LANES, SHARED_BYTES = 96 << 10 };

struct index3 {
    unsigned x;
    unsigned y;
};
typedef struct {
    float x, y, z, w;
} float4;
typedef struct {
    uint32_t x, y;
} uint2;
typedef uint16_t __nv_bfloat16;
typedef __nv_bfloat16 od_bf16;

static _Thread_local struct index3 threadIdx;
static struct index3 blockIdx;

static struct {
    pthread_barrier_t block;
    pthread_barrier_t warp[WARPS];
    char shared[SHARED_BYTES];
    unsigned address[WARPS][LANES];
    unsigned a[WARPS][LANES][4];
    unsigned b[WARPS][LANES][2];
    float most[OD_GPU_THREADS];
    void (*body)(void);
} lanes;

static inline void __syncthreads(void)
{
    (void)pthread_barrier_wait(&lanes.block);
}

static inline int my_warp(void)
{
    return (int)threadIdx.x / LANES;
}

static inline int my_lane(void)
{
    return (int)threadIdx.x % LANES;
}

static inline void meet_warp(void)
{
    (void)pthread_barrier_wait(&lanes.warp[my_warp()]);
}

static inline float __bfloat162float(__nv_bfloat16 half)
{
    const uint32_t bits = (uint32_t)half << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline __nv_bfloat16 __float2bfloat16_rn(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (__nv_bfloat16)((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}

static inline float __fmul_rn(float a, float b)
{
    return a * b;
}

static inline float __fdiv_rn(float a, float b)
{
    return a / b;
}

static inline float __frcp_rn(float a)
{
    return 1.0F / a;
}

static inline void od_load8(float x[8], const od_bf16 *from)
{
    assert((uintptr_t)from % 16 == 0);
    for (int i = 0; i < 8; i++) {
        x[i] = __bfloat162float(from[i]);
    }
}

static inline float od_block_max(float x)
{
    float most = 0.0F;
    lanes.most[threadIdx.x] = x;
    __syncthreads();
    for (int i = 0; i < OD_GPU_THREADS; i++) {
        most = fmaxf(most, lanes.most[i]);
    }
    __syncthreads();
    return most;
}

static inline uint32_t od_e4m3_pair(float first, float second)
{
    return (uint32_t)od_e4m3_encode(first) | (uint32_t)od_e4m3_encode(second) << 8;
}

static inline unsigned od_shared_address(const void *at)
{
    return (unsigned)((const char *)at - lanes.shared);
}

static inline void od_copy16(unsigned to, const uint8_t *from, bool inside)
{
    assert(to % 16 == 0 && to + 16 <= SHARED_BYTES);
    if (inside) {
        assert((uintptr_t)from % 16 == 0);
        memcpy(lanes.shared + to, from, 16);
    } else {
        memset(lanes.shared + to, 0, 16);
    }
}

static inline void od_copy_group(void)
{
}

static inline void od_copy_wait_but_one(void)
{
}

static inline void od_copy_wait(void)
{
}

static inline void od_read4(unsigned to[4], unsigned at)
{
    assert(at % 16 == 0 && at + 16 <= SHARED_BYTES);
    lanes.address[my_warp()][my_lane()] = at;
    meet_warp();
    for (int matrix = 0; matrix < 4; matrix++) {
        const unsigned row = lanes.address[my_warp()][matrix * 8 + my_lane() / 4];
        memcpy(&to[matrix], lanes.shared + row + my_lane() % 4 * 4, sizeof to[matrix]);
    }
    meet_warp();
}

static inline float code_value(unsigned word, int byte)
{
    return od_e4m3_decode((uint8_t)(word >> 8 * byte));
}

static inline void od_multiply_e4m3(float sum[4], const unsigned a[4], unsigned b0, unsigned b1)
{
    const int w = my_warp();
    memcpy(lanes.a[w][my_lane()], a, sizeof lanes.a[0][0]);
    lanes.b[w][my_lane()][0] = b0;
    lanes.b[w][my_lane()][1] = b1;
    meet_warp();
    for (int e = 0; e < 4; e++) {
        const int row = my_lane() / 4 + e / 2 * 8;
        const int col = my_lane() % 4 * 2 + e % 2;
        double all = (double)sum[e];
        for (int k = 0; k < 32; k++) {
            const unsigned one = lanes.a[w][row % 8 * 4 + k % 16 / 4][row / 8 + k / 16 * 2];
            const unsigned two = lanes.b[w][col * 4 + k % 16 / 4][k / 16];
            all += (double)code_value(one, k % 4) * (double)code_value(two, k % 4);
        }
        sum[e] = (float)all;
    }
    meet_warp();
}

static void *lane_main(void *context)
{
    threadIdx = (struct index3){(unsigned)(uintptr_t)context, 0};
    lanes.body();
    return NULL;
}

/** Run `body`, which calls a kernel, in all threads of every block of a grid. */
static inline void run_blocks(unsigned x, unsigned y, void (*body)(void))
{
    pthread_t thread[OD_GPU_THREADS];
    lanes.body = body;
    (void)pthread_barrier_init(&lanes.block, NULL, OD_GPU_THREADS);
    for (int w = 0; w < WARPS; w++) {
        (void)pthread_barrier_init(&lanes.warp[w], NULL, LANES);
    }
    for (unsigned i = 0; i < x * y; i++) {
        blockIdx = (struct index3){i % x, i / x};
        memset(lanes.shared, 0x7F, sizeof lanes.shared);  // no numbers
        for (int t = 0; t < OD_GPU_THREADS; t++) {
            const int made =
                pthread_create(&thread[t], NULL, lane_main, (void *)(uintptr_t)(unsigned)t);
            assert(made == 0);
        }
        for (int t = 0; t < OD_GPU_THREADS; t++) {
            (void)pthread_join(thread[t], NULL);
        }
    }
    for (int w = 0; w < WARPS; w++) {
        (void)pthread_barrier_destroy(&lanes.warp[w]);
    }
    (void)pthread_barrier_destroy(&lanes.block);
}

#endif
