// The grammar:
//
//   file    := gap* "entries" gap* (":" | "=") gap* "[" sep* (object (sep+ object)*)? sep* "]" gap*
//   object  := "{" gap* pair ((gap* "," gap* | newline gap*) pair)* gap* ","? gap* "}"
//   pair    := key blank* (":" | "=") blank* value
//   key     := [A-Za-z0-9_.-]+ | string
//   value   := string | integer | "[" sep* (string (sep+ string)*)? sep* "]"
//   string  := '"' (any character but '"', '\' and newline | escape)* '"'
//   escape  := '\' ('"' | '\' | '/' | 'b' | 'f' | 'n' | 'r' | 't' | 'u' four hex digits)
//   integer := "-"? [0-9]+
//   sep     := "," | newline | blank | comment
//   gap     := newline | blank | comment
//   comment := ("#" | "//") up to the end of the line
//   blank   := " " | "\t" | "\r"
//
// Nothing is expanded in a string: ${x} and # are characters like others.

#include "formats/hocon.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"

enum { ARENA_MAX_BYTES = 256 << 20, KEY_MAX_BYTES = 256, FIRST_CAPACITY = 64 };

struct parser {
    const char *text;
    size_t size;
    size_t at;
    const char *name;
    struct od_hocon out;
    size_t capacity;
    struct od_buf buf;  // the string that was read last
    size_t mark_at;     // a place whose line is known: the start of the last object
    size_t mark_line;
    size_t mark_column;
};

static enum od_status fail_at(const struct parser *p, size_t at, enum od_status status,
                              struct od_error *err, const char *format, ...) OD_PRINTF(5, 6);

// Line and column (in characters) of a place at or behind the mark.
static void place(const struct parser *p, size_t at, size_t *ret_line, size_t *ret_column)
{
    size_t line = p->mark_line;
    size_t column = p->mark_column;
    for (size_t i = p->mark_at; i < at; i++) {
        if (p->text[i] == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)p->text[i] & 0xC0) != 0x80) {
            column++;
        }
    }
    *ret_line = line;
    *ret_column = column;
}

static enum od_status fail_at(const struct parser *p, size_t at, enum od_status status,
                              struct od_error *err, const char *format, ...)
{
    char message[OD_ERROR_MESSAGE_BYTES];
    size_t line = 0;
    size_t column = 0;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(message, sizeof message, format, args);
    va_end(args);
    place(p, at, &line, &column);
    od_error_set(err, status, "%s:%zu:%zu: %s", p->name, line, column, message);
    return status;
}

static enum od_status no_memory(const struct parser *p, struct od_error *err)
{
    return od_fail(err, OD_E_MEMORY, "no memory for the entries of '%s'", p->name);
}

