#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/html.h"
#include "base/memory.h"
#include "base/status.h"
#include "score/board.h"
#include "score/formula.h"
#include "score/present.h"
#include "score/present_internal.h"

enum {
    COLUMNS_OF_ENTRIES_MAX = 12,  // more entries than this stand in rows
    REASONS_MAX = 26,             // footnotes a to z
    NOTES_MAX_BYTES = 1 << 14
};

/** The page while it is written. */
struct page {
    const struct od_ranking *ranking;
    struct od_shown *shown;
    size_t shown_count;
    const char *reasons[REASONS_MAX];  ///< footnotes so far
    size_t reason_count;
    struct od_buf *out;
};

static void put_maybe(struct page *page, const struct od_maybe *value)
{
    char text[OD_SHORT_NUMBER_BYTES] = "–";
    if (value->defined) {
        od_present_number(value->value, text);
    }
    od_buf_printf(page->out, "<td class=\"num\">%s</td>", text);
}

// The score with a bar behind it; the bar is for the eye, the numbers say it all.
static void put_score(struct page *page, size_t entry, size_t score)
{
    const struct od_ranking *ranking = page->ranking;
    const size_t at = entry * ranking->formula->score_count + score;
    const struct od_maybe *value = &ranking->scores[at];
    char text[OD_SHORT_NUMBER_BYTES] = "–";
    if (value->defined) {
        od_present_number(value->value, text);
    }
    if (score == 0) {
        const double share = value->defined ? fmin(1.0, fmax(0.0, value->value)) : 0.0;
        od_buf_printf(page->out, "<td class=\"num bar\"><i style=\"width:%.1f%%\"></i><b>%s</b>",
                      100.0 * share, text);
    } else {
        od_buf_printf(page->out, "<td class=\"num\">%s", text);
    }
    if (value->defined && ranking->draw_count > 0) {
        od_buf_printf(page->out, "<small>%.3f to %.3f</small>", ranking->score_intervals[at].low,
                      ranking->score_intervals[at].high);
    }
    od_buf_puts(page->out, "</td>");
}

// A name that may break behind underscores and slashes.
static void put_name(struct page *page, const char *name)
{
    while (*name) {
        const size_t size = strcspn(name, "_/");
        const size_t with = size + (name[size] != '\0' ? 1 : 0);
        od_html_text_n(page->out, name, with);
        od_buf_puts(page->out, with > size ? "<wbr>" : "");
        name += with;
    }
}

static void open_table(struct page *page, const char *label, const char *about)
{
    od_buf_printf(page->out, "<p class=\"quiet\">%s</p>\n", about);
    od_buf_printf(page->out,
                  "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"%s\">\n",
                  label);
    od_buf_printf(page->out, "<table aria-label=\"%s\">\n", label);
}

static void close_table(struct page *page)
{
    od_buf_puts(page->out, "</tbody>\n</table>\n</div>\n");
}

static void head_cell(struct page *page, const char *class, const char *text)
{
    od_buf_printf(page->out, "<th scope=\"col\" class=\"%s\">", class);
    put_name(page, text);
    od_buf_puts(page->out, "</th>");
}

static void put_ranking_head(struct page *page)
{
    const struct od_ranking *ranking = page->ranking;
    od_buf_puts(page->out, "<thead><tr>");
    head_cell(page, "pin", "Entry");
    head_cell(page, "num", "Rank");
    for (size_t s = 0; s < ranking->formula->score_count; s++) {
        head_cell(page, "num", ranking->formula->scores[s]);
        if (s == 0 && ranking->draw_count > 0) {
            head_cell(page, "num", "Within noise");
        }
    }
    if (od_present_has_gaps(ranking)) {
        head_cell(page, "num", "Measured");
    }
    for (size_t g = 0; g < ranking->group_count; g++) {
        head_cell(page, "num", ranking->groups[g]);
    }
    od_buf_puts(page->out, "</tr></thead>\n");
}

