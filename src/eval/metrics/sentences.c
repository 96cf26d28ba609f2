#include "eval/metrics/sentences.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "eval/metrics/slice.h"
#include "eval/metrics/tokens.h"
#include "eval/python_text.h"

enum { NO_CODE = 0x110000, TEXT_MAX_BYTES = 16 << 20 };

// How a word was seen, as masks of the fourth table.
enum { CAPITAL_INSIDE = 4, ANY_CAPITAL = 14, SMALL_AT_START = 16, ANY_SMALL = 112 };

// A text by its characters; offsets[i] is where character i begins, the last one is the size.
struct text {
    const char *bytes;
    uint32_t *codes;
    size_t *offsets;
    size_t count;
};

// Characters first .. last - 1.
struct span {
    size_t first;
    size_t last;
};

// A word or a mark of a context, and what is known about it.
struct token {
    struct span span;
    bool abbreviation;
    bool ellipsis;
    bool ends;  // a sentence
};

// The cutting of one text.
struct cut {
    const struct od_sentence_tables *tables;
    struct text text;
    struct token *tokens;  // of the context that is looked at
    size_t token_count;
    size_t token_capacity;
    struct od_buf type;  // scratch
    struct od_buf key;   // scratch
    enum od_status status;
    struct od_error *err;
    struct od_tokens *out;
    // What is known of the sentence before, see put_sentence.
    struct span held;
    bool is_held;
    size_t taken;  // characters of the next sentence that went to the one before
};

static bool is_digit(uint32_t code)
{
    return utf8proc_category((utf8proc_int32_t)code) == UTF8PROC_CATEGORY_ND;
}

static bool is_end_mark(uint32_t code)
{
    return code == '.' || code == '?' || code == '!';
}

static bool is_one_of(uint32_t code, const char *ascii)
{
    return code > 0 && code < 0x80 && strchr(ascii, (int)code) != NULL;
}

// What cannot stand inside a word.
static bool is_outside(uint32_t code)
{
    return is_one_of(code, ")\";}]*:@'({[!?");
}

// The character at a place, or NO_CODE at and behind `last`.
static uint32_t at(const struct text *text, size_t place, size_t last)
{
    return place < last ? text->codes[place] : (uint32_t)NO_CODE;
}

// ---------------------------------------------------------------- words of a context

// A row of hyphens, of periods, or of periods with a white space between any two: its length, or 0.
static size_t row_length(const struct text *text, size_t first, size_t last)
{
    const uint32_t code = at(text, first, last);
    size_t i = first;
    if (code != '-' && code != '.') {
        return 0;
    }
    while (at(text, i, last) == code) {
        i++;
    }
    if (i - first >= 2 || code != '.') {
        return i - first >= 2 ? i - first : 0;
    }
    i = first;
    while (at(text, i, last) == '.' && i + 1 < last && od_is_space(text->codes[i + 1])) {
        i += 2;
    }
    i -= at(text, i, last) == '.' ? 0 : 2;
    return i >= first + 4 ? i + 1 - first : 0;
}

static bool is_row(const struct text *text, size_t first, size_t last)
{
    const uint32_t code = at(text, first, last);
    if ((code == '-' || code == '.') && at(text, first + 1, last) == code) {
        return true;
    }
    return code == '.' && at(text, first + 2, last) == '.' && at(text, first + 4, last) == '.' &&
           od_is_space(text->codes[first + 1]) && od_is_space(text->codes[first + 3]);
}

static bool ends_word(const struct text *text, size_t place, size_t last)
{
    const uint32_t code = at(text, place, last);
    return code == NO_CODE || od_is_space(code) || is_outside(code) || is_row(text, place, last);
}

// The length of the token that begins at a place without white space.
static size_t token_length(const struct text *text, size_t first, size_t last)
{
    const size_t row = row_length(text, first, last);
    size_t i = first + 1;
    if (row > 0) {
        return row;
    }
    if (is_one_of(text->codes[first], "(\"`{[:;&#*@)}]-,")) {
        return 1;
    }
    while (!ends_word(text, i, last) &&
           !(at(text, i, last) == ',' && ends_word(text, i + 1, last))) {
        i++;
    }
    return i - first;
}

