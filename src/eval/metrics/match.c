#include "eval/metrics/match.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "eval/metrics/bleu.h"
#include "eval/metrics/rouge.h"
#include "eval/metrics/slice.h"
#include "eval/metrics/stat.h"
#include "eval/metrics/words.h"
#include "eval/python_text.h"

static struct od_slice strip(struct od_slice text)
{
    od_strip(&text.bytes, &text.size);
    return text;
}

static bool same(struct od_slice a, struct od_slice b)
{
    return a.size == b.size && memcmp(a.bytes, b.bytes, a.size) == 0;
}

static bool starts_with(struct od_slice text, struct od_slice start)
{
    return text.size >= start.size && memcmp(text.bytes, start.bytes, start.size) == 0;
}

// Append `text` without the ASCII punctuation.
static void without_punctuation(struct od_slice text, struct od_buf *out)
{
    for (size_t i = 0; i < text.size; i++) {
        const unsigned char c = (unsigned char)text.bytes[i];
        const bool punctuation = (c >= 0x21 && c <= 0x2F) || (c >= 0x3A && c <= 0x40) ||
                                 (c >= 0x5B && c <= 0x60) || (c >= 0x7B && c <= 0x7E);
        if (!punctuation) {
            od_buf_putc(out, text.bytes[i]);
        }
    }
}

static bool is_article(struct od_slice word)
{
    return same(word, od_slice_of("a")) || same(word, od_slice_of("an")) ||
           same(word, od_slice_of("the"));
}

// Append `text` with each run of word characters that is an article replaced by a blank.
static void without_articles(struct od_slice text, struct od_buf *out)
{
    size_t at = 0;
    while (at < text.size) {
        const size_t first = at;
        uint32_t code = 0;
        size_t length = od_python_next(text.bytes + at, text.size - at, &code);
        const bool word = od_python_is_word(code);
        do {
            at += length;
            if (at >= text.size) {
                break;
            }
            length = od_python_next(text.bytes + at, text.size - at, &code);
        } while (od_python_is_word(code) == word);
        const struct od_slice run = {text.bytes + first, at - first};
        if (word && is_article(run)) {
            od_buf_putc(out, ' ');
        } else {
            od_buf_append(out, run.bytes, run.size);
        }
    }
}

// The next piece between white space, or false at the end.
static bool next_token(struct od_slice *rest, struct od_slice *ret)
{
    uint32_t code = 0;
    od_strip(&rest->bytes, &rest->size);
    size_t at = 0;
    while (at < rest->size) {
        const size_t length = od_python_next(rest->bytes + at, rest->size - at, &code);
        if (od_is_space(code)) {
            break;
        }
        at += length;
    }
    *ret = (struct od_slice){rest->bytes, at};
    rest->bytes += at;
    rest->size -= at;
    return at > 0;
}

void od_match_normal(struct od_slice text, struct od_buf *out)
{
    const size_t max_bytes = text.size * 4 + 16;
    struct od_buf lower;
    struct od_buf plain;
    struct od_buf words;
    od_buf_init(&lower, max_bytes);
    od_buf_init(&plain, max_bytes);
    od_buf_init(&words, max_bytes);
    od_python_lower(text.bytes, text.size, &lower);
    without_punctuation((struct od_slice){od_buf_text(&lower), lower.size}, &plain);
    without_articles((struct od_slice){od_buf_text(&plain), plain.size}, &words);
    struct od_slice rest = {od_buf_text(&words), words.size};
    struct od_slice token = {NULL, 0};
    for (bool first = true; next_token(&rest, &token); first = false) {
        if (!first) {
            od_buf_putc(out, ' ');
        }
        od_buf_append(out, token.bytes, token.size);
    }
    out->failed = out->failed || lower.failed || plain.failed || words.failed;
    od_buf_release(&words);
    od_buf_release(&plain);
    od_buf_release(&lower);
}

static int exact(struct od_slice gold, struct od_slice pred)
{
    return pred.size > 0 && same(strip(gold), strip(pred));
}

static int prefix(struct od_slice gold, struct od_slice pred)
{
    return pred.size > 0 && starts_with(strip(pred), strip(gold));
}

