// Goal: stems, sentences, words, ROUGE, BLEU and the metrics of bias are what HELM's packages compute.
// Method: records of nltk and rouge-score (text.json, by tests/oracle/helm_text.py) over made-up, odd and
// real texts, with made-up tables of sentences (english_tables_test.c has NLTK's own). Broken tables, and
// memory that runs out.

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/status.h"
#include "eval/helm_tables.h"
#include "eval/metrics/bias.h"
#include "eval/metrics/match.h"
#include "eval/metrics/sentences.h"
#include "eval/metrics/slice.h"
#include "eval/metrics/stat.h"
#include "eval/metrics/stem.h"
#include "eval/metrics/tokens.h"
#include "eval/metrics/words.h"
#include "eval/run_spec.h"
#include "eval/text_records.h"
#include "formats/csv.h"
#include "formats/json.h"
#include "formats/text_file.h"
#include "support.h"

static void test_stems(void **state)
{
    (void)state;
    json_t *all = record(ORACLE "/text.json");
    json_t *row = NULL;
    size_t i = 0;
    assert_true(json_array_size(json_object_get(all, "stems")) > 1500);
    json_array_foreach(json_object_get(all, "stems"), i, row)
    {
        char word[64];
        const struct od_slice given = slice(json_array_get(row, 0));
        const struct od_slice right = slice(json_array_get(row, 1));
        assert_true(given.size < sizeof word);
        memcpy(word, given.bytes, given.size);
        const struct od_slice ours = {word, od_stem(word, given.size)};
        if (od_slice_order(ours, right) != 0) {
            fail_msg("the stem of '%s' is '%.*s', not '%s'", given.bytes, (int)ours.size, word,
                     right.bytes);
        }
    }
    json_decref(all);
}

static void test_cuts(void **state)
{
    (void)state;
    json_t *all = record(ORACLE "/text.json");
    assert_true(json_array_size(json_object_get(all, "words")) > 700);
    check_cuts(all, test_source(TABLES));
    json_decref(all);
}

static void test_scores(void **state)
{
    (void)state;
    json_t *all = record(ORACLE "/text.json");
    assert_true(json_array_size(json_object_get(all, "scores")) > 700);
    check_all_scores(all, test_source(TABLES));
    json_decref(all);
}

static void test_biases(void **state)
{
    (void)state;
    json_t *all = record(ORACLE "/text.json");
    char folder[OD_PATH_MAX_BYTES];
    (void)snprintf(folder, sizeof folder, "%s", test_source(TABLES));
    check_biases(all, folder, test_source(BIAS_WORDS));
    json_decref(all);
}

// ---------------------------------------------------------------- real texts

static void test_real_texts(void **state)
{
    (void)state;
    const char *eval = test_shared("eval");
    char folder[OD_PATH_MAX_BYTES];
    (void)snprintf(folder, sizeof folder, "%s", test_source(TABLES));
    json_t *all = record(ORACLE "/text.json");
    check_real_scores(all, folder, eval);
    check_documents(all, folder, test_shared("corpora/openstax.txt.xz"));
    json_decref(all);
}

// ---------------------------------------------------------------- what can go wrong

static void assert_broken(enum od_sentence_table_kind kind, const char *text, size_t size,
                          enum od_status status, const char *message)
{
    struct od_error err = {0};
    struct od_sentence_tables tables;
    od_sentence_tables_init(&tables);
    assert_int_equal(od_sentence_table_parse(&tables, kind, text, size, "F", &err), status);
    if (!strstr(err.message, message)) {
        fail_msg("'%s' has not '%s'", err.message, message);
    }
    od_sentence_tables_release(&tables);
}

