// The three requests, each a POST with Content-Type: application/json:
//
//   /process   {"prompt": P, "temperature": 1e-07, "num_return_sequences": 1, "max_new_tokens": 1,
//               "top_p": 1, "echo_prompt": false, "top_k_per_token": 5, "stop_sequences": []}
//          ->  {"text": T, "logprob": x, "tokens": [{"text", "logprob", "top_logprob": {T: x}}],
//               "request_time": s}
//   /tokenize  {"text": T, "truncation": false, "max_length": 2048}
//          ->  {"tokens": [id, ...], "request_time": s}
//   /decode    {"tokens": [id, ...]}
//          ->  {"text": T, "request_time": s}
//
// Source: HELM 2023-11, HTTP model client.
#include "eval/http_responder.h"

#include <curl/curl.h>  // IWYU pragma: keep
#include <curl/easy.h>
#include <curl/system.h>
#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/memory.h"
#include "base/status.h"
#include "formats/json.h"
#include "infer/responder.h"
#include "text/tokenizer.h"

enum {
    SHOWN_BYTES = 200,
    BODY_MAX_BYTES = OD_PROMPT_MAX_BYTES * 7,
    STATUS_OK = 200,
    HEALTH_TIMEOUT_S = 10
};

struct od_http_responder {
    struct od_responder interface;
    struct od_http_options options;
    char url[OD_HTTP_URL_MAX_BYTES];
    char *ca_bundle;
    bool is_loopback;
    struct curl_slist *headers;
    pthread_mutex_t lock;  // for the idle connections
    CURL *idle[OD_HTTP_CONNECTIONS_MAX];
    size_t idle_count;
};

static CURL *take_connection(struct od_http_responder *http)
{
    CURL *curl = NULL;
    (void)pthread_mutex_lock(&http->lock);
    if (http->idle_count > 0) {
        curl = http->idle[--http->idle_count];
    }
    (void)pthread_mutex_unlock(&http->lock);
    return curl ? curl : curl_easy_init();
}

static void give_connection(struct od_http_responder *http, CURL *curl)
{
    (void)pthread_mutex_lock(&http->lock);
    const bool kept = http->idle_count < OD_HTTP_CONNECTIONS_MAX;
    if (kept) {
        http->idle[http->idle_count++] = curl;
    }
    (void)pthread_mutex_unlock(&http->lock);
    if (!kept) {
        curl_easy_cleanup(curl);
    }
}

static size_t on_reply(char *bytes, size_t size, size_t count, void *context)
{
    struct od_buf *reply = context;
    od_buf_append(reply, bytes, size * count);
    return reply->failed ? 0 : size * count;  // 0 makes curl give up
}

// POST `body`, or GET when it is NULL.
static CURLcode perform(const struct od_http_responder *http, CURL *curl, const char *url,
                        const struct od_buf *body, double timeout_s, struct od_buf *reply,
                        long *ret_code)
{
    CURLcode code = CURLE_OK;
    curl_easy_reset(curl);  // keeps the connection
    (void)curl_easy_setopt(curl, CURLOPT_URL, url);
    (void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_TCP_NODELAY, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, http->headers);
    (void)curl_easy_setopt(curl, CURLOPT_USERAGENT, "oneday");
    (void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)(timeout_s * 1000.0));
    (void)curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)(timeout_s * 1000.0));
    if (body) {
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, od_buf_text(body));
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->size);
    }
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_reply);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, reply);
    if (http->is_loopback) {
        (void)curl_easy_setopt(curl, CURLOPT_PROXY, "");
    }
    if (http->ca_bundle) {
        (void)curl_easy_setopt(curl, CURLOPT_CAINFO, http->ca_bundle);
    }
    code = curl_easy_perform(curl);
    if (code == CURLE_OK) {
        (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, ret_code);
    }
    return code;
}

static enum od_status parse_reply(const char *url, const struct od_buf *reply, json_t **ret,
                                  struct od_error *err)
{
    json_t *value = NULL;
    struct od_error inner = {0};
    const enum od_status status =
        od_json_parse_lenient(od_buf_text(reply), reply->size, "reply", &value, &inner);
    if (status == OD_E_MEMORY) {
        return od_fail(err, OD_E_MEMORY, "no memory for the answer of '%s'", url);
    }
    if (status != OD_OK) {
        return od_fail(err, OD_E_IO, "'%s' sent no JSON: %s", url, inner.message);
    }
    if (!json_is_object(value)) {
        json_decref(value);
        return od_fail(err, OD_E_FORMAT, "'%s' sent no JSON object", url);
    }
    *ret = value;
    return OD_OK;
}

