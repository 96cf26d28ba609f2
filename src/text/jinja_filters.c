// Filters and tests: `value | filter(arguments)`, `value is test(arguments)`.
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "formats/json.h"
#include "text/jinja.h"
#include "text/jinja_internal.h"
#include "text/jinja_text.h"

enum { TEXT_MAX_BYTES = 256 << 20, NUMBER_MAX_BYTES = 64, INDENT_MAX = 64 };

/** Largest double whose whole part is an int64_t. */
#define INT_MAX_DOUBLE 9.0e18

typedef bool (*filter)(struct od_jinja_render *r, const struct od_jinja_value *value,
                       const struct od_jinja_arguments *args, struct od_jinja_value *ret);

static bool tojson_value(struct od_jinja_render *r, const struct od_jinja_value *value,
                         struct od_json_writer *w)
{
    bool ok = od_jinja_enter(r) && od_jinja_step(r, 1);
    if (!ok || w->depth >= OD_JINJA_DEPTH_MAX) {
        return od_jinja_fail(r, OD_E_LIMIT, "tojson of a value that is nested too deep");
    }
    switch (value->kind) {
    case OD_JINJA_IS_NONE: od_json_put_null(w); break;
    case OD_JINJA_IS_BOOL: od_json_put_bool(w, value->integer != 0); break;
    case OD_JINJA_IS_INT: od_json_put_int(w, value->integer); break;
    case OD_JINJA_IS_FLOAT: od_json_put_number(w, value->number); break;
    case OD_JINJA_IS_TEXT: od_json_put_text_n(w, value->text, value->size); break;
    case OD_JINJA_IS_LIST:
        od_json_array_begin(w);
        for (size_t i = 0; ok && i < value->list->count; i++) {
            ok = tojson_value(r, &value->list->items[i], w);
        }
        if (ok) {
            od_json_array_end(w);
        }
        break;
    case OD_JINJA_IS_DICT:
        od_json_object_begin(w);
        for (size_t i = 0; ok && i < value->dict->count; i++) {
            struct od_jinja_value key = {0};
            char *name = NULL;
            ok = od_jinja_to_text(r, &value->dict->keys[i], &key) &&
                 (name = od_jinja_alloc(r, key.size + 1, 1)) != NULL;
            if (ok) {
                memcpy(name, key.text, key.size);
                od_json_key(w, name);
                ok = tojson_value(r, &value->dict->values[i], w);
            }
        }
        if (ok) {
            od_json_object_end(w);
        }
        break;
    case OD_JINJA_IS_UNDEFINED:
    case OD_JINJA_IS_NAMESPACE:
    case OD_JINJA_IS_FUNCTION:
    case OD_JINJA_IS_METHOD:
    case OD_JINJA_IS_MACRO:
        ok = od_jinja_fail(r, OD_E_FORMAT, "tojson of what has no JSON%s%s",
                           value->kind == OD_JINJA_IS_UNDEFINED ? ", undefined: " : "",
                           value->kind == OD_JINJA_IS_UNDEFINED ? value->text : "");
        break;
    }
    r->depth--;
    return ok;
}

static bool tojson(struct od_jinja_render *r, const struct od_jinja_value *value,
                   const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    struct od_buf buf;
    struct od_json_writer writer;
    enum od_json_style style = OD_JSON_LINE;
    for (size_t i = 0; i < args->count; i++) {
        const struct od_jinja_value *indent = &args->values[i];
        const char *name = args->names[i];
        if (name && strcmp(name, "ensure_ascii") == 0 && !od_jinja_truth(indent)) {
            continue;
        }
        if (name && strcmp(name, "indent") == 0 && indent->kind == OD_JINJA_IS_NONE) {
            continue;
        }
        if (!name || strcmp(name, "indent") != 0 || indent->kind != OD_JINJA_IS_INT ||
            (indent->integer != 2 && indent->integer != 4)) {
            return od_jinja_fail(r, OD_E_UNSUPPORTED,
                                 "tojson takes 'indent' of 2 or 4 and nothing else");
        }
        style = indent->integer == 2 ? OD_JSON_INDENT_2 : OD_JSON_INDENT_4;
    }
    od_buf_init(&buf, TEXT_MAX_BYTES);
    od_json_writer_init(&writer, &buf, style, false);
    (void)tojson_value(r, value, &writer);
    return od_jinja_take(r, &buf, ret);
}

