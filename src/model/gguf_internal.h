/**
 * @file
 * What the files about GGUF models share.
 *
 * @thread Re-entrant: no state.
 */
#ifndef OD_MODEL_GGUF_INTERNAL_H
#define OD_MODEL_GGUF_INTERNAL_H

#include <stdint.h>

#include "base/status.h"
#include "formats/gguf.h"
#include "model/spec.h"

/** What the model's family is called in GGUF files, or NULL. */
const char *od_gguf_architecture(const struct od_spec *spec);
/** Table of embeddings. */
#define OD_GGUF_EMBEDDING     "token_embd.weight"
/** Tensor of learned positions; llama.cpp adds it as F32. */
#define OD_GGUF_POSITIONS     "position_embd.weight"
/** Tensor of the divisors of rotary frequencies. */
#define OD_GGUF_ROPE_DIVISORS "rope_freqs.weight"

/** Put the keys that say how rotary frequencies are scaled. OD_E_UNSUPPORTED for what files cannot say. */
enum od_status od_gguf_put_rope(const struct od_spec *spec, const char *architecture,
                                struct od_gguf_keys *keys, struct od_error *err) OD_MUST_CHECK;
/** Read them; the divisors in the file must be those of a scaling of the kind llama3. */
enum od_status od_gguf_read_rope(const struct od_gguf *gguf, const char *architecture,
                                 struct od_spec *spec, struct od_error *err) OD_MUST_CHECK;
/** Divisors of the frequencies [head_dim / 2], where the scaling is of a kind that has them. */
void od_gguf_rope_divisors(const struct od_spec *spec, float *out);

/** Heads of a weight whose rows change places, 0 for one whose rows stay. */
int64_t od_gguf_turned_heads(const struct od_spec *spec, const char *name);
/** Our row that is row `row` of the file. */
int64_t od_gguf_our_row(int64_t row, int64_t head_dim);

#endif
