#include "score/present.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "formats/json.h"
#include "score/board.h"
#include "score/formula.h"
#include "score/present_internal.h"

enum {
    ENTRIES_BESIDE_MAX = 6,  // more do not fit beside each other on a terminal
    REASONS_MAX = 12,        // lines of reasons on a terminal
    REASON_MAX_BYTES = 4096
};

static const char undefined[] = "     –";  // as wide as 0.1234

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
        od_buf_printf(out,
                      "Within noise: entries that do not lose in 95 %% of %zu draws of the values "
                      "share a place; in brackets where 95 %% of the draws put them.\n",
                      ranking->draw_count);
    }
}

static void maybe_cell(struct od_table *table, const struct od_maybe *value)
{
    char text[OD_SHORT_NUMBER_BYTES];
    if (value->defined) {
        od_present_number(value->value, text);
        od_table_cell(table, "%s", text);
    } else {
        od_table_cell(table, "%s", undefined);
    }
}

static enum od_status text_ranking(const struct od_ranking *ranking, FILE *to, struct od_error *err)
{
    const size_t scores = ranking->formula->score_count;
    const bool noise = ranking->draw_count > 0;
    struct od_table table;
    od_table_init(&table, 2 + (noise ? (size_t)1 : 0) + scores + ranking->group_count);
    od_table_cell(&table, "rank");
    if (noise) {
        od_table_cell(&table, "within noise");
    }
    od_table_cell(&table, "entry");
    for (size_t s = 0; s < scores; s++) {
        od_table_cell(&table, "%s", ranking->formula->scores[s]);
    }
    for (size_t g = 0; g < ranking->group_count; g++) {
        od_table_cell(&table, "%s", ranking->groups[g]);
    }
    for (size_t i = 0; i < ranking->board->entry_count; i++) {
        const size_t entry = ranking->order[i];
        od_table_cell(&table, "%zu", ranking->places[entry]);
        if (noise) {
            od_table_cell(&table, "%zu (%zu to %zu)", ranking->noise_places[entry],
                          ranking->places_low[entry], ranking->places_high[entry]);
        }
        od_table_cell(&table, "%s", ranking->board->entries[entry]);
        for (size_t s = 0; s < scores; s++) {
            maybe_cell(&table, &ranking->scores[entry * scores + s]);
        }
        for (size_t g = 0; g < ranking->group_count; g++) {
            maybe_cell(&table, &ranking->group_values[entry * ranking->group_count + g]);
        }
    }
    const enum od_status status = od_table_print(&table, to, err);
    od_table_release(&table);
    return status;
}

// "0.6293 [0.566, 0.688] n=240"
static void text_value(struct od_table *table, const struct od_score_cell *cell)
{
    char number[OD_SHORT_NUMBER_BYTES] = "";
    char interval[64] = "";
    char items[32] = "";
    if (!cell->defined) {
        od_table_cell(table, "%s", undefined);
        return;
    }
    od_present_number(cell->value, number);
    if (cell->has_interval) {
        (void)snprintf(interval, sizeof interval, " [%.3f, %.3f]", cell->interval.low,
                       cell->interval.high);
    }
    if (cell->items >= 0) {
        (void)snprintf(items, sizeof items, " n=%lld", (long long)cell->items);
    }
    od_table_cell(table, "%s%s%s", number, interval, items);
}

static enum od_status text_metrics(const struct od_ranking *ranking, const struct od_shown *shown,
                                   size_t count, FILE *to, struct od_error *err)
{
    const struct od_board *board = ranking->board;
    struct od_table table;
    od_table_init(&table, 1 + board->entry_count);
    od_table_cell(&table, "metric");
    for (size_t i = 0; i < board->entry_count; i++) {
        od_table_cell(&table, "%s", board->entries[ranking->order[i]]);
    }
    for (size_t m = 0; m < count; m++) {
        const struct od_score_metric *metric = &board->metrics[shown[m].metric];
        if (metric->direction == OD_SCORE_NONE) {
            continue;  // counts; the other forms have them
        }
        od_table_cell(&table, "%s%s", metric->name,
                      metric->direction == OD_SCORE_LOWER ? " (lower is better)" : "");
        for (size_t i = 0; i < board->entry_count; i++) {
            text_value(&table, od_board_cell_const(board, ranking->order[i], shown[m].metric));
        }
    }
    (void)fputc('\n', to);
    const enum od_status status = od_table_print(&table, to, err);
    od_table_release(&table);
    return status;
}

// Which values are undefined, and why.
static void text_reasons(const struct od_ranking *ranking, const struct od_shown *shown,
                         size_t count, struct od_buf *out)
{
    const struct od_board *board = ranking->board;
    size_t lines = 0;
    size_t more = 0;
    for (size_t i = 0; i < board->entry_count; i++) {
        for (size_t m = 0; m < count; m++) {
            const struct od_score_cell *cell =
                od_board_cell_const(board, ranking->order[i], shown[m].metric);
            if (cell->defined || board->metrics[shown[m].metric].direction == OD_SCORE_NONE) {
                continue;
            }
            if (lines == REASONS_MAX) {
                more++;
                continue;
            }
            od_buf_printf(out, "– %s, %s: %s\n", board->entries[ranking->order[i]],
                          board->metrics[shown[m].metric].name, cell->why);
            lines++;
        }
    }
    if (more > 0) {
        od_buf_printf(out, "– and %zu more\n", more);
    }
}

