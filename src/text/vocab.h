/**
 * @file
 * The pieces of a tokenizer: id to text and text to id.
 *
 *     pieces[id] -> {at, size, kind} -> text.bytes[at .. at + size)
 *     slots[hash(text) & mask] -> id          open addressing, linear probing, -1 is empty
 *
 * Filled once, then only read.
 *
 * @thread Re-entrant: distinct objects from distinct threads; reading one from many is fine.
 */
#ifndef OD_TEXT_VOCAB_H
#define OD_TEXT_VOCAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

/** What a piece stands for. The order of those behind NONE is that of SentencePiece's `type`. */
enum od_piece_kind {
    OD_PIECE_NONE,     ///< a hole: no piece has this id
    OD_PIECE_NORMAL,   ///< text
    OD_PIECE_UNKNOWN,  ///< stands for what no piece covers
    OD_PIECE_CONTROL,  ///< never made from text, leaves no text
    OD_PIECE_USER,     ///< always one token where it stands in a text
    OD_PIECE_UNUSED,   ///< takes part in merges and is split again afterwards
    OD_PIECE_BYTE      ///< <0x00> to <0xFF>: one byte of what no piece covers
};

/** One piece. */
struct od_piece {
    uint32_t at;    ///< offset of its text in `text`
    uint32_t size;  ///< bytes
    uint8_t kind;   ///< enum od_piece_kind
    bool special;   ///< an added token marked special, or a control piece
    // How an added token is found in a text:
    bool single_word;  ///< only where no word character touches it
    bool lstrip;       ///< takes the white space before it
    bool rstrip;       ///< takes the white space behind it
};

/** All pieces. */
struct od_vocab {
    struct od_buf text;       ///< texts of all pieces, one behind the other
    struct od_piece *pieces;  ///< [count]
    int32_t count;            ///< largest id + 1
    int32_t capacity;         ///< private: room in `pieces`
    int32_t *slots;           ///< private: hash table
    uint32_t slot_mask;       ///< private
    size_t entries;           ///< private: filled slots
    size_t size_max;          ///< bytes of the longest piece
};

/** A table without pieces. Allocates nothing yet. */
void od_vocab_init(struct od_vocab *vocab);
/** Free what it holds. */
void od_vocab_release(struct od_vocab *vocab);
/**
 * Add the piece `text` under `id`.
 * @memory Borrows `text`.
 * @error  OD_E_FORMAT when the id or the text is taken; OD_E_LIMIT for an id outside
 *         0..OD_TOKENIZER_VOCAB_MAX-1 or a piece longer than OD_TOKENIZER_PIECE_MAX_BYTES.
 */
enum od_status od_vocab_add(struct od_vocab *vocab, int64_t id, const char *text, size_t size,
                            enum od_piece_kind kind, struct od_error *err) OD_MUST_CHECK;
/** Id of the piece written exactly so, or -1. */
int32_t od_vocab_find(const struct od_vocab *vocab, const char *text, size_t size);
/** Text of a piece that exists; `ret_size` gets its bytes. @memory Borrowed, not NUL-terminated. */
const char *od_vocab_text(const struct od_vocab *vocab, int32_t id, size_t *ret_size);

#endif
