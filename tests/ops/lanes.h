/**
 * @file
 * A stand-in for ops/mma.cuh that runs a kernel's source on a CPU: 32 lanes of a warp take turns, each
 * on a stack of its own, and meet where the hardware would make them meet (shuffles, products of
 * fragments). A test includes this file, then the body of a kernel; blocks run one after another.
 *
 * What it shows: that a kernel reads and writes what it should, and that rows do not depend on how the
 * work was cut. What it cannot show: races between warps, and the bits of the hardware's sums.
 *
 * @thread One owner.
 */
#ifndef OD_TESTS_OPS_LANES_H
#define OD_TESTS_OPS_LANES_H

#define OD_OPS_MMA_CUH  // instead of it

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define __device__
#define __forceinline__        inline
#define OD_MMA_KERNEL(threads) static void
#define OD_MMA_SHARED(name)    char *name = warp_shared

enum { LANES = 32, LANE_STACK_BYTES = 256 << 10, SHARED_BYTES = 192 << 10 };

struct index3 {
    unsigned x;
    unsigned y;
};
typedef struct {
    uint32_t x, y, z, w;
} uint4;
static struct index3 threadIdx;
static struct index3 blockIdx;
static _Alignas(128) char warp_shared[SHARED_BYTES];

static inline uint4 make_uint4(uint32_t x, uint32_t y, uint32_t z, uint32_t w)
{
    return (uint4){x, y, z, w};
}

/** What lanes tell each other where they meet: twice, since the first may be one meeting ahead. */
struct lane_words {
    float c[4];
    uint32_t a[4];
    uint32_t b[2];
};
static struct {
    ucontext_t home;
    ucontext_t lane[LANES];
    char *stack[LANES];
    bool done[LANES];
    int now;
    struct lane_words words[2][LANES];
    int meetings[LANES];
    void (*body)(void);
} warp;

// The next lane's turn, until all have come here.
static struct lane_words (*meet(const struct lane_words *mine))[LANES]
{
    const int me = warp.now;
    const int which = warp.meetings[me]++ & 1;
    warp.words[which][me] = *mine;
    warp.now = (me + 1) % LANES;
    threadIdx.x = threadIdx.x / LANES * LANES + (unsigned)warp.now;
    (void)swapcontext(&warp.lane[me], &warp.lane[warp.now]);
    return &warp.words[which];
}

static float widened(uint32_t word, int half)
{
    const uint32_t bits = half ? word & 0xFFFF0000u : word << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/** As the instruction m16n8k16 deals out its operands; sums in order of k. */
static inline void od_mma(float c[4], const uint32_t a[4], uint32_t b0, uint32_t b1)
{
    struct lane_words mine = {.b = {b0, b1}};
    memcpy(mine.a, a, sizeof mine.a);
    const int me = warp.now;
    struct lane_words(*all)[LANES] = meet(&mine);
    for (int e = 0; e < 4; e++) {
        const int row = me / 4 + e / 2 * 8;
        const int col = me % 4 * 2 + e % 2;
        float sum = 0.0F;
        for (int k = 0; k < 16; k++) {
            const struct lane_words *of_a = &(*all)[row % 8 * 4 + k % 8 / 2];
            const struct lane_words *of_b = &(*all)[col * 4 + k % 8 / 2];
            sum += widened(of_a->a[row / 8 + k / 8 * 2], k % 2) * widened(of_b->b[k / 8], k % 2);
        }
        c[e] += sum;
    }
}

static inline void od_warp_meet(void)
{
    const struct lane_words nothing = {.c = {0}};
    (void)meet(&nothing);
}

// At once: what is read too early or overwritten too soon is seen all the same.
static inline void od_copy16(char *to, const void *from, bool real)
{
    memset(to, 0, 16);
    if (real) {
        memcpy(to, from, 16);
    }
}
static inline void od_copies_end(void)
{
}
static inline void od_copies_but_two(void)
{
    od_warp_meet();
}
static inline void od_let_next_begin(void)
{
}
static inline void od_wait_for_last(void)
{
}

static inline float shuffled(float x, int mask)
{
    const struct lane_words mine = {.c = {x}};
    const int me = warp.now;
    return (*meet(&mine))[me ^ mask].c[0];
}

static inline float od_quad_max(float x)
{
    x = fmaxf(x, shuffled(x, 1));
    return fmaxf(x, shuffled(x, 2));
}

static inline float od_quad_sum(float x)
{
    x += shuffled(x, 1);
    return x + shuffled(x, 2);
}

static inline uint32_t half_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
}

static inline uint32_t od_pair(float low, float high)
{
    return half_of(low) | half_of(high) << 16;
}

static inline float od_power2(float x)
{
    return exp2f(x);
}

static inline uint32_t __byte_perm(uint32_t x, uint32_t y, unsigned selector)
{
    const uint64_t both = (uint64_t)y << 32 | x;
    uint32_t r = 0;
    for (int i = 0; i < 4; i++) {
        r |= (uint32_t)(both >> ((selector >> (4 * i) & 7u) * 8u) & 0xFFu) << (8 * i);
    }
    return r;
}

static inline float __fmul_rn(float a, float b)
{
    return a * b;
}
static inline float __fadd_rn(float a, float b)
{
    return a + b;
}
static inline float __fmaf_rn(float a, float b, float c)
{
    return fmaf(a, b, c);
}
static inline float __frcp_rn(float x)
{
    return 1.0F / x;
}

// A lane's whole life; when it ends, the others go on, and the last one goes home.
static void live(void)
{
    const int me = warp.now;
    warp.body();
    warp.done[me] = true;
    for (int i = me + 1; i < LANES; i++) {
        if (!warp.done[i]) {
            warp.now = i;
            threadIdx.x = threadIdx.x / LANES * LANES + (unsigned)i;
            (void)setcontext(&warp.lane[i]);
        }
    }
    (void)setcontext(&warp.home);
}

static void begin_lane(int lane)
{
    if (!warp.stack[lane]) {
        warp.stack[lane] = malloc(LANE_STACK_BYTES);
        assert(warp.stack[lane]);
    }
    (void)getcontext(&warp.lane[lane]);
    warp.lane[lane].uc_stack.ss_sp = warp.stack[lane];
    warp.lane[lane].uc_stack.ss_size = LANE_STACK_BYTES;
    makecontext(&warp.lane[lane], live, 0);
    warp.done[lane] = false;
    warp.meetings[lane] = 0;
}

/** Run `body`, which calls a kernel, as a block of `warps` warps. */
static inline void run_block(unsigned x, unsigned y, unsigned warps, void (*body)(void))
{
    blockIdx = (struct index3){x, y};
    warp.body = body;
    memset(warp_shared, 0xFF, sizeof warp_shared);
    for (unsigned w = 0; w < warps; w++) {
        for (int i = 0; i < LANES; i++) {
            begin_lane(i);
        }
        warp.now = 0;
        threadIdx.x = w * LANES;
        (void)swapcontext(&warp.home, &warp.lane[0]);
    }
}

#endif