static bool trim(struct od_jinja_render *r, const struct od_jinja_value *value,
                 const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    struct od_jinja_value text = {0};
    return od_jinja_to_text(r, value, &text) &&
           od_jinja_strip(r, &text, od_jinja_argument(args, 0, "chars"), true, true, ret);
}

static bool length(struct od_jinja_render *r, const struct od_jinja_value *value,
                   const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    int64_t count = 0;
    (void)args;
    const bool ok = od_jinja_length(r, value, &count);
    *ret = od_jinja_int(count);
    return ok;
}

static bool change_case(struct od_jinja_render *r, const struct od_jinja_value *value,
                        enum od_jinja_case_kind kind, struct od_jinja_value *ret)
{
    struct od_jinja_value text = {0};
    return od_jinja_to_text(r, value, &text) && od_jinja_case(r, &text, kind, ret);
}

static bool upper(struct od_jinja_render *r, const struct od_jinja_value *value,
                  const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    (void)args;
    return change_case(r, value, OD_JINJA_UPPER, ret);
}

static bool lower(struct od_jinja_render *r, const struct od_jinja_value *value,
                  const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    (void)args;
    return change_case(r, value, OD_JINJA_LOWER, ret);
}

static bool title(struct od_jinja_render *r, const struct od_jinja_value *value,
                  const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    (void)args;
    return change_case(r, value, OD_JINJA_TITLE_WORDS, ret);
}

static bool capitalize(struct od_jinja_render *r, const struct od_jinja_value *value,
                       const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    (void)args;
    return change_case(r, value, OD_JINJA_CAPITALIZE, ret);
}

static bool end_item(struct od_jinja_render *r, const struct od_jinja_value *value, bool last,
                     struct od_jinja_value *ret)
{
    struct od_jinja_list *list = NULL;
    if (!od_jinja_to_list(r, value, &list)) {
        return false;
    }
    *ret = list->count == 0 ? od_jinja_undefined(last ? "last" : "first")
                            : list->items[last ? list->count - 1 : 0];
    return true;
}

static bool first(struct od_jinja_render *r, const struct od_jinja_value *value,
                  const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    (void)args;
    return end_item(r, value, false, ret);
}

static bool last(struct od_jinja_render *r, const struct od_jinja_value *value,
                 const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    (void)args;
    return end_item(r, value, true, ret);
}

static bool as_list(struct od_jinja_render *r, const struct od_jinja_value *value,
                    const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    struct od_jinja_list *list = NULL;
    (void)args;
    if (!od_jinja_to_list(r, value, &list) || !od_jinja_list_create(r, ret)) {
        return false;
    }
    *ret->list = *list;
    ret->list->tuple = false;
    ret->list->capacity = list->count;  // a copy grows apart
    return true;
}

static bool or_default(struct od_jinja_render *r, const struct od_jinja_value *value,
                       const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    const struct od_jinja_value *fallback = od_jinja_argument(args, 0, "default_value");
    const struct od_jinja_value *boolean = od_jinja_argument(args, 1, "boolean");
    (void)r;
    const bool absent = value->kind == OD_JINJA_IS_UNDEFINED ||
                        (boolean && od_jinja_truth(boolean) && !od_jinja_truth(value));
    *ret = !absent ? *value : fallback ? *fallback : od_jinja_text("", 0);
    return true;
}

static bool as_text(struct od_jinja_render *r, const struct od_jinja_value *value,
                    const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    (void)args;
    return od_jinja_to_text(r, value, ret);
}

// The number that a text spells, blanks around it allowed.
static bool parse_number(const struct od_jinja_value *value, double *ret)
{
    char digits[NUMBER_MAX_BYTES];
    const char *text = value->text;
    size_t size = value->size;
    if (value->kind != OD_JINJA_IS_TEXT) {
        return false;
    }
    od_strip(&text, &size);
    if (size == 0 || size >= sizeof digits || memchr(text, '\0', size)) {
        return false;
    }
    memcpy(digits, text, size);
    digits[size] = '\0';
    return od_parse_double(digits, ret);
}

