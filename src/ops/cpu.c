#include "ops/cpu.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/status.h"
#include "base/threads.h"
#include "device/cpu/gemm.h"
#include "formats/nf4.h"
#include "ops/embed/embed_noise.h"
#include "ops/kernels.h"
#include "ops/op.h"

enum { ELEMENT_GRAIN = 4096, ROW_GRAIN = 1, COLUMN_GRAIN = 16 };

enum od_status od_cpu_open(int threads, bool allow_vector, struct od_cpu *ret, struct od_error *err)
{
    struct od_cpu cpu = {.features = od_cpu_features_detect(allow_vector)};
    enum od_status status = od_pool_create(threads, &cpu.pool, err);
    if (status == OD_OK) {
        status = od_gemm_create(cpu.pool, cpu.features, &cpu.gemm, err);
    }
    if (status != OD_OK) {
        od_cpu_close(&cpu);
        return status;
    }
    cpu.kernels = cpu.features.avx2_fma ? &od_cpu_kernels_avx2 : &od_cpu_kernels_base;
    *ret = cpu;
    return OD_OK;
}

void od_cpu_close(struct od_cpu *cpu)
{
    od_gemm_free(cpu->gemm);
    od_pool_free(cpu->pool);
    *cpu = (struct od_cpu){0};
}

// What a pool function gets: the operation, its memory, and the batch.
struct call {
    struct od_cpu *cpu;
    const struct od_op *op;
    float *const *tensors;
    struct od_batch *batch;
    const float *x;
    float *y;
    float factor;
    int accumulate;
};

static float *tensor(const struct call *call, enum od_slot slot)
{
    const int32_t number = call->op->slot[slot];
    return number < 0 ? NULL : call->tensors[number];
}

static void embed_rows(void *context, int64_t first, int64_t last, int thread)
{
    const struct call *call = context;
    const int64_t cols = call->op->n;
    const float *w = tensor(call, OD_SLOT_W);
    float *y = tensor(call, OD_SLOT_Y);
    (void)thread;
    for (int64_t t = first; t < last; t++) {
        memcpy(y + t * cols, w + (int64_t)call->batch->ids[t] * cols, (size_t)cols * sizeof *y);
    }
    if (call->op->noise > 0.0F && call->batch->want_gradient) {
        od_embed_noise(y, call->op, call->batch, first, last);
    }
}

static void embed_bwd_columns(void *context, int64_t first, int64_t last, int thread)
{
    const struct call *call = context;
    (void)thread;
    call->cpu->kernels->embed_bwd(tensor(call, OD_SLOT_DW), tensor(call, OD_SLOT_DY),
                                  call->batch->ids, call->batch->tokens, call->op->n, first, last);
}

static void rms_norm_rows(void *context, int64_t first, int64_t last, int thread)
{
    const struct call *call = context;
    (void)thread;
    call->cpu->kernels->rms_norm(tensor(call, OD_SLOT_Y), tensor(call, OD_SLOT_AUX),
                                 tensor(call, OD_SLOT_X), tensor(call, OD_SLOT_W), call->op->n,
                                 call->op->eps, first, last);
}

static void rms_norm_bwd_rows(void *context, int64_t first, int64_t last, int thread)
{
    const struct call *call = context;
    (void)thread;
    call->cpu->kernels->rms_norm_bwd(tensor(call, OD_SLOT_DX), tensor(call, OD_SLOT_DY),
                                     tensor(call, OD_SLOT_X), tensor(call, OD_SLOT_W),
                                     tensor(call, OD_SLOT_AUX), call->op->n, call->op->accumulate,
                                     first, last);
}

static void rms_norm_dw_columns(void *context, int64_t first, int64_t last, int thread)
{
    const struct call *call = context;
    (void)thread;
    call->cpu->kernels->rms_norm_dw(tensor(call, OD_SLOT_DW), tensor(call, OD_SLOT_DY),
                                    tensor(call, OD_SLOT_X), tensor(call, OD_SLOT_AUX),
                                    call->batch->tokens, call->op->n, first, last);
}

