/**
 * @file
 * Two machines that an operation runs on, one plain thread without AVX2 and three threads with it, and
 * memory that holds random values or no numbers.
 * @thread One owner.
 */
#ifndef OD_TESTS_OPS_CPU_MACHINES_H
#define OD_TESTS_OPS_CPU_MACHINES_H

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "ops/cpu.h"
#include "support.h"

enum { BUFFER = 1 << 18, ROUNDS = 25, TENSORS = OD_OP_SLOTS, THREADS_MANY = 3 };

static uint64_t drawn;

static inline float uniform(void)
{
    return 2.0F * od_uniform_f32(od_philox_draw(test_seed(), 8, 0, drawn++).word[0]) - 1.0F;
}

static inline int64_t between(int64_t low, int64_t high)
{
    const struct od_philox d = od_philox_draw(test_seed(), 8, 1, drawn++);
    return low + (int64_t)(d.word[0] % (uint32_t)(high - low + 1));
}

static struct od_cpu plain;
static struct od_cpu fast;

// Memory of an operation, once per machine.
static float *memory[2][TENSORS];

static inline int setup(void **state)
{
    (void)state;
    struct od_error err = {0};
    if (od_cpu_open(1, false, &plain, &err) != OD_OK ||
        od_cpu_open(THREADS_MANY, true, &fast, &err) != OD_OK) {
        return -1;
    }
    for (int m = 0; m < 2; m++) {
        for (int i = 0; i < TENSORS; i++) {
            memory[m][i] = od_alloc(BUFFER, sizeof(float));
            if (!memory[m][i]) {
                return -1;
            }
        }
    }
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    for (int m = 0; m < 2; m++) {
        for (int i = 0; i < TENSORS; i++) {
            od_free(memory[m][i]);
        }
    }
    od_cpu_close(&plain);
    od_cpu_close(&fast);
    return 0;
}

// Random values in slot `slot`, the same for both machines.
static inline float *random_in(enum od_slot slot, int64_t count)
{
    assert_true(count <= BUFFER);
    for (int64_t i = 0; i < count; i++) {
        memory[0][slot][i] = uniform();
    }
    memcpy(memory[1][slot], memory[0][slot], (size_t)count * sizeof(float));
    return memory[0][slot];
}

static inline void poison(enum od_slot slot)
{
    for (int m = 0; m < 2; m++) {
        for (int64_t i = 0; i < BUFFER; i++) {
            memory[m][slot][i] = NAN;
        }
    }
}

static inline struct od_op operation(enum od_op_kind kind)
{
    struct od_op op = {.kind = kind};
    for (int i = 0; i < OD_OP_SLOTS; i++) {
        op.slot[i] = -1;
    }
    return op;
}

static inline void use(struct od_op *op, enum od_slot slot)
{
    op->slot[slot] = (int32_t)slot;
}

static inline void run_both(const struct od_op *op, const struct od_batch *batch)
{
    struct od_batch one = *batch;
    struct od_batch two = *batch;
    od_cpu_run(&plain, op, memory[0], &one);
    od_cpu_run(&fast, op, memory[1], &two);
    assert_true(memcmp(&one.loss_sum, &two.loss_sum, sizeof one.loss_sum) == 0);
}

static inline void same_and_near(enum od_slot slot, const float *want, int64_t count,
                                 double tolerance, const char *what)
{
    if (memcmp(memory[0][slot], memory[1][slot], (size_t)count * sizeof(float)) != 0) {
        fail_msg("%s: bits differ between the plain and the fast machine", what);
    }
    for (int64_t i = 0; i < count; i++) {
        const double got = (double)memory[0][slot][i];
        if (!(fabs(got - (double)want[i]) <= tolerance * (1.0 + fabs((double)want[i])))) {
            fail_msg("%s: element %lld is %g, the definition says %g", what, (long long)i, got,
                     (double)want[i]);
        }
    }
}

static float expected[BUFFER];

#endif
