/**
 * @file
 * What the presentations of a ranking share.
 * @thread Re-entrant: no state.
 */
#ifndef OD_SCORE_PRESENT_INTERNAL_H
#define OD_SCORE_PRESENT_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/memory.h"
#include "base/status.h"
#include "score/formula.h"

enum { OD_SHORT_NUMBER_BYTES = 32 };

/** A metric that is shown: one of the formula's, or another that some entry has. */
struct od_shown {
    size_t metric;  ///< index in the board
    size_t credit;  ///< index in the ranking's metrics; SIZE_MAX when the formula does not use it
};

/** Formula's metrics first, in its order. @memory Gives *ret: od_free. */
enum od_status od_present_shown(const struct od_ranking *ranking, struct od_shown **ret,
                                size_t *ret_count, struct od_error *err) OD_MUST_CHECK;

/** Four decimals, or three digits with an exponent where those would say nothing. */
void od_present_number(double value, char out[OD_SHORT_NUMBER_BYTES]);

/** True when no other entry's value for the metric is better and some is worse. */
bool od_present_is_best(const struct od_board *board, size_t entry, size_t metric);

/** Append lines that say what the formula counted undefined values as and how often the order of the
 *  entries decided; nothing if neither. */
void od_present_counted(const struct od_ranking *ranking, struct od_buf *out);

/** Append a line that says what "within noise" means; nothing when it is not known. */
void od_present_noise(const struct od_ranking *ranking, struct od_buf *out);

#endif