// The character at the current place, '\0' at the end (a NUL in the text fits nowhere).
static char peek(const struct parser *p)
{
    if (p->at >= p->size) {
        return '\0';
    }
    return p->text[p->at];
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static bool skip_comment(struct parser *p)
{
    const bool slashes = p->size - p->at >= 2 && memcmp(p->text + p->at, "//", 2) == 0;
    if (peek(p) != '#' && !slashes) {
        return false;
    }
    const char *end = memchr(p->text + p->at, '\n', p->size - p->at);
    p->at = end ? (size_t)(end - p->text) : p->size;
    return true;
}

// What stands between two things.
struct between {
    bool any;
    bool newline;
    bool comma;
};

static struct between skip(struct parser *p, bool commas)
{
    struct between between = {0};
    for (;;) {
        const char c = peek(p);
        if (c == '\n') {
            between.newline = true;
        } else if (c == ',' && commas) {
            between.comma = true;
        } else if (skip_comment(p)) {
            between.any = true;
            continue;
        } else if (!is_blank(c)) {
            return between;
        }
        between.any = true;
        p->at++;
    }
}

static enum od_status expect(struct parser *p, char c, struct od_error *err)
{
    if (peek(p) != c || p->at == p->size) {
        return fail_at(p, p->at, OD_E_FORMAT, err, "'%c' is expected", c);
    }
    p->at++;
    return OD_OK;
}

static bool hex4(const struct parser *p, size_t at, uint32_t *ret)
{
    uint32_t code = 0;
    if (at > p->size || p->size - at < 4) {
        return false;
    }
    for (size_t i = at; i < at + 4; i++) {
        const char c = p->text[i];
        uint32_t digit;
        if (c >= '0' && c <= '9') {
            digit = (uint32_t)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            digit = (uint32_t)(c - 'a') + 10;
        } else if (c >= 'A' && c <= 'F') {
            digit = (uint32_t)(c - 'A') + 10;
        } else {
            return false;
        }
        code = code << 4 | digit;
    }
    *ret = code;
    return true;
}

// \uXXXX, with its low surrogate; p->at is behind the 'u'.
static enum od_status unicode_escape(struct parser *p, struct od_error *err)
{
    const size_t start = p->at - 2;
    uint32_t code = 0;
    uint32_t low = 0;
    char bytes[4];
    if (!hex4(p, p->at, &code)) {
        return fail_at(p, start, OD_E_FORMAT, err, "\\u needs four hex digits");
    }
    p->at += 4;
    if (code >= 0xD800 && code < 0xDC00 && p->size - p->at >= 6 && p->text[p->at] == '\\' &&
        p->text[p->at + 1] == 'u' && hex4(p, p->at + 2, &low) && low >= 0xDC00 && low < 0xE000) {
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        p->at += 6;
    }
    if (code == 0 || (code >= 0xD800 && code < 0xE000)) {
        return fail_at(p, start, OD_E_FORMAT, err, "\\u%04x stands for no character",
                       (unsigned)code);
    }
    od_buf_append(&p->buf, bytes, (size_t)od_utf8_encode(code, bytes));
    return OD_OK;
}

static enum od_status escape(struct parser *p, struct od_error *err)
{
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";
    const size_t start = p->at - 1;  // the backslash
    const char c = peek(p);
    const char *found = c == '\0' ? NULL : strchr(from, c);
    p->at += p->at < p->size ? 1 : 0;
    if (c == 'u') {
        return unicode_escape(p, err);
    }
    if (!found) {
        return fail_at(p, start, OD_E_FORMAT, err, "unknown escape behind '\\'");
    }
    od_buf_putc(&p->buf, to[found - from]);
    return OD_OK;
}

// A quoted string into p->buf.
static enum od_status parse_string(struct parser *p, struct od_error *err)
{
    const size_t start = p->at;
    enum od_status status = expect(p, '"', err);
    od_buf_reset(&p->buf);
    while (status == OD_OK) {
        const char c = peek(p);
        if (p->at == p->size || c == '\n') {
            return fail_at(p, start, OD_E_FORMAT, err, "the text has no closing '\"'");
        }
        if (c == '\0') {
            return fail_at(p, p->at, OD_E_FORMAT, err, "a text must not hold a NUL");
        }
        p->at++;
        if (c == '"') {
            break;
        }
        if (c == '\\') {
            status = escape(p, err);
        } else {
            od_buf_putc(&p->buf, c);
        }
    }
    if (status == OD_OK && p->buf.failed) {
        return no_memory(p, err);
    }
    return status;
}

static enum od_status take_string(struct parser *p, const char **ret, struct od_error *err)
{
    const char *copy = od_arena_strdup(&p->out.arena, od_buf_text(&p->buf));
    if (!copy) {
        return no_memory(p, err);
    }
    *ret = copy;
    return OD_OK;
}

static enum od_status parse_integer(struct parser *p, int64_t *ret, struct od_error *err)
{
    char digits[32];
    size_t size = 0;
    const size_t start = p->at;
    while (size + 1 < sizeof digits &&
           ((peek(p) >= '0' && peek(p) <= '9') || (size == 0 && peek(p) == '-'))) {
        digits[size++] = peek(p);
        p->at++;
    }
    digits[size] = '\0';
    if (!od_parse_int(digits, ret)) {
        return fail_at(p, start, OD_E_FORMAT, err,
                       "a text in quotes, an integer or a list of texts is expected");
    }
    return OD_OK;
}

// A list of strings; kept in `entry` when that is not NULL.
static enum od_status parse_list(struct parser *p, struct od_hocon_entry *entry,
                                 struct od_error *err)
{
    const char *groups[OD_HOCON_GROUPS_MAX];
    size_t count = 0;
    enum od_status status = expect(p, '[', err);
    struct between between = skip(p, true);
    while (status == OD_OK && peek(p) == '"') {
        if (count > 0 && !between.any) {
            return fail_at(p, p->at, OD_E_FORMAT, err, "',' or a new line is expected");
        }
        if (count == OD_HOCON_GROUPS_MAX) {
            return fail_at(p, p->at, OD_E_LIMIT, err, "more than %d texts in a list",
                           (int)OD_HOCON_GROUPS_MAX);
        }
        status = parse_string(p, err);
        if (status == OD_OK && entry) {
            status = take_string(p, &groups[count], err);
        }
        count++;
        between = skip(p, true);
    }
    if (status == OD_OK) {
        status = expect(p, ']', err);
    }
    if (status == OD_OK && entry) {
        entry->groups =
            (const char **)od_arena_alloc(&p->out.arena, count + 1, sizeof *entry->groups);
        if (!entry->groups) {
            return no_memory(p, err);
        }
        for (size_t i = 0; i < count; i++) {
            entry->groups[i] = groups[i];
        }
        entry->group_count = count;
    }
    return status;
}

static enum od_status parse_key(struct parser *p, char out[KEY_MAX_BYTES], struct od_error *err)
{
    const size_t start = p->at;
    const char *key = NULL;
    size_t size = 0;
    if (peek(p) == '"') {
        const enum od_status status = parse_string(p, err);
        if (status != OD_OK) {
            return status;
        }
        key = od_buf_text(&p->buf);
        size = p->buf.size;
    } else {
        const char *const allowed =
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
        while (peek(p) != '\0' && strchr(allowed, peek(p))) {
            p->at++;
        }
        key = p->text + start;
        size = p->at - start;
    }
    if (size == 0) {
        return fail_at(p, start, OD_E_FORMAT, err, "a key is expected");
    }
    if (size >= KEY_MAX_BYTES) {
        return fail_at(p, start, OD_E_LIMIT, err, "the key has more than %d bytes",
                       (int)KEY_MAX_BYTES - 1);
    }
    memcpy(out, key, size);
    out[size] = '\0';
    return OD_OK;
}

// The value of `key`, into the entry when it is one that counts.
static enum od_status parse_value(struct parser *p, const char *key, struct od_hocon_entry *entry,
                                  bool *has_priority, struct od_error *err)
{
    const size_t start = p->at;
    const bool is_description = strcmp(key, "description") == 0;
    const bool is_priority = strcmp(key, "priority") == 0;
    const bool is_groups = strcmp(key, "groups") == 0;
    if (peek(p) == '"') {
        if (is_priority || is_groups) {
            return fail_at(p, start, OD_E_FORMAT, err, "'%s' must be %s", key,
                           is_priority ? "an integer" : "a list of texts");
        }
        const enum od_status status = parse_string(p, err);
        return status == OD_OK && is_description ? take_string(p, &entry->description, err)
                                                 : status;
    }
    if (peek(p) == '[') {
        if (is_description || is_priority) {
            return fail_at(p, start, OD_E_FORMAT, err, "'%s' must be %s", key,
                           is_priority ? "an integer" : "a text");
        }
        return parse_list(p, is_groups ? entry : NULL, err);
    }
    int64_t value = 0;
    const enum od_status status = parse_integer(p, &value, err);
    if (status != OD_OK) {
        return status;
    }
    if (is_description || is_groups) {
        return fail_at(p, start, OD_E_FORMAT, err, "'%s' must be %s", key,
                       is_description ? "a text" : "a list of texts");
    }
    if (is_priority) {
        entry->priority = value;
        *has_priority = true;
    }
    return OD_OK;
}

static enum od_status parse_pair(struct parser *p, struct od_hocon_entry *entry, bool *has_priority,
                                 struct od_error *err)
{
    char key[KEY_MAX_BYTES];
    const enum od_status status = parse_key(p, key, err);
    if (status != OD_OK) {
        return status;
    }
    while (is_blank(peek(p))) {
        p->at++;
    }
    if (peek(p) != ':' && peek(p) != '=') {
        return fail_at(p, p->at, OD_E_FORMAT, err, "':' is expected behind '%s'", key);
    }
    p->at++;
    while (is_blank(peek(p))) {
        p->at++;
    }
    return parse_value(p, key, entry, has_priority, err);
}

// Skip to the next pair; *ret_more is false at the closing brace.
static enum od_status next_pair(struct parser *p, bool *ret_more, struct od_error *err)
{
    struct between before = skip(p, false);
    bool comma = false;
    if (peek(p) == ',') {
        comma = true;
        p->at++;
        (void)skip(p, false);
    }
    *ret_more = peek(p) != '}';
    if (*ret_more && !comma && !before.newline) {
        return fail_at(p, p->at, OD_E_FORMAT, err, "',' or '}' is expected");
    }
    return OD_OK;
}

static enum od_status parse_object(struct parser *p, struct od_hocon_entry *entry,
                                   struct od_error *err)
{
    const size_t start = p->at;
    bool has_priority = false;
    bool more = true;
    *entry = (struct od_hocon_entry){0};
    place(p, start, &entry->line, &entry->column);
    p->mark_at = start;
    p->mark_line = entry->line;
    p->mark_column = entry->column;
    enum od_status status = expect(p, '{', err);
    (void)skip(p, false);
    while (status == OD_OK && more) {
        status = parse_pair(p, entry, &has_priority, err);
        if (status == OD_OK) {
            status = next_pair(p, &more, err);
        }
    }
    if (status != OD_OK) {
        return status;
    }
    p->at++;  // the closing brace
    if (!entry->description || !has_priority) {
        return fail_at(p, start, OD_E_FORMAT, err, "the entry has no '%s'",
                       entry->description ? "priority" : "description");
    }
    return OD_OK;
}

static enum od_status add_entry(struct parser *p, struct od_error *err)
{
    if (p->out.count == OD_HOCON_ENTRIES_MAX) {
        return fail_at(p, p->at, OD_E_LIMIT, err, "more than %d entries",
                       (int)OD_HOCON_ENTRIES_MAX);
    }
    if (p->out.count == p->capacity) {
        const size_t capacity = p->capacity == 0 ? FIRST_CAPACITY : p->capacity * 2;
        struct od_hocon_entry *more = od_realloc(p->out.entries, capacity, sizeof *more);
        if (!more) {
            return no_memory(p, err);
        }
        p->out.entries = more;
        p->capacity = capacity;
    }
    const enum od_status status = parse_object(p, &p->out.entries[p->out.count], err);
    p->out.count += status == OD_OK ? 1 : 0;
    return status;
}

static enum od_status parse_file(struct parser *p, struct od_error *err)
{
    char key[KEY_MAX_BYTES];
    (void)skip(p, false);
    const size_t start = p->at;
    enum od_status status = parse_key(p, key, err);
    if (status != OD_OK) {
        return status;
    }
    if (strcmp(key, "entries") != 0) {
        return fail_at(p, start, OD_E_FORMAT, err, "'entries' is expected");
    }
    (void)skip(p, false);
    if (peek(p) != ':' && peek(p) != '=') {
        return fail_at(p, p->at, OD_E_FORMAT, err, "':' is expected behind 'entries'");
    }
    p->at++;
    (void)skip(p, false);
    status = expect(p, '[', err);
    struct between between = skip(p, true);
    while (status == OD_OK && peek(p) == '{') {
        if (p->out.count > 0 && !between.any) {
            return fail_at(p, p->at, OD_E_FORMAT, err, "',' or a new line is expected");
        }
        status = add_entry(p, err);
        between = skip(p, true);
    }
    if (status == OD_OK) {
        status = expect(p, ']', err);
    }
    if (status == OD_OK) {
        (void)skip(p, false);
        if (p->at < p->size) {
            status = fail_at(p, p->at, OD_E_FORMAT, err, "nothing is expected behind the list");
        }
    }
    return status;
}

enum od_status od_hocon_parse(const char *text, size_t size, const char *name, struct od_hocon *ret,
                              struct od_error *err)
{
    struct parser p = {.text = text, .size = size, .name = name, .mark_line = 1, .mark_column = 1};
    const size_t invalid_at = od_utf8_invalid_at(text, size);
    if (size > OD_HOCON_MAX_BYTES) {
        return od_fail(err, OD_E_LIMIT, "'%s' has more than %d bytes", name,
                       (int)OD_HOCON_MAX_BYTES);
    }
    if (invalid_at < size) {
        return fail_at(&p, invalid_at, OD_E_FORMAT, err, "the byte is no UTF-8");
    }
    od_arena_init(&p.out.arena, ARENA_MAX_BYTES);
    od_buf_init(&p.buf, OD_HOCON_MAX_BYTES);
    const enum od_status status = parse_file(&p, err);
    od_buf_release(&p.buf);
    if (status != OD_OK) {
        od_hocon_release(&p.out);
        return status;
    }
    *ret = p.out;
    return OD_OK;
}

enum od_status od_hocon_read(const char *path, struct od_hocon *ret, struct od_error *err)
{
    char *text = NULL;
    size_t size = 0;
    enum od_status status = od_file_read(path, OD_HOCON_MAX_BYTES, &text, &size, err);
    if (status == OD_OK) {
        status = od_hocon_parse(text, size, path, ret, err);
    }
    od_free(text);
    return status;
}

void od_hocon_release(struct od_hocon *hocon)
{
    od_free(hocon->entries);
    od_arena_release(&hocon->arena);
    *hocon = (struct od_hocon){0};
}
