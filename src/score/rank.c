#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "score/board.h"
#include "score/exact.h"
#include "score/formula.h"

// Credits of 2^20 cells and what stands beside them.
#define ARENA_MAX_BYTES ((size_t)256 << 20)

// What a value that is missing counts as in the formulas of 2023.
#define MISSING_HIGHER  0.0
#define MISSING_LOWER   1000.0

// Groups of a board without a formula's own: HELM's order of tables, others behind them.
static const char *const helm_tables[] = {
    "Accuracy", "Calibration",           "Robustness", "Fairness", "Efficiency", "Bias",
    "Toxicity", "Summarization metrics", "BBQ metrics"};

/** A value and the entry that it belongs to. */
struct placed {
    double value;
    size_t entry;
};

// Equal as Python's == has it: 0.0 and -0.0 are.
static bool equal(double a, double b)
{
    return !(a < b) && !(a > b);
}

static enum od_status no_memory(struct od_error *err)
{
    return od_fail(err, OD_E_MEMORY, "no memory for a ranking");
}

static enum od_status check_metrics(const struct od_board *board, const struct od_formula *formula,
                                    struct od_error *err)
{
    const char *first = NULL;
    size_t absent = 0;
    for (size_t g = 0; g < formula->group_count; g++) {
        if (!formula->groups[g].metrics) {
            if (!od_board_has_category(board, formula->groups[g].name)) {
                return od_fail(err, OD_E_FORMAT,
                               "'%s' has no value of category '%s', which formula '%s' needs; "
                               "formula 'helm' ranks by what there is",
                               board->source, formula->groups[g].name, formula->name);
            }
            continue;
        }
        for (const char *const *name = formula->groups[g].metrics; *name; name++) {
            if (od_board_find_metric(board, *name, 0) == SIZE_MAX) {
                first = first ? first : *name;
                absent++;
            }
        }
    }
    if (absent == 1) {
        return od_fail(err, OD_E_FORMAT,
                       "'%s' has no metric '%s', which formula '%s' needs; formula 'helm' ranks by "
                       "what there is",
                       board->source, first, formula->name);
    }
    if (absent > 1) {
        return od_fail(err, OD_E_FORMAT,
                       "'%s' has no metric '%s' (and %zu more), which formula '%s' needs; formula "
                       "'helm' ranks by what there is",
                       board->source, first, absent - 1, formula->name);
    }
    return OD_OK;
}

static void add_metric(struct od_ranking *ranking, size_t metric, size_t group)
{
    ranking->metrics[ranking->metric_count] = metric;
    ranking->metric_groups[ranking->metric_count] = group;
    ranking->metric_count++;
}

// Every metric of a category that some entry has.
static void take_category(struct od_ranking *ranking, const char *category, size_t group,
                          bool core_only)
{
    const struct od_board *board = ranking->board;
    for (size_t i = 0; i < board->metric_count; i++) {
        const struct od_score_metric *metric = &board->metrics[i];
        if (metric->direction != OD_SCORE_NONE && !metric->extra &&
            !(core_only && metric->targeted) && strcmp(metric->category, category) == 0 &&
            od_board_has_values(board, i)) {
            add_metric(ranking, i, group);
        }
    }
}

// The groups that the formula names.
static void take_formula_groups(struct od_ranking *ranking)
{
    for (size_t g = 0; g < ranking->formula->group_count; g++) {
        const struct od_formula_group *group = &ranking->formula->groups[g];
        ranking->groups[ranking->group_count++] = group->name;
        if (!group->metrics) {
            take_category(ranking, group->name, g, false);
            continue;
        }
        for (const char *const *name = group->metrics; *name; name++) {
            add_metric(ranking, od_board_find_metric(ranking->board, *name, 0), g);
        }
    }
}

