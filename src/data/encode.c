// A document grows turn by turn in e->row:
//
//   ids     BOS prompt 1 . answer 1 . rest of prompt 2 . answer 2 . EOS
//   label    0     0          1              0              1       1
//
// The whole prompt of turn 2 is encoded as serving does it; only when it starts with the ids that are
// there already does the document go on, otherwise it ends and the prompt starts another one.
#include "data/encode.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "data/dataset.h"
#include "data/rows.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

/** A row's text can become a few ids more than it has bytes. */
#define ROW_IDS_MAX (4 * (size_t)OD_DATASET_ROW_MAX_BYTES)

// Does the tokenizer put a blank in front of a text? Seen in what the ids of "a" spell.
static enum od_status find_dummy_prefix(struct od_encoder *e, struct od_error *err)
{
    struct od_buf text;
    od_buf_init(&text, 1024);
    od_ids_reset(&e->row);
    enum od_status status =
        od_tokenizer_encode(e->tokenizer, "a", 1, OD_ENCODE_PLAIN, &e->row, err);
    if (status == OD_OK) {
        status =
            od_tokenizer_decode(e->tokenizer, e->row.data, e->row.count, OD_DECODE_RAW, &text, err);
    }
    if (status == OD_OK) {
        status = od_buf_check(&text, err);
    }
    e->dummy_prefix = status == OD_OK && text.size > 1 && text.bytes[0] == ' ';
    od_buf_release(&text);
    return status;
}

// Append to `row` the ids of `text` as they follow on the character `anchor`; *ret_done is false
// when the anchor grows together with the text.
static enum od_status encode_behind(struct od_encoder *e, char anchor, const char *text,
                                    size_t size, bool *ret_done, struct od_error *err)
{
    char *joined = od_alloc(size + 1, 1);
    size_t anchor_count = 0;
    *ret_done = false;
    if (!joined) {
        return od_fail(err, OD_E_MEMORY, "no memory for a text of %zu bytes", size);
    }
    joined[0] = anchor;
    memcpy(joined + 1, text, size);
    od_ids_reset(&e->piece);
    enum od_status status =
        od_tokenizer_encode(e->tokenizer, &anchor, 1, OD_ENCODE_PLAIN, &e->piece, err);
    if (status == OD_OK) {
        anchor_count = e->piece.count;
        status =
            od_tokenizer_encode(e->tokenizer, joined, size + 1, OD_ENCODE_PLAIN, &e->piece, err);
    }
    if (status == OD_OK) {
        const int32_t *ids = e->piece.data;
        *ret_done = e->piece.count >= 2 * anchor_count &&
                    memcmp(ids, ids + anchor_count, anchor_count * sizeof *ids) == 0;
        for (size_t i = 2 * anchor_count; *ret_done && i < e->piece.count; i++) {
            od_ids_push(&e->row, ids[i]);
        }
        status = od_ids_check(&e->row, err);
    }
    od_free(joined);
    return status;
}

// Append the ids of an answer: of a text that goes on, not of one that starts.
static enum od_status encode_answer(struct od_encoder *e, const char *text, size_t size,
                                    struct od_error *err)
{
    static const char anchors[] = {'\n', ':', '0'};
    if (!e->dummy_prefix) {
        return od_tokenizer_encode(e->tokenizer, text, size, OD_ENCODE_PLAIN, &e->row, err);
    }
    for (size_t i = 0; i < sizeof anchors; i++) {
        bool done = false;
        const enum od_status status = encode_behind(e, anchors[i], text, size, &done, err);
        if (status != OD_OK || done) {
            return status;
        }
    }
    return od_fail(err, OD_E_UNSUPPORTED,
                   "the tokenizer has no way to write this answer behind another text");
}

enum od_status od_encoder_init(struct od_encoder *encoder, const struct od_tokenizer *tokenizer,
                               bool train_on_inputs, struct od_error *err)
{
    *encoder = (struct od_encoder){.tokenizer = tokenizer, .train_on_inputs = train_on_inputs};
    od_ids_init(&encoder->row, ROW_IDS_MAX);
    od_ids_init(&encoder->piece, ROW_IDS_MAX);
    return find_dummy_prefix(encoder, err);
}

void od_encoder_release(struct od_encoder *encoder)
{
    od_ids_release(&encoder->row);
    od_ids_release(&encoder->piece);
    od_free(encoder->label);
    *encoder = (struct od_encoder){0};
}

