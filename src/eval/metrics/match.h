/**
 * @file
 * How well a predicted text matches a reference, as HELM's basic metrics define it.
 *
 * @source HELM 2023-11: basic metrics; final_number_exact_match from HELM 2024.
 * @thread Re-entrant: no state outside the arguments.
 */
#ifndef OD_EVAL_METRICS_MATCH_H
#define OD_EVAL_METRICS_MATCH_H

#include <stddef.h>

#include "base/memory.h"
#include "base/status.h"
#include "eval/metrics/stat.h"

/** A piece of text; `bytes` NULL means no prediction at all. */
struct od_slice {
    const char *bytes;
    size_t size;
};

/** A whole C string. */
struct od_slice od_slice_of(const char *text);

/**
 * Append the normal form of `text`: lower case as Python's str.lower, without the 32 ASCII
 * punctuation characters, the words a, an, the replaced by blanks, white space runs as one blank.
 */
void od_match_normal(struct od_slice text, struct od_buf *out);

/**
 * Score one prediction against one reference.
 * @param ret  An integer 0 or 1, a float for f1_score.
 * @error OD_E_UNSUPPORTED when `metric` is not known, OD_E_MEMORY.
 */
enum od_status od_match(const char *metric, struct od_slice gold, struct od_slice pred,
                        struct od_number *ret, struct od_error *err) OD_MUST_CHECK;

#endif
