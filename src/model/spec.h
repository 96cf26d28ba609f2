/**
 * @file
 * The facts about a model that its config.json states.
 *
 * Known families: llama, and mistral where its sliding window is off or as long as the context.
 *
 * @source Hugging Face transformers: LlamaConfig, MistralConfig.
 * @thread Re-entrant: no state outside the arguments.
 */
#ifndef OD_MODEL_SPEC_H
#define OD_MODEL_SPEC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

enum {
    OD_SPEC_LAYERS_MAX = 1024,
    OD_SPEC_CHANNELS_MAX = 1 << 17,
    OD_SPEC_FFN_MAX = 1 << 20,
    OD_SPEC_VOCAB_MAX = 1 << 21,
    OD_SPEC_HEADS_MAX = 1024,
    OD_SPEC_POSITIONS_MAX = 1 << 24
};

struct od_spec {
    char family[16];        ///< model_type
    int64_t vocab;          ///< V
    int64_t channels;       ///< C, hidden_size
    int64_t ffn;            ///< F, intermediate_size
    int64_t layers;         ///< L
    int32_t heads;          ///< H
    int32_t kv_heads;       ///< G
    int32_t head_dim;       ///< D
    int64_t max_positions;  ///< context
    float norm_eps;
    double rope_theta;
    double init_std;  ///< initializer_range
    bool tied;        ///< the head is the embedding table
    int32_t bos;      ///< -1: none
    int32_t eos;      ///< -1: none
};

/**
 * Read config.json (or another file of that form). A key that changes the arithmetic and is not
 * known here (scaled positions, biases, another activation ...) is OD_E_UNSUPPORTED.
 */
enum od_status od_spec_read(const char *path, struct od_spec *ret,
                            struct od_error *err) OD_MUST_CHECK;

/** config.json for a model that was trained here. */
enum od_status od_spec_write(const struct od_spec *spec, struct od_buf *out,
                             struct od_error *err) OD_MUST_CHECK;

/** Number of weights; the tied head counts once. */
int64_t od_spec_parameters(const struct od_spec *spec);

#endif
