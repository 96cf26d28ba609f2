// Goal: the endpoints answer as the challenge's API says, to many clients at a time, when busy, when
//       full, and to clients that go away.
// Method: real sockets, a responder whose every number is known and whose delay the test controls.

#include "serve/server.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "net/wire.h"
#include "serve/stand_in.h"
#include "support.h"

enum { CLIENTS = 24, ROUNDS = 20, KEEP_ALIVE_ROUNDS = 1000, BODY_MAX_BYTES = 100000 };

struct fixture {
    struct stand_in stand_in;
    struct od_server *server;
    int port;
};

static void start(struct fixture *fixture, int64_t workers, int64_t queue_max)
{
    struct od_error err = {0};
    struct od_server_options options = OD_SERVER_OPTIONS_INIT;
    stand_in_init(&fixture->stand_in);
    options.port = 0;
    options.workers = workers;
    options.queue_max = queue_max;
    options.body_max_bytes = BODY_MAX_BYTES;
    assert_ok(od_server_start(&fixture->stand_in.responder, &options, &fixture->server, &err),
              &err);
    fixture->port = od_server_port(fixture->server);
}

static struct wire connect_to(const struct fixture *fixture)
{
    struct wire wire;
    assert_true(wire_open(&wire, fixture->port));
    return wire;
}

struct exchange_case {
    const char *method;
    const char *path;
    const char *body;
    int code;
    const char *answer;  ///< what it starts with; whole but for the time, where it has one
};