// An answer that is none, with what helps against it.
static enum od_status refuse_code(const char *url, long code, const struct od_buf *reply,
                                  struct od_error *err)
{
    const char *text = od_buf_text(reply);
    if (code == 401 || code == 403) {
        return od_fail(err, OD_E_IO,
                       "'%s' answered %ld: %.*s; a server must answer the evaluation without a key",
                       url, code, SHOWN_BYTES, text);
    }
    if (code == 404 || code == 405) {
        return od_fail(
            err, OD_E_IO,
            "'%s' answered %ld: %.*s; give the address in front of /process; 'oneday check "
            "--server' tries it",
            url, code, SHOWN_BYTES, text);
    }
    return od_fail(err, OD_E_IO, "'%s' answered %ld: %.*s", url, code, SHOWN_BYTES, text);
}

// Send `body` (NULL: a GET) to `path` and parse the reply. @memory Gives *ret: json_decref.
static enum od_status ask(struct od_http_responder *http, const char *path,
                          const struct od_buf *body, double timeout_s, json_t **ret,
                          struct od_error *err)
{
    char url[OD_HTTP_URL_MAX_BYTES + 16];
    struct od_buf reply;
    long code = 0;
    CURL *curl = NULL;
    enum od_status status = body ? od_buf_check(body, err) : OD_OK;

    if (status != OD_OK) {
        return status;
    }
    (void)snprintf(url, sizeof url, "%s%s", http->url, path);
    od_buf_init(&reply, http->options.reply_max_bytes);
    curl = take_connection(http);
    if (!curl) {
        return od_fail(err, OD_E_MEMORY, "no memory for a connection to '%s'", url);
    }
    const CURLcode result = perform(http, curl, url, body, timeout_s, &reply, &code);
    if (reply.failed) {
        status = od_fail(err, OD_E_IO, "'%s' sent more than %zu bytes", url,
                         http->options.reply_max_bytes);
    } else if (result != CURLE_OK) {
        status = od_fail(err, OD_E_IO, "cannot ask '%s': %s", url, curl_easy_strerror(result));
    } else if (code < STATUS_OK || code >= STATUS_OK + 100) {
        status = refuse_code(url, code, &reply, err);
    } else {
        status = parse_reply(url, &reply, ret, err);
    }
    give_connection(http, curl);
    od_buf_release(&reply);
    return status;
}

static enum od_status lacks(const struct od_http_responder *http, const char *path,
                            const char *field, const char *kind, struct od_error *err)
{
    return od_fail(err, OD_E_FORMAT, "'%s%s': the reply has no '%s' that is %s", http->url, path,
                   field, kind);
}

static const char *copy_text(struct od_arena *arena, const json_t *text)
{
    return od_arena_memdup(arena, json_string_value(text), json_string_length(text));
}

static enum od_status read_token(const struct od_http_responder *http, const json_t *item,
                                 struct od_arena *arena, struct od_token_result *out,
                                 struct od_error *err)
{
    const json_t *text = json_object_get(item, "text");
    const json_t *logprob = json_object_get(item, "logprob");
    json_t *top = json_object_get(item, "top_logprob");
    const char *key = NULL;
    json_t *value = NULL;

    if (!json_is_string(text) || !json_is_number(logprob) || !json_is_object(top)) {
        return lacks(http, "/process", "tokens", "a list of {text, logprob, top_logprob}", err);
    }
    *out = (struct od_token_result){
        .text = copy_text(arena, text),
        .logprob = json_number_value(logprob),
        .top = od_arena_alloc(arena, json_object_size(top), sizeof *out->top),
        .id = -1};
    if (!out->text || !out->top) {
        return od_fail(err, OD_E_MEMORY, "no memory for an answer");
    }
    json_object_foreach(top, key, value)
    {
        struct od_top_logprob *slot = &out->top[out->top_count++];
        slot->text = od_arena_strdup(arena, key);
        slot->logprob = json_number_value(value);
        if (!slot->text || !json_is_number(value)) {
            return lacks(http, "/process", "top_logprob", "an object of numbers", err);
        }
    }
    return OD_OK;
}

static enum od_status read_result(const struct od_http_responder *http, const json_t *reply,
                                  struct od_process_result *result, struct od_error *err)
{
    const json_t *text = json_object_get(reply, "text");
    const json_t *logprob = json_object_get(reply, "logprob");
    const json_t *tokens = json_object_get(reply, "tokens");
    const json_t *time = json_object_get(reply, "request_time");

