/**
 * @file
 * The unigram model: of all ways to cut a text into pieces, the one whose scores sum to the most.
 *
 *     best[e] = max over pieces text[s..e) of best[s] + score(piece)      e = 1 .. size
 *
 * Where no piece is exactly the next character, that character may stand as an unknown one, at the
 * lowest score of all pieces less 10. Of equal sums the first one found stays: the one whose last
 * piece begins first. O(size * length of the longest piece).
 *
 * @source Kudo, "Subword regularization", 2018, eq. 1 to 4 (Viterbi); the order of ties is that of
 *         SentencePiece's and of Hugging Face's optimised encoders.
 * @order  Sums run from the start of the text. With `float_sums` a new sum is compared as a double
 *         and rounded to float when it is kept (an unknown character's is rounded before), as in
 *         SentencePiece; else all sums are doubles, as in Hugging Face's tokenizers. Which of two
 *         ways with the same real sum wins depends on it.
 * @thread Re-entrant: a finished model may be read by many threads, a work space has one owner.
 */
#ifndef OD_TEXT_UNIGRAM_H
#define OD_TEXT_UNIGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "text/prefixes.h"
#include "text/vocab.h"

/** Longest text that is encoded as one. */
#define OD_UNIGRAM_TEXT_MAX_BYTES  ((size_t)1 << 30)

/** What is taken off the lowest score for an unknown character. */
#define OD_UNIGRAM_UNKNOWN_PENALTY 10

/** Pieces with scores. Initialise with {0}. */
struct od_unigram {
    struct od_prefixes prefixes;  ///< of the pieces that a text may be cut into
    double *scores;               ///< owned: [scores_count], by id
    size_t scores_count;
    double unknown_score;  ///< of a character that no piece covers
    double
        score_max;  ///< highest of all, and FLT_MIN at least: what a byte of a user's piece is worth
    int32_t unknown_id;  ///< -1: what no piece covers is an error
    bool float_sums;     ///< see above
};

void od_unigram_release(struct od_unigram *unigram);

/** A cut of a text: where its part begins, and the piece that it is. */
struct od_unigram_part {
    double score;     ///< private: sum up to the end of this part
    uint32_t start;   ///< offset of the part that ends here; UINT32_MAX: no way leads here
    int32_t id;       ///< its piece, or the unknown one
    uint32_t behind;  ///< end of the part behind this one, once the way is found
};

/** Memory that grows to the longest text and is used again. Initialise with {0}. */
struct od_unigram_work {
    struct od_unigram_part *parts;  ///< [size + 1], by the offset where a part ends
    size_t capacity;
};

void od_unigram_work_release(struct od_unigram_work *work);

/**
 * Cut `text` [size] (valid UTF-8). Afterwards the way is in `work->parts`: the first part ends at
 * parts[0].behind, each further one at the `behind` of the one before; the last one's is 0.
 * @memory Borrows all.
 * @error  OD_E_MEMORY; OD_E_FORMAT for a character that no piece covers when no piece is unknown.
 */
enum od_status od_unigram_cut(const struct od_unigram *unigram, const struct od_vocab *vocab,
                              const char *text, size_t size, struct od_unigram_work *work,
                              struct od_error *err) OD_MUST_CHECK;

#endif