static const struct exchange_case EXCHANGES[] = {
    {"POST", "/process", "{\"prompt\":\"ab\",\"max_new_tokens\":3,\"temperature\":0}", 200,
     "{\"text\":\"aba\",\"tokens\":[{\"text\":\"a\",\"logprob\":-0.5,\"top_logprob\":{\"a\":-0.5}},"
     "{\"text\":\"b\",\"logprob\":-1.0,\"top_logprob\":{\"b\":-1.0}},{\"text\":\"a\",\"logprob\":-1.5,"
     "\"top_logprob\":{\"a\":-1.5}}],\"logprob\":-3.0,\"request_time\":0.25}"},
    // Stop sequences end the text; the alternatives are as many as asked for.
    {"POST", "/process",
     "{\"prompt\":\"ab.c\",\"max_new_tokens\":9,\"stop_sequences\":[\"zz\",\".c\"],"
     "\"top_k_per_token\":2}",
     200,
     "{\"text\":\"ab\",\"tokens\":[{\"text\":\"a\",\"logprob\":-0.5,\"top_logprob\":{\"a\":-0.5,\"b\":"
     "-1.5}},{\"text\":\"b\",\"logprob\":-1.0,\"top_logprob\":{\"b\":-1.0,\"c\":-2.0}}],\"logprob\":"
     "-1.5,\"request_time\":0.25}"},
    {"POST", "/process", "{\"prompt\":\"ab\",\"max_new_tokens\":0}", 200,
     "{\"text\":\"\",\"tokens\":[],\"logprob\":0.0,\"request_time\":0.25}"},
    // Only an explicit true echoes.
    {"POST", "/process", "{\"prompt\":\"ab\",\"max_new_tokens\":0,\"echo_prompt\":true}", 200,
     "{\"text\":\"ab\",\"tokens\":[{\"text\":\"a\",\"logprob\":-0.5,\"top_logprob\":{\"a\":-0.5}},"
     "{\"text\":\"b\",\"logprob\":-1.0,\"top_logprob\":{\"b\":-1.0}}],\"logprob\":0.0,"
     "\"request_time\":0.25}"},
    {"POST", "/process", "{\"prompt\":\"ab\",\"max_new_tokens\":0,\"echo_prompt\":null}", 200,
     "{\"text\":\"\",\"tokens\":[],\"logprob\":0.0,\"request_time\":0.25}"},
    // Several completions: the first in the usual places, then all of them.
    {"POST", "/process", "{\"prompt\":\"sample\",\"num_samples\":2}", 200,
     "{\"text\":\"0\",\"tokens\":[{\"text\":\"0\",\"logprob\":-0.5,\"top_logprob\":{\"0\":-0.5}}],"
     "\"logprob\":-1.0,\"request_time\":0.25,\"completions\":[{\"text\":\"0\",\"tokens\":[{\"text\":"
     "\"0\",\"logprob\":-0.5,\"top_logprob\":{\"0\":-0.5}}],\"logprob\":-1.0},{\"text\":\"1111\","
     "\"tokens\":[{\"text\":\"1\",\"logprob\":-0.5,\"top_logprob\":{\"1\":-0.5}},{\"text\":\"1\","
     "\"logprob\":-1.0,\"top_logprob\":{\"1\":-1.0}},{\"text\":\"1\",\"logprob\":-1.5,"
     "\"top_logprob\":{\"1\":-1.5}},{\"text\":\"1\",\"logprob\":-2.0,\"top_logprob\":{\"1\":-2.0}}],"
     "\"logprob\":-2.0}]}"},
    {"POST", "/process",
     "{\"prompt\":\"a\",\"max_new_tokens\":0,\"num_samples\":1,\"num_return_sequences\":2}", 200,
     "{\"text\":\"\",\"tokens\":[],\"logprob\":0.0,\"request_time\":0.25,\"completions\":[{\"text\":"
     "\"\",\"tokens\":[],\"logprob\":0.0},{\"text\":\"\",\"tokens\":[],\"logprob\":0.0}]}"},
    {"POST", "/process",
     "{\"prompt\":\"a\",\"max_new_tokens\":0,\"num_samples\":\"1\",\"num_return_sequences\":null}",
     200, "{\"text\":\"\",\"tokens\":[],\"logprob\":0.0,\"request_time\":0.25}"},
    {"POST", "/process", "{\"prompt\":\"nan\",\"max_new_tokens\":1,\"num_samples\":2}", 500,
     "{\"detail\":\"the model's answer holds a number that is not finite\"}"},
    // What JSON cannot say.
    {"POST", "/process", "{\"prompt\":\"bytes\",\"max_new_tokens\":0}", 200,
     "{\"text\":\"a\xef\xbf\xbd\xef\xbf\xbd\",\"tokens\":[],\"logprob\":0.0,\"request_time\":0.25}"},
    {"POST", "/process", "{\"prompt\":\"inf\",\"max_new_tokens\":1,\"top_k_per_token\":3}", 200,
     "{\"text\":\"i\",\"tokens\":[{\"text\":\"i\",\"logprob\":-0.5,\"top_logprob\":{\"i\":-0.5,\"j\":"
     "-1.5}}],\"logprob\":-0.5,\"request_time\":0.25}"},
    {"POST", "/process", "{\"prompt\":\"nan\",\"max_new_tokens\":1}", 500,
     "{\"detail\":\"the model's answer holds a number that is not finite\"}"},
    // The responder's failures.
    {"POST", "/process", "{\"prompt\":\"status 1\"}", 422,
     "{\"detail\":[{\"loc\":[\"body\"],\"msg\":\"it failed with \\\"1\\\"\",\"type\":\"value_error\"}]}"},
    {"POST", "/process", "{\"prompt\":\"status 5\"}", 422,
     "{\"detail\":[{\"loc\":[\"body\"],\"msg\":\"it failed with \\\"5\\\"\",\"type\":\"value_error\"}]}"},
    {"POST", "/process", "{\"prompt\":\"status 6\"}", 503,
     "{\"detail\":\"it failed with \\\"6\\\"\"}"},
    {"POST", "/process", "{\"prompt\":\"status 7\"}", 500,
     "{\"detail\":\"it failed with \\\"7\\\"\"}"},
    // /tokenize and /decode.
    {"POST", "/tokenize", "{\"text\":\"hi\"}", 200, "{\"tokens\":[256,104,105],\"request_time\":"},
    {"POST", "/tokenize", "{\"text\":\"hi\",\"truncation\":true,\"max_length\":2}", 200,
     "{\"tokens\":[256,104],\"request_time\":"},
    {"POST", "/tokenize", "{\"text\":\"hi\",\"truncation\":false,\"max_length\":2}", 200,
     "{\"tokens\":[256,104,105],\"request_time\":"},
    {"POST", "/tokenize", "{\"text\":\"\"}", 200, "{\"tokens\":[256],\"request_time\":"},
    {"POST", "/tokenize", "{}", 422,
     "{\"detail\":[{\"loc\":[\"body\",\"text\"],\"msg\":\"field required\",\"type\":"
     "\"value_error.missing\"}]}"},
    {"POST", "/decode", "{\"tokens\":[256,104,105]}", 200, "{\"text\":\"hi\",\"request_time\":"},
    {"POST", "/decode", "{\"tokens\":[]}", 200, "{\"text\":\"\",\"request_time\":"},
    {"POST", "/decode", "{\"tokens\":[195]}", 200, "{\"text\":\"\xef\xbf\xbd\",\"request_time\":"},
    {"POST", "/decode", "{\"tokens\":[300]}", 422,
     "{\"detail\":[{\"loc\":[\"body\"],\"msg\":\"id 300 is outside the vocabulary of 257\",\"type\":"
     "\"value_error\"}]}"},
    // The rest.
    {"GET", "/health", NULL, 200,
     "{\"status\":\"ok\",\"model\":\"stand-in\",\"context_length\":512}"},
    {"GET", "/health?x=y", NULL, 200,
     "{\"status\":\"ok\",\"model\":\"stand-in\",\"context_length\":512}"},
    {"GET", "/", NULL, 200, "<!DOCTYPE html>\n"},
    {"GET", "/chat.js", NULL, 200, "// The page at /"},
    {"GET", "/openapi.json", NULL, 200, "{\"openapi\":\"3.0.2\","},
    {"GET", "/nothing", NULL, 404, "{\"detail\":\"Not Found\"}"},
    {"GET", "/v1/nothing", NULL, 404,
     "{\"error\":{\"message\":\"Not Found\",\"type\":\"invalid_request_error\",\"param\":null,"
     "\"code\":null}}"},
    {"GET", "/v1/completions", NULL, 405,
     "{\"error\":{\"message\":\"Method Not Allowed\",\"type\":\"invalid_request_error\",\"param\":"
     "null,\"code\":null}}"},
    {"POST", "/process/", "{}", 404, "{\"detail\":\"Not Found\"}"},
    {"GET", "/process", NULL, 405, "{\"detail\":\"Method Not Allowed\"}"},
    {"DELETE", "/tokenize", NULL, 405, "{\"detail\":\"Method Not Allowed\"}"},
    {"POST", "/health", "{}", 405, "{\"detail\":\"Method Not Allowed\"}"},
};

