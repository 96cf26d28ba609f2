#include "device/cuda/library.h"

#include <glob.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

/** Folders that are tried after the loader's own; %s is the value of the variable, if one is named
 *  (a pattern whose variable is unset is left out). */
static const struct {
    const char *variable;
    const char *pattern;
} places[] = {
    {NULL, "/usr/local/cuda/lib64"},
    {NULL, "/usr/local/cuda-*/lib64"},
    {NULL, "/usr/local/cuda-*/targets/*/lib"},
    {NULL, "/opt/cuda/lib64"},
    {"VIRTUAL_ENV", "%s/lib/python3*/site-packages/nvidia/*/lib"},
    {"CONDA_PREFIX", "%s/lib"},
    {"HOME", "%s/.local/lib/python3*/site-packages/nvidia/*/lib"},
    {NULL, "/usr/lib/python3*/*-packages/nvidia/*/lib"},
    {NULL, "/usr/local/lib/python3*/*-packages/nvidia/*/lib"},
    {NULL, "/opt/*/.venv/lib/python3*/site-packages/nvidia/*/lib"},
    {NULL, "/opt/*/lib/python3*/site-packages/nvidia/*/lib"},
};

/** Offer the files that a pattern of paths names. */
static bool try_pattern(const char *pattern, od_library_try attempt, void *context)
{
    glob_t found = {0};
    bool taken = false;
    if (glob(pattern, 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc && !taken; i++) {
            taken = attempt(context, found.gl_pathv[i]);
        }
    }
    globfree(&found);
    return taken;
}

/** Offer `name` in each folder of a list that colons separate. */
static bool try_list(const char *list, const char *name, od_library_try attempt, void *context)
{
    char path[OD_PATH_MAX_BYTES];
    for (const char *at = list; at && *at;) {
        const size_t size = strcspn(at, ":");
        const int written = snprintf(path, sizeof path, "%.*s/%s", (int)size, at, name);
        if (size > 0 && written > 0 && (size_t)written < sizeof path && od_path_exists(path) &&
            attempt(context, path)) {
            return true;
        }
        at += size + (at[size] == ':');
    }
    return false;
}

/** Offer ../lib/`name` beside the running program. */
static bool try_beside(const char *name, od_library_try attempt, void *context)
{
    char program[OD_PATH_MAX_BYTES];
    char path[OD_PATH_MAX_BYTES];
    const ssize_t size = readlink("/proc/self/exe", program, sizeof program - 1);
    if (size <= 0) {
        return false;
    }
    program[size] = '\0';
    char *slash = strrchr(program, '/');
    if (!slash) {
        return false;
    }
    *slash = '\0';
    const int written = snprintf(path, sizeof path, "%s/../lib/%s", program, name);
    return written > 0 && (size_t)written < sizeof path && od_path_exists(path) &&
           attempt(context, path);
}

/** Offer `name` in the folders of `places`. */
static bool try_places(const char *name, od_library_try attempt, void *context)
{
    char pattern[OD_PATH_MAX_BYTES];
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        const char *value = places[i].variable ? getenv(places[i].variable) : "";
        if (!value) {
            continue;
        }
        const char *tail =
            places[i].variable ? places[i].pattern + strlen("%s") : places[i].pattern;
        const int written = snprintf(pattern, sizeof pattern, "%s%s/%s", value, tail, name);
        if (written > 0 && (size_t)written < sizeof pattern &&
            try_pattern(pattern, attempt, context)) {
            return true;
        }
    }
    return false;
}

bool od_library_search(const char *const *names, size_t count, od_library_try attempt,
                       void *context)
{
    const char *own = getenv("ONEDAY_CUDA_LIBS");
    for (size_t i = 0; i < count; i++) {
        if (try_list(own, names[i], attempt, context)) {
            return true;
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (attempt(context, names[i]) || try_beside(names[i], attempt, context) ||
            try_places(names[i], attempt, context)) {
            return true;
        }
    }
    return false;
}
