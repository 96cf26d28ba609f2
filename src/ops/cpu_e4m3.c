// Linear operations over weights of eight-bit floats: what is rounded, and to what (op.h).

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/threads.h"
#include "formats/e4m3.h"
#include "ops/cpu.h"
#include "ops/op.h"

enum { ROW_GRAIN = 1, PIECE = 1024 };

// What the threads of a pool share.
struct job {
    const float *from;  // rows to round; NULL: codes are decoded
    const uint8_t *codes;
    const float *scales;  // of the rows of codes, or [cols] factors of `from`; NULL: none
    float *to;
    int64_t cols;
};

static void decode_rows(void *context, int64_t first, int64_t last, int thread)
{
    const struct job *job = context;
    (void)thread;
    for (int64_t row = first; row < last; row++) {
        const float scale = job->scales ? job->scales[row] : 1.0F;
        od_e4m3_decode_row(job->codes + row * job->cols, scale, job->cols,
                           job->to + row * job->cols);
    }
}

// The codes of a row lie in its own memory until they are decoded, the last piece first: four bytes
// are written where one is read.
static void round_rows(void *context, int64_t first, int64_t last, int thread)
{
    const struct job *job = context;
    uint8_t piece[PIECE];
    (void)thread;
    for (int64_t row = first; row < last; row++) {
        float *to = job->to + row * job->cols;
        uint8_t *codes = (uint8_t *)(void *)to;
        const float scale =
            od_e4m3_encode_row(job->from + row * job->cols, job->scales, job->cols, codes);
        for (int64_t end = job->cols; end > 0;) {
            const int64_t count = end < PIECE ? end : PIECE;
            end -= count;
            for (int64_t i = 0; i < count; i++) {
                piece[i] = codes[end + i];
            }
            od_e4m3_decode_row(piece, scale, count, to + end);
        }
    }
}

// Scales of all parts lie one behind another, in the order of the rows.
static const float *scales_of(const struct od_op *op, float *const *tensors)
{
    return tensors[op->slot[OD_SLOT_SCALES]];
}

void od_cpu_decode_e4m3(struct od_cpu *cpu, const struct od_op *op, float *const *tensors)
{
    struct job job = {.codes = (const uint8_t *)tensors[op->slot[OD_SLOT_CODES]],
                      .scales = op->kind == OD_OP_LINEAR_BWD ? NULL : scales_of(op, tensors),
                      .to = tensors[op->slot[OD_SLOT_W]],
                      .cols = op->k};
    od_pool_run(cpu->pool, op->n, ROW_GRAIN, decode_rows, &job);
}

void od_cpu_round_e4m3(struct od_cpu *cpu, const struct od_op *op, float *const *tensors,
                       int64_t tokens)
{
    const bool backward = op->kind == OD_OP_LINEAR_BWD;
    struct job job = {.from = tensors[op->slot[backward ? OD_SLOT_DY : OD_SLOT_X]],
                      .scales = backward ? scales_of(op, tensors) : NULL,
                      .to = tensors[op->slot[OD_SLOT_ROUNDED]],
                      .cols = backward ? op->n : op->k};
    od_pool_run(cpu->pool, tokens, ROW_GRAIN, round_rows, &job);
}
