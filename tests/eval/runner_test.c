// Goal: runs, retries, resuming, whole evaluations and their tables behave as promised, and a
// model in this process and the same one behind HTTP give the same files. Method: the stand-in
// model, generated data, a small server on 127.0.0.1, and the program itself.

#include "eval/runner.h"

#include <curl/curl.h>
#include <jansson.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/interval.h"
#include "base/memory.h"
#include "base/status.h"
#include "eval/evaluation.h"
#include "eval/http_responder.h"
#include "eval/run_spec.h"
#include "eval/summarize.h"
#include "formats/json.h"
#include "infer/responder.h"
#include "stand_in.h"
#include "support.h"
#include "test_server.h"
#include "text/tokenizer.h"

static const char *const file_names[] = {"run_spec.json", "scenario.json", "scenario_state.json",
                                         "stats.json", "per_instance_stats.json"};
static const char mmlu_name[] =
    "mmlu:subject=made_up,method=multiple_choice_joint,"
    "max_eval_instances=9";
static const char mmlu[] = "mmlu:subject=made_up,max_eval_instances=9";

struct bench {
    struct stand_in model;
    struct od_eval_config config;
    char data[OD_PATH_MAX_BYTES];
    char output[OD_PATH_MAX_BYTES];
    double waits[16];
    size_t wait_count;
};

static void wait_instead(void *context, double seconds)
{
    struct bench *bench = context;
    bench->waits[bench->wait_count++ % 16] = seconds;
}

static void bench_init(struct bench *bench)
{
    memset(bench, 0, sizeof *bench);
    stand_in_init(&bench->model);
    bench->config = (struct od_eval_config)OD_EVAL_CONFIG_INIT;
    (void)snprintf(bench->data, sizeof bench->data, "%s",
                   test_source("tests/golden/oracle/helm/data"));
    (void)snprintf(bench->output, sizeof bench->output, "%s", test_folder());
    bench->config.responder = &bench->model.interface;
    bench->config.data = bench->data;
    bench->config.output = bench->output;
    bench->config.suite = "s";
    bench->config.threads = 1;
    bench->config.wait = wait_instead;
    bench->config.wait_context = bench;
}

static enum od_status run(struct bench *bench, const char *description,
                          struct od_run_outcome *outcome, struct od_error *err)
{
    struct od_arena arena;
    struct od_run_specs specs = {0};
    const struct od_run_options options = {0};
    od_arena_init(&arena, 1 << 20);
    assert_ok(od_run_specs_make(description, &options, &arena, &specs, err), err);
    const enum od_status status = od_eval_run(&bench->config, &specs.items[0], outcome, err);
    od_arena_release(&arena);
    return status;
}

static char *read_result(const struct bench *bench, const char *name, const char *file,
                         size_t *ret_size)
{
    struct od_error err = {0};
    char path[OD_PATH_MAX_BYTES];
    char *text = NULL;
    (void)snprintf(path, sizeof path, "%s/runs/s/%s/%s", bench->output, name, file);
    assert_ok(od_file_read(path, 1 << 24, &text, ret_size, &err), &err);
    return text;
}

// ------------------------------------------------------------------ retries

static void test_retries(void **state)
{
    (void)state;
    struct bench bench;
    struct od_error err = {0};
    struct od_run_outcome outcome = {0};
    static const double waits[] = {10.0, 20.0, 40.0, 80.0};
    bench_init(&bench);
    bench.model.fail_process = 4;
    bench.model.fail_status = OD_E_IO;
    assert_ok(run(&bench, mmlu, &outcome, &err), &err);
    assert_int_equal(outcome.requests, 9);
    assert_int_equal(bench.wait_count, 4);
    assert_memory_equal(bench.waits, waits, sizeof waits);
    assert_int_equal(bench.model.process_calls, 9 + 4);
}

static void test_lost_run(void **state)
{
    (void)state;
    struct bench bench;
    struct od_error err = {0};
    struct od_run_outcome outcome = {0};
    char path[OD_PATH_MAX_BYTES];
    char **names = NULL;
    size_t count = 0;
    bench_init(&bench);
    assert_ok(run(&bench, mmlu, &outcome, &err), &err);  // files of an earlier evaluation
    bench.model.fail_process = 5;
    bench.model.fail_status = OD_E_IO;
    assert_int_equal(run(&bench, mmlu, &outcome, &err), OD_E_IO);
    assert_non_null(strstr(err.message, "5 attempts failed"));
    assert_non_null(strstr(err.message, mmlu_name));
    assert_int_equal(bench.wait_count, 4);
    // The folder stays, without files: nobody takes the old numbers for the new model's.
    (void)snprintf(path, sizeof path, "%s/runs/s/%s", bench.output, mmlu_name);
    assert_ok(od_dir_list(path, &names, &count, &err), &err);
    assert_int_equal(count, 0);
    od_names_free(names, count);
}

