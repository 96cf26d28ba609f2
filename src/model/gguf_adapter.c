// Adapters to a GGUF file and back:
//
//   general.type "adapter"   general.architecture   adapter.type "lora"   adapter.lora.alpha
//   NAME.lora_a [r, columns of NAME]   NAME.lora_b [rows of NAME, r]
//
// What is added to a weight is alpha / r * B A. Of the table of embeddings the two are others:
//
//   token_embd.weight.lora_a [V, r]   token_embd.weight.lora_b [C, r]      alpha / r * A B^T
//
// A model whose head is that table has no matrices on either here: llama.cpp would take them for both.
//
// Source: the files that llama.cpp's converter of adapters writes.

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/threads.h"
#include "formats/ggml.h"
#include "formats/gguf.h"
#include "formats/safetensors.h"
#include "model/gguf_internal.h"
#include "model/gguf_model.h"
#include "model/program.h"
#include "model/spec.h"
#include "model/weights.h"

// The two matrices of a weight.
struct pair {
    const struct od_part *part;
    const struct od_tensor_info *a;
    const struct od_tensor_info *b;
    bool is_table;  // of the table of embeddings: `a` is written transposed
};

// An adapter folder, as it is written.
struct source {
    const struct od_program *program;
    struct od_adapter_config config;
    struct od_safetensors *st;
    struct pair *pairs;  // [count]
    size_t count;
};

// What an adapter's file has for a weight, `end` in place of its ".weight"; NULL: nothing.
static const struct od_tensor_info *find_end(const struct od_safetensors *st, const char *weight,
                                             const char *end)
{
    char name[OD_PART_NAME_BYTES + 64];
    const int stem = (int)(strlen(weight) - strlen(".weight"));
    (void)snprintf(name, sizeof name, "base_model.model.%.*s%s", stem, weight, end);
    return od_safetensors_find(st, name);
}

static struct pair pair_of(const struct od_safetensors *st, const struct od_part *part)
{
    const struct od_tensor_info *table = find_end(st, part->name, ".lora_embedding_A");
    struct pair pair = {.part = part, .is_table = table != NULL};
    pair.a = table ? table : find_end(st, part->name, ".lora_A.weight");
    pair.b = find_end(st, part->name, table ? ".lora_embedding_B" : ".lora_B.weight");
    return pair;
}

static bool has_shape(const struct od_tensor_info *info, int64_t rows, int64_t cols)
{
    return info && info->rank == 2 && info->shape[0] == rows && info->shape[1] == cols;
}

static enum od_status find_pairs(struct source *source, const char *path, struct od_error *err)
{
    const struct od_program *program = source->program;
    const int64_t r = source->config.r;
    size_t below = 0;  // weights that carry matrices: the base has them
    for (int32_t i = 0; i < program->weight_count; i++) {
        const struct od_part *part = &program->weights[i];
        const struct pair pair = pair_of(source->st, part);
        if (!pair.a && !pair.b) {
            continue;
        }
        if (!has_shape(pair.a, r, pair.is_table ? part->rows : part->cols) ||
            !has_shape(pair.b, pair.is_table ? part->cols : part->rows, r)) {
            return od_fail(err, OD_E_FORMAT, "'%s': the matrices for '%s' do not fit the model",
                           path, part->name);
        }
        if (program->spec.head_copied && (pair.is_table || part->is_copy)) {
            return od_fail(
                err, OD_E_UNSUPPORTED,
                "'%s' has matrices on '%s', and the model's head is its embedding, which "
                "an adapter in GGUF cannot tell apart: merge it first",
                path, part->name);
        }
        below += find_end(source->st, part->name, ".base_layer.weight") != NULL;
        source->pairs[source->count++] = pair;
    }
    if (source->count == 0 || source->count * 2 + below != od_safetensors_count(source->st)) {
        return od_fail(err, OD_E_FORMAT, "'%s': %zu of its %zu tensors belong to this model", path,
                       source->count * 2 + below, od_safetensors_count(source->st));
    }
    return OD_OK;
}

