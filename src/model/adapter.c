// Adapters in PEFT's layout: what their config says, and adding them to base weights.

#include <jansson.h>
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
#include "formats/dtype.h"
#include "formats/gguf.h"
#include "formats/json.h"
#include "formats/safetensors.h"
#include "model/program.h"
#include "model/spec.h"
#include "model/weights.h"
#include "model/weights_internal.h"
#include "ops/adamw/rounding.h"
#include "ops/op.h"

static enum od_status read_targets(const json_t *config, const char *path, unsigned *ret,
                                   struct od_error *err)
{
    const json_t *modules = json_object_get(config, "target_modules");
    size_t i;
    const json_t *module;
    *ret = 0;
    if (json_is_string(modules) && strcmp(json_string_value(modules), "all-linear") == 0) {
        *ret = OD_TARGET_ALL | OD_TARGET_ALL_GPT2;
        return OD_OK;
    }
    json_array_foreach(modules, i, module)
    {
        const char *name = json_string_value(module);
        const unsigned bit = name ? od_target_bit(name) : 0;
        if (bit == 0) {
            return od_fail(err, OD_E_UNSUPPORTED, "'%s': target module '%.60s' is not known", path,
                           name ? name : "?");
        }
        *ret |= bit;
    }
    if (*ret == 0) {
        return od_fail(err, OD_E_FORMAT, "'%s': no 'target_modules'", path);
    }
    return OD_OK;
}

static enum od_status read_saved(const json_t *config, const char *path, unsigned *ret,
                                 struct od_error *err)
{
    const json_t *modules = json_object_get(config, "modules_to_save");
    unsigned saved = 0;
    for (size_t i = 0; i < json_array_size(modules); i++) {
        const char *name = json_string_value(json_array_get(modules, i));
        const char *dot = name ? strrchr(name, '.') : NULL;  // "model.embed_tokens", too
        const unsigned bit = name ? od_saved_bit(dot ? dot + 1 : name) : 0;
        if (bit == 0) {
            return od_fail(err, OD_E_UNSUPPORTED,
                           "'%s': 'modules_to_save' has '%.60s': only %s and %s are known", path,
                           name ? name : "?", od_saved_name(0), od_saved_name(1));
        }
        saved |= bit;
    }
    *ret = saved;
    return OD_OK;
}

static enum od_status add_layer(const json_t *layer, const char *path, struct od_layer_set *set,
                                struct od_error *err)
{
    const json_int_t index = json_is_integer(layer) ? json_integer_value(layer) : -1;
    if (index < 0 || index >= OD_SPEC_LAYERS_MAX) {
        return od_fail(err, OD_E_FORMAT,
                       "'%s': 'layers_to_transform' must be numbers of layers, 0 to %d", path,
                       OD_SPEC_LAYERS_MAX - 1);
    }
    od_layer_set_add(set, index);
    return OD_OK;
}

// A list, one layer, or null for all.
static enum od_status read_layers(const json_t *config, const char *path, struct od_layer_set *ret,
                                  struct od_error *err)
{
    const json_t *layers = json_object_get(config, "layers_to_transform");
    struct od_layer_set set = {0};
    enum od_status status = OD_OK;
    if (layers && !json_is_null(layers) && !json_is_array(layers)) {
        status = add_layer(layers, path, &set, err);
    }
    for (size_t i = 0; status == OD_OK && i < json_array_size(layers); i++) {
        status = add_layer(json_array_get(layers, i), path, &set, err);
    }
    if (status == OD_OK) {
        *ret = set;
    }
    return status;
}

enum od_status od_adapter_config_read(const char *folder, struct od_adapter_config *ret,
                                      struct od_error *err)
{
    struct od_adapter_config config = {0};
    char path[OD_PATH_MAX_BYTES];
    json_t *json = NULL;
    const char *type;
    const char *base;
    enum od_status status = od_path_join(path, folder, "adapter_config.json", err);