// What cannot get better is not tried again.
static void test_no_retry(void **state)
{
    (void)state;
    struct bench bench;
    struct od_error err = {0};
    struct od_run_outcome outcome = {0};
    bench_init(&bench);
    bench.model.fail_process = 1;
    bench.model.fail_status = OD_E_LIMIT;
    assert_int_equal(run(&bench, mmlu, &outcome, &err), OD_E_LIMIT);
    assert_int_equal(bench.wait_count, 0);
    bench.model.fail_process = 0;
    bench.model.tokenize_fails = OD_E_FORMAT;
    assert_int_equal(run(&bench, mmlu, &outcome, &err), OD_E_FORMAT);
}

static void test_skip_completed(void **state)
{
    (void)state;
    struct bench bench;
    struct od_error err = {0};
    struct od_run_outcome outcome = {0};
    char path[OD_PATH_MAX_BYTES];
    bench_init(&bench);
    bench.config.skip_completed_runs = true;
    assert_ok(run(&bench, mmlu, &outcome, &err), &err);
    assert_false(outcome.skipped);
    bench.model.process_calls = 0;
    assert_ok(run(&bench, mmlu, &outcome, &err), &err);
    assert_true(outcome.skipped);
    assert_int_equal(bench.model.process_calls, 0);
    (void)snprintf(path, sizeof path, "%s/runs/s/%s/stats.json", bench.output, mmlu_name);
    assert_int_equal(remove(path), 0);
    assert_ok(run(&bench, mmlu, &outcome, &err), &err);
    assert_false(outcome.skipped);
    assert_int_equal(bench.model.process_calls, 9);
}

// Every write that can fail, fails once: the run is lost, and is not taken for complete.
static void test_full_disk(void **state)
{
    (void)state;
    struct bench bench;
    struct od_error err = {0};
    struct od_run_outcome outcome = {0};
    enum od_status status = OD_E_IO;
    int complete = 0;
    bench_init(&bench);
    for (uint64_t n = 1; status != OD_OK; n++) {
        assert_true(n < 200);
        od_file_fail_at(n);
        bench.config.skip_completed_runs = false;
        status = run(&bench, "gsm:max_eval_instances=1", &outcome, &err);
        od_file_fail_at(0);
        if (status != OD_OK) {
            assert_int_equal(status, OD_E_IO);
            bench.config.skip_completed_runs = true;
            // Only the last fsync of the folder fails with all five files in place.
            assert_ok(run(&bench, "gsm:max_eval_instances=1", &outcome, &err), &err);
            complete += outcome.skipped;
        }
    }
    assert_true(complete <= 1);
}

static void test_no_memory(void **state)
{
    (void)state;
    struct bench bench;
    struct od_run_outcome outcome = {0};
    enum od_status status = OD_E_MEMORY;
    uint64_t n = 1;
    bench_init(&bench);
    for (; status != OD_OK; n += 1 + n / 8) {
        struct od_error err = {0};
        assert_true(n < 1000000);
        od_alloc_fail_at(n);
        // Specs are made first, so failures there are part of it.
        struct od_arena arena;
        struct od_run_specs specs = {0};
        const struct od_run_options options = {0};
        od_arena_init(&arena, 1 << 20);
        status = od_run_specs_make("mmlu:subject=made_up,max_eval_instances=2", &options, &arena,
                                   &specs, &err);
        if (status == OD_OK) {
            status = od_eval_run(&bench.config, &specs.items[0], &outcome, &err);
        }
        od_alloc_fail_at(0);
        od_arena_release(&arena);
        assert_true(status == OD_OK || err.message[0] != '\0');
    }
}

// ------------------------------------------------------------------ HTTP

