#include "serve/conformance.h"

#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "formats/json.h"
#include "net/http_client.h"
#include "serve/conformance_internal.h"

enum { STATUS_OK = 200, SHOWN_BYTES = 160, BODY_MAX_BYTES = 16 << 20 };

/** Pauses between tries for a first answer grow by half up to this. */
static const double PAUSE_FIRST_S = 0.2;
static const double PAUSE_MAX_S = 5.0;

/** What the organisers' health check sent. */
static const char HEALTH_BODY[] = "{\"prompt\": \"The capital of France is \"}";

const char *od_verdict_name(enum od_verdict verdict)
{
    static const char *const NAMES[] = {"pass", "warn", "FAIL", "skip"};
    return NAMES[verdict];
}

bool od_probe_note(struct od_probe *probe, enum od_verdict verdict, const char *format, ...)
{
    static const int WEIGHT[] = {0, 2, 3, 1};
    struct od_check_result *result = probe->result;
    va_list args;
    if (WEIGHT[verdict] > WEIGHT[result->verdict]) {
        result->verdict = verdict;
        va_start(args, format);
        (void)vsnprintf(result->message, sizeof result->message, format, args);
        va_end(args);
    }
    return false;
}

/** The beginning of an answer that is not what it should be. */
static int shown(const struct od_buf *body)
{
    return body->size < SHOWN_BYTES ? (int)body->size : SHOWN_BYTES;
}

bool od_probe_ask(struct od_probe *probe, const char *path, const char *body, int code,
                  json_t **ret)
{
    struct od_http_reply reply = {0};
    struct od_error err = {0};
    bool good = true;
    probe->code = 0;
    if (od_http_client_ask(probe->client, path, body, probe->options->timeout_s, &reply, &err) !=
        OD_OK) {
        return od_probe_note(probe, OD_VERDICT_FAIL, "%s", err.message);
    }
    probe->code = reply.code;
    if (reply.code != code) {
        good = od_probe_note(probe, OD_VERDICT_FAIL,
                             "POST %s %.120s: status %d instead of %d: %.*s", path, body,
                             reply.code, code, shown(&reply.body), od_buf_text(&reply.body));
    } else if (reply.body.size == 0) {
        good = od_probe_note(probe, OD_VERDICT_FAIL, "POST %s %.120s: the answer is empty", path,
                             body);
    } else if (od_json_parse(od_buf_text(&reply.body), reply.body.size, "answer", ret, &err) !=
               OD_OK) {
        good =
            od_probe_note(probe, OD_VERDICT_FAIL,
                          "POST %s %.120s: the answer is no JSON (NaN and Infinity are none): %s",
                          path, body, err.message);
    }
    od_http_reply_release(&reply);
    return good;
}

int od_probe_status(struct od_probe *probe, const char *path, const char *body)
{
    struct od_http_reply reply = {0};
    struct od_error err = {0};
    if (od_http_client_ask(probe->client, path, body, probe->options->timeout_s, &reply, &err) !=
        OD_OK) {
        (void)od_probe_note(probe, OD_VERDICT_FAIL, "%s", err.message);
        return 0;
    }
    const int code = reply.code;
    od_http_reply_release(&reply);
    return code;
}

/** A member that must be a finite number; `where` is "tokens[3]." or "". */
static bool check_number(struct od_probe *probe, const json_t *object, const char *where,
                         const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (!value) {
        return od_probe_note(probe, OD_VERDICT_FAIL, "/process: %s%s is missing", where, key);
    }
    if (!json_is_number(value) || !isfinite(json_number_value(value))) {
        return od_probe_note(probe, OD_VERDICT_FAIL, "/process: %s%s is no finite number", where,
                             key);
    }
    return true;
}

static bool check_text(struct od_probe *probe, const json_t *object, const char *where,
                       const char *key)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_string(value)) {
        return od_probe_note(probe, OD_VERDICT_FAIL, "/process: %s%s is %s", where, key,
                             value ? "no text" : "missing");
    }
    return true;
}

static bool check_token(struct od_probe *probe, const json_t *token, size_t index)
{
    char where[64];
    const char *key = NULL;
    const json_t *value = NULL;
    const json_t *top = json_object_get(token, "top_logprob");
    (void)snprintf(where, sizeof where, "tokens[%zu].", index);
    if (!check_text(probe, token, where, "text") || !check_number(probe, token, where, "logprob")) {
        return false;
    }
    if (!json_is_object(top)) {
        return od_probe_note(probe, OD_VERDICT_FAIL,
                             "/process: %stop_logprob must be an object of texts and numbers",
                             where);
    }
    json_object_foreach((json_t *)(uintptr_t)top, key, value)
    {
        if (!json_is_number(value) || !isfinite(json_number_value(value))) {
            return od_probe_note(probe, OD_VERDICT_FAIL,
                                 "/process: %stop_logprob['%.40s'] is no finite number", where,
                                 key);
        }
    }
    return true;
}

