/**
 * @file
 * What the families and the backward rules use to write a program. After a failed call the builder
 * stays failed and later calls do nothing.
 *
 * @thread Re-entrant: distinct builders.
 */
#ifndef OD_MODEL_PROGRAM_INTERNAL_H
#define OD_MODEL_PROGRAM_INTERNAL_H

#include "model/program.h"

struct od_builder {
    struct od_program program;
    int32_t tensor_capacity;
    int32_t op_capacity;
    int32_t part_capacity;
    int32_t param_capacity;
    int32_t *layer_op;  ///< [layers + 1] first operation of each layer, and the one behind the last
    int32_t *again;     ///< tensor + 1 that holds a dropped tensor's values anew; -1: dropped
    int32_t *host_of;   ///< tensor + 1 with the host that a layer's input is stored in
    int32_t *next_fetch;   ///< tensor + 1 that is fetched when this one has come
    int32_t last_stored;   ///< tensor + 1 of the layer before
    bool *folded;          ///< X A^T lies in this tensor's spare columns
    int32_t *gradient_of;  ///< gradient tensor + 1 of each tensor; 0: none yet
    bool *flows;           ///< a trained weight lies before this tensor
    int64_t *fold_of;      ///< spare columns that the gradient of a tensor needs
    uint32_t linear_count;
    int64_t layer;  ///< that is being built
    bool failed;
};

enum { OD_MODULE_NAME_BYTES = 96 };

/** One named part of a (fused) linear layer. */
struct od_linear_part {
    enum od_target target;
    int64_t row;
    int64_t rows;
    char module[OD_MODULE_NAME_BYTES];  ///< "model.layers.0.self_attn.q_proj"
};

struct od_linear {
    char name[OD_TENSOR_NAME_BYTES];  ///< "layers.0.qkv"
    int64_t n;
    int64_t k;
    bool bias;        ///< each part has one
    bool transposed;  ///< in files the weights are [k, rows]
    int part_count;
    struct od_linear_part part[OD_ADAPTER_PARTS_MAX];
};

int32_t od_build_tensor(struct od_builder *b, enum od_role role, int64_t rows, int64_t cols,
                        const char *format, ...) __attribute__((format(printf, 5, 6)));
/** The same in fp32 whatever the program's layout: statistics and tables. */
int32_t od_build_float(struct od_builder *b, enum od_role role, int64_t rows, int64_t cols,
                       const char *format, ...) __attribute__((format(printf, 5, 6)));
/** The multiple of `step` that is not below `n`. */
static inline int64_t od_round_up(int64_t n, int64_t step)
{
    return (n + step - 1) / step * step;
}

/** At least `pad` spare columns. */
void od_build_pad(struct od_builder *b, int32_t tensor, int64_t pad);
/** A new operation with all slots empty. */
struct od_op *od_build_op(struct od_builder *b, enum od_op_kind kind);
/** A base weight; with its gradient and moments where it is trained. */
int32_t od_build_weight(struct od_builder *b, int64_t rows, int64_t cols, const char *name);
/** The same for a table of embeddings, whose moments are never codes. */
int32_t od_build_table(struct od_builder *b, int64_t rows, int64_t cols, const char *name);
/** The embedding [V, C], whose moments are never codes, or the head: trained in full beside adapters
 *  where the options say so. */
int32_t od_build_saved(struct od_builder *b, enum od_saved module, const char *name,
                       const char *file_name);
/** Norm weights: fp32 in every layout, never decayed. */
int32_t od_build_vectors(struct od_builder *b, int64_t rows, int64_t cols, const char *name);
/** A norm's bias [count, 1], kept as norm weights are. */
int32_t od_build_bias(struct od_builder *b, int64_t count, const char *name);
void od_build_weight_part(struct od_builder *b, int32_t tensor, int64_t row, int64_t rows,
                          const char *format, ...) __attribute__((format(printf, 5, 6)));
/** Weight, adapters and operation of a linear layer; gives its output. `residual` may be -1. */
int32_t od_build_linear(struct od_builder *b, const struct od_linear *layer, int32_t x,
                        int32_t residual);
/** The weight of a linear layer as codes, and the scratch that `op` decodes it into. */
void od_build_quantised(struct od_builder *b, struct od_op *op, const struct od_linear *layer);
/** bf16 copies of an adapter whose weight has no room for them; `width` of them, spare ones counted. */
void od_build_copies(struct od_builder *b, struct od_op *op, int64_t width);
/** The adapter of the embedding that EMBED looks rows up in; A is kept [V, r], B [C, r]. */
void od_build_embedding_adapter(struct od_builder *b, struct od_op *op, const char *file_name);
/** The adapter of HEAD_LOSS; its gradients are written by the operation itself. */
void od_build_head_adapter(struct od_builder *b, struct od_op *op);
/** Scratch of its own for a later operation over the same codes. */
void od_build_decoded_again(struct od_builder *b, struct od_op *op);
/** Gradient tensor of a trained tensor, or -1. */
int32_t od_build_gradient_of_param(const struct od_program *program, int32_t tensor);

/** Layer `index` begins here with input `x`; the number of layers: all are done. */
void od_build_layer(struct od_builder *b, int64_t index, int32_t x);
/** Mark what the options do not keep. */
void od_build_drop(struct od_builder *b);
/** Once all is built: what lies with the host has the shape of what it is copied from and to. */
void od_build_match(struct od_builder *b);
/** The tensor that has the values of a forward tensor in the backward pass: itself, or one that is
 *  computed again here. */
int32_t od_build_again(struct od_builder *b, int32_t number);

/** The tables and the batch that a program is given. First of all. */
void od_build_inputs(struct od_builder *b);
/** Token embedding; gives its output. */
int32_t od_build_embedding(struct od_builder *b, const char *file_name, int32_t *ret_weight);
/** RMSNorm or LayerNorm, whose weights files call MODULE.weight and MODULE.bias. */
int32_t od_build_norm(struct od_builder *b, int32_t x, const char *name, const char *module);
/** Norm of query and key heads; the weights' names in files. */
int32_t od_build_head_norm(struct od_builder *b, int32_t qkv, int64_t index, const char *query,
                           const char *key);
/** One more part of a linear layer: `rows` outputs that belong to a module. */
void od_build_part(struct od_linear *layer, enum od_target target, int64_t rows,
                   const char *module);
/** Rotation where positions are rotary, and attention. */
int32_t od_build_attention(struct od_builder *b, int32_t qkv, int64_t index);
/** The feed-forward part's activation, gated or not. */
int32_t od_build_activation(struct od_builder *b, int32_t x, int64_t index);
/** Loss or logits. */
void od_build_head(struct od_builder *b, int32_t x, int32_t embedding);

/** Forward list of the Llama family, and of GPT-2. */
void od_build_llama(struct od_builder *b);
void od_build_gpt2(struct od_builder *b);
/** Backward list of what has been built. */
void od_build_backward(struct od_builder *b);

#endif
