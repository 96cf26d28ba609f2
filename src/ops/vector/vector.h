/**
 * @file
 * Products of one or two rows on a GPU, on plain multiply-adds at the speed of memory, together with
 * the norm of the rows before.
 *
 *     A' = A, or A normalised: a[i][x] * norm[x] / sqrt(mean of squares + eps), rounded to bf16
 *     D[m, n] = alpha A'[m, k] B[n, k]^T (+ C[m, n]) (+ bias[n])
 *
 * A, B, C, bias bf16; D bf16 or fp32. Launches overlap with the kernel in front of them
 * (device/cuda/overlap.cuh): B and `norm` must not be what it writes.
 *
 * @order A lane's sum in rising order of k, then over the lanes in a tree: a row's bits are not those that
 *        it has in a product of more rows.
 * @thread One owner.
 */
#ifndef OD_OPS_VECTOR_H
#define OD_OPS_VECTOR_H

#ifndef __CUDACC__

#include <stdbool.h>

#include "base/status.h"
#include "device/cuda/cuda.h"
#include "device/cuda/matmul.h"

struct od_vector;

struct od_vector_call {
    struct od_matmul_call product;  ///< B transposed, A not
    od_dev norm;                    ///< fp32 [k], aligned to 16 bytes; 0: A as it is
    float eps;
};

/** @memory Gives: od_vector_free. Borrows `cuda`. */
enum od_status od_vector_create(struct od_cuda *cuda, struct od_vector **ret,
                                struct od_error *err) OD_MUST_CHECK;
void od_vector_free(struct od_vector *vector);
/** Is the call one for these kernels: rows, sizes and alignment? */
bool od_vector_can(const struct od_vector_call *call);
/** Queue a call that od_vector_can. */
void od_vector_run(struct od_vector *vector, const struct od_vector_call *call);

#endif

#define OD_VECTOR_ROWS       2  // at most
#define OD_VECTOR_WARPS      8  // of a block
#define OD_VECTOR_COLUMNS    2  // of D, for a warp
#define OD_VECTOR_AHEAD      4  // pieces of 16 bytes of each column that a lane has asked for
#define OD_VECTOR_SHARED_MAX (96 << 10)  // bytes of A's rows: two blocks to a multiprocessor

#endif
