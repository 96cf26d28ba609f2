/**
 * @file
 * A stand-in for ops/gpu.cuh that runs the source of kernels on a CPU: the threads of a block take
 * turns, each on a stack of its own, and meet where the card's would. A test includes this file, then
 * .cu files, and undefines the macros of kernels; blocks run one after another.
 *
 * It shows that a kernel reads and writes what it should. It cannot show races, nor the last bits of
 * the card's logarithms.
 *
 * @thread One owner.
 */
#ifndef OD_TESTS_OPS_GPU_LANES_H
#define OD_TESTS_OPS_GPU_LANES_H

#define OD_OPS_GPU_CUH  // instead of it

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "base/random.h"

#define OD_KERNEL static void

enum { OD_GPU_THREADS = 256, THREAD_STACK_BYTES = 64 << 10 };

struct index3 {
    unsigned x;
    unsigned y;
};
typedef struct {
    uint32_t x, y, z, w;
} uint4;
typedef uint16_t od_bf16;

static struct index3 threadIdx;
static struct index3 blockIdx;
static struct index3 gridDim;

static struct {
    ucontext_t home;
    ucontext_t thread[OD_GPU_THREADS];
    char *stack[OD_GPU_THREADS];
    bool done[OD_GPU_THREADS];
    double value[2][OD_GPU_THREADS];  // twice: the first may be one meeting ahead
    int meetings[OD_GPU_THREADS];
    void (*body)(void);
} block;

// The others' turn, until all have come here; gives what each brought.
static inline const double *meet_block(double mine)
{
    const unsigned me = threadIdx.x;
    const unsigned next = (me + 1) % OD_GPU_THREADS;
    const int which = block.meetings[me]++ & 1;
    block.value[which][me] = mine;
    threadIdx.x = next;
    (void)swapcontext(&block.thread[me], &block.thread[next]);
    return block.value[which];
}

static inline void __syncthreads(void)
{
    (void)meet_block(0.0);
}

// The kernel in front is done.
static inline void od_follow(void)
{
}

static inline float od_block_sum(float x)
{
    const double *all = meet_block((double)x);
    float sum = 0.0F;
    for (int i = 0; i < OD_GPU_THREADS; i++) {
        sum += (float)all[i];
    }
    return sum;
}

static inline float od_block_max(float x)
{
    const double *all = meet_block((double)x);
    float most = (float)all[0];
    for (int i = 1; i < OD_GPU_THREADS; i++) {
        most = fmaxf(most, (float)all[i]);
    }
    return most;
}

static inline double od_block_sum_f64(double x)
{
    const double *all = meet_block(x);
    double sum = 0.0;
    for (int i = 0; i < OD_GPU_THREADS; i++) {
        sum += all[i];
    }
    return sum;
}

static inline float od_f32(od_bf16 half)
{
    const uint32_t bits = (uint32_t)half << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline od_bf16 od_round(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (od_bf16)((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}

static inline bool od_aligned(const void *a, int64_t ld)
{
    return ((uintptr_t)a & 15u) == 0 && (ld & 7) == 0;
}

static inline void od_load8(float x[8], const od_bf16 *from)
{
    assert((uintptr_t)from % 16 == 0);
    for (int i = 0; i < 8; i++) {
        x[i] = od_f32(from[i]);
    }
}

static inline void od_store8(od_bf16 *to, const float x[8])
{
    assert((uintptr_t)to % 16 == 0);
    for (int i = 0; i < 8; i++) {
        to[i] = od_round(x[i]);
    }
}

#define __expf expf
static inline float __fmul_rn(float a, float b)
{
    return a * b;
}
static inline float __fadd_rn(float a, float b)
{
    return a + b;
}

// The kernels' own draw is base/random.h's: gpu.cuh says so, and tests on a card compare.
static inline uint4 lanes_draw(uint64_t seed, uint32_t stream, uint32_t step, uint64_t element)
{
    const struct od_philox draw = od_philox_draw(seed, stream, step, element);
    return (uint4){draw.word[0], draw.word[1], draw.word[2], draw.word[3]};
}
#define od_philox_draw lanes_draw

// A thread's whole life; when it ends, the others go on, and the last one goes home.
static inline void live_thread(void)
{
    const unsigned me = threadIdx.x;
    block.body();
    block.done[me] = true;
    for (unsigned i = me + 1; i < OD_GPU_THREADS; i++) {
        if (!block.done[i]) {
            threadIdx.x = i;
            (void)setcontext(&block.thread[i]);
        }
    }
    (void)setcontext(&block.home);
}

static inline void begin_thread(int t)
{
    block.stack[t] = block.stack[t] ? block.stack[t] : malloc(THREAD_STACK_BYTES);
    assert(block.stack[t]);
    (void)getcontext(&block.thread[t]);
    block.thread[t].uc_stack.ss_sp = block.stack[t];
    block.thread[t].uc_stack.ss_size = THREAD_STACK_BYTES;
    makecontext(&block.thread[t], live_thread, 0);
    block.done[t] = false;
    block.meetings[t] = 0;
}

static inline void run_one_block(unsigned x, unsigned y)
{
    blockIdx = (struct index3){x, y};
    for (int t = 0; t < OD_GPU_THREADS; t++) {
        begin_thread(t);
    }
    threadIdx = (struct index3){0};
    (void)swapcontext(&block.home, &block.thread[0]);
}

/** Run `body`, which calls a kernel, in all threads of every block of a grid. */
static inline void run_grid(unsigned x, unsigned y, void (*body)(void))
{
    block.body = body;
    gridDim = (struct index3){x, y};
    for (unsigned i = 0; i < x * y; i++) {
        run_one_block(i % x, i / x);
    }
}

#endif
