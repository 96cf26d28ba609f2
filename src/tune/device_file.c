#include "tune/device_file.h"

#include <ctype.h>
#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/threads.h"
#include "device/cuda/cuda.h"
#include "device/cuda/matmul.h"
#include "formats/json.h"
#include "ops/gpu.h"
#include "tune/session.h"

enum { ALGO_WORDS = 8, WORD_DIGITS = 16 };

static void write_gpu(const struct od_session *session, struct od_json_writer *w)
{
    const struct od_cuda_info *info = od_cuda_info(session->cuda);
    const struct od_matmul *matmul = od_gpu_matmul(session->gpu);
    size_t count = 0;
    const struct od_matmul_choice *choices = od_matmul_choices(matmul, &count);
    od_json_member_text(w, "device", info->name);
    od_json_member_int(w, "capability", info->capability);
    od_json_member_int(w, "multiprocessors", info->multiprocessors);
    od_json_member_text(w, "driver", info->driver);
    od_json_member_text(w, "matrix_products", od_matmul_library(matmul));
    od_json_key(w, "algorithms");
    od_json_array_begin(w);
    for (size_t i = 0; i < count; i++) {
        char hex[ALGO_WORDS * (WORD_DIGITS + 1) + 1] = "";
        size_t at = 0;
        for (int j = 0; j < ALGO_WORDS; j++) {
            at += (size_t)snprintf(hex + at, sizeof hex - at, "%s%016llx", j > 0 ? " " : "",
                                   (unsigned long long)choices[i].algo[j]);
        }
        od_json_object_begin(w);
        od_json_member_text(w, "shape", choices[i].shape);
        od_json_member_text(w, "algo", hex);
        od_json_member_number(w, "us", choices[i].us);
        od_json_object_end(w);
    }
    od_json_array_end(w);
}

enum od_status od_device_write(const struct od_session *session, struct od_buf *out,
                               struct od_error *err)
{
    struct od_json_writer w;
    od_json_writer_init(&w, out, OD_JSON_INDENT_2, true);
    od_json_object_begin(&w);
    if (session->gpu) {
        write_gpu(session, &w);
    } else {
        od_json_member_text(&w, "device", "cpu");
        od_json_member_bool(&w, "avx2_fma", session->cpu.features.avx2_fma);
        od_json_member_int(&w, "threads", od_pool_threads(session->cpu.pool));
    }
    od_json_object_end(&w);
    od_buf_putc(out, '\n');
    return od_buf_check(out, err);
}

static bool is_same(const json_t *json, const char *key, const char *want)
{
    const char *have = json_string_value(json_object_get(json, key));
    return have && strcmp(have, want) == 0;
}

static enum od_status read_choice(const json_t *row, const char *path, struct od_matmul_choice *ret,
                                  struct od_error *err)
{
    struct od_matmul_choice choice = {0};
    const char *shape = json_string_value(json_object_get(row, "shape"));
    const char *algo = json_string_value(json_object_get(row, "algo"));
    if (!shape || !algo || strlen(shape) >= sizeof choice.shape) {
        return od_fail(err, OD_E_FORMAT, "'%s': an entry of 'algorithms' lacks shape or algo",
                       path);
    }
    (void)snprintf(choice.shape, sizeof choice.shape, "%s", shape);
    choice.us = json_number_value(json_object_get(row, "us"));
    for (int i = 0; i < ALGO_WORDS; i++) {
        char *end = NULL;
        choice.algo[i] = strtoull(algo, &end, 16);
        if (end == algo) {
            return od_fail(err, OD_E_FORMAT, "'%s': the algorithm of '%s' is cut", path, shape);
        }
        algo = end;
    }
    *ret = choice;
    return OD_OK;
}

enum od_status od_device_read(struct od_session *session, const char *path, bool *ret_same,
                              struct od_error *err)
{
    const struct od_cuda_info *info = od_cuda_info(session->cuda);
    struct od_matmul *matmul = od_gpu_matmul(session->gpu);
    json_t *json = NULL;
    size_t i;
    const json_t *row;
    enum od_status status = od_json_read(path, &json, err);
    *ret_same = status == OD_OK && is_same(json, "device", info->name) &&
                is_same(json, "driver", info->driver) &&
                is_same(json, "matrix_products", od_matmul_library(matmul));
    json_array_foreach(*ret_same ? json_object_get(json, "algorithms") : NULL, i, row)
    {
        struct od_matmul_choice choice;
        if (status == OD_OK) {
            status = read_choice(row, path, &choice, err);
        }
        if (status == OD_OK) {
            status = od_matmul_choose(matmul, &choice, err);
        }
    }
    json_decref(json);
    return status;
}

void od_device_cache_path(const struct od_session *session, char ret[OD_PATH_MAX_BYTES])
{
    const char *cache = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    char name[256];
    const struct od_cuda_info *info = od_cuda_info(session->cuda);
    (void)snprintf(name, sizeof name, "%s-%s-%s", info->name, info->driver,
                   od_matmul_library(od_gpu_matmul(session->gpu)));
    for (char *c = name; *c; c++) {
        if (!isalnum((unsigned char)*c) && *c != '.') {
            *c = '-';
        }
    }
    ret[0] = '\0';
    if (cache && cache[0] == '/') {
        (void)snprintf(ret, OD_PATH_MAX_BYTES, "%s/oneday/device-%s.json", cache, name);
    } else if (home && home[0] == '/') {
        (void)snprintf(ret, OD_PATH_MAX_BYTES, "%s/.cache/oneday/device-%s.json", home, name);
    }
}
