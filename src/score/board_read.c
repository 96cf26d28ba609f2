// A table of metrics as JSON: [["entry", {"MMLU - EM": 0.5, "GSM8K - EM": null, ...}], ...]
// As CSV: board_csv.c.

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "formats/json.h"
#include "formats/text_file.h"
#include "score/board.h"
#include "score/board_internal.h"

static const char absent[] = "not in the table";

const char *od_board_null_reason(void)
{
    return "empty in the table";
}

enum od_status od_board_note_results(struct od_board *board, size_t count, struct od_error *err)
{
    return od_board_note(board, err,
                         "%zu column%s left out: results (places, scores, win rates), not metrics",
                         count, count == 1 ? "" : "s");
}

static const char *json_kind(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "an array";
    case JSON_STRING: return "text";
    case JSON_TRUE:
    case JSON_FALSE: return "true or false";
    case JSON_NULL: return "null";
    case JSON_INTEGER:
    case JSON_REAL: return "a number";
    }
    return "something else";
}

// A row is [entry, metrics].
static enum od_status check_json_row(const json_t *row, size_t at, struct od_error *err)
{
    if (!json_is_array(row) || json_array_size(row) != 2 ||
        !json_is_string(json_array_get(row, 0)) || !json_is_object(json_array_get(row, 1))) {
        return od_fail(err, OD_E_FORMAT,
                       "row %zu is not of the form [\"entry\", {\"metric\": number, ...}]", at + 1);
    }
    return OD_OK;
}

static enum od_status json_names(struct od_board *board, json_t *root, struct od_error *err)
{
    size_t at = 0;
    size_t results = 0;
    json_t *row = NULL;
    json_array_foreach(root, at, row)
    {
        enum od_status status = check_json_row(row, at, err);
        if (status == OD_OK) {
            status = od_board_add_entry(board, json_string_value(json_array_get(row, 0)), err);
        }
        const char *name = NULL;
        json_t *value = NULL;
        size_t hint = 0;
        json_object_foreach(json_array_get(row, 1), name, value)
        {
            if (status != OD_OK) {
                break;
            }
            if (od_board_is_result(name)) {
                results += at == 0 ? 1 : 0;
                continue;
            }
            const size_t found = od_board_find_metric(board, name, hint);
            hint = found == SIZE_MAX ? board->metric_count : found + 1;
            status = found == SIZE_MAX ? od_board_add_metric(board, name, err) : OD_OK;
        }
        if (status != OD_OK) {
            return status;
        }
    }
    return results == 0 ? OD_OK : od_board_note_results(board, results, err);
}

static enum od_status json_values(struct od_board *board, json_t *root, struct od_error *err)
{
    size_t entry = 0;
    json_t *row = NULL;
    json_array_foreach(root, entry, row)
    {
        const char *name = NULL;
        json_t *value = NULL;
        size_t hint = 0;
        json_object_foreach(json_array_get(row, 1), name, value)
        {
            if (od_board_is_result(name)) {
                continue;
            }
            const size_t metric = od_board_find_metric(board, name, hint);
            struct od_score_cell *cell = od_board_cell(board, entry, metric);
            hint = metric + 1;
            if (json_is_null(value)) {
                cell->why = od_board_null_reason();
                continue;
            }
            if (!json_is_number(value)) {
                return od_fail(err, OD_E_FORMAT,
                               "entry '%s', metric '%s': %s where a number or null must stand",
                               board->entries[entry], name, json_kind(value));
            }
            *cell = (struct od_score_cell){
                .defined = true, .value = json_number_value(value), .items = -1};
        }
    }
    return OD_OK;
}

static enum od_status parse_json(const char *text, size_t size, const char *name,
                                 struct od_board *board, struct od_error *err)
{
    json_t *root = NULL;
    enum od_status status = od_json_parse(text, size, name, &root, err);
    if (status != OD_OK) {
        return status;
    }
    if (!json_is_array(root)) {
        status =
            od_fail(err, OD_E_FORMAT, "is %s, not a list of [\"entry\", {\"metric\": number, ...}]",
                    json_kind(root));
    }
    if (status == OD_OK) {
        status = json_names(board, root, err);
    }
    if (status == OD_OK) {
        status = od_board_seal(board, absent, err);
    }
    if (status == OD_OK) {
        status = json_values(board, root, err);
    }
    if (status != OD_OK) {
        od_error_prefix(err, "'%s'", name);
    }
    json_decref(root);
    return status;
}

static bool is_csv(const char *text, size_t size, const char *name)
{
    const size_t name_size = strlen(name);
    if (name_size >= 4 && strcmp(name + name_size - 4, ".csv") == 0) {
        return true;
    }
    if (name_size >= 5 && strcmp(name + name_size - 5, ".json") == 0) {
        return false;
    }
    od_strip(&text, &size);
    return size > 0 && text[0] != '[' && text[0] != '{';
}

enum od_status od_board_parse(const char *text, size_t size, const char *name, struct od_board *ret,
                              struct od_error *err)
{
    struct od_board board = {0};
    const char *stripped = text;
    size_t stripped_size = size;
    od_strip(&stripped, &stripped_size);
    if (stripped_size == 0) {
        return od_fail(err, OD_E_FORMAT, "'%s' is empty: no table", name);
    }
    enum od_status status = od_board_init(&board, name, err);
    if (status != OD_OK) {
        return status;
    }
    status = is_csv(text, size, name) ? od_board_parse_csv(text, size, name, &board, err)
                                      : parse_json(text, size, name, &board, err);
    if (status != OD_OK) {
        od_board_release(&board);
        return status;
    }
    *ret = board;
    return OD_OK;
}

enum od_status od_board_read(const char *path, struct od_board *ret, struct od_error *err)
{
    char *text = NULL;
    size_t size = 0;
    enum od_status status = od_text_read(path, OD_BOARD_FILE_MAX_BYTES, &text, &size, err);
    if (status == OD_OK) {
        status = od_board_parse(text, size, path, ret, err);
    }
    od_free(text);
    return status;
}
