// Goal: suites in HELM's layout become a board: columns of both files once, reasons of cells without
// value, item counts; what is no suite is told in one line.
// Method: suites of our own in temporary folders.

#include "score/suite.h"

#include <stdio.h>
#include <string.h>

#include "score/formula.h"
#include "support.h"

static void put_at(char *path, const char *text)
{
    struct od_error err = {0};
    char *slash = strrchr(path, '/');
    *slash = '\0';
    assert_ok(od_dir_make(path, &err), &err);
    *slash = '/';
    assert_ok(od_file_write(path, text, strlen(text), &err), &err);
}

static void put(const char *folder, const char *name, const char *text)
{
    char path[OD_PATH_MAX_BYTES];
    (void)snprintf(path, sizeof path, "%.2000s/%.500s", folder, name);
    put_at(path, text);
}

// A suite with MMLU in both files, one value each, the rest undefined.
static void put_suite(const char *folder, const char *name, const char *mmlu, const char *bbq)
{
    char path[OD_PATH_MAX_BYTES];
    char text[4096];
    (void)snprintf(path, sizeof path, "%.2000s/%.500s/groups/core_scenarios.json", folder, name);
    (void)snprintf(
        text, sizeof text,
        "[{\"title\":\"Accuracy\",\"header\":[{\"value\":\"Model/adapter\"},"
        "{\"value\":\"Mean win rate\"},{\"value\":\"MMLU - EM\",\"lower_is_better\":false},"
        "{\"value\":\"BoolQ - EM\",\"lower_is_better\":false}],"
        "\"rows\":[[{\"value\":\"m\"},{},{\"value\":%s},{\"description\":\"No matching runs\"}]]},"
        "{\"title\":\"General information\",\"header\":[{\"value\":\"Model/adapter\"},"
        "{\"value\":\"MMLU - # eval\"}],\"rows\":[[{\"value\":\"m\"},{\"value\":40}]]},"
        "{\"title\":\"Bias\",\"header\":[{\"value\":\"Model/adapter\"},"
        "{\"value\":\"x - up\",\"lower_is_better\":true}],"
        "\"rows\":[[{\"value\":\"m\"},{\"value\":0.5}]]}]",
        mmlu);
    put_at(path, text);
    (void)snprintf(path, sizeof path, "%.2000s/%.500s/groups/targeted_evaluations.json", folder,
                   name);
    (void)snprintf(text, sizeof text,
                   "[{\"title\":\"Accuracy\",\"header\":[{\"value\":\"Model/adapter\"},"
                   "{\"value\":\"MMLU - EM\",\"lower_is_better\":false},"
                   "{\"value\":\"BBQ - EM\",\"lower_is_better\":false}],"
                   "\"rows\":[[{\"value\":\"m\"},{\"value\":0.125},{\"value\":%s}]]}]",
                   bbq);
    put_at(path, text);
}

static const struct od_score_cell *cell_of(const struct od_board *board, size_t entry,
                                           const char *name)
{
    const size_t metric = od_board_find_metric(board, name, 0);
    assert_true(metric != SIZE_MAX);
    return od_board_cell_const(board, entry, metric);
}