static enum od_status open_source(struct source *source, const char *folder, struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    const struct od_program *program = source->program;
    enum od_status status = od_adapter_config_read(folder, &source->config, err);
    if (status == OD_OK && source->config.saved != 0) {
        return od_fail(err, OD_E_UNSUPPORTED,
                       "'%s' has an embedding or a head of its own (modules_to_save), which an "
                       "adapter in GGUF cannot have: merge it first",
                       folder);
    }
    if (status == OD_OK) {
        status = od_path_join(path, folder, "adapter_model.safetensors", err);
    }
    if (status == OD_OK) {
        status = od_safetensors_open(path, &source->st, err);
    }
    source->pairs = od_alloc((size_t)program->weight_count, sizeof *source->pairs);
    if (status == OD_OK && !source->pairs) {
        status = od_fail(err, OD_E_MEMORY, "no memory for the adapter '%s'", folder);
    }
    return status == OD_OK ? find_pairs(source, path, err) : status;
}

// The transpose of values [rows, cols].
static enum od_status put_turned(const float *values, int64_t rows, int64_t cols,
                                 struct od_gguf_writer *writer, struct od_error *err)
{
    enum od_status status = OD_OK;
    float *row = od_alloc((size_t)rows, sizeof *row);
    if (!row) {
        return od_fail(err, OD_E_MEMORY, "no memory for a matrix of an adapter");
    }
    for (int64_t j = 0; j < cols && status == OD_OK; j++) {
        for (int64_t i = 0; i < rows; i++) {
            row[i] = values[i * cols + j];
        }
        status = od_gguf_put(writer, row, rows, err);
    }
    od_free(row);
    return status;
}

// B of a weight whose rows change places is written in the file's order, too.
static enum od_status put_side(const struct source *source, const struct pair *pair,
                               const struct od_tensor_info *info, struct od_gguf_writer *writer,
                               struct od_error *err)
{
    const struct od_spec *spec = &source->program->spec;
    float *values = od_alloc((size_t)info->count, sizeof *values);
    if (!values) {
        return od_fail(err, OD_E_MEMORY, "no memory for '%s'", info->name);
    }
    enum od_status status = od_safetensors_read_f32(source->st, info, values, err);
    for (int64_t i = 0; i < info->count && status == OD_OK; i++) {
        if (!isfinite(values[i])) {
            status = od_fail(err, OD_E_FORMAT, "tensor '%s' holds a value that is no number",
                             info->name);
        }
    }
    if (status == OD_OK && info == pair->b && od_gguf_turned_heads(spec, pair->part->name) > 0) {
        for (int64_t row = 0; row < info->shape[0] && status == OD_OK; row++) {
            status =
                od_gguf_put(writer, values + od_gguf_our_row(row, spec->head_dim) * info->shape[1],
                            info->shape[1], err);
        }
    } else if (status == OD_OK && info == pair->a && pair->is_table) {
        status = put_turned(values, info->shape[0], info->shape[1], writer, err);
    } else if (status == OD_OK) {
        status = od_gguf_put(writer, values, info->count, err);
    }
    od_free(values);
    return status;
}

static enum od_status describe(const struct source *source, uint32_t type, struct od_gguf_out *out,
                               struct od_error *err)
{
    for (size_t i = 0; i < source->count; i++) {
        const struct pair *pair = &source->pairs[i];
        char name[OD_GGUF_NAME_MAX_BYTES + 1];
        if (!od_gguf_weight_name(pair->part->name, name) ||
            strlen(name) + strlen(".lora_a") > OD_GGUF_NAME_MAX_BYTES) {
            return od_fail(err, OD_E_UNSUPPORTED, "weight '%s' has no name in GGUF files",
                           pair->part->name);
        }
        for (int side = 0; side < 2; side++) {
            const struct od_tensor_info *info = side == 0 ? pair->a : pair->b;
            struct od_gguf_out *tensor = &out[2 * i + (size_t)side];
            (void)snprintf(tensor->name, sizeof tensor->name, "%.55s.lora_%c", name,
                           side == 0 ? 'a' : 'b');
            tensor->type = type;
            tensor->rank = 2;
            const bool turned = side == 0 && pair->is_table;
            tensor->shape[0] = info->shape[turned ? 1 : 0];
            tensor->shape[1] = info->shape[turned ? 0 : 1];
        }
    }
    return OD_OK;
}

