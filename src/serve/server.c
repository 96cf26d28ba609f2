#include "serve/server.h"

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/hash.h"
#include "base/memory.h"
#include "base/status.h"
#include "formats/json.h"
#include "infer/responder.h"
#include "net/http_parse.h"
#include "net/http_server.h"
#include "serve/chat_page.h"
#include "serve/endpoints.h"
#include "serve/metrics.h"
#include "serve/openai.h"
#include "serve/openapi.h"
#include "serve/server_internal.h"

enum { NAME_MAX_BYTES = 8 << 10 };

struct route {
    const char *path;
    bool is_post;
    bool is_open;  ///< needs no key
};

/** By path number. */
static const struct route ROUTES[OD_PATH_COUNT] = {
    [OD_PATH_PROCESS] = {"/process", true, false},
    [OD_PATH_TOKENIZE] = {"/tokenize", true, false},
    [OD_PATH_DECODE] = {"/decode", true, false},
    [OD_PATH_COMPLETIONS] = {"/v1/completions", true, false},
    [OD_PATH_CHAT] = {"/v1/chat/completions", true, false},
    [OD_PATH_SCORE] = {"/score", true, false},
    [OD_PATH_MODELS] = {"/v1/models", false, false},
    [OD_PATH_HEALTH] = {"/health", false, true},
    [OD_PATH_METRICS] = {"/metrics", false, false},
    [OD_PATH_OPENAPI] = {"/openapi.json", false, true},
    [OD_PATH_ROOT] = {"/", false, true},
    [OD_PATH_SCRIPT] = {"/chat.js", false, true},
    [OD_PATH_OTHER] = {"other", false, false},
};

#define OPENAI_PREFIX "/v1/"
#define MODELS_PREFIX "/v1/models/"

static void write_health(struct od_server *server, struct od_buf *out)
{
    struct od_json_writer w;
    od_json_writer_init(&w, out, OD_JSON_COMPACT, /* ascii= */ false);
    od_json_object_begin(&w);
    od_json_member_text(&w, "status", "ok");
    od_json_member_text(&w, "model", server->responder->model_name);
    if (server->responder->context_length > 0) {
        od_json_member_int(&w, "context_length", server->responder->context_length);
    }
    od_json_object_end(&w);
}

static void write_metrics(struct od_server *server, struct od_buf *out)
{
    const char *paths[OD_PATH_COUNT];
    for (int i = 0; i < (int)OD_PATH_COUNT; i++) {
        paths[i] = ROUTES[i].path;
    }
    od_metrics_write(&server->metrics, paths, (int)OD_PATH_COUNT,
                     atomic_load(&server->process_count), out);
    if (server->responder->write_metrics) {
        server->responder->write_metrics(server->responder->context, out);
    }
}

/** /v1/models, or one of them by its name. */
static void answer_models(struct od_server *server, struct od_http_exchange *exchange)
{
    const struct od_responder *responder = server->responder;
    const char *path = od_http_exchange_request(exchange)->path;
    struct od_http_response response = od_json_response(200);
    struct od_buf wanted;
    od_buf_init(&wanted, NAME_MAX_BYTES);
    if (strcmp(path, ROUTES[OD_PATH_MODELS].path) == 0) {
        od_openai_write_models(&response.body, responder, server->start_s);
    } else if (!od_http_unescape(path + strlen(MODELS_PREFIX), &wanted) ||
               !od_openai_write_model(&response.body, responder, od_buf_text(&wanted),
                                      server->start_s)) {
        response.code = 404;
        od_openai_write_error(&response.body, "this model is not here: /v1/models lists them",
                              "invalid_request_error", "model", "model_not_found",
                              /* as_event= */ false);
    }
    od_buf_release(&wanted);
    od_server_respond(server, exchange, OD_PATH_MODELS, 0.0, &response);
}

