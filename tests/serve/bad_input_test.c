// Goal: what clients do wrong reaches nobody else: texts that are none, NUL in every place, prompts beyond
// the window, clients that leave in mid-answer, more requests than the cache has pages for. Several
// samples of one prompt compute it once.
// Method: the model that ships with the source behind the real server; what the cache holds is counted
// before and after; answers are compared with those that the same request gets alone.

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "formats/json.h"
#include "infer/engine.h"
#include "net/wire.h"
#include "serve/server.h"
#include "support.h"

enum { CONTEXT = 512, PAGE_ROWS = 16, CROWD = 20, BODY_BYTES = 16384 };

struct fixture {
    struct od_engine *engine;
    struct od_server *server;
    struct wire wire;
    int port;
};

static void start(struct fixture *fixture, int64_t slots, int64_t cache_tokens, int64_t workers,
                  int64_t queue_max)
{
    const struct od_engine_options engine_options = {.threads = 1,
                                                     .slots = slots,
                                                     .context = CONTEXT,
                                                     .cache_tokens = cache_tokens,
                                                     .chat_template = "chatml"};
    struct od_server_options options = OD_SERVER_OPTIONS_INIT;
    struct od_error err = {0};
    assert_ok(od_engine_open(test_source("examples/toyworld/base"), &engine_options,
                             &fixture->engine, &err),
              &err);
    options.port = 0;
    options.workers = workers;
    options.queue_max = queue_max;
    assert_ok(
        od_server_start(od_engine_responder(fixture->engine), &options, &fixture->server, &err),
        &err);
    fixture->port = od_server_port(fixture->server);
    assert_true(wire_open(&fixture->wire, fixture->port));
}

static void stop(struct fixture *fixture)
{
    wire_close(&fixture->wire);
    od_server_stop(fixture->server);
    // Nothing is owed, and every page can be used again.
    const struct od_engine_counts counts = od_engine_counts(fixture->engine);
    assert_int_equal(counts.running, 0);
    assert_int_equal(counts.pages_free + counts.pages_idle, counts.pages);
    od_engine_close(fixture->engine);
}

// The answer to a body, as a value. Other than `code` is a failure.
static json_t *ask(struct fixture *fixture, const char *path, const char *body, int code)
{
    struct wire_answer answer = wire_ask(&fixture->wire, "POST", path, body);
    struct od_error err = {0};
    json_t *root = NULL;
    if (answer.code != code) {
        fail_msg("%s %.200s: %d %.200s", path, body, answer.code, answer.body ? answer.body : "");
    }
    assert_ok(od_json_parse(answer.body, answer.body_size, "answer", &root, &err), &err);
    wire_answer_release(&answer);
    return root;
}

static int64_t usage(struct fixture *fixture, const char *path, const char *body)
{
    json_t *root = ask(fixture, path, body, 200);
    const int64_t count =
        json_integer_value(json_object_get(json_object_get(root, "usage"), "prompt_tokens"));
    json_decref(root);
    return count;
}

// Half a pair, a byte that is no UTF-8, and the like are told, wherever texts stand.
static void texts_that_are_none(void **state)
{
    (void)state;
    static const char *const TEXTS[] = {
        "\\ud800", "a\\udc00b", "\\ud800\\ud800", "\\udc00\\ud800",
        "\xff",    "\xc0\x80",  "\xed\xa0\x80",   "\xf4\x90\x80\x80"};
    static const struct {
        const char *path;
        const char *body;
        int code;
    } PLACES[] = {
        {"/process", "{\"prompt\":\"%s\"}", 422},
        {"/process", "{\"prompt\":\"a\",\"stop_sequences\":[\"%s\"]}", 422},
        {"/process", "{\"prompt\":\"a\",\"adapter\":\"%s\"}", 422},
        {"/process", "{\"prompt\":\"a\",\"%s\":1}", 422},
        {"/tokenize", "{\"text\":\"%s\"}", 422},
        {"/score", "{\"prompt\":\"a\",\"completions\":[\"%s\"]}", 422},
        {"/v1/completions", "{\"prompt\":[\"a\",\"%s\"]}", 400},
        {"/v1/chat/completions", "{\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}]}", 400},
    };
    struct fixture fixture;
    start(&fixture, 2, 0, 2, 4);
    for (size_t i = 0; i < sizeof PLACES / sizeof PLACES[0]; i++) {
        for (size_t t = 0; t < sizeof TEXTS / sizeof TEXTS[0]; t++) {
            struct od_buf body;
            od_buf_init(&body, BODY_BYTES);
            const char *hole = strstr(PLACES[i].body, "%s");
            od_buf_append(&body, PLACES[i].body, (size_t)(hole - PLACES[i].body));
            od_buf_puts(&body, TEXTS[t]);
            od_buf_puts(&body, hole + 2);
            json_decref(ask(&fixture, PLACES[i].path, od_buf_text(&body), PLACES[i].code));
            od_buf_release(&body);
        }
    }
    assert_int_equal(od_engine_counts(fixture.engine).requests, 0);
    stop(&fixture);
}