static void put_place(struct page *page, size_t entry)
{
    const struct od_ranking *ranking = page->ranking;
    if (od_present_is_ranked(ranking, entry)) {
        od_buf_printf(page->out, "<td class=\"num\">%zu</td>", ranking->places[entry]);
    } else {
        od_buf_puts(page->out, "<td class=\"num\">–</td>");
    }
}

// The place that is shared within noise, and where 95 % of the draws lie.
static void put_noise(struct page *page, size_t entry)
{
    const struct od_ranking *ranking = page->ranking;
    if (od_present_is_ranked(ranking, entry)) {
        od_buf_printf(page->out, "<td class=\"num\">%s%zu<small>%zu to %zu</small></td>",
                      od_present_is_tied(ranking, entry) ? "=" : "", ranking->noise_places[entry],
                      ranking->places_low[entry], ranking->places_high[entry]);
    } else {
        od_buf_puts(page->out, "<td class=\"num\">–</td>");
    }
}

// A line of the ranking opens a group unless it shares the place of the line above within noise.
static bool opens_group(const struct od_ranking *ranking, size_t line)
{
    if (line == 0 || ranking->draw_count == 0) {
        return line == 0;
    }
    const size_t above = ranking->order[line - 1];
    const size_t entry = ranking->order[line];
    return ranking->noise_places[above] != ranking->noise_places[entry] ||
           od_present_is_ranked(ranking, above) != od_present_is_ranked(ranking, entry);
}

static void put_ranking(struct page *page)
{
    const struct od_ranking *ranking = page->ranking;
    const bool gaps = od_present_has_gaps(ranking);
    open_table(
        page, "Ranking",
        ranking->draw_count > 0
            ? "Best first. Scores and win rates, from 0 to 1; higher is better. Entries between "
              "two thick lines differ by no more than noise. Small figures: where 95 % of the "
              "draws lie."
            : "Best first. Scores and win rates, from 0 to 1; higher is better.");
    put_ranking_head(page);
    for (size_t i = 0; i < ranking->board->entry_count; i++) {
        const size_t entry = ranking->order[i];
        if (opens_group(ranking, i)) {
            od_buf_puts(page->out, i > 0 ? "</tbody>\n<tbody>\n" : "<tbody>\n");
        }
        od_buf_puts(page->out, "<tr><th scope=\"row\" class=\"pin\">");
        put_name(page, ranking->board->entries[entry]);
        od_buf_puts(page->out, "</th>");
        put_place(page, entry);
        for (size_t s = 0; s < ranking->formula->score_count; s++) {
            put_score(page, entry, s);
            if (s == 0 && ranking->draw_count > 0) {
                put_noise(page, entry);
            }
        }
        if (gaps) {
            od_buf_printf(page->out, "<td class=\"num\">%zu of %zu</td>",
                          od_present_measured(ranking, entry), ranking->metric_count);
        }
        for (size_t g = 0; g < ranking->group_count; g++) {
            put_maybe(page, &ranking->group_values[entry * ranking->group_count + g]);
        }
        od_buf_puts(page->out, "</tr>\n");
    }
    close_table(page);
}

// The letter of the footnote that gives the reason; beyond z they share one.
static char footnote(struct page *page, const char *why)
{
    for (size_t i = 0; i < page->reason_count; i++) {
        if (strcmp(page->reasons[i], why) == 0) {
            return (char)('a' + (int)i);
        }
    }
    if (page->reason_count == REASONS_MAX) {
        return '*';
    }
    page->reasons[page->reason_count] = why;
    return (char)('a' + (int)page->reason_count++);
}

