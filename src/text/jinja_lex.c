// A template is text with tags:
//
//   template := (text | "{{" code "}}" | "{%" code "%}" | "{#" comment "#}")*
//
// A sign behind the opening or in front of the closing takes white space off ("-") or leaves it
// ("+"). Without a sign, of a statement or comment (not of an output)
//
//   lstrip_blocks  blanks in front go when nothing else stands in front of them on their line;
//   trim_blocks    one newline behind goes.
//
// Newlines are \n after \r\n and \r have become it; one newline at the end of the template goes.
// Between "{% raw %}" and "{% endraw %}" there are no tags.
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "text/jinja_internal.h"

enum { NUMBER_MAX_BYTES = 64, FIRST_CAPACITY = 256 };

struct lexer {
    const char *name;
    struct od_arena *arena;
    struct od_error *err;
    char *text;  // [size], with a NUL behind it
    size_t size;
    size_t at;
    int line;
    bool line_starting;  // what stood in front of `at` ended a line
    struct od_jinja_token *tokens;
    size_t count;
    size_t capacity;
};

static enum od_status fail(const struct lexer *x, const char *what)
{
    return od_fail(x->err, OD_E_FORMAT, "%s:%d: %s", x->name, x->line, what);
}

static enum od_status push(struct lexer *x, struct od_jinja_token token)
{
    if (x->count == x->capacity) {
        const size_t capacity = x->capacity == 0 ? FIRST_CAPACITY : 2 * x->capacity;
        struct od_jinja_token *more = od_arena_alloc(x->arena, capacity, sizeof *more);
        if (!more) {
            return od_fail(x->err, OD_E_LIMIT, "%s: the template is too large", x->name);
        }
        if (x->count > 0) {
            memcpy(more, x->tokens, x->count * sizeof *more);
        }
        x->tokens = more;
        x->capacity = capacity;
    }
    x->tokens[x->count++] = token;
    return OD_OK;
}

static enum od_status push_simple(struct lexer *x, enum od_jinja_token_kind kind)
{
    return push(x, (struct od_jinja_token){.kind = kind, .line = x->line, .text = ""});
}

static void advance(struct lexer *x, size_t to)
{
    for (; x->at < to; x->at++) {
        x->line += x->text[x->at] == '\n';
    }
}

// Go behind white space.
static void skip_space(struct lexer *x)
{
    uint32_t code = 0;
    for (;;) {
        const int size =
            x->at < x->size ? od_utf8_decode(x->text + x->at, x->size - x->at, &code) : 0;
        if (size == 0 || !od_is_space(code)) {
            return;
        }
        advance(x, x->at + (size_t)size);
    }
}

static bool all_space(const char *text, size_t size)
{
    return od_rstrip_size(text, size) == 0;
}

// Push the text up to a tag that opens at `end` with `sign` behind its opening.
static enum od_status push_text(struct lexer *x, size_t end, char sign, bool output)
{
    const char *text = x->text + x->at;
    size_t size = end - x->at;
    if (sign == '-') {
        size = od_rstrip_size(text, size);
    } else if (sign != '+' && !output) {
        size_t line_at = size;
        while (line_at > 0 && text[line_at - 1] != '\n') {
            line_at--;
        }
        if ((line_at > 0 || x->line_starting) && all_space(text + line_at, size - line_at)) {
            size = line_at;
        }
    }
    const struct od_jinja_token token = {
        .kind = OD_JINJA_TOKEN_TEXT, .line = x->line, .text = text, .size = size};
    advance(x, end);
    return size > 0 ? push(x, token) : OD_OK;
}

// Behind a closing tag: what its sign or trim_blocks takes off.
static void after_tag(struct lexer *x, char sign, bool output)
{
    const size_t before = x->at;
    if (sign == '-') {
        skip_space(x);
    } else if (sign != '+' && !output && x->at < x->size && x->text[x->at] == '\n') {
        advance(x, x->at + 1);
    }
    x->line_starting = x->at > before && x->text[x->at - 1] == '\n';
}

