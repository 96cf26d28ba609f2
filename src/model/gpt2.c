// GPT-2: LayerNorm before each half block, learned positions, biases everywhere, GELU, a tied head.
// Its files keep the weights of linear layers transposed, [inputs, outputs].

#include <stdint.h>
#include <stdio.h>

#include "model/program.h"
#include "model/program_internal.h"
#include "model/spec.h"
#include "ops/op.h"

static int32_t linear(struct od_builder *b, int64_t index, const char *name, const char *module,
                      enum od_target target, int64_t rows, int64_t k, int32_t x, int32_t residual)
{
    struct od_linear layer = {.k = k, .bias = true, .transposed = true};
    char path[OD_MODULE_NAME_BYTES];
    (void)snprintf(layer.name, sizeof layer.name, "layers.%lld.%s", (long long)index, name);
    (void)snprintf(path, sizeof path, "transformer.h.%lld.%s", (long long)index, module);
    od_build_part(&layer, target, rows, path);
    return od_build_linear(b, &layer, x, residual);
}

static int32_t norm(struct od_builder *b, int32_t x, int64_t index, int which)
{
    char name[OD_TENSOR_NAME_BYTES];
    char module[OD_MODULE_NAME_BYTES];
    (void)snprintf(name, sizeof name, "layers.%lld.norm%d", (long long)index, which);
    (void)snprintf(module, sizeof module, "transformer.h.%lld.ln_%d", (long long)index, which);
    return od_build_norm(b, x, name, module);
}

static int32_t block(struct od_builder *b, int32_t x, int64_t index)
{
    const struct od_spec *spec = &b->program.spec;
    const int64_t c = spec->channels;
    int32_t y = norm(b, x, index, 1);
    y = linear(b, index, "qkv", "attn.c_attn", OD_TARGET_C_ATTN, 3 * c, c, y, -1);
    y = od_build_attention(b, y, index);
    x = linear(b, index, "o", "attn.c_proj", OD_TARGET_C_PROJ, c, c, y, x);
    y = norm(b, x, index, 2);
    y = linear(b, index, "up", "mlp.c_fc", OD_TARGET_C_FC, spec->ffn, c, y, -1);
    y = od_build_activation(b, y, index);
    return linear(b, index, "down", "mlp.c_proj", OD_TARGET_C_PROJ, c, spec->ffn, y, x);
}

static void positions(struct od_builder *b, int32_t x)
{
    const struct od_spec *spec = &b->program.spec;
    const int32_t w = od_build_table(b, spec->max_positions, spec->channels, "positions");
    od_build_weight_part(b, w, 0, spec->max_positions, "transformer.wpe.weight");
    struct od_op *op = od_build_op(b, OD_OP_POSITIONS);
    op->n = spec->channels;
    op->slot[OD_SLOT_W] = w;
    op->slot[OD_SLOT_Y] = x;
}

void od_build_gpt2(struct od_builder *b)
{
    const struct od_spec *spec = &b->program.spec;
    int32_t embedding = -1;
    od_build_inputs(b);
    int32_t x = od_build_embedding(b, "transformer.wte.weight", &embedding);
    positions(b, x);
    for (int64_t i = 0; i < spec->layers; i++) {
        od_build_layer(b, i, x);
        x = block(b, x, i);
    }
    od_build_layer(b, spec->layers, x);
    x = od_build_norm(b, x, "norm", "transformer.ln_f");
    od_build_head(b, x, embedding);
}
