// The head of a model that learns: logits, losses and gradients, a chunk of labelled rows at a time.

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/threads.h"
#include "device/cpu/gemm.h"
#include "ops/cpu.h"
#include "ops/kernels.h"
#include "ops/op.h"

enum { ELEMENT_GRAIN = 4096, ROW_GRAIN = 1 };

// What a pool function gets.
struct call {
    struct od_cpu *cpu;
    const struct od_op *op;
    float *const *tensors;
    struct od_batch *batch;
    float *work;
    const int32_t *rows;
    double *losses;
    float *y;
    float factor;
};

static float *tensor(const struct call *call, enum od_slot slot)
{
    const int32_t number = call->op->slot[slot];
    return number < 0 ? NULL : call->tensors[number];
}

static struct od_mat rows_of(const float *data, int64_t ld)
{
    return (struct od_mat){data, ld, 1};
}

static struct od_mat transposed(const float *data, int64_t ld)
{
    return (struct od_mat){data, 1, ld};
}

static void scale_elements(void *context, int64_t first, int64_t last, int thread)
{
    const struct call *call = context;
    (void)thread;
    call->cpu->kernels->scale(call->y, call->factor, first, last);
}

static void scale_all(struct call *call, float *y, int64_t count, float factor)
{
    call->y = y;
    call->factor = factor;
    od_pool_run(call->cpu->pool, count, ELEMENT_GRAIN, scale_elements, call);
}

// Rows [.., cols] that a mask leaves values of out.
struct dropped_rows {
    const struct od_cpu *cpu;
    const struct od_dropout *mask;
    float *to;
    const float *from;
    int64_t cols;
    int accumulate;
};

static void drop_rows(void *context, int64_t first, int64_t last, int thread)
{
    const struct dropped_rows *work = context;
    (void)thread;
    work->cpu->kernels->dropout(work->to, work->from, work->cols, work->mask, work->accumulate,
                                first, last);
}

static void cross_entropy_rows(void *context, int64_t first, int64_t last, int thread)
{
    const struct call *call = context;
    const struct od_batch *batch = call->batch;
    (void)thread;
    for (int64_t i = first; i < last; i++) {
        call->losses[i] = (double)call->cpu->kernels->cross_entropy(
            call->work + i * call->op->n, call->op->n, batch->targets[call->rows[i]],
            batch->want_gradient, batch->loss_scale);
    }
}

// A chunk of labelled rows, and where in WORK it lies.
struct head_chunk {
    const int32_t *rows;  // numbers of the rows in X [count]
    int64_t first;        // of these rows among those with a target
    int64_t count;
    float *logits;     // [.., V], then their gradient
    float *gathered;   // [.., C] rows of X
    float *dgathered;  // [.., C]
    float *xa;         // [.., r] scaled X A^T
    float *dxa;        // [.., r]
    float *dropped;    // [.., C] what the adapter reads: `gathered` where nothing is left out
};

static struct head_chunk chunk_of(const struct call *call, const int32_t *rows, int64_t first,
                                  int64_t count)
{
    const struct od_op *op = call->op;
    struct head_chunk chunk = {.rows = rows, .first = first, .count = count};
    chunk.logits = tensor(call, OD_SLOT_WORK);
    chunk.gathered = chunk.logits + OD_HEAD_CHUNK_ROWS * op->n;
    chunk.dgathered = chunk.gathered + OD_HEAD_CHUNK_ROWS * op->k;
    chunk.xa = chunk.dgathered + OD_HEAD_CHUNK_ROWS * op->k;
    chunk.dxa = chunk.xa + OD_HEAD_CHUNK_ROWS * op->rank;
    chunk.dropped = chunk.gathered;
    return chunk;
}

// to (+)= from * mask / (1 - p), the mask being that of the chunk's rows; false without dropout.
static bool drop_chunk(struct call *call, const struct head_chunk *chunk, float *to,
                       const float *from, bool accumulate)
{
    struct od_dropout mask;
    if (!od_dropout_of(call->op, call->batch, &mask)) {
        return false;
    }
    mask.first_row = chunk->first;
    struct dropped_rows work = {call->cpu, &mask, to, from, call->op->k, accumulate};
    od_pool_run(call->cpu->pool, chunk->count, ROW_GRAIN, drop_rows, &work);
    return true;
}

// Logits += s X A^T B^T
static void head_adapter(struct call *call, struct head_chunk *chunk)
{
    const struct od_op *op = call->op;
    struct od_gemm *gemm = call->cpu->gemm;
    float *room = chunk->dxa + OD_HEAD_CHUNK_ROWS * op->rank;
    if (drop_chunk(call, chunk, room, chunk->gathered, false)) {
        chunk->dropped = room;
    }
    od_gemm_run(gemm, chunk->count, op->rank, op->k, rows_of(chunk->dropped, op->k),
                transposed(tensor(call, OD_SLOT_A), op->k), chunk->xa, op->rank, false);
    scale_all(call, chunk->xa, chunk->count * op->rank, op->scale);
    od_gemm_run(gemm, chunk->count, op->n, op->rank, rows_of(chunk->xa, op->rank),
                transposed(tensor(call, OD_SLOT_B), op->rank), chunk->logits, op->n, true);
}