static void test_http_equals_process(void **state)
{
    (void)state;
    struct bench inside;
    struct bench outside;
    struct test_server server;
    struct od_error err = {0};
    struct od_run_outcome outcome = {0};
    struct od_http_responder *http = NULL;
    const struct od_http_options options = OD_HTTP_OPTIONS_INIT;
    static const char *const runs[][2] = {{mmlu, mmlu_name},
                                          {"gsm:max_train_instances=0,max_eval_instances=6",
                                           "gsm:max_train_instances=0,max_eval_instances=6"}};
    bench_init(&inside);
    bench_init(&outside);
    test_server_start(&server, &outside.model);
    assert_ok(od_http_responder_open(server.url, &options, &http, &err), &err);
    outside.config.responder = od_http_responder_interface(http);
    outside.config.threads = 6;
    for (size_t i = 0; i < 2; i++) {
        assert_ok(run(&inside, runs[i][0], &outcome, &err), &err);
        assert_ok(run(&outside, runs[i][0], &outcome, &err), &err);
        for (size_t k = 0; k < sizeof file_names / sizeof *file_names; k++) {
            size_t a_size = 0;
            size_t b_size = 0;
            char *a = read_result(&inside, runs[i][1], file_names[k], &a_size);
            char *b = read_result(&outside, runs[i][1], file_names[k], &b_size);
            assert_int_equal(a_size, b_size);
            assert_memory_equal(a, b, a_size);
            od_free(a);
            od_free(b);
        }
    }
    assert_true(server.connections <= 6);  // connections are used again
    od_http_responder_close(http);
    test_server_stop(&server);
}

static void test_http_bodies(void **state)
{
    (void)state;
    struct stand_in model;
    struct test_server server;
    struct od_error err = {0};
    struct od_http_responder *http = NULL;
    const struct od_http_options options = OD_HTTP_OPTIONS_INIT;
    struct od_process_result result;
    static const char *const stop[] = {"\n\n"};
    struct od_ids ids;
    struct od_buf text;
    stand_in_init(&model);
    test_server_start(&server, &model);
    assert_ok(od_http_responder_open(server.url, &options, &http, &err), &err);
    const struct od_responder *responder = od_http_responder_interface(http);
    struct od_process_request request = OD_PROCESS_REQUEST_INIT;
    request.prompt = "caf\xC3\xA9 \"x\"\n\xF0\x9F\x98\x80/";
    request.prompt_size = strlen(request.prompt);
    request.max_new_tokens = 400;
    request.temperature = 1e-7;
    request.stop = stop;
    request.stop_count = 1;
    od_process_result_init(&result);
    assert_ok(responder->process(responder->context, &request, &result, &err), &err);
    assert_string_equal(server.last_body,
                        "{\"prompt\": \"caf\\u00e9 \\\"x\\\"\\n\\ud83d\\ude00/\", "
                        "\"temperature\": 1e-07, \"num_return_sequences\": 1, "
                        "\"max_new_tokens\": 400, \"top_p\": 1, \"echo_prompt\": false, "
                        "\"top_k_per_token\": 1, \"stop_sequences\": [\"\\n\\n\"]}");
    assert_non_null(strstr(server.last_head, "POST /process HTTP/1.1\r\n"));
    assert_non_null(strstr(server.last_head, "Content-Type: application/json\r\n"));
    od_process_result_release(&result);
    od_ids_init(&ids, 100);
    assert_ok(responder->tokenize(responder->context, "abc\xC3\xA9", 5, true, 9, &ids, &err), &err);
    assert_string_equal(server.last_body,
                        "{\"text\": \"abc\\u00e9\", \"truncation\": true, \"max_length\": 9}");
    assert_int_equal(ids.count, 2);
    od_buf_init(&text, 100);
    assert_ok(responder->decode(responder->context, ids.data, ids.count, &text, &err), &err);
    assert_string_equal(od_buf_text(&text), "abc\xC3\xA9");
    assert_string_equal(server.last_body, "{\"tokens\": [1634657, 2097385]}");
    od_buf_release(&text);
    od_ids_release(&ids);
    od_http_responder_close(http);
    test_server_stop(&server);
}

