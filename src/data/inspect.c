#include "data/inspect.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/status.h"
#include "data/dataset.h"
#include "data/rows.h"
#include "formats/text_file.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

/** Hashes of rows, to find those that are equal. */
struct hashes {
    uint64_t *data;
    size_t count;
    size_t capacity;
};

static const char *kind_of(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT: return "object";
    case JSON_ARRAY: return "list";
    case JSON_STRING: return "text";
    case JSON_INTEGER:
    case JSON_REAL: return "number";
    case JSON_TRUE:
    case JSON_FALSE: return "bool";
    case JSON_NULL: break;
    }
    return "";
}

static bool is_empty(const json_t *value)
{
    return json_is_null(value) || (json_is_string(value) && json_string_length(value) == 0) ||
           (json_is_array(value) && json_array_size(value) == 0) ||
           (json_is_object(value) && json_object_size(value) == 0);
}

static struct od_report_member *find_member(struct od_data_report *report, const char *name)
{
    char cut[OD_REPORT_NAME_BYTES];
    (void)snprintf(cut, sizeof cut, "%s", name);
    for (size_t i = 0; i < report->member_count; i++) {
        if (strcmp(report->members[i].name, cut) == 0) {
            return &report->members[i];
        }
    }
    if (report->member_count == OD_REPORT_MEMBERS_MAX) {
        return NULL;
    }
    struct od_report_member *member = &report->members[report->member_count++];
    (void)snprintf(member->name, sizeof member->name, "%s", cut);
    return member;
}

static void count_members(struct od_data_report *report, json_t *object)
{
    for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at)) {
        const json_t *value = json_object_iter_value(at);
        const char *kind = kind_of(value);
        struct od_report_member *member = find_member(report, json_object_iter_key(at));
        if (!member) {
            continue;
        }
        member->count++;
        member->empty += is_empty(value);
        if (json_is_string(value) && (int64_t)json_string_length(value) > member->bytes_max) {
            member->bytes_max = (int64_t)json_string_length(value);
        }
        if (*kind != '\0' && strcmp(member->kind, kind) != 0) {
            (void)snprintf(member->kind, sizeof member->kind, "%s",
                           *member->kind == '\0' ? kind : "mixed");
        }
    }
}

static bool has(const json_t *object, const char *key)
{
    return json_object_get(object, key) != NULL;
}

// What the members of a row suggest.
static bool guess_type(const json_t *object, enum od_dataset_type *ret)
{
    if (json_is_array(json_object_get(object, "messages")) ||
        json_is_array(json_object_get(object, "conversations"))) {
        *ret = OD_DATASET_CHAT;
    } else if (json_is_object(json_object_get(object, "prompt")) ||
               (has(object, "message_id") && has(object, "role") && has(object, "text"))) {
        *ret = OD_DATASET_OASST;
    } else if (has(object, "instruction") && (has(object, "output") || has(object, "response"))) {
        *ret = OD_DATASET_ALPACA;
    } else if ((has(object, "input") && has(object, "output")) ||
               (has(object, "prompt") && (has(object, "response") || has(object, "completion"))) ||
               (has(object, "question") && has(object, "answer")) || has(object, "segments")) {
        *ret = OD_DATASET_INPUT_OUTPUT;
    } else if (has(object, "text")) {
        *ret = OD_DATASET_COMPLETION;
    } else {
        return false;
    }
    return true;
}

static enum od_status add_hash(struct hashes *hashes, uint64_t hash, struct od_error *err)
{
    if (hashes->count == hashes->capacity) {
        const size_t capacity = 2 * hashes->capacity + 1024;
        uint64_t *more = od_realloc(hashes->data, capacity, sizeof *more);
        if (!more) {
            return od_fail(err, OD_E_MEMORY, "no memory for the rows");
        }
        hashes->data = more;
        hashes->capacity = capacity;
    }
    hashes->data[hashes->count++] = hash;
    return OD_OK;
}

static enum od_status hash_row(const struct od_rows *rows, const struct od_row *row,
                               struct hashes *hashes, struct od_error *err)
{
    if (row->text) {
        return add_hash(hashes, od_xxh64(row->text, row->text_size, 0), err);
    }
    char *text = json_dumps(rows->object, JSON_COMPACT | JSON_SORT_KEYS);
    if (!text) {
        return od_fail(err, OD_E_MEMORY, "no memory for a row");
    }
    const uint64_t hash = od_xxh64(text, strlen(text), 0);
    json_malloc_t unused = NULL;
    json_free_t release = NULL;
    json_get_alloc_funcs(&unused, &release);
    release(text);
    return add_hash(hashes, hash, err);
}

static int ascending_hash(const void *a, const void *b)
{
    const uint64_t *left = a;
    const uint64_t *right = b;
    return (*left > *right) - (*left < *right);
}

static int ascending(const void *a, const void *b)
{
    const int64_t *left = a;
    const int64_t *right = b;
    return (*left > *right) - (*left < *right);
}

static int64_t count_duplicates(struct hashes *hashes)
{
    int64_t count = 0;
    if (hashes->count > 1) {
        qsort(hashes->data, hashes->count, sizeof *hashes->data, ascending_hash);
    }
    for (size_t i = 1; i < hashes->count; i++) {
        count += hashes->data[i] == hashes->data[i - 1];
    }
    return count;
}

