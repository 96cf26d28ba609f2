#include "infer/adapters.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "device/cpu/gemm.h"
#include "formats/gguf.h"
#include "model/gguf_model.h"
#include "model/program.h"
#include "model/weights.h"
#include "ops/cpu.h"
#include "ops/op.h"

// What an adapter was trained on is the base's weight, to the bit; then it is kept once.
static enum od_status same_base(struct od_adapter_layer *layer, float *const *tensors,
                                const char *folder, struct od_error *err)
{
    const size_t bytes = (size_t)(layer->rows * layer->k) * sizeof(float);
    if (!layer->full) {
        return OD_OK;
    }
    if (!layer->a || !tensors ||
        memcmp(tensors[layer->tensor] + layer->row * layer->k, layer->full, bytes) != 0) {
        return od_fail(err, OD_E_UNSUPPORTED,
                       "adapter '%.300s' has an embedding or a head of its own: serve it alone, or "
                       "merge it",
                       folder);
    }
    od_free(layer->full);
    layer->full = NULL;
    return OD_OK;
}

enum od_status od_adapter_set_open(const struct od_program *program, float *const *tensors,
                                   const char *const *paths, int64_t count, int64_t rows,
                                   struct od_adapter_set *ret, struct od_error *err)
{
    struct od_adapter_set set = {0};
    enum od_status status = OD_OK;
    int64_t rank = 1;
    set.adapters = od_alloc((size_t)count, sizeof *set.adapters);
    if (!set.adapters) {
        return od_fail(err, OD_E_MEMORY, "no memory for adapters");
    }
    for (; set.count < count && status == OD_OK; set.count++) {
        struct od_adapter *adapter = &set.adapters[set.count];
        const char *path = paths[set.count];
        status = od_gguf_is_path(path) ? od_adapter_open_gguf(program, path, adapter, err)
                                       : od_adapter_open(program, path, adapter, err);
        rank = adapter->r > rank ? adapter->r : rank;
        for (int64_t i = 0; i < adapter->layer_count && status == OD_OK; i++) {
            status = same_base(&adapter->layers[i], tensors, path, err);
        }
    }
    if (status == OD_OK) {
        set.room = od_alloc((size_t)(rows * rank), sizeof *set.room);
        status = set.room ? OD_OK : od_fail(err, OD_E_MEMORY, "no memory for adapters");
    }
    if (status != OD_OK) {
        od_adapter_set_release(&set);
        return status;
    }
    *ret = set;
    return OD_OK;
}

void od_adapter_set_release(struct od_adapter_set *set)
{
    for (int64_t i = 0; i < set->count; i++) {
        od_adapter_release(&set->adapters[i]);
    }
    od_free(set->adapters);
    od_free(set->room);
    *set = (struct od_adapter_set){0};
}

// Rows [first, first + count), which have one adapter in common.
static void apply_rows(const struct od_adapter_set *set, const struct od_adapter *adapter,
                       struct od_cpu *cpu, const struct od_op *op, float *const *tensors,
                       int64_t first, int64_t count)
{
    const struct od_mat x = {tensors[op->slot[OD_SLOT_X]] + first * op->k, op->k, 1};
    float *y = tensors[op->slot[OD_SLOT_Y]] + first * op->n;
    const int64_t r = adapter->r;
    for (int64_t i = 0; i < adapter->layer_count; i++) {
        const struct od_adapter_layer *layer = &adapter->layers[i];
        if (layer->tensor != op->slot[OD_SLOT_W]) {
            continue;
        }
        od_gemm_run(cpu->gemm, count, r, op->k, x, (struct od_mat){layer->a, 1, op->k}, set->room,
                    r, false);
        for (int64_t c = 0; c < count * r; c++) {
            set->room[c] *= adapter->scale;
        }
        od_gemm_run(cpu->gemm, count, layer->rows, r, (struct od_mat){set->room, r, 1},
                    (struct od_mat){layer->b, 1, r}, y + layer->row, op->n, true);
    }
}

// The same behind the embedding, whose B is [V, r] and A [r, C].
static void apply_ids(const struct od_adapter_set *set, const struct od_adapter *adapter,
                      struct od_cpu *cpu, const struct od_op *op, float *const *tensors,
                      const int32_t *ids, int64_t first, int64_t count)
{
    float *y = tensors[op->slot[OD_SLOT_Y]] + first * op->n;
    const int64_t r = adapter->r;
    for (int64_t i = 0; i < adapter->layer_count; i++) {
        const struct od_adapter_layer *layer = &adapter->layers[i];
        if (layer->tensor != op->slot[OD_SLOT_W]) {
            continue;
        }
        for (int64_t t = 0; t < count; t++) {
            const float *row = layer->b + (int64_t)ids[first + t] * r;
            for (int64_t c = 0; c < r; c++) {
                set->room[t * r + c] = row[c] * adapter->scale;
            }
        }
        od_gemm_run(cpu->gemm, count, op->n, r, (struct od_mat){set->room, r, 1},
                    (struct od_mat){layer->a, op->n, 1}, y, op->n, true);
    }
}

void od_adapter_set_apply(const struct od_adapter_set *set, struct od_cpu *cpu,
                          const struct od_op *op, float *const *tensors, const int32_t *ids,
                          const int32_t *of_row, int64_t rows)
{
    int64_t first = 0;
    while (first < rows) {
        int64_t end = first + 1;
        while (end < rows && of_row[end] == of_row[first]) {
            end++;
        }
        if (of_row[first] >= 0 && op->kind == OD_OP_EMBED) {
            apply_ids(set, &set->adapters[of_row[first]], cpu, op, tensors, ids, first,
                      end - first);
        } else if (of_row[first] >= 0) {
            apply_rows(set, &set->adapters[of_row[first]], cpu, op, tensors, first, end - first);
        }
        first = end;
    }
}
