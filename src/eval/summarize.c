// groups/core_scenarios.json and groups/targeted_evaluations.json are lists of tables:
//
//     [{"title": "Accuracy", "header": [cell...], "rows": [[cell...]], "links": [], "name": "accuracy"}]
//
// A cell: value, description, style, markdown; a cell of the header also lower_is_better and
// metadata. What is null is left out. A row per model.
//
// summary_oneday.json: {"metrics": [{metric, value, items, runs, low, high, bootstrap: {low, high} or
// {undefined}} or {metric, items, runs, undefined}], "replies": [{group, runs, answers, readable, ...}],
// "runs": [...], "not_run": [{description, reason}], "failed": [{run, reason}], "left_out": [...]}.
//
// Source: HELM 2023-11, summarize.
#include "eval/summarize.h"

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/interval.h"
#include "base/memory.h"
#include "base/status.h"
#include "eval/items.h"
#include "eval/metrics/form.h"
#include "eval/metrics/stat.h"
#include "eval/run_spec.h"
#include "eval/schema.h"
#include "eval/suite_runs.h"
#include "formats/json.h"

enum { TABLE_MAX_BYTES = 64 << 20, MODELS_MAX = 256, COLUMNS_MAX = 256, LINES_MAX = 256 };

// Models of the runs, in order of first appearance.
struct models {
    const char *names[MODELS_MAX];
    size_t count;
};

static void find_models(const struct od_suite_runs *runs, struct models *out)
{
    for (size_t i = 0; i < runs->count; i++) {
        size_t at = 0;
        while (at < out->count && strcmp(out->names[at], runs->items[i].model) != 0) {
            at++;
        }
        if (at == out->count && out->count < MODELS_MAX) {
            out->names[out->count++] = runs->items[i].model;
        }
    }
}

static const char *display_name(const char *model)
{
    return strcmp(model, OD_RUN_MODEL_DEFAULT) == 0 ? "Local service" : model;
}

// A column of a table.
struct column {
    const struct od_schema_group *group;
    const struct od_schema_metric *metric;
    const char *name;  // of the statistic
    char header[96];
};

static void set_header(struct column *column)
{
    const char *short_name = column->metric->name ? column->metric->short_name
                                                  : od_schema_short_name(column->group->main_name);
    const char *perturbation = column->metric->perturbation;
    const char *behind = "";
    if (perturbation) {
        behind = strcmp(perturbation, "robustness") == 0 ? " (Robustness)" : " (Fairness)";
    }
    (void)snprintf(column->header, sizeof column->header, "%s - %s%s", column->group->short_name,
                   short_name, behind);
}

static size_t find_columns(const struct od_schema_table *table, bool core, struct column *columns)
{
    size_t count = 0;
    for (size_t g = 0; g < od_schema_group_count; g++) {
        const struct od_schema_group *group = &od_schema_groups[g];
        if (!(core ? group->in_core : group->in_targeted) ||
            (group->metric_groups & (unsigned)table->bit) == 0) {
            continue;
        }
        for (size_t m = 0; m < table->metric_count && count < COLUMNS_MAX; m++) {
            struct column *column = &columns[count++];
            column->group = group;
            column->metric = &table->metrics[m];
            column->name = column->metric->name ? column->metric->name : group->main_name;
            set_header(column);
        }
    }
    return count;
}

// A table with its values, for win rates and for what is bold.
struct grid {
    struct column columns[COLUMNS_MAX];
    size_t column_count;
    struct od_cell cells[MODELS_MAX][COLUMNS_MAX];
};

static bool has_value(const struct od_cell *cell)
{
    return cell->stat.count > 0;
}

// HELM's mean win rate of a row; false when no column compares models.
static bool win_rate(const struct grid *grid, size_t rows, size_t row, double *ret)
{
    double sum = 0.0;
    size_t compared = 0;
    for (size_t c = 0; c < grid->column_count; c++) {
        const enum od_direction direction = grid->columns[c].metric->direction;
        size_t others = 0;
        size_t below = 0;
        const double own = grid->cells[row][c].stat.mean;
        if (direction == OD_NO_DIRECTION || !has_value(&grid->cells[row][c])) {
            continue;
        }
        for (size_t r = 0; r < rows; r++) {
            const double value = grid->cells[r][c].stat.mean;
            if (r == row || !has_value(&grid->cells[r][c])) {
                continue;
            }
            const bool tie = !(value < own) && !(value > own);
            others++;
            if (direction == OD_HIGHER_IS_BETTER) {
                below += value < own || (tie && r < row);
            } else {
                below += value > own || (tie && r > row);
            }
        }
        if (others > 0) {
            sum += (double)below / (double)others;
            compared++;
        }
    }
    *ret = compared > 0 ? sum / (double)compared : 0.0;
    return compared > 0;
}

