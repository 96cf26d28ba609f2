// Goal: OpenAI's API, /score, /metrics and keys answer as documented, whole and as a stream.
// Method: real sockets and a responder whose every number is known; bodies are compared as JSON values,
// the parts that the API leaves open (id, created, times) set aside.

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "formats/json.h"
#include "net/wire.h"
#include "serve/server.h"
#include "serve/stand_in.h"
#include "support.h"

struct fixture {
    struct stand_in stand_in;
    struct od_server *server;
    int port;
};

static void start_with(struct fixture *fixture, struct od_server_options options)
{
    struct od_error err = {0};
    stand_in_init(&fixture->stand_in);
    options.port = 0;
    assert_ok(od_server_start(&fixture->stand_in.responder, &options, &fixture->server, &err),
              &err);
    fixture->port = od_server_port(fixture->server);
}

static void start(struct fixture *fixture)
{
    struct od_server_options options = OD_SERVER_OPTIONS_INIT;
    options.workers = 3;
    start_with(fixture, options);
}

static struct wire connect_to(const struct fixture *fixture)
{
    struct wire wire;
    assert_true(wire_open(&wire, fixture->port));
    return wire;
}

static json_t *parse(const char *text, size_t size)
{
    json_t *root = NULL;
    struct od_error err = {0};
    assert_ok(od_json_parse(text, size, "answer", &root, &err), &err);
    return root;
}

// Take out what differs from call to call, after a look at its kind.
static void set_aside(json_t *root)
{
    if (json_object_get(root, "id") && json_object_get(root, "created")) {
        assert_true(json_string_length(json_object_get(root, "id")) > 8);
        assert_true(json_integer_value(json_object_get(root, "created")) > 1600000000);
        (void)json_object_del(root, "id");
        (void)json_object_del(root, "created");
    }
    if (json_object_get(root, "request_time")) {
        assert_true(json_number_value(json_object_get(root, "request_time")) >= 0.0);
        (void)json_object_del(root, "request_time");
    }
}

static void same_json(const char *what, const char *text, size_t size, const char *expected)
{
    json_t *got = parse(text, size);
    json_t *want = parse(expected, strlen(expected));
    set_aside(got);
    if (!json_equal(got, want)) {
        fail_msg("%s\n got %.*s\nwant %s", what, (int)size, text, expected);
    }
    json_decref(got);
    json_decref(want);
}

struct json_case {
    const char *path;
    const char *body;
    int code;
    const char *answer;
};

#define COMPLETION(choices, prompt, answer, total)                                 \
    "{\"object\":\"text_completion\",\"model\":\"stand-in\",\"choices\":[" choices \
    "],\"usage\":{\"prompt_tokens\":" prompt ",\"completion_tokens\":" answer      \
    ",\"total_tokens\":" total "}}"
#define CHOICE(index, text, logprobs, finish)                           \
    "{\"index\":" index ",\"text\":\"" text "\",\"logprobs\":" logprobs \
    ",\"finish_reason\":\"" finish "\"}"
#define ERROR(message, param)                                                                     \
    "{\"error\":{\"message\":\"" message "\",\"type\":\"invalid_request_error\",\"param\":" param \
    ",\"code\":null}}"

