// Weights of a model to a GGUF file and back.

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "formats/dtype.h"
#include "formats/ggml.h"
#include "formats/gguf.h"
#include "model/gguf_internal.h"
#include "model/gguf_model.h"
#include "model/program.h"
#include "model/spec.h"
#include "model/weights.h"
#include "ops/op.h"

enum { PIECE_VALUES = 1 << 20, PIECE_BYTES = 8 * PIECE_VALUES };

// Where the weights of a folder go.
struct sink {
    const struct od_spec *spec;
    struct od_gguf_writer *writer;
    unsigned char *piece;   // [PIECE_BYTES] as it is in the folder
    float *values;          // [PIECE_VALUES or more]
    float *turned;          // all of a weight whose rows change places; NULL for others
    uint64_t bad;           // values of the part that are no numbers
    enum od_status status;  // of the writing
    struct od_error error;
};

static void to_floats(enum od_dtype dtype, const unsigned char *bytes, int64_t count, float *out)
{
    const uint32_t type = dtype == OD_DTYPE_F16    ? OD_GGML_F16
                          : dtype == OD_DTYPE_BF16 ? OD_GGML_BF16
                                                   : OD_GGML_F32;
    od_ggml_to_f32(type, bytes, count, out);
}

static void *sink_buffer(void *context, struct od_error *err)
{
    struct sink *sink = context;
    if (sink->status != OD_OK) {
        if (err) {
            *err = sink->error;
        }
        return NULL;
    }
    return sink->piece;
}

static void put_values(struct sink *sink, const float *values, int64_t count)
{
    if (sink->status == OD_OK) {
        sink->status = od_gguf_put(sink->writer, values, count, &sink->error);
    }
}

// All of a weight is there: its rows in the order of the file.
static void put_turned(struct sink *sink, const struct od_part *part)
{
    for (int64_t row = 0; row < part->rows; row++) {
        put_values(sink, sink->turned + od_gguf_our_row(row, sink->spec->head_dim) * part->cols,
                   part->cols);
    }
    od_free(sink->turned);
    sink->turned = NULL;
}

static void sink_put(void *context, const struct od_part *part, enum od_dtype dtype, int64_t first,
                     int64_t count)
{
    struct sink *sink = context;
    const int64_t all = part->rows * part->cols;
    float *to = sink->values;
    if (od_gguf_turned_heads(sink->spec, part->name) > 0) {
        if (first == 0) {
            sink->turned = od_alloc((size_t)all, sizeof(float));
        }
        if (!sink->turned) {
            sink->status = od_fail(&sink->error, OD_E_MEMORY, "no memory for '%s'", part->name);
            return;
        }
        to = sink->turned + first;
    }
    to_floats(dtype, sink->piece, count, to);
    for (int64_t i = 0; i < count; i++) {
        sink->bad += isfinite(to[i]) ? 0 : 1;
    }
    if (!sink->turned) {
        put_values(sink, to, count);
    } else if (first + count == all) {
        put_turned(sink, part);
    }
}

static enum od_status sink_finish(void *context, uint64_t *ret_bad, struct od_error *err)
{
    struct sink *sink = context;
    *ret_bad = sink->bad;
    sink->bad = 0;
    if (sink->status != OD_OK && err) {
        *err = sink->error;
    }
    return sink->status;
}

// The tensors of the file, in the order of the program's parts. @memory Gives *ret: od_free.
static enum od_status describe(const struct od_program *program, uint32_t type,
                               struct od_gguf_out **ret, struct od_error *err)
{
    struct od_gguf_out *out = od_alloc((size_t)program->weight_count + 1, sizeof *out);
    if (!out) {
        return od_fail(err, OD_E_MEMORY, "no memory for the names of the weights");
    }
    for (int32_t i = 0; i < program->weight_count; i++) {
        const struct od_part *part = &program->weights[i];
        const struct od_ggml_info *info = od_ggml_info(type);
        if (!od_gguf_weight_name(part->name, out[i].name)) {
            od_free(out);
            return od_fail(err, OD_E_UNSUPPORTED, "weight '%s' has no name in GGUF files",
                           part->name);
        }
        out[i].rank = part->rank;
        out[i].shape[0] = part->rank == 1 ? part->rows * part->cols : part->rows;
        out[i].shape[1] = part->cols;
        const bool exact = part->rank == 1 || strcmp(out[i].name, OD_GGUF_POSITIONS) == 0;
        out[i].type = exact                           ? (uint32_t)OD_GGML_F32
                      : part->cols % info->block == 0 ? type
                                                      : (uint32_t)OD_GGML_F16;
    }
    // Behind the weights, where there are any.
    struct od_gguf_out *divisors = &out[program->weight_count];
    (void)snprintf(divisors->name, sizeof divisors->name, "%s", OD_GGUF_ROPE_DIVISORS);
    divisors->type = OD_GGML_F32;
    divisors->rank = 1;
    divisors->shape[0] = program->spec.head_dim / 2;
    *ret = out;
    return OD_OK;
}

