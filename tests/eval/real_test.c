// Goal: prompts and statistics of real questions are HELM's: several subjects of MMLU, GSM8K, TruthfulQA,
// BBQ, and BIG-bench's multiple choice and free text, with and without augmentation.
// Method: what crfm-helm 0.3.0 made of the shared data with the stand-in model (real.json.gz, by
// tests/oracle/helm_real.py): prompts as SHA-256 in the order of the requests, every statistic of every
// instance and of the run but times. Skipped where the data folder is absent.

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/status.h"
#include "eval/helm_tables.h"
#include "eval/metrics/bias.h"
#include "eval/run_spec.h"
#include "eval/runner.h"
#include "formats/json.h"
#include "stand_in.h"
#include "support.h"

#define ORACLE "tests/golden/oracle/helm"

static const double closeness = 1e-9;
// Ours alone, behind HELM's.
static const char own_name[] = "final_number_exact_match";

static json_t *read_file(const char *folder, const char *run, const char *name)
{
    struct od_error err = {0};
    char path[OD_PATH_MAX_BYTES];
    json_t *all = NULL;
    (void)snprintf(path, sizeof path, "%s/runs/s/%s/%s", folder, run, name);
    assert_ok(od_json_read(path, &all, &err), &err);
    return all;
}

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

// Both absent, or the same.
static bool same_text(const char *ours, const json_t *recorded)
{
    const char *helm = json_string_value(recorded);
    return ours && helm ? strcmp(ours, helm) == 0 : !ours && !helm;
}

static bool same_number(const json_t *ours, const json_t *recorded)
{
    const double a = json_number_value(ours);
    const double b = json_number_value(recorded);
    return json_is_number(ours) == json_is_number(recorded) &&
           fabs(a - b) <= closeness * fmax(1.0, fabs(b));
}

static void compare_requests(const json_t *ours, const json_t *recorded, const char *run)
{
    size_t i = 0;
    json_t *row = NULL;
    assert_int_equal(json_array_size(ours), json_array_size(recorded));
    json_array_foreach(recorded, i, row)
    {
        char hex[OD_SHA256_HEX_BYTES];
        const json_t *state = json_array_get(ours, i);
        const json_t *instance = json_object_get(state, "instance");
        const json_t *prompt = json_object_get(json_object_get(state, "request"), "prompt");
        assert_true(json_is_string(prompt));
        od_sha256_hex(json_string_value(prompt), json_string_length(prompt), hex);
        const json_t *perturbation = json_object_get(instance, "perturbation");
        if (!same_text(text_of(instance, "id"), json_array_get(row, 0)) ||
            !same_text(text_of(perturbation, "name"), json_array_get(row, 1)) ||
            !json_equal(json_object_get(state, "train_trial_index"), json_array_get(row, 2)) ||
            !same_text(hex, json_array_get(row, 3))) {
            fail_msg("run '%s': request %zu, instance '%s', is not HELM's", run, i,
                     text_of(instance, "id"));
        }
    }
}

static void compare_instance(const json_t *ours, const json_t *row, const char *run)
{
    const json_t *values = json_array_get(row, 3);
    size_t i = 0;
    size_t compared = 0;
    json_t *stat = NULL;
    if (!same_text(text_of(ours, "instance_id"), json_array_get(row, 0)) ||
        !same_text(text_of(json_object_get(ours, "perturbation"), "name"),
                   json_array_get(row, 1)) ||
        !json_equal(json_object_get(ours, "train_trial_index"), json_array_get(row, 2))) {
        fail_msg("run '%s': instance '%s' is not at HELM's place", run,
                 text_of(ours, "instance_id"));
    }
    json_array_foreach(json_object_get(ours, "stats"), i, stat)
    {
        const char *name = text_of(json_object_get(stat, "name"), "name");
        if (strcmp(name, "inference_runtime") == 0) {
            continue;
        }
        if (!same_number(json_object_get(stat, "sum"), json_object_get(values, name))) {
            fail_msg("run '%s': instance '%s': %s is %.17g, HELM has %.17g", run,
                     text_of(ours, "instance_id"), name,
                     json_number_value(json_object_get(stat, "sum")),
                     json_number_value(json_object_get(values, name)));
        }
        compared++;
    }
    assert_int_equal(compared, json_object_size(values));
}

static void compare_instances(const json_t *ours, const json_t *recorded, const char *run)
{
    size_t i = 0;
    json_t *row = NULL;
    json_array_foreach(recorded, i, row)
    {
        compare_instance(json_array_get(ours, i), row, run);
    }
    for (; i < json_array_size(ours); i++) {
        const json_t *stats = json_object_get(json_array_get(ours, i), "stats");
        assert_int_equal(json_array_size(stats), 1);
        assert_string_equal(text_of(json_object_get(json_array_get(stats, 0), "name"), "name"),
                            own_name);
    }
}

