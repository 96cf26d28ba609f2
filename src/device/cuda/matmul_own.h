/**
 * @file
 * This program's own kernels for matrix products.
 * @thread One owner.
 */
#ifndef OD_DEVICE_CUDA_MATMUL_OWN_H
#define OD_DEVICE_CUDA_MATMUL_OWN_H

#include <stdbool.h>

#include "device/cuda/cuda.h"
#include "device/cuda/matmul.h"

/** Kernels that were loaded; all zero at first. */
struct od_matmul_own {
    struct od_cuda_kernel *bf16[2][2][2][2];  ///< A transposed, B transposed, fp32, aligned
    struct od_cuda_kernel *e4m3;
};

/** Queue a product; `aligned`: all operands and rows start at 16 bytes. Failures are noted. */
void od_matmul_own(struct od_cuda *cuda, struct od_matmul_own *own,
                   const struct od_matmul_call *call, bool aligned);

#endif
