/**
 * @file
 * From a row of logits to the next token: greedy, temperature, top-k, top-p, min-p,
 * log-probabilities.
 *
 * @order  Log-probabilities are log-softmax of the raw logits in double, left to right, before
 *         temperature or any cut.
 * @thread Re-entrant: no state; the random number comes in as an argument.
 */
#ifndef OD_INFER_SAMPLER_H
#define OD_INFER_SAMPLER_H

#include <stdint.h>

#include "base/status.h"

/** Temperatures up to this are greedy. */
#define OD_GREEDY_TEMPERATURE 1e-6

/** One candidate token. */
struct od_candidate {
    int32_t id;
    float logit;
};

struct od_sampling {
    double temperature;
    int64_t top_k;  ///< 0: no limit
    double top_p;   ///< 1: no limit
    double min_p;   ///< 0: no limit; what is less likely than the likeliest times this is left out
};

/** log(sum(exp(logits))) in double. */
double od_log_sum_exp(const float *logits, int64_t vocab);

/** The `count` highest logits, highest first, ties by lower id; fills `out` [count] and gives how
 *  many there are (at most vocab). */
int64_t od_top_candidates(const float *logits, int64_t vocab, int64_t count,
                          struct od_candidate *out);

/**
 * Draw a token. `uniform` is in [0, 1). `scratch` has room for `vocab` candidates. Greedy takes the
 * highest logit, the lowest id among equals.
 */
int32_t od_sample(const float *logits, int64_t vocab, const struct od_sampling *sampling,
                  double uniform, struct od_candidate *scratch);

#endif
