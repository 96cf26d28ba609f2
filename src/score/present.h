/**
 * @file
 * A ranking for people and programs: terminal, JSON, CSV, LaTeX, one HTML page.
 *
 * In all of them a value that was never measured stays undefined ("–", null, an empty cell) with
 * its reason, even where the formula counted it as 0 or 1000. Same ranking, same bytes.
 *
 * @thread Re-entrant: no state.
 */
#ifndef OD_SCORE_PRESENT_H
#define OD_SCORE_PRESENT_H

#include <stdio.h>

#include "base/memory.h"
#include "base/status.h"
#include "score/formula.h"

/** Largest page or document that is written. */
#define OD_PRESENT_MAX_BYTES ((size_t)256 << 20)

/**
 * Two tables as text: the ranking, then the metrics with intervals and item counts (as long as the
 * entries fit beside each other), then what is undefined and why.
 */
enum od_status od_present_text(const struct od_ranking *ranking, FILE *to,
                               struct od_error *err) OD_MUST_CHECK;

/**
 * Append one JSON document:
 *
 *     {"formula": "final-2023", "source": "...", "groups": ["MMLU", ...],
 *      "metrics": [{"name": "MMLU - EM", "group": "MMLU"|null, "category": "Accuracy",
 *                   "lower_is_better": false|null}, ...],
 *      "entries": [{"rank": 1|null, "rank_within_noise": 1, "rank_low": 1, "rank_high": 3,
 *                   "name": "...", "measured": 30, "scores": {"Score_full": 0.57, ...},
 *                   "score_intervals": {"Score_full": {"low": 0.51, "high": 0.63}, ...},
 *                   "groups": {"MMLU": 0.75, ...},
 *                   "metrics": {"MMLU - EM": {"value": 0.63, "win_rate": 0.75, "items": 240,
 *                                             "low": 0.57, "high": 0.69,
 *                                             "bootstrap": {"low": 0.57, "high": 0.68}},
 *                               "GSM8K - EM": {"value": null, "why": "...", "win_rate": 0.1}}}, ...],
 *      "undefined_counted": 3, "ties_by_order": 0, "notes": ["..."]}
 *
 * Entries stand best first. An entry without the score that ranks has no rank. The
 * members about noise are there when it is known (noise.h). Metrics that the formula does not use and that no entry has are left
 * out.
 */
enum od_status od_present_json(const struct od_ranking *ranking, struct od_buf *out,
                               struct od_error *err) OD_MUST_CHECK;

/** Append CSV (RFC 4180): entry, rank, how many of the formula's metrics it has, scores, win rates of the
 *  groups, metrics with their intervals and items; one row an entry, best first; od_board_read reads it
 *  again. A name that a spreadsheet would take for a formula gets an
 *  apostrophe in front. */
enum od_status od_present_csv(const struct od_ranking *ranking, struct od_buf *out,
                              struct od_error *err) OD_MUST_CHECK;

/**
 * Append LaTeX for a paper: a tabular of the ranking, and one of the metrics that the formula uses,
 * entries in rows, ruled with \hline; no package is needed. An undefined value is "--", its reason
 * a comment line at the end.
 */
enum od_status od_present_latex(const struct od_ranking *ranking, struct od_buf *out,
                                struct od_error *err) OD_MUST_CHECK;

/** Append a page that needs nothing else. */
enum od_status od_present_html(const struct od_ranking *ranking, struct od_buf *out,
                               struct od_error *err) OD_MUST_CHECK;

#endif
