/**
 * @file
 * The sections of a report.
 * @thread Re-entrant: no state.
 */
#ifndef OD_FLOW_REPORT_INTERNAL_H
#define OD_FLOW_REPORT_INTERNAL_H

#include <jansson.h>
#include <stdbool.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "flow/report_log.h"

/** "NAME cannot be shown: message" as a paragraph. */
void od_report_not_shown(struct od_buf *out, const char *name, const struct od_error *err);

/** "Run NAME": called as its folder, or as the folder above where its own is just called "run". */
void od_report_title(const char *run_dir, char out[OD_PATH_MAX_BYTES + 8]);

/** A dt and dd of a list of class facts; both texts are escaped. */
void od_report_fact(struct od_buf *out, const char *name, const char *value);
/** 7372800 as 7 372 800, with blanks that do not break. */
void od_report_grouped(double value, char out[64]);
/** The evaluation with the lowest loss. The log has one. */
const struct od_report_evaluation *od_report_best(const struct od_report_log *log);

/** A figure for each curve of a log that has steps; `live` adds speed and power. */
enum od_status od_report_curves(struct od_buf *out, const struct od_report_log *log, bool live,
                                struct od_error *err) OD_MUST_CHECK;

/** The scores of a parsed board.json: chart and table. Appends nothing on failure. */
enum od_status od_report_scores(struct od_buf *out, const json_t *board,
                                struct od_error *err) OD_MUST_CHECK;

#endif
