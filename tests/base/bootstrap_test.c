// Goal: the bootstrap interval is SciPy's but for the draws, covers as often as it says, and is
// undefined where values say nothing. Method: a record of SciPy with 200,000 resamples; made-up values.

#include "base/bootstrap.h"

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/interval.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "formats/json.h"
#include "support.h"

enum { STRATA_MAX = 4, VALUES_MAX = 256, TRIALS = 200, SEEDS = 20 };

struct sample {
    double values[STRATA_MAX][VALUES_MAX];
    struct od_stratum strata[STRATA_MAX];
    size_t count;
};

static void read_sample(const json_t *lists, struct sample *sample)
{
    sample->count = json_array_size(lists);
    assert_true(sample->count <= STRATA_MAX);
    for (size_t s = 0; s < sample->count; s++) {
        const json_t *list = json_array_get(lists, s);
        assert_true(json_array_size(list) <= VALUES_MAX);
        for (size_t i = 0; i < json_array_size(list); i++) {
            sample->values[s][i] = json_number_value(json_array_get(list, i));
        }
        sample->strata[s] = (struct od_stratum){sample->values[s], json_array_size(list)};
    }
}

// The draws differ, so the mean over some seeds is compared, with room for their noise.
static void test_scipy(void **state)
{
    (void)state;
    static struct sample sample;
    struct od_error err = {0};
    json_t *record = NULL;
    size_t at = 0;
    json_t *one = NULL;
    assert_ok(od_json_read(test_source("tests/golden/oracle/bootstrap.json"), &record, &err), &err);
    assert_int_equal(json_array_size(json_object_get(record, "cases")), 5);
    json_array_foreach(json_object_get(record, "cases"), at, one)
    {
        const double low = json_number_value(json_object_get(one, "low"));
        const double high = json_number_value(json_object_get(one, "high"));
        struct od_interval mean = {0.0, 0.0};
        read_sample(json_object_get(one, "strata"), &sample);
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            struct od_interval interval = {0};
            bool defined = false;
            assert_ok(
                od_bootstrap_mean(sample.strata, sample.count, seed, &defined, &interval, &err),
                &err);
            assert_true(defined);
            mean.low += interval.low / (double)SEEDS;
            mean.high += interval.high / (double)SEEDS;
        }
        if (fabs(mean.low - low) > 0.03 * (high - low) ||
            fabs(mean.high - high) > 0.03 * (high - low)) {
            fail_msg("%s: %g to %g, SciPy %g to %g",
                     json_string_value(json_object_get(one, "name")), mean.low, mean.high, low,
                     high);
        }
    }
    json_decref(record);
}

// Of values with a known mean, about 95 of 100 intervals have it inside.
static void test_coverage(void **state)
{
    (void)state;
    static struct sample sample;
    struct od_error err = {0};
    int inside = 0;
    for (uint32_t trial = 0; trial < TRIALS; trial++) {
        struct od_interval interval = {0};
        bool defined = false;
        for (uint64_t i = 0; i < 60; i++) {
            const struct od_philox words = od_philox_draw(9, 5, trial, i);
            sample.values[i % 2][i / 2] = words.word[0] < UINT32_MAX / 10 * 3 ? 1.0 : 0.0;
        }
        for (size_t s = 0; s < 2; s++) {
            sample.strata[s] = (struct od_stratum){sample.values[s], 30};
        }
        assert_ok(od_bootstrap_mean(sample.strata, 2, trial, &defined, &interval, &err), &err);
        inside += defined && interval.low <= 0.6 && interval.high >= 0.6;
    }
    assert_true(inside >= TRIALS * 90 / 100 && inside <= TRIALS * 99 / 100);
}

static void test_same_bits(void **state)
{
    (void)state;
    static const double values[] = {0.0, 1.0, 0.5, 0.25, 1.0};
    const struct od_stratum stratum = {values, 5};
    struct od_interval intervals[3] = {{0}};
    bool defined = false;
    struct od_error err = {0};
    for (size_t i = 0; i < 3; i++) {
        assert_ok(od_bootstrap_mean(&stratum, 1, i / 2, &defined, &intervals[i], &err), &err);
        assert_true(defined);
    }
    assert_memory_equal(&intervals[0], &intervals[1], sizeof intervals[0]);
    assert_true(intervals[0].low < 0.55 && intervals[0].high > 0.55);
}

static void test_undefined(void **state)
{
    (void)state;
    static const double same[] = {0.1, 0.1, 0.1};
    static const double broken[] = {0.0, (double)NAN, 1.0};
    static const double one[] = {0.5};
    const struct od_stratum cases[][2] = {{{same, 3}, {same, 3}},
                                          {{broken, 3}, {same, 3}},
                                          {{one, 1}, {one, 1}},
                                          {{same, 3}, {same, 0}}};
    struct od_error err = {0};
    for (size_t i = 0; i < 4; i++) {
        struct od_interval interval = {-7.0, -7.0};
        bool defined = true;
        assert_ok(od_bootstrap_mean(cases[i], 2, 1, &defined, &interval, &err), &err);
        assert_false(defined);
        assert_true(interval.low == -7.0);
        defined = true;
        assert_ok(od_bootstrap_mean(cases[i], 0, 1, &defined, &interval, &err), &err);
        assert_false(defined);
    }
}

static void test_no_memory(void **state)
{
    (void)state;
    static const double values[] = {0.0, 1.0};
    const struct od_stratum stratum = {values, 2};
    struct od_interval interval = {0};
    bool defined = false;
    struct od_error err = {0};
    od_alloc_fail_at(1);
    assert_int_equal(od_bootstrap_mean(&stratum, 1, 1, &defined, &interval, &err), OD_E_MEMORY);
    od_alloc_fail_at(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scipy),     cmocka_unit_test(test_coverage),
        cmocka_unit_test(test_same_bits), cmocka_unit_test(test_undefined),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