static const struct json_case CASES[] = {
    {"/v1/completions", "{\"model\":\"stand-in\",\"prompt\":\"ab\",\"max_tokens\":3}", 200,
     COMPLETION(CHOICE("0", "aba", "null", "length"), "3", "3", "6")},
    {"/v1/completions", "{\"prompt\":\"ab\",\"max_tokens\":3,\"stop\":\"b\"}", 200,
     COMPLETION(CHOICE("0", "a", "null", "stop"), "3", "1", "4")},
    {"/v1/completions", "{\"prompt\":[\"ab\",\"c\"],\"max_tokens\":2,\"n\":2}", 200,
     COMPLETION(
         CHOICE("0", "ab", "null", "length") "," CHOICE("1", "ab", "null", "length") "," CHOICE(
             "2", "cc", "null", "length") "," CHOICE("3", "cc", "null", "length"),
         "5", "8", "13")},
    {"/v1/completions", "{\"prompt\":[97,98],\"max_tokens\":1}", 200,
     COMPLETION(CHOICE("0", "a", "null", "length"), "3", "1", "4")},
    {"/v1/completions", "{\"prompt\":[[97,98],[99]],\"max_tokens\":1}", 200,
     COMPLETION(CHOICE("0", "a", "null", "length") "," CHOICE("1", "c", "null", "length"), "5", "2",
                "7")},
    // Offsets count the prompt's characters; alternatives are as many as asked for.
    {"/v1/completions", "{\"prompt\":\"ab\",\"max_tokens\":2,\"logprobs\":2}", 200,
     COMPLETION(CHOICE("0", "ab",
                       "{\"tokens\":[\"a\",\"b\"],\"token_logprobs\":[-0.5,-1.0],\"top_logprobs\":["
                       "{\"a\":-0.5,\"b\":-1.5},{\"b\":-1.0,\"c\":-2.0}],\"text_offset\":[2,3]}",
                       "length"),
                "3", "2", "5")},
    // The first token of an echo has no log-probability.
    {"/v1/completions", "{\"prompt\":\"ab\",\"max_tokens\":1,\"logprobs\":1,\"echo\":true}", 200,
     COMPLETION(CHOICE("0", "aba",
                       "{\"tokens\":[\"a\",\"b\",\"a\"],\"token_logprobs\":[null,-1.0,-1.5],"
                       "\"top_logprobs\":[null,{\"b\":-1.0},{\"a\":-1.5}],\"text_offset\":[0,1,2]}",
                       "length"),
                "3", "1", "4")},
    {"/v1/completions", "{\"prompt\":\"ab\",\"max_tokens\":0,\"echo\":true}", 200,
     COMPLETION(CHOICE("0", "ab", "null", "length"), "3", "0", "3")},
    {"/v1/chat/completions",
     "{\"messages\":[{\"role\":\"system\",\"content\":\"x\"},{\"role\":\"user\",\"content\":["
     "{\"type\":\"text\",\"text\":\"y\"},{\"type\":\"text\",\"text\":\"z\"}]}],\"max_tokens\":4}",
     200,
     "{\"object\":\"chat.completion\",\"model\":\"stand-in\",\"choices\":[{\"index\":0,\"message\":{"
     "\"role\":\"assistant\",\"content\":\"|x|y\"},\"logprobs\":null,\"finish_reason\":\"length\"}],"
     "\"usage\":{\"prompt_tokens\":6,\"completion_tokens\":4,\"total_tokens\":10}}"},
    {"/v1/chat/completions",
     "{\"messages\":[{\"role\":\"user\",\"content\":\"y\"}],\"max_completion_tokens\":1,"
     "\"logprobs\":true,\"top_logprobs\":2}",
     200,
     "{\"object\":\"chat.completion\",\"model\":\"stand-in\",\"choices\":[{\"index\":0,\"message\":{"
     "\"role\":\"assistant\",\"content\":\"|\"},\"logprobs\":{\"content\":[{\"token\":\"|\","
     "\"logprob\":-0.5,\"bytes\":[124],\"top_logprobs\":[{\"token\":\"|\",\"logprob\":-0.5,\"bytes\":"
     "[124]},{\"token\":\"}\",\"logprob\":-1.5,\"bytes\":[125]}]}]},\"finish_reason\":\"length\"}],"
     "\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1,\"total_tokens\":4}}"},
    // The likeliest per token come first; what was made for them all is counted.
    {"/v1/completions", "{\"prompt\":\"sample\",\"n\":2,\"best_of\":4}", 200,
     COMPLETION(CHOICE("0", "1111", "null", "length") "," CHOICE("1", "2", "null", "length"), "2",
                "6", "8")},
    {"/v1/completions", "{\"prompt\":[\"sample\",\"sample\"],\"best_of\":3,\"logprobs\":0}", 200,
     COMPLETION(CHOICE("0", "1111",
                       "{\"tokens\":[\"1\",\"1\",\"1\",\"1\"],\"token_logprobs\":[-0.5,-1.0,-1.5,"
                       "-2.0],\"top_logprobs\":[null,null,null,null],\"text_offset\":[6,7,8,9]}",
                       "length") "," CHOICE("1", "1111",
                                            "{\"tokens\":[\"1\",\"1\",\"1\",\"1\"],"
                                            "\"token_logprobs\":[-0.5,-1.0,-1.5,-2.0],"
                                            "\"top_logprobs\":[null,null,null,null],"
                                            "\"text_offset\":[6,7,8,9]}",
                                            "length"),
                "4", "12", "16")},
    // All that are made are wanted: each keeps its place.
    {"/v1/completions", "{\"prompt\":\"sample\",\"n\":4,\"best_of\":4}", 200,
     COMPLETION(
         CHOICE("0", "0", "null", "length") "," CHOICE("1", "1111", "null", "length") "," CHOICE(
             "2", "2", "null", "length") "," CHOICE("3", "", "null", "length"),
         "2", "6", "8")},
    {"/v1/completions", "{\"prompt\":\"a\",\"n\":2,\"best_of\":1}", 400,
     ERROR("'best_of': it must be at least n", "\"best_of\"")},
    {"/v1/completions", "{\"prompt\":\"a\",\"best_of\":65}", 400,
     ERROR("'best_of': ensure this value is less than or equal to 64", "\"best_of\"")},
    {"/v1/completions", "{\"prompt\":\"a\",\"best_of\":2,\"stream\":true}", 400,
     ERROR("'best_of': the best is known at the end: not in a stream", "\"best_of\"")},
    // What is wrong, in the API's words.
    {"/v1/completions", "{}", 400, ERROR("'prompt': field required", "\"prompt\"")},
    {"/v1/completions", "{\"prompt\":7}", 400,
     ERROR("'prompt': a text or a list of ids is expected", "\"prompt\"")},
    {"/v1/completions", "{\"prompt\":[\"a\",{}]}", 400,
     ERROR("'prompt', item 1: a text or a list of ids is expected", "\"prompt\"")},
    {"/v1/completions", "{\"prompt\":[1,\"a\"]}", 400,
     ERROR("'prompt': an id that is no token", "\"prompt\"")},
    {"/v1/completions", "{\"prompt\":[]}", 400,
     ERROR("'prompt': one request makes 1 to 128 answers, n or best_of to each prompt",
           "\"prompt\"")},
    {"/v1/completions", "{\"prompt\":[\"a\",\"b\",\"c\"],\"n\":64}", 400,
     ERROR("'prompt': one request makes 1 to 128 answers, n or best_of to each prompt",
           "\"prompt\"")},
    {"/v1/completions", "{\"prompt\":\"a\",\"n\":0}", 400,
     ERROR("'n': ensure this value is greater than or equal to 1", "\"n\"")},
    {"/v1/completions", "{\"prompt\":\"a\",\"suffix\":\"b\"}", 400,
     ERROR("'suffix': this is not done here: leave it out", "\"suffix\"")},
    {"/v1/completions", "{\"prompt\":\"a\",\"frequency_penalty\":0.5}", 400,
     ERROR("'frequency_penalty': this is not done here: leave it out", "\"frequency_penalty\"")},
    {"/v1/completions", "{\"prompt\":\"status 1\"}", 400,
     ERROR("it failed with \\\"1\\\"", "null")},
    {"/v1/completions", "nope", 400, ERROR("the body: invalid token near 'nope'", "null")},
    {"/v1/completions", "{\"prompt\":\"a\",\"model\":\"other\"}", 404,
     "{\"error\":{\"message\":\"the model 'other' is not here: /v1/models lists them\",\"type\":"
     "\"invalid_request_error\",\"param\":\"model\",\"code\":\"model_not_found\"}}"},
    {"/v1/completions", "{\"prompt\":\"nan\",\"logprobs\":1}", 500,
     "{\"error\":{\"message\":\"the model's answer holds a number that is not finite\",\"type\":"
     "\"server_error\",\"param\":null,\"code\":null}}"},
    {"/v1/chat/completions", "{\"messages\":[]}", 400,
     ERROR("'messages': a list of messages is expected", "\"messages\"")},
    {"/v1/chat/completions", "{\"messages\":[{\"content\":\"a\"}]}", 400,
     ERROR("'messages', item 0: a message needs a role", "\"messages\"")},
    {"/v1/chat/completions",
     "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\"}]}]}", 400,
     ERROR("'messages', item 0: only parts of text are read", "\"messages\"")},
    {"/v1/chat/completions",
     "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"response_format\":{\"type\":\"json_object\"}}",
     400, ERROR("'response_format': this is not done here: leave it out", "\"response_format\"")},
    // Neutral values of what is refused are taken.
    {"/v1/completions",
     "{\"prompt\":\"a\",\"max_tokens\":1,\"suffix\":null,\"presence_penalty\":0,\"logit_bias\":{},"
     "\"best_of\":1,\"user\":\"me\"}",
     200, COMPLETION(CHOICE("0", "a", "null", "length"), "2", "1", "3")},
    // BOS, a and b are the prompt's: the completion begins with the fourth token.
    {"/score", "{\"prompt\":\"ab\",\"completions\":[\"c\",\"cd\"]}", 200,
     "{\"scores\":[{\"logprob\":-2.0,\"tokens\":[{\"text\":\"c\",\"logprob\":-2.0}],\"is_greedy\":"
     "true},{\"logprob\":-2.5,\"tokens\":[{\"text\":\"c\",\"logprob\":-2.0},{\"text\":\"d\","
     "\"logprob\":-0.5}],\"is_greedy\":true}]}"},
    {"/score", "{\"prompt\":\"ab\",\"completions\":[]}", 422,
     "{\"detail\":[{\"loc\":[\"body\",\"completions\"],\"msg\":\"ensure this value has at least 1 "
     "items\",\"type\":\"value_error.list.min_items\"}]}"},
    {"/score", "{\"prompt\":\"ab\",\"completions\":\"c\",\"model\":\"other\"}", 404,
     "{\"detail\":\"the model 'other' is not here: /v1/models lists them\"}"},
};

