// Values as Python has them: what is true, equal, in order, contained, and how they print.
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "text/jinja.h"
#include "text/jinja_internal.h"

enum { FIRST_CAPACITY = 4, PRINTED_MAX_BYTES = 256 << 20, DICT_STEP = 16 };

bool od_jinja_fail(struct od_jinja_render *r, enum od_status status, const char *format, ...)
{
    char what[OD_ERROR_MESSAGE_BYTES];
    va_list args;
    if (r->status == OD_OK) {
        va_start(args, format);
        (void)vsnprintf(what, sizeof what, format, args);
        va_end(args);
        r->status = status;
        od_error_set(r->err, status, "%s:%d: %s", r->jinja->name, r->line, what);
    }
    return false;
}

void *od_jinja_alloc(struct od_jinja_render *r, size_t count, size_t size)
{
    void *memory = od_arena_alloc(&r->arena, count, size);
    if (!memory) {
        const bool full = r->arena.used_bytes > OD_JINJA_MEMORY_BYTES / 2;
        (void)od_jinja_fail(r, full ? OD_E_LIMIT : OD_E_MEMORY, "%s",
                            full ? "the template uses too much memory"
                                 : "no memory for the template");
    }
    return memory;
}

bool od_jinja_step(struct od_jinja_render *r, size_t count)
{
    if (count > (size_t)OD_JINJA_STEPS_MAX || (r->steps += (int64_t)count) > OD_JINJA_STEPS_MAX) {
        return od_jinja_fail(r, OD_E_LIMIT, "the template does more than %d steps",
                             (int)OD_JINJA_STEPS_MAX);
    }
    return r->status == OD_OK;
}

bool od_jinja_enter(struct od_jinja_render *r)
{
    if (++r->depth > 4 * OD_JINJA_DEPTH_MAX) {
        return od_jinja_fail(r, OD_E_LIMIT, "the template nests too deep");
    }
    return r->status == OD_OK;
}

struct od_jinja_value od_jinja_text(const char *text, size_t size)
{
    return (struct od_jinja_value){.kind = OD_JINJA_IS_TEXT, .text = text, .size = size};
}

struct od_jinja_value od_jinja_bool(bool value)
{
    return (struct od_jinja_value){.kind = OD_JINJA_IS_BOOL, .integer = value};
}

struct od_jinja_value od_jinja_int(int64_t value)
{
    return (struct od_jinja_value){.kind = OD_JINJA_IS_INT, .integer = value};
}

struct od_jinja_value od_jinja_float(double value)
{
    return (struct od_jinja_value){.kind = OD_JINJA_IS_FLOAT, .number = value};
}

struct od_jinja_value od_jinja_none(void)
{
    return (struct od_jinja_value){.kind = OD_JINJA_IS_NONE};
}

struct od_jinja_value od_jinja_undefined(const char *name)
{
    return (struct od_jinja_value){.kind = OD_JINJA_IS_UNDEFINED, .text = name};
}

bool od_jinja_list_create(struct od_jinja_render *r, struct od_jinja_value *ret)
{
    struct od_jinja_list *list = od_jinja_alloc(r, 1, sizeof *list);
    *ret = (struct od_jinja_value){.kind = OD_JINJA_IS_LIST, .list = list};
    return list != NULL;
}

bool od_jinja_dict_create(struct od_jinja_render *r, struct od_jinja_value *ret)
{
    struct od_jinja_dict *dict = od_jinja_alloc(r, 1, sizeof *dict);
    *ret = (struct od_jinja_value){.kind = OD_JINJA_IS_DICT, .dict = dict};
    return dict != NULL;
}

static bool grow(struct od_jinja_render *r, struct od_jinja_value **array, size_t count,
                 size_t capacity)
{
    struct od_jinja_value *more = od_jinja_alloc(r, capacity, sizeof *more);
    if (!more) {
        return false;
    }
    if (count > 0) {
        memcpy(more, *array, count * sizeof *more);
    }
    *array = more;
    return true;
}