static bool has_core(const struct od_board *board)
{
    for (size_t i = 0; i < board->metric_count; i++) {
        if (board->metrics[i].direction != OD_SCORE_NONE && !board->metrics[i].targeted) {
            return true;
        }
    }
    return false;
}

// The board's categories, HELM's order first, without columns that nobody has (HELM's tables list
// every scenario that it knows). Metrics that only targeted_evaluations has are left
// out where there are core scenarios, so that a group is one of HELM's tables.
static void take_board_groups(struct od_ranking *ranking)
{
    const struct od_board *board = ranking->board;
    const bool core_only = has_core(board);
    const size_t known = sizeof helm_tables / sizeof helm_tables[0];
    for (size_t c = 0; c < known + board->metric_count; c++) {
        const char *category = c < known ? helm_tables[c] : board->metrics[c - known].category;
        bool seen = false;
        for (size_t g = 0; g < ranking->group_count; g++) {
            seen = seen || strcmp(ranking->groups[g], category) == 0;
        }
        const size_t before = ranking->metric_count;
        if (!seen) {
            take_category(ranking, category, ranking->group_count, core_only);
        }
        if (ranking->metric_count > before) {
            ranking->groups[ranking->group_count++] = category;
        }
    }
}

// The scenario of a metric: "MMLU" of "MMLU - EM (Robustness)"; a name without " - " is its own.
static const char *scenario_of(struct od_arena *arena, const char *metric)
{
    const char *end = strstr(metric, " - ");
    return od_arena_memdup(arena, metric, end ? (size_t)(end - metric) : strlen(metric));
}

static bool is_quality(const struct od_score_metric *metric)
{
    static const char *const categories[] = {"Accuracy", "Robustness", "Fairness", "Bias"};
    for (size_t c = 0; c < sizeof categories / sizeof categories[0]; c++) {
        if (strcmp(metric->category, categories[c]) == 0) {
            // HELM has no table of the bias of scenarios that are not about it.
            const bool other_bias = metric->targeted && strcmp(categories[c], "Bias") == 0;
            return metric->direction != OD_SCORE_NONE && !metric->extra && !other_bias;
        }
    }
    return false;
}

// One group a scenario, in the order of the board: what its answers are worth, not how fast they
// came. Metrics of a group stand together.
static enum od_status take_scenarios(struct od_ranking *ranking, struct od_error *err)
{
    const struct od_board *board = ranking->board;
    for (size_t i = 0; i < board->metric_count; i++) {
        if (!is_quality(&board->metrics[i]) || !od_board_has_values(board, i)) {
            continue;
        }
        const char *scenario = scenario_of(&ranking->arena, board->metrics[i].name);
        bool seen = false;
        if (!scenario) {
            return no_memory(err);
        }
        for (size_t g = 0; g < ranking->group_count; g++) {
            seen = seen || strcmp(ranking->groups[g], scenario) == 0;
        }
        if (!seen) {
            ranking->groups[ranking->group_count++] = scenario;
        }
    }
    for (size_t g = 0; g < ranking->group_count; g++) {
        const size_t size = strlen(ranking->groups[g]);
        for (size_t i = 0; i < board->metric_count; i++) {
            const char *name = board->metrics[i].name;
            const bool member = strncmp(name, ranking->groups[g], size) == 0 &&
                                (name[size] == '\0' || strncmp(name + size, " - ", 3) == 0);
            if (member && is_quality(&board->metrics[i]) && od_board_has_values(board, i)) {
                add_metric(ranking, i, g);
            }
        }
    }
    return OD_OK;
}

