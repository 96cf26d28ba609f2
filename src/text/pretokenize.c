// Pre-tokenizers: cut a text into the words that the model encodes.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "text/byte_alphabet.h"
#include "text/regex.h"
#include "text/split.h"
#include "text/steps.h"
#include "text/unicode.h"

// Parts of a text in order, together all of it: those that match and those between.
struct part {
    size_t start;
    size_t end;
    bool is_match;
};

struct parts {
    struct part *items;
    size_t count;
    size_t capacity;
    bool failed;
};

static void add_part(struct parts *parts, size_t start, size_t end, bool is_match)
{
    if (parts->failed) {
        return;
    }
    if (parts->count == parts->capacity) {
        const size_t capacity = parts->capacity == 0 ? 64 : parts->capacity * 2;
        struct part *items = od_realloc(parts->items, capacity, sizeof(*items));
        if (!items) {
            parts->failed = true;
            return;
        }
        parts->items = items;
        parts->capacity = capacity;
    }
    parts->items[parts->count++] = (struct part){start, end, is_match};
}

static enum od_status find_regex(const struct od_regex *regex, const char *text, size_t size,
                                 bool invert, struct od_match *match, struct parts *parts,
                                 struct od_error *err)
{
    size_t done = 0;
    size_t from = 0;
    while (from <= size) {
        bool found = false;
        const enum od_status status = od_regex_find(regex, match, text, size, from, &found, err);
        if (status != OD_OK) {
            return status;
        }
        if (!found || match->start < done) {
            break;
        }
        if (match->start > done) {
            add_part(parts, done, match->start, invert);
        }
        add_part(parts, match->start, match->end, !invert);
        done = match->end;
        from = done;
        if (match->start == match->end) {  // an empty match: the next one begins a character on
            uint32_t code;
            const int length = from < size ? od_utf8_decode(text + from, size - from, &code) : 1;
            from += length > 0 ? (size_t)length : 1;
        }
    }
    if (done < size) {
        add_part(parts, done, size, invert);
    }
    return OD_OK;
}

static void find_literal(const char *pattern, size_t pattern_size, const char *text, size_t size,
                         bool invert, struct parts *parts)
{
    size_t done = 0;
    while (done < size && pattern_size > 0) {
        const char *hit = memmem(text + done, size - done, pattern, pattern_size);
        if (!hit) {
            break;
        }
        const size_t start = (size_t)(hit - text);
        if (start > done) {
            add_part(parts, done, start, invert);
        }
        add_part(parts, start, start + pattern_size, !invert);
        done = start + pattern_size;
    }
    if (done < size) {
        add_part(parts, done, size, invert);
    }
}

// Every character for which `is` holds is a match by itself.
static void find_characters(bool (*is)(uint32_t code), const char *text, size_t size,
                            struct parts *parts)
{
    size_t done = 0;
    for (size_t at = 0; at < size;) {
        uint32_t code = 0;
        const int decoded = od_utf8_decode(text + at, size - at, &code);
        const size_t length = decoded > 0 ? (size_t)decoded : 1;
        if (is(code)) {
            if (at > done) {
                add_part(parts, done, at, false);
            }
            add_part(parts, at, at + length, true);
            done = at + length;
        }
        at += length;
    }
    if (done < size) {
        add_part(parts, done, size, false);
    }
}

// Runs of word characters, and runs of what is neither word nor white space; the rest goes.
static void find_words(const char *text, size_t size, struct parts *parts)
{
    size_t start = 0;
    int kind = 0;  // of the run from `start`: 0 white space, 1 word, 2 neither
    for (size_t at = 0; at < size;) {
        uint32_t code = 0;
        const int decoded = od_utf8_decode(text + at, size - at, &code);
        int next = 2;
        if (od_unicode_is_word(code)) {
            next = 1;
        } else if (od_unicode_is_white(code)) {
            next = 0;
        }
        if (next != kind) {
            add_part(parts, start, at, kind == 0);
            start = at;
            kind = next;
        }
        at += decoded > 0 ? (size_t)decoded : 1;
    }
    add_part(parts, start, size, kind == 0);
}

