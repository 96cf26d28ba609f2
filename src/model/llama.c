// The Llama family: RMSNorm before each half block, rotary positions, grouped-query attention,
// SwiGLU, tied or untied head. Mistral is the same list.

#include <math.h>
#include <stdint.h>
#include <stdio.h>

#include "model/program.h"
#include "model/program_internal.h"
#include "model/spec.h"
#include "ops/op.h"

static int32_t norm(struct od_builder *b, int32_t x, const char *name, const char *file_name)
{
    const struct od_spec *spec = &b->program.spec;
    const int64_t tokens = b->program.options.tokens;
    const bool train = b->program.options.mode != OD_PROGRAM_INFER;
    const int32_t w = od_build_weight(b, 1, spec->channels, name);
    od_build_weight_part(b, w, 0, 1, "%s", file_name);
    const int32_t y =
        od_build_tensor(b, OD_ROLE_ACTIVATION, tokens, spec->channels, "%.58s.y", name);
    struct od_op *op = od_build_op(b, OD_OP_RMS_NORM);
    op->n = spec->channels;
    op->eps = spec->norm_eps;
    op->slot[OD_SLOT_X] = x;
    op->slot[OD_SLOT_W] = w;
    op->slot[OD_SLOT_Y] = y;
    if (train) {
        op->slot[OD_SLOT_AUX] =
            od_build_float(b, OD_ROLE_ACTIVATION, tokens, 1, "%.56s.rstd", name);
    }
    return y;
}

static void part(struct od_linear *layer, enum od_target target, int64_t rows, int64_t index,
                 const char *block)
{
    int bit = 0;
    while ((1u << bit) != (unsigned)target) {
        bit++;
    }
    struct od_linear_part *p = &layer->part[layer->part_count++];
    *p = (struct od_linear_part){.target = target, .row = layer->n, .rows = rows};
    layer->n += rows;
    (void)snprintf(p->module, sizeof p->module, "model.layers.%lld.%s.%s", (long long)index, block,
                   od_target_name(bit));
}

static void set_heads(const struct od_builder *b, struct od_op *op, int64_t index)
{
    const struct od_spec *spec = &b->program.spec;
    op->heads = spec->heads;
    op->kv_heads = spec->kv_heads;
    op->head_dim = spec->head_dim;
    op->layer = (int32_t)index;  // <= OD_SPEC_LAYERS_MAX
    op->scale = (float)(1.0 / sqrt((double)spec->head_dim));
}

static int32_t attention(struct od_builder *b, int32_t qkv, int64_t index)
{
    const struct od_spec *spec = &b->program.spec;
    const struct od_program_options *options = &b->program.options;
    const bool infer = options->mode == OD_PROGRAM_INFER;
    const int32_t y = od_build_tensor(b, OD_ROLE_ACTIVATION, options->tokens,
                                      (int64_t)spec->heads * spec->head_dim,
                                      "layers.%lld.attention.y", (long long)index);
    struct od_op *rope = od_build_op(b, OD_OP_ROPE);
    set_heads(b, rope, index);
    rope->slot[OD_SLOT_Y] = qkv;
    rope->slot[OD_SLOT_AUX] = b->program.io.rope_table;

    struct od_op *op = od_build_op(b, infer ? OD_OP_ATTENTION_CACHED : OD_OP_ATTENTION);
    set_heads(b, op, index);
    op->slot[OD_SLOT_X] = qkv;
    op->slot[OD_SLOT_Y] = y;
    if (infer) {
        op->slot[OD_SLOT_AUX] = od_build_tensor(
            b, OD_ROLE_CACHE, options->cache_slots * 2 * spec->kv_heads,
            options->cache_length * spec->head_dim, "layers.%lld.cache", (long long)index);
        op->slot[OD_SLOT_WORK] =
            od_build_tensor(b, OD_ROLE_WORK, options->threads, options->cache_length,
                            "layers.%lld.attention.work", (long long)index);
    } else {
        op->slot[OD_SLOT_AUX] = od_build_float(b, OD_ROLE_ACTIVATION, options->tokens, spec->heads,
                                               "layers.%lld.lse", (long long)index);
        if (!options->half) {
            op->slot[OD_SLOT_WORK] = od_build_tensor(
                b, OD_ROLE_WORK, options->threads, od_attention_work_floats(options->tokens),
                "layers.%lld.attention.work", (long long)index);
        }
    }
    return y;
}