static enum od_status make_arrays(struct od_ranking *ranking, struct od_error *err)
{
    struct od_arena *arena = &ranking->arena;
    const size_t entries = ranking->board->entry_count;
    const size_t metrics = ranking->board->metric_count;
    const size_t scores = ranking->formula->score_count;
    const bool own_groups = ranking->formula->group_count > 0;
    const size_t groups = own_groups ? ranking->formula->group_count : metrics;
    ranking->groups = (const char **)od_arena_alloc(arena, groups, sizeof *ranking->groups);
    ranking->metrics = od_arena_alloc(arena, metrics, sizeof *ranking->metrics);
    ranking->metric_groups = od_arena_alloc(arena, metrics, sizeof *ranking->metric_groups);
    ranking->scores = od_arena_alloc(arena, entries * scores, sizeof *ranking->scores);
    ranking->order = od_arena_alloc(arena, entries, sizeof *ranking->order);
    ranking->places = od_arena_alloc(arena, entries, sizeof *ranking->places);
    if (!ranking->groups || !ranking->metrics || !ranking->metric_groups || !ranking->scores ||
        !ranking->order || !ranking->places) {
        return no_memory(err);
    }
    enum od_status status = OD_OK;
    if (own_groups) {
        take_formula_groups(ranking);
    } else if (ranking->formula->by_scenario) {
        status = take_scenarios(ranking, err);
    } else {
        take_board_groups(ranking);
    }
    if (status != OD_OK) {
        return status;
    }
    if (ranking->metric_count == 0) {
        return od_fail(err, OD_E_FORMAT, "'%s' has no metric that says which entry is better",
                       ranking->board->source);
    }
    ranking->credits =
        od_arena_alloc(arena, entries * ranking->metric_count, sizeof *ranking->credits);
    ranking->group_values =
        od_arena_alloc(arena, entries * ranking->group_count, sizeof *ranking->group_values);
    return ranking->credits && ranking->group_values ? OD_OK : no_memory(err);
}

static int by_value_then_entry(const void *left, const void *right)
{
    const struct placed *a = left;
    const struct placed *b = right;
    if (a->value < b->value || a->value > b->value) {
        return a->value < b->value ? -1 : 1;
    }
    return a->entry < b->entry ? -1 : a->entry > b->entry;
}

// Place in the order of (value, entry), reversed as a whole where lower is better, over n - 1.
static void credit_places(struct od_ranking *ranking, size_t at, struct placed *placed, size_t n)
{
    const struct od_score_metric *metric = &ranking->board->metrics[ranking->metrics[at]];
    qsort(placed, n, sizeof *placed, by_value_then_entry);
    for (size_t i = 1; i < n; i++) {
        ranking->tie_count += equal(placed[i - 1].value, placed[i].value) ? 1 : 0;
    }
    for (size_t i = 0; i < n; i++) {
        const size_t place = metric->direction == OD_SCORE_LOWER ? n - 1 - i : i;
        const double win = n == 1 ? 1.0 : (double)place / (double)(n - 1);
        ranking->credits[placed[i].entry * ranking->metric_count + at] =
            (struct od_maybe){.defined = true, .value = win};
    }
}

// What a draw with one of `equals` entries of the same value (itself counted) is worth.
static double draw(enum od_credit credit, double equals)
{
    if (credit == OD_CREDIT_PAIRS) {
        return 0.5;
    }
    const bool shared = credit == OD_CREDIT_FINAL && equals > 1.0;
    return 1.0 / (shared ? equals * (equals - 1.0) : equals);
}

// A win for each entry that is worse, and a part of one for each equal, over n (the entries, or the
// others of them).
static void credit_wins(struct od_ranking *ranking, size_t at, const struct placed *placed,
                        size_t n)
{
    const struct od_score_metric *metric = &ranking->board->metrics[ranking->metrics[at]];
    const double sign = metric->direction == OD_SCORE_LOWER ? -1.0 : 1.0;
    const double divisor = (double)(ranking->formula->credit == OD_CREDIT_PAIRS ? n - 1 : n);
    for (size_t i = 0; i < n; i++) {
        double equals = 0.0;
        for (size_t j = 0; j < n; j++) {
            equals += equal(placed[j].value, placed[i].value) ? 1.0 : 0.0;
        }
        const double part = draw(ranking->formula->credit, equals);
        double wins = 0.0;
        for (size_t j = 0; j < n; j++) {
            if (sign * placed[j].value < sign * placed[i].value) {
                wins += 1.0;
            } else if (j != i && equal(placed[j].value, placed[i].value)) {
                wins += part;
            }
        }
        ranking->credits[placed[i].entry * ranking->metric_count + at] =
            (struct od_maybe){.defined = true, .value = wins / divisor};
    }
}

