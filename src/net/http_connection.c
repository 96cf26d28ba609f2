// One client's connection: bytes to requests, requests to the handler, answers to bytes.

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/util.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "net/http_parse.h"
#include "net/http_server.h"
#include "net/http_server_internal.h"

enum { HEAD_MAX_BYTES = 1024, ERROR_BODY_MAX_BYTES = 512 };

static void exchange_free(struct od_http_exchange *exchange)
{
    od_http_parser_release(&exchange->parser);
    od_buf_release(&exchange->response.body);
    od_buf_release(&exchange->pieces);
    od_free(exchange);
}

void od_http_connection_free(struct od_http_connection *connection)
{
    struct od_http_server *server = connection->server;
    struct od_http_exchange *exchange = connection->exchange;

    *(connection->previous ? &connection->previous->next : &server->first) = connection->next;
    *(connection->next ? &connection->next->previous : &server->last) = connection->previous;
    server->connection_count--;
    if (exchange->outstanding) {
        atomic_store(&exchange->cancelled, true);
        exchange->connection = NULL;  // freed when it is answered
    } else {
        exchange_free(exchange);
    }
    event_free(connection->timer);
    bufferevent_free(connection->stream);
    od_free(connection);
    od_http_server_check_done(server);
}

static size_t output_size(const struct od_http_connection *connection)
{
    return evbuffer_get_length(bufferevent_get_output(connection->stream));
}

/** Move to the end of the server's list: used last. */
static void move_to_end(struct od_http_connection *connection)
{
    struct od_http_server *server = connection->server;
    if (server->last == connection) {
        return;
    }
    *(connection->previous ? &connection->previous->next : &server->first) = connection->next;
    connection->next->previous = connection->previous;
    connection->previous = server->last;
    connection->next = NULL;
    server->last->next = connection;
    server->last = connection;
}

static void set_timer(struct od_http_connection *connection, int64_t ms)
{
    const struct timeval time = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    connection->timed_state = connection->state;
    (void)event_add(connection->timer, &time);
}

/** Set the deadline of the state, unless it runs already: bytes do not prolong it. */
static void update_timer(struct od_http_connection *connection)
{
    const struct od_http_options *options = &connection->server->options;
    if (connection->state == connection->timed_state) {
        return;
    }
    switch (connection->state) {
    case OD_CONNECTION_IDLE: set_timer(connection, options->idle_ms_max); break;
    case OD_CONNECTION_HEAD: set_timer(connection, options->head_ms_max); break;
    case OD_CONNECTION_BODY: set_timer(connection, options->body_ms_max); break;
    case OD_CONNECTION_LINGER: set_timer(connection, OD_HTTP_LINGER_MS); break;
    case OD_CONNECTION_NONE:
    case OD_CONNECTION_WORK:   // the handler may take its time
    case OD_CONNECTION_FLUSH:  // the stream's own timeout watches over sending
        connection->timed_state = connection->state;
        (void)event_del(connection->timer);
        break;
    }
}

static void log_answer(const struct od_http_exchange *exchange, int code, size_t body_size)
{
    if (!od_log_is_on(OD_LOG_DEBUG)) {
        return;
    }
    const bool has_request = exchange->outstanding;  // else it is broken
    const struct od_http_request *request = &exchange->parser.request;
    const uint64_t start_ns = exchange->start_ns;
    const uint64_t took_ns = has_request ? od_clock_ns() - start_ns : 0;
    od_log(OD_LOG_DEBUG, "%s %s %s %d %zu B %.1f ms", exchange->connection->peer,
           has_request ? request->method : "-", has_request ? request->target : "-", code,
           body_size, (double)took_ns / 1e6);
}

/** Write status line, fields and body. Takes the response's body. */
static void send_response(struct od_http_connection *connection, struct od_http_response *response,
                          bool is_head, bool close)
{
    char head[HEAD_MAX_BYTES];
    char extra[256] = "";
    struct evbuffer *output = bufferevent_get_output(connection->stream);
    const struct od_http_request *request = &connection->exchange->parser.request;
    const size_t size = response->body.size;
    int used = 0;

    if (response->allow) {
        used = snprintf(extra, sizeof extra, "Allow: %s\r\n", response->allow);
    }
    if (response->authenticate) {
        used = snprintf(extra, sizeof extra, "WWW-Authenticate: %s\r\n", response->authenticate);
    }
    if (response->retry_after_s > 0) {
        (void)snprintf(extra + used, sizeof extra - (size_t)used, "Retry-After: %lld\r\n",
                       (long long)response->retry_after_s);
    }
    const char *life = close                         ? "Connection: close\r\n"
                       : request->minor_version == 0 ? "Connection: keep-alive\r\n"
                                                     : "";
    used = snprintf(
        head, sizeof head, "HTTP/1.1 %d %s\r\nDate: %s\r\n%s%s%s%s%sContent-Length: %zu\r\n\r\n",
        response->code, od_http_reason(response->code), od_http_server_date(connection->server),
        life, extra, response->content_type ? "Content-Type: " : "",
        response->content_type ? response->content_type : "", response->content_type ? "\r\n" : "",
        size);
    log_answer(connection->exchange, response->code, size);
    bool sent =
        used > 0 && (size_t)used < sizeof head && evbuffer_add(output, head, (size_t)used) == 0;
    if (sent && !is_head && size > 0) {
        sent = evbuffer_add(output, response->body.bytes, size) == 0;
    }
    od_buf_release(&response->body);
    connection->state = close || !sent ? OD_CONNECTION_FLUSH : OD_CONNECTION_IDLE;
}