static void bodies(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture);
    struct wire wire = connect_to(&fixture);
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct wire_answer answer = wire_ask(&wire, "POST", CASES[i].path, CASES[i].body);
        if (answer.code != CASES[i].code) {
            fail_msg("%s %s: %d %s", CASES[i].path, CASES[i].body, answer.code,
                     answer.body ? answer.body : "");
        }
        same_json(CASES[i].body, answer.body, answer.body_size, CASES[i].answer);
        wire_answer_release(&answer);
    }
    wire_close(&wire);
    od_server_stop(fixture.server);
}

static void samples_and_seeds(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture);
    struct wire wire = connect_to(&fixture);
    struct wire_answer answer = wire_ask(
        &wire, "POST", "/v1/completions",
        "{\"prompt\":\"a\",\"temperature\":0.25,\"top_p\":0.5,\"top_k\":-1,\"min_p\":0.125,\"seed\":-3}");
    assert_int_equal(answer.code, 200);
    const struct od_process_request *last = &fixture.stand_in.last;
    assert_true(last->temperature == 0.25 && last->top_p == 0.5 && last->min_p == 0.125);
    assert_int_equal(last->top_k, 0);
    assert_int_equal(last->max_new_tokens, 16);
    assert_true(last->has_seed && last->seed == (uint64_t)-3);
    wire_answer_release(&answer);
    answer = wire_ask(&wire, "POST", "/v1/completions", "{\"prompt\":\"a\"}");
    assert_true(last->temperature == 1.0 && last->top_p == 1.0 && last->min_p == 0.0);
    assert_false(last->has_seed);
    wire_answer_release(&answer);
    wire_close(&wire);
    od_server_stop(fixture.server);
}

