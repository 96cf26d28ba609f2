// A body is a JSON object in UTF-8, an empty list being an empty one. How a member of another type than its field's is taken:
//
//     field     takes                                              else
//     text      string; number and boolean as Python prints them   type_error.str
//     integer   integer; real, cut towards 0; true and false;      type_error.integer
//               a string that Python's int() reads
//     number    number; true and false; a string that              type_error.float
//               Python's float() reads; must be finite
//     boolean   true, false, 0, 1, and the strings of BOOL_TEXTS   type_error.bool
//     list      an array, its items as above                       type_error.list
//     any       null where the field allows it                     type_error.none.not_allowed

#include "serve/fields.h"

#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "formats/json.h"

enum { MESSAGE_BYTES = 256, NUMBER_TEXT_MAX_BYTES = 64, ERRORS_MAX = 100 };
#define BODY_ARENA_MAX_BYTES ((size_t)1 << 30)

/** A body while it is read. */
struct reading {
    struct od_body *body;
    struct od_json_writer writer;
    size_t error_count;
    const char *field;
    int64_t item;  ///< of a list, -1: the field itself
    bool no_memory;
};

void od_body_init(struct od_body *body)
{
    *body = (struct od_body){.root = NULL};
    od_arena_init(&body->arena, BODY_ARENA_MAX_BYTES);
}

void od_body_release(struct od_body *body)
{
    json_decref(body->root);
    od_arena_release(&body->arena);
    od_body_init(body);
}

/** Write {"loc":[...],"msg":...,"type":...}; `offset` < 0 and `field` NULL leave them out. */
static void write_error(struct od_json_writer *w, const char *field, int64_t item,
                        const char *message, const char *type)
{
    od_json_object_begin(w);
    od_json_key(w, "loc");
    od_json_array_begin(w);
    od_json_put_text(w, "body");
    if (field) {
        od_json_put_text(w, field);
    }
    if (item >= 0) {
        od_json_put_int(w, item);
    }
    od_json_array_end(w);
    od_json_member_text(w, "msg", message);
    od_json_member_text(w, "type", type);
    od_json_object_end(w);
}

static void detail_begin(struct od_json_writer *w, struct od_buf *out)
{
    od_json_writer_init(w, out, OD_JSON_COMPACT, /* ascii= */ false);
    od_json_object_begin(w);
    od_json_key(w, "detail");
    od_json_array_begin(w);
}

static void detail_end(struct od_json_writer *w)
{
    od_json_array_end(w);
    od_json_object_end(w);
}

void od_detail_write(struct od_buf *out, const char *field, const char *message, const char *type)
{
    od_detail_write_item(out, field, -1, message, type);
}

void od_detail_write_item(struct od_buf *out, const char *field, int64_t item, const char *message,
                          const char *type)
{
    struct od_json_writer w;
    detail_begin(&w, out);
    write_error(&w, field, item, message, type);
    detail_end(&w);
}

/** Note an error about the field or item in hand. */
OD_PRINTF(3, 4)
static void complain(struct reading *reading, const char *type, const char *format, ...)
{
    char message[MESSAGE_BYTES];
    va_list args;
    reading->error_count++;
    if (reading->error_count > ERRORS_MAX) {
        return;  // the first ones say enough
    }
    va_start(args, format);
    (void)vsnprintf(message, sizeof message, format, args);
    va_end(args);
    write_error(&reading->writer, reading->field, reading->item, message, type);
}

/** The text of a JSON string without white space around it, or NULL when it is no number. */
static const char *number_text(const json_t *value, char out[NUMBER_TEXT_MAX_BYTES])
{
    const char *text = json_string_value(value);
    size_t size = json_string_length(value);
    od_strip(&text, &size);
    if (size == 0 || size >= NUMBER_TEXT_MAX_BYTES || strlen(text) < size) {
        return NULL;
    }
    // Python allows one underscore between two digits.
    size_t used = 0;
    for (size_t i = 0; i < size; i++) {
        const bool between = i > 0 && i + 1 < size && text[i - 1] >= '0' && text[i - 1] <= '9' &&
                             text[i + 1] >= '0' && text[i + 1] <= '9';
        if (text[i] != '_') {
            out[used++] = text[i];
        } else if (!between) {
            return NULL;
        }
    }
    out[used] = '\0';
    return out;
}

