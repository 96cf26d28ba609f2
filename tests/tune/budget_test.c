// Goal: the time of a run is the sum over its processes by the clock that saw more of it, and nothing
// begins that would not end in time.
// Method: clocks that are set by hand.
#include "tune/budget.h"

#include <math.h>
#include <stdbool.h>

#include "support.h"

static struct od_moment at(double steady_s, double wall_s)
{
    return (struct od_moment){.steady_s = steady_s, .wall_s = wall_s};
}

static void the_larger_time_counts(void **state)
{
    (void)state;
    const struct od_budget b = {.before_s = 100.0, .begin = {.steady_s = 50.0, .wall_s = 1000.0}};
    assert_true(fabs(od_budget_elapsed_s(&b, at(60.0, 1010.0)) - 110.0) < 1e-9);
    assert_true(fabs(od_budget_elapsed_s(&b, at(60.0, 900.0)) - 110.0) < 1e-9);   // set back
    assert_true(fabs(od_budget_elapsed_s(&b, at(60.0, 1500.0)) - 600.0) < 1e-9);  // or forward
    assert_false(od_budget_clock_was_set(&b, at(60.0, 1011.0)));
    assert_true(od_budget_clock_was_set(&b, at(60.0, 1000.0)));
    assert_true(od_budget_clock_was_set(&b, at(60.0, 1020.0)));
}

static void what_would_not_end(void **state)
{
    (void)state;
    struct od_budget b = {.limit_s = 1000.0, .before_s = 900.0, .step_s = 2.0, .close_s = 10.0};
    // Of 1000 s: 1 % and a quarter of a second spare, 15 for checkpoint and export.
    assert_true(od_budget_step_s(&b) > 2.0 && od_budget_step_s(&b) < 6.0);
    assert_true(od_budget_allows(&b, at(70.0, 70.0), od_budget_step_s(&b)));
    assert_false(od_budget_allows(&b, at(74.0, 70.0), od_budget_step_s(&b)));
    assert_false(od_budget_allows(&b, at(70.0, 74.0), od_budget_step_s(&b)));
    assert_true(od_budget_allows(&b, at(74.0, 74.0), 0.5));
    assert_true(od_budget_eval_s(&b, 5.0) > 3.0);  // guessed from five steps, of which it is a part
    assert_true(od_budget_eval_s(&b, 5.0) < 10.0);
    b.eval_s = 1.0;
    assert_true(od_budget_eval_s(&b, 5.0) < 3.0);  // measured
    b.limit_s = 0.0;
    assert_true(od_budget_allows(&b, at(1e9, 1e9), 1e9));
}

static void clocks_run(void **state)
{
    (void)state;
    const struct od_moment a = od_moment_now();
    const struct od_moment b = od_moment_now();
    assert_true(b.steady_s >= a.steady_s && a.steady_s > 0.0 && a.wall_s > 1.6e9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_larger_time_counts),
                                       cmocka_unit_test(what_would_not_end),
                                       cmocka_unit_test(clocks_run)};
    return cmocka_run_group_tests_name("tune/budget", tests, NULL, NULL);
}
