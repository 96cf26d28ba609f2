// Frozen weights of linear layers as codes: their tensors, and how values become codes.

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/threads.h"
#include "formats/dtype.h"
#include "formats/e4m3.h"
#include "formats/nf4.h"
#include "model/program.h"
#include "model/program_internal.h"
#include "model/weights.h"
#include "ops/op.h"

enum { BLOCK_GRAIN = 1024, ROW_GRAIN = 4, INT8_MOST = 127 };

static int64_t scales_bytes(enum od_quant quant, int64_t rows, int64_t cols)
{
    return quant == OD_QUANT_NF4 ? (int64_t)od_nf4_places(rows * cols).bytes
                                 : rows * (int64_t)sizeof(float);
}

// A tensor of bytes.
static int32_t bytes_tensor(struct od_builder *b, enum od_role role, int64_t rows, int64_t cols,
                            const char *name, const char *what)
{
    const int32_t number = od_build_tensor(b, role, rows, cols, "%.46s.%s", name, what);
    if (!b->failed) {
        b->program.tensors[number].dtype = OD_DTYPE_U8;
    }
    return number;
}

// A GPU multiplies eight-bit floats as they are.
static bool multiplies_codes(const struct od_builder *b, const struct od_op *op)
{
    return op->quant == OD_QUANT_E4M3 && b->program.options.half;
}

// Scratch for rows of `cols` values that are rounded to eight bits.
static void add_rounded(struct od_builder *b, struct od_op *op, int64_t cols)
{
    const int64_t tokens = b->program.options.tokens;
    char name[OD_TENSOR_NAME_BYTES];
    (void)snprintf(name, sizeof name, "linear.%d", b->program.op_count);
    op->slot[OD_SLOT_ROUNDED] =
        multiplies_codes(b, op)
            ? bytes_tensor(b, OD_ROLE_WORK, tokens, cols + (int64_t)sizeof(float), name, "rounded")
            : od_build_tensor(b, OD_ROLE_WORK, tokens, cols, "%.50s.rounded", name);
}

void od_build_quantised(struct od_builder *b, struct od_op *op, const struct od_linear *layer)
{
    const enum od_quant quant = b->program.options.quant;
    const int64_t code_cols = quant == OD_QUANT_NF4 ? layer->k / 2 : layer->k;
    int64_t scales = 0;
    op->quant = quant;
    op->quant_count = layer->part_count;
    for (int i = 0; i < layer->part_count; i++) {
        op->quant_part[i] = (struct od_quant_part){
            .row = layer->part[i].row, .rows = layer->part[i].rows, .scales_at = scales};
        scales += scales_bytes(quant, layer->part[i].rows, layer->k);
    }
    op->slot[OD_SLOT_CODES] =
        bytes_tensor(b, OD_ROLE_WEIGHT, layer->n, code_cols, layer->name, "codes");
    op->slot[OD_SLOT_SCALES] = bytes_tensor(b, OD_ROLE_WEIGHT, 1, scales, layer->name, "scales");
    if (quant == OD_QUANT_E4M3) {
        add_rounded(b, op, layer->k);
    }
    if (!multiplies_codes(b, op)) {
        op->slot[OD_SLOT_W] =
            od_build_tensor(b, OD_ROLE_WORK, layer->n, layer->k, "%.50s.decoded", layer->name);
    }
    for (int i = 0; i < layer->part_count && !b->failed; i++) {
        od_build_weight_part(b, op->slot[OD_SLOT_CODES], layer->part[i].row, layer->part[i].rows,
                             "%.100s.weight", layer->part[i].module);
        if (!b->failed) {
            struct od_part *part = &b->program.weights[b->program.weight_count - 1];
            part->cols = layer->k;
            part->transposed = layer->transposed;
            part->quant = quant;
            part->scales = op->slot[OD_SLOT_SCALES];
            part->scales_at = op->quant_part[i].scales_at;
        }
    }
}

void od_build_copies(struct od_builder *b, struct od_op *op, int64_t width)
{
    const int number = b->program.op_count;
    op->slot[OD_SLOT_A_COPY] =
        od_build_tensor(b, OD_ROLE_COPY, width, op->k, "linear.%d.A.copy", number);
    op->slot[OD_SLOT_B_COPY] =
        od_build_tensor(b, OD_ROLE_COPY, op->n, width, "linear.%d.B.copy", number);
}

