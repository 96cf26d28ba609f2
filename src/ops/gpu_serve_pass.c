// A pass of serving on a GPU: its lists on the way in, the operations, the head, the logits on the way
// out.

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/status.h"
#include "device/cuda/cuda.h"
#include "device/cuda/matmul.h"
#include "device/cuda/matmul_rows.h"
#include "ops/gpu.h"
#include "ops/gpu_internal.h"
#include "ops/gpu_serve.h"
#include "ops/gpu_serve_internal.h"
#include "ops/linear/lora_cuda.h"
#include "ops/op.h"
#include "ops/paged/paged.h"
#include "ops/vector/vector.h"

enum { WARP = 32 };

void *od_serve_take(struct od_gpu_serve *serve, size_t bytes, od_dev *ret_device)
{
    struct od_serve_pen *pen = &serve->pen;
    assert(pen->used + bytes <= pen->capacity);
    void *taken = pen->host + pen->used;
    *ret_device = pen->device + pen->used;
    pen->used += (bytes + 15u) & ~(size_t)15u;
    return taken;
}

static int32_t *take_words(struct od_gpu_serve *serve, int64_t count, od_dev *ret_device)
{
    return od_serve_take(serve, (size_t)count * sizeof(int32_t), ret_device);
}

// Words of the caller; an input of the program lies where they will be.
static void take_input(struct od_gpu_serve *serve, int32_t tensor, const int32_t *from,
                       int64_t count)
{
    od_dev device = 0;
    int32_t *to = take_words(serve, count, &device);
    memcpy(to, from, (size_t)count * sizeof *to);
    if (tensor >= 0) {
        serve->gpu->tensors[tensor].at = device;
    }
}

// Where the rows lie in the cache. The page numbers come last: their number is known afterwards.
static void take_rows(struct od_gpu_serve *serve, const struct od_gpu_serve_pass *pass,
                      struct od_paged_rows *rows)
{
    struct od_serve_now *now = &serve->now;
    rows->runs = serve->run_room;
    rows->row_table = take_words(serve, pass->rows, &now->row_table);
    rows->cache_row = take_words(serve, pass->rows, &now->cache_row);
    rows->tables = take_words(serve, 0, &now->tables);
    od_paged_look_up(pass->rows, pass->positions, pass->slot, pass->page_table,
                     serve->shape.table_pages, rows);
    (void)take_words(serve, rows->table_count, &now->tables);
}

// The work lists of attention, for each window that layers have.
static void take_items(struct od_gpu_serve *serve, const struct od_paged_rows *rows)
{
    struct od_serve_now *now = &serve->now;
    const struct od_gpu *gpu = serve->gpu;
    const struct od_op *attention = NULL;
    for (int32_t i = 0; i < gpu->op_count && !attention; i++) {
        attention = gpu->ops[i].kind == OD_OP_ATTENTION_CACHED ? &gpu->ops[i] : NULL;
    }
    for (int w = 0; attention && w < serve->window_count; w++) {
        const struct od_paged_shape shape = {.heads = attention->heads,
                                             .kv_heads = attention->kv_heads,
                                             .window = serve->window[w],
                                             .parts_max = OD_SERVE_PARTS_MAX,
                                             .warps = OD_SERVE_WARPS *
                                                      od_cuda_info(gpu->cuda)->multiprocessors};
        struct od_paged_lists *lists = &now->lists[w];
        lists->joins =
            od_serve_take(serve, (size_t)rows->run_count * sizeof *lists->joins, &now->joins[w]);
        lists->items = od_serve_take(serve, 0, &now->items[w]);
        od_paged_plan(&shape, rows->runs, rows->run_count, lists);
        (void)od_serve_take(serve, (size_t)lists->item_count * sizeof *lists->items,
                            &now->items[w]);
    }
}