// Start reading a file. @memory `rows` takes the text; *ret_template: od_chat_template_free.
static enum od_status open_rows(const struct od_dataset_spec *spec,
                                const struct od_chat_template *chat_template,
                                const struct od_tokenizer *tokenizer, struct od_rows *rows,
                                struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    char *text = NULL;
    size_t size = 0;
    const struct od_rows_options options = {
        .spec = spec, .chat_template = chat_template, .tokenizer = tokenizer};
    enum od_status status = od_dataset_find(spec->path, path, sizeof path, err);
    if (status == OD_OK) {
        status = od_text_read(path, OD_DATASET_FILE_MAX_BYTES, &text, &size, err);
    }
    return status == OD_OK ? od_rows_init(rows, &options, text, size, err) : status;
}

// The rows as they are.
static enum od_status read_raw(const struct od_dataset_spec *spec, bool guess, struct od_rows *rows,
                               struct od_data_report *report, struct od_error *err)
{
    struct od_dataset_spec raw = *spec;
    struct hashes hashes = {0};
    bool more = true;
    raw.type = OD_DATASET_COMPLETION;  // takes every layout
    enum od_status status = open_rows(&raw, NULL, NULL, rows, err);
    while (status == OD_OK && more) {
        struct od_row row = {0};
        status = od_rows_next_raw(rows, &row, &more, err);
        if (status != OD_OK || !more) {
            break;
        }
        report->rows++;
        report->invalid_utf8 += row.invalid_utf8;
        if (!row.text) {
            count_members(report, rows->object);
        }
        if (guess && report->rows == 1) {
            report->type_known = row.text != NULL || guess_type(rows->object, &report->type);
        }
        status = hash_row(rows, &row, &hashes, err);
    }
    if (status == OD_OK) {
        report->duplicates = count_duplicates(&hashes);
    }
    od_rows_release(rows);
    od_free(hashes.data);
    return status;
}

// Without a tokenizer: rows that have nothing to learn.
static enum od_status count_rows(const struct od_dataset_spec *spec, struct od_rows *rows,
                                 const struct od_chat_template *chat_template,
                                 struct od_data_report *report, struct od_error *err)
{
    bool more = true;
    enum od_status status = open_rows(spec, chat_template, NULL, rows, err);
    while (status == OD_OK && more) {
        struct od_row row = {0};
        status = od_rows_next(rows, &row, &more, err);
        if (status == OD_OK && more) {
            const bool empty = row.text ? row.text_size == 0 : row.turn_count == 0;
            report->counts.rows++;
            report->counts.empty += empty;
            report->counts.kept += !empty;
        }
    }
    od_rows_release(rows);
    return status;
}

static enum od_status count_tokens(const struct od_dataset_spec *spec,
                                   const struct od_inspect_options *options,
                                   struct od_data_report *report, struct od_error *err)
{
    struct od_dataset *data = od_alloc(1, sizeof *data);  // too large for the stack
    if (!data) {
        return od_fail(err, OD_E_MEMORY, "no memory for the data");
    }
    enum od_status status =
        od_dataset_load(spec, 1, options->tokenizer, &options->dataset, data, err);
    if (status == OD_OK) {
        report->counts = data->counts[0];
        report->label_count = data->label_count;
        report->lengths = od_alloc((size_t)data->count, sizeof *report->lengths);
        status = report->lengths ? OD_OK : od_fail(err, OD_E_MEMORY, "no memory for the lengths");
    }
    for (int64_t i = 0; status == OD_OK && i < data->count; i++) {
        report->lengths[i] = data->offset[i + 1] - data->offset[i];
    }
    if (status == OD_OK) {
        report->length_count = data->count;
        qsort(report->lengths, (size_t)data->count, sizeof *report->lengths, ascending);
    }
    od_dataset_release(data);
    od_free(data);
    return status;
}

enum od_status od_data_inspect(const struct od_dataset_spec *spec,
                               const struct od_inspect_options *options, struct od_data_report *ret,
                               struct od_error *err)
{
    struct od_data_report *report = od_alloc(1, sizeof *report);
    struct od_rows *rows = od_alloc(1, sizeof *rows);  // too large for the stack
    struct od_chat_template *chat_template = NULL;
    struct od_dataset_spec typed = *spec;
    enum od_status status = OD_E_MEMORY;
    if (!report || !rows) {
        od_error_set(err, status, "no memory for the report");
        goto done;
    }
    report->type = spec->type;
    report->type_known = !options->guess_type;
    status = read_raw(spec, options->guess_type, rows, report, err);
    typed.type = report->type;
    if (status != OD_OK || !report->type_known || report->rows == 0) {
        goto done;
    }
    if (options->tokenizer) {
        status = count_tokens(&typed, options, report, err);
    } else {
        if (!typed.chat_template) {
            typed.chat_template = "chatml";  // any: only answers are counted
        }
        status = od_dataset_template(&typed, NULL, &chat_template, err);
        if (status == OD_OK) {
            status = count_rows(&typed, rows, chat_template, report, err);
        }
    }
    report->counted = status == OD_OK;

done:
    if (status == OD_OK) {
        *ret = *report;
    } else if (report) {
        od_data_report_release(report);
    }
    od_chat_template_free(chat_template);
    od_free(rows);
    od_free(report);
    return status;
}

void od_data_report_release(struct od_data_report *report)
{
    od_free(report->lengths);
    *report = (struct od_data_report){0};
}