/** An integer, or the nearest that there is room for; false when it is none. */
static bool take_integer(const json_t *value, int64_t *ret)
{
    char room[NUMBER_TEXT_MAX_BYTES];
    char *end = room;
    const char *text = NULL;
    double number = 0.0;
    switch (json_typeof(value)) {
    case JSON_INTEGER: *ret = json_integer_value(value); return true;
    case JSON_REAL:
        number = json_real_value(value);
        *ret = number >= 0x1p63    ? INT64_MAX
               : number <= -0x1p63 ? INT64_MIN
                                   : (int64_t)number;  // cut towards 0
        return true;
    case JSON_TRUE:
    case JSON_FALSE: *ret = json_is_true(value) ? 1 : 0; return true;
    case JSON_STRING:
        text = number_text(value, room);
        *ret = text ? strtoll(text, &end, 10) : 0;
        return text && end != text && *end == '\0';
    case JSON_OBJECT:
    case JSON_ARRAY:
    case JSON_NULL: return false;
    }
    return false;
}

static bool read_integer(struct reading *reading, const struct od_field *field, const json_t *value,
                         int64_t *ret)
{
    if (json_is_null(value)) {
        complain(reading, "type_error.none.not_allowed", "none is not an allowed value");
        return false;
    }
    if (!take_integer(value, ret)) {
        complain(reading, "type_error.integer", "value is not a valid integer");
        return false;
    }
    if (*ret < field->min) {
        complain(reading, "value_error.number.not_ge",
                 "ensure this value is greater than or equal to %lld", (long long)field->min);
        return false;
    }
    if (*ret > field->max) {
        complain(reading, "value_error.number.not_le",
                 "ensure this value is less than or equal to %lld", (long long)field->max);
        return false;
    }
    return true;
}

static void read_number(struct reading *reading, const struct od_field *field, const json_t *value,
                        double *ret)
{
    char room[NUMBER_TEXT_MAX_BYTES];
    char limit[OD_NUMBER_BYTES];
    bool good = false;
    if (json_is_number(value)) {
        *ret = json_number_value(value);
        good = true;
    } else if (json_is_boolean(value)) {
        *ret = json_is_true(value) ? 1.0 : 0.0;
        good = true;
    } else if (json_is_string(value)) {
        const char *text = number_text(value, room);
        good = text && od_parse_double(text, ret);
    }
    if (!good) {
        complain(reading, "type_error.float", "value is not a valid float");
    } else if (!isfinite(*ret)) {
        complain(reading, "value_error.number.not_finite_number",
                 "ensure this value is a finite number");
    } else if (*ret < field->number_min) {
        od_double_text(field->number_min, limit);
        complain(reading, "value_error.number.not_ge",
                 "ensure this value is greater than or equal to %s", limit);
    } else if (*ret > field->number_max) {
        od_double_text(field->number_max, limit);
        complain(reading, "value_error.number.not_le",
                 "ensure this value is less than or equal to %s", limit);
    }
}

static void read_bool(struct reading *reading, const json_t *value, int64_t *ret)
{
    static const char *const BOOL_TEXTS[] = {"0",     "1",    "off", "on", "f",  "t",
                                             "false", "true", "n",   "y",  "no", "yes"};
    if (json_is_boolean(value)) {
        *ret = json_is_true(value) ? 1 : 0;
        return;
    }
    if (json_is_number(value)) {
        const double number = json_number_value(value);
        if (fabs(number) <= 0.0 || fabs(number - 1.0) <= 0.0) {  // exactly 0 or 1
            *ret = (int64_t)number;
            return;
        }
    }
    for (size_t i = 0; json_is_string(value) && i < sizeof BOOL_TEXTS / sizeof BOOL_TEXTS[0]; i++) {
        if (strlen(BOOL_TEXTS[i]) == json_string_length(value) &&
            strcasecmp(BOOL_TEXTS[i], json_string_value(value)) == 0) {
            *ret = (int64_t)(i % 2);
            return;
        }
    }
    complain(reading, "type_error.bool", "value could not be parsed to a boolean");
}

/** Numbers and booleans as Python's str() prints them, into the body's arena. */
static void read_text(struct reading *reading, const json_t *value, const char **ret, size_t *size)
{
    char room[NUMBER_TEXT_MAX_BYTES] = "";
    if (json_is_string(value)) {
        *ret = json_string_value(value);
        *size = json_string_length(value);
        return;
    }
    if (json_is_integer(value)) {
        (void)snprintf(room, sizeof room, "%lld", (long long)json_integer_value(value));
    } else if (json_is_real(value)) {
        od_double_text(json_real_value(value), room);
    } else if (json_is_boolean(value)) {
        (void)snprintf(room, sizeof room, "%s", json_is_true(value) ? "True" : "False");
    } else if (json_is_null(value)) {
        complain(reading, "type_error.none.not_allowed", "none is not an allowed value");
        return;
    } else {
        complain(reading, "type_error.str", "str type expected");
        return;
    }
    *size = strlen(room);
    *ret = od_arena_strdup(&reading->body->arena, room);
    reading->no_memory = reading->no_memory || !*ret;
}

