#include "tune/budget.h"

#include <stdbool.h>
#include <time.h>

// Steps and writing are not equally long each time.
static const double SLACK = 1.5;
// Of the limit, for what is not measured: the report, the end of the process.
static const double SPARE_SHARE = 0.01;
static const double SPARE_S = 0.25;
// An evaluation is a forward pass: about a third of a step's work.
static const double FORWARD_SHARE = 1.0 / 3.0;
static const double CLOCKS_APART_S = 2.0;

static double seconds(clockid_t clock)
{
    struct timespec now;
    (void)clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

struct od_moment od_moment_now(void)
{
    return (struct od_moment){.steady_s = seconds(CLOCK_BOOTTIME),
                              .wall_s = seconds(CLOCK_REALTIME)};
}

double od_budget_elapsed_s(const struct od_budget *budget, struct od_moment now)
{
    const double steady = now.steady_s - budget->begin.steady_s;
    const double wall = now.wall_s - budget->begin.wall_s;
    return budget->before_s + (steady > wall ? steady : wall);
}

bool od_budget_clock_was_set(const struct od_budget *budget, struct od_moment now)
{
    const double apart =
        (now.steady_s - budget->begin.steady_s) - (now.wall_s - budget->begin.wall_s);
    return apart > CLOCKS_APART_S || apart < -CLOCKS_APART_S;
}

bool od_budget_allows(const struct od_budget *budget, struct od_moment now, double need_s)
{
    if (!(budget->limit_s > 0.0)) {
        return true;
    }
    const double spare = SPARE_S + SPARE_SHARE * budget->limit_s;
    return od_budget_elapsed_s(budget, now) + need_s + SLACK * budget->close_s + spare <=
           budget->limit_s;
}

double od_budget_step_s(const struct od_budget *budget)
{
    return SLACK * budget->step_s;
}

double od_budget_eval_s(const struct od_budget *budget, double steps)
{
    return SLACK * (budget->eval_s > 0.0 ? budget->eval_s : FORWARD_SHARE * steps * budget->step_s);
}
