#include "model/program.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "formats/dtype.h"
#include "formats/nf4.h"
#include "model/program_internal.h"
#include "model/spec.h"
#include "ops/adamw/adamw_8bit.h"
#include "ops/op.h"

static const char *const target_names[OD_TARGET_NAMES] = {
    "q_proj", "k_proj", "v_proj", "o_proj",       "gate_proj", "up_proj", "down_proj",
    "c_attn", "c_proj", "c_fc",   "embed_tokens", "lm_head",   "wte"};

unsigned od_target_bit(const char *name)
{
    for (unsigned i = 0; i < OD_TARGET_NAMES; i++) {
        if (strcmp(name, target_names[i]) == 0) {
            return 1u << i;
        }
    }
    return 0;
}

const char *od_target_name(int index)
{
    return target_names[index];
}

static const char *const saved_names[OD_SAVED_NAMES] = {"embed_tokens", "lm_head"};

unsigned od_saved_bit(const char *name)
{
    for (unsigned i = 0; i < OD_SAVED_NAMES; i++) {
        if (strcmp(name, saved_names[i]) == 0) {
            return 1u << i;
        }
    }
    return strcmp(name, "wte") == 0 ? OD_SAVED_EMBEDDING : 0;
}

const char *od_saved_name(int index)
{
    return saved_names[index];
}

static bool is_gpt2(const struct od_spec *spec)
{
    return strcmp(spec->family, "gpt2") == 0;
}

unsigned od_spec_targets(const struct od_spec *spec)
{
    return is_gpt2(spec) ? OD_TARGET_ALL_GPT2 : OD_TARGET_ALL;
}

unsigned od_spec_outer_targets(const struct od_spec *spec)
{
    return OD_TARGET_HEAD | (is_gpt2(spec) ? OD_TARGET_WTE : OD_TARGET_EMBED);
}

// What a tensor of this role holds, unless it is asked for in fp32.
static enum od_dtype dtype_of(const struct od_builder *b, enum od_role role)
{
    const bool half = b->program.options.half;
    switch (role) {
    case OD_ROLE_INPUT: return OD_DTYPE_I32;
    case OD_ROLE_COPY:
    case OD_ROLE_CACHE:
    case OD_ROLE_HOST:
    case OD_ROLE_ACTIVATION:
    case OD_ROLE_WORK: return half ? OD_DTYPE_BF16 : OD_DTYPE_F32;
    case OD_ROLE_WEIGHT:
    case OD_ROLE_ADAPTER:
    case OD_ROLE_GRADIENT:
    case OD_ROLE_MOMENT:
    case OD_ROLE_CONSTANT:
    case OD_ROLE_COUNT: break;
    }
    return OD_DTYPE_F32;
}

__attribute__((format(printf, 3, 0))) static int32_t add_tensor(struct od_builder *b,
                                                                struct od_tensor tensor,
                                                                const char *format, va_list args)
{
    if (b->failed || b->program.tensor_count == b->tensor_capacity) {
        b->failed = true;
        return -1;
    }
    const int32_t number = b->program.tensor_count++;
    tensor.first = -1;
    tensor.last = -1;
    tensor.master = number;
    (void)vsnprintf(tensor.name, sizeof tensor.name, format, args);
    b->program.tensors[number] = tensor;
    return number;
}

int32_t od_build_tensor(struct od_builder *b, enum od_role role, int64_t rows, int64_t cols,
                        const char *format, ...)
{
    const struct od_tensor tensor = {
        .role = role, .dtype = dtype_of(b, role), .rows = rows, .cols = cols};
    va_list args;
    va_start(args, format);
    const int32_t number = add_tensor(b, tensor, format, args);
    va_end(args);
    return number;
}

int32_t od_build_float(struct od_builder *b, enum od_role role, int64_t rows, int64_t cols,
                       const char *format, ...)
{
    const struct od_tensor tensor = {
        .role = role, .dtype = OD_DTYPE_F32, .rows = rows, .cols = cols};
    va_list args;
    va_start(args, format);
    const int32_t number = add_tensor(b, tensor, format, args);
    va_end(args);
    return number;
}

void od_build_pad(struct od_builder *b, int32_t tensor, int64_t pad)
{
    if (!b->failed && b->program.tensors[tensor].pad < pad) {
        b->program.tensors[tensor].pad = pad;
    }
}

