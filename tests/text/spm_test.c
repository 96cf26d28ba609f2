// Small SentencePiece models against what sentencepiece makes of the same texts
// (tests/oracle/text_spm.py), and files that are broken.

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
#include "formats/json.h"
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

// Builds a model file record by record.
static void put_varint(struct od_buf *out, uint64_t value)
{
    while (value >= 0x80) {
        od_buf_putc(out, (char)(unsigned char)(0x80u | (value & 0x7Fu)));
        value >>= 7;
    }
    od_buf_putc(out, (char)(unsigned char)value);
}

static void put_number(struct od_buf *out, unsigned field, uint64_t value)
{
    put_varint(out, field << 3);
    put_varint(out, value);
}

static void put_field(struct od_buf *out, unsigned field, const char *bytes, size_t size)
{
    put_varint(out, field << 3 | 2);
    put_varint(out, size);
    od_buf_append(out, bytes, size);
}

static void put_piece(struct od_buf *out, const char *text, size_t size, float score, unsigned type)
{
    struct od_buf piece;
    od_buf_init(&piece, TEXT_MAX_BYTES);
    put_field(&piece, 1, text, size);
    od_buf_putc(&piece, 2 << 3 | 5);
    od_buf_append(&piece, &score, sizeof(score));
    put_number(&piece, 3, type);
    put_field(out, 1, od_buf_text(&piece), piece.size);
    od_buf_release(&piece);
}

static void put_setting(struct od_buf *out, unsigned message, unsigned field, uint64_t value)
{
    struct od_buf settings;
    od_buf_init(&settings, TEXT_MAX_BYTES);
    put_number(&settings, field, value);
    put_field(out, message, od_buf_text(&settings), settings.size);
    od_buf_release(&settings);
}

// <unk>, <s>, </s>, a, b, ab; BPE.
static void put_small(struct od_buf *out)
{
    od_buf_init(out, TEXT_MAX_BYTES);
    put_piece(out, "<unk>", 5, 0, 2);
    put_piece(out, "<s>", 3, 0, 3);
    put_piece(out, "</s>", 4, 0, 3);
    put_piece(out, "a", 1, -2, 1);
    put_piece(out, "b", 1, -3, 1);
    put_piece(out, "ab", 2, -1, 1);
    put_setting(out, 2, 3, 2);
}

// Parse, release the bytes, and use the tokenizer when there is one.
static enum od_status parse_and_release(struct od_buf *model, struct od_error *err)
{
    struct od_tokenizer *tokenizer = NULL;
    *err = (struct od_error){0};
    // Exact size, so that a sanitizer sees what is read behind the end.
    char *bytes = od_alloc(model->size, 1);
    assert_non_null(bytes);
    memcpy(bytes, od_buf_text(model), model->size);
    const enum od_status status =
        od_tokenizer_parse_spm(bytes, model->size, "test", &tokenizer, err);
    od_free(bytes);
    od_buf_release(model);
    if (status == OD_OK) {
        static const char text[] =
            "ab  \xEF\xAC\x81"
            "cab\xE2\x96\x81 b\x01";
        struct od_ids ids;
        struct od_buf out;
        od_ids_init(&ids, IDS_MAX);
        od_buf_init(&out, TEXT_MAX_BYTES);
        assert_ok(od_tokenizer_encode(tokenizer, text, sizeof(text) - 1, 1, &ids, err), err);
        assert_ok(od_tokenizer_decode(tokenizer, ids.data, ids.count, 0, &out, err), err);
        od_ids_release(&ids);
        od_buf_release(&out);
    } else {
        assert_true(err->message[0] != '\0');
    }
    od_tokenizer_free(tokenizer);
    return status;
}

static void assert_broken(struct od_buf *model, enum od_status want, const char *message)
{
    struct od_error err;
    const enum od_status status = parse_and_release(model, &err);
    if (status != want || !strstr(err.message, message)) {
        fail_msg("gives %d '%s', not %d '%s'", (int)status, err.message, (int)want, message);
    }
}

