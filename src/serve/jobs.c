// Requests on their way: readers take bodies apart and answer what needs no model; every answer that is
// asked of the model is a part, which a worker takes to the responder; the last part that is done writes
// the answer of the whole. Parts of a stream write their events as they come.

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "infer/responder.h"
#include "net/http_parse.h"
#include "net/http_server.h"
#include "net/thread.h"
#include "serve/endpoints.h"
#include "serve/fields.h"
#include "serve/metrics.h"
#include "serve/openai.h"
#include "serve/score.h"
#include "serve/server_internal.h"
#include "text/tokenizer.h"

enum { READERS = 2, IDS_MAX = 1 << 26, RETRY_AFTER_S = 1 };
#define ANSWER_MAX_BYTES ((size_t)1 << 30)

struct job;

/** One answer of the model. */
struct part {
    struct od_queued queued;
    struct job *job;
    size_t index;
    struct od_process_request request;
    struct od_process_result result;
    enum od_status status;
    struct od_error error;
    int64_t offset;  ///< characters of a stream so far
    bool begun;      ///< of a stream
};

/** A POST request. */
struct job {
    struct od_queued queued;
    struct od_server *server;
    struct od_http_exchange *exchange;
    enum od_path path;
    uint64_t start_ns;
    int64_t admitted;  ///< answers of the model that it was let in with
    struct od_body body;
    struct part *parts;
    size_t part_count;
    const struct od_process_result **results;
    atomic_size_t parts_left;
    struct od_openai_request openai;
    struct od_openai_call call;
    struct od_score_request score;
    pthread_mutex_t lock;
    bool is_streaming;  ///< under the lock: the head is out
};

void od_queue_init(struct od_queue *queue)
{
    *queue = (struct od_queue){.first = NULL};
    (void)pthread_mutex_init(&queue->lock, NULL);
    (void)pthread_cond_init(&queue->changed, NULL);
}

void od_queue_release(struct od_queue *queue)
{
    (void)pthread_cond_destroy(&queue->changed);
    (void)pthread_mutex_destroy(&queue->lock);
}

static void queue_push(struct od_queue *queue, struct od_queued *item)
{
    item->next = NULL;
    (void)pthread_mutex_lock(&queue->lock);
    *(queue->first ? &queue->last->next : &queue->first) = item;
    queue->last = item;
    (void)pthread_cond_signal(&queue->changed);
    (void)pthread_mutex_unlock(&queue->lock);
}

/** Wait for an item; NULL once the queue is closed and empty. */
static struct od_queued *queue_take(struct od_queue *queue)
{
    (void)pthread_mutex_lock(&queue->lock);
    while (!queue->first && !queue->closed) {
        (void)pthread_cond_wait(&queue->changed, &queue->lock);
    }
    struct od_queued *item = queue->first;
    if (item) {
        queue->first = item->next;
    }
    (void)pthread_mutex_unlock(&queue->lock);
    return item;
}

void od_queue_close(struct od_queue *queue)
{
    (void)pthread_mutex_lock(&queue->lock);
    queue->closed = true;
    (void)pthread_cond_broadcast(&queue->changed);
    (void)pthread_mutex_unlock(&queue->lock);
}

static double seconds_since(uint64_t start_ns)
{
    return (double)(od_clock_ns() - start_ns) / 1e9;
}

struct od_http_response od_json_response(int code)
{
    struct od_http_response response = {.code = code, .content_type = "application/json"};
    od_buf_init(&response.body, ANSWER_MAX_BYTES);
    return response;
}

bool od_path_is_of_model(enum od_path path)
{
    return path == OD_PATH_PROCESS || path == OD_PATH_SCORE || path == OD_PATH_COMPLETIONS ||
           path == OD_PATH_CHAT;
}

bool od_path_is_openai(enum od_path path)
{
    return path == OD_PATH_COMPLETIONS || path == OD_PATH_CHAT || path == OD_PATH_MODELS;
}

void od_server_respond(struct od_server *server, struct od_http_exchange *exchange,
                       enum od_path path, double seconds, struct od_http_response *response)
{
    od_metrics_count(&server->metrics, (int)path, response->code, seconds);
    od_http_respond(exchange, response);
}