/** Answer a request that never reached the handler, and close. */
static void send_error(struct od_http_connection *connection, int code, const char *why)
{
    struct od_http_response response = {.code = code, .content_type = "application/json"};
    od_buf_init(&response.body, ERROR_BODY_MAX_BYTES);
    od_buf_printf(&response.body, "{\"detail\":\"%s\"}", why);
    if (response.body.failed) {
        od_buf_release(&response.body);  // the status alone must do
    }
    send_response(connection, &response, /* is_head= */ false, /* close= */ true);
}

/** Does the connection close behind this answer? HTTP/1.0 has no other end of a stream. */
static bool closes_after(const struct od_http_exchange *exchange)
{
    const struct od_http_request *request = &exchange->parser.request;
    return !request->keep_alive || exchange->server->stopping ||
           (exchange->is_stream && request->minor_version == 0);
}

/** Status line and fields of an answer in pieces. */
static void send_stream_head(struct od_http_exchange *exchange, struct evbuffer *output)
{
    const struct od_http_response *response = &exchange->response;
    const bool chunked = exchange->parser.request.minor_version > 0;
    (void)evbuffer_add_printf(
        output,
        "HTTP/1.1 %d %s\r\nDate: %s\r\n%s%sContent-Type: %s\r\nCache-Control: no-store\r\n\r\n",
        response->code, od_http_reason(response->code), od_http_server_date(exchange->server),
        closes_after(exchange) ? "Connection: close\r\n" : "",
        chunked ? "Transfer-Encoding: chunked\r\n" : "", response->content_type);
    exchange->stream_begun = true;
    exchange->stream_closes = closes_after(exchange);
    exchange->streamed_bytes = 0;
}

void od_http_exchange_stream(struct od_http_exchange *exchange, const struct od_buf *pieces,
                             bool ended)
{
    struct od_http_connection *connection = exchange->connection;
    const struct od_http_request *request = &exchange->parser.request;
    struct evbuffer *output = bufferevent_get_output(connection->stream);
    const bool chunked = request->minor_version > 0;
    const bool is_head = strcmp(request->method, "HEAD") == 0;

    if (!exchange->stream_begun) {
        send_stream_head(exchange, output);
    }
    if (pieces->failed || output_size(connection) > OD_HTTP_STREAM_AHEAD_BYTES) {
        od_log(OD_LOG_INFO, "%s does not keep up with its answer", connection->peer);
        od_http_connection_free(connection);
        return;
    }
    if (pieces->size > 0 && !is_head) {
        if (chunked) {
            (void)evbuffer_add_printf(output, "%zx\r\n", pieces->size);
        }
        (void)evbuffer_add(output, pieces->bytes, pieces->size);
        if (chunked) {
            (void)evbuffer_add(output, "\r\n", 2);
        }
        exchange->streamed_bytes += pieces->size;
    }
    if (ended && chunked && !is_head) {
        (void)evbuffer_add(output, "0\r\n\r\n", 5);
    }
}

/** A stream is over: what comes next on its connection. */
static void finish_stream(struct od_http_exchange *exchange)
{
    struct od_http_connection *connection = exchange->connection;
    log_answer(exchange, exchange->response.code, exchange->streamed_bytes);
    connection->state = exchange->stream_closes ? OD_CONNECTION_FLUSH : OD_CONNECTION_IDLE;
    exchange->is_stream = false;
    exchange->stream_begun = false;
    od_buf_release(&exchange->pieces);
}