/** Does `answer` have this code and body? A body that ends in TIME has a small number behind it. */
static bool is_answer(const struct wire_answer *answer, int code, const char *start)
{
    static const char TIME[] = "\"request_time\":";
    const size_t size = strlen(start);
    if (answer->code != code || !answer->body || strncmp(answer->body, start, size) != 0) {
        return false;
    }
    const char *rest = answer->body + size;
    if (size >= sizeof TIME && strcmp(start + size - (sizeof TIME - 1), TIME) == 0) {
        char *end = NULL;
        const double time = strtod(rest, &end);
        return end != rest && time >= 0.0 && time < 60.0 && strcmp(end, "}") == 0;
    }
    return start[size - 1] != '}' || *rest == '\0';
}

static void exact_answers(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, 2, 8);
    struct wire wire = connect_to(&fixture);
    for (size_t i = 0; i < sizeof EXCHANGES / sizeof EXCHANGES[0]; i++) {
        const struct exchange_case *test = &EXCHANGES[i];
        struct wire_answer answer = wire_ask(&wire, test->method, test->path, test->body);
        if (!is_answer(&answer, test->code, test->answer)) {
            fail_msg("%s %s %s: %d %s", test->method, test->path, test->body ? test->body : "",
                     answer.code, answer.body ? answer.body : "(no answer)");
        }
        if (test->code == 405) {
            assert_true(wire_field_is(
                &answer, "Allow:", strcmp(test->path, "/health") == 0 ? "GET, HEAD" : "POST"));
        }
        if (test->code == 503) {
            assert_true(wire_field_is(&answer, "Retry-After:", "1"));
        }
        assert_true(wire_field_is(&answer, "Content-Type:",
                                  test->answer[0] == '{'   ? "application/json"
                                  : test->answer[0] == '<' ? "text/html; charset=utf-8"
                                                           : "text/javascript; charset=utf-8"));
        wire_answer_release(&answer);
    }
    struct wire_answer answer = wire_ask(&wire, "HEAD", "/health", NULL);
    assert_int_equal(answer.code, 200);
    assert_true(wire_field_is(&answer, "Content-Length:", "55"));
    wire_answer_release(&answer);
    wire_close(&wire);
    od_server_stop(fixture.server);
}

