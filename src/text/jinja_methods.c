// Methods of texts, mappings and lists that change nothing, and the functions of the language.
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <utf8proc.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "text/jinja_internal.h"
#include "text/jinja_text.h"

enum { RANGE_MAX = 100000, TEXT_MAX_BYTES = 256 << 20 };

typedef bool (*method)(struct od_jinja_render *r, const struct od_jinja_value *self,
                       const struct od_jinja_arguments *args, struct od_jinja_value *ret);

static bool text_argument(struct od_jinja_render *r, const struct od_jinja_arguments *args,
                          size_t index, const char *name, const struct od_jinja_value **ret)
{
    *ret = od_jinja_argument(args, index, name);
    return (*ret && (*ret)->kind == OD_JINJA_IS_TEXT) ||
           od_jinja_fail(r, OD_E_FORMAT, "the argument '%s' must be a text", name);
}

static bool int_argument(struct od_jinja_render *r, const struct od_jinja_arguments *args,
                         size_t index, const char *name, int64_t fallback, int64_t *ret)
{
    const struct od_jinja_value *value = od_jinja_argument(args, index, name);
    *ret = value ? value->integer : fallback;
    return !value || value->kind == OD_JINJA_IS_INT || value->kind == OD_JINJA_IS_BOOL ||
           od_jinja_fail(r, OD_E_FORMAT, "the argument '%s' must be an int", name);
}

bool od_jinja_strip(struct od_jinja_render *r, const struct od_jinja_value *text,
                    const struct od_jinja_value *set, bool left, bool right,
                    struct od_jinja_value *ret)
{
    struct od_jinja_value part = *text;
    uint32_t code = 0;
    if (set && set->kind != OD_JINJA_IS_TEXT && set->kind != OD_JINJA_IS_NONE) {
        return od_jinja_fail(r, OD_E_FORMAT, "the characters to strip must be a text");
    }
    const bool spaces = !set || set->kind == OD_JINJA_IS_NONE;
    while (left && part.size > 0) {
        const int length = od_utf8_decode(part.text, part.size, &code);
        const size_t size = length > 0 ? (size_t)length : 1;
        if (spaces ? !od_is_space(code) : !memmem(set->text, set->size, part.text, size)) {
            break;
        }
        part.text += size;
        part.size -= size;
    }
    while (right && part.size > 0) {
        size_t at = part.size - 1;
        while (at > 0 && ((unsigned char)part.text[at] & 0xC0) == 0x80) {
            at--;
        }
        const size_t size = part.size - at;
        (void)od_utf8_decode(part.text + at, size, &code);
        if (spaces ? !od_is_space(code) : !memmem(set->text, set->size, part.text + at, size)) {
            break;
        }
        part.size = at;
    }
    *ret = part;
    return true;
}

bool od_jinja_case(struct od_jinja_render *r, const struct od_jinja_value *text,
                   enum od_jinja_case_kind kind, struct od_jinja_value *ret)
{
    struct od_buf buf;
    bool inside = false;  // of a word
    od_buf_init(&buf, TEXT_MAX_BYTES);
    for (size_t i = 0; i < text->size;) {
        uint32_t code = 0;
        char bytes[4];
        const int length = od_utf8_decode(text->text + i, text->size - i, &code);
        const utf8proc_int32_t old = (utf8proc_int32_t)code;
        const bool upper = kind == OD_JINJA_UPPER || (kind != OD_JINJA_LOWER && !inside);
        const utf8proc_int32_t new = upper ? utf8proc_toupper(old) : utf8proc_tolower(old);
        od_buf_append(&buf, bytes, (size_t)od_utf8_encode((uint32_t)new, bytes));
        if (kind == OD_JINJA_CAPITALIZE) {
            inside = true;
        } else if (kind == OD_JINJA_TITLE_WORDS) {  // the filter: behind white space and -({[<
            inside = !od_is_space(code) && (code >= 128 || !strchr("-({[<", (int)code));
        } else {  // the method: behind what is no letter
            inside = utf8proc_toupper(old) != old || utf8proc_tolower(old) != old;
        }
        i += length > 0 ? (size_t)length : 1;
    }
    return od_jinja_take(r, &buf, ret);
}