static enum od_status write_source(const struct source *source, const char *path, uint32_t type,
                                   struct od_error *err)
{
    struct od_gguf_keys keys;
    struct od_gguf_writer *writer = NULL;
    struct od_gguf_out *tensors = od_alloc(2 * source->count, sizeof *tensors);
    const char *architecture = od_gguf_architecture(&source->program->spec);
    enum od_status status =
        tensors ? OD_OK : od_fail(err, OD_E_MEMORY, "no memory to write '%s'", path);
    if (!architecture) {
        od_free(tensors);
        return od_fail(err, OD_E_UNSUPPORTED, "adapters of family '%s' are not written as GGUF",
                       source->program->spec.family);
    }
    const float scale = od_adapter_scale(&source->config);
    od_gguf_keys_init(&keys);
    od_gguf_put_text(&keys, "general.architecture", architecture);
    od_gguf_put_text(&keys, "general.type", "adapter");
    od_gguf_put_text(&keys, "adapter.type", "lora");
    od_gguf_put_f32(&keys, "adapter.lora.alpha", scale * (float)source->config.r);
    if (status == OD_OK) {
        status = describe(source, type, tensors, err);
    }
    if (status == OD_OK) {
        status = od_gguf_create(path, &keys, tensors, 2 * source->count, &writer, err);
    }
    for (size_t i = 0; i < source->count && status == OD_OK; i++) {
        const struct pair *pair = &source->pairs[i];
        status = put_side(source, pair, pair->a, writer, err);
        if (status == OD_OK) {
            status = put_side(source, pair, pair->b, writer, err);
        }
    }
    if (status == OD_OK) {
        status = od_gguf_commit(writer, err);
        writer = NULL;
    }
    od_gguf_abort(writer);
    od_gguf_keys_release(&keys);
    od_free(tensors);
    return status;
}

enum od_status od_adapter_write_gguf(const struct od_program *program, const char *folder,
                                     const char *path, uint32_t type, struct od_error *err)
{
    struct source source = {.program = program};
    enum od_status status = OD_OK;
    if (type == OD_GGML_Q8_0) {
        return od_fail(err, OD_E_UNSUPPORTED,
                       "adapters are written as f32, f16 or bf16, not as q8_0");
    }
    status = open_source(&source, folder, err);
    if (status == OD_OK) {
        status = write_source(&source, path, type, err);
    }
    od_free(source.pairs);
    od_safetensors_close(source.st);
    return status;
}

// A file of an adapter that is open.
struct lora {
    const struct od_gguf *gguf;
    float alpha;
};

static enum od_status read_lora(const struct od_gguf *gguf, struct lora *lora, struct od_error *err)
{
    const char *type = NULL;
    const char *kind = NULL;
    double alpha = 0;
    lora->gguf = gguf;
    enum od_status status = od_gguf_text_or(gguf, "general.type", "", &type, err);
    if (status == OD_OK) {
        status = od_gguf_text_or(lora->gguf, "adapter.type", "", &kind, err);
    }
    if (status == OD_OK) {
        status = od_gguf_number_or(lora->gguf, "adapter.lora.alpha", 0, &alpha, err);
    }
    if (status == OD_OK && (strcmp(type, "adapter") != 0 || strcmp(kind, "lora") != 0 ||
                            !(fabs(alpha) > 0) || !isfinite(alpha))) {
        status =
            od_fail(err, OD_E_FORMAT, "'%s' is no LoRA adapter with an alpha", od_gguf_name(gguf));
    }
    lora->alpha = (float)alpha;
    return status;
}

// The matrices of the file for one weight; false when it has none.
static bool find_pair(const struct lora *lora, const struct od_part *part,
                      const struct od_gguf_tensor *ret_sides[2])
{
    char name[OD_GGUF_NAME_MAX_BYTES + 1];
    char side[OD_GGUF_NAME_MAX_BYTES + 16];
    if (!od_gguf_weight_name(part->name, name)) {
        return false;
    }
    for (int i = 0; i < 2; i++) {
        (void)snprintf(side, sizeof side, "%s.lora_%c", name, i == 0 ? 'a' : 'b');
        ret_sides[i] = od_gguf_find_tensor(lora->gguf, side);
    }
    return ret_sides[0] || ret_sides[1];
}

static bool is_table(const struct od_part *part)
{
    char name[OD_GGUF_NAME_MAX_BYTES + 1];
    return od_gguf_weight_name(part->name, name) && strcmp(name, OD_GGUF_EMBEDDING) == 0;
}

// Rank of a pair that was read: that of the table is [V, r] and [C, r].
static int64_t rank_of(const struct od_part *part, const struct od_gguf_tensor *const sides[2])
{
    return sides[0]->shape[is_table(part) ? 1 : 0];
}

