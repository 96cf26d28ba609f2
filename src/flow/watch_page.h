/**
 * @file
 * The page of a run that goes on: its progress, numbers and curves, as HTML.
 *
 * The page has one script of its own: every two seconds it asks for `live`, the part that changes,
 * and puts it in the place of the old one. Without scripts the page is right at the moment when it
 * was loaded.
 *
 * @thread Re-entrant: no state.
 */
#ifndef OD_FLOW_WATCH_PAGE_H
#define OD_FLOW_WATCH_PAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "flow/live_log.h"
#include "flow/report_log.h"

/** What the recipe says about the run's length. */
struct od_watch_length {
    int64_t max_steps;  ///< 0: not said
    double epochs;      ///< 0: not said
    double budget_s;    ///< 0: no limit
};

/** Where a run is. Numbers that are not known are NAN, counts 0. */
struct od_watch_progress {
    int64_t step;
    int64_t total;        ///< of steps
    bool total_is_about;  ///< told from epochs
    double elapsed_s;     ///< up to the last step
    double pace_s;        ///< from one step to the next
    double left_s;        ///< from the last step on; at most what the budget leaves
};

/** From the pace of the last steps, evaluations and checkpoints between them counted. */
struct od_watch_progress od_watch_progress(const struct od_report_log *log,
                                           const struct od_watch_length *length);

/** Append the part that changes. `now_s`: seconds since 1970.
 *  @error OD_E_MEMORY. */
enum od_status od_watch_put_live(struct od_buf *out, const struct od_live_log *live,
                                 const struct od_watch_length *length, double now_s,
                                 struct od_error *err) OD_MUST_CHECK;

/** Append the whole page around such a part. */
void od_watch_put_page(struct od_buf *out, const char *run_dir, const char *live);

#endif
