// Normalizers: one text in, one text out.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "text/bert.h"
#include "text/charsmap.h"
#include "text/regex.h"
#include "text/steps.h"
#include "text/unicode.h"

void od_steps_release(struct od_steps *steps)
{
    for (size_t i = 0; i < steps->count; i++) {
        od_free(steps->items[i].text);
        od_free(steps->items[i].pattern);
        od_regex_free(steps->items[i].regex);
        od_free(steps->items[i].regex_text);
        od_charsmap_release(&steps->items[i].charsmap);
    }
    *steps = (struct od_steps){0};
}

static void strip(const struct od_step *step, const char *text, size_t size, struct od_buf *out)
{
    size_t start = 0;
    size_t end = size;
    while (step->left != 0 && start < end) {
        uint32_t code;
        const int length = od_utf8_decode(text + start, end - start, &code);
        if (length == 0 || !od_unicode_is_white(code)) {
            break;
        }
        start += (size_t)length;
    }
    while (step->right != 0 && end > start) {
        size_t before;
        if (!od_unicode_is_white(od_unicode_before(text, end, &before))) {
            break;
        }
        end = before;
    }
    od_buf_append(out, text + start, end - start);
}

static void replace_literal(const struct od_step *step, const char *text, size_t size,
                            struct od_buf *out)
{
    const char *end = text + size;
    while (text < end) {
        const char *hit = step->pattern_size == 0 ? NULL
                                                  : memmem(text, (size_t)(end - text),
                                                           step->pattern, step->pattern_size);
        if (!hit) {
            break;
        }
        od_buf_append(out, text, (size_t)(hit - text));
        od_buf_append(out, step->text, step->text_size);
        text = hit + step->pattern_size;
    }
    od_buf_append(out, text, (size_t)(end - text));
}

static enum od_status replace_regex(const struct od_step *step, const char *text, size_t size,
                                    struct od_match *match, struct od_buf *out,
                                    struct od_error *err)
{
    size_t done = 0;
    size_t from = 0;
    while (from <= size) {
        bool found = false;
        const enum od_status status =
            od_regex_find(step->regex, match, text, size, from, &found, err);
        if (status != OD_OK) {
            return status;
        }
        if (!found || match->start < done) {
            break;
        }
        od_buf_append(out, text + done, match->start - done);
        od_buf_append(out, step->text, step->text_size);
        done = match->end;
        from = done;
        if (match->end == match->start) {  // an empty match: the next one begins a character on
            uint32_t code;
            const int length = from < size ? od_utf8_decode(text + from, size - from, &code) : 1;
            from += length > 0 ? (size_t)length : 1;
        }
    }
    od_buf_append(out, text + done, size - done);
    return OD_OK;
}

enum od_status od_step_replace(const struct od_step *step, const char *text, size_t size,
                               struct od_match *match, struct od_buf *out, struct od_error *err)
{
    if (step->regex) {
        return replace_regex(step, text, size, match, out, err);
    }
    replace_literal(step, text, size, out);
    return OD_OK;
}

static enum od_status run(const struct od_step *step, const char *text, size_t size,
                          struct od_match *match, struct od_buf *out, struct od_error *err)
{
    switch (step->kind) {
    case OD_STEP_NFC: return od_unicode_normalize(text, size, OD_NFC, out, err);
    case OD_STEP_NFD: return od_unicode_normalize(text, size, OD_NFD, out, err);
    case OD_STEP_NFKC: return od_unicode_normalize(text, size, OD_NFKC, out, err);
    case OD_STEP_NFKD: return od_unicode_normalize(text, size, OD_NFKD, out, err);
    case OD_STEP_LOWERCASE: od_unicode_lower(text, size, out); break;
    case OD_STEP_STRIP_ACCENTS: od_unicode_strip_marks(text, size, out); break;
    case OD_STEP_PRECOMPILED: od_charsmap_normalize(&step->charsmap, text, size, out); break;
    case OD_STEP_STRIP: strip(step, text, size, out); break;
    case OD_STEP_PREPEND:
        if (size > 0) {
            od_buf_append(out, step->text, step->text_size);
            od_buf_append(out, text, size);
        }
        break;
    case OD_STEP_REPLACE: return od_step_replace(step, text, size, match, out, err);
    case OD_STEP_BERT: return od_bert_normalize(step, text, size, out, err);
    case OD_STEP_BYTE_LEVEL:
    case OD_STEP_SPLIT:
    case OD_STEP_METASPACE:
    case OD_STEP_DIGITS:
    case OD_STEP_WHITESPACE:
    case OD_STEP_WHITESPACE_SPLIT:
    case OD_STEP_PUNCTUATION:
    case OD_STEP_BERT_WORDS:
    case OD_STEP_WORDPIECE:
    case OD_STEP_BYTE_FALLBACK:
    case OD_STEP_FUSE:
    case OD_STEP_STRIP_TOKEN:
        return od_fail(err, OD_E_UNSUPPORTED, "step %d is no normalizer", (int)step->kind);
    }
    return OD_OK;
}

enum od_status od_steps_normalize(const struct od_steps *steps, const char *text, size_t size,
                                  struct od_buf *a, struct od_buf *b, struct od_match *match,
                                  const char **ret_text, size_t *ret_size, struct od_error *err)
{
    for (size_t i = 0; i < steps->count; i++) {
        struct od_buf *out = i % 2 == 0 ? a : b;
        od_buf_reset(out);
        enum od_status status = run(&steps->items[i], text, size, match, out, err);
        if (status == OD_OK) {
            status = od_buf_check(out, err);
        }
        if (status != OD_OK) {
            return status;
        }
        text = od_buf_text(out);
        size = out->size;
    }
    *ret_text = text;
    *ret_size = size;
    return OD_OK;
}
