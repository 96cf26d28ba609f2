/**
 * @file
 * Runs operations on the CPU: splits each over a thread pool by index and calls the kernels and
 * matrix products. The bits do not depend on the number of threads or on AVX2.
 *
 * @thread One owner: a struct od_cpu belongs to the thread that made it.
 */
#ifndef OD_OPS_CPU_H
#define OD_OPS_CPU_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "base/threads.h"
#include "device/cpu/gemm.h"
#include "ops/adamw/adamw_8bit.h"
#include "ops/adamw/rounding.h"
#include "ops/kernels.h"
#include "ops/op.h"

/** Elements whose squares are added before the sums of chunks are. */
enum { OD_NORM_CHUNK = 4096 };

/** The CPU as a place where operations run. */
struct od_cpu {
    struct od_pool *pool;
    struct od_gemm *gemm;
    const struct od_cpu_kernels *kernels;
    struct od_cpu_features features;
    /** Weights packed for few rows, by tensor number; NULL: none. Borrowed. */
    const struct od_gemm_weight *packed;
};

/**
 * `threads` 0: all processors; `allow_vector` false: no AVX2 (same bits, slower).
 * @memory Gives: od_cpu_close.
 */
enum od_status od_cpu_open(int threads, bool allow_vector, struct od_cpu *ret,
                           struct od_error *err) OD_MUST_CHECK;
void od_cpu_close(struct od_cpu *cpu);

/**
 * Run one operation. `tensors` maps the numbers in op->slot to memory; shapes were checked when the
 * program was planned. Allocates nothing.
 * @order As each kernel says; HEAD_LOSS adds row losses in row order, in double.
 */
void od_cpu_run(struct od_cpu *cpu, const struct od_op *op, float *const *tensors,
                struct od_batch *batch);

/** The mask of an operation in this pass; false: nothing is left out. */
bool od_dropout_of(const struct od_op *op, const struct od_batch *batch, struct od_dropout *ret);

// Parts of od_cpu_run that have a file of their own.
void od_cpu_head_loss(struct od_cpu *cpu, const struct od_op *op, float *const *tensors,
                      struct od_batch *batch);
void od_cpu_attention(struct od_cpu *cpu, const struct od_op *op, float *const *tensors,
                      const struct od_batch *batch);
void od_cpu_attention_bwd(struct od_cpu *cpu, const struct od_op *op, float *const *tensors,
                          const struct od_batch *batch);
void od_cpu_attention_cached(struct od_cpu *cpu, const struct od_op *op, float *const *tensors,
                             const struct od_batch *batch);
/** The weight of a linear operation into W: in the backward pass without its scales, which go with
 *  what it is multiplied with (op.h). */
void od_cpu_decode_e4m3(struct od_cpu *cpu, const struct od_op *op, float *const *tensors);
/** X, or in the backward pass DY times the weight's scales, into ROUNDED. */
void od_cpu_round_e4m3(struct od_cpu *cpu, const struct od_op *op, float *const *tensors,
                       int64_t tokens);

/**
 * Sum of squares of a tensor in double: chunks of OD_NORM_CHUNK elements, then chunk by chunk.
 * `partials` has room for count / OD_NORM_CHUNK + 1 doubles.
 */
double od_cpu_sum_squares(struct od_cpu *cpu, const float *x, int64_t count, double *partials);

/** AdamW on a tensor. */
void od_cpu_adamw(struct od_cpu *cpu, float *w, float *m, float *v, const float *g, int64_t count,
                  const struct od_adamw_step *step);
/** Round weights to bf16 values by chance, after a step; `rounding->index` is that of w[0]. */
void od_cpu_round(struct od_cpu *cpu, float *w, int64_t count, const struct od_rounding *rounding);
/** AdamW on a tensor whose moments are 8-bit codes. */
void od_cpu_adamw_8bit(struct od_cpu *cpu, const struct od_adamw_8bit *tensor,
                       const struct od_adamw_maps *maps, const struct od_adamw_step *step);

#endif
