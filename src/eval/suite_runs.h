/**
 * @file
 * The runs of a suite as they lie on disk, and the values of table cells computed from them.
 *
 * @source HELM 2023-11: summarize.
 * @thread One owner.
 */
#ifndef OD_EVAL_SUITE_RUNS_H
#define OD_EVAL_SUITE_RUNS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/memory.h"
#include "base/status.h"
#include "eval/metrics/stat.h"
#include "eval/schema.h"

/** One run: what is read of its folder. */
struct od_suite_run {
    const char *name;   ///< of its folder
    json_t *spec;       ///< run_spec.json
    json_t *stats;      ///< stats.json
    json_t *replies;    ///< replies_oneday.json; NULL: it is not there
    const char *model;  ///< adapter_spec.model
};

/** Runs in the order in which HELM merges them. Initialise with `{0}`. */
struct od_suite_runs {
    struct od_suite_run *items;
    size_t count;
    char **names;  ///< private: folder listing
    size_t name_count;
};
void od_suite_runs_release(struct od_suite_runs *runs);

/** Read all runs of a suite; folders without run_spec.json or stats.json are left out. */
enum od_status od_suite_runs_read(const char *folder, struct od_suite_runs *ret,
                                  struct od_error *err) OD_MUST_CHECK;

/** True when the run belongs to the group. */
bool od_suite_run_has_group(const struct od_suite_run *run, const char *group);

/** A cell. */
struct od_cell {
    size_t matching_runs;  ///< runs of the group
    size_t with_stat;      ///< of these, how many have the statistic
    struct od_stat stat;   ///< all of them merged
    double inverse_items;  ///< sum over runs of 1 / items
    int64_t items;         ///< instances behind the value
};

/** The cell of (model, group, metric `name` with `perturbation` or NULL). */
struct od_cell od_suite_cell(const struct od_suite_runs *runs, const char *model,
                             const struct od_schema_group *group, const char *name,
                             const char *perturbation);

/** Mean of a statistic of one run on a split, un-perturbed; false when it is not there. */
bool od_suite_run_mean(const struct od_suite_run *run, const char *name, const char *split,
                       double *ret);

/** HELM's words for a merged statistic: "min=0, mean=0.5, max=1, sum=1 (2)". */
void od_stat_words(const struct od_stat *stat, struct od_buf *out);

#endif