struct od_op *od_build_op(struct od_builder *b, enum od_op_kind kind)
{
    static struct od_op nothing;  // a place to write to after a failure; never read
    if (b->failed || b->program.op_count == b->op_capacity) {
        b->failed = true;
        return &nothing;
    }
    struct od_op *op = &b->program.ops[b->program.op_count++];
    *op = (struct od_op){.kind = kind};
    for (int i = 0; i < OD_OP_SLOTS; i++) {
        op->slot[i] = -1;
    }
    return op;
}

static void add_part(struct od_builder *b, struct od_part *parts, int32_t *count, int32_t tensor,
                     int64_t row, int64_t rows, const char *name)
{
    const struct od_tensor *t = &b->program.tensors[tensor];
    if (b->failed || *count == b->part_capacity) {
        b->failed = true;
        return;
    }
    struct od_part *part = &parts[(*count)++];
    *part = (struct od_part){
        .tensor = tensor, .row = row, .rows = rows, .cols = t->cols, .rank = t->vectors ? 1 : 2};
    (void)snprintf(part->name, sizeof part->name, "%s", name);
}

void od_build_weight_part(struct od_builder *b, int32_t tensor, int64_t row, int64_t rows,
                          const char *format, ...)
{
    char name[OD_PART_NAME_BYTES];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(name, sizeof name, format, args);
    va_end(args);
    if (!b->failed) {
        add_part(b, b->program.weights, &b->program.weight_count, b->program.tensors[tensor].master,
                 row, rows, name);
    }
}

// A part of an adapter, under PEFT's name.
__attribute__((format(printf, 5, 6))) static void add_adapter_part(struct od_builder *b,
                                                                   int32_t tensor, int64_t row,
                                                                   int64_t rows, const char *format,
                                                                   ...)
{
    char name[OD_PART_NAME_BYTES];
    char full[OD_PART_NAME_BYTES];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(name, sizeof name, format, args);
    va_end(args);
    (void)snprintf(full, sizeof full, "base_model.model.%.110s", name);
    if (!b->failed) {
        add_part(b, b->program.adapters, &b->program.adapter_count, tensor, row, rows, full);
    }
}

// Moments as codes and a scale a block of them.
static void add_codes(struct od_builder *b, const struct od_tensor *t, struct od_param *param)
{
    const int64_t blocks = od_adamw_8bit_blocks(t->rows * t->cols);
    param->m_scales = od_build_tensor(b, OD_ROLE_MOMENT, 1, blocks, "m.%.51s.scales", t->name);
    param->v_scales = od_build_tensor(b, OD_ROLE_MOMENT, 1, blocks, "v.%.51s.scales", t->name);
    if (!b->failed) {
        b->program.tensors[param->m].dtype = OD_DTYPE_U8;
        b->program.tensors[param->v].dtype = OD_DTYPE_U8;
    }
}

static int32_t add_param(struct od_builder *b, int32_t tensor, bool decay, bool is_table)
{
    if (b->failed || b->program.param_count == b->param_capacity) {
        b->failed = true;
        return -1;
    }
    const struct od_tensor t = b->program.tensors[tensor];
    struct od_param *param = &b->program.params[b->program.param_count++];
    param->tensor = tensor;
    param->copy = -1;
    param->m_scales = -1;
    param->v_scales = -1;
    param->decay = decay;
    param->gradient = od_build_tensor(b, OD_ROLE_GRADIENT, t.rows, t.cols, "d.%.58s", t.name);
    param->m = od_build_tensor(b, OD_ROLE_MOMENT, t.rows, t.cols, "m.%.58s", t.name);
    param->v = od_build_tensor(b, OD_ROLE_MOMENT, t.rows, t.cols, "v.%.58s", t.name);
    if (b->program.options.moments_8bit && !is_table && t.rows * t.cols >= OD_ADAMW_8BIT_MIN) {
        add_codes(b, &t, param);
    }
    return param->gradient;
}

int32_t od_build_vectors(struct od_builder *b, int64_t rows, int64_t cols, const char *name)
{
    const bool trained = b->program.options.mode == OD_PROGRAM_TRAIN_FULL;
    const int32_t tensor = od_build_tensor(b, OD_ROLE_WEIGHT, rows, cols, "%s", name);
    if (b->failed) {
        return -1;
    }
    b->program.tensors[tensor].vectors = true;
    if (trained && add_param(b, tensor, false, false) < 0) {
        return -1;
    }
    return tensor;
}