// Whether a file has divisors of rotary frequencies beside the weights.
static bool has_divisors(const struct od_program *program)
{
    return program->spec.rope_scaling == OD_ROPE_LLAMA3;
}

static enum od_status put_divisors(const struct od_program *program, struct sink *sink,
                                   struct od_error *err)
{
    od_gguf_rope_divisors(&program->spec, sink->values);
    return od_gguf_put(sink->writer, sink->values, program->spec.head_dim / 2, err);
}

enum od_status od_weights_write_gguf(const struct od_program *program, const char *folder,
                                     const char *path, uint32_t type,
                                     const struct od_gguf_keys *keys, struct od_error *err)
{
    struct od_gguf_out *tensors = NULL;
    struct sink sink = {.spec = &program->spec, .status = OD_OK};
    const struct od_weight_sink weights = {.context = &sink,
                                           .piece_bytes = PIECE_BYTES,
                                           .buffer = sink_buffer,
                                           .put = sink_put,
                                           .finish = sink_finish};
    enum od_status status = describe(program, type, &tensors, err);
    sink.piece = od_alloc(PIECE_BYTES, 1);
    sink.values = od_alloc(PIECE_BYTES / 2, sizeof(float));  // elements have two bytes at least
    if (status == OD_OK && (!sink.piece || !sink.values)) {
        status = od_fail(err, OD_E_MEMORY, "no memory to write '%s'", path);
    }
    if (status == OD_OK) {
        const size_t count = (size_t)program->weight_count + (has_divisors(program) ? 1 : 0);
        status = od_gguf_create(path, keys, tensors, count, &sink.writer, err);
    }
    if (status == OD_OK) {
        status = od_weights_stream(program, folder, &weights, err);
    }
    if (status == OD_OK && has_divisors(program)) {
        status = put_divisors(program, &sink, err);
    }
    if (status == OD_OK) {
        status = od_gguf_commit(sink.writer, err);
        sink.writer = NULL;
    }
    od_gguf_abort(sink.writer);
    od_free(sink.turned);
    od_free(sink.values);
    od_free(sink.piece);
    od_free(tensors);
    return status;
}

static enum od_status find_part(const struct od_gguf *gguf, const struct od_part *part,
                                const struct od_gguf_tensor **ret, struct od_error *err)
{
    char name[OD_GGUF_NAME_MAX_BYTES + 1];
    const bool known = od_gguf_weight_name(part->name, name);
    const struct od_gguf_tensor *tensor =
        known ? od_gguf_find_tensor(gguf, part->is_copy ? OD_GGUF_EMBEDDING : name) : NULL;
    if (!tensor) {
        return od_fail(err, OD_E_FORMAT, "'%s': the tensor for '%s' is missing", od_gguf_name(gguf),
                       part->name);
    }
    const bool fits =
        part->rank == 1
            ? tensor->rank == 1 && tensor->shape[0] == part->rows * part->cols
            : tensor->rank == 2 && tensor->shape[0] == part->rows && tensor->shape[1] == part->cols;
    if (!fits) {
        return od_fail(err, OD_E_FORMAT,
                       "'%s': tensor '%s' does not fit the file's settings, which ask for [%" PRId64
                       ", %" PRId64 "]",
                       od_gguf_name(gguf), tensor->name, part->rows, part->cols);
    }
    *ret = tensor;
    return OD_OK;
}

