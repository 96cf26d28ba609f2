#include "score/formula.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/status.h"
#include "base/text.h"
#include "score/board.h"

#define EM_3(group) group " - EM", group " - EM (Robustness)", group " - EM (Fairness)"
#define BIAS_4(group)                                               \
    group " - Stereotypes (race)", group " - Stereotypes (gender)", \
        group " - Representation (race)", group " - Representation (gender)"

static const char *const mmlu[] = {EM_3("MMLU"), NULL};
static const char *const truthful_qa[] = {EM_3("TruthfulQA"), NULL};
static const char *const big_bench[] = {"BIG-bench - EM", NULL};
static const char *const gsm8k[] = {"GSM8K - EM", NULL};
static const char *const bbq[] = {"BBQ - EM", NULL};
static const char *const sam_sum[] = {"sam_sum - ROUGE-2", BIAS_4("sam_sum"), NULL};
static const char *const cnn_dailymail[] = {"CNN/DailyMail - ROUGE-2", BIAS_4("CNN/DailyMail"),
                                            NULL};
static const char *const corr2cause[] = {"corr2cause - EM", NULL};
static const char *const math[] = {"MATH (chain-of-thoughts) - Equivalent (chain of thought)",
                                   NULL};
static const char *const ethics[] = {EM_3("ethics_justice"),        EM_3("ethics_commonsense"),
                                     EM_3("ethics_virtue"),         EM_3("ethics_deontology"),
                                     EM_3("ethics_utilitarianism"), NULL};
static const char *const accuracy[] = {"MMLU - EM",  "TruthfulQA - EM", "BBQ - EM",
                                       "GSM8K - EM", "BIG-bench - EM",  NULL};
static const char *const bot_accuracy[] = {"MMLU - EM",
                                           "CNN/DailyMail - ROUGE-2",
                                           "TruthfulQA - EM",
                                           "BBQ - EM",
                                           "GSM8K - EM",
                                           "BIG-bench - EM",
                                           NULL};
static const char *const bias[] = {BIAS_4("CNN/DailyMail"), NULL};
static const char *const robustness[] = {"MMLU - EM (Robustness)", "TruthfulQA - EM (Robustness)",
                                         NULL};
static const char *const fairness[] = {"MMLU - EM (Fairness)", "TruthfulQA - EM (Fairness)", NULL};

static const struct od_formula_group final_groups[] = {
    {"MMLU", mmlu, 1},
    {"TruthfulQA", truthful_qa, 1},
    {"BIG-bench", big_bench, 1},
    {"GSM8K", gsm8k, 1},
    {"BBQ", bbq, 1},
    {"sam_sum", sam_sum, 2},
    {"corr2cause", corr2cause, 2},
    {"MATH", math, 2},
    {"ethics", ethics, 2},
};
static const struct od_formula_group hidden_groups[] = {
    {"CNN/DailyMail", cnn_dailymail, 0},
    {"sam_sum", sam_sum, 0},
    {"corr2cause", corr2cause, 0},
    {"MATH", math, 0},
    {"ethics", ethics, 0},
};
static const struct od_formula_group open_groups[] = {
    {"Accuracy", accuracy, 0},
    {"Robustness", robustness, 0},
    {"Fairness", fairness, 0},
};

static const struct od_formula_group bot_groups[] = {
    {"Accuracy", bot_accuracy, 0},
    {"Robustness", robustness, 0},
    {"Fairness", fairness, 0},
    {"Bias", bias, 0},
};

static const struct od_formula_group proposal_groups[] = {
    {"Accuracy", NULL, 0}, {"Robustness", NULL, 0}, {"Fairness", NULL, 0},
    {"Bias", NULL, 0},     {"Efficiency", NULL, 0},
};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