bool od_jinja_list_add(struct od_jinja_render *r, struct od_jinja_list *list,
                       struct od_jinja_value value)
{
    if (list->count == list->capacity) {
        const size_t capacity = list->capacity == 0 ? FIRST_CAPACITY : 2 * list->capacity;
        if (!grow(r, &list->items, list->count, capacity)) {
            return false;
        }
        list->capacity = capacity;
    }
    list->items[list->count++] = value;
    return true;
}

struct od_jinja_value *od_jinja_dict_find(const struct od_jinja_dict *dict,
                                          const struct od_jinja_value *key)
{
    for (size_t i = 0; i < dict->count; i++) {
        if (od_jinja_equal(&dict->keys[i], key, 0)) {
            return &dict->values[i];
        }
    }
    return NULL;
}

struct od_jinja_value *od_jinja_dict_find_text(const struct od_jinja_dict *dict, const char *key)
{
    const struct od_jinja_value text = od_jinja_text(key, strlen(key));
    return od_jinja_dict_find(dict, &text);
}

// Append a member whose key is not there.
static bool dict_add(struct od_jinja_render *r, struct od_jinja_dict *dict,
                     struct od_jinja_value key, struct od_jinja_value value)
{
    if (dict->count == dict->capacity) {
        const size_t capacity = dict->capacity == 0 ? FIRST_CAPACITY : 2 * dict->capacity;
        if (!grow(r, &dict->keys, dict->count, capacity) ||
            !grow(r, &dict->values, dict->count, capacity)) {
            return false;
        }
        dict->capacity = capacity;
    }
    dict->keys[dict->count] = key;
    dict->values[dict->count++] = value;
    return true;
}

bool od_jinja_dict_set(struct od_jinja_render *r, struct od_jinja_dict *dict,
                       struct od_jinja_value key, struct od_jinja_value value)
{
    struct od_jinja_value *old = od_jinja_dict_find(dict, &key);
    if (old) {
        *old = value;
        return true;
    }
    return od_jinja_step(r, 1 + dict->count / DICT_STEP) && dict_add(r, dict, key, value);
}

static bool text_from_json(struct od_jinja_render *r, const char *text, size_t size,
                           struct od_jinja_value *ret)
{
    char *copy = od_jinja_alloc(r, size + 1, 1);
    if (copy) {
        memcpy(copy, text, size);
        *ret = od_jinja_text(copy, size);
    }
    return copy != NULL;
}

static bool object_from_json(struct od_jinja_render *r, const json_t *json,
                             struct od_jinja_value *ret)
{
    if (!od_jinja_dict_create(r, ret)) {
        return false;
    }
    json_t *object = (json_t *)(uintptr_t)json;  // Jansson's iterators take no const
    for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at)) {
        struct od_jinja_value key = {0};
        struct od_jinja_value value = {0};
        if (!text_from_json(r, json_object_iter_key(at), strlen(json_object_iter_key(at)), &key) ||
            !od_jinja_from_json(r, json_object_iter_value(at), &value) ||
            !dict_add(r, ret->dict, key, value)) {
            return false;
        }
    }
    return true;
}

static bool array_from_json(struct od_jinja_render *r, const json_t *json,
                            struct od_jinja_value *ret)
{
    bool ok = od_jinja_list_create(r, ret);
    for (size_t i = 0; ok && i < json_array_size(json); i++) {
        struct od_jinja_value item = {0};
        ok = od_jinja_from_json(r, json_array_get(json, i), &item) &&
             od_jinja_list_add(r, ret->list, item);
    }
    return ok;
}

bool od_jinja_from_json(struct od_jinja_render *r, const json_t *json, struct od_jinja_value *ret)
{
    bool ok = od_jinja_enter(r) && od_jinja_step(r, 1);
    if (!ok) {
        return false;
    }
    switch (json_typeof(json)) {
    case JSON_OBJECT: ok = object_from_json(r, json, ret); break;
    case JSON_ARRAY: ok = array_from_json(r, json, ret); break;
    case JSON_STRING:
        ok = text_from_json(r, json_string_value(json), json_string_length(json), ret);
        break;
    case JSON_INTEGER: *ret = od_jinja_int(json_integer_value(json)); break;
    case JSON_REAL: *ret = od_jinja_float(json_real_value(json)); break;
    case JSON_TRUE: *ret = od_jinja_bool(true); break;
    case JSON_FALSE: *ret = od_jinja_bool(false); break;
    case JSON_NULL: *ret = od_jinja_none(); break;
    }
    r->depth--;
    return ok;
}