static struct od_slice behind_last_blank(struct od_slice text)
{
    const char *blank = text.size > 0 ? memrchr(text.bytes, ' ', text.size) : NULL;
    if (blank) {
        const size_t skip = (size_t)(blank - text.bytes) + 1;
        text = (struct od_slice){text.bytes + skip, text.size - skip};
    }
    return strip(text);
}

static bool is_decimal(uint32_t code)
{
    return utf8proc_category((utf8proc_int32_t)code) == UTF8PROC_CATEGORY_ND;
}

// Length of the characters from `at` on that are decimal digits (or commas).
static size_t run_of_digits(struct od_slice text, size_t at, bool commas)
{
    const size_t first = at;
    while (at < text.size) {
        uint32_t code = 0;
        const size_t length = od_python_next(text.bytes + at, text.size - at, &code);
        if (!is_decimal(code) && !(commas && code == ',')) {
            break;
        }
        at += length;
    }
    return at - first;
}

// The last match of -?[\d,]+(?:.\d+)? without its commas. The dot stands for any character but a
// newline, so "12 34" is one number: HELM's pattern is kept as it is.
static void final_number(struct od_slice text, struct od_buf *out)
{
    struct od_slice last = {"", 0};
    size_t at = 0;
    while (at < text.size) {
        const size_t sign = text.bytes[at] == '-' ? 1 : 0;
        const size_t digits = run_of_digits(text, at + sign, true);
        uint32_t code = 0;
        if (digits == 0) {
            at += od_python_next(text.bytes + at, text.size - at, &code);
            continue;
        }
        size_t end = at + sign + digits;
        if (end < text.size && text.bytes[end] != '\n') {
            const size_t dot = od_python_next(text.bytes + end, text.size - end, &code);
            const size_t more = run_of_digits(text, end + dot, false);
            end += more > 0 ? dot + more : 0;
        }
        last = (struct od_slice){text.bytes + at, end - at};
        at = end;
    }
    for (size_t i = 0; i < last.size; i++) {
        if (last.bytes[i] != ',') {
            od_buf_putc(out, last.bytes[i]);
        }
    }
}

static int by_bytes(const void *left, const void *right)
{
    const struct od_slice *a = left;
    const struct od_slice *b = right;
    return od_slice_order(*a, *b);
}

// The set of tokens of a normal form, sorted. @memory Gives: od_free.
static struct od_slice *token_set(const struct od_buf *normal, size_t *ret_count)
{
    struct od_slice rest = {od_buf_text(normal), normal->size};
    struct od_slice token = {NULL, 0};
    size_t count = 0;
    size_t unique = 0;
    struct od_slice *tokens = od_alloc(normal->size / 2 + 1, sizeof *tokens);
    if (!tokens) {
        return NULL;
    }
    while (next_token(&rest, &token)) {
        tokens[count++] = token;
    }
    if (count > 1) {
        qsort(tokens, count, sizeof *tokens, by_bytes);
    }
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || by_bytes(&tokens[i], &tokens[unique - 1]) != 0) {
            tokens[unique++] = tokens[i];
        }
    }
    *ret_count = unique;
    return tokens;
}

// 2 p r / (p + r) of the sets of tokens; as in HELM the integer 0 when nothing is common, and the
// float when a set is empty.
static bool f1_score(const struct od_buf *gold, const struct od_buf *pred, struct od_number *ret)
{
    size_t gold_count = 0;
    size_t pred_count = 0;
    size_t common = 0;
    struct od_slice *golds = token_set(gold, &gold_count);
    struct od_slice *preds = token_set(pred, &pred_count);
    const bool ok = golds && preds;

    *ret = (struct od_number){0.0, gold_count > 0 && pred_count > 0};
    for (size_t i = 0, k = 0; ok && i < gold_count && k < pred_count;) {
        const int order = by_bytes(&golds[i], &preds[k]);
        common += order == 0;
        i += order <= 0;
        k += order >= 0;
    }
    if (common > 0) {
        const double precision = (double)common / (double)pred_count;
        const double recall = (double)common / (double)gold_count;
        *ret = od_number_float(1.0 / (0.5 / precision + 0.5 / recall));
    }
    od_free(golds);
    od_free(preds);
    return ok;
}

