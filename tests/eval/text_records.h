/**
 * @file
 * Records of nltk, rouge-score and HELM (tests/oracle/helm_text.py), and how ours is compared with them.
 */
#ifndef OD_TESTS_EVAL_TEXT_RECORDS_H
#define OD_TESTS_EVAL_TEXT_RECORDS_H

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
#include "formats/csv.h"
#include "formats/json.h"
#include "formats/text_file.h"
#include "support.h"

#define ORACLE     "tests/golden/oracle/helm"
#define TABLES     ORACLE "/data/helm/" OD_HELM_SENTENCES
#define BIAS_WORDS ORACLE "/data/helm/" OD_BIAS_WORDS_FILE
#define CLOSENESS  1e-9

static json_t *record(const char *name)
{
    struct od_error err = {0};
    json_t *all = NULL;
    assert_ok(od_json_read(test_source(name), &all, &err), &err);
    return all;
}

static struct od_slice slice(const json_t *text)
{
    return (struct od_slice){json_string_value(text), json_string_length(text)};
}

static struct od_word_cutter *open_cutter(const char *folder)
{
    struct od_error err = {0};
    struct od_word_cutter *cutter = NULL;
    assert_ok(od_word_cutter_open(folder, &cutter, &err), &err);
    return cutter;
}

static void assert_tokens(const char *what, const json_t *text, const struct od_tokens *tokens,
                          const json_t *expected)
{
    for (size_t i = 0; i < tokens->count || i < json_array_size(expected); i++) {
        const struct od_slice ours =
            i < tokens->count ? tokens->items[i] : od_slice_of("(nothing)");
        const struct od_slice right = i < json_array_size(expected)
                                          ? slice(json_array_get(expected, i))
                                          : od_slice_of("(nothing)");
        if (od_slice_order(ours, right) != 0) {
            fail_msg("%s %zu of '%s' is '%.*s', not '%.*s'", what, i, json_string_value(text),
                     (int)ours.size, ours.bytes, (int)right.size, right.bytes);
        }
    }
}

static void assert_value(const char *metric, struct od_number ours, const json_t *expected,
                         const char *gold, const char *pred)
{
    const double right = json_number_value(expected);
    if (!(fabs(ours.value - right) <= CLOSENESS * fmax(1.0, fabs(right))) ||
        ours.integer != json_is_integer(expected) || (ours.value > 0.0) != (right > 0.0)) {
        fail_msg("%s('%.300s', '%.300s') = %.17g, recorded %.17g", metric, gold, pred, ours.value,
                 right);
    }
}

// ---------------------------------------------------------------- records

static void check_cuts(const json_t *all, const char *folder)
{
    struct od_error err = {0};
    struct od_sentence_tables tables;
    struct od_word_cutter *cutter = open_cutter(folder);
    json_t *row = NULL;
    size_t i = 0;

    od_sentence_tables_init(&tables);
    assert_ok(od_sentence_tables_read(&tables, folder, &err), &err);
    json_array_foreach(json_object_get(all, "sentences"), i, row)
    {
        struct od_tokens sentences;
        const struct od_slice text = slice(json_array_get(row, 0));
        od_tokens_init(&sentences);
        assert_ok(od_sentences_cut(&tables, text.bytes, text.size, &sentences, &err), &err);
        assert_tokens("sentence", json_array_get(row, 0), &sentences, json_array_get(row, 1));
        od_tokens_release(&sentences);
    }
    json_array_foreach(json_object_get(all, "words"), i, row)
    {
        struct od_tokens words;
        const struct od_slice text = slice(json_array_get(row, 0));
        od_tokens_init(&words);
        assert_ok(od_words_cut(cutter, text.bytes, text.size, &words, &err), &err);
        assert_tokens("word", json_array_get(row, 0), &words, json_array_get(row, 1));
        od_tokens_release(&words);
    }
    od_sentence_tables_release(&tables);
    od_word_cutter_close(cutter);
}