static void add_token(struct cut *cut, size_t first, size_t last)
{
    enum { FIRST = 16 };
    if (cut->token_count == cut->token_capacity) {
        const size_t capacity = cut->token_capacity == 0 ? FIRST : cut->token_capacity * 2;
        struct token *tokens = od_realloc(cut->tokens, capacity, sizeof *tokens);
        if (!tokens) {
            cut->status = od_fail(cut->err, OD_E_MEMORY, "no memory to cut a text");
            return;
        }
        cut->tokens = tokens;
        cut->token_capacity = capacity;
    }
    cut->tokens[cut->token_count++] = (struct token){.span = {first, last}};
}

// No token goes over the end of a line.
static void find_tokens(struct cut *cut, struct span context)
{
    size_t place = context.first;
    cut->token_count = 0;
    while (place < context.last && cut->status == OD_OK) {
        size_t end = place;
        while (end < context.last && cut->text.codes[end] != '\n') {
            end++;
        }
        while (place < end && cut->status == OD_OK) {
            if (od_is_space(cut->text.codes[place])) {
                place++;
                continue;
            }
            const size_t length = token_length(&cut->text, place, end);
            add_token(cut, place, place + length);
            place += length;
        }
        place = end + 1;
    }
}

// ---------------------------------------------------------------- what is known about a token

static struct od_slice bytes_of(const struct text *text, struct span span)
{
    const size_t first = text->offsets[span.first];
    return (struct od_slice){text->bytes + first, text->offsets[span.last] - first};
}

static bool has_period(const struct text *text, const struct token *token)
{
    return text->codes[token->span.last - 1] == '.';
}

// -?[.,]?\d[\d,.-]*
static bool is_number(const struct text *text, struct span span)
{
    size_t i = span.first;
    i += at(text, i, span.last) == '-';
    i += is_one_of(at(text, i, span.last), ".,");
    if (i >= span.last || !is_digit(text->codes[i])) {
        return false;
    }
    while (i < span.last && (is_digit(text->codes[i]) || is_one_of(text->codes[i], ",.-"))) {
        i++;
    }
    return i == span.last;
}

// Append the token as the tables have it: in lower case, numbers alike.
static void put_type(const struct cut *cut, const struct token *token, bool without_period,
                     struct od_buf *out)
{
    const struct od_slice bytes = bytes_of(&cut->text, token->span);
    const size_t before = out->size;
    if (is_number(&cut->text, token->span)) {
        od_buf_puts(out, "##number##");
        return;
    }
    od_python_lower(bytes.bytes, bytes.size, out);
    if (without_period && out->size > before + 1 && out->bytes[out->size - 1] == '.') {
        out->size--;
    }
}

static int by_text(const void *key, const void *entry)
{
    const struct od_slice *text = key;
    return od_slice_order(*text, ((const struct od_sentence_entry *)entry)->text);
}

static const struct od_sentence_entry *find(const struct cut *cut, enum od_sentence_table_kind kind,
                                            struct od_slice text)
{
    const struct od_sentence_entry *items = cut->tables->items[kind];
    return items ? bsearch(&text, items, cut->tables->counts[kind], sizeof *items, by_text) : NULL;
}

static struct od_slice slice_of_buf(const struct od_buf *buf)
{
    return (struct od_slice){od_buf_text(buf), buf->size};
}

// An abbreviation by itself or behind its last hyphen.
static bool is_abbreviation(struct cut *cut, const struct token *token)
{
    struct od_slice word = bytes_of(&cut->text, token->span);
    od_buf_reset(&cut->type);
    od_python_lower(word.bytes, word.size - 1, &cut->type);
    word = slice_of_buf(&cut->type);
    if (find(cut, OD_ABBREVIATIONS, word)) {
        return true;
    }
    const char *hyphen = word.size > 0 ? memrchr(word.bytes, '-', word.size) : NULL;
    if (!hyphen) {
        return false;
    }
    const size_t skip = (size_t)(hyphen - word.bytes) + 1;
    return find(cut, OD_ABBREVIATIONS, (struct od_slice){word.bytes + skip, word.size - skip}) !=
           NULL;
}

static bool is_all_periods(const struct text *text, struct span span)
{
    size_t i = span.first;
    while (i < span.last && text->codes[i] == '.') {
        i++;
    }
    return i == span.last;
}

// What a token says by itself.
static void note_alone(struct cut *cut, struct token *token)
{
    const struct text *text = &cut->text;
    const size_t length = token->span.last - token->span.first;
    if (length == 1 && is_end_mark(text->codes[token->span.first])) {
        token->ends = true;
    } else if (length > 1 && is_all_periods(text, token->span)) {
        token->ellipsis = true;
    } else if (has_period(text, token) && text->codes[token->span.last - 2] != '.') {
        token->abbreviation = is_abbreviation(cut, token);
        token->ends = !token->abbreviation;
    }
}

