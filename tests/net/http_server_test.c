// Goal: the server on real sockets: the table of requests, limits, pipelining, keep-alive, answers
//       from other threads, clients that hang up, orderly stop.
// Method: a handler that echoes; /later is answered when the test says so, from another thread.

#include "net/http_server.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/memory.h"
#include "net/bad_requests.h"
#include "net/wire.h"
#include "support.h"

enum { HELD_MAX = 64, CLIENTS = 16, ROUNDS = 1000, BIG_BYTES = 8 << 20 };

/** Requests to /later wait here until the test lets them go. */
struct later {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct od_http_exchange *held[HELD_MAX];
    size_t held_count;
    atomic_int handled;
};

struct fixture {
    struct later later;
    struct od_http_server *server;
    int port;
};

static void answer_echo(struct od_http_exchange *exchange)
{
    const struct od_http_request *request = od_http_exchange_request(exchange);
    struct od_http_response response = {.code = 200, .content_type = "text/plain"};
    od_buf_init(&response.body, BIG_BYTES);
    if (strcmp(request->path, "/big") == 0) {
        for (int i = 0; i < BIG_BYTES / 64; i++) {
            od_buf_append(&response.body,
                          "0123456789012345678901234567890123456789012345678901234567890123", 64);
        }
    } else if (strcmp(request->path, "/fails") == 0) {
        od_buf_init(&response.body, 1);
        od_buf_puts(&response.body, "too long for it");
    } else if (strcmp(request->path, "/busy") == 0) {
        response.code = 503;
        response.retry_after_s = 7;
        response.allow = "GET, HEAD";
    } else {
        od_buf_append(&response.body, request->body, request->body_size);
    }
    od_http_respond(exchange, &response);
    assert(response.body.bytes == NULL);
}

static void handle(void *context, struct od_http_exchange *exchange)
{
    struct later *later = context;
    atomic_fetch_add(&later->handled, 1);
    if (strcmp(od_http_exchange_request(exchange)->path, "/later") != 0) {
        answer_echo(exchange);
        return;
    }
    (void)pthread_mutex_lock(&later->lock);
    assert(later->held_count < HELD_MAX);
    later->held[later->held_count++] = exchange;
    (void)pthread_cond_broadcast(&later->changed);
    (void)pthread_mutex_unlock(&later->lock);
}

/** Wait until `count` requests are held, and take the oldest. */
static struct od_http_exchange *take_held(struct later *later, size_t count)
{
    (void)pthread_mutex_lock(&later->lock);
    while (later->held_count < count) {
        (void)pthread_cond_wait(&later->changed, &later->lock);
    }
    struct od_http_exchange *exchange = later->held[0];
    later->held_count--;
    memmove(later->held, later->held + 1, later->held_count * sizeof later->held[0]);
    (void)pthread_mutex_unlock(&later->lock);
    return exchange;
}

static void start(struct fixture *fixture, struct od_http_options options)
{
    struct od_error err = {0};
    *fixture = (struct fixture){
        .later = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER}};
    options.handler = handle;
    options.context = &fixture->later;
    options.limits = (struct od_http_limits){.target_max_bytes = WIRE_TARGET_MAX_BYTES,
                                             .head_max_bytes = WIRE_HEAD_MAX_BYTES,
                                             .body_max_bytes = WIRE_BODY_MAX_BYTES};
    assert_ok(od_http_server_create(&options, &fixture->server, &err), &err);
    fixture->port = od_http_server_port(fixture->server);
    assert_in_range(fixture->port, 1, 65535);
}

static struct od_http_options defaults(void)
{
    return (struct od_http_options)OD_HTTP_OPTIONS_INIT;
}

static struct wire connect_to(const struct fixture *fixture)
{
    struct wire wire;
    assert_true(wire_open(&wire, fixture->port));
    return wire;
}

