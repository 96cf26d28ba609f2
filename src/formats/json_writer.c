// The layout is that of Python's json.dumps:
//
//   style      between items    behind a key   begin and end of a container that is not empty
//   COMPACT    ","              ":"
//   LINE       ", "             ": "
//   INDENT_n   ",\n" + indent   ": "           "\n" + indent
//
// Strings: \" \\ \n \r \t \b \f, other controls \u00xx. In ASCII everything outside ' '..'~' is
// \uxxxx with lower-case digits, above U+FFFF as a surrogate pair.

#include <assert.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "formats/json.h"

void od_json_writer_init(struct od_json_writer *w, struct od_buf *out, enum od_json_style style,
                         bool ascii)
{
    *w = (struct od_json_writer){.out = out, .style = style, .ascii = ascii};
}

static void fail_buffer(struct od_buf *out)
{
    od_buf_append(out, "", SIZE_MAX);  // never fits: the buffer fails and says so at its check
}

static int indent_of(const struct od_json_writer *w)
{
    switch (w->style) {
    case OD_JSON_INDENT_2: return 2;
    case OD_JSON_INDENT_4: return 4;
    case OD_JSON_COMPACT:
    case OD_JSON_LINE: break;
    }
    return 0;
}

static void new_line(struct od_json_writer *w)
{
    const int indent = indent_of(w);
    if (indent == 0) {
        return;
    }
    od_buf_putc(w->out, '\n');
    for (int i = 0; i < indent * w->depth; i++) {
        od_buf_putc(w->out, ' ');
    }
}

// What stands in front of an item of the innermost container.
static void separate(struct od_json_writer *w)
{
    if (w->depth > OD_JSON_DEPTH_MAX) {
        return;
    }
    if (w->count[w->depth - 1] != 0) {
        od_buf_puts(w->out, w->style == OD_JSON_LINE ? ", " : ",");
    }
    w->count[w->depth - 1] = 1;
    new_line(w);
}

// Called before each value: behind a key nothing is to be written, in an array a comma may be.
static void before_value(struct od_json_writer *w)
{
    if (w->after_key) {
        w->after_key = false;
        return;
    }
    if (w->depth == 0) {
        return;
    }
    assert(w->depth > OD_JSON_DEPTH_MAX || w->is_array[w->depth - 1]);
    separate(w);
}

static void begin(struct od_json_writer *w, bool is_array)
{
    before_value(w);
    if (w->depth < OD_JSON_DEPTH_MAX) {
        w->count[w->depth] = 0;
        w->is_array[w->depth] = is_array;
    } else {
        fail_buffer(w->out);
    }
    w->depth++;
    od_buf_putc(w->out, is_array ? '[' : '{');
}

static void end(struct od_json_writer *w, bool is_array)
{
    assert(w->depth > 0 && !w->after_key);
    w->depth--;
    if (w->depth < OD_JSON_DEPTH_MAX) {
        assert((w->is_array[w->depth] != 0) == is_array);
        if (w->count[w->depth] != 0) {
            new_line(w);
        }
    }
    od_buf_putc(w->out, is_array ? ']' : '}');
}

void od_json_object_begin(struct od_json_writer *w)
{
    begin(w, false);
}

void od_json_object_end(struct od_json_writer *w)
{
    end(w, false);
}

void od_json_array_begin(struct od_json_writer *w)
{
    begin(w, true);
}

void od_json_array_end(struct od_json_writer *w)
{
    end(w, true);
}

static void put_escape(struct od_buf *out, uint32_t code)
{
    switch (code) {
    case '"': od_buf_puts(out, "\\\""); return;
    case '\\': od_buf_puts(out, "\\\\"); return;
    case '\n': od_buf_puts(out, "\\n"); return;
    case '\r': od_buf_puts(out, "\\r"); return;
    case '\t': od_buf_puts(out, "\\t"); return;
    case '\b': od_buf_puts(out, "\\b"); return;
    case '\f': od_buf_puts(out, "\\f"); return;
    default: break;
    }
    if (code > 0xFFFF) {
        const uint32_t rest = code - 0x10000;
        od_buf_printf(out, "\\u%04x\\u%04x", (unsigned)(0xD800 + (rest >> 10)),
                      (unsigned)(0xDC00 + (rest & 0x3FF)));
    } else {
        od_buf_printf(out, "\\u%04x", (unsigned)code);
    }
}

