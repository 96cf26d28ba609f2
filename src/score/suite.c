// SUITE/groups/core_scenarios.json, SUITE/groups/targeted_evaluations.json: a list of tables
//
//     [{"title": "Accuracy",
//       "header": [{"value": "Model/adapter"}, {"value": "Mean win rate"},
//                  {"value": "MMLU - EM", "lower_is_better": false}, ...],
//       "rows": [[{"value": "neurips/local"}, {}, {"value": 0.5, "description": "..."}, ...], ...]},
//      ...]
//
// A column that stands in both files counts as the one in core_scenarios. Rows are models. A cell
// without value is undefined, its description says why.
//
// SUITE/summary_oneday.json (optional): item counts, 95 % intervals and reasons, by name of the column
//
//     {"metrics": [{"metric": "MMLU - EM", "value": 0.5, "items": 240, "low": 0.4, "high": 0.6},
//                  {"metric": "BBQ - EM", "undefined": "no item of the split 'test'", "items": 0}, ...]}
//
// A metric that only stands there ("GSM8K - final number") is shown, too; HELM's tables lack it.

#include "score/suite.h"

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/interval.h"
#include "base/memory.h"
#include "base/status.h"
#include "formats/json.h"
#include "score/board.h"

enum { FILES = 2, NAME_PARTS_MAX = 8 };

static const char *const file_names[FILES] = {"groups/core_scenarios.json",
                                              "groups/targeted_evaluations.json"};

/** One suite while it is read. */
struct suite {
    char folder[OD_PATH_MAX_BYTES];
    const char *path;  ///< as given
    json_t *files[FILES];
    json_t *summary;     ///< NULL when there is none
    size_t first_entry;  ///< its rows are entries from here on
    size_t row_count;
};

static bool is_suite(const char *folder)
{
    char path[OD_PATH_MAX_BYTES];
    return od_path_join(path, folder, file_names[0], NULL) == OD_OK && od_path_exists(path);
}

// The one suite in `folder`, which has suites as sub-folders; the name "latest" is a link to one.
static enum od_status find_below(const char *folder, char out[OD_PATH_MAX_BYTES],
                                 struct od_error *err)
{
    char **names = NULL;
    size_t count = 0;
    const char *first = NULL;
    char path[OD_PATH_MAX_BYTES];
    enum od_status status = od_dir_list(folder, &names, &count, err);
    for (size_t i = 0; i < count && status == OD_OK; i++) {
        status = od_path_join(path, folder, names[i], err);
        if (status != OD_OK || strcmp(names[i], "latest") == 0 || !is_suite(path)) {
            continue;
        }
        if (first) {
            status = od_fail(err, OD_E_ARGUMENT,
                             "'%s' has several suites ('%s', '%s'): name one, as in '%s/%s'",
                             folder, first, names[i], folder, first);
        }
        first = names[i];
    }
    if (status == OD_OK && !first) {
        status = od_fail(err, OD_E_NOT_FOUND, "no suite in '%s': no SUITE/%s there; evaluate first",
                         folder, file_names[0]);
    }
    if (status == OD_OK) {
        status = od_path_join(out, folder, first, err);
    }
    od_names_free(names, count);
    return status;
}

static enum od_status find_suite(const char *path, char out[OD_PATH_MAX_BYTES],
                                 struct od_error *err)
{
    static const char *const below[] = {"eval/runs", "runs"};
    char folder[OD_PATH_MAX_BYTES];
    if (!od_path_is_dir(path)) {
        return od_fail(err, OD_E_NOT_FOUND, "no folder '%s'", path);
    }
    if (is_suite(path)) {
        return od_path_join(out, path, ".", err);
    }
    for (size_t i = 0; i < sizeof below / sizeof below[0]; i++) {
        const enum od_status status = od_path_join(folder, path, below[i], err);
        if (status != OD_OK) {
            return status;
        }
        if (od_path_is_dir(folder)) {
            return find_below(folder, out, err);
        }
    }
    return od_fail(err, OD_E_NOT_FOUND,
                   "'%s' is no suite (no %s) and no run with suites in eval/runs", path,
                   file_names[0]);
}

