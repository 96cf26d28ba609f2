/**
 * @file
 * HELM's BasicMetric: what it computes for one request, and from the sums of many.
 *
 * @source HELM 2023-11: basic metrics.
 * @thread Re-entrant: distinct objects from distinct threads.
 */
#ifndef OD_EVAL_METRICS_BASIC_H
#define OD_EVAL_METRICS_BASIC_H

#include <stddef.h>

#include "base/memory.h"
#include "base/status.h"
#include "eval/adapter.h"
#include "eval/metrics/stat.h"
#include "eval/metrics/words.h"
#include "eval/run_spec.h"

/** What is computed for each request. */
struct od_basic_metric {
    const struct od_adapter_spec *adapter;
    const char *const *names;
    size_t name_count;
    const struct od_word_cutter *words;  ///< NULL: metrics that need it are absent
};

/**
 * Append the statistics of one request: general ones, one per name of `metric`, log-probabilities.
 * @memory Names that are made up ("exact_match@5") come from `arena`.
 * @error  OD_E_FORMAT when the instance has no correct reference, OD_E_MEMORY.
 */
enum od_status od_basic_evaluate(const struct od_basic_metric *metric,
                                 const struct od_request_state *state, struct od_arena *arena,
                                 struct od_stats *out, struct od_error *err) OD_MUST_CHECK;

/** Append only the statistic `name` of one request. */
enum od_status od_basic_score(const struct od_basic_metric *metric, const char *name,
                              const struct od_request_state *state, struct od_arena *arena,
                              struct od_stats *out, struct od_error *err) OD_MUST_CHECK;

/** Merge perplexity, bits_per_byte and logprob_per_byte of a context (split, perturbation of
 *  `context`) into `stats`, from its sums in there. */
void od_basic_derive(struct od_stats *stats, struct od_stat_name context);

#endif