static void test_small(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_tokenizer *tokenizer = NULL;
    struct od_buf model;
    struct od_ids ids;
    od_ids_init(&ids, IDS_MAX);
    put_small(&model);
    put_setting(&model, 3, 3, 0);  // no dummy prefix
    assert_ok(od_tokenizer_parse_spm(od_buf_text(&model), model.size, "test", &tokenizer, &err),
              &err);
    assert_ok(od_tokenizer_encode(tokenizer, "bab cca", 7, OD_ENCODE_SPECIAL, &ids, &err), &err);
    const int32_t want[] = {1, 4, 5, 0, 3};  // the run of unknown characters is one id
    assert_int_equal(ids.count, 5);
    assert_memory_equal(ids.data, want, sizeof(want));
    od_ids_release(&ids);
    od_buf_release(&model);
    od_tokenizer_free(tokenizer);
}

static void test_broken_records(void **state)
{
    (void)state;
    struct od_buf model;
    od_buf_init(&model, TEXT_MAX_BYTES);
    assert_broken(&model, OD_E_FORMAT, "0 pieces");
    put_small(&model);
    od_buf_append(&model, "\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", 12);
    assert_broken(&model, OD_E_FORMAT, "too long");
    put_small(&model);
    od_buf_append(&model, "\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F", 10);
    assert_broken(&model, OD_E_FORMAT, "ends after the file");
    put_small(&model);
    od_buf_append(&model, "\x0B", 1);
    assert_broken(&model, OD_E_FORMAT, "wire type 3");
    put_small(&model);
    od_buf_append(&model, "\x08\x01", 2);
    assert_broken(&model, OD_E_FORMAT, "wrong wire type");
    put_small(&model);
    put_field(&model, 1,
              "\x12\x01"
              "a",
              3);  // the score as a text
    assert_broken(&model, OD_E_FORMAT, "wrong wire type");
    put_small(&model);
    put_field(&model, 2,
              "\x1A\x01"
              "a",
              3);  // the model's type as a text
    assert_broken(&model, OD_E_FORMAT, "wrong wire type");
    put_small(&model);
    put_field(&model, 3,
              "\x1A\x01"
              "a",
              3);
    assert_broken(&model, OD_E_FORMAT, "wrong wire type");
    put_small(&model);
    od_buf_append(&model, "\x4D\x01\x02", 3);  // four bytes, of which two are there
    assert_broken(&model, OD_E_FORMAT, "cut");
    put_small(&model);
    put_number(&model, 999, 5);  // a field of the future
    od_buf_append(&model, "\x51\x01\x02\x03\x04\x05\x06\x07\x08", 9);
    assert_broken(&model, OD_OK, "");
}

static void test_broken_pieces(void **state)
{
    (void)state;
    struct od_buf model;
    const float nan = __builtin_nanf("");
    put_small(&model);
    put_piece(&model, "", 0, 0, 1);
    assert_broken(&model, OD_E_FORMAT, "piece 6 is empty");
    put_small(&model);
    put_piece(&model, "\xFF", 1, 0, 1);
    assert_broken(&model, OD_E_FORMAT, "no UTF-8");
    put_small(&model);
    put_piece(&model, "a", 1, 0, 1);
    assert_broken(&model, OD_E_FORMAT, "pieces 3 and 6 are the same");
    put_small(&model);
    put_piece(&model, "c", 1, nan, 1);
    assert_broken(&model, OD_E_FORMAT, "score nan");
    put_small(&model);
    put_piece(&model, "c", 1, 0, 7);
    assert_broken(&model, OD_E_FORMAT, "type 7");
    put_small(&model);
    put_piece(&model, "c", 1, 0, 0);
    assert_broken(&model, OD_E_FORMAT, "type 0");
    put_small(&model);
    put_piece(&model, "c", 1, 0, 2);
    assert_broken(&model, OD_E_FORMAT, "two unknown");
    put_small(&model);
    put_piece(&model, "<0xG0>", 6, 0, 6);
    assert_broken(&model, OD_E_FORMAT, "byte piece 6");
    put_small(&model);
    put_piece(&model, "<0x00>", 6, 0, 6);
    put_setting(&model, 2, 35, 1);
    assert_broken(&model, OD_E_FORMAT, "not 256");
    od_buf_init(&model, TEXT_MAX_BYTES);
    put_piece(&model, "a", 1, 0, 1);
    put_setting(&model, 2, 3, 2);
    assert_broken(&model, OD_E_FORMAT, "no unknown piece");
    char *longest = od_alloc(OD_TOKENIZER_PIECE_MAX_BYTES + 1, 1);
    assert_non_null(longest);
    memset(longest, 'c', OD_TOKENIZER_PIECE_MAX_BYTES + 1);
    put_small(&model);
    put_piece(&model, longest, OD_TOKENIZER_PIECE_MAX_BYTES, 0, 1);
    assert_broken(&model, OD_OK, "");
    put_small(&model);
    put_piece(&model, longest, OD_TOKENIZER_PIECE_MAX_BYTES + 1, 0, 1);
    assert_broken(&model, OD_E_LIMIT, "more than 65536");
    od_free(longest);
}