// The recorded values from row[first] on are those of all metrics.
static void check_scores(const json_t *all, const struct od_word_cutter *cutter, const json_t *row,
                         size_t first, struct od_slice gold, struct od_slice pred)
{
    const json_t *metrics = json_object_get(all, "metrics");
    assert_int_equal(json_array_size(row), first + json_array_size(metrics));
    for (size_t k = 0; k < json_array_size(metrics); k++) {
        struct od_error err = {0};
        struct od_number value = {0};
        const char *metric = json_string_value(json_array_get(metrics, k));
        assert_ok(od_match(metric, cutter, gold, pred, &value, &err), &err);
        assert_value(metric, value, json_array_get(row, first + k), gold.bytes, pred.bytes);
    }
}

static void check_all_scores(const json_t *all, const char *folder)
{
    struct od_word_cutter *cutter = open_cutter(folder);
    json_t *row = NULL;
    size_t i = 0;
    json_array_foreach(json_object_get(all, "scores"), i, row)
    {
        check_scores(all, cutter, row, 2, slice(json_array_get(row, 0)),
                     slice(json_array_get(row, 1)));
    }
    od_word_cutter_close(cutter);
}

static void read_bias_words(struct od_bias_words *words, const char *path)
{
    struct od_error err = {0};
    od_bias_words_init(words);
    assert_ok(od_bias_words_read(words, path, &err), &err);
}

// In the order of BIASES in helm_text.py.
static const struct od_spec_arg biases[][3] = {
    {{.key = "mode", .text = "representation"}, {.key = "demographic_category", .text = "race"}},
    {{.key = "mode", .text = "representation"}, {.key = "demographic_category", .text = "gender"}},
    {{.key = "mode", .text = "associations"},
     {.key = "demographic_category", .text = "race"},
     {.key = "target_category", .text = "adjective"}},
    {{.key = "mode", .text = "associations"},
     {.key = "demographic_category", .text = "race"},
     {.key = "target_category", .text = "profession"}},
    {{.key = "mode", .text = "associations"},
     {.key = "demographic_category", .text = "gender"},
     {.key = "target_category", .text = "adjective"}},
    {{.key = "mode", .text = "associations"},
     {.key = "demographic_category", .text = "gender"},
     {.key = "target_category", .text = "profession"}}};
enum { BIASES = sizeof biases / sizeof *biases, BIAS_TEXTS_MAX = 16 };

static void check_biases(const json_t *all, const char *folder, const char *word_file)
{
    struct od_word_cutter *cutter = open_cutter(folder);
    struct od_bias_words words;
    json_t *row = NULL;
    size_t i = 0;
    read_bias_words(&words, word_file);
    assert_true(json_array_size(json_object_get(all, "bias")) > 40);
    json_array_foreach(json_object_get(all, "bias"), i, row)
    {
        struct od_slice texts[BIAS_TEXTS_MAX];
        const json_t *given = json_array_get(row, 0);
        const size_t count = json_array_size(given);
        assert_true(count <= BIAS_TEXTS_MAX);
        for (size_t k = 0; k < count; k++) {
            texts[k] = slice(json_array_get(given, k));
        }
        for (size_t k = 0; k < BIASES; k++) {
            struct od_error err = {0};
            const struct od_bias_metric metric = {&words, cutter, biases[k],
                                                  biases[k][2].key ? 3 : 2};
            const json_t *right = json_array_get(row, k + 1);
            bool is_defined = false;
            double value = 0.0;
            assert_ok(od_bias_score(&metric, texts, count, &is_defined, &value, &err), &err);
            if (is_defined != json_is_real(right) ||
                (is_defined && !(fabs(value - json_real_value(right)) <= 1e-12))) {
                fail_msg("row %zu, bias %zu: %.17g, recorded %.17g", i, k, value,
                         json_real_value(right));
            }
        }
    }
    od_bias_words_release(&words);
    od_word_cutter_close(cutter);
}

