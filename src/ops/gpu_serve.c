#include "ops/gpu_serve.h"

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "device/cuda/cuda.h"
#include "device/cuda/matmul_rows.h"
#include "ops/gpu.h"
#include "ops/gpu_internal.h"
#include "ops/gpu_serve_internal.h"
#include "ops/linear/lora_cuda.h"
#include "ops/op.h"
#include "ops/paged/paged.h"
#include "ops/vector/vector.h"

static size_t round_up(size_t bytes)
{
    return (bytes + 255u) & ~(size_t)255u;
}

static const struct od_op *head_of(const struct od_op *ops, int32_t op_count)
{
    return &ops[op_count - 1];
}

// The first attention: heads are the same in all layers.
static const struct od_op *attention_of(const struct od_op *ops, int32_t op_count)
{
    for (int32_t i = 0; i < op_count; i++) {
        if (ops[i].kind == OD_OP_ATTENTION_CACHED) {
            return &ops[i];
        }
    }
    return NULL;
}

// Elements between what the head reads of two positions.
static int64_t hidden_stride(int64_t channels)
{
    return (channels + 7) / 8 * 8;
}

// What lies in the extra bytes, in order.
struct places {
    size_t hidden;
    size_t parts;
    size_t lse;
    size_t lists;
    size_t lists_bytes;
    size_t entries;
    size_t inner;
    size_t adapters;
    size_t end;
};

// The lists of a pass at their longest, each on a border of 16 bytes.
static size_t lists_bytes(int64_t rows, const struct od_gpu_serve_shape *shape)
{
    const int64_t words = 6 * rows + shape->sequences * shape->table_pages + shape->logit_rows + 64;
    const int64_t items = 2 * od_paged_items_max(rows, OD_SERVE_PARTS_MAX);
    return (size_t)words * sizeof(int32_t) + (size_t)items * sizeof(struct od_paged_item) +
           (size_t)(2 * rows) * sizeof(struct od_paged_join) +
           od_serve_prompt_list_bytes(rows, shape);
}

static struct places lay_out(int64_t rows, int32_t op_count, const struct od_op *ops,
                             const struct od_gpu_serve_shape *shape)
{
    const struct od_op *attention = attention_of(ops, op_count);
    const int64_t channels = head_of(ops, op_count)->k;
    const int64_t part_floats =
        attention ? (int64_t)OD_SERVE_PARTS_MAX * attention->heads * (attention->head_dim + 2) : 0;
    struct places at = {0};
    at.lists_bytes = round_up(lists_bytes(rows, shape));
    at.parts = round_up((size_t)(shape->pages * OD_PAGED_ROWS * hidden_stride(channels)) * 2u);
    at.lse = at.parts + round_up((size_t)part_floats * sizeof(float));
    at.lists =
        at.lse + round_up(od_serve_prompt_lse_bytes(rows, attention ? attention->heads : 0, shape));
    at.entries = at.lists + at.lists_bytes;
    at.inner = at.entries + round_up((size_t)(shape->adapters * op_count * OD_ADAPTER_PARTS_MAX) *
                                     sizeof(struct od_lora_entry));
    at.adapters =
        at.inner +
        (shape->adapters > 0
             ? round_up((size_t)(rows * OD_ADAPTER_PARTS_MAX * shape->rank_max) * sizeof(float))
             : 0);
    at.end = at.adapters + round_up(shape->adapter_bytes);
    return at;
}

size_t od_gpu_serve_bytes(const struct od_gpu_layout *layout,
                          const struct od_gpu_serve_shape *shape)
{
    return lay_out(layout->tokens, layout->op_count, layout->ops, shape).end;
}

static const char *const kernel_names[OD_SERVE_KERNEL_COUNT] = {
    "od_paged_append", "od_paged_turn_append", "od_lora_inputs", "od_lora_outputs",
    "od_lora_merge"};

static enum od_status find_kernels(struct od_gpu_serve *serve, struct od_error *err)
{
    struct od_cuda *cuda = serve->gpu->cuda;
    const struct od_op *attention = attention_of(serve->gpu->ops, serve->gpu->op_count);
    enum od_status status = OD_OK;
    for (int i = 0; status == OD_OK && i < OD_SERVE_KERNEL_COUNT; i++) {
        status = od_cuda_kernel(cuda, kernel_names[i], &serve->kernel[i], err);
    }
    if (status != OD_OK || !attention) {
        return status;
    }
    if (!od_paged_kernel(attention->head_dim, OD_PAGED_ATTEND)) {
        return od_fail(err, OD_E_UNSUPPORTED,
                       "heads of %d channels have no GPU kernel (64, 80, 96, 128, 256 have): use "
                       "--device cpu",
                       attention->head_dim);
    }
    for (int i = 0; status == OD_OK && i < OD_PAGED_KERNELS; i++) {
        status = od_cuda_kernel(cuda, od_paged_kernel(attention->head_dim, (enum od_paged_kernel)i),
                                &serve->paged[i], err);
    }
    return status == OD_OK ? od_serve_prompt_open(serve, attention->head_dim, err) : status;
}

