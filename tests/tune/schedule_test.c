// Goal: learning rates are those of the published formulas, at every step; and evaluations and
// checkpoints are due when a recipe says.
// Method: closed forms of transformers' and axolotl's schedules, written here once more from their
// definitions, over many runs; and single values computed by hand.
#include "tune/schedule.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "support.h"
#include "tune/recipe.h"

static const double pi = 3.14159265358979323846;

static double larger(double a, double b)
{
    return a > b ? a : b;
}

static void near(double got, double want, const char *what, int64_t step, int64_t total)
{
    if (fabs(got - want) > 1e-15 + 1e-12 * fabs(want)) {
        fail_msg("%s, step %lld of %lld: %.17g, not %.17g", what, (long long)step, (long long)total,
                 got, want);
    }
}

static double warm(int64_t t, int64_t w)
{
    return (double)t / larger(1.0, (double)w);
}

static void cosine(void **state)
{
    (void)state;
    for (int64_t total = 1; total < 60; total++) {
        for (int64_t w = 0; w < total + 3; w += 3) {
            for (int m = 0; m < 3; m++) {
                const double least = 0.1 * m;
                const struct od_recipe r = {.learning_rate = 2e-4,
                                            .lr_scheduler = OD_SCHEDULE_COSINE,
                                            .cosine_min_lr_ratio = least,
                                            .warmup_steps = w};
                for (int64_t t = 0; t < total; t++) {
                    const double p = (double)(t - w) / larger(1.0, (double)(total - w));
                    const double f =
                        t < w ? warm(t, w) : (1.0 - least) * 0.5 * (1.0 + cos(pi * p)) + least;
                    near(od_learning_rate(&r, t, total, 0), 2e-4 * larger(0.0, f), "cosine", t,
                         total);
                }
            }
        }
    }
}

static void cosine_that_ends_early(void **state)
{
    (void)state;
    const struct od_recipe r = {.learning_rate = 1.0,
                                .lr_scheduler = OD_SCHEDULE_COSINE,
                                .cosine_min_lr_ratio = 0.2,
                                .cosine_constant_lr_ratio = 0.75,
                                .warmup_steps = 10};
    for (int64_t t = 10; t < 101; t++) {
        const double end = 75.0;  // int(101 * 0.75)
        const double at = (double)t < end ? (double)t : end;
        const double f = 0.8 * 0.5 * (1.0 + cos(pi * (at - 10.0) / (end - 10.0))) + 0.2;
        near(od_learning_rate(&r, t, 101, 0), f, "cosine, then constant", t, 101);
    }
    near(od_learning_rate(&r, 80, 101, 0), 0.2, "constant part", 80, 101);
}

static void linear(void **state)
{
    (void)state;
    for (int64_t total = 1; total < 60; total++) {
        for (int64_t w = 0; w < total + 3; w += 2) {
            const struct od_recipe r = {
                .learning_rate = 3e-5, .lr_scheduler = OD_SCHEDULE_LINEAR, .warmup_steps = w};
            for (int64_t t = 0; t < total; t++) {
                const double f =
                    t < w ? warm(t, w)
                          : larger(0.0, (double)(total - t) / larger(1.0, (double)(total - w)));
                near(od_learning_rate(&r, t, total, 0), 3e-5 * f, "linear", t, total);
            }
        }
    }
}

static void constants(void **state)
{
    (void)state;
    struct od_recipe r = {
        .learning_rate = 1e-3, .lr_scheduler = OD_SCHEDULE_CONSTANT, .warmup_steps = 4};
    for (int64_t t = 0; t < 10; t++) {
        r.lr_scheduler = OD_SCHEDULE_CONSTANT;
        near(od_learning_rate(&r, t, 10, 1), 1e-3, "constant", t, 10);
        r.lr_scheduler = OD_SCHEDULE_CONSTANT_WITH_WARMUP;
        near(od_learning_rate(&r, t, 10, 1), t < 4 ? 1e-3 * (double)t / 4.0 : 1e-3,
             "constant_with_warmup", t, 10);
    }
}

static double fall(enum od_decay kind, double p)
{
    if (kind == OD_DECAY_LINEAR) {
        return 1.0 - p;
    }
    return kind == OD_DECAY_COSINE ? 0.5 * (1.0 + cos(pi * p)) : 1.0 - sqrt(p);
}

