// Goal: NEFTune's noise is uniform in +-alpha / sqrt(L C) with L the tokens of each document, is drawn
// anew for each pass, is there in training passes only, and has the same bits on any number of threads.
// Method: an embedding of zeros, so that the output is the noise; its range and moments; and each value
// drawn once more here.

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/random.h"
#include "base/status.h"
#include "ops/cpu.h"
#include "ops/op.h"
#include "support.h"

enum { T = 61, C = 50, V = 7, DOCUMENTS = 4, SEED = 77, STREAM = 5 };
static const float ALPHA = 5.0F;
static const int32_t starts[DOCUMENTS + 1] = {0, 1, 20, 24, T};

static void run(int threads, bool vector, bool want_gradient, uint32_t pass, float *y)
{
    struct od_error err = {0};
    struct od_cpu cpu;
    static float w[V * C];
    static int32_t ids[T];
    float *tensors[2] = {w, y};
    struct od_op op = {.kind = OD_OP_EMBED, .n = C, .noise = ALPHA, .stream = STREAM};
    struct od_batch batch = {.tokens = T,
                             .ids = ids,
                             .segments = DOCUMENTS,
                             .segment_start = starts,
                             .want_gradient = want_gradient,
                             .dropout_seed = SEED,
                             .dropout_pass = pass};
    for (int i = 0; i < OD_OP_SLOTS; i++) {
        op.slot[i] = -1;
    }
    op.slot[OD_SLOT_W] = 0;
    op.slot[OD_SLOT_Y] = 1;
    for (int t = 0; t < T; t++) {
        ids[t] = t % V;
    }
    assert_ok(od_cpu_open(threads, vector, &cpu, &err), &err);
    od_cpu_run(&cpu, &op, tensors, &batch);
    od_cpu_close(&cpu);
}

static int document_of(int t)
{
    int d = 0;
    while (starts[d + 1] <= t) {
        d++;
    }
    return d;
}

static void uniform_in_its_range(void **state)
{
    (void)state;
    enum { PASSES = 40 };
    static float y[T * C];
    double sum[DOCUMENTS] = {0};
    double squares[DOCUMENTS] = {0};
    double most[DOCUMENTS] = {0};
    for (uint32_t pass = 0; pass < PASSES; pass++) {
        run(1, false, true, pass, y);
        for (int t = 0; t < T; t++) {
            const int d = document_of(t);
            for (int c = 0; c < C; c++) {
                const double v = (double)y[t * C + c];
                sum[d] += v;
                squares[d] += v * v;
                most[d] = fmax(most[d], fabs(v));
            }
        }
    }
    for (int d = 0; d < DOCUMENTS; d++) {
        const double length = starts[d + 1] - starts[d];
        const double bound = (double)ALPHA / sqrt(length * (double)C);
        const double n = length * (double)C * (double)PASSES;
        assert_true(most[d] <= bound * 1.000001 && most[d] > 0.99 * bound);
        assert_true(fabs(sum[d] / n) < 5.0 * bound / sqrt(3.0 * n));  // five deviations
        assert_true(fabs(squares[d] / n / (bound * bound / 3.0) - 1.0) < 5.0 * 0.9 / sqrt(n));
    }
}

static void drawn_by_the_definition(void **state)
{
    (void)state;
    static float y[T * C];
    run(1, false, true, 9, y);
    for (int t = 0; t < T; t++) {
        const int d = document_of(t);
        const float bound =
            (float)((double)ALPHA / sqrt((double)(starts[d + 1] - starts[d]) * (double)C));
        for (int c = 0; c < C; c++) {
            const uint64_t element = (uint64_t)t * ((C + 3) / 4) + (uint64_t)c / 4;
            const uint32_t word = od_philox_draw(SEED, STREAM, 9, element).word[c % 4];
            const float want = (2.0F * od_uniform_f32(word) - 1.0F) * bound;
            assert_memory_equal(&y[t * C + c], &want, sizeof want);
        }
    }
}

static void same_bits_and_none_without(void **state)
{
    (void)state;
    static float one[T * C];
    static float many[T * C];
    run(1, false, true, 3, one);
    run(3, true, true, 3, many);
    assert_memory_equal(one, many, sizeof one);
    run(3, true, true, 4, many);
    assert_memory_not_equal(one, many, sizeof one);
    run(2, true, false, 3, many);
    for (int i = 0; i < T * C; i++) {
        assert_true(many[i] == 0.0F);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(uniform_in_its_range),
                                       cmocka_unit_test(drawn_by_the_definition),
                                       cmocka_unit_test(same_bits_and_none_without)};
    return cmocka_run_group_tests_name("ops/embed_noise", tests, NULL, NULL);
}
