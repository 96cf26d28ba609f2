// Plain scalars, by the core schema:
//
//   null    (empty) ~ null Null NULL
//   bool    true True TRUE false False FALSE
//   int     [-+]?[0-9]+    0o[0-7]+    0x[0-9a-fA-F]+
//   float   [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?    [-+]?\.(inf|Inf|INF)
//           \.(nan|NaN|NAN)
//   text    everything else

#include "formats/yaml.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"

enum { ARENA_MAX_BYTES = 64 << 20, SHOWN_BYTES = 60, DESCRIPTION_BYTES = 100 };

struct od_yaml {
    struct od_arena arena;
    struct od_yaml_node *root;
    const char *name;  // in the arena
};

// An open sequence or mapping.
struct level {
    struct od_yaml_node *node;
    struct od_yaml_node *last;  // of its children
    struct od_yaml_node *key;   // a key whose value comes; NULL otherwise
};

struct builder {
    struct od_yaml *yaml;
    struct level levels[OD_YAML_DEPTH_MAX];
    int depth;
    size_t nodes;
};

static enum od_status fail_at(const struct builder *b, yaml_mark_t mark, enum od_status status,
                              const char *what, struct od_error *err)
{
    od_error_set(err, status, "%s:%zu:%zu: %s", b->yaml->name, mark.line + 1, mark.column + 1,
                 what);
    return status;
}

static enum od_status no_memory(const struct od_yaml *yaml, struct od_error *err)
{
    return od_fail(err, OD_E_MEMORY, "no memory for the YAML of '%s'", yaml->name);
}

// Line and column of a byte, for errors that libyaml gives an offset only.
static yaml_mark_t mark_of(const char *text, size_t size, size_t offset)
{
    yaml_mark_t mark = {0};
    for (size_t i = 0; i < offset && i < size; i++) {
        if (text[i] == '\n') {
            mark.line++;
            mark.column = 0;
        } else if (((unsigned char)text[i] & 0xC0) != 0x80) {
            mark.column++;
        }
    }
    return mark;
}

static enum od_status parser_error(const struct builder *b, const yaml_parser_t *parser,
                                   const char *text, size_t size, struct od_error *err)
{
    const char *problem = parser->problem ? parser->problem : "cannot be read";
    if (parser->error == YAML_MEMORY_ERROR) {
        return no_memory(b->yaml, err);
    }
    if (parser->error == YAML_READER_ERROR) {
        return fail_at(b, mark_of(text, size, parser->problem_offset), OD_E_FORMAT, problem, err);
    }
    return fail_at(b, parser->problem_mark, OD_E_FORMAT, problem, err);
}

// Hang a node under the innermost open one.
static enum od_status attach(struct builder *b, struct od_yaml_node *node, yaml_mark_t mark,
                             struct od_error *err)
{
    if (b->depth == 0) {
        b->yaml->root = node;
        return OD_OK;
    }
    struct level *level = &b->levels[b->depth - 1];
    if (level->node->type == OD_YAML_MAPPING && !level->key) {
        if (node->type != OD_YAML_SCALAR) {
            return fail_at(b, mark, OD_E_FORMAT, "a key must be a scalar", err);
        }
        for (const struct od_yaml_node *at = level->node->first; at; at = at->next) {
            if (strcmp(at->key->text, node->text) == 0) {
                od_error_set(err, OD_E_FORMAT, "%s:%d:%d: the key '%.*s' stands in line %d, too",
                             node->name, node->line, node->column, (int)SHOWN_BYTES, node->text,
                             at->key->line);
                return OD_E_FORMAT;
            }
        }
        level->key = node;
        return OD_OK;
    }
    node->key = level->key;
    level->key = NULL;
    if (level->last) {
        level->last->next = node;
    } else {
        level->node->first = node;
    }
    level->last = node;
    level->node->count++;
    return OD_OK;
}

