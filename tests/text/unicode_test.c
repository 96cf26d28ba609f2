// Goal: what the steps of a tokenizer.json know of each code point is what Hugging Face's tokenizers knows.
// Method: digests of its results on all code points, and its normal forms of random texts of code points
// that are newer than its tables, with marks between them (tests/oracle/text_unicode.py).

#include "text/unicode.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/hash.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "formats/json.h"
#include "support.h"
#include "text/bert.h"
#include "text/regex.h"
#include "text/steps.h"

enum { TEXT_MAX_BYTES = 1 << 24, DIGEST_DIGITS = 16 };

static json_t *read_record(void)
{
    json_t *record = NULL;
    struct od_error err = {0};
    assert_ok(od_json_read(test_source("tests/golden/oracle/text_unicode.json"), &record, &err),
              &err);
    return record;
}

static void put_form(const char *text, size_t size, int form, struct od_buf *out)
{
    struct od_error err = {0};
    assert_ok(od_unicode_normalize(text, size, (enum od_normal_form)form, out, &err), &err);
}

static void put_bert(const char *text, size_t size, int part, struct od_buf *out)
{
    struct od_error err = {0};
    const struct od_step step = {.kind = OD_STEP_BERT,
                                 .clean = part == 0,
                                 .accents = part == 1,
                                 .lower = part == 2,
                                 .ideographs = part == 3};
    assert_ok(od_bert_normalize(&step, text, size, out, &err), &err);
}

static void put_lower(const char *text, size_t size, int unused, struct od_buf *out)
{
    (void)unused;
    od_unicode_lower(text, size, out);
}

static void put_marks(const char *text, size_t size, int unused, struct od_buf *out)
{
    (void)unused;
    od_unicode_strip_marks(text, size, out);
}

static void put_kind(const char *text, size_t size, int kind, struct od_buf *out)
{
    static bool (*const is[])(uint32_t) = {od_unicode_is_word, od_unicode_is_number,
                                           od_unicode_is_punctuation};
    uint32_t code = 0;
    assert_int_equal(od_utf8_decode(text, size, &code), (int)size);
    od_buf_putc(out, is[kind](code) ? '1' : '0');
}

static const struct {
    const char *name;
    void (*put)(const char *text, size_t size, int number, struct od_buf *out);
    int number;
} steps[] = {{"nfc", put_form, OD_NFC},   {"nfd", put_form, OD_NFD},
             {"nfkc", put_form, OD_NFKC}, {"nfkd", put_form, OD_NFKD},
             {"bert_clean", put_bert, 0}, {"bert_accents", put_bert, 1},
             {"bert_lower", put_bert, 2}, {"bert_ideographs", put_bert, 3},
             {"lower", put_lower, 0},     {"strip_accents", put_marks, 0},
             {"word", put_kind, 0},       {"number", put_kind, 1},
             {"punctuation", put_kind, 2}};
enum { STEPS = sizeof steps / sizeof steps[0] };

static void every_code_point(void **state)
{
    (void)state;
    size_t c;
    const json_t *chunk;
    int differing = 0;
    struct od_buf out;
    json_t *record = read_record();
    const json_t *digests = json_object_get(record, "digests");
    od_buf_init(&out, TEXT_MAX_BYTES);
    assert_int_equal(json_object_size(digests), STEPS);
    json_array_foreach(json_object_get(record, "chunks"), c, chunk)
    {
        const uint32_t low = (uint32_t)json_integer_value(json_array_get(chunk, 0));
        const uint32_t high = (uint32_t)json_integer_value(json_array_get(chunk, 1));
        for (int s = 0; s < STEPS; s++) {
            char digest[OD_SHA256_HEX_BYTES];
            bool first = true;
            od_buf_reset(&out);
            for (uint32_t code = low > 0 ? low : 1; code < high; code++) {
                char text[4];
                if (code >= 0xD800 && code < 0xE000) {
                    continue;
                }
                od_buf_puts(&out, first ? "" : "\n");
                first = false;
                steps[s].put(text, (size_t)od_utf8_encode(code, text), steps[s].number, &out);
            }
            od_sha256_hex(od_buf_text(&out), out.size, digest);
            const char *want =
                json_string_value(json_array_get(json_object_get(digests, steps[s].name), c));
            if (!want || strncmp(digest, want, DIGEST_DIGITS) != 0) {
                print_message("# %s differs between U+%04X and U+%04X\n", steps[s].name, low,
                              high - 1);
                differing++;
            }
        }
    }
    od_buf_release(&out);
    json_decref(record);
    assert_int_equal(differing, 0);
}

static void new_code_points_between_marks(void **state)
{
    (void)state;
    static const char *const forms[] = {
        [OD_NFC] = "nfc", [OD_NFD] = "nfd", [OD_NFKC] = "nfkc", [OD_NFKD] = "nfkd"};
    size_t i;
    const json_t *one;
    struct od_buf out;
    json_t *record = read_record();
    const json_t *texts = json_object_get(record, "texts");
    assert_true(json_array_size(texts) > 100);
    od_buf_init(&out, TEXT_MAX_BYTES);
    json_array_foreach(texts, i, one)
    {
        const json_t *text = json_object_get(one, "text");
        for (int form = OD_NFC; form <= OD_NFKD; form++) {
            od_buf_reset(&out);
            put_form(json_string_value(text), json_string_length(text), form, &out);
            const json_t *want = json_object_get(one, forms[form]);
            if (json_string_length(want) != out.size ||
                memcmp(json_string_value(want), od_buf_text(&out), out.size) != 0) {
                fail_msg("%s of '%s' is '%s', not '%s'", forms[form], json_string_value(text),
                         od_buf_text(&out), json_string_value(want));
            }
        }
    }
    od_buf_release(&out);
    json_decref(record);
}

// Oniguruma's \w has letters in circles, Roman numerals and the superscripts of Latin-1, but no digits in circles.
static void words_of_patterns(void **state)
{
    (void)state;
    size_t i;
    const json_t *block;
    size_t words = 0;
    struct od_regex *regex = NULL;
    struct od_match match = {0};
    struct od_error err = {0};
    json_t *record = read_record();
    assert_ok(od_regex_compile("\\w", 2, &regex, &err), &err);
    json_array_foreach(json_object_get(record, "pattern_words"), i, block)
    {
        const uint32_t low = (uint32_t)json_integer_value(json_object_get(block, "low"));
        const char *want = json_string_value(json_object_get(block, "words"));
        for (uint32_t at = 0; want[at]; at++) {
            char text[4];
            bool found = false;
            const size_t size = (size_t)od_utf8_encode(low + at, text);
            assert_ok(od_regex_find(regex, &match, text, size, 0, &found, &err), &err);
            if (found != (want[at] == '1')) {
                fail_msg("U+%04X is %sin \\w", low + at, found ? "" : "not ");
            }
            words += found;
        }
    }
    assert_true(words > 500);
    od_match_release(&match);
    od_regex_free(regex);
    json_decref(record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_code_point),
                                       cmocka_unit_test(new_code_points_between_marks),
                                       cmocka_unit_test(words_of_patterns)};
    return cmocka_run_group_tests_name("text/unicode", tests, NULL, NULL);
}
