// Goal: a good server passes every check; each fault of the servers of 2023 is found by the check that is
// for it, and told with the field that is wrong.
// Method: the model that ships with the source behind the real server; between them a responder with one
// fault at a time. Answers that no server of ours gives come from a handler with constant bodies.

#include "serve/conformance.h"

#include <curl/curl.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/memory.h"
#include "infer/engine.h"
#include "infer/responder.h"
#include "net/http_server.h"
#include "serve/server.h"
#include "support.h"

enum fault {
    NO_FAULT,
    IGNORES_STOP,
    ALWAYS_ECHOES,
    GIVES_PROBABILITIES,
    SHIFTS_LOGPROBS,
    WRONG_SUM,
    IGNORES_SEED,
    WRONG_TOKEN_TEXT,
    DECODES_BOS,
    IGNORES_TRUNCATION,
    MIXES_UP,
    LOCKS_TOKENIZE,
    WRONG_TIME,
    NEVER_GREEDY,
    BLANK_FIRST,
    ONE_ALTERNATIVE,
    FAILS_ON_NUL,
    IGNORES_CUTS,
    IGNORES_TOP_K,
    SAME_SAMPLES,
    SCALES_LOGPROBS,
    NO_DECODE
};

struct faulty {
    struct od_responder responder;
    const struct od_responder *good;
    enum fault fault;
    atomic_int inside;
    pthread_mutex_t lock;
};

static void spoil(const struct faulty *faulty, struct od_process_result *result)
{
    const size_t count = result->token_count;
    switch (faulty->fault) {
    case GIVES_PROBABILITIES:
        result->logprob = 0.0;
        for (size_t i = 0; i < count; i++) {
            result->tokens[i].logprob = exp(result->tokens[i].logprob);
            result->logprob += result->tokens[i].logprob;
        }
        return;
    case SHIFTS_LOGPROBS:
        for (size_t i = 1; i < count; i++) {
            result->tokens[i - 1].logprob = result->tokens[i].logprob - 0.5;
        }
        return;
    case WRONG_SUM: result->logprob -= 1.0; return;
    case WRONG_TOKEN_TEXT:
        if (count > 2) {
            result->tokens[1].text = "?";
        }
        return;
    case WRONG_TIME: result->request_time_s = 1000.0; return;
    case BLANK_FIRST:
        if (count == 1) {
            result->text = " ";
            result->text_size = 1;
            result->tokens[0].text = " ";
        }
        return;
    case ONE_ALTERNATIVE:
        for (size_t i = 0; i < count; i++) {
            result->tokens[i].top_count = result->tokens[i].top_count > 0;
        }
        return;
    case SCALES_LOGPROBS:
        result->logprob /= 4.0;
        for (size_t i = 0; i < count; i++) {
            result->tokens[i].logprob /= 4.0;
            for (size_t t = 0; t < result->tokens[i].top_count; t++) {
                result->tokens[i].top[t].logprob /= 4.0;
            }
        }
        return;
    case NO_FAULT:
    case IGNORES_STOP:
    case ALWAYS_ECHOES:
    case IGNORES_SEED:
    case DECODES_BOS:
    case IGNORES_TRUNCATION:
    case MIXES_UP:
    case LOCKS_TOKENIZE:
    case NEVER_GREEDY:
    case FAILS_ON_NUL:
    case IGNORES_CUTS:
    case IGNORES_TOP_K:
    case SAME_SAMPLES:
    case NO_DECODE: return;
    }
}

// A long answer, as of a large model.
static void work_long(struct faulty *faulty)
{
    const double until = od_clock_s() + 0.4;
    (void)pthread_mutex_lock(&faulty->lock);
    while (od_clock_s() < until) {
    }
    (void)pthread_mutex_unlock(&faulty->lock);
}