// Targets and inputs of BIG-bench's puzzles, answers of TruthfulQA, by their places.
static void check_real_scores(const json_t *all, const char *folder, const char *shared)
{
    struct od_error err = {0};
    struct od_word_cutter *cutter = open_cutter(folder);
    struct od_csv truths = {0};
    char path[OD_PATH_MAX_BYTES];
    json_t *task = NULL;
    json_t *row = NULL;
    char *text = NULL;
    size_t size = 0;
    size_t i = 0;

    (void)snprintf(path, sizeof path, "%s/bigbench/linguistics_puzzles/task.json", shared);
    assert_ok(od_text_read(path, 1 << 26, &text, &size, &err), &err);
    assert_ok(od_json_parse(text, size, path, &task, &err), &err);
    (void)snprintf(path, sizeof path, "%s/truthfulqa/TruthfulQA.csv", shared);
    assert_ok(od_csv_read(path, ',', &truths, &err), &err);
    const json_t *examples = json_object_get(task, "examples");
    json_array_foreach(json_object_get(all, "real"), i, row)
    {
        const size_t a = (size_t)json_integer_value(json_array_get(row, 1));
        const size_t b = (size_t)json_integer_value(json_array_get(row, 2));
        if (strcmp(json_string_value(json_array_get(row, 0)), "puzzle") == 0) {
            check_scores(all, cutter, row, 3,
                         slice(json_object_get(json_array_get(examples, a), "target")),
                         slice(json_object_get(json_array_get(examples, b), "input")));
        } else {
            const struct od_csv_field *fields = truths.rows[a + 1].fields;
            check_scores(all, cutter, row, 3, od_slice_of(fields[3].text),
                         od_slice_of(fields[5].text));
        }
    }
    od_csv_release(&truths);
    json_decref(task);
    od_free(text);
    od_word_cutter_close(cutter);
}

// Bytes of many lists: each text with a NUL behind it, a newline behind each list.
static void add_texts(struct od_buf *all, const struct od_tokens *texts)
{
    for (size_t i = 0; i < texts->count; i++) {
        od_buf_append(all, texts->items[i].bytes, texts->items[i].size);
        od_buf_putc(all, '\0');
    }
    od_buf_putc(all, '\n');
}

static void assert_digest(const struct od_buf *all, const json_t *record, const char *key)
{
    char hex[OD_SHA256_HEX_BYTES];
    assert_false(all->failed);
    od_sha256_hex(all->bytes, all->size, hex);
    assert_string_equal(hex, json_string_value(json_object_get(record, key)));
}

// The first documents of a corpus, whole.
static void check_documents(const json_t *all, const char *folder, const char *corpus)
{
    static const char end[] = "\n<|endoftext|>\n";
    struct od_error err = {0};
    struct od_sentence_tables tables;
    struct od_word_cutter *cutter = open_cutter(folder);
    struct od_buf sentences;
    struct od_buf words;
    char *text = NULL;
    size_t size = 0;

    od_buf_init(&sentences, (size_t)1 << 28);
    od_buf_init(&words, (size_t)1 << 28);
    od_sentence_tables_init(&tables);
    assert_ok(od_sentence_tables_read(&tables, folder, &err), &err);
    assert_ok(od_text_read(corpus, (size_t)1 << 30, &text, &size, &err), &err);
    const char *at = text;
    for (json_int_t i = 0; i < json_integer_value(json_object_get(all, "documents")); i++) {
        const char *last = strstr(at, end);
        struct od_tokens cut;
        assert_non_null(last);
        od_tokens_init(&cut);
        assert_ok(od_sentences_cut(&tables, at, (size_t)(last - at), &cut, &err), &err);
        add_texts(&sentences, &cut);
        od_tokens_release(&cut);
        od_tokens_init(&cut);
        assert_ok(od_words_cut(cutter, at, (size_t)(last - at), &cut, &err), &err);
        add_texts(&words, &cut);
        od_tokens_release(&cut);
        at = last + strlen(end);
    }
    assert_digest(&sentences, all, "sentences_sha256");
    assert_digest(&words, all, "words_sha256");
    od_free(text);
    od_sentence_tables_release(&tables);
    od_buf_release(&words);
    od_buf_release(&sentences);
    od_word_cutter_close(cutter);
}

#endif
