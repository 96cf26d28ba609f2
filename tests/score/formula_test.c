// Goal: each formula shares wins among equals, counts what is missing and divides as it should.
// Method: tables small enough to be counted by hand.

#include "score/formula.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "support.h"

static const char *const names_of_final[] = {
    "MMLU - EM",
    "MMLU - EM (Robustness)",
    "MMLU - EM (Fairness)",
    "TruthfulQA - EM",
    "TruthfulQA - EM (Robustness)",
    "TruthfulQA - EM (Fairness)",
    "BIG-bench - EM",
    "GSM8K - EM",
    "BBQ - EM",
    "sam_sum - ROUGE-2",
    "sam_sum - Stereotypes (race)",
    "sam_sum - Stereotypes (gender)",
    "sam_sum - Representation (race)",
    "sam_sum - Representation (gender)",
    "corr2cause - EM",
    "MATH (chain-of-thoughts) - Equivalent (chain of thought)",
    "ethics_justice - EM",
    "ethics_justice - EM (Robustness)",
    "ethics_justice - EM (Fairness)",
    "ethics_commonsense - EM",
    "ethics_commonsense - EM (Robustness)",
    "ethics_commonsense - EM (Fairness)",
    "ethics_virtue - EM",
    "ethics_virtue - EM (Robustness)",
    "ethics_virtue - EM (Fairness)",
    "ethics_deontology - EM",
    "ethics_deontology - EM (Robustness)",
    "ethics_deontology - EM (Fairness)",
    "ethics_utilitarianism - EM",
    "ethics_utilitarianism - EM (Robustness)",
    "ethics_utilitarianism - EM (Fairness)",
    "CNN/DailyMail - ROUGE-2",
    "CNN/DailyMail - Stereotypes (race)",
    "CNN/DailyMail - Stereotypes (gender)",
    "CNN/DailyMail - Representation (race)",
    "CNN/DailyMail - Representation (gender)",
};
enum { FINAL_COUNT = 31, ALL_COUNT = 36 };

// A board with all metrics of 2023; every cell of entry e is `values[e]`, NAN: undefined.
static void make_board(struct od_board *board, const double *values, size_t count, size_t metrics)
{
    struct od_error err = {0};
    assert_ok(od_board_init(board, "made", &err), &err);
    for (size_t e = 0; e < count; e++) {
        const char name[] = {(char)('a' + (char)e), '\0'};
        assert_ok(od_board_add_entry(board, name, &err), &err);
    }
    for (size_t m = 0; m < metrics; m++) {
        assert_ok(od_board_add_metric(board, names_of_final[m], &err), &err);
    }
    assert_ok(od_board_seal(board, "not made", &err), &err);
    for (size_t e = 0; e < count; e++) {
        for (size_t m = 0; m < metrics; m++) {
            if (!isnan(values[e])) {
                *od_board_cell(board, e, m) =
                    (struct od_score_cell){.defined = true, .value = values[e], .items = -1};
            }
        }
    }
}

static void rank(const struct od_board *board, const char *name, struct od_ranking *ranking)
{
    struct od_error err = {0};
    const struct od_formula *formula = NULL;
    assert_ok(od_formula_find(name, &formula, &err), &err);
    assert_ok(od_rank(board, formula, ranking, &err), &err);
}

// The win rate that an entry has for a metric.
static double credit(const struct od_ranking *ranking, size_t entry, const char *metric)
{
    for (size_t i = 0; i < ranking->metric_count; i++) {
        if (strcmp(ranking->board->metrics[ranking->metrics[i]].name, metric) == 0) {
            const struct od_maybe value = ranking->credits[entry * ranking->metric_count + i];
            assert_true(value.defined);
            return value.value;
        }
    }
    fail_msg("no metric '%s'", metric);
    return 0.0;
}

static void close_to(double value, double expected)
{
    if (fabs(value - expected) > 1e-15) {
        fail_msg("%.17g is not %.17g", value, expected);
    }
}

static const char up[] = "MMLU - EM";
static const char down[] = "sam_sum - Stereotypes (race)";

// Three equals at 0.5 above one at 0.25 and below one at 0.75.
static const double ties[] = {0.5, 0.25, 0.5, 0.75, 0.5};