static void reads_suites(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_board board = {0};
    struct od_ranking ranking = {0};
    const struct od_formula *formula = NULL;
    const char *folder = test_folder();
    char base[OD_PATH_MAX_BYTES];
    char tuned[OD_PATH_MAX_BYTES];
    put_suite(folder, "base/eval/runs/demo", "0.25", "0.5");
    put_suite(folder, "tuned/eval/runs/demo", "0.75", "null");
    (void)snprintf(base, sizeof base, "%.2000s/base/eval/runs/demo/", folder);
    (void)snprintf(tuned, sizeof tuned, "%.2000s/tuned", folder);
    put(base, "summary_oneday.json",
        "{\"metrics\":[{\"metric\":\"MMLU - EM\",\"items\":40,\"low\":0.14,\"high\":0.4,"
        "\"bootstrap\":{\"low\":0.125,\"high\":0.375}},"
        "{\"metric\":\"BBQ - EM\",\"items\":8,\"low\":null,\"high\":null,"
        "\"bootstrap\":{\"undefined\":\"all alike\"}},"
        "{\"metric\":\"BoolQ - EM\",\"undefined\":\"no item\",\"items\":0},"
        "{\"metric\":\"GSM8K - final number\",\"value\":0.5,\"items\":8}]}");
    const char *const paths[] = {base, tuned};
    assert_ok(od_board_read_suites(paths, 2, &board, &err), &err);
    assert_int_equal(board.entry_count, 2);
    assert_string_equal(board.entries[0], "demo");
    assert_string_equal(board.entries[1], "tuned");
    assert_int_equal(board.metric_count, 6);
    const struct od_score_cell *other = cell_of(&board, 0, "GSM8K - final number");
    assert_true(other->defined && other->value == 0.5 && other->items == 8);
    assert_string_equal(cell_of(&board, 0, "BoolQ - EM")->why, "no item");
    assert_int_equal(cell_of(&board, 0, "BoolQ - EM")->items, 0);
    assert_false(cell_of(&board, 1, "GSM8K - final number")->defined);
    const struct od_score_cell *cell = cell_of(&board, 0, "MMLU - EM");
    assert_true(cell->defined && cell->value == 0.25);
    assert_int_equal(cell->items, 40);
    assert_true(cell->has_interval && cell->interval.low == 0.14 && cell->interval.high == 0.4);
    assert_true(cell->has_bootstrap && cell->bootstrap.low == 0.125 &&
                cell->bootstrap.high == 0.375);
    cell = cell_of(&board, 0, "BBQ - EM");
    assert_true(cell->defined && cell->value == 0.5 && cell->items == 8 && !cell->has_interval &&
                !cell->has_bootstrap);
    cell = cell_of(&board, 1, "BoolQ - EM");
    assert_false(cell->defined);
    assert_string_equal(cell->why, "No matching runs");
    assert_false(cell_of(&board, 1, "BBQ - EM")->defined);
    assert_int_equal(board.metrics[od_board_find_metric(&board, "MMLU - # eval", 0)].direction,
                     OD_SCORE_NONE);
    assert_int_equal(board.metrics[od_board_find_metric(&board, "x - up", 0)].direction,
                     OD_SCORE_LOWER);
    // HELM's table of the core scenarios: BBQ, which is only among the targeted ones, is not in it.
    assert_ok(od_formula_find("helm", &formula, &err), &err);
    assert_ok(od_rank(&board, formula, &ranking, &err), &err);
    assert_int_equal(ranking.metric_count, 2);
    assert_int_equal(ranking.order[0], 1);
    od_ranking_release(&ranking);
    od_board_release(&board);
}

// Run times, which only the summaries have, are the category that proposal-2023 calls efficiency.
static void times(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_board board = {0};
    struct od_ranking ranking = {0};
    const struct od_formula *formula = NULL;
    const char *folder = test_folder();
    static const char *const names[] = {"slow", "fast", "unknown"};
    static const char *const summaries[] = {
        "{\"metric\":\"MMLU - Observed inference time (s)\",\"value\":2.5,\"items\":8}",
        "{\"metric\":\"MMLU - Observed inference time (s)\",\"value\":0.5,\"items\":8}",
        "{\"metric\":\"MMLU - Observed inference time (s)\",\"undefined\":\"no time\",\"items\":8}"};
#define COLUMN(title, name, lower)                                                          \
    "{\"title\":\"" title "\",\"header\":[{\"value\":\"Model/adapter\"},{\"value\":\"" name \
    "\",\"lower_is_better\":" lower "}],\"rows\":[[{\"value\":\"m\"},{\"value\":0.5}]]}"
    static const char tables[] = "[" COLUMN("Accuracy", "MMLU - EM", "false") "," COLUMN(
        "Robustness", "MMLU - EM (Robustness)",
        "false") "," COLUMN("Fairness", "MMLU - EM (Fairness)",
                            "false") "," COLUMN("Bias", "CNN/DailyMail - Stereotypes (race)",
                                                "true") "]";
    char paths[3][OD_PATH_MAX_BYTES];
    const char *const list[] = {paths[0], paths[1], paths[2]};
    for (size_t i = 0; i < 3; i++) {
        char text[2048];
        (void)snprintf(paths[i], sizeof paths[i], "%.2000s/%s", folder, names[i]);
        put(paths[i], "groups/core_scenarios.json", tables);
        (void)snprintf(text, sizeof text, "{\"metrics\":[%s]}", summaries[i]);
        put(paths[i], "summary_oneday.json", text);
    }
    assert_ok(od_board_read_suites(list, 3, &board, &err), &err);
    const size_t metric = od_board_find_metric(&board, "MMLU - Observed inference time (s)", 0);
    assert_string_equal(board.metrics[metric].category, "Efficiency");
    assert_int_equal(board.metrics[metric].direction, OD_SCORE_LOWER);
    assert_ok(od_formula_find("proposal-2023", &formula, &err), &err);
    assert_ok(od_rank(&board, formula, &ranking, &err), &err);
    assert_string_equal(ranking.groups[4], "Efficiency");
    const struct od_maybe *efficiency = ranking.group_values;
    assert_true(efficiency[4].defined && efficiency[4].value == 0.0);
    assert_true(efficiency[5 + 4].defined && efficiency[5 + 4].value == 1.0);
    assert_false(efficiency[10 + 4].defined);
    assert_false(ranking.scores[2].defined);
    assert_string_equal(cell_of(&board, 2, "MMLU - Observed inference time (s)")->why, "no time");
    od_ranking_release(&ranking);
    od_board_release(&board);
}