static enum od_status process(void *context, const struct od_process_request *request,
                              struct od_process_result *result, struct od_error *err)
{
    struct faulty *faulty = context;
    struct od_process_request changed = *request;
    const bool alone = atomic_fetch_add(&faulty->inside, 1) == 0;
    if (faulty->fault == IGNORES_STOP) {
        changed.stop_count = 0;
    } else if (faulty->fault == ALWAYS_ECHOES) {
        changed.echo_prompt = true;
    } else if (faulty->fault == IGNORES_SEED) {
        changed.has_seed = false;
    } else if (faulty->fault == NEVER_GREEDY) {
        changed.temperature = 3.0;
    } else if (faulty->fault == IGNORES_CUTS) {
        changed.top_p = 1.0;
    } else if (faulty->fault == IGNORES_TOP_K) {
        changed.top_k = 0;
    } else if (faulty->fault == SAME_SAMPLES) {
        changed.sample = 0;
    } else if (faulty->fault == MIXES_UP && !alone) {
        changed.prompt_size -= 3;
    } else if (faulty->fault == LOCKS_TOKENIZE && request->max_new_tokens > 100) {
        work_long(faulty);
    }
    enum od_status status = faulty->good->process(faulty->good->context, &changed, result, err);
    if (faulty->fault == FAILS_ON_NUL && memchr(request->prompt, '\0', request->prompt_size)) {
        status = od_fail(err, OD_E_IO, "NUL");
    }
    // Temperature is in the numbers of what is drawn, not in those of a prompt.
    if (status == OD_OK && !(faulty->fault == SCALES_LOGPROBS && request->echo_prompt)) {
        spoil(faulty, result);
    }
    // Whoever comes alone stays a while, so that others are not.
    const double until = od_clock_s() + (faulty->fault == MIXES_UP ? 0.02 : 0.0);
    while (od_clock_s() < until) {
    }
    (void)atomic_fetch_sub(&faulty->inside, 1);
    return status;
}

static enum od_status tokenize(void *context, const char *text, size_t size, bool truncation,
                               int64_t max_length, struct od_ids *out, struct od_error *err)
{
    struct faulty *faulty = context;
    if (faulty->fault == LOCKS_TOKENIZE) {
        (void)pthread_mutex_lock(&faulty->lock);
        (void)pthread_mutex_unlock(&faulty->lock);
    }
    return faulty->good->tokenize(faulty->good->context, text, size,
                                  truncation && faulty->fault != IGNORES_TRUNCATION, max_length,
                                  out, err);
}

static enum od_status decode(void *context, const int32_t *ids, size_t count, struct od_buf *out,
                             struct od_error *err)
{
    const struct faulty *faulty = context;
    if (faulty->fault == NO_DECODE) {
        return od_fail(err, OD_E_NOT_FOUND, "Not Found");
    }
    if (faulty->fault == DECODES_BOS) {
        od_buf_puts(out, "<bos>");
    }
    return faulty->good->decode(faulty->good->context, ids, count, out, err);
}

static struct od_engine *engine;

static int setup(void **state)
{
    struct od_error err = {0};
    const struct od_engine_options options = {.threads = 2};
    (void)state;
    return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK &&
                   od_engine_open(test_source("examples/toyworld/base"), &options, &engine, &err) ==
                       OD_OK
               ? 0
               : -1;
}

static int teardown(void **state)
{
    (void)state;
    od_engine_close(engine);
    curl_global_cleanup();
    return 0;
}

static void run_with(enum fault fault, struct od_conformance *ret)
{
    struct faulty faulty = {
        .good = od_engine_responder(engine), .fault = fault, .lock = PTHREAD_MUTEX_INITIALIZER};
    struct od_server_options server_options = OD_SERVER_OPTIONS_INIT;
    const struct od_conformance_options options = OD_CONFORMANCE_OPTIONS_INIT;
    struct od_server *server = NULL;
    struct od_error err = {0};
    char url[64];
    faulty.responder = (struct od_responder){.context = &faulty,
                                             .process = process,
                                             .tokenize = tokenize,
                                             .decode = decode,
                                             .context_length = faulty.good->context_length,
                                             .model_name = "faulty"};
    server_options.port = 0;
    assert_ok(od_server_start(&faulty.responder, &server_options, &server, &err), &err);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/", od_server_port(server));
    assert_ok(od_conformance_run(url, &options, NULL, NULL, ret, &err), &err);
    od_server_stop(server);
}

static void good_server(void **state)
{
    (void)state;
    static struct od_conformance outcome;
    run_with(NO_FAULT, &outcome);
    assert_true(outcome.count >= 19);
    for (size_t i = 0; i < outcome.count; i++) {
        const struct od_check_result *result = &outcome.results[i];
        // How much sooner many are answered than one after another depends on what else runs here.
        // These find something to compare in this model.
        const bool must_pass = strcmp(result->name, "cuts") == 0 ||
                               strcmp(result->name, "samples") == 0 ||
                               strcmp(result->name, "logprobs-again") == 0;
        const bool is_timed =
            strcmp(result->name, "concurrency") == 0 && result->verdict == OD_VERDICT_WARN;
        const bool may_skip = result->verdict == OD_VERDICT_SKIP && !must_pass;
        if (result->verdict != OD_VERDICT_PASS && !may_skip && !is_timed) {
            fail_msg("%s: %s", result->name, result->message);
        }
    }
    assert_int_equal(outcome.failed, 0);
}

