#include "flow/exports.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "flow/convert.h"
#include "ops/op.h"
#include "tune/recipe.h"
#include "tune/session.h"

enum { REPORT_MAX_BYTES = 1 << 16, MERGED = 0, ADAPTER_GGUF = 4 };

static bool is_folder(int index)
{
    return index == MERGED;
}

static enum od_status path_of(const char *folder, int index, char out[OD_PATH_MAX_BYTES],
                              struct od_error *err)
{
    char name[64];
    (void)snprintf(name, sizeof name, "%s%s", od_recipe_export_name(index),
                   is_folder(index) ? "" : ".gguf");
    return od_path_join(out, folder, name, err);
}

void od_export_name(int index, char out[64])
{
    (void)snprintf(out, 64, "export/%s%s", od_recipe_export_name(index),
                   is_folder(index) ? "" : ".gguf");
}

enum od_status od_export_find(const struct od_session *session, const char *run_dir, int index,
                              struct od_export_place *ret, struct od_error *err)
{
    struct od_export_place place = {.adapter = ""};
    char name[64];
    od_export_name(index, name);
    const bool adapter = index == ADAPTER_GGUF;
    const enum od_status status =
        od_path_join(adapter ? place.adapter : place.model, run_dir, name, err);
    if (status != OD_OK) {
        return status;
    }
    if (adapter) {
        (void)snprintf(place.model, sizeof place.model, "%s", session->recipe->base_model);
    }
    *ret = place;
    return OD_OK;
}

// Merge the run's adapter, as its recipe says into what.
static enum od_status merge(const struct od_session *session, const char *run_dir, int threads,
                            const char *output, struct od_error *err)
{
    const struct od_recipe *recipe = session->recipe;
    const bool decoded = recipe->merge_base && strcmp(recipe->merge_base, "dequant") == 0;
    static const char *const names[] = {[OD_QUANT_NONE] = "w16",
                                        [OD_QUANT_NF4] = "dequant",
                                        [OD_QUANT_INT8] = "dequant8",
                                        [OD_QUANT_E4M3] = "dequant-fp8"};
    const struct od_convert_options options = {.type = "bf16",
                                               .output = output,
                                               .merge_base = decoded ? names[recipe->quant] : "w16",
                                               .threads = threads,
                                               .no_check = true};
    struct od_buf report;
    od_buf_init(&report, REPORT_MAX_BYTES);
    const enum od_status status = od_convert_merge(run_dir, &options, &report, err);
    od_buf_release(&report);
    return status;
}

static enum od_status make_gguf(const char *from, const char *name, const char *type,
                                const char *output, int threads, struct od_error *err)
{
    const struct od_convert_options options = {
        .type = type, .output = output, .name = name, .threads = threads, .no_check = true};
    struct od_buf report;
    od_buf_init(&report, REPORT_MAX_BYTES);
    const enum od_status status = od_convert_gguf(from, &options, &report, err);
    od_buf_release(&report);
    return status;
}

// All into `folder`; what was only needed to make others is removed again.
static enum od_status make_all(const struct od_session *session, const char *run_dir,
                               const char *folder, int threads, struct od_error *err)
{
    const unsigned exports = session->recipe->exports;
    const bool merges =
        session->recipe->method == OD_METHOD_LORA && (exports & OD_RECIPE_WHOLE) != 0;
    char merged[OD_PATH_MAX_BYTES];
    char path[OD_PATH_MAX_BYTES];
    const char *base =
        session->recipe->base_model;  // not the run's folder: the same bytes anywhere
    const char *slash = base ? strrchr(base, '/') : NULL;
    const char *name = slash && slash[1] != '\0' ? slash + 1 : "model";
    enum od_status status = path_of(folder, MERGED, merged, err);
    if (status == OD_OK && merges) {
        status = merge(session, run_dir, threads, merged, err);
    }
    for (int i = MERGED + 1; i < OD_RECIPE_EXPORTS && status == OD_OK; i++) {
        if ((exports & (1u << i)) == 0 || (status = path_of(folder, i, path, err)) != OD_OK) {
            continue;
        }
        const char *type = i == ADAPTER_GGUF ? "f32" : od_recipe_export_name(i) + strlen("gguf-");
        status = make_gguf(merges && i != ADAPTER_GGUF ? merged : run_dir, name, type, path,
                           threads, err);
    }
    if (status == OD_OK && merges && (exports & OD_RECIPE_MERGED) == 0) {
        status = od_dir_remove(merged, err);
    }
    return status;
}

enum od_status od_exports_make(const struct od_session *session, const char *run_dir, int threads,
                               struct od_error *err)
{
    char folder[OD_PATH_MAX_BYTES];
    char temp[OD_PATH_MAX_BYTES];
    enum od_status status;
    if (session->recipe->exports == 0) {
        return OD_OK;
    }
    if ((status = od_path_join(folder, run_dir, "export", err)) != OD_OK ||
        (status = od_path_join(temp, run_dir, "export.tmp", err)) != OD_OK ||
        (status = od_dir_remove(temp, err)) != OD_OK ||
        (status = od_dir_make(temp, err)) != OD_OK) {
        return status;
    }
    od_log(OD_LOG_INFO, "writing '%s'", folder);
    status = make_all(session, run_dir, temp, threads, err);
    if (status != OD_OK) {
        od_error_prefix(err, "export");
        return status;
    }
    return od_dir_replace(temp, folder, err);
}
