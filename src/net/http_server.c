#include "net/http_server.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <event2/util.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "net/http_parse.h"
#include "net/http_server_internal.h"
#include "net/thread.h"

enum { ACCEPT_AGAIN_MS = 100, PORT_MAX = 65535 };

const char *od_http_server_date(struct od_http_server *server)
{
    const time_t now = time(NULL);
    struct tm parts;
    if ((now != server->date_s || server->date[0] == '\0') && gmtime_r(&now, &parts)) {
        static const char *const DAYS[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
        static const char *const MONTHS[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                             "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
        server->date_s = now;
        // strftime would follow the locale.
        (void)snprintf(server->date, sizeof server->date, "%s, %02d %s %04d %02d:%02d:%02d GMT",
                       DAYS[parts.tm_wday % 7], parts.tm_mday % 100, MONTHS[parts.tm_mon % 12],
                       (parts.tm_year + 1900) % 10000, parts.tm_hour % 100, parts.tm_min % 100,
                       parts.tm_sec % 100);
    }
    return server->date;
}

const struct od_http_request *od_http_exchange_request(const struct od_http_exchange *exchange)
{
    return &exchange->parser.request;
}

const atomic_bool *od_http_exchange_cancel_flag(const struct od_http_exchange *exchange)
{
    return &exchange->cancelled;
}

bool od_http_exchange_cancelled(const struct od_http_exchange *exchange)
{
    return atomic_load(&exchange->cancelled);
}

/** Have the loop look at `done` and `stop_asked`. With the lock held, so that the server is there. */
static void wake(struct od_http_server *server)
{
    const uint64_t one = 1;
    const ssize_t written = write(server->wake_fd, &one, sizeof one);
    (void)written;  // it fails only when a wake-up is pending anyway
}

/** With the lock held: have the loop look at an exchange. */
static void post(struct od_http_exchange *exchange)
{
    struct od_http_server *server = exchange->server;
    if (exchange->posted) {
        return;
    }
    exchange->posted = true;
    exchange->next = NULL;
    if (server->done) {
        server->done_last->next = exchange;
    } else {
        server->done = exchange;
        wake(server);
    }
    server->done_last = exchange;
}

void od_http_respond(struct od_http_exchange *exchange, struct od_http_response *response)
{
    struct od_http_server *server = exchange->server;

    exchange->response = *response;
    response->body = (struct od_buf){.max_bytes = response->body.max_bytes};
    if (pthread_equal(pthread_self(), server->loop_thread) && exchange->in_handler) {
        exchange->answered = true;
        return;
    }
    (void)pthread_mutex_lock(&server->lock);
    post(exchange);
    (void)pthread_mutex_unlock(&server->lock);
}

void od_http_stream_begin(struct od_http_exchange *exchange, int code, const char *content_type)
{
    struct od_http_server *server = exchange->server;
    (void)pthread_mutex_lock(&server->lock);
    exchange->response = (struct od_http_response){.code = code, .content_type = content_type};
    exchange->is_stream = true;
    exchange->stream_ended = false;
    od_buf_init(&exchange->pieces, OD_HTTP_STREAM_AHEAD_BYTES);
    post(exchange);
    (void)pthread_mutex_unlock(&server->lock);
}

void od_http_stream_write(struct od_http_exchange *exchange, const char *bytes, size_t size)
{
    struct od_http_server *server = exchange->server;
    (void)pthread_mutex_lock(&server->lock);
    od_buf_append(&exchange->pieces, bytes, size);
    post(exchange);
    (void)pthread_mutex_unlock(&server->lock);
}

void od_http_stream_end(struct od_http_exchange *exchange)
{
    struct od_http_server *server = exchange->server;
    (void)pthread_mutex_lock(&server->lock);
    exchange->stream_ended = true;
    post(exchange);
    (void)pthread_mutex_unlock(&server->lock);
}

void od_http_server_check_done(struct od_http_server *server)
{
    if (server->stopping && server->connection_count == 0 && server->outstanding_count == 0) {
        (void)event_base_loopbreak(server->base);
    }
}

/** Stop accepting and close what idles. */
static void begin_stop(struct od_http_server *server, int64_t deadline_ms)
{
    const struct timeval time = {.tv_sec = deadline_ms / 1000,
                                 .tv_usec = deadline_ms % 1000 * 1000};
    server->stopping = true;
    evconnlistener_free(server->listener);
    server->listener = NULL;
    (void)event_del(server->accept_again);
    (void)event_add(server->deadline, &time);
    struct od_http_connection *each = server->first;
    while (each) {
        struct od_http_connection *next = each->next;
        if (each->state == OD_CONNECTION_IDLE) {
            od_http_connection_run(each);
        }
        each = next;
    }
    od_http_server_check_done(server);
}

/** An exchange was answered, or its stream went on. */
static void on_news(struct od_http_server *server, struct od_http_exchange *exchange)
{
    struct od_http_connection *connection = exchange->connection;
    struct od_buf pieces = {0};
    (void)pthread_mutex_lock(&server->lock);
    exchange->posted = false;
    const bool is_stream = exchange->is_stream;
    const bool ended = exchange->stream_ended;
    if (is_stream) {
        pieces = exchange->pieces;
        od_buf_init(&exchange->pieces, OD_HTTP_STREAM_AHEAD_BYTES);
    }
    (void)pthread_mutex_unlock(&server->lock);
    if (is_stream && connection) {
        od_http_exchange_stream(exchange, &pieces, ended);
        connection = exchange->connection;  // may have been cut off
    }
    od_buf_release(&pieces);
    if (is_stream && !ended) {
        return;
    }
    od_http_exchange_finish(exchange);
    if (connection) {
        od_http_connection_run(connection);
    }
}

static void on_wake(evutil_socket_t fd, short what, void *context)
{
    struct od_http_server *server = context;
    uint64_t count = 0;
    const ssize_t got = read(fd, &count, sizeof count);
    (void)got;
    (void)what;

    (void)pthread_mutex_lock(&server->lock);
    struct od_http_exchange *exchange = server->done;
    server->done = NULL;
    const bool stop = server->stop_asked && !server->stopping;
    const int64_t stop_ms = server->stop_ms;
    (void)pthread_mutex_unlock(&server->lock);

    if (stop) {
        begin_stop(server, stop_ms);
    }
    while (exchange) {
        struct od_http_exchange *next = exchange->next;
        on_news(server, exchange);
        exchange = next;
    }
}

static void on_deadline(evutil_socket_t fd, short what, void *context)
{
    struct od_http_server *server = context;
    (void)fd;
    (void)what;
    while (server->first) {
        od_http_connection_free(server->first);
    }
    od_http_server_check_done(server);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address,
                      int address_bytes, void *context)
{
    (void)listener;
    od_http_connection_open(context, fd, address, address_bytes);
}

static void on_accept_again(evutil_socket_t fd, short what, void *context)
{
    struct od_http_server *server = context;
    (void)fd;
    (void)what;
    (void)evconnlistener_enable(server->listener);
}

/** Out of file descriptors or memory: the queue of connections waits in the kernel for a moment. */
static void on_accept_error(struct evconnlistener *listener, void *context)
{
    struct od_http_server *server = context;
    const struct timeval time = {.tv_usec = ACCEPT_AGAIN_MS * 1000L};
    od_log(OD_LOG_WARNING, "cannot accept a connection: %s", strerror(errno));
    (void)evconnlistener_disable(listener);
    (void)event_add(server->accept_again, &time);
}

static enum od_status listen_on(const char *host, int port, const struct addrinfo *info,
                                int *ret_fd, struct od_error *err)
{
    const int on = 1;
    const int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, info->ai_addr, info->ai_addrlen) != 0 || listen(fd, SOMAXCONN) != 0) {
        const int error = errno;
        if (fd >= 0) {
            (void)close(fd);
        }
        return od_fail(err, OD_E_IO, "cannot listen on %s port %d: %s%s", host, port,
                       strerror(error), error == EADDRINUSE ? "; choose another port" : "");
    }
    *ret_fd = fd;
    return OD_OK;
}