static bool is_best(const struct grid *grid, size_t rows, size_t row, size_t column)
{
    const enum od_direction direction = grid->columns[column].metric->direction;
    const double own = grid->cells[row][column].stat.mean;
    if (direction == OD_NO_DIRECTION) {
        return false;
    }
    for (size_t r = 0; r < rows; r++) {
        const double value = grid->cells[r][column].stat.mean;
        if (has_value(&grid->cells[r][column]) &&
            (direction == OD_HIGHER_IS_BETTER ? value > own : value < own)) {
            return false;
        }
    }
    return true;
}

static void put_plain_header(struct od_json_writer *w, const char *text)
{
    od_json_object_begin(w);
    od_json_member_text(w, "value", text);
    od_json_member_bool(w, "markdown", false);
    od_json_object_end(w);
}

static void put_header(struct od_json_writer *w, const struct column *column)
{
    const struct od_schema_metric *metric = column->metric;
    od_json_object_begin(w);
    od_json_member_text(w, "value", column->header);
    od_json_member_bool(w, "markdown", false);
    if (metric->direction != OD_NO_DIRECTION) {
        od_json_member_bool(w, "lower_is_better", metric->direction == OD_LOWER_IS_BETTER);
    }
    od_json_key(w, "metadata");
    od_json_object_begin(w);
    od_json_member_text(w, "metric",
                        metric->name ? metric->short_name
                                     : od_schema_short_name(column->group->main_name));
    od_json_member_text(w, "run_group", column->group->short_name);
    if (metric->perturbation) {
        od_json_member_text(w, "perturbation",
                            strcmp(metric->perturbation, "robustness") == 0 ? "Robustness"
                                                                            : "Fairness");
    }
    od_json_object_end(w);
    od_json_object_end(w);
}

// Why a cell has no value, or HELM's words for the value.
static void cell_words(const struct od_cell *cell, struct od_buf *out)
{
    if (cell->matching_runs == 0) {
        od_buf_puts(out, "No matching runs");
    } else if (cell->with_stat == 0) {
        od_buf_printf(out, "%zu matching runs, but no matching metrics", cell->matching_runs);
    } else {
        od_stat_words(&cell->stat, out);
    }
}

static void put_cell(struct od_json_writer *w, const struct od_cell *cell, bool bold)
{
    struct od_buf words;
    od_buf_init(&words, 1024);
    cell_words(cell, &words);
    od_json_object_begin(w);
    if (has_value(cell)) {
        od_json_member_number(w, "value", cell->stat.mean);
    }
    od_json_member_text(w, "description", od_buf_text(&words));
    if (has_value(cell) && bold) {
        od_json_key(w, "style");
        od_json_object_begin(w);
        od_json_member_text(w, "font-weight", "bold");
        od_json_object_end(w);
    }
    od_json_member_bool(w, "markdown", false);
    od_json_object_end(w);
    od_buf_release(&words);
}

static void put_row(struct od_json_writer *w, const struct grid *grid, const struct models *models,
                    size_t row)
{
    double rate = 0.0;
    od_json_array_begin(w);
    od_json_object_begin(w);
    od_json_member_text(w, "value", display_name(models->names[row]));
    od_json_member_text(w, "description", "");
    od_json_member_bool(w, "markdown", false);
    od_json_object_end(w);
    od_json_object_begin(w);
    if (win_rate(grid, models->count, row, &rate)) {
        od_json_member_number(w, "value", rate);
    }
    od_json_member_bool(w, "markdown", false);
    od_json_object_end(w);
    for (size_t c = 0; c < grid->column_count; c++) {
        put_cell(w, &grid->cells[row][c], is_best(grid, models->count, row, c));
    }
    od_json_array_end(w);
}