static enum od_status check_table(const json_t *table, const char *path, struct od_error *err)
{
    const json_t *header = json_object_get(table, "header");
    const json_t *rows = json_object_get(table, "rows");
    size_t i = 0;
    json_t *item = NULL;
    if (!json_is_string(json_object_get(table, "title")) || !json_is_array(header) ||
        !json_is_array(rows)) {
        return od_fail(err, OD_E_FORMAT, "'%s': a table without title, header or rows", path);
    }
    json_array_foreach(header, i, item)
    {
        if (!json_is_string(json_object_get(item, "value"))) {
            return od_fail(err, OD_E_FORMAT, "'%s': table '%s': header cell %zu has no name", path,
                           json_string_value(json_object_get(table, "title")), i + 1);
        }
    }
    json_array_foreach(rows, i, item)
    {
        if (json_array_size(item) != json_array_size(header) || json_array_size(header) == 0) {
            return od_fail(err, OD_E_FORMAT,
                           "'%s': table '%s': row %zu has %zu cells under a header of %zu", path,
                           json_string_value(json_object_get(table, "title")), i + 1,
                           json_array_size(item), json_array_size(header));
        }
    }
    return OD_OK;
}

// Row r must be the same model in every table; a table with fewer rows lacks values.
static enum od_status read_tables(const char *path, json_t **ret, struct od_error *err)
{
    json_t *tables = NULL;
    size_t i = 0;
    json_t *table = NULL;
    enum od_status status = od_json_read(path, &tables, err);
    if (status != OD_OK) {
        return status;
    }
    if (!json_is_array(tables)) {
        status = od_fail(err, OD_E_FORMAT, "'%s' is no list of tables", path);
        goto done;
    }
    json_array_foreach(tables, i, table)
    {
        status = check_table(table, path, err);
        if (status != OD_OK) {
            goto done;
        }
    }
    *ret = tables;
    tables = NULL;

done:
    json_decref(tables);
    return status;
}

static enum od_status load(struct suite *suite, struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    enum od_status status = find_suite(suite->path, suite->folder, err);
    for (int f = 0; f < FILES && status == OD_OK; f++) {
        status = od_path_join(path, suite->folder, file_names[f], err);
        if (status == OD_OK && (f == 0 || od_path_exists(path))) {
            status = read_tables(path, &suite->files[f], err);
        }
    }
    if (status == OD_OK) {
        status = od_path_join(path, suite->folder, "summary_oneday.json", err);
    }
    if (status == OD_OK && od_path_exists(path)) {
        status = od_json_read(path, &suite->summary, err);
    }
    return status;
}

// The end of a path, `parts` components of it, without "." and trailing slashes.
static void end_of_path(const char *path, int parts, char out[OD_PATH_MAX_BYTES])
{
    size_t end = strlen(path);
    while (end > 1 && (path[end - 1] == '/' || (path[end - 1] == '.' && path[end - 2] == '/'))) {
        end--;
    }
    size_t start = end;
    while (start > 0 && (path[start - 1] != '/' || --parts > 0)) {
        start--;
    }
    (void)snprintf(out, OD_PATH_MAX_BYTES, "%.*s", (int)(end - start), path + start);
}

// How many components of the paths tell them apart.
static int parts_needed(const struct suite *suites, size_t count)
{
    char a[OD_PATH_MAX_BYTES];
    char b[OD_PATH_MAX_BYTES];
    for (int parts = 1; parts < NAME_PARTS_MAX; parts++) {
        bool apart = true;
        for (size_t i = 0; i < count && apart; i++) {
            end_of_path(suites[i].path, parts, a);
            for (size_t j = 0; j < i && apart; j++) {
                end_of_path(suites[j].path, parts, b);
                apart = strcmp(a, b) != 0;
            }
        }
        if (apart) {
            return parts;
        }
    }
    return INT32_MAX;
}

