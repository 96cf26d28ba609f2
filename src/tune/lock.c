#include "tune/lock.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/status.h"
#include "data/dataset.h"
#include "device/cuda/cuda.h"
#include "device/cuda/matmul.h"
#include "formats/gguf.h"
#include "formats/json.h"
#include "ops/gpu.h"
#include "text/tokenizer.h"
#include "tune/recipe.h"
#include "tune/session.h"
#include "tune/session_internal.h"

enum { LOCK_MAX_BYTES = 1 << 24, RECIPE_MAX_BYTES = 4 << 20, LINE_SHOWN_BYTES = 80 };

// Digests of the files of the base model (or of its config alone).
static enum od_status lock_base(const struct od_session *session, struct od_json_writer *w,
                                struct od_buf *all, struct od_error *err)
{
    const char *folder = od_session_source(session);
    char digest[OD_SHA256_HEX_BYTES];
    char path[OD_PATH_MAX_BYTES];
    char **names = NULL;
    size_t count = 0;
    enum od_status status = OD_OK;
    od_json_key(w, "base");
    od_json_object_begin(w);
    if (od_gguf_is_path(folder)) {
        const char *slash = strrchr(folder, '/');
        status = od_sha256_file(folder, digest, err);
        od_json_member_text(w, slash ? slash + 1 : folder, digest);
        od_buf_puts(all, digest);
        od_json_object_end(w);
        return status;
    }
    status = od_dir_list(folder, &names, &count, err);
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

// Digests of the adapter that training goes on from.
static enum od_status lock_adapter(const struct od_session *session, struct od_json_writer *w,
                                   struct od_buf *all, struct od_error *err)
{
    static const char *const names[] = {"adapter_config.json", "adapter_model.safetensors"};
    char path[OD_PATH_MAX_BYTES];
    char digest[OD_SHA256_HEX_BYTES];
    enum od_status status = OD_OK;
    od_json_key(w, "adapter");
    od_json_object_begin(w);
    for (size_t i = 0; status == OD_OK && i < sizeof names / sizeof names[0]; i++) {
        status = od_path_join(path, session->recipe->lora_model_dir, names[i], err);
        if (status == OD_OK) {
            status = od_sha256_file(path, digest, err);
        }
        if (status == OD_OK) {
            od_json_member_text(w, names[i], digest);
            od_buf_puts(all, digest);
        }
    }
    od_json_object_end(w);
    return status;
}

// What went in of each file, and what became of it.
static void lock_data(const struct od_dataset *data, const struct od_dataset_spec *specs,
                      size_t count, const char *key, struct od_json_writer *w, struct od_buf *all)
{
    od_json_key(w, key);
    od_json_array_begin(w);
    for (size_t i = 0; i < count; i++) {
        const struct od_dataset_counts *counts = &data->counts[i];
        od_json_object_begin(w);
        od_json_member_text(w, "path", specs[i].path);
        od_json_member_text(w, "sha256", data->digest[i]);
        od_json_member_int(w, "rows", counts->rows);
        od_json_member_int(w, "kept", counts->kept);
        od_json_member_int(w, "too_long", counts->too_long);
        od_json_member_int(w, "empty", counts->empty);
        od_json_member_int(w, "invalid_utf8", counts->invalid_utf8);
        od_json_object_end(w);
        od_buf_puts(all, data->digest[i]);
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

    od_buf_init(&all, LOCK_MAX_BYTES);
    od_sha256_hex(recipe_text, strlen(recipe_text), digest);
    od_buf_puts(&all, digest);
    od_json_writer_init(&w, out, OD_JSON_INDENT_2, true);
    od_json_object_begin(&w);
    od_json_member_text(&w, "recipe", digest);
    status = lock_base(session, &w, &all, err);
    if (status == OD_OK && session->recipe->lora_model_dir) {
        status = lock_adapter(session, &w, &all, err);
    }
    if (session->tokenizer) {
        od_json_member_text(&w, "tokenizer", od_tokenizer_digest(session->tokenizer));
        od_buf_puts(&all, od_tokenizer_digest(session->tokenizer));
    }
    lock_data(&session->dataset, session->recipe->datasets, session->recipe->dataset_count, "data",
              &w, &all);
    if (session->recipe->test_dataset_count > 0) {
        lock_data(&session->validation, session->recipe->test_datasets,
                  session->recipe->test_dataset_count, "test_data", &w, &all);
    }
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

static enum od_status differs(const char *what, const char *was, const char *is,
                              struct od_error *err)
{
    return od_fail(err, OD_E_REFUSED,
                   "%s is not what the run began with: its SHA-256 was %s, now it is %s", what,
                   was ? was : "absent", is ? is : "absent");
}

// Members of one object whose digests are not those of the other.
static enum od_status compare_members(json_t *was, const json_t *is, const char *whose,
                                      struct od_error *err)
{
    char what[OD_ERROR_MESSAGE_BYTES];
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach(was, name, value)
    {
        const char *before = json_string_value(value);
        const char *now = json_string_value(json_object_get(is, name));
        if (!before || !now || strcmp(before, now) != 0) {
            (void)snprintf(what, sizeof what, "'%s' of the %s", name, whose);
            return differs(what, before, now, err);
        }
    }
    return OD_OK;
}

static enum od_status compare_files(const json_t *was, const json_t *is, struct od_error *err)
{
    char what[OD_PATH_MAX_BYTES + 16];
    for (size_t i = 0; i < json_array_size(was); i++) {
        const json_t *before = json_array_get(was, i);
        const json_t *now = json_array_get(is, i);
        const char *path = json_string_value(json_object_get(before, "path"));
        const char *old = json_string_value(json_object_get(before, "sha256"));
        const char *new = json_string_value(json_object_get(now, "sha256"));
        if (!path || !old || !new || strcmp(old, new) != 0) {
            (void)snprintf(what, sizeof what, "'%s'", path ? path : "a data file");
            return differs(what, old, new, err);
        }
    }
    return OD_OK;
}

static enum od_status compare_texts(const json_t *was, const json_t *is, const char *key,
                                    struct od_error *err)
{
    const char *before = json_string_value(json_object_get(was, key));
    const char *now = json_string_value(json_object_get(is, key));
    const bool same = before == now || (before && now && strcmp(before, now) == 0);
    return same ? OD_OK : differs(key, before, now, err);
}

// The first line in which two recipes differ.
static enum od_status compare_recipes(const char *was, const char *is, struct od_error *err)
{
    while (*was != '\0' || *is != '\0') {
        const size_t before = strcspn(was, "\n");
        const size_t now = strcspn(is, "\n");
        if (before != now || memcmp(was, is, now) != 0) {
            return od_fail(err, OD_E_REFUSED,
                           "the recipe is not what the run began with: '%.*s' was '%.*s'",
                           (int)(now < LINE_SHOWN_BYTES ? now : LINE_SHOWN_BYTES), is,
                           (int)(before < LINE_SHOWN_BYTES ? before : LINE_SHOWN_BYTES), was);
        }
        was += before + (was[before] == '\n');
        is += now + (is[now] == '\n');
    }
    return OD_OK;
}

enum od_status od_lock_compare(const char *run_dir, const char *lock_text, const char *recipe_text,
                               struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    char *recipe = NULL;
    size_t size = 0;
    json_t *was = NULL;
    json_t *is = NULL;
    enum od_status status;
    if ((status = od_path_join(path, run_dir, "recipe.yaml", err)) != OD_OK ||
        (status = od_file_read(path, RECIPE_MAX_BYTES, &recipe, &size, err)) != OD_OK ||
        (status = compare_recipes(recipe, recipe_text, err)) != OD_OK ||
        (status = od_path_join(path, run_dir, "lock.json", err)) != OD_OK ||
        (status = od_json_read(path, &was, err)) != OD_OK ||
        (status = od_json_parse(lock_text, strlen(lock_text), "lock.json", &is, err)) != OD_OK ||
        (status = compare_files(json_object_get(was, "data"), json_object_get(is, "data"), err)) !=
            OD_OK ||
        (status = compare_files(json_object_get(was, "test_data"), json_object_get(is, "test_data"),
                                err)) != OD_OK ||
        (status = compare_members(json_object_get(was, "base"), json_object_get(is, "base"),
                                  "base model", err)) != OD_OK ||
        (status = compare_members(json_object_get(was, "adapter"), json_object_get(is, "adapter"),
                                  "adapter", err)) != OD_OK) {
        goto done;
    }
    status = compare_texts(was, is, "tokenizer", err);

done:
    json_decref(is);
    json_decref(was);
    od_free(recipe);
    return status;
}