// At white space, which goes; every punctuation character is a word.
static void find_bert_words(const char *text, size_t size, struct parts *parts)
{
    size_t start = 0;
    for (size_t at = 0; at < size;) {
        uint32_t code = 0;
        const int decoded = od_utf8_decode(text + at, size - at, &code);
        const size_t next = at + (decoded > 0 ? (size_t)decoded : 1);
        const bool white = od_unicode_is_white(code);
        if (white || od_unicode_is_punctuation(code)) {
            add_part(parts, start, at, start == at);
            add_part(parts, at, next, white);
            start = next;
        }
        at = next;
    }
    add_part(parts, start, size, start == size);
}

static void join_parts(struct parts *parts, enum od_split_behavior behavior)
{
    size_t kept = 0;
    bool previous = false;
    if (behavior == OD_SPLIT_MERGED_WITH_NEXT) {
        // From the back: a match goes to the part behind it, unless that was a match, too.
        size_t first = parts->count;
        for (size_t i = parts->count; i-- > 0;) {
            const struct part part = parts->items[i];
            if (part.is_match && !previous && first < parts->count) {
                parts->items[first].start = part.start;
            } else {
                parts->items[--first] = part;
            }
            previous = part.is_match;
        }
        kept = parts->count - first;
        if (kept > 0) {
            memmove(parts->items, parts->items + first, kept * sizeof(*parts->items));
        }
        parts->count = kept;
        return;
    }
    for (size_t i = 0; i < parts->count; i++) {
        const struct part part = parts->items[i];
        const bool joins = behavior == OD_SPLIT_CONTIGUOUS ? part.is_match == previous
                                                           : part.is_match && !previous;
        if (joins && kept > 0) {
            parts->items[kept - 1].end = part.end;
        } else {
            parts->items[kept++] = part;
        }
        previous = part.is_match;
    }
    parts->count = kept;
}

static void put_parts(struct parts *parts, enum od_split_behavior behavior, const char *text,
                      bool at_start, struct od_split *out)
{
    if (behavior != OD_SPLIT_REMOVED && behavior != OD_SPLIT_ISOLATED) {
        join_parts(parts, behavior);
    }
    for (size_t i = 0; i < parts->count; i++) {
        const struct part part = parts->items[i];
        if (!(behavior == OD_SPLIT_REMOVED && part.is_match)) {
            od_split_add(out, text + part.start, part.end - part.start, -1,
                         at_start && part.start == 0);
        }
    }
}

static void put_bytes(const char *text, size_t size, bool at_start, struct od_split *out)
{
    const size_t at = out->text.size;
    for (size_t i = 0; i < size; i++) {
        char character[4];
        const uint32_t code = od_byte_to_code((unsigned char)text[i]);
        od_buf_append(&out->text, character, (size_t)od_utf8_encode(code, character));
    }
    od_split_close(out, at, at_start);
}

static enum od_status byte_level(const struct od_step *step, const char *text, size_t size,
                                 bool at_start, struct od_match *match, struct parts *parts,
                                 struct od_split *out, struct od_error *err)
{
    if (!step->use_regex) {
        put_bytes(text, size, at_start, out);
        return OD_OK;
    }
    const enum od_status status = find_regex(step->regex, text, size, false, match, parts, err);
    for (size_t i = 0; i < parts->count && status == OD_OK; i++) {
        const struct part part = parts->items[i];
        put_bytes(text + part.start, part.end - part.start, at_start && part.start == 0, out);
    }
    return status;
}

// Blanks become the mark, and the mark goes in front; into `scratch`.
static void metaspace_text(const struct od_step *step, const char *text, size_t size, bool at_start,
                           struct od_buf *scratch)
{
    const bool has_mark =
        size > 0 && (text[0] == ' ' ||
                     (size >= step->text_size && memcmp(text, step->text, step->text_size) == 0));
    if (!has_mark &&
        (step->prepend == OD_PREPEND_ALWAYS || (step->prepend == OD_PREPEND_FIRST && at_start))) {
        od_buf_append(scratch, step->text, step->text_size);
    }
    for (size_t i = 0; i < size; i++) {
        if (text[i] == ' ') {
            od_buf_append(scratch, step->text, step->text_size);
        } else {
            od_buf_putc(scratch, text[i]);
        }
    }
}