bool od_jinja_is_number(const struct od_jinja_value *value)
{
    return value->kind == OD_JINJA_IS_BOOL || value->kind == OD_JINJA_IS_INT ||
           value->kind == OD_JINJA_IS_FLOAT;
}

double od_jinja_to_double(const struct od_jinja_value *value)
{
    return value->kind == OD_JINJA_IS_FLOAT ? value->number : (double)value->integer;
}

bool od_jinja_is(const struct od_jinja_value *value, const char *text)
{
    return value->kind == OD_JINJA_IS_TEXT && value->size == strlen(text) &&
           memcmp(value->text, text, value->size) == 0;
}

bool od_jinja_truth(const struct od_jinja_value *value)
{
    switch (value->kind) {
    case OD_JINJA_IS_UNDEFINED:
    case OD_JINJA_IS_NONE: return false;
    case OD_JINJA_IS_BOOL:
    case OD_JINJA_IS_INT: return value->integer != 0;
    case OD_JINJA_IS_FLOAT: return fpclassify(value->number) != FP_ZERO;
    case OD_JINJA_IS_TEXT: return value->size > 0;
    case OD_JINJA_IS_LIST: return value->list->count > 0;
    case OD_JINJA_IS_DICT: return value->dict->count > 0;
    case OD_JINJA_IS_NAMESPACE:
    case OD_JINJA_IS_FUNCTION:
    case OD_JINJA_IS_METHOD:
    case OD_JINJA_IS_MACRO: break;
    }
    return true;
}

static bool equal_lists(const struct od_jinja_list *a, const struct od_jinja_list *b, int depth)
{
    if (a->count != b->count || a->tuple != b->tuple) {
        return false;
    }
    for (size_t i = 0; i < a->count; i++) {
        if (!od_jinja_equal(&a->items[i], &b->items[i], depth + 1)) {
            return false;
        }
    }
    return true;
}

static bool equal_dicts(const struct od_jinja_dict *a, const struct od_jinja_dict *b, int depth)
{
    if (a->count != b->count) {
        return false;
    }
    for (size_t i = 0; i < a->count; i++) {
        const struct od_jinja_value *other = od_jinja_dict_find(b, &a->keys[i]);
        if (!other || !od_jinja_equal(&a->values[i], other, depth + 1)) {
            return false;
        }
    }
    return true;
}

bool od_jinja_equal(const struct od_jinja_value *a, const struct od_jinja_value *b, int depth)
{
    if (depth > OD_JINJA_DEPTH_MAX) {
        return false;  // of lists that hold lists and so on: none that a template makes by intent
    }
    if (od_jinja_is_number(a) && od_jinja_is_number(b)) {
        if (a->kind != OD_JINJA_IS_FLOAT && b->kind != OD_JINJA_IS_FLOAT) {
            return a->integer == b->integer;
        }
        const double x = od_jinja_to_double(a);
        const double y = od_jinja_to_double(b);
        return x <= y && x >= y;
    }
    if (a->kind != b->kind) {
        return false;
    }
    switch (a->kind) {
    case OD_JINJA_IS_UNDEFINED:
    case OD_JINJA_IS_NONE: return true;
    case OD_JINJA_IS_TEXT:
        return a->size == b->size && (a->size == 0 || memcmp(a->text, b->text, a->size) == 0);
    case OD_JINJA_IS_LIST: return equal_lists(a->list, b->list, depth);
    case OD_JINJA_IS_DICT: return equal_dicts(a->dict, b->dict, depth);
    case OD_JINJA_IS_NAMESPACE: return a->dict == b->dict;
    case OD_JINJA_IS_BOOL:
    case OD_JINJA_IS_INT:
    case OD_JINJA_IS_FLOAT:
    case OD_JINJA_IS_FUNCTION:
    case OD_JINJA_IS_METHOD:
    case OD_JINJA_IS_MACRO: break;
    }
    return false;
}