void od_build_decoded_again(struct od_builder *b, struct od_op *op)
{
    if (op->quant == OD_QUANT_NONE || b->failed) {
        return;
    }
    if (op->quant == OD_QUANT_E4M3) {
        add_rounded(b, op, op->kind == OD_OP_LINEAR_BWD ? op->n : op->k);
    }
    if (multiplies_codes(b, op)) {
        if (op->kind == OD_OP_LINEAR_BWD) {
            char name[OD_TENSOR_NAME_BYTES];
            (void)snprintf(name, sizeof name, "linear.%d", b->program.op_count);
            op->slot[OD_SLOT_W] =
                bytes_tensor(b, OD_ROLE_WORK, op->k, op->n, name, "codes_transposed");
        }
        return;
    }
    const struct od_tensor w = b->program.tensors[op->slot[OD_SLOT_W]];
    const int32_t again = od_build_tensor(b, OD_ROLE_WORK, w.rows, w.cols, "%.54s.again", w.name);
    if (!b->failed) {
        b->program.tensors[again].pad = w.pad;
        b->program.tensors[again].pad_rows = w.pad_rows;
        op->slot[OD_SLOT_W] = again;
    }
}

size_t od_quant_code_bytes(const struct od_part *part)
{
    const size_t count = (size_t)(part->rows * part->cols);
    return part->quant == OD_QUANT_NF4 ? count / 2 : count;
}

size_t od_quant_scale_bytes(const struct od_part *part)
{
    return (size_t)scales_bytes(part->quant, part->rows, part->cols);
}

// What the threads of a pool share.
struct job {
    const struct od_part *part;
    const float *values;
    uint8_t *codes;
    float *scales;  ///< magnitudes of blocks, or scales of rows
};

static void encode_blocks(void *context, int64_t first, int64_t last, int thread)
{
    const struct job *job = context;
    (void)thread;
    od_nf4_encode(job->values, first, last, job->codes, job->scales);
}

static void encode_float_rows(void *context, int64_t first, int64_t last, int thread)
{
    const struct job *job = context;
    const int64_t cols = job->part->cols;
    (void)thread;
    for (int64_t row = first; row < last; row++) {
        job->scales[row] =
            od_e4m3_encode_row(job->values + row * cols, NULL, cols, job->codes + row * cols);
    }
}

static void encode_rows(void *context, int64_t first, int64_t last, int thread)
{
    const struct job *job = context;
    const int64_t cols = job->part->cols;
    (void)thread;
    for (int64_t row = first; row < last; row++) {
        const float *x = job->values + row * cols;
        float most = 0.0F;
        for (int64_t i = 0; i < cols; i++) {
            most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
        }
        const float scale = most / (float)INT8_MOST;
        for (int64_t i = 0; i < cols; i++) {
            const float code = scale > 0.0F ? rintf(x[i] / scale) : 0.0F;
            job->codes[row * cols + i] = (uint8_t)(int8_t)code;  // within +-127
        }
        job->scales[row] = scale;
    }
}

static void run(struct od_pool *pool, int64_t count, int64_t grain, od_pool_fn fn, struct job *job)
{
    if (pool) {
        od_pool_run(pool, count, grain, fn, job);
    } else {
        fn(job, 0, count, 0);
    }
}

enum od_status od_quant_encode(struct od_pool *pool, const struct od_part *part,
                               const float *values, uint8_t *codes, uint8_t *scales,
                               struct od_error *err)
{
    const int64_t blocks = part->rows * part->cols / OD_NF4_BLOCK;
    struct job job = {.part = part, .values = values, .codes = codes};
    if (part->quant != OD_QUANT_NF4) {
        job.scales = (float *)(void *)scales;
        run(pool, part->rows, ROW_GRAIN,
            part->quant == OD_QUANT_E4M3 ? encode_float_rows : encode_rows, &job);
        return OD_OK;
    }
    job.scales = od_alloc((size_t)blocks, sizeof *job.scales);
    if (!job.scales) {
        return od_fail(err, OD_E_MEMORY, "no memory to quantise '%s'", part->name);
    }
    run(pool, blocks, BLOCK_GRAIN, encode_blocks, &job);
    od_nf4_nest(job.scales, part->rows * part->cols, scales);
    od_free(job.scales);
    return OD_OK;
}

enum od_status od_quant_store(const struct od_part *part, const float *values,
                              float *const *tensors, struct od_error *err)
{
    const size_t row_bytes = od_quant_code_bytes(part) / (size_t)part->rows;
    uint8_t *codes = (uint8_t *)tensors[part->tensor] + (size_t)part->row * row_bytes;
    uint8_t *scales = (uint8_t *)tensors[part->scales] + part->scales_at;
    return od_quant_encode(NULL, part, values, codes, scales, err);
}