static void compare_stat(const json_t *stat, const json_t *row, const char *run)
{
    static const char *const numbers[] = {"count", "sum", "sum_squared", "min", "max"};
    const json_t *of = json_object_get(stat, "name");
    const json_t *perturbation = json_object_get(of, "perturbation");
    bool same = same_text(text_of(of, "name"), json_array_get(row, 0)) &&
                same_text(text_of(of, "split"), json_array_get(row, 1)) &&
                same_text(text_of(perturbation, "name"), json_array_get(row, 2)) &&
                same_text(text_of(perturbation, "computed_on"), json_array_get(row, 3));
    for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++) {
        same = same && same_number(json_object_get(stat, numbers[k]), json_array_get(row, k + 4));
    }
    if (!same) {
        char *helm = json_dumps(row, JSON_COMPACT);
        char *ours = json_dumps(stat, JSON_COMPACT);
        fail_msg("run '%s': %s, HELM has %s", run, ours, helm);
    }
}

static void compare_stats(const json_t *ours, const json_t *recorded, const char *run)
{
    size_t at = 0;
    size_t i = 0;
    json_t *stat = NULL;
    json_array_foreach(ours, i, stat)
    {
        const char *name = text_of(json_object_get(stat, "name"), "name");
        if (strcmp(name, "inference_runtime") == 0) {
            continue;
        }
        if (at < json_array_size(recorded)) {
            compare_stat(stat, json_array_get(recorded, at++), run);
        } else {
            assert_string_equal(name, own_name);
        }
    }
    assert_int_equal(at, json_array_size(recorded));
}

static void compare_run(const struct od_eval_config *config, struct od_run_spec *spec,
                        const json_t *recorded)
{
    struct od_error err = {0};
    struct od_run_outcome outcome = {0};
    char tables[OD_PATH_MAX_BYTES];
    char words[OD_PATH_MAX_BYTES];
    assert_string_equal(spec->name, text_of(recorded, "name"));
    (void)snprintf(tables, sizeof tables, "%s",
                   test_source(ORACLE "/data/helm/" OD_HELM_SENTENCES));
    (void)snprintf(words, sizeof words, "%s", test_source(ORACLE "/data/helm/" OD_BIAS_WORDS_FILE));
    spec->sentence_tables = tables;
    spec->bias_words = words;
    assert_ok(od_eval_run(config, spec, &outcome, &err), &err);
    json_t *states = read_file(config->output, spec->name, "scenario_state.json");
    json_t *instances = read_file(config->output, spec->name, "per_instance_stats.json");
    json_t *stats = read_file(config->output, spec->name, "stats.json");
    compare_requests(json_object_get(states, "request_states"),
                     json_object_get(recorded, "requests"), spec->name);
    compare_instances(instances, json_object_get(recorded, "instances"), spec->name);
    compare_stats(stats, json_object_get(recorded, "stats"), spec->name);
    json_decref(stats);
    json_decref(instances);
    json_decref(states);
}

// Entries whose description begins with `scenario`; how many runs there were.
static size_t compare_entries(const char *scenario)
{
    struct od_error err = {0};
    struct stand_in model;
    struct od_eval_config config = OD_EVAL_CONFIG_INIT;
    json_t *all = NULL;
    json_t *entry = NULL;
    size_t i = 0;
    size_t runs = 0;
    char data[OD_PATH_MAX_BYTES];

    (void)snprintf(data, sizeof data, "%s", test_shared("eval"));
    stand_in_init(&model);
    config.responder = &model.interface;
    config.data = data;
    config.output = test_folder();
    config.suite = "s";
    config.threads = 4;
    assert_ok(od_json_read(test_source(ORACLE "/real.json.gz"), &all, &err), &err);
    json_array_foreach(json_object_get(all, "entries"), i, entry)
    {
        struct od_arena arena;
        struct od_run_specs specs = {0};
        const struct od_run_options options = {.data = data};
        const json_t *recorded = json_object_get(entry, "runs");
        const char *description = text_of(entry, "description");
        if (strncmp(description, scenario, strlen(scenario)) != 0) {
            continue;
        }
        od_arena_init(&arena, 1 << 20);
        assert_ok(od_run_specs_make(description, &options, &arena, &specs, &err), &err);
        assert_int_equal(specs.count, json_array_size(recorded));
        for (size_t k = 0; k < specs.count; k++) {
            compare_run(&config, &specs.items[k], json_array_get(recorded, k));
            runs++;
        }
        od_arena_release(&arena);
    }
    json_decref(all);
    return runs;
}

static void test_mmlu(void **state)
{
    (void)state;
    assert_int_equal(compare_entries("mmlu:"), 7);
}

static void test_gsm8k(void **state)
{
    (void)state;
    assert_int_equal(compare_entries("gsm:"), 2);
}

static void test_truthful_qa(void **state)
{
    (void)state;
    assert_int_equal(compare_entries("truthful_qa:"), 2);
}

static void test_bbq(void **state)
{
    (void)state;
    assert_int_equal(compare_entries("bbq:"), 2);
}

static void test_big_bench(void **state)
{
    (void)state;
    assert_int_equal(compare_entries("big_bench:"), 14);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mmlu),        cmocka_unit_test(test_gsm8k),
        cmocka_unit_test(test_truthful_qa), cmocka_unit_test(test_bbq),
        cmocka_unit_test(test_big_bench),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