static bool as_int(struct od_jinja_render *r, const struct od_jinja_value *value,
                   const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    const struct od_jinja_value *fallback = od_jinja_argument(args, 0, "default");
    double number = 0;
    (void)r;
    if (value->kind == OD_JINJA_IS_INT || value->kind == OD_JINJA_IS_BOOL) {
        *ret = od_jinja_int(value->integer);
        return true;
    }
    const bool known = value->kind == OD_JINJA_IS_FLOAT || parse_number(value, &number);
    number = value->kind == OD_JINJA_IS_FLOAT ? value->number : number;
    *ret = known && fabs(number) < INT_MAX_DOUBLE ? od_jinja_int((int64_t)number)
           : fallback                             ? *fallback
                                                  : od_jinja_int(0);
    return true;
}

static bool as_float(struct od_jinja_render *r, const struct od_jinja_value *value,
                     const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    const struct od_jinja_value *fallback = od_jinja_argument(args, 0, "default");
    double number = 0;
    (void)r;
    *ret = od_jinja_is_number(value)      ? od_jinja_float(od_jinja_to_double(value))
           : parse_number(value, &number) ? od_jinja_float(number)
           : fallback                     ? *fallback
                                          : od_jinja_float(0);
    return true;
}

static bool absolute(struct od_jinja_render *r, const struct od_jinja_value *value,
                     const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    (void)args;
    const bool is_float = value->kind == OD_JINJA_IS_FLOAT;
    if (!od_jinja_is_number(value) || (!is_float && value->integer == INT64_MIN)) {
        return od_jinja_fail(r, OD_E_FORMAT, "abs needs a number");
    }
    *ret = is_float ? od_jinja_float(fabs(value->number))
                    : od_jinja_int(value->integer < 0 ? -value->integer : value->integer);
    return true;
}

static bool replace(struct od_jinja_render *r, const struct od_jinja_value *value,
                    const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    const struct od_jinja_value *old = od_jinja_argument(args, 0, "old");
    const struct od_jinja_value *with = od_jinja_argument(args, 1, "new");
    const struct od_jinja_value *count = od_jinja_argument(args, 2, "count");
    struct od_jinja_value text = {0};
    if (!old || !with || old->kind != OD_JINJA_IS_TEXT || with->kind != OD_JINJA_IS_TEXT) {
        return od_jinja_fail(r, OD_E_FORMAT, "replace needs two texts");
    }
    return od_jinja_to_text(r, value, &text) &&
           od_jinja_replace(r, &text, old, with,
                            count && count->kind == OD_JINJA_IS_INT ? count->integer : -1, ret);
}

static bool reverse(struct od_jinja_render *r, const struct od_jinja_value *value,
                    const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    const struct od_jinja_value back = od_jinja_int(-1);
    struct od_jinja_value list = *value;
    (void)args;
    if (value->kind == OD_JINJA_IS_DICT) {
        list = (struct od_jinja_value){.kind = OD_JINJA_IS_LIST};
        if (!od_jinja_to_list(r, value, &list.list)) {
            return false;
        }
    }
    return od_jinja_slice(r, &list, NULL, NULL, &back, ret);
}

static bool join(struct od_jinja_render *r, const struct od_jinja_value *value,
                 const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    const struct od_jinja_value *between = od_jinja_argument(args, 0, "d");
    struct od_jinja_value separator = od_jinja_text("", 0);
    struct od_jinja_list *list = NULL;
    struct od_buf buf;
    if (od_jinja_argument(args, 1, "attribute")) {
        return od_jinja_fail(r, OD_E_UNSUPPORTED, "join by an attribute is not supported");
    }
    if (!od_jinja_to_list(r, value, &list) ||
        (between && !od_jinja_to_text(r, between, &separator))) {
        return false;
    }
    od_buf_init(&buf, TEXT_MAX_BYTES);
    for (size_t i = 0; i < list->count; i++) {
        od_buf_append(&buf, separator.text, i > 0 ? separator.size : 0);
        if (!od_jinja_print(r, &list->items[i], false, &buf)) {
            break;
        }
    }
    return od_jinja_take(r, &buf, ret);
}

