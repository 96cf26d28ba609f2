// Goal: evaluating a model in this process and through its HTTP server gives the same files.
// Method: stories260K answers a few real MMLU and GSM8K items both ways; the five files of each run
// are compared, request times and dates apart.

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "eval/evaluation.h"
#include "eval/http_responder.h"
#include "infer/engine.h"
#include "serve/server.h"
#include "support.h"

static const char conf_text[] =
    "entries: [\n"
    "  {description: \"mmlu:model=neurips/local,subject=anatomy,max_eval_instances=4\", priority: 1}\n"
    "  {description: \"gsm:model=neurips/local,max_eval_instances=2\", priority: 1}\n"
    "]\n";

static void evaluate(const struct od_responder *responder, const char *folder, int threads)
{
    struct od_error err = {0};
    struct od_eval_config config = OD_EVAL_CONFIG_INIT;
    struct od_evaluation_report report = {0};
    char conf[OD_PATH_MAX_BYTES];
    assert_ok(od_path_join(conf, folder, "entries.conf", &err), &err);
    assert_ok(od_file_write(conf, conf_text, strlen(conf_text), &err), &err);
    const struct od_evaluation evaluation = {.conf = conf};
    config.responder = responder;
    config.data = test_shared("eval");
    config.output = folder;
    config.suite = "parity";
    config.threads = threads;
    assert_ok(od_evaluate(&config, &evaluation, &report, &err), &err);
    assert_int_equal(report.done, 2);
    assert_int_equal(report.first_failure, OD_OK);
    od_evaluation_report_release(&report);
}

// Cut the numbers behind each `key` out of a text.
static void blank(char *text, const char *key)
{
    for (char *at = strstr(text, key); at; at = strstr(at, key)) {
        at += strlen(key);
        const size_t length = strspn(at, "0123456789.e-+");
        memset(at, '0', length);
        memmove(at + 1, at + length, strlen(at + length) + 1);
    }
}

// Blocks of statistics that hold times.
static void blank_runtime(char *text)
{
    static const char name[] = "\"name\": \"inference_runtime\"";
    static const char *const keys[] = {
        "\"sum\": ",  "\"sum_squared\": ", "\"min\": ",   "\"max\": ",
        "\"mean\": ", "\"variance\": ",    "\"stddev\": "};
    for (char *at = strstr(text, name); at; at = strstr(at + 1, name)) {
        char *end = strstr(at, "\"stddev\": ");
        for (size_t i = 0; end && i < sizeof keys / sizeof keys[0]; i++) {
            char *value = strstr(at, keys[i]);
            if (value) {
                value += strlen(keys[i]);
                const size_t length = strspn(value, "0123456789.e-+");
                memset(value, '0', 1);
                memmove(value + 1, value + length, strlen(value + length) + 1);
            }
        }
    }
}

static char *read_comparable(const char *folder, const char *run, const char *name)
{
    char path[2 * OD_PATH_MAX_BYTES];
    char *text = NULL;
    size_t size = 0;
    struct od_error err = {0};
    (void)snprintf(path, sizeof path, "%s/runs/parity/%s/%s", folder, run, name);
    assert_ok(od_file_read(path, 1 << 26, &text, &size, &err), &err);
    blank(text, "\"request_time\": ");
    blank(text, "\"request_datetime\": ");
    blank_runtime(text);
    return text;
}

static void same_files(void **state)
{
    (void)state;
    const struct od_engine_options options = {.threads = 2, .slots = 3};
    const struct od_http_options http_options = OD_HTTP_OPTIONS_INIT;
    struct od_server_options server_options = OD_SERVER_OPTIONS_INIT;
    struct od_engine *engine = NULL;
    struct od_server *server = NULL;
    struct od_http_responder *http = NULL;
    struct od_error err = {0};
    char url[64];
    const char *inside = test_folder();
    const char *outside = test_folder();

    assert_ok(od_engine_open(test_shared("models/stories260K/hf"), &options, &engine, &err), &err);
    evaluate(od_engine_responder(engine), inside, 1);
    server_options.port = 0;
    assert_ok(od_server_start(od_engine_responder(engine), &server_options, &server, &err), &err);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d", od_server_port(server));
    assert_ok(od_http_responder_open(url, &http_options, &http, &err), &err);
    assert_int_equal(od_http_responder_learn_context(http), 512);
    evaluate(od_http_responder_interface(http), outside, 4);
    od_http_responder_close(http);
    od_server_stop(server);
    od_engine_close(engine);

    char **names = NULL;
    size_t count = 0;
    size_t compared = 0;
    char suite[OD_PATH_MAX_BYTES];
    assert_ok(od_path_join(suite, inside, "runs/parity", &err), &err);
    assert_ok(od_dir_list(suite, &names, &count, &err), &err);
    static const char *const files[] = {"run_spec.json", "scenario.json", "scenario_state.json",
                                        "stats.json", "per_instance_stats.json"};
    for (size_t i = 0; i < count; i++) {
        for (size_t f = 0; strchr(names[i], ':') && f < 5; f++) {
            char *a = read_comparable(inside, names[i], files[f]);
            char *b = read_comparable(outside, names[i], files[f]);
            assert_string_equal(a, b);
            compared++;
            od_free(a);
            od_free(b);
        }
    }
    assert_int_equal(compared, 10);
    od_names_free(names, count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(same_files)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
