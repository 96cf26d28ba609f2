// Layouts of a data file:
//
//   NAME.jsonl   one JSON object per line; lines of white space are skipped
//   NAME.json    one JSON array of objects; or as .jsonl when its first byte is not '['
//   NAME.txt     plain text; a line "<|endoftext|>" ends a document. The newline in front of that
//                line, and one at the end of the file, belong to no document.
//
//   NAME.csv     a row of names, then rows of as many fields; empty rows are skipped. With `columns`
//                the file has no names. NAME.tsv is the same with tabs
//
// Elements of an array are cut out by counting
// brackets outside of texts and then read one by one, so that every row knows its line and a file
// needs no second copy in memory.
#include "data/rows.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "data/dataset.h"
#include "formats/csv.h"
#include "formats/json.h"

enum { COLUMNS_MAX = 256 };

static const char separator[] = "<|endoftext|>";

static bool ends_with(const char *text, size_t size, const char *end)
{
    const size_t end_size = strlen(end);
    return size >= end_size && memcmp(text + size - end_size, end, end_size) == 0;
}

static bool is_json_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

// Move one byte on and keep count of lines.
static void step(struct od_rows *rows)
{
    if (rows->text[rows->at++] == '\n') {
        rows->line++;
        rows->line_start = rows->at;
    }
}

static void skip_space(struct od_rows *rows)
{
    while (rows->at < rows->size && is_json_space(rows->text[rows->at])) {
        step(rows);
    }
}

// The size of a name without what says how the file is packed.
static size_t unpacked_size(const char *name)
{
    static const char *const endings[] = {".gz", ".zst", ".xz"};
    const size_t size = strlen(name);
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        if (ends_with(name, size, endings[i])) {
            return size - strlen(endings[i]);
        }
    }
    return size;
}

// Names of columns must be there and different.
static enum od_status check_header(const struct od_rows *rows, const struct od_csv_row *header,
                                   struct od_error *err)
{
    for (size_t i = 0; i < header->count; i++) {
        for (size_t k = 0; k < i; k++) {
            if (strcmp(header->fields[i].text, header->fields[k].text) == 0) {
                return od_fail(err, OD_E_FORMAT, "%s:%zu: two columns are named '%.60s'",
                               rows->name, header->line, header->fields[i].text);
            }
        }
    }
    return header->count > 0 && header->count <= COLUMNS_MAX
               ? OD_OK
               : od_fail(err, OD_E_FORMAT, "%s:1: the first row must name 1 to %d columns",
                         rows->name, (int)COLUMNS_MAX);
}

static enum od_status init_table(struct od_rows *rows, char delimiter, struct od_error *err)
{
    const char *columns = rows->options.spec->columns;
    enum od_status status =
        od_csv_parse(rows->text, rows->size, delimiter, rows->name, &rows->csv, err);
    rows->layout = OD_ROWS_TABLE;
    if (status == OD_OK && columns) {
        status = od_csv_parse(columns, strlen(columns), ',', "columns", &rows->header, err);
        return status == OD_OK && rows->header.count > 0
                   ? check_header(rows, &rows->header.rows[0], err)
                   : status;
    }
    if (status == OD_OK && rows->csv.count > 0) {
        rows->csv_at = 1;
        status = check_header(rows, &rows->csv.rows[0], err);
    }
    return status;
}

static enum od_status init_layout(struct od_rows *rows, struct od_error *err)
{
    const char *name = rows->name;
    const size_t size = unpacked_size(name);
    if (ends_with(name, size, ".csv") || ends_with(name, size, ".tsv")) {
        return init_table(rows, ends_with(name, size, ".csv") ? ',' : '\t', err);
    }
    if (ends_with(name, size, ".jsonl")) {
        rows->layout = OD_ROWS_LINES;
    } else if (ends_with(name, size, ".json")) {
        skip_space(rows);
        rows->inside = rows->at < rows->size && rows->text[rows->at] == '[';
        rows->layout = rows->inside ? OD_ROWS_ARRAY : OD_ROWS_LINES;
        rows->at += rows->inside;
    } else if (ends_with(name, size, ".txt")) {
        rows->layout = OD_ROWS_TEXT;
    } else {
        return od_fail(err, OD_E_UNSUPPORTED,
                       "'%s': data is read from .jsonl, .json, .csv, .tsv and .txt files (.gz, "
                       ".zst or .xz behind it is fine)",
                       name);
    }
    return OD_OK;
}

enum od_status od_rows_init(struct od_rows *rows, const struct od_rows_options *options, char *text,
                            size_t size, struct od_error *err)
{
    *rows = (struct od_rows){
        .options = *options, .name = options->spec->path, .text = text, .size = size, .line = 1};
    od_buf_init(&rows->valid, 3 * (size_t)OD_DATASET_ROW_MAX_BYTES);
    od_buf_init(&rows->made, 4 * (size_t)OD_DATASET_ROW_MAX_BYTES);
    od_buf_init(&rows->other, 4 * (size_t)OD_DATASET_ROW_MAX_BYTES);
    enum od_status status = init_layout(rows, err);
    if (status == OD_OK && rows->layout == OD_ROWS_TEXT &&
        options->spec->type != OD_DATASET_COMPLETION) {
        status =
            od_fail(err, OD_E_ARGUMENT, "'%s': plain text needs 'type: completion'", rows->name);
    }
    if (status == OD_OK && options->spec->type == OD_DATASET_OASST) {
        status = od_oasst_read(rows, err);
    }
    if (status != OD_OK) {
        od_rows_release(rows);
    }
    return status;
}

