// The head of a model that learns on a GPU: logits, losses and gradients, a chunk of labelled rows at a
// time. An adapter is folded in as into a linear layer: logits = [X | XA] [W | s B]^T, dX = [dlogits | D] [W ; A].

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "device/cuda/cuda.h"
#include "device/cuda/matmul.h"
#include "ops/adamw/adamw_cuda.h"
#include "ops/gpu.h"
#include "ops/gpu_internal.h"
#include "ops/op.h"

// The tensors of the loss, and the parts of its scratch as tensors of a chunk's rows.
struct head {
    struct od_gpu_tensor x;
    struct od_gpu_tensor w;
    struct od_gpu_tensor dx;
    struct od_gpu_tensor dw;
    struct od_gpu_tensor logits;
    struct od_gpu_tensor gathered;
    struct od_gpu_tensor dgathered;
    struct od_gpu_tensor dropped;
    od_dev losses;
    od_dev rows;
};

// Rows [first, first + rows) of the labelled ones, rounded up.
struct chunk {
    int64_t first;
    int64_t rows;
};

static struct od_gpu_tensor part_of(const struct od_gpu_tensor *work, int64_t at, int64_t cols)
{
    return (struct od_gpu_tensor){
        .at = od_gpu_column(*work, work->rows * at), .rows = work->rows, .stride = cols};
}

static struct head head_of(const struct od_gpu *gpu, const struct od_op *op)
{
    const struct od_gpu_tensor work = od_gpu_slot_tensor(gpu, op, OD_SLOT_WORK);
    const struct od_head_work cols = od_head_work(op);
    int64_t at = 0;
    struct head head = {.x = od_gpu_slot_tensor(gpu, op, OD_SLOT_X),
                        .w = od_gpu_slot_tensor(gpu, op, OD_SLOT_W),
                        .dx = od_gpu_slot_tensor(gpu, op, OD_SLOT_DX),
                        .dw = od_gpu_slot_tensor(gpu, op, OD_SLOT_DW),
                        .losses = od_gpu_slot_tensor(gpu, op, OD_SLOT_AUX).at,
                        .rows = od_gpu_input(gpu, gpu->inputs.label_rows)};
    assert(cols.total <= work.stride);
    head.logits = part_of(&work, at, cols.logits);
    head.gathered = part_of(&work, at += cols.logits, cols.gathered);
    head.dgathered = part_of(&work, at += cols.gathered, cols.dgathered);
    head.dropped = part_of(&work, at + cols.dgathered, cols.dropped);
    return head;
}

// Logits of the chunk's rows, whose X is gathered.
static void logits_of(struct od_gpu *gpu, const struct od_op *op, const struct head *h,
                      const struct od_gpu_adapted *on)
{
    if (op->fold > 0) {
        od_gpu_fold_input(gpu, op, on);
    }
    od_gpu_product(gpu, &(struct od_matmul_call){.m = on->rows,
                                                 .n = od_head_columns(op->n),
                                                 .k = op->k + op->fold,
                                                 .a = h->gathered.at,
                                                 .lda = h->gathered.stride,
                                                 .b = h->w.at,
                                                 .ldb = h->w.stride,
                                                 .b_transposed = true,
                                                 .d = h->logits.at,
                                                 .ldd = h->logits.stride,
                                                 .alpha = 1.0F});
}

// Gradients of the gathered rows, the weight and the adapter; `logits` hold theirs.
static void gradients_of(struct od_gpu *gpu, const struct od_op *op, const struct head *h,
                         const struct od_gpu_adapted *on)
{
    if (op->fold > 0) {
        od_gpu_fold_gradient(gpu, op, on);
    }
    if (on->dx.at != 0) {
        od_gpu_product(gpu, &(struct od_matmul_call){.m = on->rows,
                                                     .n = op->k,
                                                     .k = od_head_columns(op->n) +
                                                          (od_gpu_drops(gpu, op) ? 0 : op->fold),
                                                     .a = h->logits.at,
                                                     .lda = h->logits.stride,
                                                     .b = h->w.at,
                                                     .ldb = h->w.stride,
                                                     .d = h->dgathered.at,
                                                     .ldd = h->dgathered.stride,
                                                     .alpha = 1.0F});
    }
    if (h->dw.at != 0) {
        od_gpu_product(gpu, &(struct od_matmul_call){.m = op->n,
                                                     .n = op->k,
                                                     .k = on->rows,
                                                     .a = h->logits.at,
                                                     .lda = h->logits.stride,
                                                     .a_transposed = true,
                                                     .b = h->gathered.at,
                                                     .ldb = h->gathered.stride,
                                                     .c = h->dw.at,
                                                     .ldc = h->dw.stride,
                                                     .d = h->dw.at,
                                                     .ldd = h->dw.stride,
                                                     .d_is_float = true,
                                                     .alpha = 1.0F});
    }
    if (op->fold > 0) {
        od_gpu_adapter_bwd(gpu, op, on);
    }
}

