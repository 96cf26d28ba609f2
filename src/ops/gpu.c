#include "ops/gpu.h"

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/log.h"
#include "base/status.h"
#include "device/cuda/cuda.h"
#include "device/cuda/matmul.h"
#include "ops/adamw/adamw_cuda.h"
#include "ops/attention/attention_cuda.h"
#include "ops/gpu_internal.h"
#include "ops/linear/decode_cuda.h"
#include "ops/op.h"

struct od_gpu_tensor od_gpu_slot_tensor(const struct od_gpu *gpu, const struct od_op *op,
                                        enum od_slot slot)
{
    const int32_t number = op->slot[slot];
    return number < 0 ? (struct od_gpu_tensor){0} : gpu->tensors[number];
}

// Those that begin with od_follow (gpu.cuh).
static const bool follows[OD_GPU_KERNEL_COUNT] = {[OD_GPU_EMBED] = true,
                                                  [OD_GPU_RMS_NORM] = true,
                                                  [OD_GPU_LAYER_NORM] = true,
                                                  [OD_GPU_HEAD_NORM] = true,
                                                  [OD_GPU_POSITIONS] = true,
                                                  [OD_GPU_ROPE] = true,
                                                  [OD_GPU_GLU] = true,
                                                  [OD_GPU_GLU_GELU] = true,
                                                  [OD_GPU_GLU_GELU_TANH] = true,
                                                  [OD_GPU_ACTIVATION] = true,
                                                  [OD_GPU_ACTIVATION_GELU] = true,
                                                  [OD_GPU_ACTIVATION_GELU_TANH] = true,
                                                  [OD_GPU_GATHER_ROWS] = true,
                                                  [OD_GPU_SCATTER_ROWS] = true,
                                                  [OD_GPU_ADD] = true};

void od_gpu_launch(struct od_gpu *gpu, enum od_gpu_kernel kernel, unsigned x, unsigned y,
                   void **args)
{
    od_cuda_launch(gpu->cuda, gpu->kernel[kernel],
                   (struct od_cuda_grid){.x = x,
                                         .y = y,
                                         .threads = OD_GPU_THREADS_PER_BLOCK,
                                         .overlaps = gpu->overlaps && follows[kernel]},
                   args);
}

static od_dev column(struct od_gpu_tensor tensor, int64_t c)
{
    return tensor.at + (uint64_t)c * (tensor.is_float ? 4u : 2u);
}

static od_dev row(struct od_gpu_tensor tensor, int64_t r)
{
    return column(tensor, r * tensor.stride);
}

static void product(struct od_gpu *gpu, const struct od_matmul_call *call)
{
    if (gpu->tuning && gpu->tune_error.status == OD_OK) {
        const enum od_status status = od_matmul_tune(gpu->matmul, call, &gpu->tune_error);
        gpu->tune_error.status = status;
    }
    od_matmul_run(gpu->matmul, call);
}

void od_gpu_attend(struct od_gpu *gpu, enum od_attention_kernel kind, int64_t tiles,
                   struct od_attention_args *args)
{
    const struct od_attention_launch *launch = gpu->attention_launch[kind];
    void *arguments[] = {args};
    struct od_cuda_grid grid = {
        .x = (unsigned)tiles,
        .y = (unsigned)(kind == OD_ATTENTION_DKDV ? args->kv_heads : args->heads),
        .threads = (unsigned)launch->threads,
        .shared_bytes = (unsigned)launch->shared_bytes};
    args->queue = (int32_t *)(uintptr_t)gpu->queue;
    if (launch->queued) {  // one block for each multiprocessor takes tiles until none is left
        grid.x = (unsigned)od_cuda_info(gpu->cuda)->multiprocessors;
        grid.y = 1;
    }
    od_cuda_launch(gpu->cuda, gpu->attention[kind], grid, arguments);
}

static void attention_launch(struct od_gpu *gpu, enum od_attention_kernel kind, int tiles,
                             struct od_attention_args *args)
{
    const int32_t lists[] = {gpu->inputs.query_tiles, gpu->inputs.key_tiles,
                             gpu->inputs.dquery_tiles};
    args->tiles = (const struct od_attention_tile *)(uintptr_t)od_gpu_input(gpu, lists[tiles]);
    args->tile_count = (const int32_t *)(uintptr_t)od_gpu_count_at(gpu, (enum od_gpu_count)tiles);
    od_gpu_attend(gpu, kind, gpu->now.tiles[tiles], args);
}