/** There is no such path, or it is not for this method but for those in `allow`. */
static void refuse_path(struct od_server *server, struct od_http_exchange *exchange,
                        enum od_path path, const char *allow)
{
    const bool is_openai = strncmp(od_http_exchange_request(exchange)->path, OPENAI_PREFIX,
                                   strlen(OPENAI_PREFIX)) == 0;
    const char *why = allow ? "Method Not Allowed" : "Not Found";
    struct od_http_response response = od_json_response(allow ? 405 : 404);
    response.allow = allow;
    if (is_openai) {
        od_openai_write_error(&response.body, why, "invalid_request_error", NULL, NULL,
                              /* as_event= */ false);
    } else {
        od_message_write(&response.body, why);
    }
    od_server_respond(server, exchange, path, 0.0, &response);
}

static void answer_get(struct od_server *server, struct od_http_exchange *exchange,
                       enum od_path path)
{
    struct od_http_response response = od_json_response(200);
    if (path == OD_PATH_MODELS) {
        answer_models(server, exchange);
        return;
    }
    if (path == OD_PATH_HEALTH) {
        write_health(server, &response.body);
    } else if (path == OD_PATH_METRICS) {
        response.content_type = "text/plain; version=0.0.4; charset=utf-8";
        write_metrics(server, &response.body);
    } else if (path == OD_PATH_OPENAPI) {
        od_openapi_write(&response.body);
    } else if (path == OD_PATH_SCRIPT) {
        response.content_type = "text/javascript; charset=utf-8";
        od_chat_script_write(&response.body);
    } else {
        response.content_type = "text/html; charset=utf-8";
        od_chat_page_write(&response.body, server->responder->model_name);
    }
    od_server_respond(server, exchange, path, 0.0, &response);
}

static enum od_path find_path(const char *path)
{
    for (int i = 0; i < (int)OD_PATH_OTHER; i++) {
        if (strcmp(ROUTES[i].path, path) == 0) {
            return (enum od_path)i;
        }
    }
    return strncmp(path, MODELS_PREFIX, strlen(MODELS_PREFIX)) == 0 ? OD_PATH_MODELS
                                                                    : OD_PATH_OTHER;
}

/** Does the request carry a key? Compares digests, all of them to the end. */
static bool has_key(const struct od_server *server, const struct od_http_request *request)
{
    static const char SCHEME[] = "Bearer ";
    const char *value = od_http_request_find(request, "authorization");
    char digest[OD_SHA256_HEX_BYTES];
    unsigned found = 0;
    if (!value || strncasecmp(value, SCHEME, sizeof SCHEME - 1) != 0) {
        return false;
    }
    value += sizeof SCHEME - 1;
    od_sha256_hex(value, strlen(value), digest);
    for (size_t i = 0; i < server->options.key_count; i++) {
        unsigned difference = 0;
        for (size_t c = 0; c < sizeof digest; c++) {
            difference |= (unsigned)(unsigned char)(digest[c] ^ server->keys[i][c]);
        }
        found |= difference == 0;
    }
    return found != 0;
}

/** Every complete request, on the loop's thread. */
static void handle(void *context, struct od_http_exchange *exchange)
{
    struct od_server *server = context;
    const struct od_http_request *request = od_http_exchange_request(exchange);
    const enum od_path path = find_path(request->path);
    const struct route *route = &ROUTES[path];
    const bool is_get = strcmp(request->method, "GET") == 0 || strcmp(request->method, "HEAD") == 0;
    if (server->options.key_count > 0 && !route->is_open && !has_key(server, request)) {
        od_server_refuse(server, exchange, path, 401,
                         "this needs a key: Authorization: Bearer KEY");
    } else if (path == OD_PATH_OTHER) {
        refuse_path(server, exchange, path, NULL);
    } else if (route->is_post && strcmp(request->method, "POST") == 0) {
        od_job_accept(server, exchange, path);
    } else if (!route->is_post && is_get) {
        answer_get(server, exchange, path);
    } else {
        refuse_path(server, exchange, path, route->is_post ? "POST" : "GET, HEAD");
    }
}

/** End the threads: the queues are empty, since every exchange was answered, or never filled. */
static void server_free(struct od_server *server)
{
    od_jobs_stop(server);
    od_queue_release(&server->to_read);
    od_queue_release(&server->to_process);
    od_free(server->stop_text);
    od_free(server->keys);
    od_free(server);
}

