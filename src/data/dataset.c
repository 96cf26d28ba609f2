#include "data/dataset.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "base/text.h"
#include "data/encode.h"
#include "data/rows.h"
#include "formats/text_file.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

/** Key of the seeded order from which a share of the documents is taken. */
#define SHARE_ORDER UINT64_C(0x7368617265)

/** The dataset while it grows. */
struct builder {
    struct od_dataset *out;
    const struct od_dataset_options *options;
    struct od_encoder encoder;
    struct od_rows *rows;      ///< the file in work
    bool is_text;              ///< the row in work is plain text
    size_t taken;              ///< its documents that fit, or were cut so that they do
    size_t too_long;           ///< those that did not fit
    size_t token_capacity;     ///< of out->ids and out->label
    size_t document_capacity;  ///< of out->offset, without the last
};

// Grow `*array` to hold `need` elements; doubles, so that growing costs little in the end.
static bool grow(void **array, size_t element_size, size_t capacity)
{
    void *bigger = od_realloc(*array, capacity, element_size);
    if (bigger) {
        *array = bigger;
    }
    return bigger != NULL;
}

static enum od_status reserve(struct builder *b, size_t tokens, struct od_error *err)
{
    struct od_dataset *out = b->out;
    const size_t need = (size_t)out->offset[out->count] + tokens;
    if (need > (size_t)OD_DATASET_TOKENS_MAX) {
        return od_fail(err, OD_E_LIMIT, "the data has more than %" PRId64 " tokens",
                       OD_DATASET_TOKENS_MAX);
    }
    if (need > b->token_capacity) {
        const size_t capacity = need + need / 2 + 4096;
        void *ids = out->ids;
        void *label = out->label;
        bool ok = grow(&ids, sizeof *out->ids, capacity);
        out->ids = ids;
        ok = ok && grow(&label, sizeof *out->label, capacity);
        out->label = label;
        if (!ok) {
            return od_fail(err, OD_E_MEMORY, "no memory for %zu tokens", capacity);
        }
        b->token_capacity = capacity;
    }
    if ((size_t)out->count + 1 > b->document_capacity) {
        const size_t capacity = 2 * b->document_capacity + 256;
        void *offset = out->offset;
        if (!grow(&offset, sizeof *out->offset, capacity + 1)) {
            return od_fail(err, OD_E_MEMORY, "no memory for %zu documents", capacity);
        }
        out->offset = offset;
        b->document_capacity = capacity;
    }
    return OD_OK;
}

// Append a document.
static enum od_status append(struct builder *b, const int32_t *ids, const uint8_t *label,
                             size_t count, struct od_error *err)
{
    struct od_dataset *out = b->out;
    const enum od_status status = reserve(b, count, err);
    if (status != OD_OK) {
        return status;
    }
    const size_t at = (size_t)out->offset[out->count];
    memcpy(out->ids + at, ids, count * sizeof *ids);
    for (size_t i = 0; i < count; i++) {
        out->label[at + i] = i > 0 && label[i] != 0;
        out->label_count += out->label[at + i];
    }
    out->count++;
    out->offset[out->count] = (int64_t)(at + count);
    return OD_OK;
}

// Cut a text of `count` ids into pieces. A last piece of one id could teach nothing, so the piece
// before it gives one away.
static enum od_status append_pieces(struct builder *b, const int32_t *ids, const uint8_t *label,
                                    size_t count, struct od_error *err)
{
    const size_t longest = (size_t)b->options->sequence_len;
    size_t at = 0;
    while (at < count) {
        const size_t rest = count - at;
        size_t size = rest < longest ? rest : longest;
        size -= rest == longest + 1 && longest > 2;
        const enum od_status status = append(b, ids + at, label + at, size, err);
        if (status != OD_OK) {
            return status;
        }
        at += size;
    }
    return OD_OK;
}

// A document of the row in work.
static enum od_status take(void *context, const int32_t *ids, const uint8_t *label, size_t count,
                           struct od_error *err)
{
    struct builder *b = context;
    if (count <= (size_t)b->options->sequence_len) {
        b->taken++;
        return append(b, ids, label, count, err);
    }
    b->too_long++;
    b->taken += b->is_text;
    return b->is_text ? append_pieces(b, ids, label, count, err) : OD_OK;
}

static bool is_blank(const char *text, size_t size)
{
    od_strip(&text, &size);
    return size == 0;
}

static enum od_status add_row(struct builder *b, const struct od_row *row,
                              struct od_dataset_counts *counts, struct od_error *err)
{
    size_t documents = 0;
    counts->rows++;
    counts->invalid_utf8 += row->invalid_utf8;
    if (row->text ? is_blank(row->text, row->text_size) : row->turn_count == 0) {
        counts->empty++;
        return OD_OK;
    }
    b->is_text = row->text != NULL;
    b->taken = 0;
    b->too_long = 0;
    const enum od_status status = od_encode_row(&b->encoder, row, take, b, &documents, err);
    counts->empty += status == OD_OK && documents == 0;
    counts->too_long += b->too_long > 0;
    counts->kept += b->taken > 0;
    counts->split += documents > 1;
    return status;
}

