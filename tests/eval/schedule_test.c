// Goal: runs are made beside each other with as many requests under way as there are threads, requests
// of a run in the order of their prompts and its first one ahead of the others; files do not depend on
// any of it. Method: responders that wait for each other and write down what they are asked.

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "eval/evaluation.h"
#include "eval/runner.h"
#include "infer/responder.h"
#include "stand_in.h"
#include "support.h"
#include "text/tokenizer.h"

enum { ASKED_MAX = 256, PATIENCE_MS = 60000, SHORT_MS = 300 };

// A responder around the stand-in that watches who is asked when.
struct watcher {
    struct stand_in model;
    struct od_responder interface;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int wanted;       // answers are held back until this many requests are under way at once
    int patience_ms;  // but no longer than this
    int in_flight;
    int most_in_flight;
    bool too_late;
    char *asked[ASKED_MAX];  // prompts in the order in which they came
    size_t asked_count;
    size_t answered_before[ASKED_MAX];  // [asked_count] how many were answered by then
    size_t answered;
};

static enum od_status watched(void *context, const struct od_process_request *request,
                              struct od_process_result *result, struct od_error *err)
{
    struct watcher *watcher = context;
    struct timespec until = {0};
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += watcher->patience_ms / 1000;
    until.tv_nsec += watcher->patience_ms % 1000 * 1000000L;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    (void)pthread_mutex_lock(&watcher->lock);
    if (watcher->asked_count < ASKED_MAX) {
        watcher->answered_before[watcher->asked_count] = watcher->answered;
        watcher->asked[watcher->asked_count++] = od_memdup(request->prompt, request->prompt_size);
    }
    watcher->in_flight++;
    if (watcher->in_flight > watcher->most_in_flight) {
        watcher->most_in_flight = watcher->in_flight;
        (void)pthread_cond_broadcast(&watcher->changed);
    }
    while (watcher->most_in_flight < watcher->wanted && !watcher->too_late) {
        if (pthread_cond_timedwait(&watcher->changed, &watcher->lock, &until) != 0) {
            watcher->too_late = true;
            (void)pthread_cond_broadcast(&watcher->changed);
        }
    }
    (void)pthread_mutex_unlock(&watcher->lock);
    const enum od_status status = stand_in_process(&watcher->model, request, result, err);
    (void)pthread_mutex_lock(&watcher->lock);
    watcher->in_flight--;
    watcher->answered++;
    (void)pthread_mutex_unlock(&watcher->lock);
    return status;
}

static enum od_status watched_tokenize(void *context, const char *text, size_t size,
                                       bool truncation, int64_t max_length, struct od_ids *out,
                                       struct od_error *err)
{
    struct watcher *watcher = context;
    return stand_in_tokenize(&watcher->model, text, size, truncation, max_length, out, err);
}

static enum od_status watched_decode(void *context, const int32_t *ids, size_t count,
                                     struct od_buf *out, struct od_error *err)
{
    struct watcher *watcher = context;
    return stand_in_decode(&watcher->model, ids, count, out, err);
}

static void watcher_init(struct watcher *watcher, int wanted)
{
    memset(watcher, 0, sizeof *watcher);
    stand_in_init(&watcher->model);
    (void)pthread_mutex_init(&watcher->lock, NULL);
    (void)pthread_cond_init(&watcher->changed, NULL);
    watcher->wanted = wanted;
    watcher->patience_ms = PATIENCE_MS;
    watcher->interface = (struct od_responder){.context = watcher,
                                               .process = watched,
                                               .tokenize = watched_tokenize,
                                               .decode = watched_decode,
                                               .model_name = "watched"};
}

static void watcher_release(struct watcher *watcher)
{
    for (size_t i = 0; i < watcher->asked_count; i++) {
        od_free(watcher->asked[i]);
    }
    (void)pthread_cond_destroy(&watcher->changed);
    (void)pthread_mutex_destroy(&watcher->lock);
}

static void evaluate(struct watcher *watcher, const char *const *descriptions, size_t count,
                     int threads, const char *output)
{
    struct od_error err = {0};
    struct od_evaluation_report report = {0};
    struct od_eval_config config = OD_EVAL_CONFIG_INIT;
    char data[OD_PATH_MAX_BYTES];
    const struct od_evaluation evaluation = {.descriptions = descriptions,
                                             .description_count = count};
    (void)snprintf(data, sizeof data, "%s", test_source("tests/golden/oracle/helm/data"));
    config.responder = &watcher->interface;
    config.data = data;
    config.output = output;
    config.suite = "s";
    config.threads = threads;
    assert_ok(od_evaluate(&config, &evaluation, &report, &err), &err);
    assert_int_equal(report.missing.failed_count, 0);
    od_evaluation_report_release(&report);
}

// Four runs of one request each, four threads: all four are asked at the same time.
static void test_runs_beside_each_other(void **state)
{
    (void)state;
    static const char *const small[] = {"gsm:max_eval_instances=1",
                                        "mmlu:subject=made_up,max_eval_instances=1",
                                        "gsm:max_train_instances=0,max_eval_instances=1",
                                        "gsm:max_train_instances=1,max_eval_instances=1"};
    struct watcher watcher;
    watcher_init(&watcher, 4);
    evaluate(&watcher, small, 4, 4, test_folder());
    assert_false(watcher.too_late);
    assert_int_equal(watcher.most_in_flight, 4);
    watcher_release(&watcher);
}