static enum od_status check_options(const struct od_server_options *options, struct od_error *err)
{
    if (options->workers < 1 || options->workers > OD_SERVER_WORKERS_MAX) {
        return od_fail(err, OD_E_ARGUMENT, "%lld workers are not between 1 and %d",
                       (long long)options->workers, OD_SERVER_WORKERS_MAX);
    }
    if (options->queue_max < 0 || options->queue_max > OD_SERVER_QUEUE_MAX) {
        return od_fail(err, OD_E_ARGUMENT, "a queue of %lld is not between 0 and %d",
                       (long long)options->queue_max, OD_SERVER_QUEUE_MAX);
    }
    if (options->key_count > OD_SERVER_KEYS_MAX) {
        return od_fail(err, OD_E_LIMIT, "%zu keys are more than %d", options->key_count,
                       OD_SERVER_KEYS_MAX);
    }
    if (options->stop && strlen(options->stop) > OD_STOP_MAX_BYTES) {
        return od_fail(err, OD_E_ARGUMENT, "a stop sequence is longer than %d bytes",
                       OD_STOP_MAX_BYTES);
    }
    for (size_t i = 0; i < options->key_count; i++) {
        const size_t size = strlen(options->keys[i]);
        if (size == 0 || size > OD_SERVER_KEY_MAX_BYTES) {
            return od_fail(err, OD_E_ARGUMENT, "a key must have 1 to %d bytes",
                           OD_SERVER_KEY_MAX_BYTES);
        }
    }
    return OD_OK;
}

/** Copies of what the options only lend. */
static enum od_status keep_texts(struct od_server *server, struct od_error *err)
{
    const struct od_server_options *options = &server->options;
    if (options->stop && options->stop[0] != '\0') {
        server->stop_text = od_memdup(options->stop, strlen(options->stop));
        server->stop = server->stop_text;
        if (!server->stop) {
            return od_fail(err, OD_E_MEMORY, "no memory for a server");
        }
    }
    server->keys = od_alloc(options->key_count, sizeof *server->keys);
    if (!server->keys) {
        return od_fail(err, OD_E_MEMORY, "no memory for a server");
    }
    for (size_t i = 0; i < options->key_count; i++) {
        od_sha256_hex(options->keys[i], strlen(options->keys[i]), server->keys[i]);
    }
    return OD_OK;
}

enum od_status od_server_start(const struct od_responder *responder,
                               const struct od_server_options *options, struct od_server **ret,
                               struct od_error *err)
{
    struct od_http_options http = OD_HTTP_OPTIONS_INIT;
    enum od_status status = check_options(options, err);
    if (status != OD_OK) {
        return status;
    }
    struct od_server *server = od_alloc(1, sizeof *server);
    if (!server) {
        return od_fail(err, OD_E_MEMORY, "no memory for a server");
    }
    server->responder = responder;
    server->options = *options;
    server->options.host = NULL;
    server->start_s = (int64_t)time(NULL);
    od_queue_init(&server->to_read);
    od_queue_init(&server->to_process);
    json_object_seed(0);  // once, before threads that would all do it
    status = keep_texts(server, err);
    server->options.keys = NULL;
    server->options.stop = NULL;
    if (status == OD_OK) {
        status = od_jobs_start(server, err);
    }
    if (status == OD_OK) {
        http.host = options->host;
        http.port = options->port;
        http.handler = handle;
        http.context = server;
        http.limits.body_max_bytes = options->body_max_bytes;
        http.connections_max = options->connections_max;
        status = od_http_server_create(&http, &server->http, err);
    }
    if (status != OD_OK) {
        server_free(server);
        return status;
    }
    *ret = server;
    return OD_OK;
}

int od_server_port(const struct od_server *server)
{
    return od_http_server_port(server->http);
}

void od_server_stop(struct od_server *server)
{
    if (server) {
        od_http_server_stop(server->http, server->options.stop_ms_max);
        server_free(server);
    }
}