static enum od_status add_node(struct builder *b, enum od_yaml_type type, const yaml_event_t *event,
                               struct od_yaml_node **ret, struct od_error *err)
{
    if (++b->nodes > OD_YAML_NODES_MAX) {
        return fail_at(b, event->start_mark, OD_E_LIMIT, "too many values", err);
    }
    struct od_yaml_node *node = od_arena_alloc(&b->yaml->arena, 1, sizeof *node);
    if (!node) {
        return no_memory(b->yaml, err);
    }
    *node = (struct od_yaml_node){.type = type,
                                  .line = (int)event->start_mark.line + 1,
                                  .column = (int)event->start_mark.column + 1,
                                  .name = b->yaml->name,
                                  .text = ""};
    if (type == OD_YAML_SCALAR) {
        const char *value = (const char *)event->data.scalar.value;
        const size_t size = event->data.scalar.length;
        node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
        if (memchr(value, '\0', size)) {
            return fail_at(b, event->start_mark, OD_E_FORMAT, "a text must not hold a NUL", err);
        }
        node->text = od_arena_memdup(&b->yaml->arena, value, size);
        if (!node->text) {
            return no_memory(b->yaml, err);
        }
    }
    *ret = node;
    return attach(b, node, event->start_mark, err);
}

static enum od_status open_level(struct builder *b, enum od_yaml_type type,
                                 const yaml_event_t *event, struct od_error *err)
{
    struct od_yaml_node *node = NULL;
    if (b->depth == OD_YAML_DEPTH_MAX) {
        return fail_at(b, event->start_mark, OD_E_LIMIT, "nested too deep", err);
    }
    const enum od_status status = add_node(b, type, event, &node, err);
    if (status == OD_OK) {
        b->levels[b->depth] = (struct level){.node = node};
        b->depth++;
    }
    return status;
}

static enum od_status take_event(struct builder *b, const yaml_event_t *event, struct od_error *err)
{
    static const char *const no_anchor = "anchors and aliases are not read: write the value out";
    static const char *const no_tag = "tags are not read: leave it out";
    struct od_yaml_node *node = NULL;
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        return b->yaml->root ? fail_at(b, event->start_mark, OD_E_UNSUPPORTED,
                                       "only one document is read", err)
                             : OD_OK;
    case YAML_ALIAS_EVENT: return fail_at(b, event->start_mark, OD_E_UNSUPPORTED, no_anchor, err);
    case YAML_SCALAR_EVENT:
        if (event->data.scalar.anchor) {
            return fail_at(b, event->start_mark, OD_E_UNSUPPORTED, no_anchor, err);
        }
        if (event->data.scalar.tag) {
            return fail_at(b, event->start_mark, OD_E_UNSUPPORTED, no_tag, err);
        }
        return add_node(b, OD_YAML_SCALAR, event, &node, err);
    case YAML_SEQUENCE_START_EVENT:
        if (event->data.sequence_start.anchor) {
            return fail_at(b, event->start_mark, OD_E_UNSUPPORTED, no_anchor, err);
        }
        if (event->data.sequence_start.tag) {
            return fail_at(b, event->start_mark, OD_E_UNSUPPORTED, no_tag, err);
        }
        return open_level(b, OD_YAML_SEQUENCE, event, err);
    case YAML_MAPPING_START_EVENT:
        if (event->data.mapping_start.anchor) {
            return fail_at(b, event->start_mark, OD_E_UNSUPPORTED, no_anchor, err);
        }
        if (event->data.mapping_start.tag) {
            return fail_at(b, event->start_mark, OD_E_UNSUPPORTED, no_tag, err);
        }
        return open_level(b, OD_YAML_MAPPING, event, err);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT: b->depth--; return OD_OK;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT: break;
    }
    return OD_OK;
}

static enum od_status build(struct builder *b, yaml_parser_t *parser, const char *text, size_t size,
                            struct od_error *err)
{
    bool done = false;
    while (!done) {
        yaml_event_t event;
        if (!yaml_parser_parse(parser, &event)) {
            return parser_error(b, parser, text, size, err);
        }
        const enum od_status status = take_event(b, &event, err);
        done = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
        if (status != OD_OK) {
            return status;
        }
    }
    if (!b->yaml->root) {
        return od_fail(err, OD_E_FORMAT, "%s:1:1: there is no document", b->yaml->name);
    }
    return OD_OK;
}

