/**
 * @file
 * The model server: the challenge's endpoints, OpenAI's API and /score over a responder.
 *
 *     struct od_server_options options = OD_SERVER_OPTIONS_INIT;
 *     options.port = 0;  // any
 *     od_server_start(responder, &options, &server, err);
 *     printf("http://127.0.0.1:%d\n", od_server_port(server));
 *     od_server_stop(server);
 *
 * Bodies are read by a few threads that also answer /tokenize and /decode, so that these never wait
 * for the model. Answers of the model are asked for by `workers` threads which call the responder
 * at the same time; it batches. Behind them at most `queue_max` answers wait; more are told 429 at
 * once. One request may ask for several answers.
 *
 * A request whose client has hung up is dropped where it waits; one that the responder works on is
 * told through od_process_request.cancel.
 *
 * @thread start and stop: one owner. The server runs on threads of its own.
 */
#ifndef OD_SERVE_SERVER_H
#define OD_SERVE_SERVER_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "infer/responder.h"

struct od_server;

enum {
    OD_SERVER_WORKERS_MAX = 1024,
    OD_SERVER_QUEUE_MAX = 1 << 20,
    OD_SERVER_BODY_MAX_BYTES = 1 << 30,
    OD_SERVER_STOP_S_MAX = 86400,
    OD_SERVER_KEYS_MAX = 1024,
    OD_SERVER_KEY_MAX_BYTES = 512
};

struct od_server_options {
    const char *host;         ///< name or address to listen on
    int port;                 ///< 0: any that is free
    int64_t workers;          ///< answers that the responder is asked for at a time
    int64_t queue_max;        ///< answers that wait behind them
    size_t body_max_bytes;    ///< larger bodies are 413
    int64_t connections_max;  ///< clients at a time
    int64_t stop_ms_max;      ///< how long a stop waits for what is in flight
    /** [key_count] Requests need one of these in `Authorization: Bearer KEY`, but for /health and
     *  the page at /. None: everybody may ask. */
    const char *const *keys;
    size_t key_count;
    /** An answer of /process ends before this text where its request names no stop sequence, at most
     *  OD_STOP_MAX_BYTES. NULL: it goes on. */
    const char *stop;
};
#define OD_SERVER_OPTIONS_INIT           \
    {.host = "127.0.0.1",                \
     .port = 8080,                       \
     .workers = 32,                      \
     .queue_max = 256,                   \
     .body_max_bytes = (size_t)16 << 20, \
     .connections_max = 1024,            \
     .stop_ms_max = 10000}

/**
 * Listen and serve until od_server_stop.
 * @memory Gives: od_server_stop. Keeps `responder` until then.
 * @error  OD_E_IO: the address cannot be listened on; OD_E_NOT_FOUND: no such host;
 *         OD_E_ARGUMENT: an option is out of range.
 */
enum od_status od_server_start(const struct od_responder *responder,
                               const struct od_server_options *options, struct od_server **ret,
                               struct od_error *err) OD_MUST_CHECK;

/** The port that is listened on. */
int od_server_port(const struct od_server *server);

/**
 * Stop accepting, finish what is in flight for at most `stop_ms_max`, cancel the rest. Returns when
 * the responder has given back every request. NULL is allowed.
 * @memory Takes `server`.
 */
void od_server_stop(struct od_server *server);

#endif
