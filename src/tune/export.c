#include "tune/export.h"

#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "formats/dtype.h"
#include "formats/gguf.h"
#include "formats/safetensors.h"
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