int32_t od_build_bias(struct od_builder *b, int64_t count, const char *name)
{
    char full[OD_TENSOR_NAME_BYTES];
    (void)snprintf(full, sizeof full, "%.57s.bias", name);
    return od_build_vectors(b, count, 1, full);
}

// A linear layer's bias [count, 1]: in half, products want it as bf16, without spare columns.
static int32_t linear_bias(struct od_builder *b, int64_t count, const char *name)
{
    const int32_t bias = od_build_bias(b, count, name);
    if (b->failed || !b->program.options.half) {
        return bias;
    }
    if (b->program.options.mode != OD_PROGRAM_TRAIN_FULL) {
        b->program.tensors[bias].dtype = OD_DTYPE_BF16;
        return bias;
    }
    const int32_t copy = od_build_tensor(b, OD_ROLE_COPY, count, 1, "%.53s.bias.bf16", name);
    if (!b->failed) {
        b->program.tensors[copy].vectors = true;
        b->program.tensors[copy].master = bias;
        b->program.params[b->program.param_count - 1].copy = copy;
    }
    return copy;
}

static int32_t build_matrix(struct od_builder *b, int64_t rows, int64_t cols, const char *name,
                            bool trained, bool is_table)
{
    const int32_t tensor = od_build_tensor(b, OD_ROLE_WEIGHT, rows, cols, "%s", name);
    if (b->failed) {
        return -1;
    }
    const bool rounded = trained && b->program.options.bf16_weights && cols % 8 == 0;
    if (trained && add_param(b, tensor, true, is_table) < 0) {
        return -1;
    }
    if (rounded) {
        b->program.params[b->program.param_count - 1].rounded = true;
    }
    if (!b->program.options.half) {
        return tensor;
    }
    if (!trained || rounded) {
        b->program.tensors[tensor].dtype = OD_DTYPE_BF16;
        return tensor;
    }
    const int32_t copy = od_build_tensor(b, OD_ROLE_COPY, rows, cols, "%.58s.bf16", name);
    if (!b->failed) {
        b->program.tensors[copy].master = tensor;
        b->program.params[b->program.param_count - 1].copy = copy;
    }
    return copy;
}

int32_t od_build_weight(struct od_builder *b, int64_t rows, int64_t cols, const char *name)
{
    return build_matrix(b, rows, cols, name, b->program.options.mode == OD_PROGRAM_TRAIN_FULL,
                        false);
}

int32_t od_build_table(struct od_builder *b, int64_t rows, int64_t cols, const char *name)
{
    return build_matrix(b, rows, cols, name, b->program.options.mode == OD_PROGRAM_TRAIN_FULL,
                        true);
}

int32_t od_build_saved(struct od_builder *b, enum od_saved module, const char *name,
                       const char *file_name)
{
    const struct od_spec *spec = &b->program.spec;
    const struct od_program_options *options = &b->program.options;
    const bool saved = options->mode == OD_PROGRAM_TRAIN_LORA && (options->saved & module) != 0;
    const int32_t w =
        build_matrix(b, spec->vocab, spec->channels, name,
                     saved || options->mode == OD_PROGRAM_TRAIN_FULL, module == OD_SAVED_EMBEDDING);
    od_build_weight_part(b, w, 0, spec->vocab, "%s", file_name);
    if (saved && !b->failed) {
        add_adapter_part(b, b->program.tensors[w].master, 0, spec->vocab, "%.100s", file_name);
    }
    if (saved && spec->tied && !b->failed) {
        add_adapter_part(b, b->program.tensors[w].master, 0, spec->vocab, "lm_head.weight");
    }
    return w;
}

int32_t od_build_gradient_of_param(const struct od_program *program, int32_t tensor)
{
    for (int32_t i = 0; tensor >= 0 && i < program->param_count; i++) {
        if (program->params[i].tensor == tensor || program->params[i].copy == tensor) {
            return program->params[i].gradient;
        }
    }
    return -1;
}

// Room for the adapter beside what it adapts: columns of X, W and DY, and rows of W; copies of its
// own where W is not there as values.
static void fold(struct od_builder *b, struct od_op *op, int64_t width)
{
    const int64_t spare = od_round_up(width, OD_FOLD_ALIGN);
    if (b->failed) {
        return;
    }
    op->fold = spare;
    od_build_pad(b, op->slot[OD_SLOT_X], spare);
    if (op->slot[OD_SLOT_W] >= 0) {
        od_build_pad(b, op->slot[OD_SLOT_W], spare);
        b->program.tensors[op->slot[OD_SLOT_W]].pad_rows = spare;
    } else {
        od_build_copies(b, op, spare);
    }
    b->fold_of[op->slot[OD_SLOT_Y]] = spare;
}

