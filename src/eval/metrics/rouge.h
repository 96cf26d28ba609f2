/**
 * @file
 * ROUGE of one text against another, with stems.
 *
 * Words are the runs of a-z and 0-9 of the text in lower case; those of more than three characters are
 * stemmed. With p the share of the prediction's words (or pairs of neighbours, or words of the longest
 * common sequence) that the reference has, too, and r that of the reference's, it is 2 p r / (p + r).
 *
 * @source C.-Y. Lin, "ROUGE: a package for automatic evaluation of summaries", 2004; rouge-score 0.1.2
 *         as HELM 2023-11 calls it: F-measure, stemmer on.
 * @thread Re-entrant: no state outside the arguments.
 */
#ifndef OD_EVAL_METRICS_ROUGE_H
#define OD_EVAL_METRICS_ROUGE_H

#include "base/status.h"
#include "eval/metrics/slice.h"
#include "eval/metrics/stat.h"

enum od_rouge { OD_ROUGE_1, OD_ROUGE_2, OD_ROUGE_L };

/** @param ret A float; for OD_ROUGE_L of a text without words the integer 0, as the package has it.
 *  @error OD_E_MEMORY, OD_E_LIMIT. */
enum od_status od_rouge(enum od_rouge kind, struct od_slice gold, struct od_slice pred,
                        struct od_number *ret, struct od_error *err) OD_MUST_CHECK;

#endif