enum od_status od_present_text(const struct od_ranking *ranking, FILE *to, struct od_error *err)
{
    const struct od_board *board = ranking->board;
    struct od_shown *shown = NULL;
    size_t count = 0;
    struct od_buf buf;
    od_buf_init(&buf, OD_PRESENT_MAX_BYTES);
    enum od_status status = od_present_shown(ranking, &shown, &count, err);
    if (status != OD_OK) {
        return status;
    }
    status = text_ranking(ranking, to, err);
    if (status == OD_OK && board->entry_count <= ENTRIES_BESIDE_MAX) {
        status = text_metrics(ranking, shown, count, to, err);
    }
    if (status == OD_OK) {
        text_reasons(ranking, shown, count, &buf);
        od_present_counted(ranking, &buf);
        od_present_noise(ranking, &buf);
        for (size_t i = 0; i < board->note_count; i++) {
            od_buf_printf(&buf, "%s.\n", board->notes[i]);
        }
        status = od_buf_check(&buf, err);
    }
    if (status == OD_OK && buf.size > 0) {
        (void)fprintf(to, "\n%s", od_buf_text(&buf));
    }
    if (status == OD_OK) {
        (void)fprintf(to, "\n%s: %s\n", ranking->formula->name, ranking->formula->summary);
    }
    od_buf_release(&buf);
    od_free(shown);
    return status;
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
        od_json_member_number(w, "low", cell->interval.low);
        od_json_member_number(w, "high", cell->interval.high);
    }
    od_json_object_end(w);
}

static void json_entry(struct od_json_writer *w, const struct od_ranking *ranking, size_t entry,
                       const struct od_shown *shown, size_t count)
{
    const size_t scores = ranking->formula->score_count;
    od_json_object_begin(w);
    od_json_member_int(w, "rank", (int64_t)ranking->places[entry]);
    if (ranking->draw_count > 0) {
        od_json_member_int(w, "rank_within_noise", (int64_t)ranking->noise_places[entry]);
        od_json_member_int(w, "rank_low", (int64_t)ranking->places_low[entry]);
        od_json_member_int(w, "rank_high", (int64_t)ranking->places_high[entry]);
    }
    od_json_member_text(w, "name", ranking->board->entries[entry]);
    od_json_key(w, "scores");
    od_json_object_begin(w);
    for (size_t s = 0; s < scores; s++) {
        od_json_key(w, ranking->formula->scores[s]);
        put_maybe(w, &ranking->scores[entry * scores + s]);
    }
    od_json_object_end(w);
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

static void csv_name(struct od_buf *out, const char *name, const char *behind)
{
    char text[OD_BOARD_NAME_MAX_BYTES + 64];
    (void)snprintf(text, sizeof text, "%s%s", name, behind);
    od_buf_putc(out, ',');
    csv_text(out, text);
}

enum od_status od_present_csv(const struct od_ranking *ranking, struct od_buf *out,
                              struct od_error *err)
{
    const struct od_board *board = ranking->board;
    const size_t scores = ranking->formula->score_count;
    struct od_shown *shown = NULL;
    size_t count = 0;
    const enum od_status status = od_present_shown(ranking, &shown, &count, err);
    if (status != OD_OK) {
        return status;
    }
    od_buf_puts(out, "entry");
    csv_name(out, "rank", "");
    if (ranking->draw_count > 0) {
        od_buf_puts(out, ",rank within noise,rank low,rank high");
    }
    for (size_t s = 0; s < scores; s++) {
        csv_name(out, ranking->formula->scores[s], "");
    }
    for (size_t g = 0; g < ranking->group_count; g++) {
        csv_name(out, ranking->groups[g], " Mean Win Rate");
    }
    for (size_t m = 0; m < count; m++) {
        csv_name(out, board->metrics[shown[m].metric].name, "");
    }
    od_buf_puts(out, "\r\n");
    for (size_t i = 0; i < board->entry_count; i++) {
        const size_t entry = ranking->order[i];
        csv_text(out, board->entries[entry]);
        od_buf_printf(out, ",%zu", ranking->places[entry]);
        if (ranking->draw_count > 0) {
            od_buf_printf(out, ",%zu,%zu,%zu", ranking->noise_places[entry],
                          ranking->places_low[entry], ranking->places_high[entry]);
        }
        for (size_t s = 0; s < scores; s++) {
            const struct od_maybe *score = &ranking->scores[entry * scores + s];
            csv_number(out, score->defined, score->value);
        }
        for (size_t g = 0; g < ranking->group_count; g++) {
            const struct od_maybe *value = &ranking->group_values[entry * ranking->group_count + g];
            csv_number(out, value->defined, value->value);
        }
        for (size_t m = 0; m < count; m++) {
            const struct od_score_cell *cell = od_board_cell_const(board, entry, shown[m].metric);
            csv_number(out, cell->defined, cell->value);
        }
        od_buf_puts(out, "\r\n");
    }
    od_free(shown);
    return od_buf_check(out, err);
}
