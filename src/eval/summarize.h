/**
 * @file
 * From the runs of a suite to its tables: groups/core_scenarios.json and
 * groups/targeted_evaluations.json by HELM's rules, and summary_oneday.json, in which every score
 * has its number of items and an interval, or says why it is undefined.
 *
 * A cell is the mean over runs, each run weighing 1 whatever its number of items. The tables hold
 * the columns of the challenge's groups; HELM's other groups and its LaTeX files are left out.
 *
 * The interval of a score is Wilson's at 95 %. For a mean p over R runs with n_i items its number of
 * items is R^2 / sum(1 / n_i): that many items of one share p vary as much as the mean does. With
 * equally large runs that is the number of all items. Beside it stands a bootstrap interval over the
 * items (items.h), which knows that runs ask the same questions and does not take values for shares.
 *
 * @source HELM 2023-11: summarize. E. B. Wilson, "Probable inference", 1927.
 * @thread Re-entrant: no state outside the arguments.
 */
#ifndef OD_EVAL_SUMMARIZE_H
#define OD_EVAL_SUMMARIZE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "eval/items.h"

/** Something that was asked for and is not in the suite. */
struct od_missing_run {
    const char *what;    ///< description of the entry or name of the run
    const char *reason;  ///< why
};

/** What the caller knows about missing runs. */
struct od_missing_runs {
    const struct od_missing_run *not_run;  ///< entries that are not supported
    size_t not_run_count;
    const struct od_missing_run *failed;  ///< runs that failed
    size_t failed_count;
};

/** A score with what is known about it. */
struct od_score_line {
    char metric[96];  ///< as the column is called: MMLU - EM
    bool is_defined;
    double value;
    int64_t items;
    int64_t runs;       ///< runs that the value is a mean of
    bool has_interval;  ///< a time has none
    double low;         ///< Wilson's interval
    double high;
    char reason[160];                   ///< why it is undefined
    struct od_item_interval bootstrap;  ///< undefined, too, when the score is
};

/** The scores of a suite. @memory Gives: od_summary_release. */
struct od_summary {
    struct od_score_line *lines;
    size_t count;
};
void od_summary_release(struct od_summary *summary);

/**
 * Read every run below `suite_folder` and write the three files there.
 * @error OD_E_FORMAT for files of another shape, OD_E_IO, OD_E_MEMORY.
 */
enum od_status od_suite_summarize(const char *suite_folder, const struct od_missing_runs *missing,
                                  struct od_summary *ret, struct od_error *err) OD_MUST_CHECK;

#endif