static void take_adapters(struct od_gpu_serve *serve, const struct od_gpu_serve_pass *pass)
{
    int32_t *to = take_words(serve, pass->rows, &serve->now.adapter);
    serve->now.any_adapter = false;
    for (int64_t t = 0; t < pass->rows; t++) {
        to[t] = pass->adapter[t];
        serve->now.any_adapter = serve->now.any_adapter || to[t] >= 0;
    }
}

static void send_lists(struct od_gpu_serve *serve, const struct od_gpu_serve_pass *pass)
{
    const struct od_gpu_inputs *inputs = &serve->gpu->inputs;
    struct od_paged_rows rows;
    serve->pen.used = 0;
    serve->now.rows = pass->rows;
    int32_t *counts = take_words(serve, 2, &serve->now.counts);
    counts[0] = (int32_t)pass->rows;
    counts[1] = (int32_t)pass->logit_rows;
    int32_t *logit_row = take_words(serve, pass->logit_rows, &serve->now.logit_row);
    for (int64_t i = 0; i < pass->logit_rows; i++) {
        const int32_t position = pass->logit_position[i];
        const int32_t *pages = pass->page_table + pass->logit_slot[i] * serve->shape.table_pages;
        logit_row[i] = pages[position / OD_PAGED_ROWS] * OD_PAGED_ROWS + position % OD_PAGED_ROWS;
    }
    if (pass->rows > 0) {
        take_input(serve, inputs->ids, pass->ids, pass->rows);
        take_input(serve, inputs->positions, pass->positions, pass->rows);
        take_adapters(serve, pass);
        take_rows(serve, pass, &rows);
        od_serve_take_prompts(serve, &rows);
        take_items(serve, &rows);
    }
    od_cuda_upload(serve->gpu->cuda, serve->pen.device, serve->pen.host, serve->pen.used);
}

// Own products, whose rows do not know of each other, or the library's for many rows. Those are rounded
// up: rows behind those in use are garbage that nobody reads.
static void product(struct od_gpu_serve *serve, const struct od_matmul_call *call)
{
    struct od_matmul_call rounded = *call;
    const int64_t step =
        serve->rows_max / 16 > OD_GPU_SERVE_FEW ? serve->rows_max / 16 : OD_GPU_SERVE_FEW;
    rounded.m = (call->m + step - 1) / step * step;
    rounded.m = rounded.m < serve->rows_max ? rounded.m : serve->rows_max;
    if (serve->shape.batch_invariant || call->m <= OD_GPU_SERVE_FEW) {
        od_matmul_rows_run(serve->products, call);
    } else {
        od_matmul_run(serve->gpu->matmul, &rounded);
    }
}

static struct od_matmul_call call_of(const struct od_gpu_serve *serve, const struct od_op *op)
{
    const struct od_gpu *gpu = serve->gpu;
    const struct od_gpu_tensor x = od_gpu_slot_tensor(gpu, op, OD_SLOT_X);
    const struct od_gpu_tensor w = od_gpu_slot_tensor(gpu, op, OD_SLOT_W);
    const struct od_gpu_tensor y = od_gpu_slot_tensor(gpu, op, OD_SLOT_Y);
    const struct od_gpu_tensor res = od_gpu_slot_tensor(gpu, op, OD_SLOT_RES);
    const struct od_gpu_tensor bias = od_gpu_slot_tensor(gpu, op, OD_SLOT_BIAS);
    return (struct od_matmul_call){.m = serve->now.rows,
                                   .n = op->n,
                                   .k = op->k,
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
                                   .alpha = 1.0F};
}

static void linear(struct od_gpu_serve *serve, const struct od_op *op)
{
    const struct od_matmul_call call = call_of(serve, op);
    product(serve, &call);
}

static bool overlap(const struct od_gpu_tensor *a, const struct od_gpu_tensor *b)
{
    return a->at < b->at + b->bytes && b->at < a->at + a->bytes;
}

