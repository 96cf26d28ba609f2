// Goal: the intervals are the published ones and never leave the range they speak of.
// Method: values of Wilson's interval computed with 50 digits from the formula, limits, symmetry.

#include "base/interval.h"

#include <math.h>

#include "support.h"

static void share_values(void **state)
{
    (void)state;
    const struct {
        int64_t right, items;
        double low, high;
    } cases[] = {
        {0, 10, 0.00000000000000000000, 0.27753279986288925674},
        {1, 10, 0.01787621309507290285, 0.40415002679523848172},
        {5, 10, 0.23659309051256396939, 0.76340690948743605837},
        {10, 10, 0.72246720013711074326, 1.00000000000000000000},
        {120, 240, 0.43724268978525526741, 0.56275731021474473259},
        {1, 3, 0.06149194472039622855, 0.79234039919795229423},
        {37, 61, 0.48117252628978929296, 0.71931648546962922985},
        {9999, 10000, 0.99943373110259869918, 0.99998234732639890154},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct od_interval interval = {0};
        assert_true(od_interval_share(cases[i].right, cases[i].items, &interval));
        assert_true(fabs(interval.low - cases[i].low) < 1e-14);
        assert_true(fabs(interval.high - cases[i].high) < 1e-14);
    }
}

static void share_properties(void **state)
{
    (void)state;
    for (int64_t items = 1; items < 300; items += 7) {
        for (int64_t right = 0; right <= items; right++) {
            struct od_interval a = {0};
            struct od_interval b = {0};
            const double p = (double)right / (double)items;
            assert_true(od_interval_share(right, items, &a));
            assert_true(od_interval_share(items - right, items, &b));
            assert_true(a.low >= 0.0 && a.low <= p && p <= a.high && a.high <= 1.0);
            assert_true(a.low < a.high);
            assert_true(fabs(a.low + b.high - 1.0) < 1e-12);
        }
    }
}

static void share_refuses(void **state)
{
    (void)state;
    struct od_interval interval = {.low = 7.0, .high = 8.0};
    assert_false(od_interval_share(0, 0, &interval));
    assert_false(od_interval_share(-1, 3, &interval));
    assert_false(od_interval_share(4, 3, &interval));
    assert_false(od_interval_share_of(1.5, 3, &interval));
    assert_false(od_interval_share_of((double)NAN, 3, &interval));
    assert_false(od_interval_share_of(0.5, 0, &interval));
    assert_false(od_interval_share_of(0.5, (double)NAN, &interval));
    assert_true(interval.low == 7.0 && interval.high == 8.0);
}

// A share is no plain count: the items that a mean of unequal runs is worth, and its ends.
static void share_of_fractions(void **state)
{
    (void)state;
    struct od_interval a = {0};
    struct od_interval b = {0};
    struct od_interval between = {0};
    assert_true(od_interval_share_of(0.75, 6.0, &a));
    assert_true(od_interval_share_of(0.75, 7.0, &b));
    assert_true(od_interval_share_of(0.75, 6.4, &between));
    assert_true(a.low < between.low && between.low < b.low);
    assert_true(b.high < between.high && between.high < a.high);
    assert_true(od_interval_share_of(0.0, 0.5, &a) && a.low == 0.0 && a.high < 1.0);
    assert_true(od_interval_share_of(1.0, 0.5, &b) && b.high == 1.0 && b.low > 0.0);
}

static void mean_values(void **state)
{
    (void)state;
    struct od_interval interval = {.low = 7.0, .high = 8.0};
    // 1, 2, 3, 4: mean 2.5, unbiased variance 5/3, half width z sqrt(5/12).
    assert_true(od_interval_mean(10.0, 30.0, 4, &interval));
    assert_true(fabs(interval.low - (2.5 - OD_INTERVAL_Z95 * sqrt(5.0 / 12.0))) < 1e-15);
    assert_true(fabs(interval.high - (2.5 + OD_INTERVAL_Z95 * sqrt(5.0 / 12.0))) < 1e-15);
    assert_true(od_interval_mean(0.3, 0.03, 3, &interval));
    assert_true(fabs(interval.high - interval.low) < 1e-7);
    assert_false(od_interval_mean(1.0, 1.0, 1, &interval));
    assert_false(od_interval_mean((double)INFINITY, 1.0, 3, &interval));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(share_values),  cmocka_unit_test(share_properties),
        cmocka_unit_test(share_refuses), cmocka_unit_test(share_of_fractions),
        cmocka_unit_test(mean_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
