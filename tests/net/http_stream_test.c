// Goal: answers in pieces arrive piece by piece, end as their HTTP version ends them, and cost nothing but
//       their connection when the client leaves or does not read.
// Method: real sockets; the handler hands every exchange to the test, which writes the pieces.

#include <pthread.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "net/http_parse.h"
#include "net/http_server.h"
#include "net/wire.h"
#include "support.h"

/** What a client may leave unread, at least. */
enum { AHEAD_BYTES = 8 << 20 };

struct fixture {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct od_http_exchange *held;
    struct od_http_server *server;
    int port;
};

static void handle(void *context, struct od_http_exchange *exchange)
{
    struct fixture *fixture = context;
    if (strcmp(od_http_exchange_request(exchange)->path, "/later") != 0) {
        struct od_http_response response = {.code = 200, .content_type = "text/plain"};
        od_buf_init(&response.body, 16);
        od_buf_puts(&response.body, "next");
        od_http_respond(exchange, &response);
        return;
    }
    (void)pthread_mutex_lock(&fixture->lock);
    fixture->held = exchange;
    (void)pthread_cond_broadcast(&fixture->changed);
    (void)pthread_mutex_unlock(&fixture->lock);
}

static struct od_http_exchange *take_held(struct fixture *fixture)
{
    (void)pthread_mutex_lock(&fixture->lock);
    while (!fixture->held) {
        (void)pthread_cond_wait(&fixture->changed, &fixture->lock);
    }
    struct od_http_exchange *exchange = fixture->held;
    fixture->held = NULL;
    (void)pthread_mutex_unlock(&fixture->lock);
    return exchange;
}

static void start(struct fixture *fixture)
{
    struct od_error err = {0};
    struct od_http_options options = OD_HTTP_OPTIONS_INIT;
    *fixture =
        (struct fixture){.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    options.handler = handle;
    options.context = fixture;
    assert_ok(od_http_server_create(&options, &fixture->server, &err), &err);
    fixture->port = od_http_server_port(fixture->server);
}

static struct wire connect_to(const struct fixture *fixture)
{
    struct wire wire;
    assert_true(wire_open(&wire, fixture->port));
    return wire;
}

static void *stop_server(void *context)
{
    od_http_server_stop(context, 60000);
    return NULL;
}

// An answer in pieces: each arrives before the next is written; the connection goes on behind it.
static void stream_in_pieces(void **state)
{
    (void)state;
    struct fixture fixture;
    struct od_buf body;
    start(&fixture);
    struct wire wire = connect_to(&fixture);
    od_buf_init(&body, 1 << 16);
    for (int round = 0; round < 3; round++) {
        assert_true(wire_puts(&wire,
                              "POST /later HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"
                              "GET /next HTTP/1.1\r\nHost: h\r\n\r\n"));
        struct od_http_exchange *exchange = take_held(&fixture);
        od_http_stream_begin(exchange, 200, "text/event-stream");
        struct wire_answer answer = wire_read(&wire, false);
        assert_int_equal(answer.code, 200);
        assert_true(wire_field_is(&answer, "Transfer-Encoding:", "chunked"));
        assert_true(wire_field_is(&answer, "Content-Type:", "text/event-stream"));
        assert_null(wire_field(&answer, "Content-Length:"));
        wire_answer_release(&answer);
        od_http_stream_write(exchange, "data: 1\n\n", 9);
        while (!strstr(od_buf_text(&wire.in), "9\r\ndata: 1\n\n\r\n")) {
            assert_true(wire_fill(&wire));
        }
        od_http_stream_write(exchange, "", 0);
        od_http_stream_write(exchange, "data: 2\n\n", 9);
        od_http_stream_end(exchange);
        od_buf_reset(&body);
        assert_true(wire_read_chunks(&wire, &body));
        assert_string_equal(od_buf_text(&body), "data: 1\n\ndata: 2\n\n");
        answer = wire_read(&wire, false);  // the pipelined one
        assert_int_equal(answer.code, 200);
        wire_answer_release(&answer);
    }
    wire_close(&wire);

    // HTTP/1.0 knows no chunks: the end of the connection ends the answer.
    wire = connect_to(&fixture);
    assert_true(wire_puts(&wire, "GET /later HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
    struct od_http_exchange *exchange = take_held(&fixture);
    od_http_stream_begin(exchange, 200, "text/event-stream");
    od_http_stream_write(exchange, "all", 3);
    od_http_stream_end(exchange);
    while (wire_fill(&wire)) {
    }
    assert_non_null(strstr(od_buf_text(&wire.in), "Connection: close\r\n"));
    assert_null(strstr(od_buf_text(&wire.in), "chunked"));
    assert_string_equal(strstr(od_buf_text(&wire.in), "\r\n\r\n") + 4, "all");
    wire_close(&wire);
    od_buf_release(&body);
    od_http_server_stop(fixture.server, 1000);
}

// A client that leaves in mid-stream is noticed; one that reads nothing is cut off, and costs no more
// memory than allowed.
static void stream_to_nobody(void **state)
{
    (void)state;
    static char piece[1 << 16];
    struct fixture fixture;
    start(&fixture);
    struct wire wire = connect_to(&fixture);
    assert_true(wire_puts(&wire, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n"));
    struct od_http_exchange *exchange = take_held(&fixture);
    od_http_stream_begin(exchange, 200, "text/event-stream");
    struct wire_answer answer = wire_read(&wire, false);
    wire_answer_release(&answer);
    wire_close(&wire);
    while (!od_http_exchange_cancelled(exchange)) {
        od_http_stream_write(exchange, "x", 1);
    }
    od_http_stream_write(exchange, "x", 1);
    od_http_stream_end(exchange);

    wire = connect_to(&fixture);
    assert_true(wire_puts(&wire, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n"));
    exchange = take_held(&fixture);
    od_http_stream_begin(exchange, 200, "text/event-stream");
    int64_t written = 0;
    while (!od_http_exchange_cancelled(exchange)) {
        od_http_stream_write(exchange, piece, sizeof piece);
        written += (int64_t)sizeof piece;
    }
    assert_true(written > AHEAD_BYTES);
    od_http_stream_end(exchange);
    wire_close(&wire);
    od_http_server_stop(fixture.server, 1000);
}

// A stop in mid-stream lets it end, and closes the connection behind it.
static void stop_in_a_stream(void **state)
{
    (void)state;
    struct fixture fixture;
    struct od_buf body;
    start(&fixture);
    struct wire wire = connect_to(&fixture);
    od_buf_init(&body, 1 << 16);
    assert_true(wire_puts(&wire, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n"));
    struct od_http_exchange *exchange = take_held(&fixture);
    od_http_stream_begin(exchange, 200, "text/event-stream");
    struct wire_answer answer = wire_read(&wire, false);
    wire_answer_release(&answer);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, stop_server, fixture.server), 0);
    od_http_stream_write(exchange, "late", 4);
    od_http_stream_end(exchange);
    assert_true(wire_read_chunks(&wire, &body));
    assert_string_equal(od_buf_text(&body), "late");
    assert_true(wire_ended(&wire));
    (void)pthread_join(thread, NULL);
    wire_close(&wire);
    od_buf_release(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stream_in_pieces),
        cmocka_unit_test(stream_to_nobody),
        cmocka_unit_test(stop_in_a_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