    if (status == OD_OK) {
        status = od_json_read(path, &json, err);
    }
    if (status != OD_OK || (status = od_json_text(json, "peft_type", path, &type, err)) != OD_OK ||
        (status = od_json_int(json, "r", path, &config.r, err)) != OD_OK ||
        (status = od_json_number_or(json, "lora_alpha", path, 8.0, &config.alpha, err)) != OD_OK ||
        (status = od_json_number_or(json, "lora_dropout", path, 0.0, &config.dropout, err)) !=
            OD_OK ||
        (status = od_json_bool_or(json, "use_rslora", path, false, &config.rslora, err)) != OD_OK ||
        (status = od_json_text_or(json, "base_model_name_or_path", path, "", &base, err)) !=
            OD_OK ||
        (status = read_targets(json, path, &config.targets, err)) != OD_OK ||
        (status = read_layers(json, path, &config.layers, err)) != OD_OK ||
        (status = read_saved(json, path, &config.saved, err)) != OD_OK ||
        (status = od_json_bool_or(json, "ensure_weight_tying", path, false, &config.tied, err)) !=
            OD_OK) {
        goto done;
    }
    if (strcmp(type, "LORA") != 0) {
        status = od_fail(err, OD_E_UNSUPPORTED,
                         "'%s': adapter type '%.60s' is not known, only LORA", path, type);
        goto done;
    }
    if (config.r < 1 || config.r > OD_SPEC_CHANNELS_MAX) {
        status =
            od_fail(err, OD_E_LIMIT, "'%s': rank %lld is not possible", path, (long long)config.r);
        goto done;
    }
    (void)snprintf(config.base_model, sizeof config.base_model, "%s", base);
    *ret = config;

done:
    json_decref(json);
    return status;
}

// Without the list PEFT would put matrices on every layer.
static void write_layers(struct od_json_writer *w, const struct od_layer_set *set)
{
    if (od_layer_set_last(set) < 0) {
        return;
    }
    od_json_key(w, "layers_to_transform");
    od_json_array_begin(w);
    for (int64_t i = 0; i <= od_layer_set_last(set); i++) {
        if (od_layer_set_names(set, i)) {
            od_json_put_int(w, i);
        }
    }
    od_json_array_end(w);
}

static void write_saved(struct od_json_writer *w, const struct od_adapter_config *config)
{
    if (config->saved == 0) {
        return;
    }
    od_json_key(w, "modules_to_save");
    od_json_array_begin(w);
    for (int i = 0; i < OD_SAVED_NAMES; i++) {
        if ((config->saved & (1u << i)) != 0) {
            od_json_put_text(w, i == 0 && config->embedding ? config->embedding : od_saved_name(i));
        }
    }
    od_json_array_end(w);
    if (config->tied) {
        od_json_member_bool(w, "ensure_weight_tying", true);
    }
}

enum od_status od_adapter_config_write(const struct od_adapter_config *config, const char *folder,
                                       struct od_error *err)
{
    struct od_buf buf;
    struct od_json_writer w;
    char path[OD_PATH_MAX_BYTES];
    od_buf_init(&buf, 1 << 20);
    od_json_writer_init(&w, &buf, OD_JSON_INDENT_2, true);
    od_json_object_begin(&w);
    od_json_member_text(&w, "peft_type", "LORA");
    od_json_member_text(&w, "task_type", "CAUSAL_LM");
    od_json_member_text(&w, "base_model_name_or_path", config->base_model);
    od_json_member_int(&w, "r", config->r);
    od_json_member_number(&w, "lora_alpha", config->alpha);
    od_json_member_number(&w, "lora_dropout", config->dropout);
    od_json_member_text(&w, "bias", "none");
    od_json_member_bool(&w, "fan_in_fan_out", (config->targets & OD_TARGET_ALL_GPT2) != 0);
    od_json_member_bool(&w, "inference_mode", true);
    od_json_member_bool(&w, "use_rslora", config->rslora);
    od_json_key(&w, "target_modules");
    od_json_array_begin(&w);
    for (int i = 0; i < OD_TARGET_NAMES; i++) {
        if ((config->targets & (1u << i)) != 0) {
            od_json_put_text(&w, od_target_name(i));
        }
    }
    od_json_array_end(&w);
    write_layers(&w, &config->layers);
    write_saved(&w, config);
    od_json_object_end(&w);
    od_buf_putc(&buf, '\n');
    enum od_status status = od_buf_check(&buf, err);
    if (status == OD_OK) {
        status = od_path_join(path, folder, "adapter_config.json", err);
    }
    if (status == OD_OK) {
        status = od_file_write(path, od_buf_text(&buf), buf.size, err);
    }
    od_buf_release(&buf);
    return status;
}

enum od_status od_adapter_untie(const char *folder, struct od_spec *spec, struct od_error *err)
{
    struct od_adapter_config config;
    if (!spec->tied || od_gguf_is_path(folder)) {
        return OD_OK;
    }
    const enum od_status status = od_adapter_config_read(folder, &config, err);
    if (status == OD_OK &&
        (config.saved != 0 || (config.targets & od_spec_outer_targets(spec)) != 0)) {
        od_spec_untie(spec);
    }
    return status;
}

