// A text through the operations of training: what the weights give, before any file is between.

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "data/pack.h"
#include "device/cpu/gemm.h"
#include "model/program.h"
#include "ops/adamw/adamw_cuda.h"
#include "ops/gpu.h"
#include "ops/op.h"
#include "tune/recipe.h"
#include "tune/session.h"
#include "tune/session_internal.h"

int64_t od_session_prompt_max(const struct od_session *s)
{
    return s->recipe->micro_batch_size * s->recipe->sequence_len;
}

static void fill(struct od_micro_batch *batch, const int32_t *ids, int64_t count)
{
    od_micro_batch_reset(batch);
    for (int64_t i = 0; i < count; i++) {
        batch->ids[i] = ids[i];
        batch->positions[i] = (int32_t)i;
        batch->targets[i] = i + 1 < count ? ids[i + 1] : -1;
    }
    batch->segment_start[0] = 0;
    batch->segment_start[1] = (int32_t)count;
    batch->segments = 1;
    batch->tokens = count;
    batch->label_count = count - 1;
}

// The input of the losses and its weight lie where they were.
static enum od_status head_logits(struct od_session *s, int64_t count, float *logits,
                                  struct od_error *err)
{
    int32_t at = s->program.forward_count - 1;
    while (s->program.ops[at].kind != OD_OP_HEAD_LOSS) {
        at--;  // every program that trains has one
    }
    const struct od_op *op = &s->program.ops[at];
    const struct od_mat x = {s->arrays.tensor[op->slot[OD_SLOT_X]], op->k, 1};
    const struct od_mat w = {s->arrays.tensor[op->slot[OD_SLOT_W]], 1, op->k};
    od_gemm_run(s->cpu.gemm, count, op->n, op->k, x, w, logits, op->n, /* accumulate= */ false);
    if (op->slot[OD_SLOT_A] < 0) {
        return OD_OK;
    }
    const int64_t r = op->rank;
    const struct od_mat a = {s->arrays.tensor[op->slot[OD_SLOT_A]], 1, op->k};
    const struct od_mat b = {s->arrays.tensor[op->slot[OD_SLOT_B]], 1, r};
    float *xa = od_alloc((size_t)(count * r), sizeof *xa);
    if (!xa) {
        return od_fail(err, OD_E_MEMORY, "no memory for the logits of %lld positions",
                       (long long)count);
    }
    od_gemm_run(s->cpu.gemm, count, r, op->k, x, a, xa, r, /* accumulate= */ false);
    for (int64_t i = 0; i < count * r; i++) {
        xa[i] *= op->scale;
    }
    od_gemm_run(s->cpu.gemm, count, op->n, r, (struct od_mat){xa, r, 1}, b, logits, op->n,
                /* accumulate= */ true);
    od_free(xa);
    return OD_OK;
}

enum od_status od_session_prompt(struct od_session *s, const int32_t *ids, int64_t count,
                                 float *logits, double *ret_loss, struct od_error *err)
{
    double loss = 0.0;
    assert(count >= 2 && count <= od_session_prompt_max(s) && !(s->gpu && logits));
    fill(&s->batch, ids, count);
    if (s->gpu) {
        od_gpu_clear(s->gpu);
    }
    enum od_status status = od_session_pass(s, 1.0, /* learn= */ false, /* pass= */ 0, &loss, err);
    if (status == OD_OK && s->gpu) {
        struct od_adamw_stats stats;
        status = od_gpu_finish(s->gpu, &stats, err);
        loss = status == OD_OK ? stats.loss_sum : loss;
    }
    if (status == OD_OK && !isfinite(loss)) {
        status = od_fail(err, OD_E_REFUSED, "loss %g of a prompt: no number", loss);
    }
    if (status != OD_OK) {
        return status;
    }
    if (logits && (status = head_logits(s, count, logits, err)) != OD_OK) {
        return status;
    }
    *ret_loss = loss / (double)(count - 1);
    return OD_OK;
}