static void each_fault_is_found(void **state)
{
    (void)state;
    static const struct {
        enum fault fault;
        const char *check;
        enum od_verdict verdict;
        const char *message;
    } FAULTS[] = {
        {IGNORES_STOP, "stop-sequences", OD_VERDICT_FAIL, "goes on behind it"},
        {ALWAYS_ECHOES, "echo", OD_VERDICT_FAIL, "echo_prompt was not given"},
        {GIVES_PROBABILITIES, "logprobs", OD_VERDICT_FAIL, "tokens[].logprob is above 0"},
        {SHIFTS_LOGPROBS, "logprobs", OD_VERDICT_FAIL, "not aligned"},
        {WRONG_SUM, "logprobs", OD_VERDICT_FAIL, "add up to"},
        {IGNORES_SEED, "seed", OD_VERDICT_FAIL, "seed 1 gives"},
        {WRONG_TOKEN_TEXT, "tokens", OD_VERDICT_FAIL, "tokens[].text make"},
        {DECODES_BOS, "decode", OD_VERDICT_FAIL, "<bos>"},
        {IGNORES_TRUNCATION, "truncation", OD_VERDICT_FAIL, "max_length 5"},
        {MIXES_UP, "concurrency", OD_VERDICT_FAIL, "alone and"},
        {LOCKS_TOKENIZE, "tokenize-busy", OD_VERDICT_FAIL, "waits for the model"},
        {WRONG_TIME, "form", OD_VERDICT_FAIL, "request_time says 1000.000 s"},
        {NEVER_GREEDY, "greedy", OD_VERDICT_FAIL, "temperature 1e-7 differ"},
        {BLANK_FIRST, "one-token", OD_VERDICT_WARN, "blank"},
        {ONE_ALTERNATIVE, "logprobs", OD_VERDICT_WARN, "top_logprob lists one"},
        {FAILS_ON_NUL, "strange-input", OD_VERDICT_FAIL, "status 500"},
        {IGNORES_CUTS, "cuts", OD_VERDICT_FAIL, "with \"top_p\": 1e-06 only the likeliest"},
        {IGNORES_TOP_K, "cuts", OD_VERDICT_FAIL, "with \"top_k\": 1 only the likeliest"},
        {SAME_SAMPLES, "samples", OD_VERDICT_FAIL, "3 samples at temperature 1.5 are all"},
        {SCALES_LOGPROBS, "logprobs-again", OD_VERDICT_FAIL, "in an echoed prompt"},
        {NO_DECODE, "decode", OD_VERDICT_FAIL, "/decode"},
    };
    for (size_t i = 0; i < sizeof FAULTS / sizeof FAULTS[0]; i++) {
        static struct od_conformance outcome;
        bool found = false;
        run_with(FAULTS[i].fault, &outcome);
        for (size_t c = 0; c < outcome.count; c++) {
            const struct od_check_result *result = &outcome.results[c];
            if (strcmp(result->name, FAULTS[i].check) == 0) {
                found = result->verdict == FAULTS[i].verdict &&
                        strstr(result->message, FAULTS[i].message);
                if (!found) {
                    fail_msg("fault %zu: %s says %s: %s", i, result->name,
                             od_verdict_name(result->verdict), result->message);
                }
            }
        }
        assert_true(found);
    }
}

struct canned {
    int code;
    const char *body;
    const char *message;
};

static void answer_late(void *context, struct od_http_exchange *exchange)
{
    const struct timespec pause = {.tv_nsec = 5000000};
    const double until = od_clock_s() + 0.6;
    (void)context;
    while (od_clock_s() < until) {
        (void)nanosleep(&pause, NULL);
    }
    struct od_http_response response = {.code = 200, .content_type = "application/json"};
    od_buf_init(&response.body, 1 << 16);
    od_buf_puts(&response.body, "{\"text\":\"\",\"logprob\":0,\"request_time\":0,\"tokens\":[]}");
    od_http_respond(exchange, &response);
}

static void answer_canned(void *context, struct od_http_exchange *exchange)
{
    const struct canned *canned = context;
    struct od_http_response response = {.code = canned->code, .content_type = "application/json"};
    od_buf_init(&response.body, 1 << 16);
    od_buf_puts(&response.body, canned->body);
    od_http_respond(exchange, &response);
}