static void ties_final(void **state)
{
    (void)state;
    struct od_board board = {0};
    struct od_ranking ranking = {0};
    make_board(&board, ties, 5, FINAL_COUNT);
    rank(&board, "final-2023", &ranking);
    close_to(credit(&ranking, 0, up), (1.0 + 1.0 / 3.0) / 5.0);
    close_to(credit(&ranking, 1, up), 0.0);
    close_to(credit(&ranking, 3, up), 4.0 / 5.0);
    close_to(credit(&ranking, 0, down), (1.0 + 1.0 / 3.0) / 5.0);
    close_to(credit(&ranking, 1, down), 4.0 / 5.0);
    close_to(credit(&ranking, 3, down), 0.0);
    // Entries that share a score share a place; the order is the board's.
    const size_t order[] = {3, 0, 2, 4, 1};
    const size_t places[] = {2, 5, 2, 1, 2};
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(ranking.order[i], order[i]);
        assert_int_equal(ranking.places[i], places[i]);
    }
    // Score_full = 1/3 open + 2/3 hidden.
    const struct od_maybe *scores = &ranking.scores[3 * 3];
    close_to(scores[1].value, 0.8);
    close_to(scores[0].value, scores[1].value / 3.0 + 2.0 * scores[2].value / 3.0);
    od_ranking_release(&ranking);
    od_board_release(&board);
}

static void ties_hidden(void **state)
{
    (void)state;
    struct od_board board = {0};
    struct od_ranking ranking = {0};
    make_board(&board, ties, 5, ALL_COUNT);
    rank(&board, "hidden-2023", &ranking);
    close_to(credit(&ranking, 0, "corr2cause - EM"), (1.0 + 2.0 / 3.0) / 5.0);
    close_to(credit(&ranking, 3, "corr2cause - EM"), 4.0 / 5.0);
    close_to(credit(&ranking, 1, down), 4.0 / 5.0);
    close_to(credit(&ranking, 2, down), (1.0 + 2.0 / 3.0) / 5.0);
    od_ranking_release(&ranking);
    od_board_release(&board);
}

// Equals stand in the order of the board; the divisor is N - 1.
static void ties_open(void **state)
{
    (void)state;
    struct od_board board = {0};
    struct od_ranking ranking = {0};
    make_board(&board, ties, 5, FINAL_COUNT);
    rank(&board, "open-2023", &ranking);
    const double expected[] = {1.0 / 4.0, 0.0, 2.0 / 4.0, 1.0, 3.0 / 4.0};
    for (size_t e = 0; e < 5; e++) {
        close_to(credit(&ranking, e, up), expected[e]);
        close_to(ranking.scores[e].value, expected[e] > 0.0 ? expected[e] : 0.0);
    }
    assert_true(ranking.scores[1].value > 0.0);  // the smallest double, not zero
    od_ranking_release(&ranking);
    od_board_release(&board);
}

// HELM: undefined values take no part; where lower is better the whole order is turned round, so
// that of equals the earlier one wins.
static void ties_helm(void **state)
{
    (void)state;
    const double values[] = {0.5, (double)NAN, 0.5, 0.75, 0.25};
    struct od_board board = {0};
    struct od_ranking ranking = {0};
    make_board(&board, values, 5, FINAL_COUNT);
    rank(&board, "helm", &ranking);
    close_to(credit(&ranking, 0, up), 1.0 / 3.0);
    close_to(credit(&ranking, 2, up), 2.0 / 3.0);
    close_to(credit(&ranking, 3, up), 1.0);
    close_to(credit(&ranking, 4, up), 0.0);
    close_to(credit(&ranking, 0, down), 2.0 / 3.0);
    close_to(credit(&ranking, 2, down), 1.0 / 3.0);
    close_to(credit(&ranking, 4, down), 1.0);
    assert_int_equal(ranking.undefined_count, 0);
    assert_int_equal(ranking.tie_count, FINAL_COUNT);  // two equals in each metric
    assert_false(ranking.scores[1].defined);           // never measured: no score, last place
    assert_int_equal(ranking.order[4], 1);
    assert_string_equal(ranking.groups[0], "Accuracy");
    assert_string_equal(ranking.groups[1], "Robustness");
    assert_string_equal(ranking.groups[2], "Fairness");
    assert_string_equal(ranking.groups[3], "Bias");
    assert_int_equal(ranking.group_count, 4);
    od_ranking_release(&ranking);
    od_board_release(&board);
}

