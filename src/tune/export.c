#include "tune/export.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "formats/dtype.h"
#include "formats/ggml.h"
#include "formats/gguf.h"
#include "formats/safetensors.h"
#include "model/gguf_model.h"
#include "model/program.h"
#include "model/spec.h"
#include "model/weights.h"
#include "text/tokenizer.h"
#include "tune/recipe.h"
#include "tune/session.h"
#include "tune/session_internal.h"

enum { GENERATION_CONFIG_MAX_BYTES = 1 << 20 };

static enum od_status copy_tokenizer(const char *from, const char *to, struct od_error *err)
{
    const enum od_status status = od_tokenizer_copy(from, to, err);
    return status == OD_OK ? od_file_copy_optional(from, to, "generation_config.json",
                                                   GENERATION_CONFIG_MAX_BYTES, err)
                           : status;
}

static enum od_status write_adapter(const struct od_session *session, const char *folder,
                                    struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    struct od_adapter_config config = {
        .r = session->recipe->lora_r,
        .alpha = session->recipe->lora_alpha,
        .dropout = session->recipe->lora_dropout,
        .rslora = session->recipe->lora_rslora,
        .targets = session->program.options.lora_targets,
        .layers = session->program.options.lora_layers,
        .saved = session->program.options.saved,
        .tied = session->recipe->lora_tied,
        .embedding = strcmp(session->spec.family, "gpt2") == 0 ? "wte" : NULL};
    char *real = realpath(session->recipe->base_model, NULL);
    (void)snprintf(config.base_model, sizeof config.base_model, "%s",
                   real ? real : session->recipe->base_model);
    free(real);  // realpath's own allocation
    enum od_status status = od_adapter_config_write(&config, folder, err);
    if (status == OD_OK) {
        status = od_path_join(path, folder, "adapter_model.safetensors", err);
    }
    if (status == OD_OK) {
        status = od_parts_write(session->program.adapters, session->program.adapter_count,
                                session->arrays.tensor, path, OD_DTYPE_F32, err);
    }
    return status;
}

static enum od_status write_model(const struct od_session *session, const char *folder,
                                  struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    struct od_buf config;
    od_buf_init(&config, 1 << 20);
    enum od_status status = od_spec_write(&session->spec, &config, err);
    if (status == OD_OK) {
        status = od_path_join(path, folder, "config.json", err);
    }
    if (status == OD_OK) {
        status = od_file_write(path, od_buf_text(&config), config.size, err);
    }
    if (status == OD_OK) {
        status = od_path_join(path, folder, OD_SAFETENSORS_FILE, err);
    }
    if (status == OD_OK) {
        status = od_parts_write(session->program.weights, session->program.weight_count,
                                session->arrays.tensor, path, OD_DTYPE_BF16, err);
    }
    od_buf_release(&config);
    return status;
}

// An adapter in GGUF has matrices alone, and cannot tell a head from an embedding that it is.
static enum od_status adapter_gguf_possible(const struct od_session *s, struct od_error *err)
{
    if ((s->recipe->exports & OD_RECIPE_ADAPTER_GGUF) == 0) {
        return OD_OK;
    }
    if (s->program.options.saved != 0) {
        return od_fail(err, OD_E_UNSUPPORTED,
                       "export: adapter-gguf cannot hold lora_modules_to_save: leave out one of "
                       "them, or export gguf-f16, the whole model");
    }
    if (s->spec.tied && (s->program.options.lora_targets & od_spec_outer_targets(&s->spec)) != 0) {
        return od_fail(err, OD_E_UNSUPPORTED,
                       "export: adapter-gguf cannot hold adapters on embedding or head where these "
                       "are one table: export gguf-f16, the whole model");
    }
    return OD_OK;
}

enum od_status od_export_possible(const struct od_session *s, struct od_error *err)
{
    const unsigned exports = s->recipe->exports;
    struct od_gguf_keys keys;
    if (exports == 0) {
        return OD_OK;
    }
    if (!s->tokenizer) {
        return od_fail(err, OD_E_UNSUPPORTED, "export: the run has no tokenizer to write");
    }
    enum od_status status = adapter_gguf_possible(s, err);
    if (status != OD_OK || (exports & (OD_RECIPE_GGUF | OD_RECIPE_ADAPTER_GGUF)) == 0) {
        return status;
    }
    od_gguf_keys_init(&keys);
    status = od_spec_put_gguf(&s->spec, "", OD_GGML_F16, &keys, err);
    if (status == OD_OK && (exports & OD_RECIPE_GGUF) != 0) {
        status = od_tokenizer_put_gguf(s->tokenizer, s->spec.vocab, &keys, err);
    }
    if (status != OD_OK) {
        od_error_prefix(err, "export: as GGUF");
    }
    od_gguf_keys_release(&keys);
    return status;
}

uint64_t od_export_bytes(const struct od_session *s, uint64_t *ret_kept)
{
    const unsigned exports = s->recipe->exports;
    const uint64_t weights = (uint64_t)od_spec_parameters(&s->spec);
    const bool merges = s->recipe->method == OD_METHOD_LORA && (exports & OD_RECIPE_WHOLE) != 0;
    uint64_t moved = merges ? 4 * weights : 0;  // the base is read, the merged model written
    uint64_t kept = merges ? 2 * weights : 0;   // merged/, for a while at least
    for (unsigned bit = OD_RECIPE_GGUF_F16; bit <= OD_RECIPE_GGUF_Q8_0; bit <<= 1) {
        const uint64_t one = bit == OD_RECIPE_GGUF_Q8_0 ? weights + weights / 16 : 2 * weights;
        kept += (exports & bit) != 0 ? one : 0;
        moved += (exports & bit) != 0 ? 2 * weights + one : 0;
    }
    *ret_kept = kept;
    return moved;
}

enum od_status od_export(const struct od_session *session, const char *run_dir,
                         char ret_folder[OD_PATH_MAX_BYTES], struct od_error *err)
{
    const bool lora = session->recipe->method == OD_METHOD_LORA;
    char folder[OD_PATH_MAX_BYTES];
    char temp[OD_PATH_MAX_BYTES];
    enum od_status status;
    if ((status = od_path_join(folder, run_dir, lora ? "adapter" : "model", err)) != OD_OK ||
        (status = od_path_join(temp, run_dir, lora ? "adapter.tmp" : "model.tmp", err)) != OD_OK ||
        (status = od_session_fetch(session, err)) != OD_OK ||
        (status = od_dir_remove(temp, err)) != OD_OK ||
        (status = od_dir_make(temp, err)) != OD_OK ||
        (status = lora ? write_adapter(session, temp, err) : write_model(session, temp, err)) !=
            OD_OK ||
        (session->tokenizer && !od_gguf_is_path(od_session_source(session)) &&
         (status = copy_tokenizer(od_session_source(session), temp, err)) != OD_OK) ||
        (status = od_dir_replace(temp, folder, err)) != OD_OK) {
        return status;
    }
    (void)snprintf(ret_folder, OD_PATH_MAX_BYTES, "%s", folder);
    return OD_OK;
}
