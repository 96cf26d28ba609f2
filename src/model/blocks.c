// What families have in common: inputs, norms, attention, activations, the head.

#include <math.h>
#include <stdint.h>
#include <stdio.h>

#include "model/program.h"
#include "model/program_internal.h"
#include "model/spec.h"
#include "ops/op.h"

int32_t od_build_norm(struct od_builder *b, int32_t x, const char *name, const char *module)
{
    const struct od_spec *spec = &b->program.spec;
    const int64_t tokens = b->program.options.tokens;
    const bool train = b->program.options.mode != OD_PROGRAM_INFER;
    const int32_t w = od_build_vectors(b, 1, spec->channels, name);
    od_build_weight_part(b, w, 0, 1, "%.100s.weight", module);
    const int32_t bias = spec->layer_norm ? od_build_bias(b, spec->channels, name) : -1;
    if (spec->layer_norm) {
        od_build_weight_part(b, bias, 0, spec->channels, "%.100s.bias", module);
    }
    const int32_t y =
        od_build_tensor(b, OD_ROLE_ACTIVATION, tokens, spec->channels, "%.58s.y", name);
    struct od_op *op = od_build_op(b, spec->layer_norm ? OD_OP_LAYER_NORM : OD_OP_RMS_NORM);
    op->n = spec->channels;
    op->eps = spec->norm_eps;
    op->slot[OD_SLOT_X] = x;
    op->slot[OD_SLOT_W] = w;
    op->slot[OD_SLOT_BIAS] = bias;
    op->slot[OD_SLOT_Y] = y;
    if (train) {
        op->slot[OD_SLOT_AUX] = od_build_float(b, OD_ROLE_ACTIVATION, tokens,
                                               spec->layer_norm ? 2 : 1, "%.56s.rstd", name);
    }
    return y;
}

void od_build_part(struct od_linear *layer, enum od_target target, int64_t rows, const char *module)
{
    struct od_linear_part *p = &layer->part[layer->part_count++];
    *p = (struct od_linear_part){.target = target, .row = layer->n, .rows = rows};
    layer->n += rows;
    (void)snprintf(p->module, sizeof p->module, "%s", module);
}

static void set_heads(const struct od_builder *b, struct od_op *op, int64_t index)
{
    const struct od_spec *spec = &b->program.spec;
    op->heads = spec->heads;
    op->kv_heads = spec->kv_heads;
    op->head_dim = spec->head_dim;
    op->layer = (int32_t)index;  // <= OD_SPEC_LAYERS_MAX
    op->scale = (float)(1.0 / sqrt((double)spec->head_dim));
    op->window = index >= spec->window_from ? (int32_t)spec->window : 0;  // below the context
}

int32_t od_build_head_norm(struct od_builder *b, int32_t qkv, int64_t index, const char *query,
                           const char *key)
{
    const struct od_spec *spec = &b->program.spec;
    const struct od_program_options *options = &b->program.options;
    char name[OD_TENSOR_NAME_BYTES];
    (void)snprintf(name, sizeof name, "layers.%lld.head_norm", (long long)index);
    const int32_t w = od_build_vectors(b, 2, spec->head_dim, name);
    od_build_weight_part(b, w, 0, 1, "%s", query);
    od_build_weight_part(b, w, 1, 1, "%s", key);
    const int64_t width = (int64_t)(spec->heads + 2 * spec->kv_heads) * spec->head_dim;
    const int32_t y =
        od_build_tensor(b, OD_ROLE_ACTIVATION, options->tokens, width, "%.58s.y", name);
    struct od_op *op = od_build_op(b, OD_OP_HEAD_NORM);
    set_heads(b, op, index);
    op->n = width;
    op->eps = spec->norm_eps;
    op->slot[OD_SLOT_X] = qkv;
    op->slot[OD_SLOT_W] = w;
    op->slot[OD_SLOT_Y] = y;
    if (options->mode != OD_PROGRAM_INFER) {
        op->slot[OD_SLOT_AUX] = od_build_float(b, OD_ROLE_ACTIVATION, options->tokens,
                                               spec->heads + spec->kv_heads, "%.56s.rstd", name);
    }
    return y;
}

static void rotate(struct od_builder *b, int32_t qkv, int64_t index)
{
    struct od_op *rope = od_build_op(b, OD_OP_ROPE);
    set_heads(b, rope, index);
    rope->slot[OD_SLOT_Y] = qkv;
    rope->slot[OD_SLOT_AUX] = b->program.io.rope_table;
}

