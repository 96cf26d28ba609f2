#include "model/spec.h"

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "formats/json.h"
#include "model/spec_internal.h"
#include "ops/op.h"

// A whole number between 1 and max.
static enum od_status size_of(const json_t *config, const char *key, const char *where, int64_t max,
                              int64_t *ret, struct od_error *err)
{
    int64_t value;
    enum od_status status = od_json_int(config, key, where, &value, err);
    if (status != OD_OK) {
        return status;
    }
    if (value < 1 || value > max) {
        return od_fail(err, OD_E_LIMIT, "%s: '%s' is %lld, must be 1 to %lld", where, key,
                       (long long)value, (long long)max);
    }
    *ret = value;
    return OD_OK;
}

// transformers has defaults of its own for keys that a file leaves out, by family; null is no such key.
static int64_t absent_or_null(const json_t *config, const char *key, int64_t absent, int64_t null)
{
    return json_object_get(config, key) ? null : absent;
}

// What num_key_value_heads is where a file leaves it out.
static int64_t usual_kv_heads(const char *family, int64_t heads)
{
    if (strcmp(family, "mistral") == 0) {
        return 8;
    }
    return strncmp(family, "qwen", 4) == 0 ? 32 : heads;
}

static enum od_status heads_of(const json_t *config, const char *where, struct od_spec *spec,
                               struct od_error *err)
{
    int64_t heads;
    int64_t kv_heads = 0;
    int64_t head_dim = 0;
    enum od_status status =
        size_of(config, "num_attention_heads", where, OD_SPEC_HEADS_MAX, &heads, err);
    if (status == OD_OK) {
        const int64_t usual = absent_or_null(config, "num_key_value_heads",
                                             usual_kv_heads(spec->family, heads), heads);
        status = od_json_int_or(config, "num_key_value_heads", where, usual, &kv_heads, err);
    }
    if (status == OD_OK) {
        const int64_t even = spec->channels / heads;
        const int64_t usual = absent_or_null(config, "head_dim",
                                             strcmp(spec->family, "qwen3") == 0 ? 128 : even, even);
        status = od_json_int_or(config, "head_dim", where, usual, &head_dim, err);
    }
    if (status != OD_OK) {
        return status;
    }
    if (kv_heads < 1 || kv_heads > heads || heads % kv_heads != 0) {
        return od_fail(err, OD_E_FORMAT,
                       "%s: %lld attention heads cannot share %lld key/value heads", where,
                       (long long)heads, (long long)kv_heads);
    }
    if (head_dim < 2 || head_dim > 1024 || head_dim % 2 != 0) {
        return od_fail(err, OD_E_FORMAT, "%s: head size %lld must be even and 2 to 1024", where,
                       (long long)head_dim);
    }
    spec->heads = (int32_t)heads;  // <= OD_SPEC_HEADS_MAX
    spec->kv_heads = (int32_t)kv_heads;
    spec->head_dim = (int32_t)head_dim;
    return OD_OK;
}

static enum od_status activation_of(const json_t *config, const char *key, const char *where,
                                    const char *usual, enum od_activation *ret,
                                    struct od_error *err)
{
    static const struct {
        const char *name;
        enum od_activation kind;
    } known[] = {{"silu", OD_ACTIVATION_SILU},
                 {"swish", OD_ACTIVATION_SILU},
                 {"gelu", OD_ACTIVATION_GELU},
                 {"gelu_new", OD_ACTIVATION_GELU_TANH},
                 {"gelu_pytorch_tanh", OD_ACTIVATION_GELU_TANH}};
    const char *text;
    const enum od_status status = od_json_text_or(config, key, where, usual, &text, err);
    if (status != OD_OK) {
        return status;
    }
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(known[i].name, text) == 0) {
            *ret = known[i].kind;
            return OD_OK;
        }
    }
    return od_fail(err, OD_E_UNSUPPORTED,
                   "%s: activation '%.60s' is not known: silu, gelu, gelu_new and "
                   "gelu_pytorch_tanh are",
                   where, text);
}