// The adapter of a (fused) linear layer: A of all its targeted parts stacked, B likewise.
static void add_adapter(struct od_builder *b, struct od_op *op, const struct od_linear *layer)
{
    const int64_t r = b->program.options.lora_r;
    int64_t b_rows = 0;
    int32_t count = 0;

    if (!od_layer_set_has(&b->program.options.lora_layers, b->layer)) {
        return;
    }
    for (int i = 0; i < layer->part_count; i++) {
        if ((layer->part[i].target & b->program.options.lora_targets) != 0) {
            op->part[count++] = (struct od_adapter_part){
                .row = layer->part[i].row, .rows = layer->part[i].rows, .b_row = b_rows};
            b_rows += layer->part[i].rows;
        }
    }
    if (count == 0) {
        return;
    }
    op->part_count = count;
    op->rank = r;
    op->dropout = b->program.options.lora_dropout;
    op->stream = OD_STREAM_DROPOUT + b->linear_count++;
    if (op->dropout > 0.0F) {
        op->slot[OD_SLOT_WORK] = od_build_tensor(b, OD_ROLE_WORK, b->program.options.tokens,
                                                 layer->k, "%.50s.dropped", layer->name);
    }
    op->scale = b->program.options.lora_scale;
    op->slot[OD_SLOT_A] =
        od_build_tensor(b, OD_ROLE_ADAPTER, r * count, layer->k, "%.50s.lora_A", layer->name);
    op->slot[OD_SLOT_B] =
        od_build_tensor(b, OD_ROLE_ADAPTER, b_rows, r, "%.50s.lora_B", layer->name);
    if (b->program.options.half) {
        fold(b, op, r * count);
    } else {
        op->slot[OD_SLOT_XA] = od_build_tensor(b, OD_ROLE_ACTIVATION, b->program.options.tokens,
                                               r * count, "%.50s.xa", layer->name);
    }
    if (b->failed) {
        return;
    }
    (void)add_param(b, op->slot[OD_SLOT_A], true, false);
    (void)add_param(b, op->slot[OD_SLOT_B], true, false);
    count = 0;
    for (int i = 0; i < layer->part_count; i++) {
        if ((layer->part[i].target & b->program.options.lora_targets) == 0) {
            continue;
        }
        add_adapter_part(b, op->slot[OD_SLOT_A], count * r, r, "%.80s.lora_A.weight",
                         layer->part[i].module);
        add_adapter_part(b, op->slot[OD_SLOT_B], op->part[count].b_row, op->part[count].rows,
                         "%.80s.lora_B.weight", layer->part[i].module);
        count++;
    }
}

static bool has_outer_adapter(const struct od_builder *b, unsigned targets)
{
    const struct od_program_options *options = &b->program.options;
    return !b->failed && options->mode == OD_PROGRAM_TRAIN_LORA &&
           (options->lora_targets & targets) != 0;
}

void od_build_embedding_adapter(struct od_builder *b, struct od_op *op, const char *file_name)
{
    const struct od_program_options *options = &b->program.options;
    const struct od_spec *spec = &b->program.spec;
    const int module = (int)(strlen(file_name) - strlen(".weight"));
    if (!has_outer_adapter(b, OD_TARGET_ALL_EMBED)) {
        return;
    }
    op->rank = options->lora_r;
    op->part_count = 1;
    op->part[0].rows = spec->channels;
    op->scale = options->lora_scale;
    op->slot[OD_SLOT_A] =
        od_build_tensor(b, OD_ROLE_ADAPTER, spec->vocab, op->rank, "embedding.lora_A");
    op->slot[OD_SLOT_B] =
        od_build_tensor(b, OD_ROLE_ADAPTER, spec->channels, op->rank, "embedding.lora_B");
    if (options->half) {
        op->fold = od_round_up(op->rank, OD_FOLD_ALIGN);
        op->slot[OD_SLOT_B_COPY] =
            od_build_tensor(b, OD_ROLE_COPY, spec->channels, op->fold, "embedding.lora_B.copy");
    }
    op->slot[OD_SLOT_XA] = od_build_tensor(b, OD_ROLE_ACTIVATION, options->tokens,
                                           options->half ? op->fold : op->rank, "embedding.xa");
    if (b->failed) {
        return;
    }
    (void)add_param(b, op->slot[OD_SLOT_A], true, false);
    (void)add_param(b, op->slot[OD_SLOT_B], true, false);
    add_adapter_part(b, op->slot[OD_SLOT_A], 0, spec->vocab, "%.*s.lora_embedding_A", module,
                     file_name);
    b->program.adapters[b->program.adapter_count - 1].transposed = true;
    add_adapter_part(b, op->slot[OD_SLOT_B], 0, spec->channels, "%.*s.lora_embedding_B", module,
                     file_name);
}

