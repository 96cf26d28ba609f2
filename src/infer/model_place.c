// A model is a folder or one GGUF file. A run directory holds model/ (full weights) or adapter/ (on the base model that its
// adapter_config.json names, relative paths taken from the working folder and then from the run).

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/status.h"
#include "formats/gguf.h"
#include "infer/engine.h"
#include "model/weights.h"

static void name_of(const char *path, char out[256])
{
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/') {
        length--;
    }
    size_t start = length;
    while (start > 0 && path[start - 1] != '/') {
        start--;
    }
    (void)snprintf(out, 256, "%.*s", (int)(length - start), path + start);
}

static bool is_file(const char *path)
{
    return od_gguf_is_path(path) && od_path_exists(path) && !od_path_is_dir(path);
}

static bool is_model(const char *path)
{
    return od_path_is_dir(path) || is_file(path);
}

static enum od_status base_of_adapter(const char *adapter, struct od_model_place *place,
                                      struct od_error *err)
{
    struct od_adapter_config config;
    char path[OD_PATH_MAX_BYTES];
    enum od_status status = od_adapter_config_read(adapter, &config, err);
    if (status != OD_OK) {
        return status;
    }
    (void)snprintf(place->base, sizeof place->base, "%s", config.base_model);
    if (config.base_model[0] != '/' && !is_model(config.base_model)) {
        status = od_path_join(path, adapter, config.base_model, err);
        if (status == OD_OK && is_model(path)) {
            (void)snprintf(place->base, sizeof place->base, "%s", path);
        }
    }
    if (status == OD_OK && !is_model(place->base)) {
        return od_fail(err, OD_E_NOT_FOUND,
                       "adapter '%s' is for the base model '%.400s', which is not there", adapter,
                       config.base_model);
    }
    return status;
}

enum od_status od_model_find(const char *path, const char *adapter, struct od_model_place *ret,
                             struct od_error *err)
{
    struct od_model_place place = {.base = "", .adapter = "", .name = ""};
    char part[OD_PATH_MAX_BYTES];
    enum od_status status = OD_OK;

    name_of(path, place.name);
    if (is_file(path)) {
        (void)snprintf(place.base, sizeof place.base, "%s", path);
        (void)snprintf(place.adapter, sizeof place.adapter, "%s", adapter ? adapter : "");
        *ret = place;
        return OD_OK;
    }
    if (!od_path_is_dir(path)) {
        return od_fail(err, OD_E_NOT_FOUND, "'%s' is no folder of a model or a run", path);
    }
    if ((status = od_path_join(part, path, "config.json", err)) != OD_OK) {
        return status;
    }
    if (od_path_exists(part)) {
        (void)snprintf(place.base, sizeof place.base, "%s", path);
    } else {
        if ((status = od_path_join(part, path, "model", err)) != OD_OK) {
            return status;
        }
        if (od_path_is_dir(part)) {
            (void)snprintf(place.base, sizeof place.base, "%s", part);
        } else if ((status = od_path_join(part, path, "adapter", err)) !=
                   OD_OK) {  // NOLINT(bugprone-branch-clone): a failed step
            return status;
        } else if (od_path_is_dir(part)) {
            (void)snprintf(place.adapter, sizeof place.adapter, "%s", part);
        } else if ((status = od_path_join(part, path, "adapter_config.json", err)) != OD_OK) {
            return status;
        } else if (od_path_exists(part)) {
            (void)snprintf(place.adapter, sizeof place.adapter, "%s", path);
        } else {
            return od_fail(err, OD_E_NOT_FOUND,
                           "'%s' holds neither config.json nor model/ nor adapter/: it is no model "
                           "and no finished run",
                           path);
        }
    }
    if (adapter) {
        (void)snprintf(place.adapter, sizeof place.adapter, "%s", adapter);
    }
    if (place.base[0] == '\0') {
        status = base_of_adapter(place.adapter, &place, err);
    }
    if (status == OD_OK) {
        *ret = place;
    }
    return status;
}
