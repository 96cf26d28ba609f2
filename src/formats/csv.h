/**
 * @file
 * CSV and TSV, read into rows of fields exactly as Python's csv module does with its default
 * dialect over a text file with universal newlines.
 *
 * That means: `\r\n` and `\r` become `\n` everywhere; a field that starts with " runs to the next
 * single " over delimiters and newlines, "" in it is one "; what follows the closing quote is appended
 * as it stands; a " inside of an unquoted field is an ordinary character; blanks are kept; an empty
 * line is a row without fields; a quoted field that is still open at the end of the text ends there.
 *
 * @source RFC 4180; Python's csv module (documentation of the "excel" dialect, strict=False).
 * @thread Re-entrant: distinct objects from distinct threads.
 */
#ifndef OD_FORMATS_CSV_H
#define OD_FORMATS_CSV_H

#include <stddef.h>

#include "base/status.h"

/** Limits on what is read. */
enum { OD_CSV_FIELDS_MAX = 1 << 24, OD_CSV_FIELD_MAX_BYTES = 1 << 20 };
#define OD_CSV_FILE_MAX_BYTES ((size_t)1 << 30)

/** One field: UTF-8 without NUL, followed by a NUL. */
struct od_csv_field {
    const char *text;
    size_t size;
};

/** One row; fields is not NULL even when there are none. */
struct od_csv_row {
    const struct od_csv_field *fields;  ///< [count]
    size_t count;
    size_t line;  ///< on which the row starts, from 1
};

/** A whole text. */
struct od_csv {
    struct od_csv_row *rows;  ///< [count]
    size_t count;
    struct od_csv_field *fields;  ///< private: all of them, row after row
    char *bytes;                  ///< private: what they point into
};

/**
 * Parse a text with `delimiter` (',' or `\t`) between fields. `name` stands in messages.
 * @memory Gives *ret: od_csv_release. Nothing points into `text` afterwards.
 * @error  OD_E_FORMAT (no UTF-8, a NUL) "NAME:line: what", OD_E_LIMIT, OD_E_MEMORY.
 */
enum od_status od_csv_parse(const char *text, size_t size, char delimiter, const char *name,
                            struct od_csv *ret, struct od_error *err) OD_MUST_CHECK;
/** Read and parse a file (gzip is unpacked). @memory As od_csv_parse. */
enum od_status od_csv_read(const char *path, char delimiter, struct od_csv *ret,
                           struct od_error *err) OD_MUST_CHECK;
/** Free everything; a zeroed object is fine. */
void od_csv_release(struct od_csv *csv);

#endif