// The pair of the table of embeddings, as an adapter's layer has it. The caller frees what is in `layer`.
static enum od_status read_table(const struct lora *lora, const struct od_spec *spec,
                                 const struct od_part *part,
                                 const struct od_gguf_tensor *const sides[2],
                                 struct od_adapter_layer *layer, struct od_error *err)
{
    const struct od_gguf_tensor *a = sides[0];
    const struct od_gguf_tensor *b = sides[1];
    const bool fits = a && b && a->rank == 2 && b->rank == 2 && a->shape[0] == part->rows &&
                      b->shape[0] == part->cols && a->shape[1] == b->shape[1];
    if (spec->tied || spec->head_copied) {
        return od_fail(err, OD_E_UNSUPPORTED,
                       "'%s' has matrices on the embedding, which is this model's head, too",
                       od_gguf_name(lora->gguf));
    }
    if (!fits) {
        return od_fail(err, OD_E_FORMAT, "'%s': the matrices for '%s' do not fit the model",
                       od_gguf_name(lora->gguf), part->name);
    }
    const int64_t r = a->shape[1];
    float *file_b = od_alloc((size_t)b->count, sizeof *file_b);
    *layer = (struct od_adapter_layer){
        .tensor = part->tensor, .row = part->row, .rows = part->rows, .k = part->cols};
    layer->a = od_alloc((size_t)b->count, sizeof *layer->a);
    layer->b = od_alloc((size_t)a->count, sizeof *layer->b);
    enum od_status status = file_b && layer->a && layer->b
                                ? OD_OK
                                : od_fail(err, OD_E_MEMORY, "no memory for '%s'", part->name);
    if (status == OD_OK) {
        status = od_gguf_read_f32(lora->gguf, a, layer->b, err);
    }
    if (status == OD_OK) {
        status = od_gguf_read_f32(lora->gguf, b, file_b, err);
    }
    for (int64_t i = 0; i < part->cols * r && status == OD_OK; i++) {
        layer->a[i % r * part->cols + i / r] = file_b[i];
    }
    od_free(file_b);
    return status;
}

// Read one weight's pair; B's rows are put into our order. The caller frees what is in `layer`.
static enum od_status read_pair(const struct lora *lora, const struct od_spec *spec,
                                const struct od_part *part,
                                const struct od_gguf_tensor *const sides[2],
                                struct od_adapter_layer *layer, struct od_error *err)
{
    const struct od_gguf_tensor *a = sides[0];
    const struct od_gguf_tensor *b = sides[1];
    if (is_table(part)) {
        return read_table(lora, spec, part, sides, layer, err);
    }
    const bool fits = a && b && a->rank == 2 && b->rank == 2 && a->shape[1] == part->cols &&
                      b->shape[0] == part->rows && a->shape[0] == b->shape[1];
    if (!fits) {
        return od_fail(err, OD_E_FORMAT, "'%s': the matrices for '%s' do not fit the model",
                       od_gguf_name(lora->gguf), part->name);
    }
    const int64_t r = a->shape[0];
    float *file_b = od_alloc((size_t)b->count, sizeof *file_b);
    *layer = (struct od_adapter_layer){
        .tensor = part->tensor, .row = part->row, .rows = part->rows, .k = part->cols};
    layer->a = od_alloc((size_t)a->count, sizeof *layer->a);
    layer->b = od_alloc((size_t)b->count, sizeof *layer->b);
    enum od_status status = file_b && layer->a && layer->b
                                ? OD_OK
                                : od_fail(err, OD_E_MEMORY, "no memory for '%s'", part->name);
    if (status == OD_OK) {
        status = od_gguf_read_f32(lora->gguf, a, layer->a, err);
    }
    if (status == OD_OK) {
        status = od_gguf_read_f32(lora->gguf, b, file_b, err);
    }
    const bool turned = od_gguf_turned_heads(spec, part->name) > 0;
    for (int64_t row = 0; row < part->rows && status == OD_OK; row++) {
        const int64_t to = turned ? od_gguf_our_row(row, spec->head_dim) : row;
        memcpy(layer->b + to * r, file_b + row * r, (size_t)r * sizeof *file_b);
    }
    od_free(file_b);
    return status;
}

