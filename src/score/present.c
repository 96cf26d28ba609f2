#include "score/present.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/interval.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "formats/json.h"
#include "score/board.h"
#include "score/formula.h"
#include "score/present_internal.h"

// Nothing but a win rate of 0 in a geometric mean makes a score as small.
#define NO_WIN_SCORE  1e-20
// The 0.95 quantile of the standard normal distribution: what noise.h lets lose shares a place.
#define Z95_ONE_SIDED 1.6448536269514722

enum od_status od_present_shown(const struct od_ranking *ranking, struct od_shown **ret,
                                size_t *ret_count, struct od_error *err)
{
    const struct od_board *board = ranking->board;
    size_t count = 0;
    struct od_shown *shown = od_alloc(board->metric_count, sizeof *shown);
    bool *seen = od_alloc(board->metric_count, sizeof *seen);
    if (!shown || !seen) {
        od_free(shown);
        od_free(seen);
        return od_fail(err, OD_E_MEMORY, "no memory to show a ranking");
    }
    for (size_t i = 0; i < ranking->metric_count; i++) {
        const size_t metric = ranking->metrics[i];
        seen[metric] = true;
        shown[count++] = (struct od_shown){.metric = metric, .credit = i};
    }
    for (size_t m = 0; m < board->metric_count; m++) {
        if (!seen[m] && od_board_has_values(board, m)) {
            shown[count++] = (struct od_shown){.metric = m, .credit = SIZE_MAX};
        }
    }
    od_free(seen);
    *ret = shown;
    *ret_count = count;
    return OD_OK;
}

void od_present_number(double value, char out[OD_SHORT_NUMBER_BYTES])
{
    const double size = fabs(value);
    const bool plain = !(size > 0.0) || (size >= 0.00005 && size < 1e6);
    (void)snprintf(out, OD_SHORT_NUMBER_BYTES, plain ? "%.4f" : "%.2e", value);
}

void od_present_count(double value, char out[OD_SHORT_NUMBER_BYTES])
{
    const bool whole = fabs(value - round(value)) < 0.05;
    (void)snprintf(out, OD_SHORT_NUMBER_BYTES, whole ? "%.0f" : "%.1f", value);
}

bool od_present_is_best(const struct od_board *board, size_t entry, size_t metric)
{
    const enum od_score_direction direction = board->metrics[metric].direction;
    const struct od_score_cell *cell = od_board_cell_const(board, entry, metric);
    if (!cell->defined || direction == OD_SCORE_NONE || board->entry_count < 2) {
        return false;
    }
    bool beats_one = false;
    for (size_t i = 0; i < board->entry_count; i++) {
        const struct od_score_cell *other = od_board_cell_const(board, i, metric);
        const double ahead =
            direction == OD_SCORE_LOWER ? other->value - cell->value : cell->value - other->value;
        if (other->defined && ahead < 0.0) {
            return false;
        }
        beats_one = beats_one || (other->defined && ahead > 0.0);
    }
    return beats_one;
}

// 0 without an interval.
static double deviation_of(const struct od_score_cell *cell)
{
    const struct od_interval *interval = cell->has_interval ? &cell->interval : &cell->bootstrap;
    return (interval->high - interval->low) / (2.0 * OD_INTERVAL_Z95);
}

bool od_present_is_near_best(const struct od_board *board, size_t entry, size_t metric)
{
    const bool lower = board->metrics[metric].direction == OD_SCORE_LOWER;
    const struct od_score_cell *cell = od_board_cell_const(board, entry, metric);
    const double own = deviation_of(cell);
    if (!cell->defined || !(own > 0.0) || od_present_is_best(board, entry, metric)) {
        return false;
    }
    for (size_t i = 0; i < board->entry_count; i++) {
        const struct od_score_cell *best = od_board_cell_const(board, i, metric);
        if (od_present_is_best(board, i, metric)) {
            const double behind = lower ? cell->value - best->value : best->value - cell->value;
            return behind < Z95_ONE_SIDED * hypot(own, deviation_of(best));
        }
    }
    return false;
}