float od_adapter_scale(const struct od_adapter_config *config)
{
    const double r = (double)config->r;
    return (float)(config->alpha / (config->rslora ? sqrt(r) : r));
}

enum { MERGE_COLS = 128, MERGE_LANES = 8 };

struct merge {
    float *w;
    const float *a;
    const float *b;
    int64_t k;
    int64_t r;
    double scale;
    double *room;  // [threads][r][MERGE_COLS]: columns of A in double
};

// MERGE_LANES elements of a row of W. `a`: their columns, [r][MERGE_COLS].
static void merge_lanes(float *w, const double *a, const float *b, int64_t r, double scale)
{
    typedef double pair __attribute__((vector_size(16)));
    pair sum[MERGE_LANES / 2] = {{0.0}};
    for (int64_t q = 0; q < r; q++, a += MERGE_COLS) {
        const pair x = {(double)b[q], (double)b[q]};
#pragma GCC unroll 4
        for (int i = 0; i < MERGE_LANES / 2; i++) {
            pair column;
            memcpy(&column, a + (ptrdiff_t)2 * i, sizeof column);
            sum[i] += x * column;
        }
    }
    for (int i = 0; i < MERGE_LANES; i++) {
        w[i] = (float)((double)w[i] + scale * sum[i / 2][i % 2]);
    }
}

static void merge_rows(void *context, int64_t first, int64_t last, int thread)
{
    const struct merge *m = context;
    double *room = m->room + (int64_t)thread * m->r * MERGE_COLS;
    for (int64_t j = 0; j < m->k; j += MERGE_COLS) {
        const int64_t cols = m->k - j < MERGE_COLS ? m->k - j : MERGE_COLS;
        for (int64_t q = 0; q < m->r; q++) {
            for (int64_t i = 0; i < MERGE_COLS; i++) {
                room[q * MERGE_COLS + i] = i < cols ? (double)m->a[q * m->k + j + i] : 0.0;
            }
        }
        for (int64_t row = first; row < last; row++) {
            float *w = m->w + row * m->k + j;
            const float *b = m->b + row * m->r;
            int64_t i = 0;
            for (; i + MERGE_LANES <= cols; i += MERGE_LANES) {
                merge_lanes(w + i, room + i, b, m->r, m->scale);
            }
            if (i < cols) {
                float rest[MERGE_LANES] = {0.0F};
                memcpy(rest, w + i, (size_t)(cols - i) * sizeof *rest);
                merge_lanes(rest, room + i, b, m->r, m->scale);
                memcpy(w + i, rest, (size_t)(cols - i) * sizeof *rest);
            }
        }
    }
}

enum od_status od_adapter_add(struct od_pool *pool, float *w, const float *a, const float *b,
                              int64_t rows, int64_t k, int64_t r, double scale,
                              struct od_error *err)
{
    int64_t room;
    if (!od_count_mul(od_pool_threads(pool), r, &room) || !od_count_mul(room, MERGE_COLS, &room)) {
        return od_fail(err, OD_E_LIMIT, "rank %lld is too large to merge", (long long)r);
    }
    struct merge merge = {.w = w, .a = a, .b = b, .k = k, .r = r, .scale = scale};
    merge.room = od_alloc((size_t)room, sizeof *merge.room);
    if (!merge.room) {
        return od_fail(err, OD_E_MEMORY, "no memory to merge an adapter of rank %lld",
                       (long long)r);
    }
    od_pool_run(pool, rows, 1, merge_rows, &merge);
    od_free(merge.room);
    return OD_OK;
}

// The bit of a module that a weight's name ends in: "model.embed_tokens.weight"; 0: none.
static unsigned saved_of(const struct od_part *part)
{
    char module[OD_PART_NAME_BYTES];
    const size_t stem = strlen(part->name) - strlen(".weight");
    (void)snprintf(module, sizeof module, "%.*s", (int)stem, part->name);
    const char *dot = strrchr(module, '.');
    return od_saved_bit(dot ? dot + 1 : module);
}

// An adapter's file while it is read.
struct reader {
    const struct od_safetensors *st;
    const char *path;
    int64_t r;
    size_t used;  // tensors that belong to the model
};

// The name of what an adapter has for a weight, "model.norm.weight", in place of its ".weight".
static void name_of(const struct od_part *part, const char *end, char out[OD_PART_NAME_BYTES])
{
    const size_t stem = strlen(part->name) - strlen(".weight");
    (void)snprintf(out, OD_PART_NAME_BYTES, "base_model.model.%.*s%s", (int)stem, part->name, end);
}

