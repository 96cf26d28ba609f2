// Small tokenizers, one for each step of a tokenizer.json, against what Hugging Face's tokenizers
// makes of the same texts (tests/oracle/text_steps.py, and text_wordpiece.py for those of BERT's kind).

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "formats/json.h"
#include "support.h"
#include "text/tokenizer.h"

enum { TEXT_MAX_BYTES = 1 << 24, IDS_MAX = 1 << 20, CASES_LEAST = 2000, WORDPIECE_LEAST = 500 };

static struct od_tokenizer *open_tokenizer(json_t *pipeline, json_t *models)
{
    struct od_error err = {0};
    struct od_tokenizer *tokenizer = NULL;
    const char *name = json_string_value(json_object_get(pipeline, "name"));
    json_t *model = json_object_get(models, json_string_value(json_object_get(pipeline, "model")));
    json_t *full = json_copy(pipeline);
    assert_int_equal(json_object_set(full, "model", model), 0);
    char *text = json_dumps(full, JSON_COMPACT);
    assert_non_null(text);
    assert_ok(od_tokenizer_parse_json(text, strlen(text), name, &tokenizer, &err), &err);
    od_free(text);  // Jansson's memory is ours
    json_decref(full);
    return tokenizer;
}

// Prints what differs; true when nothing does.
static bool same_ids(const json_t *want, const struct od_ids *have, const char *what)
{
    bool same = json_array_size(want) == have->count;
    for (size_t i = 0; same && i < have->count; i++) {
        same = json_integer_value(json_array_get(want, i)) == have->data[i];
    }
    if (!same) {
        char *text = json_dumps(want, JSON_COMPACT);
        print_message("# %s: want %s have", what, text);
        for (size_t i = 0; i < have->count; i++) {
            print_message(" %d", (int)have->data[i]);
        }
        print_message("\n");
        od_free(text);
    }
    return same;
}

static bool same_text(const json_t *want, const struct od_buf *have, const char *what)
{
    if (json_is_null(want)) {
        return true;  // not recorded
    }
    const bool same = json_string_length(want) == have->size &&
                      memcmp(json_string_value(want), od_buf_text(have), have->size) == 0;
    if (!same) {
        print_message("# %s: want '%s' have '%s'\n", what, json_string_value(want),
                      od_buf_text(have));
    }
    return same;
}

static bool check_encode(const struct od_tokenizer *tokenizer, const json_t *text, unsigned flags,
                         const json_t *want, const char *what)
{
    struct od_error err = {0};
    struct od_ids ids;
    od_ids_init(&ids, IDS_MAX);
    assert_ok(od_tokenizer_encode(tokenizer, json_string_value(text), json_string_length(text),
                                  flags, &ids, &err),
              &err);
    const bool same = same_ids(want, &ids, what);
    od_ids_release(&ids);
    return same;
}

static bool check_decode(const struct od_tokenizer *tokenizer, const json_t *list, unsigned flags,
                         const json_t *want, const char *what)
{
    struct od_error err = {0};
    struct od_ids ids;
    struct od_buf text;
    struct od_buf raw;
    struct od_buf pieces;
    od_ids_init(&ids, IDS_MAX);
    od_buf_init(&text, TEXT_MAX_BYTES);
    od_buf_init(&raw, TEXT_MAX_BYTES);
    od_buf_init(&pieces, TEXT_MAX_BYTES);
    for (size_t i = 0; i < json_array_size(list); i++) {
        od_ids_push(&ids, (int32_t)json_integer_value(json_array_get(list, i)));
    }
    assert_ok(od_ids_check(&ids, &err), &err);
    assert_ok(od_tokenizer_decode(tokenizer, ids.data, ids.count, flags, &text, &err), &err);
    assert_ok(
        od_tokenizer_decode(tokenizer, ids.data, ids.count, flags | OD_DECODE_RAW, &raw, &err),
        &err);
    for (size_t i = 0; i < ids.count; i++) {
        assert_ok(
            od_tokenizer_decode(tokenizer, &ids.data[i], 1, flags | OD_DECODE_RAW, &pieces, &err),
            &err);
    }
    assert_int_equal(pieces.size, raw.size);
    assert_memory_equal(od_buf_text(&pieces), od_buf_text(&raw), raw.size);
    const bool same = same_text(want, &text, what);
    od_ids_release(&ids);
    od_buf_release(&text);
    od_buf_release(&raw);
    od_buf_release(&pieces);
    return same;
}

