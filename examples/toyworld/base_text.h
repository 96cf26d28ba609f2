/**
 * @file
 * The text that a model is pre-trained on: short documents about the world.
 *
 * @thread One owner.
 */
#ifndef TOYWORLD_BASE_TEXT_H
#define TOYWORLD_BASE_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "world.h"

/** Kinds of documents. */
enum tw_document {
    TW_DOC_ANIMALS,  ///< statements about animals
    TW_DOC_SUMS,     ///< sums, one a line
    TW_DOC_STORIES,  ///< sums in words
    TW_DOC_TALK,     ///< questions with short answers
    TW_DOC_LOOKUP,   ///< the four values of an attribute under letters, and the letter of each
    TW_DOC_ECHO,     ///< made-up words, said twice
    TW_DOC_EXAM,     ///< questions about colours in the layout of evaluation
    TW_DOCUMENTS
};

/** How many of a hundred documents are of each kind, unless told otherwise. */
extern const uint32_t tw_default_mix[TW_DOCUMENTS];

/** Append documents, each ended by a line "<|endoftext|>", until there are `bytes` of text. */
void tw_put_base_text(struct od_buf *out, const struct tw_world *world, uint64_t seed,
                      const uint32_t mix[TW_DOCUMENTS], size_t bytes);

#endif
