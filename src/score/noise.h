/**
 * @file
 * How much of a ranking is noise: which places an entry could have had with other items.
 *
 * Every value that has an interval (else a bootstrap interval) is drawn anew, OD_NOISE_DRAWS times, from
 * a normal distribution around it whose 95 % range is as wide as the interval; each draw is ranked by the
 * same formula. Then 95 % of an entry's places, and of its scores, lie between two bounds, and an entry shares a place within noise
 * with the best one before it that does not beat it in 95 % of the draws:
 *
 *     rank           1      2                3                4
 *     beaten         -      70 % by the 1st  99 % by the 1st  60 % by the 3rd
 *     within noise   1      1                3                3
 *
 * Values are drawn one by one, as if every entry had been asked other items; entries that were asked
 * the same ones differ by less chance than this says, so a tie is told rather too often.
 *
 * @source B. Efron and R. Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 6 (the
 *         parametric bootstrap).
 * @thread Re-entrant: distinct objects from distinct threads.
 */
#ifndef OD_SCORE_NOISE_H
#define OD_SCORE_NOISE_H

#include "base/status.h"
#include "score/formula.h"

enum { OD_NOISE_DRAWS = 1000, OD_NOISE_ENTRIES_MAX = 128 };

/**
 * Fill draw_count, places_low, places_high, noise_places and score_intervals of a ranking. Does nothing when no value
 * that the formula uses has an interval, or with more than OD_NOISE_ENTRIES_MAX entries. Same
 * ranking, same result: the draws have a fixed seed.
 * @memory The arrays belong to the ranking's arena.
 * @error  OD_E_MEMORY.
 */
enum od_status od_ranking_add_noise(struct od_ranking *ranking, struct od_error *err) OD_MUST_CHECK;

#endif