// A case is [text, ids, special ids or null, decoded, decoded without special, ids, decoded].
static bool check_case(const struct od_tokenizer *tokenizer, const json_t *one, const char *name)
{
    const json_t *text = json_array_get(one, 0);
    const json_t *ids = json_array_get(one, 1);
    const json_t *special = json_array_get(one, 2);
    special = json_is_null(special) ? ids : special;
    bool good = check_encode(tokenizer, text, OD_ENCODE_PLAIN, ids, "ids");
    good &= check_encode(tokenizer, text, OD_ENCODE_SPECIAL, special, "special ids");
    good &= check_decode(tokenizer, ids, OD_DECODE_PLAIN, json_array_get(one, 3), "decoded");
    good &= check_decode(tokenizer, special, OD_DECODE_SKIP_SPECIAL, json_array_get(one, 4),
                         "decoded without special");
    good &= check_decode(tokenizer, json_array_get(one, 5), OD_DECODE_PLAIN, json_array_get(one, 6),
                         "other ids decoded");
    if (!good) {
        print_message("# '%s': text '%s'\n", name, json_string_value(text));
    }
    return good;
}

// Cases of a record, all of which must agree.
static size_t check_record(const char *path)
{
    struct od_error err = {0};
    json_t *golden = NULL;
    size_t count = 0;
    size_t wrong = 0;
    assert_ok(od_json_read(test_source(path), &golden, &err), &err);
    json_t *models = json_object_get(golden, "models");
    json_t *list = json_object_get(golden, "tokenizers");
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *pipeline = json_array_get(list, i);
        const json_t *cases = json_object_get(pipeline, "cases");
        struct od_tokenizer *tokenizer = open_tokenizer(pipeline, models);
        for (size_t j = 0; j < json_array_size(cases); j++) {
            count++;
            wrong += !check_case(tokenizer, json_array_get(cases, j),
                                 json_string_value(json_object_get(pipeline, "name")));
        }
        od_tokenizer_free(tokenizer);
    }
    json_decref(golden);
    assert_int_equal(wrong, 0);
    return count;
}

static void test_steps(void **state)
{
    (void)state;
    assert_true(check_record("tests/golden/oracle/text_steps.json") >= CASES_LEAST);
}

static void test_wordpiece(void **state)
{
    (void)state;
    assert_true(check_record("tests/golden/oracle/text_wordpiece.json") >= WORDPIECE_LEAST);
}

// What a model of this kind needs.
static void test_wordpiece_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum od_status status;
        const char *part;
    } cases[] = {{"{\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"a\":0}}}", OD_E_FORMAT,
                  "unk_token '[UNK]' is not in"},
                 {"{\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"a\",\"vocab\":[]}}",
                  OD_E_FORMAT, "must be an object"},
                 {"{\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"a\",\"vocab\":{\"a\":0},"
                  "\"continuing_subword_prefix\":\"################################\"}}",
                  OD_E_LIMIT, "continuing_subword_prefix"},
                 {"{\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"a\",\"vocab\":{\"a\":0}},"
                  "\"decoder\":{\"type\":\"WordPiece\"}}",
                  OD_E_FORMAT, "'prefix' must be a text"},
                 {"{\"model\":{\"type\":\"WordLevel\",\"vocab\":{\"a\":0}}}", OD_E_UNSUPPORTED,
                  "only BPE, Unigram and WordPiece"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct od_error err = {0};
        struct od_tokenizer *tokenizer = NULL;
        const enum od_status status =
            od_tokenizer_parse_json(cases[i].text, strlen(cases[i].text), "test", &tokenizer, &err);
        if (status != cases[i].status || !strstr(err.message, cases[i].part)) {
            fail_msg("case %zu gives %d '%s'", i, (int)status, err.message);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_steps),
                                       cmocka_unit_test(test_wordpiece),
                                       cmocka_unit_test(test_wordpiece_refused)};
    return cmocka_run_group_tests_name("steps", tests, NULL, NULL);
}