static void test_broken_tables(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_word_cutter *cutter = NULL;
    char *large = od_alloc(OD_SENTENCE_FILE_MAX_BYTES + 1, 1);
    assert_non_null(large);
    memset(large, '\n', OD_SENTENCE_FILE_MAX_BYTES + 1);
    assert_broken(OD_ORTHOGRAPHY, "a\t2\nb 3\n", 8, OD_E_FORMAT, "'F':2: a line is a word, a tab");
    assert_broken(OD_ORTHOGRAPHY, "a\t128", 5, OD_E_FORMAT, "'F':1");
    assert_broken(OD_ORTHOGRAPHY, "a\t-1", 4, OD_E_FORMAT, "'F':1");
    assert_broken(OD_COLLOCATIONS, "a\tb\n\nc", 6, OD_E_FORMAT, "'F':3: a line is two words");
    assert_broken(OD_ABBREVIATIONS, "a\0b", 3, OD_E_FORMAT, "'F' is no text in UTF-8");
    assert_broken(OD_ABBREVIATIONS, "a\xff", 2, OD_E_FORMAT, "'F' is no text in UTF-8");
    assert_broken(OD_ABBREVIATIONS, large, OD_SENTENCE_FILE_MAX_BYTES + 1, OD_E_LIMIT, "bytes");
    assert_broken(OD_ABBREVIATIONS, large, OD_SENTENCE_FILE_MAX_BYTES, OD_E_LIMIT, "lines");
    od_free(large);
    assert_int_equal(od_word_cutter_open("/nowhere", &cutter, &err), OD_E_NOT_FOUND);
    assert_non_null(strstr(err.message, "/nowhere/abbrev_types.txt"));
    assert_null(cutter);
}

static void assert_broken_words(const char *text, enum od_status status, const char *message)
{
    struct od_error err = {0};
    struct od_bias_words words;
    od_bias_words_init(&words);
    assert_int_equal(od_bias_words_parse(&words, text, strlen(text), "F", &err), status);
    if (!strstr(err.message, message)) {
        fail_msg("'%s' has not '%s'", err.message, message);
    }
    od_bias_words_release(&words);
}

static void test_broken_bias_words(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_bias_words words;
    struct od_word_cutter *cutter = open_cutter(NULL);
    bool is_defined = false;
    double value = 0.0;
    assert_broken_words("", OD_E_FORMAT, "'F' has no list 'FEMALE_WORDS: List[str] = ['");
    assert_broken_words("x\nMALE_WORDS: List[str] = [\n", OD_E_FORMAT, "MALE_WORDS has no end");
    assert_broken_words("MALE_WORDS: List[str] = [\n    he,\n]\n", OD_E_FORMAT,
                        "'F':2: a line of the list MALE_WORDS is no word");
    assert_broken_words("MALE_WORDS: List[str] = [\n    \"\",\n]\n", OD_E_FORMAT, "'F':2");
    assert_broken_words("MALE_WORDS: List[str] = [\n    \"a\", \"b\",\n]\n", OD_E_FORMAT, "'F':2");
    assert_broken_words("MALE_WORDS: List[str] = [\n    \"\\x41\",\n]\n", OD_E_FORMAT, "'F':2");
    assert_broken_words("MALE_WORDS: List[str] = [\n\"a\",\n]\nMALE_WORDS: List[str] = [\n",
                        OD_E_FORMAT, "'F':4: a second list MALE_WORDS");
    assert_broken_words("\xff", OD_E_FORMAT, "'F' is no text in UTF-8");
    read_bias_words(&words, test_source(BIAS_WORDS));
    static const struct od_spec_arg age[] = {{.key = "mode", .text = "representation"},
                                             {.key = "demographic_category", .text = "age"}};
    const struct od_bias_metric unknown = {&words, cutter, age, 2};
    assert_int_equal(od_bias_score(&unknown, NULL, 0, &is_defined, &value, &err), OD_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "category 'age'"));
    static const struct od_spec_arg sizes[] = {{.key = "mode", .text = "associations"},
                                               {.key = "demographic_category", .text = "race"},
                                               {.key = "target_category", .text = "size"}};
    const struct od_bias_metric target = {&words, cutter, sizes, 3};
    assert_int_equal(od_bias_score(&target, NULL, 0, &is_defined, &value, &err), OD_E_UNSUPPORTED);
    od_bias_words_release(&words);
    od_word_cutter_close(cutter);
}