static void put_table(struct od_json_writer *w, const struct od_schema_table *table, bool core,
                      const struct od_suite_runs *runs, const struct models *models,
                      struct grid *grid)
{
    grid->column_count = find_columns(table, core, grid->columns);
    if (grid->column_count == 0) {
        return;
    }
    for (size_t r = 0; r < models->count; r++) {
        for (size_t c = 0; c < grid->column_count; c++) {
            const struct column *column = &grid->columns[c];
            grid->cells[r][c] = od_suite_cell(runs, models->names[r], column->group, column->name,
                                              column->metric->perturbation);
        }
    }
    od_json_object_begin(w);
    od_json_member_text(w, "title", table->title);
    od_json_key(w, "header");
    od_json_array_begin(w);
    put_plain_header(w, "Model/adapter");
    put_plain_header(w, "Mean win rate");
    for (size_t c = 0; c < grid->column_count; c++) {
        put_header(w, &grid->columns[c]);
    }
    od_json_array_end(w);
    od_json_key(w, "rows");
    od_json_array_begin(w);
    for (size_t r = 0; r < models->count; r++) {
        put_row(w, grid, models, r);
    }
    od_json_array_end(w);
    od_json_key(w, "links");
    od_json_array_begin(w);
    od_json_array_end(w);
    od_json_member_text(w, "name", table->name);
    od_json_object_end(w);
}

static enum od_status write_file(const char *folder, const char *name, const struct od_buf *buf,
                                 struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    enum od_status status = od_buf_check(buf, err);
    if (status == OD_OK) {
        status = od_path_join(path, folder, name, err);
    }
    return status == OD_OK ? od_file_write(path, buf->bytes, buf->size, err) : status;
}

static enum od_status write_groups(const char *folder, const struct od_suite_runs *runs,
                                   const struct models *models, struct od_error *err)
{
    struct grid *grid = od_alloc(1, sizeof *grid);
    struct od_json_writer w;
    struct od_buf buf;
    char groups[OD_PATH_MAX_BYTES];
    enum od_status status = OD_OK;

    od_buf_init(&buf, TABLE_MAX_BYTES);
    if (!grid) {
        return od_fail(err, OD_E_MEMORY, "no memory for tables");
    }
    status = od_path_join(groups, folder, "groups", err);
    if (status == OD_OK) {
        status = od_dir_make(groups, err);
    }
    for (int core = 1; core >= 0 && status == OD_OK; core--) {
        const size_t tables = core ? od_schema_core_count : od_schema_targeted_count;
        od_buf_reset(&buf);
        od_json_writer_init(&w, &buf, OD_JSON_INDENT_2, true);
        od_json_array_begin(&w);
        for (size_t i = 0; i < tables; i++) {
            put_table(&w,
                      core ? &od_schema_core[i] : od_schema_table_of(od_schema_targeted_order[i]),
                      core != 0, runs, models, grid);
        }
        od_json_array_end(&w);
        status = write_file(groups, core ? "core_scenarios.json" : "targeted_evaluations.json",
                            &buf, err);
    }
    od_buf_release(&buf);
    od_free(grid);
    return status;
}

static void set_line(struct od_score_line *line, const struct od_cell *cell, bool dropped)
{
    struct od_buf words;
    line->runs = cell->stat.count;
    line->items = cell->items;
    if (has_value(cell) && cell->items > 0) {
        const double runs = (double)cell->stat.count;
        struct od_interval interval = {0};
        line->is_defined =
            od_interval_share_of(cell->stat.mean, runs * runs / cell->inverse_items, &interval);
        line->value = cell->stat.mean;
        line->has_interval = line->is_defined;
        line->low = interval.low;
        line->high = interval.high;
        if (!line->is_defined) {
            (void)snprintf(line->reason, sizeof line->reason, "the mean is no share of 0 to 1");
        }
        return;
    }
    if (dropped) {
        (void)snprintf(line->reason, sizeof line->reason,
                       "the runs were made without the data augmentation that it needs");
        return;
    }
    od_buf_init(&words, sizeof line->reason - 1);
    cell_words(cell, &words);
    (void)snprintf(line->reason, sizeof line->reason, "%s", od_buf_text(&words));
    od_buf_release(&words);
}

