/**
 * @file
 * Documents held out of training: which they are depends on the data and the seed alone.
 *
 * Equal documents count once: a document that is repeated in the data (a weight of 2, the same row
 * in two files) is either trained on or held out with all its copies, so that the evaluation loss
 * never measures what was learned by heart. Of a held-out document one copy is evaluated.
 *
 * @thread Re-entrant: distinct objects from distinct threads.
 */
#ifndef OD_TUNE_HOLDOUT_H
#define OD_TUNE_HOLDOUT_H

#include <stdint.h>

#include "base/status.h"
#include "data/dataset.h"

/**
 * Move documents of `data` to `ret`. `size` below 1 is a share of the distinct documents, rounded
 * up; from 1 on their number. Order is kept in both.
 * @memory Gives *ret: od_dataset_release. `data` is left as it was on failure.
 * @error  OD_E_REFUSED when nothing would be left to train on; OD_E_MEMORY.
 */
enum od_status od_holdout_take(struct od_dataset *data, double size, uint64_t seed,
                               struct od_dataset *ret, struct od_error *err) OD_MUST_CHECK;

#endif