    if (!json_is_string(text)) {
        return lacks(http, "/process", "text", "a string", err);
    }
    if (!json_is_number(logprob) || !json_is_number(time)) {
        return lacks(http, "/process", json_is_number(time) ? "logprob" : "request_time",
                     "a number", err);
    }
    if (!json_is_array(tokens)) {
        return lacks(http, "/process", "tokens", "a list", err);
    }
    const size_t count = json_array_size(tokens);
    result->text = copy_text(&result->arena, text);
    result->text_size = json_string_length(text);
    result->tokens = od_arena_alloc(&result->arena, count, sizeof *result->tokens);
    if (!result->text || !result->tokens) {
        return od_fail(err, OD_E_MEMORY, "no memory for an answer");
    }
    for (size_t i = 0; i < count; i++) {
        const enum od_status status =
            read_token(http, json_array_get(tokens, i), &result->arena, &result->tokens[i], err);
        if (status != OD_OK) {
            return status;
        }
    }
    result->token_count = count;
    result->logprob = json_number_value(logprob);
    result->request_time_s = json_number_value(time);
    return OD_OK;
}

static bool is_one(double value)
{
    return fpclassify(value - 1.0) == FP_ZERO;
}

static void write_process(const struct od_process_request *request, struct od_buf *out)
{
    struct od_json_writer w;
    od_json_writer_init(&w, out, OD_JSON_LINE, true);
    od_json_object_begin(&w);
    od_json_key(&w, "prompt");
    od_json_put_text_n(&w, request->prompt, request->prompt_size);
    od_json_member_number(&w, "temperature",
                          fpclassify(request->temperature) == FP_ZERO ? 1e-7
                                                                      : request->temperature);
    od_json_member_int(&w, "num_return_sequences", 1);
    od_json_member_int(&w, "max_new_tokens", request->max_new_tokens);
    if (is_one(request->top_p)) {
        od_json_member_int(&w, "top_p", 1);
    } else {
        od_json_member_number(&w, "top_p", request->top_p);
    }
    od_json_member_bool(&w, "echo_prompt", request->echo_prompt);
    od_json_member_int(&w, "top_k_per_token", request->top_logprobs);
    od_json_key(&w, "stop_sequences");
    od_json_array_begin(&w);
    for (size_t i = 0; i < request->stop_count; i++) {
        od_json_put_text(&w, request->stop[i]);
    }
    od_json_array_end(&w);
    if (request->has_seed) {
        od_json_member_int(&w, "seed", (int64_t)(request->seed & INT64_MAX));
    }
    od_json_object_end(&w);
}

static enum od_status http_process(void *context, const struct od_process_request *request,
                                   struct od_process_result *result, struct od_error *err)
{
    struct od_http_responder *http = context;
    struct od_buf body;
    json_t *reply = NULL;
    od_buf_init(&body, BODY_MAX_BYTES);
    write_process(request, &body);
    enum od_status status = ask(http, "/process", &body, http->options.timeout_s, &reply, err);
    if (status == OD_OK) {
        status = read_result(http, reply, result, err);
    }
    json_decref(reply);
    od_buf_release(&body);
    return status;
}

static enum od_status http_tokenize(void *context, const char *text, size_t size, bool truncation,
                                    int64_t max_length, struct od_ids *out, struct od_error *err)
{
    struct od_http_responder *http = context;
    struct od_json_writer w;
    struct od_buf body;
    json_t *reply = NULL;

    od_buf_init(&body, BODY_MAX_BYTES);
    od_json_writer_init(&w, &body, OD_JSON_LINE, true);
    od_json_object_begin(&w);
    od_json_key(&w, "text");
    od_json_put_text_n(&w, text, size);
    od_json_member_bool(&w, "truncation", truncation);
    od_json_member_int(&w, "max_length", max_length);
    od_json_object_end(&w);
    enum od_status status = ask(http, "/tokenize", &body, http->options.timeout_s, &reply, err);
    const json_t *tokens = json_object_get(reply, "tokens");
    if (status == OD_OK && !json_is_array(tokens)) {
        status = lacks(http, "/tokenize", "tokens", "a list", err);
    }
    if (status == OD_OK && !json_is_number(json_object_get(reply, "request_time"))) {
        status = lacks(http, "/tokenize", "request_time", "a number", err);
    }
    for (size_t i = 0; status == OD_OK && i < json_array_size(tokens); i++) {
        const json_t *id = json_array_get(tokens, i);
        const json_int_t value = json_is_integer(id) ? json_integer_value(id) : -1;
        // A token that is no id is counted, and cannot be decoded.
        od_ids_push(out, value >= 0 && value <= INT32_MAX ? (int32_t)value : -1);
    }
    json_decref(reply);
    od_buf_release(&body);
    return status;
}