// A single letter and a period.
static bool is_initial(const struct text *text, const struct token *token)
{
    const uint32_t first = text->codes[token->span.first];
    return token->span.last - token->span.first == 2 && has_period(text, token) &&
           od_python_is_word(first) && !is_digit(first);
}

enum answer { NO, YES, UNKNOWN };

// Whether `token` begins a sentence, by its first letter and how the word of this `mask` was seen.
static enum answer begins_sentence(const struct text *text, const struct token *token, int64_t mask)
{
    const uint32_t first = text->codes[token->span.first];
    if (token->span.last - token->span.first == 1 && is_one_of(first, ";:,.!?")) {
        return NO;
    }
    if (od_python_is_upper(first) && (mask & ANY_SMALL) != 0 && (mask & CAPITAL_INSIDE) == 0) {
        return YES;
    }
    if (od_python_is_lower(first) && ((mask & ANY_CAPITAL) != 0 || (mask & SMALL_AT_START) == 0)) {
        return NO;
    }
    return UNKNOWN;
}

// What `next` says about the end of a sentence at `token`, which has a period at its end.
static void note_pair(struct cut *cut, struct token *token, const struct token *next)
{
    const struct text *text = &cut->text;
    const bool initial = is_initial(text, token);
    const bool capital = od_python_is_upper(text->codes[next->span.first]);

    od_buf_reset(&cut->type);
    put_type(cut, next, next->ends, &cut->type);
    od_buf_reset(&cut->key);
    put_type(cut, token, true, &cut->key);
    const bool number = strcmp(od_buf_text(&cut->key), "##number##") == 0;
    od_buf_putc(&cut->key, '\t');
    od_buf_append(&cut->key, cut->type.bytes, cut->type.size);
    if (find(cut, OD_COLLOCATIONS, slice_of_buf(&cut->key))) {
        token->ends = false;
        return;
    }
    const struct od_slice next_type = slice_of_buf(&cut->type);
    const struct od_sentence_entry *seen = find(cut, OD_ORTHOGRAPHY, next_type);
    const int64_t mask = seen ? seen->mask : 0;
    const enum answer begins = begins_sentence(text, next, mask);
    if ((token->abbreviation || token->ellipsis) && !initial &&
        (begins == YES || (capital && find(cut, OD_SENTENCE_STARTERS, next_type)))) {
        token->ends = true;
        return;
    }
    const bool name = begins == UNKNOWN && initial && capital && (mask & ANY_SMALL) == 0;
    if ((initial || number) && (begins == NO || name)) {
        token->ends = false;
    }
}

// Whether a token of the context ends a sentence and another follows.
static bool has_end(struct cut *cut, struct span context)
{
    find_tokens(cut, context);
    for (size_t i = 0; i < cut->token_count; i++) {
        note_alone(cut, &cut->tokens[i]);
    }
    for (size_t i = 0; i + 1 < cut->token_count; i++) {
        if (has_period(&cut->text, &cut->tokens[i])) {
            note_pair(cut, &cut->tokens[i], &cut->tokens[i + 1]);
        }
        if (cut->tokens[i].ends) {
            return true;
        }
    }
    return false;
}

// ---------------------------------------------------------------- sentences

static void put_text(struct cut *cut, size_t first, size_t last)
{
    if (first < last && cut->status == OD_OK) {
        const struct od_slice bytes = bytes_of(&cut->text, (struct span){first, last});
        cut->status = od_tokens_add(cut->out, bytes.bytes, bytes.size, cut->err);
    }
}

// The closing marks at the start of a sentence that belong to the one before, the fewest that white
// space, "--" or the end follows; `ret_taken` counts them with that white space.
static size_t closing_marks(const struct text *text, struct span span, size_t *ret_taken)
{
    size_t i = span.first;
    while (i < span.last && is_one_of(text->codes[i], "\"')]}")) {
        i++;
        size_t end = i;
        while (end < span.last && od_is_space(text->codes[end])) {
            end++;
        }
        const bool dashes = at(text, i, span.last) == '-' && at(text, i + 1, span.last) == '-';
        if (end > i || dashes || i == span.last) {
            *ret_taken = end - span.first;
            return i - span.first;
        }
    }
    return 0;
}