void od_http_exchange_finish(struct od_http_exchange *exchange)
{
    struct od_http_server *server = exchange->server;
    struct od_http_connection *connection = exchange->connection;

    server->outstanding_count--;
    if (!connection) {
        exchange_free(exchange);
        od_http_server_check_done(server);
        return;
    }
    struct od_http_response *response = &exchange->response;
    if (response->body.failed) {
        od_buf_release(&response->body);
        *response = (struct od_http_response){.code = 503, .retry_after_s = 1};
    }
    if (exchange->is_stream) {
        finish_stream(exchange);
    } else {
        send_response(connection, response, strcmp(exchange->parser.request.method, "HEAD") == 0,
                      closes_after(exchange));
    }
    exchange->outstanding = false;
    od_http_parser_reset(&exchange->parser);
    connection->timed_state = OD_CONNECTION_NONE;  // the time of idling starts anew
    move_to_end(connection);
}

/** Give a complete request to the handler. */
static void dispatch(struct od_http_connection *connection)
{
    struct od_http_exchange *exchange = connection->exchange;
    const struct od_http_options *options = &connection->server->options;

    connection->state = OD_CONNECTION_WORK;
    connection->server->outstanding_count++;
    exchange->outstanding = true;
    exchange->answered = false;
    exchange->start_ns = od_clock_ns();
    atomic_store(&exchange->cancelled, connection->read_closed);
    exchange->in_handler = true;
    options->handler(options->context, exchange);
    exchange->in_handler = false;
    if (exchange->answered) {
        od_http_exchange_finish(exchange);
    }
}

static bool is_receiving(const struct od_http_connection *connection)
{
    return connection->state == OD_CONNECTION_IDLE || connection->state == OD_CONNECTION_HEAD ||
           connection->state == OD_CONNECTION_BODY;
}

/** What the parser found out after the last bytes. */
static void follow_parser(struct od_http_connection *connection)
{
    const struct od_http_parser *parser = &connection->exchange->parser;
    struct evbuffer *input = bufferevent_get_input(connection->stream);

    switch (parser->state) {
    case OD_HTTP_IN_HEAD:
        connection->state =
            od_http_parser_is_idle(parser) ? OD_CONNECTION_IDLE : OD_CONNECTION_HEAD;
        break;
    case OD_HTTP_HEAD_DONE:
        connection->state = OD_CONNECTION_BODY;
        if (parser->request.expects_continue && evbuffer_get_length(input) == 0) {
            (void)bufferevent_write(connection->stream, "HTTP/1.1 100 Continue\r\n\r\n", 25);
        }
        break;
    case OD_HTTP_IN_BODY: connection->state = OD_CONNECTION_BODY; break;
    case OD_HTTP_COMPLETE: dispatch(connection); break;
    case OD_HTTP_FAILED: send_error(connection, parser->error_code, parser->error); break;
    }
}

void od_http_connection_run(struct od_http_connection *connection)
{
    struct evbuffer *input = bufferevent_get_input(connection->stream);

    while (is_receiving(connection) && output_size(connection) < OD_HTTP_SEND_AHEAD_BYTES) {
        const size_t size = evbuffer_get_contiguous_space(input);
        if (size == 0) {
            break;
        }
        const char *bytes = (const char *)evbuffer_pullup(input, (ev_ssize_t)size);
        const size_t used = od_http_parser_feed(&connection->exchange->parser, bytes, size);
        (void)evbuffer_drain(input, used);
        follow_parser(connection);
    }
    if (is_receiving(connection) && evbuffer_get_length(input) == 0 &&
        (connection->read_closed ||
         (connection->server->stopping && connection->state == OD_CONNECTION_IDLE))) {
        connection->state = OD_CONNECTION_FLUSH;  // no request will come any more
    }
    if (connection->state == OD_CONNECTION_FLUSH && output_size(connection) == 0) {
        od_http_connection_free(connection);
        return;
    }
    update_timer(connection);
}

static void on_read(struct bufferevent *stream, void *context)
{
    struct od_http_connection *connection = context;
    if (connection->state == OD_CONNECTION_LINGER || connection->state == OD_CONNECTION_FLUSH) {
        struct evbuffer *input = bufferevent_get_input(stream);
        (void)evbuffer_drain(input, evbuffer_get_length(input));
    } else if (connection->state != OD_CONNECTION_WORK) {
        od_http_connection_run(connection);
    }
}

/** Everything was sent. */
static void on_write(struct bufferevent *stream, void *context)
{
    struct od_http_connection *connection = context;
    if (connection->state != OD_CONNECTION_FLUSH) {
        od_http_connection_run(connection);
        return;
    }
    if (connection->read_closed) {
        od_http_connection_free(connection);
        return;
    }
    // Closing with unread bytes would reset the connection and could destroy the answer on its way.
    (void)shutdown(bufferevent_getfd(stream), SHUT_WR);
    struct evbuffer *input = bufferevent_get_input(stream);
    (void)evbuffer_drain(input, evbuffer_get_length(input));
    connection->state = OD_CONNECTION_LINGER;
    update_timer(connection);
}

