/**
 * @file
 * JSON Lines: one JSON value on each line of a text.
 *
 *     struct od_jsonl lines;
 *     json_t *value = NULL;
 *     od_jsonl_init(&lines, text, size, "train.jsonl");
 *     while ((status = od_jsonl_next(&lines, &value, err)) == OD_OK && value) {
 *         ...
 *         json_decref(value);
 *     }
 *
 * Lines end with `\n` (a `\r` in front of it is white space to JSON); lines of white space are
 * passed over. Each value is read as od_json_parse reads it.
 *
 * @source https://jsonlines.org
 * @thread Re-entrant: distinct objects from distinct threads.
 */
#ifndef OD_FORMATS_JSONL_H
#define OD_FORMATS_JSONL_H

#include <jansson.h>
#include <stddef.h>

#include "base/status.h"

/** Longest line unless max_line_bytes is set to something else. */
#define OD_JSONL_LINE_MAX_BYTES ((size_t)64 << 20)

/** A place in a text. */
struct od_jsonl {
    const char *text;
    size_t size;
    const char *name;       ///< stands in messages
    size_t max_line_bytes;  ///< a longer line is OD_E_LIMIT
    size_t at;              ///< private: where the next line starts
    size_t line;            ///< number of the line that the last value came from, from 1
};

/** Start at the first line. @memory Borrows `text` and `name` while it is used. */
void od_jsonl_init(struct od_jsonl *lines, const char *text, size_t size, const char *name);

/**
 * The value of the next line that is not empty; NULL in *ret behind the last one.
 * @memory Gives *ret: json_decref.
 * @error  OD_E_FORMAT "NAME:line:column: what", OD_E_LIMIT, OD_E_MEMORY. The next call goes on with
 *         the line behind the bad one.
 */
enum od_status od_jsonl_next(struct od_jsonl *lines, json_t **ret,
                             struct od_error *err) OD_MUST_CHECK;

#endif