bool od_probe_form(struct od_probe *probe, const json_t *answer)
{
    const json_t *tokens = json_object_get(answer, "tokens");
    size_t i = 0;
    const json_t *token = NULL;
    if (!json_is_object(answer)) {
        return od_probe_note(probe, OD_VERDICT_FAIL, "/process: the answer is no object");
    }
    if (!check_text(probe, answer, "", "text") || !check_number(probe, answer, "", "logprob") ||
        !check_number(probe, answer, "", "request_time")) {
        return false;
    }
    if (!json_is_array(tokens)) {
        return od_probe_note(probe, OD_VERDICT_FAIL, "/process: tokens is %s",
                             tokens ? "no list" : "missing");
    }
    json_array_foreach(tokens, i, token)
    {
        if (!check_token(probe, token, i)) {
            return false;
        }
    }
    return true;
}

bool od_probe_process(struct od_probe *probe, const char *body, json_t **ret)
{
    json_t *answer = NULL;
    if (!od_probe_ask(probe, "/process", body, STATUS_OK, &answer)) {
        return false;
    }
    if (!od_probe_form(probe, answer)) {
        json_decref(answer);
        return false;
    }
    *ret = answer;
    return true;
}

void od_probe_body(struct od_buf *out, const char *prompt, int64_t max_new, const char *extra)
{
    struct od_json_writer w;
    od_buf_init(out, BODY_MAX_BYTES);
    od_json_writer_init(&w, out, OD_JSON_LINE, /* ascii= */ true);
    od_json_object_begin(&w);
    od_json_member_text(&w, "prompt", prompt);
    od_json_member_number(&w, "temperature", 1e-7);
    od_json_member_int(&w, "num_return_sequences", 1);
    od_json_member_int(&w, "max_new_tokens", max_new);
    od_json_member_int(&w, "top_p", 1);
    od_json_object_end(&w);
    if (!out->failed) {
        out->size--;  // the brace
        od_buf_printf(out, "%s}", extra);
    }
}

bool od_probe_text(struct od_probe *probe, const char *prompt, int64_t max_new, const char *extra,
                   struct od_buf *out)
{
    struct od_buf body;
    json_t *answer = NULL;
    od_probe_body(&body, prompt, max_new, extra);
    const bool good = od_probe_process(probe, od_buf_text(&body), &answer);
    if (good) {
        const json_t *text = json_object_get(answer, "text");
        od_buf_append(out, json_string_value(text), json_string_length(text));
        json_decref(answer);
    }
    od_buf_release(&body);
    return good;
}

json_t *od_probe_ids(struct od_probe *probe, const char *text, bool truncation, int64_t max_length)
{
    struct od_buf body;
    struct od_json_writer w;
    json_t *answer = NULL;
    json_t *ids = NULL;
    size_t i = 0;
    const json_t *id = NULL;
    od_buf_init(&body, BODY_MAX_BYTES);
    od_json_writer_init(&w, &body, OD_JSON_LINE, /* ascii= */ true);
    od_json_object_begin(&w);
    od_json_member_text(&w, "text", text);
    od_json_member_bool(&w, "truncation", truncation);
    od_json_member_int(&w, "max_length", max_length);
    od_json_object_end(&w);
    if (od_probe_ask(probe, "/tokenize", od_buf_text(&body), STATUS_OK, &answer)) {
        ids = json_incref(json_object_get(answer, "tokens"));
        if (!json_is_number(json_object_get(answer, "request_time"))) {
            (void)od_probe_note(probe, OD_VERDICT_FAIL, "/tokenize: request_time is missing");
        }
        if (!json_is_array(ids)) {
            (void)od_probe_note(probe, OD_VERDICT_FAIL, "/tokenize: tokens must be a list of ids");
            json_decref(ids);
            ids = NULL;
        }
        json_array_foreach(ids, i, id)
        {
            if (!json_is_integer(id)) {
                (void)od_probe_note(probe, OD_VERDICT_FAIL, "/tokenize: tokens[%zu] is no integer",
                                    i);
            }
        }
    }
    json_decref(answer);
    od_buf_release(&body);
    return ids;
}

