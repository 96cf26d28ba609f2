// Decoders: the texts of tokens to one text.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "text/bert.h"
#include "text/byte_alphabet.h"
#include "text/regex.h"
#include "text/split.h"
#include "text/steps.h"

// A run of bytes becomes one text; one that is no UTF-8 becomes U+FFFD for each byte.
static void put_run(struct od_buf *run, bool raw, struct od_split *out)
{
    if (run->size == 0) {
        return;
    }
    const char *bytes = od_buf_text(run);
    if (raw || od_utf8_invalid_at(bytes, run->size) == run->size) {
        od_split_keep(out, bytes, run->size);
    } else {
        for (size_t i = 0; i < run->size; i++) {
            od_split_keep(out, "\xEF\xBF\xBD", 3);
        }
    }
    od_buf_reset(run);
}

static enum od_status byte_fallback(const struct od_split *in, bool raw, struct od_split *out,
                                    struct od_error *err)
{
    struct od_buf run;
    od_buf_init(&run, OD_SPLIT_MAX_BYTES);
    for (size_t i = 0; i < in->count; i++) {
        const char *text = od_buf_text(&in->text) + in->spans[i].at;
        const size_t size = in->spans[i].size;
        const int byte = od_byte_piece_value(text, size);
        if (byte >= 0) {
            od_buf_putc(&run, (char)(unsigned char)byte);
        } else {
            put_run(&run, raw, out);
            od_split_keep(out, text, size);
        }
    }
    put_run(&run, raw, out);
    const enum od_status status = od_buf_check(&run, err);
    od_buf_release(&run);
    return status;
}

// Bytes of a token in the byte alphabet; one with any other character stays as it is.
static void put_alphabet(const char *text, size_t size, struct od_buf *out)
{
    const size_t before = out->size;
    for (size_t at = 0; at < size;) {
        uint32_t code = 0;
        const int length = od_utf8_decode(text + at, size - at, &code);
        const int byte = length > 0 ? od_code_to_byte(code) : -1;
        if (byte < 0) {
            if (!out->failed) {
                out->size = before;
            }
            od_buf_append(out, text, size);
            return;
        }
        od_buf_putc(out, (char)(unsigned char)byte);
        at += (size_t)length;
    }
}

static enum od_status byte_level(const struct od_split *in, bool raw, struct od_split *out,
                                 struct od_error *err)
{
    struct od_buf bytes;
    struct od_buf valid;
    od_buf_init(&bytes, OD_SPLIT_MAX_BYTES);
    od_buf_init(&valid, OD_SPLIT_MAX_BYTES);
    for (size_t i = 0; i < in->count; i++) {
        put_alphabet(od_buf_text(&in->text) + in->spans[i].at, in->spans[i].size, &bytes);
    }
    if (!raw) {
        od_utf8_append_valid(&valid, od_buf_text(&bytes), bytes.size);
    }
    const struct od_buf *result = raw ? &bytes : &valid;
    od_split_keep(out, od_buf_text(result), result->size);
    enum od_status status = od_buf_check(&bytes, err);
    if (status == OD_OK) {
        status = od_buf_check(&valid, err);
    }
    od_buf_release(&bytes);
    od_buf_release(&valid);
    return status;
}

// One token through a replacement, which is a normalizer, too.
static enum od_status replace_tokens(const struct od_step *step, const struct od_split *in,
                                     struct od_split *out, struct od_error *err)
{
    enum od_status status = OD_OK;
    struct od_match match = {0};
    struct od_buf buf;
    od_buf_init(&buf, OD_SPLIT_MAX_BYTES);
    for (size_t i = 0; i < in->count && status == OD_OK; i++) {
        od_buf_reset(&buf);
        status = od_step_replace(step, od_buf_text(&in->text) + in->spans[i].at, in->spans[i].size,
                                 &match, &buf, err);
        if (status == OD_OK) {
            status = od_buf_check(&buf, err);
        }
        od_split_keep(out, od_buf_text(&buf), buf.size);
    }
    od_match_release(&match);
    od_buf_release(&buf);
    return status;
}

// The mark becomes a blank; at the start of a text it goes.
static void metaspace(const struct od_step *step, const struct od_split *in, bool raw,
                      struct od_split *out)
{
    for (size_t i = 0; i < in->count; i++) {
        const char *text = od_buf_text(&in->text) + in->spans[i].at;
        const size_t size = in->spans[i].size;
        const bool drop = i == 0 && !raw && step->prepend != OD_PREPEND_NEVER;
        const size_t at = out->text.size;
        size_t done = 0;
        od_split_keep(out, "", 0);
        while (done < size) {
            const char *hit = memmem(text + done, size - done, step->text, step->text_size);
            const size_t next = hit ? (size_t)(hit - text) : size;
            od_buf_append(&out->text, text + done, next - done);
            if (hit && !drop) {
                od_buf_putc(&out->text, ' ');
            }
            done = hit ? next + step->text_size : size;
        }
        if (!out->failed && out->text.size >= at) {
            out->spans[out->count - 1].size = out->text.size - at;
        }
    }
}

