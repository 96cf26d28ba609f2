// Goal: whatever a server sends in place of an answer, no score is computed from it: the run is lost
// with a message, its scores are undefined and not 0, and an answer that comes after all counts as
// if nothing had been. Method: a server on 127.0.0.1 that sends each kind of wrong answer.

#include <curl/curl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "eval/evaluation.h"
#include "eval/http_responder.h"
#include "eval/runner.h"
#include "eval/summarize.h"
#include "stand_in.h"
#include "support.h"
#include "test_server.h"

// For servers that never end an answer, and for the others, whatever else the machine does.
#define SHORT_S 2.0
#define LONG_S  100.0
enum { REPLY_MAX_BYTES = 1 << 16, FOR_EVER = 1 << 30 };

#define GOOD_TOKENS "[{\"text\": \" A\", \"logprob\": -0.5, \"top_logprob\": {\" A\": -0.5}}]"
#define REPLY(text, logprob, tokens, time)                               \
    "{\"text\": " text ", \"logprob\": " logprob ", \"tokens\": " tokens \
    ", \"request_time\": " time "}"

// A wrong answer: what is sent, with a head of this status or as it stands.
struct wrong {
    const char *name;
    const char *status;  // NULL: `body` is all that is sent
    const char *body;
    enum od_status kind;
    const char *words;  // in the message
};