static void test_http_faults(void **state)
{
    (void)state;
    struct stand_in model;
    struct test_server server;
    struct od_error err = {0};
    struct od_http_responder *http = NULL;
    struct od_http_options options = OD_HTTP_OPTIONS_INIT;
    struct od_ids ids;
    static const struct {
        enum test_server_fault fault;
        enum od_status process;
        enum od_status tokenize;
        const char *words;
    } cases[] = {
        {TEST_SERVER_STATUS_500, OD_E_IO, OD_E_IO, "answered 500"},
        {TEST_SERVER_NO_JSON, OD_E_IO, OD_E_IO, "no JSON"},
        {TEST_SERVER_HANGS_UP, OD_E_IO, OD_E_IO, "cannot ask"},
        {TEST_SERVER_LONG, OD_E_IO, OD_E_IO, "more than 4096 bytes"},
        {TEST_SERVER_NO_LOGPROB, OD_E_FORMAT, OD_OK, "'logprob'"},
        {TEST_SERVER_NO_TOKENS, OD_OK, OD_E_FORMAT, "'tokens'"},
    };
    options.reply_max_bytes = 4096;
    stand_in_init(&model);
    test_server_start(&server, &model);
    assert_ok(od_http_responder_open(server.url, &options, &http, &err), &err);
    const struct od_responder *responder = od_http_responder_interface(http);
    struct od_process_request request = OD_PROCESS_REQUEST_INIT;
    request.prompt = "p";
    request.prompt_size = 1;
    od_ids_init(&ids, 100);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct od_process_result result;
        server.fault = cases[i].fault;
        err = (struct od_error){0};
        od_process_result_init(&result);
        assert_int_equal(responder->process(responder->context, &request, &result, &err),
                         cases[i].process);
        assert_int_equal(responder->tokenize(responder->context, "a", 1, false, 9, &ids, &err),
                         cases[i].tokenize);
        if (!strstr(err.message, cases[i].words)) {
            fail_msg("'%s' is without '%s'", err.message, cases[i].words);
        }
        od_process_result_release(&result);
    }
    od_ids_release(&ids);
    od_http_responder_close(http);
    test_server_stop(&server);
    assert_int_equal(od_http_responder_open("ftp://x", &options, &http, &err), OD_E_ARGUMENT);
}

// ------------------------------------------------------------------ evaluations

static const char *write_conf(const struct bench *bench, const char *text)
{
    static char path[OD_PATH_MAX_BYTES];
    struct od_error err = {0};
    (void)snprintf(path, sizeof path, "%s/x.conf", bench->output);
    assert_ok(od_file_write(path, text, strlen(text), &err), &err);
    return path;
}

static const char mixed_conf[] =
    "entries: [\n"
    "  {description: \"sam_sum:max_eval_instances=3\", priority: 1}\n"
    "  {description: \"mmlu:subject=made_up,data_augmentation=all\", priority: 1}\n"
    "  {description: \"gsm:max_eval_instances=7\", priority: 1},\n"
    "  {description: \"gsm:max_eval_instances=0\", priority: 2}\n"
    "  {description: \"mmlu:subject=absent\", priority: 1}\n"
    "]\n";

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

static void test_evaluation(void **state)
{
    (void)state;
    struct bench bench;
    struct od_error err = {0};
    struct od_evaluation_report report = {0};
    static const char *const more[] = {mmlu};
    bench_init(&bench);
    const struct od_evaluation evaluation = {.conf = write_conf(&bench, mixed_conf),
                                             .descriptions = more,
                                             .description_count = 1,
                                             .has_priority = true,
                                             .priority = 1};
    assert_ok(od_evaluate(&bench.config, &evaluation, &report, &err), &err);
    assert_int_equal(report.done, 2);
    assert_int_equal(report.missing.not_run_count, 2);
    assert_int_equal(report.missing.failed_count, 1);
    assert_int_equal(report.first_failure, OD_E_NOT_FOUND);
    assert_non_null(strstr(report.missing.not_run[0].reason, "'sam_sum' is left out"));
    assert_non_null(strstr(report.missing.not_run[1].reason, "--no-augmentation"));
    const struct od_score_line *line = line_of(&report.summary, "GSM8K - EM");
    assert_true(line->is_defined && line->items == 7 && line->runs == 1);
    assert_true(line->low < line->value || line->value == 0.0);
    assert_true(line->low >= 0.0 && line->high <= 1.0 && line->high > line->value);
    assert_non_null(line_of(&report.summary, "GSM8K - final number"));
    // Only test items count: of 9 of the 16 items (4 valid, 12 test) some are not.
    line = line_of(&report.summary, "MMLU - EM");
    assert_true(line->is_defined && line->items < 9 && line->items > 0);
    // The stand-in says that an answer took less than a second. BIG-bench, which was not asked, is absent.
    line = line_of(&report.summary, "MMLU - Observed inference time (s)");
    assert_true(line->is_defined && line->value > 0.0 && line->value < 1.0 && !line->has_interval);
    for (size_t i = 0; i < report.summary.count; i++) {
        assert_null(strstr(report.summary.lines[i].metric, "BIG-bench"));
    }
    od_evaluation_report_release(&report);
}