bool od_present_is_ranked(const struct od_ranking *ranking, size_t entry)
{
    return ranking->scores[entry * ranking->formula->score_count].defined;
}

bool od_present_is_tied(const struct od_ranking *ranking, size_t entry)
{
    size_t count = 0;
    for (size_t i = 0; i < ranking->board->entry_count; i++) {
        count += ranking->noise_places[i] == ranking->noise_places[entry] ? 1 : 0;
    }
    return count > 1;
}

size_t od_present_measured(const struct od_ranking *ranking, size_t entry)
{
    size_t count = 0;
    for (size_t at = 0; at < ranking->metric_count; at++) {
        count += od_board_cell_const(ranking->board, entry, ranking->metrics[at])->defined ? 1 : 0;
    }
    return count;
}

bool od_present_has_gaps(const struct od_ranking *ranking)
{
    for (size_t i = 0; i < ranking->board->entry_count; i++) {
        if (od_present_measured(ranking, i) < ranking->metric_count) {
            return true;
        }
    }
    return false;
}

static size_t scores_without_win(const struct od_ranking *ranking)
{
    const size_t scores = ranking->formula->score_count;
    size_t count = 0;
    for (size_t i = 0; i < ranking->board->entry_count * scores; i++) {
        const double value = ranking->scores[i].value;
        count += value > 0.0 && value < NO_WIN_SCORE ? 1 : 0;
    }
    return count;
}

void od_present_counted(const struct od_ranking *ranking, struct od_buf *out)
{
    if (ranking->undefined_count > 0) {
        od_buf_printf(
            out,
            "%zu undefined value%s: formula '%s' counts each as 0, or as 1000 where lower "
            "is better.\n",
            ranking->undefined_count, ranking->undefined_count == 1 ? "" : "s",
            ranking->formula->name);
    }
    if (ranking->undefined_count == 0 && od_present_has_gaps(ranking)) {
        od_buf_printf(out,
                      "Not every entry has all %zu metrics ('measured' counts them): formula '%s' "
                      "compares by those that an entry has.\n",
                      ranking->metric_count, ranking->formula->name);
    }
    if (scores_without_win(ranking) > 0) {
        od_buf_printf(out,
                      "A score below %g comes from a win rate of 0, which a geometric mean "
                      "counts as the smallest positive number.\n",
                      NO_WIN_SCORE);
    }
    if (ranking->tie_count > 0) {
        od_buf_printf(out,
                      "%zu tie%s: formula '%s' lets the order of the entries decide between equal "
                      "values.\n",
                      ranking->tie_count, ranking->tie_count == 1 ? "" : "s",
                      ranking->formula->name);
    }
}

void od_present_noise(const struct od_ranking *ranking, struct od_buf *out)
{
    if (ranking->draw_count > 0) {
        od_buf_printf(
            out,
            "Within noise: every value is drawn %zu times from its interval. Entries that "
            "lose to the best of their group in less than 95 %% of the draws share its "
            "place (marked =); beside it the places that 95 %% of the draws give.\n",
            ranking->draw_count);
    }
}

static void put_maybe(struct od_json_writer *w, const struct od_maybe *value)
{
    if (value->defined) {
        od_json_put_number(w, value->value);
    } else {
        od_json_put_null(w);
    }
}

static void json_metrics(struct od_json_writer *w, const struct od_ranking *ranking,
                         const struct od_shown *shown, size_t count)
{
    od_json_key(w, "metrics");
    od_json_array_begin(w);
    for (size_t m = 0; m < count; m++) {
        const struct od_score_metric *metric = &ranking->board->metrics[shown[m].metric];
        od_json_object_begin(w);
        od_json_member_text(w, "name", metric->name);
        od_json_key(w, "group");
        if (shown[m].credit == SIZE_MAX) {
            od_json_put_null(w);
        } else {
            od_json_put_text(w, ranking->groups[ranking->metric_groups[shown[m].credit]]);
        }
        od_json_member_text(w, "category", metric->category);
        od_json_key(w, "lower_is_better");
        if (metric->direction == OD_SCORE_NONE) {
            od_json_put_null(w);
        } else {
            od_json_put_bool(w, metric->direction == OD_SCORE_LOWER);
        }
        od_json_object_end(w);
    }
    od_json_array_end(w);
}