/** One text of a list: no longer than the field allows, and without NUL, so that it ends there. */
static void read_listed_text(struct reading *reading, const struct od_field *field,
                             const json_t *value, const char **ret)
{
    size_t size = 0;
    const size_t errors = reading->error_count;
    read_text(reading, value, ret, &size);
    if (reading->error_count > errors || reading->no_memory) {
        return;
    }
    if (size > (size_t)field->max) {
        complain(reading, "value_error.any_str.max_length",
                 "ensure this value has at most %lld bytes", (long long)field->max);
    } else if (strlen(*ret) != size) {
        complain(reading, "value_error.any_str.null", "a NUL character is not allowed here");
    }
}

static void read_list(struct reading *reading, const struct od_field *field, const json_t *value,
                      struct od_value *ret)
{
    const bool is_texts = field->kind == OD_FIELD_TEXTS;
    const bool is_single = field->single && !json_is_array(value) && !json_is_object(value);
    const size_t count = is_single ? 1 : json_array_size(value);
    if (!json_is_array(value) && !is_single) {
        complain(reading, "type_error.list", "value is not a valid list");
        return;
    }
    if (count > (size_t)field->count_max) {
        complain(reading, "value_error.list.max_items", "ensure this value has at most %lld items",
                 (long long)field->count_max);
        return;
    }
    void *room = od_arena_alloc(&reading->body->arena, count,
                                is_texts ? sizeof *ret->texts : sizeof *ret->integers);
    if (!room) {
        reading->no_memory = true;
        return;
    }
    ret->texts = is_texts ? room : NULL;
    ret->integers = is_texts ? NULL : room;
    ret->count = count;
    for (size_t i = 0; i < count && !reading->no_memory; i++) {
        const json_t *item = is_single ? value : json_array_get(value, i);
        int64_t integer = 0;
        reading->item = is_single ? -1 : (int64_t)i;
        if (is_texts) {
            read_listed_text(reading, field, item, &ret->texts[i]);
        } else if (read_integer(reading, field, item, &integer)) {
            ret->integers[i] = (int32_t)integer;  // the field's range is inside int32
        }
    }
    reading->item = -1;
}

static void read_field(struct reading *reading, const struct od_field *field, struct od_value *ret)
{
    const json_t *value = json_object_get(reading->body->root, field->name);

    reading->field = field->name;
    *ret = (struct od_value){
        .integer = (int64_t)field->fallback, .number = field->fallback, .text = ""};
    if (!value || (field->nullable && json_is_null(value))) {
        if (field->required) {
            complain(reading, "value_error.missing", "field required");
        }
        return;
    }
    ret->given = true;
    if (json_is_null(value)) {
        complain(reading, "type_error.none.not_allowed", "none is not an allowed value");
        return;
    }
    switch (field->kind) {
    case OD_FIELD_TEXT:
        read_text(reading, value, &ret->text, &ret->text_size);
        if (field->is_name && !reading->no_memory && strlen(ret->text) != ret->text_size) {
            complain(reading, "value_error.any_str.null", "a NUL character is not allowed here");
        }
        break;
    case OD_FIELD_INT: (void)read_integer(reading, field, value, &ret->integer); break;
    case OD_FIELD_NUMBER: read_number(reading, field, value, &ret->number); break;
    case OD_FIELD_BOOL: read_bool(reading, value, &ret->integer); break;
    case OD_FIELD_INTS:
    case OD_FIELD_TEXTS: read_list(reading, field, value, ret); break;
    case OD_FIELD_ANY: ret->json = value; break;
    }
}

/** Where "body:LINE:COLUMN: what" points, and what it says. */
static int64_t error_offset(const char *message, const char *bytes, size_t size,
                            const char **ret_what)
{
    char *end = NULL;
    *ret_what = message;
    const char *colon = strchr(message, ':');
    if (!colon) {
        return 0;
    }
    unsigned long line = strtoul(colon + 1, &end, 10);
    if (*end != ':') {
        return 0;
    }
    const unsigned long column = strtoul(end + 1, &end, 10);
    if (strncmp(end, ": ", 2) == 0) {
        *ret_what = end + 2;
    }
    size_t offset = 0;
    while (line > 1 && offset < size) {
        line -= bytes[offset++] == '\n';
    }
    offset += column > 0 ? column - 1 : 0;
    return (int64_t)(offset < size ? offset : size);
}

