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
#include "ops/op.h"

enum { QUANTIZATION_VERSION = 2, KEY_BYTES = 96 };

// The first is llama.cpp's, which looks at it in other architectures; the second is our own.
static const char window_key[] = "attention.sliding_window";
static const char window_from_key[] = "oneday.window_from";

// What a family is called there, and what sets it apart.
static const struct {
    const char *family;
    const char *architecture;
    bool turned;     // neighbouring pairs are turned, not the halves of a head
    bool qkv_bias;   // queries, keys and values have biases
    bool head_norm;  // queries and keys are normed
    bool gpt2;       // LayerNorm, learned positions, biases everywhere, two products with GELU
    bool optional;   // files may have biases of the attention, and of the feed-forward part
} families[] = {{"llama", "llama", true, false, false, false, true},
                {"mistral", "llama", true, false, false, false, true},
                {"qwen2", "qwen2", false, true, false, false, false},
                {"qwen3", "qwen3", false, false, true, false, false},
                {"gpt2", "gpt2", false, true, false, true, false}};

enum { FAMILIES = sizeof families / sizeof families[0] };

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

// What follows the number of a layer.
static const char *const layer_names[][2] = {{"input_layernorm.weight", "attn_norm.weight"},
                                             {"post_attention_layernorm.weight", "ffn_norm.weight"},
                                             {"self_attn.q_proj.weight", "attn_q.weight"},
                                             {"self_attn.k_proj.weight", "attn_k.weight"},
                                             {"self_attn.v_proj.weight", "attn_v.weight"},
                                             {"self_attn.o_proj.weight", "attn_output.weight"},
                                             {"self_attn.q_proj.bias", "attn_q.bias"},
                                             {"self_attn.k_proj.bias", "attn_k.bias"},
                                             {"self_attn.v_proj.bias", "attn_v.bias"},
                                             {"self_attn.o_proj.bias", "attn_output.bias"},
                                             {"self_attn.q_norm.weight", "attn_q_norm.weight"},
                                             {"self_attn.k_norm.weight", "attn_k_norm.weight"},
                                             {"mlp.gate_proj.bias", "ffn_gate.bias"},
                                             {"mlp.up_proj.bias", "ffn_up.bias"},
                                             {"mlp.down_proj.bias", "ffn_down.bias"},
                                             {"mlp.gate_proj.weight", "ffn_gate.weight"},
                                             {"mlp.up_proj.weight", "ffn_up.weight"},
                                             {"mlp.down_proj.weight", "ffn_down.weight"},
                                             {NULL, NULL}};
static const char *const gpt2_layer_names[][2] = {{"ln_1.weight", "attn_norm.weight"},
                                                  {"ln_1.bias", "attn_norm.bias"},
                                                  {"ln_2.weight", "ffn_norm.weight"},
                                                  {"ln_2.bias", "ffn_norm.bias"},
                                                  {"attn.c_attn.weight", "attn_qkv.weight"},
                                                  {"attn.c_attn.bias", "attn_qkv.bias"},
                                                  {"attn.c_proj.weight", "attn_output.weight"},
                                                  {"attn.c_proj.bias", "attn_output.bias"},
                                                  {"mlp.c_fc.weight", "ffn_up.weight"},
                                                  {"mlp.c_fc.bias", "ffn_up.bias"},
                                                  {"mlp.c_proj.weight", "ffn_down.weight"},
                                                  {"mlp.c_proj.bias", "ffn_down.bias"},
                                                  {NULL, NULL}};

// A name that begins with `layers` and a number.
static bool layer_name(const char *name, const char *layers, const char *const (*names)[2],
                       char out[OD_GGUF_NAME_MAX_BYTES + 1])
{
    const size_t start = strlen(layers);
    if (strncmp(name, layers, start) != 0) {
        return false;
    }
    const char *number = name + start;
    const size_t digits = strspn(number, "0123456789");
    for (size_t i = 0; names[i][0] && digits > 0 && digits < 8; i++) {
        if (number[digits] == '.' && strcmp(number + digits + 1, names[i][0]) == 0) {
            (void)snprintf(out, OD_GGUF_NAME_MAX_BYTES + 1, "blk.%.*s.%s", (int)digits, number,
                           names[i][1]);
            return true;
        }
    }
    return false;
}