static void *address(od_dev at)
{
    return (void *)(uintptr_t)at;
}

static void attention(struct od_gpu *gpu, const struct od_op *op, bool backward)
{
    const struct od_gpu_tensor x = od_gpu_slot_tensor(gpu, op, OD_SLOT_X);
    const struct od_gpu_tensor y = od_gpu_slot_tensor(gpu, op, OD_SLOT_Y);
    const struct od_gpu_tensor lse = od_gpu_slot_tensor(gpu, op, OD_SLOT_AUX);
    const struct od_gpu_tensor dy = od_gpu_slot_tensor(gpu, op, OD_SLOT_DY);
    const struct od_gpu_tensor dx = od_gpu_slot_tensor(gpu, op, OD_SLOT_DX);
    const struct od_gpu_tensor delta = od_gpu_slot_tensor(gpu, op, OD_SLOT_WORK);
    struct od_attention_args args = {.qkv = address(x.at),
                                     .o = address(y.at),
                                     .lse = address(lse.at),
                                     .d_o = address(dy.at),
                                     .dqkv = address(dx.at),
                                     .delta = address(delta.at),
                                     .ld_qkv = x.stride,
                                     .ld_o = y.stride,
                                     .ld_do = dy.stride,
                                     .ld_dqkv = dx.stride,
                                     .heads = op->heads,
                                     .kv_heads = op->kv_heads,
                                     .head_dim = op->head_dim,
                                     .window = op->window,
                                     .scale = op->scale};
    if (!backward) {
        attention_launch(gpu, OD_ATTENTION_FORWARD, 0, &args);
        return;
    }
    attention_launch(gpu, OD_ATTENTION_DELTA, 0, &args);
    attention_launch(gpu, OD_ATTENTION_DKDV, 1, &args);
    attention_launch(gpu, OD_ATTENTION_DQ, 2, &args);
}

// to (+)= from * mask / (1 - p), [T, K].
static void drop(struct od_gpu *gpu, const struct od_op *op, struct od_gpu_tensor to,
                 struct od_gpu_tensor from, bool add_to)
{
    od_dev pass = od_gpu_count_at(gpu, OD_GPU_COUNT_PASS);
    uint64_t seed = gpu->now.dropout_seed;
    uint32_t stream = op->stream;
    uint32_t threshold = (uint32_t)((double)op->dropout * 4294967296.0);
    float scale = 1.0F / (1.0F - op->dropout);
    int accumulate = add_to;
    int64_t cols = op->k;
    void *args[] = {&to.at,  &to.stride, &from.at,   &from.stride, &cols,      &seed,
                    &stream, &pass,      &threshold, &scale,       &accumulate};
    od_gpu_launch(gpu, OD_GPU_DROPOUT, (unsigned)gpu->tokens, 1, args);
}

static bool drops(const struct od_gpu *gpu, const struct od_op *op)
{
    return op->dropout > 0.0F && gpu->now.want_gradient;
}

// W and what is folded into it from codes and fp32 adapters.
static void decode(struct od_gpu *gpu, const struct od_op *op)
{
    const struct od_gpu_tensor w = od_gpu_slot_tensor(gpu, op, OD_SLOT_W);
    struct od_decode_call call = {.w = w.at,
                                  .ldw = w.stride,
                                  .codes = od_gpu_slot_tensor(gpu, op, OD_SLOT_CODES).at,
                                  .scales = od_gpu_slot_tensor(gpu, op, OD_SLOT_SCALES).at,
                                  .a = od_gpu_slot_tensor(gpu, op, OD_SLOT_A).at,
                                  .b = od_gpu_slot_tensor(gpu, op, OD_SLOT_B).at,
                                  .n = op->n,
                                  .k = op->k,
                                  .rank = op->rank,
                                  .fold = op->fold,
                                  .scale = op->scale,
                                  .part_count = op->quant_count,
                                  .adapter_count = op->part_count};
    if (op->quant == OD_QUANT_NONE || op->quant == OD_QUANT_E4M3) {
        return;
    }
    for (int32_t i = 0; i < op->quant_count; i++) {
        call.part[i] = op->quant_part[i];
    }
    for (int32_t i = 0; i < op->part_count; i++) {
        call.adapter[i] = op->part[i];
    }
    void *args[] = {&call};
    od_gpu_launch(gpu, op->quant == OD_QUANT_NF4 ? OD_GPU_DECODE_NF4 : OD_GPU_DECODE_INT8,
                  (unsigned)(op->n + op->fold),
                  od_gpu_blocks(op->k, OD_DECODE_SPAN) + (op->fold > 0), args);
    od_gpu_mark(gpu, OD_GPU_PART_DECODE);
}

