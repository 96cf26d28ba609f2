/**
 * @file
 * What the tokenizers ask of Unicode: normal forms, lower case, accents, kinds of characters.
 *
 * Each function does what the same step of Hugging Face's tokenizers (0.23.3) does, whose libraries each
 * have a version of Unicode of their own: sets of code points are tables made from it, normal forms and
 * graphemes come from utf8proc but for code points that the reference does not know. All texts are valid
 * UTF-8.
 *
 * @source The Unicode Standard, annexes 15 (normal forms), 29 (graphemes) and 44
 *         (properties); tests/oracle/text_unicode.py.
 * @thread Re-entrant: no state outside the arguments.
 */
#ifndef OD_TEXT_UNICODE_H
#define OD_TEXT_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

enum od_normal_form { OD_NFC, OD_NFD, OD_NFKC, OD_NFKD };

/** Append `text` in a normal form to `out`. @error OD_E_MEMORY (a failed `out` is no error). */
enum od_status od_unicode_normalize(const char *text, size_t size, enum od_normal_form form,
                                    struct od_buf *out, struct od_error *err) OD_MUST_CHECK;
/** Append `text` in lower case, each character by itself (no final sigma). */
void od_unicode_lower(const char *text, size_t size, struct od_buf *out);
/** Append `text` without its combining marks, as StripAccents (categories Mn, Mc, Me). */
void od_unicode_strip_marks(const char *text, size_t size, struct od_buf *out);

/** Property White_Space. */
bool od_unicode_is_white(uint32_t code);
/** Numeric, as Digits sees it: categories Nd, Nl, No. */
bool od_unicode_is_number(uint32_t code);
/** As Punctuation sees it: ASCII punctuation and symbols, and categories P* of Unicode 8. */
bool od_unicode_is_punctuation(uint32_t code);
/** What BertNormalizer removes when it cleans, but for tab and line ends: control and format characters,
 *  private use, U+FFFD. */
bool od_unicode_is_other(uint32_t code);
/** What BertNormalizer removes as an accent: category Mn of Unicode 8. */
bool od_unicode_is_nonspacing(uint32_t code);
/** `\w` of Rust's regular expressions: alphabetic, marks, decimal digits, connectors, joiners. */
bool od_unicode_is_word(uint32_t code);

/** Bytes of the first grapheme (extended grapheme cluster) of a text that is not empty. */
size_t od_unicode_grapheme(const char *text, size_t size);

/** The code point before text[at], which must be > 0; `ret_start` gets its offset. */
uint32_t od_unicode_before(const char *text, size_t at, size_t *ret_start);

#endif
