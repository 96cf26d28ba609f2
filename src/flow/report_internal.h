/**
 * @file
 * The sections of a report.
 * @thread Re-entrant: no state.
 */
#ifndef OD_FLOW_REPORT_INTERNAL_H
#define OD_FLOW_REPORT_INTERNAL_H

#include <jansson.h>

#include "base/memory.h"
#include "base/status.h"

/** "NAME cannot be shown: message" as a paragraph. */
void od_report_not_shown(struct od_buf *out, const char *name, const struct od_error *err);

/** The scores of a parsed board.json: chart and table. Appends nothing on failure. */
enum od_status od_report_scores(struct od_buf *out, const json_t *board,
                                struct od_error *err) OD_MUST_CHECK;

#endif
