/**
 * @file
 * Regular expressions of tokenizer files, through PCRE2 (JIT where the machine has one).
 *
 * The files' expressions are written for Oniguruma. They are read as UTF-8 with Unicode
 * properties, `^` and `$` match at every line; `\s`, `\S` and `\w` are rewritten to
 * Unicode's White_Space and to letters, marks, digits, connectors and some numbers and signs, because
 * PCRE2's own sets differ from Oniguruma's by a few characters.
 *
 * @thread Re-entrant: one expression may be used from many threads, each with its own od_match.
 */
#ifndef OD_TEXT_REGEX_H
#define OD_TEXT_REGEX_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

enum { OD_REGEX_MAX_BYTES = 64 * 1024 };

struct od_regex;

/** Compile a pattern of `size` bytes. @memory Gives *ret: od_regex_free.
 *  @error OD_E_FORMAT for a broken pattern, OD_E_LIMIT when it is too long. */
enum od_status od_regex_compile(const char *pattern, size_t size, struct od_regex **ret,
                                struct od_error *err) OD_MUST_CHECK;
void od_regex_free(struct od_regex *regex);

/** What matching needs while it runs. Initialise with {0}; one owner. */
struct od_match {
    void *data;     ///< private
    void *context;  ///< private
    void *stack;    ///< private
    size_t start;   ///< of the last match
    size_t end;
};

void od_match_release(struct od_match *match);

/**
 * Find the first match at or behind `from` in `text`, which must be valid UTF-8; `ret_found` tells
 * whether there is one, `match->start` and `match->end` where.
 * @memory Borrows all; keeps memory in `match` for the next call.
 * @error  OD_E_MEMORY; OD_E_LIMIT when the pattern needs more steps or stack than allowed.
 */
enum od_status od_regex_find(const struct od_regex *regex, struct od_match *match, const char *text,
                             size_t size, size_t from, bool *ret_found,
                             struct od_error *err) OD_MUST_CHECK;

#endif
