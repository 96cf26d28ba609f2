/**
 * @file
 * A model as a program: a flat list of operations over numbered tensors.
 *
 * The forward list is written by the family; the backward list is derived by one rule per
 * operation, in reverse order. Tensors know the first and last operation that touches them, which
 * is all that a memory plan needs. A part names a row range of a tensor as the model's files call
 * it: query, key and value projections are one fused weight with three parts.
 *
 * @thread Re-entrant: distinct objects from distinct threads.
 */
#ifndef OD_MODEL_PROGRAM_H
#define OD_MODEL_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "formats/dtype.h"
#include "model/spec.h"
#include "ops/op.h"

enum { OD_TENSOR_NAME_BYTES = 64, OD_PART_NAME_BYTES = 128 };

enum od_role {
    OD_ROLE_WEIGHT,      ///< base weights
    OD_ROLE_COPY,        ///< bf16 copies of trained base weights
    OD_ROLE_ADAPTER,     ///< trained adapter weights
    OD_ROLE_GRADIENT,    ///< of trained weights, summed over a step
    OD_ROLE_MOMENT,      ///< optimiser state
    OD_ROLE_CONSTANT,    ///< tables
    OD_ROLE_INPUT,       ///< of the batch (int32)
    OD_ROLE_CACHE,       ///< keys and values
    OD_ROLE_HOST,        ///< what a GPU's program keeps in the host's memory
    OD_ROLE_ACTIVATION,  ///< lives from `first` to `last`
    OD_ROLE_WORK,        ///< scratch, lives during operations `first` to `last`
    OD_ROLE_COUNT
};

/** A matrix: rows of `cols` elements, `pad` spare ones behind each, `pad_rows` spare rows. */
struct od_tensor {
    char name[OD_TENSOR_NAME_BYTES];
    enum od_role role;
    enum od_dtype dtype;  ///< F32, BF16, I32, or U8
    int64_t rows;
    int64_t cols;
    int64_t pad;       ///< spare columns: a row is cols + pad elements long
    int64_t pad_rows;  ///< spare rows at the end
    bool vectors;      ///< rows are vectors of their own: norm weights and biases
    int32_t master;    ///< the fp32 tensor that this bf16 copy follows; its own number when none
    int32_t first;     ///< first operation that touches it; -1 while none does
    int32_t last;
};

/** A row range of a tensor under the name that files use. */
struct od_part {
    char name[OD_PART_NAME_BYTES];
    int32_t tensor;
    int64_t row;
    int64_t rows;
    int64_t cols;
    int rank;             ///< 1 for norm weights and biases, 2 for matrices
    bool transposed;      ///< the file's matrix is [cols, rows]
    enum od_quant quant;  ///< `tensor` holds codes, `rows` and `cols` are those of the values
    int32_t scales;       ///< tensor of the scales
    int64_t scales_at;    ///< bytes from its start
    bool is_bytes;        ///< `tensor` is U8, and so is the file's
    bool is_copy;         ///< of the first part, whose values files have for it
};

/** A trained tensor with its gradient and moments. */
struct od_param {
    int32_t tensor;
    int32_t gradient;
    int32_t m;  ///< fp32, or codes (U8) whose scales are m_scales
    int32_t v;
    int32_t m_scales;  ///< [1, blocks], ops/adamw/adamw_8bit.h; -1: m and v are fp32
    int32_t v_scales;
    int32_t copy;  ///< bf16 copy that the operations read; -1: they read the tensor itself
    bool decay;    ///< weight decay applies (matrices)
    bool rounded;  ///< bf16 values without an fp32 master: rounded by chance after a step
};

