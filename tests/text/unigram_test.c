// The unigram model: small models against what sentencepiece and Hugging Face's tokenizers make of the
// same texts (tests/oracle/text_unigram.py), and the best cut against all cuts of short texts.

#include "text/unigram.h"

#include <float.h>
#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "formats/json.h"
#include "support.h"
#include "text/prefixes.h"
#include "text/tokenizer.h"
#include "text/vocab.h"

enum { TEXT_MAX_BYTES = 1 << 24, IDS_MAX = 1 << 20, SPM_CASES_LEAST = 580, HF_CASES_LEAST = 330 };

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
    od_buf_init(&text, TEXT_MAX_BYTES);
    assert_ok(od_tokenizer_decode(tokenizer, ids->data, ids->count, OD_DECODE_PLAIN, &text, &err),
              &err);
    const bool same = text.size == json_string_length(want) &&
                      memcmp(od_buf_text(&text), json_string_value(want), text.size) == 0;
    if (!same) {
        print_message("# decoded: want '%s' have '%s'\n", json_string_value(want),
                      od_buf_text(&text));
    }
    od_buf_release(&text);
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
    assert_ok(od_tokenizer_encode(tokenizer, json_string_value(text), json_string_length(text),
                                  OD_ENCODE_PLAIN, &ids, &err),
              &err);
    bool good = ids.count == want.count &&
                (ids.count == 0 || memcmp(ids.data, want.data, ids.count * sizeof(*ids.data)) == 0);
    good = same_decoded(tokenizer, &want, json_array_get(one, 2)) && good;
    if (json_array_size(one) > 4) {
        put_list(&want, json_array_get(one, 3));
        good = same_decoded(tokenizer, &want, json_array_get(one, 4)) && good;
    }
    if (!good) {
        print_message("# text '%s'\n", json_string_value(text));
    }
    od_ids_release(&ids);
    od_ids_release(&want);
    return good;
}

// Every case of every model of a record; returns how many there were.
static size_t check_record(const char *record, bool is_spm)
{
    struct od_error err = {0};
    json_t *golden = NULL;
    size_t count = 0;
    size_t wrong = 0;
    assert_ok(od_json_read(test_source(record), &golden, &err), &err);
    const json_t *list = json_object_get(golden, "models");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *model = json_array_get(list, i);
        const json_t *cases = json_object_get(model, "cases");
        char path[OD_PATH_MAX_BYTES];
        struct od_tokenizer *tokenizer = NULL;
        (void)snprintf(
            path, sizeof(path), "%s/%s.%s", test_source("tests/golden/oracle/text_unigram"),
            json_string_value(json_object_get(model, "name")), is_spm ? "model" : "json");
        if (is_spm) {
            assert_ok(od_tokenizer_open_spm(path, &tokenizer, &err), &err);
            assert_int_equal(od_tokenizer_bos(tokenizer),
                             json_integer_value(json_object_get(model, "bos")));
            assert_int_equal(od_tokenizer_vocab_size(tokenizer),
                             json_integer_value(json_object_get(model, "size")));
        } else {
            assert_ok(od_tokenizer_open_json(path, &tokenizer, &err), &err);
        }
        for (size_t j = 0; j < json_array_size(cases); j++) {
            count++;
            if (!check_case(tokenizer, json_array_get(cases, j))) {
                print_message("# in '%s'\n", path);
                wrong++;
            }
        }
        od_tokenizer_free(tokenizer);
    }
    json_decref(golden);
    assert_int_equal(wrong, 0);
    return count;
}

static void test_sentencepiece(void **state)
{
    (void)state;
    assert_true(check_record("tests/golden/oracle/text_unigram/cases.json", true) >=
                SPM_CASES_LEAST);
}

static void test_hugging_face(void **state)
{
    (void)state;
    assert_true(check_record("tests/golden/oracle/text_unigram/hf_cases.json", false) >=
                HF_CASES_LEAST);
}

enum { LETTERS = 3, PIECE_LETTERS = 4, WORD_LETTERS = 11, PIECES = 24 };

static size_t random_word(struct od_mt19937 *random, char *out, size_t size_max)
{
    const size_t size = 1 + (size_t)od_py_randbelow(random, size_max);
    for (size_t i = 0; i < size; i++) {
        out[i] = (char)('a' + (int)od_py_randbelow(random, LETTERS));
    }
    return size;
}