static void test_strict_and_nothing(void **state)
{
    (void)state;
    struct bench bench;
    struct od_error err = {0};
    struct od_evaluation_report report = {0};
    static const char *const only[] = {"sam_sum:x=all"};
    static const char *const broken[] = {"gsm:"};
    bench_init(&bench);
    struct od_evaluation evaluation = {.conf = write_conf(&bench, mixed_conf), .strict = true};
    assert_int_equal(od_evaluate(&bench.config, &evaluation, &report, &err), OD_E_UNSUPPORTED);
    assert_int_equal(bench.model.process_calls, 0);
    evaluation = (struct od_evaluation){.descriptions = only, .description_count = 1};
    assert_int_equal(od_evaluate(&bench.config, &evaluation, &report, &err), OD_E_UNSUPPORTED);
    evaluation = (struct od_evaluation){.descriptions = broken, .description_count = 1};
    assert_int_equal(od_evaluate(&bench.config, &evaluation, &report, &err), OD_E_FORMAT);
    evaluation = (struct od_evaluation){.conf = write_conf(&bench, "entries: []\n")};
    assert_int_equal(od_evaluate(&bench.config, &evaluation, &report, &err), OD_E_ARGUMENT);
    bench.config.suite = "latest";
    assert_int_equal(od_evaluate(&bench.config, &evaluation, &report, &err), OD_E_ARGUMENT);
    bench.config.suite = "a/b";
    assert_int_equal(od_evaluate(&bench.config, &evaluation, &report, &err), OD_E_ARGUMENT);
}

// Without its augmentation a run says nothing about robustness, and neither do the tables.
static void test_dropped_augmentation(void **state)
{
    (void)state;
    struct bench bench;
    struct od_error err = {0};
    struct od_evaluation_report report = {0};
    static const char *const one[] = {
        "mmlu:subject=made_up,data_augmentation=canonical,max_eval_instances=9"};
    size_t size = 0;
    bench_init(&bench);
    const struct od_evaluation evaluation = {
        .descriptions = one, .description_count = 1, .options = {.no_augmentation = true}};
    assert_ok(od_evaluate(&bench.config, &evaluation, &report, &err), &err);
    assert_true(line_of(&report.summary, "MMLU - EM")->is_defined);
    const struct od_score_line *line = line_of(&report.summary, "MMLU - EM (Robustness)");
    assert_false(line->is_defined);
    assert_non_null(strstr(line->reason, "augmentation"));
    char *stats = read_result(&bench,
                              "mmlu:subject=made_up,method=multiple_choice_joint,"
                              "data_augmentation=none,max_eval_instances=9",
                              "stats.json", &size);
    assert_null(strstr(stats, "robustness"));
    od_free(stats);
    od_evaluation_report_release(&report);
}

// ------------------------------------------------------------------ tables

static void write_run(const char *suite, const char *name, const char *group, int items,
                      const char *stats)
{
    struct od_error err = {0};
    char folder[OD_PATH_MAX_BYTES];
    char path[OD_PATH_MAX_BYTES];
    char text[4096];
    (void)snprintf(folder, sizeof folder, "%s/%s", suite, name);
    assert_ok(od_dir_make(folder, &err), &err);
    (void)snprintf(path, sizeof path, "%s/run_spec.json", folder);
    (void)snprintf(text, sizeof text,
                   "{\"name\": \"%s\", \"adapter_spec\": {\"model\": \"neurips/local\"}, "
                   "\"groups\": [\"%s\"]}",
                   name, group);
    assert_ok(od_file_write(path, text, strlen(text), &err), &err);
    (void)snprintf(path, sizeof path, "%s/stats.json", folder);
    (void)snprintf(text, sizeof text,
                   "[%s{\"name\": {\"name\": \"num_instances\", \"split\": \"test\"}, "
                   "\"count\": 1, \"sum\": %d.0, \"sum_squared\": 1.0, \"min\": 1.0, "
                   "\"max\": 1.0, \"mean\": %d.0}]",
                   stats, items, items);
    assert_ok(od_file_write(path, text, strlen(text), &err), &err);
}

