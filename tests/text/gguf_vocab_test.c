// Vocabularies of GGUF files: tokenizers are written, read again, and must give the ids that the
// reference programs gave for the original (tests/oracle/text_spm.py, text_unigram.py); byte-level
// ones those of the original. Broken vocabularies are refused by name.

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "formats/gguf.h"
#include "formats/json.h"
#include "support.h"
#include "text/tokenizer.h"

enum { IDS_MAX = 1 << 20, ROWS_MORE = 3, FUZZ_TEXTS = 300, TEXT_PARTS = 12 };

// Write and read; NULL and the message in `err` when the writing is refused.
static struct od_tokenizer *there_and_back(const struct od_tokenizer *tokenizer,
                                           struct od_error *err)
{
    struct od_gguf_keys keys;
    struct od_gguf_writer *writer = NULL;
    struct od_gguf *gguf = NULL;
    struct od_tokenizer *back = NULL;
    char path[OD_PATH_MAX_BYTES];
    assert_ok(od_path_join(path, test_folder(), "vocab.gguf", err), err);
    od_gguf_keys_init(&keys);
    od_gguf_put_text(&keys, "general.architecture", "llama");
    const enum od_status status = od_tokenizer_put_gguf(
        tokenizer, od_tokenizer_vocab_size(tokenizer) + ROWS_MORE, &keys, err);
    if (status == OD_OK) {
        assert_ok(od_gguf_create(path, &keys, NULL, 0, &writer, err), err);
        assert_ok(od_gguf_commit(writer, err), err);
        assert_ok(od_gguf_open(path, &gguf, err), err);
        assert_ok(od_tokenizer_of_gguf(gguf, &back, err), err);
        od_gguf_close(gguf);
    }
    od_gguf_keys_release(&keys);
    return back;
}

static bool same_ids(const struct od_tokenizer *tokenizer, const json_t *text, const json_t *want)
{
    struct od_error err = {0};
    struct od_ids ids;
    od_ids_init(&ids, IDS_MAX);
    assert_ok(od_tokenizer_encode(tokenizer, json_string_value(text), json_string_length(text),
                                  OD_ENCODE_PLAIN, &ids, &err),
              &err);
    bool same = ids.count == json_array_size(want);
    for (size_t i = 0; i < ids.count && same; i++) {
        same = json_integer_value(json_array_get(want, i)) == ids.data[i];
    }
    od_ids_release(&ids);
    return same;
}

// Every model of a record; returns how many texts were compared.
static size_t check_record(const char *folder, size_t *refused)
{
    struct od_error err = {0};
    json_t *golden = NULL;
    char path[OD_PATH_MAX_BYTES];
    size_t count = 0;
    (void)snprintf(path, sizeof(path), "%s/cases.json", test_source(folder));
    assert_ok(od_json_read(path, &golden, &err), &err);
    const json_t *list = json_object_get(golden, "models");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *model = json_array_get(list, i);
        const json_t *cases = json_object_get(model, "cases");
        const char *name = json_string_value(json_object_get(model, "name"));
        struct od_tokenizer *tokenizer = NULL;
        (void)snprintf(path, sizeof(path), "%s/%s.model", test_source(folder), name);
        assert_ok(od_tokenizer_open_spm(path, &tokenizer, &err), &err);
        struct od_tokenizer *back = there_and_back(tokenizer, &err);
        *refused += !back;
        for (size_t j = 0; back && j < json_array_size(cases); j++) {
            const json_t *one = json_array_get(cases, j);
            if (!same_ids(back, json_array_get(one, 0), json_array_get(one, 1))) {
                fail_msg("'%s' differs for '%s'", name, json_string_value(json_array_get(one, 0)));
            }
            count++;
        }
        if (back) {
            assert_int_equal(od_tokenizer_bos(back), od_tokenizer_bos(tokenizer));
            assert_int_equal(od_tokenizer_eos(back), od_tokenizer_eos(tokenizer));
            assert_int_equal(od_tokenizer_vocab_size(back),
                             od_tokenizer_vocab_size(tokenizer) + ROWS_MORE);
        } else {
            assert_non_null(strstr(err.message, "normalisation rules"));
        }
        od_tokenizer_free(back);
        od_tokenizer_free(tokenizer);
    }
    json_decref(golden);
    return count;
}