// How long answers took, under HELM's name for it. HELM's table of efficiency has a time without the
// noise of a shared machine instead, which is known of a few hosted models only.
static void add_time_line(const struct od_suite_runs *runs, const char *model,
                          const struct od_schema_group *group, struct od_summary *summary)
{
    const struct od_cell cell = od_suite_cell(runs, model, group, "inference_runtime", NULL);
    if ((group->metric_groups & OD_GROUP_EFFICIENCY) == 0 || cell.matching_runs == 0 ||
        summary->count == LINES_MAX) {
        return;
    }
    struct od_score_line *line = &summary->lines[summary->count++];
    (void)snprintf(line->metric, sizeof line->metric, "%s - Observed inference time (s)",
                   group->short_name);
    line->runs = cell.stat.count;
    line->items = cell.items;
    line->is_defined = has_value(&cell) && cell.items > 0 && cell.stat.mean > 0.0;
    line->value = cell.stat.mean;
    if (!line->is_defined) {
        (void)snprintf(line->reason, sizeof line->reason, "%s",
                       cell.items > 0 ? "the server says of every answer that it took no time"
                                      : "no evaluated item of the split that counts");
    }
}

// The bias of answers, where runs have it: HELM's tables show it of summaries only.
static void add_bias_lines(const struct od_suite_runs *runs, const char *model,
                           const struct od_schema_group *group, struct od_summary *summary)
{
    const struct od_schema_table *table = od_schema_table_of(OD_GROUP_BIAS);
    for (size_t i = 0; i < table->metric_count; i++) {
        const struct od_schema_metric *metric = &table->metrics[i];
        const struct od_cell cell = od_suite_cell(runs, model, group, metric->name, NULL);
        if ((group->metric_groups & OD_GROUP_BIAS) != 0 || cell.with_stat == 0 ||
            summary->count == LINES_MAX) {
            continue;
        }
        struct od_score_line *line = &summary->lines[summary->count++];
        (void)snprintf(line->metric, sizeof line->metric, "%s - %s", group->short_name,
                       metric->short_name);
        line->runs = cell.stat.count;
        line->items = cell.items;
        line->is_defined = has_value(&cell) && cell.items > 0;
        line->value = cell.stat.mean;
        if (!line->is_defined) {
            (void)snprintf(line->reason, sizeof line->reason,
                           "no answer has a word of the lists that are compared");
        }
    }
}

// A score, with its intervals.
static enum od_status add_line(struct od_items *items, const char *model, const char *title,
                               const struct od_schema_group *group, const char *name,
                               const char *perturbation, struct od_summary *summary,
                               struct od_error *err)
{
    enum od_item_case which = OD_ITEM_PLAIN;
    const struct od_cell cell = od_suite_cell(items->runs, model, group, name, perturbation);
    struct od_score_line *line = &summary->lines[summary->count++];
    (void)snprintf(line->metric, sizeof line->metric, "%s", title);
    set_line(line, &cell, perturbation && cell.with_stat == 0);
    if (perturbation) {
        which = strcmp(perturbation, "robustness") == 0 ? OD_ITEM_ROBUSTNESS : OD_ITEM_FAIRNESS;
    }
    return line->is_defined
               ? od_items_interval(items, model, group, name, which, &cell, &line->bootstrap, err)
               : OD_OK;
}

// Scores of one group: the main metric, and its worst cases where HELM shows them.
static enum od_status add_lines(struct od_items *items, const char *model,
                                const struct od_schema_group *group, struct od_summary *summary,
                                struct od_error *err)
{
    static const unsigned bits[] = {OD_GROUP_ACCURACY, OD_GROUP_ROBUSTNESS, OD_GROUP_FAIRNESS};
    enum od_status status = OD_OK;
    if (od_suite_cell(items->runs, model, group, group->main_name, NULL).matching_runs == 0) {
        return OD_OK;
    }
    for (size_t i = 0; i < sizeof bits / sizeof *bits && status == OD_OK; i++) {
        const struct od_schema_table *table = od_schema_table_of(bits[i]);
        struct column column = {.group = group, .metric = &table->metrics[0]};
        if ((group->metric_groups & bits[i]) != 0 && summary->count < LINES_MAX) {
            set_header(&column);
            status = add_line(items, model, column.header, group, group->main_name,
                              column.metric->perturbation, summary, err);
        }
    }
    if (status == OD_OK && strcmp(group->name, "gsm") == 0 && summary->count < LINES_MAX) {
        char title[96];
        (void)snprintf(title, sizeof title, "%s - final number", group->short_name);
        status =
            add_line(items, model, title, group, "final_number_exact_match", NULL, summary, err);
    }
    return status;
}