/** The layers that can carry an adapter, in PEFT's names: the linear ones of a block, embedding, head. */
enum od_target {
    OD_TARGET_Q = 1 << 0,
    OD_TARGET_K = 1 << 1,
    OD_TARGET_V = 1 << 2,
    OD_TARGET_O = 1 << 3,
    OD_TARGET_GATE = 1 << 4,
    OD_TARGET_UP = 1 << 5,
    OD_TARGET_DOWN = 1 << 6,
    OD_TARGET_ALL = (1 << 7) - 1,  ///< of Llama and its kin
    OD_TARGET_C_ATTN = 1 << 7,
    OD_TARGET_C_PROJ = 1 << 8,
    OD_TARGET_C_FC = 1 << 9,
    OD_TARGET_ALL_GPT2 = 7 << 7,
    OD_TARGET_EMBED = 1 << 10,
    OD_TARGET_HEAD = 1 << 11,
    OD_TARGET_WTE = 1 << 12,  ///< GPT-2's embedding
    OD_TARGET_ALL_EMBED = OD_TARGET_EMBED | OD_TARGET_WTE
};
enum { OD_TARGET_NAMES = 13 };
/** Bit of a target module's name ("q_proj"), or 0. */
unsigned od_target_bit(const char *name);
/** Names of all targets, in bit order; OD_TARGET_NAMES of them. */
const char *od_target_name(int index);
/** The targets that a model has in its blocks: all of its linear layers but the head. */
unsigned od_spec_targets(const struct od_spec *spec);
/** Its embedding and its head. */
unsigned od_spec_outer_targets(const struct od_spec *spec);

/** Layers that get adapters, a bit each; none at all stands for every layer. */
struct od_layer_set {
    uint64_t bits[OD_SPEC_LAYERS_MAX / 64];
};

static inline void od_layer_set_add(struct od_layer_set *set, int64_t layer)
{
    set->bits[layer / 64] |= (uint64_t)1 << (layer % 64);
}

/** Whether a layer was named. */
static inline bool od_layer_set_names(const struct od_layer_set *set, int64_t layer)
{
    return (set->bits[layer / 64] >> (layer % 64) & 1u) != 0;
}

/** The highest layer that was named; -1: none was. */
static inline int64_t od_layer_set_last(const struct od_layer_set *set)
{
    int64_t layer = OD_SPEC_LAYERS_MAX - 1;
    while (layer >= 0 && !od_layer_set_names(set, layer)) {
        layer--;
    }
    return layer;
}

/** Whether a layer gets adapters. */
static inline bool od_layer_set_has(const struct od_layer_set *set, int64_t layer)
{
    return od_layer_set_names(set, layer) || od_layer_set_last(set) < 0;
}

/** Modules that can be trained in full beside adapters (PEFT's modules_to_save), in its names. */
enum od_saved { OD_SAVED_EMBEDDING = 1 << 0, OD_SAVED_HEAD = 1 << 1 };
enum { OD_SAVED_NAMES = 2 };
/** Bit of a module's name ("embed_tokens", GPT-2's "wte", "lm_head"), or 0. */
unsigned od_saved_bit(const char *name);
/** Names in bit order; OD_SAVED_NAMES of them. */
const char *od_saved_name(int index);

/** Spare columns for a folded adapter are a multiple of so many. */
enum { OD_FOLD_ALIGN = 64 };
/** Philox streams of the adapters' dropout begin here, one for each linear layer. */
enum { OD_STREAM_DROPOUT = 0x44524F50 };
/** Philox stream of the noise on embeddings. */
enum { OD_STREAM_NOISE = 0x4E4F4953 };

/**
 * What a layer keeps of its forward pass; the rest is computed again, with the same operations and so
 * the same bits, when the backward pass asks for it. Each level drops more than the one before.
 */
enum od_keep {
    OD_KEEP_ALL,
    OD_KEEP_PRODUCTS,   ///< outputs of norms and activations are made again
    OD_KEEP_ATTENTION,  ///< and the products that feed an activation
    OD_KEEP_SUMS,       ///< and everything but the attention's output and the layer's input
    OD_KEEP_INPUT,      ///< nothing but the layer's input
    OD_KEEP_HOST,       ///< and that in the host's memory, copied beside the work
    OD_KEEP_COUNT
};

enum od_program_mode { OD_PROGRAM_TRAIN_FULL, OD_PROGRAM_TRAIN_LORA, OD_PROGRAM_INFER };

