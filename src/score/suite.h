/**
 * @file
 * A board from evaluated suites: the folders that `oneday eval` (or helm-run and helm-summarize)
 * writes. See suite.c for the files.
 *
 * @source HELM v0.2.4, tables of the groups core_scenarios and targeted_evaluations.
 * @thread Re-entrant: no state.
 */
#ifndef OD_SCORE_SUITE_H
#define OD_SCORE_SUITE_H

#include <stddef.h>

#include "base/status.h"
#include "score/board.h"

/** Most suites that are read at once. */
enum { OD_SUITES_MAX = 1024 };
/** Largest group file that is read. */
#define OD_SUITE_FILE_MAX_BYTES ((size_t)64 << 20)

/**
 * Read suites, one entry each (a suite of several models: one entry a model). Each of `paths` is a
 * suite's folder (it has groups/core_scenarios.json), or a run directory or output folder that has
 * one suite below eval/runs/ or runs/. Entries are named by the end of their path, as much of it as
 * tells them apart.
 * @memory Gives: od_board_release.
 * @error  OD_E_NOT_FOUND for a folder without suite, OD_E_ARGUMENT for one with several or for a
 *         suite that is given twice, OD_E_FORMAT "FILE: ..." for files of another shape.
 */
enum od_status od_board_read_suites(const char *const *paths, size_t count, struct od_board *ret,
                                    struct od_error *err) OD_MUST_CHECK;

#endif