void od_rows_release(struct od_rows *rows)
{
    od_free(rows->text);
    json_decref(rows->object);
    od_csv_release(&rows->csv);
    od_csv_release(&rows->header);
    od_oasst_free(rows->trees);
    od_buf_release(&rows->valid);
    od_buf_release(&rows->made);
    od_buf_release(&rows->other);
    memset(rows, 0, sizeof *rows);
}

static enum od_status check_row_size(const struct od_rows *rows, size_t size, int64_t line,
                                     struct od_error *err)
{
    if (size > OD_DATASET_ROW_MAX_BYTES) {
        return od_fail(err, OD_E_LIMIT, "%s:%" PRId64 ": a row of %zu bytes, at most %d%s",
                       rows->name, line, size, (int)OD_DATASET_ROW_MAX_BYTES,
                       rows->layout == OD_ROWS_TEXT ? ": split it with lines '<|endoftext|>'" : "");
    }
    return OD_OK;
}

// Point text and size to valid UTF-8, which is made in rows->valid when it has to be.
static enum od_status make_valid(struct od_rows *rows, const char **text, size_t *size,
                                 bool *ret_invalid, struct od_error *err)
{
    *ret_invalid = od_utf8_invalid_at(*text, *size) < *size;
    if (!*ret_invalid) {
        return OD_OK;
    }
    od_buf_reset(&rows->valid);
    od_utf8_append_valid(&rows->valid, *text, *size);
    const enum od_status status = od_buf_check(&rows->valid, err);
    if (status == OD_OK) {
        *text = rows->valid.bytes;
        *size = rows->valid.size;
    }
    return status;
}

// Parse one object; the position in a message is that in the file.
static enum od_status parse_object(struct od_rows *rows, const char *text, size_t size,
                                   int64_t line, size_t column, struct od_error *err)
{
    struct od_error inner = {0};
    json_decref(rows->object);
    rows->object = NULL;
    const enum od_status status = od_json_parse(text, size, "", &rows->object, &inner);
    if (status != OD_OK) {
        // The message is ":LINE:COLUMN: what".
        char *rest = inner.message;
        int64_t inner_line = 1;
        int64_t inner_column = 1;
        if (*rest == ':') {
            inner_line = strtoll(rest + 1, &rest, 10);
            inner_column = *rest == ':' ? strtoll(rest + 1, &rest, 10) : 1;
            rest += *rest == ':';
            rest += *rest == ' ';
        }
        od_error_set(err, status, "%s:%" PRId64 ":%" PRId64 ": %s", rows->name,
                     line + inner_line - 1, inner_column + (inner_line == 1 ? (int64_t)column : 0),
                     rest);
        return status;
    }
    if (!json_is_object(rows->object)) {
        return od_fail(err, OD_E_FORMAT, "%s:%" PRId64 ": a row must be an object in {}",
                       rows->name, line);
    }
    return OD_OK;
}

// Read the object in text[start .. end), which begins in line `line` whose first byte is at
// `line_start`.
static enum od_status read_object(struct od_rows *rows, size_t start, size_t end, int64_t line,
                                  size_t line_start, struct od_row *row, struct od_error *err)
{
    const char *text = rows->text + start;
    size_t size = end - start;
    *row = (struct od_row){.line = line};
    enum od_status status = check_row_size(rows, size, line, err);
    if (status == OD_OK) {
        status = make_valid(rows, &text, &size, &row->invalid_utf8, err);
    }
    return status == OD_OK ? parse_object(rows, text, size, line, start - line_start, err) : status;
}

static enum od_status next_line(struct od_rows *rows, struct od_row *row, bool *ret_more,
                                struct od_error *err)
{
    skip_space(rows);
    if (rows->at == rows->size) {
        *ret_more = false;
        return OD_OK;
    }
    const size_t start = rows->at;
    const size_t line_start = rows->line_start;
    const int64_t line = rows->line;
    const char *newline = memchr(rows->text + start, '\n', rows->size - start);
    const size_t end = newline ? (size_t)(newline - rows->text) : rows->size;
    rows->at = end;
    *ret_more = true;
    return read_object(rows, start, end, line, line_start, row, err);
}