static enum od_status check_used(const struct lora *lora, size_t used, struct od_error *err)
{
    if (used != od_gguf_tensor_count(lora->gguf)) {
        return od_fail(err, OD_E_FORMAT, "'%s': %zu of its %zu tensors belong to this model",
                       od_gguf_name(lora->gguf), used, od_gguf_tensor_count(lora->gguf));
    }
    return OD_OK;
}

enum od_status od_adapter_merge_gguf(struct od_pool *pool, const struct od_program *program,
                                     float *const *tensors, const char *path, struct od_error *err)
{
    struct od_gguf *gguf = NULL;
    struct lora lora = {.gguf = NULL};
    size_t used = 0;
    enum od_status status = od_gguf_open(path, &gguf, err);
    if (status == OD_OK) {
        status = read_lora(gguf, &lora, err);
    }
    for (int32_t i = 0; i < program->weight_count && status == OD_OK; i++) {
        const struct od_part *part = &program->weights[i];
        const struct od_gguf_tensor *sides[2] = {NULL, NULL};
        struct od_adapter_layer layer = {0};
        if (!find_pair(&lora, part, sides)) {
            continue;
        }
        used += 2;
        status = read_pair(&lora, &program->spec, part, sides, &layer, err);
        if (status == OD_OK) {
            const int64_t r = rank_of(part, sides);
            status = od_adapter_add(pool, tensors[part->tensor] + part->row * part->cols, layer.a,
                                    layer.b, part->rows, part->cols, r,
                                    (double)(lora.alpha / (float)r), err);
        }
        od_free(layer.a);
        od_free(layer.b);
    }
    if (status == OD_OK) {
        status = check_used(&lora, used, err);
    }
    od_gguf_close(gguf);
    return status;
}

// The pairs of all weights, which have one rank in common.
static enum od_status read_pairs(const struct lora *lora, const struct od_program *program,
                                 struct od_adapter *adapter, struct od_error *err)
{
    enum od_status status = OD_OK;
    size_t used = 0;
    for (int32_t i = 0; i < program->weight_count && status == OD_OK; i++) {
        const struct od_part *part = &program->weights[i];
        const struct od_gguf_tensor *sides[2] = {NULL, NULL};
        if (!find_pair(lora, part, sides)) {
            continue;
        }
        used += 2;
        status = read_pair(lora, &program->spec, part, sides,
                           &adapter->layers[adapter->layer_count++], err);
        const int64_t r = status == OD_OK ? rank_of(part, sides) : 0;
        if (status == OD_OK && adapter->r != 0 && r != adapter->r) {
            status = od_fail(err, OD_E_UNSUPPORTED,
                             "'%s' has matrices of rank %lld and of rank %lld: merge it",
                             od_gguf_name(lora->gguf), (long long)adapter->r, (long long)r);
        }
        adapter->r = r;
    }
    return status == OD_OK ? check_used(lora, used, err) : status;
}

enum od_status od_adapter_read_gguf(const struct od_program *program, const struct od_gguf *gguf,
                                    struct od_adapter *ret, struct od_error *err)
{
    struct lora lora = {.gguf = NULL};
    struct od_adapter adapter = {0};
    enum od_status status = read_lora(gguf, &lora, err);
    if (status == OD_OK) {
        adapter.layers = od_alloc((size_t)program->weight_count, sizeof *adapter.layers);
        status = adapter.layers
                     ? OD_OK
                     : od_fail(err, OD_E_MEMORY, "no memory for '%s'", od_gguf_name(gguf));
    }
    if (status == OD_OK) {
        status = read_pairs(&lora, program, &adapter, err);
    }
    if (status == OD_OK && adapter.layer_count == 0) {
        status = od_fail(err, OD_E_FORMAT, "'%s' has no matrices", od_gguf_name(gguf));
    }
    if (status == OD_OK) {
        adapter.scale = lora.alpha / (float)adapter.r;
        *ret = adapter;
        adapter = (struct od_adapter){0};
    }
    od_adapter_release(&adapter);
    return status;
}

enum od_status od_adapter_open_gguf(const struct od_program *program, const char *path,
                                    struct od_adapter *ret, struct od_error *err)
{
    struct od_gguf *gguf = NULL;
    enum od_status status = od_gguf_open(path, &gguf, err);
    if (status == OD_OK) {
        status = od_adapter_read_gguf(program, gguf, ret, err);
    }
    od_gguf_close(gguf);
    return status;
}