bool od_jinja_replace(struct od_jinja_render *r, const struct od_jinja_value *text,
                      const struct od_jinja_value *old, const struct od_jinja_value *with,
                      int64_t count, struct od_jinja_value *ret)
{
    struct od_buf buf;
    size_t at = 0;
    if (old->size == 0) {
        return od_jinja_fail(r, OD_E_UNSUPPORTED, "replacing an empty text is not supported");
    }
    od_buf_init(&buf, TEXT_MAX_BYTES);
    for (; count != 0; count--) {
        const char *found = memmem(text->text + at, text->size - at, old->text, old->size);
        if (!found) {
            break;
        }
        od_buf_append(&buf, text->text + at, (size_t)(found - text->text) - at);
        od_buf_append(&buf, with->text, with->size);
        at = (size_t)(found - text->text) + old->size;
    }
    od_buf_append(&buf, text->text + at, text->size - at);
    return od_jinja_take(r, &buf, ret);
}

static bool strip_both(struct od_jinja_render *r, const struct od_jinja_value *self,
                       const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    return od_jinja_strip(r, self, od_jinja_argument(args, 0, "chars"), true, true, ret);
}

static bool strip_left(struct od_jinja_render *r, const struct od_jinja_value *self,
                       const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    return od_jinja_strip(r, self, od_jinja_argument(args, 0, "chars"), true, false, ret);
}

static bool strip_right(struct od_jinja_render *r, const struct od_jinja_value *self,
                        const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    return od_jinja_strip(r, self, od_jinja_argument(args, 0, "chars"), false, true, ret);
}

static bool upper(struct od_jinja_render *r, const struct od_jinja_value *self,
                  const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    (void)args;
    return od_jinja_case(r, self, OD_JINJA_UPPER, ret);
}

static bool lower(struct od_jinja_render *r, const struct od_jinja_value *self,
                  const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    (void)args;
    return od_jinja_case(r, self, OD_JINJA_LOWER, ret);
}

static bool title(struct od_jinja_render *r, const struct od_jinja_value *self,
                  const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    (void)args;
    return od_jinja_case(r, self, OD_JINJA_TITLE, ret);
}

static bool capitalize(struct od_jinja_render *r, const struct od_jinja_value *self,
                       const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    (void)args;
    return od_jinja_case(r, self, OD_JINJA_CAPITALIZE, ret);
}

// Does `self` start or end with a text, or with one of a tuple of them?
static bool has_end(struct od_jinja_render *r, const struct od_jinja_value *self,
                    const struct od_jinja_arguments *args, bool start, struct od_jinja_value *ret)
{
    const struct od_jinja_value *end = od_jinja_argument(args, 0, "prefix");
    const bool list = end && end->kind == OD_JINJA_IS_LIST && end->list->tuple;
    const size_t count = list ? end->list->count : 1;
    bool found = false;
    for (size_t i = 0; i < count; i++) {
        const struct od_jinja_value *one = list ? &end->list->items[i] : end;
        if (!one || one->kind != OD_JINJA_IS_TEXT) {
            return od_jinja_fail(r, OD_E_FORMAT, "what a text starts or ends with must be a text");
        }
        found = found ||
                (self->size >= one->size &&
                 (one->size == 0 || memcmp(start ? self->text : self->text + self->size - one->size,
                                           one->text, one->size) == 0));
    }
    *ret = od_jinja_bool(found);
    return true;
}

static bool startswith(struct od_jinja_render *r, const struct od_jinja_value *self,
                       const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    return has_end(r, self, args, true, ret);
}

static bool endswith(struct od_jinja_render *r, const struct od_jinja_value *self,
                     const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    return has_end(r, self, args, false, ret);
}

static bool remove_end(struct od_jinja_render *r, const struct od_jinja_value *self,
                       const struct od_jinja_arguments *args, bool start,
                       struct od_jinja_value *ret)
{
    const struct od_jinja_value *end = NULL;
    struct od_jinja_value has = {0};
    if (!text_argument(r, args, 0, "prefix", &end) || !has_end(r, self, args, start, &has)) {
        return false;
    }
    const size_t size = has.integer ? end->size : 0;
    *ret = od_jinja_text(start ? self->text + size : self->text, self->size - size);
    return true;
}

static bool removeprefix(struct od_jinja_render *r, const struct od_jinja_value *self,
                         const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    return remove_end(r, self, args, true, ret);
}

static bool removesuffix(struct od_jinja_render *r, const struct od_jinja_value *self,
                         const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    return remove_end(r, self, args, false, ret);
}

static bool replace(struct od_jinja_render *r, const struct od_jinja_value *self,
                    const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    const struct od_jinja_value *old = NULL;
    const struct od_jinja_value *with = NULL;
    int64_t count = -1;
    return text_argument(r, args, 0, "old", &old) && text_argument(r, args, 1, "new", &with) &&
           int_argument(r, args, 2, "count", -1, &count) &&
           od_jinja_replace(r, self, old, with, count, ret);
}