/** A listening socket: IPv4 first where a name has both, since that is what clients try. */
static enum od_status open_listener(const char *host, int port, int *ret_fd, struct od_error *err)
{
    char service[16];
    struct addrinfo *list = NULL;
    const struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
                                   .ai_socktype = SOCK_STREAM};
    enum od_status status = OD_OK;

    (void)snprintf(service, sizeof service, "%d", port);
    const int error = getaddrinfo(host, service, &hints, &list);
    if (error != 0 || !list) {
        return od_fail(err, OD_E_NOT_FOUND, "cannot find the address of host '%s': %s", host,
                       gai_strerror(error));
    }
    const struct addrinfo *chosen = list;
    for (const struct addrinfo *each = list; each; each = each->ai_next) {
        if (each->ai_family == AF_INET) {
            chosen = each;
            break;
        }
    }
    status = listen_on(host, port, chosen, ret_fd, err);
    freeaddrinfo(list);
    return status;
}

static int bound_port(int fd)
{
    struct sockaddr_storage storage = {0};
    socklen_t bytes = sizeof storage;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    if (getsockname(fd, (struct sockaddr *)&storage, &bytes) != 0) {
        return 0;
    }
    memcpy(&in, &storage, sizeof in);
    memcpy(&in6, &storage, sizeof in6);
    return ntohs(storage.ss_family == AF_INET6 ? in6.sin6_port : in.sin_port);
}