static const char *kind_name(const struct od_jinja_value *value)
{
    static const char *const names[] = {"undefined", "None",     "bool",   "int",
                                        "float",     "text",     "list",   "mapping",
                                        "namespace", "function", "method", "macro"};
    return names[value->kind];
}

bool od_jinja_order(struct od_jinja_render *r, const struct od_jinja_value *a,
                    const struct od_jinja_value *b, int *ret)
{
    if (od_jinja_is_number(a) && od_jinja_is_number(b)) {
        const double x = od_jinja_to_double(a);
        const double y = od_jinja_to_double(b);
        *ret = (x > y) - (x < y);
        return true;
    }
    if (a->kind == OD_JINJA_IS_TEXT && b->kind == OD_JINJA_IS_TEXT) {
        // The order of UTF-8 is that of its code points.
        const size_t size = a->size < b->size ? a->size : b->size;
        const int order = size > 0 ? memcmp(a->text, b->text, size) : 0;
        *ret = order != 0 ? order : (a->size > b->size) - (a->size < b->size);
        return true;
    }
    return od_jinja_fail(r, OD_E_FORMAT, "%s and %s have no order", kind_name(a), kind_name(b));
}

bool od_jinja_contains(struct od_jinja_render *r, const struct od_jinja_value *whole,
                       const struct od_jinja_value *part, bool *ret)
{
    *ret = false;
    if (whole->kind == OD_JINJA_IS_UNDEFINED) {
        return true;
    }
    if (whole->kind == OD_JINJA_IS_TEXT) {
        if (part->kind != OD_JINJA_IS_TEXT) {
            return od_jinja_fail(r, OD_E_FORMAT, "'in' a text needs a text in front of it, not %s",
                                 kind_name(part));
        }
        *ret = part->size == 0 || memmem(whole->text, whole->size, part->text, part->size);
        return od_jinja_step(r, 1 + whole->size / 64);
    }
    if (whole->kind == OD_JINJA_IS_DICT) {
        *ret = od_jinja_dict_find(whole->dict, part) != NULL;
        return od_jinja_step(r, 1 + whole->dict->count / DICT_STEP);
    }
    if (whole->kind != OD_JINJA_IS_LIST) {
        return od_jinja_fail(r, OD_E_FORMAT, "nothing can be in %s", kind_name(whole));
    }
    for (size_t i = 0; !*ret && i < whole->list->count; i++) {
        *ret = od_jinja_equal(&whole->list->items[i], part, 0);
    }
    return od_jinja_step(r, 1 + whole->list->count);
}

// Does Python print this character as it is inside of quotes?
static bool is_printable(uint32_t code)
{
    switch ((int)utf8proc_category((utf8proc_int32_t)code)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP: return false;
    case UTF8PROC_CATEGORY_ZS: return code == ' ';
    default: return true;
    }
}

// A text as Python's repr has it.
static void print_quoted(const struct od_jinja_value *value, struct od_buf *out)
{
    const bool single = value->size == 0 || !memchr(value->text, '\'', value->size) ||
                        memchr(value->text, '"', value->size);
    const char quote = single ? '\'' : '"';
    od_buf_putc(out, quote);
    for (size_t i = 0; i < value->size;) {
        uint32_t code = 0;
        const int length = od_utf8_decode(value->text + i, value->size - i, &code);
        const size_t size = length > 0 ? (size_t)length : 1;
        if (code == (uint32_t)quote || code == '\\') {
            od_buf_printf(out, "\\%c", (char)code);
        } else if (code == '\n' || code == '\r' || code == '\t') {
            od_buf_puts(out, code == '\n' ? "\\n" : code == '\r' ? "\\r" : "\\t");
        } else if (is_printable(code)) {
            od_buf_append(out, value->text + i, size);
        } else {
            od_buf_printf(out,
                          code < 0x100     ? "\\x%02x"
                          : code < 0x10000 ? "\\u%04x"
                                           : "\\U%08x",
                          code);
        }
        i += size;
    }
    od_buf_putc(out, quote);
}