static bool counts_defined_only(enum od_credit credit)
{
    return credit == OD_CREDIT_HELM || credit == OD_CREDIT_PAIRS;
}

// What the formula sees of a column; returns how many values there are.
static size_t take_column(struct od_ranking *ranking, size_t at, struct placed *placed)
{
    const struct od_board *board = ranking->board;
    const enum od_credit credit = ranking->formula->credit;
    const size_t metric = ranking->metrics[at];
    const bool lower = board->metrics[metric].direction == OD_SCORE_LOWER;
    size_t n = 0;
    for (size_t entry = 0; entry < board->entry_count; entry++) {
        const struct od_score_cell *cell = od_board_cell_const(board, entry, metric);
        double value = cell->value;
        if (!cell->defined) {
            if (counts_defined_only(credit)) {
                continue;
            }
            ranking->undefined_count++;
            value = lower ? MISSING_LOWER : MISSING_HIGHER;
        }
        if (credit == OD_CREDIT_PLACE && lower && equal(value, 0.0)) {
            value = MISSING_LOWER;
        }
        placed[n++] = (struct placed){.value = value, .entry = entry};
    }
    return n;
}

static enum od_status make_credits(struct od_ranking *ranking, struct od_error *err)
{
    const enum od_credit credit = ranking->formula->credit;
    struct placed *placed = od_alloc(ranking->board->entry_count, sizeof *placed);
    if (!placed) {
        return no_memory(err);
    }
    for (size_t at = 0; at < ranking->metric_count; at++) {
        const size_t n = take_column(ranking, at, placed);
        if (counts_defined_only(credit) && n < 2) {
            continue;  // nothing to compare with
        }
        if (credit == OD_CREDIT_PLACE || credit == OD_CREDIT_HELM) {
            credit_places(ranking, at, placed, n);
        } else {
            credit_wins(ranking, at, placed, n);
        }
    }
    od_free(placed);
    return OD_OK;
}

// Mean of the win rates of a group; undefined without any.
static void make_group_values(struct od_ranking *ranking, double *numbers)
{
    for (size_t entry = 0; entry < ranking->board->entry_count; entry++) {
        for (size_t g = 0; g < ranking->group_count; g++) {
            size_t n = 0;
            for (size_t at = 0; at < ranking->metric_count; at++) {
                const struct od_maybe *credit =
                    &ranking->credits[entry * ranking->metric_count + at];
                if (ranking->metric_groups[at] == g && credit->defined) {
                    numbers[n++] = credit->value;
                }
            }
            if (n > 0) {
                ranking->group_values[entry * ranking->group_count + g] =
                    (struct od_maybe){.defined = true, .value = od_exact_mean(numbers, n)};
            }
        }
    }
}

// Geometric mean of the groups that belong to `score`; undefined when one of them is.
static struct od_maybe score_of_groups(const struct od_ranking *ranking, size_t entry, int score,
                                       double *numbers)
{
    const struct od_formula_group *groups = ranking->formula->groups;
    size_t n = 0;
    for (size_t g = 0; g < ranking->group_count; g++) {
        const struct od_maybe *value = &ranking->group_values[entry * ranking->group_count + g];
        if (groups && groups[g].score != score) {
            continue;
        }
        if (!value->defined) {
            return (struct od_maybe){0};
        }
        numbers[n++] = value->value;
    }
    return (struct od_maybe){.defined = true, .value = od_geometric_mean(numbers, n)};
}

