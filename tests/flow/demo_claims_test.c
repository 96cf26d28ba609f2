// Goal: what the README claims of the demo holds: the base model is above chance in at least one
// kind of question, and the tuned model's 95 % interval lies above the base's in at least three
// kinds, on at least 200 items each.
// Method: the demo itself, as `make demo` runs it.

#include <stdio.h>

#include "flow/demo.h"
#include "support.h"

static void claims(void **state)
{
    (void)state;
    char dir[OD_PATH_MAX_BYTES];
    char examples[OD_PATH_MAX_BYTES];
    struct od_demo_result result;
    struct od_error err = {0};
    int above_chance = 0;
    int better = 0;
    (void)snprintf(examples, sizeof examples, "%s", test_source("examples"));
    assert_ok(od_path_join(dir, test_folder(), "demo", &err), &err);
    const struct od_demo_options options = {
        .dir = dir, .examples = examples, .threads = 0, .allow_vector = true};
    assert_ok(od_demo_run(&options, &result, &err), &err);
    for (size_t k = 0; k < result.kind_count; k++) {
        const struct od_demo_kind *kind = &result.kind[k];
        (void)printf("# %s: %lld items, base %.3f (%.3f to %.3f), tuned %.3f (%.3f to %.3f)\n",
                     kind->name, (long long)kind->items, kind->value[0], kind->low[0],
                     kind->high[0], kind->value[1], kind->low[1], kind->high[1]);
        above_chance += kind->chance > 0.0 && kind->low[0] > kind->chance;
        better += kind->items >= 200 && kind->low[1] > kind->high[0];
    }
    (void)printf("# %.0f seconds\n", result.seconds);
    assert_true(above_chance >= 1);
    assert_true(better >= 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(claims)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