/** The server's own end rule is for requests of /process that have none. */
static void stop_of_the_server(void **state)
{
    (void)state;
    static char too_long[OD_STOP_MAX_BYTES + 2];
    static const struct {
        const char *path;
        const char *body;
        const char *text;
    } CASES[] = {
        {"/process", "{\"prompt\":\"ab.c\",\"max_new_tokens\":9}", "\"text\":\"ab\""},
        {"/process", "{\"prompt\":\"ab.c\",\"max_new_tokens\":9,\"stop_sequences\":[]}",
         "\"text\":\"ab\""},
        {"/process", "{\"prompt\":\"ab.c\",\"max_new_tokens\":9,\"stop_sequences\":[\"\"]}",
         "\"text\":\"ab\""},
        {"/process", "{\"prompt\":\"ab.c\",\"max_new_tokens\":9,\"stop_sequences\":[\"b\"]}",
         "\"text\":\"a\""},
        {"/process", "{\"prompt\":\"ab.c\",\"max_new_tokens\":5,\"stop_sequences\":[\"z\"]}",
         "\"text\":\"ab.ca\""},
        {"/v1/completions", "{\"prompt\":\"ab.c\",\"max_tokens\":5}", "\"text\":\"ab.ca\""},
    };
    struct fixture fixture;
    struct od_error err = {0};
    struct od_server_options options = OD_SERVER_OPTIONS_INIT;
    stand_in_init(&fixture.stand_in);
    options.port = 0;
    memset(too_long, 'x', sizeof too_long - 1);
    options.stop = too_long;
    assert_int_equal(od_server_start(&fixture.stand_in.responder, &options, &fixture.server, &err),
                     OD_E_ARGUMENT);
    options.stop = too_long + 1;
    assert_ok(od_server_start(&fixture.stand_in.responder, &options, &fixture.server, &err), &err);
    od_server_stop(fixture.server);
    options.stop = ".c";
    assert_ok(od_server_start(&fixture.stand_in.responder, &options, &fixture.server, &err), &err);
    fixture.port = od_server_port(fixture.server);
    struct wire wire = connect_to(&fixture);
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct wire_answer answer = wire_ask(&wire, "POST", CASES[i].path, CASES[i].body);
        if (answer.code != 200 || !strstr(answer.body, CASES[i].text)) {
            fail_msg("%s: %d %s", CASES[i].body, answer.code, answer.body);
        }
        wire_answer_release(&answer);
    }
    wire_close(&wire);
    od_server_stop(fixture.server);
}

static void prompt_longer_than_the_context(void **state)
{
    (void)state;
    struct fixture fixture;
    char body[1024];
    start(&fixture, 2, 8);
    struct wire wire = connect_to(&fixture);
    (void)snprintf(body, sizeof body, "{\"prompt\":\"%0*d\"}", STAND_IN_CONTEXT - 1, 0);
    struct wire_answer answer = wire_ask(&wire, "POST", "/process", body);
    assert_true(
        is_answer(&answer, 422,
                  "{\"detail\":[{\"loc\":[\"body\"],\"msg\":\"a prompt of 512 tokens does not "
                  "fit the context of 512\",\"type\":\"value_error\"}]}"));
    wire_answer_release(&answer);
    (void)snprintf(body, sizeof body, "{\"prompt\":\"%0*d\"}", STAND_IN_CONTEXT - 2, 0);
    answer = wire_ask(&wire, "POST", "/process", body);
    assert_int_equal(answer.code, 200);
    wire_answer_release(&answer);
    wire_close(&wire);
    od_server_stop(fixture.server);
}

static void body_at_and_past_the_limit(void **state)
{
    (void)state;
    struct fixture fixture;
    struct od_buf body;
    start(&fixture, 1, 1);
    od_buf_init(&body, 2 * BODY_MAX_BYTES);
    od_buf_puts(&body, "{\"text\":\"");
    while (body.size < BODY_MAX_BYTES - 2) {
        od_buf_putc(&body, 'a');
    }
    od_buf_puts(&body, "\"}");
    struct wire wire = connect_to(&fixture);
    struct wire_answer answer = wire_ask(&wire, "POST", "/tokenize", body.bytes);
    assert_int_equal(answer.code, 200);
    wire_answer_release(&answer);
    od_buf_putc(&body, ' ');
    answer = wire_ask(&wire, "POST", "/tokenize", body.bytes);
    assert_int_equal(answer.code, 413);
    assert_string_equal(answer.body, "{\"detail\":\"the body is too large\"}");
    wire_answer_release(&answer);
    wire_close(&wire);
    od_buf_release(&body);
    od_server_stop(fixture.server);
}