static void *run_loop(void *context)
{
    struct od_http_server *server = context;
    server->loop_thread = pthread_self();
    (void)event_base_dispatch(server->base);
    return NULL;
}

static void server_free(struct od_http_server *server)
{
    struct event *events[] = {server->wake_event, server->accept_again, server->deadline};
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        if (events[i]) {
            event_free(events[i]);
        }
    }
    if (server->listener) {
        evconnlistener_free(server->listener);
    }
    if (server->base) {
        event_base_free(server->base);
    }
    if (server->wake_fd >= 0) {
        (void)close(server->wake_fd);
    }
    (void)pthread_mutex_destroy(&server->lock);
    od_free(server);
}

/** The loop and what it listens to. Takes `fd` whatever happens. */
static enum od_status make_loop(struct od_http_server *server, int fd, struct od_error *err)
{
    server->base = event_base_new();
    if (server->base) {
        server->listener = evconnlistener_new(server->base, on_accept, server,
                                              LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC,
                                              /* backlog: listens already */ 0, fd);
    }
    if (!server->listener) {
        (void)close(fd);
        return od_fail(err, OD_E_MEMORY, "no memory for an event loop");
    }
    evconnlistener_set_error_cb(server->listener, on_accept_error);
    server->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (server->wake_fd < 0) {
        return od_fail(err, OD_E_IO, "cannot make an event descriptor: %s", strerror(errno));
    }
    server->wake_event =
        event_new(server->base, server->wake_fd, EV_READ | EV_PERSIST, on_wake, server);
    server->accept_again = evtimer_new(server->base, on_accept_again, server);
    server->deadline = evtimer_new(server->base, on_deadline, server);
    if (!server->wake_event || !server->accept_again || !server->deadline ||
        event_add(server->wake_event, NULL) != 0) {
        return od_fail(err, OD_E_MEMORY, "no memory for an event loop");
    }
    return OD_OK;
}

enum od_status od_http_server_create(const struct od_http_options *options,
                                     struct od_http_server **ret, struct od_error *err)
{
    struct od_http_server *server = NULL;
    int fd = -1;
    enum od_status status = OD_OK;

    if (options->port < 0 || options->port > PORT_MAX) {
        return od_fail(err, OD_E_ARGUMENT, "port %d is not between 0 and %d", options->port,
                       PORT_MAX);
    }
    status = open_listener(options->host, options->port, &fd, err);
    if (status != OD_OK) {
        return status;
    }
    server = od_alloc(1, sizeof *server);
    if (!server) {
        (void)close(fd);
        return od_fail(err, OD_E_MEMORY, "no memory for a server");
    }
    server->options = *options;
    server->options.host = NULL;
    server->wake_fd = -1;
    server->port = bound_port(fd);
    (void)pthread_mutex_init(&server->lock, NULL);
    status = make_loop(server, fd, err);
    if (status == OD_OK) {
        status = od_thread_start(&server->thread, run_loop, server, err);
    }
    if (status != OD_OK) {
        server_free(server);
        return status;
    }
    *ret = server;
    return OD_OK;
}

int od_http_server_port(const struct od_http_server *server)
{
    return server->port;
}

void od_http_server_stop(struct od_http_server *server, int64_t deadline_ms)
{
    if (!server) {
        return;
    }
    (void)pthread_mutex_lock(&server->lock);
    server->stop_asked = true;
    server->stop_ms = deadline_ms < 0 ? 0 : deadline_ms;
    wake(server);
    (void)pthread_mutex_unlock(&server->lock);
    (void)pthread_join(server->thread, NULL);
    server_free(server);
}