// Logits, losses, and where asked the gradients.
static void head_chunk(struct od_gpu *gpu, const struct od_op *op, struct head *h,
                       struct chunk chunk)
{
    od_dev labels = od_gpu_count_at(gpu, OD_GPU_COUNT_LABELS);
    od_dev scale = od_gpu_count_at(gpu, OD_GPU_COUNT_LOSS_SCALE);
    od_dev targets = od_gpu_input(gpu, gpu->inputs.targets);
    int64_t v = op->n;
    int64_t c = op->k;
    int gradient = gpu->now.want_gradient;
    const bool wants_dx = h->dx.at != 0;
    const struct od_gpu_adapted on = {.x = h->gathered,
                                      .dy = h->logits,
                                      .dx = wants_dx ? h->dgathered : (struct od_gpu_tensor){0},
                                      .work = h->dropped,
                                      .rows = chunk.rows,
                                      .first = chunk.first};
    void *gather[] = {&h->gathered.at, &h->gathered.stride, &h->x.at, &h->x.stride, &h->rows,
                      &labels,         &chunk.first,        &c};
    void *entropy[] = {&h->logits.at, &h->logits.stride, &v,     &h->rows,   &labels,
                       &chunk.first,  &targets,          &scale, &h->losses, &gradient};
    void *scatter[] = {&h->dx.at, &h->dx.stride, &h->dgathered.at, &h->dgathered.stride,
                       &h->rows,  &labels,       &chunk.first,     &c};

    od_gpu_launch(gpu, OD_GPU_GATHER_ROWS, (unsigned)chunk.rows, 1, gather);
    logits_of(gpu, op, h, &on);
    od_gpu_launch(gpu, OD_GPU_CROSS_ENTROPY, (unsigned)chunk.rows, 1, entropy);
    if (!gradient) {
        return;
    }
    gradients_of(gpu, op, h, &on);
    if (wants_dx) {
        od_gpu_launch(gpu, OD_GPU_SCATTER_ROWS, (unsigned)chunk.rows, 1, scatter);
    }
}

void od_gpu_head_loss(struct od_gpu *gpu, const struct od_op *op)
{
    const int64_t most = od_gpu_slot_tensor(gpu, op, OD_SLOT_WORK).rows;
    const int64_t labels = gpu->now.labels;
    struct head h = head_of(gpu, op);
    od_dev sum = gpu->stats + offsetof(struct od_adamw_stats, loss_sum);
    od_dev count = od_gpu_count_at(gpu, OD_GPU_COUNT_LABELS);
    void *args[] = {&sum, &h.losses, &count};
    if (h.dx.at != 0 && gpu->now.want_gradient) {
        od_cuda_fill(gpu->cuda, h.dx.at, 0, h.dx.bytes);
    }
    for (int64_t rows = OD_GPU_HEAD_STEP; gpu->tuning && rows <= most; rows += OD_GPU_HEAD_STEP) {
        head_chunk(gpu, op, &h, (struct chunk){.first = 0, .rows = rows});
    }
    for (int64_t first = 0; first < labels; first += most) {
        const int64_t rows = labels - first < most ? labels - first : most;
        head_chunk(gpu, op, &h, (struct chunk){.first = first, .rows = rows});
    }
    od_gpu_launch(gpu, OD_GPU_SUM_LOSSES, 1, 1, args);
}