static void warmup_stable_decay(void **state)
{
    (void)state;
    const enum od_decay kinds[] = {OD_DECAY_COSINE, OD_DECAY_LINEAR, OD_DECAY_ONE_MINUS_SQRT};
    for (size_t k = 0; k < 3; k++) {
        const double m = 0.1;
        const struct od_recipe r = {.learning_rate = 1.0,
                                    .lr_scheduler = OD_SCHEDULE_WARMUP_STABLE_DECAY,
                                    .lr_min_ratio = m,
                                    .lr_decay_steps = 20,
                                    .lr_decay = kinds[k],
                                    .warmup_steps = 10};
        for (int64_t t = 0; t < 100; t++) {
            double f = 1.0;
            if (t < 10) {
                f = (double)t / 10.0 * (1.0 - m) + m;
            } else if (t >= 80) {
                f = fall(kinds[k], (double)(t - 80) / 20.0) * (1.0 - m) + m;
            }
            near(od_learning_rate(&r, t, 100, 0), f, "warmup_stable_decay", t, 100);
        }
        near(od_learning_rate(&r, 100, 100, 0), m, "behind the end", 100, 100);
    }
}

static void decay_per_epoch(void **state)
{
    (void)state;
    const struct od_recipe r = {
        .learning_rate = 1e-4, .lr_scheduler = OD_SCHEDULE_DECAY_PER_EPOCH, .lr_gamma = 0.85};
    const double want[] = {1e-4, 0.85e-4, 0.7225e-4, 0.614125e-4, 0.52200625e-4};
    for (uint32_t e = 0; e < 5; e++) {
        near(od_learning_rate(&r, 17 + e, 1000, e), want[e], "decay_per_epoch", e, 5);
    }
}

static void warmup_ratio(void **state)
{
    (void)state;
    struct od_recipe r = {
        .learning_rate = 1.0, .lr_scheduler = OD_SCHEDULE_LINEAR, .warmup_ratio = 0.03};
    assert_int_equal(od_warmup_steps(&r, 101), 4);  // ceil(3.03)
    assert_int_equal(od_warmup_steps(&r, 100), 3);
    near(od_learning_rate(&r, 2, 101, 0), 0.5, "warm-up", 2, 101);
    r.warmup_steps = 7;
    assert_int_equal(od_warmup_steps(&r, 101), 7);
}

static void due(void **state)
{
    (void)state;
    struct od_recipe r = {.save_steps = 100.0};
    assert_int_equal(od_save_interval(&r, 1000, 30), 100);
    assert_int_equal(od_eval_interval(&r, 1000, 30), 30);  // each epoch unless something is said
    r.save_steps = 0.0;
    assert_int_equal(od_save_interval(&r, 1000, 30), 0);
    r.save_steps = 0.015;
    r.eval_steps = 0.0101;
    assert_int_equal(od_save_interval(&r, 1000, 30), 15);
    assert_int_equal(od_eval_interval(&r, 1000, 30), 11);
    r.eval_steps = 7.0;
    assert_int_equal(od_eval_interval(&r, 1000, 30), 7);
    r = (struct od_recipe){.evals_per_epoch = 4, .saves_per_epoch = 1, .save_steps = 100.0};
    assert_int_equal(od_eval_interval(&r, 1000, 30), 8);
    assert_int_equal(od_save_interval(&r, 1000, 30), 30);
    r.eval_strategy = OD_DUE_NEVER;
    r.save_strategy = OD_DUE_BEST;
    assert_int_equal(od_eval_interval(&r, 1000, 30), 0);
    assert_int_equal(od_save_interval(&r, 1000, 30), 0);
    r = (struct od_recipe){.eval_strategy = OD_DUE_EPOCH,
                           .eval_steps = 5.0,
                           .save_strategy = OD_DUE_STEPS,
                           .save_steps = 5.0};
    assert_int_equal(od_eval_interval(&r, 1000, 30), 30);
    assert_int_equal(od_save_interval(&r, 1000, 30), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cosine),
        cmocka_unit_test(cosine_that_ends_early),
        cmocka_unit_test(linear),
        cmocka_unit_test(constants),
        cmocka_unit_test(warmup_stable_decay),
        cmocka_unit_test(decay_per_epoch),
        cmocka_unit_test(warmup_ratio),
        cmocka_unit_test(due),
    };
    return cmocka_run_group_tests_name("tune/schedule", tests, NULL, NULL);
}
