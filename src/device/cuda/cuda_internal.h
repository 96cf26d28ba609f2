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

/** True when the kernels are compiled from PTX (ONEDAY_CUDA_PTX=1). */
bool od_cuda_is_ptx(const struct od_cuda *cuda);

/** The stream records instead of running. */
bool od_cuda_is_recording(const struct od_cuda *cuda);

#endif
