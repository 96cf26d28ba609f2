/**
 * @file
 * From a board to a ranking: the formulas that the 2023 challenge used, and HELM's mean win rate.
 *
 * All of them turn every metric into a win rate (how many of the others are worse), average the win
 * rates of a group of metrics, and combine the groups. They differ in how equals share a win, in
 * what a missing value counts as, in the divisor and in the groups:
 *
 *     name         a win rate is                                  groups       score
 *     final-2023   (worse + (1/t if t > 1)) / N                   9 scenarios  1/3 open + 2/3 hidden
 *     hidden-2023  (worse + (t - 1)/t) / N                        5 scenarios  geometric mean
 *     open-2023    place / (N - 1), equals in the order given     3 categories geometric mean
 *     bot-2023     the same                                       4 categories geometric mean
 *     helm         place / (n - 1), undefined values left out     HELM tables  mean, table Accuracy
 *     site-2023    (worse + (t - 1)/2) / (n - 1), the same        scenarios    geometric mean
 *     proposal-2023  the same                                     5 categories geometric mean
 *
 * N entries, t entries that share the value, n entries with a value. The four stages of 2023 count
 * a missing value as 0, or as 1000 where lower is better (open-2023 and bot-2023: a true 0 there, too). The score of
 * final-2023 is Score_full; Score_open and Score_hidden are the geometric means of their scenarios.
 *
 * site-2023 and proposal-2023 are what the site announced and never used: a geometric mean of mean
 * win rates over all tasks, and over accuracy, robustness, fairness, bias and efficiency. The text
 * says nothing of equals and of missing values. Read here as HELM's paper defines a win rate (the
 * chance to beat another entry): a draw is half a win, what is missing takes no part, and an entry
 * without any value in a group has no score.
 *
 * @source The challenge's rules and ranking of 2023, checked against its published result tables;
 *         HELM v0.2.4, mean win rate of the summary tables.
 * @thread Re-entrant: distinct objects from distinct threads.
 */
#ifndef OD_SCORE_FORMULA_H
#define OD_SCORE_FORMULA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/interval.h"
#include "base/memory.h"
#include "base/status.h"
#include "score/board.h"

enum { OD_RANKING_SCORES_MAX = 3 };

/** How a metric becomes a win rate. */
enum od_credit {
    OD_CREDIT_FINAL,   ///< equals share one win
    OD_CREDIT_HIDDEN,  ///< equals get (t - 1)/t each
    OD_CREDIT_PLACE,   ///< place in the order / (N - 1)
    OD_CREDIT_HELM,    ///< the same among defined values only
    OD_CREDIT_PAIRS    ///< share of the other defined values that are worse; a draw is half a win
};

/** A named set of metrics whose win rates are averaged. */
struct od_formula_group {
    const char *name;
    const char *const *metrics;  ///< ends with NULL; NULL: every metric of the category `name`
    int score;                   ///< which geometric mean of od_formula.scores it is part of
};

struct od_formula {
    const char *name;
    const char *summary;  ///< one sentence for people
    enum od_credit credit;
    const struct od_formula_group *groups;  ///< NULL: the board's categories, or its scenarios
    size_t group_count;
    bool by_scenario;                           ///< without groups: the scenarios of the board
    const char *scores[OD_RANKING_SCORES_MAX];  ///< names; the first one ranks
    size_t score_count;
};

/** A number that may be undefined. */
struct od_maybe {
    bool defined;
    double value;
};

/** What a formula makes of a board. */
struct od_ranking {
    struct od_arena arena;             ///< owns the arrays
    const struct od_formula *formula;  ///< static
    const struct od_board *board;      ///< kept: the board outlives the ranking
    size_t group_count;
    const char **groups;            ///< names
    struct od_maybe *group_values;  ///< [entry * group_count + group]
    struct od_maybe *scores;        ///< [entry * formula->score_count + score]
    size_t metric_count;
    size_t *metrics;           ///< [metric_count] index in the board, group by group
    size_t *metric_groups;     ///< [metric_count] group of each
    struct od_maybe *credits;  ///< [entry * metric_count + i]
    size_t *order;             ///< entries, best first; equals in the board's order
    size_t *places;            ///< [entry] from 1; equal scores share a place
    size_t tie_count;          ///< times that the order of the board decided between equal values
    size_t undefined_count;    ///< cells without a value that the formula counted as 0 or 1000
    size_t draw_count;     ///< repetitions behind the next four (noise.h); 0: noise is not known
    size_t *places_low;    ///< [entry] 95 % of the repetitions put it between this place ...
    size_t *places_high;   ///< [entry] ... and this one
    size_t *noise_places;  ///< [entry] place when entries within noise share one
    struct od_interval
        *score_intervals;  ///< like scores: 95 % of the repetitions; of those that are
                           ///< defined
};

/** All formulas. */
const struct od_formula *od_formulas(size_t *ret_count);

/** A formula by name; OD_E_ARGUMENT names the nearest. */
enum od_status od_formula_find(const char *name, const struct od_formula **ret,
                               struct od_error *err) OD_MUST_CHECK;

/** True when every metric of `formula` is in the board and defined for some entry, and something of
 *  every category that it names. */
bool od_formula_fits(const struct od_formula *formula, const struct od_board *board);

/**
 * Rank a board.
 * @memory Gives *ret: od_ranking_release. Keeps `board`.
 * @error  OD_E_FORMAT when metrics of the formula are not in the board, OD_E_ARGUMENT when it has
 *         one entry only (open-2023 and bot-2023 can rank one: its win rates are 1), OD_E_MEMORY.
 */
enum od_status od_rank(const struct od_board *board, const struct od_formula *formula,
                       struct od_ranking *ret, struct od_error *err) OD_MUST_CHECK;
void od_ranking_release(struct od_ranking *ranking);

#endif
