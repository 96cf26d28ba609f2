// Goal: a real model gives the same files in this process and behind our own server. Method: a
// small published model on real questions, the times of requests set to zero.

#include "infer/engine.h"

#include <curl/curl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "eval/http_responder.h"
#include "eval/run_spec.h"
#include "eval/runner.h"
#include "infer/responder.h"
#include "serve/server.h"
#include "support.h"
#include "text/tokenizer.h"

static const char *const descriptions[] = {"mmlu:subject=anatomy,max_eval_instances=3",
                                           "gsm:max_eval_instances=1,max_train_instances=1"};
static const char *const file_names[] = {"run_spec.json", "scenario.json", "scenario_state.json",
                                         "stats.json", "per_instance_stats.json"};

static enum od_status process_untimed(void *context, const struct od_process_request *request,
                                      struct od_process_result *result, struct od_error *err)
{
    const struct od_responder *inner = context;
    const enum od_status status = inner->process(inner->context, request, result, err);
    result->request_time_s = 0.0;
    return status;
}

static enum od_status tokenize(void *context, const char *text, size_t size, bool truncation,
                               int64_t max_length, struct od_ids *out, struct od_error *err)
{
    const struct od_responder *inner = context;
    return inner->tokenize(inner->context, text, size, truncation, max_length, out, err);
}

static enum od_status decode(void *context, const int32_t *ids, size_t count, struct od_buf *out,
                             struct od_error *err)
{
    const struct od_responder *inner = context;
    return inner->decode(inner->context, ids, count, out, err);
}

static void run_all(const struct od_responder *responder, void *context, const char *data,
                    const char *output, int threads)
{
    struct od_eval_config config = OD_EVAL_CONFIG_INIT;
    const struct od_responder untimed = {.context = context,
                                         .process = process_untimed,
                                         .tokenize = tokenize,
                                         .decode = decode,
                                         .context_length = responder->context_length,
                                         .model_name = responder->model_name};
    config.responder = &untimed;
    config.data = data;
    config.output = output;
    config.suite = "s";
    config.threads = threads;
    config.window_tokens = 512;
    for (size_t i = 0; i < sizeof descriptions / sizeof *descriptions; i++) {
        struct od_error err = {0};
        struct od_arena arena;
        struct od_run_specs specs = {0};
        struct od_run_outcome outcome = {0};
        const struct od_run_options options = {0};
        od_arena_init(&arena, 1 << 20);
        assert_ok(od_run_specs_make(descriptions[i], &options, &arena, &specs, &err), &err);
        assert_ok(od_eval_run(&config, &specs.items[0], &outcome, &err), &err);
        od_arena_release(&arena);
    }
}

static void assert_same_files(const char *inside, const char *outside)
{
    struct od_error err = {0};
    char folder[OD_PATH_MAX_BYTES];
    char path[2][OD_PATH_MAX_BYTES];
    char **runs = NULL;
    size_t count = 0;
    (void)snprintf(folder, sizeof folder, "%s/runs/s", inside);
    assert_ok(od_dir_list(folder, &runs, &count, &err), &err);
    assert_int_equal(count, 2);
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < sizeof file_names / sizeof *file_names; k++) {
            char *text[2] = {NULL, NULL};
            size_t size[2] = {0, 0};
            (void)snprintf(path[0], OD_PATH_MAX_BYTES, "%s/runs/s/%s/%s", inside, runs[i],
                           file_names[k]);
            (void)snprintf(path[1], OD_PATH_MAX_BYTES, "%s/runs/s/%s/%s", outside, runs[i],
                           file_names[k]);
            for (size_t side = 0; side < 2; side++) {
                assert_ok(od_file_read(path[side], 1 << 26, &text[side], &size[side], &err), &err);
            }
            if (size[0] != size[1] || memcmp(text[0], text[1], size[0]) != 0) {
                fail_msg("'%s' differs", path[0]);
            }
            od_free(text[0]);
            od_free(text[1]);
        }
    }
    od_names_free(runs, count);
}

static void test_engine_and_server(void **state)
{
    (void)state;
    struct od_error err = {0};
    char model[OD_PATH_MAX_BYTES];
    char data[OD_PATH_MAX_BYTES];
    char url[64];
    struct od_engine *engine = NULL;
    struct od_server *server = NULL;
    struct od_http_responder *http = NULL;
    const struct od_engine_options engine_options = {.threads = 2, .slots = 3};
    struct od_server_options server_options = OD_SERVER_OPTIONS_INIT;
    const struct od_http_options http_options = OD_HTTP_OPTIONS_INIT;
    const char *inside = test_folder();
    const char *outside = test_folder();
    (void)snprintf(model, sizeof model, "%s", test_shared("models/stories260K/hf"));
    (void)snprintf(data, sizeof data, "%s", test_shared("eval"));
    assert_ok(od_engine_open(model, &engine_options, &engine, &err), &err);
    const struct od_responder *in_process = od_engine_responder(engine);
    struct od_responder copy = *in_process;
    run_all(in_process, &copy, data, inside, 1);
    server_options.port = 0;
    assert_ok(od_server_start(in_process, &server_options, &server, &err), &err);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d", od_server_port(server));
    assert_ok(od_http_responder_open(url, &http_options, &http, &err), &err);
    struct od_responder behind_http = *od_http_responder_interface(http);
    run_all(&behind_http, &behind_http, data, outside, 3);
    od_http_responder_close(http);
    od_server_stop(server);
    od_engine_close(engine);
    assert_same_files(inside, outside);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_engine_and_server),
    };
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