// A sentence is held until it is known whether the next one begins with its closing marks.
static void put_sentence(struct cut *cut, struct span span)
{
    if (cut->is_held) {
        size_t taken = 0;
        const size_t marks = closing_marks(&cut->text, span, &taken);
        put_text(cut, cut->held.first + cut->taken,
                 marks > 0 ? span.first + marks : cut->held.last);
        cut->taken = taken;
    }
    cut->held = span;
    cut->is_held = true;
}

// A place where a sentence may end: at the mark, with the word before it and what is behind it.
struct candidate {
    struct span word;  // ends at the mark
    size_t context_end;
    size_t next;  // where the next sentence would begin
};

// False when nothing that could begin a sentence is behind the mark.
static bool look_behind(const struct text *text, size_t mark, struct candidate *out)
{
    size_t i = mark + 1;
    if (i < text->count && is_outside(text->codes[i])) {
        out->context_end = i + 1;
        out->next = i;
        return true;
    }
    while (i < text->count && od_is_space(text->codes[i])) {
        i++;
    }
    if (i == text->count || i == mark + 1) {
        return false;
    }
    out->next = i;
    while (i < text->count && !od_is_space(text->codes[i])) {
        i++;
    }
    out->context_end = i;
    return true;
}

// The word before `mark`, from the last white space behind the word `before` on. As in NLTK a white
// space that is the first character there counts as none.
static struct span word_before(const struct text *text, struct span before, size_t mark)
{
    for (size_t i = mark; i > before.last + 1; i--) {
        if (is_one_of(text->codes[i - 1], " \t\n\r\v\f")) {
            return (struct span){i, mark};
        }
    }
    return (struct span){before.first, mark};
}

static void settle(struct cut *cut, const struct candidate *candidate, size_t *start)
{
    if (has_end(cut, (struct span){candidate->word.first, candidate->context_end})) {
        put_sentence(cut, (struct span){*start, candidate->word.last + 1});
        *start = candidate->next;
    }
}

static void find_sentences(struct cut *cut)
{
    const struct text *text = &cut->text;
    struct candidate before = {0};
    bool any = false;
    size_t start = 0;
    size_t end = text->count;
    for (size_t i = 0; i < text->count && cut->status == OD_OK; i++) {
        struct candidate one = {0};
        if (!is_end_mark(text->codes[i]) || !look_behind(text, i, &one)) {
            continue;
        }
        one.word = word_before(text, before.word, i);
        if (any && before.word.last <= one.word.first) {
            settle(cut, &before, &start);
        }
        before = one;
        any = true;
    }
    if (any) {
        settle(cut, &before, &start);
    }
    while (end > 0 && od_is_space(text->codes[end - 1])) {
        end--;
    }
    put_sentence(cut, (struct span){start, end > start ? end : start});
    put_text(cut, cut->held.first + cut->taken, cut->held.last);
}

static void read_codes(struct text *text, size_t size)
{
    size_t place = 0;
    while (place < size) {
        text->offsets[text->count] = place;
        place += od_python_next(text->bytes + place, size - place, &text->codes[text->count++]);
    }
    text->offsets[text->count] = size;
}

enum od_status od_sentences_cut(const struct od_sentence_tables *tables, const char *text,
                                size_t size, struct od_tokens *out, struct od_error *err)
{
    struct cut cut = {.tables = tables, .out = out, .err = err, .text = {.bytes = text}};
    if (size > TEXT_MAX_BYTES) {
        return od_fail(err, OD_E_LIMIT, "a text of %zu bytes is longer than %d", size,
                       TEXT_MAX_BYTES);
    }
    od_buf_init(&cut.type, size * 4 + 64);
    od_buf_init(&cut.key, size * 8 + 128);
    cut.text.codes = od_alloc(size + 1, sizeof *cut.text.codes);
    cut.text.offsets = od_alloc(size + 1, sizeof *cut.text.offsets);
    if (!cut.text.codes || !cut.text.offsets) {
        cut.status = od_fail(err, OD_E_MEMORY, "no memory to cut a text");
        goto done;
    }
    read_codes(&cut.text, size);
    find_sentences(&cut);
    if (cut.status == OD_OK && (cut.type.failed || cut.key.failed)) {
        cut.status = od_fail(err, OD_E_MEMORY, "no memory to cut a text");
    }

done:
    od_free(cut.tokens);
    od_free(cut.text.offsets);
    od_free(cut.text.codes);
    od_buf_release(&cut.key);
    od_buf_release(&cut.type);
    return cut.status;
}