/** Parse; false when it is not a JSON object, with the error written. */
static enum od_status read_object(struct reading *reading, const char *bytes, size_t size,
                                  struct od_error *err)
{
    struct od_error why = {0};
    const char *what = NULL;
    if (size == 0) {
        complain(reading, "value_error.missing", "field required");
        return OD_E_FORMAT;
    }
    const enum od_status status = od_json_parse(bytes, size, "body", &reading->body->root, &why);
    if (status == OD_E_MEMORY) {
        return od_fail(err, OD_E_MEMORY, "%s", why.message);
    }
    if (status != OD_OK) {
        reading->item = error_offset(why.message, bytes, size, &what);
        complain(reading, "value_error.jsondecode", "%s", what);
        return OD_E_FORMAT;
    }
    if (json_is_null(reading->body->root)) {
        complain(reading, "value_error.missing", "field required");
        return OD_E_FORMAT;
    }
    if (json_is_array(reading->body->root) && json_array_size(reading->body->root) == 0) {
        json_decref(reading->body->root);  // pydantic takes an empty list for an object
        reading->body->root = json_object();
        if (!reading->body->root) {
            return od_fail(err, OD_E_MEMORY, "no memory to read a request");
        }
    }
    if (!json_is_object(reading->body->root)) {
        complain(reading, "type_error.dict", "value is not a valid dict");
        return OD_E_FORMAT;
    }
    return OD_OK;
}

enum od_status od_body_read(struct od_body *body, const struct od_field *fields, size_t count,
                            const char *bytes, size_t size, struct od_buf *detail,
                            struct od_error *err)
{
    struct reading reading = {.body = body, .item = -1};

    detail_begin(&reading.writer, detail);
    const enum od_status status = read_object(&reading, bytes, size, err);
    if (status == OD_E_MEMORY) {
        return od_fail(err, OD_E_MEMORY, "no memory to read a request");
    }
    for (size_t i = 0; status == OD_OK && i < count; i++) {
        read_field(&reading, &fields[i], &body->values[i]);
    }
    detail_end(&reading.writer);
    if (reading.no_memory || detail->failed) {
        return od_fail(err, OD_E_MEMORY, "no memory to read a request");
    }
    if (reading.error_count > 0) {
        return od_fail(err, OD_E_FORMAT, "%zu errors in the body", reading.error_count);
    }
    return OD_OK;
}

static const char *const KIND_NAMES[] = {"string", "integer", "number", "boolean",
                                         "array",  "array",   NULL};

/** "max_new_tokens" as "Max New Tokens". */
static void write_title(struct od_json_writer *w, const char *name)
{
    char title[64];
    size_t used = 0;
    bool start = true;
    for (; *name != '\0' && used + 1 < sizeof title; name++) {
        const bool small = *name >= 'a' && *name <= 'z';
        title[used++] = (char)(*name == '_' ? ' ' : start && small ? *name - 'a' + 'A' : *name);
        start = *name == '_';
    }
    title[used] = '\0';
    od_json_member_text(w, "title", title);
}

static void write_field(struct od_json_writer *w, const struct od_field *field)
{
    od_json_key(w, field->name);
    od_json_object_begin(w);
    write_title(w, field->name);
    if (KIND_NAMES[field->kind] && !field->single) {
        od_json_member_text(w, "type", KIND_NAMES[field->kind]);
    }
    if (!field->single && (field->kind == OD_FIELD_INTS || field->kind == OD_FIELD_TEXTS)) {
        od_json_key(w, "items");
        od_json_object_begin(w);
        od_json_member_text(w, "type", field->kind == OD_FIELD_INTS ? "integer" : "string");
        od_json_object_end(w);
    }
    if (field->kind == OD_FIELD_INT && field->min > INT64_MIN) {
        od_json_member_int(w, "minimum", field->min);
    }
    if (field->kind == OD_FIELD_INT && field->max < INT64_MAX) {
        od_json_member_int(w, "maximum", field->max);
    }
    if (field->kind == OD_FIELD_NUMBER) {
        od_json_member_number(w, "minimum", field->number_min);
        if (field->number_max < HUGE_VAL) {
            od_json_member_number(w, "maximum", field->number_max);
        }
    }
    if (!field->required && !field->no_default) {
        od_json_key(w, "default");
        if (field->kind == OD_FIELD_BOOL) {
            od_json_put_bool(w, field->fallback > 0.0);
        } else if (field->kind == OD_FIELD_INT) {
            od_json_put_int(w, (int64_t)field->fallback);
        } else {
            od_json_put_number(w, field->fallback);
        }
    }
    od_json_member_text(w, "description", field->help);
    od_json_object_end(w);
}

void od_fields_write_schema(struct od_json_writer *w, const char *title,
                            const struct od_field *fields, size_t count)
{
    od_json_object_begin(w);
    od_json_member_text(w, "title", title);
    od_json_key(w, "required");
    od_json_array_begin(w);
    for (size_t i = 0; i < count; i++) {
        if (fields[i].required) {
            od_json_put_text(w, fields[i].name);
        }
    }
    od_json_array_end(w);
    od_json_member_text(w, "type", "object");
    od_json_key(w, "properties");
    od_json_object_begin(w);
    for (size_t i = 0; i < count; i++) {
        write_field(w, &fields[i]);
    }
    od_json_object_end(w);
    od_json_object_end(w);
}
