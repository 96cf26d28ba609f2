#include "eval/metrics/rouge.h"

#include <stdbool.h>
#include <stddef.h>

#include "base/memory.h"
#include "base/status.h"
#include "eval/metrics/slice.h"
#include "eval/metrics/stat.h"
#include "eval/metrics/stem.h"
#include "eval/metrics/tokens.h"
#include "eval/python_text.h"

static bool is_word_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

// Stems each word of `lower` in place and appends it.
static enum od_status add_words(struct od_buf *lower, struct od_tokens *out, struct od_error *err)
{
    enum { SHORT_WORD = 3 };
    enum od_status status = OD_OK;
    size_t at = 0;
    while (at < lower->size && status == OD_OK) {
        const size_t first = at;
        while (at < lower->size && is_word_character(lower->bytes[at])) {
            at++;
        }
        size_t size = at - first;
        if (size > SHORT_WORD) {
            size = od_stem(lower->bytes + first, size);
        }
        if (size > 0) {
            status = od_tokens_add(out, lower->bytes + first, size, err);
        }
        at += at == first;
    }
    return status;
}

static enum od_status words_of(struct od_slice text, struct od_tokens *out, struct od_error *err)
{
    struct od_buf lower;
    od_buf_init(&lower, text.size * 4 + 16);
    od_python_lower(text.bytes, text.size, &lower);
    enum od_status status = od_buf_check(&lower, err);
    if (status == OD_OK) {
        status = add_words(&lower, out, err);
    }
    od_buf_release(&lower);
    return status;
}

static double f_measure(size_t common, size_t gold_count, size_t pred_count)
{
    const double precision = (double)common / (double)(pred_count > 0 ? pred_count : 1);
    const double recall = (double)common / (double)(gold_count > 0 ? gold_count : 1);
    return common > 0 ? 2.0 * precision * recall / (precision + recall) : 0.0;
}

static enum od_status compare(enum od_rouge kind, const struct od_token_pair *pair,
                              struct od_number *ret, struct od_error *err)
{
    const size_t shorter = kind == OD_ROUGE_2 ? 1 : 0;  // pairs are one fewer than words
    const size_t gold_count = pair->left_count > shorter ? pair->left_count - shorter : 0;
    const size_t pred_count = pair->right_count > shorter ? pair->right_count - shorter : 0;
    size_t common = 0;
    if (kind == OD_ROUGE_L && (gold_count == 0 || pred_count == 0)) {
        *ret = od_number_int(0);
        return OD_OK;
    }
    const enum od_status status = kind == OD_ROUGE_L
                                      ? od_token_pair_longest(pair, &common, err)
                                      : od_token_pair_common(pair, shorter + 1, &common, err);
    *ret = od_number_float(f_measure(common, gold_count, pred_count));
    return status;
}

enum od_status od_rouge(enum od_rouge kind, struct od_slice gold, struct od_slice pred,
                        struct od_number *ret, struct od_error *err)
{
    struct od_tokens gold_words;
    struct od_tokens pred_words;
    struct od_token_pair pair = {0};

    od_tokens_init(&gold_words);
    od_tokens_init(&pred_words);
    enum od_status status = words_of(gold, &gold_words, err);
    if (status == OD_OK) {
        status = words_of(pred, &pred_words, err);
    }
    if (status == OD_OK) {
        status = od_token_pair_make(&gold_words, &pred_words, &pair, err);
    }
    if (status == OD_OK) {
        status = compare(kind, &pair, ret, err);
    }
    od_token_pair_release(&pair);
    od_tokens_release(&pred_words);
    od_tokens_release(&gold_words);
    return status;
}