static bool print_list(struct od_jinja_render *r, const struct od_jinja_list *list,
                       struct od_buf *out)
{
    od_buf_putc(out, list->tuple ? '(' : '[');
    for (size_t i = 0; i < list->count; i++) {
        od_buf_puts(out, i > 0 ? ", " : "");
        if (!od_jinja_print(r, &list->items[i], true, out)) {
            return false;
        }
    }
    od_buf_puts(out, !list->tuple ? "]" : list->count == 1 ? ",)" : ")");
    return true;
}

static bool print_dict(struct od_jinja_render *r, const struct od_jinja_dict *dict,
                       struct od_buf *out)
{
    od_buf_putc(out, '{');
    for (size_t i = 0; i < dict->count; i++) {
        od_buf_puts(out, i > 0 ? ", " : "");
        if (!od_jinja_print(r, &dict->keys[i], true, out)) {
            return false;
        }
        od_buf_puts(out, ": ");
        if (!od_jinja_print(r, &dict->values[i], true, out)) {
            return false;
        }
    }
    od_buf_putc(out, '}');
    return true;
}

bool od_jinja_print(struct od_jinja_render *r, const struct od_jinja_value *value, bool quoted,
                    struct od_buf *out)
{
    char number[OD_NUMBER_BYTES];
    bool ok = od_jinja_enter(r) && od_jinja_step(r, 1);
    if (!ok) {
        return false;
    }
    switch (value->kind) {
    case OD_JINJA_IS_UNDEFINED: od_buf_puts(out, quoted ? "Undefined" : ""); break;
    case OD_JINJA_IS_NONE: od_buf_puts(out, "None"); break;
    case OD_JINJA_IS_BOOL: od_buf_puts(out, value->integer ? "True" : "False"); break;
    case OD_JINJA_IS_INT: od_buf_printf(out, "%lld", (long long)value->integer); break;
    case OD_JINJA_IS_FLOAT:
        od_double_text(value->number, number);
        od_buf_puts(out, number);
        break;
    case OD_JINJA_IS_TEXT:
        if (quoted) {
            print_quoted(value, out);
        } else {
            od_buf_append(out, value->text, value->size);
        }
        break;
    case OD_JINJA_IS_LIST: ok = print_list(r, value->list, out); break;
    case OD_JINJA_IS_DICT: ok = print_dict(r, value->dict, out); break;
    case OD_JINJA_IS_NAMESPACE:
    case OD_JINJA_IS_FUNCTION:
    case OD_JINJA_IS_METHOD:
    case OD_JINJA_IS_MACRO:
        ok = od_jinja_fail(r, OD_E_UNSUPPORTED, "printing a %s is not supported", kind_name(value));
        break;
    }
    r->depth--;
    return ok;
}

bool od_jinja_take(struct od_jinja_render *r, struct od_buf *buf, struct od_jinja_value *ret)
{
    char *text = NULL;
    if (r->status == OD_OK && buf->failed) {
        (void)od_jinja_fail(r, OD_E_LIMIT, "no memory for a text, or it is too large");
    }
    if (r->status == OD_OK) {
        text = od_jinja_alloc(r, buf->size + 1, 1);
    }
    if (text) {
        memcpy(text, od_buf_text(buf), buf->size);
        *ret = od_jinja_text(text, buf->size);
    }
    od_buf_release(buf);
    return text != NULL;
}

bool od_jinja_to_text(struct od_jinja_render *r, const struct od_jinja_value *value,
                      struct od_jinja_value *ret)
{
    struct od_buf buf;
    if (value->kind == OD_JINJA_IS_TEXT) {
        *ret = *value;
        return true;
    }
    od_buf_init(&buf, PRINTED_MAX_BYTES);
    (void)od_jinja_print(r, value, false, &buf);
    return od_jinja_take(r, &buf, ret);
}