// X A^T into the spare columns of X.
static void fold_input(struct od_gpu *gpu, const struct od_op *op)
{
    const struct od_gpu_tensor x = od_gpu_slot_tensor(gpu, op, OD_SLOT_X);
    const struct od_gpu_tensor a = od_gpu_fold_a(gpu, op);
    struct od_gpu_tensor from = x;
    if (drops(gpu, op)) {
        from = od_gpu_slot_tensor(gpu, op, OD_SLOT_WORK);
        drop(gpu, op, from, x, false);
    }
    product(gpu, &(struct od_matmul_call){.m = gpu->tokens,
                                          .n = op->fold,
                                          .k = op->k,
                                          .a = from.at,
                                          .lda = from.stride,
                                          .b = a.at,
                                          .ldb = a.stride,
                                          .b_transposed = true,
                                          .d = column(x, op->k),
                                          .ldd = x.stride,
                                          .alpha = 1.0F});
    od_gpu_mark(gpu, OD_GPU_PART_ADAPTER);
}

// Y = X^ W^^T (+ X A^T s B^T) (+ RES) (+ BIAS): what is skinny first, so that the product that has time
// for it adds the rest.
static void linear_e4m3(struct od_gpu *gpu, const struct od_op *op)
{
    const struct od_gpu_tensor x = od_gpu_slot_tensor(gpu, op, OD_SLOT_X);
    const struct od_gpu_tensor y = od_gpu_slot_tensor(gpu, op, OD_SLOT_Y);
    const struct od_gpu_tensor b = od_gpu_fold_b(gpu, op);
    struct od_gpu_tensor add = od_gpu_slot_tensor(gpu, op, OD_SLOT_RES);
    const struct od_gpu_rounded rounded = od_gpu_round_e4m3(gpu, op);
    if (op->fold > 0) {
        fold_input(gpu, op);
        product(gpu, &(struct od_matmul_call){.m = gpu->tokens,
                                              .n = op->n,
                                              .k = op->fold,
                                              .a = column(x, op->k),
                                              .lda = x.stride,
                                              .b = b.at,
                                              .ldb = b.stride,
                                              .b_transposed = true,
                                              .c = add.at,
                                              .ldc = add.stride,
                                              .d = y.at,
                                              .ldd = y.stride,
                                              .alpha = 1.0F});
        od_gpu_mark(gpu, OD_GPU_PART_ADAPTER);
        add = y;
    }
    product(gpu,
            &(struct od_matmul_call){.m = gpu->tokens,
                                     .n = op->n,
                                     .k = op->k,
                                     .a = rounded.codes,
                                     .lda = op->k,
                                     .b = od_gpu_slot_tensor(gpu, op, OD_SLOT_CODES).at,
                                     .ldb = op->k,
                                     .b_transposed = true,
                                     .c = add.at,
                                     .ldc = add.stride,
                                     .bias = od_gpu_slot_tensor(gpu, op, OD_SLOT_BIAS).at,
                                     .d = y.at,
                                     .ldd = y.stride,
                                     .alpha = 1.0F,
                                     .is_e4m3 = true,
                                     .a_scale = rounded.scales,
                                     .b_scale = od_gpu_slot_tensor(gpu, op, OD_SLOT_SCALES).at});
    od_gpu_mark(gpu, OD_GPU_PART_PRODUCT);
}

