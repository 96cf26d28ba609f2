#include "eval/metrics/words.h"

#include <stddef.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "eval/metrics/sentences.h"
#include "eval/metrics/slice.h"
#include "eval/metrics/tokens.h"

// pcre2.h wants to know the size of a character.
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

// Python's classes, which PCRE2's own differ from by a few characters.
#define SPACE                                                                    \
    "[\\x09-\\x0d\\x1c-\\x20\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}" \
    "\\x{2029}\\x{202f}\\x{205f}\\x{3000}]"
#define WORD      "[\\p{L}\\p{N}_]"
#define WORD_EDGE "(?<!" WORD ")"
#define WORD_STOP "(?!" WORD ")"
#define SMALL_I   "[i\\x{130}\\x{131}]"  // what Python takes for an i when the case does not count

struct replacement {
    const char *pattern;
    const char *with;  // in PCRE2's syntax
};

// In the order in which they are made. Behind PADDED a blank stands on both sides of the text.
enum { PADDED = 16 };
static const struct replacement replacements[] = {
    // quotes that open
    {"([\\x{ab}\\x{201c}\\x{2018}\\x{201e}]|`+)", " $1 "},
    {"^\"", "``"},
    {"``", " `` "},
    {"([ (\\[{<])(?:\"|'')", "$1 `` "},
    {"(?i)'(?!re|ve|ll|m|t|s|d|n)(" WORD ")" WORD_STOP, "' $1"},
    // punctuation
    {"([^.])(\\.)([\\])}>\"'\\x{bb}\\x{201d}\\x{2019} ]*+)" SPACE "*+$", "$1 $2 $3 "},
    {"([:,])(\\P{Nd})", " $1 $2"},
    {"([:,])$", " $1 "},
    {"\\.{2,}", " $0 "},
    {"[;@#$%&]", " $0 "},
    {"([^.])(\\.)([\\])}>\"']*+)" SPACE "*+$", "$1 $2$3 "},
    {"[?!]", " $0 "},
    {"([^'])' ", "$1 ' "},
    {"\\*", " $0 "},
    // brackets and dashes
    {"[\\][(){}<>]", " $0 "},
    {"--", " -- "},
    // quotes that close, and clitics
    {"[\\x{bb}\\x{201d}\\x{2019}]", " $0 "},
    {"''", " '' "},
    {"\"", " '' "},
    {"([^' ])('[sS]|'[mM]|'[dD]|') ", "$1 $2 "},
    {"([^' ])('ll|'LL|'re|'RE|'ve|'VE|n't|N'T) ", "$1 $2 "},
    // words that are two
    {"(?i)" WORD_EDGE "(can)(not)" WORD_STOP, " $1 $2 "},
    {"(?i)" WORD_EDGE "(d)('ye)" WORD_STOP, " $1 $2 "},
    {"(?i)" WORD_EDGE "(g" SMALL_I "m)(me)" WORD_STOP, " $1 $2 "},
    {"(?i)" WORD_EDGE "(gon)(na)" WORD_STOP, " $1 $2 "},
    {"(?i)" WORD_EDGE "(got)(ta)" WORD_STOP, " $1 $2 "},
    {"(?i)" WORD_EDGE "(lem)(me)" WORD_STOP, " $1 $2 "},
    {"(?i)" WORD_EDGE "(more)('n)" WORD_STOP, " $1 $2 "},
    {"(?i)" WORD_EDGE "(wan)(na)(?=" SPACE ")", " $1 $2 "},
    {"(?i) ('t)(" SMALL_I "s)" WORD_STOP, " $1 $2 "},
    {"(?i) ('t)(was)" WORD_STOP, " $1 $2 "},
};
enum { REPLACEMENTS = sizeof replacements / sizeof *replacements, GROUPS_MAX = 4 };

struct od_word_cutter {
    struct od_sentence_tables tables;
    pcre2_general_context *general;
    pcre2_code *codes[REPLACEMENTS];
};

static void *pattern_malloc(size_t size, void *unused)
{
    (void)unused;
    return od_alloc(size, 1);
}

static void pattern_free(void *memory, void *unused)
{
    (void)unused;
    od_free(memory);
}

static enum od_status no_memory(struct od_error *err)
{
    return od_fail(err, OD_E_MEMORY, "no memory to cut a text into words");
}

static enum od_status compile(struct od_word_cutter *cutter, struct od_error *err)
{
    enum od_status status = OD_OK;
    cutter->general = pcre2_general_context_create(pattern_malloc, pattern_free, NULL);
    pcre2_compile_context *context =
        cutter->general ? pcre2_compile_context_create(cutter->general) : NULL;
    if (!context || pcre2_set_newline(context, PCRE2_NEWLINE_LF) != 0) {
        status = no_memory(err);
    }
    for (size_t i = 0; i < REPLACEMENTS && status == OD_OK; i++) {
        int code = 0;
        PCRE2_SIZE at = 0;
        cutter->codes[i] = pcre2_compile((PCRE2_SPTR)replacements[i].pattern, PCRE2_ZERO_TERMINATED,
                                         PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C, &code, &at, context);
        if (!cutter->codes[i]) {
            status = no_memory(err);  // the patterns themselves are sound
        } else {
            // Without JIT the same matches come from the interpreter.
            (void)pcre2_jit_compile(cutter->codes[i], PCRE2_JIT_COMPLETE);
        }
    }
    pcre2_compile_context_free(context);
    return status;
}

