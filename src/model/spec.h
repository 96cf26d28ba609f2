/**
 * @file
 * The facts about a model that its config.json states.
 *
 * Known families: llama, mistral, qwen2, qwen3, gpt2.
 *
 * @source Hugging Face transformers: LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config, GPT2Config,
 *         and modeling_rope_utils (linear, llama3 and yarn scaling of rotary positions).
 * @thread Re-entrant: no state outside the arguments.
 */
#ifndef OD_MODEL_SPEC_H
#define OD_MODEL_SPEC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "ops/op.h"

enum {
    OD_SPEC_LAYERS_MAX = 1024,
    OD_SPEC_CHANNELS_MAX = 1 << 17,
    OD_SPEC_FFN_MAX = 1 << 20,
    OD_SPEC_VOCAB_MAX = 1 << 21,
    OD_SPEC_HEADS_MAX = 1024,
    OD_SPEC_POSITIONS_MAX = 1 << 24
};

/** How rotary frequencies are changed for longer contexts. */
enum od_rope_scaling { OD_ROPE_PLAIN, OD_ROPE_LINEAR, OD_ROPE_LLAMA3, OD_ROPE_YARN };

/** Zero stands for what Llama has. */
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
    bool layer_norm;         ///< LayerNorm with biases; else RMSNorm
    bool learned_positions;  ///< a table that is added to the embedding; else rotary ones
    bool plain_mlp;          ///< one product, activation, one product; else gated
    enum od_activation activation;
    bool qkv_bias;
    bool out_bias;        ///< of the attention's output
    bool mlp_bias;        ///< of all products of the feed-forward part
    bool head_norm;       ///< queries and keys are normed per head, before the rotation
    int64_t window;       ///< keys that a query sees, itself counted; 0: all before it
    int64_t window_from;  ///< first layer that has the window
    double rope_theta;
    enum od_rope_scaling rope_scaling;
    double rope_factor;     ///< scaling: by how much,
    double rope_low;        ///< llama3: low_freq_factor,
    double rope_high;       ///< high_freq_factor,
    double rope_original;   ///< llama3, yarn: original_max_position_embeddings
    double rope_fast;       ///< yarn: beta_fast, turns in the original context: as many are kept,
    double rope_slow;       ///< beta_slow, as few are stretched,
    double rope_attention;  ///< what cosines and sines are multiplied by,
    bool rope_between;      ///< the border lies between two pairs (truncate: false)
    double init_std;        ///< initializer_range
    bool tied;              ///< the head is the embedding table
    bool head_copied;  ///< it is one of its own that files do not have: it starts as that table
    int32_t bos;       ///< -1: none
    int32_t eos;       ///< -1: none
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

/** Give a model whose head is its embedding table a head of its own, which starts as that table. */
void od_spec_untie(struct od_spec *spec);

/** Angle from one position to the next of pair `index` of a head, the spec's scaling applied. */
double od_spec_rope_frequency(const struct od_spec *spec, int64_t index);

/** cos and sin of each position's angles, the spec's scaling applied: [positions, D], D/2 cosines then
 *  D/2 sines a row. YaRN's factor of the attention is in them. */
void od_spec_rope_table(const struct od_spec *spec, int64_t positions, float *table);

/** Number of weights; the tied head counts once. */
int64_t od_spec_parameters(const struct od_spec *spec);

#endif