static enum od_status http_decode(void *context, const int32_t *ids, size_t count,
                                  struct od_buf *out, struct od_error *err)
{
    struct od_http_responder *http = context;
    struct od_json_writer w;
    struct od_buf body;
    json_t *reply = NULL;

    od_buf_init(&body, BODY_MAX_BYTES);
    od_json_writer_init(&w, &body, OD_JSON_LINE, true);
    od_json_object_begin(&w);
    od_json_key(&w, "tokens");
    od_json_array_begin(&w);
    for (size_t i = 0; i < count; i++) {
        od_json_put_int(&w, ids[i]);
    }
    od_json_array_end(&w);
    od_json_object_end(&w);
    enum od_status status = ask(http, "/decode", &body, http->options.timeout_s, &reply, err);
    const json_t *text = json_object_get(reply, "text");
    if (status == OD_OK && !json_is_string(text)) {
        status = od_fail(err, OD_E_IO, "'%s/decode': the reply has no 'text'", http->url);
    }
    if (status == OD_OK) {
        od_buf_append(out, json_string_value(text), json_string_length(text));
    }
    json_decref(reply);
    od_buf_release(&body);
    return status;
}

int64_t od_http_responder_learn_context(struct od_http_responder *http)
{
    json_t *reply = NULL;
    int64_t context = 0;
    if (ask(http, "/health", NULL, HEALTH_TIMEOUT_S, &reply, NULL) == OD_OK) {
        const json_t *length = json_object_get(reply, "context_length");
        context = json_is_integer(length) ? json_integer_value(length) : 0;
    }
    json_decref(reply);
    http->interface.context_length = context > 0 ? context : 0;
    return http->interface.context_length;
}

static bool starts_with(const char *text, const char *start)
{
    return strncasecmp(text, start, strlen(start)) == 0;
}

enum od_status od_http_responder_open(const char *url, const struct od_http_options *options,
                                      struct od_http_responder **ret, struct od_error *err)
{
    struct od_http_responder *http = NULL;
    size_t size = strlen(url);
    while (size > 0 && url[size - 1] == '/') {
        size--;
    }
    if (!starts_with(url, "http://") && !starts_with(url, "https://")) {
        return od_fail(err, OD_E_ARGUMENT, "'%s' does not start with http:// or https://", url);
    }
    if (size >= OD_HTTP_URL_MAX_BYTES) {
        return od_fail(err, OD_E_LIMIT, "a URL of more than %d bytes", OD_HTTP_URL_MAX_BYTES - 1);
    }
    http = od_alloc(1, sizeof *http);
    if (!http) {
        return od_fail(err, OD_E_MEMORY, "no memory for a client");
    }
    memcpy(http->url, url, size);
    const char *host = strstr(http->url, "://") + 3;
    http->is_loopback =
        starts_with(host, "127.") || starts_with(host, "localhost") || starts_with(host, "[::1]");
    http->options = *options;
    http->options.ca_bundle = NULL;  // the caller's memory
    http->ca_bundle = options->ca_bundle ? od_strdup(options->ca_bundle) : NULL;
    (void)pthread_mutex_init(&http->lock, NULL);
    http->headers = curl_slist_append(NULL, "Content-Type: application/json");
    struct curl_slist *more = curl_slist_append(http->headers, "Expect:");
    if (!http->headers || !more || (options->ca_bundle && !http->ca_bundle)) {
        od_http_responder_close(http);
        return od_fail(err, OD_E_MEMORY, "no memory for a client");
    }
    http->interface = (struct od_responder){.context = http,
                                            .process = http_process,
                                            .tokenize = http_tokenize,
                                            .decode = http_decode,
                                            .model_name = http->url};
    *ret = http;
    return OD_OK;
}

void od_http_responder_close(struct od_http_responder *http)
{
    if (!http) {
        return;
    }
    for (size_t i = 0; i < http->idle_count; i++) {
        curl_easy_cleanup(http->idle[i]);
    }
    curl_slist_free_all(http->headers);
    (void)pthread_mutex_destroy(&http->lock);
    od_free(http->ca_bundle);
    od_free(http);
}

const struct od_responder *od_http_responder_interface(const struct od_http_responder *http)
{
    return &http->interface;
}
