#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "data/dataset.h"
#include "data/encode.h"
#include "data/inspect.h"
#include "data/rows.h"
#include "formats/text_file.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

/** Ids of the longest prompt. */
#define PROMPT_IDS_MAX (4 * (size_t)OD_DATASET_ROW_MAX_BYTES)

static enum od_status keep_document(void *context, const int32_t *ids, const uint8_t *label,
                                    size_t count, struct od_error *err)
{
    struct od_preview *preview = context;
    struct od_preview_document made = {.ids = od_alloc(count, sizeof *ids),
                                       .label = od_alloc(count, sizeof *label),
                                       .count = count};
    if (made.ids && made.label) {
        memcpy(made.ids, ids, count * sizeof *ids);
        memcpy(made.label, label, count * sizeof *label);
    }
    struct od_preview_document *more =
        od_realloc(preview->documents, preview->count + 1, sizeof *more);
    if (more) {
        preview->documents = more;
        preview->documents[preview->count++] = made;
    }
    if (!made.ids || !made.label || !more) {
        if (!more) {
            od_free(made.ids);
            od_free(made.label);
        }
        return od_fail(err, OD_E_MEMORY, "no memory for a document");
    }
    return OD_OK;
}

void od_preview_release(struct od_preview *preview)
{
    for (size_t i = 0; i < preview->count; i++) {
        od_free(preview->documents[i].ids);
        od_free(preview->documents[i].label);
    }
    od_free(preview->documents);
    *preview = (struct od_preview){0};
}

// Does a document start with these ids, and is it learned from there on?
static bool stands_behind(const struct od_preview_document *document, const struct od_ids *prompt)
{
    return document->count > prompt->count && document->label[prompt->count] != 0 &&
           (prompt->count == 0 ||
            memcmp(document->ids, prompt->data, prompt->count * sizeof *prompt->data) == 0);
}

// Compare with the ids that serving makes of each prompt.
static enum od_status compare(const struct od_row *row, const struct od_tokenizer *tokenizer,
                              struct od_preview *preview, struct od_error *err)
{
    struct od_ids prompt;
    enum od_status status = OD_OK;
    od_ids_init(&prompt, PROMPT_IDS_MAX);
    preview->turns = row->turn_count;
    for (size_t i = 0; status == OD_OK && i < row->turn_count; i++) {
        bool found = false;
        od_ids_reset(&prompt);
        status = od_prompt_encode(tokenizer, row->turns[i].prompt, row->turns[i].prompt_size,
                                  &prompt, err);
        for (size_t k = 0; status == OD_OK && !found && k < preview->count; k++) {
            found = stands_behind(&preview->documents[k], &prompt);
        }
        preview->agreeing += status == OD_OK && found;
    }
    od_ids_release(&prompt);
    const int32_t bos = od_tokenizer_bos(tokenizer);
    const int32_t eos = od_tokenizer_eos(tokenizer);
    for (size_t k = 0; k < preview->count; k++) {
        const struct od_preview_document *d = &preview->documents[k];
        preview->doubled_bos += bos >= 0 && d->count > 1 && d->ids[0] == bos && d->ids[1] == bos;
        preview->without_eos += eos >= 0 && d->ids[d->count - 1] != eos;
    }
    return status;
}

static enum od_status find_row(struct od_rows *rows, int64_t index, struct od_row *ret,
                               struct od_error *err)
{
    bool more = true;
    for (int64_t i = 0; i <= index; i++) {
        const enum od_status status = od_rows_next(rows, ret, &more, err);
        if (status != OD_OK) {
            return status;
        }
        if (!more) {
            return od_fail(err, OD_E_NOT_FOUND,
                           "'%s' has no row %" PRId64 ": it has %" PRId64 ", counted from 0",
                           rows->name, index, i);
        }
    }
    return OD_OK;
}

enum od_status od_data_preview(const struct od_dataset_spec *spec,
                               const struct od_tokenizer *tokenizer,
                               const struct od_dataset_options *options, int64_t index,
                               struct od_preview *ret, struct od_error *err)
{
    struct od_encoder encoder = {0};
    struct od_chat_template *chat_template = NULL;
    struct od_preview preview = {0};
    struct od_row row = {0};
    char path[OD_PATH_MAX_BYTES];
    char *text = NULL;
    size_t size = 0;
    size_t documents = 0;
    struct od_rows *rows = od_alloc(1, sizeof *rows);  // too large for the stack
    enum od_status status = OD_E_MEMORY;
    if (!rows) {
        od_error_set(err, status, "no memory for the rows");
        return status;
    }
    status = od_dataset_template(spec, options->model_folder, &chat_template, err);
    if (status == OD_OK) {
        status = od_encoder_init(&encoder, tokenizer, options->train_on_inputs, err);
    }
    if (status == OD_OK) {
        status = od_dataset_find(spec->path, path, sizeof path, err);
    }
    if (status == OD_OK) {
        status = od_text_read(path, OD_DATASET_FILE_MAX_BYTES, &text, &size, err);
    }
    if (status == OD_OK) {
        const struct od_rows_options rows_options = {
            .spec = spec, .chat_template = chat_template, .tokenizer = tokenizer};
        status = od_rows_init(rows, &rows_options, text, size, err);
    }
    if (status == OD_OK) {
        status = find_row(rows, index, &row, err);
    }
    if (status == OD_OK) {
        status = od_encode_row(&encoder, &row, keep_document, &preview, &documents, err);
    }
    if (status == OD_OK) {
        preview.line = row.line;
        preview.is_text = row.text != NULL;
        status = compare(&row, tokenizer, &preview, err);
    }
    if (status == OD_OK) {
        *ret = preview;
        preview = (struct od_preview){0};  // ownership moved to *ret
    }
    od_preview_release(&preview);
    od_encoder_release(&encoder);
    od_rows_release(rows);
    od_free(rows);
    od_chat_template_free(chat_template);
    return status;
}