static void strip_tokens(const struct od_step *step, const struct od_split *in,
                         struct od_split *out)
{
    const size_t unit = step->text_size;
    for (size_t i = 0; i < in->count; i++) {
        const char *text = od_buf_text(&in->text) + in->spans[i].at;
        size_t size = in->spans[i].size;
        for (int64_t n = 0; n < step->left && size >= unit && memcmp(text, step->text, unit) == 0;
             n++) {
            text += unit;
            size -= unit;
        }
        for (int64_t n = 0;
             n < step->right && size >= unit && memcmp(text + size - unit, step->text, unit) == 0;
             n++) {
            size -= unit;
        }
        od_split_keep(out, text, size);
    }
}

// A token that goes on with the word before loses its mark; others follow a blank.
static enum od_status wordpiece(const struct od_step *step, const struct od_split *in, bool raw,
                                struct od_split *out, struct od_error *err)
{
    struct od_buf text;
    struct od_buf scratch;
    od_buf_init(&text, OD_SPLIT_MAX_BYTES);
    od_buf_init(&scratch, OD_SPLIT_MAX_BYTES);
    for (size_t i = 0; i < in->count; i++) {
        const char *token = od_buf_text(&in->text) + in->spans[i].at;
        const size_t size = in->spans[i].size;
        const size_t mark = step->text_size;
        const bool inside = i > 0 || raw;
        const bool goes_on = inside && size >= mark && memcmp(token, step->text, mark) == 0;
        od_buf_reset(&text);
        od_buf_puts(&text, inside && !goes_on ? " " : "");
        od_buf_append(&text, token + (goes_on ? mark : 0), size - (goes_on ? mark : 0));
        if (step->clean) {
            od_bert_clean_up(&text, &scratch);
        }
        od_split_keep(out, od_buf_text(&text), text.size);
    }
    enum od_status status = od_buf_check(&text, err);
    if (status == OD_OK) {
        status = od_buf_check(&scratch, err);
    }
    od_buf_release(&scratch);
    od_buf_release(&text);
    return status;
}

static enum od_status run(const struct od_step *step, const struct od_split *in, bool raw,
                          bool *fused, struct od_split *out, struct od_error *err)
{
    switch (step->kind) {
    case OD_STEP_BYTE_LEVEL: return byte_level(in, raw, out, err);
    case OD_STEP_BYTE_FALLBACK: return byte_fallback(in, raw, out, err);
    case OD_STEP_REPLACE: return replace_tokens(step, in, out, err);
    case OD_STEP_METASPACE: metaspace(step, in, raw, out); return OD_OK;
    case OD_STEP_WORDPIECE: return wordpiece(step, in, raw, out, err);
    case OD_STEP_FUSE:
        od_split_keep(out, od_buf_text(&in->text), in->text.size);
        *fused = true;
        return OD_OK;
    case OD_STEP_STRIP_TOKEN: strip_tokens(step, in, out); return OD_OK;
    case OD_STEP_NFC:
    case OD_STEP_NFD:
    case OD_STEP_NFKC:
    case OD_STEP_NFKD:
    case OD_STEP_LOWERCASE:
    case OD_STEP_STRIP:
    case OD_STEP_STRIP_ACCENTS:
    case OD_STEP_PREPEND:
    case OD_STEP_PRECOMPILED:
    case OD_STEP_SPLIT:
    case OD_STEP_DIGITS:
    case OD_STEP_WHITESPACE:
    case OD_STEP_WHITESPACE_SPLIT:
    case OD_STEP_PUNCTUATION:
    case OD_STEP_BERT:
    case OD_STEP_BERT_WORDS: break;
    }
    return od_fail(err, OD_E_UNSUPPORTED, "step %d is no decoder", (int)step->kind);
}

enum od_status od_steps_decode(const struct od_steps *steps, struct od_split *tokens, bool raw,
                               struct od_buf *out, struct od_error *err)
{
    enum od_status status = OD_OK;
    struct od_split other;
    struct od_split *from = tokens;
    struct od_split *to = &other;
    bool fused = false;
    od_split_init(&other);
    for (size_t i = 0; i < steps->count && status == OD_OK; i++) {
        const struct od_step *step = &steps->items[i];
        // The text of ids in the middle of a text has no start: what works on the whole text once
        // it is fused is left out.
        if (raw && (step->kind == OD_STEP_FUSE || (fused && step->kind == OD_STEP_STRIP_TOKEN))) {
            fused = true;
            continue;
        }
        od_split_reset(to);
        status = run(step, from, raw, &fused, to, err);
        if (status == OD_OK) {
            status = od_split_check(to, err);
        }
        struct od_split *swap = from;
        from = to;
        to = swap;
    }
    if (status == OD_OK) {
        od_buf_append(out, od_buf_text(&from->text), from->text.size);
        status = od_buf_check(out, err);
    }
    od_split_release(&other);
    return status;
}