// A window below the context. Qwen's is off unless it is switched on, and lies behind some layers.
static enum od_status window_of(const json_t *config, const char *where, struct od_spec *spec,
                                struct od_error *err)
{
    const bool qwen = strncmp(spec->family, "qwen", 4) == 0;
    bool use = !qwen;
    int64_t window = 0;
    enum od_status status = OD_OK;
    if (strcmp(spec->family, "llama") == 0) {
        return OD_OK;
    }
    if (qwen) {
        status = od_json_bool_or(config, "use_sliding_window", where, false, &use, err);
    }
    if (status == OD_OK) {
        const int64_t usual = absent_or_null(config, "sliding_window", 4096, 0);
        status = od_json_int_or(config, "sliding_window", where, usual, &window, err);
    }
    if (status == OD_OK && qwen) {
        const int64_t usual = absent_or_null(config, "max_window_layers", 28, spec->layers);
        status = od_json_int_or(config, "max_window_layers", where, usual, &spec->window_from, err);
    }
    if (status != OD_OK || !use || window == 0 || window >= spec->max_positions) {
        spec->window_from = 0;
        return status;
    }
    if (window < 1 || spec->window_from < 0) {
        return od_fail(err, OD_E_FORMAT, "%s: 'sliding_window' %lld must be positive", where,
                       (long long)window);
    }
    spec->window = spec->window_from < spec->layers ? window : 0;
    return OD_OK;
}

// A token id, a list of them (the first counts), or nothing.
static enum od_status token_of(const json_t *config, const char *key, const char *where,
                               int64_t vocab, int32_t *ret, struct od_error *err)
{
    const json_t *value = json_object_get(config, key);
    if (json_is_array(value)) {
        value = json_array_get(value, 0);
    }
    *ret = -1;
    if (!value || json_is_null(value)) {
        return OD_OK;
    }
    const json_int_t id = json_is_integer(value) ? json_integer_value(value) : -2;
    if (id < -1 || id >= vocab) {
        return od_fail(err, OD_E_FORMAT, "%s: '%s' is no token id below %lld", where, key,
                       (long long)vocab);
    }
    *ret = (int32_t)id;  // below OD_SPEC_VOCAB_MAX
    return OD_OK;
}

// Sizes under the keys of a family.
struct size_key {
    const char *key;
    int64_t max;
    int64_t *to;
};

static enum od_status sizes_of(const json_t *config, const char *where, const struct size_key *keys,
                               size_t count, struct od_error *err)
{
    for (size_t i = 0; i < count; i++) {
        const enum od_status status =
            size_of(config, keys[i].key, where, keys[i].max, keys[i].to, err);
        if (status != OD_OK) {
            return status;
        }
    }
    return OD_OK;
}

static enum od_status eps_of(const json_t *config, const char *key, const char *where, double usual,
                             struct od_spec *spec, struct od_error *err)
{
    double eps;
    const enum od_status status = od_json_number_or(config, key, where, usual, &eps, err);
    if (status == OD_OK && !(eps > 0.0 && eps < 1.0)) {
        return od_fail(err, OD_E_FORMAT, "%s: '%s' must be between 0 and 1", where, key);
    }
    spec->norm_eps = (float)eps;
    return status;
}

// Keys that change the arithmetic in ways that are not here: refused unless they say what is usual.
static enum od_status llama_switches(const json_t *config, const char *where, struct od_error *err)
{
    static const char *const never[] = {"num_local_experts", "num_experts", "quantization_config"};
    double rotary = 1.0;
    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++) {
        const json_t *value = json_object_get(config, never[i]);
        if (value && !json_is_null(value)) {
            return od_fail(err, OD_E_UNSUPPORTED, "%s: '%s' is not supported", where, never[i]);
        }
    }
    const enum od_status status =
        od_json_number_or(config, "partial_rotary_factor", where, 1.0, &rotary, err);
    if (status == OD_OK && (rotary < 1.0 || rotary > 1.0)) {
        return od_fail(err, OD_E_UNSUPPORTED, "%s: 'partial_rotary_factor' must be 1", where);
    }
    return status;
}

