/**
 * @file
 * What server.c (routes, start and stop) and jobs.c (requests on their way through the threads) share.
 * @thread See struct od_server.
 */
#ifndef OD_SERVE_SERVER_INTERNAL_H
#define OD_SERVE_SERVER_INTERNAL_H

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/status.h"
#include "infer/responder.h"
#include "net/http_server.h"
#include "serve/fields.h"
#include "serve/metrics.h"
#include "serve/openai.h"
#include "serve/score.h"
#include "serve/server.h"

enum od_path {
    OD_PATH_PROCESS,
    OD_PATH_TOKENIZE,
    OD_PATH_DECODE,
    OD_PATH_COMPLETIONS,
    OD_PATH_CHAT,
    OD_PATH_SCORE,
    OD_PATH_MODELS,
    OD_PATH_HEALTH,
    OD_PATH_METRICS,
    OD_PATH_OPENAPI,
    OD_PATH_ROOT,
    OD_PATH_SCRIPT,  ///< of the page at /
    OD_PATH_OTHER,   ///< no such path
    OD_PATH_COUNT
};
static_assert((int)OD_PATH_COUNT <= (int)OD_METRICS_PATHS, "each path is counted");

/** What waits in a queue: the first member of what it is part of. */
struct od_queued {
    struct od_queued *next;
};

struct od_queue {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct od_queued *first;
    struct od_queued *last;
    bool closed;
};
void od_queue_init(struct od_queue *queue);
void od_queue_release(struct od_queue *queue);
/** Let those who wait go once it is empty. */
void od_queue_close(struct od_queue *queue);

struct od_server {
    const struct od_responder *responder;
    struct od_server_options options;
    char (*keys)[OD_SHA256_HEX_BYTES];  ///< digests of the API keys [options.key_count]
    char *stop_text;
    const char *stop;  ///< the same: of /process, where none is named; NULL: none
    struct od_http_server *http;
    struct od_queue to_read;             ///< bodies, and all of /tokenize and /decode
    struct od_queue to_process;          ///< parts for the model
    atomic_int_least64_t process_count;  ///< answers of the model that are owed, read or not
    struct od_serve_metrics metrics;
    int64_t start_s;
    atomic_uint_least64_t call_count;
    pthread_t *threads;  ///< readers, then workers
    int64_t thread_count;
};

/** True for what needs the model. */
bool od_path_is_of_model(enum od_path path);
/** True for OpenAI's API, which words errors in its own way. */
bool od_path_is_openai(enum od_path path);

/** A POST request whose body is to be read; answers at once when the queue is full. */
void od_job_accept(struct od_server *server, struct od_http_exchange *exchange, enum od_path path);

/** Start readers and workers; od_jobs_stop ends those that started. */
enum od_status od_jobs_start(struct od_server *server, struct od_error *err) OD_MUST_CHECK;
void od_jobs_stop(struct od_server *server);

/** An empty JSON answer. */
struct od_http_response od_json_response(int code);
/** Answer, and count it. */
void od_server_respond(struct od_server *server, struct od_http_exchange *exchange,
                       enum od_path path, double seconds, struct od_http_response *response);
/** Answer with one message in the words of the path's API. */
void od_server_refuse(struct od_server *server, struct od_http_exchange *exchange,
                      enum od_path path, int code, const char *why);

#endif
