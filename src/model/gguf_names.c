// Names of weights, keys of the architecture, and which rows change places.

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "formats/ggml.h"
#include "formats/gguf.h"
#include "model/gguf_internal.h"
#include "model/gguf_model.h"
#include "model/spec.h"

enum { QUANTIZATION_VERSION = 2 };

static const char architecture[] = "llama";

bool od_gguf_is_path(const char *path)
{
    const size_t size = strlen(path);
    return size > 5 && strcmp(path + size - 5, ".gguf") == 0;
}

bool od_gguf_type_of(const char *name, uint32_t *ret_type)
{
    static const struct {
        const char *name;
        uint32_t type;
    } types[] = {
        {"f32", OD_GGML_F32}, {"f16", OD_GGML_F16}, {"bf16", OD_GGML_BF16}, {"q8_0", OD_GGML_Q8_0}};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strcmp(types[i].name, name) == 0) {
            *ret_type = types[i].type;
            return true;
        }
    }
    return false;
}

bool od_gguf_weight_name(const char *name, char out[OD_GGUF_NAME_MAX_BYTES + 1])
{
    static const char *const outer[][2] = {{"model.embed_tokens.weight", "token_embd.weight"},
                                           {"model.norm.weight", "output_norm.weight"},
                                           {"lm_head.weight", "output.weight"}};
    static const char *const inner[][2] = {{"input_layernorm.weight", "attn_norm.weight"},
                                           {"post_attention_layernorm.weight", "ffn_norm.weight"},
                                           {"self_attn.q_proj.weight", "attn_q.weight"},
                                           {"self_attn.k_proj.weight", "attn_k.weight"},
                                           {"self_attn.v_proj.weight", "attn_v.weight"},
                                           {"self_attn.o_proj.weight", "attn_output.weight"},
                                           {"mlp.gate_proj.weight", "ffn_gate.weight"},
                                           {"mlp.up_proj.weight", "ffn_up.weight"},
                                           {"mlp.down_proj.weight", "ffn_down.weight"}};
    static const char layers[] = "model.layers.";
    for (size_t i = 0; i < sizeof outer / sizeof outer[0]; i++) {
        if (strcmp(name, outer[i][0]) == 0) {
            (void)snprintf(out, OD_GGUF_NAME_MAX_BYTES + 1, "%s", outer[i][1]);
            return true;
        }
    }
    if (strncmp(name, layers, sizeof layers - 1) != 0) {
        return false;
    }
    const char *number = name + sizeof layers - 1;
    const size_t digits = strspn(number, "0123456789");
    for (size_t i = 0; i < sizeof inner / sizeof inner[0] && digits > 0 && digits < 8; i++) {
        if (number[digits] == '.' && strcmp(number + digits + 1, inner[i][0]) == 0) {
            (void)snprintf(out, OD_GGUF_NAME_MAX_BYTES + 1, "blk.%.*s.%s", (int)digits, number,
                           inner[i][1]);
            return true;
        }
    }
    return false;
}

static bool ends_with(const char *text, const char *ending)
{
    const size_t size = strlen(text);
    const size_t end = strlen(ending);
    return size >= end && strcmp(text + size - end, ending) == 0;
}

int64_t od_gguf_turned_heads(const struct od_spec *spec, const char *name)
{
    if (ends_with(name, ".self_attn.q_proj.weight")) {
        return spec->heads;
    }
    return ends_with(name, ".self_attn.k_proj.weight") ? spec->kv_heads : 0;
}

int64_t od_gguf_our_row(int64_t row, int64_t head_dim)
{
    const int64_t in_head = row % head_dim;
    return row - in_head + in_head % 2 * (head_dim / 2) + in_head / 2;
}

// The number of a file's type, by that of its matrices.
static uint32_t file_type(uint32_t type)
{
    switch (type) {
    case OD_GGML_F16: return 1;
    case OD_GGML_Q8_0: return 7;
    case OD_GGML_BF16: return 32;
    default: return 0;
    }
}

