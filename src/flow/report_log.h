/**
 * @file
 * The log of a run, as numbers to draw: one JSON object per line,
 *
 *     {"step": 1, "loss": 2.5, "lr": 0.0002, "grad_norm": 1.5, "tokens": 512, "labels": 100,
 *      "weight_hash": "...", "t": {"step_s": 0.5, "tokens_per_s": 1024.0, "elapsed_s": 3.5}}
 *     {"step": 1, "eval_loss": 2.4, "eval_labels": 50, "t": {"eval_s": 0.1}}
 *
 * A line with `eval_loss` is an evaluation behind that step. Only `step` must be there; other keys
 * are passed over. A step that is not above the one before it (a run that went on from a
 * checkpoint) takes the place of those from it on.
 *
 * @thread Re-entrant: distinct objects from distinct threads.
 */
#ifndef OD_FLOW_REPORT_LOG_H
#define OD_FLOW_REPORT_LOG_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { OD_REPORT_STEPS_MAX = 1 << 22, OD_REPORT_HASH_BYTES = 65 };
/** Largest log that is read. */
#define OD_REPORT_LOG_MAX_BYTES ((size_t)1 << 30)

/** One step; what the line does not have is NAN. All are doubles, so that a chart can stride. */
struct od_report_step {
    double step;
    double loss;
    double lr;
    double grad_norm;
    double tokens;
    double seconds;
    double tokens_per_s;
    double elapsed_s;     ///< of the run, up to this line
    double energy_j;      ///< that a GPU took
    double watts;         ///< the same over the step's time
    double driver_bytes;  ///< of a GPU's memory, by its driver's count
};

/** One evaluation. */
struct od_report_evaluation {
    double step;
    double loss;
};

struct od_report_log {
    double epoch;  ///< of the last step; NAN: the line does not say
    size_t count;
    size_t capacity;  ///< private
    struct od_report_step *steps;
    size_t evaluation_count;
    size_t evaluation_capacity;  ///< private
    struct od_report_evaluation *evaluations;
    size_t bad_lines;                        ///< lines that are no such object
    char weight_hash[OD_REPORT_HASH_BYTES];  ///< the last one; "" without any
};

/** Read a log. @memory Gives: od_report_log_release. @error As od_file_read, OD_E_LIMIT. */
enum od_status od_report_log_read(const char *path, struct od_report_log *ret,
                                  struct od_error *err) OD_MUST_CHECK;
/** The same from memory. */
enum od_status od_report_log_parse(const char *text, size_t size, struct od_report_log *ret,
                                   struct od_error *err) OD_MUST_CHECK;
/** Append whole lines to a log that was begun with `{0}` or parsed. On failure it stays valid. */
enum od_status od_report_log_append(struct od_report_log *log, const char *text, size_t size,
                                    struct od_error *err) OD_MUST_CHECK;
void od_report_log_release(struct od_report_log *log);

#endif