static void layer_norm_rows(void *context, int64_t first, int64_t last, int thread)
{
    const struct call *call = context;
    (void)thread;
    call->cpu->kernels->layer_norm(tensor(call, OD_SLOT_Y), tensor(call, OD_SLOT_AUX),
                                   tensor(call, OD_SLOT_X), tensor(call, OD_SLOT_W),
                                   tensor(call, OD_SLOT_BIAS), call->op->n, call->op->eps, first,
                                   last);
}

static void layer_norm_bwd_rows(void *context, int64_t first, int64_t last, int thread)
{
    const struct call *call = context;
    (void)thread;
    call->cpu->kernels->layer_norm_bwd(tensor(call, OD_SLOT_DX), tensor(call, OD_SLOT_DY),
                                       tensor(call, OD_SLOT_X), tensor(call, OD_SLOT_W),
                                       tensor(call, OD_SLOT_AUX), call->op->n, call->op->accumulate,
                                       first, last);
}

static void layer_norm_dw_columns(void *context, int64_t first, int64_t last, int thread)
{
    const struct call *call = context;
    (void)thread;
    call->cpu->kernels->layer_norm_dw(tensor(call, OD_SLOT_DW), tensor(call, OD_SLOT_DBIAS),
                                      tensor(call, OD_SLOT_DY), tensor(call, OD_SLOT_X),
                                      tensor(call, OD_SLOT_AUX), call->batch->tokens, call->op->n,
                                      first, last);
}

static void head_norm_rows(void *context, int64_t first, int64_t last, int thread)
{
    const struct call *call = context;
    const struct od_op *op = call->op;
    (void)thread;
    call->cpu->kernels->head_norm(tensor(call, OD_SLOT_Y), tensor(call, OD_SLOT_AUX),
                                  tensor(call, OD_SLOT_X), tensor(call, OD_SLOT_W), op->heads,
                                  op->kv_heads, op->head_dim, op->eps, first, last);
}

static void head_norm_bwd_rows(void *context, int64_t first, int64_t last, int thread)
{
    const struct call *call = context;
    const struct od_op *op = call->op;
    (void)thread;
    call->cpu->kernels->head_norm_bwd(tensor(call, OD_SLOT_DX), tensor(call, OD_SLOT_DY),
                                      tensor(call, OD_SLOT_X), tensor(call, OD_SLOT_W),
                                      tensor(call, OD_SLOT_AUX), op->heads, op->kv_heads,
                                      op->head_dim, op->accumulate, first, last);
}

static void head_norm_dw_columns(void *context, int64_t first, int64_t last, int thread)
{
    const struct call *call = context;
    const struct od_op *op = call->op;
    (void)thread;
    call->cpu->kernels->head_norm_dw(tensor(call, OD_SLOT_DW), tensor(call, OD_SLOT_DY),
                                     tensor(call, OD_SLOT_X), tensor(call, OD_SLOT_AUX),
                                     call->batch->tokens, op->heads, op->kv_heads, op->head_dim,
                                     first, last);
}

static void positions_rows(void *context, int64_t first, int64_t last, int thread)
{
    const struct call *call = context;
    const int64_t cols = call->op->n;
    const float *w = tensor(call, OD_SLOT_W);
    float *y = tensor(call, OD_SLOT_Y);
    (void)thread;
    for (int64_t t = first; t < last; t++) {
        const float *from = w + (int64_t)call->batch->positions[t] * cols;
        for (int64_t c = 0; c < cols; c++) {
            y[t * cols + c] += from[c];
        }
    }
}

static void positions_bwd_columns(void *context, int64_t first, int64_t last, int thread)
{
    const struct call *call = context;
    (void)thread;
    call->cpu->kernels->embed_bwd(tensor(call, OD_SLOT_DW), tensor(call, OD_SLOT_DY),
                                  call->batch->positions, call->batch->tokens, call->op->n, first,
                                  last);
}