void od_build_head_adapter(struct od_builder *b, struct od_op *op)
{
    const struct od_program_options *options = &b->program.options;
    const struct od_spec *spec = &b->program.spec;
    if (!has_outer_adapter(b, OD_TARGET_HEAD)) {
        return;
    }
    op->rank = options->lora_r;
    op->part_count = 1;
    op->part[0].rows = spec->vocab;
    op->scale = options->lora_scale;
    op->dropout = options->lora_dropout;
    op->stream = OD_STREAM_DROPOUT + b->linear_count++;
    op->slot[OD_SLOT_A] =
        od_build_tensor(b, OD_ROLE_ADAPTER, op->rank, spec->channels, "head.lora_A");
    op->slot[OD_SLOT_B] = od_build_tensor(b, OD_ROLE_ADAPTER, spec->vocab, op->rank, "head.lora_B");
    if (b->failed) {
        return;
    }
    if (options->half) {  // beside and below W; rows of X and logits have theirs in WORK
        op->fold = od_round_up(op->rank, OD_FOLD_ALIGN);
        od_build_pad(b, op->slot[OD_SLOT_W], op->fold);
        b->program.tensors[op->slot[OD_SLOT_W]].pad_rows += op->fold;
    }
    op->slot[OD_SLOT_DA] = add_param(b, op->slot[OD_SLOT_A], true, false);
    op->slot[OD_SLOT_DB] = add_param(b, op->slot[OD_SLOT_B], true, false);
    add_adapter_part(b, op->slot[OD_SLOT_A], 0, op->rank, "lm_head.lora_A.weight");
    add_adapter_part(b, op->slot[OD_SLOT_B], 0, spec->vocab, "lm_head.lora_B.weight");
}

// What files call the parts of weight and bias (-1: none).
static void name_parts(struct od_builder *b, const struct od_linear *layer, int32_t w, int32_t bias)
{
    for (int i = 0; i < layer->part_count; i++) {
        const struct od_linear_part *part = &layer->part[i];
        if (w >= 0) {
            od_build_weight_part(b, w, part->row, part->rows, "%.100s.weight", part->module);
            b->program.weights[b->program.weight_count - 1].transposed = layer->transposed;
        }
        if (bias >= 0) {
            od_build_weight_part(b, bias, part->row, part->rows, "%.100s.bias", part->module);
        }
    }
}

int32_t od_build_linear(struct od_builder *b, const struct od_linear *layer, int32_t x,
                        int32_t residual)
{
    const bool quantised = b->program.options.quant != OD_QUANT_NONE;
    const int32_t w = quantised ? -1 : od_build_weight(b, layer->n, layer->k, layer->name);
    const int32_t bias = layer->bias ? linear_bias(b, layer->n, layer->name) : -1;
    const int32_t y = od_build_tensor(b, OD_ROLE_ACTIVATION, b->program.options.tokens, layer->n,
                                      "%.50s.y", layer->name);
    struct od_op *op = od_build_op(b, OD_OP_LINEAR);
    op->n = layer->n;
    op->k = layer->k;
    op->slot[OD_SLOT_X] = x;
    op->slot[OD_SLOT_W] = w;
    op->slot[OD_SLOT_BIAS] = bias;
    op->slot[OD_SLOT_Y] = y;
    op->slot[OD_SLOT_RES] = residual;
    if (quantised) {
        od_build_quantised(b, op, layer);
    }
    name_parts(b, layer, w, bias);
    if (!b->failed && b->program.options.mode == OD_PROGRAM_TRAIN_LORA) {
        add_adapter(b, op, layer);
    }
    return y;
}

