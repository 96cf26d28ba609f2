/**
 * @file
 * What the files of this folder know of an open GPU beyond cuda.h.
 * @thread One owner.
 */
#ifndef OD_DEVICE_CUDA_CUDA_INTERNAL_H
#define OD_DEVICE_CUDA_CUDA_INTERNAL_H

#include <stdbool.h>

#include "base/status.h"
#include "device/cuda/cuda.h"

/** Remember a failure of queuing, unless one is remembered already. */
void od_cuda_fault(struct od_cuda *cuda, enum od_status status, const char *format, ...)
    OD_PRINTF(3, 4);

/** True when machine code is to be left aside (ONEDAY_CUDA_PTX=1); that holds for every library. */
bool od_cuda_wants_ptx(void);

/** The virtual architecture that a kernel was compiled by way of (80 for compute_80); 0: unknown.
 *  Machine code for this very GPU has the GPU's own capability. */
int od_cuda_kernel_ptx(const struct od_cuda *cuda, const struct od_cuda_kernel *kernel);

/** The stream records instead of running. */
bool od_cuda_is_recording(const struct od_cuda *cuda);

#endif
