// Training goes on from an adapter in PEFT's layout: its weights in place of fresh ones, with moments
// that begin at zero.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "model/program.h"
#include "model/weights.h"
#include "ops/op.h"
#include "tune/recipe.h"
#include "tune/session.h"
#include "tune/session_internal.h"

enum { TARGETS_BYTES = 256 };

static void name_targets(unsigned targets, char out[TARGETS_BYTES])
{
    size_t length = 0;
    out[0] = '\0';
    for (int i = 0; i < OD_TARGET_NAMES && length < TARGETS_BYTES; i++) {
        if (targets & od_target_bit(od_target_name(i))) {
            const int more = snprintf(out + length, TARGETS_BYTES - length, "%s%s",
                                      length > 0 ? ", " : "", od_target_name(i));
            length += more > 0 ? (size_t)more : 0;
        }
    }
}

static enum od_status differs(const char *folder, const char *key, const char *value,
                              struct od_error *err)
{
    return od_fail(err, OD_E_REFUSED,
                   "the adapter in '%s' is not the recipe's: it would need '%s: %s'", folder, key,
                   value);
}

// What the recipe says must be what the adapter was made with.
static enum od_status check(const struct od_session *s, const struct od_adapter_config *config,
                            struct od_error *err)
{
    const struct od_recipe *recipe = s->recipe;
    const char *folder = recipe->lora_model_dir;
    char text[TARGETS_BYTES];
    char names[TARGETS_BYTES];
    if (config->r != recipe->lora_r) {
        (void)snprintf(text, sizeof text, "%lld", (long long)config->r);
        return differs(folder, "lora_r", text, err);
    }
    if (config->alpha < recipe->lora_alpha || config->alpha > recipe->lora_alpha) {
        od_double_text(config->alpha, text);
        return differs(folder, "lora_alpha", text, err);
    }
    if (config->rslora != recipe->lora_rslora) {
        return differs(folder, "peft_use_rslora", config->rslora ? "true" : "false", err);
    }
    if (config->targets != s->program.options.lora_targets) {
        name_targets(config->targets, names);
        (void)snprintf(text, sizeof text, "[%.250s]", names);
        return differs(folder, "lora_target_modules", text, err);
    }
    if (config->saved != s->program.options.saved) {
        return od_fail(err, OD_E_REFUSED,
                       "the adapter in '%s' is not the recipe's: it has %s of its own, see "
                       "lora_modules_to_save",
                       folder,
                       config->saved == 0                         ? "no embedding and no head"
                       : config->saved == OD_SAVED_EMBEDDING      ? "an embedding"
                       : config->saved == (unsigned)OD_SAVED_HEAD ? "a head"
                                                                  : "embedding and head");
    }
    if (config->saved != 0 && config->tied != recipe->lora_tied) {
        return differs(folder, "peft_ensure_weight_tying", config->tied ? "true" : "false", err);
    }
    for (int64_t i = 0; i < s->spec.layers; i++) {
        const bool has = od_layer_set_has(&config->layers, i);
        if (has != od_layer_set_has(&s->program.options.lora_layers, i)) {
            return od_fail(err, OD_E_REFUSED,
                           "the adapter in '%s' is not the recipe's: it has %s layer %lld, see "
                           "peft_layers_to_transform",
                           folder, has ? "matrices on" : "none on", (long long)i);
        }
    }
    return OD_OK;
}

// An adapter of another base of the same shape loads and is of no use: worth a word.
static void note_base(const struct od_session *s, const struct od_adapter_config *config)
{
    char *base = realpath(s->recipe->base_model, NULL);
    if (base && strcmp(base, config->base_model) != 0) {
        od_log(OD_LOG_WARNING, "the adapter in '%s' was made for '%s', the base model is '%s'",
               s->recipe->lora_model_dir, config->base_model, base);
    }
    free(base);  // realpath's own allocation
}

// The matrices. PEFT saves the table below an adapter on embedding or head, too, which must be the base's:
// a GPU's are shown to who reads them.
static enum od_status read_matrices(const struct od_session *s, const char *path,
                                    struct od_error *err)
{
    const struct od_program *p = &s->program;
    const bool outer = (p->options.lora_targets & od_spec_outer_targets(&s->spec)) != 0;
    float **tensors = NULL;
    float *fetched[2] = {NULL, NULL};
    int count = 0;
    enum od_status status = OD_OK;
    if (!s->gpu || !outer) {
        return od_adapter_read(p, s->arrays.tensor, path, err);
    }
    tensors = od_alloc((size_t)p->tensor_count, sizeof *tensors);
    if (!tensors) {
        return od_fail(err, OD_E_MEMORY, "no memory for '%s'", path);
    }
    memcpy(tensors, s->arrays.tensor, (size_t)p->tensor_count * sizeof *tensors);
    for (int32_t i = 0; status == OD_OK && i < p->forward_count; i++) {
        const struct od_op *op = &p->ops[i];
        if (op->kind != OD_OP_EMBED && op->kind != OD_OP_HEAD_LOSS) {
            continue;
        }
        const int32_t number = p->tensors[op->slot[OD_SLOT_W]].master;
        if (!tensors[number]) {
            status = od_session_gpu_values(s, number, &fetched[count], err);
            tensors[number] = fetched[count++];
        }
    }
    if (status == OD_OK) {
        status = od_adapter_read(p, tensors, path, err);
    }
    od_free(fetched[0]);
    od_free(fetched[1]);
    od_free(tensors);
    return status;
}

enum od_status od_session_adapter(struct od_session *s, struct od_error *err)
{
    struct od_adapter_config config;
    char path[OD_PATH_MAX_BYTES];
    const char *folder = s->recipe->lora_model_dir;
    enum od_status status;
    if ((status = od_adapter_config_read(folder, &config, err)) != OD_OK ||
        (status = check(s, &config, err)) != OD_OK ||
        (status = od_path_join(path, folder, "adapter_model.safetensors", err)) != OD_OK ||
        (status = read_matrices(s, path, err)) != OD_OK) {
        return status;
    }
    note_base(s, &config);
    return od_session_store(s, err);
}
