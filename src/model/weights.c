#include "model/weights.h"

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "base/threads.h"
#include "formats/dtype.h"
#include "formats/gguf.h"
#include "formats/safetensors.h"
#include "model/gguf_model.h"
#include "model/program.h"
#include "model/spec.h"
#include "model/weights_internal.h"
#include "ops/gpu_draw.h"
#include "ops/op.h"

// Even: two values are drawn together.
enum { INIT_GRAIN = 4096 };

// What files of a model without its head leave out in front of every name.
static const char body_prefix[] = "transformer.";

static const char *without_prefix(const char *name)
{
    const size_t length = sizeof body_prefix - 1;
    return strncmp(name, body_prefix, length) == 0 ? name + length : name;
}

// `parts` are all of the model: the first is its embedding.
static const struct od_tensor_info *find_part(const struct od_safetensors *st,
                                              const struct od_part *parts,
                                              const struct od_part *part)
{
    const char *name = part->is_copy ? parts[0].name : part->name;
    const struct od_tensor_info *info = od_safetensors_find(st, name);
    return info ? info : od_safetensors_find(st, without_prefix(name));
}

static enum od_status check_shape(const struct od_part *part, const struct od_tensor_info *info,
                                  const char *path, struct od_error *err)
{
    const int64_t rows = part->transposed ? part->cols : part->rows;
    const int64_t cols = part->transposed ? part->rows : part->cols;
    const bool fits = part->rank == 1
                          ? info->rank == 1 && info->shape[0] == part->rows * part->cols
                          : info->rank == 2 && info->shape[0] == rows && info->shape[1] == cols;
    if (!fits) {
        return od_fail(err, OD_E_FORMAT,
                       "'%s': tensor '%s' of rank %d (%lld, %lld) does not fit the config's [%lld, "
                       "%lld]",
                       path, part->name, info->rank, (long long)info->shape[0],
                       (long long)(info->rank > 1 ? info->shape[1] : 1), (long long)rows,
                       (long long)cols);
    }
    return OD_OK;
}

static bool all_finite(const float *x, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        if (!isfinite(x[i])) {
            return false;
        }
    }
    return true;
}

// All values of a part. @memory Gives: od_free.
static float *values_of(const struct od_part *part, struct od_error *err)
{
    float *values = od_alloc((size_t)(part->rows * part->cols), sizeof *values);
    if (!values) {
        (void)od_fail(err, OD_E_MEMORY, "no memory for '%s'", part->name);
    }
    return values;
}

// Where the bytes of a part of bytes begin.
static uint8_t *bytes_of(const struct od_part *part, float *const *tensors)
{
    return (uint8_t *)(void *)tensors[part->tensor] + part->row * part->cols;
}

// to [cols, rows] from [rows, cols], in squares that stay in the cache.
static void transpose(const float *from, int64_t rows, int64_t cols, float *to)
{
    enum { SQUARE = 32 };
    for (int64_t i = 0; i < rows; i += SQUARE) {
        for (int64_t j = 0; j < cols; j += SQUARE) {
            for (int64_t r = i; r < rows && r < i + SQUARE; r++) {
                for (int64_t c = j; c < cols && c < j + SQUARE; c++) {
                    to[c * rows + r] = from[r * cols + c];
                }
            }
        }
    }
}

static enum od_status read_transposed(const struct od_safetensors *st,
                                      const struct od_tensor_info *info, const struct od_part *part,
                                      float *to, struct od_error *err)
{
    float *values = values_of(part, err);
    if (!values) {
        return OD_E_MEMORY;
    }
    const enum od_status status = od_safetensors_read_f32(st, info, values, err);
    if (status == OD_OK) {
        transpose(values, part->cols, part->rows, to);
    }
    od_free(values);
    return status;
}

static enum od_status read_values(const struct od_safetensors *st,
                                  const struct od_tensor_info *info, const struct od_part *part,
                                  const char *path, float *to, struct od_error *err)
{
    const enum od_status status = part->transposed ? read_transposed(st, info, part, to, err)
                                                   : od_safetensors_read_f32(st, info, to, err);
    if (status == OD_OK && !all_finite(to, part->rows * part->cols)) {
        return od_fail(err, OD_E_FORMAT, "'%s': tensor '%s' holds a value that is no number", path,
                       part->name);
    }
    return status;
}

