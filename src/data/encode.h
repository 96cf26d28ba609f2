/**
 * @file
 * Rows to documents: ids and labels. Known only inside this room.
 *
 * @thread Re-entrant: distinct objects from distinct threads.
 */
#ifndef OD_DATA_ENCODE_H
#define OD_DATA_ENCODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "data/rows.h"
#include "text/tokenizer.h"

/** Takes a document: `count` ids and their labels. */
typedef enum od_status (*od_document_sink)(void *context, const int32_t *ids, const uint8_t *label,
                                           size_t count, struct od_error *err);

/** What encodes. Everything is private. */
struct od_encoder {
    const struct od_tokenizer *tokenizer;
    bool train_on_inputs;
    bool dummy_prefix;    ///< the tokenizer puts a blank in front of every text
    struct od_ids row;    ///< ids of the document in work
    struct od_ids piece;  ///< ids of a prompt, or behind an anchor
    uint8_t *label;       ///< [label_capacity] of `row`
    size_t label_capacity;
};

/** @memory Keeps `tokenizer`. Gives: od_encoder_release, on failure too. */
enum od_status od_encoder_init(struct od_encoder *encoder, const struct od_tokenizer *tokenizer,
                               bool train_on_inputs, struct od_error *err) OD_MUST_CHECK;
void od_encoder_release(struct od_encoder *encoder);

/**
 * Make documents of a row: one, or more where the prompt of a later turn does not start with the ids
 * of the turns before it. *ret_documents is how many; 0 when there is nothing to learn.
 */
enum od_status od_encode_row(struct od_encoder *encoder, const struct od_row *row,
                             od_document_sink sink, void *context, size_t *ret_documents,
                             struct od_error *err) OD_MUST_CHECK;

#endif
