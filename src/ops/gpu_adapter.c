// Adapters on a GPU: folded into linear layers and the head, and beside the rows of the embedding.
//
//     XA = X A^T (into X's spare columns)        D = s dY B (into dY's spare columns)
//     dA += D^T X,  dB += s dY^T XA
//
// What multiplies the weight takes XA and D along (gpu.c, gpu_head.c).

#include <stdbool.h>
#include <stdint.h>

#include "device/cuda/cuda.h"
#include "device/cuda/matmul.h"
#include "ops/gpu.h"
#include "ops/gpu_internal.h"
#include "ops/op.h"

// Outputs before the adapter's: columns of DY, rows of W.
static int64_t outputs(const struct od_op *op)
{
    return op->kind == OD_OP_HEAD_LOSS ? od_head_columns(op->n) : op->n;
}

struct od_gpu_tensor od_gpu_fold_a(const struct od_gpu *gpu, const struct od_op *op)
{
    struct od_gpu_tensor a = od_gpu_slot_tensor(gpu, op, OD_SLOT_A_COPY);
    if (a.at == 0) {
        a = od_gpu_slot_tensor(gpu, op, OD_SLOT_W);
        a.at = od_gpu_column(a, outputs(op) * a.stride);
    }
    return a;
}

struct od_gpu_tensor od_gpu_fold_b(const struct od_gpu *gpu, const struct od_op *op)
{
    struct od_gpu_tensor b = od_gpu_slot_tensor(gpu, op, OD_SLOT_B_COPY);
    if (b.at == 0) {
        b = od_gpu_slot_tensor(gpu, op, OD_SLOT_W);
        b.at = od_gpu_column(b, op->k);
    }
    return b;
}

struct od_gpu_adapted od_gpu_adapted(const struct od_gpu *gpu, const struct od_op *op)
{
    return (struct od_gpu_adapted){.x = od_gpu_slot_tensor(gpu, op, OD_SLOT_X),
                                   .dy = od_gpu_slot_tensor(gpu, op, OD_SLOT_DY),
                                   .dx = od_gpu_slot_tensor(gpu, op, OD_SLOT_DX),
                                   .work = od_gpu_slot_tensor(gpu, op, OD_SLOT_WORK),
                                   .rows = gpu->tokens};
}

bool od_gpu_drops(const struct od_gpu *gpu, const struct od_op *op)
{
    return op->dropout > 0.0F && gpu->now.want_gradient;
}

// to (+)= from * mask / (1 - p), [rows, K].
static void drop(struct od_gpu *gpu, const struct od_op *op, const struct od_gpu_adapted *on,
                 struct od_gpu_tensor to, struct od_gpu_tensor from, bool add_to)
{
    od_dev pass = od_gpu_count_at(gpu, OD_GPU_COUNT_PASS);
    uint64_t seed = gpu->now.dropout_seed;
    uint32_t stream = op->stream;
    uint32_t threshold = (uint32_t)((double)op->dropout * 4294967296.0);
    float scale = 1.0F / (1.0F - op->dropout);
    int64_t first = on->first;
    int accumulate = add_to;
    int64_t cols = op->k;
    void *args[] = {&to.at,  &to.stride, &from.at,   &from.stride, &cols,  &seed,
                    &stream, &pass,      &threshold, &scale,       &first, &accumulate};
    od_gpu_launch(gpu, OD_GPU_DROPOUT, (unsigned)on->rows, 1, args);
}

void od_gpu_fold_input(struct od_gpu *gpu, const struct od_op *op, const struct od_gpu_adapted *on)
{
    const struct od_gpu_tensor a = od_gpu_fold_a(gpu, op);
    struct od_gpu_tensor from = on->x;
    if (od_gpu_drops(gpu, op)) {
        from = on->work;
        drop(gpu, op, on, from, on->x, false);
    }
    od_gpu_product(gpu, &(struct od_matmul_call){.m = on->rows,
                                                 .n = op->fold,
                                                 .k = op->k,
                                                 .a = from.at,
                                                 .lda = from.stride,
                                                 .b = a.at,
                                                 .ldb = a.stride,
                                                 .b_transposed = true,
                                                 .d = od_gpu_column(on->x, op->k),
                                                 .ldd = on->x.stride,
                                                 .alpha = 1.0F});
}

void od_gpu_fold_gradient(struct od_gpu *gpu, const struct od_op *op,
                          const struct od_gpu_adapted *on)
{
    const struct od_gpu_tensor b = od_gpu_fold_b(gpu, op);
    od_gpu_product(gpu, &(struct od_matmul_call){.m = on->rows,
                                                 .n = op->fold,
                                                 .k = outputs(op),
                                                 .a = on->dy.at,
                                                 .lda = on->dy.stride,
                                                 .b = b.at,
                                                 .ldb = b.stride,
                                                 .d = od_gpu_column(on->dy, outputs(op)),
                                                 .ldd = on->dy.stride,
                                                 .alpha = 1.0F});
}