static void table_over_sockets(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, defaults());
    for (size_t i = 0; i < WIRE_CASE_COUNT; i++) {
        const struct wire_case *test = &WIRE_CASES[i];
        struct wire wire = connect_to(&fixture);
        assert_true(wire_send(&wire, test->bytes, test->size));
        struct wire_answer answer = wire_read(&wire, false);
        if (answer.code != test->code) {
            fail_msg("%s: %d instead of %d", test->name, answer.code, test->code);
        }
        if (test->code == 200) {
            assert_string_equal(answer.body, test->body);
        } else {
            assert_true(wire_field_is(&answer, "Connection:", "close"));
            assert_true(strncmp(answer.body, "{\"detail\":\"", 11) == 0);
            assert_true(wire_ended(&wire));
        }
        wire_answer_release(&answer);
        wire_close(&wire);
    }
    od_http_server_stop(fixture.server, 1000);
}

static void answer_bytes_are_exact(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, defaults());
    struct wire wire = connect_to(&fixture);
    struct wire_answer answer = wire_ask(&wire, "POST", "/x", "hello");
    const char *date = wire_field(&answer, "Date:");
    assert_non_null(date);
    assert_memory_equal(date + 25, " GMT\r\n", 6);
    char expected[256];
    (void)snprintf(expected, sizeof expected,
                   "HTTP/1.1 200 OK\r\nDate: %.29s\r\nContent-Type: text/plain\r\n"
                   "Content-Length: 5\r\n\r\n",
                   date);
    assert_string_equal(answer.head, expected);
    assert_string_equal(answer.body, "hello");
    wire_answer_release(&answer);

    answer = wire_ask(&wire, "HEAD", "/big", NULL);
    assert_int_equal(answer.code, 200);
    assert_true(wire_field_is(&answer, "Content-Length:", "8388608"));
    wire_answer_release(&answer);

    answer = wire_ask(&wire, "GET", "/busy", NULL);
    assert_int_equal(answer.code, 503);
    assert_true(wire_field_is(&answer, "Retry-After:", "7"));
    assert_true(wire_field_is(&answer, "Allow:", "GET, HEAD"));
    assert_true(wire_field_is(&answer, "Content-Length:", "0"));
    wire_answer_release(&answer);

    answer = wire_ask(&wire, "GET", "/fails", NULL);
    assert_int_equal(answer.code, 503);
    assert_int_equal(answer.body_size, 0);
    wire_answer_release(&answer);
    wire_close(&wire);

    wire = connect_to(&fixture);
    assert_true(wire_puts(&wire, "GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
    answer = wire_read(&wire, false);
    assert_true(wire_field_is(&answer, "Connection:", "keep-alive"));
    wire_answer_release(&answer);
    assert_true(wire_puts(&wire, "GET /x HTTP/1.0\r\n\r\n"));
    answer = wire_read(&wire, false);
    assert_true(wire_field_is(&answer, "Connection:", "close"));
    assert_true(wire_ended(&wire));
    wire_answer_release(&answer);
    wire_close(&wire);
    od_http_server_stop(fixture.server, 1000);
}

static void thousand_requests_on_one_connection(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, defaults());
    struct wire wire = connect_to(&fixture);
    for (int i = 0; i < ROUNDS; i++) {
        char body[32];
        (void)snprintf(body, sizeof body, "round %d", i);
        struct wire_answer answer = wire_ask(&wire, "POST", "/x", body);
        assert_string_equal(answer.body, body);
        wire_answer_release(&answer);
    }
    // Once warm, a request costs no allocation but that of its answer.
    const uint64_t before = od_alloc_count();
    assert_true(wire_puts(&wire, POST_HOST "Content-Length: 1\r\n\r\na"));
    struct wire_answer answer = wire_read(&wire, false);
    const uint64_t after = od_alloc_count();
    assert_in_range(after - before, 1, 8);
    wire_answer_release(&answer);
    wire_close(&wire);
    od_http_server_stop(fixture.server, 1000);
}