static void test_unsupported(void **state)
{
    (void)state;
    struct od_buf model;
    put_small(&model);
    put_setting(&model, 2, 3, 3);
    assert_broken(&model, OD_E_UNSUPPORTED, "model_type 3 (word or character)");
    put_small(&model);
    put_setting(&model, 2, 3, 4);
    assert_broken(&model, OD_E_UNSUPPORTED, "model_type 4");
    put_small(&model);
    put_setting(&model, 2, 24, 1);
    assert_broken(&model, OD_E_UNSUPPORTED, "treat_whitespace_as_suffix");
    put_small(&model);
    put_field(&model, 5, "\x12\x01x", 3);
    assert_broken(&model, OD_E_UNSUPPORTED, "denormalizer_spec");
}

static void put_rules(struct od_buf *model, const char *bytes, size_t size)
{
    struct od_buf settings;
    put_small(model);
    od_buf_init(&settings, TEXT_MAX_BYTES);
    put_field(&settings, 2, bytes, size);
    put_field(model, 3, od_buf_text(&settings), settings.size);
    od_buf_release(&settings);
}

static void put_unit(char *units, size_t index, uint32_t unit)
{
    memcpy(units + 4 + index * 4, &unit, sizeof(unit));
}

// Large arrays write their offsets in units of 256 (bit 9): "a" becomes "b".
static void test_far_rules(void **state)
{
    (void)state;
    enum { UNITS = 866, LEAF = 1 << 8, FAR = 1 << 9 };
    struct od_error err = {0};
    struct od_tokenizer *tokenizer = NULL;
    struct od_buf model;
    struct od_ids ids;
    char rules[4 + UNITS * 4 + 2] = {0};
    const uint32_t size = UNITS * 4;
    memcpy(rules, &size, sizeof(size));
    put_unit(rules, 0, 1u << 10 | FAR);  // children from 256 on
    put_unit(rules, 256 + 'a', 2u << 10 | FAR | LEAF | (uint32_t)'a');
    put_unit(rules, (256 + 'a') ^ 512, 1u << 31);  // text 0
    rules[4 + UNITS * 4] = 'b';
    put_rules(&model, rules, sizeof(rules));
    put_setting(&model, 3, 3, 0);
    assert_ok(od_tokenizer_parse_spm(od_buf_text(&model), model.size, "test", &tokenizer, &err),
              &err);
    od_ids_init(&ids, IDS_MAX);
    assert_ok(od_tokenizer_encode(tokenizer, "abcab", 5, OD_ENCODE_PLAIN, &ids, &err), &err);
    const int32_t want[] = {4, 4, 0, 4, 4};
    assert_int_equal(ids.count, 5);
    assert_memory_equal(ids.data, want, sizeof(want));
    od_ids_release(&ids);
    od_buf_release(&model);
    od_tokenizer_free(tokenizer);
}