// A NUL is a character like others: it does not end a text.
static void nul_characters(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture, 2, 0, 2, 4);
    json_t *root = ask(&fixture, "/process",
                       "{\"prompt\":\"a\\u0000b\",\"max_new_tokens\":0,\"echo_prompt\":true}", 200);
    const json_t *text = json_object_get(root, "text");
    assert_int_equal(json_string_length(text), 3);
    assert_memory_equal(json_string_value(text), "a\0b", 3);
    json_decref(root);
    root = ask(&fixture, "/tokenize", "{\"text\":\"a\\u0000b\"}", 200);
    char *ids = json_dumps(json_object_get(root, "tokens"), JSON_COMPACT);
    char body[256];
    (void)snprintf(body, sizeof body, "{\"tokens\":%s}", ids);
    free(ids);
    json_decref(root);
    root = ask(&fixture, "/decode", body, 200);
    text = json_object_get(root, "text");
    assert_int_equal(json_string_length(text), 3);
    assert_memory_equal(json_string_value(text), "a\0b", 3);
    json_decref(root);
    static const struct {
        const char *path;
        const char *without;
        const char *with;
    } PAIRS[] = {
        {"/v1/completions", "{\"prompt\":\"a\",\"max_tokens\":1}",
         "{\"prompt\":\"a\\u0000b\",\"max_tokens\":1}"},
        {"/v1/chat/completions",
         "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"max_tokens\":1}",
         "{\"messages\":[{\"role\":\"user\",\"content\":\"a\\u0000b\"}],\"max_tokens\":1}"},
        {"/v1/chat/completions",
         "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"}]}],"
         "\"max_tokens\":1}",
         "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\\u0000b\"}]}],"
         "\"max_tokens\":1}"},
    };
    for (size_t i = 0; i < sizeof PAIRS / sizeof PAIRS[0]; i++) {
        assert_true(usage(&fixture, PAIRS[i].path, PAIRS[i].with) >
                    usage(&fixture, PAIRS[i].path, PAIRS[i].without));
    }
    stop(&fixture);
}

// The status of an answer to `body` on a connection of its own, which the server closes; -1: none came.
static int status_of(const struct fixture *fixture, const char *path, const char *body)
{
    struct wire wire;
    struct od_buf text;
    int code = -1;
    assert_true(wire_open(&wire, fixture->port));
    od_buf_init(&text, BODY_BYTES);
    od_buf_printf(
        &text, "POST %s HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
        path, strlen(body), body);
    assert_true(wire_send(&wire, text.bytes, text.size));
    while (wire_fill(&wire)) {
    }
    (void)sscanf(od_buf_text(&wire.in), "HTTP/1.1 %d ", &code);
    od_buf_release(&text);
    wire_close(&wire);
    return code;
}

