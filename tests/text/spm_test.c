// Small SentencePiece models against what sentencepiece makes of the same texts
// (tests/oracle/text_spm.py), and files that are broken.

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "formats/json.h"
#include "formats/text_file.h"
#include "support.h"
#include "text/tokenizer.h"

enum { TEXT_MAX_BYTES = 1 << 24, IDS_MAX = 1 << 20, CASES_LEAST = 600 };

static void put_list(struct od_ids *ids, const json_t *list)
{
    od_ids_reset(ids);
    for (size_t i = 0; i < json_array_size(list); i++) {
        od_ids_push(ids, (int32_t)json_integer_value(json_array_get(list, i)));
    }
}

static bool same_decoded(const struct od_tokenizer *tokenizer, const struct od_ids *ids,
                         const json_t *want)
{
    struct od_error err = {0};
    struct od_buf text;
    struct od_buf raw;
    struct od_buf pieces;
    od_buf_init(&text, TEXT_MAX_BYTES);
    od_buf_init(&raw, TEXT_MAX_BYTES);
    od_buf_init(&pieces, TEXT_MAX_BYTES);
    assert_ok(od_tokenizer_decode(tokenizer, ids->data, ids->count, 0, &text, &err), &err);
    assert_ok(od_tokenizer_decode(tokenizer, ids->data, ids->count, OD_DECODE_RAW, &raw, &err),
              &err);
    for (size_t i = 0; i < ids->count; i++) {
        assert_ok(od_tokenizer_decode(tokenizer, &ids->data[i], 1, OD_DECODE_RAW, &pieces, &err),
                  &err);
    }
    assert_int_equal(pieces.size, raw.size);
    assert_memory_equal(od_buf_text(&pieces), od_buf_text(&raw), raw.size);
    const bool same = text.size == json_string_length(want) &&
                      memcmp(od_buf_text(&text), json_string_value(want), text.size) == 0;
    if (!same) {
        print_message("# decoded: want '%s' have '%s'\n", json_string_value(want),
                      od_buf_text(&text));
    }
    od_buf_release(&text);
    od_buf_release(&raw);
    od_buf_release(&pieces);
    return same;
}

static bool check_case(const struct od_tokenizer *tokenizer, const json_t *one)
{
    struct od_error err = {0};
    const json_t *text = json_array_get(one, 0);
    struct od_ids ids;
    struct od_ids want;
    od_ids_init(&ids, IDS_MAX);
    od_ids_init(&want, IDS_MAX);
    put_list(&want, json_array_get(one, 1));
    assert_ok(od_tokenizer_encode(tokenizer, json_string_value(text), json_string_length(text), 0,
                                  &ids, &err),
              &err);
    bool good = ids.count == want.count &&
                (ids.count == 0 || memcmp(ids.data, want.data, ids.count * sizeof(*ids.data)) == 0);
    for (size_t i = 0; !good && i < ids.count; i++) {
        print_message("# have %d want %d\n", (int)ids.data[i],
                      i < want.count ? (int)want.data[i] : -1);
    }
    good &= same_decoded(tokenizer, &want, json_array_get(one, 2));
    put_list(&want, json_array_get(one, 3));
    good &= same_decoded(tokenizer, &want, json_array_get(one, 4));
    if (!good) {
        print_message("# text '%s'\n", json_string_value(text));
    }
    od_ids_release(&ids);
    od_ids_release(&want);
    return good;
}

static void test_golden(void **state)
{
    (void)state;
    struct od_error err = {0};
    json_t *golden = NULL;
    size_t count = 0;
    size_t wrong = 0;
    assert_ok(od_json_read(test_source("tests/golden/oracle/text_spm/cases.json"), &golden, &err),
              &err);
    json_t *list = json_object_get(golden, "models");
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *model = json_array_get(list, i);
        const json_t *cases = json_object_get(model, "cases");
        const char *name = json_string_value(json_object_get(model, "name"));
        char path[OD_PATH_MAX_BYTES];
        struct od_tokenizer *tokenizer = NULL;
        size_t model_wrong = 0;
        (void)snprintf(path, sizeof(path), "%s/%s.model",
                       test_source("tests/golden/oracle/text_spm"), name);
        assert_ok(od_tokenizer_open_spm(path, &tokenizer, &err), &err);
        assert_int_equal(od_tokenizer_bos(tokenizer),
                         json_integer_value(json_object_get(model, "bos")));
        assert_int_equal(od_tokenizer_eos(tokenizer),
                         json_integer_value(json_object_get(model, "eos")));
        assert_int_equal(od_tokenizer_vocab_size(tokenizer),
                         json_integer_value(json_object_get(model, "size")));
        assert_true(od_tokenizer_is_special(tokenizer, od_tokenizer_bos(tokenizer)));
        for (size_t j = 0; j < json_array_size(cases); j++) {
            count++;
            model_wrong += !check_case(tokenizer, json_array_get(cases, j));
        }
        if (model_wrong > 0) {
            print_message("# '%s': %zu wrong\n", name, model_wrong);
        }
        wrong += model_wrong;
        od_tokenizer_free(tokenizer);
    }
    json_decref(golden);
    assert_int_equal(wrong, 0);
    assert_true(count >= CASES_LEAST);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_golden)};
    return cmocka_run_group_tests_name("spm", tests, NULL, NULL);
}