static bool add_part(struct od_jinja_render *r, struct od_jinja_value *list, const char *text,
                     size_t size)
{
    return od_jinja_step(r, 1) && od_jinja_list_add(r, list->list, od_jinja_text(text, size));
}

// Without a separator: at runs of white space, none of which is part of anything.
static bool split_space(struct od_jinja_render *r, const struct od_jinja_value *self, int64_t most,
                        struct od_jinja_value *ret)
{
    struct od_jinja_value rest = *self;
    for (;;) {
        uint32_t code = 0;
        size_t end = 0;
        if (!od_jinja_strip(r, &rest, NULL, true, false, &rest)) {
            return false;
        }
        if (rest.size == 0) {
            return true;
        }
        if (most-- == 0) {
            return add_part(r, ret, rest.text, rest.size);
        }
        while (end < rest.size) {
            const int length = od_utf8_decode(rest.text + end, rest.size - end, &code);
            if (length > 0 && od_is_space(code)) {
                break;
            }
            end += length > 0 ? (size_t)length : 1;
        }
        if (!add_part(r, ret, rest.text, end)) {
            return false;
        }
        rest.text += end;
        rest.size -= end;
    }
}

static bool split(struct od_jinja_render *r, const struct od_jinja_value *self,
                  const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    const struct od_jinja_value *by = od_jinja_argument(args, 0, "sep");
    int64_t most = -1;
    size_t at = 0;
    if (!int_argument(r, args, 1, "maxsplit", -1, &most) || !od_jinja_list_create(r, ret)) {
        return false;
    }
    if (!by || by->kind == OD_JINJA_IS_NONE) {
        return split_space(r, self, most, ret);
    }
    if (by->kind != OD_JINJA_IS_TEXT || by->size == 0) {
        return od_jinja_fail(r, OD_E_FORMAT, "a text is split at a text that is not empty");
    }
    for (; most != 0; most--) {
        const char *found = memmem(self->text + at, self->size - at, by->text, by->size);
        if (!found) {
            break;
        }
        const size_t end = (size_t)(found - self->text);
        if (!add_part(r, ret, self->text + at, end - at)) {
            return false;
        }
        at = end + by->size;
    }
    return add_part(r, ret, self->text + at, self->size - at);
}

static bool rsplit(struct od_jinja_render *r, const struct od_jinja_value *self,
                   const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    struct od_jinja_value parts = {0};
    int64_t most = -1;
    const struct od_jinja_value *by = NULL;
    if (!int_argument(r, args, 1, "maxsplit", -1, &most) ||
        !text_argument(r, args, 0, "sep", &by)) {
        return false;
    }
    struct od_jinja_value separator = *by;
    const struct od_jinja_arguments all = {.values = &separator, .names = args->names, .count = 1};
    if (!split(r, self, &all, &parts) || !od_jinja_list_create(r, ret)) {
        return false;
    }
    // The first parts are one again: what stands in front of the others.
    const size_t count = parts.list->count;
    const size_t joined = most < 0 || (size_t)most >= count ? 0 : count - (size_t)most - 1;
    const struct od_jinja_value *last = &parts.list->items[joined];
    bool ok = add_part(r, ret, self->text, (size_t)(last->text + last->size - self->text));
    for (size_t i = joined + 1; ok && i < count; i++) {
        ok = od_jinja_list_add(r, ret->list, parts.list->items[i]);
    }
    return ok;
}

static bool find(struct od_jinja_render *r, const struct od_jinja_value *self,
                 const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    const struct od_jinja_value *part = NULL;
    if (!text_argument(r, args, 0, "sub", &part)) {
        return false;
    }
    const char *found =
        part->size == 0 ? self->text : memmem(self->text, self->size, part->text, part->size);
    *ret =
        od_jinja_int(found ? (int64_t)od_utf8_count(self->text, (size_t)(found - self->text)) : -1);
    return true;
}

static bool count_text(struct od_jinja_render *r, const struct od_jinja_value *self,
                       const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    struct od_jinja_value parts = {0};
    const struct od_jinja_value *part = NULL;
    if (!text_argument(r, args, 0, "sub", &part) || !split(r, self, args, &parts)) {
        return false;
    }
    *ret = od_jinja_int((int64_t)parts.list->count - 1);
    return true;
}