// A product of one or two rows, with the norm before it, where bits may depend on the number of rows. How
// many operations that were; 0: none.
static int run_vector(struct od_gpu_serve *serve, const struct od_op *op)
{
    const struct od_gpu *gpu = serve->gpu;
    const bool has_norm = serve->op_joins_next[op - gpu->ops];
    const struct od_op *linear = op + (has_norm ? 1 : 0);
    if (serve->shape.batch_invariant || serve->now.any_adapter || linear->kind != OD_OP_LINEAR) {
        return 0;
    }
    struct od_vector_call call = {.product = call_of(serve, linear)};
    if (has_norm) {
        const struct od_gpu_tensor x = od_gpu_slot_tensor(gpu, op, OD_SLOT_X);
        const struct od_gpu_tensor y = od_gpu_slot_tensor(gpu, linear, OD_SLOT_Y);
        call.product.a = x.at;
        call.product.lda = x.stride;
        call.norm = od_gpu_slot_tensor(gpu, op, OD_SLOT_W).at;
        call.eps = op->eps;
        if (overlap(&x, &y)) {  // the plan did not know that they would be in use together
            return 0;
        }
    }
    if (!od_vector_can(&call)) {
        return 0;
    }
    od_vector_run(serve->vectors, &call);
    od_gpu_mark(serve->gpu, OD_GPU_PART_PRODUCT);
    return has_norm ? 2 : 1;
}

// Adapters of the rows beside a linear layer.
static void adapt(struct od_gpu_serve *serve, const struct od_op *op)
{
    const struct od_gpu *gpu = serve->gpu;
    const int64_t index = op - gpu->ops;
    const struct od_gpu_tensor x = od_gpu_slot_tensor(gpu, op, OD_SLOT_X);
    const struct od_gpu_tensor y = od_gpu_slot_tensor(gpu, op, OD_SLOT_Y);
    if (!serve->now.any_adapter || !serve->op_has_adapter[index]) {
        return;
    }
    struct od_lora_call call = {
        .entries =
            serve->entries + (uint64_t)(index * serve->shape.adapters * OD_ADAPTER_PARTS_MAX) *
                                 sizeof(struct od_lora_entry),
        .adapter = serve->now.adapter,
        .x = x.at,
        .y = y.at,
        .xa = serve->inner,
        .ldx = x.stride,
        .ldy = y.stride,
        .k = op->k,
        .rank_max = (int32_t)serve->shape.rank_max};  // at most a layer's width
    void *args[] = {&call};
    struct od_cuda_grid grid = {.x = (unsigned)serve->now.rows,
                                .y = OD_ADAPTER_PARTS_MAX,
                                .threads = OD_GPU_THREADS_PER_BLOCK,
                                .overlaps = true};
    od_cuda_launch(gpu->cuda, serve->kernel[OD_SERVE_LORA_INPUTS], grid, args);
    grid.z = od_gpu_blocks(op->n, OD_LORA_SPAN);
    od_cuda_launch(gpu->cuda, serve->kernel[OD_SERVE_LORA_OUTPUTS], grid, args);
    od_gpu_mark(serve->gpu, OD_GPU_PART_ADAPTER);
}

// Rotary positions right before their rows go into the cache: both are one kernel.
static bool turns_while_appending(const struct od_op *rope, const struct od_op *attention)
{
    return rope->kind == OD_OP_ROPE && attention->kind == OD_OP_ATTENTION_CACHED &&
           rope->slot[OD_SLOT_Y] == attention->slot[OD_SLOT_X];
}