static void pipelined_requests_in_order(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, defaults());
    struct wire wire = connect_to(&fixture);
    // The second is answered late; the third, already there, must wait for it.
    assert_true(
        wire_puts(&wire, POST_HOST
                  "Content-Length: 3\r\n\r\none"
                  "POST /later HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\ntwo" POST_HOST
                  "Transfer-Encoding: chunked\r\n\r\n5\r\nthree\r\n0\r\n\r\n"));
    struct od_http_exchange *second = take_held(&fixture.later, 1);
    struct wire_answer answer = wire_read(&wire, false);
    assert_string_equal(answer.body, "one");
    wire_answer_release(&answer);
    assert_int_equal(atomic_load(&fixture.later.handled), 2);
    answer_echo(second);
    answer = wire_read(&wire, false);
    assert_string_equal(answer.body, "two");
    wire_answer_release(&answer);
    answer = wire_read(&wire, false);
    assert_string_equal(answer.body, "three");
    wire_answer_release(&answer);

    // Many at once, with answers far larger than what the kernel takes: no more are worked on than
    // a slow reader takes.
    for (int i = 0; i < 5; i++) {
        assert_true(wire_puts(&wire, "GET /big HTTP/1.1\r\nHost: h\r\n\r\n"));
    }
    for (int i = 0; i < 5; i++) {
        answer = wire_read(&wire, false);
        assert_int_equal(answer.body_size, BIG_BYTES);
        assert_memory_equal(answer.body + BIG_BYTES - 64, "01234567890123456789", 20);
        wire_answer_release(&answer);
    }
    // Two that wait one behind the other with the handler: the timer of idling must be off.
    assert_true(wire_puts(&wire,
                          "GET /later HTTP/1.1\r\nHost: h\r\n\r\n"
                          "GET /later HTTP/1.1\r\nHost: h\r\n\r\n"));
    for (int i = 0; i < 2; i++) {
        answer_echo(take_held(&fixture.later, 1));
        answer = wire_read(&wire, false);
        assert_int_equal(answer.code, 200);
        wire_answer_release(&answer);
    }
    wire_close(&wire);
    od_http_server_stop(fixture.server, 1000);
}

static void continue_only_when_wanted(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, defaults());
    struct wire wire = connect_to(&fixture);
    assert_true(wire_puts(&wire, POST_HOST "Content-Length: 3\r\nExpect: 100-Continue\r\n\r\n"));
    struct wire_answer answer = wire_read(&wire, false);
    assert_int_equal(answer.code, 100);
    wire_answer_release(&answer);
    assert_true(wire_puts(&wire, "abc"));
    answer = wire_read(&wire, false);
    assert_int_equal(answer.code, 200);
    assert_string_equal(answer.body, "abc");
    wire_answer_release(&answer);
    // The body is there already.
    assert_true(wire_puts(&wire, POST_HOST "Content-Length: 3\r\nExpect: 100-continue\r\n\r\nabc"));
    answer = wire_read(&wire, false);
    assert_int_equal(answer.code, 200);
    wire_answer_release(&answer);
    // The body is not wanted: no 100, and the answer survives what the client sends all the same.
    assert_true(
        wire_puts(&wire, POST_HOST "Content-Length: 99999\r\nExpect: 100-continue\r\n\r\n"));
    answer = wire_read(&wire, false);
    assert_int_equal(answer.code, 413);
    wire_answer_release(&answer);
    wire_close(&wire);
    od_http_server_stop(fixture.server, 1000);
}

static void large_upload_still_gets_its_answer(void **state)
{
    (void)state;
    struct fixture fixture;
    struct od_buf body;
    start(&fixture, defaults());
    struct wire wire = connect_to(&fixture);
    od_buf_init(&body, BIG_BYTES);
    for (int i = 0; i < BIG_BYTES / 8; i++) {
        od_buf_append(&body, "abcdefgh", 8);
    }
    assert_true(wire_puts(&wire, POST_HOST "Content-Length: 8388608\r\n\r\n"));
    (void)wire_send(&wire, body.bytes, body.size);  // may be cut short
    struct wire_answer answer = wire_read(&wire, false);
    assert_int_equal(answer.code, 413);
    wire_answer_release(&answer);
    od_buf_release(&body);
    wire_close(&wire);
    od_http_server_stop(fixture.server, 1000);
}