static void put_cell(struct page *page, size_t entry, size_t metric)
{
    const struct od_board *board = page->ranking->board;
    const struct od_score_cell *cell = od_board_cell_const(board, entry, metric);
    char text[OD_SHORT_NUMBER_BYTES];
    if (!cell->defined) {
        od_buf_printf(page->out, "<td class=\"num\">–<sup>%c</sup></td>",
                      footnote(page, cell->why));
        return;
    }
    if (board->metrics[metric].direction == OD_SCORE_NONE) {
        od_present_count(cell->value, text);
    } else {
        od_present_number(cell->value, text);
    }
    od_buf_printf(page->out, "<td class=\"num%s\">%s",
                  od_present_is_best(board, entry, metric)        ? " best"
                  : od_present_is_near_best(board, entry, metric) ? " near"
                                                                  : "",
                  text);
    if (cell->has_interval) {
        od_buf_printf(page->out, "<small>%.3f to %.3f</small>", cell->interval.low,
                      cell->interval.high);
    }
    if (cell->has_bootstrap) {
        od_buf_printf(page->out, "<small>b %.3f to %.3f</small>", cell->bootstrap.low,
                      cell->bootstrap.high);
    }
    if (cell->items >= 0) {
        od_buf_printf(page->out, "<small>%lld items</small>", (long long)cell->items);
    }
    od_buf_puts(page->out, "</td>");
}

// Under a headline "MMLU", "MMLU - EM" is told as "EM".
static void put_metric_name(struct page *page, size_t metric, const char *group)
{
    const struct od_score_metric *m = &page->ranking->board->metrics[metric];
    const size_t size = strlen(group);
    const bool told =
        size > 0 && strncmp(m->name, group, size) == 0 && strncmp(m->name + size, " - ", 3) == 0;
    put_name(page, told ? m->name + size + 3 : m->name);
    if (m->direction == OD_SCORE_LOWER) {
        od_buf_puts(page->out, " <small class=\"quiet\">lower is better</small>");
    }
}

static const char *group_of(const struct page *page, size_t at)
{
    const struct od_ranking *ranking = page->ranking;
    const size_t credit = page->shown[at].credit;
    return credit == SIZE_MAX ? "Not part of the score"
                              : ranking->groups[ranking->metric_groups[credit]];
}

static void metrics_in_rows(struct page *page)
{
    const struct od_board *board = page->ranking->board;
    const char *group = "";
    od_buf_puts(page->out, "<thead><tr>");
    head_cell(page, "pin", "Metric");
    for (size_t i = 0; i < board->entry_count; i++) {
        head_cell(page, "num", board->entries[page->ranking->order[i]]);
    }
    od_buf_puts(page->out, "</tr></thead>\n<tbody>\n");
    for (size_t m = 0; m < page->shown_count; m++) {
        if (strcmp(group, group_of(page, m)) != 0) {
            group = group_of(page, m);
            od_buf_printf(page->out, "<tr><th colspan=\"%zu\" scope=\"colgroup\">",
                          board->entry_count + 1);
            od_html_text(page->out, group);
            od_buf_puts(page->out, "</th></tr>\n");
        }
        od_buf_puts(page->out, "<tr><th scope=\"row\" class=\"pin\">");
        put_metric_name(page, page->shown[m].metric, group);
        od_buf_puts(page->out, "</th>");
        for (size_t i = 0; i < board->entry_count; i++) {
            put_cell(page, page->ranking->order[i], page->shown[m].metric);
        }
        od_buf_puts(page->out, "</tr>\n");
    }
}

static void entries_in_rows(struct page *page)
{
    const struct od_board *board = page->ranking->board;
    od_buf_puts(page->out, "<thead><tr>");
    head_cell(page, "pin", "Entry");
    for (size_t m = 0; m < page->shown_count; m++) {
        od_buf_puts(page->out, "<th scope=\"col\" class=\"num\">");
        put_metric_name(page, page->shown[m].metric, "");
        od_buf_puts(page->out, "</th>");
    }
    od_buf_puts(page->out, "</tr></thead>\n<tbody>\n");
    for (size_t i = 0; i < board->entry_count; i++) {
        od_buf_puts(page->out, "<tr><th scope=\"row\" class=\"pin\">");
        put_name(page, board->entries[page->ranking->order[i]]);
        od_buf_puts(page->out, "</th>");
        for (size_t m = 0; m < page->shown_count; m++) {
            put_cell(page, page->ranking->order[i], page->shown[m].metric);
        }
        od_buf_puts(page->out, "</tr>\n");
    }
}

