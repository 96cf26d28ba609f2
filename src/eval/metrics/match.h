/**
 * @file
 * How well a predicted text matches a reference, as HELM's basic metrics define it: exact matches,
 * F1 of the words, ROUGE and BLEU.
 *
 * @source HELM 2023-11: basic metrics; final_number_exact_match from HELM 2024.
 * @thread Re-entrant: no state outside the arguments.
 */
#ifndef OD_EVAL_METRICS_MATCH_H
#define OD_EVAL_METRICS_MATCH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/memory.h"
#include "base/status.h"
#include "eval/metrics/slice.h"
#include "eval/metrics/stat.h"
#include "eval/metrics/words.h"

/**
 * Append the normal form of `text`: lower case as Python's str.lower, without the 32 ASCII
 * punctuation characters, the words a, an, the replaced by blanks, white space runs as one blank.
 */
void od_match_normal(struct od_slice text, struct od_buf *out);

/** Whether `metric` is bleu_1 or bleu_4, which cut texts into words first. */
bool od_match_needs_words(const char *metric);

/**
 * Score one prediction against one reference.
 * @param words  For a metric that needs them; NULL otherwise.
 * @param ret    An integer 0 or 1; a float for f1_score, rouge_* and bleu_*, which have the integer 0
 *               where HELM has it.
 * @error OD_E_UNSUPPORTED when `metric` is not known, OD_E_MEMORY, OD_E_LIMIT.
 */
enum od_status od_match(const char *metric, const struct od_word_cutter *words,
                        struct od_slice gold, struct od_slice pred, struct od_number *ret,
                        struct od_error *err) OD_MUST_CHECK;

#endif