// layer_types names what each layer attends to; it must agree with the window that was read.
static enum od_status check_layer_types(const json_t *config, const char *where,
                                        const struct od_spec *spec, struct od_error *err)
{
    size_t i;
    const json_t *value;
    json_array_foreach(json_object_get(config, "layer_types"), i, value)
    {
        const char *type = json_string_value(value);
        const bool slides = spec->window > 0 && (int64_t)i >= spec->window_from;
        if (!type || strcmp(type, slides ? "sliding_attention" : "full_attention") != 0) {
            return od_fail(err, OD_E_UNSUPPORTED,
                           "%s: 'layer_types' says '%.40s' of layer %zu, the window's keys say "
                           "otherwise",
                           where, type ? type : "?", i);
        }
    }
    return OD_OK;
}

// Llama and what is like it.
static enum od_status read_llama(const json_t *config, const char *where, struct od_spec *spec,
                                 struct od_error *err)
{
    const struct size_key keys[] = {
        {"vocab_size", OD_SPEC_VOCAB_MAX, &spec->vocab},
        {"hidden_size", OD_SPEC_CHANNELS_MAX, &spec->channels},
        {"intermediate_size", OD_SPEC_FFN_MAX, &spec->ffn},
        {"num_hidden_layers", OD_SPEC_LAYERS_MAX, &spec->layers},
        {"max_position_embeddings", OD_SPEC_POSITIONS_MAX, &spec->max_positions},
    };
    const bool qwen2 = strcmp(spec->family, "qwen2") == 0;
    bool bias = false;
    enum od_status status;
    if ((status = sizes_of(config, where, keys, sizeof keys / sizeof keys[0], err)) != OD_OK ||
        (status = heads_of(config, where, spec, err)) != OD_OK ||
        (status = activation_of(config, "hidden_act", where, "silu", &spec->activation, err)) !=
            OD_OK ||
        (status = od_json_bool_or(config, "attention_bias", where, false, &bias, err)) != OD_OK ||
        (status = od_json_bool_or(config, "mlp_bias", where, false, &spec->mlp_bias, err)) !=
            OD_OK ||
        (status = od_spec_read_rope(config, where, spec, err)) != OD_OK ||
        (status = window_of(config, where, spec, err)) != OD_OK ||
        (status = llama_switches(config, where, err)) != OD_OK ||
        (status = check_layer_types(config, where, spec, err)) != OD_OK ||
        (status = eps_of(config, "rms_norm_eps", where, 1e-6, spec, err)) != OD_OK) {
        return status;
    }
    spec->qkv_bias = bias || qwen2;
    spec->out_bias = bias && !qwen2;
    spec->head_norm = strcmp(spec->family, "qwen3") == 0;
    return OD_OK;
}

// Switches of GPT-2's config that change its arithmetic.
static enum od_status gpt2_switches(const json_t *config, const char *where, struct od_error *err)
{
    static const struct {
        const char *key;
        bool usual;
    } switches[] = {{"scale_attn_weights", true},
                    {"scale_attn_by_inverse_layer_idx", false},
                    {"add_cross_attention", false}};
    for (size_t i = 0; i < sizeof switches / sizeof switches[0]; i++) {
        bool value;
        const enum od_status status =
            od_json_bool_or(config, switches[i].key, where, switches[i].usual, &value, err);
        if (status != OD_OK) {
            return status;
        }
        if (value != switches[i].usual) {
            return od_fail(err, OD_E_UNSUPPORTED, "%s: '%s: %s' is not supported", where,
                           switches[i].key, value ? "true" : "false");
        }
    }
    return OD_OK;
}