// Positions that a sequence can have when generating.
static int64_t most_positions(const struct od_program_options *options)
{
    return options->positions > 0 ? options->positions : options->cache_length;
}

int32_t od_build_attention(struct od_builder *b, int32_t qkv, int64_t index)
{
    const struct od_spec *spec = &b->program.spec;
    const struct od_program_options *options = &b->program.options;
    const bool infer = options->mode == OD_PROGRAM_INFER;
    const int32_t y = od_build_tensor(b, OD_ROLE_ACTIVATION, options->tokens,
                                      (int64_t)spec->heads * spec->head_dim,
                                      "layers.%lld.attention.y", (long long)index);
    if (!spec->learned_positions) {
        rotate(b, qkv, index);
    }
    struct od_op *op = od_build_op(b, infer ? OD_OP_ATTENTION_CACHED : OD_OP_ATTENTION);
    set_heads(b, op, index);
    op->slot[OD_SLOT_X] = qkv;
    op->slot[OD_SLOT_Y] = y;
    if (infer) {
        op->slot[OD_SLOT_AUX] = od_build_tensor(
            b, OD_ROLE_CACHE, options->cache_slots * 2 * spec->kv_heads,
            options->cache_length * spec->head_dim, "layers.%lld.cache", (long long)index);
        op->slot[OD_SLOT_WORK] =
            od_build_tensor(b, OD_ROLE_WORK, options->threads, most_positions(options),
                            "layers.%lld.attention.work", (long long)index);
        return y;
    }
    op->slot[OD_SLOT_AUX] = od_build_float(b, OD_ROLE_ACTIVATION, options->tokens, spec->heads,
                                           "layers.%lld.lse", (long long)index);
    if (!options->half) {
        op->slot[OD_SLOT_WORK] = od_build_tensor(b, OD_ROLE_WORK, options->threads,
                                                 od_attention_work_floats(options->tokens),
                                                 "layers.%lld.attention.work", (long long)index);
    }
    return y;
}

int32_t od_build_activation(struct od_builder *b, int32_t x, int64_t index)
{
    const struct od_spec *spec = &b->program.spec;
    const int32_t y = od_build_tensor(b, OD_ROLE_ACTIVATION, b->program.options.tokens, spec->ffn,
                                      "layers.%lld.activation.y", (long long)index);
    struct od_op *op = od_build_op(b, spec->plain_mlp ? OD_OP_ACTIVATION : OD_OP_GLU);
    op->n = spec->ffn;
    op->activation = spec->activation;
    op->slot[OD_SLOT_X] = x;
    op->slot[OD_SLOT_Y] = y;
    return y;
}

void od_build_head(struct od_builder *b, int32_t x, int32_t embedding)
{
    const struct od_spec *spec = &b->program.spec;
    const struct od_program_options *options = &b->program.options;
    const bool infer = options->mode == OD_PROGRAM_INFER;
    int32_t w = embedding;
    if (!spec->tied) {
        w = od_build_saved(b, OD_SAVED_HEAD, "head", "lm_head.weight");
        if (!b->failed) {
            b->program.weights[b->program.weight_count - 1].is_copy = spec->head_copied;
        }
    }
    struct od_op *op = od_build_op(b, infer ? OD_OP_HEAD_LOGITS : OD_OP_HEAD_LOSS);
    op->n = spec->vocab;
    op->k = spec->channels;
    op->slot[OD_SLOT_X] = x;
    op->slot[OD_SLOT_W] = w;
    if (infer) {
        op->slot[OD_SLOT_WORK] =
            od_build_tensor(b, OD_ROLE_WORK, options->logit_rows, spec->channels, "head.work");
        op->slot[OD_SLOT_Y] = b->program.io.logits =
            od_build_float(b, OD_ROLE_ACTIVATION, options->logit_rows, spec->vocab, "logits");
        if (options->half) {  // rows start at 16 bytes
            od_build_pad(b, b->program.io.logits, od_head_columns(spec->vocab) - spec->vocab);
        }
        return;
    }
    if (options->half && !b->failed) {
        b->program.tensors[w].pad_rows = od_head_columns(spec->vocab) - spec->vocab;
    }
    od_build_head_adapter(b, op);
    const int64_t rows = options->head_rows > 0 ? options->head_rows : OD_HEAD_CHUNK_ROWS;
    const int64_t columns =
        spec->vocab + 2 * spec->channels + 2 * op->rank + (op->dropout > 0.0F ? spec->channels : 0);
    op->slot[OD_SLOT_WORK] = od_build_tensor(
        b, OD_ROLE_WORK, rows, options->half ? od_head_work(op).total : columns, "head.work");
    if (options->half) {
        op->slot[OD_SLOT_AUX] =
            od_build_float(b, OD_ROLE_ACTIVATION, options->tokens, 1, "head.losses");
    }
}