static enum od_status read_bytes(const struct od_safetensors *st, const struct od_tensor_info *info,
                                 const struct od_part *part, const char *path, uint8_t *to,
                                 struct od_error *err)
{
    if (info->dtype != OD_DTYPE_U8) {
        return od_fail(err, OD_E_FORMAT, "'%s': tensor '%s' is %s, not U8", path, part->name,
                       od_dtype_name(info->dtype));
    }
    return od_safetensors_read_raw(st, info, to, err);
}

static enum od_status read_quantised(const struct od_safetensors *st,
                                     const struct od_tensor_info *info, const struct od_part *part,
                                     const char *path, float *const *tensors, struct od_error *err)
{
    float *values = values_of(part, err);
    if (!values) {
        return OD_E_MEMORY;
    }
    enum od_status status = read_values(st, info, part, path, values, err);
    if (status == OD_OK) {
        status = od_quant_store(part, values, tensors, err);
    }
    od_free(values);
    return status;
}

static enum od_status read_part(const struct od_safetensors *st, const struct od_tensor_info *info,
                                const struct od_part *part, const char *path, float *const *tensors,
                                struct od_error *err)
{
    if (part->is_bytes) {
        return read_bytes(st, info, part, path, bytes_of(part, tensors), err);
    }
    if (part->quant != OD_QUANT_NONE) {
        return read_quantised(st, info, part, path, tensors, err);
    }
    return read_values(st, info, part, path, tensors[part->tensor] + part->row * part->cols, err);
}

enum od_status od_parts_read_open(const struct od_safetensors *st, const struct od_part *parts,
                                  int32_t count, float *const *tensors, const char *path,
                                  struct od_error *err)
{
    for (int32_t i = 0; i < count; i++) {
        const struct od_part *part = &parts[i];
        const struct od_tensor_info *info = find_part(st, parts, part);
        if (!info) {
            return od_fail(err, OD_E_FORMAT, "'%s': tensor '%s' is missing", path, part->name);
        }
        enum od_status status = check_shape(part, info, path, err);
        if (status == OD_OK) {
            status = read_part(st, info, part, path, tensors, err);
        }
        if (status != OD_OK) {
            return status;
        }
    }
    return OD_OK;
}

static bool is_part(const struct od_part *parts, int32_t count, const char *name)
{
    for (int32_t i = 0; i < count; i++) {
        if (strcmp(parts[i].name, name) == 0 || strcmp(without_prefix(parts[i].name), name) == 0) {
            return true;
        }
    }
    return false;
}

