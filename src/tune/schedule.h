/**
 * @file
 * What depends on the step: the learning rate, and when evaluations and checkpoints are due.
 *
 * With w steps of warm-up, T steps of the run and t = 0 for the first:
 *
 *     t < w                 t / max(1, w), except for `constant`, which has none
 *     cosine                (1 - m) (1 + cos(pi p)) / 2 + m,  p = (t - w) / max(1, T - w);
 *                           m is cosine_min_lr_ratio
 *       ending early        the same with T and t cut to floor(T cosine_constant_lr_ratio)
 *     linear                max(0, T - t) / max(1, T - w)
 *     constant, constant_with_warmup    1
 *     warmup_stable_decay   1 until t = T - d, then (1 - m) f(p) + m, p = (t - (T - d)) / d, with
 *                           f(p) = (1 + cos(pi p)) / 2, 1 - p, or 1 - sqrt(p); d is
 *                           num_decay_steps, m min_lr_ratio; its warm-up is (1 - m) t / w + m
 *     decay_per_epoch       gamma ^ (epochs done)
 *
 * @source transformers 4.46, optimization.py; axolotl 0.5, utils/schedulers.py (both ratios of
 *         cosine).
 * @thread Re-entrant: no state outside the arguments.
 */
#ifndef OD_TUNE_SCHEDULE_H
#define OD_TUNE_SCHEDULE_H

#include <stdint.h>

#include "tune/recipe.h"

/** Steps of warm-up: warmup_steps, else the share warmup_ratio of the run, rounded up. */
int64_t od_warmup_steps(const struct od_recipe *recipe, int64_t total_steps);

/** Learning rate of step `step` (0 is the first) in epoch `epoch` (0 is the first). */
double od_learning_rate(const struct od_recipe *recipe, int64_t step, int64_t total_steps,
                        uint32_t epoch);

/** Steps from one evaluation to the next; 0: none. An epoch counts as `steps_per_epoch`. */
int64_t od_eval_interval(const struct od_recipe *recipe, int64_t total_steps,
                         int64_t steps_per_epoch);
/** Steps from one checkpoint to the next; 0: only at the end. */
int64_t od_save_interval(const struct od_recipe *recipe, int64_t total_steps,
                         int64_t steps_per_epoch);

#endif