// Two runs of many requests keep five threads busy, and never more.
static void test_threads_are_busy(void **state)
{
    (void)state;
    static const char *const two[] = {"gsm:max_eval_instances=16",
                                      "mmlu:subject=made_up,max_eval_instances=16"};
    struct watcher watcher;
    watcher_init(&watcher, 1);
    evaluate(&watcher, two, 2, 5, test_folder());
    assert_true(watcher.most_in_flight <= 5);
    watcher_release(&watcher);
    watcher_init(&watcher, 0);
    evaluate(&watcher, two, 2, 1, test_folder());
    assert_int_equal(watcher.most_in_flight, 1);
    watcher_release(&watcher);
}

static void test_order_of_prompts(void **state)
{
    (void)state;
    static const char *const two[] = {"gsm:max_eval_instances=11,num_train_trials=2",
                                      "mmlu:subject=made_up,max_eval_instances=9"};
    struct watcher watcher;
    watcher_init(&watcher, 1);
    evaluate(&watcher, two, 2, 1, test_folder());
    assert_int_equal(watcher.asked_count, 2 * 11 + 9);
    for (size_t i = 1; i < watcher.asked_count; i++) {
        if (i != 22 && strcmp(watcher.asked[i - 1], watcher.asked[i]) > 0) {
            fail_msg("request %zu stands behind a later prompt", i);
        }
    }
    assert_non_null(strstr(watcher.asked[22], "multiple choice"));
    watcher_release(&watcher);
}

// One run alone: its second request is asked when the first is answered, which takes its time here and
// hopes in vain for company.
static void test_first_goes_ahead(void **state)
{
    (void)state;
    static const char *const one[] = {"gsm:max_eval_instances=11"};
    struct watcher watcher;
    watcher_init(&watcher, 2);
    watcher.patience_ms = SHORT_MS;
    evaluate(&watcher, one, 1, 6, test_folder());
    assert_true(watcher.too_late);
    assert_int_equal(watcher.asked_count, 11);
    for (size_t i = 1; i < 11; i++) {
        assert_true(watcher.answered_before[i] >= 1);
    }
    watcher_release(&watcher);
}

// The same entry twice is made twice, one after the other, into the same folder.
static void test_same_name(void **state)
{
    (void)state;
    static const char *const twice[] = {"gsm:max_eval_instances=3", "gsm:max_eval_instances=3",
                                        "gsm:max_eval_instances=3"};
    struct watcher watcher;
    watcher_init(&watcher, 1);
    evaluate(&watcher, twice, 3, 5, test_folder());
    assert_int_equal(watcher.asked_count, 9);
    watcher_release(&watcher);
}

static void test_files_are_equal(void **state)
{
    (void)state;
    static const char *const three[] = {
        "gsm:max_eval_instances=7", "mmlu:subject=made_up,max_eval_instances=9,num_train_trials=2",
        "gsm:max_train_instances=0,max_eval_instances=5"};
    static const char *const files[] = {
        "summary_oneday.json", "groups/core_scenarios.json",
        "gsm:max_eval_instances=7/scenario_state.json",
        "gsm:max_train_instances=0,max_eval_instances=5/per_instance_stats.json",
        "gsm:max_eval_instances=7/stats.json"};
    char outputs[2][OD_PATH_MAX_BYTES];
    struct od_error err = {0};
    for (int k = 0; k < 2; k++) {
        struct watcher watcher;
        watcher_init(&watcher, 1);
        (void)snprintf(outputs[k], sizeof outputs[k], "%s", test_folder());
        evaluate(&watcher, three, 3, k == 0 ? 1 : 8, outputs[k]);
        watcher_release(&watcher);
    }
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *texts[2] = {NULL, NULL};
        size_t sizes[2] = {0, 0};
        for (int k = 0; k < 2; k++) {
            char path[OD_PATH_MAX_BYTES + 256];
            (void)snprintf(path, sizeof path, "%s/runs/s/%s", outputs[k], files[i]);
            assert_ok(od_file_read(path, 1 << 24, &texts[k], &sizes[k], &err), &err);
        }
        assert_int_equal(sizes[0], sizes[1]);
        assert_memory_equal(texts[0], texts[1], sizes[0]);
        od_free(texts[0]);
        od_free(texts[1]);
    }
}

// A responder that gives up ends the whole evaluation.
static void test_cancelled(void **state)
{
    (void)state;
    static const char *const two[] = {"gsm:max_eval_instances=11",
                                      "mmlu:subject=made_up,max_eval_instances=9"};
    struct od_error err = {0};
    struct od_evaluation_report report = {0};
    struct od_eval_config config = OD_EVAL_CONFIG_INIT;
    struct stand_in model;
    char data[OD_PATH_MAX_BYTES];
    const struct od_evaluation evaluation = {.descriptions = two, .description_count = 2};
    (void)snprintf(data, sizeof data, "%s", test_source("tests/golden/oracle/helm/data"));
    stand_in_init(&model);
    model.fail_process = 1;
    model.fail_status = OD_E_CANCELLED;
    config.responder = &model.interface;
    config.data = data;
    config.output = test_folder();
    config.suite = "s";
    config.threads = 3;
    assert_int_equal(od_evaluate(&config, &evaluation, &report, &err), OD_E_CANCELLED);
    assert_non_null(strstr(err.message, "run '"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runs_beside_each_other),
        cmocka_unit_test(test_threads_are_busy),
        cmocka_unit_test(test_order_of_prompts),
        cmocka_unit_test(test_first_goes_ahead),
        cmocka_unit_test(test_same_name),
        cmocka_unit_test(test_files_are_equal),
        cmocka_unit_test(test_cancelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
