// A table of metrics as CSV; a byte order mark in front and empty lines are skipped.
//
//     entry,MMLU - EM,GSM8K - EM
//     entry-01,0.5,
//     "entry, two",0.25,null

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "formats/csv.h"
#include "score/board.h"
#include "score/board_internal.h"

enum { COLUMNS_MAX = 2 * OD_BOARD_METRICS_MAX, NUMBER_MAX_BYTES = 128 };

// Metrics of the header; columns[i] is the metric of field i, or SIZE_MAX.
static enum od_status read_header(const struct od_csv_row *row, const char *name,
                                  struct od_board *board, size_t *columns, struct od_error *err)
{
    size_t results = 0;
    if (row->count > COLUMNS_MAX) {
        return od_fail(err, OD_E_LIMIT, "%s:%zu: more than %d columns", name, row->line,
                       COLUMNS_MAX);
    }
    for (size_t i = 1; i < row->count; i++) {
        columns[i] = SIZE_MAX;
        if (od_board_is_result(row->fields[i].text)) {
            results++;
            continue;
        }
        columns[i] = board->metric_count;
        const enum od_status status = od_board_add_metric(board, row->fields[i].text, err);
        if (status != OD_OK) {
            od_error_prefix(err, "%s:%zu", name, row->line);
            return status;
        }
    }
    return results == 0 ? OD_OK : od_board_note_results(board, results, err);
}

static enum od_status add_entries(const struct od_csv *csv, size_t head, const char *name,
                                  struct od_board *board, struct od_error *err)
{
    const size_t count = csv->rows[head].count;
    for (size_t r = head + 1; r < csv->count; r++) {
        const struct od_csv_row *row = &csv->rows[r];
        if (row->count == 0) {
            continue;
        }
        if (row->count != count) {
            return od_fail(err, OD_E_FORMAT, "%s:%zu: %zu fields under a header of %zu", name,
                           row->line, row->count, count);
        }
        const enum od_status status = od_board_add_entry(board, row->fields[0].text, err);
        if (status != OD_OK) {
            od_error_prefix(err, "%s:%zu", name, row->line);
            return status;
        }
    }
    return OD_OK;
}

static enum od_status put_value(const struct od_csv_row *row, size_t field, const char *name,
                                struct od_board *board, size_t entry, size_t metric,
                                struct od_error *err)
{
    const char *text = row->fields[field].text;
    size_t size = row->fields[field].size;
    char number[NUMBER_MAX_BYTES + 1] = "";
    double value = 0.0;
    struct od_score_cell *cell = od_board_cell(board, entry, metric);
    od_strip(&text, &size);
    if (size == 0 || (size == 4 && memcmp(text, "null", 4) == 0)) {
        cell->why = od_board_null_reason();
        return OD_OK;
    }
    if (size <= NUMBER_MAX_BYTES) {
        memcpy(number, text, size);
        number[size] = '\0';
    }
    if (!od_parse_double(number, &value) || !isfinite(value)) {
        return od_fail(err, OD_E_FORMAT,
                       "%s:%zu: entry '%s', metric '%s': '%.*s' is no finite number", name,
                       row->line, board->entries[entry], board->metrics[metric].name,
                       size < 40 ? (int)size : 40, text);
    }
    *cell = (struct od_score_cell){.defined = true, .value = value, .items = -1};
    return OD_OK;
}

static enum od_status put_values(const struct od_csv *csv, size_t head, const char *name,
                                 struct od_board *board, const size_t *columns,
                                 struct od_error *err)
{
    size_t entry = 0;
    for (size_t r = head + 1; r < csv->count; r++) {
        const struct od_csv_row *row = &csv->rows[r];
        for (size_t i = 1; i < row->count; i++) {
            if (columns[i] == SIZE_MAX) {
                continue;
            }
            const enum od_status status = put_value(row, i, name, board, entry, columns[i], err);
            if (status != OD_OK) {
                return status;
            }
        }
        entry += row->count > 0 ? 1 : 0;
    }
    return OD_OK;
}

enum od_status od_board_parse_csv(const char *text, size_t size, const char *name,
                                  struct od_board *board, struct od_error *err)
{
    const size_t mark = size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    struct od_csv csv = {0};
    size_t head = 0;
    size_t *columns = NULL;
    enum od_status status = od_csv_parse(text + mark, size - mark, ',', name, &csv, err);
    if (status != OD_OK) {
        return status;
    }
    while (head < csv.count && csv.rows[head].count == 0) {
        head++;
    }
    if (head == csv.count) {
        status = od_fail(err, OD_E_FORMAT, "'%s' is empty: no table", name);
        goto done;
    }
    columns = od_alloc(COLUMNS_MAX, sizeof *columns);
    if (!columns) {
        status = od_fail(err, OD_E_MEMORY, "no memory to read '%s'", name);
        goto done;
    }
    status = read_header(&csv.rows[head], name, board, columns, err);
    if (status == OD_OK) {
        status = add_entries(&csv, head, name, board, err);
    }
    if (status != OD_OK) {
        goto done;
    }
    status = od_board_seal(board, "not in the table", err);
    if (status != OD_OK) {
        od_error_prefix(err, "'%s'", name);
        goto done;
    }
    status = put_values(&csv, head, name, board, columns, err);

done:
    od_free(columns);
    od_csv_release(&csv);
    return status;
}
