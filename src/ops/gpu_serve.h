/**
 * @file
 * Runs a program for generation on a GPU: passes of any number of rows over a cache of pages.
 *
 * Beside the program's arena (ops/gpu.h) lie, in its extra bytes: what the head reads of every position
 * of the cache, the lists of a pass, parts of attention, adapters that stay apart. All of it is laid out
 * before the first pass.
 *
 * A pass is queued at once and waited for: its logits then lie in pinned memory.
 *
 * @order With batch invariance, the bits of a row depend on its sequence alone: products come from
 *        device/cuda/matmul_rows.h, attention from ops/paged/paged.h, and everything else is computed
 *        row by row. Without, passes of more than OD_GPU_SERVE_FEW rows take cuBLASLt's products, and
 *        rows from the start of a prompt on take training's attention where they are many.
 * @thread One owner.
 */
#ifndef OD_OPS_GPU_SERVE_H
#define OD_OPS_GPU_SERVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "device/cuda/cuda.h"
#include "ops/gpu.h"

/** Rows that are few; what larger numbers are rounded up to for cuBLASLt. */
enum { OD_GPU_SERVE_FEW = 64 };

struct od_gpu_serve;

/** What passes can be. */
struct od_gpu_serve_shape {
    int64_t pages;         ///< of the cache
    int64_t sequences;     ///< at a time
    int64_t table_pages;   ///< of one sequence
    int64_t logit_rows;    ///< of one pass
    int64_t adapters;      ///< that stay apart
    int64_t rank_max;      ///< of these
    size_t adapter_bytes;  ///< sum of od_gpu_serve_adapter_bytes
    bool batch_invariant;
};

/** Extra bytes for a program; `extra_bytes` of the layout need not be set. */
size_t od_gpu_serve_bytes(const struct od_gpu_layout *layout,
                          const struct od_gpu_serve_shape *shape);

/**
 * `gpu` was opened with a program for generation and od_gpu_serve_bytes extra bytes; it is borrowed.
 * @memory Gives: od_gpu_serve_close.
 * @error OD_E_UNSUPPORTED: a head size without a kernel.
 */
enum od_status od_gpu_serve_open(struct od_gpu *gpu, const struct od_gpu_serve_shape *shape,
                                 struct od_gpu_serve **ret, struct od_error *err) OD_MUST_CHECK;
void od_gpu_serve_close(struct od_gpu_serve *serve);

/** One pass. Rows of a sequence stand together, in the order of their positions. */
struct od_gpu_serve_pass {
    int64_t rows;
    const int32_t *ids;
    const int32_t *positions;
    const int32_t *slot;        ///< [rows] whose sequence
    const int32_t *adapter;     ///< [rows] number, -1: none
    const int32_t *page_table;  ///< [sequences, table_pages]
    int64_t logit_rows;
    const int32_t *logit_slot;      ///< [logit_rows]
    const int32_t *logit_position;  ///< [logit_rows] of a row of this pass or an earlier one
};
/** Run it and wait. */
enum od_status od_gpu_serve_run(struct od_gpu_serve *serve, const struct od_gpu_serve_pass *pass,
                                struct od_error *err) OD_MUST_CHECK;
/** Logits of the last pass [logit_rows, stride]. @memory Lends pinned memory. */
const float *od_gpu_serve_logits(const struct od_gpu_serve *serve, int64_t *ret_stride);

/** Queue a copy of the first `count` positions of a page to another, of all layers and of what the head
 *  reads. */
void od_gpu_serve_copy(struct od_gpu_serve *serve, int32_t from, int32_t to, int64_t count);

/** A matrix of an adapter that is for rows [row, row + rows) of a weight. */
struct od_gpu_serve_matrix {
    int32_t tensor;  ///< the weight
    int64_t row;
    int64_t rows;
    int64_t k;
    int64_t rank;
    float scale;
    const float *a;  ///< [rank, k]
    const float *b;  ///< [rows, rank]
};
/** Bytes that it takes on the card as a part of an adapter that stays apart. */
size_t od_gpu_serve_adapter_bytes(const struct od_gpu_serve_matrix *matrix);
/** Give adapter `number` a matrix, rounded to bf16; waits. */
enum od_status od_gpu_serve_adapter(struct od_gpu_serve *serve, int64_t number,
                                    const struct od_gpu_serve_matrix *matrix,
                                    struct od_error *err) OD_MUST_CHECK;
/** Add a matrix to the weight itself, before the first pass; waits. */
enum od_status od_gpu_serve_merge(struct od_gpu_serve *serve,
                                  const struct od_gpu_serve_matrix *matrix,
                                  struct od_error *err) OD_MUST_CHECK;

#endif