enum od_status od_spec_put_gguf(const struct od_spec *spec, const char *name, uint32_t type,
                                struct od_gguf_keys *keys, struct od_error *err)
{
    if (strcmp(spec->family, "llama") != 0 && strcmp(spec->family, "mistral") != 0) {
        return od_fail(err, OD_E_UNSUPPORTED,
                       "models of family '%s' are not written as GGUF yet; llama and mistral are",
                       spec->family);
    }
    od_gguf_put_text(keys, "general.architecture", architecture);
    od_gguf_put_text(keys, "general.type", "model");
    od_gguf_put_text(keys, "general.name", name);
    od_gguf_put_u32(keys, "general.file_type", file_type(type));
    if (type == OD_GGML_Q8_0) {
        od_gguf_put_u32(keys, "general.quantization_version", QUANTIZATION_VERSION);
    }
    // All of them are checked against maxima far below 2^32 when a config is read.
    od_gguf_put_u32(keys, "llama.block_count", (uint32_t)spec->layers);
    od_gguf_put_u32(keys, "llama.context_length", (uint32_t)spec->max_positions);
    od_gguf_put_u32(keys, "llama.embedding_length", (uint32_t)spec->channels);
    od_gguf_put_u32(keys, "llama.feed_forward_length", (uint32_t)spec->ffn);
    od_gguf_put_u32(keys, "llama.attention.head_count", (uint32_t)spec->heads);
    od_gguf_put_u32(keys, "llama.attention.head_count_kv", (uint32_t)spec->kv_heads);
    od_gguf_put_u32(keys, "llama.attention.key_length", (uint32_t)spec->head_dim);
    od_gguf_put_u32(keys, "llama.attention.value_length", (uint32_t)spec->head_dim);
    od_gguf_put_f32(keys, "llama.attention.layer_norm_rms_epsilon", spec->norm_eps);
    od_gguf_put_f32(keys, "llama.rope.freq_base", (float)spec->rope_theta);
    od_gguf_put_u32(keys, "llama.rope.dimension_count", (uint32_t)spec->head_dim);
    od_gguf_put_u32(keys, "llama.vocab_size", (uint32_t)spec->vocab);
    return OD_OK;
}

// A whole number between 1 and max.
static enum od_status size_of(const struct od_gguf *gguf, const char *key, int64_t fallback,
                              int64_t max, int64_t *ret, struct od_error *err)
{
    int64_t value = 0;
    const enum od_status status = od_gguf_int_or(gguf, key, fallback, &value, err);
    if (status == OD_OK && (value < 1 || value > max)) {
        return od_fail(err, OD_E_LIMIT, "'%s': '%s' is %" PRId64 ", must be 1 to %" PRId64,
                       od_gguf_name(gguf), key, value, max);
    }
    *ret = value;
    return status;
}

// What would need arithmetic that is not here.
static enum od_status refuse_unknown(const struct od_gguf *gguf, struct od_error *err)
{
    const char *name = NULL;
    const char *scaling = NULL;
    const char *type = NULL;
    int64_t experts = 0;
    enum od_status status = od_gguf_text_or(gguf, "general.architecture", "", &name, err);
    if (status == OD_OK) {
        status = od_gguf_text_or(gguf, "general.type", "model", &type, err);
    }
    if (status == OD_OK) {
        status = od_gguf_text_or(gguf, "llama.rope.scaling.type", "none", &scaling, err);
    }
    if (status == OD_OK) {
        status = od_gguf_int_or(gguf, "llama.expert_count", 0, &experts, err);
    }
    if (status == OD_OK && strcmp(name, architecture) != 0) {
        status = od_fail(err, OD_E_UNSUPPORTED, "'%s': architecture '%.64s' is not known, only %s",
                         od_gguf_name(gguf), name, architecture);
    }
    if (status == OD_OK && strcmp(type, "model") != 0) {
        status = od_fail(err, OD_E_ARGUMENT, "'%s' holds no model but '%.64s'", od_gguf_name(gguf),
                         type);
    }
    if (status == OD_OK && (strcmp(scaling, "none") != 0 || experts != 0)) {
        status =
            od_fail(err, OD_E_UNSUPPORTED, "'%s': scaled positions and experts are not supported",
                    od_gguf_name(gguf));
    }
    return status;
}

