/**
 * @file
 * Which instances are evaluated and which stand as examples in the prompt, as HELM draws them.
 *
 * @source HELM 2023-11: runner (NumPy's choice) and in-context learning adapter (Python's random).
 * @thread Re-entrant: no state outside the arguments.
 */
#ifndef OD_EVAL_SAMPLING_H
#define OD_EVAL_SAMPLING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "eval/instance.h"

/**
 * Positions in `list` of the instances to evaluate, in the order in which they are asked: all valid
 * and test instances mixed, in list order; with a maximum below their number, the first of NumPy's
 * permutation with seed 0.
 * @memory Gives *ret: free with od_free.
 */
enum od_status od_sample_eval(const struct od_instances *list, bool has_max, int64_t max_instances,
                              size_t **ret, size_t *ret_count, struct od_error *err) OD_MUST_CHECK;

/**
 * Positions in `list` of the examples of trial `trial`, in prompt order: labels (texts of first
 * correct references) from the most frequent on, equally frequent ones shuffled; one instance of
 * each label in turn until `max_examples` are drawn; then instances without a label.
 * @memory Gives *ret: free with od_free.
 */
enum od_status od_sample_examples(const struct od_instances *list, int64_t max_examples,
                                  int64_t trial, size_t **ret, size_t *ret_count,
                                  struct od_error *err) OD_MUST_CHECK;

#endif