// The best sum over all ways to cut the rest of a text, by trying each.
static double best_sum(const struct od_unigram *unigram, const struct od_vocab *vocab,
                       const char *text, size_t size)
{
    double best = size == 0 ? 0 : -DBL_MAX;
    bool has_character = false;
    for (size_t length = 1; length <= size; length++) {
        const int32_t id = od_vocab_find(vocab, text, length);
        if (id >= 0) {
            has_character = has_character || length == 1;
            best = fmax(best, unigram->scores[id] +
                                  best_sum(unigram, vocab, text + length, size - length));
        }
    }
    if (size > 0 && !has_character) {
        best = fmax(best, unigram->unknown_score + best_sum(unigram, vocab, text + 1, size - 1));
    }
    return best;
}

static void check_random(struct od_mt19937 *random)
{
    struct od_error err = {0};
    struct od_vocab vocab;
    struct od_unigram unigram = {.unknown_id = 0, .unknown_score = -40};
    struct od_unigram_work work = {0};
    double scores[PIECES + 1] = {0};
    char word[WORD_LETTERS];
    int32_t id = 1;
    od_vocab_init(&vocab);
    assert_ok(od_vocab_add(&vocab, 0, "?", 1, OD_PIECE_UNKNOWN, &err), &err);
    unigram.scores = scores;
    for (int i = 0; i < PIECES; i++) {
        const size_t size = random_word(random, word, PIECE_LETTERS);
        if (od_vocab_find(&vocab, word, size) < 0) {
            assert_ok(od_vocab_add(&vocab, id, word, size, OD_PIECE_NORMAL, &err), &err);
            assert_ok(od_prefixes_add(&unigram.prefixes, word, size, id, &err), &err);
            scores[id++] = -(double)od_py_randbelow(random, 1000) / 64;  // sums are exact
        }
    }
    const size_t size = random_word(random, word, WORD_LETTERS);
    assert_ok(od_unigram_cut(&unigram, &vocab, word, size, &work, &err), &err);
    double sum = 0;
    size_t at = 0;
    for (uint32_t end = work.parts[0].behind; end > 0; end = work.parts[end].behind) {
        assert_int_equal(work.parts[end].start, at);
        const int32_t part = work.parts[end].id;
        assert_int_equal(part == 0 ? -1 : part, od_vocab_find(&vocab, word + at, end - at));
        sum += part == 0 ? unigram.unknown_score : scores[part];
        at = end;
    }
    assert_int_equal(at, size);
    assert_true(fabs(sum - best_sum(&unigram, &vocab, word, size)) < 1e-9);
    unigram.scores = NULL;
    od_unigram_work_release(&work);
    od_unigram_release(&unigram);
    od_vocab_release(&vocab);
}

static void test_best_of_all(void **state)
{
    (void)state;
    struct od_mt19937 random;
    od_mt_seed_python_int(&random, test_seed());
    for (int i = 0; i < 400; i++) {
        check_random(&random);
    }
}

static void test_no_unknown(void **state)
{
    (void)state;
    static const char json[] =
        "{\"model\": {\"type\": \"Unigram\", \"unk_id\": null, "
        "\"vocab\": [[\"a\", -1], [\"ab\", -1]]}}";
    struct od_error err = {0};
    struct od_tokenizer *tokenizer = NULL;
    struct od_ids ids;
    od_ids_init(&ids, IDS_MAX);
    assert_ok(od_tokenizer_parse_json(json, sizeof(json) - 1, "test", &tokenizer, &err), &err);
    assert_ok(od_tokenizer_encode(tokenizer, "aab", 3, OD_ENCODE_PLAIN, &ids, &err), &err);
    assert_int_equal(ids.count, 2);
    assert_int_equal(od_tokenizer_encode(tokenizer, "ac", 2, OD_ENCODE_PLAIN, &ids, &err),
                     OD_E_FORMAT);
    assert_non_null(strstr(err.message, "U+0063"));
    assert_int_equal(ids.count, 2);
    od_ids_release(&ids);
    od_tokenizer_free(tokenizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sentencepiece),
        cmocka_unit_test(test_hugging_face),
        cmocka_unit_test(test_best_of_all),
        cmocka_unit_test(test_no_unknown),
    };
    return cmocka_run_group_tests_name("unigram", tests, NULL, NULL);
}
