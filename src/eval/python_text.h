/**
 * @file
 * Texts as Python's str sees them: single characters, lower and upper case, what a word is.
 *
 * @source Python's documentation of str and re; The Unicode Standard, chapter 3.13.
 * @thread Re-entrant: no state outside the arguments.
 */
#ifndef OD_EVAL_PYTHON_TEXT_H
#define OD_EVAL_PYTHON_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"

/** Length of the first character of a text that is not empty; an invalid byte is one, U+FFFD. */
size_t od_python_next(const char *bytes, size_t size, uint32_t *ret_code);
/** Append one character. */
void od_python_append(struct od_buf *out, uint32_t code);

/** `\w` of Python's regular expressions: letters, numbers, the underscore. */
bool od_python_is_word(uint32_t code);
/** str.islower of one character. */
bool od_python_is_lower(uint32_t code);
/** str.isupper of one character. */
bool od_python_is_upper(uint32_t code);

/** Append str.lower() of a text: with final sigmas, and two characters for U+0130. */
void od_python_lower(const char *bytes, size_t size, struct od_buf *out);
/** Append str.upper() of a text; of characters whose upper case is longer, only U+00DF is known. */
void od_python_upper(const char *bytes, size_t size, struct od_buf *out);
/** Append str.capitalize() of a text: the first character in title case, the others lower. */
void od_python_capitalize(const char *bytes, size_t size, struct od_buf *out);

#endif