bool od_gguf_weight_name(const char *name, char out[OD_GGUF_NAME_MAX_BYTES + 1])
{
    static const char *const outer[][2] = {{"model.embed_tokens.weight", "token_embd.weight"},
                                           {"model.norm.weight", "output_norm.weight"},
                                           {"lm_head.weight", "output.weight"},
                                           {"transformer.wte.weight", "token_embd.weight"},
                                           {"transformer.wpe.weight", OD_GGUF_POSITIONS},
                                           {"transformer.ln_f.weight", "output_norm.weight"},
                                           {"transformer.ln_f.bias", "output_norm.bias"}};
    for (size_t i = 0; i < sizeof outer / sizeof outer[0]; i++) {
        if (strcmp(name, outer[i][0]) == 0) {
            (void)snprintf(out, OD_GGUF_NAME_MAX_BYTES + 1, "%s", outer[i][1]);
            return true;
        }
    }
    return layer_name(name, "model.layers.", layer_names, out) ||
           layer_name(name, "transformer.h.", gpt2_layer_names, out);
}

static bool ends_with(const char *text, const char *ending)
{
    const size_t size = strlen(text);
    const size_t end = strlen(ending);
    return size >= end && strcmp(text + size - end, ending) == 0;
}

// Index of a model's family, or FAMILIES.
static size_t family_of(const struct od_spec *spec)
{
    size_t i = 0;
    while (i < FAMILIES && strcmp(families[i].family, spec->family) != 0) {
        i++;
    }
    return i;
}

const char *od_gguf_architecture(const struct od_spec *spec)
{
    const size_t family = family_of(spec);
    return family < FAMILIES ? families[family].architecture : NULL;
}