/** What to build a program for. */
struct od_program_options {
    enum od_program_mode mode;
    bool half;       ///< bf16 activations and weights; adapters folded into the weights (GPU)
    int64_t tokens;  ///< most rows of a pass
    int threads;     ///< sizes scratch
    int64_t lora_r;
    float lora_dropout;     ///< in front of the adapters, 0 to below 1
    float lora_scale;       ///< alpha / r, or alpha / sqrt(r)
    unsigned lora_targets;  ///< bits of enum od_target
    /** LORA: bits of enum od_saved. Where the head is the embedding, only the embedding can be meant,
     *  and is both. */
    unsigned saved;
    struct od_layer_set lora_layers;  ///< below the model's number of layers
    enum od_quant quant;              ///< LORA: how the weights of linear layers are kept
    int64_t cache_slots;              ///< INFER: pages of the key/value cache
    int64_t cache_length;             ///< INFER: positions per page
    int64_t positions;                ///< INFER: most positions of a sequence; 0: one page
    int64_t logit_rows;               ///< INFER: most rows of logits of a pass
    /** Layers from the first on that are one level below the others, whose level is `keep`: lean
     *  layers come first because what they make again has room once the last ones are done. */
    enum od_keep keep;
    int64_t lean_layers;
    /** GPU, LORA: an embedding that is not the head, too, lies in the host's memory, which the GPU reads
     *  a row for a token from. */
    bool embedding_on_host;
    /** Moments of tensors of OD_ADAMW_8BIT_MIN elements or more are 8-bit codes; those of tables of
     *  embeddings are not. */
    bool moments_8bit;
    /** FULL: matrices have no fp32 master (ops/adamw/rounding.h); those whose rows are no multiple of
     *  eight elements keep theirs. */
    bool bf16_weights;
    float embed_noise;  ///< alpha of the noise on the embedding in training passes; 0: none
    int64_t head_rows;  ///< rows of logits that the loss holds; 0: OD_HEAD_CHUNK_ROWS
};

/** Numbers of the tensors that the caller fills or reads; -1 where the mode has none. */
struct od_program_io {
    int32_t ids;
    int32_t positions;
    int32_t targets;
    int32_t segment_start;
    int32_t cache_slot;
    int32_t logit_row;
    int32_t rope_table;  ///< [positions, D]
    // half only
    int32_t label_rows;      ///< [tokens] rows with a target
    int32_t query_tiles;     ///< [tokens, 4] attention's work list by queries
    int32_t key_tiles;       ///< [tokens, 4] by keys
    int32_t dquery_tiles;    ///< [tokens, 4] by queries, for their gradient
    int32_t counts;          ///< [3]
    int32_t embed_order;     ///< [tokens] rows sorted by id; where the embedding is trained
    int32_t embed_runs;      ///< [tokens + 1] where an id begins in embed_order
    int32_t logits;          ///< [logit_rows, V]
    int32_t position_order;  ///< as embed_order, by position; FULL with learned positions
    int32_t position_runs;
    int32_t noise_bounds;  ///< [tokens] largest noise on a row of the embedding; with embed_noise
};

struct od_program {
    struct od_spec spec;
    struct od_program_options options;
    struct od_tensor *tensors;
    int32_t tensor_count;
    struct od_op *ops;
    int32_t op_count;
    int32_t forward_count;    ///< operations up to the loss or the logits
    struct od_part *weights;  ///< base weights, in the order of a model file
    int32_t weight_count;
    struct od_part *adapters;  ///< adapter weights under PEFT's names, modules trained in full too
    int32_t adapter_count;
    struct od_param *params;
    int32_t param_count;
    struct od_program_io io;
    struct od_arena arena;  ///< owns all of it
};

/** @memory Gives: od_program_release. */
enum od_status od_program_build(const struct od_spec *spec,
                                const struct od_program_options *options, struct od_program *ret,
                                struct od_error *err) OD_MUST_CHECK;
void od_program_release(struct od_program *program);

/** Elements from one row to the next. */
static inline int64_t od_tensor_stride(const struct od_tensor *tensor)
{
    return tensor->cols + tensor->pad;
}

/** Floating-point operations that the definition asks for, per token (forward, and backward when it
 *  trains), without attention over the context. */
double od_program_flops_per_token(const struct od_program *program);

#endif
