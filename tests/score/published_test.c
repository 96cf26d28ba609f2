// Goal: the published tables of the 4090 track of 2023 come out of the formulas again.
// Method: win rates and scores are removed from the table before it is read; every value that the
// formula gives is compared with the removed one. The open stage broke ties by an order that was
// not published: an order that explains every category value is searched, and the formula run on it.

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "formats/json.h"
#include "score/board.h"
#include "score/exact.h"
#include "score/formula.h"
#include "support.h"

enum { ENTRIES_MAX = 64, CATEGORIES = 3, OPEN_METRICS = 9 };

static json_t *read_table(const char *name)
{
    struct od_error err = {0};
    json_t *root = NULL;
    assert_ok(od_json_read(test_shared(name), &root, &err), &err);
    return root;
}

// The table without its results, entries in the given order.
static void read_board(const json_t *root, const size_t *order, struct od_board *ret)
{
    struct od_error err = {0};
    json_t *copy = json_deep_copy(root);
    json_t *rows = json_array();
    for (size_t i = 0; i < json_array_size(copy); i++) {
        json_t *row = json_array_get(copy, order ? order[i] : i);
        json_t *metrics = json_array_get(row, 1);
        const char *name = NULL;
        json_t *value = NULL;
        void *next = NULL;
        json_object_foreach_safe(metrics, next, name, value)
        {
            if (strstr(name, "Mean Win Rate") || strncmp(name, "Score", 5) == 0) {
                json_object_del(metrics, name);
            }
        }
        json_array_append(rows, row);
    }
    char *text = json_dumps(rows, JSON_REAL_PRECISION(17));
    assert_non_null(text);
    assert_null(strstr(text, "Mean Win Rate"));
    assert_null(strstr(text, "Score"));
    assert_ok(od_board_parse(text, strlen(text), "table.json", ret, &err), &err);
    free(text);
    json_decref(rows);
    json_decref(copy);
}

static double published(const json_t *root, size_t entry, const char *name)
{
    const json_t *metrics = json_array_get(json_array_get(root, entry), 1);
    const json_t *value = json_object_get(metrics, name);
    if (!json_is_number(value)) {
        fail_msg("no published '%s'", name);
    }
    return json_number_value(value);
}

// Largest difference over all groups and scores; counts what was compared.
static double compare(const json_t *root, const struct od_ranking *ranking, size_t *compared)
{
    double worst = 0.0;
    for (size_t entry = 0; entry < ranking->board->entry_count; entry++) {
        for (size_t g = 0; g < ranking->group_count; g++) {
            char name[128];
            (void)snprintf(name, sizeof name, "%s Mean Win Rate", ranking->groups[g]);
            const struct od_maybe value = ranking->group_values[entry * ranking->group_count + g];
            assert_true(value.defined);
            worst = fmax(worst, fabs(value.value - published(root, entry, name)));
            (*compared)++;
        }
        for (size_t s = 0; s < ranking->formula->score_count; s++) {
            const struct od_maybe value =
                ranking->scores[entry * ranking->formula->score_count + s];
            assert_true(value.defined);
            worst = fmax(worst,
                         fabs(value.value - published(root, entry, ranking->formula->scores[s])));
            (*compared)++;
        }
    }
    return worst;
}

static void reproduces(const char *file, const char *formula_name, size_t expected_count)
{
    struct od_error err = {0};
    const struct od_formula *formula = NULL;
    struct od_board board = {0};
    struct od_ranking ranking = {0};
    size_t compared = 0;
    json_t *root = read_table(file);
    read_board(root, NULL, &board);
    assert_ok(od_formula_find(formula_name, &formula, &err), &err);
    assert_true(od_formula_fits(formula, &board));
    assert_ok(od_rank(&board, formula, &ranking, &err), &err);
    const double worst = compare(root, &ranking, &compared);
    (void)printf("# %s: %zu values, largest difference %.3g\n", formula_name, compared, worst);
    assert_true(worst < 1e-9);
    assert_int_equal(compared, expected_count);
    // The published table is sorted by its score.
    for (size_t i = 0; i < board.entry_count; i++) {
        assert_int_equal(ranking.order[i], i);
    }
    od_ranking_release(&ranking);
    od_board_release(&board);
    json_decref(root);
}

static void final_round(void **state)
{
    (void)state;
    reproduces("scoring/4090_full_ranks_final_round.json", "final-2023", 8 * (9 + 3));
}

static void hidden_stage(void **state)
{
    (void)state;
    reproduces("scoring/4090_hidden_round_rank.json", "hidden-2023", 31 * (5 + 1));
}