// Ask for a stream; its events, one a line, without "data: ".
static struct od_buf stream_of(struct wire *wire, const char *path, const char *body)
{
    struct od_buf text;
    struct od_buf chunks;
    od_buf_init(&text, 1 << 20);
    od_buf_init(&chunks, 1 << 20);
    struct wire_answer answer = wire_ask(wire, "POST", path, body);
    assert_int_equal(answer.code, 200);
    assert_true(wire_field_is(&answer, "Content-Type:", "text/event-stream; charset=utf-8"));
    assert_true(wire_read_chunks(wire, &chunks));
    const char *at = od_buf_text(&chunks);
    while (*at != '\0') {
        const char *end = strstr(at, "\n\n");
        assert_non_null(end);
        assert_memory_equal(at, "data: ", 6);
        od_buf_append(&text, at + 6, (size_t)(end - at) - 6);
        od_buf_putc(&text, '\n');
        at = end + 2;
    }
    od_buf_release(&chunks);
    wire_answer_release(&answer);
    return text;
}

static void events_are(const char *what, const struct od_buf *events, const char *const *expected,
                       size_t count)
{
    const char *at = od_buf_text(events);
    for (size_t i = 0; i < count; i++) {
        const size_t size = strcspn(at, "\n");
        if (strcmp(expected[i], "[DONE]") == 0) {
            assert_memory_equal(at, "[DONE]\n", 7);
        } else {
            same_json(what, at, size, expected[i]);
        }
        at += size + 1;
    }
    assert_string_equal(at, "");
}

#define CHUNK(choice) \
    "{\"object\":\"chat.completion.chunk\",\"model\":\"stand-in\",\"choices\":[" choice "]}"
#define CHAT_USAGE                                                                            \
    "{\"object\":\"chat.completion.chunk\",\"model\":\"stand-in\",\"choices\":[],\"usage\":{" \
    "\"prompt_tokens\":3,\"completion_tokens\":2,\"total_tokens\":5}}"
#define TEXT_CHUNK(choice) \
    "{\"object\":\"text_completion\",\"model\":\"stand-in\",\"choices\":[" choice "]}"