static bool has_intervals(const struct page *page)
{
    const struct od_board *board = page->ranking->board;
    for (size_t i = 0; i < board->entry_count * board->metric_count; i++) {
        if (board->cells[i].has_interval || board->cells[i].has_bootstrap) {
            return true;
        }
    }
    return false;
}

static void put_reasons(struct page *page)
{
    if (page->reason_count == 0) {
        return;
    }
    od_buf_puts(page->out, "<p class=\"quiet\">– undefined: ");
    for (size_t i = 0; i < page->reason_count; i++) {
        od_buf_printf(page->out, "%s<sup>%c</sup> ", i > 0 ? "; " : "", (char)('a' + (int)i));
        od_html_text(page->out, page->reasons[i]);
    }
    od_buf_puts(page->out, page->reason_count == REASONS_MAX
                               ? "; <sup>*</sup> other reasons, see the JSON form.</p>\n"
                               : ".</p>\n");
}

// A paragraph for each line.
static void put_lines(struct page *page, const char *text)
{
    while (*text) {
        const size_t size = strcspn(text, "\n");
        od_buf_puts(page->out, "<p>");
        od_html_text_n(page->out, text, size);
        od_buf_puts(page->out, "</p>\n");
        text += size + (text[size] == '\n' ? 1 : 0);
    }
}

static void put_notes(struct page *page)
{
    const struct od_ranking *ranking = page->ranking;
    struct od_buf lines;
    od_buf_init(&lines, NOTES_MAX_BYTES);
    od_buf_puts(page->out, "<h2>How the ranking is made</h2>\n<p>");
    od_html_text(page->out, ranking->formula->summary);
    od_buf_puts(page->out, "</p>\n");
    od_present_counted(ranking, &lines);
    od_present_noise(ranking, &lines);
    put_lines(page, od_buf_text(&lines));
    od_buf_release(&lines);
    for (size_t i = 0; i < ranking->board->note_count; i++) {
        od_buf_puts(page->out, "<p>");
        od_html_text(page->out, ranking->board->notes[i]);
        od_buf_puts(page->out, ".</p>\n");
    }
}

enum od_status od_present_html(const struct od_ranking *ranking, struct od_buf *out,
                               struct od_error *err)
{
    struct page page = {.ranking = ranking, .out = out};
    char lead[256];
    const enum od_status status = od_present_shown(ranking, &page.shown, &page.shown_count, err);
    if (status != OD_OK) {
        return status;
    }
    (void)snprintf(lead, sizeof lead, "%zu entr%s, %zu metrics, formula %s.",
                   ranking->board->entry_count, ranking->board->entry_count == 1 ? "y" : "ies",
                   ranking->metric_count, ranking->formula->name);
    od_html_begin(out, "Ranking", lead);
    put_ranking(&page);
    od_buf_puts(out, "<h2>What was measured</h2>\n");
    open_table(
        &page, "What was measured",
        has_intervals(&page)
            ? "The best value of each metric is shaded, those behind it by no more than noise are "
              "framed. Small figures: 95 % interval, the same by bootstrap over the items (b), items."
            : "The best value of each metric is shaded.");
    if (ranking->board->entry_count <= COLUMNS_OF_ENTRIES_MAX) {
        metrics_in_rows(&page);
    } else {
        entries_in_rows(&page);
    }
    close_table(&page);
    put_reasons(&page);
    put_notes(&page);
    od_html_end(out);
    od_free(page.shown);
    return od_buf_check(out, err);
}
