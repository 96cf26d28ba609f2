/**
 * @file
 * Text files that may be compressed: gzip, Zstandard and xz are recognised by their first bytes and
 * unpacked (formats/unpack.h).
 *
 * @thread Re-entrant: no state outside the arguments.
 */
#ifndef OD_FORMATS_TEXT_FILE_H
#define OD_FORMATS_TEXT_FILE_H

#include <stddef.h>

#include "base/status.h"

/**
 * Read `path`, or `path`.gz, .zst or .xz when only that exists, into at most `max_bytes` of text;
 * what is packed (several members too) is unpacked. A NUL stands behind the last byte.
 * @memory Gives *ret_text: free with od_free.
 * @error  OD_E_NOT_FOUND, OD_E_IO, OD_E_LIMIT (a bomb too), OD_E_FORMAT (broken packing).
 */
enum od_status od_text_read(const char *path, size_t max_bytes, char **ret_text, size_t *ret_size,
                            struct od_error *err) OD_MUST_CHECK;

/** Path that od_text_read would open: `path`, else `path`.gz, .zst, .xz, else OD_E_NOT_FOUND. */
enum od_status od_text_find(const char *path, char *out, size_t out_bytes,
                            struct od_error *err) OD_MUST_CHECK;

#endif