static void glu_rows(void *context, int64_t first, int64_t last, int thread)
{
    const struct call *call = context;
    (void)thread;
    call->cpu->kernels->glu(tensor(call, OD_SLOT_Y), tensor(call, OD_SLOT_X), call->op->n,
                            call->op->activation, first, last);
}

static void glu_bwd_rows(void *context, int64_t first, int64_t last, int thread)
{
    const struct call *call = context;
    (void)thread;
    call->cpu->kernels->glu_bwd(tensor(call, OD_SLOT_DX), tensor(call, OD_SLOT_DY),
                                tensor(call, OD_SLOT_X), call->op->n, call->op->activation, first,
                                last);
}

static void activation_elements(void *context, int64_t first, int64_t last, int thread)
{
    const struct call *call = context;
    (void)thread;
    call->cpu->kernels->activation(tensor(call, OD_SLOT_Y), tensor(call, OD_SLOT_X),
                                   call->op->activation, first, last);
}

static void activation_bwd_elements(void *context, int64_t first, int64_t last, int thread)
{
    const struct call *call = context;
    (void)thread;
    call->cpu->kernels->activation_bwd(tensor(call, OD_SLOT_DX), tensor(call, OD_SLOT_DY),
                                       tensor(call, OD_SLOT_X), call->op->activation, first, last);
}

// Rows of y become the residual, where there is one, and the bias.
static void bias_rows(void *context, int64_t first, int64_t last, int thread)
{
    const struct call *call = context;
    const int64_t n = call->op->n;
    const float *bias = tensor(call, OD_SLOT_BIAS);
    const float *res = tensor(call, OD_SLOT_RES);
    float *y = tensor(call, OD_SLOT_Y);
    (void)thread;
    for (int64_t t = first; t < last; t++) {
        for (int64_t c = 0; c < n; c++) {
            y[t * n + c] = res ? res[t * n + c] + bias[c] : bias[c];
        }
    }
}

static void bias_columns(void *context, int64_t first, int64_t last, int thread)
{
    const struct call *call = context;
    (void)thread;
    call->cpu->kernels->column_sums(tensor(call, OD_SLOT_DBIAS), tensor(call, OD_SLOT_DY),
                                    call->batch->tokens, call->op->n, first, last);
}

static void rope_rows(void *context, int64_t first, int64_t last, int thread)
{
    const struct call *call = context;
    const struct od_op *op = call->op;
    const int64_t stride = (int64_t)(op->heads + 2 * op->kv_heads) * op->head_dim;
    (void)thread;
    call->cpu->kernels->rope(call->y, tensor(call, OD_SLOT_AUX), call->batch->positions, stride,
                             op->heads + op->kv_heads, op->head_dim, call->factor, first, last);
}

static void add_elements(void *context, int64_t first, int64_t last, int thread)
{
    const struct call *call = context;
    (void)thread;
    call->cpu->kernels->add(call->y, call->x, first, last);
}

static void scale_elements(void *context, int64_t first, int64_t last, int thread)
{
    const struct call *call = context;
    (void)thread;
    call->cpu->kernels->scale(call->y, call->factor, first, last);
}

static struct od_mat rows_of(const float *data, int64_t ld)
{
    return (struct od_mat){data, ld, 1};
}

static struct od_mat transposed(const float *data, int64_t ld)
{
    return (struct od_mat){data, 1, ld};
}

static void scale_all(struct call *call, float *y, int64_t count, float factor)
{
    call->y = y;
    call->factor = factor;
    od_pool_run(call->cpu->pool, count, ELEMENT_GRAIN, scale_elements, call);
}

// Y (+)= X W^T, through the packed weight where there is one: the same bits.
static void times_weight(const struct call *call, int64_t rows, const float *x, float *y,
                         bool accumulate)
{
    const struct od_op *op = call->op;
    struct od_gemm *gemm = call->cpu->gemm;
    const struct od_gemm_weight packed = call->cpu->packed
                                             ? call->cpu->packed[op->slot[OD_SLOT_W]]
                                             : (struct od_gemm_weight){.panels = NULL};
    if (packed.panels) {
        od_gemm_run_packed(gemm, rows, op->n, op->k, rows_of(x, op->k), packed, y, op->n,
                           accumulate);
    } else {
        od_gemm_run(gemm, rows, op->n, op->k, rows_of(x, op->k),
                    transposed(tensor(call, OD_SLOT_W), op->k), y, op->n, accumulate);
    }
}