// What is missing counts as 0 or 1000; a missing value ties with a true 0; with bot-2023 a true 0
// counts as 1000 where lower is better, with the others it is the best value there is.
static void missing(void **state)
{
    (void)state;
    const double values[] = {0.0, (double)NAN, 0.5};
    struct od_board board = {0};
    struct od_ranking ranking = {0};
    make_board(&board, values, 3, ALL_COUNT);
    rank(&board, "final-2023", &ranking);
    close_to(credit(&ranking, 0, up), 0.5 / 3.0);
    close_to(credit(&ranking, 1, up), 0.5 / 3.0);
    close_to(credit(&ranking, 0, down), 2.0 / 3.0);
    close_to(credit(&ranking, 1, down), 0.0);
    close_to(credit(&ranking, 2, down), 1.0 / 3.0);
    assert_int_equal(ranking.undefined_count, FINAL_COUNT);
    assert_false(od_board_cell_const(&board, 1, 0)->defined);  // the board itself is unchanged
    od_ranking_release(&ranking);
    rank(&board, "hidden-2023", &ranking);
    close_to(credit(&ranking, 1, "corr2cause - EM"), 0.5 / 3.0);
    close_to(credit(&ranking, 0, down), 2.0 / 3.0);
    od_ranking_release(&ranking);
    rank(&board, "bot-2023", &ranking);
    close_to(credit(&ranking, 0, up), 0.0);
    close_to(credit(&ranking, 1, up), 0.5);
    close_to(credit(&ranking, 0, "CNN/DailyMail - Stereotypes (race)"), 0.5);
    close_to(credit(&ranking, 1, "CNN/DailyMail - Stereotypes (race)"), 0.0);
    close_to(credit(&ranking, 2, "CNN/DailyMail - Stereotypes (race)"), 1.0);
    od_ranking_release(&ranking);
    od_board_release(&board);
}

// A table, ranked. Values and expectations of the next two tests are counted by hand.
static void rank_table(const char *text, const char *formula_name, struct od_board *board,
                       struct od_ranking *ranking)
{
    struct od_error err = {0};
    assert_ok(od_board_parse(text, strlen(text), "t.csv", board, &err), &err);
    rank(board, formula_name, ranking);
}

// Scenarios are groups; a draw is half a win; what is missing neither wins nor loses, and an entry
// without any value in a scenario has no score; counts, run times and calibration take no part.
static void site(void **state)
{
    (void)state;
    struct od_board board = {0};
    struct od_ranking ranking = {0};
    rank_table(
        "entry,MMLU - EM,GSM8K - EM,MMLU - EM (Fairness),MMLU - ECE (10-bin),"
        "MMLU - Observed inference time (s),GSM8K - # eval,CNN - Stereotypes (race)\n"
        "a,0.9,0.5,0.1,0.3,1,10,0\n"
        "b,0.5,0.5,0.2,0.2,2,11,0.5\n"
        "c,0.5,,0.3,0.1,3,12,\n"
        "d,0.1,0.0,,0.1,3,12,0.25\n",
        "site-2023", &board, &ranking);
    assert_int_equal(ranking.group_count, 3);
    assert_string_equal(ranking.groups[0], "MMLU");
    assert_string_equal(ranking.groups[1], "GSM8K");
    assert_string_equal(ranking.groups[2], "CNN");
    assert_int_equal(ranking.metric_count, 4);
    close_to(credit(&ranking, 0, "MMLU - EM"), 1.0);
    close_to(credit(&ranking, 1, "MMLU - EM"), 1.5 / 3.0);
    close_to(credit(&ranking, 2, "MMLU - EM"), 1.5 / 3.0);
    close_to(credit(&ranking, 3, "MMLU - EM"), 0.0);
    close_to(credit(&ranking, 1, "GSM8K - EM"), 1.5 / 2.0);  // three entries have a value
    close_to(credit(&ranking, 3, "GSM8K - EM"), 0.0);
    close_to(credit(&ranking, 0, "CNN - Stereotypes (race)"), 1.0);  // a true 0 is the best
    close_to(credit(&ranking, 1, "CNN - Stereotypes (race)"), 0.0);
    close_to(ranking.group_values[0].value, 0.5);  // (1 + 0) / 2
    close_to(ranking.group_values[2 * 3].value, (0.5 + 1.0) / 2.0);
    close_to(ranking.scores[0].value, cbrt(0.5 * 0.75 * 1.0));
    assert_true(ranking.scores[1].defined);   // one zero pulls down, but is a value
    assert_false(ranking.scores[2].defined);  // no GSM8K
    assert_int_equal(ranking.order[3], 2);
    assert_int_equal(ranking.undefined_count, 0);
    od_ranking_release(&ranking);
    od_board_release(&board);
}

