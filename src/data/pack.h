/**
 * @file
 * Packing: documents side by side in rows of at most `capacity` tokens, never cut, never seeing
 * each other (attention is block-diagonal), so that a packed step equals an unpacked one.
 *
 * A pure function of (dataset, capacity, seed, epoch): the order of documents is a seeded
 * permutation, packs are filled best-fit-decreasing inside windows of that order and then visited
 * in a seeded order. Resuming needs only (epoch, pack index).
 *
 * @thread Re-entrant: distinct objects from distinct threads.
 */
#ifndef OD_DATA_PACK_H
#define OD_DATA_PACK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "data/dataset.h"

enum {
    OD_PACK_CAPACITY_MAX = OD_DATASET_SEQUENCE_LEN_MAX,  ///< tokens in one pack
    OD_PACK_WINDOW = 1 << 16                             ///< documents that are packed together
};

/** The packs of one epoch: pack p holds documents doc[first[p]] .. doc[first[p+1]-1]. */
struct od_packs {
    int64_t count;
    int64_t *first;  ///< [count + 1]
    int64_t *doc;    ///< [first[count]]
    int64_t tokens;  ///< sum over all packs; fill = tokens / (count * capacity)
};

/**
 * With `packing` false every document is a pack of its own.
 * @memory Gives: od_packs_release.
 * @error  OD_E_LIMIT when a document is longer than `capacity`, OD_E_ARGUMENT for an empty dataset
 *         or document and a capacity outside 1 .. OD_PACK_CAPACITY_MAX, OD_E_MEMORY.
 */
enum od_status od_packs_make(const struct od_dataset *dataset, int64_t capacity, bool packing,
                             uint64_t seed, uint32_t epoch, struct od_packs *ret,
                             struct od_error *err) OD_MUST_CHECK;
/** Free and clear; one that was never made (all zero) is fine. */
void od_packs_release(struct od_packs *packs);

/**
 * What one forward and backward pass reads. Arrays are the caller's, with room for `capacity`
 * tokens (segment_start: capacity + 1).
 */
struct od_micro_batch {
    int64_t tokens;          ///< in use
    int64_t segments;        ///< documents in it
    int64_t label_count;     ///< positions with a target
    int32_t *ids;            ///< [tokens]
    int32_t *positions;      ///< [tokens] 0, 1, ... inside each document
    int32_t *targets;        ///< [tokens] id of the next token of the document, or -1: not learned
    int32_t *segment_start;  ///< [segments + 1] first token of each document; the last is `tokens`
};

/**
 * Append the documents of pack `pack` to `batch` (reset it with od_micro_batch_reset first).
 * @error OD_E_LIMIT when they do not fit into `capacity` tokens, OD_E_ARGUMENT without such a pack;
 *        the batch is as it was.
 */
enum od_status od_micro_batch_add(struct od_micro_batch *batch, int64_t capacity,
                                  const struct od_dataset *dataset, const struct od_packs *packs,
                                  int64_t pack, struct od_error *err) OD_MUST_CHECK;
/** Empty the batch; its arrays stay. */
void od_micro_batch_reset(struct od_micro_batch *batch);
/** Targets in pack `pack`: known before the step, so that every share of a step is normalised by
 *  the labels of the whole step. */
int64_t od_packs_label_count(const struct od_dataset *dataset, const struct od_packs *packs,
                             int64_t pack);

#endif