static void put_interval(struct od_json_writer *w, const struct od_interval *interval)
{
    od_json_member_number(w, "low", interval->low);
    od_json_member_number(w, "high", interval->high);
}

static void json_cell(struct od_json_writer *w, const struct od_ranking *ranking, size_t entry,
                      const struct od_shown *shown)
{
    const struct od_score_cell *cell = od_board_cell_const(ranking->board, entry, shown->metric);
    od_json_key(w, ranking->board->metrics[shown->metric].name);
    od_json_object_begin(w);
    od_json_key(w, "value");
    if (cell->defined) {
        od_json_put_number(w, cell->value);
    } else {
        od_json_put_null(w);
        od_json_member_text(w, "why", cell->why);
    }
    if (shown->credit != SIZE_MAX) {
        od_json_key(w, "win_rate");
        put_maybe(w, &ranking->credits[entry * ranking->metric_count + shown->credit]);
    }
    if (cell->items >= 0) {
        od_json_member_int(w, "items", cell->items);
    }
    if (cell->has_interval) {
        put_interval(w, &cell->interval);
    }
    if (cell->has_bootstrap) {
        od_json_key(w, "bootstrap");
        od_json_object_begin(w);
        put_interval(w, &cell->bootstrap);
        od_json_object_end(w);
    }
    od_json_object_end(w);
}

static void json_score_intervals(struct od_json_writer *w, const struct od_ranking *ranking,
                                 size_t entry)
{
    const size_t scores = ranking->formula->score_count;
    if (ranking->draw_count == 0) {
        return;
    }
    od_json_key(w, "score_intervals");
    od_json_object_begin(w);
    for (size_t s = 0; s < scores; s++) {
        if (ranking->scores[entry * scores + s].defined) {
            od_json_key(w, ranking->formula->scores[s]);
            od_json_object_begin(w);
            put_interval(w, &ranking->score_intervals[entry * scores + s]);
            od_json_object_end(w);
        }
    }
    od_json_object_end(w);
}

static void json_entry(struct od_json_writer *w, const struct od_ranking *ranking, size_t entry,
                       const struct od_shown *shown, size_t count)
{
    const size_t scores = ranking->formula->score_count;
    od_json_object_begin(w);
    od_json_key(w, "rank");
    if (od_present_is_ranked(ranking, entry)) {
        od_json_put_int(w, (int64_t)ranking->places[entry]);
    } else {
        od_json_put_null(w);
    }
    if (ranking->draw_count > 0 && od_present_is_ranked(ranking, entry)) {
        od_json_member_int(w, "rank_within_noise", (int64_t)ranking->noise_places[entry]);
        od_json_member_int(w, "rank_low", (int64_t)ranking->places_low[entry]);
        od_json_member_int(w, "rank_high", (int64_t)ranking->places_high[entry]);
    }
    od_json_member_text(w, "name", ranking->board->entries[entry]);
    od_json_member_int(w, "measured", (int64_t)od_present_measured(ranking, entry));
    od_json_key(w, "scores");
    od_json_object_begin(w);
    for (size_t s = 0; s < scores; s++) {
        od_json_key(w, ranking->formula->scores[s]);
        put_maybe(w, &ranking->scores[entry * scores + s]);
    }
    od_json_object_end(w);
    json_score_intervals(w, ranking, entry);
    od_json_key(w, "groups");
    od_json_object_begin(w);
    for (size_t g = 0; g < ranking->group_count; g++) {
        od_json_key(w, ranking->groups[g]);
        put_maybe(w, &ranking->group_values[entry * ranking->group_count + g]);
    }
    od_json_object_end(w);
    od_json_key(w, "metrics");
    od_json_object_begin(w);
    for (size_t m = 0; m < count; m++) {
        json_cell(w, ranking, entry, &shown[m]);
    }
    od_json_object_end(w);
    od_json_object_end(w);
}