static void append(struct od_gpu_serve *serve, const struct od_op *op)
{
    const struct od_gpu *gpu = serve->gpu;
    const bool turns = op > gpu->ops && turns_while_appending(op - 1, op);
    struct od_gpu_tensor x = od_gpu_slot_tensor(gpu, op, OD_SLOT_X);
    od_dev table = turns ? od_gpu_slot_tensor(gpu, op - 1, OD_SLOT_AUX).at : 0;
    od_dev cache = od_gpu_slot_tensor(gpu, op, OD_SLOT_AUX).at;
    od_dev positions = od_gpu_input(gpu, gpu->inputs.positions);
    int32_t heads = op->heads;
    int32_t kv_heads = op->kv_heads;
    int32_t d = op->head_dim;
    void *args[] = {
        &cache, &x.at,     &x.stride, &serve->now.tables, &serve->now.row_table, &positions,
        &heads, &kv_heads, &d};
    void *turn_args[] = {
        &cache,     &x.at,  &x.stride, &table, &serve->now.tables, &serve->now.row_table,
        &positions, &heads, &kv_heads, &d};
    od_cuda_launch(
        gpu->cuda, serve->kernel[turns ? OD_SERVE_PAGED_TURN_APPEND : OD_SERVE_PAGED_APPEND],
        (struct od_cuda_grid){
            .x = (unsigned)serve->now.rows, .threads = OD_GPU_THREADS_PER_BLOCK, .overlaps = true},
        turns ? turn_args : args);
}

static void *address(od_dev at)
{
    return (void *)(uintptr_t)at;
}

static void attention(struct od_gpu_serve *serve, const struct od_op *op)
{
    const struct od_gpu *gpu = serve->gpu;
    const struct od_gpu_tensor x = od_gpu_slot_tensor(gpu, op, OD_SLOT_X);
    const struct od_gpu_tensor y = od_gpu_slot_tensor(gpu, op, OD_SLOT_Y);
    int w = 0;
    while (serve->window[w] != op->window) {
        w++;
    }
    const struct od_paged_lists *lists = &serve->now.lists[w];
    struct od_paged_args args = {.qkv = address(x.at),
                                 .o = address(y.at),
                                 .cache = address(od_gpu_slot_tensor(gpu, op, OD_SLOT_AUX).at),
                                 .tables = address(serve->now.tables),
                                 .items = address(serve->now.items[w]),
                                 .joins = address(serve->now.joins[w]),
                                 .parts = address(serve->parts),
                                 .ld_qkv = x.stride,
                                 .ld_o = y.stride,
                                 .item_count = lists->attend_count,
                                 .heads = op->heads,
                                 .kv_heads = op->kv_heads,
                                 .window = op->window,
                                 .only_single_rows =
                                     lists->attend_count == 0 && serve->now.prompt_tiles_made == 0,
                                 .scale = op->scale};
    void *arguments[] = {&args};
    const int32_t tiles = od_paged_head_tiles(op->heads, op->kv_heads);
    struct od_cuda_grid grid = {.x = od_gpu_blocks(lists->attend_count, OD_PAGED_WARPS),
                                .y = (unsigned)(op->kv_heads * tiles),
                                .threads = OD_PAGED_WARPS * WARP,
                                .overlaps = true};
    append(serve, op);
    od_gpu_mark(serve->gpu, OD_GPU_PART_COPY);
    od_serve_attend_prompts(serve, op, w);
    od_cuda_launch(gpu->cuda, serve->paged[OD_PAGED_ATTEND], grid, arguments);
    args.items += lists->attend_count;
    args.item_count = lists->item_count - lists->attend_count;
    grid.x = (unsigned)args.item_count;
    grid.threads = WARP;
    grid.shared_bytes = (unsigned)OD_PAGED_STREAM_BYTES(op->head_dim);
    od_cuda_launch(gpu->cuda, serve->paged[OD_PAGED_STREAM], grid, arguments);
    od_gpu_mark(serve->gpu, OD_GPU_PART_ATTENTION);
    if (lists->join_count > 0) {
        grid = (struct od_cuda_grid){.x = (unsigned)lists->join_count,
                                     .y = (unsigned)op->heads,
                                     .threads = (unsigned)OD_PAGED_JOIN_THREADS(op->head_dim),
                                     .overlaps = true};
        od_cuda_launch(gpu->cuda, serve->paged[OD_PAGED_JOIN], grid, arguments);
        od_gpu_mark(serve->gpu, OD_GPU_PART_ADD);
    }
}

