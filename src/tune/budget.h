/**
 * @file
 * The time that a run may take, over all its processes.
 *
 * A process counts from its beginning by two clocks: one that is never set (and runs on while the
 * machine sleeps) and the wall's. The larger sum counts, so that setting the clock back wins no
 * time. What processes before took stands in the checkpoint and in the lines of the log; pauses
 * between processes do not count.
 *
 * At the end of the time the export is done: training stops when the next step, the writing of a
 * checkpoint and of the export would not end in time.
 *
 * @thread Re-entrant: no state outside the arguments.
 */
#ifndef OD_TUNE_BUDGET_H
#define OD_TUNE_BUDGET_H

#include <stdbool.h>

/** A moment by both clocks, in seconds from beginnings of their own. */
struct od_moment {
    double steady_s;
    double wall_s;
};
/** Now. */
struct od_moment od_moment_now(void);

struct od_budget {
    double limit_s;   ///< 0: none
    double before_s;  ///< taken by the processes before this one
    struct od_moment begin;
    double step_s;   ///< the longest step of this process
    double eval_s;   ///< the longest evaluation; 0: none was made
    double close_s;  ///< what checkpoint and export take, the longest seen or guessed
};

/** Seconds of all processes until `now`. */
double od_budget_elapsed_s(const struct od_budget *budget, struct od_moment now);
/** True when the wall's clock was set since the process began, by more than two seconds. */
bool od_budget_clock_was_set(const struct od_budget *budget, struct od_moment now);
/** True when something that takes `seconds` can still begin. */
bool od_budget_allows(const struct od_budget *budget, struct od_moment now, double seconds);
/** What a step takes at most, by those before. */
double od_budget_step_s(const struct od_budget *budget);
/** What an evaluation takes at most; before the first it is guessed from so many steps. */
double od_budget_eval_s(const struct od_budget *budget, double steps);

#endif