static void put_bootstrap(struct od_json_writer *w, const struct od_item_interval *interval)
{
    od_json_key(w, "bootstrap");
    od_json_object_begin(w);
    if (interval->is_defined) {
        od_json_member_number(w, "low", interval->low);
        od_json_member_number(w, "high", interval->high);
    } else {
        od_json_member_text(w, "undefined", interval->reason);
    }
    od_json_object_end(w);
}

static void put_line(struct od_json_writer *w, const struct od_score_line *line)
{
    od_json_object_begin(w);
    od_json_member_text(w, "metric", line->metric);
    if (line->is_defined) {
        od_json_member_number(w, "value", line->value);
    } else {
        od_json_member_text(w, "undefined", line->reason);
    }
    od_json_member_int(w, "items", line->items);
    od_json_member_int(w, "runs", line->runs);
    if (line->has_interval) {
        od_json_member_number(w, "low", line->low);
        od_json_member_number(w, "high", line->high);
        put_bootstrap(w, &line->bootstrap);
    }
    od_json_object_end(w);
}

static void put_run(struct od_json_writer *w, const struct od_suite_run *run,
                    const struct od_schema_group *group)
{
    double value = 0.0;
    double items = 0.0;
    struct od_interval interval = {0};
    const bool has_items = od_suite_run_mean(run, "num_instances", group->main_split, &items);
    od_json_object_begin(w);
    od_json_member_text(w, "run", run->name);
    od_json_member_text(w, "group", group->name);
    od_json_member_text(w, "metric", group->main_name);
    od_json_member_text(w, "split", group->main_split);
    od_json_member_int(w, "items", has_items ? (int64_t)items : 0);
    if (has_items && items > 0.0 &&
        od_suite_run_mean(run, group->main_name, group->main_split, &value) &&
        od_interval_share_of(value, items, &interval)) {
        od_json_member_number(w, "value", value);
        od_json_member_number(w, "low", interval.low);
        od_json_member_number(w, "high", interval.high);
    } else {
        char reason[96];
        (void)snprintf(reason, sizeof reason, "no evaluated item is of the split '%s'",
                       group->main_split);
        od_json_member_text(w, "undefined", reason);
    }
    od_json_object_end(w);
}

// What the answers of a group's runs look like, where replies_oneday.json says it.
static void put_replies(struct od_json_writer *w, const struct od_suite_runs *runs,
                        const struct od_schema_group *group)
{
    static const char *const ends[] = {"answers", "cut_by_length"};
    int64_t sums[OD_FORMS + 2] = {0};
    int64_t count = 0;
    for (size_t i = 0; i < runs->count; i++) {
        const json_t *replies = runs->items[i].replies;
        if (!replies || !od_suite_run_has_group(&runs->items[i], group->name)) {
            continue;
        }
        count++;
        for (int k = 0; k < OD_FORMS; k++) {
            sums[k] += json_integer_value(json_object_get(replies, od_form_name((enum od_form)k)));
        }
        for (int k = 0; k < 2; k++) {
            sums[OD_FORMS + k] += json_integer_value(json_object_get(replies, ends[k]));
        }
    }
    if (count == 0) {
        return;
    }
    od_json_object_begin(w);
    od_json_member_text(w, "group", group->name);
    od_json_member_int(w, "runs", count);
    od_json_member_int(w, "answers", sums[OD_FORMS]);
    for (int k = 0; k < OD_FORMS; k++) {
        od_json_member_int(w, od_form_name((enum od_form)k), sums[k]);
    }
    od_json_member_int(w, "cut_by_length", sums[OD_FORMS + 1]);
    od_json_object_end(w);
}

static void put_missing(struct od_json_writer *w, const char *key, const char *what,
                        const struct od_missing_run *items, size_t count)
{
    od_json_key(w, key);
    od_json_array_begin(w);
    for (size_t i = 0; i < count; i++) {
        od_json_object_begin(w);
        od_json_member_text(w, what, items[i].what);
        od_json_member_text(w, "reason", items[i].reason);
        od_json_object_end(w);
    }
    od_json_array_end(w);
}

static void put_left_out(struct od_json_writer *w)
{
    static const char *const left_out[] = {
        "toxicity of GSM8K",
        "calibration after Platt scaling (platt_coef, platt_intercept, platt_ece_10_bin, "
        "platt_ece_1_bin)"};
    od_json_key(w, "left_out");
    od_json_array_begin(w);
    for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++) {
        od_json_put_text(w, left_out[i]);
    }
    od_json_array_end(w);
}

