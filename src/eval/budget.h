/**
 * @file
 * A number of instances shared evenly among the entries of a conf, as the challenge's conf files
 * were made.
 *
 * Each entry belongs to a label: a BIG-bench task (with all its parts), a theme of MMLU subjects,
 * TruthfulQA together with CNN/DailyMail, ETHICS, MATH, or the scenario itself. N split over V
 * places is N div V each, and one more for the first N mod V of them. The instances are split over
 * the labels and each label's share over its entries. Both take their values from the end of the
 * list: labels by falling number of entries, entries in their order.
 *
 * Labels with equally many entries stand the later in the file the earlier. The challenge's program
 * sorted them in a way that leaves ties to the sorting algorithm, so six labels have a place of
 * their own here, the last ones; with them the five published files come out number by number.
 *
 * @source NeurIPS 2023 LLM efficiency challenge: its run_specs_*_budget.conf files.
 * @thread Re-entrant: no state outside the arguments.
 */
#ifndef OD_EVAL_BUDGET_H
#define OD_EVAL_BUDGET_H

#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

/** Largest number of instances that is shared out. */
#define OD_BUDGET_MAX ((int64_t)1 << 30)

/**
 * Share out `instances` among entries.
 * @param descriptions [count], each as in a conf.
 * @param shares       [count], filled; their sum is `instances` unless `count` is 0.
 * @error OD_E_ARGUMENT for a number outside 0 .. OD_BUDGET_MAX; what a broken description fails
 *        with; OD_E_MEMORY.
 */
enum od_status od_budget_split(const char *const *descriptions, size_t count, int64_t instances,
                               int64_t *shares, struct od_error *err) OD_MUST_CHECK;

/**
 * The description with `max_eval_instances=share`: in place of its own, else behind its last
 * argument. @memory The text comes from `arena`. @error OD_E_MEMORY.
 */
enum od_status od_budget_describe(const char *description, int64_t share, struct od_arena *arena,
                                  const char **ret, struct od_error *err) OD_MUST_CHECK;

#endif
