/**
 * @file
 * BLEU of one text against one reference, as NLTK's sentence_bleu without smoothing.
 *
 *     BLEU-n = b * exp(ln(p_n)),  p_n = c_n / max(1, groups of n neighbours in the prediction)
 *
 * c_n counts the groups that the reference has, too; b is 1 when the prediction has more words than the
 * reference (g words against q), else exp(1 - g / q). Without any common word it is the integer 0.
 * Without a common group p_n is the smallest normal double, so that HELM's bleu_4 of short answers is
 * about 2.2e-308 and not 0.
 *
 * @source K. Papineni et al., "BLEU", 2002; NLTK 3.8.1 as HELM 2023-11 calls it: weight 1 for one n.
 * @thread Re-entrant: no state outside the arguments.
 */
#ifndef OD_EVAL_METRICS_BLEU_H
#define OD_EVAL_METRICS_BLEU_H

#include <stddef.h>

#include "base/status.h"
#include "eval/metrics/slice.h"
#include "eval/metrics/stat.h"
#include "eval/metrics/words.h"

/** @param order n, 1 to 4. @error OD_E_MEMORY, OD_E_LIMIT. */
enum od_status od_bleu(const struct od_word_cutter *cutter, size_t order, struct od_slice gold,
                       struct od_slice pred, struct od_number *ret,
                       struct od_error *err) OD_MUST_CHECK;

#endif
