/**
 * @file
 * From answers to statistics: the metrics of a run spec over all its requests.
 *
 * Each metric gives statistics per instance; these are merged over instances, statistics are
 * derived from the sums (perplexity) and from the instances (calibration, number of instances), the
 * worst case over perturbations is added, and each trial's mean is taken.
 *
 * Absent without their tables (of the run spec): BLEU and the bias metrics. Left out: the toxicity metric
 * (it asks an outside service, and HELM yields nothing without a key), and Platt scaling
 * (platt_coef, platt_intercept, platt_ece_10_bin, platt_ece_1_bin; HELM's digits depend on its
 * optimiser and no score uses them).
 *
 * @source HELM 2023-11: Metric.evaluate, BasicMetric.
 * @thread Re-entrant: distinct objects from distinct threads.
 */
#ifndef OD_EVAL_METRICS_EVALUATE_H
#define OD_EVAL_METRICS_EVALUATE_H

#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "eval/adapter.h"
#include "eval/instance.h"
#include "eval/metrics/stat.h"
#include "eval/run_spec.h"

/** The statistics of one instance. */
struct od_instance_stats {
    const struct od_instance *instance;
    int64_t trial;
    struct od_stat *stats;  ///< from the arena of the result
    size_t count;
};

/** What all metrics of a run yield. Initialise with od_metrics_result_init. */
struct od_metrics_result {
    struct od_stats aggregated;
    struct od_instance_stats *items;
    size_t count;
    size_t capacity;        ///< private
    struct od_arena arena;  ///< names and per-instance statistics
};
void od_metrics_result_init(struct od_metrics_result *result);
void od_metrics_result_release(struct od_metrics_result *result);

/**
 * Compute all statistics of a run. `states` holds the requests of trial 0, then of trial 1, ...
 * @order Sums run in request order.
 * @memory `result` keeps pointers into `spec` and `states`.
 */
enum od_status od_metrics_evaluate(const struct od_run_spec *spec,
                                   const struct od_request_states *states,
                                   struct od_metrics_result *result,
                                   struct od_error *err) OD_MUST_CHECK;

/**
 * HELM's worst-case statistics of one trial: for each instance the smallest value over its variants
 * (perturbed and original), and the original's value over the instances that a perturbation changed.
 * `items` [count] are the trial's, variants right behind their original. Merges into `out`.
 * @memory Names of perturbations come from `arena`.
 */
void od_worst_case(const struct od_instance_stats *items, size_t count, struct od_arena *arena,
                   struct od_stats *out);

#endif
