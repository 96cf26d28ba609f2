// Goal: the evaluator writes what HELM writes. Method: HELM's own files on small generated data,
// recorded by tests/oracle/helm_eval.py, against ours with the same made-up model, byte for byte,
// with one and with eight threads; and HELM's answers to single questions (vectors.json).

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/status.h"
#include "eval/instance.h"
#include "eval/metrics/calibration.h"
#include "eval/metrics/match.h"
#include "eval/metrics/stat.h"
#include "eval/run_spec.h"
#include "eval/runner.h"
#include "eval/sampling.h"
#include "formats/json.h"
#include "formats/text_file.h"
#include "stand_in.h"
#include "support.h"

#define ORACLE "tests/golden/oracle/helm"

static const char *const descriptions[] = {
    "mmlu:model=neurips/local,subject=made_up,max_eval_instances=9",
    "mmlu:subject=made_up,model=neurips/local",
    "mmlu:model=neurips/local,subject=made_up,max_train_instances=0,max_eval_instances=5",
    ("mmlu:model=neurips/local,subject=made_up,num_train_trials=2,max_train_instances=2,"
     "max_eval_instances=3"),
    "gsm:model=neurips/local,max_eval_instances=7",
    "gsm:model=neurips/local,max_train_instances=0",
    "mmlu:model=neurips/local,subject=people,data_augmentation=canonical,max_eval_instances=15",
    "mmlu:model=neurips/local,subject=people,data_augmentation=canonical,max_eval_instances=6",
    ("mmlu:subject=people,data_augmentation=robustness,num_train_trials=2,max_train_instances=1,"
     "model=neurips/local,max_eval_instances=4"),
    "mmlu:data_augmentation=fairness,subject=people,model=neurips/local,max_eval_instances=5",
    "truthful_qa:task=mc_single,model=neurips/local,max_eval_instances=9",
    "truthful_qa:task=mc_single,model=neurips/local,max_train_instances=2",
    "bbq:subject=all,model=neurips/local,max_eval_instances=16",
    "bbq:subject=SES,model=neurips/local,num_train_trials=2,max_eval_instances=15",
    "big_bench:task=made_up,subtask=part,model=neurips/local,max_eval_instances=15",
    "big_bench:task=small,subtask=,model=neurips/local,max_eval_instances=16",
    "big_bench:task=stopped,subtask=,model=neurips/local,max_train_instances=3,max_eval_instances=12",
    "big_bench:task=told,subtask=,model=neurips/local,max_train_instances=2,max_eval_instances=20",
    "big_bench:task=scored,subtask=,model=neurips/local,max_eval_instances=8",
    "truthful_qa:task=mc_single,model=neurips/local,data_augmentation=canonical,max_eval_instances=7",
    "bbq:subject=SES,model=neurips/local,data_augmentation=canonical,max_eval_instances=3",
};

static const char *const names[] = {"run_spec.json", "scenario.json", "scenario_state.json",
                                    "stats.json", "per_instance_stats.json"};

// Our file has HELM's text, and behind it the statistics that are ours alone.
static void assert_text(const char *file, const char *ours, size_t our_size, const char *helm,
                        size_t helm_size)
{
    const char *own = strstr(ours, "final_number_exact_match");
    size_t same = 0;
    while (same < our_size && same < helm_size && ours[same] == helm[same]) {
        same++;
    }
    if (same == our_size && same == helm_size) {
        return;
    }
    if (!own || same + 2 < helm_size) {
        const size_t from = same > 200 ? same - 200 : 0;
        fail_msg("%s: byte %zu differs\nours: ...%.300s\nHELM: ...%.300s", file, same, ours + from,
                 helm + from);
    }
    // HELM's list ends where ours goes on.
    assert_int_equal(helm_size, same + 2);
    assert_memory_equal(helm + same, "\n]", 2);
    assert_memory_equal(ours + same, ",\n", 2);
    const char *first = strstr(ours + same, "\"name\": \"");
    assert_non_null(first);
    assert_memory_equal(first + strlen("\"name\": \""), "final_number", strlen("final_number"));
}

