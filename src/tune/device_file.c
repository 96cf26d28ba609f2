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

enum { ALGO_WORDS = 8, WORD_DIGITS = 16, FILE_MAX_BYTES = 16 << 20 };

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

static enum od_status take_text(const json_t *json, const char *key, const char *name, char *ret,
                                size_t capacity, struct od_error *err)
{
    const char *text = json_string_value(json_object_get(json, key));
    if (!text || strlen(text) >= capacity) {
        return od_fail(err, OD_E_FORMAT, "'%s': '%s' is missing or too long", name, key);
    }
    (void)snprintf(ret, capacity, "%s", text);
    return OD_OK;
}

// Eight words of sixteen hexadecimal digits at most, a blank between them.
static bool read_words(const char *text, uint64_t words[ALGO_WORDS])
{
    for (int i = 0; i < ALGO_WORDS; i++) {
        const size_t digits = strspn(text, "0123456789abcdef");
        if (digits == 0 || digits > WORD_DIGITS || (text[digits] != ' ' && i + 1 < ALGO_WORDS) ||
            (text[digits] != '\0' && i + 1 == ALGO_WORDS)) {
            return false;
        }
        words[i] = strtoull(text, NULL, 16);
        text += digits + 1;
    }
    return true;
}

static enum od_status read_choice(const json_t *row, const char *name, struct od_matmul_choice *ret,
                                  struct od_error *err)
{
    struct od_matmul_choice choice = {0};
    const char *algo = json_string_value(json_object_get(row, "algo"));
    const enum od_status status =
        take_text(row, "shape", name, choice.shape, sizeof choice.shape, err);
    if (status != OD_OK) {
        return status;
    }
    if (!algo || !read_words(algo, choice.algo)) {
        return od_fail(err, OD_E_FORMAT, "'%s': the algorithm of shape '%s' is no eight words",
                       name, choice.shape);
    }
    choice.us = json_number_value(json_object_get(row, "us"));
    *ret = choice;
    return OD_OK;
}

enum od_status od_device_parse(const char *text, size_t size, const char *name,
                               struct od_device_file *ret, struct od_error *err)
{
    struct od_device_file file = {0};
    json_t *json = NULL;
    const json_t *rows;
    enum od_status status = od_json_parse(text, size, name, &json, err);
    if (status != OD_OK ||
        (status = take_text(json, "device", name, file.device, sizeof file.device, err)) != OD_OK ||
        (status = take_text(json, "driver", name, file.driver, sizeof file.driver, err)) != OD_OK ||
        (status = take_text(json, "matrix_products", name, file.library, sizeof file.library,
                            err)) != OD_OK) {
        goto done;
    }
    rows = json_object_get(json, "algorithms");
    if (json_array_size(rows) > OD_MATMUL_SHAPES_MAX) {
        status =
            od_fail(err, OD_E_LIMIT, "'%s': more than %d algorithms", name, OD_MATMUL_SHAPES_MAX);
        goto done;
    }
    file.choices = od_alloc(json_array_size(rows) + 1, sizeof *file.choices);
    if (!file.choices) {
        status = od_fail(err, OD_E_MEMORY, "no memory for the algorithms of '%s'", name);
        goto done;
    }
    for (size_t i = 0; status == OD_OK && i < json_array_size(rows); i++) {
        status = read_choice(json_array_get(rows, i), name, &file.choices[file.count++], err);
    }

done:
    json_decref(json);
    if (status != OD_OK) {
        od_device_file_release(&file);
        return status;
    }
    *ret = file;
    return OD_OK;
}

void od_device_file_release(struct od_device_file *file)
{
    od_free(file->choices);
    *file = (struct od_device_file){0};
}

enum od_status od_device_read(struct od_session *session, const char *path, bool *ret_same,
                              struct od_error *err)
{
    const struct od_cuda_info *info = od_cuda_info(session->cuda);
    struct od_matmul *matmul = od_gpu_matmul(session->gpu);
    struct od_device_file file = {0};
    char *text = NULL;
    size_t size = 0;
    *ret_same = false;
    enum od_status status = od_file_read(path, FILE_MAX_BYTES, &text, &size, err);
    if (status == OD_OK) {
        status = od_device_parse(text, size, path, &file, err);
    }
    if (status == OD_OK) {
        *ret_same = strcmp(file.device, info->name) == 0 &&
                    strcmp(file.driver, info->driver) == 0 &&
                    strcmp(file.library, od_matmul_library(matmul)) == 0;
    }
    for (size_t i = 0; *ret_same && status == OD_OK && i < file.count; i++) {
        status = od_matmul_choose(matmul, &file.choices[i], err);
    }
    od_device_file_release(&file);
    od_free(text);
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