enum od_status od_yaml_parse(const char *text, size_t size, const char *name, struct od_yaml **ret,
                             struct od_error *err)
{
    yaml_parser_t parser;
    struct builder b = {0};
    enum od_status status = OD_OK;
    if (size > OD_YAML_MAX_BYTES) {
        return od_fail(err, OD_E_LIMIT, "'%s' has more than %d bytes", name,
                       (int)OD_YAML_MAX_BYTES);
    }
    b.yaml = od_alloc(1, sizeof *b.yaml);
    if (!b.yaml || !yaml_parser_initialize(&parser)) {
        od_free(b.yaml);
        return od_fail(err, OD_E_MEMORY, "no memory for the YAML of '%s'", name);
    }
    od_arena_init(&b.yaml->arena, ARENA_MAX_BYTES);
    b.yaml->name = od_arena_strdup(&b.yaml->arena, name);
    if (!b.yaml->name) {
        status = od_fail(err, OD_E_MEMORY, "no memory for the YAML of '%s'", name);
        goto done;
    }
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
    status = build(&b, &parser, text, size, err);
    if (status == OD_OK) {
        *ret = b.yaml;
        b.yaml = NULL;
    }

done:
    yaml_parser_delete(&parser);
    od_yaml_free(b.yaml);
    return status;
}

enum od_status od_yaml_read(const char *path, struct od_yaml **ret, struct od_error *err)
{
    char *text = NULL;
    size_t size = 0;
    enum od_status status = od_file_read(path, OD_YAML_MAX_BYTES, &text, &size, err);
    if (status == OD_OK) {
        status = od_yaml_parse(text, size, path, ret, err);
    }
    od_free(text);
    return status;
}

void od_yaml_free(struct od_yaml *yaml)
{
    if (yaml) {
        od_arena_release(&yaml->arena);
        od_free(yaml);
    }
}

const struct od_yaml_node *od_yaml_root(const struct od_yaml *yaml)
{
    return yaml->root;
}

const struct od_yaml_node *od_yaml_find(const struct od_yaml_node *node, const char *key)
{
    if (!node || node->type != OD_YAML_MAPPING) {
        return NULL;
    }
    for (const struct od_yaml_node *value = node->first; value; value = value->next) {
        if (strcmp(value->key->text, key) == 0) {
            return value;
        }
    }
    return NULL;
}