// Every field of every body with values of every kind: an answer or a complaint, no failure of the server,
// and what others get stays the same.
static void wrong_kinds_of_values(void **state)
{
    (void)state;
    static const char *const VALUES[] = {"null",
                                         "true",
                                         "-1",
                                         "0",
                                         "1.5",
                                         "1e300",
                                         "\"x\"",
                                         "\"\"",
                                         "\"\\u0000\"",
                                         "[]",
                                         "[null]",
                                         "[[]]",
                                         "[{}]",
                                         "[1,\"a\"]",
                                         "{}",
                                         "{\"a\":[{}]}",
                                         "{\"role\":1,\"content\":{}}",
                                         "[{\"role\":\"user\",\"content\":[1]}]",
                                         "[{\"role\":\"\",\"content\":null}]"};
    static const struct {
        const char *path;
        const char *schema;
        const char *body;
    } PATHS[] = {
        {"/process", "ProcessRequest", "{\"prompt\":\"a\",\"max_new_tokens\":1}"},
        {"/tokenize", "TokenizeRequest", "{\"text\":\"a\"}"},
        {"/decode", "DecodeRequest", "{\"tokens\":[1]}"},
        {"/score", "ScoreRequest", "{\"prompt\":\"a\",\"completions\":[\"b\"]}"},
        {"/v1/completions", "CompletionRequest", "{\"prompt\":\"a\",\"max_tokens\":1}"},
        {"/v1/chat/completions", "ChatRequest",
         "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"max_tokens\":1}"},
    };
    static const char GOOD[] = "{\"prompt\":\"Question:\",\"temperature\":0,\"max_new_tokens\":8}";
    struct fixture fixture;
    struct od_error err = {0};
    json_t *description = NULL;
    int fields = 0;
    start(&fixture, 4, 0, 4, 64);
    json_t *before = ask(&fixture, "/process", GOOD, 200);
    struct wire_answer answer = wire_ask(&fixture.wire, "GET", "/openapi.json", NULL);
    assert_ok(od_json_parse(answer.body, answer.body_size, "openapi", &description, &err), &err);
    wire_answer_release(&answer);
    const json_t *schemas = json_object_get(json_object_get(description, "components"), "schemas");
    for (size_t p = 0; p < sizeof PATHS / sizeof PATHS[0]; p++) {
        json_t *properties =
            json_object_get(json_object_get(schemas, PATHS[p].schema), "properties");
        const char *field = NULL;
        json_t *schema = NULL;
        json_object_foreach(properties, field, schema)
        {
            fields++;
            for (size_t v = 0; v < sizeof VALUES / sizeof VALUES[0]; v++) {
                json_t *body = json_loads(PATHS[p].body, 0, NULL);
                json_t *value = json_loads(VALUES[v], JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
                assert_int_equal(json_object_set_new(body, field, value), 0);
                char *text = json_dumps(body, JSON_COMPACT);
                const int code = status_of(&fixture, PATHS[p].path, text);
                if (code != 200 && code != 400 && code != 404 && code != 422) {
                    fail_msg("%s %s: %d", PATHS[p].path, text, code);
                }
                free(text);
                json_decref(body);
            }
        }
    }
    assert_true(fields > 40);
    json_t *after = ask(&fixture, "/process", GOOD, 200);
    assert_true(json_equal(json_object_get(before, "tokens"), json_object_get(after, "tokens")));
    json_decref(after);
    json_decref(before);
    json_decref(description);
    stop(&fixture);
}

// A prompt of as many tokens as the context has, and one below it, on every path.
static void beyond_the_window(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        const char *before;
        const char *after;
        int code;
    } PLACES[] = {
        {"/process", "{\"max_new_tokens\":9,\"prompt\":\"", "\"}", 422},
        {"/process", "{\"max_new_tokens\":9,\"num_samples\":2,\"prompt\":\"", "\"}", 422},
        {"/score", "{\"completions\":[\"x\"],\"prompt\":\"", "\"}", 422},
        {"/v1/completions", "{\"prompt\":[\"short\",\"", "\"]}", 400},
        {"/v1/completions", "{\"stream\":true,\"prompt\":\"", "\"}", 400},
        {"/v1/chat/completions", "{\"messages\":[{\"role\":\"user\",\"content\":\"", "\"}]}", 400},
    };
    struct fixture fixture;
    start(&fixture, 2, 0, 2, 4);
    for (size_t i = 0; i < sizeof PLACES / sizeof PLACES[0]; i++) {
        struct od_buf body;
        od_buf_init(&body, BODY_BYTES);
        od_buf_puts(&body, PLACES[i].before);
        for (int k = 0; k < CONTEXT; k++) {
            od_buf_printf(&body, " %d", k % 10);
        }
        od_buf_puts(&body, PLACES[i].after);
        json_t *root = ask(&fixture, PLACES[i].path, od_buf_text(&body), PLACES[i].code);
        char *text = json_dumps(root, JSON_COMPACT);
        if (!strstr(text, "does not fit the context of 512")) {
            fail_msg("%s: %s", PLACES[i].path, text);
        }
        free(text);
        json_decref(root);
        od_buf_release(&body);
    }
    // To the token: one less than the window leaves room for an answer of one.
    for (int count = CONTEXT - 1; count <= CONTEXT; count++) {
        struct od_buf body;
        od_buf_init(&body, BODY_BYTES);
        od_buf_puts(&body, "{\"max_tokens\":9,\"prompt\":[5");
        for (int k = 1; k < count; k++) {
            od_buf_puts(&body, ",6");
        }
        od_buf_puts(&body, "]}");
        json_t *root =
            ask(&fixture, "/v1/completions", od_buf_text(&body), count < CONTEXT ? 200 : 400);
        const json_t *counts = json_object_get(root, "usage");
        if (count < CONTEXT) {
            assert_int_equal(json_integer_value(json_object_get(counts, "total_tokens")), CONTEXT);
        }
        json_decref(root);
        od_buf_release(&body);
    }
    stop(&fixture);
}

