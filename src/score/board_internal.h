/**
 * @file
 * What the readers of tables share.
 * @thread Re-entrant: no state.
 */
#ifndef OD_SCORE_BOARD_INTERNAL_H
#define OD_SCORE_BOARD_INTERNAL_H

#include <stddef.h>

#include "base/status.h"
#include "score/board.h"

/** Fill an initialised board from CSV, sealed; messages name the file. */
enum od_status od_board_parse_csv(const char *text, size_t size, const char *name,
                                  struct od_board *board, struct od_error *err) OD_MUST_CHECK;

/** Why a cell that says null, or nothing, is undefined. */
const char *od_board_null_reason(void);

/** Note that `count` columns of published results were left out. */
enum od_status od_board_note_results(struct od_board *board, size_t count,
                                     struct od_error *err) OD_MUST_CHECK;

#endif
