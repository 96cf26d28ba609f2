/**
 * @file
 * What http_server.c (listening, the loop, answers from other threads) and http_connection.c (one
 * connection's life) share.
 *
 *     IDLE --first byte--> HEAD --head--> BODY --complete--> WORK --answer--> IDLE
 *       |                   |               |                  |
 *       +--idle too long    +--error--------+------------------+--last answer--> FLUSH
 *       v                                                                          | sent
 *     freed <--------------------------------------- LINGER (reads, forgets) <-----+
 *
 * @thread All of it belongs to the loop's thread, but for `lock`, `done` and `stop_asked`.
 */
#ifndef OD_NET_HTTP_SERVER_INTERNAL_H
#define OD_NET_HTTP_SERVER_INTERNAL_H

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <event2/util.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/memory.h"
#include "net/http_parse.h"
#include "net/http_server.h"

enum {
    OD_HTTP_PEER_BYTES = 64,
    OD_HTTP_DATE_BYTES = 32,
    OD_HTTP_READ_AHEAD_BYTES = 64 * 1024,  ///< what is taken from a client ahead of its turn
    OD_HTTP_SEND_AHEAD_BYTES =
        256 * 1024,  ///< answers waiting to be taken: no more requests are read
    OD_HTTP_STREAM_AHEAD_BYTES = 8 << 20,  ///< of a stream: the client is cut off
    OD_HTTP_LINGER_MS = 2000
};

enum od_http_connection_state {
    OD_CONNECTION_NONE,  ///< as `timed_state`: no timer was set
    OD_CONNECTION_IDLE,
    OD_CONNECTION_HEAD,
    OD_CONNECTION_BODY,
    OD_CONNECTION_WORK,
    OD_CONNECTION_FLUSH,
    OD_CONNECTION_LINGER
};

/** One client's connection. */
struct od_http_connection {
    struct od_http_server *server;
    struct od_http_connection *previous;  ///< in the server's list, longest unused first
    struct od_http_connection *next;
    struct bufferevent *stream;
    struct event *timer;                ///< the deadline of the state
    struct od_http_exchange *exchange;  ///< the request that is read or worked on; never NULL
    enum od_http_connection_state state;
    enum od_http_connection_state timed_state;  ///< state that the timer was set for
    bool read_closed;                           ///< the client sends no more
    char peer[OD_HTTP_PEER_BYTES];
};

struct od_http_exchange {
    struct od_http_server *server;
    struct od_http_connection *connection;  ///< NULL once the client is gone
    struct od_http_parser parser;
    struct od_http_response response;
    atomic_bool cancelled;
    bool in_handler;    ///< on the loop's thread, inside the handler's call
    bool answered;      ///< inside that call
    bool outstanding;   ///< with the handler, or answered and waiting for the loop
    uint64_t start_ns;  ///< when the request was complete
    size_t streamed_bytes;
    bool stream_begun;   ///< the loop has sent the head,
    bool stream_closes;  ///< which says that the connection ends with the stream
    // Under the server's lock.
    bool is_stream;
    bool stream_ended;
    bool posted;                    ///< in `done`
    struct od_buf pieces;           ///< of a stream, for the loop
    struct od_http_exchange *next;  ///< in `done`
};

struct od_http_server {
    struct od_http_options options;
    struct event_base *base;
    struct evconnlistener *listener;
    struct event *wake_event;
    struct event *accept_again;  ///< after running out of file descriptors
    struct event *deadline;      ///< of a stop
    pthread_t thread;
    pthread_t loop_thread;  ///< the same, as the thread itself sees it
    int wake_fd;
    int port;
    struct od_http_connection *first;
    struct od_http_connection *last;
    int64_t connection_count;
    int64_t outstanding_count;
    bool stopping;
    time_t date_s;
    char date[OD_HTTP_DATE_BYTES];

    pthread_mutex_t lock;
    struct od_http_exchange *done;  ///< with news from other threads, oldest first
    struct od_http_exchange *done_last;
    bool stop_asked;
    int64_t stop_ms;
};

/** Take over an accepted socket. */
void od_http_connection_open(struct od_http_server *server, evutil_socket_t fd,
                             const struct sockaddr *address, int address_bytes);
/** Go on after an answer was given. @memory May free `connection`. */
void od_http_connection_run(struct od_http_connection *connection);
/** Close and release; an exchange with the handler is cancelled and lives on without a client. */
void od_http_connection_free(struct od_http_connection *connection);
/** Put the answer of `exchange` on its connection's stream, or drop it if the client is gone. */
void od_http_exchange_finish(struct od_http_exchange *exchange);
/** Put the next pieces of a stream on its connection; may free the connection. */
void od_http_exchange_stream(struct od_http_exchange *exchange, const struct od_buf *pieces,
                             bool ended);
/** End the loop when a stop was asked for and nothing is left to do. */
void od_http_server_check_done(struct od_http_server *server);
/** Now, as the Date field has it. */
const char *od_http_server_date(struct od_http_server *server);

#endif