static void deadlines_of_slow_clients(void **state)
{
    (void)state;
    struct fixture fixture;
    struct od_http_options options = defaults();
    options.head_ms_max = 50;
    options.body_ms_max = 50;
    options.idle_ms_max = 100;
    start(&fixture, options);
    static const char *const STARTS[] = {"GET /x HTT", POST_HOST "Content-Length: 4\r\n\r\nab",
                                         CHUNKED "4\r\nab"};
    for (size_t i = 0; i < sizeof STARTS / sizeof STARTS[0]; i++) {
        struct wire wire = connect_to(&fixture);
        assert_true(wire_puts(&wire, STARTS[i]));
        struct wire_answer answer = wire_read(&wire, false);
        assert_int_equal(answer.code, 408);
        assert_true(wire_ended(&wire));
        wire_answer_release(&answer);
        wire_close(&wire);
    }
    // One that trickles: every byte resets nothing.
    struct wire wire = connect_to(&fixture);
    size_t sent = 0;
    while (sent < 1000000 && wire_send(&wire, "G", 1) && sent < WIRE_HEAD_MAX_BYTES - 1) {
        char byte;
        if (recv(wire.fd, &byte, 1, MSG_DONTWAIT) == 1) {
            break;
        }
        sent++;
    }
    wire_close(&wire);
    // One that says nothing, before and after a request.
    wire = connect_to(&fixture);
    assert_true(wire_ended(&wire));
    wire_close(&wire);
    wire = connect_to(&fixture);
    struct wire_answer answer = wire_ask(&wire, "GET", "/x", NULL);
    assert_int_equal(answer.code, 200);
    wire_answer_release(&answer);
    assert_true(wire_ended(&wire));
    wire_close(&wire);
    // The handler may take longer than all of them: the answer comes when it comes.
    wire = connect_to(&fixture);
    struct wire idle = connect_to(&fixture);
    // Behind one that is answered at once: the timer of the time before must be off.
    assert_true(wire_puts(&wire, GET_HOST "\r\n"
                                          "GET /later HTTP/1.1\r\nHost: h\r\n\r\n"
                                          "GET /later HTTP/1.1\r\nHost: h\r\n\r\n"));
    answer = wire_read(&wire, false);
    assert_int_equal(answer.code, 200);
    wire_answer_release(&answer);
    for (int i = 0; i < 2; i++) {
        struct od_http_exchange *exchange = take_held(&fixture.later, 1);
        assert_true(wire_ended(&idle));  // which takes the idle time
        wire_close(&idle);
        idle = connect_to(&fixture);
        answer_echo(exchange);
        answer = wire_read(&wire, false);
        assert_int_equal(answer.code, 200);
        wire_answer_release(&answer);
    }
    wire_close(&idle);
    wire_close(&wire);
    od_http_server_stop(fixture.server, 1000);
}

static void client_that_takes_nothing(void **state)
{
    (void)state;
    struct fixture fixture;
    struct od_http_options options = defaults();
    options.send_ms_max = 500;
    start(&fixture, options);
    struct wire wire = connect_to(&fixture);
    for (int i = 0; i < 4; i++) {
        assert_true(wire_puts(&wire, "GET /big HTTP/1.1\r\nHost: h\r\n\r\n"));
    }
    // Not reading: a stop with a long deadline ends all the same, since the client is given up.
    struct wire other = connect_to(&fixture);
    struct wire_answer answer = wire_ask(&other, "GET", "/x", NULL);
    assert_int_equal(answer.code, 200);
    wire_answer_release(&answer);
    wire_close(&other);
    const double start_s = od_clock_s();
    od_http_server_stop(fixture.server, 60000);
    assert_true(od_clock_s() - start_s < 30.0);
    wire_close(&wire);
}

