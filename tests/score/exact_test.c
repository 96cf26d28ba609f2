// Goal: sums and means are the exact ones, rounded once.
// Method: values where plain addition goes wrong, limits of the range, sums that are known.

#include "score/exact.h"

#include <float.h>
#include <math.h>

#include "base/random.h"
#include "support.h"

static void means(void **state)
{
    (void)state;
    const double tenths[] = {0.1, 0.2, 0.3};
    assert_true(od_exact_mean(tenths, 3) == 0.2);
    assert_true((0.1 + 0.2 + 0.3) / 3.0 != 0.2);
    const double cancel[] = {1e308, 1.0, -1e308};
    assert_true(od_exact_sum(cancel, 3) == 1.0);
    const double third[] = {1.0, 0.0, 0.0};
    assert_true(od_exact_mean(third, 3) == 1.0 / 3.0);
    const double minus[] = {-1.0, 0.0, 0.0};
    assert_true(od_exact_mean(minus, 3) == -1.0 / 3.0);
    assert_true(od_exact_sum(NULL, 0) == 0.0);
}

static void limits(void **state)
{
    (void)state;
    const double tiny[] = {DBL_TRUE_MIN, DBL_TRUE_MIN};
    assert_true(od_exact_sum(tiny, 2) == 2 * DBL_TRUE_MIN);
    assert_true(od_exact_mean(tiny, 2) == DBL_TRUE_MIN);
    const double half[] = {DBL_TRUE_MIN, 0.0};  // a tie goes to the even neighbour, 0
    assert_true(od_exact_mean(half, 2) == 0.0);
    const double more[] = {DBL_TRUE_MIN, DBL_TRUE_MIN, 0.0};
    assert_true(od_exact_mean(more, 3) == DBL_TRUE_MIN);
    const double huge[] = {DBL_MAX, DBL_MAX, DBL_MAX};
    assert_true(od_exact_mean(huge, 3) == DBL_MAX);
    // 1 + 2^-53 is a tie: down to the even 1; a little more is not.
    const double tie[] = {1.0, 0x1p-53};
    assert_true(od_exact_sum(tie, 2) == 1.0);
    const double above[] = {1.0, 0x1p-53, 0x1p-300};
    assert_true(od_exact_sum(above, 3) == 1.0 + DBL_EPSILON);
    const double odd[] = {1.0 + DBL_EPSILON, 0x1p-53};
    assert_true(od_exact_sum(odd, 2) == 1.0 + 2 * DBL_EPSILON);
}

// The sum of a number and its negative neighbours in any order is what is left over.
static void order_does_not_matter(void **state)
{
    (void)state;
    enum { COUNT = 200 };
    double values[COUNT];
    const uint64_t seed = test_seed();
    for (uint64_t i = 0; i < COUNT; i++) {
        const struct od_philox draw = od_philox_draw(seed, 0, 0, i);
        values[i] = ldexp((double)draw.word[0] + (double)draw.word[1] * 0x1p-32,
                          (int)(draw.word[2] % 400) - 200) *
                    ((draw.word[3] & 1) != 0 ? 1.0 : -1.0);
    }
    const double forward = od_exact_sum(values, COUNT);
    const double mean = od_exact_mean(values, COUNT);
    for (size_t i = 0; i < COUNT / 2; i++) {
        const double swapped = values[i];
        values[i] = values[COUNT - 1 - i];
        values[COUNT - 1 - i] = swapped;
    }
    assert_true(od_exact_sum(values, COUNT) == forward);
    assert_true(od_exact_mean(values, COUNT) == mean);
    assert_true(fabs(mean * (double)COUNT - forward) <= fabs(forward) * 1e-15);
}

static void geometric(void **state)
{
    (void)state;
    // The categories and Scores of two entries on the board of 27 October 2023.
    const double first[] = {0.96, 0.86, 0.97, 0.98};
    const double second[] = {0.93, 0.99, 0.99, 0.63};
    assert_true(fabs(od_geometric_mean(first, 4) - 0.94122) < 5e-6);
    assert_true(fabs(od_geometric_mean(second, 4) - 0.87051) < 5e-6);
    const double zero[] = {0.0, 0.5, 0.5, 0.5, 0.5};
    const double score = od_geometric_mean(zero, 5);
    assert_true(score > 1e-66 && score < 1e-64);
    const double one[] = {1.0};
    assert_true(od_geometric_mean(one, 1) == 1.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(means),
        cmocka_unit_test(limits),
        cmocka_unit_test(order_does_not_matter),
        cmocka_unit_test(geometric),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
