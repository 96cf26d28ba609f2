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
    REASONS_MAX = 26              // footnotes a to z
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

// The score with a bar behind it; the bar is for the eye, the number says it all.
static void put_score(struct page *page, const struct od_maybe *value)
{
    char text[OD_SHORT_NUMBER_BYTES] = "–";
    double share = 0.0;
    if (value->defined) {
        od_present_number(value->value, text);
        share = fmin(1.0, fmax(0.0, value->value));
    }
    od_buf_printf(page->out, "<td class=\"num bar\"><i style=\"width:%.1f%%\"></i><b>%s</b></td>",
                  100.0 * share, text);
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
    od_html_text(page->out, text);
    od_buf_puts(page->out, "</th>");
}

static void put_ranking(struct page *page)
{
    const struct od_ranking *ranking = page->ranking;
    const size_t scores = ranking->formula->score_count;
    open_table(page, "Ranking", "Best first. Scores and win rates, from 0 to 1; higher is better.");
    od_buf_puts(page->out, "<thead><tr>");
    head_cell(page, "pin", "Entry");
    head_cell(page, "num", "Rank");
    if (ranking->draw_count > 0) {
        head_cell(page, "num", "Within noise");
    }
    for (size_t s = 0; s < scores; s++) {
        head_cell(page, "num", ranking->formula->scores[s]);
    }
    for (size_t g = 0; g < ranking->group_count; g++) {
        head_cell(page, "num", ranking->groups[g]);
    }
    od_buf_puts(page->out, "</tr></thead>\n<tbody>\n");
    for (size_t i = 0; i < ranking->board->entry_count; i++) {
        const size_t entry = ranking->order[i];
        od_buf_puts(page->out, "<tr><th scope=\"row\" class=\"pin\">");
        od_html_text(page->out, ranking->board->entries[entry]);
        od_buf_printf(page->out, "</th><td class=\"num\">%zu</td>", ranking->places[entry]);
        if (ranking->draw_count > 0) {
            od_buf_printf(page->out, "<td class=\"num\">%zu<small>%zu to %zu</small></td>",
                          ranking->noise_places[entry], ranking->places_low[entry],
                          ranking->places_high[entry]);
        }
        for (size_t s = 0; s < scores; s++) {
            const struct od_maybe *score = &ranking->scores[entry * scores + s];
            if (s == 0) {
                put_score(page, score);
            } else {
                put_maybe(page, score);
            }
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
    od_present_number(cell->value, text);
    od_buf_printf(page->out, "<td class=\"num%s\">%s",
                  od_present_is_best(board, entry, metric) ? " best" : "", text);
    if (cell->has_interval) {
        od_buf_printf(page->out, "<small>%.3f to %.3f</small>", cell->interval.low,
                      cell->interval.high);
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
    od_html_text(page->out, told ? m->name + size + 3 : m->name);
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
        od_html_text(page->out, board->entries[page->ranking->order[i]]);
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
        if (board->cells[i].has_interval) {
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

static void put_notes(struct page *page)
{
    const struct od_ranking *ranking = page->ranking;
    od_buf_puts(page->out, "<h2>How the ranking is made</h2>\n<p>");
    od_html_text(page->out, ranking->formula->summary);
    od_buf_puts(page->out, "</p>\n");
    if (ranking->undefined_count > 0 || ranking->tie_count > 0 || ranking->draw_count > 0) {
        od_buf_puts(page->out, "<p>");
        od_present_counted(ranking, page->out);
        od_present_noise(ranking, page->out);
        od_buf_puts(page->out, "</p>\n");
    }
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
    open_table(&page, "What was measured",
               has_intervals(&page)
                   ? "The best value of each metric is shaded. Small figures: 95 % interval, items."
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