// Y = [X | X A^T] [W | s B]^T (+ RES) (+ BIAS)
static void linear(struct od_gpu *gpu, const struct od_op *op)
{
    const struct od_gpu_tensor x = od_gpu_slot_tensor(gpu, op, OD_SLOT_X);
    const struct od_gpu_tensor w = od_gpu_slot_tensor(gpu, op, OD_SLOT_W);
    const struct od_gpu_tensor y = od_gpu_slot_tensor(gpu, op, OD_SLOT_Y);
    const struct od_gpu_tensor res = od_gpu_slot_tensor(gpu, op, OD_SLOT_RES);
    const struct od_gpu_tensor bias = od_gpu_slot_tensor(gpu, op, OD_SLOT_BIAS);
    if (op->quant == OD_QUANT_E4M3) {
        linear_e4m3(gpu, op);
        return;
    }
    decode(gpu, op);
    if (op->fold > 0) {
        fold_input(gpu, op);
    }
    product(gpu, &(struct od_matmul_call){.m = gpu->tokens,
                                          .n = op->n,
                                          .k = op->k + op->fold,
                                          .a = x.at,
                                          .lda = x.stride,
                                          .b = w.at,
                                          .ldb = w.stride,
                                          .b_transposed = true,
                                          .c = res.at,
                                          .ldc = res.stride,
                                          .bias = bias.at,
                                          .d = y.at,
                                          .ldd = y.stride,
                                          .alpha = 1.0F});
    od_gpu_mark(gpu, OD_GPU_PART_PRODUCT);
}

