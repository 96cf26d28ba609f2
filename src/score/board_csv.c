// A table of metrics as CSV; a byte order mark in front and empty lines are skipped.
//
//     entry,MMLU - EM,MMLU - EM [low],MMLU - EM [high],MMLU - EM [items],GSM8K - EM
//     entry-01,0.5,0.45,0.55,400,
//     "entry, two",0.25,,,,null

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/interval.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "formats/csv.h"
#include "score/board.h"
#include "score/board_internal.h"

enum { COLUMNS_MAX = 8 * OD_BOARD_METRICS_MAX, NUMBER_MAX_BYTES = 128 };
#define ITEMS_MAX 1e15  // a double holds each of them

/** What a column says of its metric. */
enum detail { VALUE, LOW, HIGH, BOOTSTRAP_LOW, BOOTSTRAP_HIGH, ITEMS, DETAILS };

static const char *const behind[DETAILS] = {
    "", " [low]", " [high]", " [bootstrap low]", " [bootstrap high]", " [items]"};

/** The columns of a metric; 0 (the entry's): it has none. */
struct columns {
    size_t at[DETAILS];
};

// Which detail of the metric the column is; VALUE when it is none.
static enum detail detail_of(const char *column, const char *metric)
{
    const size_t size = strlen(metric);
    if (strncmp(column, metric, size) != 0) {
        return VALUE;
    }
    for (int d = LOW; d < DETAILS; d++) {
        if (strcmp(column + size, behind[d]) == 0) {
            return (enum detail)d;
        }
    }
    return VALUE;
}

// The columns of the board's metrics, which the header names.
static enum od_status read_header(const struct od_csv_row *row, const char *name,
                                  struct od_board *board, struct columns *columns,
                                  struct od_error *err)
{
    size_t results = 0;
    if (row->count > COLUMNS_MAX) {
        return od_fail(err, OD_E_LIMIT, "%s:%zu: more than %d columns", name, row->line,
                       COLUMNS_MAX);
    }
    for (size_t i = 1; i < row->count; i++) {
        const char *column = row->fields[i].text;
        const size_t metric = board->metric_count - 1;  // the last one
        const enum detail detail =
            board->metric_count > 0 ? detail_of(column, board->metrics[metric].name) : VALUE;
        if (detail != VALUE && columns[metric].at[detail] == 0) {
            columns[metric].at[detail] = i;
            continue;
        }
        if (od_board_is_result(column)) {
            results++;
            continue;
        }
        const enum od_status status = od_board_add_metric(board, column, err);
        if (status != OD_OK) {
            od_error_prefix(err, "%s:%zu", name, row->line);
            return status;
        }
        columns[board->metric_count - 1].at[VALUE] = i;
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

/** A row that is read. */
struct reading {
    const char *name;  ///< of the file
    const struct od_csv_row *row;
    const char *entry;
};

// A number, or nothing (empty or null): then NaN.
static enum od_status read_number(const struct reading *reading, size_t field, double *ret,
                                  const char *metric, struct od_error *err)
{
    const char *text = reading->row->fields[field].text;
    size_t size = reading->row->fields[field].size;
    char number[NUMBER_MAX_BYTES + 1] = "";
    double value = 0.0;
    od_strip(&text, &size);
    if (size == 0 || (size == 4 && memcmp(text, "null", 4) == 0)) {
        *ret = (double)NAN;
        return OD_OK;
    }
    if (size <= NUMBER_MAX_BYTES) {
        memcpy(number, text, size);
        number[size] = '\0';
    }
    if (!od_parse_double(number, &value) || !isfinite(value)) {
        return od_fail(err, OD_E_FORMAT,
                       "%s:%zu: entry '%s', metric '%s': '%.*s' is no finite number", reading->name,
                       reading->row->line, reading->entry, metric, size < 40 ? (int)size : 40,
                       text);
    }
    *ret = value;
    return OD_OK;
}

// Both ends or none.
static enum od_status take_interval(const struct reading *reading, const char *metric, double low,
                                    double high, bool *ret_has, struct od_interval *ret,
                                    struct od_error *err)
{
    *ret_has = !isnan(low) && low <= high;
    if (*ret_has) {
        *ret = (struct od_interval){.low = low, .high = high};
    }
    if (*ret_has || (isnan(low) && isnan(high))) {
        return OD_OK;
    }
    return od_fail(err, OD_E_FORMAT,
                   "%s:%zu: entry '%s', metric '%s': an interval needs [low] and [high], the lower "
                   "one first",
                   reading->name, reading->row->line, reading->entry, metric);
}

static enum od_status read_cell(const struct reading *reading, const struct columns *columns,
                                const char *metric, struct od_score_cell *cell,
                                struct od_error *err)
{
    double numbers[DETAILS];
    enum od_status status = OD_OK;
    for (int d = VALUE; d < DETAILS && status == OD_OK; d++) {
        numbers[d] = (double)NAN;
        if (columns->at[d] > 0) {
            status = read_number(reading, columns->at[d], &numbers[d], metric, err);
        }
    }
    if (status != OD_OK) {
        return status;
    }
    if (isnan(numbers[VALUE])) {
        cell->why = od_board_null_reason();
        return OD_OK;
    }
    *cell = (struct od_score_cell){.defined = true, .value = numbers[VALUE], .items = -1};
    if (numbers[ITEMS] >= 0.0 && numbers[ITEMS] <= ITEMS_MAX) {
        cell->items = (int64_t)numbers[ITEMS];
    }
    status = take_interval(reading, metric, numbers[LOW], numbers[HIGH], &cell->has_interval,
                           &cell->interval, err);
    if (status == OD_OK) {
        status = take_interval(reading, metric, numbers[BOOTSTRAP_LOW], numbers[BOOTSTRAP_HIGH],
                               &cell->has_bootstrap, &cell->bootstrap, err);
    }
    return status;
}

static enum od_status put_values(const struct od_csv *csv, size_t head, const char *name,
                                 struct od_board *board, const struct columns *columns,
                                 struct od_error *err)
{
    size_t entry = 0;
    for (size_t r = head + 1; r < csv->count; r++) {
        const struct od_csv_row *row = &csv->rows[r];
        if (row->count == 0) {
            continue;
        }
        const struct reading reading = {name, row, board->entries[entry]};
        for (size_t m = 0; m < board->metric_count; m++) {
            const enum od_status status = read_cell(&reading, &columns[m], board->metrics[m].name,
                                                    od_board_cell(board, entry, m), err);
            if (status != OD_OK) {
                return status;
            }
        }
        entry++;
    }
    return OD_OK;
}

enum od_status od_board_parse_csv(const char *text, size_t size, const char *name,
                                  struct od_board *board, struct od_error *err)
{
    const size_t mark = size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    struct od_csv csv = {0};
    size_t head = 0;
    struct columns *columns = NULL;
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
    columns = od_alloc(OD_BOARD_METRICS_MAX, sizeof *columns);
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
