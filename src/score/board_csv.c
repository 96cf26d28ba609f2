// CSV as in RFC 4180: fields separated by commas, rows by LF or CRLF, a field may stand in quotes, a
// quote in it is doubled. A byte order mark in front and empty lines are skipped.
//
//     entry,MMLU - EM,GSM8K - EM
//     entry-01,0.5,
//     "entry, two",0.25,null

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "score/board.h"
#include "score/board_internal.h"

enum { COLUMNS_MAX = 2 * OD_BOARD_METRICS_MAX, FIELD_MAX_BYTES = 4096 };

/** A text and how far it is read. */
struct csv {
    const char *text;
    size_t size;
    size_t at;
    size_t line;       ///< from 1, where `at` is
    const char *name;  ///< in messages
    struct od_buf field;
};

static void csv_start(struct csv *csv, const char *text, size_t size, const char *name)
{
    const size_t mark = size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    *csv = (struct csv){.text = text, .size = size, .at = mark, .line = 1, .name = name};
    od_buf_init(&csv->field, FIELD_MAX_BYTES);
}

// Skip empty lines; false at the end.
static bool csv_has_row(struct csv *csv)
{
    while (csv->at < csv->size && (csv->text[csv->at] == '\n' || csv->text[csv->at] == '\r')) {
        csv->line += csv->text[csv->at] == '\n' ? 1 : 0;
        csv->at++;
    }
    return csv->at < csv->size;
}

static bool at_row_end(const struct csv *csv)
{
    const char *next = csv->text + csv->at;
    const size_t left = csv->size - csv->at;
    return left == 0 || next[0] == '\n' || (left >= 2 && next[0] == '\r' && next[1] == '\n');
}

static enum od_status read_quoted(struct csv *csv, struct od_error *err)
{
    const size_t line = csv->line;
    for (csv->at++; csv->at < csv->size; csv->at++) {
        const char c = csv->text[csv->at];
        if (c == '"') {
            if (csv->at + 1 == csv->size || csv->text[csv->at + 1] != '"') {
                csv->at++;
                return OD_OK;
            }
            csv->at++;
        }
        csv->line += c == '\n' ? 1 : 0;
        od_buf_putc(&csv->field, c);
    }
    return od_fail(err, OD_E_FORMAT, "'%s':%zu: a quote is never closed", csv->name, line);
}

// The next field lands in csv->field; *ret_last says that the row ends behind it.
static enum od_status read_field(struct csv *csv, bool *ret_last, struct od_error *err)
{
    od_buf_reset(&csv->field);
    const size_t line = csv->line;
    if (csv->at < csv->size && csv->text[csv->at] == '"') {
        const enum od_status status = read_quoted(csv, err);
        if (status != OD_OK) {
            return status;
        }
        if (!at_row_end(csv) && csv->text[csv->at] != ',') {
            return od_fail(err, OD_E_FORMAT, "'%s':%zu: text behind a closing quote", csv->name,
                           csv->line);
        }
    }
    while (!at_row_end(csv) && csv->text[csv->at] != ',') {
        od_buf_putc(&csv->field, csv->text[csv->at++]);
    }
    if (csv->field.failed) {
        return od_fail(err, OD_E_LIMIT, "'%s':%zu: a field of more than %d bytes", csv->name, line,
                       FIELD_MAX_BYTES);
    }
    if (csv->field.size != strlen(od_buf_text(&csv->field))) {
        return od_fail(err, OD_E_FORMAT, "'%s':%zu: a NUL byte", csv->name, line);
    }
    *ret_last = at_row_end(csv);
    if (*ret_last) {
        csv->at += csv->at < csv->size && csv->text[csv->at] == '\r' ? 2 : csv->at < csv->size;
        csv->line++;
    } else {
        csv->at++;
    }
    return OD_OK;
}

