// Goal: bodies are taken and refused as FastAPI with pydantic 1 does, with its messages, where the
//       challenge's API leaves a choice; what the tables promise is what /openapi.json says.
// Method: bodies beside the exact answer (422) or what the request holds; every allocation fails.

#include "serve/fields.h"

#include <string.h>

#include "infer/responder.h"
#include "serve/endpoints.h"
#include "serve/openapi.h"
#include "support.h"

#define ONE_ERROR(loc, msg, type) \
    "{\"detail\":[{\"loc\":[\"body\"" loc "],\"msg\":\"" msg "\",\"type\":\"" type "\"}]}"
#define INTEGER(name) \
    ONE_ERROR(",\"" name "\"", "value is not a valid integer", "type_error.integer")
#define GE(name, limit)                                                                \
    ONE_ERROR(",\"" name "\"", "ensure this value is greater than or equal to " limit, \
              "value_error.number.not_ge")
#define LE(name, limit)                                                             \
    ONE_ERROR(",\"" name "\"", "ensure this value is less than or equal to " limit, \
              "value_error.number.not_le")
#define NONE(name) \
    ONE_ERROR(",\"" name "\"", "none is not an allowed value", "type_error.none.not_allowed")

enum endpoint { PROCESS, TOKENIZE, DECODE };

struct bad_body {
    enum endpoint endpoint;
    const char *body;
    const char *answer;
};