// What the organisers' health check let pass.
static void bad_health(void **state)
{
    (void)state;
    static const struct canned CANNED[] = {
        {422, "{\"detail\":[]}", "status 422 instead of 200"},
        {500, "oops", "status 500 instead of 200: oops"},
        {401, "who?", "status 401 instead of 200: who?; --api-key FILE sends a key"},
        {404, "", "must be what stands before /process"},
        {503, "busy", "busy; --wait TIME gives a server time to come up"},
        {200, "", "the answer is empty"},
        {200, "<html>", "the answer is no JSON"},
        {200, "[]", "the answer is no object"},
        {200, "{\"text\":\"\",\"logprob\":-Infinity,\"request_time\":0,\"tokens\":[]}",
         "NaN and Infinity are none"},
        {200, "{\"text\":\"\",\"logprob\":-1e999,\"request_time\":0,\"tokens\":[]}",
         "the answer is no JSON"},
        {200, "{\"logprob\":0,\"request_time\":0,\"tokens\":[]}", "text is missing"},
        {200, "{\"text\":7,\"logprob\":0,\"request_time\":0,\"tokens\":[]}", "text is no text"},
        {200, "{\"text\":\"\",\"request_time\":0,\"tokens\":[]}", "logprob is missing"},
        {200, "{\"text\":\"\",\"logprob\":NaN,\"request_time\":0,\"tokens\":[]}",
         "NaN and Infinity are none"},
        {200, "{\"text\":\"\",\"logprob\":0,\"request_time\":\"1\",\"tokens\":[]}",
         "request_time is no finite number"},
        {200, "{\"text\":\"\",\"logprob\":0,\"request_time\":0}", "tokens is missing"},
        {200, "{\"text\":\"\",\"logprob\":0,\"request_time\":0,\"tokens\":[{\"text\":\"a\"}]}",
         "tokens[0].logprob is missing"},
        {200,
         "{\"text\":\"\",\"logprob\":0,\"request_time\":0,\"tokens\":[{\"text\":\"a\",\"logprob\":0}]}",
         "tokens[0].top_logprob must be an object"},
        {200,
         "{\"text\":\"\",\"logprob\":0,\"request_time\":0,\"tokens\":[{\"text\":\"a\",\"logprob\":0,"
         "\"top_logprob\":{\"a\":null}}]}",
         "tokens[0].top_logprob['a'] is no finite number"},
    };
    struct od_conformance_options options = OD_CONFORMANCE_OPTIONS_INIT;
    struct od_error err = {0};
    double waited = 0.0;
    char url[64] = "";
    for (size_t i = 0; i < sizeof CANNED / sizeof CANNED[0]; i++) {
        struct canned canned = CANNED[i];
        struct od_http_options http = OD_HTTP_OPTIONS_INIT;
        struct od_http_server *server = NULL;
        http.handler = answer_canned;
        http.context = &canned;
        assert_ok(od_http_server_create(&http, &server, &err), &err);
        (void)snprintf(url, sizeof url, "http://127.0.0.1:%d", od_http_server_port(server));
        assert_int_equal(od_conformance_wait(url, &options, &waited, &err),
                         canned.code == 200 ? OD_E_REFUSED : OD_E_IO);
        if (!strstr(err.message, CANNED[i].message)) {
            fail_msg("%s: %s", CANNED[i].body, err.message);
        }
        od_http_server_stop(server, 1000);
    }
    // Nobody listens there any more.
    options.wait_s = 0.3;
    assert_int_equal(od_conformance_wait(url, &options, &waited, &err), OD_E_IO);
    assert_non_null(strstr(err.message, "no answer from"));
    assert_non_null(strstr(err.message, "so it was for 0.3 s"));
    assert_int_equal(od_conformance_wait("nonsense", &options, &waited, &err), OD_E_ARGUMENT);
}

// A good answer that comes too late is none; the limit is named.
static void late_answer(void **state)
{
    (void)state;
    struct od_http_options http = OD_HTTP_OPTIONS_INIT;
    struct od_http_server *server = NULL;
    struct od_error err = {0};
    double waited = 0.0;
    char url[64];
    http.handler = answer_late;
    assert_ok(od_http_server_create(&http, &server, &err), &err);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d", od_http_server_port(server));
    struct od_conformance_options options = OD_CONFORMANCE_OPTIONS_INIT;
    options.timeout_s = 0.125;
    assert_int_equal(od_conformance_wait(url, &options, &waited, &err), OD_E_IO);
    assert_non_null(strstr(err.message, "in 0.125 s, the limit of one request"));
    options.timeout_s = 60.0;
    assert_ok(od_conformance_wait(url, &options, &waited, &err), &err);
    od_http_server_stop(server, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_server),
        cmocka_unit_test(each_fault_is_found),
        cmocka_unit_test(bad_health),
        cmocka_unit_test(late_answer),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
