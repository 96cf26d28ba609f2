// Goal: bootstrap intervals are those of the items behind a score: the same questions of several runs
// drawn together, worst cases over variants, samplings averaged; undefined where items say nothing. The
// forms of answers are summed over a group. Method: suites written by hand.

#include "eval/items.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/bootstrap.h"
#include "base/file.h"
#include "base/interval.h"
#include "base/memory.h"
#include "base/status.h"
#include "eval/summarize.h"
#include "formats/json.h"
#include "support.h"

enum { SEED = 2023 };

static void write_file(const char *folder, const char *name, const char *text)
{
    struct od_error err = {0};
    char path[OD_PATH_MAX_BYTES];
    assert_ok(od_path_join(path, folder, name, &err), &err);
    assert_ok(od_file_write(path, text, strlen(text), &err), &err);
}

// A run of `group` whose statistics are means[0], and for worst cases means[1] and means[2].
static void write_run(const char *suite, const char *name, const char *group, const char *scenario,
                      const double means[3], int items, const char *instances)
{
    static const char *const parts[] = {
        "", ", \"perturbation\": {\"name\": \"robustness\", \"computed_on\": \"worst\"}",
        ", \"perturbation\": {\"name\": \"fairness\", \"computed_on\": \"worst\"}"};
    struct od_error err = {0};
    char folder[OD_PATH_MAX_BYTES];
    struct od_buf text;
    assert_ok(od_path_join(folder, suite, name, &err), &err);
    assert_ok(od_dir_make(folder, &err), &err);
    od_buf_init(&text, 1 << 16);
    od_buf_printf(&text,
                  "{\"name\": \"%s\", \"scenario_spec\": {\"args\": \"%s\"}, \"adapter_spec\": "
                  "{\"model\": \"m\", \"x\": \"%s\"}, \"groups\": [\"%s\"]}",
                  name, scenario, name, group);
    write_file(folder, "run_spec.json", od_buf_text(&text));
    od_buf_reset(&text);
    od_buf_printf(&text,
                  "[{\"name\": {\"name\": \"num_instances\", \"split\": \"test\"}, \"count\": 1, "
                  "\"sum\": %d, \"sum_squared\": 1, \"min\": 1, \"max\": 1, \"mean\": %d}",
                  items, items);
    for (size_t i = 0; i < 3; i++) {
        od_buf_printf(
            &text,
            ", {\"name\": {\"name\": \"exact_match\", \"split\": \"test\"%s}, \"count\": 1, "
            "\"sum\": %.17g, \"sum_squared\": 1, \"min\": 0, \"max\": 1, \"mean\": %.17g}",
            parts[i], means[i], means[i]);
    }
    od_buf_puts(&text, "]");
    write_file(folder, "stats.json", od_buf_text(&text));
    if (instances) {
        write_file(folder, "per_instance_stats.json", instances);
    }
    write_file(folder, "replies_oneday.json",
               "{\"answers\": 5, \"readable\": 2, \"empty\": 1, \"stop_ignored\": 0, "
               "\"letter_and_more\": 2, \"no_letter\": 0, \"no_number\": 0, \"cut_by_length\": 3}");
    od_buf_release(&text);
}

#define ITEM(id, trial, perturbation, split, value)                                 \
    "{\"instance_id\": \"" id "\", " perturbation "\"train_trial_index\": " trial   \
    ", \"stats\": [{\"name\": {\"name\": \"other\", \"split\": \"" split            \
    "\"}, \"mean\": 7}, {\"name\": {\"name\": \"exact_match\", \"split\": \"" split \
    "\"}, "                                                                         \
    "\"mean\": " value "}]}"
#define OTHER(id)                                                      \
    "{\"instance_id\": \"" id                                          \
    "\", \"train_trial_index\": 0, \"stats\": [{\"name\": {\"name\": " \
    "\"other\", \"split\": \"test\"}, \"mean\": 7}]}"
#define PLAIN(id, value) ITEM(id, "0", "", "test", value)
#define MIX \
    "\"perturbation\": {\"name\": \"mild_mix\", \"robustness\": true, \"fairness\": false}, "
#define DIALECT \
    "\"perturbation\": {\"name\": \"dialect\", \"robustness\": false, \"fairness\": true}, "

static const struct od_score_line *line_of(const struct od_summary *summary, const char *metric)
{
    static const struct od_score_line absent;
    for (size_t i = 0; i < summary->count; i++) {
        if (strcmp(summary->lines[i].metric, metric) == 0) {
            return &summary->lines[i];
        }
    }
    fail_msg("no score '%s'", metric);
    return &absent;
}

static void summarize(const char *suite, struct od_summary *summary)
{
    struct od_error err = {0};
    const struct od_missing_runs missing = {0};
    assert_ok(od_suite_summarize(suite, &missing, summary, &err), &err);
}