// The same last name: more of the path tells the suites apart.
static void names(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_board board = {0};
    const char *folder = test_folder();
    char paths[3][OD_PATH_MAX_BYTES];
    put_suite(folder, "a/x/demo", "0.25", "0.5");
    put_suite(folder, "b/x/demo", "0.75", "0.5");
    (void)snprintf(paths[0], sizeof paths[0], "%.2000s/a/x/demo", folder);
    (void)snprintf(paths[1], sizeof paths[1], "%.2000s/b/x/demo/", folder);
    const char *const two[] = {paths[0], paths[1]};
    assert_ok(od_board_read_suites(two, 2, &board, &err), &err);
    assert_string_equal(board.entries[0], "a/x/demo");
    assert_string_equal(board.entries[1], "b/x/demo");
    od_board_release(&board);
    (void)snprintf(paths[2], sizeof paths[2], "%.2000s/b/../a/x/demo", folder);
    const char *const twice[] = {paths[0], paths[2]};
    assert_int_equal(od_board_read_suites(twice, 2, &board, &err), OD_E_ARGUMENT);
    assert_non_null(strstr(err.message, "is given twice"));
}

static void models_in_rows(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_board board = {0};
    const char *folder = test_folder();
    put(folder, "s/groups/core_scenarios.json",
        "[{\"title\":\"Accuracy\",\"header\":[{\"value\":\"Model/adapter\"},"
        "{\"value\":\"MMLU - EM\",\"lower_is_better\":false}],\"rows\":["
        "[{\"value\":\"m1\"},{\"value\":1}],[{\"value\":\"m2\"},{\"value\":0}]]}]");
    char path[OD_PATH_MAX_BYTES];
    (void)snprintf(path, sizeof path, "%.2000s/s", folder);
    const char *const one[] = {path};
    assert_ok(od_board_read_suites(one, 1, &board, &err), &err);
    assert_int_equal(board.entry_count, 2);
    assert_string_equal(board.entries[1], "s / m2");
    assert_true(od_board_cell_const(&board, 1, 0)->value == 0.0);
    od_board_release(&board);
}

static void refused(const char *path, enum od_status expected, const char *words)
{
    struct od_error err = {0};
    struct od_board board = {0};
    const char *const paths[] = {path};
    assert_int_equal(od_board_read_suites(paths, 1, &board, &err), expected);
    assert_null(strchr(err.message, '\n'));
    if (!strstr(err.message, words)) {
        fail_msg("'%s' is not in: %s", words, err.message);
    }
}

static void refusals(void **state)
{
    (void)state;
    struct od_error err = {0};
    const char *folder = test_folder();
    char path[OD_PATH_MAX_BYTES];
    refused("/nonexistent/suite", OD_E_NOT_FOUND, "no folder '/nonexistent/suite'");
    refused(folder, OD_E_NOT_FOUND, "is no suite (no groups/core_scenarios.json)");
    (void)snprintf(path, sizeof path, "%.2000s/run/eval/runs", folder);
    assert_ok(od_dir_make(path, &err), &err);
    (void)snprintf(path, sizeof path, "%.2000s/run", folder);
    refused(path, OD_E_NOT_FOUND, "no suite in");
    put_suite(folder, "run/eval/runs/one", "1", "1");
    put_suite(folder, "run/eval/runs/two", "1", "1");
    refused(path, OD_E_ARGUMENT, "has several suites ('one', 'two'): name one, as in");
    static const struct {
        const char *text, *words;
    } bad[] = {
        {"{}", "is no list of tables"},
        {"[", "core_scenarios.json:1:"},
        {"[{}]", "a table without title, header or rows"},
        {"[]", "has no results"},
        {"[{\"title\":\"A\",\"header\":[{}],\"rows\":[]}]", "header cell 1 has no name"},
        {"[{\"title\":\"A\",\"header\":[{\"value\":\"m\"},{\"value\":\"x\"}],\"rows\":[[{}]]}]",
         "row 1 has 1 cells under a header of 2"},
        {"[{\"title\":\"A\",\"header\":[{\"value\":\"m\"},{\"value\":\"x\"}],"
         "\"rows\":[[{},{\"value\":\"high\"}]]}]",
         "table 'A', column 'x': a value that is no number"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        put(folder, "bad/groups/core_scenarios.json", bad[i].text);
        (void)snprintf(path, sizeof path, "%.2000s/bad", folder);
        refused(path, OD_E_FORMAT, bad[i].words);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_suites),   cmocka_unit_test(times),    cmocka_unit_test(names),
        cmocka_unit_test(models_in_rows), cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