static enum od_status read_gpt2(const json_t *config, const char *where, struct od_spec *spec,
                                struct od_error *err)
{
    int64_t heads = 0;
    const struct size_key keys[] = {
        {"vocab_size", OD_SPEC_VOCAB_MAX, &spec->vocab},
        {"n_embd", OD_SPEC_CHANNELS_MAX, &spec->channels},
        {"n_layer", OD_SPEC_LAYERS_MAX, &spec->layers},
        {"n_head", OD_SPEC_HEADS_MAX, &heads},
        {"n_positions", OD_SPEC_POSITIONS_MAX, &spec->max_positions},
    };
    enum od_status status;
    if ((status = sizes_of(config, where, keys, sizeof keys / sizeof keys[0], err)) != OD_OK ||
        (status = od_json_int_or(config, "n_inner", where, 4 * spec->channels, &spec->ffn, err)) !=
            OD_OK ||
        (status = activation_of(config, "activation_function", where, "gelu_new", &spec->activation,
                                err)) != OD_OK ||
        (status = gpt2_switches(config, where, err)) != OD_OK ||
        (status = eps_of(config, "layer_norm_epsilon", where, 1e-5, spec, err)) != OD_OK) {
        return status;
    }
    if (spec->ffn < 1 || spec->ffn > OD_SPEC_FFN_MAX) {
        return od_fail(err, OD_E_LIMIT, "%s: 'n_inner' is %lld, must be 1 to %d", where,
                       (long long)spec->ffn, OD_SPEC_FFN_MAX);
    }
    if (spec->channels % heads != 0 || spec->channels / heads % 2 != 0 ||
        spec->channels / heads > 1024) {
        return od_fail(err, OD_E_FORMAT, "%s: %lld channels cannot be %lld heads of an even size",
                       where, (long long)spec->channels, (long long)heads);
    }
    spec->heads = (int32_t)heads;  // <= OD_SPEC_HEADS_MAX
    spec->kv_heads = spec->heads;
    spec->head_dim = (int32_t)(spec->channels / heads);
    spec->layer_norm = true;
    spec->learned_positions = true;
    spec->plain_mlp = true;
    spec->qkv_bias = true;
    spec->out_bias = true;
    spec->mlp_bias = true;
    return OD_OK;
}

static const struct {
    const char *name;
    enum od_status (*read)(const json_t *config, const char *where, struct od_spec *spec,
                           struct od_error *err);
    bool tied;  ///< where the file does not say
} families[] = {{"llama", read_llama, false},
                {"mistral", read_llama, false},
                {"qwen2", read_llama, false},
                {"qwen3", read_llama, false},
                {"gpt2", read_gpt2, true}};
enum { FAMILIES = sizeof families / sizeof families[0] };

static enum od_status read_family(const json_t *config, const char *where, struct od_spec *spec,
                                  struct od_error *err)
{
    const char *type;
    enum od_status status = od_json_text(config, "model_type", where, &type, err);
    for (size_t i = 0; status == OD_OK && i < FAMILIES; i++) {
        if (strcmp(type, families[i].name) == 0) {
            (void)snprintf(spec->family, sizeof spec->family, "%s", type);
            status = families[i].read(config, where, spec, err);
            return status == OD_OK ? od_json_bool_or(config, "tie_word_embeddings", where,
                                                     families[i].tied, &spec->tied, err)
                                   : status;
        }
    }
    if (status != OD_OK) {
        return status;
    }
    return od_fail(err, OD_E_UNSUPPORTED,
                   "%s: model family '%.60s' is not known; known are llama, mistral, qwen2, qwen3 "
                   "and gpt2",
                   where, type);
}

enum od_status od_spec_read(const char *path, struct od_spec *ret, struct od_error *err)
{
    struct od_spec spec = {0};
    json_t *config = NULL;
    enum od_status status = od_json_read(path, &config, err);
    if (status != OD_OK) {
        return status;
    }
    if (!json_is_object(config)) {
        status = od_fail(err, OD_E_FORMAT, "'%s' is no JSON object", path);
    }
    if (status == OD_OK && (status = read_family(config, path, &spec, err)) == OD_OK &&
        (status = od_json_number_or(config, "initializer_range", path, 0.02, &spec.init_std,
                                    err)) == OD_OK &&
        (status = token_of(config, "bos_token_id", path, spec.vocab, &spec.bos, err)) == OD_OK &&
        (status = token_of(config, "eos_token_id", path, spec.vocab, &spec.eos, err)) == OD_OK) {
        *ret = spec;
    }
    json_decref(config);
    return status;
}