// Windows that layers have, each with lists of its own: none and one.
static enum od_status find_windows(struct od_gpu_serve *serve, struct od_error *err)
{
    const struct od_gpu *gpu = serve->gpu;
    for (int32_t i = 0; i < gpu->op_count; i++) {
        int at = 0;
        if (gpu->ops[i].kind != OD_OP_ATTENTION_CACHED) {
            continue;
        }
        while (at < serve->window_count && serve->window[at] != gpu->ops[i].window) {
            at++;
        }
        if (at == OD_SERVE_WINDOWS_MAX) {
            return od_fail(err, OD_E_UNSUPPORTED,
                           "layers with more than %d windows have no GPU code: use --device cpu",
                           OD_SERVE_WINDOWS_MAX);
        }
        serve->window[at] = gpu->ops[i].window;
        serve->window_count += at == serve->window_count;
    }
    return OD_OK;
}

static bool reads(const struct od_op *op, int32_t tensor)
{
    return op->slot[OD_SLOT_X] == tensor || op->slot[OD_SLOT_RES] == tensor;
}

// Is a tensor read by operation `index` and then never again before it is written?
static bool only_reader(const struct od_gpu *gpu, int32_t index, int32_t tensor)
{
    if (gpu->ops[index].slot[OD_SLOT_X] != tensor || gpu->ops[index].slot[OD_SLOT_RES] == tensor) {
        return false;
    }
    for (int32_t i = index + 1; i < gpu->op_count; i++) {
        if (reads(&gpu->ops[i], tensor)) {
            return false;
        }
        if (gpu->ops[i].slot[OD_SLOT_Y] == tensor) {
            return true;
        }
    }
    return true;
}

static void find_joined(struct od_gpu_serve *serve)
{
    const struct od_gpu *gpu = serve->gpu;
    for (int32_t i = 0; i + 1 < gpu->op_count; i++) {
        serve->op_joins_next[i] = gpu->ops[i].kind == OD_OP_RMS_NORM &&
                                  gpu->ops[i + 1].kind == OD_OP_LINEAR &&
                                  only_reader(gpu, i + 1, gpu->ops[i].slot[OD_SLOT_Y]);
    }
}

enum od_status od_gpu_serve_open(struct od_gpu *gpu, const struct od_gpu_serve_shape *shape,
                                 struct od_gpu_serve **ret, struct od_error *err)
{
    const struct places at = lay_out(gpu->tokens, gpu->op_count, gpu->ops, shape);
    const struct od_op *head = head_of(gpu->ops, gpu->op_count);
    const struct od_gpu_tensor logits = od_gpu_slot_tensor(gpu, head, OD_SLOT_Y);
    const size_t adapter_ops = (size_t)(shape->adapters * gpu->op_count);
    struct od_gpu_serve *serve = od_alloc(1, sizeof *serve);
    void *memory = NULL;
    enum od_status status;
    if (!serve) {
        return od_fail(err, OD_E_MEMORY, "no memory to serve a model");
    }
    *serve = (struct od_gpu_serve){
        .gpu = gpu,
        .shape = *shape,
        .rows_max = gpu->tokens,
        .extra_bytes = at.end,
        .hidden = od_gpu_extra(gpu) + at.hidden,
        .hidden_stride = hidden_stride(head->k),
        .parts = od_gpu_extra(gpu) + at.parts,
        .lse = od_gpu_extra(gpu) + at.lse,
        .entries = od_gpu_extra(gpu) + at.entries,
        .inner = od_gpu_extra(gpu) + at.inner,
        .adapter_next = od_gpu_extra(gpu) + at.adapters,
        .adapter_end = od_gpu_extra(gpu) + at.end,
        .pen = {.device = od_gpu_extra(gpu) + at.lists, .capacity = at.lists_bytes}};
    gpu->overlaps = true;
    serve->run_room = od_alloc((size_t)gpu->tokens, sizeof *serve->run_room);
    serve->entry_count = od_alloc(adapter_ops, sizeof *serve->entry_count);
    serve->op_has_adapter = od_alloc((size_t)gpu->op_count, sizeof *serve->op_has_adapter);
    serve->op_joins_next = od_alloc((size_t)gpu->op_count, sizeof *serve->op_joins_next);
    if (!serve->op_joins_next || !serve->run_room || !serve->entry_count ||
        !serve->op_has_adapter) {
        status = od_fail(err, OD_E_MEMORY, "no memory to serve a model");
        goto done;
    }
    find_joined(serve);
    if ((status = find_kernels(serve, err)) != OD_OK ||
        (status = find_windows(serve, err)) != OD_OK ||
        (status = od_matmul_rows_create(gpu->cuda, &serve->products, err)) != OD_OK ||
        (status = od_vector_create(gpu->cuda, &serve->vectors, err)) != OD_OK ||
        (status = od_cuda_host_alloc(gpu->cuda, at.lists_bytes, &memory, err)) != OD_OK) {
        goto done;
    }
    serve->pen.host = memory;
    if ((status = od_cuda_host_alloc(gpu->cuda, logits.bytes, &memory, err)) != OD_OK) {
        goto done;
    }
    serve->logits = memory;
    serve->logits_stride = logits.stride;
    od_cuda_fill(gpu->cuda, serve->entries, 0, at.inner - at.entries);
    status = od_cuda_sync(gpu->cuda, err);

done:
    if (status != OD_OK) {
        od_gpu_serve_close(serve);
        return status;
    }
    *ret = serve;
    return OD_OK;
}