static enum od_status check_distinct(const struct suite *suites, size_t count, struct od_error *err)
{
    enum od_status status = OD_OK;
    for (size_t i = 0; i < count && status == OD_OK; i++) {
        char *a = realpath(suites[i].folder, NULL);
        for (size_t j = 0; a && j < i && status == OD_OK; j++) {
            char *b = realpath(suites[j].folder, NULL);
            if (b && strcmp(a, b) == 0) {
                status = od_fail(err, OD_E_ARGUMENT, "suite '%s' is given twice", suites[i].path);
            }
            free(b);
        }
        free(a);
    }
    return status;
}

static enum od_status add_entries(struct od_board *board, struct suite *suites, size_t count,
                                  struct od_error *err)
{
    const int parts = parts_needed(suites, count);
    char name[OD_PATH_MAX_BYTES];
    char full[OD_PATH_MAX_BYTES];
    for (size_t i = 0; i < count; i++) {
        const json_t *rows = json_object_get(json_array_get(suites[i].files[0], 0), "rows");
        suites[i].first_entry = board->entry_count;
        suites[i].row_count = json_array_size(rows);
        end_of_path(suites[i].path, parts, name);
        if (suites[i].row_count == 0) {
            return od_fail(err, OD_E_FORMAT, "suite '%s' has no results", suites[i].path);
        }
        for (size_t r = 0; r < suites[i].row_count; r++) {
            const char *model = json_string_value(
                json_object_get(json_array_get(json_array_get(rows, r), 0), "value"));
            (void)snprintf(full, sizeof full, "%s / %s", name, model ? model : "?");
            const enum od_status status =
                od_board_add_entry(board, suites[i].row_count > 1 ? full : name, err);
            if (status != OD_OK) {
                od_error_prefix(err, "suite '%s'", suites[i].path);
                return status;
            }
        }
    }
    return OD_OK;
}

static enum od_status add_column(struct od_board *board, const json_t *table, const json_t *header,
                                 bool targeted, struct od_error *err)
{
    const char *name = json_string_value(json_object_get(header, "value"));
    if (od_board_is_result(name) || od_board_find_metric(board, name, 0) != SIZE_MAX) {
        return OD_OK;
    }
    const enum od_status status = od_board_add_metric(board, name, err);
    if (status != OD_OK) {
        return status;
    }
    struct od_score_metric *metric = &board->metrics[board->metric_count - 1];
    const json_t *lower = json_object_get(header, "lower_is_better");
    metric->direction = json_is_true(lower)    ? OD_SCORE_LOWER
                        : json_is_false(lower) ? OD_SCORE_HIGHER
                                               : OD_SCORE_NONE;
    metric->targeted = targeted;
    metric->category = od_board_text(board, json_string_value(json_object_get(table, "title")));
    return metric->category ? OD_OK : od_fail(err, OD_E_MEMORY, "no memory for a metric");
}

static enum od_status add_metrics(struct od_board *board, const struct suite *suites, size_t count,
                                  struct od_error *err)
{
    for (int f = 0; f < FILES; f++) {
        for (size_t i = 0; i < count; i++) {
            size_t t = 0;
            json_t *table = NULL;
            json_array_foreach(suites[i].files[f], t, table)
            {
                const json_t *header = json_object_get(table, "header");
                for (size_t column = 1; column < json_array_size(header); column++) {
                    const enum od_status status =
                        add_column(board, table, json_array_get(header, column), f == 1, err);
                    if (status != OD_OK) {
                        od_error_prefix(err, "suite '%s'", suites[i].path);
                        return status;
                    }
                }
            }
        }
    }
    return OD_OK;
}

static enum od_status put_cell(struct od_board *board, struct od_score_cell *cell,
                               const json_t *item, struct od_error *err)
{
    const json_t *value = json_object_get(item, "value");
    if (!value || json_is_null(value)) {
        const char *why = json_string_value(json_object_get(item, "description"));
        if (why && why[0] != '\0') {
            cell->why = od_board_text(board, why);
            return cell->why ? OD_OK : od_fail(err, OD_E_MEMORY, "no memory for a reason");
        }
        return OD_OK;
    }
    if (!json_is_number(value)) {
        return od_fail(err, OD_E_FORMAT, "a value that is no number");
    }
    *cell = (struct od_score_cell){.defined = true, .value = json_number_value(value), .items = -1};
    return OD_OK;
}