static bool ends_with(const char *text, const char *end)
{
    const size_t length = strlen(text);
    const size_t end_length = strlen(end);
    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

// Tensors that files carry and that hold nothing of their own.
static bool is_derived(const struct od_program *program, const char *name)
{
    return (program->spec.tied && strcmp(name, "lm_head.weight") == 0) ||
           ends_with(name, ".rotary_emb.inv_freq") ||
           (program->spec.learned_positions &&
            (ends_with(name, ".attn.bias") || ends_with(name, ".attn.masked_bias")));
}

// Open a model's weights; a tensor that is not one of the model's is an error.
static enum od_status open_weights(const struct od_program *program, const char *folder,
                                   struct od_safetensors **ret, struct od_error *err)
{
    struct od_safetensors *st = NULL;
    enum od_status status = od_safetensors_open(folder, &st, err);
    for (size_t i = 0; status == OD_OK && i < od_safetensors_count(st); i++) {
        const char *name = od_safetensors_get(st, i)->name;
        if (!is_part(program->weights, program->weight_count, name) && !is_derived(program, name)) {
            status = od_fail(err, OD_E_FORMAT,
                             "'%s': tensor '%.200s' does not belong to this model", folder, name);
        }
    }
    if (status != OD_OK) {
        od_safetensors_close(st);
        return status;
    }
    *ret = st;
    return OD_OK;
}

enum od_status od_quant_send(const struct od_part *part, const float *values,
                             const struct od_weight_sink *sink, struct od_error *err)
{
    uint8_t *codes = od_alloc(od_quant_code_bytes(part), 1);
    uint8_t *scales = od_alloc(od_quant_scale_bytes(part), 1);
    enum od_status status =
        codes && scales ? OD_OK
                        : od_fail(err, OD_E_MEMORY, "no memory to quantise '%s'", part->name);
    if (status == OD_OK) {
        status = od_quant_encode(sink->pool, part, values, codes, scales, err);
    }
    if (status == OD_OK) {
        status = sink->put_codes(sink->context, part, codes, scales, err);
    }
    od_free(scales);
    od_free(codes);
    return status;
}

static enum od_status stream_quantised(const struct od_safetensors *st,
                                       const struct od_tensor_info *info,
                                       const struct od_part *part, const char *folder,
                                       const struct od_weight_sink *sink, struct od_error *err)
{
    float *values = values_of(part, err);
    if (!values) {
        return OD_E_MEMORY;
    }
    enum od_status status = read_values(st, info, part, folder, values, err);
    if (status == OD_OK) {
        status = od_quant_send(part, values, sink, err);
    }
    od_free(values);
    return status;
}

enum od_status od_values_send(const struct od_part *part, const float *values,
                              const struct od_weight_sink *sink, struct od_error *err)
{
    const int64_t total = part->rows * part->cols;
    const int64_t most = (int64_t)(sink->piece_bytes / sizeof(float));
    uint64_t bad = 0;
    for (int64_t first = 0; first < total; first += most) {
        const int64_t count = total - first < most ? total - first : most;
        float *buffer = sink->buffer(sink->context, err);
        if (!buffer) {
            return OD_E_IO;
        }
        memcpy(buffer, values + first, (size_t)count * sizeof *values);
        sink->put(sink->context, part, OD_DTYPE_F32, first, count);
    }
    return sink->finish(sink->context, &bad, err);
}

static enum od_status stream_transposed(const struct od_safetensors *st,
                                        const struct od_tensor_info *info,
                                        const struct od_part *part, const char *folder,
                                        const struct od_weight_sink *sink, struct od_error *err)
{
    float *values = values_of(part, err);
    if (!values) {
        return OD_E_MEMORY;
    }
    enum od_status status = read_values(st, info, part, folder, values, err);
    if (status == OD_OK) {
        status = od_values_send(part, values, sink, err);
    }
    od_free(values);
    return status;
}

static enum od_status stream_part(const struct od_safetensors *st, const struct od_part *parts,
                                  const struct od_part *part, const char *folder,
                                  const struct od_weight_sink *sink, struct od_error *err)
{
    const struct od_tensor_info *info = find_part(st, parts, part);
    uint64_t bad = 0;
    if (!info) {
        return od_fail(err, OD_E_FORMAT, "'%s': tensor '%s' is missing", folder, part->name);
    }
    enum od_status status = check_shape(part, info, folder, err);
    if (status == OD_OK && !od_dtype_is_float(info->dtype)) {
        status = od_fail(err, OD_E_UNSUPPORTED, "'%s': tensor '%s' has type %s, not a float's",
                         folder, part->name, od_dtype_name(info->dtype));
    }
    if (status == OD_OK && part->quant != OD_QUANT_NONE) {
        return stream_quantised(st, info, part, folder, sink, err);
    }
    if (status == OD_OK && part->transposed) {
        return stream_transposed(st, info, part, folder, sink, err);
    }
    const int64_t total = part->rows * part->cols;
    const int64_t most = (int64_t)(sink->piece_bytes / od_dtype_size(info->dtype));
    for (int64_t first = 0; status == OD_OK && first < total; first += most) {
        const int64_t count = total - first < most ? total - first : most;
        void *buffer = sink->buffer(sink->context, err);
        if (!buffer) {
            return OD_E_IO;
        }
        status = od_safetensors_read_raw_part(st, info, first, count, buffer, err);
        if (status == OD_OK) {
            sink->put(sink->context, part, info->dtype, first, count);
        }
    }
    if (status == OD_OK) {
        status = sink->finish(sink->context, &bad, err);
    }
    if (status == OD_OK && bad > 0) {
        status = od_fail(err, OD_E_FORMAT, "'%s': tensor '%s' holds a value that is no number",
                         folder, part->name);
    }
    return status;
}

// Read a GGUF file into memory, or into a sink where there is one.
static enum od_status from_gguf(const struct od_program *program, const char *path,
                                float *const *tensors, const struct od_weight_sink *sink,
                                struct od_error *err)
{
    struct od_gguf *gguf = NULL;
    enum od_status status = od_gguf_open(path, &gguf, err);
    if (status == OD_OK) {
        status = sink ? od_weights_stream_gguf(program, sink, gguf, err)
                      : od_weights_read_gguf(program, tensors, gguf, err);
    }
    od_gguf_close(gguf);
    return status;
}

enum od_status od_weights_stream(const struct od_program *program, const char *folder,
                                 const struct od_weight_sink *sink, struct od_error *err)
{
    struct od_safetensors *st = NULL;
    if (od_gguf_is_path(folder)) {
        return from_gguf(program, folder, NULL, sink, err);
    }
    enum od_status status = open_weights(program, folder, &st, err);
    for (int32_t i = 0; status == OD_OK && i < program->weight_count; i++) {
        status = stream_part(st, program->weights, &program->weights[i], folder, sink, err);
    }
    od_safetensors_close(st);
    return status;
}

enum od_status od_weights_read(const struct od_program *program, float *const *tensors,
                               const char *folder, struct od_error *err)
{
    struct od_safetensors *st = NULL;
    if (od_gguf_is_path(folder)) {
        return from_gguf(program, folder, tensors, NULL, err);
    }
    enum od_status status = open_weights(program, folder, &st, err);
    if (status == OD_OK) {
        status =
            od_parts_read_open(st, program->weights, program->weight_count, tensors, folder, err);
    }
    od_safetensors_close(st);
    return status;
}

// How far fresh values of a part lie from 0; GPT-2's products into the residual less, by depth.
static double deviation_of(const struct od_spec *spec, const char *name)
{
    return spec->learned_positions && ends_with(name, "c_proj.weight")
               ? spec->init_std / sqrt(2.0 * (double)spec->layers)
               : spec->init_std;
}

void od_weights_init_values(const struct od_program *program, int32_t part, uint64_t seed,
                            int64_t first, int64_t count, float *to)
{
    const struct od_part *p = &program->weights[part];
    const uint32_t drawn_as = p->is_copy ? 0 : (uint32_t)part;
    const double deviation = deviation_of(&program->spec, p->name);
    const double constant = ends_with(p->name, ".bias") ? 0.0 : 1.0;
    for (int64_t j = 0; j < count; j += 2) {
        double a = constant;
        double b = constant;
        if (p->rank == 2) {
            od_normal_pair(od_philox_draw(seed, OD_STREAM_INIT, drawn_as, (uint64_t)(first + j)),
                           &a, &b);
            a *= deviation;
            b *= deviation;
        }
        to[j] = (float)a;
        if (j + 1 < count) {
            to[j + 1] = (float)b;
        }
    }
}

enum od_status od_weights_init_part(struct od_pool *pool, const struct od_program *program,
                                    int32_t part, uint64_t seed, float *to, struct od_error *err)
{
    const struct od_part *p = &program->weights[part];
    const int64_t count = p->rows * p->cols;
    float *drawn = p->transposed ? values_of(p, err) : to;
    if (!drawn) {
        return OD_E_MEMORY;
    }
    if (pool) {
        od_weights_init_pool(pool, program, part, seed, 0, count, drawn);
    } else {
        od_weights_init_values(program, part, seed, 0, count, drawn);
    }
    if (p->transposed) {
        transpose(drawn, p->cols, p->rows, to);
        od_free(drawn);
    }
    return OD_OK;
}

struct init {
    const struct od_program *program;
    int32_t part;
    uint64_t seed;
    int64_t first;
    float *to;
};

static void init_range(void *context, int64_t first, int64_t last, int thread)
{
    const struct init *work = context;
    (void)thread;
    od_weights_init_values(work->program, work->part, work->seed, work->first + first, last - first,
                           work->to + first);
}

void od_weights_init_pool(struct od_pool *pool, const struct od_program *program, int32_t part,
                          uint64_t seed, int64_t first, int64_t count, float *to)
{
    struct init work = {program, part, seed, first, to};
    od_pool_run(pool, count, INIT_GRAIN, init_range, &work);
}

enum od_status od_weights_init(const struct od_program *program, float *const *tensors,
                               uint64_t seed, struct od_error *err)
{
    enum od_status status = OD_OK;
    for (int32_t i = 0; status == OD_OK && i < program->weight_count; i++) {
        const struct od_part *part = &program->weights[i];
        const bool quantised = part->quant != OD_QUANT_NONE;
        float *to =
            quantised ? values_of(part, err) : tensors[part->tensor] + part->row * part->cols;
        if (!to) {
            return OD_E_MEMORY;
        }
        status = od_weights_init_part(NULL, program, i, seed, to, err);
        if (quantised && status == OD_OK) {
            status = od_quant_store(part, to, tensors, err);
        }
        if (quantised) {
            od_free(to);
        }
    }
    return status;
}

// B of an embedding's adapter, `count` values of it: normal(0, 1).
static void init_embedding(uint64_t seed, int32_t part, int64_t count, float *to)
{
    for (int64_t j = 0; j < count; j += 2) {
        double pair[2];
        od_normal_pair(od_philox_draw(seed, OD_STREAM_INIT + 1, (uint32_t)part, (uint64_t)j),
                       &pair[0], &pair[1]);
        to[j] = (float)pair[0];
        if (j + 1 < count) {
            to[j + 1] = (float)pair[1];
        }
    }
}

void od_adapters_init(const struct od_program *program, float *const *tensors, uint64_t seed)
{
    for (int32_t i = 0; i < program->adapter_count; i++) {
        const struct od_part *part = &program->adapters[i];
        float *to = tensors[part->tensor] + part->row * part->cols;
        const int64_t count = part->rows * part->cols;
        const bool is_a = strstr(part->name, ".lora_A.") != NULL;
        if (strstr(part->name, ".lora_embedding_B") != NULL) {
            init_embedding(seed, i, count, to);
            continue;
        }
        if (!is_a && !strstr(part->name, ".lora_B.") && !part->transposed) {
            continue;  // trained in full: starts as the base has it
        }
        const float bound = (float)(1.0 / sqrt((double)part->cols));
        for (int64_t j = 0; j < count; j++) {
            const struct od_philox draw =
                od_philox_draw(seed, OD_STREAM_INIT + 1, (uint32_t)i, (uint64_t)j);
            to[j] = is_a ? (2.0F * od_uniform_f32(draw.word[0]) - 1.0F) * bound : 0.0F;
        }
    }
}

// Parts as the writer wants them; without data where `tensors` is NULL.
static struct od_tensor_out *describe_parts(const struct od_part *parts, int32_t count,
                                            float *const *tensors, enum od_dtype dtype)
{
    struct od_tensor_out *out = od_alloc((size_t)count, sizeof *out);
    for (int32_t i = 0; out && i < count; i++) {
        const struct od_part *part = &parts[i];
        out[i] = (struct od_tensor_out){
            .name = part->name,
            .dtype = part->is_bytes ? OD_DTYPE_U8 : dtype,
            .rank = part->rank,
            .data = tensors ? tensors[part->tensor] + part->row * part->cols : NULL};
        if (part->is_bytes && tensors) {
            out[i].data = NULL;
            out[i].bytes = bytes_of(part, tensors);
        }
        if (part->rank == 1) {
            out[i].shape[0] = part->rows * part->cols;
        } else {
            out[i].shape[0] = part->transposed ? part->cols : part->rows;
            out[i].shape[1] = part->transposed ? part->rows : part->cols;
        }
    }
    return out;
}

static const struct od_text_pair written_by = {"format", "pt"};

// Copies of the parts that files hold transposed. @memory Gives: the `data` of those parts.
static enum od_status transpose_parts(const struct od_part *parts, int32_t count,
                                      float *const *tensors, struct od_tensor_out *out,
                                      struct od_error *err)
{
    for (int32_t i = 0; i < count; i++) {
        const struct od_part *part = &parts[i];
        if (part->transposed) {
            float *copy = values_of(part, err);
            if (!copy) {
                return OD_E_MEMORY;
            }
            transpose(tensors[part->tensor] + part->row * part->cols, part->rows, part->cols, copy);
            out[i].data = copy;
        }
    }
    return OD_OK;
}

enum od_status od_parts_write(const struct od_part *parts, int32_t count, float *const *tensors,
                              const char *path, enum od_dtype dtype, struct od_error *err)
{
    struct od_tensor_out *out = describe_parts(parts, count, tensors, dtype);
    if (!out) {
        return od_fail(err, OD_E_MEMORY, "no memory to write '%s'", path);
    }
    for (int32_t i = 0; i < count; i++) {
        out[i].data = parts[i].transposed ? NULL : out[i].data;
    }
    const struct od_safetensors_plan plan = {.path = path,
                                             .tensors = out,
                                             .count = (size_t)count,
                                             .metadata = &written_by,
                                             .metadata_count = 1};
    enum od_status status = transpose_parts(parts, count, tensors, out, err);
    if (status == OD_OK) {
        status = od_safetensors_write(&plan, err);
    }
    for (int32_t i = 0; i < count; i++) {
        if (parts[i].transposed) {
            od_free((void *)(uintptr_t)out[i].data);  // our own copy
        }
    }
    od_free(out);
    return status;
}

// A piece of a fresh matrix from the GPU.
static enum od_status draw_piece(struct od_gpu_draw *gpu, const struct init *work, int64_t count,
                                 struct od_error *err)
{
    const struct od_gpu_draw_range range = {
        .seed = work->seed,
        .stream = OD_STREAM_INIT,
        .step = (uint32_t)work->part,
        .first = work->first,
        .count = count,
        .deviation = deviation_of(&work->program->spec, work->program->weights[work->part].name)};
    return od_gpu_draw(gpu, &range, work->to, err);
}

enum od_status od_weights_init_file(struct od_pool *pool, struct od_gpu_draw *gpu,
                                    const struct od_program *program, uint64_t seed,
                                    const char *path, struct od_error *err)
{
    struct od_safetensors_writer *writer = NULL;
    struct od_tensor_out *out =
        describe_parts(program->weights, program->weight_count, NULL, OD_DTYPE_BF16);
    float *piece = od_alloc(OD_WEIGHTS_INIT_PIECE, sizeof *piece);
    enum od_status status = OD_OK;
    const struct od_safetensors_plan plan = {.path = path,
                                             .tensors = out,
                                             .count = (size_t)program->weight_count,
                                             .metadata = &written_by,
                                             .metadata_count = 1};
    if (out && piece) {
        status = od_safetensors_create(&plan, &writer, err);
    } else {
        status = od_fail(err, OD_E_MEMORY, "no memory to write '%s'", path);
    }
    for (int32_t i = 0; status == OD_OK && i < program->weight_count; i++) {
        const int64_t total = program->weights[i].rows * program->weights[i].cols;
        for (int64_t first = 0; status == OD_OK && first < total; first += OD_WEIGHTS_INIT_PIECE) {
            const int64_t count =
                total - first < OD_WEIGHTS_INIT_PIECE ? total - first : OD_WEIGHTS_INIT_PIECE;
            if (gpu && program->weights[i].rank == 2) {
                const struct init work = {program, i, seed, first, piece};
                status = draw_piece(gpu, &work, count, err);
            } else {
                od_weights_init_pool(pool, program, i, seed, first, count, piece);
            }
            if (status == OD_OK) {
                status = od_safetensors_put(writer, piece, count, err);
            }
        }
    }
    if (status == OD_OK) {
        status = od_safetensors_commit(writer, err);
        writer = NULL;
    }
    od_safetensors_abort(writer);
    od_free(piece);
    od_free(out);
    return status;
}

enum od_status od_parts_read(const struct od_part *parts, int32_t count, float *const *tensors,
                             const char *path, struct od_error *err)
{
    struct od_safetensors *st = NULL;
    enum od_status status = od_safetensors_open(path, &st, err);
    if (status == OD_OK && od_safetensors_count(st) != (size_t)count) {
        status = od_fail(err, OD_E_FORMAT, "'%s' holds %zu tensors, %d are expected", path,
                         od_safetensors_count(st), count);
    }
    if (status == OD_OK) {
        status = od_parts_read_open(st, parts, count, tensors, path, err);
    }
    od_safetensors_close(st);
    return status;
}