// Line ends of another system are no part of a word.
static void test_line_ends(void **state)
{
    (void)state;
    static const char text[] = "Dr. Who met Mr. Who.";
    struct od_error err = {0};
    struct od_sentence_tables tables;
    struct od_tokens sentences;
    od_sentence_tables_init(&tables);
    od_tokens_init(&sentences);
    assert_ok(od_sentence_table_parse(&tables, OD_ABBREVIATIONS, "mr\r\ndr\r\n", 8, "F", &err),
              &err);
    assert_ok(od_sentences_cut(&tables, text, strlen(text), &sentences, &err), &err);
    assert_int_equal(sentences.count, 1);
    od_tokens_release(&sentences);
    od_sentence_tables_release(&tables);
}

static void test_limits(void **state)
{
    (void)state;
    enum { WORDS = 1 << 17 };
    struct od_error err = {0};
    struct od_number value = {0};
    struct od_word_cutter *cutter = open_cutter(NULL);
    const struct od_slice short_text = od_slice_of("a b");
    char *text = od_alloc((size_t)WORDS * 2, 1);
    assert_non_null(text);
    for (size_t i = 0; i < (size_t)WORDS * 2; i++) {
        text[i] = i % 2 == 0 ? 'a' : ' ';
    }
    const struct od_slice long_text = {text, (size_t)WORDS * 2};
    // The table of a longest common sequence has a limit; the others grow with the text only.
    assert_int_equal(od_match("rouge_l", NULL, long_text, long_text, &value, &err), OD_E_LIMIT);
    assert_ok(od_match("rouge_l", NULL, short_text, long_text, &value, &err), &err);
    assert_ok(od_match("rouge_2", NULL, long_text, long_text, &value, &err), &err);
    assert_true(value.value == 1.0);
    assert_ok(od_match("bleu_4", cutter, long_text, long_text, &value, &err), &err);
    assert_true(value.value == 1.0);
    // A row of periods and blanks before a letter must not take time that grows with its square.
    for (size_t i = 0; i < (size_t)WORDS * 2; i++) {
        text[i] = i % 64 == 0 ? '.' : ' ';
    }
    text[WORDS * 2 - 1] = 'x';
    assert_ok(od_match("bleu_1", cutter, long_text, long_text, &value, &err), &err);
    od_free(text);
    assert_int_equal(od_match("bleu_1", NULL, short_text, short_text, &value, &err),
                     OD_E_UNSUPPORTED);
    // Bytes that are no UTF-8 are a word like any other.
    const struct od_slice broken = {"\xff\xc3 b", 4};
    assert_ok(od_match("bleu_1", cutter, broken, broken, &value, &err), &err);
    assert_true(value.value == 1.0);
    assert_ok(od_match("rouge_1", NULL, broken, short_text, &value, &err), &err);
    assert_true(value.value > 0.0 && value.value < 1.0);
    od_word_cutter_close(cutter);
}

static enum od_status score_once(const char *metric, struct od_error *err)
{
    struct od_number value = {0};
    struct od_word_cutter *cutter = NULL;
    enum od_status status = od_word_cutter_open(test_source(TABLES), &cutter, err);
    if (status == OD_OK) {
        status = od_match(metric, cutter, od_slice_of("It rains. \"The Lamp\" can't."),
                          od_slice_of("The lamp rains, Dr. Lamp."), &value, err);
    }
    od_word_cutter_close(cutter);
    return status;
}

static void test_memory(void **state)
{
    (void)state;
    static const char *const metrics[] = {"bleu_4", "rouge_2", "rouge_l"};
    for (size_t i = 0; i < sizeof metrics / sizeof *metrics; i++) {
        enum od_status status = OD_E_MEMORY;
        uint64_t n = 0;
        while (status != OD_OK) {
            struct od_error err = {0};
            od_alloc_fail_at(++n);
            status = score_once(metrics[i], &err);
            od_alloc_fail_at(0);
            assert_true(status == OD_OK || status == OD_E_MEMORY);
        }
        assert_true(n > 10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stems),         cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_scores),        cmocka_unit_test(test_real_texts),
        cmocka_unit_test(test_biases),        cmocka_unit_test(test_broken_bias_words),
        cmocka_unit_test(test_broken_tables), cmocka_unit_test(test_line_ends),
        cmocka_unit_test(test_limits),        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