static void on_event(struct bufferevent *stream, short what, void *context)
{
    struct od_http_connection *connection = context;
    (void)stream;
    if (!(what & BEV_EVENT_EOF) || connection->state == OD_CONNECTION_LINGER) {
        od_http_connection_free(connection);  // an error, or a client that takes nothing
        return;
    }
    connection->read_closed = true;
    if (connection->state == OD_CONNECTION_WORK) {
        atomic_store(&connection->exchange->cancelled, true);
    } else {
        od_http_connection_run(connection);
    }
}

static void on_timer(evutil_socket_t fd, short what, void *context)
{
    struct od_http_connection *connection = context;
    (void)fd;
    (void)what;
    if (connection->state == OD_CONNECTION_IDLE && output_size(connection) > 0) {
        set_timer(connection, connection->server->options.idle_ms_max);  // a slow reader
    } else if (connection->state == OD_CONNECTION_HEAD || connection->state == OD_CONNECTION_BODY) {
        send_error(connection, 408, "the request did not arrive in time");
        update_timer(connection);
    } else {
        od_http_connection_free(connection);
    }
}

static void name_peer(struct od_http_connection *connection, const struct sockaddr *address)
{
    char text[INET6_ADDRSTRLEN] = "?";
    unsigned port = 0;
    if (address->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, address, sizeof in);
        (void)inet_ntop(AF_INET, &in.sin_addr, text, sizeof text);
        port = ntohs(in.sin_port);
    } else if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 in;
        memcpy(&in, address, sizeof in);
        (void)inet_ntop(AF_INET6, &in.sin6_addr, text, sizeof text);
        port = ntohs(in.sin6_port);
    }
    (void)snprintf(connection->peer, sizeof connection->peer, "%s:%u", text, port);
}

/** Close the connection that idles longest; false when all are busy. */
static bool make_room(struct od_http_server *server)
{
    for (struct od_http_connection *each = server->first; each; each = each->next) {
        if (each->state == OD_CONNECTION_IDLE && output_size(each) == 0) {
            od_http_connection_free(each);
            return true;
        }
    }
    return false;
}

static void send_full(evutil_socket_t fd)
{
    static const char FULL[] =
        "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n"
        "Retry-After: 1\r\nContent-Type: application/json\r\n"
        "Content-Length: 33\r\n\r\n{\"detail\":\"too many connections\"}";
    (void)send(fd, FULL, sizeof FULL - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)shutdown(fd, SHUT_WR);
    (void)close(fd);
}

void od_http_connection_open(struct od_http_server *server, evutil_socket_t fd,
                             const struct sockaddr *address, int address_bytes)
{
    struct od_http_connection *connection = NULL;
    struct od_http_exchange *exchange = NULL;
    struct bufferevent *stream = NULL;
    const int on = 1;
    const int64_t send_ms = server->options.send_ms_max;
    const struct timeval send_time = {.tv_sec = send_ms / 1000, .tv_usec = send_ms % 1000 * 1000};

    (void)address_bytes;
    if (server->connection_count >= server->options.connections_max && !make_room(server)) {
        send_full(fd);
        return;
    }
    connection = od_alloc(1, sizeof *connection);
    exchange = od_alloc(1, sizeof *exchange);
    stream = bufferevent_socket_new(server->base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (!connection || !exchange || !stream) {
        goto fail;
    }
    connection->timer = evtimer_new(server->base, on_timer, connection);
    if (!connection->timer) {
        goto fail;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    exchange->server = server;
    exchange->connection = connection;
    od_http_parser_init(&exchange->parser, &server->options.limits);
    connection->server = server;
    connection->exchange = exchange;
    connection->stream = stream;
    connection->state = OD_CONNECTION_IDLE;
    connection->previous = server->last;
    *(server->last ? &server->last->next : &server->first) = connection;
    server->last = connection;
    server->connection_count++;
    name_peer(connection, address);
    bufferevent_setcb(stream, on_read, on_write, on_event, connection);
    bufferevent_setwatermark(stream, EV_READ, 0, OD_HTTP_READ_AHEAD_BYTES);
    (void)bufferevent_set_max_single_read(stream, OD_HTTP_READ_AHEAD_BYTES);
    (void)bufferevent_set_timeouts(stream, NULL, &send_time);
    (void)bufferevent_enable(stream, EV_READ | EV_WRITE);
    set_timer(connection, server->options.idle_ms_max);
    return;

fail:
    if (stream) {
        bufferevent_free(stream);  // closes the socket
    } else {
        (void)close(fd);
    }
    od_free(exchange);
    od_free(connection);
}
