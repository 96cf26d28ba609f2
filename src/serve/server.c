#include "serve/server.h"

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "formats/json.h"
#include "infer/responder.h"
#include "net/http_parse.h"
#include "net/http_server.h"
#include "net/thread.h"
#include "serve/endpoints.h"
#include "serve/fields.h"
#include "text/tokenizer.h"

enum { READERS = 2, IDS_MAX = 1 << 26, RETRY_AFTER_S = 1 };
#define ANSWER_MAX_BYTES ((size_t)1 << 30)

enum path { PATH_ROOT, PATH_HEALTH, PATH_OPENAPI, PATH_PROCESS, PATH_TOKENIZE, PATH_DECODE };

struct route {
    const char *path;
    enum path what;
    bool is_post;
};

static const struct route ROUTES[] = {
    {"/process", PATH_PROCESS, true},       {"/tokenize", PATH_TOKENIZE, true},
    {"/decode", PATH_DECODE, true},         {"/health", PATH_HEALTH, false},
    {"/openapi.json", PATH_OPENAPI, false}, {"/", PATH_ROOT, false},
};

/** A POST request on its way. */
struct job {
    struct job *next;
    struct od_http_exchange *exchange;
    enum path what;
    uint64_t start_ns;
    struct od_body body;
    struct od_process_request request;  ///< of /process; borrows from `body`
};

/** Jobs that wait for a thread, oldest first. */
struct queue {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct job *first;
    struct job *last;
    bool closed;
};

struct od_server {
    const struct od_responder *responder;
    struct od_server_options options;
    struct od_http_server *http;
    struct queue to_read;                ///< bodies, and all of /tokenize and /decode
    struct queue to_process;             ///< for the model
    atomic_int_least64_t process_count;  ///< /process requests inside, read or not
    pthread_t *threads;                  ///< readers, then workers
    int64_t thread_count;
};

static void queue_init(struct queue *queue)
{
    *queue = (struct queue){.first = NULL};
    (void)pthread_mutex_init(&queue->lock, NULL);
    (void)pthread_cond_init(&queue->changed, NULL);
}

static void queue_release(struct queue *queue)
{
    (void)pthread_cond_destroy(&queue->changed);
    (void)pthread_mutex_destroy(&queue->lock);
}

static void queue_push(struct queue *queue, struct job *job)
{
    job->next = NULL;
    (void)pthread_mutex_lock(&queue->lock);
    *(queue->first ? &queue->last->next : &queue->first) = job;
    queue->last = job;
    (void)pthread_cond_signal(&queue->changed);
    (void)pthread_mutex_unlock(&queue->lock);
}

/** Wait for a job; NULL once the queue is closed and empty. */
static struct job *queue_take(struct queue *queue)
{
    (void)pthread_mutex_lock(&queue->lock);
    while (!queue->first && !queue->closed) {
        (void)pthread_cond_wait(&queue->changed, &queue->lock);
    }
    struct job *job = queue->first;
    if (job) {
        queue->first = job->next;
    }
    (void)pthread_mutex_unlock(&queue->lock);
    return job;
}

static void queue_close(struct queue *queue)
{
    (void)pthread_mutex_lock(&queue->lock);
    queue->closed = true;
    (void)pthread_cond_broadcast(&queue->changed);
    (void)pthread_mutex_unlock(&queue->lock);
}

static struct od_http_response json_response(int code)
{
    struct od_http_response response = {.code = code, .content_type = "application/json"};
    od_buf_init(&response.body, ANSWER_MAX_BYTES);
    return response;
}

/** Answer {"detail":"why"}. */
static void respond_message(struct od_http_exchange *exchange, int code, const char *why)
{
    struct od_http_response response = json_response(code);
    response.retry_after_s = code == 503 ? RETRY_AFTER_S : 0;
    od_message_write(&response.body, why);
    od_http_respond(exchange, &response);
}

static double seconds_since(uint64_t start_ns)
{
    return (double)(od_clock_ns() - start_ns) / 1e9;
}

/** Answer a job and release it. */
static void job_respond(struct od_server *server, struct job *job,
                        struct od_http_response *response)
{
    struct od_http_exchange *exchange = job->exchange;
    if (job->what == PATH_PROCESS) {
        (void)atomic_fetch_sub(&server->process_count, 1);
    }
    od_body_release(&job->body);
    od_free(job);
    od_http_respond(exchange, response);
}

/** Which answer a failure of the responder gets: the client's fault, a passing one, or ours. */
static void fail_response(struct od_http_response *response, const struct od_error *err)
{
    od_buf_release(&response->body);
    switch (err->status) {
    case OD_E_ARGUMENT:
    case OD_E_LIMIT:
    case OD_E_FORMAT:
    case OD_E_UNSUPPORTED:
        response->code = 422;
        od_detail_write(&response->body, NULL, err->message, "value_error");
        return;
    case OD_E_MEMORY:
    case OD_E_CANCELLED:
        response->code = 503;
        response->retry_after_s = RETRY_AFTER_S;
        break;
    case OD_OK:
    case OD_E_NOT_FOUND:
    case OD_E_IO:
    case OD_E_REFUSED: response->code = 500; break;
    }
    od_message_write(&response->body, err->message);
}