// Keep a seeded choice of `wanted` of the documents from `first` on, in their order.
static void keep_some(struct builder *b, int64_t first, uint64_t wanted, size_t spec)
{
    struct od_dataset *out = b->out;
    const int64_t count = out->count - first;
    int64_t kept = first;
    for (int64_t i = 0; i < count; i++) {
        const uint64_t place = od_permute((uint64_t)i, (uint64_t)count,
                                          b->options->seed ^ SHARE_ORDER, (uint32_t)spec);
        const int64_t from = out->offset[first + i];
        const int64_t size = out->offset[first + i + 1] - from;
        const int64_t to = out->offset[kept];
        if (place < wanted) {
            memmove(out->ids + to, out->ids + from, (size_t)size * sizeof *out->ids);
            memmove(out->label + to, out->label + from, (size_t)size);
            out->offset[++kept] = to + size;
        } else {
            for (int64_t k = 0; k < size; k++) {
                out->label_count -= out->label[from + k];
            }
        }
    }
    out->count = kept;
}

// Append the documents [first, last) once more.
static enum od_status repeat(struct builder *b, int64_t first, int64_t last, struct od_error *err)
{
    for (int64_t d = first; d < last; d++) {
        struct od_dataset *out = b->out;
        const size_t from = (size_t)out->offset[d];
        const size_t size = (size_t)(out->offset[d + 1] - out->offset[d]);
        const enum od_status status = reserve(b, size, err);
        if (status != OD_OK) {
            return status;
        }
        const size_t to = (size_t)out->offset[out->count];
        memcpy(out->ids + to, out->ids + from, size * sizeof *out->ids);
        memcpy(out->label + to, out->label + from, size);
        for (size_t k = 0; k < size; k++) {
            out->label_count += out->label[to + k];
        }
        out->count++;
        out->offset[out->count] = (int64_t)(to + size);
    }
    return OD_OK;
}

// `weight` of 2.5: the documents twice, then a share of a half.
static enum od_status apply_weight(struct builder *b, int64_t first, double weight, size_t spec,
                                   struct od_error *err)
{
    const int64_t last = b->out->count;
    const int64_t whole = (int64_t)floor(weight);
    const double share = weight - floor(weight);
    for (int64_t k = 1; k < whole + (share > 0 && whole > 0); k++) {
        const enum od_status status = repeat(b, first, last, err);
        if (status != OD_OK) {
            return status;
        }
    }
    if (share > 0) {
        const int64_t from = whole > 0 ? first + whole * (last - first) : first;
        keep_some(b, from, (uint64_t)llround(share * (double)(b->out->count - from)), spec);
    }
    return OD_OK;
}

static enum od_status read_rows(struct builder *b, struct od_rows *rows,
                                struct od_dataset_counts *counts, struct od_error *err)
{
    for (;;) {
        struct od_row row = {0};
        bool more = false;
        enum od_status status = od_rows_next(rows, &row, &more, err);
        if (status != OD_OK || !more) {
            return status;
        }
        status = add_row(b, &row, counts, err);
        if (status != OD_OK) {
            od_error_prefix(err, "%s:%" PRId64, rows->name, row.line);
            return status;
        }
    }
}

static enum od_status check_spec(const struct od_dataset_spec *spec, struct od_error *err)
{
    if (!(spec->weight > 0) || spec->weight > (double)OD_DATASET_WEIGHT_MAX) {
        return od_fail(err, OD_E_ARGUMENT,
                       "'%s': a weight of %g: it must be above 0 and at most %d", spec->path,
                       spec->weight, (int)OD_DATASET_WEIGHT_MAX);
    }
    return spec->max_rows >= 0
               ? OD_OK
               : od_fail(err, OD_E_ARGUMENT, "'%s': max_rows is below 0", spec->path);
}

enum od_status od_dataset_find(const char *path, char *ret_path, size_t size, struct od_error *err)
{
    const enum od_status status = od_text_find(path, ret_path, size, err);
    if (status != OD_E_NOT_FOUND) {
        return status;
    }
    return od_fail(err, OD_E_NOT_FOUND,
                   "there is no file '%s' and no '%s.gz'; nothing is downloaded here: fetch a data "
                   "set (hf download NAME --repo-type dataset --local-dir DIR) and give its files",
                   path, path);
}

enum od_status od_dataset_template(const struct od_dataset_spec *spec, const char *model_folder,
                                   struct od_chat_template **ret, struct od_error *err)
{
    enum od_status status = OD_OK;
    *ret = NULL;
    if (spec->type != OD_DATASET_CHAT && spec->type != OD_DATASET_OASST) {
        return OD_OK;
    }
    if (spec->chat_template && strcmp(spec->chat_template, "tokenizer_default") != 0) {
        status = od_chat_template_create(spec->chat_template, ret, err);
    } else if (model_folder) {
        status = od_chat_template_read(model_folder, ret, err);
    } else {
        return od_fail(err, OD_E_ARGUMENT, "'%s': conversations need a 'chat_template'",
                       spec->path);
    }
    if (status != OD_OK) {
        od_error_prefix(err, "'%s'", spec->path);
    }
    return status;
}