static void run_op(struct od_gpu_serve *serve, const struct od_op *op)
{
    if (op->kind == OD_OP_LINEAR) {
        linear(serve, op);
        od_gpu_mark(serve->gpu, OD_GPU_PART_PRODUCT);
        adapt(serve, op);
    } else if (op->kind == OD_OP_ATTENTION_CACHED) {
        attention(serve, op);
    } else if (!turns_while_appending(op, op + 1)) {  // the head is the last one
        od_gpu_run_rows(serve->gpu, op);
        od_gpu_mark(serve->gpu, od_gpu_part_of(op->kind));
    }
}

// What the head will read of these rows, into the cache.
static void keep_hidden(struct od_gpu_serve *serve, const struct od_op *head)
{
    struct od_gpu_tensor x = od_gpu_slot_tensor(serve->gpu, head, OD_SLOT_X);
    int64_t first = 0;
    int64_t cols = head->k;
    void *args[] = {&serve->hidden,        &serve->hidden_stride, &x.at,  &x.stride,
                    &serve->now.cache_row, &serve->now.counts,    &first, &cols};
    od_gpu_launch(serve->gpu, OD_GPU_SCATTER_ROWS, (unsigned)serve->now.rows, 1, args);
}

static void run_head(struct od_gpu_serve *serve, const struct od_op *head, int64_t rows)
{
    const struct od_gpu *gpu = serve->gpu;
    struct od_gpu_tensor x = od_gpu_slot_tensor(gpu, head, OD_SLOT_WORK);
    const struct od_gpu_tensor w = od_gpu_slot_tensor(gpu, head, OD_SLOT_W);
    const struct od_gpu_tensor y = od_gpu_slot_tensor(gpu, head, OD_SLOT_Y);
    od_dev count = serve->now.counts + sizeof(int32_t);
    int64_t first = 0;
    int64_t cols = head->k;
    void *args[] = {&x.at,  &x.stride, &serve->hidden, &serve->hidden_stride, &serve->now.logit_row,
                    &count, &first,    &cols};
    od_gpu_launch(serve->gpu, OD_GPU_GATHER_ROWS, (unsigned)rows, 1, args);
    const struct od_vector_call call = {.product = {.m = rows,
                                                    .n = head->n,
                                                    .k = head->k,
                                                    .a = x.at,
                                                    .lda = x.stride,
                                                    .b = w.at,
                                                    .ldb = w.stride,
                                                    .b_transposed = true,
                                                    .d = y.at,
                                                    .ldd = y.stride,
                                                    .d_is_float = true,
                                                    .alpha = 1.0F}};
    if (!serve->shape.batch_invariant && od_vector_can(&call)) {
        od_vector_run(serve->vectors, &call);
    } else {
        od_matmul_rows_run(serve->products, &call.product);
    }
    od_cuda_download(gpu->cuda, serve->logits, y.at,
                     (size_t)(rows * y.stride) * sizeof *serve->logits);
    od_gpu_mark(serve->gpu, OD_GPU_PART_HEAD);
}

enum od_status od_gpu_serve_run(struct od_gpu_serve *serve, const struct od_gpu_serve_pass *pass,
                                struct od_error *err)
{
    struct od_gpu *gpu = serve->gpu;
    const struct od_op *head = &gpu->ops[gpu->op_count - 1];
    assert(pass->rows <= serve->rows_max && pass->logit_rows <= serve->shape.logit_rows);
    send_lists(serve, pass);
    od_gpu_mark(gpu, OD_GPU_PART_OTHER);
    gpu->tokens = pass->rows;  // what kernels that work row by row are launched for
    if (pass->rows > 0) {
        for (const struct od_op *op = gpu->ops; op < head;) {
            const int together = run_vector(serve, op);
            if (together == 0) {
                run_op(serve, op);
            }
            op += together > 0 ? together : 1;
        }
        keep_hidden(serve, head);
    }
    if (pass->logit_rows > 0) {
        run_head(serve, head, pass->logit_rows);
    }
    return od_cuda_sync(gpu->cuda, err);
}