bool od_dropout_of(const struct od_op *op, const struct od_batch *batch, struct od_dropout *ret)
{
    if (op->dropout <= 0.0F || !batch->want_gradient) {
        return false;
    }
    *ret = (struct od_dropout){.seed = batch->dropout_seed,
                               .stream = op->stream,
                               .pass = batch->dropout_pass,
                               .threshold = (uint32_t)((double)op->dropout * 4294967296.0),
                               .scale = 1.0F / (1.0F - op->dropout)};
    return true;
}

static void dropout_rows(void *context, int64_t first, int64_t last, int thread)
{
    const struct call *call = context;
    struct od_dropout mask;
    (void)thread;
    if (od_dropout_of(call->op, call->batch, &mask)) {
        call->cpu->kernels->dropout(call->y, call->x, call->op->k, &mask, call->accumulate, first,
                                    last);
    }
}

// to (+)= from * mask / (1 - p)
static void drop(struct call *call, float *to, const float *from, bool accumulate)
{
    call->y = to;
    call->x = from;
    call->accumulate = accumulate;
    od_pool_run(call->cpu->pool, call->batch->tokens, ROW_GRAIN, dropout_rows, call);
}

// Rows of a quantised weight into W.
static void decode_rows(void *context, int64_t first, int64_t last, int thread)
{
    const struct call *call = context;
    const struct od_op *op = call->op;
    const uint8_t *codes = (const uint8_t *)tensor(call, OD_SLOT_CODES);
    const uint8_t *scales = (const uint8_t *)tensor(call, OD_SLOT_SCALES);
    float *w = tensor(call, OD_SLOT_W);
    (void)thread;
    for (int64_t row = first; row < last; row++) {
        const struct od_quant_part *part = &op->quant_part[0];
        while (row >= part->row + part->rows) {
            part++;
        }
        const uint8_t *of_part = scales + part->scales_at;
        float *to = w + row * op->k;
        if (op->quant == OD_QUANT_NF4) {
            od_nf4_decode(codes + part->row * op->k / 2, of_part, part->rows * op->k,
                          (row - part->row) * op->k, op->k, to);
            continue;
        }
        const int8_t *from = (const int8_t *)codes + row * op->k;
        float scale;
        memcpy(&scale, of_part + (row - part->row) * (int64_t)sizeof scale, sizeof scale);
        for (int64_t i = 0; i < op->k; i++) {
            to[i] = (float)from[i] * scale;
        }
    }
}

static void decode(struct call *call)
{
    if (call->op->quant == OD_QUANT_E4M3) {
        od_cpu_decode_e4m3(call->cpu, call->op, call->tensors);
    } else if (call->op->quant != OD_QUANT_NONE) {
        od_pool_run(call->cpu->pool, call->op->n, ROW_GRAIN, decode_rows, call);
    }
}

// What the weight is multiplied with: the rows as they are, or rounded as it is.
static const float *rounded(const struct call *call, const float *x)
{
    if (call->op->quant != OD_QUANT_E4M3) {
        return x;
    }
    od_cpu_round_e4m3(call->cpu, call->op, call->tensors, call->batch->tokens);
    return tensor(call, OD_SLOT_ROUNDED);
}

