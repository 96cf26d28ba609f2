// Layouts of a data file:
//
//   NAME.jsonl   one JSON object per line; lines of white space are skipped
//   NAME.json    one JSON array of objects; or as .jsonl when its first byte is not '['
//   NAME.txt     plain text; a line "<|endoftext|>" ends a document. The newline in front of that
//                line, and one at the end of the file, belong to no document.
//
// Members of an object that make a row (texts; null and absent are the empty text):
//
//   input-output   input + output, prompt + response, prompt + completion, question + answer:
//                  the first pair of which both are there
//   alpaca         instruction, input (or context), output (or response)
//   completion     text
//
// Objects may have more members, which are ignored. Elements of an array are cut out by counting
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
#include "formats/json.h"

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

enum od_status od_rows_init(struct od_rows *rows, const char *name, enum od_dataset_type type,
                            char *text, size_t size, struct od_error *err)
{
    size_t name_size = strlen(name);
    *rows = (struct od_rows){.name = name, .type = type, .text = text, .size = size, .line = 1};
    od_buf_init(&rows->valid, 3 * (size_t)OD_DATASET_ROW_MAX_BYTES);
    od_buf_init(&rows->prompt, 4 * (size_t)OD_DATASET_ROW_MAX_BYTES);
    if (ends_with(name, name_size, ".gz")) {
        name_size -= strlen(".gz");
    }
    if (ends_with(name, name_size, ".jsonl")) {
        rows->layout = OD_ROWS_LINES;
    } else if (ends_with(name, name_size, ".json")) {
        skip_space(rows);
        rows->inside = rows->at < size && text[rows->at] == '[';
        rows->layout = rows->inside ? OD_ROWS_ARRAY : OD_ROWS_LINES;
        rows->at += rows->inside;
    } else if (ends_with(name, name_size, ".txt")) {
        rows->layout = OD_ROWS_TEXT;
    } else {
        od_rows_release(rows);
        return od_fail(err, OD_E_UNSUPPORTED,
                       "'%s': data is read from .jsonl, .json and .txt files (.gz behind it is "
                       "fine)",
                       name);
    }
    if (rows->layout == OD_ROWS_TEXT && type != OD_DATASET_COMPLETION) {
        od_rows_release(rows);
        return od_fail(err, OD_E_ARGUMENT, "'%s': plain text needs 'type: completion'", name);
    }
    return OD_OK;
}

void od_rows_release(struct od_rows *rows)
{
    od_free(rows->text);
    json_decref(rows->object);
    od_buf_release(&rows->valid);
    od_buf_release(&rows->prompt);
    *rows = (struct od_rows){0};
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

// Lend a text member; null and absent give "".
static enum od_status get_text(const struct od_rows *rows, const char *key, int64_t line,
                               const char **ret, size_t *ret_size, struct od_error *err)
{
    const json_t *value = json_object_get(rows->object, key);
    if (value && !json_is_string(value) && !json_is_null(value)) {
        return od_fail(err, OD_E_FORMAT, "%s:%" PRId64 ": '%s' must be a text", rows->name, line,
                       key);
    }
    *ret = json_is_string(value) ? json_string_value(value) : "";
    *ret_size = json_is_string(value) ? json_string_length(value) : 0;
    return OD_OK;
}

static bool has(const struct od_rows *rows, const char *key)
{
    return json_object_get(rows->object, key) != NULL;
}

static enum od_status read_pair(const struct od_rows *rows, struct od_row *row,
                                struct od_error *err)
{
    static const char *const pairs[][2] = {{"input", "output"},
                                           {"prompt", "response"},
                                           {"prompt", "completion"},
                                           {"question", "answer"}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        if (!has(rows, pairs[i][0]) || !has(rows, pairs[i][1])) {
            continue;
        }
        const enum od_status status =
            get_text(rows, pairs[i][0], row->line, &row->prompt, &row->prompt_size, err);
        return status != OD_OK
                   ? status
                   : get_text(rows, pairs[i][1], row->line, &row->answer, &row->answer_size, err);
    }
    return od_fail(err, OD_E_FORMAT,
                   "%s:%" PRId64
                   ": a row needs 'input' and 'output' (or 'prompt' and 'response', "
                   "'prompt' and 'completion', 'question' and 'answer')",
                   rows->name, row->line);
}

static enum od_status read_alpaca(struct od_rows *rows, struct od_row *row, struct od_error *err)
{
    const char *instruction = NULL;
    const char *input = NULL;
    size_t instruction_size = 0;
    size_t input_size = 0;
    const char *answer_key = has(rows, "output") ? "output" : "response";
    if (!has(rows, "instruction") || !has(rows, answer_key)) {
        return od_fail(err, OD_E_FORMAT, "%s:%" PRId64 ": a row needs 'instruction' and 'output'",
                       rows->name, row->line);
    }
    enum od_status status =
        get_text(rows, "instruction", row->line, &instruction, &instruction_size, err);
    if (status == OD_OK) {
        status = get_text(rows, has(rows, "input") ? "input" : "context", row->line, &input,
                          &input_size, err);
    }
    if (status == OD_OK) {
        status = get_text(rows, answer_key, row->line, &row->answer, &row->answer_size, err);
    }
    if (status != OD_OK) {
        return status;
    }
    if (strlen(instruction) != instruction_size || strlen(input) != input_size) {
        return od_fail(err, OD_E_FORMAT, "%s:%" PRId64 ": the instruction holds a NUL", rows->name,
                       row->line);
    }
    od_buf_reset(&rows->prompt);
    od_alpaca_prompt(&rows->prompt, instruction, input);
    row->prompt = od_buf_text(&rows->prompt);
    row->prompt_size = rows->prompt.size;
    return od_buf_check(&rows->prompt, err);
}

static enum od_status read_members(struct od_rows *rows, struct od_row *row, struct od_error *err)
{
    switch (rows->type) {
    case OD_DATASET_INPUT_OUTPUT: return read_pair(rows, row, err);
    case OD_DATASET_ALPACA: return read_alpaca(rows, row, err);
    case OD_DATASET_COMPLETION: break;
    }
    if (!has(rows, "text")) {
        return od_fail(err, OD_E_FORMAT, "%s:%" PRId64 ": a row needs 'text'", rows->name,
                       row->line);
    }
    return get_text(rows, "text", row->line, &row->answer, &row->answer_size, err);
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
    if (status == OD_OK) {
        status = parse_object(rows, text, size, line, start - line_start, err);
    }
    if (status == OD_OK) {
        status = read_members(rows, row, err);
    }
    return status;
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
    row->answer = rows->text + start;
    row->answer_size = end - start;
    const enum od_status status = check_row_size(rows, row->answer_size, row->line, err);
    return status != OD_OK
               ? status
               : make_valid(rows, &row->answer, &row->answer_size, &row->invalid_utf8, err);
}

enum od_status od_rows_next(struct od_rows *rows, struct od_row *ret, bool *ret_more,
                            struct od_error *err)
{
    switch (rows->layout) {
    case OD_ROWS_LINES: return next_line(rows, ret, ret_more, err);
    case OD_ROWS_ARRAY: return next_element(rows, ret, ret_more, err);
    case OD_ROWS_TEXT: break;
    }
    return next_text(rows, ret, ret_more, err);
}
