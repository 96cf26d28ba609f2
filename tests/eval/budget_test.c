// Goal: instances are shared out as in the challenge's conf files, and an evaluation asks that many.
// Method: the five published files without their numbers; rules on made-up lists; the stand-in model.

#include "eval/budget.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "eval/evaluation.h"
#include "eval/run_spec.h"
#include "eval/runner.h"
#include "formats/hocon.h"
#include "stand_in.h"
#include "support.h"

enum { ENTRIES_MAX = 256 };

// `description` without its max_eval_instances, whose value is given.
static const char *without_number(struct od_arena *arena, const char *description, int64_t *ret)
{
    struct od_run_description parsed = {0};
    struct od_error err = {0};
    const char *at = strstr(description, ",max_eval_instances=");
    assert_non_null(at);
    assert_ok(od_run_description_parse(description, arena, &parsed, &err), &err);
    *ret = od_run_arg_find(&parsed, "max_eval_instances")->integer;
    return od_arena_memdup(arena, description, (size_t)(at - description));
}

static void check_published(const char *file, int64_t instances, size_t entries)
{
    struct od_hocon conf = {0};
    struct od_error err = {0};
    struct od_arena arena;
    const char *descriptions[ENTRIES_MAX] = {0};
    int64_t numbers[ENTRIES_MAX] = {0};
    int64_t shares[ENTRIES_MAX] = {0};
    od_arena_init(&arena, (size_t)64 << 20);
    assert_ok(od_hocon_read(test_shared(file), &conf, &err), &err);
    assert_int_equal(conf.count, entries);
    for (size_t i = 0; i < conf.count; i++) {
        descriptions[i] = without_number(&arena, conf.entries[i].description, &numbers[i]);
    }
    assert_ok(od_budget_split(descriptions, conf.count, instances, shares, &err), &err);
    for (size_t i = 0; i < conf.count; i++) {
        const char *made = NULL;
        if (shares[i] != numbers[i]) {
            fail_msg("%s: entry %zu '%s' gets %lld, published is %lld", file, i, descriptions[i],
                     (long long)shares[i], (long long)numbers[i]);
        }
        assert_ok(od_budget_describe(descriptions[i], shares[i], &arena, &made, &err), &err);
        assert_string_equal(made, conf.entries[i].description);
    }
    od_hocon_release(&conf);
    od_arena_release(&arena);
}

static void test_published_files(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        int64_t instances;
        size_t entries;
    } cases[] = {{"confs/run_specs_full_coarse_600_budget.conf", 600, 88},
                 {"confs/run_specs_open_100_budget.conf", 100, 87},
                 {"confs/run_specs_open_2000_budget.conf", 2000, 87},
                 {"confs/run_specs_closed_100_budget.conf", 100, 22},
                 {"confs/run_specs_closed_5000_budget.conf", 5000, 22}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_published(cases[i].file, cases[i].instances, cases[i].entries);
    }
}

static void expect(const char *const *descriptions, size_t count, int64_t instances,
                   const int64_t *expected)
{
    struct od_error err = {0};
    int64_t shares[16] = {0};
    assert_ok(od_budget_split(descriptions, count, instances, shares, &err), &err);
    for (size_t i = 0; i < count; i++) {
        if (shares[i] != expected[i]) {
            fail_msg("entry %zu of %lld instances: %lld, not %lld", i, (long long)instances,
                     (long long)shares[i], (long long)expected[i]);
        }
    }
}

static void test_rules(void **state)
{
    (void)state;
    static const char *const list[] = {
        "big_bench:task=t,subtask=a", "big_bench:task=t,subtask=b",
        "mmlu:subject=anatomy",       "mmlu:subject=college_medicine",
        "mmlu:subject=own",           "truthful_qa:task=mc_single",
        "summarization_cnndm",        "gsm"};
    // Five labels: truthful_qa (2), biology (2), t (2), own, gsm; values go out in this order.
    static const int64_t ten[] = {1, 1, 1, 1, 2, 1, 1, 2};
    static const int64_t twelve[] = {1, 1, 1, 1, 3, 1, 1, 3};
    static const int64_t one[] = {0, 0, 0, 0, 0, 0, 0, 1};
    static const int64_t eleven[] = {1, 1, 1, 1, 2, 1, 1, 3};
    static const int64_t none[8] = {0};
    expect(list, 8, 10, ten);
    expect(list, 8, 11, eleven);
    expect(list, 8, 12, twelve);
    expect(list, 8, 1, one);
    expect(list, 8, 0, none);
    expect(list, 0, 7, none);
}