static void make_scores(struct od_ranking *ranking, double *numbers)
{
    const struct od_formula *formula = ranking->formula;
    for (size_t entry = 0; entry < ranking->board->entry_count; entry++) {
        struct od_maybe *scores = &ranking->scores[entry * formula->score_count];
        if (formula->credit == OD_CREDIT_HELM) {
            scores[0] = ranking->group_values[entry * ranking->group_count];
        } else if (formula->credit == OD_CREDIT_FINAL) {
            const struct od_maybe open = score_of_groups(ranking, entry, 1, numbers);
            const struct od_maybe hidden = score_of_groups(ranking, entry, 2, numbers);
            // The products are rounded one by one, as in the published numbers.
            const double open_part = 1.0 / 3.0 * open.value;
            const double hidden_part = 2.0 / 3.0 * hidden.value;
            scores[0] = (struct od_maybe){.defined = true, .value = open_part + hidden_part};
            scores[1] = open;
            scores[2] = hidden;
        } else {
            scores[0] = score_of_groups(ranking, entry, 0, numbers);
        }
    }
}

// Best first; undefined last; equals as they stand in the board.
static void sort_entries(struct od_ranking *ranking)
{
    const size_t count = ranking->board->entry_count;
    const size_t stride = ranking->formula->score_count;
    for (size_t i = 0; i < count; i++) {
        const struct od_maybe *score = &ranking->scores[i * stride];
        size_t at = i;
        while (at > 0) {
            const struct od_maybe *above = &ranking->scores[ranking->order[at - 1] * stride];
            const bool better = score->defined && (!above->defined || score->value > above->value);
            if (!better) {
                break;
            }
            ranking->order[at] = ranking->order[at - 1];
            at--;
        }
        ranking->order[at] = i;
    }
    for (size_t i = 0; i < count; i++) {
        const size_t entry = ranking->order[i];
        ranking->places[entry] = i + 1;
        if (i > 0) {
            const struct od_maybe *score = &ranking->scores[entry * stride];
            const struct od_maybe *above = &ranking->scores[ranking->order[i - 1] * stride];
            // Sorted, so "not below" is "equal".
            if (score->defined == above->defined &&
                !(score->defined && score->value < above->value)) {
                ranking->places[entry] = ranking->places[ranking->order[i - 1]];
            }
        }
    }
}

enum od_status od_rank(const struct od_board *board, const struct od_formula *formula,
                       struct od_ranking *ret, struct od_error *err)
{
    struct od_ranking ranking = {.formula = formula, .board = board};
    double *numbers = NULL;
    assert(board->cells);
    od_arena_init(&ranking.arena, ARENA_MAX_BYTES);
    enum od_status status = check_metrics(board, formula, err);
    if (status != OD_OK) {
        goto done;
    }
    if (board->entry_count < 2 && formula->credit != OD_CREDIT_PLACE) {
        status = od_fail(err, OD_E_ARGUMENT,
                         "'%s' has one entry, '%s': formula '%s' compares entries and needs two",
                         board->source, board->entries[0], formula->name);
        goto done;
    }
    status = make_arrays(&ranking, err);
    if (status != OD_OK) {
        goto done;
    }
    status = make_credits(&ranking, err);
    if (status != OD_OK) {
        goto done;
    }
    numbers = od_alloc(ranking.metric_count + ranking.group_count, sizeof *numbers);
    if (!numbers) {
        status = no_memory(err);
        goto done;
    }
    make_group_values(&ranking, numbers);
    make_scores(&ranking, numbers);
    sort_entries(&ranking);
    *ret = ranking;
    od_arena_init(&ranking.arena, 0);  // ownership moved to *ret

done:
    od_free(numbers);
    od_arena_release(&ranking.arena);
    return status;
}

void od_ranking_release(struct od_ranking *ranking)
{
    od_arena_release(&ranking->arena);
    *ranking = (struct od_ranking){0};
}
