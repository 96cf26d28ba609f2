#include "text/regex.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"

// pcre2.h wants to know the size of a character.
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum { STACK_FIRST_BYTES = 64 * 1024, STACK_MAX_BYTES = 64 * 1024 * 1024, MESSAGE_BYTES = 256 };

struct od_regex {
    pcre2_code *code;
};

static void *regex_malloc(size_t size, void *unused)
{
    (void)unused;
    return od_alloc(size, 1);
}

static void regex_free(void *memory, void *unused)
{
    (void)unused;
    od_free(memory);
}

static const char white_space[] =
    "\\t-\\r \\x{85}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}\\x{202F}\\x{205F}\\x{3000}";
static const char word[] =
    "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{B2}\\x{B3}\\x{B9}\\x{BC}-\\x{BE}"
    "\\x{24B6}-\\x{24E9}\\x{1F130}-\\x{1F149}\\x{1F150}-\\x{1F169}\\x{1F170}-\\x{1F189}";

// Append what stands for the escape \c; false when it stays as it is.
static bool put_escape(struct od_buf *out, char c, bool in_class)
{
    const char *set = c == 'w' || c == 'W' ? word : white_space;
    const bool negated = c == 'S' || c == 'W';
    if ((c != 's' && c != 'w' && !negated) || (negated && in_class)) {
        return false;  // [\S...] cannot be written as a list: PCRE2's own set is used
    }
    if (!in_class) {
        od_buf_puts(out, negated ? "[^" : "[");
    }
    od_buf_puts(out, set);
    if (!in_class) {
        od_buf_puts(out, "]");
    }
    return true;
}

// Oniguruma's escapes to PCRE2's.
static void translate(const char *pattern, size_t size, struct od_buf *out)
{
    bool in_class = false;
    for (size_t i = 0; i < size; i++) {
        const char c = pattern[i];
        if (c == '\\' && i + 1 < size) {
            i++;
            if (!put_escape(out, pattern[i], in_class)) {
                od_buf_append(out, pattern + i - 1, 2);
            }
            continue;
        }
        if (c == '[' && !in_class) {
            in_class = true;
            od_buf_putc(out, c);
            if (i + 1 < size && pattern[i + 1] == '^') {
                od_buf_putc(out, pattern[++i]);
            }
            if (i + 1 < size && pattern[i + 1] == ']') {
                od_buf_putc(out, pattern[++i]);
            }
            continue;
        }
        if (c == '[' && i + 1 < size && pattern[i + 1] == ':') {
            const char *end = memmem(pattern + i, size - i, ":]", 2);
            if (end) {
                const size_t length = (size_t)(end - (pattern + i)) + 2;
                od_buf_append(out, pattern + i, length);
                i += length - 1;
                continue;
            }
        }
        if (c == ']') {
            in_class = false;
        }
        od_buf_putc(out, c);
    }
}