// DA, DB, and what the adapter adds to the gradient of the gathered rows; `logits` hold theirs.
static void head_adapter_bwd(struct call *call, const struct head_chunk *chunk, bool wants_dx)
{
    const struct od_op *op = call->op;
    struct od_gemm *gemm = call->cpu->gemm;
    const int64_t r = op->rank;
    const float *a = tensor(call, OD_SLOT_A);
    od_gemm_run(gemm, chunk->count, r, op->n, rows_of(chunk->logits, op->n),
                rows_of(tensor(call, OD_SLOT_B), r), chunk->dxa, r, false);
    od_gemm_run(gemm, op->n, r, chunk->count, transposed(chunk->logits, op->n),
                rows_of(chunk->xa, r), tensor(call, OD_SLOT_DB), r, true);
    scale_all(call, chunk->dxa, chunk->count * r, op->scale);
    od_gemm_run(gemm, r, op->k, chunk->count, transposed(chunk->dxa, r),
                rows_of(chunk->dropped, op->k), tensor(call, OD_SLOT_DA), op->k, true);
    if (!wants_dx) {
        return;
    }
    const bool drops = chunk->dropped != chunk->gathered;
    od_gemm_run(gemm, chunk->count, op->k, r, rows_of(chunk->dxa, r), rows_of(a, op->k),
                drops ? chunk->dropped : chunk->dgathered, op->k, !drops);
    if (drops) {
        (void)drop_chunk(call, chunk, chunk->dgathered, chunk->dropped, true);
    }
}

// One chunk of labelled rows: logits, losses, and where asked the gradients.
static void head_loss_chunk(struct call *call, const int32_t *rows, int64_t first, int64_t count)
{
    const struct od_op *op = call->op;
    struct od_batch *batch = call->batch;
    const int64_t v = op->n;
    const int64_t c = op->k;
    const float *x = tensor(call, OD_SLOT_X);
    const float *w = tensor(call, OD_SLOT_W);
    float *dx = tensor(call, OD_SLOT_DX);
    float *dw = tensor(call, OD_SLOT_DW);
    struct head_chunk chunk = chunk_of(call, rows, first, count);
    float *logits = chunk.logits;
    float *gathered = chunk.gathered;
    float *dgathered = chunk.dgathered;
    double losses[OD_HEAD_CHUNK_ROWS];

    assert(gathered && x);
    for (int64_t i = 0; i < count; i++) {
        memcpy(gathered + i * c, x + rows[i] * c, (size_t)c * sizeof *x);
    }
    od_gemm_run(call->cpu->gemm, count, v, c, rows_of(gathered, c), transposed(w, c), logits, v,
                false);
    if (op->slot[OD_SLOT_A] >= 0) {
        head_adapter(call, &chunk);
    }
    call->work = logits;
    call->rows = rows;
    call->losses = losses;
    od_pool_run(call->cpu->pool, count, ROW_GRAIN, cross_entropy_rows, call);
    for (int64_t i = 0; i < count; i++) {
        batch->loss_sum += losses[i];
    }
    if (!batch->want_gradient) {
        return;
    }
    if (dx) {
        od_gemm_run(call->cpu->gemm, count, c, v, rows_of(logits, v), rows_of(w, c), dgathered, c,
                    false);
    }
    if (op->slot[OD_SLOT_A] >= 0) {
        head_adapter_bwd(call, &chunk, dx != NULL);
    }
    for (int64_t i = 0; dx && i < count; i++) {
        memcpy(dx + rows[i] * c, dgathered + i * c, (size_t)c * sizeof *dx);
    }
    if (dw) {
        od_gemm_run(call->cpu->gemm, v, c, count, transposed(logits, v), rows_of(gathered, c), dw,
                    c, true);
    }
}

void od_cpu_head_loss(struct od_cpu *cpu, const struct od_op *op, float *const *tensors,
                      struct od_batch *batch)
{
    struct call call = {.cpu = cpu, .op = op, .tensors = tensors, .batch = batch};
    float *dx = tensor(&call, OD_SLOT_DX);
    int32_t rows[OD_HEAD_CHUNK_ROWS];
    int64_t first = 0;
    int64_t count = 0;

    batch->loss_sum = 0.0;
    if (dx && batch->want_gradient) {
        memset(dx, 0, (size_t)(batch->tokens * op->k) * sizeof *dx);
    }
    for (int64_t t = 0; t < batch->tokens; t++) {
        if (batch->targets[t] >= 0) {
            rows[count++] = (int32_t)t;
        }
        if (count == OD_HEAD_CHUNK_ROWS) {
            head_loss_chunk(&call, rows, first, count);
            first += count;
            count = 0;
        }
    }
    if (count > 0) {
        head_loss_chunk(&call, rows, first, count);
    }
}