void od_gpu_serve_close(struct od_gpu_serve *serve)
{
    if (!serve) {
        return;
    }
    const enum od_status status = od_cuda_sync(serve->gpu->cuda, NULL);
    (void)status;  // on the way out
    od_matmul_rows_free(serve->products);
    od_vector_free(serve->vectors);
    od_cuda_host_free(serve->gpu->cuda, serve->pen.host);
    od_cuda_host_free(serve->gpu->cuda, serve->logits);
    od_free(serve->op_joins_next);
    od_free(serve->op_has_adapter);
    od_free(serve->entry_count);
    od_free(serve->run_room);
    od_free(serve);
}

const float *od_gpu_serve_logits(const struct od_gpu_serve *serve, int64_t *ret_stride)
{
    *ret_stride = serve->logits_stride;
    return serve->logits;
}

void od_gpu_serve_copy(struct od_gpu_serve *serve, int32_t from, int32_t to, int64_t count)
{
    const struct od_gpu *gpu = serve->gpu;
    for (int32_t i = 0; i < gpu->op_count; i++) {
        const struct od_op *op = &gpu->ops[i];
        if (op->kind != OD_OP_ATTENTION_CACHED) {
            continue;
        }
        const od_dev cache = od_gpu_slot_tensor(gpu, op, OD_SLOT_AUX).at;
        const size_t heads = 2u * (size_t)op->kv_heads;
        const size_t head_bytes = (size_t)OD_PAGED_ROWS * (size_t)op->head_dim * 2u;
        od_cuda_copy_rows(gpu->cuda, cache + (uint64_t)to * heads * head_bytes, head_bytes,
                          cache + (uint64_t)from * heads * head_bytes, head_bytes,
                          (size_t)count * (size_t)op->head_dim * 2u, heads);
    }
    const size_t row_bytes = (size_t)serve->hidden_stride * 2u;
    od_cuda_copy(gpu->cuda, serve->hidden + (uint64_t)to * OD_PAGED_ROWS * row_bytes,
                 serve->hidden + (uint64_t)from * OD_PAGED_ROWS * row_bytes,
                 (size_t)count * row_bytes);
}

// Adapters.

static int64_t lda_of(int64_t k)
{
    return (k + 7) / 8 * 8;
}

size_t od_gpu_serve_adapter_bytes(const struct od_gpu_serve_matrix *matrix)
{
    return round_up((size_t)(matrix->rank * lda_of(matrix->k)) * 2u) +
           round_up((size_t)(matrix->rows * matrix->rank) * 2u);
}

static uint16_t half_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