static bool characters(struct od_jinja_render *r, const struct od_jinja_value *text,
                       struct od_jinja_list *list)
{
    for (size_t i = 0; i < text->size;) {
        uint32_t code = 0;
        const int length = od_utf8_decode(text->text + i, text->size - i, &code);
        const size_t size = length > 0 ? (size_t)length : 1;
        if (!od_jinja_list_add(r, list, od_jinja_text(text->text + i, size))) {
            return false;
        }
        i += size;
    }
    return true;
}

bool od_jinja_to_list(struct od_jinja_render *r, const struct od_jinja_value *value,
                      struct od_jinja_list **ret)
{
    struct od_jinja_value made = {0};
    if (value->kind == OD_JINJA_IS_LIST) {
        *ret = value->list;
        return true;
    }
    if (value->kind != OD_JINJA_IS_UNDEFINED && value->kind != OD_JINJA_IS_TEXT &&
        value->kind != OD_JINJA_IS_DICT) {
        return od_jinja_fail(r, OD_E_FORMAT, "%s has no items", kind_name(value));
    }
    if (!od_jinja_list_create(r, &made)) {
        return false;
    }
    if (value->kind == OD_JINJA_IS_DICT) {
        made.list->items = value->dict->keys;
        made.list->count = value->dict->count;
        made.list->capacity = value->dict->count;
    } else if (value->kind == OD_JINJA_IS_TEXT && !characters(r, value, made.list)) {
        return false;
    }
    *ret = made.list;
    return true;
}

bool od_jinja_length(struct od_jinja_render *r, const struct od_jinja_value *value, int64_t *ret)
{
    if (value->kind == OD_JINJA_IS_TEXT) {
        *ret = (int64_t)od_utf8_count(value->text, value->size);
        return od_jinja_step(r, 1 + value->size / 64);
    }
    if (value->kind == OD_JINJA_IS_LIST || value->kind == OD_JINJA_IS_DICT) {
        *ret = (int64_t)(value->kind == OD_JINJA_IS_LIST ? value->list->count : value->dict->count);
        return true;
    }
    *ret = 0;
    return value->kind == OD_JINJA_IS_UNDEFINED ||
           od_jinja_fail(r, OD_E_FORMAT, "%s has no length", kind_name(value));
}

bool od_jinja_attribute(struct od_jinja_render *r, const struct od_jinja_value *a, const char *name,
                        struct od_jinja_value *ret)
{
    const struct od_jinja_value *member = NULL;
    *ret = od_jinja_undefined(name);
    if (a->kind == OD_JINJA_IS_UNDEFINED) {
        return od_jinja_fail(r, OD_E_FORMAT, "'%s' is undefined: it has no '%s'", a->text, name);
    }
    if (od_jinja_has_method(a, name)) {
        struct od_jinja_value *self = od_jinja_alloc(r, 1, sizeof *self);
        if (!self) {
            return false;
        }
        *self = *a;
        *ret = (struct od_jinja_value){.kind = OD_JINJA_IS_METHOD, .text = name, .self = self};
        return true;
    }
    if (a->kind == OD_JINJA_IS_DICT || a->kind == OD_JINJA_IS_NAMESPACE) {
        member = od_jinja_dict_find_text(a->dict, name);
        if (!od_jinja_step(r, 1 + a->dict->count / DICT_STEP)) {
            return false;
        }
    }
    if (member) {
        *ret = *member;
    }
    return true;
}

