#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/interval.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "score/board.h"
#include "score/formula.h"
#include "score/present.h"
#include "score/present_internal.h"

enum {
    ENTRIES_BESIDE_MAX = 6,  // more do not fit beside each other on a terminal
    GROUPS_MAX = 12,         // groups of entries whose gaps are told
    NAMES_MAX = 3            // names in a list
};

static const char undefined[] = "     –";  // as wide as 0.1234

/** What lines about the metrics are made from. */
struct lines {
    const struct od_ranking *ranking;
    const struct od_shown *shown;
    size_t count;
};

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

// "0.5786 [0.512, 0.640]"
static void score_cell(struct od_table *table, const struct od_ranking *ranking, size_t at)
{
    char text[OD_SHORT_NUMBER_BYTES];
    const struct od_maybe *score = &ranking->scores[at];
    if (!score->defined || ranking->draw_count == 0) {
        maybe_cell(table, score);
        return;
    }
    od_present_number(score->value, text);
    od_table_cell(table, "%s [%.3f, %.3f]", text, ranking->score_intervals[at].low,
                  ranking->score_intervals[at].high);
}

// "1", or "=1 (1 to 3)" with noise, of which several entries may have place 1; "–" without a score.
static void place_cells(struct od_table *table, const struct od_ranking *ranking, size_t entry)
{
    const bool noise = ranking->draw_count > 0;
    if (!od_present_is_ranked(ranking, entry)) {
        od_table_cell(table, "   –");
        if (noise) {
            od_table_cell(table, "–");
        }
        return;
    }
    od_table_cell(table, "%zu", ranking->places[entry]);
    if (noise) {
        od_table_cell(table, "%s%zu (%zu to %zu)", od_present_is_tied(ranking, entry) ? "=" : "",
                      ranking->noise_places[entry], ranking->places_low[entry],
                      ranking->places_high[entry]);
    }
}

