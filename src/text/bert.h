/**
 * @file
 * What BERT's tokenizers do to a text: before they cut it, and after it is put together again.
 *
 * @source Devlin et al., "BERT", 2019, and the documentation of tokenizers 0.2x (BertNormalizer, the
 *         decoder WordPiece).
 * @thread Re-entrant: no state outside the arguments.
 */
#ifndef OD_TEXT_BERT_H
#define OD_TEXT_BERT_H

#include <stddef.h>

#include "base/memory.h"
#include "base/status.h"
#include "text/steps.h"

/**
 * Append `text` without control characters and with blanks for white space (`clean`), with blanks
 * around ideographs (`ideographs`), without accents (`accents`), in lower case (`lower`).
 * @param step  OD_STEP_BERT.
 * @memory Borrows all; fills `out`.
 */
enum od_status od_bert_normalize(const struct od_step *step, const char *text, size_t size,
                                 struct od_buf *out, struct od_error *err) OD_MUST_CHECK;

/** Take out the blanks before punctuation and in English short forms. @memory `scratch` is work
 *  space. */
void od_bert_clean_up(struct od_buf *text, struct od_buf *scratch);

#endif