enum od_status od_regex_compile(const char *pattern, size_t size, struct od_regex **ret,
                                struct od_error *err)
{
    enum od_status status = OD_OK;
    struct od_regex *regex = NULL;
    pcre2_general_context *general = NULL;
    pcre2_compile_context *context = NULL;
    struct od_buf translated;
    int code = 0;
    PCRE2_SIZE at = 0;
    od_buf_init(&translated, (size_t)OD_REGEX_MAX_BYTES * 128);
    if (size > OD_REGEX_MAX_BYTES) {
        status = od_fail(err, OD_E_LIMIT, "a pattern of %zu bytes is longer than %d", size,
                         (int)OD_REGEX_MAX_BYTES);
        goto done;
    }
    translate(pattern, size, &translated);
    status = od_buf_check(&translated, err);
    if (status != OD_OK) {
        goto done;
    }
    regex = od_alloc(1, sizeof(*regex));
    general = pcre2_general_context_create(regex_malloc, regex_free, NULL);
    context = general ? pcre2_compile_context_create(general) : NULL;
    if (!regex || !context || pcre2_set_newline(context, PCRE2_NEWLINE_LF) != 0) {
        status = od_fail(err, OD_E_MEMORY, "no memory for a pattern");
        goto done;
    }
    regex->code = pcre2_compile((PCRE2_SPTR)od_buf_text(&translated), translated.size,
                                PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C,
                                &code, &at, context);
    if (!regex->code) {
        PCRE2_UCHAR message[MESSAGE_BYTES] = {0};
        (void)pcre2_get_error_message(code, message, sizeof(message));
        status = code == PCRE2_ERROR_HEAP_FAILED
                     ? od_fail(err, OD_E_MEMORY, "no memory for a pattern")
                     : od_fail(err, OD_E_FORMAT, "pattern '%.200s': %s", od_buf_text(&translated),
                               (const char *)message);
        goto done;
    }
    // Without JIT the same matches come from the interpreter.
    (void)pcre2_jit_compile(regex->code, PCRE2_JIT_COMPLETE);
    *ret = regex;
    regex = NULL;

done:
    od_regex_free(regex);
    pcre2_compile_context_free(context);
    pcre2_general_context_free(general);
    od_buf_release(&translated);
    return status;
}

void od_regex_free(struct od_regex *regex)
{
    if (regex) {
        pcre2_code_free(regex->code);
        od_free(regex);
    }
}

void od_match_release(struct od_match *match)
{
    pcre2_match_data_free(match->data);
    pcre2_match_context_free(match->context);
    pcre2_jit_stack_free(match->stack);
    *match = (struct od_match){0};
}

static enum od_status prepare(struct od_match *match, struct od_error *err)
{
    if (match->data) {
        return OD_OK;
    }
    // One pair of offsets: only the whole match is asked for.
    pcre2_general_context *general = pcre2_general_context_create(regex_malloc, regex_free, NULL);
    match->data = general ? pcre2_match_data_create(1, general) : NULL;
    match->context = general ? pcre2_match_context_create(general) : NULL;
    pcre2_general_context_free(general);
    if (!match->data || !match->context) {
        od_match_release(match);
        return od_fail(err, OD_E_MEMORY, "no memory for matching a pattern");
    }
    return OD_OK;
}

enum od_status od_regex_find(const struct od_regex *regex, struct od_match *match, const char *text,
                             size_t size, size_t from, bool *ret_found, struct od_error *err)
{
    const enum od_status status = prepare(match, err);
    if (status != OD_OK) {
        return status;
    }
    int count = pcre2_match(regex->code, (PCRE2_SPTR)text, size, from, PCRE2_NO_UTF_CHECK,
                            match->data, match->context);
    if (count == PCRE2_ERROR_JIT_STACKLIMIT && !match->stack) {
        match->stack = pcre2_jit_stack_create(STACK_FIRST_BYTES, STACK_MAX_BYTES, NULL);
        if (!match->stack) {
            return od_fail(err, OD_E_MEMORY, "no memory for matching a pattern");
        }
        pcre2_jit_stack_assign(match->context, NULL, match->stack);
        count = pcre2_match(regex->code, (PCRE2_SPTR)text, size, from, PCRE2_NO_UTF_CHECK,
                            match->data, match->context);
    }
    if (count == PCRE2_ERROR_NOMATCH) {
        *ret_found = false;
        return OD_OK;
    }
    if (count == PCRE2_ERROR_NOMEMORY) {
        return od_fail(err, OD_E_MEMORY, "no memory for matching a pattern");
    }
    if (count < 0) {
        return od_fail(err, OD_E_LIMIT, "a pattern gives up at byte %zu of the text (error %d)",
                       from, count);
    }
    const PCRE2_SIZE *offsets = pcre2_get_ovector_pointer(match->data);
    // \K may put the start behind the end; such a match is read as empty.
    match->end = offsets[1];
    match->start = offsets[0] > offsets[1] ? offsets[1] : offsets[0];
    *ret_found = true;
    return OD_OK;
}