static enum od_status load_file(struct builder *b, const struct od_dataset_spec *spec, size_t index,
                                struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    char *text = NULL;
    size_t size = 0;
    struct od_chat_template *chat_template = NULL;
    struct od_dataset *out = b->out;
    struct od_dataset_counts *counts = &out->counts[index];
    const int64_t first = out->count;
    enum od_status status = check_spec(spec, err);
    if (status == OD_OK) {
        status = od_dataset_template(spec, b->options->model_folder, &chat_template, err);
    }
    if (status == OD_OK) {
        status = od_dataset_find(spec->path, path, sizeof path, err);
    }
    if (status == OD_OK) {
        status = od_sha256_file(path, out->digest[index], err);
    }
    if (status == OD_OK) {
        status = od_text_read(path, OD_DATASET_FILE_MAX_BYTES, &text, &size, err);
    }
    if (status == OD_OK) {
        const struct od_rows_options options = {
            .spec = spec, .chat_template = chat_template, .tokenizer = b->encoder.tokenizer};
        status = od_rows_init(b->rows, &options, text, size, err);
    }
    if (status == OD_OK) {
        status = read_rows(b, b->rows, counts, err);
    }
    if (status == OD_OK && spec->max_rows > 0 && out->count - first > spec->max_rows) {
        keep_some(b, first, (uint64_t)spec->max_rows, index);
    }
    if (status == OD_OK) {
        status = apply_weight(b, first, spec->weight, index, err);
    }
    od_rows_release(b->rows);
    od_chat_template_free(chat_template);
    counts->documents = out->count - first;
    counts->tokens = out->offset[out->count] - out->offset[first];
    return status;
}

static enum od_status check_result(const struct od_dataset *out, struct od_error *err)
{
    struct od_dataset_counts sum = {0};
    if (out->count > 0) {
        return OD_OK;
    }
    for (size_t i = 0; i < out->file_count; i++) {
        sum.rows += out->counts[i].rows;
        sum.empty += out->counts[i].empty;
        sum.too_long += out->counts[i].too_long;
    }
    return od_fail(err, OD_E_FORMAT,
                   "the data has nothing to learn: %" PRId64 " rows, %" PRId64
                   " of them empty, %" PRId64 " longer than sequence_len",
                   sum.rows, sum.empty, sum.too_long);
}

enum od_status od_dataset_load(const struct od_dataset_spec *specs, size_t spec_count,
                               const struct od_tokenizer *tokenizer,
                               const struct od_dataset_options *options, struct od_dataset *ret,
                               struct od_error *err)
{
    if (spec_count < 1 || spec_count > OD_DATASET_FILES_MAX) {
        return od_fail(err, OD_E_ARGUMENT, "%zu data files: there must be 1 to %d", spec_count,
                       (int)OD_DATASET_FILES_MAX);
    }
    if (options->sequence_len < 2 || options->sequence_len > OD_DATASET_SEQUENCE_LEN_MAX) {
        return od_fail(err, OD_E_ARGUMENT, "sequence_len is %" PRId64 ": it must be 2 to %d",
                       options->sequence_len, (int)OD_DATASET_SEQUENCE_LEN_MAX);
    }
    enum od_status status = OD_OK;
    struct builder b = {.options = options};
    struct od_dataset *out = od_alloc(1, sizeof *out);  // too large for the stack
    b.rows = od_alloc(1, sizeof *b.rows);               // so is this
    if (out) {
        out->file_count = spec_count;
        out->offset = od_alloc(1, sizeof *out->offset);
    }
    if (!out || !out->offset || !b.rows) {
        status = od_fail(err, OD_E_MEMORY, "no memory for the data");
        goto done;
    }
    b.out = out;
    status = od_encoder_init(&b.encoder, tokenizer, options->train_on_inputs, err);
    for (size_t i = 0; status == OD_OK && i < spec_count; i++) {
        status = load_file(&b, &specs[i], i, err);
    }
    if (status == OD_OK) {
        status = check_result(out, err);
    }
    if (status == OD_OK) {
        *ret = *out;
        *out = (struct od_dataset){0};  // ownership moved to *ret
    }

done:
    od_encoder_release(&b.encoder);
    od_free(b.rows);
    if (out) {
        od_dataset_release(out);
    }
    od_free(out);
    return status;
}

void od_dataset_release(struct od_dataset *dataset)
{
    od_free(dataset->ids);
    od_free(dataset->label);
    od_free(dataset->offset);
    *dataset = (struct od_dataset){0};
}