static void streams(void **state)
{
    (void)state;
    static const char *const CHAT[] = {
        CHUNK(
            "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}"),
        CHUNK(
            "{\"index\":0,\"delta\":{\"content\":\"|\"},\"logprobs\":null,\"finish_reason\":null}"),
        CHUNK(
            "{\"index\":0,\"delta\":{\"content\":\"q\"},\"logprobs\":null,\"finish_reason\":null}"),
        CHUNK("{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"length\"}"),
        CHAT_USAGE,
        "[DONE]"};
    static const char *const TEXT[] = {
        TEXT_CHUNK(
            "{\"index\":0,\"text\":\"a\",\"logprobs\":{\"tokens\":[\"a\"],\"token_logprobs\":["
            "-0.5],\"top_logprobs\":[null],\"text_offset\":[2]},\"finish_reason\":null}"),
        TEXT_CHUNK(
            "{\"index\":0,\"text\":\"b\",\"logprobs\":{\"tokens\":[\"b\"],\"token_logprobs\":["
            "-1.0],\"top_logprobs\":[null],\"text_offset\":[3]},\"finish_reason\":null}"),
        TEXT_CHUNK("{\"index\":0,\"text\":\"\",\"logprobs\":null,\"finish_reason\":\"length\"}"),
        "[DONE]"};
    static const char *const EMPTY[] = {
        TEXT_CHUNK("{\"index\":0,\"text\":\"\",\"logprobs\":null,\"finish_reason\":\"length\"}"),
        "[DONE]"};
    struct fixture fixture;
    start(&fixture);
    struct wire wire = connect_to(&fixture);
    for (int round = 0; round < 2; round++) {
        struct od_buf events =
            stream_of(&wire, "/v1/chat/completions",
                      "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"}],\"max_tokens\":2,"
                      "\"stream\":true,\"stream_options\":{\"include_usage\":true}}");
        events_are("chat", &events, CHAT, sizeof CHAT / sizeof CHAT[0]);
        od_buf_release(&events);
        events = stream_of(&wire, "/v1/completions",
                           "{\"prompt\":\"ab\",\"max_tokens\":2,\"stream\":true,\"logprobs\":0}");
        events_are("text", &events, TEXT, sizeof TEXT / sizeof TEXT[0]);
        od_buf_release(&events);
        events = stream_of(&wire, "/v1/completions",
                           "{\"prompt\":\"ab\",\"max_tokens\":0,\"stream\":true}");
        events_are("empty", &events, EMPTY, sizeof EMPTY / sizeof EMPTY[0]);
        od_buf_release(&events);
    }
    // Two answers at a time: each has its own pieces in order.
    struct od_buf events =
        stream_of(&wire, "/v1/completions",
                  "{\"prompt\":[\"abcd\",\"wxyz\"],\"max_tokens\":4,\"stream\":true}");
    char texts[2][16] = {"", ""};
    int finished = 0;
    for (const char *at = od_buf_text(&events); *at != '[';) {
        const size_t size = strcspn(at, "\n");
        json_t *event = parse(at, size);
        const json_t *choice = json_array_get(json_object_get(event, "choices"), 0);
        const json_int_t index = json_integer_value(json_object_get(choice, "index"));
        const char *text = json_string_value(json_object_get(choice, "text"));
        assert_in_range(index, 0, 1);
        assert_true(strlen(texts[index]) + strlen(text) < sizeof texts[0]);
        memcpy(texts[index] + strlen(texts[index]), text, strlen(text) + 1);
        finished += json_is_string(json_object_get(choice, "finish_reason"));
        json_decref(event);
        at += size + 1;
    }
    assert_string_equal(texts[0], "abcd");
    assert_string_equal(texts[1], "wxyz");
    assert_int_equal(finished, 2);
    od_buf_release(&events);
    // A failure before the first piece is an ordinary answer.
    struct wire_answer answer =
        wire_ask(&wire, "POST", "/v1/completions", "{\"prompt\":\"status 7\",\"stream\":true}");
    assert_int_equal(answer.code, 500);
    wire_answer_release(&answer);
    wire_close(&wire);
    od_server_stop(fixture.server);
}

