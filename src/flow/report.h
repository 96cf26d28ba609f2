/**
 * @file
 * report.html of a run directory: one page that stands alone, readable on a phone and on paper,
 * without scripts.
 *
 * What it is made from; only log.jsonl must be there:
 *
 *     log.jsonl         loss, learning rate, gradient norm (report_log.h)
 *     recipe.yaml       the settings
 *     plan.json         shown as it stands, folded
 *     lock.json         the same
 *     samples.jsonl     {"prompt": "...", "base": "...", "tuned": "...", "expected": "..."} a line; all
 *                       but prompt may be absent
 *     eval/board.json   {"rows": [{"metric": "MMLU: colours",
 *                                  "entries": [{"name": "base", "value": 0.25, "low": 0.2,
 *                                               "high": 0.31, "items": 240,
 *                                               "bootstrap": {"low": 0.2, "high": 0.3}},
 *                                              {"name": "tuned", "value": null, "why": "..."}]}]}
 *                       low and high (a 95 % interval), bootstrap (another over the items) and items
 *                       may be absent; value null: undefined
 *
 * A file that is broken does not cost the page: it says so in the place of what is missing.
 *
 * @thread Re-entrant: distinct run directories from distinct threads.
 */
#ifndef OD_FLOW_REPORT_H
#define OD_FLOW_REPORT_H

#include <stddef.h>

#include "base/memory.h"
#include "base/status.h"

enum { OD_REPORT_ROWS_MAX = 256, OD_REPORT_ENTRIES_MAX = 16, OD_REPORT_SAMPLES_MAX = 100 };
/** Largest page. */
#define OD_REPORT_MAX_BYTES ((size_t)64 << 20)

/**
 * Write RUN/report.html, replacing an older one atomically. The same files give the same bytes.
 * @error OD_E_NOT_FOUND without log.jsonl, OD_E_IO, OD_E_LIMIT, OD_E_MEMORY.
 */
enum od_status od_report_write(const char *run_dir, struct od_error *err) OD_MUST_CHECK;

/** Append the page instead. */
enum od_status od_report_make(const char *run_dir, struct od_buf *out,
                              struct od_error *err) OD_MUST_CHECK;

#endif