// A matrix [rows, cols] of a weight; where the file has none and need not, *ret stays.
static enum od_status read_matrix(struct reader *in, const struct od_part *part, const char *end,
                                  bool transposed, int64_t rows, int64_t cols, bool optional,
                                  float **ret, struct od_error *err)
{
    struct od_part matrix = {.rank = 2, .rows = rows, .cols = cols, .transposed = transposed};
    name_of(part, end, matrix.name);
    if (optional && !od_safetensors_find(in->st, matrix.name)) {
        return OD_OK;
    }
    *ret = od_alloc((size_t)(rows * cols), sizeof **ret);
    if (!*ret) {
        return od_fail(err, OD_E_MEMORY, "no memory for '%s'", in->path);
    }
    in->used++;
    return od_parts_read_open(in->st, &matrix, 1, ret, in->path, err);
}

// What the adapter has for one weight: the weight itself, as `full` says, and the two matrices. PEFT
// writes the weight below an adapter of embedding or head, too: it is what these were trained on.
static enum od_status read_layer(struct reader *in, const struct od_part *part, bool full,
                                 bool optional, struct od_adapter_layer *layer,
                                 struct od_error *err)
{
    const int64_t r = in->r;
    char name[OD_PART_NAME_BYTES];
    enum od_status status = OD_OK;
    *layer = (struct od_adapter_layer){
        .tensor = part->tensor, .row = part->row, .rows = part->rows, .k = part->cols};
    status = read_matrix(in, part, full ? ".weight" : ".base_layer.weight", false, part->rows,
                         part->cols, !full || optional, &layer->full, err);
    name_of(part, ".lora_embedding_A", name);
    const bool turned = od_safetensors_find(in->st, name) != NULL;
    name_of(part, ".lora_A.weight", name);
    if (status != OD_OK || (!turned && !od_safetensors_find(in->st, name))) {
        return status;
    }
    status = read_matrix(in, part, turned ? ".lora_embedding_B" : ".lora_A.weight", turned, r,
                         part->cols, false, &layer->a, err);
    return status == OD_OK ? read_matrix(in, part, turned ? ".lora_embedding_A" : ".lora_B.weight",
                                         turned, part->rows, r, false, &layer->b, err)
                           : status;
}

// All that the adapter has for the weights of a program.
static enum od_status read_layers_of(struct reader *in, const struct od_program *program,
                                     const struct od_adapter_config *config,
                                     struct od_adapter *adapter, struct od_error *err)
{
    enum od_status status = OD_OK;
    for (int32_t i = 0; i < program->weight_count && status == OD_OK; i++) {
        const struct od_part *part = &program->weights[i];
        struct od_adapter_layer *layer = &adapter->layers[adapter->layer_count];
        const unsigned module = part->rank == 2 ? saved_of(part) : 0;
        const bool copy = config->tied && module == OD_SAVED_HEAD;  // as the embedding is
        if (part->rank == 2) {
            status = read_layer(in, part, copy || (module & config->saved) != 0, copy, layer, err);
            adapter->layer_count += layer->a || layer->b || layer->full;
        }
    }
    if (status == OD_OK && in->used != od_safetensors_count(in->st)) {
        status = od_fail(err, OD_E_FORMAT,
                         "'%s': %zu of its %zu tensors belong to no layer of this model", in->path,
                         od_safetensors_count(in->st) - in->used, od_safetensors_count(in->st));
    }
    return status;
}

enum od_status od_adapter_open(const struct od_program *program, const char *folder,
                               struct od_adapter *ret, struct od_error *err)
{
    enum od_status status = OD_OK;
    struct od_adapter_config config;
    struct od_adapter adapter = {0};
    struct od_safetensors *st = NULL;
    struct reader in;
    char path[OD_PATH_MAX_BYTES];

    if ((status = od_adapter_config_read(folder, &config, err)) != OD_OK ||
        (status = od_path_join(path, folder, "adapter_model.safetensors", err)) != OD_OK ||
        (status = od_safetensors_open(path, &st, err)) != OD_OK) {
        goto done;
    }
    adapter.r = config.r;
    adapter.scale = od_adapter_scale(&config);
    adapter.layers = od_alloc((size_t)program->weight_count, sizeof *adapter.layers);
    if (!adapter.layers) {
        status = od_fail(err, OD_E_MEMORY, "no memory for '%s'", folder);
        goto done;
    }
    in = (struct reader){.st = st, .path = path, .r = config.r};
    status = read_layers_of(&in, program, &config, &adapter, err);
    if (status == OD_OK) {
        *ret = adapter;
        adapter = (struct od_adapter){0};
    }

done:
    od_adapter_release(&adapter);
    od_safetensors_close(st);
    return status;
}