// Rows of fp32 as bf16 rows of `stride`, into the adapters' room.
static enum od_status send_matrix(struct od_gpu_serve *serve, const float *from, int64_t rows,
                                  int64_t cols, int64_t stride, od_dev *ret, struct od_error *err)
{
    const size_t bytes = (size_t)(rows * stride) * 2u;
    uint16_t *halves = od_alloc((size_t)(rows * stride), sizeof *halves);
    if (!halves) {
        return od_fail(err, OD_E_MEMORY, "no memory for an adapter");
    }
    for (int64_t i = 0; i < rows * cols; i++) {
        halves[i / cols * stride + i % cols] = half_of(from[i]);
    }
    assert(serve->adapter_next + round_up(bytes) <= serve->adapter_end);
    od_cuda_upload(serve->gpu->cuda, serve->adapter_next, halves, bytes);
    const enum od_status status = od_cuda_sync(serve->gpu->cuda, err);
    od_free(halves);
    *ret = serve->adapter_next;
    serve->adapter_next += round_up(bytes);
    return status;
}

enum od_status od_gpu_serve_adapter(struct od_gpu_serve *serve, int64_t number,
                                    const struct od_gpu_serve_matrix *matrix, struct od_error *err)
{
    const struct od_gpu *gpu = serve->gpu;
    struct od_lora_entry entry = {.lda = lda_of(matrix->k),
                                  .row = matrix->row,
                                  .rows = matrix->rows,
                                  .rank = (int32_t)matrix->rank,  // at most the layer's width
                                  .scale = matrix->scale};
    int32_t op = 0;
    while (op < gpu->op_count &&
           (gpu->ops[op].kind != OD_OP_LINEAR || gpu->ops[op].slot[OD_SLOT_W] != matrix->tensor)) {
        op++;
    }
    const int64_t of_op = op * serve->shape.adapters + number;
    if (op == gpu->op_count || serve->entry_count[of_op] == OD_ADAPTER_PARTS_MAX) {
        return od_fail(err, OD_E_UNSUPPORTED, "an adapter is for no linear layer of the model");
    }
    enum od_status status =
        send_matrix(serve, matrix->a, matrix->rank, matrix->k, entry.lda, &entry.a, err);
    if (status == OD_OK) {
        status =
            send_matrix(serve, matrix->b, matrix->rows, matrix->rank, matrix->rank, &entry.b, err);
    }
    if (status != OD_OK) {
        return status;
    }
    const int64_t at = of_op * OD_ADAPTER_PARTS_MAX + serve->entry_count[of_op]++;
    od_cuda_upload(gpu->cuda, serve->entries + (uint64_t)at * sizeof entry, &entry, sizeof entry);
    serve->op_has_adapter[op] = true;
    return od_cuda_sync(gpu->cuda, err);
}

enum od_status od_gpu_serve_merge(struct od_gpu_serve *serve,
                                  const struct od_gpu_serve_matrix *matrix, struct od_error *err)
{
    struct od_gpu *gpu = serve->gpu;
    const struct od_gpu_tensor w = gpu->tensors[matrix->tensor];
    const size_t a_bytes = (size_t)(matrix->rank * matrix->k) * sizeof(float);
    const size_t b_bytes = (size_t)(matrix->rows * matrix->rank) * sizeof(float);
    // What the head reads and parts of attention: of no use before the first pass.
    const size_t room = (size_t)(serve->pen.device - serve->hidden);
    od_dev a = serve->hidden;
    od_dev b = a + round_up(a_bytes);
    od_dev to = w.at + (uint64_t)(matrix->row * w.stride) * 2u;
    int64_t stride = w.stride;
    int64_t k = matrix->k;
    int64_t rank = matrix->rank;
    double scale = (double)matrix->scale;
    void *args[] = {&to, &stride, &a, &b, &k, &rank, &scale};
    if (round_up(a_bytes) + b_bytes > room) {
        return od_fail(err, OD_E_LIMIT, "an adapter of rank %lld is too large to merge here",
                       (long long)rank);
    }
    od_cuda_upload(gpu->cuda, a, matrix->a, a_bytes);
    od_cuda_upload(gpu->cuda, b, matrix->b, b_bytes);
    od_cuda_launch(gpu->cuda, serve->kernel[OD_SERVE_LORA_MERGE],
                   (struct od_cuda_grid){.x = (unsigned)matrix->rows,
                                         .y = od_gpu_blocks(k, OD_GPU_THREADS_PER_BLOCK),
                                         .threads = OD_GPU_THREADS_PER_BLOCK},
                   args);
    od_cuda_fill(gpu->cuda, serve->hidden, 0xFF, round_up(a_bytes) + b_bytes);
    return od_cuda_sync(gpu->cuda, err);
}