json_t *od_probe_decode(struct od_probe *probe, const json_t *ids)
{
    struct od_buf body;
    struct od_json_writer w;
    json_t *answer = NULL;
    json_t *text = NULL;
    od_buf_init(&body, BODY_MAX_BYTES);
    od_json_writer_init(&w, &body, OD_JSON_LINE, /* ascii= */ true);
    od_json_object_begin(&w);
    od_json_key(&w, "tokens");
    od_json_put_value(&w, ids);
    od_json_object_end(&w);
    if (od_probe_ask(probe, "/decode", od_buf_text(&body), STATUS_OK, &answer)) {
        text = json_incref(json_object_get(answer, "text"));
        if (!json_is_string(text)) {
            (void)od_probe_note(probe, OD_VERDICT_FAIL, "/decode: text is missing");
            json_decref(text);
            text = NULL;
        }
    }
    json_decref(answer);
    od_buf_release(&body);
    return text;
}

static void pause_s(double seconds)
{
    const struct timespec time = {.tv_sec = (time_t)seconds,
                                  .tv_nsec = (long)((seconds - floor(seconds)) * 1e9)};
    (void)nanosleep(&time, NULL);
}

static enum od_status open_client(const char *url, const struct od_conformance_options *options,
                                  struct od_http_client **ret, struct od_error *err)
{
    return od_http_client_open(url, options->key, options->ca_bundle, ret, err);
}

/** The server gave no good answer: why, and what its owner or the caller can do about it. */
static enum od_status give_up(const struct od_probe *probe, struct od_error *err)
{
    const char *why = probe->result->message;
    if (probe->code == STATUS_OK) {
        return od_fail(err, OD_E_REFUSED, "FAIL  form: %s", why);
    }
    if (probe->code == 401 || probe->code == 403) {
        return od_fail(err, OD_E_IO, "%s; --api-key FILE sends a key", why);
    }
    if (probe->code == 404 || probe->code == 405) {
        return od_fail(err, OD_E_IO,
                       "%s; the URL must be what stands before /process, and /process take POST",
                       why);
    }
    if (probe->options->wait_s > 0.0) {
        return od_fail(err, OD_E_IO, "%s; so it was for %g s", why, probe->options->wait_s);
    }
    return od_fail(err, OD_E_IO, "%s; --wait TIME gives a server time to come up", why);
}

enum od_status od_conformance_wait(const char *url, const struct od_conformance_options *options,
                                   double *ret_seconds, struct od_error *err)
{
    struct od_check_result result = {.name = "health"};
    struct od_probe probe = {.url = url, .options = options, .result = &result};
    const double start = od_clock_s();
    double pause = PAUSE_FIRST_S;
    bool good = false;
    enum od_status status = open_client(url, options, &probe.client, err);
    while (status == OD_OK && !good) {
        json_t *answer = NULL;
        result.verdict = OD_VERDICT_PASS;
        good = od_probe_process(&probe, HEALTH_BODY, &answer);
        json_decref(answer);
        const double left = options->wait_s - (od_clock_s() - start);
        if (!good && left <= 0.0) {
            status = give_up(&probe, err);
        } else if (!good) {
            pause_s(pause < left ? pause : left);
            pause = pause * 1.5 < PAUSE_MAX_S ? pause * 1.5 : PAUSE_MAX_S;
        }
    }
    od_http_client_close(probe.client);
    if (status == OD_OK) {
        *ret_seconds = od_clock_s() - start;
    }
    return status;
}

enum od_status od_conformance_run(const char *url, const struct od_conformance_options *options,
                                  od_check_fn on_check, void *context, struct od_conformance *ret,
                                  struct od_error *err)
{
    struct od_conformance outcome = {.count = 0};
    struct od_probe probe = {.url = url, .options = options};
    enum od_status status = od_conformance_wait(url, options, &outcome.wait_s, err);
    if (status == OD_OK) {
        status = open_client(url, options, &probe.client, err);
    }
    for (size_t i = 0; i < od_check_count && status == OD_OK; i++) {
        struct od_check_result *result = &outcome.results[outcome.count++];
        *result = (struct od_check_result){.name = od_checks[i].name, .what = od_checks[i].what};
        probe.result = result;
        const double start = od_clock_s();
        od_checks[i].run(&probe);
        result->seconds = od_clock_s() - start;
        outcome.failed += result->verdict == OD_VERDICT_FAIL;
        outcome.warned += result->verdict == OD_VERDICT_WARN;
        if (on_check) {
            on_check(context, result);
        }
    }
    od_http_client_close(probe.client);
    if (status == OD_OK) {
        *ret = outcome;
    }
    return status;
}