bool od_jinja_item(struct od_jinja_render *r, const struct od_jinja_value *a,
                   const struct od_jinja_value *b, struct od_jinja_value *ret)
{
    struct od_jinja_list *list = NULL;
    *ret = od_jinja_undefined("item");
    if (a->kind == OD_JINJA_IS_UNDEFINED) {
        return od_jinja_fail(r, OD_E_FORMAT, "'%s' is undefined: it has no items", a->text);
    }
    if (a->kind == OD_JINJA_IS_DICT) {
        const struct od_jinja_value *member = od_jinja_dict_find(a->dict, b);
        if (!od_jinja_step(r, 1 + a->dict->count / DICT_STEP)) {
            return false;
        }
        if (member) {
            *ret = *member;
            return true;
        }
    }
    if (b->kind == OD_JINJA_IS_TEXT) {
        char *name = od_jinja_alloc(r, b->size + 1, 1);
        if (!name) {
            return false;
        }
        memcpy(name, b->text, b->size);
        return od_jinja_attribute(r, a, name, ret);
    }
    if ((a->kind != OD_JINJA_IS_LIST && a->kind != OD_JINJA_IS_TEXT) ||
        (b->kind != OD_JINJA_IS_INT && b->kind != OD_JINJA_IS_BOOL)) {
        return true;
    }
    if (!od_jinja_to_list(r, a, &list)) {
        return false;
    }
    const int64_t count = (int64_t)list->count;
    const int64_t index = b->integer < 0 ? b->integer + count : b->integer;
    if (index >= 0 && index < count) {
        *ret = list->items[index];
    }
    return true;
}

// A bound of a slice of `count` items: its value, or `absent`; negative ones count from the end.
static bool slice_bound(struct od_jinja_render *r, const struct od_jinja_value *bound,
                        int64_t absent, int64_t least, int64_t most, int64_t count, int64_t *ret)
{
    if (!bound || bound->kind == OD_JINJA_IS_NONE) {
        *ret = absent;
        return true;
    }
    if (bound->kind != OD_JINJA_IS_INT && bound->kind != OD_JINJA_IS_BOOL) {
        return od_jinja_fail(r, OD_E_FORMAT, "a bound of a slice must be an int");
    }
    const int64_t value = bound->integer < 0 && bound->integer >= -count ? bound->integer + count
                          : bound->integer < 0                           ? least
                                                                         : bound->integer;
    *ret = value < least ? least : value > most ? most : value;
    return true;
}

bool od_jinja_slice(struct od_jinja_render *r, const struct od_jinja_value *a,
                    const struct od_jinja_value *from, const struct od_jinja_value *to,
                    const struct od_jinja_value *step, struct od_jinja_value *ret)
{
    struct od_jinja_list *list = NULL;
    struct od_buf buf;
    int64_t start = 0;
    int64_t end = 0;
    if (a->kind != OD_JINJA_IS_LIST && a->kind != OD_JINJA_IS_TEXT) {
        return od_jinja_fail(r, OD_E_FORMAT, "%s cannot be sliced", kind_name(a));
    }
    const bool has_step = step && step->kind != OD_JINJA_IS_NONE;
    if (has_step && (step->kind != OD_JINJA_IS_INT || step->integer == 0)) {
        return od_jinja_fail(r, OD_E_FORMAT, "the step of a slice must be an int other than 0");
    }
    if (!od_jinja_to_list(r, a, &list)) {
        return false;
    }
    const int64_t count = (int64_t)list->count;
    const int64_t limit = count + 1;  // a larger step is as good
    const int64_t by = !has_step                ? 1
                       : step->integer > limit  ? limit
                       : step->integer < -limit ? -limit
                                                : step->integer;
    if (by > 0 ? !slice_bound(r, from, 0, 0, count, count, &start) ||
                     !slice_bound(r, to, count, 0, count, count, &end)
               : !slice_bound(r, from, count - 1, -1, count - 1, count, &start) ||
                     !slice_bound(r, to, -1, -1, count - 1, count, &end)) {
        return false;
    }
    if (!od_jinja_list_create(r, ret)) {
        return false;
    }
    ret->list->tuple = list->tuple;
    for (int64_t i = start; by > 0 ? i < end : i > end; i += by) {
        if (!od_jinja_step(r, 1) || !od_jinja_list_add(r, ret->list, list->items[i])) {
            return false;
        }
    }
    if (a->kind == OD_JINJA_IS_LIST) {
        return true;
    }
    od_buf_init(&buf, a->size);
    for (size_t i = 0; i < ret->list->count; i++) {
        od_buf_append(&buf, ret->list->items[i].text, ret->list->items[i].size);
    }
    return od_jinja_take(r, &buf, ret);
}