static void test_sentencepiece(void **state)
{
    (void)state;
    size_t refused = 0;
    assert_true(check_record("tests/golden/oracle/text_spm", &refused) > 500);
    assert_int_equal(refused, 2);
    refused = 0;
    assert_true(check_record("tests/golden/oracle/text_unigram", &refused) > 500);
    assert_int_equal(refused, 0);
}

static void assert_same(const struct od_tokenizer *a, const struct od_tokenizer *b,
                        const char *text, size_t size)
{
    struct od_error err = {0};
    for (unsigned flags = 0; flags < 4; flags++) {
        struct od_ids left;
        struct od_ids right;
        od_ids_init(&left, IDS_MAX);
        od_ids_init(&right, IDS_MAX);
        assert_ok(od_tokenizer_encode(a, text, size, flags, &left, &err), &err);
        assert_ok(od_tokenizer_encode(b, text, size, flags, &right, &err), &err);
        if (left.count != right.count ||
            (left.count > 0 && memcmp(left.data, right.data, left.count * sizeof(int32_t)) != 0)) {
            fail_msg("'%s' differs with flags %u", text, flags);
        }
        od_ids_release(&left);
        od_ids_release(&right);
    }
}

// Random texts give the same ids before and after.
static void check_random(const struct od_tokenizer *tokenizer)
{
    static const char *const parts[] = {"ab", "a",  "b",   " ", "c1",    "2.", "!'",  "\n",
                                        "é",  "中", "<x>", "_", "ab ab", "  ", "<y>", "'ll"};
    struct od_error err = {0};
    struct od_mt19937 random;
    struct od_buf text;
    struct od_tokenizer *back = there_and_back(tokenizer, &err);
    if (!back) {
        fail_msg("%s", err.message);
    }
    od_mt_seed_python_int(&random, test_seed());
    od_buf_init(&text, IDS_MAX);
    for (int i = 0; i < FUZZ_TEXTS; i++) {
        od_buf_reset(&text);
        const uint64_t count = od_py_randbelow(&random, TEXT_PARTS);
        for (uint64_t j = 0; j < count; j++) {
            od_buf_puts(&text, parts[od_py_randbelow(&random, sizeof parts / sizeof parts[0])]);
        }
        assert_same(tokenizer, back, od_buf_text(&text), text.size);
    }
    od_buf_release(&text);
    od_tokenizer_free(back);
}

static void write_file(const char *folder, const char *name, const char *text)
{
    struct od_error err = {0};
    char path[OD_PATH_MAX_BYTES];
    assert_ok(od_path_join(path, folder, name, &err), &err);
    assert_ok(od_file_write(path, text, strlen(text), &err), &err);
}

static void test_byte_level(void **state)
{
    (void)state;
    static const char *const configs[] = {
        "{\"tokenizer_class\": \"GPT2Tokenizer\"}", "{\"tokenizer_class\": \"RobertaTokenizer\"}",
        "{\"tokenizer_class\": \"Qwen2Tokenizer\", \"add_bos_token\": true, \"bos_token\": \"<x>\", "
        "\"added_tokens_decoder\": {\"20\": {\"content\": \"<x>\", \"special\": true}, "
        "\"21\": {\"content\": \"<y>\", \"special\": false}}}"};
    for (size_t i = 0; i < sizeof configs / sizeof configs[0]; i++) {
        struct od_error err = {0};
        struct od_tokenizer *tokenizer = NULL;
        const char *folder = test_folder();
        write_file(folder, "vocab.json",
                   "{\"a\": 0, \"b\": 1, \"\u0120\": 2, \"ab\": 3, \"\u0120ab\": 4, \"<s>\": 5, "
                   "\"</s>\": 6, \"!\": 7, \"\u00c3\": 8, \"\u00a9\": 9, \"\u00c3\u00a9\": 10}");
        write_file(folder, "merges.txt", "a b\n\u0120 ab\n\u00c3 \u00a9\n");
        write_file(folder, "tokenizer_config.json", configs[i]);
        assert_ok(od_tokenizer_open(folder, &tokenizer, &err), &err);
        check_random(tokenizer);
        od_tokenizer_free(tokenizer);
    }
}