static bool items(struct od_jinja_render *r, const struct od_jinja_value *value,
                  const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    (void)args;
    if (value->kind == OD_JINJA_IS_UNDEFINED) {
        return od_jinja_list_create(r, ret);
    }
    return value->kind == OD_JINJA_IS_DICT ? od_jinja_pairs(r, value, ret)
                                           : od_jinja_fail(r, OD_E_FORMAT, "items needs a mapping");
}

static bool same(struct od_jinja_render *r, const struct od_jinja_value *value,
                 const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    (void)r;
    (void)args;
    *ret = *value;
    return true;
}

static bool indent(struct od_jinja_render *r, const struct od_jinja_value *value,
                   const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    const struct od_jinja_value *width = od_jinja_argument(args, 0, "width");
    const struct od_jinja_value *also_first = od_jinja_argument(args, 1, "first");
    const struct od_jinja_value *blank = od_jinja_argument(args, 2, "blank");
    struct od_jinja_value text = {0};
    struct od_buf buf;
    const int64_t count = width ? width->integer : 4;
    if ((width && width->kind != OD_JINJA_IS_INT) || count < 0 || count > INDENT_MAX) {
        return od_jinja_fail(r, OD_E_UNSUPPORTED, "indent takes a width of 0 to %d",
                             (int)INDENT_MAX);
    }
    if (!od_jinja_to_text(r, value, &text)) {
        return false;
    }
    od_buf_init(&buf, TEXT_MAX_BYTES);
    bool here = also_first && od_jinja_truth(also_first);
    for (size_t i = 0; i < text.size; i++) {
        if (here && (text.text[i] != '\n' || (blank && od_jinja_truth(blank)))) {
            od_buf_printf(&buf, "%*s", (int)count, "");
        }
        od_buf_putc(&buf, text.text[i]);
        here = text.text[i] == '\n';
    }
    return od_jinja_take(r, &buf, ret);
}

// a.b.0: members and items, one after the other.
static bool attribute_path(struct od_jinja_render *r, const struct od_jinja_value *value,
                           const struct od_jinja_value *path, struct od_jinja_value *ret)
{
    *ret = *value;
    if (path->kind == OD_JINJA_IS_INT) {
        return od_jinja_item(r, value, path, ret);
    }
    for (size_t at = 0; at <= path->size;) {
        const char *point = memchr(path->text + at, '.', path->size - at);
        const size_t end = point ? (size_t)(point - path->text) : path->size;
        struct od_jinja_value key = od_jinja_text(path->text + at, end - at);
        const struct od_jinja_value whole = *ret;
        int64_t number = 0;
        char digits[NUMBER_MAX_BYTES] = "";
        if (key.size > 0 && key.size < sizeof digits) {
            memcpy(digits, key.text, key.size);
        }
        if (strspn(digits, "0123456789") == key.size && od_parse_int(digits, &number)) {
            key = od_jinja_int(number);
        }
        if (!od_jinja_item(r, &whole, &key, ret)) {
            return false;
        }
        at = end + 1;
    }
    return true;
}

static bool map(struct od_jinja_render *r, const struct od_jinja_value *value,
                const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    struct od_jinja_list *list = NULL;
    const bool by_attribute =
        args->count == 1 && args->names[0] && strcmp(args->names[0], "attribute") == 0;
    int index = -1;
    if (!by_attribute) {
        if (args->count < 1 || args->names[0] || args->values[0].kind != OD_JINJA_IS_TEXT ||
            (index = od_jinja_filter_find(args->values[0].text)) < 0) {
            return od_jinja_fail(r, OD_E_UNSUPPORTED, "map takes 'attribute' or a known filter");
        }
    }
    const struct od_jinja_arguments rest = {
        .values = args->values + 1, .names = args->names + 1, .count = args->count - 1};
    if (!od_jinja_to_list(r, value, &list) || !od_jinja_list_create(r, ret)) {
        return false;
    }
    for (size_t i = 0; i < list->count; i++) {
        struct od_jinja_value item = {0};
        if (!(by_attribute ? attribute_path(r, &list->items[i], &args->values[0], &item)
                           : od_jinja_filter(r, index, &list->items[i], &rest, &item)) ||
            !od_jinja_list_add(r, ret->list, item)) {
            return false;
        }
    }
    return true;
}

