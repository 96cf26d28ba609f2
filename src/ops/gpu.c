#include "ops/gpu.h"

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/log.h"
#include "base/status.h"
#include "device/cuda/cuda.h"
#include "device/cuda/matmul.h"
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

void od_gpu_product(struct od_gpu *gpu, const struct od_matmul_call *call)
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
    const struct od_gpu_adapted on = od_gpu_adapted(gpu, op);
    od_gpu_fold_input(gpu, op, &on);
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
        od_gpu_product(gpu, &(struct od_matmul_call){.m = gpu->tokens,
                                                     .n = op->n,
                                                     .k = op->fold,
                                                     .a = od_gpu_column(x, op->k),
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
    od_gpu_product(
        gpu, &(struct od_matmul_call){.m = gpu->tokens,
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
    od_gpu_product(gpu, &(struct od_matmul_call){.m = gpu->tokens,
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

// dX = (dY R)^ C (+ s dY B A), what is skinny first.
static void input_gradient_e4m3(struct od_gpu *gpu, const struct od_op *op)
{
    const struct od_gpu_tensor dy = od_gpu_slot_tensor(gpu, op, OD_SLOT_DY);
    const struct od_gpu_tensor dx = od_gpu_slot_tensor(gpu, op, OD_SLOT_DX);
    const struct od_gpu_tensor a = od_gpu_fold_a(gpu, op);
    const struct od_gpu_rounded rounded = od_gpu_round_e4m3(gpu, op);
    od_dev add = op->accumulate ? dx.at : 0;
    od_gpu_transpose_e4m3(gpu, op);
    if (op->fold > 0 && !od_gpu_drops(gpu, op)) {
        od_gpu_product(gpu, &(struct od_matmul_call){.m = gpu->tokens,
                                                     .n = op->k,
                                                     .k = op->fold,
                                                     .a = od_gpu_column(dy, op->n),
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
    od_gpu_product(gpu, &(struct od_matmul_call){.m = gpu->tokens,
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
    const struct od_gpu_adapted on = od_gpu_adapted(gpu, op);
    decode(gpu, op);
    if (op->refold) {
        fold_input(gpu, op);
    }
    if (op->fold > 0) {
        od_gpu_fold_gradient(gpu, op, &on);
        od_gpu_mark(gpu, OD_GPU_PART_ADAPTER_BWD);
    }
    if (dx.at != 0 && op->quant == OD_QUANT_E4M3) {
        input_gradient_e4m3(gpu, op);
    } else if (dx.at != 0) {
        od_gpu_product(gpu,
                       &(struct od_matmul_call){.m = gpu->tokens,
                                                .n = op->k,
                                                .k = op->n + (od_gpu_drops(gpu, op) ? 0 : op->fold),
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
        od_gpu_product(gpu, &(struct od_matmul_call){.m = op->n,
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
        od_gpu_adapter_bwd(gpu, op, &on);
        od_gpu_mark(gpu, OD_GPU_PART_ADAPTER_BWD_W);
    }
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
    case OD_OP_HEAD_LOSS: od_gpu_head_loss(gpu, op); break;
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