// Rows of bf16 start at 16 bytes; biases are one run.
static void align_rows(struct od_program *program)
{
    for (int32_t i = 0; i < program->tensor_count; i++) {
        struct od_tensor *tensor = &program->tensors[i];
        if (tensor->dtype == OD_DTYPE_BF16 && !tensor->vectors) {
            tensor->pad = od_round_up(od_tensor_stride(tensor), 8) - tensor->cols;
        }
    }
}

// Rows sorted by position, for the gradient of learned positions.
static void add_position_order(struct od_builder *b)
{
    struct od_program_io *io = &b->program.io;
    const int64_t tokens = b->program.options.tokens;
    io->position_order = -1;
    io->position_runs = -1;
    for (int32_t i = 0; i < b->program.op_count && b->program.options.half; i++) {
        if (b->program.ops[i].kind == OD_OP_POSITIONS_BWD && io->position_order < 0) {
            io->position_order = od_build_tensor(b, OD_ROLE_INPUT, tokens, 1, "position_order");
            io->position_runs = od_build_tensor(b, OD_ROLE_INPUT, tokens + 1, 1, "position_runs");
        }
    }
}

// First and last operation of every tensor.
static void find_lifetimes(struct od_program *program)
{
    for (int32_t i = 0; i < program->op_count; i++) {
        for (int s = 0; s < OD_OP_SLOTS; s++) {
            const int32_t number = program->ops[i].slot[s];
            if (number < 0) {
                continue;
            }
            struct od_tensor *tensor = &program->tensors[number];
            if (tensor->first < 0) {
                tensor->first = i;
            }
            tensor->last = i;
        }
    }
}

/** A GPU multiplies eight-bit floats in runs of so many. */
enum { E4M3_STEP = 16 };

// What is frozen can be codes, where the model's widths are multiples of what codes come in.
static enum od_status check_quant(const struct od_spec *spec,
                                  const struct od_program_options *options, struct od_error *err)
{
    if (options->quant != OD_QUANT_NONE && options->mode != OD_PROGRAM_TRAIN_LORA) {
        return od_fail(err, OD_E_ARGUMENT, "only the frozen weights of LoRA can be quantised");
    }
    const int64_t q = (int64_t)spec->heads * spec->head_dim;
    if (options->quant == OD_QUANT_NF4 &&
        (spec->channels % OD_NF4_BLOCK != 0 || spec->ffn % OD_NF4_BLOCK != 0 ||
         q % OD_NF4_BLOCK != 0)) {
        return od_fail(err, OD_E_UNSUPPORTED,
                       "4-bit weights need a hidden, a feed-forward and an attention width that %d "
                       "divides; the model has %lld, %lld and %lld",
                       OD_NF4_BLOCK, (long long)spec->channels, (long long)spec->ffn, (long long)q);
    }
    if (options->quant == OD_QUANT_E4M3 && options->half &&
        (spec->channels % E4M3_STEP != 0 || spec->ffn % E4M3_STEP != 0 || q % E4M3_STEP != 0 ||
         (int64_t)spec->kv_heads * spec->head_dim % E4M3_STEP != 0)) {
        return od_fail(err, OD_E_UNSUPPORTED,
                       "fp8 weights on a GPU need a hidden, a feed-forward and an attention width "
                       "that %d divides; the model has %lld, %lld and %lld",
                       E4M3_STEP, (long long)spec->channels, (long long)spec->ffn, (long long)q);
    }
    return OD_OK;
}

// Adapters on embedding and head.
static enum od_status check_outer(const struct od_program_options *options, struct od_error *err)
{
    const bool embed = (options->lora_targets & OD_TARGET_ALL_EMBED) != 0;
    const bool head = (options->lora_targets & OD_TARGET_HEAD) != 0;
    if (options->mode != OD_PROGRAM_TRAIN_LORA || (!embed && !head)) {
        return OD_OK;
    }
    if ((embed && (options->saved & OD_SAVED_EMBEDDING) != 0) ||
        (head && (options->saved & OD_SAVED_HEAD) != 0)) {
        return od_fail(err, OD_E_ARGUMENT,
                       "a module cannot both carry an adapter and be trained in full");
    }
    if (od_layer_set_last(&options->lora_layers) >= 0) {
        return od_fail(err, OD_E_ARGUMENT,
                       "adapters on embedding and head go with adapters on all layers only: where "
                       "layers are named, these two get none");
    }
    return OD_OK;
}