// Gradients of A and B: sums over the rows, added in fp32. `input` is what A was applied to.
static void matrix_gradients(struct od_gpu *gpu, const struct od_op *op,
                             const struct od_gpu_adapted *on, struct od_gpu_tensor input)
{
    const struct od_gpu_tensor da = od_gpu_slot_tensor(gpu, op, OD_SLOT_DA);
    const struct od_gpu_tensor db = od_gpu_slot_tensor(gpu, op, OD_SLOT_DB);
    od_gpu_product(gpu, &(struct od_matmul_call){.m = op->rank * op->part_count,
                                                 .n = op->k,
                                                 .k = on->rows,
                                                 .a = od_gpu_column(on->dy, outputs(op)),
                                                 .lda = on->dy.stride,
                                                 .a_transposed = true,
                                                 .b = input.at,
                                                 .ldb = input.stride,
                                                 .c = da.at,
                                                 .ldc = da.stride,
                                                 .d = da.at,
                                                 .ldd = da.stride,
                                                 .d_is_float = true,
                                                 .alpha = 1.0F});
    for (int32_t i = 0; i < op->part_count; i++) {
        const struct od_adapter_part *part = &op->part[i];
        const od_dev d = od_gpu_column(db, part->b_row * db.stride);
        od_gpu_product(gpu,
                       &(struct od_matmul_call){.m = part->rows,
                                                .n = op->rank,
                                                .k = on->rows,
                                                .a = od_gpu_column(on->dy, part->row),
                                                .lda = on->dy.stride,
                                                .a_transposed = true,
                                                .b = od_gpu_column(on->x, op->k + i * op->rank),
                                                .ldb = on->x.stride,
                                                .c = d,
                                                .ldc = db.stride,
                                                .d = d,
                                                .ldd = db.stride,
                                                .d_is_float = true,
                                                .alpha = op->scale});
    }
}

// Through dropout: the adapter's input is drawn anew, and its share of DX goes through the mask.
static void dropped_gradients(struct od_gpu *gpu, const struct od_op *op,
                              const struct od_gpu_adapted *on)
{
    const struct od_gpu_tensor a = od_gpu_fold_a(gpu, op);
    drop(gpu, op, on, on->work, on->x, false);
    matrix_gradients(gpu, op, on, on->work);
    if (on->dx.at == 0) {
        return;
    }
    od_gpu_product(gpu, &(struct od_matmul_call){.m = on->rows,
                                                 .n = op->k,
                                                 .k = op->fold,
                                                 .a = od_gpu_column(on->dy, outputs(op)),
                                                 .lda = on->dy.stride,
                                                 .b = a.at,
                                                 .ldb = a.stride,
                                                 .d = on->work.at,
                                                 .ldd = on->work.stride,
                                                 .alpha = 1.0F});
    drop(gpu, op, on, on->dx, on->work, true);
}

void od_gpu_adapter_bwd(struct od_gpu *gpu, const struct od_op *op, const struct od_gpu_adapted *on)
{
    if (od_gpu_drops(gpu, op)) {
        dropped_gradients(gpu, op, on);
    } else {
        matrix_gradients(gpu, op, on, on->x);
    }
}

void od_gpu_embed_adapter(struct od_gpu *gpu, const struct od_op *op)
{
    struct od_gpu_tensor xa = od_gpu_slot_tensor(gpu, op, OD_SLOT_XA);
    od_dev a = od_gpu_slot_tensor(gpu, op, OD_SLOT_A).at;
    od_dev ids = od_gpu_input(gpu, gpu->inputs.ids);
    const struct od_gpu_tensor b = od_gpu_fold_b(gpu, op);
    const struct od_gpu_tensor y = od_gpu_slot_tensor(gpu, op, OD_SLOT_Y);
    int64_t rank = op->rank;
    int64_t cols = op->fold;
    void *args[] = {&xa.at, &xa.stride, &a, &ids, &rank, &cols};
    od_gpu_launch(gpu, OD_GPU_EMBED_ADAPTER, (unsigned)gpu->tokens, 1, args);
    od_gpu_product(gpu, &(struct od_matmul_call){.m = gpu->tokens,
                                                 .n = op->n,
                                                 .k = op->fold,
                                                 .a = xa.at,
                                                 .lda = xa.stride,
                                                 .b = b.at,
                                                 .ldb = b.stride,
                                                 .b_transposed = true,
                                                 .c = y.at,
                                                 .ldc = y.stride,
                                                 .d = y.at,
                                                 .ldd = y.stride,
                                                 .alpha = 1.0F});
}

void od_gpu_embed_adapter_bwd(struct od_gpu *gpu, const struct od_op *op)
{
    const struct od_gpu_tensor xa = od_gpu_slot_tensor(gpu, op, OD_SLOT_XA);
    const struct od_gpu_tensor dxa = od_gpu_slot_tensor(gpu, op, OD_SLOT_WORK);
    const struct od_gpu_tensor dy = od_gpu_slot_tensor(gpu, op, OD_SLOT_DY);
    const struct od_gpu_tensor db = od_gpu_slot_tensor(gpu, op, OD_SLOT_DB);
    const struct od_gpu_tensor b = od_gpu_fold_b(gpu, op);
    od_gpu_product(gpu, &(struct od_matmul_call){.m = gpu->tokens,
                                                 .n = op->fold,
                                                 .k = op->n,
                                                 .a = dy.at,
                                                 .lda = dy.stride,
                                                 .b = b.at,
                                                 .ldb = b.stride,
                                                 .d = dxa.at,
                                                 .ldd = dxa.stride,
                                                 .alpha = 1.0F});
    od_gpu_scatter_ids(gpu, od_gpu_slot_tensor(gpu, op, OD_SLOT_DA), dxa, op->rank);
    od_gpu_product(gpu, &(struct od_matmul_call){.m = op->n,
                                                 .n = op->rank,
                                                 .k = gpu->tokens,
                                                 .a = dy.at,
                                                 .lda = dy.stride,
                                                 .a_transposed = true,
                                                 .b = xa.at,
                                                 .ldb = xa.stride,
                                                 .c = db.at,
                                                 .ldc = db.stride,
                                                 .d = db.at,
                                                 .ldd = db.stride,
                                                 .d_is_float = true,
                                                 .alpha = op->scale});
}