enum od_status od_word_cutter_open(const char *folder, struct od_word_cutter **ret,
                                   struct od_error *err)
{
    struct od_word_cutter *cutter = od_alloc(1, sizeof *cutter);
    if (!cutter) {
        return no_memory(err);
    }
    od_sentence_tables_init(&cutter->tables);
    enum od_status status = folder ? od_sentence_tables_read(&cutter->tables, folder, err) : OD_OK;
    if (status == OD_OK) {
        status = compile(cutter, err);
    }
    if (status != OD_OK) {
        od_word_cutter_close(cutter);
        return status;
    }
    *ret = cutter;
    return OD_OK;
}

void od_word_cutter_close(struct od_word_cutter *cutter)
{
    if (!cutter) {
        return;
    }
    for (size_t i = 0; i < REPLACEMENTS; i++) {
        pcre2_code_free(cutter->codes[i]);
    }
    pcre2_general_context_free(cutter->general);
    od_sentence_tables_release(&cutter->tables);
    od_free(cutter);
}

// A text under way through the replacements.
struct side {
    char *bytes;
    size_t size;
    size_t capacity;
};
struct work {
    pcre2_match_data *match;
    struct side text;
    struct side next;
};

static enum od_status make_room(struct side *side, size_t size, struct od_error *err)
{
    if (!side->bytes || side->capacity < size) {
        char *bytes = od_realloc(side->bytes, size, 1);
        if (!bytes) {
            return no_memory(err);
        }
        side->bytes = bytes;
        side->capacity = size;
    }
    return OD_OK;
}

// A replacement makes four bytes of one at most.
static enum od_status apply(const struct od_word_cutter *cutter, size_t which, struct work *work,
                            struct od_error *err)
{
    enum { GROWTH = 4, ROOM = 64 };
    const enum od_status status = make_room(&work->next, work->text.size * GROWTH + ROOM, err);
    if (status != OD_OK) {
        return status;
    }
    PCRE2_SIZE size = work->next.capacity;
    const int count =
        pcre2_substitute(cutter->codes[which], (PCRE2_SPTR)work->text.bytes, work->text.size, 0,
                         PCRE2_SUBSTITUTE_GLOBAL | PCRE2_NO_UTF_CHECK, work->match, NULL,
                         (PCRE2_SPTR)replacements[which].with, PCRE2_ZERO_TERMINATED,
                         (PCRE2_UCHAR *)work->next.bytes, &size);
    if (count == PCRE2_ERROR_NOMEMORY) {
        return no_memory(err);
    }
    if (count < 0) {
        return od_fail(err, OD_E_LIMIT, "a text of %zu bytes cannot be cut into words (error %d)",
                       work->text.size, count);
    }
    if (count > 0) {
        const struct side before = work->text;
        work->text = work->next;
        work->text.size = size;
        work->next = before;
    }
    return OD_OK;
}

static enum od_status pad(struct side *text, struct od_error *err)
{
    const enum od_status status = make_room(text, text->size + 2, err);
    if (status == OD_OK) {
        memmove(text->bytes + 1, text->bytes, text->size);
        text->bytes[0] = ' ';
        text->bytes[text->size + 1] = ' ';
        text->size += 2;
    }
    return status;
}

static enum od_status cut_sentence(const struct od_word_cutter *cutter, struct od_slice sentence,
                                   struct work *work, struct od_tokens *out, struct od_error *err)
{
    enum od_status status = make_room(&work->text, sentence.size, err);
    if (status == OD_OK) {
        memcpy(work->text.bytes, sentence.bytes, sentence.size);
        work->text.size = sentence.size;
    }
    for (size_t i = 0; i < REPLACEMENTS && status == OD_OK; i++) {
        if (i == PADDED) {
            status = pad(&work->text, err);
        }
        if (status == OD_OK) {
            status = apply(cutter, i, work, err);
        }
    }
    return status == OD_OK ? od_tokens_split(out, work->text.bytes, work->text.size, err) : status;
}

enum od_status od_words_cut(const struct od_word_cutter *cutter, const char *text, size_t size,
                            struct od_tokens *out, struct od_error *err)
{
    struct od_buf valid;
    struct od_tokens sentences;
    struct work work = {0};

    od_buf_init(&valid, size * 3 + 16);
    od_tokens_init(&sentences);
    od_utf8_append_valid(&valid, text, size);
    enum od_status status = od_buf_check(&valid, err);
    work.match = pcre2_match_data_create(GROUPS_MAX, cutter->general);
    if (status == OD_OK && !work.match) {
        status = no_memory(err);
    }
    if (status == OD_OK) {
        status =
            od_sentences_cut(&cutter->tables, od_buf_text(&valid), valid.size, &sentences, err);
    }
    for (size_t i = 0; i < sentences.count && status == OD_OK; i++) {
        status = cut_sentence(cutter, sentences.items[i], &work, out, err);
    }
    pcre2_match_data_free(work.match);
    od_free(work.text.bytes);
    od_free(work.next.bytes);
    od_tokens_release(&sentences);
    od_buf_release(&valid);
    return status;
}