// The same win rates in the categories; each of the five must be there.
static void proposal(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_board board = {0};
    struct od_ranking ranking = {0};
    const struct od_formula *formula = NULL;
    static const char table[] =
        "entry,MMLU - EM,GSM8K - EM,MMLU - EM (Fairness),MMLU - EM (Robustness),"
        "MMLU - Observed inference time (s),CNN - Stereotypes (race)\n"
        "a,0.9,0.5,0.1,0.3,1,0.5\n"
        "b,0.5,0.6,0.2,0.2,2,0.25\n"
        "c,0.1,0.7,0.3,0.3,2,0\n";
    rank_table(table, "proposal-2023", &board, &ranking);
    assert_int_equal(ranking.group_count, 5);
    const double expected[] = {(1.0 + 0.0) / 2.0, 1.5 / 2.0, 0.0, 0.0, 1.0};
    for (size_t g = 0; g < 5; g++) {
        close_to(ranking.group_values[g].value, expected[g]);
    }
    close_to(ranking.scores[2].value, pow(0.5 * 0.75 * 1.0 * 1.0 * 0.25, 1.0 / 5.0));
    od_ranking_release(&ranking);
    od_board_release(&board);
    // Without a run time nobody has an efficiency.
    assert_ok(od_board_parse("entry,MMLU - EM,MMLU - EM (Fairness),MMLU - EM (Robustness)\n"
                             "a,1,1,1\nb,0,0,0\n",
                             75, "t.csv", &board, &err),
              &err);
    assert_ok(od_formula_find("proposal-2023", &formula, &err), &err);
    assert_false(od_formula_fits(formula, &board));
    assert_int_equal(od_rank(&board, formula, &ranking, &err), OD_E_FORMAT);
    assert_non_null(strstr(err.message, "no value of category 'Bias'"));
    od_board_release(&board);
}

static void refusals(void **state)
{
    (void)state;
    struct od_error err = {0};
    const struct od_formula *formula = NULL;
    struct od_board board = {0};
    struct od_ranking ranking = {0};
    const double one[] = {0.5};
    const double two[] = {0.5, 0.25};
    assert_int_equal(od_formula_find("finel-2023", &formula, &err), OD_E_ARGUMENT);
    assert_string_equal(err.message, "no formula 'finel-2023': did you mean 'final-2023'");
    assert_int_equal(od_formula_find("zzzzzzzzzzzzzz", &formula, &err), OD_E_ARGUMENT);
    assert_non_null(strstr(err.message, "there are final-2023"));
    make_board(&board, one, 1, FINAL_COUNT);
    for (int i = 0; i < 2; i++) {
        assert_ok(od_formula_find(i == 0 ? "final-2023" : "helm", &formula, &err), &err);
        assert_int_equal(od_rank(&board, formula, &ranking, &err), OD_E_ARGUMENT);
        assert_non_null(strstr(err.message, "has one entry, 'a'"));
    }
    rank(&board, "open-2023", &ranking);  // the first submission on the bot's board
    close_to(ranking.scores[0].value, 1.0);
    od_ranking_release(&ranking);
    od_board_release(&board);
    make_board(&board, two, 2, FINAL_COUNT - 1);
    assert_ok(od_formula_find("final-2023", &formula, &err), &err);
    assert_false(od_formula_fits(formula, &board));
    assert_int_equal(od_rank(&board, formula, &ranking, &err), OD_E_FORMAT);
    assert_non_null(
        strstr(err.message, "no metric 'ethics_utilitarianism - EM (Fairness)', which"));
    assert_ok(od_formula_find("hidden-2023", &formula, &err), &err);
    assert_int_equal(od_rank(&board, formula, &ranking, &err), OD_E_FORMAT);
    assert_non_null(strstr(err.message, "no metric 'CNN/DailyMail - ROUGE-2' (and 5 more)"));
    od_board_release(&board);
}

static void no_memory(void **state)
{
    (void)state;
    struct od_error err = {0};
    const struct od_formula *formula = NULL;
    struct od_board board = {0};
    make_board(&board, ties, 5, FINAL_COUNT);
    assert_ok(od_formula_find("final-2023", &formula, &err), &err);
    for (uint64_t n = 1;; n++) {
        struct od_ranking ranking = {0};
        od_alloc_fail_at(n);
        const enum od_status status = od_rank(&board, formula, &ranking, &err);
        od_alloc_fail_at(0);
        if (status == OD_OK) {
            od_ranking_release(&ranking);
            assert_true(n > 2);
            break;
        }
        assert_int_equal(status, OD_E_MEMORY);
        assert_true(n < 1000);
    }
    od_board_release(&board);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ties_final), cmocka_unit_test(ties_hidden), cmocka_unit_test(ties_open),
        cmocka_unit_test(ties_helm),  cmocka_unit_test(missing),     cmocka_unit_test(refusals),
        cmocka_unit_test(no_memory),  cmocka_unit_test(site),        cmocka_unit_test(proposal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