static void assert_interval(const struct od_item_interval *found, const struct od_stratum *strata,
                            size_t count)
{
    struct od_error err = {0};
    struct od_interval interval = {0};
    bool defined = false;
    assert_ok(od_bootstrap_mean(strata, count, SEED, &defined, &interval, &err), &err);
    assert_true(defined && found->is_defined);
    assert_true(found->low == interval.low && found->high == interval.high);
}

// Two runs ask a to f (in another order), a third one has the same ids of another data set.
static void test_drawn_together(void **state)
{
    (void)state;
    static const double half[] = {0.5, 0.5, 0.5};
    static const double third[] = {2.0 / 6, 2.0 / 6, 2.0 / 6};
    static const double both[] = {2.0 / 3, 0.0, 2.0 / 3, 1.0 / 3, 0.0, 1.0 / 3};
    static const double other[] = {0.0, 1.0 / 3, 0.0, 0.0, 1.0 / 3, 0.0};
    const struct od_stratum strata[] = {{both, 6}, {other, 6}};
    const char *suite = test_folder();
    struct od_summary summary = {0};
    write_run(suite, "r1", "mmlu", "x", half, 6,
              "[" PLAIN("b", "0") "," PLAIN("a", "1") "," PLAIN("f", "1") "," PLAIN(
                  "d", "0") "," PLAIN("c", "1") "," PLAIN("e", "0") "]");
    write_run(suite, "r2", "mmlu", "x", half, 6,
              "[" PLAIN("a", "1") "," PLAIN("b", "0") "," PLAIN("c", "1") "," PLAIN(
                  "d", "1") "," PLAIN("e", "0") "," PLAIN("f", "0") "]");
    write_run(suite, "r3", "mmlu", "y", third, 6,
              "[" PLAIN("a", "0") "," PLAIN("b", "1") "," PLAIN("c", "0") "," PLAIN(
                  "d", "0") "," PLAIN("e", "1") "," PLAIN("f", "0") "]");
    summarize(suite, &summary);
    assert_interval(&line_of(&summary, "MMLU - EM")->bootstrap, strata, 2);
    od_summary_release(&summary);
}

static void test_worst_cases(void **state)
{
    (void)state;
    static const double means[] = {0.75, 0.5, 0.25};
    static const double plain[] = {1.0, 1.0, 0.0, 1.0};
    static const double robust[] = {0.0, 1.0, 0.0, 1.0};
    static const double fair[] = {0.0, 0.0, 0.0, 1.0};
    const struct od_stratum strata[] = {{plain, 4}, {robust, 4}, {fair, 4}};
    const char *suite = test_folder();
    struct od_summary summary = {0};
    write_run(
        suite, "r", "mmlu", "x", means, 4,
        "[" PLAIN("a", "1") "," ITEM("a", "0", MIX, "test", "0") "," ITEM("a", "0", DIALECT, "test", "0") "," PLAIN(
            "b", "1") "," ITEM("b", "0", DIALECT, "test",
                               "0") "," PLAIN("c",
                                              "0") "," ITEM("c", "0", MIX, "test",
                                                            "1") "," PLAIN("d",
                                                                           "1") "," ITEM("e", "0",
                                                                                         "",
                                                                                         "valid",
                                                                                         "0") "]");
    summarize(suite, &summary);
    assert_interval(&line_of(&summary, "MMLU - EM")->bootstrap, &strata[0], 1);
    assert_interval(&line_of(&summary, "MMLU - EM (Robustness)")->bootstrap, &strata[1], 1);
    assert_interval(&line_of(&summary, "MMLU - EM (Fairness)")->bootstrap, &strata[2], 1);
    od_summary_release(&summary);
}

static void test_samplings(void **state)
{
    (void)state;
    static const double means[] = {0.5, 0.5, 0.5};
    static const double values[] = {1.0, 0.5, 0.0};
    const struct od_stratum stratum = {values, 3};
    const char *suite = test_folder();
    struct od_summary summary = {0};
    write_run(suite, "r", "mmlu", "x", means, 3,
              "[" PLAIN("a", "1") "," PLAIN("b", "1") "," PLAIN("c", "0") "," ITEM(
                  "a", "1", "", "test", "1") "," ITEM("b", "1", "", "test",
                                                      "0") "," ITEM("c", "1", "", "test", "0") "]");
    summarize(suite, &summary);
    assert_interval(&line_of(&summary, "MMLU - EM")->bootstrap, &stratum, 1);
    od_summary_release(&summary);
}