// A prompt that is wanted back is the first event of its choice, with what it is worth; what follows
// counts on from there.
static void echoes_into_a_stream(void **state)
{
    (void)state;
    static const char *const LISTED[] = {
        TEXT_CHUNK("{\"index\":0,\"text\":\"ab\",\"logprobs\":{\"tokens\":[\"a\",\"b\"],"
                   "\"token_logprobs\":[null,-1.0],\"top_logprobs\":[null,{\"b\":-1.0}],"
                   "\"text_offset\":[0,1]},\"finish_reason\":null}"),
        TEXT_CHUNK(
            "{\"index\":0,\"text\":\"a\",\"logprobs\":{\"tokens\":[\"a\"],\"token_logprobs\":["
            "-1.5],\"top_logprobs\":[{\"a\":-1.5}],\"text_offset\":[2]},"
            "\"finish_reason\":null}"),
        TEXT_CHUNK("{\"index\":0,\"text\":\"\",\"logprobs\":null,\"finish_reason\":\"length\"}"),
        "[DONE]"};
    static const char *const PLAIN[] = {
        TEXT_CHUNK("{\"index\":0,\"text\":\"ab\",\"logprobs\":null,\"finish_reason\":null}"),
        TEXT_CHUNK("{\"index\":0,\"text\":\"\",\"logprobs\":null,\"finish_reason\":\"length\"}"),
        "[DONE]"};
    struct fixture fixture;
    start(&fixture);
    struct wire wire = connect_to(&fixture);
    struct od_buf events = stream_of(&wire, "/v1/completions",
                                     "{\"prompt\":\"ab\",\"max_tokens\":1,\"stream\":true,"
                                     "\"echo\":true,\"logprobs\":1}");
    events_are("listed", &events, LISTED, sizeof LISTED / sizeof LISTED[0]);
    od_buf_release(&events);
    events = stream_of(&wire, "/v1/completions",
                       "{\"prompt\":\"ab\",\"max_tokens\":0,\"stream\":true,\"echo\":true}");
    events_are("prompt only", &events, PLAIN, sizeof PLAIN / sizeof PLAIN[0]);
    od_buf_release(&events);
    wire_close(&wire);
    od_server_stop(fixture.server);
}

static void keys(void **state)
{
    (void)state;
    static const char *const KEYS[] = {"first-key", "second-key"};
    static const struct {
        const char *path;
        const char *header;
        int code;
    } CASES_OF_KEYS[] = {
        {"/v1/models", "", 401},
        {"/v1/models", "Authorization: Bearer first-key\r\n", 200},
        {"/v1/models", "Authorization: bearer second-key\r\n", 200},
        {"/v1/models", "Authorization: Bearer first-ke\r\n", 401},
        {"/v1/models", "Authorization: Bearer first-keys\r\n", 401},
        {"/v1/models", "Authorization: Basic first-key\r\n", 401},
        {"/v1/models", "Authorization: Bearer \r\n", 401},
        {"/metrics", "", 401},
        {"/process", "", 401},
        {"/nothing", "", 401},
        {"/nothing", "Authorization: Bearer first-key\r\n", 404},
        {"/health", "", 200},
        {"/", "", 200},
    };
    struct fixture fixture;
    struct od_server_options options = OD_SERVER_OPTIONS_INIT;
    options.keys = KEYS;
    options.key_count = 2;
    start_with(&fixture, options);
    struct wire wire = connect_to(&fixture);
    for (size_t i = 0; i < sizeof CASES_OF_KEYS / sizeof CASES_OF_KEYS[0]; i++) {
        char text[256];
        (void)snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: h\r\n%s\r\n",
                       CASES_OF_KEYS[i].path, CASES_OF_KEYS[i].header);
        assert_true(wire_puts(&wire, text));
        struct wire_answer answer = wire_read(&wire, false);
        if (answer.code != CASES_OF_KEYS[i].code) {
            fail_msg("%s %s: %d", CASES_OF_KEYS[i].path, CASES_OF_KEYS[i].header, answer.code);
        }
        if (answer.code == 401) {
            assert_true(wire_field_is(&answer, "WWW-Authenticate:", "Bearer"));
        }
        wire_answer_release(&answer);
    }
    wire_close(&wire);
    od_server_stop(fixture.server);

    struct od_error err = {0};
    struct od_server *none = NULL;
    static const char *const EMPTY[] = {""};
    options.keys = EMPTY;
    options.key_count = 1;
    assert_int_equal(od_server_start(&fixture.stand_in.responder, &options, &none, &err),
                     OD_E_ARGUMENT);
}

