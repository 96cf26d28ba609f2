#include "model/spec.h"

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "formats/json.h"

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

static enum od_status family_of(const json_t *config, const char *where, struct od_spec *spec,
                                struct od_error *err)
{
    const char *type;
    enum od_status status = od_json_text(config, "model_type", where, &type, err);
    if (status != OD_OK) {
        return status;
    }
    if (strcmp(type, "llama") != 0 && strcmp(type, "mistral") != 0) {
        return od_fail(err, OD_E_UNSUPPORTED,
                       "%s: model family '%.60s' is not known; known are llama and mistral", where,
                       type);
    }
    (void)snprintf(spec->family, sizeof spec->family, "%s", type);
    return OD_OK;
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
        status = od_json_int_or(config, "num_key_value_heads", where, heads, &kv_heads, err);
    }
    if (status == OD_OK) {
        status = od_json_int_or(config, "head_dim", where, spec->channels / heads, &head_dim, err);
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

// Keys whose other values would need arithmetic that is not here.
static enum od_status refuse_unknown(const json_t *config, const char *where,
                                     const struct od_spec *spec, struct od_error *err)
{
    const char *text;
    bool flag;
    int64_t window = 0;
    enum od_status status = od_json_text_or(config, "hidden_act", where, "silu", &text, err);
    if (status != OD_OK) {
        return status;
    }
    if (strcmp(text, "silu") != 0 && strcmp(text, "swish") != 0) {
        return od_fail(err, OD_E_UNSUPPORTED, "%s: activation '%.60s' is not known, only silu",
                       where, text);
    }
    static const char *const biases[] = {"attention_bias", "mlp_bias"};
    for (size_t i = 0; i < 2; i++) {
        status = od_json_bool_or(config, biases[i], where, false, &flag, err);
        if (status != OD_OK) {
            return status;
        }
        if (flag) {
            return od_fail(err, OD_E_UNSUPPORTED, "%s: '%s' is not supported", where, biases[i]);
        }
    }
    status = od_json_int_or(config, "sliding_window", where, spec->max_positions, &window, err);
    if (status == OD_OK && window < spec->max_positions) {
        return od_fail(err, OD_E_UNSUPPORTED,
                       "%s: a sliding window of %lld below the context of %lld is not supported",
                       where, (long long)window, (long long)spec->max_positions);
    }
    const json_t *scaling = json_object_get(config, "rope_scaling");
    if (status == OD_OK && scaling && !json_is_null(scaling)) {
        return od_fail(err, OD_E_UNSUPPORTED, "%s: 'rope_scaling' is not supported", where);
    }
    return status;
}

static enum od_status rope_of(const json_t *config, const char *where, struct od_spec *spec,
                              struct od_error *err)
{
    const json_t *parameters = json_object_get(config, "rope_parameters");
    const char *type;
    enum od_status status =
        od_json_number_or(config, "rope_theta", where, 10000.0, &spec->rope_theta, err);
    if (status == OD_OK && json_is_object(parameters)) {
        status = od_json_text_or(parameters, "rope_type", where, "default", &type, err);
        if (status == OD_OK && strcmp(type, "default") != 0) {
            return od_fail(err, OD_E_UNSUPPORTED, "%s: positions of type '%.60s' are not supported",
                           where, type);
        }
        if (status == OD_OK) {
            status = od_json_number_or(parameters, "rope_theta", where, spec->rope_theta,
                                       &spec->rope_theta, err);
        }
    }
    if (status == OD_OK && !(spec->rope_theta > 1.0 && spec->rope_theta < 1e12)) {
        return od_fail(err, OD_E_FORMAT, "%s: 'rope_theta' must be above 1", where);
    }
    return status;
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

static enum od_status sizes_of(const json_t *config, const char *where, struct od_spec *spec,
                               struct od_error *err)
{
    const struct {
        const char *key;
        int64_t max;
        int64_t *to;
    } sizes[] = {
        {"vocab_size", OD_SPEC_VOCAB_MAX, &spec->vocab},
        {"hidden_size", OD_SPEC_CHANNELS_MAX, &spec->channels},
        {"intermediate_size", OD_SPEC_FFN_MAX, &spec->ffn},
        {"num_hidden_layers", OD_SPEC_LAYERS_MAX, &spec->layers},
        {"max_position_embeddings", OD_SPEC_POSITIONS_MAX, &spec->max_positions},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const enum od_status status =
            size_of(config, sizes[i].key, where, sizes[i].max, sizes[i].to, err);
        if (status != OD_OK) {
            return status;
        }
    }
    return OD_OK;
}

enum od_status od_spec_read(const char *path, struct od_spec *ret, struct od_error *err)
{
    struct od_spec spec = {0};
    json_t *config = NULL;
    double eps;
    enum od_status status = od_json_read(path, &config, err);
    if (status != OD_OK) {
        return status;
    }
    if (!json_is_object(config)) {
        status = od_fail(err, OD_E_FORMAT, "'%s' is no JSON object", path);
        goto done;
    }
    if ((status = family_of(config, path, &spec, err)) != OD_OK ||
        (status = sizes_of(config, path, &spec, err)) != OD_OK ||
        (status = heads_of(config, path, &spec, err)) != OD_OK ||
        (status = refuse_unknown(config, path, &spec, err)) != OD_OK ||
        (status = rope_of(config, path, &spec, err)) != OD_OK ||
        (status = od_json_number_or(config, "rms_norm_eps", path, 1e-6, &eps, err)) != OD_OK ||
        (status = od_json_number_or(config, "initializer_range", path, 0.02, &spec.init_std,
                                    err)) != OD_OK ||
        (status = od_json_bool_or(config, "tie_word_embeddings", path, false, &spec.tied, err)) !=
            OD_OK ||
        (status = token_of(config, "bos_token_id", path, spec.vocab, &spec.bos, err)) != OD_OK ||
        (status = token_of(config, "eos_token_id", path, spec.vocab, &spec.eos, err)) != OD_OK) {
        goto done;
    }
    if (!(eps > 0.0 && eps < 1.0)) {
        status = od_fail(err, OD_E_FORMAT, "%s: 'rms_norm_eps' must be between 0 and 1", path);
        goto done;
    }
    spec.norm_eps = (float)eps;
    *ret = spec;

done:
    json_decref(config);
    return status;
}

enum od_status od_spec_write(const struct od_spec *spec, struct od_buf *out, struct od_error *err)
{
    struct od_json_writer w;
    const bool mistral = strcmp(spec->family, "mistral") == 0;
    od_json_writer_init(&w, out, OD_JSON_INDENT_2, true);
    od_json_object_begin(&w);
    od_json_key(&w, "architectures");
    od_json_array_begin(&w);
    od_json_put_text(&w, mistral ? "MistralForCausalLM" : "LlamaForCausalLM");
    od_json_array_end(&w);
    od_json_member_text(&w, "model_type", spec->family);
    od_json_member_int(&w, "vocab_size", spec->vocab);
    od_json_member_int(&w, "hidden_size", spec->channels);
    od_json_member_int(&w, "intermediate_size", spec->ffn);
    od_json_member_int(&w, "num_hidden_layers", spec->layers);
    od_json_member_int(&w, "num_attention_heads", spec->heads);
    od_json_member_int(&w, "num_key_value_heads", spec->kv_heads);
    od_json_member_int(&w, "head_dim", spec->head_dim);
    od_json_member_int(&w, "max_position_embeddings", spec->max_positions);
    od_json_member_text(&w, "hidden_act", "silu");
    // The float's shortest text: 1e-05, not 9.999999747378752e-06.
    char eps[32];
    (void)snprintf(eps, sizeof eps, "%.7g", (double)spec->norm_eps);
    od_json_key(&w, "rms_norm_eps");
    json_t *eps_value = NULL;
    const enum od_status status = od_json_parse(eps, strlen(eps), "rms_norm_eps", &eps_value, err);
    if (status != OD_OK) {
        return status;
    }
    od_json_put_value(&w, eps_value);
    json_decref(eps_value);
    od_json_member_number(&w, "rope_theta", spec->rope_theta);
    od_json_member_number(&w, "initializer_range", spec->init_std);
    od_json_member_bool(&w, "attention_bias", false);
    od_json_member_bool(&w, "mlp_bias", false);
    od_json_member_bool(&w, "tie_word_embeddings", spec->tied);
    if (spec->bos >= 0) {
        od_json_member_int(&w, "bos_token_id", spec->bos);
    }
    if (spec->eos >= 0) {
        od_json_member_int(&w, "eos_token_id", spec->eos);
    }
    od_json_member_text(&w, "torch_dtype", "bfloat16");
    od_json_object_end(&w);
    od_buf_putc(out, '\n');
    return od_buf_check(out, err);
}

int64_t od_spec_parameters(const struct od_spec *spec)
{
    const int64_t q = (int64_t)spec->heads * spec->head_dim;
    const int64_t kv = (int64_t)spec->kv_heads * spec->head_dim;
    const int64_t layer = spec->channels * (q + 2 * kv) + q * spec->channels +
                          3 * spec->channels * spec->ffn + 2 * spec->channels;
    return spec->vocab * spec->channels * (spec->tied ? 1 : 2) + spec->layers * layer +
           spec->channels;
}
