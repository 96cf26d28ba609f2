/**
 * @file
 * What the files about GGUF models share.
 *
 * @thread Re-entrant: no state.
 */
#ifndef OD_MODEL_GGUF_INTERNAL_H
#define OD_MODEL_GGUF_INTERNAL_H

#include <stdint.h>

#include "model/spec.h"

/** What the model's family is called in GGUF files, or NULL. */
const char *od_gguf_architecture(const struct od_spec *spec);
/** Heads of a weight whose rows change places, 0 for one whose rows stay. */
int64_t od_gguf_turned_heads(const struct od_spec *spec, const char *name);
/** Our row that is row `row` of the file. */
int64_t od_gguf_our_row(int64_t row, int64_t head_dim);

#endif
