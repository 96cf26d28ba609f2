/**
 * @file
 * log.jsonl of a run: a line per step, and one per evaluation behind the step's.
 *
 *     {"step": 1, "epoch": 0.25, "loss": 2.5, "lr": 0.0002, "grad_norm": 1.5, "tokens": 512,
 *      "labels": 100, "weight_hash": "...", "t": {"step_s": 0.5, "tokens_per_s": 1024.0,
 *      "elapsed_s": 3.5}}
 *     {"step": 1, "epoch": 0.25, "eval_loss": 2.4, "eval_labels": 50, "t": {"eval_s": 0.1,
 *      "elapsed_s": 3.6}}
 *
 * What stands in `t` is outside every comparison. `elapsed_s` is the time of all processes of the
 * run together.
 *
 * @thread One owner.
 */
#ifndef OD_TUNE_RUN_LOG_H
#define OD_TUNE_RUN_LOG_H

#include <stdint.h>

#include "base/file.h"
#include "base/status.h"
#include "tune/session.h"

/** Open for appending; initialise with `{.fd = -1}`. */
struct od_run_log {
    char path[OD_PATH_MAX_BYTES];
    int fd;
};

/** What a line says beside its numbers. */
struct od_run_log_times {
    double seconds;    ///< of the step or the evaluation
    double joules;     ///< that a GPU took; below 0: not known
    double elapsed_s;  ///< of the run
};

/** What a log tells of the steps that were done before. */
struct od_run_log_past {
    double elapsed_s;  ///< the largest of all lines, those that are cut off too
    double loss;       ///< of the last step that is kept; 0: there is none
};

/**
 * Keep the lines up to `step` (what a killed process wrote behind its last checkpoint will be done
 * again), then open.
 */
enum od_status od_run_log_open(struct od_run_log *log, const char *path, int64_t step,
                               struct od_run_log_past *ret_past,
                               struct od_error *err) OD_MUST_CHECK;
void od_run_log_close(struct od_run_log *log);
/** Append the line of a step; the weights' hash goes in every `hash_steps` steps (0: never). */
enum od_status od_run_log_step(const struct od_run_log *log, const struct od_session *session,
                               const struct od_step_report *report, int64_t hash_steps,
                               const struct od_run_log_times *times,
                               struct od_error *err) OD_MUST_CHECK;
/** Append the line of an evaluation behind step `step`. */
enum od_status od_run_log_evaluation(const struct od_run_log *log, int64_t step, double epoch,
                                     const struct od_eval_report *evaluation,
                                     const struct od_run_log_times *times,
                                     struct od_error *err) OD_MUST_CHECK;
/** Bring what was written to the disk. */
enum od_status od_run_log_sync(const struct od_run_log *log, struct od_error *err) OD_MUST_CHECK;

#endif