static enum od_status read_heads(const struct od_gguf *gguf, struct od_spec *spec,
                                 struct od_error *err)
{
    int64_t heads = 0;
    int64_t kv_heads = 0;
    int64_t sizes[3] = {0};  // of keys, of values, of what is turned
    enum od_status status =
        size_of(gguf, "llama.attention.head_count", 0, OD_SPEC_HEADS_MAX, &heads, err);
    if (status == OD_OK) {
        status = size_of(gguf, "llama.attention.head_count_kv", heads, OD_SPEC_HEADS_MAX, &kv_heads,
                         err);
    }
    static const char *const keys[] = {"llama.attention.key_length", "llama.attention.value_length",
                                       "llama.rope.dimension_count"};
    for (int i = 0; i < 3 && status == OD_OK; i++) {
        status = size_of(gguf, keys[i], spec->channels / heads, 1024, &sizes[i], err);
    }
    if (status != OD_OK) {
        return status;
    }
    if (kv_heads > heads || heads % kv_heads != 0 || sizes[0] % 2 != 0 || sizes[1] != sizes[0] ||
        sizes[2] != sizes[0]) {
        return od_fail(err, OD_E_UNSUPPORTED,
                       "'%s': %" PRId64 " heads, %" PRId64 " of keys, of sizes %" PRId64
                       ", %" PRId64 " and %" PRId64 " turned: not supported",
                       od_gguf_name(gguf), heads, kv_heads, sizes[0], sizes[1], sizes[2]);
    }
    spec->heads = (int32_t)heads;
    spec->kv_heads = (int32_t)kv_heads;
    spec->head_dim = (int32_t)sizes[0];
    return OD_OK;
}

static enum od_status read_numbers(const struct od_gguf *gguf, struct od_spec *spec,
                                   struct od_error *err)
{
    double eps = 0;
    int64_t bos = -1;
    int64_t eos = -1;
    enum od_status status =
        od_gguf_number_or(gguf, "llama.attention.layer_norm_rms_epsilon", 1e-5, &eps, err);
    if (status == OD_OK) {
        status = od_gguf_number_or(gguf, "llama.rope.freq_base", 10000.0, &spec->rope_theta, err);
    }
    if (status == OD_OK) {
        status = od_gguf_int_or(gguf, "tokenizer.ggml.bos_token_id", -1, &bos, err);
    }
    if (status == OD_OK) {
        status = od_gguf_int_or(gguf, "tokenizer.ggml.eos_token_id", -1, &eos, err);
    }
    if (status != OD_OK) {
        return status;
    }
    if (!(eps > 0.0 && eps < 1.0) || !(spec->rope_theta > 1.0 && spec->rope_theta < 1e12) ||
        bos < -1 || bos >= spec->vocab || eos < -1 || eos >= spec->vocab) {
        return od_fail(err, OD_E_FORMAT,
                       "'%s': epsilon %g, base of positions %g, ids of beginning and end %" PRId64
                       " and %" PRId64 ": one of them makes no sense",
                       od_gguf_name(gguf), eps, spec->rope_theta, bos, eos);
    }
    spec->norm_eps = (float)eps;
    spec->bos = (int32_t)bos;
    spec->eos = (int32_t)eos;
    return OD_OK;
}

enum od_status od_spec_of_gguf(const struct od_gguf *gguf, struct od_spec *ret,
                               struct od_error *err)
{
    struct od_spec spec = {.init_std = 0.02};
    const struct od_gguf_tensor *table = od_gguf_find_tensor(gguf, "token_embd.weight");
    const struct {
        const char *key;
        int64_t max;
        int64_t *to;
    } sizes[] = {
        {"llama.block_count", OD_SPEC_LAYERS_MAX, &spec.layers},
        {"llama.context_length", OD_SPEC_POSITIONS_MAX, &spec.max_positions},
        {"llama.embedding_length", OD_SPEC_CHANNELS_MAX, &spec.channels},
        {"llama.feed_forward_length", OD_SPEC_FFN_MAX, &spec.ffn},
    };
    enum od_status status = refuse_unknown(gguf, err);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0] && status == OD_OK; i++) {
        status = size_of(gguf, sizes[i].key, 0, sizes[i].max, sizes[i].to, err);
    }
    if (status == OD_OK && (!table || table->rank != 2 || table->shape[0] > OD_SPEC_VOCAB_MAX)) {
        status =
            od_fail(err, OD_E_FORMAT, "'%s' has no tensor 'token_embd.weight' of two dimensions",
                    od_gguf_name(gguf));
    }
    if (status != OD_OK) {
        return status;
    }
    (void)snprintf(spec.family, sizeof spec.family, "%s", architecture);
    spec.vocab = table->shape[0];
    spec.tied = !od_gguf_find_tensor(gguf, "output.weight");
    status = read_heads(gguf, &spec, err);
    if (status == OD_OK) {
        status = read_numbers(gguf, &spec, err);
    }
    if (status == OD_OK) {
        *ret = spec;
    }
    return status;
}