enum od_status od_present_json(const struct od_ranking *ranking, struct od_buf *out,
                               struct od_error *err)
{
    struct od_json_writer w;
    struct od_shown *shown = NULL;
    size_t count = 0;
    const enum od_status status = od_present_shown(ranking, &shown, &count, err);
    if (status != OD_OK) {
        return status;
    }
    od_json_writer_init(&w, out, OD_JSON_INDENT_2, false);
    od_json_object_begin(&w);
    od_json_member_text(&w, "formula", ranking->formula->name);
    od_json_member_text(&w, "source", ranking->board->source);
    od_json_key(&w, "groups");
    od_json_array_begin(&w);
    for (size_t g = 0; g < ranking->group_count; g++) {
        od_json_put_text(&w, ranking->groups[g]);
    }
    od_json_array_end(&w);
    json_metrics(&w, ranking, shown, count);
    od_json_key(&w, "entries");
    od_json_array_begin(&w);
    for (size_t i = 0; i < ranking->board->entry_count; i++) {
        json_entry(&w, ranking, ranking->order[i], shown, count);
    }
    od_json_array_end(&w);
    od_json_member_int(&w, "undefined_counted", (int64_t)ranking->undefined_count);
    od_json_member_int(&w, "ties_by_order", (int64_t)ranking->tie_count);
    od_json_key(&w, "notes");
    od_json_array_begin(&w);
    for (size_t i = 0; i < ranking->board->note_count; i++) {
        od_json_put_text(&w, ranking->board->notes[i]);
    }
    od_json_array_end(&w);
    od_json_object_end(&w);
    od_buf_putc(out, '\n');
    od_free(shown);
    return od_buf_check(out, err);
}

static void csv_text(struct od_buf *out, const char *text)
{
    const bool like_formula = text[0] != '\0' && strchr("=+-@", text[0]);
    const bool quoted = strpbrk(text, ",\"\r\n") != NULL;
    od_buf_puts(out, quoted ? "\"" : "");
    od_buf_puts(out, like_formula ? "'" : "");
    for (const char *c = text; *c; c++) {
        od_buf_puts(out, *c == '"' ? "\"" : "");
        od_buf_putc(out, *c);
    }
    od_buf_puts(out, quoted ? "\"" : "");
}

static void csv_number(struct od_buf *out, bool defined, double value)
{
    char text[OD_NUMBER_BYTES];
    od_buf_putc(out, ',');
    if (defined) {
        od_double_text(value, text);
        od_buf_puts(out, text);
    }
}

static void csv_count(struct od_buf *out, bool defined, size_t value)
{
    od_buf_putc(out, ',');
    if (defined) {
        od_buf_printf(out, "%zu", value);
    }
}

static void csv_name(struct od_buf *out, const char *name, const char *behind)
{
    char text[OD_BOARD_NAME_MAX_BYTES + 64];
    (void)snprintf(text, sizeof text, "%s%s", name, behind);
    od_buf_putc(out, ',');
    csv_text(out, text);
}

// Which details some entry has of a metric.
struct details {
    bool interval;
    bool bootstrap;
    bool items;
};

static struct details details_of(const struct od_board *board, size_t metric)
{
    struct details details = {0};
    for (size_t i = 0; i < board->entry_count; i++) {
        const struct od_score_cell *cell = od_board_cell_const(board, i, metric);
        details.interval = details.interval || cell->has_interval;
        details.bootstrap = details.bootstrap || cell->has_bootstrap;
        details.items = details.items || (cell->defined && cell->items >= 0);
    }
    return details;
}

static void csv_interval_names(struct od_buf *out, const char *name, bool bootstrap)
{
    csv_name(out, name, bootstrap ? " [bootstrap low]" : " [low]");
    csv_name(out, name, bootstrap ? " [bootstrap high]" : " [high]");
}