static enum od_status check_options(const struct od_spec *spec,
                                    const struct od_program_options *options, struct od_error *err)
{
    const bool infer = options->mode == OD_PROGRAM_INFER;
    if (options->tokens < 1 || options->tokens > INT32_MAX / 2) {
        return od_fail(err, OD_E_ARGUMENT, "a pass of %lld tokens is not possible",
                       (long long)options->tokens);
    }
    if (options->threads < 1) {
        return od_fail(err, OD_E_ARGUMENT, "a program needs at least one thread");
    }
    if (options->mode == OD_PROGRAM_TRAIN_LORA &&
        !(options->lora_dropout >= 0.0F && options->lora_dropout < 1.0F)) {
        return od_fail(err, OD_E_ARGUMENT, "dropout of an adapter must be 0 to below 1");
    }
    if (options->mode == OD_PROGRAM_TRAIN_LORA &&
        (options->lora_r < 1 || options->lora_r > spec->channels ||
         (options->lora_targets & (od_spec_targets(spec) | od_spec_outer_targets(spec))) == 0)) {
        return od_fail(
            err, OD_E_ARGUMENT,
            "an adapter of rank %lld is not possible: give 1 to %lld and a target module",
            (long long)options->lora_r, (long long)spec->channels);
    }
    if (options->bf16_weights && options->mode != OD_PROGRAM_TRAIN_FULL) {
        return od_fail(err, OD_E_ARGUMENT, "only full tuning has weights without an fp32 master");
    }
    if ((options->saved != 0 && options->mode != OD_PROGRAM_TRAIN_LORA) ||
        ((options->saved & OD_SAVED_HEAD) != 0 && spec->tied)) {
        return od_fail(err, OD_E_ARGUMENT,
                       "embedding and head are trained beside adapters only, the head where it is "
                       "one of its own");
    }
    if (od_layer_set_last(&options->lora_layers) >= spec->layers) {
        return od_fail(err, OD_E_ARGUMENT,
                       "an adapter on layer %lld is not possible: the model's are 0 to %lld",
                       (long long)od_layer_set_last(&options->lora_layers),
                       (long long)spec->layers - 1);
    }
    if ((int)options->keep < 0 || options->keep >= OD_KEEP_COUNT || options->lean_layers < 0 ||
        options->lean_layers > spec->layers ||
        (options->keep + 1 == OD_KEEP_COUNT && options->lean_layers > 0)) {
        return od_fail(err, OD_E_ARGUMENT, "what the layers keep is not one of the levels");
    }
    enum od_status status = check_outer(options, err);
    if (status == OD_OK) {
        status = check_quant(spec, options, err);
    }
    if (status != OD_OK) {
        return status;
    }
    if (infer &&
        (options->cache_slots < 1 || options->cache_length < 1 || options->logit_rows < 1)) {
        return od_fail(err, OD_E_ARGUMENT, "generation needs room for a sequence");
    }
    return OD_OK;
}