static void clients_that_hang_up(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, defaults());
    static const char *const STARTS[] = {"", "G", "GET /x HTTP/1.1\r\nHo",
                                         POST_HOST "Content-Length: 4\r\n\r\nab",
                                         CHUNKED "4\r\nab"};
    for (size_t i = 0; i < sizeof STARTS / sizeof STARTS[0]; i++) {
        struct wire wire = connect_to(&fixture);
        assert_true(wire_puts(&wire, STARTS[i]));
        (void)shutdown(wire.fd, SHUT_WR);
        assert_true(wire_ended(&wire));
        wire_close(&wire);
    }
    assert_int_equal(atomic_load(&fixture.later.handled), 0);

    // During the work: cancelled, and the answer goes nowhere.
    struct wire wire = connect_to(&fixture);
    assert_true(wire_puts(&wire, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n"));
    struct od_http_exchange *exchange = take_held(&fixture.later, 1);
    assert_false(od_http_exchange_cancelled(exchange));
    wire_close(&wire);
    while (!od_http_exchange_cancelled(exchange)) {
    }
    assert_string_equal(od_http_exchange_request(exchange)->path, "/later");
    answer_echo(exchange);

    // Half closed: counts as hung up, yet an answer that comes is sent, and what was pipelined too.
    wire = connect_to(&fixture);
    assert_true(wire_puts(&wire, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n" GET_HOST "\r\n"));
    (void)shutdown(wire.fd, SHUT_WR);
    exchange = take_held(&fixture.later, 1);
    while (!od_http_exchange_cancelled(exchange)) {
    }
    answer_echo(exchange);
    for (int i = 0; i < 2; i++) {
        struct wire_answer answer = wire_read(&wire, false);
        assert_int_equal(answer.code, 200);
        wire_answer_release(&answer);
    }
    assert_true(wire_ended(&wire));
    wire_close(&wire);

    // Reset in the middle of a large answer.
    wire = connect_to(&fixture);
    const struct linger reset = {.l_onoff = 1, .l_linger = 0};
    assert_true(wire_puts(&wire, "GET /big HTTP/1.1\r\nHost: h\r\n\r\n"));
    assert_true(wire_fill(&wire));
    (void)setsockopt(wire.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    wire_close(&wire);
    od_http_server_stop(fixture.server, 5000);
}

static void too_many_connections(void **state)
{
    (void)state;
    struct fixture fixture;
    struct od_http_options options = defaults();
    options.connections_max = 3;
    start(&fixture, options);
    struct wire wires[4];
    for (int i = 0; i < 3; i++) {
        wires[i] = connect_to(&fixture);
        struct wire_answer answer = wire_ask(&wires[i], "GET", "/x", NULL);
        assert_int_equal(answer.code, 200);
        wire_answer_release(&answer);
    }
    struct wire_answer answer = wire_ask(&wires[0], "GET", "/x", NULL);
    wire_answer_release(&answer);  // now the second has idled longest
    wires[3] = connect_to(&fixture);
    answer = wire_ask(&wires[3], "GET", "/x", NULL);
    assert_int_equal(answer.code, 200);
    wire_answer_release(&answer);
    assert_true(wire_ended(&wires[1]));
    wire_close(&wires[1]);
    // All busy: a newcomer is told so.
    const int busy[] = {0, 2, 3};
    for (int i = 0; i < 3; i++) {
        assert_true(wire_puts(&wires[busy[i]], "GET /later HTTP/1.1\r\nHost: h\r\n\r\n"));
    }
    (void)pthread_mutex_lock(&fixture.later.lock);
    while (fixture.later.held_count < 3) {
        (void)pthread_cond_wait(&fixture.later.changed, &fixture.later.lock);
    }
    (void)pthread_mutex_unlock(&fixture.later.lock);
    struct wire wire = connect_to(&fixture);
    answer = wire_read(&wire, false);
    assert_int_equal(answer.code, 503);
    assert_string_equal(answer.body, "{\"detail\":\"too many connections\"}");
    assert_true(wire_ended(&wire));
    wire_answer_release(&answer);
    wire_close(&wire);
    for (size_t i = 3; i > 0; i--) {
        answer_echo(take_held(&fixture.later, 1));
    }
    for (int i = 0; i < 3; i++) {
        answer = wire_read(&wires[busy[i]], false);
        assert_int_equal(answer.code, 200);
        wire_answer_release(&answer);
        wire_close(&wires[busy[i]]);
    }
    od_http_server_stop(fixture.server, 1000);
}

static void *answer_all(void *context)
{
    struct later *later = context;
    for (int i = 0; i < CLIENTS * 20; i++) {
        answer_echo(take_held(later, 1));
    }
    return NULL;
}

struct client {
    int port;
    int good;
};

static void *ask_twenty(void *context)
{
    struct client *client = context;
    struct wire wire;
    if (!wire_open(&wire, client->port)) {
        return NULL;
    }
    for (int i = 0; i < 20; i++) {
        char body[64];
        (void)snprintf(body, sizeof body, "client %p round %d", context, i);
        struct wire_answer answer = wire_ask(&wire, "POST", "/later", body);
        client->good += answer.code == 200 && strcmp(answer.body, body) == 0;
        wire_answer_release(&answer);
    }
    wire_close(&wire);
    return NULL;
}

static void answers_from_other_threads(void **state)
{
    (void)state;
    struct fixture fixture;
    pthread_t workers[2];
    pthread_t threads[CLIENTS];
    struct client clients[CLIENTS];
    start(&fixture, defaults());
    assert_int_equal(pthread_create(&workers[0], NULL, answer_all, &fixture.later), 0);
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){.port = fixture.port};
        assert_int_equal(pthread_create(&threads[i], NULL, ask_twenty, &clients[i]), 0);
    }
    for (int i = 0; i < CLIENTS; i++) {
        (void)pthread_join(threads[i], NULL);
        assert_int_equal(clients[i].good, 20);
    }
    (void)pthread_join(workers[0], NULL);
    od_http_server_stop(fixture.server, 1000);
}

struct stopper {
    struct od_http_server *server;
    int64_t deadline_ms;
};

static void *stop_server(void *context)
{
    struct stopper *stopper = context;
    od_http_server_stop(stopper->server, stopper->deadline_ms);
    return NULL;
}

static void stop_finishes_what_is_in_flight(void **state)
{
    (void)state;
    struct fixture fixture;
    pthread_t thread;
    start(&fixture, defaults());
    struct wire idle = connect_to(&fixture);
    struct wire_answer answer = wire_ask(&idle, "GET", "/x", NULL);
    wire_answer_release(&answer);
    struct wire half = connect_to(&fixture);
    assert_true(wire_puts(&half, POST_HOST "Content-Length: 4\r\n\r\nab"));
    struct wire busy = connect_to(&fixture);
    assert_true(wire_puts(&busy, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n"));
    struct od_http_exchange *exchange = take_held(&fixture.later, 1);
    struct stopper stopper = {fixture.server, 60000};
    assert_int_equal(pthread_create(&thread, NULL, stop_server, &stopper), 0);
    assert_true(wire_ended(&idle));
    struct wire late;
    assert_false(wire_open(&late, fixture.port));
    wire_close(&late);
    assert_true(wire_puts(&half, "cd"));
    answer = wire_read(&half, false);
    assert_string_equal(answer.body, "abcd");
    assert_true(wire_field_is(&answer, "Connection:", "close"));
    assert_true(wire_ended(&half));
    wire_answer_release(&answer);
    assert_false(od_http_exchange_cancelled(exchange));
    answer_echo(exchange);
    answer = wire_read(&busy, false);
    assert_int_equal(answer.code, 200);
    wire_answer_release(&answer);
    wire_close(&busy);
    wire_close(&half);
    wire_close(&idle);
    (void)pthread_join(thread, NULL);
}

static void stop_ends_at_its_deadline(void **state)
{
    (void)state;
    struct fixture fixture;
    pthread_t thread;
    start(&fixture, defaults());
    struct wire half = connect_to(&fixture);
    assert_true(wire_puts(&half, "GET /x HTTP"));
    struct wire busy = connect_to(&fixture);
    assert_true(wire_puts(&busy, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n"));
    struct od_http_exchange *exchange = take_held(&fixture.later, 1);
    struct stopper stopper = {fixture.server, 20};
    assert_int_equal(pthread_create(&thread, NULL, stop_server, &stopper), 0);
    assert_true(wire_ended(&half));
    assert_true(wire_ended(&busy));
    while (!od_http_exchange_cancelled(exchange)) {
    }
    answer_echo(exchange);
    (void)pthread_join(thread, NULL);
    wire_close(&busy);
    wire_close(&half);
}

static void addresses_that_cannot_be_had(void **state)
{
    (void)state;
    struct fixture fixture;
    struct od_error err = {0};
    struct od_http_server *second = NULL;
    struct od_http_options options = defaults();
    start(&fixture, options);
    options.handler = handle;
    options.port = fixture.port;
    assert_int_equal(od_http_server_create(&options, &second, &err), OD_E_IO);
    char expected[128];
    (void)snprintf(
        expected, sizeof expected,
        "cannot listen on 127.0.0.1 port %d: Address already in use; choose another port",
        fixture.port);
    assert_string_equal(err.message, expected);
    options.port = 65536;
    assert_int_equal(od_http_server_create(&options, &second, &err), OD_E_ARGUMENT);
    options.port = 0;
    options.host = "not a host";
    assert_int_equal(od_http_server_create(&options, &second, &err), OD_E_NOT_FOUND);
    assert_null(second);
    od_http_server_stop(NULL, 0);
    od_http_server_stop(fixture.server, 1000);
}

static void every_allocation_fails_once(void **state)
{
    (void)state;
    struct od_error err = {0};
    for (uint64_t n = 1; n < 40; n++) {
        struct fixture fixture;
        start(&fixture, defaults());
        od_alloc_fail_at(n);
        struct wire wire;
        if (wire_open(&wire, fixture.port)) {
            struct wire_answer answer = wire_ask(&wire, "POST", "/x", "abc");
            assert_true(answer.code == 200 || answer.code == 503 || answer.code == 0);
            wire_answer_release(&answer);
        }
        wire_close(&wire);
        od_alloc_fail_at(0);
        od_http_server_stop(fixture.server, 1000);
    }
    od_alloc_fail_at(1);
    struct od_http_server *server = NULL;
    const struct od_http_options options = defaults();
    assert_int_equal(od_http_server_create(&options, &server, &err), OD_E_MEMORY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_over_sockets),
        cmocka_unit_test(answer_bytes_are_exact),
        cmocka_unit_test(thousand_requests_on_one_connection),
        cmocka_unit_test(pipelined_requests_in_order),
        cmocka_unit_test(continue_only_when_wanted),
        cmocka_unit_test(large_upload_still_gets_its_answer),
        cmocka_unit_test(deadlines_of_slow_clients),
        cmocka_unit_test(client_that_takes_nothing),
        cmocka_unit_test(clients_that_hang_up),
        cmocka_unit_test(too_many_connections),
        cmocka_unit_test(answers_from_other_threads),
        cmocka_unit_test(stop_finishes_what_is_in_flight),
        cmocka_unit_test(stop_ends_at_its_deadline),
        cmocka_unit_test(addresses_that_cannot_be_had),
        cmocka_unit_test(every_allocation_fails_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
