/**
 * @file
 * Small text helpers: UTF-8, Python's white space, shortest decimal numbers, base64, nearest names.
 *
 * @thread Re-entrant: no state outside the arguments.
 */
#ifndef OD_BASE_TEXT_H
#define OD_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

enum { OD_NUMBER_BYTES = 32 };

/**
 * Decode one code point at text[0..size). Returns its length (1 to 4) and writes `ret_code`, or
 * returns 0 when the bytes there are no valid UTF-8 (overlong, surrogate, above U+10FFFF, cut).
 */
int od_utf8_decode(const char *text, size_t size, uint32_t *ret_code);
/** Encode a code point (a surrogate too, as three bytes); returns the length, 0 above U+10FFFF. */
int od_utf8_encode(uint32_t code, char out[4]);
/** Offset of the first invalid byte, or `size` when all is valid UTF-8. */
size_t od_utf8_invalid_at(const char *text, size_t size);
/** Number of code points; an invalid byte counts as one. */
size_t od_utf8_count(const char *text, size_t size);
/** Append `text` with each maximal invalid part replaced by U+FFFD, as Python's errors="replace". */
void od_utf8_append_valid(struct od_buf *out, const char *text, size_t size);

/** True for what Python's str.isspace and the regex class `\s` take as white space. */
bool od_is_space(uint32_t code);
/** Python's str.strip, in place of a copy: moves `*text` and `*size`. */
void od_strip(const char **text, size_t *size);
/** Python's str.rstrip: the size without trailing white space. */
size_t od_rstrip_size(const char *text, size_t size);

/**
 * A double as Python prints it: the fewest digits that read back to the same value, with `.0` or an
 * exponent; exponents below -4 or from 16 up in the form 1e-05. NaN, Infinity, -Infinity.
 */
void od_double_text(double value, char out[OD_NUMBER_BYTES]);
/** Parse a whole text as a double (decimal or exponent form, not hex); false when it is not one. */
bool od_parse_double(const char *text, double *ret_value);
/** Parse a whole text as a decimal integer; false when it is not one or does not fit. */
bool od_parse_int(const char *text, int64_t *ret_value);

/** What stands behind a noun that is counted: "s", or nothing for 1. */
static inline const char *od_plural(int64_t count)
{
    return count == 1 ? "" : "s";
}

/** Parse bytes: "24GB" (10^9), "24GiB" (2^30), "800MB" or a plain number above 0; false when the text
 *  is none of them. */
bool od_parse_size(const char *text, uint64_t *ret_bytes);
/** Parse seconds: "24h", "90min", "45s" or a plain number above 0; false when it is none of them. */
bool od_parse_time(const char *text, double *ret_seconds);

/** Bytes to insert, remove or replace to make `b` of `a` (Levenshtein); SIZE_MAX when `b` is longer
 *  than 64 bytes. */
size_t od_edit_distance(const char *a, const char *b);

/** Append the bytes that base64 `text` (RFC 4648, padded, no line ends) stands for; false when it is
 *  none, and `out` is then as it was. */
bool od_base64_append(struct od_buf *out, const char *text, size_t size);

/** The name in `names` [count] nearest to `name` by edit distance, or NULL if none is near. */
const char *od_nearest_name(const char *name, const char *const *names, size_t count);

#endif