// What a GPU is told of a batch besides: lists that the host makes.
static void half_inputs(struct od_builder *b)
{
    const struct od_program_options *options = &b->program.options;
    struct od_program_io *io = &b->program.io;
    const int64_t tokens = options->tokens;
    io->label_rows = od_build_tensor(b, OD_ROLE_INPUT, tokens, 1, "label_rows");
    io->query_tiles = od_build_tensor(b, OD_ROLE_INPUT, tokens, 4, "query_tiles");
    io->key_tiles = od_build_tensor(b, OD_ROLE_INPUT, tokens, 4, "key_tiles");
    io->dquery_tiles = od_build_tensor(b, OD_ROLE_INPUT, tokens, 4, "dquery_tiles");
    io->counts = od_build_tensor(b, OD_ROLE_INPUT, 8, 1, "counts");
    if (options->embed_noise > 0.0F) {
        io->noise_bounds = od_build_float(b, OD_ROLE_INPUT, tokens, 1, "noise_bounds");
    }
    if (options->mode == OD_PROGRAM_TRAIN_FULL || (options->saved & OD_SAVED_EMBEDDING) != 0 ||
        (options->lora_targets & OD_TARGET_ALL_EMBED) != 0) {
        io->embed_order = od_build_tensor(b, OD_ROLE_INPUT, tokens, 1, "embed_order");
        io->embed_runs = od_build_tensor(b, OD_ROLE_INPUT, tokens + 1, 1, "embed_runs");
    }
}

void od_build_inputs(struct od_builder *b)
{
    const struct od_spec *spec = &b->program.spec;
    const struct od_program_options *options = &b->program.options;
    const bool infer = options->mode == OD_PROGRAM_INFER;
    struct od_program_io *io = &b->program.io;
    const int64_t positions = infer ? most_positions(options) : options->tokens;

    *io = (struct od_program_io){-1, -1, -1, -1, -1, -1, -1, -1, -1,
                                 -1, -1, -1, -1, -1, -1, -1, -1, -1};
    if (!spec->learned_positions) {
        io->rope_table =
            od_build_tensor(b, OD_ROLE_CONSTANT, positions, spec->head_dim, "rope_table");
    }
    io->ids = od_build_tensor(b, OD_ROLE_INPUT, options->tokens, 1, "ids");
    io->positions = od_build_tensor(b, OD_ROLE_INPUT, options->tokens, 1, "positions");
    if (infer) {
        io->cache_slot = od_build_tensor(b, OD_ROLE_INPUT, options->tokens, 1, "cache_slot");
        io->logit_row = od_build_tensor(b, OD_ROLE_INPUT, options->logit_rows, 1, "logit_row");
    } else {
        io->targets = od_build_tensor(b, OD_ROLE_INPUT, options->tokens, 1, "targets");
        io->segment_start =
            od_build_tensor(b, OD_ROLE_INPUT, options->tokens + 1, 1, "segment_start");
    }
    if (options->half) {
        half_inputs(b);
    }
}

int32_t od_build_embedding(struct od_builder *b, const char *file_name, int32_t *ret_weight)
{
    const struct od_spec *spec = &b->program.spec;
    const struct od_program_options *options = &b->program.options;
    *ret_weight = od_build_saved(b, OD_SAVED_EMBEDDING, "embedding", file_name);
    if (options->embedding_on_host && options->half && !spec->tied && !b->failed &&
        options->mode == OD_PROGRAM_TRAIN_LORA && (options->saved & OD_SAVED_EMBEDDING) == 0) {
        b->program.tensors[*ret_weight].role = OD_ROLE_HOST;
    }
    const int32_t y = od_build_tensor(b, OD_ROLE_ACTIVATION, b->program.options.tokens,
                                      spec->channels, "embedding.y");
    struct od_op *op = od_build_op(b, OD_OP_EMBED);
    op->n = spec->channels;
    op->noise = options->embed_noise;
    op->stream = OD_STREAM_NOISE;
    op->slot[OD_SLOT_W] = *ret_weight;
    op->slot[OD_SLOT_Y] = y;
    od_build_embedding_adapter(b, op, file_name);
    return y;
}
