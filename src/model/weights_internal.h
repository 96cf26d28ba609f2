/**
 * @file
 * Shared by the files that move weights.
 *
 * @thread Re-entrant: distinct objects from distinct threads.
 */
#ifndef OD_MODEL_WEIGHTS_INTERNAL_H
#define OD_MODEL_WEIGHTS_INTERNAL_H

#include <stdint.h>

#include "base/status.h"
#include "formats/safetensors.h"
#include "model/program.h"

/** Read parts of an open file into `tensors` (by tensor number); `path` stands in messages. */
enum od_status od_parts_read_open(const struct od_safetensors *st, const struct od_part *parts,
                                  int32_t count, float *const *tensors, const char *path,
                                  struct od_error *err) OD_MUST_CHECK;

#endif