// Move to the ',' or ']' behind the element that starts here (or to the end of the text).
static void skip_element(struct od_rows *rows)
{
    int64_t depth = 0;
    bool in_text = false;
    while (rows->at < rows->size) {
        const char c = rows->text[rows->at];
        if (in_text) {
            if (c == '\\' && rows->at + 1 < rows->size) {
                step(rows);
            } else if (c == '"') {
                in_text = false;
            }
        } else if (c == '"') {
            in_text = true;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if (depth == 0 && (c == ',' || c == ']')) {
            return;
        } else if (c == '}' || c == ']') {
            depth--;
        }
        step(rows);
    }
}

static enum od_status next_element(struct od_rows *rows, struct od_row *row, bool *ret_more,
                                   struct od_error *err)
{
    skip_space(rows);
    *ret_more = false;
    if (rows->inside && rows->at < rows->size && rows->text[rows->at] == ']' && !rows->object) {
        rows->at++;  // the array was empty
        rows->inside = false;
        skip_space(rows);
    }
    if (!rows->inside) {
        return rows->at == rows->size
                   ? OD_OK
                   : od_fail(err, OD_E_FORMAT, "%s:%" PRId64 ": text behind the end of the array",
                             rows->name, rows->line);
    }
    const size_t start = rows->at;
    const size_t line_start = rows->line_start;
    const int64_t line = rows->line;
    skip_element(rows);
    const enum od_status status = read_object(rows, start, rows->at, line, line_start, row, err);
    if (status != OD_OK) {
        return status;
    }
    if (rows->at == rows->size) {
        return od_fail(err, OD_E_FORMAT, "%s:%" PRId64 ": the array does not end", rows->name,
                       rows->line);
    }
    rows->inside = rows->text[rows->at] == ',';
    rows->at++;
    *ret_more = true;
    return OD_OK;
}

// Lend the document that starts here and go behind its separator.
static enum od_status next_text(struct od_rows *rows, struct od_row *row, bool *ret_more,
                                struct od_error *err)
{
    const size_t start = rows->at;
    size_t end = rows->size;
    *ret_more = rows->at < rows->size;
    if (!*ret_more) {
        return OD_OK;
    }
    *row = (struct od_row){.line = rows->line};
    while (rows->at < rows->size) {
        const size_t line_at = rows->at;
        const char *newline = memchr(rows->text + line_at, '\n', rows->size - line_at);
        const size_t line_end = newline ? (size_t)(newline - rows->text) : rows->size;
        size_t line_size = line_end - line_at;
        line_size -= line_size > 0 && rows->text[line_end - 1] == '\r';
        rows->at = newline ? line_end + 1 : rows->size;
        rows->line++;
        if (line_size == sizeof separator - 1 &&
            memcmp(rows->text + line_at, separator, line_size) == 0) {
            end = line_at;
            break;
        }
    }
    if (end > start && rows->text[end - 1] == '\n') {
        end--;
        end -= end > start && rows->text[end - 1] == '\r';
    }
    row->text = rows->text + start;
    row->text_size = end - start;
    const enum od_status status = check_row_size(rows, row->text_size, row->line, err);
    return status != OD_OK ? status
                           : make_valid(rows, &row->text, &row->text_size, &row->invalid_utf8, err);
}

// The next row of a table as an object of texts.
static enum od_status next_table_row(struct od_rows *rows, struct od_row *row, bool *ret_more,
                                     struct od_error *err)
{
    const struct od_csv_row *header =
        rows->options.spec->columns ? rows->header.rows : rows->csv.rows;
    while (rows->csv_at < rows->csv.count && rows->csv.rows[rows->csv_at].count == 0) {
        rows->csv_at++;
    }
    *ret_more = rows->csv_at < rows->csv.count;
    if (!*ret_more) {
        return OD_OK;
    }
    const struct od_csv_row *fields = &rows->csv.rows[rows->csv_at++];
    *row = (struct od_row){.line = (int64_t)fields->line};
    if (fields->count != header->count) {
        return od_fail(err, OD_E_FORMAT, "%s:%zu: a row of %zu fields: there are %zu columns",
                       rows->name, fields->line, fields->count, header->count);
    }
    json_decref(rows->object);
    rows->object = json_object();
    bool ok = rows->object != NULL;
    for (size_t i = 0; ok && i < fields->count; i++) {
        ok = json_object_set_new(rows->object, header->fields[i].text,
                                 json_stringn(fields->fields[i].text, fields->fields[i].size)) == 0;
    }
    return ok ? OD_OK
              : od_fail(err, OD_E_MEMORY, "%s:%zu: no memory for the row", rows->name,
                        fields->line);
}

enum od_status od_rows_next_raw(struct od_rows *rows, struct od_row *ret, bool *ret_more,
                                struct od_error *err)
{
    switch (rows->layout) {
    case OD_ROWS_LINES: return next_line(rows, ret, ret_more, err);
    case OD_ROWS_ARRAY: return next_element(rows, ret, ret_more, err);
    case OD_ROWS_TABLE: return next_table_row(rows, ret, ret_more, err);
    case OD_ROWS_TEXT: break;
    }
    return next_text(rows, ret, ret_more, err);
}

enum od_status od_rows_next(struct od_rows *rows, struct od_row *ret, bool *ret_more,
                            struct od_error *err)
{
    if (rows->trees) {
        return od_oasst_next(rows, ret, ret_more, err);
    }
    const enum od_status status = od_rows_next_raw(rows, ret, ret_more, err);
    return status == OD_OK && *ret_more && rows->layout != OD_ROWS_TEXT
               ? od_rows_read_object(rows, ret, err)
               : status;
}