/** The kind of error that a status is in OpenAI's API. */
static const char *openai_type(int code)
{
    return code == 401   ? "authentication_error"
           : code == 429 ? "rate_limit_error"
           : code < 500  ? "invalid_request_error"
                         : "server_error";
}

static void write_refusal(struct od_http_response *response, enum od_path path, const char *why)
{
    const int code = response->code;
    od_buf_reset(&response->body);
    response->retry_after_s = code == 503 || code == 429 ? RETRY_AFTER_S : 0;
    response->authenticate = code == 401 ? "Bearer" : NULL;
    if (od_path_is_openai(path)) {
        od_openai_write_error(&response->body, why, openai_type(code), NULL,
                              code == 401 ? "invalid_api_key" : NULL, /* as_event= */ false);
    } else {
        od_message_write(&response->body, why);
    }
}

void od_server_refuse(struct od_server *server, struct od_http_exchange *exchange,
                      enum od_path path, int code, const char *why)
{
    struct od_http_response response = od_json_response(code);
    write_refusal(&response, path, why);
    od_server_respond(server, exchange, path, 0.0, &response);
}

/** Release a job; its exchange is answered by the caller. */
static void job_free(struct job *job)
{
    (void)atomic_fetch_sub(&job->server->process_count, job->admitted);
    for (size_t i = 0; i < job->part_count; i++) {
        od_process_result_release(&job->parts[i].result);
    }
    od_free(job->results);
    od_free(job->parts);
    od_body_release(&job->body);
    (void)pthread_mutex_destroy(&job->lock);
    od_free(job);
}

/** Answer a job and release it. */
static void job_respond(struct job *job, struct od_http_response *response)
{
    struct od_server *server = job->server;
    struct od_http_exchange *exchange = job->exchange;
    const enum od_path path = job->path;
    const double seconds = seconds_since(job->start_ns);
    job_free(job);
    od_server_respond(server, exchange, path, seconds, response);
}

/** Which answer a failure gets: the client's fault, a passing one, or ours. */
static void fail_response(struct od_http_response *response, enum od_path path,
                          const struct od_error *err)
{
    od_buf_reset(&response->body);
    switch (err->status) {
    case OD_E_ARGUMENT:
    case OD_E_LIMIT:
    case OD_E_FORMAT:
    case OD_E_UNSUPPORTED:
        response->code = od_path_is_openai(path) ? 400 : 422;
        if (od_path_is_openai(path)) {
            write_refusal(response, path, err->message);
        } else {
            od_detail_write(&response->body, NULL, err->message, "value_error");
        }
        return;
    case OD_E_NOT_FOUND:
        response->code = 404;
        if (od_path_is_openai(path)) {
            od_openai_write_error(&response->body, err->message, openai_type(404), "model",
                                  "model_not_found", /* as_event= */ false);
            return;
        }
        break;
    case OD_E_MEMORY:
    case OD_E_CANCELLED: response->code = 503; break;
    case OD_OK:
    case OD_E_IO:
    case OD_E_REFUSED: response->code = 500; break;
    }
    write_refusal(response, path, err->message);
}