// The metrics that compare prepared texts.
static enum od_status match_prepared(const char *metric, struct od_slice gold, struct od_slice pred,
                                     struct od_number *ret, struct od_error *err)
{
    struct od_buf gold_form;
    struct od_buf pred_form;
    bool ok = true;
    enum od_status status = OD_OK;
    const bool number = strcmp(metric, "final_number_exact_match") == 0;

    od_buf_init(&gold_form, gold.size * 4 + 16);
    od_buf_init(&pred_form, pred.size * 4 + 16);
    (number ? final_number : od_match_normal)(gold, &gold_form);
    (number ? final_number : od_match_normal)(pred, &pred_form);
    const struct od_slice g = {od_buf_text(&gold_form), gold_form.size};
    const struct od_slice p = {od_buf_text(&pred_form), pred_form.size};
    if (number) {
        *ret = od_number_int(exact(g, p));
    } else if (strcmp(metric, "quasi_exact_match") == 0) {
        *ret = od_number_int(pred.size > 0 && same(g, p));
    } else if (strcmp(metric, "quasi_prefix_exact_match") == 0) {
        *ret = od_number_int(pred.size > 0 && starts_with(p, g));
    } else if (strcmp(metric, "f1_score") == 0) {
        ok = f1_score(&gold_form, &pred_form, ret);
    } else {
        status = od_fail(err, OD_E_UNSUPPORTED, "metric '%s' is left out of this version", metric);
    }
    if (gold_form.failed || pred_form.failed || !ok) {
        status = od_fail(err, OD_E_MEMORY, "no memory to compare texts");
    }
    od_buf_release(&gold_form);
    od_buf_release(&pred_form);
    return status;
}

// The metrics that compare groups of words.
struct overlap {
    const char *metric;
    bool is_rouge;
    enum od_rouge rouge;
    size_t bleu;
};
static const struct overlap overlaps[] = {{"rouge_1", true, OD_ROUGE_1, 0},
                                          {"rouge_2", true, OD_ROUGE_2, 0},
                                          {"rouge_l", true, OD_ROUGE_L, 0},
                                          {"bleu_1", false, OD_ROUGE_1, 1},
                                          {"bleu_4", false, OD_ROUGE_1, 4}};

static const struct overlap *overlap_of(const char *metric)
{
    for (size_t i = 0; i < sizeof overlaps / sizeof *overlaps; i++) {
        if (strcmp(overlaps[i].metric, metric) == 0) {
            return &overlaps[i];
        }
    }
    return NULL;
}

bool od_match_needs_words(const char *metric)
{
    const struct overlap *overlap = overlap_of(metric);
    return overlap && !overlap->is_rouge;
}

enum od_status od_match(const char *metric, const struct od_word_cutter *words,
                        struct od_slice gold, struct od_slice pred, struct od_number *ret,
                        struct od_error *err)
{
    const struct overlap *overlap = overlap_of(metric);
    if (!pred.bytes) {
        pred = (struct od_slice){"", 0};
    }
    if (overlap && overlap->is_rouge) {
        return od_rouge(overlap->rouge, gold, pred, ret, err);
    }
    if (overlap && words) {
        return od_bleu(words, overlap->bleu, gold, pred, ret, err);
    }
    if (overlap) {
        return od_fail(err, OD_E_UNSUPPORTED, "'%s' needs tables of sentences", metric);
    }
    if (strcmp(metric, "exact_match") == 0) {
        *ret = od_number_int(exact(gold, pred));
    } else if (strcmp(metric, "prefix_exact_match") == 0) {
        *ret = od_number_int(prefix(gold, pred));
    } else if (strcmp(metric, "exact_match_indicator") == 0) {
        *ret = od_number_int(exact(behind_last_blank(gold), behind_last_blank(pred)));
    } else {
        return match_prepared(metric, gold, pred, ret, err);
    }
    return OD_OK;
}