// Metrics of the header; columns[i] is the metric of field i, or SIZE_MAX.
static enum od_status read_header(struct csv *csv, struct od_board *board, size_t *columns,
                                  size_t *ret_count, struct od_error *err)
{
    bool last = false;
    size_t results = 0;
    size_t count = 0;
    if (!csv_has_row(csv)) {
        return od_fail(err, OD_E_FORMAT, "'%s' is empty: no table", csv->name);
    }
    const size_t line = csv->line;
    while (!last) {
        enum od_status status = read_field(csv, &last, err);
        const char *name = od_buf_text(&csv->field);
        if (status == OD_OK && count == COLUMNS_MAX) {
            return od_fail(err, OD_E_LIMIT, "'%s':%zu: more than %d columns", csv->name, line,
                           COLUMNS_MAX);
        }
        if (status == OD_OK && count > 0 && !od_board_is_result(name)) {
            columns[count] = board->metric_count;
            status = od_board_add_metric(board, name, err);
            if (status != OD_OK) {
                od_error_prefix(err, "'%s':%zu", csv->name, line);
            }
        } else if (status == OD_OK) {
            columns[count] = SIZE_MAX;
            results += count > 0 ? 1 : 0;
        }
        if (status != OD_OK) {
            return status;
        }
        count++;
    }
    *ret_count = count;
    return results == 0 ? OD_OK : od_board_note_results(board, results, err);
}

static enum od_status put_value(struct csv *csv, struct od_board *board, size_t entry,
                                size_t metric, size_t line, struct od_error *err)
{
    const char *text = od_buf_text(&csv->field);
    size_t size = csv->field.size;
    char number[FIELD_MAX_BYTES + 1];
    double value = 0.0;
    struct od_cell *cell = od_board_cell(board, entry, metric);
    od_strip(&text, &size);
    memcpy(number, text, size);
    number[size] = '\0';
    if (size == 0 || strcmp(number, "null") == 0) {
        cell->why = od_board_null_reason();
        return OD_OK;
    }
    if (!od_parse_double(number, &value) || !isfinite(value)) {
        return od_fail(err, OD_E_FORMAT,
                       "'%s':%zu: entry '%s', metric '%s': '%.40s' is no finite number", csv->name,
                       line, board->entries[entry], board->metrics[metric].name, number);
    }
    *cell = (struct od_cell){.defined = true, .value = value, .items = -1};
    return OD_OK;
}

// One row; `fill` is false in the first round, which takes the name of the entry only.
static enum od_status read_row(struct csv *csv, struct od_board *board, const size_t *columns,
                               size_t count, size_t entry, bool fill, struct od_error *err)
{
    bool last = false;
    size_t at = 0;
    const size_t line = csv->line;
    for (; !last; at++) {
        enum od_status status = read_field(csv, &last, err);
        if (status == OD_OK && at == 0 && !fill) {
            status = od_board_add_entry(board, od_buf_text(&csv->field), err);
            if (status != OD_OK) {
                od_error_prefix(err, "'%s':%zu", csv->name, line);
            }
        } else if (status == OD_OK && fill && at > 0 && at < count && columns[at] != SIZE_MAX) {
            status = put_value(csv, board, entry, columns[at], line, err);
        }
        if (status != OD_OK) {
            return status;
        }
    }
    if (at != count) {
        return od_fail(err, OD_E_FORMAT, "'%s':%zu: %zu fields under a header of %zu", csv->name,
                       line, at, count);
    }
    return OD_OK;
}

enum od_status od_board_parse_csv(const char *text, size_t size, const char *name,
                                  struct od_board *board, struct od_error *err)
{
    struct csv csv;
    size_t count = 0;
    size_t *columns = od_alloc(COLUMNS_MAX, sizeof *columns);
    csv_start(&csv, text, size, name);
    enum od_status status =
        columns ? OD_OK : od_fail(err, OD_E_MEMORY, "no memory to read '%s'", name);
    if (status == OD_OK) {
        status = read_header(&csv, board, columns, &count, err);
    }
    const size_t body_at = csv.at;
    const size_t body_line = csv.line;
    while (status == OD_OK && csv_has_row(&csv)) {
        status = read_row(&csv, board, columns, count, 0, false, err);
    }
    if (status == OD_OK) {
        status = od_board_seal(board, "not in the table", err);
        if (status != OD_OK) {
            od_error_prefix(err, "'%s'", name);
        }
    }
    csv.at = body_at;
    csv.line = body_line;
    for (size_t entry = 0; status == OD_OK && csv_has_row(&csv); entry++) {
        status = read_row(&csv, board, columns, count, entry, true, err);
    }
    od_buf_release(&csv.field);
    od_free(columns);
    return status;
}