void od_adapter_release(struct od_adapter *adapter)
{
    for (int64_t i = 0; i < adapter->layer_count; i++) {
        od_free(adapter->layers[i].a);
        od_free(adapter->layers[i].b);
        od_free(adapter->layers[i].full);
    }
    od_free(adapter->layers);
    *adapter = (struct od_adapter){0};
}

// The weight below an adapter, as the file has it, against the base's; *ret_found where both are there.
static enum od_status compare_base(const struct od_safetensors *st, const struct od_part *part,
                                   const float *w, bool is_half, const char *path, bool *ret_found,
                                   struct od_error *err)
{
    struct od_part below = {.rank = 2, .rows = part->rows, .cols = part->cols};
    const size_t count = (size_t)(part->rows * part->cols);
    name_of(part, ".base_layer.weight", below.name);
    *ret_found = w && od_safetensors_find(st, below.name) != NULL;
    if (!*ret_found) {
        return OD_OK;
    }
    float *values = od_alloc(count, sizeof *values);
    if (!values) {
        return od_fail(err, OD_E_MEMORY, "no memory for '%s'", path);
    }
    enum od_status status = od_parts_read_open(st, &below, 1, &values, path, err);
    for (size_t i = 0; is_half && status == OD_OK && i < count; i++) {
        values[i] = od_round_to_nearest(values[i]);
    }
    if (status == OD_OK && memcmp(values, w, count * sizeof *w) != 0) {
        status = od_fail(err, OD_E_REFUSED,
                         "'%s': '%s' is not the base model's: the adapter was made on another one",
                         path, below.name);
    }
    od_free(values);
    return status;
}

enum od_status od_adapter_read(const struct od_program *program, float *const *tensors,
                               const char *path, struct od_error *err)
{
    struct od_safetensors *st = NULL;
    size_t known = (size_t)program->adapter_count;
    enum od_status status = od_safetensors_open(path, &st, err);
    for (int32_t i = 0; i < program->weight_count && status == OD_OK; i++) {
        const struct od_part *part = &program->weights[i];
        bool found = false;
        if (part->rank == 2 && part->quant == OD_QUANT_NONE && saved_of(part) != 0) {
            const bool is_half = program->tensors[part->tensor].dtype == OD_DTYPE_BF16;
            status = compare_base(st, part, tensors[part->tensor], is_half, path, &found, err);
        }
        known += found;
    }
    if (status == OD_OK && program->spec.tied) {  // the head is the embedding
        struct od_part head = program->weights[0];
        const bool is_half = program->tensors[head.tensor].dtype == OD_DTYPE_BF16;
        bool found = false;
        (void)snprintf(head.name, sizeof head.name, "lm_head.weight");
        status = compare_base(st, &head, tensors[head.tensor], is_half, path, &found, err);
        known += found;
    }
    if (status == OD_OK && od_safetensors_count(st) != known) {
        status = od_fail(err, OD_E_FORMAT, "'%s' holds %zu tensors, %zu are expected", path,
                         od_safetensors_count(st), known);
    }
    if (status == OD_OK) {
        status =
            od_parts_read_open(st, program->adapters, program->adapter_count, tensors, path, err);
    }
    od_safetensors_close(st);
    return status;
}

enum od_status od_adapter_merge(struct od_pool *pool, const struct od_program *program,
                                float *const *tensors, const char *folder, struct od_error *err)
{
    struct od_adapter adapter = {0};
    enum od_status status = od_adapter_open(program, folder, &adapter, err);
    for (int64_t i = 0; i < adapter.layer_count && status == OD_OK; i++) {
        const struct od_adapter_layer *layer = &adapter.layers[i];
        float *w = tensors[layer->tensor] + layer->row * layer->k;
        if (layer->full) {
            memcpy(w, layer->full, (size_t)(layer->rows * layer->k) * sizeof *w);
        }
        if (!layer->a) {
            continue;
        }
        status = od_adapter_add(pool, w, layer->a, layer->b, layer->rows, layer->k, adapter.r,
                                (double)adapter.scale, err);
    }
    od_adapter_release(&adapter);
    return status;
}