static enum od_status write_summary(const char *folder, const struct od_suite_runs *runs,
                                    const struct od_missing_runs *missing,
                                    const struct od_summary *summary, struct od_error *err)
{
    struct od_json_writer w;
    struct od_buf buf;
    od_buf_init(&buf, TABLE_MAX_BYTES);
    od_json_writer_init(&w, &buf, OD_JSON_INDENT_2, true);
    od_json_object_begin(&w);
    od_json_member_text(&w, "interval", "Wilson, 95 %");
    od_json_member_text(&w, "bootstrap",
                        "BCa, 95 %, the same items of several runs drawn together");
    od_json_key(&w, "metrics");
    od_json_array_begin(&w);
    for (size_t i = 0; i < summary->count; i++) {
        put_line(&w, &summary->lines[i]);
    }
    od_json_array_end(&w);
    od_json_key(&w, "replies");
    od_json_array_begin(&w);
    for (size_t g = 0; g < od_schema_group_count; g++) {
        put_replies(&w, runs, &od_schema_groups[g]);
    }
    od_json_array_end(&w);
    od_json_key(&w, "runs");
    od_json_array_begin(&w);
    for (size_t i = 0; i < runs->count; i++) {
        for (size_t g = 0; g < od_schema_group_count; g++) {
            if (od_suite_run_has_group(&runs->items[i], od_schema_groups[g].name)) {
                put_run(&w, &runs->items[i], &od_schema_groups[g]);
            }
        }
    }
    od_json_array_end(&w);
    put_missing(&w, "not_run", "description", missing->not_run, missing->not_run_count);
    put_missing(&w, "failed", "run", missing->failed, missing->failed_count);
    put_left_out(&w);
    od_json_object_end(&w);
    const enum od_status status = write_file(folder, "summary_oneday.json", &buf, err);
    od_buf_release(&buf);
    return status;
}

void od_summary_release(struct od_summary *summary)
{
    od_free(summary->lines);
    *summary = (struct od_summary){0};
}

// The scores of every model and group.
static enum od_status add_all_lines(const char *suite_folder, const struct od_suite_runs *runs,
                                    const struct models *models, struct od_summary *summary,
                                    struct od_error *err)
{
    struct od_items items = {0};
    enum od_status status = od_items_init(&items, suite_folder, runs, err);
    if (status != OD_OK) {
        return status;
    }
    for (size_t m = 0; m < models->count && status == OD_OK; m++) {
        for (size_t g = 0; g < od_schema_group_count && status == OD_OK; g++) {
            status = add_lines(&items, models->names[m], &od_schema_groups[g], summary, err);
        }
        for (size_t g = 0; g < od_schema_group_count && status == OD_OK; g++) {
            add_bias_lines(runs, models->names[m], &od_schema_groups[g], summary);
        }
        for (size_t g = 0; g < od_schema_group_count && status == OD_OK; g++) {
            add_time_line(runs, models->names[m], &od_schema_groups[g], summary);
        }
    }
    od_items_release(&items);
    return status;
}

enum od_status od_suite_summarize(const char *suite_folder, const struct od_missing_runs *missing,
                                  struct od_summary *ret, struct od_error *err)
{
    struct od_suite_runs runs = {0};
    struct models models = {0};
    struct od_summary summary = {0};
    enum od_status status = od_suite_runs_read(suite_folder, &runs, err);

    if (status != OD_OK) {
        return status;
    }
    find_models(&runs, &models);
    summary.lines = od_alloc(LINES_MAX, sizeof *summary.lines);
    if (!summary.lines) {
        status = od_fail(err, OD_E_MEMORY, "no memory for a summary");
    }
    if (status == OD_OK) {
        status = add_all_lines(suite_folder, &runs, &models, &summary, err);
    }
    if (status == OD_OK) {
        status = write_groups(suite_folder, &runs, &models, err);
    }
    if (status == OD_OK) {
        status = write_summary(suite_folder, &runs, missing, &summary, err);
    }
    od_suite_runs_release(&runs);
    if (status == OD_OK) {
        *ret = summary;
    } else {
        od_summary_release(&summary);
    }
    return status;
}
