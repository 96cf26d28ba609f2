/**
 * @file
 * JSON: reading through Jansson with messages that say where, and a streaming writer whose bytes
 * are stable and whose numbers are printed as Python prints them.
 *
 * Reading is strict: duplicate keys, lone surrogates, NaN, invalid UTF-8 and trailing bytes are
 * errors "NAME:line:column: what". Integers are 64-bit, order of keys is kept.
 *
 * @source RFC 8259; Jansson 2.14.
 * @thread Re-entrant: distinct objects from distinct threads.
 */
#ifndef OD_FORMATS_JSON_H
#define OD_FORMATS_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

/** Deepest nesting that is read, and that a writer writes (a read value nests inside of ours). */
enum { OD_JSON_READ_DEPTH_MAX = 128, OD_JSON_DEPTH_MAX = 256 };
/** Largest JSON document that is read whole. */
#define OD_JSON_FILE_MAX_BYTES ((size_t)1 << 30)

/** Parse `size` bytes; `name` stands in messages. @memory Gives *ret: json_decref. */
enum od_status od_json_parse(const char *text, size_t size, const char *name, json_t **ret,
                             struct od_error *err) OD_MUST_CHECK;
/** As od_json_parse for a text whose first line is number `first_line` (in messages) of `name`. */
enum od_status od_json_parse_at(const char *text, size_t size, const char *name, size_t first_line,
                                json_t **ret, struct od_error *err) OD_MUST_CHECK;
/** As od_json_parse for a text of another program, read as Python does: of a repeated key the last
 *  value counts. */
enum od_status od_json_parse_lenient(const char *text, size_t size, const char *name, json_t **ret,
                                     struct od_error *err) OD_MUST_CHECK;
/** Read and parse a file (gzip is unpacked). @memory Gives *ret: json_decref. */
enum od_status od_json_read(const char *path, json_t **ret, struct od_error *err) OD_MUST_CHECK;

/**
 * Members of an object with their type checked. `where` stands in messages ("config.json"). The
 * `_or` forms give `fallback` when the key is absent or null.
 * @memory Borrowed from the object.
 */
enum od_status od_json_text(const json_t *object, const char *key, const char *where,
                            const char **ret, struct od_error *err) OD_MUST_CHECK;
enum od_status od_json_int(const json_t *object, const char *key, const char *where, int64_t *ret,
                           struct od_error *err) OD_MUST_CHECK;
enum od_status od_json_text_or(const json_t *object, const char *key, const char *where,
                               const char *fallback, const char **ret,
                               struct od_error *err) OD_MUST_CHECK;
enum od_status od_json_int_or(const json_t *object, const char *key, const char *where,
                              int64_t fallback, int64_t *ret, struct od_error *err) OD_MUST_CHECK;
/** Integers are taken as numbers, too. */
enum od_status od_json_number_or(const json_t *object, const char *key, const char *where,
                                 double fallback, double *ret, struct od_error *err) OD_MUST_CHECK;
enum od_status od_json_bool_or(const json_t *object, const char *key, const char *where,
                               bool fallback, bool *ret, struct od_error *err) OD_MUST_CHECK;

/** How a writer lays out its text. */
enum od_json_style {
    OD_JSON_COMPACT,   ///< {"a":1,"b":[1,2]}
    OD_JSON_LINE,      ///< Python's json.dumps: {"a": 1, "b": [1, 2]}
    OD_JSON_INDENT_2,  ///< Python's json.dumps(indent=2)
    OD_JSON_INDENT_4   ///< Python's json.dumps(indent=4)
};

/**
 * Writes one JSON text into a buffer. Commas, indentation and escapes are its business; calling it
 * in an order that makes no JSON is a programmer's mistake (assert). With `ascii`, everything
 * outside printable ASCII is escaped as Python does by default (U+007F as `\u007f`, the way HELM's
 * files have it); otherwise UTF-8 stays. Invalid bytes become U+FFFD.
 *
 *     struct od_json_writer w;
 *     od_json_writer_init(&w, &buf, OD_JSON_INDENT_2, true);
 *     od_json_object_begin(&w);
 *     od_json_key(&w, "loss");
 *     od_json_put_number(&w, 0.1);
 *     od_json_object_end(&w);
 *
 * @memory Keeps `out` until the text is complete; check od_buf_check(out) once at the end.
 */
struct od_json_writer {
    struct od_buf *out;
    enum od_json_style style;
    bool ascii;
    int depth;
    bool after_key;                          ///< private: a key was written, its value comes
    unsigned char count[OD_JSON_DEPTH_MAX];  ///< private: 0 while the container is empty
    unsigned char is_array[OD_JSON_DEPTH_MAX];
};

void od_json_writer_init(struct od_json_writer *w, struct od_buf *out, enum od_json_style style,
                         bool ascii);
void od_json_object_begin(struct od_json_writer *w);
void od_json_object_end(struct od_json_writer *w);
void od_json_array_begin(struct od_json_writer *w);
void od_json_array_end(struct od_json_writer *w);
void od_json_key(struct od_json_writer *w, const char *key);
void od_json_put_text(struct od_json_writer *w, const char *text);
void od_json_put_text_n(struct od_json_writer *w, const char *text, size_t size);
void od_json_put_int(struct od_json_writer *w, int64_t value);
/** As Python's repr; NaN and infinities are written literally, as Python does. */
void od_json_put_number(struct od_json_writer *w, double value);
void od_json_put_bool(struct od_json_writer *w, bool value);
void od_json_put_null(struct od_json_writer *w);
/** A whole Jansson value, keys in their order. */
void od_json_put_value(struct od_json_writer *w, const json_t *value);
/** Key and value in one call. */
void od_json_member_text(struct od_json_writer *w, const char *key, const char *text);
void od_json_member_int(struct od_json_writer *w, const char *key, int64_t value);
void od_json_member_number(struct od_json_writer *w, const char *key, double value);
void od_json_member_bool(struct od_json_writer *w, const char *key, bool value);

#endif