static const char *const categories[CATEGORIES] = {"Accuracy", "Robustness", "Fairness"};
static const char *const open_metrics[OPEN_METRICS] = {
    "MMLU - EM",
    "TruthfulQA - EM",
    "BBQ - EM",
    "GSM8K - EM",
    "BIG-bench - EM",
    "MMLU - EM (Robustness)",
    "TruthfulQA - EM (Robustness)",
    "MMLU - EM (Fairness)",
    "TruthfulQA - EM (Fairness)",
};
static const int open_category[OPEN_METRICS] = {0, 0, 0, 0, 0, 1, 1, 2, 2};

static double open_value(const struct od_board *board, size_t entry, int metric)
{
    const size_t at = od_board_find_metric(board, open_metrics[metric], 0);
    const struct od_score_cell *cell = od_board_cell_const(board, entry, at);
    return cell->defined ? cell->value : 0.0;
}

// before[entry][category]: how many ties the entry won there, that is, how many of its equals stand
// before it in the unknown order, summed over the metrics of the category.
static void ties_won(const json_t *root, const struct od_board *board, long (*before)[CATEGORIES])
{
    const size_t n = board->entry_count;
    const double metrics_of[CATEGORIES] = {5.0, 2.0, 2.0};
    for (size_t i = 0; i < n; i++) {
        for (int c = 0; c < CATEGORIES; c++) {
            char name[64];
            (void)snprintf(name, sizeof name, "%s Mean Win Rate", categories[c]);
            const double places = published(root, i, name) * metrics_of[c] * (double)(n - 1);
            assert_true(fabs(places - round(places)) < 1e-9);
            before[i][c] = lround(places);
        }
        for (int m = 0; m < OPEN_METRICS; m++) {
            for (size_t j = 0; j < n; j++) {
                before[i][open_category[m]] -=
                    open_value(board, j, m) < open_value(board, i, m) ? 1 : 0;
            }
        }
    }
}

// An entry that won no tie among those that are left can stand first without loss; so taking such
// an entry again and again finds an order if there is one.
static void find_order(const json_t *root, const struct od_board *board, size_t *order)
{
    long before[ENTRIES_MAX][CATEGORIES] = {{0}};
    bool taken[ENTRIES_MAX] = {false};
    const size_t n = board->entry_count;
    ties_won(root, board, before);
    for (size_t at = 0; at < n; at++) {
        size_t first = 0;
        while (first < n && (taken[first] || before[first][0] != 0 || before[first][1] != 0 ||
                             before[first][2] != 0)) {
            first++;
        }
        if (first == n) {
            fail_msg("no order of ties explains the table after %zu entries", at);
        }
        order[at] = first;
        taken[first] = true;
        for (size_t j = 0; j < n; j++) {
            for (int m = 0; m < OPEN_METRICS; m++) {
                before[j][open_category[m]] -=
                    open_value(board, j, m) == open_value(board, first, m) ? 1 : 0;
            }
        }
    }
}

static void open_scores_from_categories(void **state)
{
    (void)state;
    json_t *root = read_table("scoring/4090_open_round_rank.json");
    for (size_t i = 0; i < json_array_size(root); i++) {
        double values[CATEGORIES];
        for (int c = 0; c < CATEGORIES; c++) {
            char name[64];
            (void)snprintf(name, sizeof name, "%s Mean Win Rate", categories[c]);
            values[c] = published(root, i, name);
        }
        assert_true(fabs(od_geometric_mean(values, CATEGORIES) - published(root, i, "Score")) <
                    1e-12);
    }
    json_decref(root);
}

static void open_stage(void **state)
{
    (void)state;
    struct od_error err = {0};
    const struct od_formula *formula = NULL;
    struct od_board board = {0};
    struct od_ranking ranking = {0};
    size_t order[ENTRIES_MAX] = {0};
    size_t compared = 0;
    json_t *root = read_table("scoring/4090_open_round_rank.json");
    assert_int_equal(json_array_size(root), 57);
    read_board(root, NULL, &board);
    find_order(root, &board, order);
    od_board_release(&board);
    read_board(root, order, &board);
    json_t *sorted = json_array();
    for (size_t i = 0; i < board.entry_count; i++) {
        json_array_append(sorted, json_array_get(root, order[i]));
    }
    assert_ok(od_formula_find("open-2023", &formula, &err), &err);
    assert_ok(od_rank(&board, formula, &ranking, &err), &err);
    const double worst = compare(sorted, &ranking, &compared);
    (void)printf("# open-2023: %zu values, largest difference %.3g\n", compared, worst);
    assert_true(worst < 1e-9);
    assert_int_equal(compared, 57 * (3 + 1));
    od_ranking_release(&ranking);
    od_board_release(&board);
    json_decref(sorted);
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(final_round),
        cmocka_unit_test(hidden_stage),
        cmocka_unit_test(open_scores_from_categories),
        cmocka_unit_test(open_stage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