static enum od_status answer_tokenize(struct job *job, struct od_http_response *response,
                                      struct od_error *err)
{
    const struct od_responder *responder = job->server->responder;
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

static enum od_status answer_decode(struct job *job, struct od_http_response *response,
                                    struct od_error *err)
{
    const struct od_responder *responder = job->server->responder;
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

/** Room for the parts of a job, whose requests are in `requests` [count]. */
static enum od_status make_parts(struct job *job, const struct od_process_request *requests,
                                 size_t count, struct od_error *err)
{
    job->parts = od_alloc(count, sizeof *job->parts);
    job->results = od_alloc(count, sizeof *job->results);
    if (!job->parts || !job->results) {
        return od_fail(err, OD_E_MEMORY, "no memory for a request");
    }
    for (size_t i = 0; i < count; i++) {
        job->parts[i] = (struct part){.job = job, .index = i, .request = requests[i]};
        job->parts[i].request.cancel = od_http_exchange_cancel_flag(job->exchange);
        od_process_result_init(&job->parts[i].result);
        job->results[i] = &job->parts[i].result;
    }
    job->part_count = count;
    atomic_store(&job->parts_left, count);
    return OD_OK;
}

/** The model or adapter of that name for all parts. Unsaid is the model itself. */
static enum od_status choose_model(struct job *job, const char *name,
                                   struct od_process_request *parts, size_t count,
                                   struct od_error *err)
{
    const struct od_responder *responder = job->server->responder;
    const char *adapter = NULL;
    for (size_t i = 0; i < responder->adapter_count; i++) {
        if (strcmp(name, responder->adapters[i]) == 0) {
            adapter = responder->adapters[i];
        }
    }
    if (name[0] != '\0' && !adapter && strcmp(name, responder->model_name) != 0) {
        return od_fail(err, OD_E_NOT_FOUND, "the model '%.200s' is not here: /v1/models lists them",
                       name);
    }
    for (size_t i = 0; i < count; i++) {
        parts[i].adapter = adapter;
    }
    job->call.model = adapter ? adapter : responder->model_name;
    return OD_OK;
}

static enum od_status read_openai(struct job *job, struct od_buf *detail, struct od_error *err)
{
    const struct od_http_request *http = od_http_exchange_request(job->exchange);
    const uint64_t number = atomic_fetch_add(&job->server->call_count, 1);
    enum od_status status = job->path == OD_PATH_CHAT
                                ? od_chat_read(&job->body, job->server->responder, http->body,
                                               http->body_size, &job->openai, detail, err)
                                : od_completions_read(&job->body, http->body, http->body_size,
                                                      &job->openai, detail, err);
    if (status == OD_OK) {
        status =
            choose_model(job, job->openai.model, job->openai.parts, job->openai.part_count, err);
    }
    if (status != OD_OK) {
        return status;
    }
    job->call.request = &job->openai;
    job->call.created_s = (int64_t)time(NULL);
    (void)snprintf(job->call.id, sizeof job->call.id, "%s-%llx%06llx",
                   job->openai.is_chat ? "chatcmpl" : "cmpl",
                   (unsigned long long)job->server->start_s, (unsigned long long)number);
    return make_parts(job, job->openai.parts, job->openai.part_count, err);
}

static enum od_status read_score(struct job *job, struct od_buf *detail, struct od_error *err)
{
    const struct od_http_request *http = od_http_exchange_request(job->exchange);
    enum od_status status = od_score_read(&job->body, job->server->responder, http->body,
                                          http->body_size, &job->score, detail, err);
    if (status == OD_OK) {
        status = choose_model(job, job->score.model, job->score.parts, job->score.part_count, err);
    }
    return status == OD_OK ? make_parts(job, job->score.parts, job->score.part_count, err) : status;
}

static enum od_status read_process(struct job *job, struct od_buf *detail, struct od_error *err)
{
    const struct od_http_request *http = od_http_exchange_request(job->exchange);
    struct od_process_request requests[OD_PROCESS_SAMPLES_MAX];
    size_t count = 0;
    enum od_status status =
        od_process_read(&job->body, http->body, http->body_size, &requests[0], &count, detail, err);
    if (status != OD_OK) {
        return status;
    }
    if (requests[0].stop_count == 0 && job->server->stop) {
        requests[0].stop = &job->server->stop;
        requests[0].stop_count = 1;
    }
    for (size_t i = 1; i < count; i++) {
        requests[i] = requests[0];
        requests[i].sample = (uint32_t)i;
    }
    status =
        choose_model(job, requests[0].adapter ? requests[0].adapter : "", requests, count, err);
    return status == OD_OK ? make_parts(job, requests, count, err) : status;
}

/** May `count` more answers be asked of the model? */
static bool admit(struct od_server *server, int64_t count)
{
    const int64_t most = server->options.workers + server->options.queue_max;
    if (atomic_fetch_add(&server->process_count, count) + count <= most) {
        return true;
    }
    (void)atomic_fetch_sub(&server->process_count, count);
    return false;
}

/** Read a body for the model; true when it is good and its parts wait for a worker. */
static bool pass_on(struct job *job, struct od_http_response *response, struct od_error *err)
{
    const enum od_status status =
        job->path == OD_PATH_PROCESS ? read_process(job, &response->body, err)
        : job->path == OD_PATH_SCORE ? read_score(job, &response->body, err)
                                     : read_openai(job, &response->body, err);
    if (status == OD_E_FORMAT && response->body.size > 0) {  // it says why
        response->code = od_path_is_openai(job->path) ? 400 : 422;
        if (od_path_is_openai(job->path)) {
            struct od_buf detail = response->body;
            od_buf_init(&response->body, ANSWER_MAX_BYTES);
            od_openai_write_detail(&response->body, &detail);
            od_buf_release(&detail);
        }
        return false;
    }
    if (status != OD_OK) {
        fail_response(response, job->path, err);
        return false;
    }
    const int64_t more = (int64_t)job->part_count - job->admitted;
    if (!admit(job->server, more)) {
        response->code = 429;
        write_refusal(response, job->path, "too many requests wait for the model, try again later");
        return false;
    }
    job->admitted += more;
    od_buf_release(&response->body);
    struct od_server *server = job->server;  // the job may be over before the last push returns
    struct part *parts = job->parts;
    const size_t count = job->part_count;
    for (size_t i = 0; i < count; i++) {
        queue_push(&server->to_process, &parts[i].queued);
    }
    return true;
}

static void *read_jobs(void *context)
{
    struct od_server *server = context;
    struct od_queued *queued = NULL;
    while ((queued = queue_take(&server->to_read))) {
        struct job *job = (struct job *)queued;
        struct od_http_response response = od_json_response(200);
        struct od_error err = {0};
        if (od_path_is_of_model(job->path)) {
            if (pass_on(job, &response, &err)) {
                continue;
            }
        } else {
            const enum od_status status = job->path == OD_PATH_TOKENIZE
                                              ? answer_tokenize(job, &response, &err)
                                              : answer_decode(job, &response, &err);
            if (status != OD_OK) {
                fail_response(&response, job->path, &err);
            }
        }
        job_respond(job, &response);
    }
    return NULL;
}

/** Send text of a stream, whose head goes out before the first. Takes what is in `text`. */
static void send_event(struct job *job, struct od_buf *text)
{
    (void)pthread_mutex_lock(&job->lock);
    if (!job->is_streaming) {
        od_http_stream_begin(job->exchange, 200, "text/event-stream; charset=utf-8");
        job->is_streaming = true;
    }
    if (!text->failed) {
        od_http_stream_write(job->exchange, od_buf_text(text), text->size);
    }
    (void)pthread_mutex_unlock(&job->lock);
    od_buf_release(text);
}

/** A part of a stream begins: once. */
static void begin_part(struct part *part, struct od_buf *text)
{
    od_buf_init(text, ANSWER_MAX_BYTES);
    if (!part->begun) {
        part->begun = true;
        od_openai_write_begin(text, &part->job->call, part->index);
    }
}

static void on_piece(void *context, const struct od_piece *piece)
{
    struct part *part = context;
    struct od_buf text;
    if (part->status != OD_OK) {
        return;
    }
    begin_part(part, &text);
    part->status = od_openai_write_piece(&text, &part->job->call, part->index, piece, &part->offset,
                                         &part->error);
    if (part->status == OD_OK) {
        send_event(part->job, &text);
    }
    od_buf_release(&text);
}

/** A part of a stream is over. */
static void end_part(struct part *part)
{
    struct od_buf text;
    begin_part(part, &text);
    od_openai_write_end(&text, &part->job->call, part->index, part->result.finish);
    send_event(part->job, &text);
}

/** The answer of a job whose parts are done and good. */
static enum od_status write_answer(struct job *job, struct od_buf *out, struct od_error *err)
{
    if (job->path == OD_PATH_PROCESS) {
        return od_process_write(out, job->results, job->part_count, err);
    }
    if (job->path == OD_PATH_SCORE) {
        return od_score_write(out, &job->score, job->results, seconds_since(job->start_ns), err);
    }
    return od_openai_write(out, &job->call, job->results, err);
}

/** The first part that failed, or NULL. */
static struct part *failed_part(struct job *job)
{
    for (size_t i = 0; i < job->part_count; i++) {
        if (job->parts[i].status != OD_OK) {
            return &job->parts[i];
        }
    }
    return NULL;
}

static void finish_stream(struct job *job)
{
    struct od_server *server = job->server;
    struct od_http_exchange *exchange = job->exchange;
    const struct part *failed = failed_part(job);
    struct od_buf text;
    od_buf_init(&text, ANSWER_MAX_BYTES);
    if (failed) {
        od_openai_write_error(&text, failed->error.message, openai_type(500), NULL, NULL,
                              /* as_event= */ true);
    }
    od_openai_write_done(&text, &job->call, job->results);
    send_event(job, &text);
    od_metrics_count(&server->metrics, (int)job->path, failed ? 500 : 200,
                     seconds_since(job->start_ns));
    job_free(job);
    od_http_stream_end(exchange);
}

/** The last part of a job is done. */
static void finish_job(struct job *job)
{
    struct od_error err = {0};
    for (size_t i = 0; i < job->part_count; i++) {
        const struct od_process_result *result = job->results[i];
        (void)atomic_fetch_add(&job->server->metrics.prompt_tokens,
                               (uint_least64_t)result->prompt_tokens);
        (void)atomic_fetch_add(&job->server->metrics.answer_tokens,
                               (uint_least64_t)result->answer_tokens);
    }
    (void)pthread_mutex_lock(&job->lock);
    const bool is_streaming = job->is_streaming;
    (void)pthread_mutex_unlock(&job->lock);
    if (is_streaming) {
        finish_stream(job);
        return;
    }
    struct od_http_response response = od_json_response(200);
    const struct part *failed = failed_part(job);
    if (failed) {
        err = failed->error;
        fail_response(&response, job->path, &err);
    } else if (write_answer(job, &response.body, &err) != OD_OK) {
        fail_response(&response, job->path, &err);
    }
    job_respond(job, &response);
}

static void *process_parts(void *context)
{
    struct od_server *server = context;
    const struct od_responder *responder = server->responder;
    struct od_queued *queued = NULL;
    while ((queued = queue_take(&server->to_process))) {
        struct part *part = (struct part *)queued;
        struct job *job = part->job;
        if (job->openai.stream) {
            part->request.on_piece = on_piece;
            part->request.piece_context = part;
        }
        struct od_error err = {0};
        enum od_status status = OD_OK;
        if (od_http_exchange_cancelled(job->exchange)) {
            status = od_fail(&err, OD_E_CANCELLED, "the client has gone");
        } else {
            status = responder->process(responder->context, &part->request, &part->result, &err);
        }
        if (status != OD_OK && part->status == OD_OK) {
            part->status = status;
            part->error = err;
        }
        if (job->openai.stream && part->status == OD_OK) {
            end_part(part);
        }
        if (atomic_fetch_sub(&job->parts_left, 1) == 1) {
            finish_job(job);
        }
    }
    return NULL;
}

void od_job_accept(struct od_server *server, struct od_http_exchange *exchange, enum od_path path)
{
    const int64_t admitted = od_path_is_of_model(path) ? 1 : 0;
    if (!admit(server, admitted)) {
        od_server_refuse(server, exchange, path, 429,
                         "too many requests wait for the model, try again later");
        return;
    }
    struct job *job = od_alloc(1, sizeof *job);
    if (!job) {
        (void)atomic_fetch_sub(&server->process_count, admitted);
        od_server_refuse(server, exchange, path, 503, "no memory for a request");
        return;
    }
    job->server = server;
    job->exchange = exchange;
    job->path = path;
    job->start_ns = od_clock_ns();
    job->admitted = admitted;
    (void)pthread_mutex_init(&job->lock, NULL);
    od_body_init(&job->body);
    queue_push(&server->to_read, &job->queued);
}

enum od_status od_jobs_start(struct od_server *server, struct od_error *err)
{
    const int64_t count = READERS + server->options.workers;
    server->threads = od_alloc((size_t)count, sizeof *server->threads);
    if (!server->threads) {
        return od_fail(err, OD_E_MEMORY, "no memory for a server");
    }
    for (; server->thread_count < count; server->thread_count++) {
        const enum od_status status = od_thread_start(
            &server->threads[server->thread_count],
            server->thread_count < READERS ? read_jobs : process_parts, server, err);
        if (status != OD_OK) {
            return status;
        }
    }
    return OD_OK;
}

void od_jobs_stop(struct od_server *server)
{
    od_queue_close(&server->to_read);
    od_queue_close(&server->to_process);
    for (int64_t i = 0; i < server->thread_count; i++) {
        (void)pthread_join(server->threads[i], NULL);
    }
    od_free(server->threads);
}
