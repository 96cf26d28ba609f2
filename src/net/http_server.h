/**
 * @file
 * An HTTP/1.1 server: one thread runs the event loop, a handler gets whole requests and answers
 * them whenever it likes, from any thread.
 *
 *     static void handle(void *context, struct od_http_exchange *exchange)
 *     {
 *         const struct od_http_request *request = od_http_exchange_request(exchange);
 *         struct od_http_response response = {.code = 200, .content_type = "text/plain"};
 *         od_buf_init(&response.body, 100);
 *         od_buf_printf(&response.body, "you asked for %s\n", request->path);
 *         od_http_respond(exchange, &response);
 *     }
 *
 * One connection carries one request at a time; pipelined requests wait in order behind it. HEAD,
 * Expect: 100-continue, keep-alive and the limits below are the server's business. Errors that the
 * server finds itself are answered as {"detail":"why"}.
 *
 * A client that closes its side while its request is with the handler has hung up: the exchange
 * counts as cancelled, and an answer that comes all the same is sent if it still can be.
 *
 * An answer may also come in pieces, for streams of events:
 *
 *     od_http_stream_begin(exchange, 200, "text/event-stream");
 *     od_http_stream_write(exchange, "data: 1\n\n", 9);
 *     od_http_stream_end(exchange);
 *
 * The exchange then lives until its end. A client that does not keep up with its pieces is cut off.
 *
 * @source RFC 9110, RFC 9112.
 * @thread create and stop: one owner. The handler runs on the loop's thread and must not block.
 *         od_http_respond and od_http_exchange_* may be called from any thread.
 */
#ifndef OD_NET_HTTP_SERVER_H
#define OD_NET_HTTP_SERVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "net/http_parse.h"

struct od_http_server;

/** A request on its way to an answer. */
struct od_http_exchange;

/** An answer. Initialise with `{.code = ...}` and od_buf_init for `body`. */
struct od_http_response {
    int code;
    const char *content_type;  ///< a constant; NULL: no body
    const char *allow;         ///< a constant for the Allow field; NULL: none
    const char *authenticate;  ///< a constant for the WWW-Authenticate field; NULL: none
    int64_t retry_after_s;     ///< for the Retry-After field; 0: none
    struct od_buf body;
};

/** Called on the loop's thread for every complete request. Must lead to one od_http_respond or to
 *  one od_http_stream_end. */
typedef void (*od_http_handler)(void *context, struct od_http_exchange *exchange);

struct od_http_options {
    const char *host;  ///< name or address to listen on
    int port;          ///< 0: any that is free
    od_http_handler handler;
    void *context;
    struct od_http_limits limits;
    int64_t connections_max;  ///< above that, the longest idle one is closed, else 503
    int64_t head_ms_max;      ///< from the first byte of a request to the end of its head
    int64_t body_ms_max;      ///< from the end of the head to the end of the body
    int64_t idle_ms_max;      ///< a connection without a request
    int64_t send_ms_max;      ///< a client that takes nothing of its answer
};
#define OD_HTTP_OPTIONS_INIT                 \
    {.host = "127.0.0.1",                    \
     .limits = {.target_max_bytes = 8 << 10, \
                .head_max_bytes = 32 << 10,  \
                .body_max_bytes = 16 << 20}, \
     .connections_max = 1024,                \
     .head_ms_max = 10000,                   \
     .body_ms_max = 60000,                   \
     .idle_ms_max = 75000,                   \
     .send_ms_max = 30000}

/**
 * Listen, and start the thread that runs the loop.
 * @memory Gives: od_http_server_stop. Copies `options`; keeps its context.
 * @error  OD_E_IO when the address cannot be listened on, OD_E_NOT_FOUND for an unknown host.
 */
enum od_status od_http_server_create(const struct od_http_options *options,
                                     struct od_http_server **ret,
                                     struct od_error *err) OD_MUST_CHECK;

/** The port that is listened on. */
int od_http_server_port(const struct od_http_server *server);

/**
 * Stop accepting, finish what is in flight for at most `deadline_ms`, then cancel and close. Returns
 * when the loop has ended, which needs every exchange to be answered: whoever holds one must look
 * at od_http_exchange_cancelled or end by itself. NULL is allowed.
 * @memory Takes `server`.
 */
void od_http_server_stop(struct od_http_server *server, int64_t deadline_ms);

/** The request. @memory Borrowed: valid until od_http_respond. */
const struct od_http_request *od_http_exchange_request(const struct od_http_exchange *exchange);

/** True once the client has hung up or the server's deadline to stop has passed. */
bool od_http_exchange_cancelled(const struct od_http_exchange *exchange);

/** The flag behind od_http_exchange_cancelled. @memory Borrowed: valid until od_http_respond. */
const atomic_bool *od_http_exchange_cancel_flag(const struct od_http_exchange *exchange);

/**
 * Answer. A body that failed to grow becomes a 503.
 * @memory Takes `exchange` and the body's bytes; `response` itself is copied and its body left
 *         empty.
 */
void od_http_respond(struct od_http_exchange *exchange, struct od_http_response *response);

/**
 * Begin an answer that comes in pieces, instead of od_http_respond. `content_type` is a constant.
 */
void od_http_stream_begin(struct od_http_exchange *exchange, int code, const char *content_type);
/** The next piece; sent at once. @memory Borrows `bytes`. */
void od_http_stream_write(struct od_http_exchange *exchange, const char *bytes, size_t size);
/** That was all. @memory Takes `exchange`. */
void od_http_stream_end(struct od_http_exchange *exchange);

#endif
