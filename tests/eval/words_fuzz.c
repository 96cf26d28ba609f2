// Goal: neither tables of sentences, lists of words nor a text can break the cutting of texts; words are
// valid UTF-8 and have no white space, and a text compared with itself has a ROUGE of 1, or of 0 without
// words.
// Method: the first line of the input is the text, its second letter says for which table the rest is; the
// rest is taken for lists of words, too.

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "eval/metrics/bias.h"
#include "eval/metrics/bleu.h"
#include "eval/metrics/rouge.h"
#include "eval/metrics/sentences.h"
#include "eval/metrics/slice.h"
#include "eval/metrics/stat.h"
#include "eval/metrics/tokens.h"
#include "eval/metrics/words.h"
#include "fuzz.h"

static void check_words(const struct od_word_cutter *cutter, struct od_slice text)
{
    struct od_tokens words;
    od_tokens_init(&words);
    if (od_words_cut(cutter, text.bytes, text.size, &words, NULL) == OD_OK) {
        for (size_t i = 0; i < words.count; i++) {
            const struct od_slice word = words.items[i];
            struct od_slice bare = word;
            od_strip(&bare.bytes, &bare.size);
            if (bare.size != word.size || word.size == 0 ||
                od_utf8_invalid_at(word.bytes, word.size) != word.size) {
                __builtin_trap();
            }
        }
    }
    od_tokens_release(&words);
}

static void check_scores(const struct od_word_cutter *cutter, struct od_slice text)
{
    static const enum od_rouge kinds[] = {OD_ROUGE_1, OD_ROUGE_2, OD_ROUGE_L};
    struct od_number value = {0};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (od_rouge(kinds[i], text, text, &value, NULL) == OD_OK && value.value > 0.0 &&
            value.value < 1.0) {
            __builtin_trap();
        }
    }
    if (od_bleu(cutter, 1, text, text, &value, NULL) == OD_OK && value.value > 0.0 &&
        value.value < 1.0) {
        __builtin_trap();
    }
}

static void check_sentences(enum od_sentence_table_kind kind, struct od_slice table,
                            struct od_slice text)
{
    struct od_sentence_tables tables;
    struct od_tokens sentences;
    od_sentence_tables_init(&tables);
    od_tokens_init(&sentences);
    if (od_sentence_table_parse(&tables, kind, table.bytes, table.size, "table", NULL) == OD_OK &&
        od_utf8_invalid_at(text.bytes, text.size) == text.size &&
        od_sentences_cut(&tables, text.bytes, text.size, &sentences, NULL) == OD_OK) {
        size_t size = 0;
        for (size_t i = 0; i < sentences.count; i++) {
            size += sentences.items[i].size;
        }
        if (size > text.size) {
            __builtin_trap();
        }
    }
    od_tokens_release(&sentences);
    od_sentence_tables_release(&tables);
}

static void check_lists(struct od_slice file)
{
    struct od_bias_words words;
    od_bias_words_init(&words);
    if (od_bias_words_parse(&words, file.bytes, file.size, "lists", NULL) == OD_OK) {
        for (size_t i = 0; i < OD_BIAS_LISTS; i++) {
            if (words.lists[i].count == 0) {
                __builtin_trap();
            }
        }
    }
    od_bias_words_release(&words);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *bytes = (const char *)data;
    const char *end = size > 0 ? memchr(bytes, '\n', size) : NULL;
    const struct od_slice text = {size > 0 ? bytes : "", end ? (size_t)(end - bytes) : size};
    const struct od_slice table = {end ? end + 1 : "", end ? size - text.size - 1 : 0};
    const unsigned kind = text.size > 1 ? data[1] % OD_SENTENCE_TABLES : 0;
    struct od_word_cutter *cutter = NULL;

    if (od_word_cutter_open(NULL, &cutter, NULL) == OD_OK) {
        check_words(cutter, text);
        check_scores(cutter, text);
        od_word_cutter_close(cutter);
    }
    check_sentences((enum od_sentence_table_kind)kind, table, text);
    check_lists(table);
    return 0;
}