static bool join(struct od_jinja_render *r, const struct od_jinja_value *self,
                 const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    const struct od_jinja_value *parts = od_jinja_argument(args, 0, "iterable");
    struct od_jinja_list *list = NULL;
    struct od_buf buf;
    if (!parts || !od_jinja_to_list(r, parts, &list)) {
        return od_jinja_fail(r, OD_E_FORMAT, "join needs a list");
    }
    od_buf_init(&buf, TEXT_MAX_BYTES);
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i].kind != OD_JINJA_IS_TEXT) {
            (void)od_jinja_fail(r, OD_E_FORMAT, "join needs a list of texts");
            break;
        }
        od_buf_append(&buf, self->text, i > 0 ? self->size : 0);
        od_buf_append(&buf, list->items[i].text, list->items[i].size);
    }
    return od_jinja_take(r, &buf, ret);
}

bool od_jinja_pairs(struct od_jinja_render *r, const struct od_jinja_value *dict,
                    struct od_jinja_value *ret)
{
    if (!od_jinja_list_create(r, ret)) {
        return false;
    }
    for (size_t i = 0; i < dict->dict->count; i++) {
        struct od_jinja_value pair = {0};
        if (!od_jinja_step(r, 1) || !od_jinja_list_create(r, &pair)) {
            return false;
        }
        pair.list->tuple = true;
        if (!od_jinja_list_add(r, pair.list, dict->dict->keys[i]) ||
            !od_jinja_list_add(r, pair.list, dict->dict->values[i]) ||
            !od_jinja_list_add(r, ret->list, pair)) {
            return false;
        }
    }
    return true;
}

static bool items(struct od_jinja_render *r, const struct od_jinja_value *self,
                  const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    (void)args;
    return od_jinja_pairs(r, self, ret);
}

static bool members(struct od_jinja_render *r, const struct od_jinja_value *from, size_t count,
                    struct od_jinja_value *ret)
{
    bool ok = od_jinja_list_create(r, ret);
    for (size_t i = 0; ok && i < count; i++) {
        ok = od_jinja_list_add(r, ret->list, from[i]);
    }
    return ok;
}

static bool keys(struct od_jinja_render *r, const struct od_jinja_value *self,
                 const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    (void)args;
    return members(r, self->dict->keys, self->dict->count, ret);
}

static bool values(struct od_jinja_render *r, const struct od_jinja_value *self,
                   const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    (void)args;
    return members(r, self->dict->values, self->dict->count, ret);
}

static bool get(struct od_jinja_render *r, const struct od_jinja_value *self,
                const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    const struct od_jinja_value *key = od_jinja_argument(args, 0, "key");
    const struct od_jinja_value *fallback = od_jinja_argument(args, 1, "default");
    if (!key) {
        return od_jinja_fail(r, OD_E_FORMAT, "get needs a key");
    }
    const struct od_jinja_value *member = od_jinja_dict_find(self->dict, key);
    *ret = member ? *member : fallback ? *fallback : od_jinja_none();
    return true;
}

static bool index_or_count(struct od_jinja_render *r, const struct od_jinja_value *self,
                           const struct od_jinja_arguments *args, bool counting,
                           struct od_jinja_value *ret)
{
    const struct od_jinja_value *wanted = od_jinja_argument(args, 0, "value");
    int64_t count = 0;
    if (!wanted || !od_jinja_step(r, 1 + self->list->count)) {
        return od_jinja_fail(r, OD_E_FORMAT, "a value to look for is missing");
    }
    for (size_t i = 0; i < self->list->count; i++) {
        const bool same = od_jinja_equal(&self->list->items[i], wanted, 0);
        if (same && !counting) {
            *ret = od_jinja_int((int64_t)i);
            return true;
        }
        count += same;
    }
    *ret = od_jinja_int(count);
    return counting || od_jinja_fail(r, OD_E_FORMAT, "the value is not in the list");
}

static bool list_index(struct od_jinja_render *r, const struct od_jinja_value *self,
                       const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    return index_or_count(r, self, args, false, ret);
}

static bool list_count(struct od_jinja_render *r, const struct od_jinja_value *self,
                       const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    return index_or_count(r, self, args, true, ret);
}