// A tokenizer.json of Llama's kind has no scores: those that are made lead to the same ids.
static void test_byte_fallback(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_tokenizer *tokenizer = NULL;
    assert_ok(od_tokenizer_open_json(test_shared("models/stories260K/hf/tokenizer.json"),
                                     &tokenizer, &err),
              &err);
    check_random(tokenizer);
    struct od_tokenizer *back = there_and_back(tokenizer, &err);
    json_t *texts = NULL;
    size_t size = 0;
    char *cases = NULL;
    assert_ok(od_file_read(test_shared("tokenizers/cases.jsonl"), IDS_MAX, &cases, &size, &err),
              &err);
    size_t count = 0;
    for (const char *at = cases; *at != '\0'; count++) {
        const char *stop = strchr(at, '\n');
        assert_non_null(stop);
        assert_ok(od_json_parse(at, (size_t)(stop - at), "line", &texts, &err), &err);
        const json_t *text = json_object_get(texts, "text");
        struct od_ids ids;
        struct od_ids want;
        od_ids_init(&ids, IDS_MAX);
        od_ids_init(&want, IDS_MAX);
        assert_ok(od_tokenizer_encode(tokenizer, json_string_value(text), json_string_length(text),
                                      OD_ENCODE_NO_ADDED, &want, &err),
                  &err);
        assert_ok(od_tokenizer_encode(back, json_string_value(text), json_string_length(text),
                                      OD_ENCODE_NO_ADDED, &ids, &err),
                  &err);
        assert_int_equal(ids.count, want.count);
        assert_memory_equal(ids.data, want.data, ids.count * sizeof(*ids.data));
        od_ids_release(&ids);
        od_ids_release(&want);
        json_decref(texts);
        at = stop + 1;
    }
    assert_int_equal(count, 232);
    od_free(cases);
    od_tokenizer_free(back);
    od_tokenizer_free(tokenizer);
}