static int32_t block(struct od_builder *b, int32_t x, int64_t index)
{
    const struct od_spec *spec = &b->program.spec;
    const int64_t q = (int64_t)spec->heads * spec->head_dim;
    const int64_t kv = (int64_t)spec->kv_heads * spec->head_dim;
    const long long at = (long long)index;
    char name[OD_TENSOR_NAME_BYTES];
    char file_name[OD_PART_NAME_BYTES];

    (void)snprintf(name, sizeof name, "layers.%lld.norm1", at);
    (void)snprintf(file_name, sizeof file_name, "model.layers.%lld.input_layernorm.weight", at);
    int32_t y = norm(b, x, name, file_name);

    struct od_linear qkv = {.k = spec->channels};
    (void)snprintf(qkv.name, sizeof qkv.name, "layers.%lld.qkv", at);
    part(&qkv, OD_TARGET_Q, q, index, "self_attn");
    part(&qkv, OD_TARGET_K, kv, index, "self_attn");
    part(&qkv, OD_TARGET_V, kv, index, "self_attn");
    y = attention(b, od_build_linear(b, &qkv, y, -1), index);

    struct od_linear out = {.k = q};
    (void)snprintf(out.name, sizeof out.name, "layers.%lld.o", at);
    part(&out, OD_TARGET_O, spec->channels, index, "self_attn");
    x = od_build_linear(b, &out, y, x);

    (void)snprintf(name, sizeof name, "layers.%lld.norm2", at);
    (void)snprintf(file_name, sizeof file_name, "model.layers.%lld.post_attention_layernorm.weight",
                   at);
    y = norm(b, x, name, file_name);

    struct od_linear gate_up = {.k = spec->channels};
    (void)snprintf(gate_up.name, sizeof gate_up.name, "layers.%lld.gate_up", at);
    part(&gate_up, OD_TARGET_GATE, spec->ffn, index, "mlp");
    part(&gate_up, OD_TARGET_UP, spec->ffn, index, "mlp");
    const int32_t gu = od_build_linear(b, &gate_up, y, -1);
    y = od_build_tensor(b, OD_ROLE_ACTIVATION, b->program.options.tokens, spec->ffn,
                        "layers.%lld.glu.y", at);
    struct od_op *op = od_build_op(b, OD_OP_GLU);
    op->n = spec->ffn;
    op->slot[OD_SLOT_X] = gu;
    op->slot[OD_SLOT_Y] = y;

    struct od_linear down = {.k = spec->ffn};
    (void)snprintf(down.name, sizeof down.name, "layers.%lld.down", at);
    part(&down, OD_TARGET_DOWN, spec->channels, index, "mlp");
    return od_build_linear(b, &down, y, x);
}

static void head(struct od_builder *b, int32_t x, int32_t embedding)
{
    const struct od_spec *spec = &b->program.spec;
    const struct od_program_options *options = &b->program.options;
    const bool infer = options->mode == OD_PROGRAM_INFER;
    int32_t w = embedding;
    if (!spec->tied) {
        w = od_build_weight(b, spec->vocab, spec->channels, "head");
        od_build_weight_part(b, w, 0, spec->vocab, "lm_head.weight");
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
            od_build_tensor(b, OD_ROLE_ACTIVATION, options->logit_rows, spec->vocab, "logits");
    } else {
        const int64_t rows = options->head_rows > 0 ? options->head_rows : OD_HEAD_CHUNK_ROWS;
        op->slot[OD_SLOT_WORK] = od_build_tensor(
            b, OD_ROLE_WORK, rows,
            (options->half ? od_round_up(spec->vocab, 8) : spec->vocab) + 2 * spec->channels,
            "head.work");
        if (options->half) {
            op->slot[OD_SLOT_AUX] =
                od_build_float(b, OD_ROLE_ACTIVATION, options->tokens, 1, "head.losses");
        }
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
    if (options->mode == OD_PROGRAM_TRAIN_FULL) {
        io->embed_order = od_build_tensor(b, OD_ROLE_INPUT, tokens, 1, "embed_order");
        io->embed_runs = od_build_tensor(b, OD_ROLE_INPUT, tokens + 1, 1, "embed_runs");
    }
}

void od_build_llama(struct od_builder *b)
{
    const struct od_spec *spec = &b->program.spec;
    const struct od_program_options *options = &b->program.options;
    const bool infer = options->mode == OD_PROGRAM_INFER;
    struct od_program_io *io = &b->program.io;
    const int64_t positions = infer ? options->cache_length : options->tokens;

    *io =
        (struct od_program_io){-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
    io->rope_table = od_build_tensor(b, OD_ROLE_CONSTANT, positions, spec->head_dim, "rope_table");
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

    const int32_t embedding = od_build_weight(b, spec->vocab, spec->channels, "embedding");
    od_build_weight_part(b, embedding, 0, spec->vocab, "model.embed_tokens.weight");
    int32_t x =
        od_build_tensor(b, OD_ROLE_ACTIVATION, options->tokens, spec->channels, "embedding.y");
    struct od_op *op = od_build_op(b, OD_OP_EMBED);
    op->n = spec->channels;
    op->slot[OD_SLOT_W] = embedding;
    op->slot[OD_SLOT_Y] = x;
    for (int64_t i = 0; i < spec->layers; i++) {
        od_build_layer(b, i);
        x = block(b, x, i);
    }
    od_build_layer(b, spec->layers);
    x = norm(b, x, "norm", "model.norm.weight");
    head(b, x, embedding);
}