static void models_and_metrics(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture);
    struct wire wire = connect_to(&fixture);
    struct wire_answer answer = wire_ask(&wire, "GET", "/v1/models", NULL);
    json_t *list = parse(answer.body, answer.body_size);
    const json_t *model = json_array_get(json_object_get(list, "data"), 0);
    assert_int_equal(json_array_size(json_object_get(list, "data")), 1);
    assert_string_equal(json_string_value(json_object_get(model, "id")), "stand-in");
    assert_string_equal(json_string_value(json_object_get(model, "object")), "model");
    json_decref(list);
    wire_answer_release(&answer);
    answer = wire_ask(&wire, "GET", "/v1/models/stand-in", NULL);
    assert_int_equal(answer.code, 200);
    wire_answer_release(&answer);
    answer = wire_ask(&wire, "GET", "/v1/models/other", NULL);
    assert_int_equal(answer.code, 404);
    wire_answer_release(&answer);
    answer = wire_ask(&wire, "POST", "/process", "{\"prompt\":\"ab\",\"max_new_tokens\":5}");
    wire_answer_release(&answer);
    answer = wire_ask(&wire, "POST", "/process", "{}");
    wire_answer_release(&answer);
    answer = wire_ask(&wire, "GET", "/metrics", NULL);
    assert_true(
        wire_field_is(&answer, "Content-Type:", "text/plain; version=0.0.4; charset=utf-8"));
    static const char *const LINES[] = {
        "\noneday_http_requests_total{path=\"/process\",code=\"200\"} 1\n",
        "\noneday_http_requests_total{path=\"/process\",code=\"422\"} 1\n",
        "\noneday_http_requests_total{path=\"/v1/models\",code=\"404\"} 1\n",
        "\noneday_http_request_seconds_count{path=\"/process\"} 2\n",
        "\noneday_http_request_seconds_bucket{path=\"/process\",le=\"+Inf\"} 2\n",
        "\noneday_prompt_tokens_total 3\n",
        "\noneday_answer_tokens_total 5\n",
        "\noneday_model_requests 0\n",
        "\nstand_in 1\n",
    };
    for (size_t i = 0; i < sizeof LINES / sizeof LINES[0]; i++) {
        if (!strstr(answer.body, LINES[i])) {
            fail_msg("no '%s' in\n%s", LINES[i] + 1, answer.body);
        }
    }
    wire_answer_release(&answer);
    wire_close(&wire);
    od_server_stop(fixture.server);
}

// Adapters are models that hang below the model; a request chooses one by its name.
static void adapters(void **state)
{
    (void)state;
    static const char *const NAMES[] = {"tuned", "other/one"};
    struct fixture fixture;
    struct od_error err = {0};
    struct od_server_options options = OD_SERVER_OPTIONS_INIT;
    stand_in_init(&fixture.stand_in);
    fixture.stand_in.responder.adapters = NAMES;
    fixture.stand_in.responder.adapter_count = 2;
    options.port = 0;
    assert_ok(od_server_start(&fixture.stand_in.responder, &options, &fixture.server, &err), &err);
    fixture.port = od_server_port(fixture.server);
    struct wire wire = connect_to(&fixture);
    struct wire_answer answer = wire_ask(&wire, "GET", "/v1/models", NULL);
    json_t *list = parse(answer.body, answer.body_size);
    const json_t *model = json_array_get(json_object_get(list, "data"), 2);
    assert_string_equal(json_string_value(json_object_get(model, "id")), "other/one");
    assert_string_equal(json_string_value(json_object_get(model, "parent")), "stand-in");
    json_decref(list);
    wire_answer_release(&answer);
    static const struct {
        const char *path;
        int code;
    } NAMED[] = {{"/v1/models/other/one", 200},     {"/v1/models/other%2Fone", 200},
                 {"/v1/models/%6fther%2fone", 200}, {"/v1/models/tuned", 200},
                 {"/v1/models/tuned%00", 404},      {"/v1/models/tuned%", 404},
                 {"/v1/models/tuned%2", 404},       {"/v1/models/tuned%2G", 404},
                 {"/v1/models/tuned%G2", 404},      {"/v1/models/", 404}};
    for (size_t i = 0; i < sizeof NAMED / sizeof NAMED[0]; i++) {
        answer = wire_ask(&wire, "GET", NAMED[i].path, NULL);
        if (answer.code != NAMED[i].code) {
            fail_msg("%s: %d", NAMED[i].path, answer.code);
        }
        wire_answer_release(&answer);
    }
    static const struct {
        const char *path;
        const char *body;
        int code;
        const char *adapter;
    } CHOICES[] = {
        {"/v1/completions", "{\"prompt\":\"a\",\"model\":\"tuned\"}", 200, "tuned"},
        {"/v1/completions", "{\"prompt\":\"a\",\"model\":\"stand-in\"}", 200, NULL},
        {"/v1/completions", "{\"prompt\":\"a\",\"model\":\"tune\"}", 404, NULL},
        // A name does not end at a NUL.
        {"/v1/completions", "{\"prompt\":\"a\",\"model\":\"tuned\\u0000x\"}", 400, NULL},
        {"/process", "{\"prompt\":\"a\",\"adapter\":\"\\u0000\"}", 422, NULL},
        {"/score", "{\"prompt\":\"a\",\"completions\":\"b\",\"model\":\"tuned\\u0000\"}", 422,
         NULL},
        {"/process", "{\"prompt\":\"a\",\"adapter\":\"tuned\",\"num_samples\":3}", 200, "tuned"},
        {"/v1/chat/completions",
         "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"max_tokens\":1,\"model\":\"tuned\"}",
         200, "tuned"},
        {"/score", "{\"prompt\":\"a\",\"completions\":\"b\",\"model\":\"tuned\"}", 200, "tuned"},
        {"/process", "{\"prompt\":\"a\",\"adapter\":\"other/one\"}", 200, "other/one"},
        {"/process", "{\"prompt\":\"a\",\"adapter\":null}", 200, NULL},
        {"/process", "{\"prompt\":\"a\",\"adapter\":\"none\"}", 404, NULL},
    };
    for (size_t i = 0; i < sizeof CHOICES / sizeof CHOICES[0]; i++) {
        answer = wire_ask(&wire, "POST", CHOICES[i].path, CHOICES[i].body);
        const char *got = fixture.stand_in.last.adapter;
        if (answer.code != CHOICES[i].code ||
            (answer.code == 200 && CHOICES[i].adapter &&
             (!got || strcmp(got, CHOICES[i].adapter) != 0)) ||
            (answer.code == 200 && !CHOICES[i].adapter && got)) {
            fail_msg("%s: %d, adapter %s", CHOICES[i].body, answer.code, got ? got : "none");
        }
        wire_answer_release(&answer);
    }
    wire_close(&wire);
    od_server_stop(fixture.server);
}

