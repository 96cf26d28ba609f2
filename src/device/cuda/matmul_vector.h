/**
 * @file
 * The shape of the products of few rows on plain multiply-adds, for the kernel (matmul_vector.cu) and for
 * the host that starts it (matmul_rows.c).
 * @thread No state.
 */
#ifndef OD_DEVICE_CUDA_MATMUL_VECTOR_H
#define OD_DEVICE_CUDA_MATMUL_VECTOR_H

#ifndef OD_VECTOR_WARPS
#define OD_VECTOR_WARPS   8
#define OD_VECTOR_COLUMNS 2  // of a warp
#define OD_VECTOR_AHEAD   4  // pieces of a column that a lane has asked for
#endif
#define OD_VECTOR_ROWS       2           // at most
#define OD_VECTOR_SHARED_MAX (96 << 10)  // bytes of A's rows: two blocks to a multiprocessor

#endif
