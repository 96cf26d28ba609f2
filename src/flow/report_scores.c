// eval/board.json: see report.h.

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/html.h"
#include "base/interval.h"
#include "base/memory.h"
#include "base/status.h"
#include "flow/chart.h"
#include "flow/report.h"
#include "flow/report_internal.h"
#include "formats/json.h"

static const char where[] = "eval/board.json";

/** What is shown of board.json; texts are borrowed from it. */
struct scores {
    struct od_chart_row *rows;
    size_t row_count;
    struct od_chart_score *scores;   ///< [row_count * OD_REPORT_ENTRIES_MAX]
    const char **reasons;            ///< as scores; NULL: none
    struct od_interval *bootstraps;  ///< as scores; not finite: none
    bool has_bootstraps;
};

static enum od_status read_score(const json_t *item, struct od_chart_score *ret,
                                 const char **ret_why, struct od_error *err)
{
    static const char *const keys[] = {"value", "low", "high"};
    struct od_chart_score score = {0};
    double *const numbers[] = {&score.value, &score.low, &score.high};
    enum od_status status = od_json_text(item, "name", where, &score.name, err);
    for (size_t i = 0; i < 3 && status == OD_OK; i++) {
        status = od_json_number_or(item, keys[i], where, (double)NAN, numbers[i], err);
    }
    if (status == OD_OK) {
        status = od_json_int_or(item, "items", where, -1, &score.items, err);
    }
    if (status == OD_OK) {
        status = od_json_text_or(item, "why", where, NULL, ret_why, err);
    }
    if (status != OD_OK) {
        return status;
    }
    if (score.low > score.high) {
        return od_fail(err, OD_E_FORMAT, "%s: an interval from %g to %g", where, score.low,
                       score.high);
    }
    *ret = score;
    return OD_OK;
}

// {"low": ..., "high": ...}, or absent.
static enum od_status read_bootstrap(const json_t *item, struct od_interval *ret,
                                     struct od_error *err)
{
    const json_t *bootstrap = json_object_get(item, "bootstrap");
    struct od_interval found = {(double)NAN, (double)NAN};
    enum od_status status = OD_OK;
    if (bootstrap) {
        status = od_json_number_or(bootstrap, "low", where, found.low, &found.low, err);
    }
    if (bootstrap && status == OD_OK) {
        status = od_json_number_or(bootstrap, "high", where, found.high, &found.high, err);
    }
    if (status == OD_OK && found.low > found.high) {
        return od_fail(err, OD_E_FORMAT, "%s: an interval from %g to %g", where, found.low,
                       found.high);
    }
    if (status == OD_OK) {
        *ret = found;
    }
    return status;
}

static enum od_status read_row(const json_t *item, size_t at, struct scores *scores,
                               struct od_error *err)
{
    struct od_chart_row *row = &scores->rows[at];
    const json_t *entries = json_object_get(item, "entries");
    const enum od_status status = od_json_text(item, "metric", where, &row->label, err);
    if (status != OD_OK) {
        return status;
    }
    if (!json_is_array(entries) || json_array_size(entries) > OD_REPORT_ENTRIES_MAX) {
        return od_fail(err, OD_E_FORMAT, "%s: metric '%s' has no list of at most %d entries", where,
                       row->label, OD_REPORT_ENTRIES_MAX);
    }
    row->scores = &scores->scores[at * OD_REPORT_ENTRIES_MAX];
    row->score_count = json_array_size(entries);
    for (size_t i = 0; i < row->score_count; i++) {
        const size_t place = at * OD_REPORT_ENTRIES_MAX + i;
        enum od_status read = read_score(json_array_get(entries, i), &scores->scores[place],
                                         &scores->reasons[place], err);
        if (read == OD_OK) {
            read = read_bootstrap(json_array_get(entries, i), &scores->bootstraps[place], err);
        }
        if (read != OD_OK) {
            od_error_prefix(err, "metric '%s'", row->label);
            return read;
        }
        scores->has_bootstraps =
            scores->has_bootstraps || isfinite(scores->bootstraps[place].low) != 0;
    }
    return OD_OK;
}

static void release(struct scores *scores)
{
    od_free(scores->rows);
    od_free(scores->scores);
    od_free((void *)scores->reasons);
    od_free(scores->bootstraps);
    *scores = (struct scores){0};
}