static void linear(struct call *call)
{
    const struct od_op *op = call->op;
    const int64_t tokens = call->batch->tokens;
    const float *x = tensor(call, OD_SLOT_X);
    const float *res = tensor(call, OD_SLOT_RES);
    const float *a = tensor(call, OD_SLOT_A);
    float *y = tensor(call, OD_SLOT_Y);
    struct od_gemm *gemm = call->cpu->gemm;

    decode(call);
    if (op->slot[OD_SLOT_BIAS] >= 0) {
        od_pool_run(call->cpu->pool, tokens, ROW_GRAIN, bias_rows, call);
    } else if (res) {
        memcpy(y, res, (size_t)(tokens * op->n) * sizeof *y);
    }
    times_weight(call, tokens, rounded(call, x), y, res != NULL || op->slot[OD_SLOT_BIAS] >= 0);
    if (a) {
        const int64_t width = op->rank * op->part_count;
        float *xa = tensor(call, OD_SLOT_XA);
        struct od_dropout mask;
        const float *input = x;
        if (od_dropout_of(op, call->batch, &mask)) {
            drop(call, tensor(call, OD_SLOT_WORK), x, false);
            input = tensor(call, OD_SLOT_WORK);
        }
        od_gemm_run(gemm, tokens, width, op->k, rows_of(input, op->k), transposed(a, op->k), xa,
                    width, false);
        scale_all(call, xa, tokens * width, op->scale);
        for (int32_t i = 0; i < op->part_count; i++) {
            const struct od_adapter_part *part = &op->part[i];
            const float *b = tensor(call, OD_SLOT_B) + part->b_row * op->rank;
            od_gemm_run(gemm, tokens, part->rows, op->rank, rows_of(xa + i * op->rank, width),
                        transposed(b, op->rank), y + part->row, op->n, true);
        }
    }
}

static void linear_bwd(struct call *call)
{
    const struct od_op *op = call->op;
    const int64_t tokens = call->batch->tokens;
    const float *x = tensor(call, OD_SLOT_X);
    const float *dy = tensor(call, OD_SLOT_DY);
    const float *a = tensor(call, OD_SLOT_A);
    float *dx = tensor(call, OD_SLOT_DX);
    float *dw = tensor(call, OD_SLOT_DW);
    struct od_gemm *gemm = call->cpu->gemm;

    if (dx) {
        decode(call);
        od_gemm_run(gemm, tokens, op->k, op->n, rows_of(rounded(call, dy), op->n),
                    rows_of(tensor(call, OD_SLOT_W), op->k), dx, op->k, op->accumulate);
    }
    if (dw) {
        od_gemm_run(gemm, op->n, op->k, tokens, transposed(dy, op->n), rows_of(x, op->k), dw, op->k,
                    true);
    }
    if (op->slot[OD_SLOT_DBIAS] >= 0) {
        od_pool_run(call->cpu->pool, op->n, COLUMN_GRAIN, bias_columns, call);
    }
    if (a) {
        const int64_t width = op->rank * op->part_count;
        const float *xa = tensor(call, OD_SLOT_XA);
        float *dxa = tensor(call, OD_SLOT_WORK);
        for (int32_t i = 0; i < op->part_count; i++) {
            const struct od_adapter_part *part = &op->part[i];
            const float *b = tensor(call, OD_SLOT_B) + part->b_row * op->rank;
            float *db = tensor(call, OD_SLOT_DB) + part->b_row * op->rank;
            const float *dy_part = dy + part->row;
            od_gemm_run(gemm, tokens, op->rank, part->rows, rows_of(dy_part, op->n),
                        rows_of(b, op->rank), dxa + i * op->rank, width, false);
            od_gemm_run(gemm, part->rows, op->rank, tokens, transposed(dy_part, op->n),
                        rows_of(xa + i * op->rank, width), db, op->rank, true);
        }
        scale_all(call, dxa, tokens * width, op->scale);
        struct od_dropout mask;
        float *dropped = dxa + tokens * width;
        const bool drops = od_dropout_of(op, call->batch, &mask);
        if (drops) {
            drop(call, dropped, x, false);
        }
        od_gemm_run(gemm, width, op->k, tokens, transposed(dxa, width),
                    rows_of(drops ? dropped : x, op->k), tensor(call, OD_SLOT_DA), op->k, true);
        if (dx && drops) {
            od_gemm_run(gemm, tokens, op->k, width, rows_of(dxa, width), rows_of(a, op->k), dropped,
                        op->k, false);
            drop(call, dx, dropped, true);
        } else if (dx) {
            od_gemm_run(gemm, tokens, op->k, width, rows_of(dxa, width), rows_of(a, op->k), dx,
                        op->k, true);
        }
    }
}

