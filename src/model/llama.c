// Llama and its kin: RMSNorm before each half block, rotary positions, grouped-query attention, a gated
// feed-forward part, tied or untied head. Mistral is the same list; Qwen2 adds biases to queries, keys
// and values, Qwen3 norms queries and keys.

#include <stdint.h>
#include <stdio.h>

#include "model/program.h"
#include "model/program_internal.h"
#include "model/spec.h"

static void part(struct od_linear *layer, enum od_target target, int64_t rows, int64_t index,
                 const char *block)
{
    char module[OD_MODULE_NAME_BYTES];
    int bit = 0;
    while ((1u << bit) != (unsigned)target) {
        bit++;
    }
    (void)snprintf(module, sizeof module, "model.layers.%lld.%s.%s", (long long)index, block,
                   od_target_name(bit));
    od_build_part(layer, target, rows, module);
}

static int32_t block_norm(struct od_builder *b, int32_t x, int64_t index, int which,
                          const char *module)
{
    char name[OD_TENSOR_NAME_BYTES];
    char path[OD_MODULE_NAME_BYTES];
    (void)snprintf(name, sizeof name, "layers.%lld.norm%d", (long long)index, which);
    (void)snprintf(path, sizeof path, "model.layers.%lld.%s", (long long)index, module);
    return od_build_norm(b, x, name, path);
}

static int32_t attention_part(struct od_builder *b, int32_t x, int64_t index)
{
    const struct od_spec *spec = &b->program.spec;
    const int64_t q = (int64_t)spec->heads * spec->head_dim;
    const int64_t kv = (int64_t)spec->kv_heads * spec->head_dim;
    struct od_linear qkv = {.k = spec->channels, .bias = spec->qkv_bias};
    struct od_linear out = {.k = q, .bias = spec->out_bias};
    (void)snprintf(qkv.name, sizeof qkv.name, "layers.%lld.qkv", (long long)index);
    part(&qkv, OD_TARGET_Q, q, index, "self_attn");
    part(&qkv, OD_TARGET_K, kv, index, "self_attn");
    part(&qkv, OD_TARGET_V, kv, index, "self_attn");
    int32_t y = block_norm(b, x, index, 1, "input_layernorm");
    y = od_build_linear(b, &qkv, y, -1);
    if (spec->head_norm) {
        char query[OD_PART_NAME_BYTES];
        char key[OD_PART_NAME_BYTES];
        (void)snprintf(query, sizeof query, "model.layers.%lld.self_attn.q_norm.weight",
                       (long long)index);
        (void)snprintf(key, sizeof key, "model.layers.%lld.self_attn.k_norm.weight",
                       (long long)index);
        y = od_build_head_norm(b, y, index, query, key);
    }
    y = od_build_attention(b, y, index);
    (void)snprintf(out.name, sizeof out.name, "layers.%lld.o", (long long)index);
    part(&out, OD_TARGET_O, spec->channels, index, "self_attn");
    return od_build_linear(b, &out, y, x);
}

static int32_t block(struct od_builder *b, int32_t x, int64_t index)
{
    const struct od_spec *spec = &b->program.spec;
    struct od_linear gate_up = {.k = spec->channels, .bias = spec->mlp_bias};
    struct od_linear down = {.k = spec->ffn, .bias = spec->mlp_bias};
    x = attention_part(b, x, index);
    int32_t y = block_norm(b, x, index, 2, "post_attention_layernorm");
    (void)snprintf(gate_up.name, sizeof gate_up.name, "layers.%lld.gate_up", (long long)index);
    part(&gate_up, OD_TARGET_GATE, spec->ffn, index, "mlp");
    part(&gate_up, OD_TARGET_UP, spec->ffn, index, "mlp");
    y = od_build_activation(b, od_build_linear(b, &gate_up, y, -1), index);
    (void)snprintf(down.name, sizeof down.name, "layers.%lld.down", (long long)index);
    part(&down, OD_TARGET_DOWN, spec->channels, index, "mlp");
    return od_build_linear(b, &down, y, x);
}

void od_build_llama(struct od_builder *b)
{
    const struct od_spec *spec = &b->program.spec;
    int32_t embedding = -1;
    od_build_inputs(b);
    int32_t x = od_build_embedding(b, "model.embed_tokens.weight", &embedding);
    for (int64_t i = 0; i < spec->layers; i++) {
        od_build_layer(b, i, x);
        x = block(b, x, i);
    }
    od_build_layer(b, spec->layers, x);
    x = od_build_norm(b, x, "norm", "model.norm");
    od_build_head(b, x, embedding);
}