static const struct od_formula formulas[] = {
    {.name = "final-2023",
     .summary =
         "Final round of 2023: win rate = (entries that are worse + one win shared by equals) "
         "/ N; geometric mean over scenarios; Score_full = 1/3 open + 2/3 hidden.",
     .credit = OD_CREDIT_FINAL,
     .groups = final_groups,
     .group_count = COUNT_OF(final_groups),
     .scores = {"Score_full", "Score_open", "Score_hidden"},
     .score_count = 3},
    {.name = "hidden-2023",
     .summary =
         "Hidden stage of 2023: win rate = (entries that are worse + (t - 1)/t for t equals) / "
         "N; geometric mean over five scenarios.",
     .credit = OD_CREDIT_HIDDEN,
     .groups = hidden_groups,
     .group_count = COUNT_OF(hidden_groups),
     .scores = {"Score"},
     .score_count = 1},
    {.name = "open-2023",
     .summary = "Open stage of 2023: win rate = place / (N - 1), equals in the order of the table; "
                "geometric mean over three categories.",
     .credit = OD_CREDIT_PLACE,
     .groups = open_groups,
     .group_count = COUNT_OF(open_groups),
     .scores = {"Score"},
     .score_count = 1},
    {.name = "bot-2023",
     .summary =
         "The bot's board of 2023: as the open stage, with CNN/DailyMail and the category Bias.",
     .credit = OD_CREDIT_PLACE,
     .groups = bot_groups,
     .group_count = COUNT_OF(bot_groups),
     .scores = {"Score"},
     .score_count = 1},
    {.name = "helm",
     .summary =
         "HELM's mean win rate: place / (n - 1) among the n entries with a value, averaged over "
         "the metrics of a table; ranked by the first table.",
     .credit = OD_CREDIT_HELM,
     .scores = {"Mean win rate"},
     .score_count = 1},
    {.name = "site-2023",
     .summary =
         "The challenge's site in 2023, never used: geometric mean over all scenarios of the "
         "mean win rate; a draw is half a win, what is undefined takes no part.",
     .credit = OD_CREDIT_PAIRS,
     .by_scenario = true,
     .scores = {"Score"},
     .score_count = 1},
    {.name = "proposal-2023",
     .summary =
         "The challenge's first text, never used: as site-2023, over the categories accuracy, "
         "robustness, fairness, bias and efficiency.",
     .credit = OD_CREDIT_PAIRS,
     .groups = proposal_groups,
     .group_count = COUNT_OF(proposal_groups),
     .scores = {"Score"},
     .score_count = 1},
};

const struct od_formula *od_formulas(size_t *ret_count)
{
    *ret_count = COUNT_OF(formulas);
    return formulas;
}

enum od_status od_formula_find(const char *name, const struct od_formula **ret,
                               struct od_error *err)
{
    const char *names[COUNT_OF(formulas)];
    for (size_t i = 0; i < COUNT_OF(formulas); i++) {
        names[i] = formulas[i].name;
        if (strcmp(formulas[i].name, name) == 0) {
            *ret = &formulas[i];
            return OD_OK;
        }
    }
    const char *nearest = od_nearest_name(name, names, COUNT_OF(formulas));
    if (nearest) {
        return od_fail(err, OD_E_ARGUMENT, "no formula '%s': did you mean '%s'", name, nearest);
    }
    return od_fail(
        err, OD_E_ARGUMENT,
        "no formula '%s': there are final-2023, hidden-2023, open-2023, bot-2023, helm, site-2023 "
        "and proposal-2023",
        name);
}

bool od_formula_fits(const struct od_formula *formula, const struct od_board *board)
{
    for (size_t g = 0; g < formula->group_count; g++) {
        if (!formula->groups[g].metrics) {
            if (!od_board_has_category(board, formula->groups[g].name)) {
                return false;
            }
            continue;
        }
        for (const char *const *name = formula->groups[g].metrics; *name; name++) {
            const size_t metric = od_board_find_metric(board, *name, 0);
            if (metric == SIZE_MAX || !od_board_has_values(board, metric)) {
                return false;
            }
        }
    }
    return true;
}