/** What the evaluation client does to fit a prompt: sizes must not grow on the way. */
static void decode_of_tokenize_does_not_grow(void **state)
{
    (void)state;
    struct fixture fixture;
    char body[256];
    start(&fixture, 1, 1);
    struct wire wire = connect_to(&fixture);
    struct wire_answer answer =
        wire_ask(&wire, "POST", "/tokenize",
                 "{\"text\":\"a long text\",\"truncation\":true,\"max_length\":7}");
    const char *end = strchr(answer.body, ']');
    (void)snprintf(body, sizeof body, "%.*s]}", (int)(end - answer.body), answer.body);
    wire_answer_release(&answer);
    assert_string_equal(body, "{\"tokens\":[256,97,32,108,111,110,103]}");
    answer = wire_ask(&wire, "POST", "/decode", body);
    assert_true(is_answer(&answer, 200, "{\"text\":\"a long\",\"request_time\":"));
    wire_answer_release(&answer);
    answer = wire_ask(&wire, "POST", "/tokenize", "{\"text\":\"a long\",\"truncation\":false}");
    assert_true(
        is_answer(&answer, 200, "{\"tokens\":[256,97,32,108,111,110,103],\"request_time\":"));
    wire_answer_release(&answer);
    wire_close(&wire);
    od_server_stop(fixture.server);
}

static void thousand_requests_on_one_connection(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, 2, 8);
    struct wire wire = connect_to(&fixture);
    for (int i = 0; i < KEEP_ALIVE_ROUNDS; i++) {
        char body[64];
        char expected[64];
        (void)snprintf(body, sizeof body, "{\"tokens\":[%d,%d]}", 'a' + i % 26, '0' + i % 10);
        (void)snprintf(expected, sizeof expected,
                       "{\"text\":\"%c%c\",\"request_time\":", 'a' + i % 26, '0' + i % 10);
        struct wire_answer answer = wire_ask(&wire, "POST", "/decode", body);
        assert_true(is_answer(&answer, 200, expected));
        wire_answer_release(&answer);
    }
    wire_close(&wire);
    od_server_stop(fixture.server);
}

static void pipelined_requests_in_order(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, 2, 8);
    struct wire wire = connect_to(&fixture);
    static const char *const BODIES[] = {"{\"prompt\":\"wait\",\"max_new_tokens\":4}",
                                         "{\"prompt\":\"two\",\"max_new_tokens\":3}"};
    for (int i = 0; i < 2; i++) {
        char text[256];
        (void)snprintf(text, sizeof text,
                       "POST /process HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n%s",
                       strlen(BODIES[i]), BODIES[i]);
        assert_true(wire_puts(&wire, text));
    }
    assert_true(wire_puts(&wire, "GET /health HTTP/1.1\r\nHost: h\r\n\r\n"));
    stand_in_await(&fixture.stand_in, 1);
    stand_in_open(&fixture.stand_in, 1);
    static const char *const STARTS[] = {"{\"text\":\"wait\"", "{\"text\":\"two\"", "{\"status\""};
    for (int i = 0; i < 3; i++) {
        struct wire_answer answer = wire_read(&wire, false);
        assert_int_equal(answer.code, 200);
        assert_true(strncmp(answer.body, STARTS[i], strlen(STARTS[i])) == 0);
        wire_answer_release(&answer);
    }
    wire_close(&wire);
    od_server_stop(fixture.server);
}

struct client {
    int port;
    int number;
    int good;
};

static void *ask_often(void *context)
{
    struct client *client = context;
    struct wire wire;
    bool open = wire_open(&wire, client->port);
    for (int i = 0; open && i < ROUNDS; i++) {
        char body[128];
        char expected[128];
        (void)snprintf(body, sizeof body,
                       "{\"prompt\":\"client %d round %d.\",\"stop_sequences\":[\".\"]}",
                       client->number, i);
        (void)snprintf(expected, sizeof expected,
                       "{\"text\":\"client %d round %d\",\"tokens\":", client->number, i);
        struct wire_answer answer = wire_ask(&wire, "POST", "/process", body);
        client->good += answer.code == 200 && strncmp(answer.body, expected, strlen(expected)) == 0;
        wire_answer_release(&answer);
    }
    wire_close(&wire);
    return NULL;
}