static void head_logits(struct call *call)
{
    const struct od_op *op = call->op;
    const struct od_batch *batch = call->batch;
    const float *x = tensor(call, OD_SLOT_X);
    float *gathered = tensor(call, OD_SLOT_WORK);
    for (int64_t i = 0; i < batch->logit_rows; i++) {
        memcpy(gathered + i * op->k, x + batch->logit_row[i] * op->k, (size_t)op->k * sizeof *x);
    }
    times_weight(call, batch->logit_rows, gathered, tensor(call, OD_SLOT_Y), false);
}

static void embed(struct call *call)
{
    const struct od_op *op = call->op;
    const int64_t tokens = call->batch->tokens;
    const int64_t r = op->rank;
    const float *a = tensor(call, OD_SLOT_A);
    float *xa = tensor(call, OD_SLOT_XA);
    od_pool_run(call->cpu->pool, tokens, ROW_GRAIN, embed_rows, call);
    if (!a) {
        return;
    }
    for (int64_t t = 0; t < tokens; t++) {
        memcpy(xa + t * r, a + (int64_t)call->batch->ids[t] * r, (size_t)r * sizeof *xa);
    }
    scale_all(call, xa, tokens * r, op->scale);
    od_gemm_run(call->cpu->gemm, tokens, op->n, r, rows_of(xa, r),
                transposed(tensor(call, OD_SLOT_B), r), tensor(call, OD_SLOT_Y), op->n, true);
}

static void embed_bwd(struct call *call)
{
    const struct od_op *op = call->op;
    const int64_t tokens = call->batch->tokens;
    const int64_t r = op->rank;
    const float *dy = tensor(call, OD_SLOT_DY);
    float *dxa = tensor(call, OD_SLOT_WORK);
    if (op->slot[OD_SLOT_DW] >= 0) {
        od_pool_run(call->cpu->pool, op->n, COLUMN_GRAIN, embed_bwd_columns, call);
    }
    if (op->slot[OD_SLOT_A] < 0) {
        return;
    }
    od_gemm_run(call->cpu->gemm, op->n, r, tokens, transposed(dy, op->n),
                rows_of(tensor(call, OD_SLOT_XA), r), tensor(call, OD_SLOT_DB), r, true);
    od_gemm_run(call->cpu->gemm, tokens, r, op->n, rows_of(dy, op->n),
                rows_of(tensor(call, OD_SLOT_B), r), dxa, r, false);
    scale_all(call, dxa, tokens * r, op->scale);
    call->cpu->kernels->embed_bwd(tensor(call, OD_SLOT_DA), dxa, call->batch->ids, tokens, r, 0, r);
}

// Here the host's memory is the only one: what a GPU would copy away is copied, too.
static void copy_rows(const struct call *call, enum od_slot to, enum od_slot from)
{
    memcpy(tensor(call, to), tensor(call, from),
           (size_t)(call->batch->tokens * call->op->n) * sizeof(float));
}

static void rotate(struct call *call, enum od_slot slot, float direction)
{
    call->y = tensor(call, slot);
    call->factor = direction;
    od_pool_run(call->cpu->pool, call->batch->tokens, ROW_GRAIN, rope_rows, call);
}

void od_cpu_run(struct od_cpu *cpu, const struct od_op *op, float *const *tensors,
                struct od_batch *batch)
{
    struct call call = {.cpu = cpu, .op = op, .tensors = tensors, .batch = batch};
    const int64_t tokens = batch->tokens;
    struct od_pool *pool = cpu->pool;

