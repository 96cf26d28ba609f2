#include "tune/schedule.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#include "tune/recipe.h"

static const double PI = 3.141592653589793;

static double at_least_1(double value)
{
    return value < 1.0 ? 1.0 : value;
}

int64_t od_warmup_steps(const struct od_recipe *recipe, int64_t total_steps)
{
    if (recipe->lr_scheduler == OD_SCHEDULE_CONSTANT) {
        return 0;
    }
    return recipe->warmup_steps > 0 ? recipe->warmup_steps
                                    : (int64_t)ceil((double)total_steps * recipe->warmup_ratio);
}

static double cosine(const struct od_recipe *recipe, double at, double warmup, double total)
{
    const double least = recipe->cosine_min_lr_ratio;
    if (recipe->cosine_constant_lr_ratio > 0.0) {
        total = floor(total * recipe->cosine_constant_lr_ratio);
        at = at < total ? at : total;
    }
    const double rest = at_least_1(total - warmup);
    const double factor = (1.0 - least) * (0.5 * (1.0 + cos(PI * (at - warmup) / rest))) + least;
    return factor > 0.0 ? factor : 0.0;
}

// The end of warmup_stable_decay, from 1 to 0.
static double decay(enum od_decay kind, double progress)
{
    switch (kind) {
    case OD_DECAY_COSINE: return 0.5 * (1.0 + cos(PI * progress));
    case OD_DECAY_LINEAR: return 1.0 - progress;
    case OD_DECAY_ONE_MINUS_SQRT: break;
    }
    return 1.0 - sqrt(progress);
}

static double stable_decay(const struct od_recipe *recipe, double at, double warmup, double total)
{
    const double least = recipe->lr_min_ratio;
    const double length = (double)recipe->lr_decay_steps;
    // A run that is shorter than warm-up and decay together has no stable part.
    const double begin = total - length > warmup ? total - length : warmup;
    if (at < begin) {
        return 1.0;
    }
    if (at >= begin + length) {
        return least;
    }
    const double factor = (1.0 - least) * decay(recipe->lr_decay, (at - begin) / length) + least;
    return factor > 0.0 ? factor : 0.0;
}

double od_learning_rate(const struct od_recipe *recipe, int64_t step, int64_t total_steps,
                        uint32_t epoch)
{
    const int64_t warmup_steps = od_warmup_steps(recipe, total_steps);
    const double warmup = (double)warmup_steps;
    const double at = (double)step;
    const double total = (double)total_steps;
    double factor = 1.0;
    if (step < warmup_steps) {
        factor = at / at_least_1(warmup);
        if (recipe->lr_scheduler == OD_SCHEDULE_WARMUP_STABLE_DECAY) {
            factor = factor * (1.0 - recipe->lr_min_ratio) + recipe->lr_min_ratio;
        }
        return recipe->learning_rate * factor;
    }
    switch (recipe->lr_scheduler) {
    case OD_SCHEDULE_COSINE: factor = cosine(recipe, at, warmup, total); break;
    case OD_SCHEDULE_LINEAR:
        factor = total > at ? (total - at) / at_least_1(total - warmup) : 0.0;
        break;
    case OD_SCHEDULE_WARMUP_STABLE_DECAY: factor = stable_decay(recipe, at, warmup, total); break;
    case OD_SCHEDULE_DECAY_PER_EPOCH: factor = pow(recipe->lr_gamma, (double)epoch); break;
    case OD_SCHEDULE_CONSTANT:
    case OD_SCHEDULE_CONSTANT_WITH_WARMUP: break;
    }
    return recipe->learning_rate * factor;
}

static int64_t interval(enum od_due due, double steps, int64_t per_epoch, int64_t total_steps,
                        int64_t steps_per_epoch)
{
    if (due == OD_DUE_NEVER || due == OD_DUE_BEST) {
        return 0;
    }
    if (due == OD_DUE_EPOCH) {
        return steps_per_epoch;
    }
    if (per_epoch > 0) {
        return (steps_per_epoch + per_epoch - 1) / per_epoch;
    }
    return steps < 1.0 ? (int64_t)ceil((double)total_steps * steps) : (int64_t)steps;
}

int64_t od_eval_interval(const struct od_recipe *recipe, int64_t total_steps,
                         int64_t steps_per_epoch)
{
    const enum od_due due = recipe->eval_strategy;
    const bool open = !(recipe->eval_steps > 0.0) && recipe->evals_per_epoch == 0;
    return interval(due == OD_DUE_DEFAULT && open ? OD_DUE_EPOCH : due, recipe->eval_steps,
                    recipe->evals_per_epoch, total_steps, steps_per_epoch);
}

int64_t od_save_interval(const struct od_recipe *recipe, int64_t total_steps,
                         int64_t steps_per_epoch)
{
    return interval(recipe->save_strategy, recipe->save_steps, recipe->saves_per_epoch, total_steps,
                    steps_per_epoch);
}