// Rows of a weight from the file's order to ours.
static enum od_status turn_back(const struct od_spec *spec, const struct od_part *part,
                                float *values, struct od_error *err)
{
    const size_t count = (size_t)(part->rows * part->cols);
    float *copy = od_alloc(count, sizeof *copy);
    if (!copy) {
        return od_fail(err, OD_E_MEMORY, "no memory for '%s'", part->name);
    }
    memcpy(copy, values, count * sizeof *copy);
    for (int64_t row = 0; row < part->rows; row++) {
        memcpy(values + od_gguf_our_row(row, spec->head_dim) * part->cols, copy + row * part->cols,
               (size_t)part->cols * sizeof *copy);
    }
    od_free(copy);
    return OD_OK;
}

static enum od_status read_part(const struct od_gguf *gguf, const struct od_spec *spec,
                                const struct od_part *part, float *to, struct od_error *err)
{
    const struct od_gguf_tensor *tensor = NULL;
    enum od_status status = find_part(gguf, part, &tensor, err);
    if (status == OD_OK) {
        status = od_gguf_read_f32(gguf, tensor, to, err);
    }
    for (int64_t i = 0; status == OD_OK && i < part->rows * part->cols; i++) {
        if (!isfinite(to[i])) {
            return od_fail(err, OD_E_FORMAT, "'%s': tensor '%s' holds a value that is no number",
                           od_gguf_name(gguf), tensor->name);
        }
    }
    if (status == OD_OK && od_gguf_turned_heads(spec, part->name) > 0) {
        status = turn_back(spec, part, to, err);
    }
    return status;
}

// All values of a part. @memory Gives *ret: od_free.
static enum od_status values_of(const struct od_gguf *gguf, const struct od_spec *spec,
                                const struct od_part *part, float **ret, struct od_error *err)
{
    float *values = od_alloc((size_t)(part->rows * part->cols), sizeof *values);
    if (!values) {
        return od_fail(err, OD_E_MEMORY, "no memory for '%s'", part->name);
    }
    const enum od_status status = read_part(gguf, spec, part, values, err);
    if (status != OD_OK) {
        od_free(values);
        return status;
    }
    *ret = values;
    return OD_OK;
}

static enum od_status read_quantised(const struct od_gguf *gguf, const struct od_spec *spec,
                                     const struct od_part *part, float *const *tensors,
                                     struct od_error *err)
{
    float *values = NULL;
    enum od_status status = values_of(gguf, spec, part, &values, err);
    if (status == OD_OK) {
        status = od_quant_store(part, values, tensors, err);
    }
    od_free(values);
    return status;
}

// Behind the weights, every tensor of the file has been read.
static enum od_status check_count(const struct od_program *program, const struct od_gguf *gguf,
                                  struct od_error *err)
{
    const size_t known = (size_t)program->weight_count + (has_divisors(program) ? 1 : 0) -
                         (program->spec.head_copied ? 1 : 0);
    if (od_gguf_tensor_count(gguf) != known) {
        return od_fail(err, OD_E_UNSUPPORTED,
                       "'%s' holds %zu tensors, %zu of them belong to this model",
                       od_gguf_name(gguf), od_gguf_tensor_count(gguf), known);
    }
    return OD_OK;
}

enum od_status od_weights_read_gguf(const struct od_program *program, float *const *tensors,
                                    const struct od_gguf *gguf, struct od_error *err)
{
    enum od_status status = OD_OK;
    for (int32_t i = 0; i < program->weight_count && status == OD_OK; i++) {
        const struct od_part *part = &program->weights[i];
        status = part->quant == OD_QUANT_NONE
                     ? read_part(gguf, &program->spec, part,
                                 tensors[part->tensor] + part->row * part->cols, err)
                     : read_quantised(gguf, &program->spec, part, tensors, err);
    }
    return status == OD_OK ? check_count(program, gguf, err) : status;
}

enum od_status od_weights_stream_gguf(const struct od_program *program,
                                      const struct od_weight_sink *sink, const struct od_gguf *gguf,
                                      struct od_error *err)
{
    enum od_status status = OD_OK;
    for (int32_t i = 0; i < program->weight_count && status == OD_OK; i++) {
        const struct od_part *part = &program->weights[i];
        float *values = NULL;
        status = values_of(gguf, &program->spec, part, &values, err);
        if (status == OD_OK) {
            status = part->quant == OD_QUANT_NONE ? od_values_send(part, values, sink, err)
                                                  : od_quant_send(part, values, sink, err);
        }
        od_free(values);
    }
    return status == OD_OK ? check_count(program, gguf, err) : status;
}
