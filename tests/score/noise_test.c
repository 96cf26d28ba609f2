// Goal: places within noise follow from intervals: far apart stays apart, overlapping ties, without
// intervals nothing is claimed; the bounds are those of the normal distribution; same board, same
// result.
// Method: boards with one metric, so that the chance that an entry is ahead of another one is known:
// Phi(difference / sqrt(sd_a^2 + sd_b^2)).

#include "score/noise.h"

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/interval.h"
#include "base/memory.h"
#include "base/status.h"
#include "score/board.h"
#include "score/formula.h"
#include "support.h"

enum { ENTRIES_MAX = 130 };

// Entries of one metric with the given values and standard deviations; deviation 0: no interval.
static void make(struct od_board *board, const double *values, const double *deviations,
                 size_t count)
{
    struct od_error err = {0};
    assert_ok(od_board_init(board, "made", &err), &err);
    for (size_t e = 0; e < count; e++) {
        char name[16];
        (void)snprintf(name, sizeof name, "e%zu", e);
        assert_ok(od_board_add_entry(board, name, &err), &err);
    }
    assert_ok(od_board_add_metric(board, "MMLU - EM", &err), &err);
    assert_ok(od_board_seal(board, "not made", &err), &err);
    for (size_t e = 0; e < count; e++) {
        const double half = OD_INTERVAL_Z95 * deviations[e];
        *od_board_cell(board, e, 0) =
            (struct od_score_cell){.defined = true,
                                   .value = values[e],
                                   .items = 100,
                                   .has_interval = deviations[e] > 0.0,
                                   .interval = {.low = values[e] - half, .high = values[e] + half}};
    }
}

static void rank(const struct od_board *board, struct od_ranking *ranking)
{
    struct od_error err = {0};
    const struct od_formula *formula = NULL;
    assert_ok(od_formula_find("site-2023", &formula, &err), &err);
    assert_ok(od_rank(board, formula, ranking, &err), &err);
    assert_ok(od_ranking_add_noise(ranking, &err), &err);
}

// b is one deviation of the difference behind a (84 %: tied), c three behind a (99.9 %: not), d half
// a one behind c (tied with c, so that c starts a group).
static void groups(void **state)
{
    (void)state;
    const double deviations[] = {0.01, 0.01, 0.01, 0.01};
    const double unit = 0.0141421356;  // of the difference
    const double values[] = {0.8, 0.8 - unit, 0.8 - 3.0 * unit, 0.8 - 3.5 * unit};
    struct od_board board = {0};
    struct od_ranking ranking = {0};
    make(&board, values, deviations, 4);
    rank(&board, &ranking);
    const size_t expected[] = {1, 1, 3, 3};
    for (size_t e = 0; e < 4; e++) {
        assert_int_equal(ranking.places[e], e + 1);
        assert_int_equal(ranking.noise_places[e], expected[e]);
    }
    assert_int_equal(ranking.draw_count, OD_NOISE_DRAWS);
    assert_int_equal(ranking.places_low[0], 1);
    assert_int_equal(ranking.places_high[0], 2);
    assert_int_equal(ranking.places_low[3], 3);
    assert_int_equal(ranking.places_high[3], 4);
    od_ranking_release(&ranking);
    od_board_release(&board);
}

// The bound of 95 % lies between 1.5 deviations (93.3 %) and 1.8 (96.4 %); a place that has 3.6 % of
// the draws (1.8 deviations) is in, one with 1.4 % (2.2) is out.
static void bounds(void **state)
{
    (void)state;
    static const struct {
        double deviations_behind;
        size_t noise_place;
        size_t place_low;
    } cases[] = {{1.5, 1, 1}, {1.8, 2, 1}, {2.2, 2, 2}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const double deviations[] = {0.03, 0.04};  // of the difference: 0.05
        const double values[] = {0.5, 0.5 - 0.05 * cases[i].deviations_behind};
        struct od_board board = {0};
        struct od_ranking ranking = {0};
        make(&board, values, deviations, 2);
        rank(&board, &ranking);
        assert_int_equal(ranking.noise_places[0], 1);
        assert_int_equal(ranking.noise_places[1], cases[i].noise_place);
        assert_int_equal(ranking.places_low[1], cases[i].place_low);
        assert_int_equal(ranking.places_high[1], 2);
        // The score of two entries is 1 or (next to) 0, as their places are.
        assert_true(ranking.score_intervals[0].high == 1.0);
        assert_true(cases[i].place_low == 2 ? ranking.score_intervals[0].low == 1.0
                                            : ranking.score_intervals[0].low < 1e-20);
        assert_true(cases[i].place_low == 2 ? ranking.score_intervals[1].high < 1e-20
                                            : ranking.score_intervals[1].high == 1.0);
        od_ranking_release(&ranking);
        od_board_release(&board);
    }
}