static enum od_status text_ranking(const struct od_ranking *ranking, FILE *to, struct od_error *err)
{
    const size_t scores = ranking->formula->score_count;
    const bool noise = ranking->draw_count > 0;
    const bool gaps = od_present_has_gaps(ranking);
    struct od_table table;
    od_table_init(&table, 2 + (noise ? (size_t)1 : 0) + (gaps ? (size_t)1 : 0) + scores +
                              ranking->group_count);
    table.width = od_terminal_width(to);
    table.pinned = noise ? 3 : 2;  // up to the entry
    od_table_cell(&table, "rank");
    if (noise) {
        od_table_cell(&table, "within noise");
    }
    od_table_cell(&table, "entry");
    if (gaps) {
        od_table_cell(&table, "measured");
    }
    for (size_t s = 0; s < scores; s++) {
        od_table_cell(&table, "%s", ranking->formula->scores[s]);
    }
    for (size_t g = 0; g < ranking->group_count; g++) {
        od_table_cell(&table, "%s", ranking->groups[g]);
    }
    for (size_t i = 0; i < ranking->board->entry_count; i++) {
        const size_t entry = ranking->order[i];
        place_cells(&table, ranking, entry);
        od_table_cell(&table, "%s", ranking->board->entries[entry]);
        if (gaps) {
            od_table_cell(&table, "%zu of %zu", od_present_measured(ranking, entry),
                          ranking->metric_count);
        }
        for (size_t s = 0; s < scores; s++) {
            score_cell(&table, ranking, entry * scores + s);
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
    if (cell->has_interval || cell->has_bootstrap) {
        const struct od_interval *ends = cell->has_interval ? &cell->interval : &cell->bootstrap;
        (void)snprintf(interval, sizeof interval, " [%.3f, %.3f]", ends->low, ends->high);
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
    table.width = od_terminal_width(to);
    table.pinned = 1;
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

// Its reason, when the value is undefined and would say something about quality; else NULL.
static const char *gap(const struct lines *lines, size_t entry, size_t at)
{
    const struct od_board *board = lines->ranking->board;
    const size_t metric = lines->shown[at].metric;
    const struct od_score_cell *cell = od_board_cell_const(board, entry, metric);
    return cell->defined || board->metrics[metric].direction == OD_SCORE_NONE ? NULL : cell->why;
}

static bool same_gaps(const struct lines *lines, size_t a, size_t b)
{
    for (size_t m = 0; m < lines->count; m++) {
        const char *one = gap(lines, a, m);
        const char *two = gap(lines, b, m);
        if (!one != !two || (one && strcmp(one, two) != 0)) {
            return false;
        }
    }
    return true;
}

// "a, b, c" of the list that grows; the rest is only counted.
static void add_name(struct od_buf *out, size_t *count, const char *name)
{
    if (*count < NAMES_MAX) {
        od_buf_printf(out, "%s%s", *count > 0 ? ", " : "", name);
    }
    *count += 1;
}

static void end_names(struct od_buf *out, size_t count)
{
    if (count > NAMES_MAX) {
        od_buf_printf(out, " and %zu more", count - NAMES_MAX);
    }
}

// One line for each reason that values of the entry at `first` in the order are undefined; it tells of all
// entries behind that lack the same, which are `told` then.
static void gap_lines(const struct lines *lines, size_t first, bool *told, struct od_buf *out)
{
    const struct od_board *board = lines->ranking->board;
    const size_t *order = lines->ranking->order;
    const size_t entry = order[first];
    for (size_t i = first; i < board->entry_count; i++) {
        told[i] = told[i] || same_gaps(lines, entry, order[i]);
    }
    for (size_t m = 0; m < lines->count; m++) {
        const char *why = gap(lines, entry, m);
        size_t entries = 0;
        size_t metrics = 0;
        bool fresh = why != NULL;
        for (size_t before = 0; before < m && fresh; before++) {
            const char *other = gap(lines, entry, before);
            fresh = !other || strcmp(other, why) != 0;
        }
        if (!fresh) {
            continue;
        }
        od_buf_puts(out, "– ");
        for (size_t i = first; i < board->entry_count; i++) {
            if (i == first || (told[i] && same_gaps(lines, entry, order[i]))) {
                add_name(out, &entries, board->entries[order[i]]);
            }
        }
        end_names(out, entries);
        od_buf_puts(out, " without ");
        for (size_t other = m; other < lines->count; other++) {
            const char *reason = gap(lines, entry, other);
            if (reason && strcmp(reason, why) == 0) {
                add_name(out, &metrics, board->metrics[lines->shown[other].metric].name);
            }
        }
        end_names(out, metrics);
        od_buf_printf(out, ": %s\n", why);
    }
}

static bool has_gap(const struct lines *lines, size_t entry)
{
    for (size_t m = 0; m < lines->count; m++) {
        if (gap(lines, entry, m)) {
            return true;
        }
    }
    return false;
}

// Which values are undefined, and why; entries that lack the same are told together.
static enum od_status text_reasons(const struct lines *lines, struct od_buf *out,
                                   struct od_error *err)
{
    const size_t entries = lines->ranking->board->entry_count;
    size_t groups = 0;
    size_t more = 0;
    bool *told = od_alloc(entries, sizeof *told);
    if (!told) {
        return od_fail(err, OD_E_MEMORY, "no memory to show a ranking");
    }
    for (size_t i = 0; i < entries; i++) {
        if (told[i] || !has_gap(lines, lines->ranking->order[i])) {
            continue;
        }
        if (groups == GROUPS_MAX) {
            more++;
            continue;
        }
        gap_lines(lines, i, told, out);
        groups++;
    }
    if (more > 0) {
        od_buf_printf(out, "– and something of %zu more entr%s\n", more, more == 1 ? "y" : "ies");
    }
    od_free(told);
    return OD_OK;
}

// What the figures are.
static void text_legend(const struct lines *lines, struct od_buf *out)
{
    const struct od_board *board = lines->ranking->board;
    const size_t cells = board->entry_count * board->metric_count;
    bool intervals = false;
    bool items = false;
    for (size_t i = 0; i < cells; i++) {
        intervals = intervals || board->cells[i].has_interval || board->cells[i].has_bootstrap;
        items = items || board->cells[i].items >= 0;
    }
    if (board->entry_count > ENTRIES_BESIDE_MAX) {
        od_buf_printf(out,
                      "The metrics of %zu entries do not fit here; --html, --csv, --latex and "
                      "--json have them.\n",
                      board->entry_count);
    }
    od_buf_printf(
        out, "Scores and win rates go from 0 to 1, higher is better; – is undefined, not 0.%s%s\n",
        intervals ? " In [ ]: 95 % intervals." : "",
        items && board->entry_count <= ENTRIES_BESIDE_MAX ? " n: items." : "");
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
    const struct lines lines = {ranking, shown, count};
    status = text_ranking(ranking, to, err);
    if (status == OD_OK && board->entry_count <= ENTRIES_BESIDE_MAX) {
        status = text_metrics(ranking, shown, count, to, err);
    }
    if (status == OD_OK) {
        text_legend(&lines, &buf);
        status = text_reasons(&lines, &buf, err);
    }
    if (status == OD_OK) {
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