enum od_status od_program_build(const struct od_spec *spec,
                                const struct od_program_options *options, struct od_program *ret,
                                struct od_error *err)
{
    struct od_builder b = {.program = {.spec = *spec, .options = *options}};
    enum od_status status = check_options(spec, options, err);
    if (status != OD_OK) {
        return status;
    }
    const size_t layers = (size_t)spec->layers;
    b.tensor_capacity = (int32_t)(layers * 256 + 96);
    b.op_capacity = (int32_t)(layers * 44 + 32);
    b.part_capacity = (int32_t)(layers * 24 + 16);
    b.param_capacity = (int32_t)(layers * 16 + 8);
    struct od_arena *arena = &b.program.arena;
    od_arena_init(arena, (size_t)1 << 30);
    b.program.tensors = od_arena_alloc(arena, (size_t)b.tensor_capacity, sizeof *b.program.tensors);
    b.program.ops = od_arena_alloc(arena, (size_t)b.op_capacity, sizeof *b.program.ops);
    b.program.weights = od_arena_alloc(arena, (size_t)b.part_capacity, sizeof *b.program.weights);
    b.program.adapters = od_arena_alloc(arena, (size_t)b.part_capacity, sizeof *b.program.adapters);
    b.program.params = od_arena_alloc(arena, (size_t)b.param_capacity, sizeof *b.program.params);
    b.gradient_of = od_arena_alloc(arena, (size_t)b.tensor_capacity, sizeof *b.gradient_of);
    b.flows = od_arena_alloc(arena, (size_t)b.tensor_capacity, sizeof *b.flows);
    b.fold_of = od_arena_alloc(arena, (size_t)b.tensor_capacity, sizeof *b.fold_of);
    b.layer_op = od_arena_alloc(arena, layers + 1, sizeof *b.layer_op);
    b.again = od_arena_alloc(arena, (size_t)b.tensor_capacity, sizeof *b.again);
    b.folded = od_arena_alloc(arena, (size_t)b.tensor_capacity, sizeof *b.folded);
    b.host_of = od_arena_alloc(arena, (size_t)b.tensor_capacity, sizeof *b.host_of);
    b.next_fetch = od_arena_alloc(arena, (size_t)b.tensor_capacity, sizeof *b.next_fetch);
    if (!b.program.tensors || !b.program.ops || !b.program.weights || !b.program.adapters ||
        !b.program.params || !b.gradient_of || !b.flows || !b.fold_of || !b.layer_op || !b.again ||
        !b.folded || !b.host_of || !b.next_fetch) {
        od_arena_release(arena);
        return od_fail(err, OD_E_MEMORY, "no memory for a program of %zu layers", layers);
    }
    b.program.options.lora_targets &= od_spec_targets(spec) | od_spec_outer_targets(spec);
    if (is_gpt2(spec)) {
        od_build_gpt2(&b);
    } else {
        od_build_llama(&b);
    }
    b.program.forward_count = b.program.op_count;
    if (options->mode != OD_PROGRAM_INFER) {
        od_build_drop(&b);
        od_build_backward(&b);
        od_build_match(&b);
    }
    add_position_order(&b);
    if (b.failed) {
        od_arena_release(arena);
        return od_fail(err, OD_E_LIMIT, "the program of this model does not fit its tables");
    }
    if (options->half) {
        align_rows(&b.program);
    }
    find_lifetimes(&b.program);
    *ret = b.program;
    return OD_OK;
}

void od_program_release(struct od_program *program)
{
    od_arena_release(&program->arena);
    *program = (struct od_program){0};
}

double od_program_flops_per_token(const struct od_program *program)
{
    double flops = 0.0;
    for (int32_t i = 0; i < program->op_count; i++) {
        const struct od_op *op = &program->ops[i];
        const double product = 2.0 * (double)op->n * (double)op->k;
        const double adapter = 2.0 * (double)op->rank * (double)op->part_count * (double)op->k;
        const double outer = 2.0 * (double)op->rank * (double)op->n;  // embedding's and head's B
        switch (op->kind) {
        case OD_OP_LINEAR:
        case OD_OP_HEAD_LOGITS:
            flops += i < program->forward_count ? product + adapter : 0.0;  // behind: once more
            break;
        case OD_OP_HEAD_LOSS:
            flops += product * (1.0 + (op->slot[OD_SLOT_DX] >= 0) + (op->slot[OD_SLOT_DW] >= 0)) +
                     3.0 * (adapter + outer);
            break;
        case OD_OP_LINEAR_BWD:
            flops += (product + adapter) * (op->slot[OD_SLOT_DX] >= 0) +
                     product * (op->slot[OD_SLOT_DW] >= 0) + adapter;
            break;
        case OD_OP_EMBED: flops += outer; break;
        case OD_OP_EMBED_BWD: flops += 2.0 * outer; break;
        case OD_OP_RMS_NORM:
        case OD_OP_RMS_NORM_BWD:
        case OD_OP_ROPE:
        case OD_OP_ROPE_BWD:
        case OD_OP_ATTENTION:
        case OD_OP_ATTENTION_BWD:
        case OD_OP_ATTENTION_CACHED:
        case OD_OP_GLU:
        case OD_OP_GLU_BWD:
        case OD_OP_LAYER_NORM:
        case OD_OP_LAYER_NORM_BWD:
        case OD_OP_HEAD_NORM:
        case OD_OP_HEAD_NORM_BWD:
        case OD_OP_POSITIONS:
        case OD_OP_POSITIONS_BWD:
        case OD_OP_ACTIVATION:
        case OD_OP_ACTIVATION_BWD:
        case OD_OP_ADD:
        case OD_OP_STORE:
        case OD_OP_STORED:
        case OD_OP_FETCH:
        case OD_OP_FETCHED:
        case OD_OP_COUNT: break;
        }
    }
    return flops;
}
