/**
 * @file
 * Products Y = X W^T whose rows do not depend on how many there are: row i of Y has the same bits
 * whether X has one row or a thousand. That is what answers need that must not depend on their
 * neighbours.
 *
 *     D[m, n] = A[m, k] B[n, k]^T (+ C[m, n]) (+ bias[n])      A, B, C, bias bf16; D bf16 or fp32
 *
 * Three sizes of tiles: few rows are bound by reading B once, at the speed of memory; many by the
 * tensor cores. Launches overlap with the kernel in front of them; B must not be what it writes.
 *
 * @order Each element is one chain of fp32 sums over k in steps of 16, in rising order, whatever the
 *        tile (matmul.cuh); then C and the bias are added, and it is rounded once.
 * @thread One owner.
 */
#ifndef OD_DEVICE_CUDA_MATMUL_ROWS_H
#define OD_DEVICE_CUDA_MATMUL_ROWS_H

#ifndef __CUDACC__

#include "base/status.h"
#include "device/cuda/cuda.h"
#include "device/cuda/matmul.h"

struct od_matmul_rows;

/** @memory Gives: od_matmul_rows_free. Borrows `cuda`. */
enum od_status od_matmul_rows_create(struct od_cuda *cuda, struct od_matmul_rows **ret,
                                     struct od_error *err) OD_MUST_CHECK;
void od_matmul_rows_free(struct od_matmul_rows *rows);

/**
 * Queue a product with A as it lies and B transposed, as weights lie; alpha is 1, and operands and
 * leading dimensions have whole pieces of 16 bytes. Failures are remembered and reported by
 * od_cuda_check and od_cuda_sync.
 */
void od_matmul_rows_run(struct od_matmul_rows *rows, const struct od_matmul_call *call);

#endif

// Shapes of the small tiles, as matmul_tile.h has them for the large ones: a block makes TILE_M x
// TILE_N of D, a warp WARP_M x WARP_N.
#define OD_ROWS_TILE_K   64
#define OD_ROWS16_TILE_M 16
#define OD_ROWS16_TILE_N 32
#define OD_ROWS16_WARP_M 16
#define OD_ROWS16_WARP_N 16
#define OD_ROWS16_STAGES 8
#define OD_ROWS64_TILE_M 64
#define OD_ROWS64_TILE_N 64
#define OD_ROWS64_WARP_M 32
#define OD_ROWS64_WARP_N 32
#define OD_ROWS64_STAGES 5

#endif