static enum od_status answer_tokenize(struct od_server *server, struct job *job,
                                      struct od_http_response *response, struct od_error *err)
{
    const struct od_responder *responder = server->responder;
    const struct od_http_request *http = od_http_exchange_request(job->exchange);
    struct od_tokenize_request request = {0};
    struct od_ids ids;

    od_ids_init(&ids, IDS_MAX);
    enum od_status status =
        od_tokenize_read(&job->body, http->body, http->body_size, &request, &response->body, err);
    if (status == OD_OK) {
        od_buf_reset(&response->body);
        status = responder->tokenize(responder->context, request.text, request.text_size,
                                     request.truncation, request.max_length, &ids, err);
    } else if (status == OD_E_FORMAT) {
        response->code = 422;  // the body says why
        status = OD_OK;
        goto done;
    }
    if (status == OD_OK) {
        status = od_ids_check(&ids, err);
    }
    if (status == OD_OK) {
        od_tokenize_write(&response->body, &ids, seconds_since(job->start_ns));
    }
done:
    od_ids_release(&ids);
    return status;
}

static enum od_status answer_decode(struct od_server *server, struct job *job,
                                    struct od_http_response *response, struct od_error *err)
{
    const struct od_responder *responder = server->responder;
    const struct od_http_request *http = od_http_exchange_request(job->exchange);
    struct od_decode_request request = {0};
    struct od_buf text;

    od_buf_init(&text, ANSWER_MAX_BYTES);
    enum od_status status =
        od_decode_read(&job->body, http->body, http->body_size, &request, &response->body, err);
    if (status == OD_OK) {
        od_buf_reset(&response->body);
        status = responder->decode(responder->context, request.ids, request.count, &text, err);
    } else if (status == OD_E_FORMAT) {
        response->code = 422;
        status = OD_OK;
        goto done;
    }
    if (status == OD_OK) {
        status = od_buf_check(&text, err);
    }
    if (status == OD_OK) {
        od_decode_write(&response->body, od_buf_text(&text), text.size,
                        seconds_since(job->start_ns));
    }
done:
    od_buf_release(&text);
    return status;
}

/** Read the body of /process; true when it is good and waits for the model now. */
static bool pass_on(struct od_server *server, struct job *job, struct od_http_response *response,
                    struct od_error *err)
{
    const struct od_http_request *http = od_http_exchange_request(job->exchange);
    const enum od_status status = od_process_read(&job->body, http->body, http->body_size,
                                                  &job->request, &response->body, err);
    if (status == OD_OK) {
        od_buf_release(&response->body);
        job->request.cancel = od_http_exchange_cancel_flag(job->exchange);
        queue_push(&server->to_process, job);
        return true;
    }
    if (status == OD_E_FORMAT) {
        response->code = 422;
    } else {
        fail_response(response, err);
    }
    return false;
}

static void *read_jobs(void *context)
{
    struct od_server *server = context;
    struct job *job = NULL;
    while ((job = queue_take(&server->to_read))) {
        struct od_http_response response = json_response(200);
        struct od_error err = {0};
        if (job->what == PATH_PROCESS) {
            if (pass_on(server, job, &response, &err)) {
                continue;
            }
        } else {
            const enum od_status status = job->what == PATH_TOKENIZE
                                              ? answer_tokenize(server, job, &response, &err)
                                              : answer_decode(server, job, &response, &err);
            if (status != OD_OK) {
                fail_response(&response, &err);
            }
        }
        job_respond(server, job, &response);
    }
    return NULL;
}

static void *process_jobs(void *context)
{
    struct od_server *server = context;
    const struct od_responder *responder = server->responder;
    struct job *job = NULL;
    while ((job = queue_take(&server->to_process))) {
        struct od_http_response response = json_response(200);
        struct od_error err = {0};
        struct od_process_result result;
        enum od_status status = OD_OK;
        od_process_result_init(&result);
        if (od_http_exchange_cancelled(job->exchange)) {
            status = od_fail(&err, OD_E_CANCELLED, "the client has gone");
        } else {
            status = responder->process(responder->context, &job->request, &result, &err);
        }
        if (status == OD_OK) {
            status = od_process_write(&response.body, &result, &err);
        }
        if (status != OD_OK) {
            fail_response(&response, &err);
        }
        od_process_result_release(&result);
        job_respond(server, job, &response);
    }
    return NULL;
}

/** May one more /process request come in? Counts it if so. */
static bool admit(struct od_server *server)
{
    const int64_t most = server->options.workers + server->options.queue_max;
    if (atomic_fetch_add(&server->process_count, 1) < most) {
        return true;
    }
    (void)atomic_fetch_sub(&server->process_count, 1);
    return false;
}