static enum od_status put_table(struct od_board *board, const struct suite *suite,
                                const json_t *table, struct od_error *err)
{
    const json_t *header = json_object_get(table, "header");
    const json_t *rows = json_object_get(table, "rows");
    size_t hint = 0;
    for (size_t column = 1; column < json_array_size(header); column++) {
        const char *name =
            json_string_value(json_object_get(json_array_get(header, column), "value"));
        const size_t metric = od_board_find_metric(board, name, hint);
        if (metric == SIZE_MAX) {
            continue;
        }
        hint = metric + 1;
        for (size_t r = 0; r < suite->row_count && r < json_array_size(rows); r++) {
            struct od_score_cell *cell = od_board_cell(board, suite->first_entry + r, metric);
            if (cell->defined) {
                continue;  // core_scenarios, or an earlier table, has said it
            }
            const enum od_status status =
                put_cell(board, cell, json_array_get(json_array_get(rows, r), column), err);
            if (status != OD_OK) {
                od_error_prefix(err, "suite '%s': table '%s', column '%s'", suite->path,
                                json_string_value(json_object_get(table, "title")), name);
                return status;
            }
        }
    }
    return OD_OK;
}

// Metrics that only the summaries have. They count as better when higher, and not for HELM; times and
// biases count for formulas with such a category.
static enum od_status add_summary_metrics(struct od_board *board, const struct suite *suites,
                                          size_t count, struct od_error *err)
{
    for (size_t s = 0; s < count; s++) {
        size_t i = 0;
        json_t *item = NULL;
        json_array_foreach(json_object_get(suites[s].summary, "metrics"), i, item)
        {
            const char *name = NULL;
            enum od_status status = od_json_text(item, "metric", "summary_oneday.json", &name, err);
            if (status == OD_OK && od_board_find_metric(board, name, 0) == SIZE_MAX) {
                status = od_board_add_metric(board, name, err);
                if (status == OD_OK) {
                    struct od_score_metric *metric = &board->metrics[board->metric_count - 1];
                    metric->targeted = true;
                    metric->extra = strcmp(metric->category, "Efficiency") != 0 &&
                                    strcmp(metric->category, "Bias") != 0;
                }
            }
            if (status != OD_OK) {
                od_error_prefix(err, "suite '%s'", suites[s].path);
                return status;
            }
        }
    }
    return OD_OK;
}

// {"low": ..., "high": ...}, or {"undefined": "..."}: then there is no such interval.
static void put_bootstrap(const json_t *bootstrap, struct od_score_cell *cell)
{
    const json_t *low = json_object_get(bootstrap, "low");
    const json_t *high = json_object_get(bootstrap, "high");
    if (json_is_number(low) && json_is_number(high) &&
        json_number_value(low) <= json_number_value(high)) {
        cell->has_bootstrap = true;
        cell->bootstrap = (struct od_interval){json_number_value(low), json_number_value(high)};
    }
}