// Gradients of A and B: sums over the tokens, added in fp32.
// `input` is what A was applied to, X A^T lies beside `x`.
static void adapter_bwd(struct od_gpu *gpu, const struct od_op *op, struct od_gpu_tensor input,
                        struct od_gpu_tensor x, struct od_gpu_tensor dy)
{
    const struct od_gpu_tensor da = od_gpu_slot_tensor(gpu, op, OD_SLOT_DA);
    const struct od_gpu_tensor db = od_gpu_slot_tensor(gpu, op, OD_SLOT_DB);
    product(gpu, &(struct od_matmul_call){.m = op->rank * op->part_count,
                                          .n = op->k,
                                          .k = gpu->tokens,
                                          .a = column(dy, op->n),
                                          .lda = dy.stride,
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
        const od_dev d = row(db, part->b_row);
        product(gpu, &(struct od_matmul_call){.m = part->rows,
                                              .n = op->rank,
                                              .k = gpu->tokens,
                                              .a = column(dy, part->row),
                                              .lda = dy.stride,
                                              .a_transposed = true,
                                              .b = column(x, op->k + i * op->rank),
                                              .ldb = x.stride,
                                              .c = d,
                                              .ldc = db.stride,
                                              .d = d,
                                              .ldd = db.stride,
                                              .d_is_float = true,
                                              .alpha = op->scale});
    }
}

// The adapter's gradients through dropout: its input is drawn anew, and its share of dX goes through
// the mask.
static void dropped_bwd(struct od_gpu *gpu, const struct od_op *op, struct od_gpu_tensor x,
                        struct od_gpu_tensor dy, struct od_gpu_tensor dx)
{
    const struct od_gpu_tensor work = od_gpu_slot_tensor(gpu, op, OD_SLOT_WORK);
    const struct od_gpu_tensor a = od_gpu_fold_a(gpu, op);
    drop(gpu, op, work, x, false);
    adapter_bwd(gpu, op, work, x, dy);
    if (dx.at == 0) {
        return;
    }
    product(gpu, &(struct od_matmul_call){.m = gpu->tokens,
                                          .n = op->k,
                                          .k = op->fold,
                                          .a = column(dy, op->n),
                                          .lda = dy.stride,
                                          .b = a.at,
                                          .ldb = a.stride,
                                          .d = work.at,
                                          .ldd = work.stride,
                                          .alpha = 1.0F});
    drop(gpu, op, dx, work, true);
}

// dX = (dY R)^ C (+ s dY B A), what is skinny first.
static void input_gradient_e4m3(struct od_gpu *gpu, const struct od_op *op)
{
    const struct od_gpu_tensor dy = od_gpu_slot_tensor(gpu, op, OD_SLOT_DY);
    const struct od_gpu_tensor dx = od_gpu_slot_tensor(gpu, op, OD_SLOT_DX);
    const struct od_gpu_tensor a = od_gpu_fold_a(gpu, op);
    const struct od_gpu_rounded rounded = od_gpu_round_e4m3(gpu, op);
    od_dev add = op->accumulate ? dx.at : 0;
    od_gpu_transpose_e4m3(gpu, op);
    if (op->fold > 0 && !drops(gpu, op)) {
        product(gpu, &(struct od_matmul_call){.m = gpu->tokens,
                                              .n = op->k,
                                              .k = op->fold,
                                              .a = column(dy, op->n),
                                              .lda = dy.stride,
                                              .b = a.at,
                                              .ldb = a.stride,
                                              .c = add,
                                              .ldc = dx.stride,
                                              .d = dx.at,
                                              .ldd = dx.stride,
                                              .alpha = 1.0F});
        od_gpu_mark(gpu, OD_GPU_PART_ADAPTER_BWD);
        add = dx.at;
    }
    product(gpu, &(struct od_matmul_call){.m = gpu->tokens,
                                          .n = op->k,
                                          .k = op->n,
                                          .a = rounded.codes,
                                          .lda = op->n,
                                          .b = od_gpu_slot_tensor(gpu, op, OD_SLOT_W).at,
                                          .ldb = op->n,
                                          .b_transposed = true,
                                          .c = add,
                                          .ldc = dx.stride,
                                          .d = dx.at,
                                          .ldd = dx.stride,
                                          .alpha = 1.0F,
                                          .is_e4m3 = true,
                                          .a_scale = rounded.scales,
                                          .b_scale = gpu->ones});
    od_gpu_mark(gpu, OD_GPU_PART_PRODUCT_BWD_X);
}

// dX = [dY | s dY B] [W ; A]
static void linear_bwd(struct od_gpu *gpu, const struct od_op *op)
{
    const struct od_gpu_tensor x = od_gpu_slot_tensor(gpu, op, OD_SLOT_X);
    const struct od_gpu_tensor w = od_gpu_slot_tensor(gpu, op, OD_SLOT_W);
    const struct od_gpu_tensor dy = od_gpu_slot_tensor(gpu, op, OD_SLOT_DY);
    const struct od_gpu_tensor dx = od_gpu_slot_tensor(gpu, op, OD_SLOT_DX);
    const struct od_gpu_tensor dw = od_gpu_slot_tensor(gpu, op, OD_SLOT_DW);
    const struct od_gpu_tensor dbias = od_gpu_slot_tensor(gpu, op, OD_SLOT_DBIAS);
    decode(gpu, op);
    if (op->refold) {
        fold_input(gpu, op);
    }
    if (op->fold > 0) {
        const struct od_gpu_tensor b = od_gpu_fold_b(gpu, op);
        product(gpu, &(struct od_matmul_call){.m = gpu->tokens,
                                              .n = op->fold,
                                              .k = op->n,
                                              .a = dy.at,
                                              .lda = dy.stride,
                                              .b = b.at,
                                              .ldb = b.stride,
                                              .d = column(dy, op->n),
                                              .ldd = dy.stride,
                                              .alpha = 1.0F});
        od_gpu_mark(gpu, OD_GPU_PART_ADAPTER_BWD);
    }
    if (dx.at != 0 && op->quant == OD_QUANT_E4M3) {
        input_gradient_e4m3(gpu, op);
    } else if (dx.at != 0) {
        product(gpu, &(struct od_matmul_call){.m = gpu->tokens,
                                              .n = op->k,
                                              .k = op->n + (drops(gpu, op) ? 0 : op->fold),
                                              .a = dy.at,
                                              .lda = dy.stride,
                                              .b = w.at,
                                              .ldb = w.stride,
                                              .c = op->accumulate ? dx.at : 0,
                                              .ldc = dx.stride,
                                              .d = dx.at,
                                              .ldd = dx.stride,
                                              .alpha = 1.0F});
        od_gpu_mark(gpu, OD_GPU_PART_PRODUCT_BWD_X);
    }
    if (dw.at != 0) {
        product(gpu, &(struct od_matmul_call){.m = op->n,
                                              .n = op->k,
                                              .k = gpu->tokens,
                                              .a = dy.at,
                                              .lda = dy.stride,
                                              .a_transposed = true,
                                              .b = x.at,
                                              .ldb = x.stride,
                                              .c = dw.at,
                                              .ldc = dw.stride,
                                              .d = dw.at,
                                              .ldd = dw.stride,
                                              .d_is_float = true,
                                              .alpha = 1.0F});
        od_gpu_mark(gpu, OD_GPU_PART_PRODUCT_BWD_W);
    }
    if (dbias.at != 0) {
        od_gpu_sum_columns(gpu, dbias.at, dy, op->n);
        od_gpu_mark(gpu, OD_GPU_PART_ADD);
    }
    if (op->fold > 0) {
        if (drops(gpu, op)) {
            dropped_bwd(gpu, op, x, dy, dx);
        } else {
            adapter_bwd(gpu, op, x, x, dy);
        }
        od_gpu_mark(gpu, OD_GPU_PART_ADAPTER_BWD_W);
    }
}

// Parts of the loss's scratch.
struct head {
    struct od_gpu_tensor x;
    struct od_gpu_tensor w;
    struct od_gpu_tensor dx;
    struct od_gpu_tensor dw;
    od_dev losses;
    od_dev rows;
    od_dev logits;
    od_dev gathered;
    od_dev dgathered;
    int64_t ld_logits;
};

// `rows` labelled rows from `first` on (rounded up): logits, losses, and where asked the gradients.
static void head_chunk(struct od_gpu *gpu, const struct od_op *op, struct head *h, int64_t first,
                       int64_t padded)
{
    od_dev labels = od_gpu_count_at(gpu, OD_GPU_COUNT_LABELS);
    od_dev scale = od_gpu_count_at(gpu, OD_GPU_COUNT_LOSS_SCALE);
    od_dev targets = od_gpu_input(gpu, gpu->inputs.targets);
    int64_t v = op->n;
    int64_t c = op->k;
    int gradient = gpu->now.want_gradient;
    void *gather[] = {&h->gathered, &c, &h->x.at, &h->x.stride, &h->rows, &labels, &first, &c};
    void *entropy[] = {&h->logits, &h->ld_logits, &v,     &h->rows,   &labels,
                       &first,     &targets,      &scale, &h->losses, &gradient};
    void *scatter[] = {&h->dx.at, &h->dx.stride, &h->dgathered, &c, &h->rows, &labels, &first, &c};

    od_gpu_launch(gpu, OD_GPU_GATHER_ROWS, (unsigned)padded, 1, gather);
    product(gpu, &(struct od_matmul_call){.m = padded,
                                          .n = h->ld_logits,
                                          .k = c,
                                          .a = h->gathered,
                                          .lda = c,
                                          .b = h->w.at,
                                          .ldb = h->w.stride,
                                          .b_transposed = true,
                                          .d = h->logits,
                                          .ldd = h->ld_logits,
                                          .alpha = 1.0F});
    od_gpu_launch(gpu, OD_GPU_CROSS_ENTROPY, (unsigned)padded, 1, entropy);
    if (!gradient) {
        return;
    }
    if (h->dx.at != 0) {
        product(gpu, &(struct od_matmul_call){.m = padded,
                                              .n = c,
                                              .k = h->ld_logits,
                                              .a = h->logits,
                                              .lda = h->ld_logits,
                                              .b = h->w.at,
                                              .ldb = h->w.stride,
                                              .d = h->dgathered,
                                              .ldd = c,
                                              .alpha = 1.0F});
        od_gpu_launch(gpu, OD_GPU_SCATTER_ROWS, (unsigned)padded, 1, scatter);
    }
    if (h->dw.at != 0) {
        product(gpu, &(struct od_matmul_call){.m = v,
                                              .n = c,
                                              .k = padded,
                                              .a = h->logits,
                                              .lda = h->ld_logits,
                                              .a_transposed = true,
                                              .b = h->gathered,
                                              .ldb = c,
                                              .c = h->dw.at,
                                              .ldc = h->dw.stride,
                                              .d = h->dw.at,
                                              .ldd = h->dw.stride,
                                              .d_is_float = true,
                                              .alpha = 1.0F});
    }
}

static void head_loss(struct od_gpu *gpu, const struct od_op *op)
{
    const struct od_gpu_tensor work = od_gpu_slot_tensor(gpu, op, OD_SLOT_WORK);
    const int64_t chunk = work.rows;
    struct head h = {.x = od_gpu_slot_tensor(gpu, op, OD_SLOT_X),
                     .w = od_gpu_slot_tensor(gpu, op, OD_SLOT_W),
                     .dx = od_gpu_slot_tensor(gpu, op, OD_SLOT_DX),
                     .dw = od_gpu_slot_tensor(gpu, op, OD_SLOT_DW),
                     .losses = od_gpu_slot_tensor(gpu, op, OD_SLOT_AUX).at,
                     .rows = od_gpu_input(gpu, gpu->inputs.label_rows),
                     .logits = work.at,
                     .ld_logits = od_head_columns(op->n)};
    od_dev sum = gpu->stats + offsetof(struct od_adamw_stats, loss_sum);
    od_dev count = od_gpu_count_at(gpu, OD_GPU_COUNT_LABELS);
    const int64_t labels = gpu->now.labels;
    void *args[] = {&sum, &h.losses, &count};
    h.gathered = h.logits + (uint64_t)(chunk * h.ld_logits) * 2u;
    h.dgathered = h.gathered + (uint64_t)(chunk * op->k) * 2u;
    if (h.dx.at != 0 && gpu->now.want_gradient) {
        od_cuda_fill(gpu->cuda, h.dx.at, 0, h.dx.bytes);
    }
    for (int64_t rows = OD_GPU_HEAD_STEP; gpu->tuning && rows <= chunk; rows += OD_GPU_HEAD_STEP) {
        head_chunk(gpu, op, &h, 0, rows);
    }
    for (int64_t first = 0; first < labels; first += chunk) {
        head_chunk(gpu, op, &h, first, labels - first < chunk ? labels - first : chunk);
    }
    od_gpu_launch(gpu, OD_GPU_SUM_LOSSES, 1, 1, args);
}

enum od_gpu_part od_gpu_part_of(enum od_op_kind kind)
{
    switch (kind) {
    case OD_OP_EMBED:
    case OD_OP_EMBED_BWD:
    case OD_OP_POSITIONS:
    case OD_OP_POSITIONS_BWD: return OD_GPU_PART_EMBED;
    case OD_OP_RMS_NORM:
    case OD_OP_LAYER_NORM:
    case OD_OP_HEAD_NORM: return OD_GPU_PART_NORM;
    case OD_OP_RMS_NORM_BWD:
    case OD_OP_LAYER_NORM_BWD:
    case OD_OP_HEAD_NORM_BWD: return OD_GPU_PART_NORM_BWD;
    case OD_OP_ROPE:
    case OD_OP_ROPE_BWD: return OD_GPU_PART_ROPE;
    case OD_OP_ATTENTION: return OD_GPU_PART_ATTENTION;
    case OD_OP_ATTENTION_BWD: return OD_GPU_PART_ATTENTION_BWD;
    case OD_OP_GLU:
    case OD_OP_ACTIVATION: return OD_GPU_PART_GLU;
    case OD_OP_GLU_BWD:
    case OD_OP_ACTIVATION_BWD: return OD_GPU_PART_GLU_BWD;
    case OD_OP_ADD: return OD_GPU_PART_ADD;
    case OD_OP_STORE:
    case OD_OP_STORED:
    case OD_OP_FETCH:
    case OD_OP_FETCHED: return OD_GPU_PART_COPY;
    case OD_OP_HEAD_LOSS: return OD_GPU_PART_HEAD;
    case OD_OP_LINEAR:
    case OD_OP_LINEAR_BWD:
    case OD_OP_ATTENTION_CACHED:
    case OD_OP_HEAD_LOGITS:
    case OD_OP_COUNT: break;
    }
    return OD_GPU_PART_OTHER;
}

// What the backward pass will fetch; a pass without one stores nothing.
static void store(struct od_gpu *gpu, const struct od_op *op)
{
    const struct od_gpu_tensor x = od_gpu_slot_tensor(gpu, op, OD_SLOT_X);
    const struct od_gpu_tensor host = od_gpu_slot_tensor(gpu, op, OD_SLOT_AUX);
    assert(host.is_host && host.bytes == x.bytes);
    if (gpu->now.want_gradient) {
        od_cuda_aside_download(gpu->cuda, address(host.at), x.at, x.bytes);
    }
}

static void fetch(struct od_gpu *gpu, const struct od_op *op)
{
    const struct od_gpu_tensor y = od_gpu_slot_tensor(gpu, op, OD_SLOT_Y);
    const struct od_gpu_tensor host = od_gpu_slot_tensor(gpu, op, OD_SLOT_AUX);
    assert(host.is_host && host.bytes == y.bytes);
    od_cuda_aside_upload(gpu->cuda, y.at, address(host.at), y.bytes);
}

void od_gpu_run(struct od_gpu *gpu, const struct od_op *op)
{
    switch (op->kind) {
    case OD_OP_LINEAR: linear(gpu, op); break;
    case OD_OP_LINEAR_BWD: linear_bwd(gpu, op); break;
    case OD_OP_ATTENTION: attention(gpu, op, false); break;
    case OD_OP_ATTENTION_BWD: attention(gpu, op, true); break;
    case OD_OP_HEAD_LOSS: head_loss(gpu, op); break;
    case OD_OP_STORE: store(gpu, op); break;
    case OD_OP_FETCH: fetch(gpu, op); break;
    case OD_OP_STORED:
    case OD_OP_FETCHED:
        if (gpu->now.want_gradient) {
            od_cuda_aside_join(gpu->cuda);
        }
        break;
    case OD_OP_EMBED:
    case OD_OP_EMBED_BWD:
    case OD_OP_POSITIONS:
    case OD_OP_POSITIONS_BWD:
    case OD_OP_RMS_NORM:
    case OD_OP_RMS_NORM_BWD:
    case OD_OP_LAYER_NORM:
    case OD_OP_LAYER_NORM_BWD:
    case OD_OP_HEAD_NORM:
    case OD_OP_HEAD_NORM_BWD:
    case OD_OP_ROPE:
    case OD_OP_ROPE_BWD:
    case OD_OP_GLU:
    case OD_OP_GLU_BWD:
    case OD_OP_ACTIVATION:
    case OD_OP_ACTIVATION_BWD:
    case OD_OP_ADD: od_gpu_run_rows(gpu, op); break;
    case OD_OP_ATTENTION_CACHED:  // programs for generation are refused before
    case OD_OP_HEAD_LOGITS:
    case OD_OP_COUNT: assert(false); break;
    }
    if (op->kind != OD_OP_LINEAR && op->kind != OD_OP_LINEAR_BWD) {
        od_gpu_mark(gpu, od_gpu_part_of(op->kind));
    }
}

static void queue_pass(struct od_gpu *gpu)
{
    const int32_t count = gpu->now.want_gradient ? gpu->op_count : gpu->forward_count;
    for (int32_t i = 0; i < count; i++) {
        od_gpu_run(gpu, &gpu->ops[i]);
    }
}

static bool is_same_kind(const struct od_gpu_now *a, const struct od_gpu_now *b)
{
    return a->labels == b->labels && a->tiles[0] == b->tiles[0] && a->tiles[1] == b->tiles[1] &&
           a->tiles[2] == b->tiles[2] && a->want_gradient == b->want_gradient;
}

void od_gpu_use_graphs(struct od_gpu *gpu, bool use)
{
    gpu->no_graphs = !use;
}

// The second batch of a kind is recorded: by then every kernel that it needs has run once, and nothing
// is loaded while the stream is recorded.
static struct od_gpu_recording *record(struct od_gpu *gpu)
{
    struct od_gpu_recording *found = NULL;
    for (int i = 0; i < gpu->recording_count; i++) {
        if (is_same_kind(&gpu->recording[i].kind, &gpu->now)) {
            found = &gpu->recording[i];
        }
    }
    if (!found && gpu->recording_count < OD_GPU_GRAPHS_MAX) {
        gpu->recording[gpu->recording_count++].kind = gpu->now;
        return NULL;
    }
    if (!found || found->graph || gpu->graph_count == gpu->graphs_most) {
        return found;
    }
    struct od_error why = {0};
    enum od_status status = od_cuda_graph_begin(gpu->cuda, &why);
    if (status == OD_OK) {
        queue_pass(gpu);
        status = od_cuda_graph_end(gpu->cuda, &found->graph, &why);
    }
    gpu->graph_count += status == OD_OK;
    if (status != OD_OK) {
        od_log(OD_LOG_WARNING, "steps run without graphs: %s", why.message);
        gpu->no_graphs = true;
        found->graph = NULL;
    }
    return found;
}

void od_gpu_pass(struct od_gpu *gpu)
{
    struct od_gpu_recording *recording = NULL;
    if (!gpu->no_graphs && !gpu->profile.on && !gpu->tuning) {
        recording = record(gpu);
    }
    if (recording && recording->graph) {
        od_cuda_graph_launch(gpu->cuda, recording->graph);
    } else {
        queue_pass(gpu);
    }
}

enum od_status od_gpu_tune(struct od_gpu *gpu, struct od_error *err)
{
    gpu->tuning = true;
    gpu->tune_error = (struct od_error){0};
    queue_pass(gpu);
    gpu->tuning = false;
    if (gpu->tune_error.status != OD_OK) {
        const enum od_status status = gpu->tune_error.status;
        if (err) {
            *err = gpu->tune_error;
        }
        return status;
    }
    return od_cuda_sync(gpu->cuda, err);
}