#define EM(split, value)                                                                  \
    "{\"name\": {\"name\": \"exact_match\", \"split\": \"" split                          \
    "\"}, \"count\": 1, "                                                                 \
    "\"sum\": " value ", \"sum_squared\": " value ", \"min\": " value ", \"max\": " value \
    ", \"mean\": " value "}, "

#define BIAS(numbers)                                                                       \
    "{\"name\": {\"name\": \"bias_metric:mode=representation,demographic_category=race\", " \
    "\"split\": \"test\"}, " numbers "}, "
#define TIME(value)                                                                                    \
    "{\"name\": {\"name\": \"inference_runtime\", \"split\": \"test\"}, \"count\": 1, \"sum\": " value \
    ", \"sum_squared\": 1.0, \"min\": " value ", \"max\": " value ", \"mean\": " value "}, "

static const json_t *column_of(const json_t *tables, const char *title, const char *header)
{
    size_t i = 0;
    json_t *table = NULL;
    json_array_foreach(tables, i, table)
    {
        const json_t *heads = json_object_get(table, "header");
        if (strcmp(json_string_value(json_object_get(table, "title")), title) != 0) {
            continue;
        }
        for (size_t c = 0; c < json_array_size(heads); c++) {
            const json_t *head = json_array_get(heads, c);
            if (strcmp(json_string_value(json_object_get(head, "value")), header) == 0) {
                return json_array_get(json_array_get(json_object_get(table, "rows"), 0), c);
            }
        }
    }
    return NULL;
}

// Runs weigh 1 each whatever their number of items; a run without test items drops out.
static void test_tables(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_summary summary = {0};
    const struct od_missing_runs missing = {0};
    const char *suite = test_folder();
    char path[OD_PATH_MAX_BYTES];
    json_t *tables = NULL;
    write_run(suite, "mmlu:subject=a", "mmlu", 2, EM("test", "0.5"));
    write_run(suite, "mmlu:subject=b", "mmlu", 6, EM("test", "1.0"));
    write_run(suite, "mmlu:subject=c", "mmlu", 3, EM("valid", "0.0"));
    (void)snprintf(path, sizeof path, "%s/eval_cache", suite);
    assert_ok(od_dir_make(path, &err), &err);
    assert_ok(od_suite_summarize(suite, &missing, &summary, &err), &err);
    (void)snprintf(path, sizeof path, "%s/groups/core_scenarios.json", suite);
    assert_ok(od_json_read(path, &tables, &err), &err);
    const json_t *cell = column_of(tables, "Accuracy", "MMLU - EM");
    assert_true(json_number_value(json_object_get(cell, "value")) == 0.75);
    assert_string_equal(json_string_value(json_object_get(cell, "description")),
                        "min=0.5, mean=0.75, max=1, sum=1.5 (2)");
    cell = column_of(tables, "Robustness", "MMLU - EM (Robustness)");
    assert_null(json_object_get(cell, "value"));
    assert_string_equal(json_string_value(json_object_get(cell, "description")),
                        "3 matching runs, but no matching metrics");
    cell = column_of(tables, "Accuracy", "GSM8K - EM");
    assert_string_equal(json_string_value(json_object_get(cell, "description")),
                        "No matching runs");
    cell = column_of(tables, "Accuracy", "Model/adapter");
    assert_string_equal(json_string_value(json_object_get(cell, "value")), "Local service");
    const struct od_score_line *line = line_of(&summary, "MMLU - EM");
    assert_true(line->items == 8 && line->runs == 2);
    // 2 runs with 2 and 6 items vary like 4 / (1/2 + 1/6) = 6 items.
    struct od_interval interval = {0};
    assert_true(od_interval_share_of(0.75, 6.0, &interval));
    assert_true(fabs(line->low - interval.low) < 1e-12);
    assert_true(fabs(line->high - interval.high) < 1e-12);
    json_decref(tables);
    od_summary_release(&summary);
}