static void test_sums(void **state)
{
    (void)state;
    static const char *const list[] = {
        "mmlu:subject=anatomy",     "mmlu:subject=virology",     "gsm",
        "mmlu:subject=marketing",   "gsm:max_train_instances=0", "bbq:subject=all",
        "big_bench:task=x,subtask="};
    for (uint64_t round = 0; round < 300; round++) {
        struct od_error err = {0};
        const size_t count = 1 + (size_t)(round % 7);
        const int64_t instances = (int64_t)(round % 977);
        int64_t shares[7] = {0};
        int64_t sum = 0;
        assert_ok(od_budget_split(list, count, instances, shares, &err), &err);
        for (size_t i = 0; i < count; i++) {
            assert_true(shares[i] >= 0);
            sum += shares[i];
        }
        assert_int_equal(sum, instances);
    }
}

static void test_descriptions(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"gsm", "gsm:max_eval_instances=7"},
        {"gsm:max_train_instances=0", "gsm:max_train_instances=0,max_eval_instances=7"},
        {"gsm:max_eval_instances=3,num_outputs=1", "gsm:max_eval_instances=7,num_outputs=1"},
        {"gsm:a=1,max_eval_instances=3", "gsm:a=1,max_eval_instances=7"}};
    struct od_arena arena;
    struct od_error err = {0};
    od_arena_init(&arena, 1 << 20);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *made = NULL;
        assert_ok(od_budget_describe(cases[i][0], 7, &arena, &made, &err), &err);
        assert_string_equal(made, cases[i][1]);
    }
    od_arena_release(&arena);
}

static void test_errors(void **state)
{
    (void)state;
    static const char *const good[] = {"gsm"};
    static const char *const broken[] = {"gsm:x"};
    struct od_error err = {0};
    int64_t shares[1] = {0};
    assert_int_equal(od_budget_split(good, 1, -1, shares, &err), OD_E_ARGUMENT);
    assert_int_equal(od_budget_split(good, 1, OD_BUDGET_MAX + 1, shares, &err), OD_E_ARGUMENT);
    assert_ok(od_budget_split(good, 1, OD_BUDGET_MAX, shares, &err), &err);
    assert_int_equal(shares[0], OD_BUDGET_MAX);
    assert_int_equal(od_budget_split(broken, 1, 1, shares, &err), OD_E_FORMAT);
}

// The items of an evaluation, over its entries, whatever numbers these have.
static void test_evaluation(void **state)
{
    (void)state;
    struct stand_in model;
    struct od_error err = {0};
    struct od_evaluation_report report = {0};
    struct od_eval_config config = OD_EVAL_CONFIG_INIT;
    static const char *const list[] = {"mmlu:subject=made_up", "gsm:max_eval_instances=9"};
    char data[OD_PATH_MAX_BYTES];
    char path[OD_PATH_MAX_BYTES];
    const char *output = test_folder();
    const struct od_evaluation evaluation = {
        .descriptions = list, .description_count = 2, .has_instances = true, .instances = 7};
    (void)snprintf(data, sizeof data, "%s", test_source("tests/golden/oracle/helm/data"));
    stand_in_init(&model);
    config.responder = &model.interface;
    config.data = data;
    config.output = output;
    config.suite = "s";
    assert_ok(od_evaluate(&config, &evaluation, &report, &err), &err);
    assert_int_equal(report.done, 2);
    assert_int_equal(model.process_calls, 7);
    // GSM8K is one of the labels that the odd item goes to.
    (void)snprintf(path, sizeof path, "%s/runs/s/gsm:max_eval_instances=4/stats.json", output);
    assert_true(od_path_exists(path));
    od_evaluation_report_release(&report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_files),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_sums),
        cmocka_unit_test(test_descriptions),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_evaluation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
