#include "score/noise.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/interval.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "score/board.h"
#include "score/formula.h"

#define SEED        UINT64_C(2023)
#define TAIL        0.025  // of the draws below places_low, and as many above places_high
#define BEATEN_FROM 0.95   // share of the draws that an entry must lose to stand behind

/** What the draws showed. */
struct tally {
    size_t entries;
    uint32_t *places;  ///< [entry * entries + place - 1] draws that put it there
    uint32_t *ahead;   ///< [a * entries + b] 2 a draw with a above b, 1 with both equal
    size_t scores;
    double *drawn;  ///< [(entry * scores + score) * OD_NOISE_DRAWS + draw]
};

// The interval that a value is drawn from; NULL: it has none.
static const struct od_interval *interval_of(const struct od_score_cell *cell)
{
    if (!cell->defined || (!cell->has_interval && !cell->has_bootstrap)) {
        return NULL;
    }
    return cell->has_interval ? &cell->interval : &cell->bootstrap;
}

static bool has_intervals(const struct od_ranking *ranking)
{
    for (size_t entry = 0; entry < ranking->board->entry_count; entry++) {
        for (size_t at = 0; at < ranking->metric_count; at++) {
            if (interval_of(od_board_cell_const(ranking->board, entry, ranking->metrics[at]))) {
                return true;
            }
        }
    }
    return false;
}

// One draw of all values. A cell's random numbers depend on its place in the board only.
static void draw_cells(const struct od_board *board, uint32_t step, struct od_score_cell *cells)
{
    const size_t count = board->entry_count * board->metric_count;
    memcpy(cells, board->cells, count * sizeof *cells);
    for (size_t i = 0; i < count; i++) {
        const struct od_interval *interval = interval_of(&board->cells[i]);
        double normal = 0.0;
        double unused = 0.0;
        if (!interval) {
            continue;
        }
        od_normal_pair(od_philox_draw(SEED, /* stream= */ 0, step, i), &normal, &unused);
        const double deviation = (interval->high - interval->low) / (2.0 * OD_INTERVAL_Z95);
        cells[i].value = board->cells[i].value + deviation * normal;
    }
}

// 2 when the score of `a` is above that of `b`, 1 when they are equal; undefined is below all.
static uint32_t ahead(const struct od_ranking *drawn, size_t a, size_t b)
{
    if (drawn->places[a] == drawn->places[b]) {
        return 1;
    }
    return drawn->places[a] < drawn->places[b] ? 2 : 0;
}

static void count_draw(struct tally *tally, const struct od_ranking *drawn, size_t step)
{
    const size_t n = tally->entries;
    for (size_t i = 0; i < n * tally->scores; i++) {
        tally->drawn[i * OD_NOISE_DRAWS + step] = drawn->scores[i].value;
    }
    for (size_t a = 0; a < n; a++) {
        tally->places[a * n + drawn->places[a] - 1]++;
        for (size_t b = 0; b < n; b++) {
            tally->ahead[a * n + b] += ahead(drawn, a, b);
        }
    }
}

static void find_bounds(struct od_ranking *ranking, const struct tally *tally)
{
    const size_t n = tally->entries;
    const double tail = TAIL * (double)OD_NOISE_DRAWS;
    for (size_t entry = 0; entry < n; entry++) {
        const uint32_t *places = &tally->places[entry * n];
        double seen = 0.0;
        size_t low = 0;
        size_t high = n - 1;
        while (low + 1 < n && seen + (double)places[low] <= tail) {
            seen += (double)places[low++];
        }
        seen = 0.0;
        while (high > low && seen + (double)places[high] <= tail) {
            seen += (double)places[high--];
        }
        ranking->places_low[entry] = low + 1;
        ranking->places_high[entry] = high + 1;
    }
}

static int by_size(const void *left, const void *right)
{
    const double a = *(const double *)left;
    const double b = *(const double *)right;
    return a < b ? -1 : a > b;
}

static void find_score_intervals(struct od_ranking *ranking, const struct tally *tally)
{
    const size_t out = (size_t)(TAIL * (double)OD_NOISE_DRAWS);  // draws outside on each side
    for (size_t i = 0; i < tally->entries * tally->scores; i++) {
        double *drawn = &tally->drawn[i * OD_NOISE_DRAWS];
        qsort(drawn, OD_NOISE_DRAWS, sizeof *drawn, by_size);
        ranking->score_intervals[i] =
            (struct od_interval){.low = drawn[out], .high = drawn[OD_NOISE_DRAWS - 1 - out]};
    }
}

static void find_ties(struct od_ranking *ranking, const struct tally *tally)
{
    const size_t n = tally->entries;
    size_t leader = ranking->order[0];
    for (size_t i = 0; i < n; i++) {
        const size_t entry = ranking->order[i];
        const double lost =
            (double)tally->ahead[leader * n + entry] / (2.0 * (double)OD_NOISE_DRAWS);
        if (entry != leader && lost >= BEATEN_FROM) {
            leader = entry;
        }
        ranking->noise_places[entry] = ranking->places[leader];
    }
}

enum od_status od_ranking_add_noise(struct od_ranking *ranking, struct od_error *err)
{
    const size_t n = ranking->board->entry_count;
    struct tally tally = {.entries = n, .scores = ranking->formula->score_count};
    struct od_board board = *ranking->board;  // the same names with cells of its own
    struct od_score_cell *cells = NULL;
    enum od_status status = OD_OK;
    if (n > OD_NOISE_ENTRIES_MAX || !has_intervals(ranking)) {
        return OD_OK;
    }
    tally.places = od_alloc(n * n, sizeof *tally.places);
    tally.ahead = od_alloc(n * n, sizeof *tally.ahead);
    tally.drawn = od_alloc(n * tally.scores * OD_NOISE_DRAWS, sizeof *tally.drawn);
    cells = od_alloc(n * board.metric_count, sizeof *cells);
    ranking->places_low = od_arena_alloc(&ranking->arena, n, sizeof *ranking->places_low);
    ranking->places_high = od_arena_alloc(&ranking->arena, n, sizeof *ranking->places_high);
    ranking->noise_places = od_arena_alloc(&ranking->arena, n, sizeof *ranking->noise_places);
    ranking->score_intervals =
        od_arena_alloc(&ranking->arena, n * tally.scores, sizeof *ranking->score_intervals);
    if (!tally.places || !tally.ahead || !tally.drawn || !cells || !ranking->score_intervals ||
        !ranking->places_low || !ranking->places_high || !ranking->noise_places) {
        status = od_fail(err, OD_E_MEMORY, "no memory for the noise of a ranking");
        goto done;
    }
    board.cells = cells;
    for (uint32_t step = 0; step < OD_NOISE_DRAWS; step++) {
        struct od_ranking drawn = {0};
        draw_cells(ranking->board, step, cells);
        status = od_rank(&board, ranking->formula, &drawn, err);
        if (status != OD_OK) {
            goto done;
        }
        count_draw(&tally, &drawn, step);
        od_ranking_release(&drawn);
    }
    find_bounds(ranking, &tally);
    find_ties(ranking, &tally);
    find_score_intervals(ranking, &tally);
    ranking->draw_count = OD_NOISE_DRAWS;

done:
    od_free(cells);
    od_free(tally.drawn);
    od_free(tally.ahead);
    od_free(tally.places);
    return status;
}
