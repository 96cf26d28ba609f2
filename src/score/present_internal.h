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

/** A count, which may be a mean over runs: as many decimals as it needs, one at most. */
void od_present_count(double value, char out[OD_SHORT_NUMBER_BYTES]);

/** True when no other entry's value for the metric is better and some is worse. */
bool od_present_is_best(const struct od_board *board, size_t entry, size_t metric);

/** True when the value is behind the best one by no more than noise: by their intervals it would lose in
 *  less than 95 % of draws. The best itself is not near. */
bool od_present_is_near_best(const struct od_board *board, size_t entry, size_t metric);

/** True when the entry has the score that ranks; else its place says nothing. */
bool od_present_is_ranked(const struct od_ranking *ranking, size_t entry);

/** True when the entry shares its place within noise. Noise is known. */
bool od_present_is_tied(const struct od_ranking *ranking, size_t entry);

/** How many of the formula's metrics the entry has. */
size_t od_present_measured(const struct od_ranking *ranking, size_t entry);

/** True when some entry lacks a metric of the formula. */
bool od_present_has_gaps(const struct od_ranking *ranking);

/** Append lines that say what the formula counted undefined values as and how often the order of the
 *  entries decided; nothing if neither. */
void od_present_counted(const struct od_ranking *ranking, struct od_buf *out);

/** Append a line that says what "within noise" means; nothing when it is not known. */
void od_present_noise(const struct od_ranking *ranking, struct od_buf *out);

#endif