static const struct wrong wrongs[] = {
    {"422", "422 Unprocessable Entity", "{\"detail\": [{\"msg\": \"field required\"}]}", OD_E_IO,
     "answered 422: {\"detail\""},
    {"404", "404 Not Found", "{\"detail\": \"Not Found\"}", OD_E_IO,
     "give the address in front of /process"},
    {"401", "401 Unauthorized", "", OD_E_IO, "without a key"},
    {"500", "500 Internal Server Error", "Internal Server Error", OD_E_IO, "answered 500"},
    {"500 with an answer", "500 Internal Server Error", REPLY("\" A\"", "-0.5", GOOD_TOKENS, "0.1"),
     OD_E_IO, "answered 500"},
    {"redirection", "302 Found", REPLY("\" A\"", "-0.5", GOOD_TOKENS, "0.1"), OD_E_IO,
     "answered 302"},
    {"error as an answer", "200 OK", "{\"error\": \"CUDA out of memory\"}", OD_E_FORMAT, "'text'"},
    {"garbage", "200 OK", "\x01\xFF\xFE<html>", OD_E_IO, "no JSON"},
    {"no HTTP", NULL, "SSH-2.0-OpenSSH_9.2\r\n", OD_E_IO, "cannot ask"},
    {"empty", "200 OK", "", OD_E_IO, "no JSON"},
    {"half an answer", "200 OK", "{\"text\": \" A\", \"logprob\": -0.5, \"tok", OD_E_IO, "no JSON"},
    {"a list", "200 OK", "[]", OD_E_FORMAT, "no JSON object"},
    {"null", "200 OK", "null", OD_E_FORMAT, "no JSON object"},
    {"closed", NULL, "", OD_E_IO, "cannot ask"},
    {"closed in the head", NULL, "HTTP/1.1 200 OK\r\nContent-Le", OD_E_IO, "no JSON"},
    {"closed in the body", NULL,
     "HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n" REPLY("\" A\"", "-0.5", GOOD_TOKENS, "0.1"),
     OD_E_IO, "cannot ask"},
    {"broken chunks", NULL,
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n{\"text\": \" A\"", OD_E_IO,
     "cannot ask"},
    {"NaN", "200 OK", REPLY("\" A\"", "NaN", GOOD_TOKENS, "0.1"), OD_E_IO, "no JSON"},
    {"infinity", "200 OK", REPLY("\" A\"", "-Infinity", GOOD_TOKENS, "0.1"), OD_E_IO, "no JSON"},
    {"beyond a double", "200 OK", REPLY("\" A\"", "-1e999", GOOD_TOKENS, "0.1"), OD_E_IO,
     "no JSON"},
    {"bad UTF-8", "200 OK", REPLY("\"\xFF\"", "-0.5", GOOD_TOKENS, "0.1"), OD_E_IO, "no JSON"},
    {"text is null", "200 OK", REPLY("null", "-0.5", GOOD_TOKENS, "0.1"), OD_E_FORMAT, "'text'"},
    {"text is a number", "200 OK", REPLY("7", "-0.5", GOOD_TOKENS, "0.1"), OD_E_FORMAT, "'text'"},
    {"logprob is a text", "200 OK", REPLY("\" A\"", "\"-0.5\"", GOOD_TOKENS, "0.1"), OD_E_FORMAT,
     "'logprob'"},
    {"logprob is null", "200 OK", REPLY("\" A\"", "null", GOOD_TOKENS, "0.1"), OD_E_FORMAT,
     "'logprob'"},
    {"time is a text", "200 OK", REPLY("\" A\"", "-0.5", GOOD_TOKENS, "\"now\""), OD_E_FORMAT,
     "'request_time'"},
    {"tokens are no list", "200 OK", REPLY("\" A\"", "-0.5", "{}", "0.1"), OD_E_FORMAT, "'tokens'"},
    {"tokens are texts", "200 OK", REPLY("\" A\"", "-0.5", "[\" A\"]", "0.1"), OD_E_FORMAT,
     "'tokens'"},
    {"a token without text", "200 OK",
     REPLY("\" A\"", "-0.5", "[{\"logprob\": -0.5, \"top_logprob\": {}}]", "0.1"), OD_E_FORMAT,
     "'tokens'"},
    {"a token's logprob is a text", "200 OK",
     REPLY("\" A\"", "-0.5", "[{\"text\": \" A\", \"logprob\": \"x\", \"top_logprob\": {}}]",
           "0.1"),
     OD_E_FORMAT, "'tokens'"},
    {"alternatives are a list", "200 OK",
     REPLY("\" A\"", "-0.5", "[{\"text\": \" A\", \"logprob\": -0.5, \"top_logprob\": []}]", "0.1"),
     OD_E_FORMAT, "'tokens'"},
    {"an alternative is null", "200 OK",
     REPLY("\" A\"", "-0.5",
           "[{\"text\": \" A\", \"logprob\": -0.5, \"top_logprob\": {\" A\": null}}]", "0.1"),
     OD_E_FORMAT, "'top_logprob'"},
    {"too late", NULL, "wait", OD_E_IO, "Timeout"},
    {"drop by drop", NULL, "drip", OD_E_IO, "Timeout"},
    {"endless body", NULL, "endless", OD_E_IO, "more than"},
    {"endless head", NULL, "endless head", OD_E_IO, "cannot ask"},
};
enum { WRONGS = sizeof wrongs / sizeof *wrongs };

// What the server does, and how often.
struct enemy {
    const struct wrong *wrong;
    const char *path;  // of the requests that it is about
    atomic_int left;
};

static bool send_all(int socket, const char *bytes)
{
    const size_t size = strlen(bytes);
    return send(socket, bytes, size, MSG_NOSIGNAL) == (ssize_t)size;
}

// Wait for the other side to give up.
static void wait_for_end(int socket)
{
    char byte = 0;
    while (recv(socket, &byte, 1, 0) > 0) {
        // more of the request
    }
}

static void send_for_ever(int socket, const char *head, const char *piece)
{
    bool goes_on = send_all(socket, head);
    while (goes_on) {
        goes_on = send_all(socket, piece);
    }
}

static bool drip(int socket)
{
    const struct timespec moment = {.tv_nsec = 20000000};
    bool goes_on = send_all(socket, "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
    while (goes_on) {
        goes_on = send_all(socket, " ");
        (void)nanosleep(&moment, NULL);
    }
    return true;
}

static bool attack(void *context, int socket, const char *path)
{
    struct enemy *enemy = context;
    char head[256];
    if (strncmp(path, enemy->path, strlen(enemy->path)) != 0 ||
        atomic_fetch_sub(&enemy->left, 1) <= 0) {
        return false;
    }
    const struct wrong *wrong = enemy->wrong;
    if (wrong->status) {
        (void)snprintf(head, sizeof head, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n",
                       wrong->status, strlen(wrong->body));
        return send_all(socket, head) && send_all(socket, wrong->body);
    }
    if (strcmp(wrong->body, "wait") == 0) {
        wait_for_end(socket);
    } else if (strcmp(wrong->body, "drip") == 0) {
        return drip(socket);
    } else if (strcmp(wrong->body, "endless") == 0) {
        send_for_ever(socket, "HTTP/1.1 200 OK\r\n\r\n",
                      "                                                                ");
    } else if (strcmp(wrong->body, "endless head") == 0) {
        send_for_ever(socket, "HTTP/1.1 200 OK\r\n", "X-More: and more and more and more\r\n");
    } else {
        (void)send_all(socket, wrong->body);
    }
    return true;
}

// ------------------------------------------------------------------ evaluations

struct bench {
    struct stand_in model;
    struct test_server server;
    struct enemy enemy;
    struct od_http_responder *http;
    struct od_eval_config config;
    char data[OD_PATH_MAX_BYTES];
    char output[OD_PATH_MAX_BYTES];
};

static const char mmlu_name[] =
    "mmlu:subject=made_up,method=multiple_choice_joint,max_eval_instances=2";

static void no_wait(void *context, double seconds)
{
    (void)context;
    (void)seconds;
}

static void bench_start(struct bench *bench, const struct wrong *wrong, const char *path, int times)
{
    struct od_error err = {0};
    struct od_http_options options = OD_HTTP_OPTIONS_INIT;
    memset(bench, 0, sizeof *bench);
    stand_in_init(&bench->model);
    test_server_start(&bench->server, &bench->model);
    bench->enemy.wrong = wrong;
    bench->enemy.path = path;
    bench->enemy.left = times;
    bench->server.hostile_context = &bench->enemy;
    bench->server.hostile = attack;
    options.timeout_s = wrong->words[0] == 'T' ? SHORT_S : LONG_S;
    options.reply_max_bytes = REPLY_MAX_BYTES;
    assert_ok(od_http_responder_open(bench->server.url, &options, &bench->http, &err), &err);
    (void)snprintf(bench->data, sizeof bench->data, "%s",
                   test_source("tests/golden/oracle/helm/data"));
    (void)snprintf(bench->output, sizeof bench->output, "%s", test_folder());
    bench->config = (struct od_eval_config)OD_EVAL_CONFIG_INIT;
    bench->config.responder = od_http_responder_interface(bench->http);
    bench->config.data = bench->data;
    bench->config.output = bench->output;
    bench->config.suite = "s";
    bench->config.threads = 1;
    bench->config.wait = no_wait;
}

static void bench_stop(struct bench *bench)
{
    od_http_responder_close(bench->http);
    test_server_stop(&bench->server);
}

static void evaluate(struct bench *bench, struct od_evaluation_report *report)
{
    struct od_error err = {0};
    static const char *const list[] = {"mmlu:subject=made_up,max_eval_instances=2"};
    const struct od_evaluation evaluation = {.descriptions = list, .description_count = 1};
    assert_ok(od_evaluate(&bench->config, &evaluation, report, &err), &err);
}

static char *read_result(const struct bench *bench, const char *file)
{
    struct od_error err = {0};
    char path[OD_PATH_MAX_BYTES];
    char *text = NULL;
    size_t size = 0;
    (void)snprintf(path, sizeof path, "%s/runs/s/%s/%s", bench->output, mmlu_name, file);
    assert_ok(od_file_read(path, 1 << 24, &text, &size, &err), &err);
    return text;
}

// A server that never answers right: the run is lost, nothing is scored, and the summary says so.
static void test_never_right(void **state)
{
    (void)state;
    for (size_t i = 0; i < WRONGS; i++) {
        struct bench bench;
        struct od_evaluation_report report = {0};
        char path[OD_PATH_MAX_BYTES];
        bench_start(&bench, &wrongs[i], "/process ", FOR_EVER);
        evaluate(&bench, &report);
        if (report.missing.failed_count != 1 || report.first_failure != wrongs[i].kind ||
            !strstr(report.missing.failed[0].reason, wrongs[i].words)) {
            fail_msg("%s: status %d, '%s'", wrongs[i].name, (int)report.first_failure,
                     report.missing.failed_count > 0 ? report.missing.failed[0].reason : "-");
        }
        assert_true(FOR_EVER - bench.enemy.left >= OD_EVAL_ATTEMPTS);  // curl may send again
        for (size_t k = 0; k < report.summary.count; k++) {
            assert_false(report.summary.lines[k].is_defined);
        }
        (void)snprintf(path, sizeof path, "%s/runs/s/%s/stats.json", bench.output, mmlu_name);
        assert_false(od_path_exists(path));
        od_evaluation_report_release(&report);
        bench_stop(&bench);
    }
}

// The right answer comes at the last attempt: the files are those of a server without fault.
static void test_right_at_last(void **state)
{
    (void)state;
    static const char *const files[] = {"scenario_state.json", "stats.json",
                                        "per_instance_stats.json", "replies_oneday.json"};
    struct bench fine;
    struct od_evaluation_report report = {0};
    bench_start(&fine, &wrongs[0], "/process ", 0);
    evaluate(&fine, &report);
    od_evaluation_report_release(&report);
    for (size_t i = 0; i < WRONGS; i++) {
        struct bench bench;
        bench_start(&bench, &wrongs[i], "/process ", OD_EVAL_ATTEMPTS - 1);
        evaluate(&bench, &report);
        if (report.missing.failed_count > 0) {
            fail_msg("%s: '%s'", wrongs[i].name, report.missing.failed[0].reason);
        }
        for (size_t k = 0; k < sizeof files / sizeof *files; k++) {
            char *expected = read_result(&fine, files[k]);
            char *text = read_result(&bench, files[k]);
            if (strcmp(expected, text) != 0) {
                fail_msg("%s: '%s' differs", wrongs[i].name, files[k]);
            }
            od_free(text);
            od_free(expected);
        }
        od_evaluation_report_release(&report);
        bench_stop(&bench);
    }
    bench_stop(&fine);
}

// Tokens that do not belong to the text: the text is what is scored, and nothing breaks.
static void test_lengths_of_tokens(void **state)
{
    (void)state;
    static const char *const bodies[] = {
        REPLY("\" A\"", "-0.5", "[]", "0.1"),
        REPLY("\" A\"", "-0.5",
              "[{\"text\": \"x\", \"logprob\": -1, \"top_logprob\": {}}, "
              "{\"text\": \"y\", \"logprob\": -1, \"top_logprob\": {\"y\": -1, \"z\": -2}}]",
              "0.1"),
        REPLY("\" A\"", "-0.5", GOOD_TOKENS, "0.1")};
    double values[3] = {0.0};
    for (size_t i = 0; i < 3; i++) {
        const struct wrong wrong = {"tokens", "200 OK", bodies[i], OD_OK, ""};
        struct bench bench;
        struct od_evaluation_report report = {0};
        bench_start(&bench, &wrong, "/process ", FOR_EVER);
        evaluate(&bench, &report);
        assert_int_equal(report.missing.failed_count, 0);
        assert_true(report.summary.count > 0);
        values[i] = report.summary.lines[0].value;
        od_evaluation_report_release(&report);
        bench_stop(&bench);
    }
    assert_true(values[0] == values[2] && values[1] == values[2]);
}

// Counting fails: HELM takes that for no tokens, and the answers are scored as they are. An answer
// of another shape loses the run.
static void test_tokenize(void **state)
{
    (void)state;
    static const struct wrong shapes[] = {
        {"tokens are a number", "200 OK", "{\"tokens\": 7, \"request_time\": 0.1}", OD_E_FORMAT,
         "'tokens'"},
        {"no time", "200 OK", "{\"tokens\": [1, 2]}", OD_E_FORMAT, "'request_time'"}};
    for (size_t i = 0; i < WRONGS; i++) {
        struct bench bench;
        struct od_evaluation_report report = {0};
        if (wrongs[i].kind != OD_E_IO) {
            continue;
        }
        bench_start(&bench, &wrongs[i], "/tokenize ", 1);
        evaluate(&bench, &report);
        assert_int_equal(report.missing.failed_count, 0);
        od_evaluation_report_release(&report);
        bench_stop(&bench);
    }
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct bench bench;
        struct od_evaluation_report report = {0};
        bench_start(&bench, &shapes[i], "/tokenize ", FOR_EVER);
        evaluate(&bench, &report);
        assert_int_equal(report.missing.failed_count, 1);
        assert_int_equal(report.first_failure, OD_E_FORMAT);
        assert_non_null(strstr(report.missing.failed[0].reason, shapes[i].words));
        assert_int_equal(bench.model.process_calls, 0);
        od_evaluation_report_release(&report);
        bench_stop(&bench);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_never_right),
        cmocka_unit_test(test_right_at_last),
        cmocka_unit_test(test_lengths_of_tokens),
        cmocka_unit_test(test_tokenize),
    };
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