// Items (`by_attribute`: a member of which) pass a test, or are true when none is named.
static bool choose(struct od_jinja_render *r, const struct od_jinja_value *value,
                   const struct od_jinja_arguments *args, bool by_attribute, bool wanted,
                   struct od_jinja_value *ret)
{
    struct od_jinja_list *list = NULL;
    const size_t skip = by_attribute;
    int index = -1;
    if (by_attribute && args->count < 1) {
        return od_jinja_fail(r, OD_E_FORMAT, "the name of an attribute is missing");
    }
    if (args->count > skip && (args->values[skip].kind != OD_JINJA_IS_TEXT ||
                               (index = od_jinja_test_find(args->values[skip].text)) < 0)) {
        return od_jinja_fail(r, OD_E_UNSUPPORTED, "select and reject take a known test");
    }
    const size_t used = skip + (index >= 0);
    const struct od_jinja_arguments rest = {
        .values = args->values + used, .names = args->names + used, .count = args->count - used};
    if (!od_jinja_to_list(r, value, &list) || !od_jinja_list_create(r, ret)) {
        return false;
    }
    for (size_t i = 0; i < list->count; i++) {
        struct od_jinja_value looked_at = list->items[i];
        if (by_attribute && !attribute_path(r, &list->items[i], &args->values[0], &looked_at)) {
            return false;
        }
        bool passes = od_jinja_truth(&looked_at);
        if (!od_jinja_step(r, 1) ||
            (index >= 0 && !od_jinja_test(r, index, &looked_at, &rest, &passes)) ||
            (passes == wanted && !od_jinja_list_add(r, ret->list, list->items[i]))) {
            return false;
        }
    }
    return true;
}

static bool select_items(struct od_jinja_render *r, const struct od_jinja_value *value,
                         const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    return choose(r, value, args, false, true, ret);
}

static bool reject_items(struct od_jinja_render *r, const struct od_jinja_value *value,
                         const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    return choose(r, value, args, false, false, ret);
}

static bool select_attribute(struct od_jinja_render *r, const struct od_jinja_value *value,
                             const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    return choose(r, value, args, true, true, ret);
}

static bool reject_attribute(struct od_jinja_render *r, const struct od_jinja_value *value,
                             const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    return choose(r, value, args, true, false, ret);
}

static const struct {
    const char *name;
    filter run;
} filters[] = {
    {"tojson", tojson},
    {"trim", trim},
    {"length", length},
    {"count", length},
    {"upper", upper},
    {"lower", lower},
    {"title", title},
    {"capitalize", capitalize},
    {"first", first},
    {"last", last},
    {"list", as_list},
    {"default", or_default},
    {"d", or_default},
    {"string", as_text},
    {"int", as_int},
    {"float", as_float},
    {"abs", absolute},
    {"replace", replace},
    {"reverse", reverse},
    {"join", join},
    {"items", items},
    {"safe", same},
    {"indent", indent},
    {"map", map},
    {"select", select_items},
    {"reject", reject_items},
    {"selectattr", select_attribute},
    {"rejectattr", reject_attribute},
};

int od_jinja_filter_find(const char *name)
{
    for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++) {
        if (strcmp(filters[i].name, name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

bool od_jinja_filter(struct od_jinja_render *r, int index, const struct od_jinja_value *value,
                     const struct od_jinja_arguments *arguments, struct od_jinja_value *ret)
{
    const size_t bytes = value->kind == OD_JINJA_IS_TEXT ? value->size : 0;
    return od_jinja_step(r, 1 + bytes / 64) && filters[index].run(r, value, arguments, ret);
}