static void compare_runs(int threads)
{
    struct od_error err = {0};
    struct stand_in model;
    struct od_eval_config config = OD_EVAL_CONFIG_INIT;
    const char *output = test_folder();
    char path[OD_PATH_MAX_BYTES];
    char data[OD_PATH_MAX_BYTES];

    stand_in_init(&model);
    (void)snprintf(data, sizeof data, "%s", test_source(ORACLE "/data"));
    config.responder = &model.interface;
    config.data = data;
    config.output = output;
    config.suite = "s";
    config.threads = threads;
    for (size_t i = 0; i < sizeof descriptions / sizeof *descriptions; i++) {
        struct od_arena arena;
        struct od_run_specs specs = {0};
        struct od_run_outcome outcome = {0};
        const struct od_run_options options = {.data = data};
        od_arena_init(&arena, 1 << 20);
        assert_ok(od_run_specs_make(descriptions[i], &options, &arena, &specs, &err), &err);
        assert_int_equal(specs.count, 1);
        assert_ok(od_eval_run(&config, &specs.items[0], &outcome, &err), &err);
        for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
            char *ours = NULL;
            char *helm = NULL;
            size_t our_size = 0;
            size_t helm_size = 0;
            (void)snprintf(path, sizeof path, "%s/runs/s/%s/%s", output, specs.items[0].name,
                           names[k]);
            assert_ok(od_file_read(path, 1 << 24, &ours, &our_size, &err), &err);
            (void)snprintf(path, sizeof path, "%s/runs/%s/%s", test_source(ORACLE),
                           specs.items[0].name, names[k]);
            assert_ok(od_text_read(path, 1 << 24, &helm, &helm_size, &err), &err);
            assert_text(path, ours, our_size, helm, helm_size);
            od_free(ours);
            od_free(helm);
        }
        od_arena_release(&arena);
    }
}

static void test_runs_with_one_thread(void **state)
{
    (void)state;
    compare_runs(1);
}

static void test_runs_with_eight_threads(void **state)
{
    (void)state;
    compare_runs(8);
}

// What HELM 0.2.4 wrote, and so what is compared above, is what 0.3.0 writes.
static void test_later_version(void **state)
{
    (void)state;
    struct od_error err = {0};
    json_t *root = NULL;
    const char *name = NULL;
    json_t *digest = NULL;
    size_t count = 0;
    assert_ok(od_json_read(test_source(ORACLE "/digests-0.3.0.json"), &root, &err), &err);
    json_object_foreach(json_object_get(root, "files"), name, digest)
    {
        char path[OD_PATH_MAX_BYTES];
        char hex[OD_SHA256_HEX_BYTES];
        char *text = NULL;
        size_t size = 0;
        (void)snprintf(path, sizeof path, "%s/runs/%s", test_source(ORACLE), name);
        assert_ok(od_text_read(path, 1 << 24, &text, &size, &err), &err);
        od_sha256_hex(text, size, hex);
        if (strcmp(hex, json_string_value(digest)) != 0) {
            fail_msg("'%s' is not what HELM 0.3.0 writes", name);
        }
        od_free(text);
        count++;
    }
    json_decref(root);
    assert_int_equal(count,
                     (sizeof descriptions / sizeof *descriptions) * (sizeof names / sizeof *names));
}

static json_t *vectors(const char *key)
{
    static json_t *all;
    struct od_error err = {0};
    if (!all) {
        assert_ok(od_json_read(test_source(ORACLE "/vectors.json"), &all, &err), &err);
    }
    json_t *part = json_object_get(all, key);
    if (strcmp(key, "calibration") == 0) {  // the last test takes the reference
        json_incref(part);
        json_decref(all);
        all = NULL;
    }
    return part;
}

static void test_names(void **state)
{
    (void)state;
    size_t i = 0;
    json_t *row = NULL;
    char data[OD_PATH_MAX_BYTES];
    (void)snprintf(data, sizeof data, "%s", test_source(ORACLE "/data"));
    const struct od_run_options options = {.data = data};
    json_array_foreach(vectors("names"), i, row)
    {
        struct od_error err = {0};
        struct od_arena arena;
        struct od_run_specs specs = {0};
        const json_t *expected = json_array_get(row, 1);
        od_arena_init(&arena, 1 << 20);
        assert_ok(od_run_specs_make(json_string_value(json_array_get(row, 0)), &options, &arena,
                                    &specs, &err),
                  &err);
        assert_int_equal(specs.count, json_array_size(expected));
        for (size_t k = 0; k < specs.count; k++) {
            assert_string_equal(specs.items[k].name,
                                json_string_value(json_array_get(expected, k)));
        }
        od_arena_release(&arena);
    }
}

