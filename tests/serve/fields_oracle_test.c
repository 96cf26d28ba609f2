// Goal: bodies of the challenge's API are taken, and complained about, as by FastAPI with pydantic 1.
// Method: a record of what FastAPI says to some five hundred bodies. What we do otherwise on purpose is
// listed here: our limits on numbers, and our words about text that is no JSON.

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
#include "infer/responder.h"
#include "serve/endpoints.h"
#include "serve/fields.h"
#include "support.h"

/** What our reading of a body gave. */
struct reading {
    enum od_status status;
    struct od_body body;
    struct od_process_request process;
    size_t samples;
    struct od_tokenize_request tokenize;
    struct od_decode_request decode;
    json_t *detail;
};

static struct reading read_body(const char *path, const char *text)
{
    struct reading reading = {.detail = NULL};
    struct od_error err = {0};
    struct od_buf detail;
    const size_t size = strlen(text);
    od_body_init(&reading.body);
    od_buf_init(&detail, OD_DETAIL_MAX_BYTES);
    reading.status =
        strcmp(path, "/process") == 0 ? od_process_read(&reading.body, text, size, &reading.process,
                                                        &reading.samples, &detail, &err)
        : strcmp(path, "/tokenize") == 0
            ? od_tokenize_read(&reading.body, text, size, &reading.tokenize, &detail, &err)
            : od_decode_read(&reading.body, text, size, &reading.decode, &detail, &err);
    if (reading.status != OD_OK) {
        json_t *root = NULL;
        assert_int_equal(reading.status, OD_E_FORMAT);
        assert_ok(od_json_parse(od_buf_text(&detail), detail.size, "detail", &root, &err), &err);
        reading.detail = json_incref(json_object_get(root, "detail"));
        json_decref(root);
    }
    od_buf_release(&detail);
    return reading;
}

static void reading_release(struct reading *reading)
{
    json_decref(reading->detail);
    od_body_release(&reading->body);
}

static bool is_text(const json_t *value, const char *text, size_t size)
{
    return json_string_length(value) == size && memcmp(json_string_value(value), text, size) == 0;
}

static bool is_flag(const json_t *value, bool flag)
{
    return json_is_true(value) == flag;
}

/** Are the values that we took those that FastAPI took? */
static bool same_values(const char *path, const struct reading *ours, const json_t *values)
{
    const json_t *seed = json_object_get(values, "seed");
    const json_t *tokens = json_object_get(values, "tokens");
    if (strcmp(path, "/tokenize") == 0) {
        return is_text(json_object_get(values, "text"), ours->tokenize.text,
                       ours->tokenize.text_size) &&
               is_flag(json_object_get(values, "truncation"), ours->tokenize.truncation) &&
               json_integer_value(json_object_get(values, "max_length")) ==
                   ours->tokenize.max_length;
    }
    if (strcmp(path, "/decode") == 0) {
        bool same = json_array_size(tokens) == ours->decode.count;
        for (size_t i = 0; i < ours->decode.count && same; i++) {
            same = json_integer_value(json_array_get(tokens, i)) == ours->decode.ids[i];
        }
        return same;
    }
    return is_text(json_object_get(values, "prompt"), ours->process.prompt,
                   ours->process.prompt_size) &&
           json_integer_value(json_object_get(values, "num_samples")) == (int64_t)ours->samples &&
           json_integer_value(json_object_get(values, "max_new_tokens")) ==
               ours->process.max_new_tokens &&
           json_integer_value(json_object_get(values, "top_k")) == ours->process.top_k &&
           json_number_value(json_object_get(values, "temperature")) == ours->process.temperature &&
           is_flag(json_object_get(values, "echo_prompt"), ours->process.echo_prompt) &&
           json_is_null(seed) == !ours->process.has_seed &&
           (uint64_t)json_integer_value(seed) == ours->process.seed;
}

/** Does the detail say that a number is outside our limits, and nothing else? */
static bool is_limit(const json_t *detail)
{
    static const char START[] = "value_error.number.not_";
    size_t i = 0;
    const json_t *error = NULL;
    json_array_foreach(detail, i, error)
    {
        const char *type = json_string_value(json_object_get(error, "type"));
        if (strncmp(type, START, sizeof START - 1) != 0) {
            return false;
        }
    }
    return json_array_size(detail) > 0;
}

/** The same complaints; about broken JSON only that it is broken. */
static bool same_detail(const json_t *ours, const json_t *theirs)
{
    const json_t *first = json_array_get(theirs, 0);
    const char *type = json_string_value(json_object_get(first, "type"));
    if (strcmp(type, "value_error.jsondecode") != 0) {
        return json_equal(ours, theirs);
    }
    const json_t *our_first = json_array_get(ours, 0);
    const json_t *loc = json_object_get(our_first, "loc");
    return json_array_size(ours) == 1 && json_array_size(loc) == 2 &&
           json_is_integer(json_array_get(loc, 1)) &&
           strcmp(json_string_value(json_object_get(our_first, "type")), type) == 0;
}

static void as_fastapi(void **state)
{
    (void)state;
    struct od_error err = {0};
    json_t *record = NULL;
    size_t i = 0;
    const json_t *test = NULL;
    int limited = 0;
    int different = 0;
    assert_ok(od_json_read(test_source("tests/golden/oracle/fastapi_bodies.json"), &record, &err),
              &err);
    const json_t *cases = json_object_get(record, "cases");
    assert_true(json_array_size(cases) > 500);
    json_array_foreach(cases, i, test)
    {
        const char *path = json_string_value(json_object_get(test, "path"));
        const char *body = json_string_value(json_object_get(test, "body"));
        const bool is_good = json_integer_value(json_object_get(test, "code")) == 200;
        struct reading ours = read_body(path, body);
        bool same = false;
        if (is_good && ours.status != OD_OK && is_limit(ours.detail)) {
            limited++;
            same = true;
        } else if (is_good) {
            same =
                ours.status == OD_OK && same_values(path, &ours, json_object_get(test, "values"));
        } else {
            same =
                ours.status != OD_OK && same_detail(ours.detail, json_object_get(test, "detail"));
        }
        if (!same) {
            char *text = ours.detail ? json_dumps(ours.detail, JSON_COMPACT) : NULL;
            print_message("# %s %s: %s\n", path, body, text ? text : "taken");
            free(text);
            different++;
        }
        reading_release(&ours);
    }
    json_decref(record);
    assert_int_equal(different, 0);
    assert_in_range(limited, 1, 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(as_fastapi)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
