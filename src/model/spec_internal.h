/**
 * @file
 * What the files about a model's facts share: rotary positions and how they are scaled.
 *
 * @source Hugging Face transformers, modeling_rope_utils; Peng et al., "YaRN: Efficient Context Window
 *         Extension of Large Language Models", 2023, section 3.
 * @thread Re-entrant: no state outside the arguments.
 */
#ifndef OD_MODEL_SPEC_INTERNAL_H
#define OD_MODEL_SPEC_INTERNAL_H

#include <jansson.h>

#include "base/status.h"
#include "formats/json.h"
#include "model/spec.h"

/** What YaRN has where nothing is said: as many turns are kept, as few stretched. */
#define OD_YARN_FAST 32.0
#define OD_YARN_SLOW 1.0

/** rope_theta, rope_scaling and rope_parameters of a config. Needs head_dim and max_positions. */
enum od_status od_spec_read_rope(const json_t *config, const char *where, struct od_spec *spec,
                                 struct od_error *err) OD_MUST_CHECK;
/** The same keys of a config that is written. */
void od_spec_put_rope(struct od_json_writer *w, const struct od_spec *spec);

/** YaRN's factor of the attention for a stretching by `factor`: 1 + weight * ln(factor) / 10. */
double od_spec_yarn_attention(double factor, double weight);
/** That YaRN's numbers tell which waves are kept and which are stretched. */
enum od_status od_spec_check_yarn(const struct od_spec *spec, const char *where,
                                  struct od_error *err) OD_MUST_CHECK;

#endif
