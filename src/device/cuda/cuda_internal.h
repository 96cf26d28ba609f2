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

/** The stream records instead of running. */
bool od_cuda_is_recording(const struct od_cuda *cuda);

#endif