static enum od_status read_scores(const json_t *board, struct scores *ret, struct od_error *err)
{
    const json_t *rows = json_object_get(board, "rows");
    const size_t count = json_array_size(rows);
    if (!json_is_array(rows) || count > OD_REPORT_ROWS_MAX) {
        return od_fail(err, OD_E_FORMAT, "%s: no list 'rows' of at most %d", where,
                       OD_REPORT_ROWS_MAX);
    }
    struct scores scores = {
        .row_count = count,
        .rows = od_alloc(count, sizeof *scores.rows),
        .scores = od_alloc(count * OD_REPORT_ENTRIES_MAX, sizeof *scores.scores),
        .reasons = (const char **)od_alloc(count * OD_REPORT_ENTRIES_MAX, sizeof *scores.reasons),
        .bootstraps = od_alloc(count * OD_REPORT_ENTRIES_MAX, sizeof *scores.bootstraps)};
    enum od_status status = OD_OK;
    if (!scores.rows || !scores.scores || !scores.reasons || !scores.bootstraps) {
        status = od_fail(err, OD_E_MEMORY, "no memory for %zu scores", count);
    }
    for (size_t i = 0; i < count && status == OD_OK; i++) {
        status = read_row(json_array_get(rows, i), i, &scores, err);
    }
    if (status != OD_OK) {
        release(&scores);
        return status;
    }
    *ret = scores;
    return OD_OK;
}

static void put_interval(struct od_buf *out, double low, double high)
{
    if (isfinite(low) && isfinite(high)) {
        od_buf_printf(out, "%.4f to %.4f", low, high);
    } else {
        od_buf_puts(out, "–");
    }
}

// Entry `at` of row `r`.
static void put_table_row(struct od_buf *out, const struct scores *scores, size_t r, size_t at)
{
    const struct od_chart_row *row = &scores->rows[r];
    const size_t place = r * OD_REPORT_ENTRIES_MAX + at;
    const char *why = scores->reasons[place];
    const struct od_chart_score *score = &row->scores[at];
    od_buf_puts(out, "<tr>");
    if (at == 0) {
        od_buf_printf(out, "<th scope=\"rowgroup\" class=\"pin\" rowspan=\"%zu\">",
                      row->score_count);
        od_html_text(out, row->label);
        od_buf_puts(out, "</th>");
    }
    od_buf_printf(out, "<td class=\"key-%zu\" style=\"white-space:nowrap\">", 1 + at % 2);
    od_html_text(out, score->name);
    od_buf_puts(out, "</td><td class=\"num\">");
    if (isfinite(score->value)) {
        od_buf_printf(out, "%.4f</td><td class=\"num\">", score->value);
    } else {
        od_buf_puts(out, "–<small class=\"why\">");
        od_html_text(out, why ? why : "undefined");
        od_buf_puts(out, "</small></td><td class=\"num\">");
    }
    put_interval(out, score->low, score->high);
    if (scores->has_bootstraps) {
        od_buf_puts(out, "</td><td class=\"num\">");
        put_interval(out, scores->bootstraps[place].low, scores->bootstraps[place].high);
    }
    od_buf_puts(out, "</td><td class=\"num\">");
    if (score->items >= 0) {
        od_buf_printf(out, "%lld", (long long)score->items);
    } else {
        od_buf_puts(out, "–");
    }
    od_buf_puts(out, "</td></tr>\n");
}

static void put_table(struct od_buf *out, const struct scores *scores)
{
    od_buf_puts(out,
                "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Scores\">\n"
                "<table aria-label=\"Scores\">\n<thead><tr><th scope=\"col\" class=\"pin\">"
                "Metric</th><th scope=\"col\">Model</th><th scope=\"col\" class=\"num\">Score"
                "</th><th scope=\"col\" class=\"num\">95 % interval</th>");
    od_buf_puts(out, scores->has_bootstraps
                         ? "<th scope=\"col\" class=\"num\">Bootstrap over the items</th>"
                         : "");
    od_buf_puts(out, "<th scope=\"col\" class=\"num\">Items</th></tr></thead>\n<tbody>\n");
    for (size_t r = 0; r < scores->row_count; r++) {
        for (size_t s = 0; s < scores->rows[r].score_count; s++) {
            put_table_row(out, scores, r, s);
        }
    }
    od_buf_puts(out, "</tbody>\n</table>\n</div>\n");
}

enum od_status od_report_scores(struct od_buf *out, const json_t *board, struct od_error *err)
{
    struct scores scores = {0};
    const enum od_status status = read_scores(board, &scores, err);
    if (status != OD_OK) {
        return status;
    }
    if (scores.row_count == 0) {
        od_buf_puts(out, "<p>No scores.</p>\n");
    } else {
        od_buf_puts(out, "<figure class=\"chart\" style=\"max-width:40rem\">\n");
        od_chart_intervals(
            out, "scores", "Scores with their 95 % intervals",
            "For each metric a dot and a whisker per model; the numbers stand in the "
            "table below.",
            scores.rows, scores.row_count);
        od_buf_puts(out,
                    "<figcaption>Dot: score. Whisker: 95 % interval; where two whiskers do not "
                    "meet, the difference is hardly chance.</figcaption>\n</figure>\n");
        put_table(out, &scores);
    }
    release(&scores);
    return OD_OK;
}
