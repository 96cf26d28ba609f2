/**
 * @file
 * An open GPU as driver.c, which opens it, and queue.c, which queues work on it, know it.
 * @thread One owner.
 */
#ifndef OD_DEVICE_CUDA_DRIVER_INTERNAL_H
#define OD_DEVICE_CUDA_DRIVER_INTERNAL_H

#include <stdbool.h>

#include "base/status.h"
#include "device/cuda/cuda.h"
#include "device/cuda/driver_api.h"
#include "device/cuda/nvml.h"

enum { OD_CUDA_KERNEL_NAME_BYTES = 96 };

struct od_cuda_kernel {
    void *function;
    unsigned shared_bytes;  ///< that launches may take
    bool can_overlap;
    char name[OD_CUDA_KERNEL_NAME_BYTES];
    struct od_cuda_kernel *next;
};

struct od_cuda_graph {
    void *exec;
};

struct od_cuda_event {
    void *event;
};

struct od_cuda {
    struct od_cu_api api;
    struct od_cuda_info info;
    int device;
    bool has_context;
    bool is_recording;
    void *stream;
    void *aside;      ///< for copies beside the work
    void *work_done;  ///< events between the two
    void *copy_done;
    void **modules;  ///< [od_cuda_image_count]
    struct od_cuda_kernel *kernels;
    struct od_nvml *nvml;
    struct od_error fault;  ///< the first failure of queuing; OD_OK: none
};

/** A call of the driver failed: say what could not be done. Yields its status. */
enum od_status od_cuda_fail_with(const struct od_cu_api *api, int result, struct od_error *err,
                                 const char *what);
/** Remember what a queued call gave: "cannot WHATNAME on GPU: why". */
void od_cuda_queued(struct od_cuda *cuda, int result, const char *what, const char *name);

#endif