int64_t od_gguf_turned_heads(const struct od_spec *spec, const char *name)
{
    const size_t family = family_of(spec);
    if (family == FAMILIES || !families[family].turned) {
        return 0;
    }
    if (ends_with(name, ".self_attn.q_proj.weight") || ends_with(name, ".self_attn.q_proj.bias")) {
        return spec->heads;
    }
    return ends_with(name, ".self_attn.k_proj.weight") || ends_with(name, ".self_attn.k_proj.bias")
               ? spec->kv_heads
               : 0;
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

// What the file cannot say, or llama.cpp does not compute in this family.
static enum od_status check_family(const struct od_spec *spec, struct od_error *err)
{
    const size_t family = family_of(spec);
    if (family == FAMILIES) {
        return od_fail(err, OD_E_UNSUPPORTED,
                       "models of family '%s' are not written as GGUF; llama, mistral, qwen2, "
                       "qwen3 and gpt2 are",
                       spec->family);
    }
    const bool gpt2 = families[family].gpt2;
    const bool other_biases = spec->qkv_bias != families[family].qkv_bias ||
                              spec->out_bias != gpt2 || spec->mlp_bias != gpt2;
    if ((other_biases && !families[family].optional) ||
        spec->head_norm != families[family].head_norm || spec->layer_norm != gpt2 ||
        spec->learned_positions != gpt2 || spec->plain_mlp != gpt2 ||
        spec->activation != (gpt2 ? OD_ACTIVATION_GELU_TANH : OD_ACTIVATION_SILU)) {
        return od_fail(err, OD_E_UNSUPPORTED,
                       "the model has biases, norms or an activation that its family has not in "
                       "GGUF files");
    }
    return OD_OK;
}

static void put_key(struct od_gguf_keys *keys, const char *architecture, const char *name,
                    int64_t value)
{
    char key[KEY_BYTES];
    (void)snprintf(key, sizeof key, "%s.%s", architecture, name);
    // All of them are checked against maxima far below 2^32 when a config is read.
    od_gguf_put_u32(keys, key, (uint32_t)value);
}

static void put_float(struct od_gguf_keys *keys, const char *architecture, const char *name,
                      float value)
{
    char key[KEY_BYTES];
    (void)snprintf(key, sizeof key, "%s.%s", architecture, name);
    od_gguf_put_f32(keys, key, value);
}

// Key of the norms' epsilon.
static const char *eps_key(const struct od_spec *spec)
{
    return spec->layer_norm ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon";
}

static void put_window(const struct od_spec *spec, const char *architecture,
                       struct od_gguf_keys *keys)
{
    if (spec->window != 0) {
        put_key(keys, architecture, window_key, spec->window);
        od_gguf_put_u32(keys, window_from_key, (uint32_t)spec->window_from);
    }
}

enum od_status od_spec_put_gguf(const struct od_spec *spec, const char *name, uint32_t type,
                                struct od_gguf_keys *keys, struct od_error *err)
{
    enum od_status status = check_family(spec, err);
    if (status != OD_OK) {
        return status;
    }
    const char *architecture = od_gguf_architecture(spec);
    od_gguf_put_text(keys, "general.architecture", architecture);
    od_gguf_put_text(keys, "general.type", "model");
    od_gguf_put_text(keys, "general.name", name);
    od_gguf_put_u32(keys, "general.file_type", file_type(type));
    if (type == OD_GGML_Q8_0) {
        od_gguf_put_u32(keys, "general.quantization_version", QUANTIZATION_VERSION);
    }
    put_key(keys, architecture, "block_count", spec->layers);
    put_key(keys, architecture, "context_length", spec->max_positions);
    put_key(keys, architecture, "embedding_length", spec->channels);
    put_key(keys, architecture, "feed_forward_length", spec->ffn);
    put_key(keys, architecture, "attention.head_count", spec->heads);
    if (!spec->learned_positions) {
        put_key(keys, architecture, "attention.head_count_kv", spec->kv_heads);
        put_key(keys, architecture, "attention.key_length", spec->head_dim);
        put_key(keys, architecture, "attention.value_length", spec->head_dim);
    }
    put_float(keys, architecture, eps_key(spec), spec->norm_eps);
    if (!spec->learned_positions) {
        put_float(keys, architecture, "rope.freq_base", (float)spec->rope_theta);
        put_key(keys, architecture, "rope.dimension_count", spec->head_dim);
    }
    put_key(keys, architecture, "vocab_size", spec->vocab);
    status = od_gguf_put_rope(spec, architecture, keys, err);
    put_window(spec, architecture, keys);
    return status;
}

// A whole number between 1 and max.
static enum od_status size_of(const struct od_gguf *gguf, const char *architecture,
                              const char *name, int64_t fallback, int64_t max, int64_t *ret,
                              struct od_error *err)
{
    char key[KEY_BYTES];
    int64_t value = 0;
    (void)snprintf(key, sizeof key, "%s.%s", architecture, name);
    const enum od_status status = od_gguf_int_or(gguf, key, fallback, &value, err);
    if (status == OD_OK && (value < 1 || value > max)) {
        return od_fail(err, OD_E_LIMIT, "'%s': '%s' is %" PRId64 ", must be 1 to %" PRId64,
                       od_gguf_name(gguf), key, value, max);
    }
    *ret = value;
    return status;
}

// The family, and that nothing needs arithmetic that is not here.
static enum od_status read_family(const struct od_gguf *gguf, struct od_spec *spec,
                                  const char **ret_architecture, struct od_error *err)
{
    char key[KEY_BYTES];
    const char *name = NULL;
    const char *type = NULL;
    int64_t experts = 0;
    size_t family = 0;
    enum od_status status = od_gguf_text_or(gguf, "general.architecture", "", &name, err);
    if (status == OD_OK) {
        status = od_gguf_text_or(gguf, "general.type", "model", &type, err);
    }
    if (status != OD_OK) {
        return status;
    }
    while (family < FAMILIES && strcmp(families[family].architecture, name) != 0) {
        family++;
    }
    if (family == FAMILIES) {
        return od_fail(err, OD_E_UNSUPPORTED,
                       "'%s': architecture '%.64s' is not known; llama, qwen2, qwen3 and gpt2 are",
                       od_gguf_name(gguf), name);
    }
    (void)snprintf(key, sizeof key, "%s.expert_count", families[family].architecture);
    status = od_gguf_int_or(gguf, key, 0, &experts, err);
    if (status == OD_OK && strcmp(type, "model") != 0) {
        status = od_fail(err, OD_E_ARGUMENT, "'%s' holds no model but '%.64s'", od_gguf_name(gguf),
                         type);
    }
    if (status == OD_OK && experts != 0) {
        status =
            od_fail(err, OD_E_UNSUPPORTED, "'%s': experts are not supported", od_gguf_name(gguf));
    }
    (void)snprintf(spec->family, sizeof spec->family, "%s", families[family].family);
    spec->qkv_bias = families[family].qkv_bias;
    spec->head_norm = families[family].head_norm;
    if (families[family].optional) {
        spec->qkv_bias = od_gguf_find_tensor(gguf, "blk.0.attn_q.bias") != NULL;
        spec->out_bias = od_gguf_find_tensor(gguf, "blk.0.attn_output.bias") != NULL;
        spec->mlp_bias = od_gguf_find_tensor(gguf, "blk.0.ffn_gate.bias") != NULL;
    }
    if (families[family].gpt2) {
        spec->layer_norm = true;
        spec->learned_positions = true;
        spec->plain_mlp = true;
        spec->out_bias = true;
        spec->mlp_bias = true;
        spec->activation = OD_ACTIVATION_GELU_TANH;
    }
    *ret_architecture = families[family].architecture;
    return status;
}

static enum od_status read_heads(const struct od_gguf *gguf, const char *architecture,
                                 struct od_spec *spec, struct od_error *err)
{
    int64_t heads = 0;
    int64_t kv_heads = 0;
    int64_t sizes[3] = {0};  // of keys, of values, of what is turned
    enum od_status status =
        size_of(gguf, architecture, "attention.head_count", 0, OD_SPEC_HEADS_MAX, &heads, err);
    if (status == OD_OK) {
        status = size_of(gguf, architecture, "attention.head_count_kv", heads, OD_SPEC_HEADS_MAX,
                         &kv_heads, err);
    }
    static const char *const keys[] = {"attention.key_length", "attention.value_length",
                                       "rope.dimension_count"};
    for (int i = 0; i < 3 && status == OD_OK; i++) {
        status = size_of(gguf, architecture, keys[i], spec->channels / heads, 1024, &sizes[i], err);
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

static enum od_status read_numbers(const struct od_gguf *gguf, const char *architecture,
                                   struct od_spec *spec, struct od_error *err)
{
    char key[KEY_BYTES];
    double eps = 0;
    int64_t bos = -1;
    int64_t eos = -1;
    (void)snprintf(key, sizeof key, "%s.%s", architecture, eps_key(spec));
    enum od_status status = od_gguf_number_or(gguf, key, 1e-5, &eps, err);
    (void)snprintf(key, sizeof key, "%s.rope.freq_base", architecture);
    if (status == OD_OK) {
        status = od_gguf_number_or(gguf, key, 10000.0, &spec->rope_theta, err);
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

// A window below the context. In "llama" it is Mistral's, in all layers where the file is silent.
static enum od_status read_window(const struct od_gguf *gguf, const char *architecture,
                                  struct od_spec *spec, struct od_error *err)
{
    char key[KEY_BYTES];
    const bool llama = strcmp(spec->family, "llama") == 0;
    int64_t window = 0;
    int64_t from = 0;
    (void)snprintf(key, sizeof key, "%s.%s", architecture, window_key);
    enum od_status status = od_gguf_int_or(gguf, key, 0, &window, err);
    if (status == OD_OK) {
        status = od_gguf_int_or(gguf, window_from_key, llama ? 0 : -1, &from, err);
    }
    if (status != OD_OK || window == 0 || window >= spec->max_positions) {
        return status;
    }
    if (window < 0 || from < 0 || from >= spec->layers || (llama && from != 0) ||
        spec->learned_positions) {
        return od_fail(err, OD_E_UNSUPPORTED,
                       "'%s': a window of %" PRId64 " keys from layer %" PRId64
                       " is not supported; '%s' says from which layer",
                       od_gguf_name(gguf), window, from, window_from_key);
    }
    if (llama) {
        (void)snprintf(spec->family, sizeof spec->family, "%s", "mistral");
    }
    spec->window = window;
    spec->window_from = from;
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
        {"block_count", OD_SPEC_LAYERS_MAX, &spec.layers},
        {"context_length", OD_SPEC_POSITIONS_MAX, &spec.max_positions},
        {"embedding_length", OD_SPEC_CHANNELS_MAX, &spec.channels},
        {"feed_forward_length", OD_SPEC_FFN_MAX, &spec.ffn},
    };
    const char *architecture = NULL;
    enum od_status status = read_family(gguf, &spec, &architecture, err);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0] && status == OD_OK; i++) {
        status = size_of(gguf, architecture, sizes[i].key, 0, sizes[i].max, sizes[i].to, err);
    }
    if (status == OD_OK && (!table || table->rank != 2 || table->shape[0] > OD_SPEC_VOCAB_MAX)) {
        status =
            od_fail(err, OD_E_FORMAT, "'%s' has no tensor 'token_embd.weight' of two dimensions",
                    od_gguf_name(gguf));
    }
    if (status != OD_OK) {
        return status;
    }
    spec.vocab = table->shape[0];
    spec.tied = !od_gguf_find_tensor(gguf, "output.weight");
    status = read_heads(gguf, architecture, &spec, err);
    if (status == OD_OK) {
        status = read_numbers(gguf, architecture, &spec, err);
    }
    if (status == OD_OK) {
        status = od_gguf_read_rope(gguf, architecture, &spec, err);
    }
    if (status == OD_OK) {
        status = read_window(gguf, architecture, &spec, err);
    }
    if (status == OD_OK) {
        *ret = spec;
    }
    return status;
}

enum od_status od_spec_read_gguf(const char *path, struct od_spec *ret, struct od_error *err)
{
    struct od_gguf *gguf = NULL;
    enum od_status status = od_gguf_open(path, &gguf, err);
    if (status == OD_OK) {
        status = od_spec_of_gguf(gguf, ret, err);
    }
    od_gguf_close(gguf);
    return status;
}