static void send_body(struct wire *wire, const char *path, const char *body)
{
    struct od_buf text;
    od_buf_init(&text, BODY_BYTES);
    od_buf_printf(&text, "POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n%s", path,
                  strlen(body), body);
    assert_true(wire_send(wire, text.bytes, text.size));
    od_buf_release(&text);
}

// Clients that leave while the model writes for them: it stops, and their pages serve others.
static void leaves_in_mid_answer(void **state)
{
    (void)state;
    static const char BODY[] =
        "{\"prompt\":\"Question:\",\"max_tokens\":500,\"temperature\":0,"
        "\"logprobs\":5,\"stream\":true,\"n\":2}";
    struct fixture fixture;
    // Two whole contexts of room, which the two samples of each take whole.
    start(&fixture, 2, 2 * CONTEXT, 8, 8);
    struct wire wires[3];
    for (int i = 0; i < 3; i++) {
        assert_true(wire_open(&wires[i], fixture.port));
        send_body(&wires[i], "/v1/completions", BODY);
    }
    while (!strstr(od_buf_text(&wires[0].in), "data: ")) {
        assert_true(wire_fill(&wires[0]));
    }
    const int64_t before = od_engine_counts(fixture.engine).rows;
    for (int i = 0; i < 3; i++) {
        wire_close(&wires[i]);
    }
    // Room for everybody again, and nobody's tokens are computed to the end.
    json_t *root = ask(&fixture, "/process", "{\"prompt\":\"Q\",\"max_new_tokens\":2}", 200);
    json_decref(root);
    const struct od_engine_counts counts = od_engine_counts(fixture.engine);
    assert_true(counts.rows - before < 2 * CONTEXT);
    stop(&fixture);
}

// Text of an answer of /process, which the caller frees.
static char *text_of(struct wire_answer *answer)
{
    struct od_error err = {0};
    json_t *root = NULL;
    assert_ok(od_json_parse(answer->body, answer->body_size, "answer", &root, &err), &err);
    const json_t *text = json_object_get(root, "text");
    char *copy = od_alloc(json_string_length(text) + 1, 1);
    assert_non_null(copy);
    memcpy(copy, json_string_value(text), json_string_length(text) + 1);
    json_decref(root);
    return copy;
}

