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
#include "data/rows.h"
#include "formats/text_file.h"
#include "text/tokenizer.h"

/** Key of the seeded order from which a share of the documents is taken. */
#define SHARE_ORDER UINT64_C(0x7368617265)
/** A row's text can become a few ids more than it has bytes. */
#define ROW_IDS_MAX (4 * (size_t)OD_DATASET_ROW_MAX_BYTES)

/** The dataset while it grows. */
struct builder {
    struct od_dataset *out;
    const struct od_tokenizer *tokenizer;
    const struct od_dataset_options *options;
    struct od_ids row;         ///< ids of the row in work
    struct od_ids piece;       ///< ids behind an anchor
    size_t answer_start;       ///< first id of `row` that is learned
    bool dummy_prefix;         ///< the tokenizer puts a blank in front of every text
    size_t token_capacity;     ///< of out->ids and out->label
    size_t document_capacity;  ///< of out->offset, without the last
};

void od_alpaca_prompt(struct od_buf *out, const char *instruction, const char *input)
{
    const bool has_input = input && *input != '\0';
    od_buf_puts(out, "Below is an instruction that describes a task");
    od_buf_puts(out, has_input ? ", paired with an input that provides further context" : "");
    od_buf_puts(out, ". Write a response that appropriately completes the request.\n\n");
    od_buf_puts(out, "### Instruction:\n");
    od_buf_puts(out, instruction);
    if (has_input) {
        od_buf_puts(out, "\n\n### Input:\n");
        od_buf_puts(out, input);
    }
    od_buf_puts(out, "\n\n### Response:\n");
}

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

// Append a document: `count` ids, learned from index `learned` on (never the first).
static enum od_status append(struct builder *b, const int32_t *ids, size_t count, size_t learned,
                             struct od_error *err)
{
    struct od_dataset *out = b->out;
    const enum od_status status = reserve(b, count, err);
    if (status != OD_OK) {
        return status;
    }
    const size_t at = (size_t)out->offset[out->count];
    memcpy(out->ids + at, ids, count * sizeof *ids);
    for (size_t i = 0; i < count; i++) {
        out->label[at + i] = i > 0 && i >= learned;
        out->label_count += out->label[at + i];
    }
    out->count++;
    out->offset[out->count] = (int64_t)(at + count);
    return OD_OK;
}

// Does the tokenizer put a blank in front of a text? Seen in what the ids of "a" spell.
static enum od_status find_dummy_prefix(struct builder *b, struct od_error *err)
{
    struct od_buf text;
    od_buf_init(&text, 1024);
    od_ids_reset(&b->row);
    enum od_status status =
        od_tokenizer_encode(b->tokenizer, "a", 1, OD_ENCODE_PLAIN, &b->row, err);
    if (status == OD_OK) {
        status =
            od_tokenizer_decode(b->tokenizer, b->row.data, b->row.count, OD_DECODE_RAW, &text, err);
    }
    if (status == OD_OK) {
        status = od_buf_check(&text, err);
    }
    b->dummy_prefix = status == OD_OK && text.size > 1 && text.bytes[0] == ' ';
    od_buf_release(&text);
    return status;
}

// Append to `row` the ids of `text` as they follow on the character `anchor`; *ret_done is false
// when the anchor grows together with the text.
static enum od_status encode_behind(struct builder *b, char anchor, const char *text, size_t size,
                                    bool *ret_done, struct od_error *err)
{
    char *joined = od_alloc(size + 1, 1);
    size_t anchor_count = 0;
    *ret_done = false;
    if (!joined) {
        return od_fail(err, OD_E_MEMORY, "no memory for a text of %zu bytes", size);
    }
    joined[0] = anchor;
    memcpy(joined + 1, text, size);
    od_ids_reset(&b->piece);
    enum od_status status =
        od_tokenizer_encode(b->tokenizer, &anchor, 1, OD_ENCODE_PLAIN, &b->piece, err);
    if (status == OD_OK) {
        anchor_count = b->piece.count;
        status =
            od_tokenizer_encode(b->tokenizer, joined, size + 1, OD_ENCODE_PLAIN, &b->piece, err);
    }
    if (status == OD_OK) {
        const int32_t *ids = b->piece.data;
        *ret_done = b->piece.count >= 2 * anchor_count &&
                    memcmp(ids, ids + anchor_count, anchor_count * sizeof *ids) == 0;
        for (size_t i = 2 * anchor_count; *ret_done && i < b->piece.count; i++) {
            od_ids_push(&b->row, ids[i]);
        }
        status = od_ids_check(&b->row, err);
    }
    od_free(joined);
    return status;
}

// Append the ids of an answer: of a text that goes on, not of one that starts.
static enum od_status encode_answer(struct builder *b, const char *text, size_t size,
                                    struct od_error *err)
{
    static const char anchors[] = {'\n', ':', '0'};
    if (!b->dummy_prefix) {
        return od_tokenizer_encode(b->tokenizer, text, size, OD_ENCODE_PLAIN, &b->row, err);
    }
    for (size_t i = 0; i < sizeof anchors; i++) {
        bool done = false;
        const enum od_status status = encode_behind(b, anchors[i], text, size, &done, err);
        if (status != OD_OK || done) {
            return status;
        }
    }
    return od_fail(err, OD_E_UNSUPPORTED,
                   "the tokenizer has no way to write this answer behind another text");
}

