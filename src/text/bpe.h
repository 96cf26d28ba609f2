/**
 * @file
 * Byte-pair encoding: join neighbours until no pair of them may be joined.
 *
 * Two rules for which pair is next, each with the leftmost pair first among equals:
 *
 *     od_bpe_encode      pairs of ids have a rank (the line of the merge list), lowest first
 *     od_bpe_encode_spm  two neighbours may be joined when their joined text is a piece; the
 *                        piece with the highest score first
 *
 * Symbols stand in a doubly linked list, candidate pairs in a binary heap: O(n log n) for n
 * symbols, whatever the text.
 *
 * @source Sennrich et al., "Neural machine translation of rare words with subword units", 2016;
 *         Kudo and Richardson, "SentencePiece", 2018.
 * @thread Re-entrant: a model may be read by many threads, a work space has one owner.
 */
#ifndef OD_TEXT_BPE_H
#define OD_TEXT_BPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "text/pairs.h"
#include "text/tokenizer.h"
#include "text/vocab.h"

enum { OD_BPE_MERGES_MAX = 1 << 23, OD_BPE_DIRECT_CODES = 1024 };

/** Longest text that is encoded as one word. */
#define OD_BPE_WORD_MAX_BYTES ((size_t)1 << 30)

/** One entry of the merge table. */
struct od_bpe_merge {
    uint64_t pair;  ///< left id << 32 | right id; UINT64_MAX is empty
    uint32_t rank;
    int32_t id;  ///< of the joined piece
};

/** Merge rules over a vocabulary. */
struct od_bpe {
    const struct od_vocab *vocab;         ///< kept, not owned
    struct od_bpe_merge *merges;          ///< private: hash table, NULL without merges
    uint32_t merge_mask;                  ///< private
    int32_t unknown_id;                   ///< for characters without piece; -1 drops them
    bool fuse_unknown;                    ///< neighbours without piece become one unknown
    bool byte_fallback;                   ///< characters without piece become their bytes
    bool ignore_merges;                   ///< a word that is a piece needs no merging
    char *prefix;                         ///< in front of every character but the first, or NULL
    char *suffix;                         ///< behind the last character, or NULL
    int32_t byte_ids[256];                ///< ids of <0x00> to <0xFF>, -1 where absent
    int32_t direct[OD_BPE_DIRECT_CODES];  ///< private: ids of the first code points
    struct od_pairs joints;               ///< private: symbols that may meet inside a piece
    bool has_joints;                      ///< private: false when `joints` says nothing
};

/** No rules yet; `vocab` must be complete. @memory Keeps `vocab`. */
void od_bpe_init(struct od_bpe *bpe, const struct od_vocab *vocab);
void od_bpe_release(struct od_bpe *bpe);
/** Room for `count` merges, before the first od_bpe_add_merge. */
enum od_status od_bpe_reserve(struct od_bpe *bpe, size_t count, struct od_error *err) OD_MUST_CHECK;
/** A merge of rank `rank`; a pair that is there already gets the new rank. */
void od_bpe_add_merge(struct od_bpe *bpe, int32_t left, int32_t right, uint32_t rank, int32_t id);
/** Prepare what encoding looks up. Call when the rules are complete. @error OD_E_MEMORY. */
enum od_status od_bpe_finish(struct od_bpe *bpe, struct od_error *err) OD_MUST_CHECK;

/** One symbol of the word being merged. */
struct od_bpe_symbol {
    int32_t id;     ///< -1 (only in SentencePiece's rule): no piece
    int32_t prev;   ///< index, -1 at the start
    int32_t next;   ///< index, -1 at the end
    uint32_t at;    ///< offset in the word
    uint32_t size;  ///< bytes; 0 once it is joined to its left neighbour
    bool frozen;    ///< a piece that is never joined
};

/** A pair that may be joined. */
struct od_bpe_candidate {
    uint64_t key;    ///< smallest first: order of the rule << 32 | index of the left symbol
    uint32_t check;  ///< what must still hold: the joined id, or the joined size
};

/** Memory that grows to the longest word and is used again. Initialise with {0}. */
struct od_bpe_work {
    struct od_bpe_symbol *symbols;
    size_t symbol_capacity;
    struct od_bpe_candidate *heap;
    size_t heap_count;
    size_t heap_capacity;
};

void od_bpe_work_release(struct od_bpe_work *work);

/** Append the ids of one word (valid UTF-8). @memory Borrows all. */
enum od_status od_bpe_encode(const struct od_bpe *bpe, const char *word, size_t size,
                             struct od_bpe_work *work, struct od_ids *out,
                             struct od_error *err) OD_MUST_CHECK;

/**
 * SentencePiece's rule. `work->symbols` [count] hold the characters (and the frozen user-defined
 * pieces) of `word` as a list; afterwards the list, from symbol 0 along `next`, is the result.
 * @param scores       [vocab->count].
 * @param joints       Code points that meet inside a piece, from od_bpe_find_joints_spm.
 * @param unused_left  [vocab->count]: for pieces of kind UNUSED, bytes of the left part of the last
 *                     pair that would make them; NULL when the vocabulary has none.
 */
enum od_status od_bpe_merge_spm(const struct od_vocab *vocab, const float *scores,
                                const struct od_pairs *joints, uint32_t *unused_left,
                                const char *word, size_t count, struct od_bpe_work *work,
                                struct od_error *err) OD_MUST_CHECK;

/** Neighbours inside the pieces that od_bpe_merge_spm makes. @memory Fills `joints`, which is empty
 *  and is released by the caller also on failure. @error OD_E_MEMORY. */
enum od_status od_bpe_find_joints_spm(const struct od_vocab *vocab, struct od_pairs *joints,
                                      struct od_error *err) OD_MUST_CHECK;

/** Make room for `count` symbols. */
enum od_status od_bpe_work_symbols(struct od_bpe_work *work, size_t count,
                                   struct od_error *err) OD_MUST_CHECK;

#endif