    switch (op->kind) {
    case OD_OP_EMBED: embed(&call); break;
    case OD_OP_EMBED_BWD: embed_bwd(&call); break;
    case OD_OP_RMS_NORM: od_pool_run(pool, tokens, ROW_GRAIN, rms_norm_rows, &call); break;
    case OD_OP_RMS_NORM_BWD:
        if (op->slot[OD_SLOT_DW] >= 0) {  // before DX, which may stand where DY does
            od_pool_run(pool, op->n, COLUMN_GRAIN, rms_norm_dw_columns, &call);
        }
        od_pool_run(pool, tokens, ROW_GRAIN, rms_norm_bwd_rows, &call);
        break;
    case OD_OP_LINEAR: linear(&call); break;
    case OD_OP_LINEAR_BWD: linear_bwd(&call); break;
    case OD_OP_ROPE: rotate(&call, OD_SLOT_Y, 1.0F); break;
    case OD_OP_ROPE_BWD: rotate(&call, OD_SLOT_DY, -1.0F); break;
    case OD_OP_ATTENTION: od_cpu_attention(cpu, op, tensors, batch); break;
    case OD_OP_ATTENTION_BWD: od_cpu_attention_bwd(cpu, op, tensors, batch); break;
    case OD_OP_ATTENTION_CACHED: od_cpu_attention_cached(cpu, op, tensors, batch); break;
    case OD_OP_LAYER_NORM: od_pool_run(pool, tokens, ROW_GRAIN, layer_norm_rows, &call); break;
    case OD_OP_LAYER_NORM_BWD:
        if (op->slot[OD_SLOT_DW] >= 0 || op->slot[OD_SLOT_DBIAS] >= 0) {
            od_pool_run(pool, op->n, COLUMN_GRAIN, layer_norm_dw_columns, &call);
        }
        od_pool_run(pool, tokens, ROW_GRAIN, layer_norm_bwd_rows, &call);
        break;
    case OD_OP_HEAD_NORM: od_pool_run(pool, tokens, ROW_GRAIN, head_norm_rows, &call); break;
    case OD_OP_HEAD_NORM_BWD:
        if (op->slot[OD_SLOT_DW] >= 0) {
            od_pool_run(pool, op->head_dim, COLUMN_GRAIN, head_norm_dw_columns, &call);
        }
        od_pool_run(pool, tokens, ROW_GRAIN, head_norm_bwd_rows, &call);
        break;
    case OD_OP_POSITIONS: od_pool_run(pool, tokens, ROW_GRAIN, positions_rows, &call); break;
    case OD_OP_POSITIONS_BWD:
        od_pool_run(pool, op->n, COLUMN_GRAIN, positions_bwd_columns, &call);
        break;
    case OD_OP_GLU: od_pool_run(pool, tokens, ROW_GRAIN, glu_rows, &call); break;
    case OD_OP_GLU_BWD: od_pool_run(pool, tokens, ROW_GRAIN, glu_bwd_rows, &call); break;
    case OD_OP_ACTIVATION:
        od_pool_run(pool, tokens * op->n, ELEMENT_GRAIN, activation_elements, &call);
        break;
    case OD_OP_ACTIVATION_BWD:
        od_pool_run(pool, tokens * op->n, ELEMENT_GRAIN, activation_bwd_elements, &call);
        break;
    case OD_OP_ADD:
        call.y = tensor(&call, OD_SLOT_Y);
        call.x = tensor(&call, OD_SLOT_X);
        od_pool_run(pool, tokens * op->n, ELEMENT_GRAIN, add_elements, &call);
        break;
    case OD_OP_STORE: copy_rows(&call, OD_SLOT_AUX, OD_SLOT_X); break;
    case OD_OP_FETCH: copy_rows(&call, OD_SLOT_Y, OD_SLOT_AUX); break;
    case OD_OP_STORED:
    case OD_OP_FETCHED: break;
    case OD_OP_HEAD_LOSS: od_cpu_head_loss(cpu, op, tensors, batch); break;
    case OD_OP_HEAD_LOGITS: head_logits(&call); break;
    case OD_OP_COUNT: assert(false); break;
    }
}