// What another metric says about the same questions stands in a second list, as it does for GSM8K.
static void test_lists_of_metrics(void **state)
{
    (void)state;
    static const double means[] = {0.5, 0.5, 0.5};
    static const double values[] = {1.0, 0.0};
    const struct od_stratum stratum = {values, 2};
    const char *suite = test_folder();
    struct od_summary summary = {0};
    write_run(suite, "r", "mmlu", "x", means, 2,
              "[" PLAIN("a", "1") "," PLAIN("b", "0") "," OTHER("a") "," OTHER("b") "]");
    summarize(suite, &summary);
    assert_interval(&line_of(&summary, "MMLU - EM")->bootstrap, &stratum, 1);
    od_summary_release(&summary);
}

// No items, items of another score, items that are all alike: no interval, and never one of width 0.
static void test_undefined(void **state)
{
    (void)state;
    static const double half[] = {0.5, 0.5, 0.5};
    static const double one[] = {1.0, 1.0, 1.0};
    static const struct {
        const double *means;
        const char *instances;
        const char *words;
    } cases[] = {{half, NULL, "no items"},
                 {half, "[]", "no items"},
                 {half, "[" PLAIN("a", "1") "," PLAIN("b", "1") "]", "do not give"},
                 {one, "[" PLAIN("a", "1") "," PLAIN("b", "1") "]", "same value"}};
    for (size_t i = 0; i < 4; i++) {
        struct od_error err = {0};
        struct od_summary summary = {0};
        json_t *document = NULL;
        char path[OD_PATH_MAX_BYTES];
        const char *suite = test_folder();
        write_run(suite, "r", "mmlu", "x", cases[i].means, 2, cases[i].instances);
        summarize(suite, &summary);
        const struct od_score_line *line = line_of(&summary, "MMLU - EM");
        assert_true(line->is_defined && !line->bootstrap.is_defined);
        assert_non_null(strstr(line->bootstrap.reason, cases[i].words));
        (void)snprintf(path, sizeof path, "%s/summary_oneday.json", suite);
        assert_ok(od_json_read(path, &document, &err), &err);
        const json_t *bootstrap =
            json_object_get(json_array_get(json_object_get(document, "metrics"), 0), "bootstrap");
        assert_non_null(json_object_get(bootstrap, "undefined"));
        assert_null(json_object_get(bootstrap, "low"));
        json_decref(document);
        od_summary_release(&summary);
    }
}

static void test_broken(void **state)
{
    (void)state;
    static const double half[] = {0.5, 0.5, 0.5};
    static const char *const broken[] = {"{}", "[{}]", "[3]", "[{\"instance_id\": 3}]", "["};
    for (size_t i = 0; i < 5; i++) {
        struct od_error err = {0};
        struct od_summary summary = {0};
        const struct od_missing_runs missing = {0};
        const char *suite = test_folder();
        write_run(suite, "r", "mmlu", "x", half, 2, broken[i]);
        assert_int_equal(od_suite_summarize(suite, &missing, &summary, &err), OD_E_FORMAT);
        assert_non_null(strstr(err.message, "per_instance_stats.json"));
    }
}

static void test_forms(void **state)
{
    (void)state;
    static const double half[] = {0.5, 0.5, 0.5};
    static const struct {
        const char *key;
        int64_t sum;
    } expected[] = {{"runs", 2},  {"answers", 10},        {"readable", 4},
                    {"empty", 2}, {"letter_and_more", 4}, {"cut_by_length", 6}};
    struct od_error err = {0};
    struct od_summary summary = {0};
    json_t *document = NULL;
    char path[OD_PATH_MAX_BYTES];
    const char *suite = test_folder();
    write_run(suite, "r1", "mmlu", "x", half, 2, NULL);
    write_run(suite, "r2", "mmlu", "y", half, 2, NULL);
    write_run(suite, "r3", "bbq", "z", half, 2, NULL);
    summarize(suite, &summary);
    (void)snprintf(path, sizeof path, "%s/summary_oneday.json", suite);
    assert_ok(od_json_read(path, &document, &err), &err);
    const json_t *replies = json_object_get(document, "replies");
    assert_int_equal(json_array_size(replies), 2);
    for (size_t i = 0; i < 2; i++) {
        const json_t *one = json_array_get(replies, i);
        const bool mmlu = strcmp(json_string_value(json_object_get(one, "group")), "mmlu") == 0;
        for (size_t k = 0; k < sizeof expected / sizeof *expected; k++) {
            assert_int_equal(json_integer_value(json_object_get(one, expected[k].key)),
                             mmlu ? expected[k].sum : expected[k].sum / 2);
        }
    }
    json_decref(document);
    od_summary_release(&summary);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_drawn_together), cmocka_unit_test(test_worst_cases),
        cmocka_unit_test(test_samplings),      cmocka_unit_test(test_lists_of_metrics),
        cmocka_unit_test(test_undefined),      cmocka_unit_test(test_broken),
        cmocka_unit_test(test_forms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
