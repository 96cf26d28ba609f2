#include "tune/export.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/status.h"
#include "data/dataset.h"
#include "device/cuda/cuda.h"
#include "device/cuda/matmul.h"
#include "formats/dtype.h"
#include "formats/json.h"
#include "formats/safetensors.h"
#include "model/spec.h"
#include "model/weights.h"
#include "ops/gpu.h"
#include "text/tokenizer.h"
#include "tune/recipe.h"
#include "tune/session.h"

enum { GENERATION_CONFIG_MAX_BYTES = 1 << 20 };

static const char *source_folder(const struct od_session *session)
{
    return session->recipe->base_model ? session->recipe->base_model
                                       : session->recipe->base_tokenizer;
}

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
    struct od_adapter_config config = {.r = session->recipe->lora_r,
                                       .alpha = session->recipe->lora_alpha,
                                       .dropout = session->recipe->lora_dropout,
                                       .rslora = session->recipe->lora_rslora,
                                       .targets = session->program.options.lora_targets};
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
        (session->tokenizer &&
         (status = copy_tokenizer(source_folder(session), temp, err)) != OD_OK) ||
        (status = od_dir_remove(folder, err)) != OD_OK) {
        return status;
    }
    if (rename(temp, folder) != 0) {
        return od_fail(err, OD_E_IO, "cannot rename '%s': %s", temp, strerror(errno));
    }
    if ((status = od_dir_sync(run_dir, err)) == OD_OK) {
        (void)snprintf(ret_folder, OD_PATH_MAX_BYTES, "%s", folder);
    }
    return status;
}

// Digests of the files of the base model (or of its config alone).
static enum od_status lock_base(const struct od_session *session, struct od_json_writer *w,
                                struct od_buf *all, struct od_error *err)
{
    const char *folder = source_folder(session);
    char digest[OD_SHA256_HEX_BYTES];
    char path[OD_PATH_MAX_BYTES];
    char **names = NULL;
    size_t count = 0;
    enum od_status status = od_dir_list(folder, &names, &count, err);
    od_json_key(w, "base");
    od_json_object_begin(w);
    if (status == OD_OK && session->recipe->base_config) {
        status = od_sha256_file(session->recipe->base_config, digest, err);
        od_json_member_text(w, "config.json", digest);
        od_buf_puts(all, digest);
    }
    for (size_t i = 0; status == OD_OK && i < count; i++) {
        const char *dot = strrchr(names[i], '.');
        const bool wanted =
            dot && (strcmp(dot, ".json") == 0 || strcmp(dot, ".model") == 0 ||
                    (strcmp(dot, ".safetensors") == 0 && session->recipe->base_model));
        if (!wanted || (status = od_path_join(path, folder, names[i], err)) != OD_OK) {
            continue;
        }
        status = od_sha256_file(path, digest, err);
        od_json_member_text(w, names[i], digest);
        od_buf_puts(all, digest);
    }
    od_json_object_end(w);
    od_names_free(names, count);
    return status;
}

static void lock_data(const struct od_session *session, struct od_json_writer *w,
                      struct od_buf *all)
{
    od_json_key(w, "data");
    od_json_array_begin(w);
    for (size_t i = 0; i < session->recipe->dataset_count; i++) {
        const struct od_dataset_counts *counts = &session->dataset.counts[i];
        od_json_object_begin(w);
        od_json_member_text(w, "path", session->recipe->datasets[i].path);
        od_json_member_text(w, "sha256", session->dataset.digest[i]);
        od_json_member_int(w, "rows", counts->rows);
        od_json_member_int(w, "kept", counts->kept);
        od_json_member_int(w, "too_long", counts->too_long);
        od_json_member_int(w, "empty", counts->empty);
        od_json_member_int(w, "invalid_utf8", counts->invalid_utf8);
        od_json_object_end(w);
        od_buf_puts(all, session->dataset.digest[i]);
    }
    od_json_array_end(w);
}

enum od_status od_lock_make(const struct od_session *session, const char *recipe_text,
                            struct od_buf *out, char inputs[OD_SHA256_HEX_BYTES],
                            struct od_error *err)
{
    struct od_buf all;
    struct od_json_writer w;
    char digest[OD_SHA256_HEX_BYTES];
    enum od_status status;

    od_buf_init(&all, 1 << 24);
    od_sha256_hex(recipe_text, strlen(recipe_text), digest);
    od_buf_puts(&all, digest);
    od_json_writer_init(&w, out, OD_JSON_INDENT_2, true);
    od_json_object_begin(&w);
    od_json_member_text(&w, "recipe", digest);
    status = lock_base(session, &w, &all, err);
    if (session->tokenizer) {
        od_json_member_text(&w, "tokenizer", od_tokenizer_digest(session->tokenizer));
        od_buf_puts(&all, od_tokenizer_digest(session->tokenizer));
    }
    lock_data(session, &w, &all);
    if (status == OD_OK) {
        status = od_sha256_file("/proc/self/exe", digest, err);
        od_json_member_text(&w, "program", digest);
    }
    od_json_member_text(&w, "device", session->gpu ? od_cuda_info(session->cuda)->name : "cpu");
    if (session->gpu) {
        od_json_member_text(&w, "driver", od_cuda_info(session->cuda)->driver);
        od_json_member_text(&w, "matrix_products", od_matmul_library(od_gpu_matmul(session->gpu)));
    }
    od_json_member_int(&w, "seed", (int64_t)session->recipe->seed);
    od_sha256_hex(od_buf_text(&all), all.size, inputs);
    od_json_member_text(&w, "inputs", inputs);
    od_json_object_end(&w);
    od_buf_putc(out, '\n');
    if (status == OD_OK && (status = od_buf_check(&all, err)) == OD_OK) {
        status = od_buf_check(out, err);
    }
    od_buf_release(&all);
    return status;
}

enum od_status od_lock_write(const struct od_session *session, const char *recipe_text,
                             const char *path, char inputs[OD_SHA256_HEX_BYTES],
                             struct od_error *err)
{
    struct od_buf buf;
    od_buf_init(&buf, 1 << 24);
    enum od_status status = od_lock_make(session, recipe_text, &buf, inputs, err);
    if (status == OD_OK) {
        status = od_file_write(path, od_buf_text(&buf), buf.size, err);
    }
    od_buf_release(&buf);
    return status;
}