// Arrays of random units send a walk anywhere; it must stay inside and end.
static void test_broken_rules(void **state)
{
    (void)state;
    enum { UNITS = 64, ROUNDS = 2000 };
    struct od_error err = {0};
    struct od_buf model;
    struct od_mt19937 mt;
    char rules[4 + UNITS * 4 + 16];
    put_rules(&model, "\x04\x00\x00", 3);
    assert_broken(&model, OD_E_FORMAT, "rules are broken");
    put_rules(&model, "\x00\x00\x00\x00x\x00", 6);
    assert_broken(&model, OD_E_FORMAT, "rules are broken");
    put_rules(&model, "\x03\x00\x00\x00xxx\x00", 8);
    assert_broken(&model, OD_E_FORMAT, "rules are broken");
    put_rules(&model, "\x08\x00\x00\x00xxxx\x00", 9);
    assert_broken(&model, OD_E_FORMAT, "rules are broken");
    put_rules(&model, "\x04\x00\x00\x00xxxx", 8);
    assert_broken(&model, OD_E_FORMAT, "rules are broken");
    put_rules(&model, "\x04\x00\x00\x00xxxxy", 9);
    assert_broken(&model, OD_E_FORMAT, "rules are broken");
    const uint64_t seed = test_seed();
    od_mt_seed_python_int(&mt, seed);
    for (int i = 0; i < ROUNDS; i++) {
        for (size_t j = 0; j < sizeof(rules); j++) {
            // Small numbers make labels that fit the text and offsets that stay inside.
            rules[j] = (char)(unsigned char)(od_mt_u32(&mt) % (j % 2 == 0 ? 256 : 4));
        }
        const uint32_t size = UNITS * 4;
        memcpy(rules, &size, sizeof(size));
        if (i % 2 == 0) {
            memset(rules + 8, "ab \x01"[i / 2 % 4], 1);
        }
        rules[sizeof(rules) - 1] = '\0';
        put_rules(&model, rules, sizeof(rules));
        assert_ok(parse_and_release(&model, &err), &err);
    }
}

// Every cut and every changed bit of a small file: an error or a tokenizer, never more.
static void test_damaged(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_buf whole;
    put_small(&whole);
    put_setting(&whole, 3, 4, 0);
    for (size_t cut = 0; cut < whole.size; cut++) {
        struct od_buf part;
        od_buf_init(&part, TEXT_MAX_BYTES);
        od_buf_append(&part, whole.bytes, cut);
        const enum od_status status = parse_and_release(&part, &err);
        assert_true(status == OD_OK || status == OD_E_FORMAT || status == OD_E_UNSUPPORTED);
    }
    for (size_t bit = 0; bit < whole.size * 8; bit++) {
        struct od_buf part;
        od_buf_init(&part, TEXT_MAX_BYTES);
        od_buf_append(&part, whole.bytes, whole.size);
        part.bytes[bit / 8] =
            (char)(unsigned char)((unsigned char)part.bytes[bit / 8] ^ 1u << bit % 8);
        const enum od_status status = parse_and_release(&part, &err);
        assert_true(status == OD_OK || status == OD_E_FORMAT || status == OD_E_UNSUPPORTED ||
                    status == OD_E_LIMIT);
    }
    od_buf_release(&whole);
}

// A .model alone, with settings beside it.
static void test_folder_of_model(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_tokenizer *tokenizer = NULL;
    struct od_buf model;
    struct od_ids ids;
    const char *folder = test_folder();
    char path[OD_PATH_MAX_BYTES];
    static const char config[] = "{\"add_bos_token\": false, \"add_eos_token\": true}";
    static const char added[] = "{\"<pad>\": 6}";
    put_small(&model);
    put_setting(&model, 3, 3, 0);
    od_ids_init(&ids, IDS_MAX);
    assert_ok(od_path_join(path, folder, "tokenizer.model", &err), &err);
    assert_ok(od_file_write(path, od_buf_text(&model), model.size, &err), &err);
    assert_ok(od_path_join(path, folder, "tokenizer_config.json", &err), &err);
    assert_ok(od_file_write(path, config, sizeof(config) - 1, &err), &err);
    assert_ok(od_tokenizer_open(folder, &tokenizer, &err), &err);
    assert_ok(od_tokenizer_encode(tokenizer, "a", 1, OD_ENCODE_SPECIAL, &ids, &err), &err);
    const int32_t want[] = {3, 2};
    assert_int_equal(ids.count, 2);
    assert_memory_equal(ids.data, want, sizeof(want));
    od_tokenizer_free(tokenizer);
    assert_ok(od_path_join(path, folder, "added_tokens.json", &err), &err);
    assert_ok(od_file_write(path, added, sizeof(added) - 1, &err), &err);
    assert_int_equal(od_tokenizer_open(folder, &tokenizer, &err), OD_E_UNSUPPORTED);
    od_ids_release(&ids);
    od_buf_release(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),          cmocka_unit_test(test_small),
        cmocka_unit_test(test_broken_records),  cmocka_unit_test(test_broken_pieces),
        cmocka_unit_test(test_unsupported),     cmocka_unit_test(test_broken_rules),
        cmocka_unit_test(test_far_rules),       cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_folder_of_model),
    };
    return cmocka_run_group_tests_name("spm", tests, NULL, NULL);
}