static const struct bad_body BAD_BODIES[] = {
    {PROCESS, "", ONE_ERROR("", "field required", "value_error.missing")},
    {PROCESS, "null", ONE_ERROR("", "field required", "value_error.missing")},
    {PROCESS, "[]", ONE_ERROR(",\"prompt\"", "field required", "value_error.missing")},
    {PROCESS, "[0]", ONE_ERROR("", "value is not a valid dict", "type_error.dict")},
    {PROCESS, "\"x\"", ONE_ERROR("", "value is not a valid dict", "type_error.dict")},
    {PROCESS, "{}", ONE_ERROR(",\"prompt\"", "field required", "value_error.missing")},
    {PROCESS, "{\"Prompt\":\"x\"}",
     ONE_ERROR(",\"prompt\"", "field required", "value_error.missing")},
    {PROCESS, "{\"prompt\":null}", NONE("prompt")},
    {PROCESS, "{\"prompt\":[\"x\"]}",
     ONE_ERROR(",\"prompt\"", "str type expected", "type_error.str")},
    {PROCESS, "{\"prompt\":{}}", ONE_ERROR(",\"prompt\"", "str type expected", "type_error.str")},
    {PROCESS, "{\"prompt\":\"x\",\"max_new_tokens\":\"five\"}", INTEGER("max_new_tokens")},
    {PROCESS, "{\"prompt\":\"x\",\"max_new_tokens\":\"5.0\"}", INTEGER("max_new_tokens")},
    {PROCESS, "{\"prompt\":\"x\",\"max_new_tokens\":\"\"}", INTEGER("max_new_tokens")},
    {PROCESS, "{\"prompt\":\"x\",\"max_new_tokens\":\"5 5\"}", INTEGER("max_new_tokens")},
    {PROCESS, "{\"prompt\":\"x\",\"max_new_tokens\":\"5_\"}", INTEGER("max_new_tokens")},
    {PROCESS, "{\"prompt\":\"x\",\"max_new_tokens\":\"0x5\"}", INTEGER("max_new_tokens")},
    {PROCESS, "{\"prompt\":\"x\",\"max_new_tokens\":\"5\\u00005\"}", INTEGER("max_new_tokens")},
    {PROCESS, "{\"prompt\":\"x\",\"max_new_tokens\":[5]}", INTEGER("max_new_tokens")},
    {PROCESS, "{\"prompt\":\"x\",\"max_new_tokens\":null}", NONE("max_new_tokens")},
    {PROCESS, "{\"prompt\":\"x\",\"max_new_tokens\":-1}", GE("max_new_tokens", "0")},
    {PROCESS, "{\"prompt\":\"x\",\"max_new_tokens\":1048577}", LE("max_new_tokens", "1048576")},
    {PROCESS, "{\"prompt\":\"x\",\"max_new_tokens\":1e300}", LE("max_new_tokens", "1048576")},
    {PROCESS, "{\"prompt\":\"x\",\"max_new_tokens\":\"-99999999999999999999\"}",
     GE("max_new_tokens", "0")},
    {PROCESS, "{\"prompt\":\"x\",\"num_samples\":\"x\"}", INTEGER("num_samples")},
    {PROCESS, "{\"prompt\":\"x\",\"num_samples\":0}", GE("num_samples", "1")},
    {PROCESS, "{\"prompt\":\"x\",\"num_samples\":65}", LE("num_samples", "64")},
    {PROCESS, "{\"prompt\":\"x\",\"num_samples\":null}", NONE("num_samples")},
    {PROCESS, "{\"prompt\":\"x\",\"num_return_sequences\":-1}", GE("num_return_sequences", "1")},
    {PROCESS, "{\"prompt\":\"x\",\"num_return_sequences\":65}", LE("num_return_sequences", "64")},
    {PROCESS, "{\"prompt\":\"x\",\"adapter\":\"a\\u0000b\"}",
     ONE_ERROR(",\"adapter\"", "a NUL character is not allowed here", "value_error.any_str.null")},
    {PROCESS, "{\"prompt\":\"x\",\"top_k\":-1}", GE("top_k", "0")},
    {PROCESS, "{\"prompt\":\"x\",\"temperature\":\"hot\"}",
     ONE_ERROR(",\"temperature\"", "value is not a valid float", "type_error.float")},
    {PROCESS, "{\"prompt\":\"x\",\"temperature\":null}", NONE("temperature")},
    {PROCESS, "{\"prompt\":\"x\",\"temperature\":\"nan\"}",
     ONE_ERROR(",\"temperature\"", "ensure this value is a finite number",
               "value_error.number.not_finite_number")},
    {PROCESS, "{\"prompt\":\"x\",\"temperature\":\"1e999\"}",
     ONE_ERROR(",\"temperature\"", "ensure this value is a finite number",
               "value_error.number.not_finite_number")},
    {PROCESS, "{\"prompt\":\"x\",\"temperature\":-0.1}", GE("temperature", "0.0")},
    {PROCESS, "{\"prompt\":\"x\",\"top_p\":1.5}", LE("top_p", "1.0")},
    {PROCESS, "{\"prompt\":\"x\",\"seed\":\"x\"}", INTEGER("seed")},
    {PROCESS, "{\"prompt\":\"x\",\"echo_prompt\":\"maybe\"}",
     ONE_ERROR(",\"echo_prompt\"", "value could not be parsed to a boolean", "type_error.bool")},
    {PROCESS, "{\"prompt\":\"x\",\"echo_prompt\":2}",
     ONE_ERROR(",\"echo_prompt\"", "value could not be parsed to a boolean", "type_error.bool")},
    {PROCESS, "{\"prompt\":\"x\",\"top_k_per_token\":101}", LE("top_k_per_token", "100")},
    {PROCESS, "{\"prompt\":\"x\",\"stop_sequences\":\"\\n\"}",
     ONE_ERROR(",\"stop_sequences\"", "value is not a valid list", "type_error.list")},
    {PROCESS, "{\"prompt\":\"x\",\"stop_sequences\":[\"a\",null]}",
     ONE_ERROR(",\"stop_sequences\",1", "none is not an allowed value",
               "type_error.none.not_allowed")},
    {PROCESS, "{\"prompt\":\"x\",\"stop_sequences\":[\"a\\u0000b\"]}",
     ONE_ERROR(",\"stop_sequences\",0", "a NUL character is not allowed here",
               "value_error.any_str.null")},
    {PROCESS, "{\"max_new_tokens\":\"x\",\"temperature\":\"y\"}",
     "{\"detail\":[{\"loc\":[\"body\",\"prompt\"],\"msg\":\"field required\",\"type\":"
     "\"value_error.missing\"},{\"loc\":[\"body\",\"max_new_tokens\"],\"msg\":\"value is not a valid "
     "integer\",\"type\":\"type_error.integer\"},{\"loc\":[\"body\",\"temperature\"],\"msg\":\"value "
     "is not a valid float\",\"type\":\"type_error.float\"}]}"},
    {TOKENIZE, "{}", ONE_ERROR(",\"text\"", "field required", "value_error.missing")},
    {TOKENIZE, "{\"text\":\"x\",\"max_length\":-1}", GE("max_length", "0")},
    {TOKENIZE, "{\"text\":\"x\",\"truncation\":null}", NONE("truncation")},
    {DECODE, "{}", ONE_ERROR(",\"tokens\"", "field required", "value_error.missing")},
    {DECODE, "{\"tokens\":5}",
     ONE_ERROR(",\"tokens\"", "value is not a valid list", "type_error.list")},
    {DECODE, "{\"tokens\":[1,\"x\",3]}",
     ONE_ERROR(",\"tokens\",1", "value is not a valid integer", "type_error.integer")},
    {DECODE, "{\"tokens\":[-1]}",
     ONE_ERROR(",\"tokens\",0", "ensure this value is greater than or equal to 0",
               "value_error.number.not_ge")},
    {DECODE, "{\"tokens\":[2147483648]}",
     ONE_ERROR(",\"tokens\",0", "ensure this value is less than or equal to 2147483647",
               "value_error.number.not_le")},
};