// Make b->row and b->answer_start from a row.
static enum od_status encode_row(struct builder *b, const struct od_row *row, struct od_error *err)
{
    const int32_t eos = od_tokenizer_eos(b->tokenizer);
    const bool completion = row->prompt == NULL;
    od_ids_reset(&b->row);
    enum od_status status = od_tokenizer_encode(
        b->tokenizer, completion ? row->answer : row->prompt,
        completion ? row->answer_size : row->prompt_size, OD_ENCODE_SPECIAL, &b->row, err);
    b->answer_start = completion || b->options->train_on_inputs ? 0 : b->row.count;
    if (status == OD_OK && !completion) {
        status = encode_answer(b, row->answer, row->answer_size, err);
    }
    if (status != OD_OK) {
        return status;
    }
    if (eos >= 0 && (b->row.count == 0 || b->row.data[b->row.count - 1] != eos)) {
        od_ids_push(&b->row, eos);
    }
    return od_ids_check(&b->row, err);
}

// Cut a text of `count` ids into pieces. A last piece of one id could teach nothing, so the piece
// before it gives one away.
static enum od_status append_pieces(struct builder *b, struct od_error *err)
{
    const size_t longest = (size_t)b->options->sequence_len;
    size_t at = 0;
    while (at < b->row.count) {
        const size_t rest = b->row.count - at;
        size_t size = rest < longest ? rest : longest;
        size -= rest == longest + 1 && longest > 2;
        const enum od_status status = append(b, b->row.data + at, size, 0, err);
        if (status != OD_OK) {
            return status;
        }
        at += size;
    }
    return OD_OK;
}

static bool is_blank(const char *text, size_t size)
{
    od_strip(&text, &size);
    return size == 0;
}

static enum od_status add_row(struct builder *b, const struct od_row *row,
                              struct od_dataset_counts *counts, struct od_error *err)
{
    counts->rows++;
    counts->invalid_utf8 += row->invalid_utf8;
    if (is_blank(row->answer, row->answer_size)) {
        counts->empty++;
        return OD_OK;
    }
    enum od_status status = encode_row(b, row, err);
    if (status != OD_OK) {
        return status;
    }
    if (b->row.count < 2 || b->answer_start >= b->row.count) {
        counts->empty++;
        return OD_OK;
    }
    const bool too_long = b->row.count > (size_t)b->options->sequence_len;
    counts->too_long += too_long;
    if (!too_long) {
        status = append(b, b->row.data, b->row.count, b->answer_start, err);
    } else if (!row->prompt) {
        status = append_pieces(b, err);
    } else {
        return OD_OK;
    }
    counts->kept += status == OD_OK;
    return status;
}

// Keep a seeded share of the documents from `first` on, in their order.
static void keep_share(struct builder *b, int64_t first, double share, size_t spec)
{
    struct od_dataset *out = b->out;
    const int64_t count = out->count - first;
    const uint64_t wanted = (uint64_t)llround(share * (double)count);
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
        keep_share(b, whole > 0 ? first + whole * (last - first) : first, share, spec);
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

static enum od_status load_file(struct builder *b, const struct od_dataset_spec *spec, size_t index,
                                struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    char *text = NULL;
    size_t size = 0;
    struct od_rows rows = {0};
    struct od_dataset *out = b->out;
    struct od_dataset_counts *counts = &out->counts[index];
    const int64_t first = out->count;
    if (!(spec->weight > 0) || spec->weight > (double)OD_DATASET_WEIGHT_MAX) {
        return od_fail(err, OD_E_ARGUMENT,
                       "'%s': a weight of %g: it must be above 0 and at most %d", spec->path,
                       spec->weight, (int)OD_DATASET_WEIGHT_MAX);
    }
    enum od_status status = od_text_find(spec->path, path, sizeof path, err);
    if (status == OD_OK) {
        status = od_sha256_file(path, out->digest[index], err);
    }
    if (status == OD_OK) {
        status = od_text_read(path, OD_DATASET_FILE_MAX_BYTES, &text, &size, err);
    }
    if (status == OD_OK) {
        status = od_rows_init(&rows, spec->path, spec->type, text, size, err);
    }
    if (status == OD_OK) {
        status = read_rows(b, &rows, counts, err);
    }
    if (status == OD_OK) {
        status = apply_weight(b, first, spec->weight, index, err);
    }
    od_rows_release(&rows);
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
    struct builder b = {.tokenizer = tokenizer, .options = options};
    struct od_dataset *out = od_alloc(1, sizeof *out);  // too large for the stack
    od_ids_init(&b.row, ROW_IDS_MAX);
    od_ids_init(&b.piece, ROW_IDS_MAX);
    if (out) {
        out->file_count = spec_count;
        out->offset = od_alloc(1, sizeof *out->offset);
    }
    if (!out || !out->offset) {
        status = od_fail(err, OD_E_MEMORY, "no memory for the data");
        goto done;
    }
    b.out = out;
    status = find_dummy_prefix(&b, err);
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
    od_ids_release(&b.row);
    od_ids_release(&b.piece);
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