static enum od_status put_summary_cell(struct od_board *board, const json_t *item,
                                       struct od_score_cell *cell, struct od_error *err)
{
    static const char where[] = "summary_oneday.json";
    const char *undefined = NULL;
    int64_t items = -1;
    double numbers[3] = {(double)NAN, (double)NAN, (double)NAN};
    static const char *const keys[] = {"value", "low", "high"};
    enum od_status status = od_json_text_or(item, "undefined", where, NULL, &undefined, err);
    if (status == OD_OK) {
        status = od_json_int_or(item, "items", where, -1, &items, err);
    }
    for (size_t i = 0; i < 3 && status == OD_OK; i++) {
        status = od_json_number_or(item, keys[i], where, numbers[i], &numbers[i], err);
    }
    if (status != OD_OK) {
        return status;
    }
    const double value = numbers[0];
    const double low = numbers[1];
    const double high = numbers[2];
    cell->items = items < 0 ? -1 : items;
    if (!cell->defined && isfinite(value)) {
        *cell = (struct od_score_cell){.defined = true, .value = value, .items = cell->items};
    }
    if (!cell->defined && undefined) {
        cell->why = od_board_text(board, undefined);
        return cell->why ? OD_OK : od_fail(err, OD_E_MEMORY, "no memory for a reason");
    }
    if (cell->defined) {
        put_bootstrap(json_object_get(item, "bootstrap"), cell);
    }
    if (cell->defined && isfinite(low) && isfinite(high) && low <= high) {
        cell->has_interval = true;
        cell->interval = (struct od_interval){.low = low, .high = high};
    }
    return OD_OK;
}

static enum od_status put_summary(struct od_board *board, const struct suite *suite,
                                  struct od_error *err)
{
    size_t i = 0;
    json_t *item = NULL;
    json_array_foreach(json_object_get(suite->summary, "metrics"), i, item)
    {
        const char *name = json_string_value(json_object_get(item, "metric"));
        struct od_score_cell *cell =
            od_board_cell(board, suite->first_entry, od_board_find_metric(board, name, 0));
        const enum od_status status = put_summary_cell(board, item, cell, err);
        if (status != OD_OK) {
            od_error_prefix(err, "suite '%s': metric '%s'", suite->path, name);
            return status;
        }
    }
    return OD_OK;
}

static enum od_status fill(struct od_board *board, struct suite *suites, size_t count,
                           struct od_error *err)
{
    enum od_status status = check_distinct(suites, count, err);
    if (status == OD_OK) {
        status = add_entries(board, suites, count, err);
    }
    if (status == OD_OK) {
        status = add_metrics(board, suites, count, err);
    }
    if (status == OD_OK) {
        status = add_summary_metrics(board, suites, count, err);
    }
    if (status == OD_OK) {
        status = od_board_seal(board, "not evaluated", err);
    }
    for (size_t i = 0; i < count && status == OD_OK; i++) {
        for (int f = 0; f < FILES && status == OD_OK; f++) {
            for (size_t t = 0; t < json_array_size(suites[i].files[f]) && status == OD_OK; t++) {
                status = put_table(board, &suites[i], json_array_get(suites[i].files[f], t), err);
            }
        }
        if (status == OD_OK && suites[i].summary && suites[i].row_count == 1) {
            status = put_summary(board, &suites[i], err);
        }
    }
    return status;
}

enum od_status od_board_read_suites(const char *const *paths, size_t count, struct od_board *ret,
                                    struct od_error *err)
{
    struct od_board board = {0};
    struct suite *suites = NULL;
    enum od_status status = OD_OK;
    if (count == 0 || count > OD_SUITES_MAX) {
        return od_fail(err, OD_E_ARGUMENT, "%zu suites, there may be 1 to %d", count,
                       OD_SUITES_MAX);
    }
    status = od_board_init(&board, count == 1 ? paths[0] : "the suites", err);
    if (status != OD_OK) {
        return status;
    }
    suites = od_alloc(count, sizeof *suites);
    if (!suites) {
        status = od_fail(err, OD_E_MEMORY, "no memory for %zu suites", count);
        goto done;
    }
    for (size_t i = 0; i < count && status == OD_OK; i++) {
        suites[i].path = paths[i];
        status = load(&suites[i], err);
    }
    if (status == OD_OK) {
        status = fill(&board, suites, count, err);
    }
    if (status == OD_OK) {
        *ret = board;
        od_arena_init(&board.arena, 0);  // ownership moved to *ret
    }

done:
    for (size_t i = 0; suites && i < count; i++) {
        json_decref(suites[i].files[0]);
        json_decref(suites[i].files[1]);
        json_decref(suites[i].summary);
    }
    od_free(suites);
    od_board_release(&board);
    return status;
}