/** Read a body; on OD_E_FORMAT `detail` has the answer. */
static enum od_status read_any(enum endpoint endpoint, const char *bytes, size_t size,
                               struct od_body *body, struct od_process_request *process,
                               struct od_buf *detail, struct od_error *err)
{
    struct od_tokenize_request tokenize;
    struct od_decode_request decode;
    size_t samples = 0;
    od_body_init(body);
    return endpoint == PROCESS ? od_process_read(body, bytes, size, process, &samples, detail, err)
           : endpoint == TOKENIZE ? od_tokenize_read(body, bytes, size, &tokenize, detail, err)
                                  : od_decode_read(body, bytes, size, &decode, detail, err);
}

static void bad_bodies(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof BAD_BODIES / sizeof BAD_BODIES[0]; i++) {
        const struct bad_body *test = &BAD_BODIES[i];
        struct od_process_request process;
        struct od_body body;
        struct od_buf detail;
        struct od_error err = {0};
        od_buf_init(&detail, OD_DETAIL_MAX_BYTES);
        const enum od_status status = read_any(test->endpoint, test->body, strlen(test->body),
                                               &body, &process, &detail, &err);
        if (status != OD_E_FORMAT || strcmp(od_buf_text(&detail), test->answer) != 0) {
            fail_msg("%s: status %d, %s", test->body, status, od_buf_text(&detail));
        }
        od_body_release(&body);
        od_buf_release(&detail);
    }
}

struct broken_json {
    const char *body;
    int offset;
};

static void broken_json(void **state)
{
    (void)state;
    static const struct broken_json CASES[] = {
        {"{", 0},
        {" \r\n", 0},
        {"{\"prompt\": \"x\",}", 14},
        {"{\"prompt\":\n\n  nope}", 14},
        {"{\"prompt\": \"x\", \"prompt\": \"y\"}", 23},
        {"{\"prompt\": \"\\ud800\"}", 11},
        {"{\"prompt\": \"\xff\"}", 11},
        {"{\"prompt\": NaN}", 11},
        {"{\"seed\": 9223372036854775808}", 9},
        {"{\"prompt\": \"x\"} x", 16},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct od_process_request process;
        struct od_body body;
        struct od_buf detail;
        struct od_error err = {0};
        od_buf_init(&detail, OD_DETAIL_MAX_BYTES);
        assert_int_equal(
            read_any(PROCESS, CASES[i].body, strlen(CASES[i].body), &body, &process, &detail, &err),
            OD_E_FORMAT);
        int offset = -1;
        if (sscanf(od_buf_text(&detail), "{\"detail\":[{\"loc\":[\"body\",%d],", &offset) != 1 ||
            offset < CASES[i].offset || offset > (int)strlen(CASES[i].body) ||
            !strstr(od_buf_text(&detail), "\"type\":\"value_error.jsondecode\"}]}")) {
            fail_msg("%s: %s", CASES[i].body, od_buf_text(&detail));
        }
        od_body_release(&body);
        od_buf_release(&detail);
    }
}

static struct od_process_request good(const char *text, struct od_body *body)
{
    struct od_process_request process = {0};
    struct od_buf detail;
    struct od_error err = {0};
    od_buf_init(&detail, OD_DETAIL_MAX_BYTES);
    if (read_any(PROCESS, text, strlen(text), body, &process, &detail, &err) != OD_OK) {
        fail_msg("%s: %s", text, od_buf_text(&detail));
    }
    od_buf_release(&detail);
    return process;
}

