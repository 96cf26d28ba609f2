#include "formats/json.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "formats/text_file.h"

// Jansson does not tell "no memory" and "no JSON" apart, and its parser is not safe without memory:
// where it gathers the bytes of a token it goes on without the byte it had no room for, and takes
// back another. So the allocator remembers that it had to refuse, and while the parser is at work a
// refusal that a test asked for is only remembered. One pair of flags for each thread.
static _Thread_local bool refused_memory;
static _Thread_local bool parsing;

static void *json_malloc(size_t size)
{
    return parsing ? od_alloc_insist(size, 1, &refused_memory) : od_alloc(size, 1);
}

// Jansson takes its memory through od_alloc, so that limits and fault tests reach it. Set before
// main, while there is one thread; what malloc gave earlier may still be freed.
__attribute__((constructor)) static void json_use_our_memory(void)
{
    json_set_alloc_funcs(json_malloc, od_free);
}

// Jansson recurses: refuse deep nesting before it starts. Counts brackets outside of strings.
static enum od_status check_depth(const char *text, size_t size, const char *name,
                                  size_t first_line, struct od_error *err)
{
    size_t line = first_line;
    size_t line_start = 0;
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < size; i++) {
        const char c = text[i];
        if (c == '\n') {
            line++;
            line_start = i + 1;
        }
        if (in_string) {
            if (c == '\\') {
                i++;
            } else if (c == '"') {
                in_string = false;
            }
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            depth++;
            if (depth > OD_JSON_READ_DEPTH_MAX) {
                return od_fail(err, OD_E_LIMIT, "%s:%zu:%zu: nested deeper than %d", name, line,
                               i - line_start + 1, (int)OD_JSON_READ_DEPTH_MAX);
            }
        } else if (c == ']' || c == '}') {
            depth--;
        }
    }
    return OD_OK;
}

static enum od_status parse(const char *text, size_t size, const char *name, size_t first_line,
                            size_t flags, json_t **ret, struct od_error *err)
{
    json_error_t error;
    const enum od_status status = check_depth(text, size, name, first_line, err);
    if (status != OD_OK) {
        return status;
    }
    refused_memory = false;
    parsing = true;
    json_t *value = json_loadb(text, size, flags | JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    parsing = false;
    if (value && !refused_memory) {
        *ret = value;
        return OD_OK;
    }
    if (refused_memory) {
        json_decref(value);
        return od_fail(err, OD_E_MEMORY, "no memory for the JSON of '%s'", name);
    }
    for (char *c = error.text; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20) {
            *c = ' ';  // a message is one line
        }
    }
    const size_t line = first_line + (error.line > 0 ? (size_t)error.line - 1 : 0);
    return od_fail(err, OD_E_FORMAT, "%s:%zu:%d: %s", name, line, error.column, error.text);
}

enum od_status od_json_parse_at(const char *text, size_t size, const char *name, size_t first_line,
                                json_t **ret, struct od_error *err)
{
    return parse(text, size, name, first_line, JSON_REJECT_DUPLICATES, ret, err);
}

enum od_status od_json_parse_lenient(const char *text, size_t size, const char *name, json_t **ret,
                                     struct od_error *err)
{
    return parse(text, size, name, 1, 0, ret, err);
}

enum od_status od_json_parse(const char *text, size_t size, const char *name, json_t **ret,
                             struct od_error *err)
{
    return od_json_parse_at(text, size, name, 1, ret, err);
}

enum od_status od_json_read(const char *path, json_t **ret, struct od_error *err)
{
    char *text = NULL;
    size_t size = 0;
    enum od_status status = od_text_read(path, OD_JSON_FILE_MAX_BYTES, &text, &size, err);
    if (status == OD_OK) {
        status = od_json_parse(text, size, path, ret, err);
    }
    od_free(text);
    return status;
}

static const char *type_name(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "an array";
    case JSON_STRING: return "a text";
    case JSON_INTEGER: return "an integer";
    case JSON_REAL: return "a number with a fraction";
    case JSON_TRUE: return "true";
    case JSON_FALSE: return "false";
    case JSON_NULL: return "null";
    }
    return "nothing";
}

// Lend the member, NULL when it is absent or null.
static const json_t *member(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    return !value || json_is_null(value) ? NULL : value;
}

#define WRONG_TYPE(err, where, key, want, value) \
    od_fail(err, OD_E_FORMAT, "%s: '%s' must be %s and is %s", where, key, want, type_name(value))

#define ABSENT(err, where, key) od_fail(err, OD_E_FORMAT, "%s: '%s' is missing", where, key)

static enum od_status value_text(const json_t *value, const char *key, const char *where,
                                 const char **ret, struct od_error *err)
{
    if (!json_is_string(value)) {
        return WRONG_TYPE(err, where, key, "a text", value);
    }
    const char *text = json_string_value(value);
    if (strlen(text) != json_string_length(value)) {
        return od_fail(err, OD_E_FORMAT, "%s: the text of '%s' holds a NUL", where, key);
    }
    *ret = text;
    return OD_OK;
}

static enum od_status value_int(const json_t *value, const char *key, const char *where,
                                int64_t *ret, struct od_error *err)
{
    if (!json_is_integer(value)) {
        return WRONG_TYPE(err, where, key, "an integer", value);
    }
    *ret = json_integer_value(value);
    return OD_OK;
}

enum od_status od_json_text(const json_t *object, const char *key, const char *where,
                            const char **ret, struct od_error *err)
{
    const json_t *value = json_object_get(object, key);
    if (!value) {
        return ABSENT(err, where, key);
    }
    return value_text(value, key, where, ret, err);
}

enum od_status od_json_int(const json_t *object, const char *key, const char *where, int64_t *ret,
                           struct od_error *err)
{
    const json_t *value = json_object_get(object, key);
    if (!value) {
        return ABSENT(err, where, key);
    }
    return value_int(value, key, where, ret, err);
}

enum od_status od_json_text_or(const json_t *object, const char *key, const char *where,
                               const char *fallback, const char **ret, struct od_error *err)
{
    const json_t *value = member(object, key);
    if (!value) {
        *ret = fallback;
        return OD_OK;
    }
    return value_text(value, key, where, ret, err);
}

enum od_status od_json_int_or(const json_t *object, const char *key, const char *where,
                              int64_t fallback, int64_t *ret, struct od_error *err)
{
    const json_t *value = member(object, key);
    if (!value) {
        *ret = fallback;
        return OD_OK;
    }
    return value_int(value, key, where, ret, err);
}

enum od_status od_json_number_or(const json_t *object, const char *key, const char *where,
                                 double fallback, double *ret, struct od_error *err)
{
    const json_t *value = member(object, key);
    if (value && !json_is_number(value)) {
        return WRONG_TYPE(err, where, key, "a number", value);
    }
    *ret = value ? json_number_value(value) : fallback;
    return OD_OK;
}

enum od_status od_json_bool_or(const json_t *object, const char *key, const char *where,
                               bool fallback, bool *ret, struct od_error *err)
{
    const json_t *value = member(object, key);
    if (value && !json_is_boolean(value)) {
        return WRONG_TYPE(err, where, key, "true or false", value);
    }
    *ret = value ? json_is_true(value) : fallback;
    return OD_OK;
}