static void test_refused_writes(void **state)
{
    (void)state;
    static const struct {
        const char *json;
        const char *part;
    } cases[] = {
        {"{\"model\": {\"vocab\": {\"a\": 0}, \"merges\": []}}", "neither byte-level"},
        {"{\"model\": {\"unk_id\": 0, \"vocab\": [[\"a\", 0]]}}", "neither byte-level"},
        {"{\"model\": {\"vocab\": {\"a\": 0}, \"merges\": []}, \"pre_tokenizer\": {\"type\": "
         "\"ByteLevel\", \"add_prefix_space\": true}}",
         "no name"},
        {"{\"model\": {\"vocab\": {\"a\": 0}, \"merges\": []}, \"normalizer\": {\"type\": \"NFD\"}, "
         "\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false}}",
         "no name"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct od_error err = {0};
        struct od_tokenizer *tokenizer = NULL;
        assert_ok(
            od_tokenizer_parse_json(cases[i].json, strlen(cases[i].json), "test", &tokenizer, &err),
            &err);
        assert_null(there_and_back(tokenizer, &err));
        assert_int_equal(err.status, OD_E_UNSUPPORTED);
        assert_non_null(strstr(err.message, cases[i].part));
        od_tokenizer_free(tokenizer);
    }
}

// A vocabulary of <unk>, a, b that one change breaks.
enum change {
    NONE,
    NO_TOKENS,
    EMPTY_TOKENS,
    NO_SCORES,
    SHORT_TYPES,
    BAD_TYPE,
    BAD_UNKNOWN,
    BAD_BOS,
    BAD_MODEL,
    BAD_PRE,
    NO_MERGES,
    SAME_TOKENS,
    BAD_RULES,
    FLOAT_TYPES
};

static enum od_status open_changed(enum change change, bool bpe, struct od_error *err)
{
    static const char *const tokens[] = {"<unk>", "a", "b"};
    struct od_gguf_keys keys;
    struct od_gguf_writer *writer = NULL;
    struct od_gguf *gguf = NULL;
    struct od_tokenizer *tokenizer = NULL;
    char path[OD_PATH_MAX_BYTES];
    const uint64_t count = change == EMPTY_TOKENS ? 0 : 3;
    assert_ok(od_path_join(path, test_folder(), "vocab.gguf", err), err);
    od_gguf_keys_init(&keys);
    od_gguf_put_text(&keys, "tokenizer.ggml.model",
                     change == BAD_MODEL ? "rwkv"
                     : bpe               ? "gpt2"
                                         : "llama");
    od_gguf_put_text(&keys, "tokenizer.ggml.pre", change == BAD_PRE ? "other" : "gpt-2");
    od_gguf_put_list(&keys, change == NO_TOKENS ? "x" : "tokenizer.ggml.tokens", OD_GGUF_TEXT,
                     count);
    for (uint64_t i = 0; i < count; i++) {
        const char *text = tokens[change == SAME_TOKENS && i == 2 ? 1 : i];
        od_gguf_put_text_item(&keys, text, strlen(text));
    }
    if (!bpe && change != NO_SCORES) {
        od_gguf_put_list(&keys, "tokenizer.ggml.scores", OD_GGUF_F32, count);
        for (uint64_t i = 0; i < count; i++) {
            od_gguf_put_f32_item(&keys, 0);
        }
    }
    const uint64_t types = change == SHORT_TYPES ? count - 1 : count;
    od_gguf_put_list(&keys, "tokenizer.ggml.token_type",
                     change == FLOAT_TYPES ? OD_GGUF_F32 : OD_GGUF_I32, types);
    for (uint64_t i = 0; i < types; i++) {
        od_gguf_put_i32_item(&keys, change == BAD_TYPE ? -1 : 1);
    }
    if (bpe && change != NO_MERGES) {
        od_gguf_put_list(&keys, "tokenizer.ggml.merges", OD_GGUF_TEXT, 0);
    }
    if (change == BAD_RULES) {
        od_gguf_put_list(&keys, "tokenizer.ggml.precompiled_charsmap", OD_GGUF_U8, 3);
        od_gguf_put_u8_items(&keys, "abc", 3);
    }
    od_gguf_put_u32(&keys, "tokenizer.ggml.unknown_token_id", change == BAD_UNKNOWN ? 3 : 0);
    od_gguf_put_u32(&keys, "tokenizer.ggml.bos_token_id", change == BAD_BOS ? 3 : 1);
    assert_ok(od_gguf_create(path, &keys, NULL, 0, &writer, err), err);
    assert_ok(od_gguf_commit(writer, err), err);
    assert_ok(od_gguf_open(path, &gguf, err), err);
    const enum od_status status = od_tokenizer_of_gguf(gguf, &tokenizer, err);
    assert_true((status == OD_OK) == (tokenizer != NULL));
    od_tokenizer_free(tokenizer);
    od_gguf_close(gguf);
    od_gguf_keys_release(&keys);
    return status;
}

static void test_broken(void **state)
{
    (void)state;
    static const struct {
        enum change change;
        bool bpe;
        enum od_status status;
        const char *part;
    } cases[] = {
        {NONE, false, OD_OK, ""},
        {NONE, true, OD_OK, ""},
        {NO_TOKENS, false, OD_E_FORMAT, "ggml.tokens"},
        {EMPTY_TOKENS, true, OD_E_FORMAT, "ggml.tokens"},
        {NO_SCORES, false, OD_E_FORMAT, "ggml.scores"},
        {SHORT_TYPES, true, OD_E_FORMAT, "as long as"},
        {FLOAT_TYPES, true, OD_E_FORMAT, "token_type"},
        {BAD_TYPE, false, OD_E_FORMAT, "piece 1 has type"},
        {BAD_UNKNOWN, false, OD_E_FORMAT, "unknown_token_id"},
        {BAD_BOS, true, OD_E_FORMAT, "bos_token_id"},
        {BAD_MODEL, false, OD_E_UNSUPPORTED, "'rwkv'"},
        {BAD_PRE, true, OD_E_UNSUPPORTED, "'other'"},
        {NO_MERGES, true, OD_E_FORMAT, "ggml.merges"},
        {SAME_TOKENS, true, OD_E_FORMAT, "token 2"},
        {SAME_TOKENS, false, OD_E_FORMAT, "same text"},
        {BAD_RULES, false, OD_E_FORMAT, "rules are broken"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct od_error err = {0};
        const enum od_status status = open_changed(cases[i].change, cases[i].bpe, &err);
        if (status != cases[i].status || !strstr(err.message, cases[i].part)) {
            fail_msg("case %zu gives %d '%s'", i, (int)status, err.message);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sentencepiece), cmocka_unit_test(test_byte_level),
        cmocka_unit_test(test_byte_fallback), cmocka_unit_test(test_refused_writes),
        cmocka_unit_test(test_broken),
    };
    return cmocka_run_group_tests_name("gguf_vocab", tests, NULL, NULL);
}