// One request that asks for more answers than there is room for is refused, others are not.
static void more_answers_than_room(void **state)
{
    (void)state;
    struct fixture fixture;
    struct od_server_options options = OD_SERVER_OPTIONS_INIT;
    options.workers = 2;
    options.queue_max = 3;
    start_with(&fixture, options);
    struct wire wire = connect_to(&fixture);
    struct wire_answer answer =
        wire_ask(&wire, "POST", "/v1/completions", "{\"prompt\":\"a\",\"n\":6}");
    assert_int_equal(answer.code, 429);
    assert_true(wire_field_is(&answer, "Retry-After:", "1"));
    assert_non_null(strstr(answer.body, "rate_limit_error"));
    wire_answer_release(&answer);
    for (int i = 0; i < 3; i++) {
        answer = wire_ask(&wire, "POST", "/v1/completions", "{\"prompt\":\"a\",\"n\":5}");
        assert_int_equal(answer.code, 200);
        wire_answer_release(&answer);
    }
    wire_close(&wire);
    od_server_stop(fixture.server);
}

// A client that leaves in mid-stream: the work on its answer ends.
static void leaves_in_mid_stream(void **state)
{
    (void)state;
    struct fixture fixture;
    start(&fixture);
    struct wire wire = connect_to(&fixture);
    static const char BODY[] = "{\"prompt\":[\"ab\",\"spin\"],\"max_tokens\":2,\"stream\":true}";
    char text[256];
    (void)snprintf(text, sizeof text,
                   "POST /v1/completions HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n%s",
                   sizeof BODY - 1, BODY);
    assert_true(wire_puts(&wire, text));
    while (!strstr(od_buf_text(&wire.in), "\"text\":\"b\"")) {
        assert_true(wire_fill(&wire));
    }
    // One whose work has not begun is not begun any more: both must have.
    while (atomic_load(&fixture.stand_in.processed) < 2) {
    }
    wire_close(&wire);
    while (atomic_load(&fixture.stand_in.cancelled) < 1) {
    }
    wire = connect_to(&fixture);
    struct wire_answer answer = wire_ask(&wire, "GET", "/health", NULL);
    assert_int_equal(answer.code, 200);
    wire_answer_release(&answer);
    wire_close(&wire);
    od_server_stop(fixture.server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies),
        cmocka_unit_test(samples_and_seeds),
        cmocka_unit_test(streams),
        cmocka_unit_test(echoes_into_a_stream),
        cmocka_unit_test(keys),
        cmocka_unit_test(models_and_metrics),
        cmocka_unit_test(adapters),
        cmocka_unit_test(more_answers_than_room),
        cmocka_unit_test(leaves_in_mid_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