static void defaults_of_process(void **state)
{
    (void)state;
    struct od_body body;
    const struct od_process_request request = good("{\"prompt\":\"hi\",\"unknown\":[1]}", &body);
    assert_string_equal(request.prompt, "hi");
    assert_int_equal(request.prompt_size, 2);
    assert_int_equal(request.max_new_tokens, 50);
    assert_int_equal(request.top_k, 200);
    assert_true(request.temperature == 0.8);
    assert_true(request.top_p == 1.0);
    assert_false(request.has_seed);
    assert_false(request.echo_prompt);
    assert_int_equal(request.stop_count, 0);
    assert_int_equal(request.top_logprobs, 1);
    od_body_release(&body);
}

static void what_helm_sends(void **state)
{
    (void)state;
    struct od_body body;
    const struct od_process_request request = good(
        "{\"prompt\": \"\\u00e9\\ud83d\\ude00\", \"temperature\": 1e-07, \"num_return_sequences\": 1, "
        "\"max_new_tokens\": 1, \"top_p\": 1, \"echo_prompt\": false, \"top_k_per_token\": 5, "
        "\"stop_sequences\": [\"\\n\", \"\", \"Q:\"]}",
        &body);
    assert_string_equal(request.prompt, "\xc3\xa9\xf0\x9f\x98\x80");
    assert_true(request.temperature == 1e-07);
    assert_int_equal(request.max_new_tokens, 1);
    assert_int_equal(request.top_k, 200);
    assert_int_equal(request.top_logprobs, 5);
    assert_int_equal(request.stop_count, 2);
    assert_string_equal(request.stop[0], "\n");
    assert_string_equal(request.stop[1], "Q:");
    od_body_release(&body);
}

struct number_case {
    const char *json;
    int64_t value;
};

static void lenient_types(void **state)
{
    (void)state;
    static const struct number_case INTEGERS[] = {
        {"5", 5},        {"\"5\"", 5},         {"5.0", 5},
        {"5.9", 5},      {"true", 1},          {"\" +5\\t\"", 5},
        {"0", 0},        {"false", 0},         {"-0.9", 0},
        {"\"1_0\"", 10}, {"1048576", 1048576}, {"1e2", 100},
    };
    static const struct number_case BOOLS[] = {
        {"true", 1},    {"false", 0},  {"null", 0},     {"1", 1},       {"0", 0},     {"1.0", 1},
        {"\"yes\"", 1}, {"\"No\"", 0}, {"\"TRUE\"", 1}, {"\"off\"", 0}, {"\"t\"", 1}, {"\"n\"", 0},
    };
    char text[256];
    for (size_t i = 0; i < sizeof INTEGERS / sizeof INTEGERS[0]; i++) {
        struct od_body body;
        (void)snprintf(text, sizeof text, "{\"prompt\":\"x\",\"max_new_tokens\":%s,\"seed\":%s}",
                       INTEGERS[i].json, INTEGERS[i].json);
        const struct od_process_request request = good(text, &body);
        assert_int_equal(request.max_new_tokens, INTEGERS[i].value);
        assert_true(request.has_seed);
        assert_int_equal(request.seed, (uint64_t)INTEGERS[i].value);
        od_body_release(&body);
    }
    for (size_t i = 0; i < sizeof BOOLS / sizeof BOOLS[0]; i++) {
        struct od_body body;
        (void)snprintf(text, sizeof text, "{\"prompt\":\"x\",\"echo_prompt\":%s}", BOOLS[i].json);
        assert_int_equal(good(text, &body).echo_prompt, BOOLS[i].value);
        od_body_release(&body);
    }
    struct od_body body;
    struct od_process_request request = good(
        "{\"prompt\":5.50,\"temperature\":\" 0.5\",\"top_p\":true,\"seed\":-1,\"top_k\":0,"
        "\"stop_sequences\":[1,true]}",
        &body);
    assert_string_equal(request.prompt, "5.5");
    assert_true(request.temperature == 0.5);
    assert_true(request.top_p == 1.0);
    assert_int_equal(request.seed, UINT64_MAX);
    assert_string_equal(request.stop[0], "1");
    assert_string_equal(request.stop[1], "True");
    od_body_release(&body);
    request = good(
        "{\"prompt\":\"a\\u0000b\",\"seed\":null,\"stop_sequences\":null,\"top_p\":null}", &body);
    assert_int_equal(request.prompt_size, 3);
    assert_memory_equal(request.prompt, "a\0b", 3);
    assert_false(request.has_seed);
    assert_int_equal(request.stop_count, 0);
    assert_true(request.top_p == 1.0);
    od_body_release(&body);
}