static void accept_post(struct od_server *server, struct od_http_exchange *exchange, enum path what)
{
    if (what == PATH_PROCESS && !admit(server)) {
        respond_message(exchange, 503, "too many requests wait for the model, try again later");
        return;
    }
    struct job *job = od_alloc(1, sizeof *job);
    if (!job) {
        if (what == PATH_PROCESS) {
            (void)atomic_fetch_sub(&server->process_count, 1);
        }
        respond_message(exchange, 503, "no memory for a request");
        return;
    }
    job->exchange = exchange;
    job->what = what;
    job->start_ns = od_clock_ns();
    od_body_init(&job->body);
    queue_push(&server->to_read, job);
}

static void answer_get(struct od_server *server, struct od_http_exchange *exchange, enum path what)
{
    struct od_http_response response = json_response(200);
    if (what == PATH_HEALTH) {
        struct od_json_writer w;
        od_json_writer_init(&w, &response.body, OD_JSON_COMPACT, /* ascii= */ false);
        od_json_object_begin(&w);
        od_json_member_text(&w, "status", "ok");
        od_json_member_text(&w, "model", server->responder->model_name);
        if (server->responder->context_length > 0) {
            od_json_member_int(&w, "context_length", server->responder->context_length);
        }
        od_json_object_end(&w);
    } else if (what == PATH_OPENAPI) {
        od_openapi_write(&response.body);
    } else {
        response.content_type = "text/plain; charset=utf-8";
        od_buf_printf(&response.body,
                      "oneday serves %s\n\n"
                      "POST /process       {\"prompt\": \"...\"} -> text, tokens, logprob\n"
                      "POST /tokenize      {\"text\": \"...\"} -> tokens\n"
                      "POST /decode        {\"tokens\": [...]} -> text\n"
                      "GET  /health        is it up\n"
                      "GET  /openapi.json  all fields\n",
                      server->responder->model_name);
    }
    od_http_respond(exchange, &response);
}

/** Every complete request, on the loop's thread. */
static void handle(void *context, struct od_http_exchange *exchange)
{
    struct od_server *server = context;
    const struct od_http_request *request = od_http_exchange_request(exchange);
    const struct route *route = NULL;
    for (size_t i = 0; i < sizeof ROUTES / sizeof ROUTES[0]; i++) {
        if (strcmp(ROUTES[i].path, request->path) == 0) {
            route = &ROUTES[i];
        }
    }
    if (!route) {
        respond_message(exchange, 404, "Not Found");
        return;
    }
    const bool is_get = strcmp(request->method, "GET") == 0 || strcmp(request->method, "HEAD") == 0;
    if (route->is_post && strcmp(request->method, "POST") == 0) {
        accept_post(server, exchange, route->what);
    } else if (!route->is_post && is_get) {
        answer_get(server, exchange, route->what);
    } else {
        struct od_http_response response = json_response(405);
        response.allow = route->is_post ? "POST" : "GET, HEAD";
        od_message_write(&response.body, "Method Not Allowed");
        od_http_respond(exchange, &response);
    }
}

/** End the threads: the queues are empty, since every exchange was answered, or never filled. */
static void server_free(struct od_server *server)
{
    queue_close(&server->to_read);
    queue_close(&server->to_process);
    for (int64_t i = 0; i < server->thread_count; i++) {
        (void)pthread_join(server->threads[i], NULL);
    }
    queue_release(&server->to_read);
    queue_release(&server->to_process);
    od_free(server->threads);
    od_free(server);
}

static enum od_status start_threads(struct od_server *server, struct od_error *err)
{
    const int64_t count = READERS + server->options.workers;
    server->threads = od_alloc((size_t)count, sizeof *server->threads);
    if (!server->threads) {
        return od_fail(err, OD_E_MEMORY, "no memory for a server");
    }
    for (; server->thread_count < count; server->thread_count++) {
        const enum od_status status =
            od_thread_start(&server->threads[server->thread_count],
                            server->thread_count < READERS ? read_jobs : process_jobs, server, err);
        if (status != OD_OK) {
            return status;
        }
    }
    return OD_OK;
}

enum od_status od_server_start(const struct od_responder *responder,
                               const struct od_server_options *options, struct od_server **ret,
                               struct od_error *err)
{
    struct od_http_options http = OD_HTTP_OPTIONS_INIT;
    if (options->workers < 1 || options->workers > OD_SERVER_WORKERS_MAX) {
        return od_fail(err, OD_E_ARGUMENT, "%lld workers are not between 1 and %d",
                       (long long)options->workers, OD_SERVER_WORKERS_MAX);
    }
    if (options->queue_max < 0 || options->queue_max > OD_SERVER_QUEUE_MAX) {
        return od_fail(err, OD_E_ARGUMENT, "a queue of %lld is not between 0 and %d",
                       (long long)options->queue_max, OD_SERVER_QUEUE_MAX);
    }
    struct od_server *server = od_alloc(1, sizeof *server);
    if (!server) {
        return od_fail(err, OD_E_MEMORY, "no memory for a server");
    }
    server->responder = responder;
    server->options = *options;
    server->options.host = NULL;
    queue_init(&server->to_read);
    queue_init(&server->to_process);
    json_object_seed(0);  // once, before threads that would all do it
    enum od_status status = start_threads(server, err);
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
