// config.json for a model that was trained here, and what follows from a spec.

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "formats/json.h"
#include "model/spec.h"
#include "model/spec_internal.h"
#include "ops/op.h"

static const struct {
    const char *family;
    const char *architecture;
} architectures[] = {{"llama", "LlamaForCausalLM"},
                     {"mistral", "MistralForCausalLM"},
                     {"qwen2", "Qwen2ForCausalLM"},
                     {"qwen3", "Qwen3ForCausalLM"},
                     {"gpt2", "GPT2LMHeadModel"}};

static const char *architecture_of(const char *family)
{
    for (size_t i = 0; i < sizeof architectures / sizeof architectures[0]; i++) {
        if (strcmp(architectures[i].family, family) == 0) {
            return architectures[i].architecture;
        }
    }
    return "LlamaForCausalLM";
}

static const char *activation_name(const struct od_spec *spec)
{
    switch (spec->activation) {
    case OD_ACTIVATION_SILU: return "silu";
    case OD_ACTIVATION_GELU: return "gelu";
    case OD_ACTIVATION_GELU_TANH: break;
    }
    return spec->plain_mlp ? "gelu_new" : "gelu_pytorch_tanh";
}

// The float's shortest text: 1e-05, not 9.999999747378752e-06.
static enum od_status put_eps(struct od_json_writer *w, const char *key, float eps,
                              struct od_error *err)
{
    char text[32];
    json_t *value = NULL;
    (void)snprintf(text, sizeof text, "%.7g", (double)eps);
    const enum od_status status = od_json_parse(text, strlen(text), key, &value, err);
    if (status == OD_OK) {
        od_json_key(w, key);
        od_json_put_value(w, value);
        json_decref(value);
    }
    return status;
}

static void put_window(struct od_json_writer *w, const struct od_spec *spec)
{
    const bool qwen = strncmp(spec->family, "qwen", 4) == 0;
    if (spec->window == 0) {
        if (qwen) {
            od_json_member_bool(w, "use_sliding_window", false);
        } else if (strcmp(spec->family, "mistral") == 0) {
            od_json_key(w, "sliding_window");
            od_json_put_null(w);
        }
        return;
    }
    od_json_member_int(w, "sliding_window", spec->window);
    if (qwen) {
        od_json_member_bool(w, "use_sliding_window", true);
        od_json_member_int(w, "max_window_layers", spec->window_from);
    }
}

static enum od_status put_llama(struct od_json_writer *w, const struct od_spec *spec,
                                struct od_error *err)
{
    od_json_member_int(w, "vocab_size", spec->vocab);
    od_json_member_int(w, "hidden_size", spec->channels);
    od_json_member_int(w, "intermediate_size", spec->ffn);
    od_json_member_int(w, "num_hidden_layers", spec->layers);
    od_json_member_int(w, "num_attention_heads", spec->heads);
    od_json_member_int(w, "num_key_value_heads", spec->kv_heads);
    od_json_member_int(w, "head_dim", spec->head_dim);
    od_json_member_int(w, "max_position_embeddings", spec->max_positions);
    od_json_member_text(w, "hidden_act", activation_name(spec));
    const enum od_status status = put_eps(w, "rms_norm_eps", spec->norm_eps, err);
    od_spec_put_rope(w, spec);
    put_window(w, spec);
    od_json_member_number(w, "initializer_range", spec->init_std);
    od_json_member_bool(w, "attention_bias", spec->qkv_bias && spec->out_bias);
    od_json_member_bool(w, "mlp_bias", spec->mlp_bias);
    return status;
}

static enum od_status put_gpt2(struct od_json_writer *w, const struct od_spec *spec,
                               struct od_error *err)
{
    od_json_member_int(w, "vocab_size", spec->vocab);
    od_json_member_int(w, "n_embd", spec->channels);
    od_json_member_int(w, "n_inner", spec->ffn);
    od_json_member_int(w, "n_layer", spec->layers);
    od_json_member_int(w, "n_head", spec->heads);
    od_json_member_int(w, "n_positions", spec->max_positions);
    od_json_member_int(w, "n_ctx", spec->max_positions);
    od_json_member_text(w, "activation_function", activation_name(spec));
    const enum od_status status = put_eps(w, "layer_norm_epsilon", spec->norm_eps, err);
    od_json_member_number(w, "initializer_range", spec->init_std);
    return status;
}

enum od_status od_spec_write(const struct od_spec *spec, struct od_buf *out, struct od_error *err)
{
    struct od_json_writer w;
    od_json_writer_init(&w, out, OD_JSON_INDENT_2, true);
    od_json_object_begin(&w);
    od_json_key(&w, "architectures");
    od_json_array_begin(&w);
    od_json_put_text(&w, architecture_of(spec->family));
    od_json_array_end(&w);
    od_json_member_text(&w, "model_type", spec->family);
    const enum od_status status =
        strcmp(spec->family, "gpt2") == 0 ? put_gpt2(&w, spec, err) : put_llama(&w, spec, err);
    if (status != OD_OK) {
        return status;
    }
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
    const int64_t norm = spec->channels * (spec->layer_norm ? 2 : 1);
    const int64_t wide = spec->ffn * (spec->plain_mlp ? 1 : 2);
    int64_t layer = spec->channels * (q + 2 * kv) + q * spec->channels + spec->channels * wide +
                    spec->ffn * spec->channels + 2 * norm;
    layer += spec->qkv_bias ? q + 2 * kv : 0;
    layer += spec->out_bias ? spec->channels : 0;
    layer += spec->mlp_bias ? wide + spec->channels : 0;
    layer += spec->head_norm ? 2 * (int64_t)spec->head_dim : 0;
    return spec->vocab * spec->channels * (spec->tied ? 1 : 2) +
           (spec->learned_positions ? spec->max_positions * spec->channels : 0) +
           spec->layers * layer + norm;
}

void od_spec_untie(struct od_spec *spec)
{
    spec->head_copied = spec->head_copied || spec->tied;
    spec->tied = false;
}
