/**
 * @file
 * Two models compared by what they compute: logits on eight prompts.
 *
 * @thread Re-entrant: no state outside the arguments.
 */
#ifndef OD_FLOW_CONVERT_CHECK_H
#define OD_FLOW_CONVERT_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "text/tokenizer.h"

/** A model as the engine opens it. */
struct od_convert_side {
    const char *model;    ///< folder or GGUF file
    const char *adapter;  ///< folder or GGUF file, or NULL
};

/** How far two models are apart. */
struct od_convert_check {
    int prompts;
    int64_t positions;      ///< tokens of all prompts
    double difference_max;  ///< largest |difference| of two logits
    double logit_max;       ///< largest |logit| of the first model, to measure it with
    int64_t same_best;      ///< positions at which the largest logit is at the same token
};

/**
 * Open one model after the other (each is closed before the next), and compare.
 * @error OD_E_REFUSED when their tokenizers give other ids for a prompt, or when a logit is no
 *        number.
 */
enum od_status od_convert_compare(const struct od_convert_side *from,
                                  const struct od_convert_side *to, int threads,
                                  struct od_convert_check *ret, struct od_error *err) OD_MUST_CHECK;

/** Add a prompt to `check`: the logits [rows, vocab] of two models. False when one is no number. */
bool od_convert_compare_logits(const float *a, const float *b, int64_t rows, int64_t vocab,
                               struct od_convert_check *check) OD_MUST_CHECK;

/** @error OD_E_REFUSED when they give other ids for a prompt. */
enum od_status od_convert_compare_tokenizers(const struct od_tokenizer *a,
                                             const struct od_tokenizer *b,
                                             struct od_error *err) OD_MUST_CHECK;

#endif
