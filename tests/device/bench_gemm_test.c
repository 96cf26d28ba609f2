// Goal: the benchmark reports every form once for each number of threads, with figures that can be,
// and refuses senseless options. Method: a tiny square; no speed is asked for.

#include "flow/bench_gemm.h"

#include <stdbool.h>

#include "base/status.h"
#include "device/cpu/gemm.h"
#include "support.h"

enum { FORMS = 6 };

struct seen {
    int rows;
    int threads[2 * FORMS + 1];
};

static void take(void *context, const struct od_bench_gemm_row *row)
{
    struct seen *seen = context;
    const bool vector = od_cpu_features_detect(true).avx2_fma;
    assert_true(seen->rows < 2 * FORMS);
    assert_int_equal(row->m, 32);
    assert_int_equal(row->k, 32);
    assert_true(row->flops > 0.0);
    assert_int_equal(row->vector, vector);
    assert_int_equal(row->share > 0.0, vector);
    assert_int_equal(row->peak_flops > 0.0, vector);
    seen->threads[seen->rows++] = row->threads;
}

static void every_form_is_measured(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct seen seen = {.rows = 0};
    const struct od_bench_gemm_options options = {.threads = 2,
                                                  .allow_vector = true,
                                                  .size = 32,
                                                  .seconds = 0.001,
                                                  .fn = take,
                                                  .context = &seen};
    assert_ok(od_bench_gemm(&options, &err), &err);
    assert_int_equal(seen.rows, 2 * FORMS);
    for (int i = 0; i < 2 * FORMS; i++) {
        assert_int_equal(seen.threads[i], i < FORMS ? 1 : 2);
    }
}

static void senseless_options_are_refused(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct seen seen = {.rows = 0};
    const struct od_bench_gemm_options good = {
        .threads = 1, .allow_vector = true, .seconds = 0.001, .fn = take, .context = &seen};
    struct od_bench_gemm_options options = good;
    options.size = OD_BENCH_GEMM_SIZE_MAX + 1;
    assert_int_equal(od_bench_gemm(&options, &err), OD_E_ARGUMENT);
    options = good;
    options.seconds = 0.0;
    assert_int_equal(od_bench_gemm(&options, &err), OD_E_ARGUMENT);
    options = good;
    options.group = "sqare";
    assert_int_equal(od_bench_gemm(&options, &err), OD_E_ARGUMENT);
    assert_int_equal(seen.rows, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_is_measured),
        cmocka_unit_test(senseless_options_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