/** Status for `prefix`, `count` times `piece`, `suffix`; the answer in `detail`. */
static enum od_status status_of(enum endpoint endpoint, const char *prefix, const char *piece,
                                size_t count, const char *suffix, struct od_buf *detail)
{
    struct od_process_request process;
    struct od_body body;
    struct od_error err = {0};
    struct od_buf text;
    od_buf_init(&text, (size_t)1 << 24);
    od_buf_puts(&text, prefix);
    for (size_t i = 0; i < count; i++) {
        od_buf_puts(&text, piece);
    }
    od_buf_puts(&text, suffix);
    const enum od_status status =
        read_any(endpoint, text.bytes, text.size, &body, &process, detail, &err);
    od_body_release(&body);
    od_buf_release(&text);
    return status;
}

static void limits_at_and_past(void **state)
{
    (void)state;
    struct od_buf detail;
    od_buf_init(&detail, OD_DETAIL_MAX_BYTES);
    const char *stops = "{\"prompt\":\"x\",\"stop_sequences\":[\"a\"";
    assert_int_equal(status_of(PROCESS, stops, ",\"a\"", OD_STOP_COUNT_MAX - 1, "]}", &detail),
                     OD_OK);
    od_buf_reset(&detail);
    assert_int_equal(status_of(PROCESS, stops, ",\"a\"", OD_STOP_COUNT_MAX, "]}", &detail),
                     OD_E_FORMAT);
    assert_string_equal(od_buf_text(&detail),
                        ONE_ERROR(",\"stop_sequences\"", "ensure this value has at most 64 items",
                                  "value_error.list.max_items"));
    od_buf_reset(&detail);
    const char *stop = "{\"prompt\":\"x\",\"stop_sequences\":[\"";
    assert_int_equal(status_of(PROCESS, stop, "a", OD_STOP_MAX_BYTES, "\"]}", &detail), OD_OK);
    od_buf_reset(&detail);
    assert_int_equal(status_of(PROCESS, stop, "a", OD_STOP_MAX_BYTES + 1, "\"]}", &detail),
                     OD_E_FORMAT);
    assert_string_equal(od_buf_text(&detail), ONE_ERROR(",\"stop_sequences\",0",
                                                        "ensure this value has at most 1024 bytes",
                                                        "value_error.any_str.max_length"));
    od_buf_reset(&detail);
    // A million errors are told by the first hundred.
    assert_int_equal(status_of(DECODE, "{\"tokens\":[", "-1,", 1000000, "0]}", &detail),
                     OD_E_FORMAT);
    assert_non_null(strstr(od_buf_text(&detail), "[\"body\",\"tokens\",99]"));
    assert_null(strstr(od_buf_text(&detail), "[\"body\",\"tokens\",100]"));
    od_buf_reset(&detail);
    assert_int_equal(status_of(PROCESS, "", "[", 1000000, "", &detail), OD_E_FORMAT);
    od_buf_release(&detail);
}

static void every_allocation_fails_once(void **state)
{
    (void)state;
    // Short names: Jansson 2.14 writes out of bounds when growing its buffer for a longer one fails.
    static const struct od_field FIELDS[] = {
        {.name = "a", .kind = OD_FIELD_TEXT, .required = true},
        {.name = "b", .kind = OD_FIELD_TEXTS, .max = 9, .count_max = 9},
        {.name = "c", .kind = OD_FIELD_INTS, .max = 9, .count_max = 9},
    };
    static const char *const TEXTS[] = {
        "{\"a\":5,\"b\":[\"x\",\"y\",3],\"c\":[1],\"d\":{\"e\":[1]}}",
        "{\"a\":5,\"b\":[\"x\",{},true],\"c\":\"z\"}"};
    for (int bad = 0; bad <= 1; bad++) {
        enum od_status status = OD_E_MEMORY;
        uint64_t n = 0;
        while (status == OD_E_MEMORY) {
            struct od_body body;
            struct od_buf detail;
            struct od_error err = {0};
            od_body_init(&body);
            od_buf_init(&detail, OD_DETAIL_MAX_BYTES);
            od_alloc_fail_at(++n);
            status = od_body_read(&body, FIELDS, 3, TEXTS[bad], strlen(TEXTS[bad]), &detail, &err);
            od_alloc_fail_at(0);
            od_body_release(&body);
            od_buf_release(&detail);
        }
        assert_int_equal(status, bad ? OD_E_FORMAT : OD_OK);
        assert_in_range(n, 10, 1000);
    }
}