static void unknown(void **state)
{
    (void)state;
    static double values[ENTRIES_MAX];
    static double deviations[ENTRIES_MAX];
    struct od_board board = {0};
    struct od_ranking ranking = {0};
    for (size_t e = 0; e < ENTRIES_MAX; e++) {
        values[e] = (double)e / (double)ENTRIES_MAX;
    }
    make(&board, values, deviations, 2);
    rank(&board, &ranking);
    assert_int_equal(ranking.draw_count, 0);  // no intervals
    od_ranking_release(&ranking);
    od_board_release(&board);
    for (size_t e = 0; e < ENTRIES_MAX; e++) {
        deviations[e] = 0.1;
    }
    for (size_t count = OD_NOISE_ENTRIES_MAX; count <= OD_NOISE_ENTRIES_MAX + 1; count++) {
        make(&board, values, deviations, count);
        rank(&board, &ranking);
        assert_int_equal(ranking.draw_count, count > OD_NOISE_ENTRIES_MAX ? 0 : OD_NOISE_DRAWS);
        od_ranking_release(&ranking);
        od_board_release(&board);
    }
}

// An entry without a value is last in every draw; the board itself is left as it was.
static void undefined(void **state)
{
    (void)state;
    const double values[] = {0.5, 0.5, 0.9};
    const double deviations[] = {0.1, 0.1, 0.1};
    struct od_board board = {0};
    struct od_ranking ranking = {0};
    make(&board, values, deviations, 3);
    *od_board_cell(&board, 2, 0) = (struct od_score_cell){.why = "not made", .items = -1};
    rank(&board, &ranking);
    assert_int_equal(ranking.noise_places[2], 3);
    assert_int_equal(ranking.places_low[2], 3);
    assert_int_equal(ranking.noise_places[1], 1);
    assert_true(od_board_cell_const(&board, 0, 0)->value == 0.5);
    od_ranking_release(&ranking);
    od_board_release(&board);
}

// The score's interval is that of the values where it follows them in small steps: an entry whose value
// swings among a hundred others that are sure, spread evenly, has their share that its value exceeds.
static void score_intervals(void **state)
{
    (void)state;
    double values[101];
    double deviations[101] = {0.1};
    struct od_board board = {0};
    struct od_ranking ranking = {0};
    values[0] = 0.5;
    for (size_t e = 1; e <= 100; e++) {
        values[e] = ((double)e - 0.5) / 100.0;
    }
    make(&board, values, deviations, 101);
    rank(&board, &ranking);
    // 0.5 -+ 1.96 * 0.1; the ends of 1000 draws scatter by about 0.01.
    assert_true(fabs(ranking.score_intervals[0].low - 0.304) < 0.03);
    assert_true(fabs(ranking.score_intervals[0].high - 0.696) < 0.03);
    od_ranking_release(&ranking);
    od_board_release(&board);
}

// A value that has only a bootstrap interval is drawn from it.
static void bootstrap_only(void **state)
{
    (void)state;
    const double values[] = {0.5, 0.49};
    const double deviations[] = {0.1, 0.1};
    struct od_board board = {0};
    struct od_ranking ranking = {0};
    make(&board, values, deviations, 2);
    for (size_t e = 0; e < 2; e++) {
        struct od_score_cell *cell = od_board_cell(&board, e, 0);
        cell->bootstrap = cell->interval;
        cell->has_bootstrap = true;
        cell->has_interval = false;
    }
    rank(&board, &ranking);
    assert_int_equal(ranking.draw_count, OD_NOISE_DRAWS);
    assert_int_equal(ranking.noise_places[1], 1);
    od_ranking_release(&ranking);
    od_board_release(&board);
}

static void no_memory(void **state)
{
    (void)state;
    struct od_error err = {0};
    const struct od_formula *formula = NULL;
    const double values[] = {0.5, 0.6};
    const double deviations[] = {0.1, 0.1};
    struct od_board board = {0};
    make(&board, values, deviations, 2);
    assert_ok(od_formula_find("helm", &formula, &err), &err);
    for (uint64_t n = 1; n <= 20; n++) {
        struct od_ranking ranking = {0};
        assert_ok(od_rank(&board, formula, &ranking, &err), &err);
        od_alloc_fail_at(n);
        const enum od_status status = od_ranking_add_noise(&ranking, &err);
        od_alloc_fail_at(0);
        assert_int_equal(status, OD_E_MEMORY);
        assert_int_equal(ranking.draw_count, 0);
        od_ranking_release(&ranking);
    }
    od_board_release(&board);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups),         cmocka_unit_test(bounds),
        cmocka_unit_test(unknown),        cmocka_unit_test(undefined),
        cmocka_unit_test(no_memory),      cmocka_unit_test(score_intervals),
        cmocka_unit_test(bootstrap_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