static void csv_interval(struct od_buf *out, bool has, const struct od_interval *interval)
{
    csv_number(out, has, interval->low);
    csv_number(out, has, interval->high);
}

static void csv_header(const struct od_ranking *ranking, const struct od_shown *shown, size_t count,
                       struct od_buf *out)
{
    const bool noise = ranking->draw_count > 0;
    od_buf_puts(out, "entry,rank");
    od_buf_puts(out, noise ? ",rank within noise,rank low,rank high" : "");
    od_buf_puts(out, ",measured");
    for (size_t s = 0; s < ranking->formula->score_count; s++) {
        csv_name(out, ranking->formula->scores[s], "");
        if (noise) {
            csv_interval_names(out, ranking->formula->scores[s], /* bootstrap= */ false);
        }
    }
    for (size_t g = 0; g < ranking->group_count; g++) {
        csv_name(out, ranking->groups[g], " Mean Win Rate");
    }
    for (size_t m = 0; m < count; m++) {
        const char *name = ranking->board->metrics[shown[m].metric].name;
        const struct details details = details_of(ranking->board, shown[m].metric);
        csv_name(out, name, "");
        if (details.interval) {
            csv_interval_names(out, name, /* bootstrap= */ false);
        }
        if (details.bootstrap) {
            csv_interval_names(out, name, /* bootstrap= */ true);
        }
        if (details.items) {
            csv_name(out, name, " [items]");
        }
    }
    od_buf_puts(out, "\r\n");
}

static void csv_metric(const struct od_board *board, size_t entry, size_t metric,
                       struct od_buf *out)
{
    const struct od_score_cell *cell = od_board_cell_const(board, entry, metric);
    const struct details details = details_of(board, metric);
    csv_number(out, cell->defined, cell->value);
    if (details.interval) {
        csv_interval(out, cell->has_interval, &cell->interval);
    }
    if (details.bootstrap) {
        csv_interval(out, cell->has_bootstrap, &cell->bootstrap);
    }
    if (details.items) {
        csv_count(out, cell->defined && cell->items >= 0, (size_t)cell->items);
    }
}

static void csv_row(const struct od_ranking *ranking, size_t entry, const struct od_shown *shown,
                    size_t count, struct od_buf *out)
{
    const size_t scores = ranking->formula->score_count;
    const bool ranked = od_present_is_ranked(ranking, entry);
    csv_text(out, ranking->board->entries[entry]);
    csv_count(out, ranked, ranking->places[entry]);
    if (ranking->draw_count > 0) {
        csv_count(out, ranked, ranking->noise_places[entry]);
        csv_count(out, ranked, ranking->places_low[entry]);
        csv_count(out, ranked, ranking->places_high[entry]);
    }
    csv_count(out, true, od_present_measured(ranking, entry));
    for (size_t s = 0; s < scores; s++) {
        const struct od_maybe *score = &ranking->scores[entry * scores + s];
        csv_number(out, score->defined, score->value);
        if (ranking->draw_count > 0) {
            csv_interval(out, score->defined, &ranking->score_intervals[entry * scores + s]);
        }
    }
    for (size_t g = 0; g < ranking->group_count; g++) {
        const struct od_maybe *value = &ranking->group_values[entry * ranking->group_count + g];
        csv_number(out, value->defined, value->value);
    }
    for (size_t m = 0; m < count; m++) {
        csv_metric(ranking->board, entry, shown[m].metric, out);
    }
    od_buf_puts(out, "\r\n");
}

enum od_status od_present_csv(const struct od_ranking *ranking, struct od_buf *out,
                              struct od_error *err)
{
    struct od_shown *shown = NULL;
    size_t count = 0;
    const enum od_status status = od_present_shown(ranking, &shown, &count, err);
    if (status != OD_OK) {
        return status;
    }
    csv_header(ranking, shown, count, out);
    for (size_t i = 0; i < ranking->board->entry_count; i++) {
        csv_row(ranking, ranking->order[i], shown, count, out);
    }
    od_free(shown);
    return od_buf_check(out, err);
}