static void many_clients_at_a_time(void **state)
{
    (void)state;
    struct fixture fixture;
    pthread_t threads[CLIENTS];
    struct client clients[CLIENTS];
    start(&fixture, 4, CLIENTS);
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){.port = fixture.port, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, ask_often, &clients[i]), 0);
    }
    for (int i = 0; i < CLIENTS; i++) {
        (void)pthread_join(threads[i], NULL);
        assert_int_equal(clients[i].good, ROUNDS);
    }
    od_server_stop(fixture.server);
}

static void send_process(struct wire *wire, const char *prompt)
{
    char body[128];
    char text[256];
    (void)snprintf(body, sizeof body, "{\"prompt\":\"%s\",\"max_new_tokens\":1}", prompt);
    (void)snprintf(text, sizeof text,
                   "POST /process HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n%s",
                   strlen(body), body);
    assert_true(wire_puts(wire, text));
}

static void busy_and_full(void **state)
{
    (void)state;
    struct fixture fixture;
    struct wire wires[4];
    start(&fixture, 2, 2);
    for (int i = 0; i < 4; i++) {
        wires[i] = connect_to(&fixture);
        send_process(&wires[i], "wait");
    }
    stand_in_await(&fixture.stand_in, 2);
    // Two are worked on and two wait: a fifth, which the loop sees after them, is told at once,
    // while what needs no model is answered.
    struct wire wire = connect_to(&fixture);
    struct wire_answer answer = wire_ask(&wire, "POST", "/process", "{\"prompt\":\"ab\"}");
    assert_true(is_answer(
        &answer, 429, "{\"detail\":\"too many requests wait for the model, try again later\"}"));
    assert_true(wire_field_is(&answer, "Retry-After:", "1"));
    wire_answer_release(&answer);
    answer = wire_ask(&wire, "GET", "/health", NULL);
    assert_int_equal(answer.code, 200);
    wire_answer_release(&answer);
    answer = wire_ask(&wire, "POST", "/tokenize", "{\"text\":\"hi\"}");
    assert_int_equal(answer.code, 200);
    wire_answer_release(&answer);
    stand_in_open(&fixture.stand_in, 4);
    for (int i = 0; i < 4; i++) {
        answer = wire_read(&wires[i], false);
        assert_int_equal(answer.code, 200);
        wire_answer_release(&answer);
        wire_close(&wires[i]);
    }
    // There is room again.
    answer = wire_ask(&wire, "POST", "/process", "{\"prompt\":\"ab\"}");
    assert_int_equal(answer.code, 200);
    wire_answer_release(&answer);
    wire_close(&wire);
    od_server_stop(fixture.server);
}

static void clients_that_go_away(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, 1, 4);
    struct wire first = connect_to(&fixture);
    struct wire second = connect_to(&fixture);
    struct wire third = connect_to(&fixture);
    // One that is worked on is told; the worker is free again.
    send_process(&first, "spin");
    while (atomic_load(&fixture.stand_in.processed) < 1) {
    }
    wire_close(&first);
    // One that waits in the queue is dropped before the model sees it.
    send_process(&second, "wait");
    stand_in_await(&fixture.stand_in, 1);
    assert_int_equal(atomic_load(&fixture.stand_in.cancelled), 1);
    send_process(&third, "never seen");
    wire_close(&third);
    struct wire other = connect_to(&fixture);
    struct wire_answer answer = {0};
    for (int i = 0; i < 20; i++) {
        // The loop has seen the third come and go when it has answered a few others.
        answer = wire_ask(&other, "GET", "/health", NULL);
        assert_int_equal(answer.code, 200);
        wire_answer_release(&answer);
    }
    stand_in_open(&fixture.stand_in, 1);
    answer = wire_read(&second, false);
    assert_int_equal(answer.code, 200);
    wire_answer_release(&answer);
    answer = wire_ask(&other, "POST", "/process", "{\"prompt\":\"ab\"}");
    assert_int_equal(answer.code, 200);
    wire_answer_release(&answer);
    // spin, wait and ab: not the third.
    assert_int_equal(atomic_load(&fixture.stand_in.processed), 3);
    wire_close(&second);
    wire_close(&other);
    od_server_stop(fixture.server);
}