// `text` is valid UTF-8.
static void put_quoted(struct od_json_writer *w, const char *text, size_t size)
{
    size_t copied = 0;
    od_buf_putc(w->out, '"');
    for (size_t at = 0; at < size;) {
        uint32_t code = 0;
        const int length = od_utf8_decode(text + at, size - at, &code);
        assert(length > 0);
        const bool plain =
            code >= 0x20 && code != '"' && code != '\\' && (code < 0x7F || !w->ascii);
        if (!plain) {
            od_buf_append(w->out, text + copied, at - copied);
            put_escape(w->out, code);
            copied = at + (size_t)length;
        }
        at += (size_t)length;
    }
    od_buf_append(w->out, text + copied, size - copied);
    od_buf_putc(w->out, '"');
}

static void put_string(struct od_json_writer *w, const char *text, size_t size)
{
    if (od_utf8_invalid_at(text, size) == size) {
        put_quoted(w, text, size);
        return;
    }
    struct od_buf mended;
    od_buf_init(&mended, SIZE_MAX / 2);
    od_utf8_append_valid(&mended, text, size);
    if (mended.failed) {
        fail_buffer(w->out);
    } else {
        put_quoted(w, od_buf_text(&mended), mended.size);
    }
    od_buf_release(&mended);
}

static void put_key(struct od_json_writer *w, const char *key, size_t size)
{
    assert(w->depth > 0 && !w->after_key);
    assert(w->depth > OD_JSON_DEPTH_MAX || !w->is_array[w->depth - 1]);
    separate(w);
    put_string(w, key, size);
    od_buf_puts(w->out, w->style == OD_JSON_COMPACT ? ":" : ": ");
    w->after_key = true;
}

void od_json_key(struct od_json_writer *w, const char *key)
{
    put_key(w, key, strlen(key));
}

void od_json_put_text_n(struct od_json_writer *w, const char *text, size_t size)
{
    before_value(w);
    put_string(w, text, size);
}

void od_json_put_text(struct od_json_writer *w, const char *text)
{
    od_json_put_text_n(w, text, strlen(text));
}

void od_json_put_int(struct od_json_writer *w, int64_t value)
{
    before_value(w);
    od_buf_printf(w->out, "%" PRId64, value);
}

void od_json_put_number(struct od_json_writer *w, double value)
{
    char text[OD_NUMBER_BYTES];
    od_double_text(value, text);
    before_value(w);
    od_buf_puts(w->out, text);
}

void od_json_put_bool(struct od_json_writer *w, bool value)
{
    before_value(w);
    od_buf_puts(w->out, value ? "true" : "false");
}

void od_json_put_null(struct od_json_writer *w)
{
    before_value(w);
    od_buf_puts(w->out, "null");
}

// Recursion is bounded by the depth that od_json_parse lets through.
static void put_array(struct od_json_writer *w, const json_t *value)
{
    od_json_array_begin(w);
    for (size_t i = 0; i < json_array_size(value); i++) {
        od_json_put_value(w, json_array_get(value, i));
    }
    od_json_array_end(w);
}

static void put_object(struct od_json_writer *w, const json_t *value)
{
    // The iterator functions take an object that is not const, though they only read it.
    union {
        const json_t *from;
        json_t *to;
    } object = {.from = value};
    od_json_object_begin(w);
    for (void *at = json_object_iter(object.to); at; at = json_object_iter_next(object.to, at)) {
        put_key(w, json_object_iter_key(at), json_object_iter_key_len(at));
        od_json_put_value(w, json_object_iter_value(at));
    }
    od_json_object_end(w);
}

void od_json_put_value(struct od_json_writer *w, const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT: put_object(w, value); break;
    case JSON_ARRAY: put_array(w, value); break;
    case JSON_STRING:
        od_json_put_text_n(w, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER: od_json_put_int(w, json_integer_value(value)); break;
    case JSON_REAL: od_json_put_number(w, json_real_value(value)); break;
    case JSON_TRUE: od_json_put_bool(w, true); break;
    case JSON_FALSE: od_json_put_bool(w, false); break;
    case JSON_NULL: od_json_put_null(w); break;
    }
}

void od_json_member_text(struct od_json_writer *w, const char *key, const char *text)
{
    od_json_key(w, key);
    od_json_put_text(w, text);
}

void od_json_member_int(struct od_json_writer *w, const char *key, int64_t value)
{
    od_json_key(w, key);
    od_json_put_int(w, value);
}

void od_json_member_number(struct od_json_writer *w, const char *key, double value)
{
    od_json_key(w, key);
    od_json_put_number(w, value);
}

void od_json_member_bool(struct od_json_writer *w, const char *key, bool value)
{
    od_json_key(w, key);
    od_json_put_bool(w, value);
}
