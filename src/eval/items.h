/**
 * @file
 * The items behind a score of a suite, and how the score varies when they are drawn anew.
 *
 * Runs that ask the same items (BIG-bench with other numbers of examples) are drawn together: what is
 * hard with none is hard with three, and counting it four times would make the interval too narrow.
 * The values are those of per_instance_stats.json; a worst case is the smallest value of a question
 * and its variants; several samplings of examples are averaged.
 *
 * @source HELM 2023-11: per_instance_stats.json, worst case; base/bootstrap.h.
 * @thread One owner.
 */
#ifndef OD_EVAL_ITEMS_H
#define OD_EVAL_ITEMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "eval/schema.h"
#include "eval/suite_runs.h"

/** What a value is about. */
enum od_item_case { OD_ITEM_PLAIN, OD_ITEM_ROBUSTNESS, OD_ITEM_FAIRNESS, OD_ITEM_CASES };

/** An item of a run. */
struct od_item {
    const char *id;
    double values[OD_ITEM_CASES];  ///< NaN: none
};

/** The items of one run for one statistic on one split, sorted by id. */
struct od_run_items {
    const char *name;  ///< of the statistic
    struct od_item *items;
    size_t count;
};

/** The items of all runs of a suite, read when they are asked for. Initialise with od_items_init. */
struct od_items {
    const char *suite;  ///< folder
    const struct od_suite_runs *runs;
    struct od_run_items *of_run;  ///< [runs->count] the last statistic asked for
    struct od_arena arena;
};
/** @memory Keeps `suite` and `runs`. @error OD_E_MEMORY. */
enum od_status od_items_init(struct od_items *items, const char *suite,
                             const struct od_suite_runs *runs, struct od_error *err) OD_MUST_CHECK;
void od_items_release(struct od_items *items);

/** A bootstrap interval, or why there is none. */
struct od_item_interval {
    bool is_defined;
    double low;
    double high;
    char reason[96];
};

/**
 * The interval of a cell's mean.
 * @param cell The cell of (model, group, name, the perturbation of `which`).
 * @error OD_E_FORMAT for a per_instance_stats.json of another shape; OD_E_MEMORY. One that is absent
 *        or larger than what is read makes the interval undefined.
 */
enum od_status od_items_interval(struct od_items *items, const char *model,
                                 const struct od_schema_group *group, const char *name,
                                 enum od_item_case which, const struct od_cell *cell,
                                 struct od_item_interval *ret, struct od_error *err) OD_MUST_CHECK;

#endif
