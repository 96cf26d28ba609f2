/**
 * @file
 * A whole evaluation: entries of a conf file and descriptions, run beside each other, and the
 * tables of the suite.
 *
 * An entry that this version cannot run (another scenario, data augmentation) is counted and
 * reported with its reason; it never runs as something else. A run that fails is reported, too, and
 * the others go on.
 *
 * Until every run is made, answers are kept in the suite's folder (answers.h): after a failure or a
 * kill the same evaluation asks only what is missing, and its files are those of one that was never
 * interrupted, except for times.
 *
 * @source HELM 2023-11: run.
 * @thread One owner: the thread that calls.
 */
#ifndef OD_EVAL_EVALUATION_H
#define OD_EVAL_EVALUATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "eval/run_spec.h"
#include "eval/runner.h"
#include "eval/summarize.h"

/** What to run. Initialise with `{0}`. */
struct od_evaluation {
    const char *conf;                 ///< file of entries; NULL: none
    const char *const *descriptions;  ///< behind the entries of the file
    size_t description_count;
    bool has_priority;
    int64_t priority;  ///< leave out entries with a larger number
    bool has_instances;
    int64_t instances;  ///< shared out among all entries (budget.h) instead of their own numbers
    struct od_run_options options;
    bool strict;  ///< run nothing when an entry cannot be run
};

/** What came of it. Initialise with `{0}`. @memory Gives: od_evaluation_report_release. */
struct od_evaluation_report {
    struct od_summary summary;
    size_t done;     ///< runs that were made
    size_t skipped;  ///< runs that were complete already
    struct od_missing_runs missing;
    enum od_status first_failure;  ///< of the runs that failed; OD_OK: none did
    struct od_arena arena;         ///< private
};
void od_evaluation_report_release(struct od_evaluation_report *report);

/** OD_OK, or OD_E_ARGUMENT: a suite's name is one name of a folder, not `latest`. */
enum od_status od_suite_name_check(const char *name, struct od_error *err) OD_MUST_CHECK;

/**
 * Run everything and write the suite's tables.
 * @error Not for entries that cannot be run and runs that fail, which the report lists. OD_E_FORMAT
 *        and others for the conf file; OD_E_UNSUPPORTED when nothing can be run, or with `strict`
 *        when something cannot; what a broken description fails with.
 */
enum od_status od_evaluate(const struct od_eval_config *config,
                           const struct od_evaluation *evaluation, struct od_evaluation_report *ret,
                           struct od_error *err) OD_MUST_CHECK;

#endif