static bool is_one_of(const char *text, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(text, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

#define IS_ONE_OF(text, ...)                              \
    is_one_of((text), (const char *const[]){__VA_ARGS__}, \
              sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static bool text_is_null(const char *text)
{
    return IS_ONE_OF(text, "", "~", "null", "Null", "NULL");
}

static bool text_is_bool(const char *text, bool *ret)
{
    if (IS_ONE_OF(text, "true", "True", "TRUE")) {
        *ret = true;
        return true;
    }
    if (IS_ONE_OF(text, "false", "False", "FALSE")) {
        *ret = false;
        return true;
    }
    return false;
}

static const char *skip_digits(const char *text)
{
    while (*text >= '0' && *text <= '9') {
        text++;
    }
    return text;
}

enum number { NO_NUMBER, INTEGER, INTEGER_TOO_LARGE, REAL };

// What a plain scalar is as a number; sets the value that fits.
static enum number text_to_number(const char *text, int64_t *ret_int, double *ret_real)
{
    const char *unsigned_text = text + (*text == '-' || *text == '+' ? 1 : 0);
    const char *end = skip_digits(unsigned_text);
    if (text[0] == '0' && (text[1] == 'o' || text[1] == 'x')) {
        const char *digits = text + 2;
        const char *allowed = text[1] == 'o' ? "01234567" : "0123456789abcdefABCDEF";
        if (*digits == '\0' || digits[strspn(digits, allowed)] != '\0') {
            return NO_NUMBER;
        }
        errno = 0;
        *ret_int = strtoll(digits, NULL, text[1] == 'o' ? 8 : 16);
        return errno == ERANGE ? INTEGER_TOO_LARGE : INTEGER;
    }
    if (end > unsigned_text && *end == '\0') {
        errno = 0;
        *ret_int = strtoll(text, NULL, 10);
        return errno == ERANGE ? INTEGER_TOO_LARGE : INTEGER;
    }
    if (IS_ONE_OF(unsigned_text, ".inf", ".Inf", ".INF")) {
        *ret_real = *text == '-' ? (double)-INFINITY : (double)INFINITY;
        return REAL;
    }
    if (IS_ONE_OF(text, ".nan", ".NaN", ".NAN")) {
        *ret_real = (double)NAN;
        return REAL;
    }
    bool any_digit = end > unsigned_text;
    if (*end == '.') {
        const char *after = skip_digits(end + 1);
        any_digit = any_digit || after > end + 1;
        end = after;
    }
    if (any_digit && (*end == 'e' || *end == 'E')) {
        const char *exponent = end + 1 + (end[1] == '-' || end[1] == '+' ? 1 : 0);
        end = skip_digits(exponent);
        any_digit = end > exponent;
    }
    if (!any_digit || *end != '\0') {
        return NO_NUMBER;
    }
    *ret_real = strtod(text, NULL);
    return REAL;
}

bool od_yaml_is_null(const struct od_yaml_node *node)
{
    return node->type == OD_YAML_SCALAR && !node->quoted && text_is_null(node->text);
}

enum od_status od_yaml_fail(const struct od_yaml_node *node, struct od_error *err,
                            const char *format, ...)
{
    char message[OD_ERROR_MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(message, sizeof message, format, args);
    va_end(args);
    return od_fail(err, OD_E_FORMAT, "%s:%d:%d: %s", node->name, node->line, node->column, message);
}

static void describe(const struct od_yaml_node *node, char out[DESCRIPTION_BYTES])
{
    int64_t whole = 0;
    double real = 0.0;
    bool truth = false;
    if (node->type == OD_YAML_SEQUENCE) {
        (void)snprintf(out, DESCRIPTION_BYTES, "a list");
    } else if (node->type == OD_YAML_MAPPING) {
        (void)snprintf(out, DESCRIPTION_BYTES, "a mapping");
    } else if (od_yaml_is_null(node)) {
        (void)snprintf(out, DESCRIPTION_BYTES, "empty");
    } else if (!node->quoted && (text_is_bool(node->text, &truth) ||
                                 text_to_number(node->text, &whole, &real) != NO_NUMBER)) {
        (void)snprintf(out, DESCRIPTION_BYTES, "%.*s", (int)SHOWN_BYTES, node->text);
    } else {
        (void)snprintf(out, DESCRIPTION_BYTES, "the text '%.*s'", (int)SHOWN_BYTES, node->text);
    }
    for (char *c = out; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20) {
            *c = ' ';  // a message is one line
        }
    }
}

static enum od_status wrong(const struct od_yaml_node *node, const char *want, struct od_error *err)
{
    char is[DESCRIPTION_BYTES];
    describe(node, is);
    if (!node->key) {
        return od_yaml_fail(node, err, "the value must be %s and is %s", want, is);
    }
    return od_yaml_fail(node, err, "'%.*s' must be %s and is %s", (int)SHOWN_BYTES, node->key->text,
                        want, is);
}

enum od_status od_yaml_expect(const struct od_yaml_node *node, enum od_yaml_type type,
                              struct od_error *err)
{
    static const char *const names[] = {"one value", "a list", "a mapping"};
    return node->type == type ? OD_OK : wrong(node, names[type], err);
}

enum od_status od_yaml_text(const struct od_yaml_node *node, const char **ret, struct od_error *err)
{
    if (node->type != OD_YAML_SCALAR || od_yaml_is_null(node)) {
        return wrong(node, "a text", err);
    }
    *ret = node->text;
    return OD_OK;
}

enum od_status od_yaml_int(const struct od_yaml_node *node, int64_t *ret, struct od_error *err)
{
    int64_t value = 0;
    double real = 0.0;
    enum number number = NO_NUMBER;
    if (node->type == OD_YAML_SCALAR && !node->quoted) {
        number = text_to_number(node->text, &value, &real);
    }
    if (number == INTEGER) {
        *ret = value;
        return OD_OK;
    }
    return wrong(node, number == INTEGER_TOO_LARGE ? "an integer of 64 bits" : "an integer", err);
}

enum od_status od_yaml_number(const struct od_yaml_node *node, double *ret, struct od_error *err)
{
    int64_t value = 0;
    double real = 0.0;
    enum number number = NO_NUMBER;
    if (node->type == OD_YAML_SCALAR && !node->quoted) {
        number = text_to_number(node->text, &value, &real);
    }
    if (number == NO_NUMBER || (number == INTEGER_TOO_LARGE && node->text[1] == 'o')) {
        return wrong(node, "a number", err);
    }
    if (number == INTEGER_TOO_LARGE) {  // decimal or hexadecimal
        real = strtod(node->text, NULL);
    }
    *ret = number == INTEGER ? (double)value : real;
    return OD_OK;
}

enum od_status od_yaml_bool(const struct od_yaml_node *node, bool *ret, struct od_error *err)
{
    bool value = false;
    if (node->type != OD_YAML_SCALAR || node->quoted || !text_is_bool(node->text, &value)) {
        return wrong(node, "true or false", err);
    }
    *ret = value;
    return OD_OK;
}

// Plain only what no reader of YAML 1.1 or 1.2 takes for anything but a text: a word that starts
// with a letter, '_' or '/' and that no schema knows.
static bool can_be_plain(const char *text)
{
    const char *const first = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_/";
    const char *const more =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_/.-+=@%^~ ";
    const size_t size = strlen(text);
    if (size == 0 || !strchr(first, text[0]) || text[size - 1] == ' ' ||
        strspn(text, more) != size) {
        return false;
    }
    return !IS_ONE_OF(text, "null", "Null", "NULL", "true", "True", "TRUE", "false", "False",
                      "FALSE", "yes", "Yes", "YES", "no", "No", "NO", "on", "On", "ON", "off",
                      "Off", "OFF", "y", "Y", "n", "N");
}

static void put_escaped(struct od_buf *out, uint32_t code, const char *bytes, size_t size)
{
    switch (code) {
    case '"': od_buf_puts(out, "\\\""); return;
    case '\\': od_buf_puts(out, "\\\\"); return;
    case '\n': od_buf_puts(out, "\\n"); return;
    case '\r': od_buf_puts(out, "\\r"); return;
    case '\t': od_buf_puts(out, "\\t"); return;
    default: break;
    }
    // Controls, and what a reader takes for the end of a line or drops.
    if (code < 0x20 || (code >= 0x7F && code < 0xA0)) {
        od_buf_printf(out, "\\x%02X", (unsigned)code);
    } else if (code == 0x2028 || code == 0x2029 || code == 0xFEFF || code == 0xFFFE ||
               code == 0xFFFF) {
        od_buf_printf(out, "\\u%04X", (unsigned)code);
    } else {
        od_buf_append(out, bytes, size);
    }
}

void od_yaml_put_scalar(struct od_buf *out, const char *text)
{
    const size_t size = strlen(text);
    if (can_be_plain(text)) {
        od_buf_puts(out, text);
        return;
    }
    od_buf_putc(out, '"');
    for (size_t at = 0; at < size;) {
        uint32_t code = 0;
        const int length = od_utf8_decode(text + at, size - at, &code);
        if (length > 0) {
            put_escaped(out, code, text + at, (size_t)length);
            at += (size_t)length;
            continue;
        }
        size_t invalid = 1;  // a run of bytes that are no UTF-8, for one replacement each
        while (at + invalid < size &&
               od_utf8_decode(text + at + invalid, size - at - invalid, &code) == 0) {
            invalid++;
        }
        od_utf8_append_valid(out, text + at, invalid);
        at += invalid;
    }
    od_buf_putc(out, '"');
}