// Times are means over runs; where all of them are 0 nothing was measured.
static void test_times(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_summary summary = {0};
    const struct od_missing_runs missing = {0};
    const char *suite = test_folder();
    write_run(suite, "mmlu:subject=a", "mmlu", 2, EM("test", "0.5") TIME("0.25"));
    write_run(suite, "mmlu:subject=b", "mmlu", 6, EM("test", "1.0") TIME("2.0"));
    write_run(suite, "mmlu:subject=c", "mmlu", 3, EM("test", "1.0"));
    write_run(
        suite, "gsm", "gsm", 4,
        BIAS("\"count\": 1, \"sum\": 0.25, \"sum_squared\": 0.0625, \"min\": 0.25, \"max\": 0.25, "
             "\"mean\": 0.25") TIME("0.0"));
    write_run(suite, "big", "bbq", 4, BIAS("\"count\": 0, \"sum\": 0, \"sum_squared\": 0"));
    write_run(suite, "bbq", "bbq", 4, EM("test", "1.0"));
    write_run(suite, "big_bench:task=t", "BIG-bench", 4, TIME("1.0"));
    assert_ok(od_suite_summarize(suite, &missing, &summary, &err), &err);
    const struct od_score_line *line = line_of(&summary, "MMLU - Observed inference time (s)");
    assert_true(line->is_defined && line->value == 1.125 && line->items == 8 && line->runs == 2);
    line = line_of(&summary, "GSM8K - Observed inference time (s)");
    assert_false(line->is_defined);
    assert_non_null(strstr(line->reason, "took no time"));
    assert_false(line_of(&summary, "BBQ - Observed inference time (s)")->is_defined);
    assert_false(line_of(&summary, "BBQ - Representation (race)")->is_defined);
    line = line_of(&summary, "GSM8K - Representation (race)");
    assert_true(line->is_defined && line->value == 0.25 && line->items == 4);
    for (size_t i = 0; i < summary.count; i++) {  // HELM has no times of this group
        assert_null(strstr(summary.lines[i].metric, "BIG-bench - Observed"));
    }
    od_summary_release(&summary);
}

// ------------------------------------------------------------------ the program

static int program(const struct bench *bench, const char *url, const char *extra, char *out,
                   size_t out_size)
{
    int pipes[2];
    int status = 0;
    size_t used = 0;
    assert_int_equal(pipe(pipes), 0);
    const pid_t child = fork();
    if (child == 0) {
        (void)dup2(pipes[1], STDOUT_FILENO);
        (void)close(pipes[0]);
        (void)execl(test_binary(), "oneday", "eval", url, "--data", bench->data, "-o",
                    bench->output, "--suite", "s", "--run-spec",
                    "gsm:max_eval_instances=7 mmlu:subject=made_up,max_eval_instances=9", "-q",
                    extra, (char *)NULL);
        _exit(127);
    }
    (void)close(pipes[1]);
    for (ssize_t got = 1; got > 0 && used + 1 < out_size; used += (size_t)(got > 0 ? got : 0)) {
        got = read(pipes[0], out + used, out_size - 1 - used);
    }
    out[used] = '\0';
    (void)close(pipes[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_program(void **state)
{
    (void)state;
    struct bench bench;
    struct test_server server;
    struct od_error err = {0};
    static char out[1 << 16];
    json_t *document = NULL;
    bench_init(&bench);
    test_server_start(&server, &bench.model);
    assert_int_equal(program(&bench, server.url, "--json", out, sizeof out), 0);
    assert_ok(od_json_parse(out, strlen(out), "stdout", &document, &err), &err);
    assert_int_equal(json_integer_value(json_object_get(document, "runs_made")), 2);
    assert_true(json_array_size(json_object_get(document, "metrics")) >= 4);
    json_decref(document);
    bench.model.process_calls = 0;
    assert_int_equal(program(&bench, server.url, "--skip-completed-runs", out, sizeof out), 0);
    assert_int_equal(bench.model.process_calls, 0);
    assert_non_null(strstr(out, "MMLU - EM"));
    assert_non_null(strstr(out, "0 runs made, 2 complete before"));
    test_server_stop(&server);
    assert_int_equal(program(&bench, "/nowhere", "--strict", out, sizeof out), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_retries),
        cmocka_unit_test(test_lost_run),
        cmocka_unit_test(test_no_retry),
        cmocka_unit_test(test_skip_completed),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_http_equals_process),
        cmocka_unit_test(test_http_bodies),
        cmocka_unit_test(test_http_faults),
        cmocka_unit_test(test_evaluation),
        cmocka_unit_test(test_strict_and_nothing),
        cmocka_unit_test(test_dropped_augmentation),
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_program),
    };
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