static const struct {
    enum od_jinja_value_kind kind;
    const char *name;
    method run;
} methods[] = {
    {OD_JINJA_IS_TEXT, "strip", strip_both},
    {OD_JINJA_IS_TEXT, "lstrip", strip_left},
    {OD_JINJA_IS_TEXT, "rstrip", strip_right},
    {OD_JINJA_IS_TEXT, "upper", upper},
    {OD_JINJA_IS_TEXT, "lower", lower},
    {OD_JINJA_IS_TEXT, "title", title},
    {OD_JINJA_IS_TEXT, "capitalize", capitalize},
    {OD_JINJA_IS_TEXT, "startswith", startswith},
    {OD_JINJA_IS_TEXT, "endswith", endswith},
    {OD_JINJA_IS_TEXT, "removeprefix", removeprefix},
    {OD_JINJA_IS_TEXT, "removesuffix", removesuffix},
    {OD_JINJA_IS_TEXT, "replace", replace},
    {OD_JINJA_IS_TEXT, "split", split},
    {OD_JINJA_IS_TEXT, "rsplit", rsplit},
    {OD_JINJA_IS_TEXT, "find", find},
    {OD_JINJA_IS_TEXT, "count", count_text},
    {OD_JINJA_IS_TEXT, "join", join},
    {OD_JINJA_IS_DICT, "items", items},
    {OD_JINJA_IS_DICT, "keys", keys},
    {OD_JINJA_IS_DICT, "values", values},
    {OD_JINJA_IS_DICT, "get", get},
    {OD_JINJA_IS_LIST, "index", list_index},
    {OD_JINJA_IS_LIST, "count", list_count},
};

static method find_method(enum od_jinja_value_kind kind, const char *name)
{
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        if (methods[i].kind == kind && strcmp(methods[i].name, name) == 0) {
            return methods[i].run;
        }
    }
    return NULL;
}

bool od_jinja_has_method(const struct od_jinja_value *value, const char *name)
{
    return find_method(value->kind, name) != NULL;
}

bool od_jinja_method(struct od_jinja_render *r, const struct od_jinja_value *method_value,
                     const struct od_jinja_arguments *arguments, struct od_jinja_value *ret)
{
    const method run = find_method(method_value->self->kind, method_value->text);
    const size_t bytes =
        method_value->self->kind == OD_JINJA_IS_TEXT ? method_value->self->size : 0;
    return od_jinja_step(r, 1 + bytes / 64) && run(r, method_value->self, arguments, ret);
}

static bool make_range(struct od_jinja_render *r, const struct od_jinja_arguments *args,
                       struct od_jinja_value *ret)
{
    int64_t bounds[3] = {0, 0, 1};
    for (size_t i = 0; i < 3; i++) {
        if (!int_argument(r, args, i, "range", bounds[i], &bounds[i])) {
            return false;
        }
    }
    const int64_t from = args->count > 1 ? bounds[0] : 0;
    const int64_t to = args->count > 1 ? bounds[1] : bounds[0];
    const int64_t by = bounds[2];
    if (args->count < 1 || by == 0 || from < INT32_MIN || from > INT32_MAX || to < INT32_MIN ||
        to > INT32_MAX || by < INT32_MIN || by > INT32_MAX || (to - from) / by > RANGE_MAX) {
        return od_jinja_fail(r, OD_E_LIMIT, "a range of this size is not supported");
    }
    bool ok = od_jinja_list_create(r, ret);
    for (int64_t i = from; ok && (by > 0 ? i < to : i > to); i += by) {
        ok = od_jinja_step(r, 1) && od_jinja_list_add(r, ret->list, od_jinja_int(i));
    }
    return ok;
}

static bool make_dict(struct od_jinja_render *r, const struct od_jinja_arguments *args,
                      struct od_jinja_value *ret)
{
    bool ok = od_jinja_dict_create(r, ret);
    for (size_t i = 0; ok && i < args->count; i++) {
        const char *name = args->names[i];
        ok = name ? od_jinja_dict_set(r, ret->dict, od_jinja_text(name, strlen(name)),
                                      args->values[i])
                  : od_jinja_fail(r, OD_E_UNSUPPORTED, "only named arguments are supported here");
    }
    return ok;
}

static bool refuse(struct od_jinja_render *r, const struct od_jinja_arguments *args)
{
    const struct od_jinja_value *what = od_jinja_argument(args, 0, "message");
    struct od_jinja_value text = od_jinja_text("", 0);
    if (what && !od_jinja_to_text(r, what, &text)) {
        return false;
    }
    return od_jinja_fail(r, OD_E_FORMAT, "the template refuses: %.*s",
                         text.size > 400 ? 400 : (int)text.size, text.text);
}

bool od_jinja_is_function(const char *name)
{
    static const char *const names[] = {"range", "dict", "namespace", "raise_exception"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

bool od_jinja_function(struct od_jinja_render *r, const char *name,
                       const struct od_jinja_arguments *arguments, struct od_jinja_value *ret)
{
    if (strcmp(name, "range") == 0) {
        return make_range(r, arguments, ret);
    }
    if (strcmp(name, "raise_exception") == 0) {
        return refuse(r, arguments);
    }
    const bool ok = make_dict(r, arguments, ret);
    if (ok && strcmp(name, "namespace") == 0) {
        ret->kind = OD_JINJA_IS_NAMESPACE;
    }
    return ok;
}