static bool starts(const struct lexer *x, size_t at, const char *with)
{
    const size_t size = strlen(with);
    return x->size - at >= size && memcmp(x->text + at, with, size) == 0;
}

// "{% raw %}" here? Give its end and the sign in front of it.
static bool is_word_tag(const struct lexer *x, size_t at, const char *word, size_t *ret_end,
                        char *ret_first, char *ret_last)
{
    if (!starts(x, at, "{%")) {
        return false;
    }
    at += 2;
    *ret_first =
        (char)(at < x->size && (x->text[at] == '-' || x->text[at] == '+') ? x->text[at] : '\0');
    at += *ret_first != '\0';
    while (at < x->size && strchr(" \t\n", x->text[at])) {
        at++;
    }
    if (!starts(x, at, word)) {
        return false;
    }
    at += strlen(word);
    while (at < x->size && strchr(" \t\n", x->text[at])) {
        at++;
    }
    *ret_last =
        (char)(at < x->size && (x->text[at] == '-' || x->text[at] == '+') ? x->text[at] : '\0');
    at += *ret_last != '\0';
    *ret_end = at + 2;
    return at < x->size && starts(x, at, "%}");
}

static enum od_status lex_raw(struct lexer *x, size_t start, char sign)
{
    size_t end = 0;
    char first = '\0';
    char last = '\0';
    advance(x, start);
    after_tag(x, sign == '-' ? '-' : '+', false);  // trim_blocks leaves the newline here
    for (size_t at = x->at; at < x->size; at++) {
        if (is_word_tag(x, at, "endraw", &end, &first, &last)) {
            const enum od_status status = push_text(x, at, first, false);
            advance(x, end);
            after_tag(x, last, false);
            return status;
        }
    }
    return fail(x, "'{% raw %}' has no '{% endraw %}'");
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

// Append the character of \xNN, \uNNNN or \UNNNNNNNN at `at` (of the letter); false when it is none.
static bool put_code(const char *text, size_t size, size_t *at, char *out, size_t *used)
{
    const size_t digits = text[*at] == 'x' ? 2 : text[*at] == 'u' ? 4 : 8;
    uint32_t code = 0;
    char bytes[4];
    for (size_t i = 1; i <= digits; i++) {
        const int value = *at + i < size ? hex_value(text[*at + i]) : -1;
        if (value < 0) {
            return false;
        }
        code = code * 16 + (uint32_t)value;
    }
    const int length = code >= 0xD800 && code <= 0xDFFF ? 0 : od_utf8_encode(code, bytes);
    memcpy(out + *used, bytes, (size_t)length);
    *used += (size_t)length;
    *at += digits;
    return length > 0;
}

// A text between quotes, with Python's escapes; an unknown one stays as it is.
static enum od_status lex_string(struct lexer *x)
{
    static const char letters[] = "abfnrtv\\'\"";
    static const char meant[] = "\a\b\f\n\r\t\v\\'\"";
    const char quote = x->text[x->at];
    const int line = x->line;
    size_t end = x->at + 1;
    while (end < x->size && x->text[end] != quote) {
        end += x->text[end] == '\\' ? 2 : 1;
    }
    if (end >= x->size) {
        return fail(x, "a text in quotes does not end");
    }
    const char *text = x->text + x->at + 1;
    const size_t size = end - x->at - 1;
    char *out = od_arena_alloc(x->arena, size + 1, 1);
    size_t used = 0;
    if (!out) {
        return od_fail(x->err, OD_E_LIMIT, "%s: the template is too large", x->name);
    }
    for (size_t i = 0; i < size; i++) {
        const char *letter = NULL;
        if (text[i] != '\\' || i + 1 == size) {
            out[used++] = text[i];
            continue;
        }
        i++;
        if (text[i] == '\n') {
            continue;
        }
        if (text[i] >= '0' && text[i] <= '7') {
            return fail(x, "octal escapes are not supported");
        }
        if (strchr("xuU", text[i])) {
            if (!put_code(text, size, &i, out, &used)) {
                return fail(x, "a broken escape in a text");
            }
        } else if ((letter = strchr(letters, text[i])) != NULL) {
            out[used++] = meant[letter - letters];
        } else {
            out[used++] = '\\';
            out[used++] = text[i];
        }
    }
    advance(x, end + 1);
    return push(x, (struct od_jinja_token){
                       .kind = OD_JINJA_TOKEN_STRING, .line = line, .text = out, .size = used});
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || is_digit(c) ||
           (unsigned char)c >= 0x80;
}

static enum od_status lex_number(struct lexer *x)
{
    char digits[NUMBER_MAX_BYTES];
    size_t used = 0;
    size_t at = x->at;
    bool is_float = false;
    struct od_jinja_token token = {.line = x->line, .text = ""};
    while (at < x->size && used + 1 < sizeof digits) {
        const char c = x->text[at];
        const bool point = c == '.' && !is_float && at + 1 < x->size && is_digit(x->text[at + 1]);
        const bool exponent =
            (c == 'e' || c == 'E') && at + 1 < x->size &&
            (is_digit(x->text[at + 1]) ||
             (strchr("+-", x->text[at + 1]) && at + 2 < x->size && is_digit(x->text[at + 2])));
        if (!is_digit(c) && c != '_' && !point && !exponent) {
            break;
        }
        if (c != '_') {
            digits[used++] = c;
        }
        at++;
        if (exponent && used + 1 < sizeof digits) {
            digits[used++] = x->text[at++];
        }
        is_float = is_float || point || exponent;
    }
    digits[used] = '\0';
    if (is_float ? !od_parse_double(digits, &token.number) || !isfinite(token.number)
                 : !od_parse_int(digits, &token.integer)) {
        return fail(x, "a number is too large");
    }
    token.kind = is_float ? OD_JINJA_TOKEN_FLOAT : OD_JINJA_TOKEN_INT;
    advance(x, at);
    return push(x, token);
}

static enum od_status lex_name(struct lexer *x)
{
    size_t end = x->at;
    while (end < x->size && is_name_char(x->text[end])) {
        end++;
    }
    const size_t size = end - x->at;
    const char *text = od_arena_memdup(x->arena, x->text + x->at, size);
    if (!text) {
        return od_fail(x->err, OD_E_LIMIT, "%s: the template is too large", x->name);
    }
    x->at = end;
    return push(x, (struct od_jinja_token){
                       .kind = OD_JINJA_TOKEN_NAME, .line = x->line, .text = text, .size = size});
}

static enum od_status lex_operator(struct lexer *x)
{
    static const char *const operators[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                            "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                            ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};
    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++) {
        if (starts(x, x->at, operators[i])) {
            const size_t size = strlen(operators[i]);
            x->at += size;
            return push(x, (struct od_jinja_token){.kind = OD_JINJA_TOKEN_OPERATOR,
                                                   .line = x->line,
                                                   .text = operators[i],
                                                   .size = size});
        }
    }
    return od_fail(x->err, OD_E_FORMAT, "%s:%d: '%c' is not expected inside of a tag", x->name,
                   x->line, x->text[x->at]);
}

// The code of a tag up to its closing, which is `close`.
static enum od_status lex_code(struct lexer *x, const char *close, bool output)
{
    int depth = 0;
    for (;;) {
        skip_space(x);
        if (x->at >= x->size) {
            return fail(x, "a tag does not end");
        }
        const char c = x->text[x->at];
        const char sign = (char)(c == '-' || (c == '+' && !output) ? c : '\0');
        if (depth == 0 && starts(x, x->at + (sign != '\0'), close)) {
            const enum od_status status = push_simple(x, OD_JINJA_TOKEN_CLOSE);
            x->at += 2 + (size_t)(sign != '\0');
            after_tag(x, sign, output);
            return status;
        }
        depth += (strchr("([{", c) != NULL) - (depth > 0 && strchr(")]}", c) != NULL);
        const enum od_status status = c == '"' || c == '\'' ? lex_string(x)
                                      : is_digit(c)         ? lex_number(x)
                                      : is_name_char(c)     ? lex_name(x)
                                                            : lex_operator(x);
        if (status != OD_OK) {
            return status;
        }
    }
}

static enum od_status lex_comment(struct lexer *x)
{
    const char *end = strstr(x->text + x->at, "#}");
    if (!end) {
        return fail(x, "a comment does not end");
    }
    const size_t at = (size_t)(end - x->text);
    const char sign = (char)(strchr("-+", x->text[at - 1]) && at > x->at ? x->text[at - 1] : '\0');
    advance(x, at + 2);
    after_tag(x, sign, false);
    return OD_OK;
}

static enum od_status lex_tag(struct lexer *x)
{
    size_t end = 0;
    char first = '\0';
    char last = '\0';
    if (is_word_tag(x, x->at, "raw", &end, &first, &last)) {
        return lex_raw(x, end, last);
    }
    const char kind = x->text[x->at + 1];
    x->at += 2;
    x->at += x->at < x->size && (x->text[x->at] == '-' || x->text[x->at] == '+');
    if (kind == '#') {
        return lex_comment(x);
    }
    const bool output = kind == '{';
    const enum od_status status =
        push_simple(x, output ? OD_JINJA_TOKEN_OUTPUT : OD_JINJA_TOKEN_STATEMENT);
    return status == OD_OK ? lex_code(x, output ? "}}" : "%}", output) : status;
}

static enum od_status lex_all(struct lexer *x)
{
    enum od_status status = OD_OK;
    while (status == OD_OK && x->at < x->size) {
        size_t end = x->at;
        while (end < x->size &&
               !(x->text[end] == '{' && end + 1 < x->size && strchr("{%#", x->text[end + 1]))) {
            end++;
        }
        if (end == x->size) {
            const struct od_jinja_token token = {.kind = OD_JINJA_TOKEN_TEXT,
                                                 .line = x->line,
                                                 .text = x->text + x->at,
                                                 .size = end - x->at};
            x->at = end;
            status = push(x, token);
            break;
        }
        const char sign = (char)(end + 2 < x->size ? x->text[end + 2] : '\0');
        status = push_text(x, end, sign, x->text[end + 1] == '{');
        if (status == OD_OK) {
            status = lex_tag(x);
        }
    }
    return status == OD_OK ? push_simple(x, OD_JINJA_TOKEN_END) : status;
}

enum od_status od_jinja_lex(const char *text, size_t size, const char *name, struct od_arena *arena,
                            struct od_jinja_token **ret, struct od_error *err)
{
    struct lexer x = {.name = name, .arena = arena, .err = err, .line = 1, .line_starting = true};
    x.text = od_arena_alloc(arena, size + 1, 1);
    if (!x.text) {
        return od_fail(err, OD_E_MEMORY, "no memory for the template '%s'", name);
    }
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '\0') {
            return od_fail(err, OD_E_FORMAT, "%s: the template holds a NUL", name);
        }
        if (text[i] == '\r') {
            i += i + 1 < size && text[i + 1] == '\n';
            x.text[x.size++] = '\n';
        } else {
            x.text[x.size++] = text[i];
        }
    }
    if (x.size > 0 && x.text[x.size - 1] == '\n') {
        x.size--;
    }
    x.text[x.size] = '\0';
    const enum od_status status = lex_all(&x);
    if (status == OD_OK) {
        *ret = x.tokens;
    }
    return status;
}