// The cache holds one context: requests that want all of it wait for one another; who finds the queue
// full is told so at once; everybody who gets an answer gets the right one.
static void out_of_pages(void **state)
{
    (void)state;
    static struct wire wires[CROWD];
    char *alone[CROWD];
    char body[CROWD][128];
    struct fixture fixture;
    int answered = 0;
    int refused = 0;
    start(&fixture, 4, CONTEXT, 4, 2);
    for (int i = 0; i < CROWD; i++) {
        (void)snprintf(
            body[i], sizeof body[i],
            "{\"prompt\":\"%d: \",\"max_new_tokens\":600,\"seed\":%d,\"temperature\":1.5}", i * 7,
            i);
        struct wire_answer answer = wire_ask(&fixture.wire, "POST", "/process", body[i]);
        assert_int_equal(answer.code, 200);
        alone[i] = text_of(&answer);
        wire_answer_release(&answer);
        assert_true(wire_open(&wires[i], fixture.port));
    }
    for (int i = 0; i < CROWD; i++) {
        send_body(&wires[i], "/process", body[i]);
    }
    for (int i = 0; i < CROWD; i++) {
        struct wire_answer answer = wire_read(&wires[i], false);
        if (answer.code == 429) {
            assert_true(wire_field_is(&answer, "Retry-After:", "1"));
            refused++;
        } else {
            assert_int_equal(answer.code, 200);
            char *text = text_of(&answer);
            assert_string_equal(text, alone[i]);
            od_free(text);
            answered++;
        }
        wire_answer_release(&answer);
        wire_close(&wires[i]);
        od_free(alone[i]);
    }
    assert_int_equal(answered + refused, CROWD);
    assert_true(answered >= 6 && refused >= 1);
    stop(&fixture);
}

// The samples of a prompt compute it once, the first is what one alone would be, and all repeat.
static void samples_share_their_prompt(void **state)
{
    (void)state;
    enum { SAMPLES = 8, NEW = 5, WORDS = 30 };
    struct fixture fixture;
    struct od_buf prompt;
    char body[2048];
    start(&fixture, SAMPLES, 0, SAMPLES, SAMPLES);
    od_buf_init(&prompt, sizeof body);
    for (int i = 0; i < WORDS; i++) {
        od_buf_printf(&prompt, "number %d. ", i);
    }
    (void)snprintf(body, sizeof body,
                   "{\"prompt\":\"%s\",\"max_new_tokens\":%d,\"seed\":3,\"temperature\":2,"
                   "\"num_return_sequences\":%d}",
                   od_buf_text(&prompt), NEW, SAMPLES);
    json_t *many = ask(&fixture, "/process", body, 200);
    const struct od_engine_counts counts = od_engine_counts(fixture.engine);
    const json_t *completions = json_object_get(many, "completions");
    assert_int_equal(json_array_size(completions), SAMPLES);
    json_t *again = ask(&fixture, "/process", body, 200);
    assert_true(json_equal(completions, json_object_get(again, "completions")));
    (void)snprintf(body, sizeof body,
                   "{\"prompt\":\"%s\",\"max_new_tokens\":%d,\"seed\":3,\"temperature\":2}",
                   od_buf_text(&prompt), NEW);
    json_t *one = ask(&fixture, "/process", body, 200);
    assert_null(json_object_get(one, "completions"));
    static const char *const MEMBERS[] = {"text", "tokens", "logprob"};
    for (size_t i = 0; i < 3; i++) {
        const json_t *wanted = json_object_get(one, MEMBERS[i]);
        assert_non_null(wanted);
        assert_true(json_equal(wanted, json_object_get(many, MEMBERS[i])));
        assert_true(
            json_equal(wanted, json_object_get(json_array_get(completions, 0), MEMBERS[i])));
    }
    for (size_t i = 1; i < SAMPLES; i++) {
        assert_false(
            json_equal(json_array_get(completions, i), json_array_get(completions, i - 1)));
    }
    (void)snprintf(body, sizeof body, "{\"prompt\":\"%s\",\"max_tokens\":0,\"echo\":true}",
                   od_buf_text(&prompt));
    const int64_t prompt_tokens = usage(&fixture, "/v1/completions", body);
    assert_true(prompt_tokens > 10 * PAGE_ROWS);
    // Of each sample at most a rest of a page, and its answer.
    assert_true(counts.rows <= prompt_tokens + SAMPLES * (PAGE_ROWS + NEW));
    json_decref(one);
    json_decref(again);
    json_decref(many);
    od_buf_release(&prompt);
    stop(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_that_are_none),        cmocka_unit_test(nul_characters),
        cmocka_unit_test(wrong_kinds_of_values),      cmocka_unit_test(beyond_the_window),
        cmocka_unit_test(leaves_in_mid_answer),       cmocka_unit_test(out_of_pages),
        cmocka_unit_test(samples_share_their_prompt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