// Label the ids [from, row.count).
static enum od_status set_labels(struct od_encoder *e, size_t from, bool learned,
                                 struct od_error *err)
{
    enum od_status status = od_ids_check(&e->row, err);
    if (status == OD_OK && e->row.count > e->label_capacity) {
        const size_t capacity = e->row.count + e->row.count / 2 + 256;
        uint8_t *label = od_realloc(e->label, capacity, sizeof *label);
        if (!label) {
            return od_fail(err, OD_E_MEMORY, "no memory for %zu labels", capacity);
        }
        e->label = label;
        e->label_capacity = capacity;
    }
    for (size_t i = from; status == OD_OK && i < e->row.count; i++) {
        e->label[i] = i > 0 && (learned || e->train_on_inputs);  // nothing predicts the first
    }
    return status;
}

// End the document with EOS, once, and hand it over if there is anything to learn.
static enum od_status end_document(struct od_encoder *e, od_document_sink sink, void *context,
                                   size_t *documents, struct od_error *err)
{
    const int32_t eos = od_tokenizer_eos(e->tokenizer);
    const size_t count = e->row.count;
    if (eos >= 0 && (count == 0 || e->row.data[count - 1] != eos)) {
        od_ids_push(&e->row, eos);
    }
    enum od_status status = set_labels(e, count, true, err);
    bool learned = false;
    for (size_t i = 0; status == OD_OK && !learned && i < e->row.count; i++) {
        learned = e->label[i] != 0;
    }
    if (status == OD_OK && learned) {
        status = sink(context, e->row.data, e->label, e->row.count, err);
        (*documents)++;
    }
    od_ids_reset(&e->row);
    return status;
}

static enum od_status encode_text(struct od_encoder *e, const struct od_row *row,
                                  od_document_sink sink, void *context, size_t *documents,
                                  struct od_error *err)
{
    enum od_status status = od_tokenizer_encode(e->tokenizer, row->text, row->text_size,
                                                OD_ENCODE_SPECIAL, &e->row, err);
    if (status == OD_OK) {
        status = set_labels(e, 0, true, err);
    }
    return status == OD_OK ? end_document(e, sink, context, documents, err) : status;
}

// Does the prompt in e->piece start with the document so far?
static bool goes_on(const struct od_encoder *e)
{
    return e->row.count == 0 ||
           (e->piece.count >= e->row.count &&
            memcmp(e->piece.data, e->row.data, e->row.count * sizeof *e->row.data) == 0);
}

static enum od_status encode_turn(struct od_encoder *e, const struct od_turn *turn,
                                  od_document_sink sink, void *context, size_t *documents,
                                  struct od_error *err)
{
    od_ids_reset(&e->piece);
    enum od_status status =
        od_prompt_encode(e->tokenizer, turn->prompt, turn->prompt_size, &e->piece, err);
    if (status == OD_OK && !goes_on(e)) {
        status = end_document(e, sink, context, documents, err);
    }
    const size_t before = e->row.count;
    for (size_t i = before; status == OD_OK && i < e->piece.count; i++) {
        od_ids_push(&e->row, e->piece.data[i]);
    }
    if (status == OD_OK) {
        status = set_labels(e, before, false, err);
    }
    const size_t answer_at = e->row.count;
    if (status == OD_OK) {
        status = encode_answer(e, turn->answer, turn->answer_size, err);
    }
    return status == OD_OK ? set_labels(e, answer_at, true, err) : status;
}

enum od_status od_encode_row(struct od_encoder *encoder, const struct od_row *row,
                             od_document_sink sink, void *context, size_t *ret_documents,
                             struct od_error *err)
{
    enum od_status status = OD_OK;
    size_t documents = 0;
    od_ids_reset(&encoder->row);
    if (row->text) {
        status = encode_text(encoder, row, sink, context, &documents, err);
    }
    for (size_t i = 0; status == OD_OK && i < row->turn_count; i++) {
        status = encode_turn(encoder, &row->turns[i], sink, context, &documents, err);
    }
    if (status == OD_OK && row->turn_count > 0) {
        status = end_document(encoder, sink, context, &documents, err);
    }
    if (status == OD_OK) {
        *ret_documents = documents;
    }
    return status;
}