static void test_match(void **state)
{
    (void)state;
    const json_t *part = vectors("match");
    const json_t *metrics = json_object_get(part, "metrics");
    size_t i = 0;
    json_t *row = NULL;
    json_array_foreach(json_object_get(part, "rows"), i, row)
    {
        const char *gold = json_string_value(json_array_get(row, 0));
        const char *pred = json_string_value(json_array_get(row, 1));
        for (size_t k = 0; k < json_array_size(metrics); k++) {
            struct od_error err = {0};
            struct od_number value = {0};
            const char *metric = json_string_value(json_array_get(metrics, k));
            const json_t *expected = json_array_get(row, k + 2);
            assert_ok(od_match(metric, NULL, od_slice_of(gold), od_slice_of(pred), &value, &err),
                      &err);
            if (value.value != json_number_value(expected) ||
                value.integer != json_is_integer(expected)) {
                fail_msg("%s('%s', '%s') = %.17g, HELM has %.17g", metric, gold, pred, value.value,
                         json_number_value(expected));
            }
        }
    }
    json_array_foreach(json_object_get(part, "normal"), i, row)
    {
        struct od_buf out;
        od_buf_init(&out, 1 << 16);
        od_match_normal(od_slice_of(json_string_value(json_array_get(row, 0))), &out);
        assert_string_equal(od_buf_text(&out), json_string_value(json_array_get(row, 1)));
        od_buf_release(&out);
    }
}

static void test_sampling(void **state)
{
    (void)state;
    size_t i = 0;
    json_t *row = NULL;
    json_array_foreach(vectors("sampling"), i, row)
    {
        struct od_error err = {0};
        struct od_instances list;
        size_t *chosen = NULL;
        size_t count = 0;
        size_t k = 0;
        json_t *label = NULL;
        const json_t *expected = json_object_get(row, "chosen");
        od_instances_init(&list);
        json_array_foreach(json_object_get(row, "labels"), k, label)
        {
            struct od_instance *instance = NULL;
            assert_ok(od_instances_add(&list, "q", OD_SPLIT_TRAIN, 1, &instance, &err), &err);
            instance->references[0] =
                (struct od_reference){.text = json_string_value(label), .correct = true};
        }
        assert_ok(od_sample_examples(&list, json_integer_value(json_object_get(row, "k")),
                                     json_integer_value(json_object_get(row, "trial")), &chosen,
                                     &count, &err),
                  &err);
        assert_int_equal(count, json_array_size(expected));
        for (k = 0; k < count; k++) {
            assert_int_equal(chosen[k], json_integer_value(json_array_get(expected, k)));
        }
        od_free(chosen);
        od_instances_release(&list);
    }
}

static void assert_near(double ours, const json_t *expected)
{
    if (!(fabs(ours - json_number_value(expected)) <= 1e-12)) {
        fail_msg("%.17g, expected %.17g", ours, json_number_value(expected));
    }
}

// With and without equal probabilities. Sums within a bin run in another order than NumPy's: the last bits
// may differ.
static void test_calibration(void **state)
{
    (void)state;
    size_t i = 0;
    json_t *row = NULL;
    json_t *part = vectors("calibration");
    json_array_foreach(part, i, row)
    {
        struct od_error err = {0};
        struct od_calibration_point points[400];
        struct od_calibration found = {0};
        const json_t *p = json_object_get(row, "p");
        const size_t count = json_array_size(p);
        for (size_t k = 0; k < count; k++) {
            points[k] = (struct od_calibration_point){
                json_number_value(json_array_get(p, k)),
                (int)json_integer_value(json_array_get(json_object_get(row, "y"), k))};
        }
        assert_ok(od_calibration_compute(points, count, &found, &err), &err);
        assert_near(found.ece_10_bin, json_object_get(row, "ece_10_bin"));
        assert_near(found.ece_1_bin, json_object_get(row, "ece_1_bin"));
        assert_near(found.selective_cov_acc_area, json_object_get(row, "selective_cov_acc_area"));
        assert_near(found.selective_acc_10, json_object_get(row, "selective_acc@10"));
    }
    json_decref(part);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runs_with_one_thread),
        cmocka_unit_test(test_runs_with_eight_threads),
        cmocka_unit_test(test_later_version),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_match),
        cmocka_unit_test(test_sampling),
        cmocka_unit_test(test_calibration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