/** The challenge's description of a request, if shared data has it: ours takes all of it. */
static void published_description_is_part_of_ours(void **state)
{
    (void)state;
    const char *path = test_shared("confs/open_api_spec.json");
    struct od_error err = {0};
    struct od_buf text;
    json_t *theirs = NULL;
    json_t *ours = NULL;
    od_buf_init(&text, OD_DETAIL_MAX_BYTES);
    od_openapi_write(&text);
    assert_ok(od_buf_check(&text, &err), &err);
    assert_ok(od_json_parse(text.bytes, text.size, "ours", &ours, &err), &err);
    assert_ok(od_json_read(path, &theirs, &err), &err);
    assert_string_equal(json_string_value(json_object_get(ours, "openapi")),
                        json_string_value(json_object_get(theirs, "openapi")));
    const char *name;
    json_t *value;
    json_object_foreach(json_object_get(theirs, "paths"), name, value)
    {
        assert_non_null(json_object_get(json_object_get(ours, "paths"), name));
    }
    const json_t *our_schemas = json_object_get(json_object_get(ours, "components"), "schemas");
    json_object_foreach(json_object_get(json_object_get(theirs, "components"), "schemas"), name,
                        value)
    {
        const json_t *schema = json_object_get(our_schemas, name);
        const char *property;
        json_t *their_property;
        assert_non_null(schema);
        const json_t *required = json_object_get(value, "required");
        assert_true(!required || json_equal(json_object_get(schema, "required"), required));
        json_object_foreach(json_object_get(value, "properties"), property, their_property)
        {
            const json_t *our_property =
                json_object_get(json_object_get(schema, "properties"), property);
            const char *const keys[] = {"title", "type", "default"};
            for (size_t i = 0; i < 3; i++) {
                const json_t *mine = json_object_get(our_property, keys[i]);
                const json_t *published = json_object_get(their_property, keys[i]);
                if (mine != published && !json_equal(mine, published)) {
                    fail_msg("%s.%s: '%s' differs", name, property, keys[i]);
                }
            }
        }
    }
    json_decref(theirs);
    json_decref(ours);
    od_buf_release(&text);
}

static void our_description_is_json(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_buf text;
    json_t *root = NULL;
    od_buf_init(&text, OD_DETAIL_MAX_BYTES);
    od_openapi_write(&text);
    assert_ok(od_buf_check(&text, &err), &err);
    assert_ok(od_json_parse(text.bytes, text.size, "openapi.json", &root, &err), &err);
    // Every reference leads somewhere.
    const json_t *schemas = json_object_get(json_object_get(root, "components"), "schemas");
    static const char REFERENCE[] = "\"$ref\":\"#/components/schemas/";
    int count = 0;
    for (const char *at = text.bytes; (at = strstr(at, REFERENCE)); count++) {
        char name[64];
        at += sizeof REFERENCE - 1;
        (void)snprintf(name, sizeof name, "%.*s", (int)strcspn(at, "\""), at);
        if (!json_object_get(schemas, name)) {
            fail_msg("no schema '%s'", name);
        }
    }
    assert_in_range(count, 10, 100);
    json_decref(root);
    od_buf_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_bodies),
        cmocka_unit_test(broken_json),
        cmocka_unit_test(defaults_of_process),
        cmocka_unit_test(what_helm_sends),
        cmocka_unit_test(lenient_types),
        cmocka_unit_test(limits_at_and_past),
        cmocka_unit_test(every_allocation_fails_once),
        cmocka_unit_test(our_description_is_json),
        cmocka_unit_test(published_description_is_part_of_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