static enum od_status cut_span(const struct od_step *step, const char *text, size_t size,
                               bool at_start, struct od_match *match, struct parts *parts,
                               struct od_buf *scratch, struct od_split *out, struct od_error *err)
{
    enum od_status status = OD_OK;
    enum od_split_behavior behavior = step->behavior;
    parts->count = 0;
    od_buf_reset(scratch);
    switch (step->kind) {
    case OD_STEP_BYTE_LEVEL:
        if (step->prefix_space && text[0] != ' ') {
            od_buf_putc(scratch, ' ');
            od_buf_append(scratch, text, size);
            text = od_buf_text(scratch);
            size = scratch->size;
        }
        return byte_level(step, text, size, at_start, match, parts, out, err);
    case OD_STEP_SPLIT:
        if (step->regex) {
            status = find_regex(step->regex, text, size, step->invert, match, parts, err);
        } else {
            find_literal(step->pattern, step->pattern_size, text, size, step->invert, parts);
        }
        break;
    case OD_STEP_METASPACE:
        metaspace_text(step, text, size, at_start, scratch);
        text = od_buf_text(scratch);
        size = scratch->size;
        behavior = OD_SPLIT_MERGED_WITH_NEXT;
        if (step->split) {
            find_literal(step->text, step->text_size, text, size, false, parts);
        } else {
            add_part(parts, 0, size, false);
        }
        break;
    case OD_STEP_DIGITS:
        behavior = step->individual ? OD_SPLIT_ISOLATED : OD_SPLIT_CONTIGUOUS;
        find_characters(od_unicode_is_number, text, size, parts);
        break;
    case OD_STEP_WHITESPACE:
        behavior = OD_SPLIT_REMOVED;
        find_words(text, size, parts);
        break;
    case OD_STEP_WHITESPACE_SPLIT:
        behavior = OD_SPLIT_REMOVED;
        find_characters(od_unicode_is_white, text, size, parts);
        break;
    case OD_STEP_BERT_WORDS:
        behavior = OD_SPLIT_REMOVED;
        find_bert_words(text, size, parts);
        break;
    case OD_STEP_PUNCTUATION: find_characters(od_unicode_is_punctuation, text, size, parts); break;
    case OD_STEP_NFC:
    case OD_STEP_NFD:
    case OD_STEP_NFKC:
    case OD_STEP_NFKD:
    case OD_STEP_LOWERCASE:
    case OD_STEP_STRIP:
    case OD_STEP_STRIP_ACCENTS:
    case OD_STEP_PREPEND:
    case OD_STEP_PRECOMPILED:
    case OD_STEP_REPLACE:
    case OD_STEP_BERT:
    case OD_STEP_WORDPIECE:
    case OD_STEP_BYTE_FALLBACK:
    case OD_STEP_FUSE:
    case OD_STEP_STRIP_TOKEN:
        return od_fail(err, OD_E_UNSUPPORTED, "step %d is no pre-tokenizer", (int)step->kind);
    }
    put_parts(parts, behavior, text, at_start, out);
    return status;
}

enum od_status od_steps_cut(const struct od_steps *steps, struct od_split **split,
                            struct od_split **other, struct od_match *match, struct od_error *err)
{
    enum od_status status = OD_OK;
    struct parts parts = {0};
    struct od_buf scratch;
    od_buf_init(&scratch, OD_SPLIT_MAX_BYTES);
    for (size_t i = 0; i < steps->count && status == OD_OK; i++) {
        struct od_split *in = *split;
        struct od_split *out = *other;
        od_split_reset(out);
        for (size_t j = 0; j < in->count && status == OD_OK; j++) {
            const struct od_span span = in->spans[j];
            const char *text = od_buf_text(&in->text) + span.at;
            if (span.id >= 0) {
                od_split_add(out, text, span.size, span.id, span.at_start);
            } else {
                status = cut_span(&steps->items[i], text, span.size, span.at_start, match, &parts,
                                  &scratch, out, err);
            }
        }
        if (status == OD_OK) {
            status = od_buf_check(&scratch, err);
        }
        if (status == OD_OK && parts.failed) {
            status = od_fail(err, OD_E_MEMORY, "no memory for the parts of a text");
        }
        if (status == OD_OK) {
            status = od_split_check(out, err);
        }
        *split = out;
        *other = in;
    }
    od_free(parts.items);
    od_buf_release(&scratch);
    return status;
}