static void half_a_request(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, 1, 4);
    struct wire wire = connect_to(&fixture);
    assert_true(
        wire_puts(&wire, "POST /process HTTP/1.1\r\nHost: h\r\nContent-Length: 99\r\n\r\n{\"pro"));
    wire_close(&wire);
    wire = connect_to(&fixture);
    struct wire_answer answer = wire_ask(&wire, "GET", "/health", NULL);
    assert_int_equal(answer.code, 200);
    wire_answer_release(&answer);
    wire_close(&wire);
    od_server_stop(fixture.server);
    assert_int_equal(atomic_load(&fixture.stand_in.processed), 0);
}

static void *stop_server(void *context)
{
    od_server_stop(context);
    return NULL;
}

static void stop_answers_what_is_in_flight(void **state)
{
    (void)state;
    struct fixture fixture;
    pthread_t thread;
    start(&fixture, 1, 4);
    struct wire busy = connect_to(&fixture);
    struct wire idle = connect_to(&fixture);
    struct wire_answer answer = wire_ask(&idle, "GET", "/health", NULL);
    wire_answer_release(&answer);
    send_process(&busy, "wait");
    stand_in_await(&fixture.stand_in, 1);
    assert_int_equal(pthread_create(&thread, NULL, stop_server, fixture.server), 0);
    assert_true(wire_ended(&idle));
    stand_in_open(&fixture.stand_in, 1);
    answer = wire_read(&busy, false);
    assert_int_equal(answer.code, 200);
    assert_true(wire_field_is(&answer, "Connection:", "close"));
    wire_answer_release(&answer);
    (void)pthread_join(thread, NULL);
    wire_close(&busy);
    wire_close(&idle);
}

static void stop_cancels_what_takes_too_long(void **state)
{
    (void)state;
    struct fixture fixture;
    struct od_error err = {0};
    struct od_server_options options = OD_SERVER_OPTIONS_INIT;
    stand_in_init(&fixture.stand_in);
    options.port = 0;
    options.workers = 1;
    options.stop_ms_max = 20;
    assert_ok(od_server_start(&fixture.stand_in.responder, &options, &fixture.server, &err), &err);
    fixture.port = od_server_port(fixture.server);
    struct wire busy = connect_to(&fixture);
    struct wire waits = connect_to(&fixture);
    send_process(&busy, "spin");
    send_process(&waits, "spin");
    while (atomic_load(&fixture.stand_in.processed) < 1) {
    }
    od_server_stop(fixture.server);
    assert_true(wire_ended(&busy));
    wire_close(&busy);
    wire_close(&waits);
}

static void options_out_of_range(void **state)
{
    (void)state;
    struct fixture fixture;
    struct od_error err = {0};
    struct od_server *second = NULL;
    struct od_server_options options = OD_SERVER_OPTIONS_INIT;
    start(&fixture, 1, 1);
    options.port = fixture.port;
    assert_int_equal(od_server_start(&fixture.stand_in.responder, &options, &second, &err),
                     OD_E_IO);
    assert_non_null(strstr(err.message, "Address already in use"));
    options.port = 0;
    options.workers = 0;
    assert_int_equal(od_server_start(&fixture.stand_in.responder, &options, &second, &err),
                     OD_E_ARGUMENT);
    options.workers = 1;
    options.queue_max = -1;
    assert_int_equal(od_server_start(&fixture.stand_in.responder, &options, &second, &err),
                     OD_E_ARGUMENT);
    assert_null(second);
    od_server_stop(NULL);
    od_server_stop(fixture.server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exact_answers),
        cmocka_unit_test(stop_of_the_server),
        cmocka_unit_test(prompt_longer_than_the_context),
        cmocka_unit_test(body_at_and_past_the_limit),
        cmocka_unit_test(decode_of_tokenize_does_not_grow),
        cmocka_unit_test(thousand_requests_on_one_connection),
        cmocka_unit_test(pipelined_requests_in_order),
        cmocka_unit_test(many_clients_at_a_time),
        cmocka_unit_test(busy_and_full),
        cmocka_unit_test(clients_that_go_away),
        cmocka_unit_test(half_a_request),
        cmocka_unit_test(stop_answers_what_is_in_flight),
        cmocka_unit_test(stop_cancels_what_takes_too_long),
        cmocka_unit_test(options_out_of_range),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
