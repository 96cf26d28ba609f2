/**
 * @file
 * A GPU looked at: does a kernel run, are matrix products right, which libraries are there.
 *
 * @thread One owner.
 */
#ifndef OD_FLOW_GPU_CHECK_H
#define OD_FLOW_GPU_CHECK_H

#include <stdbool.h>

#include "base/file.h"
#include "base/status.h"
#include "device/cuda/cuda.h"

/** A library of NVIDIA's on this machine. */
struct od_gpu_library {
    char path[OD_PATH_MAX_BYTES];  ///< "": not found
    int major;
    int minor;
    int patch;
};

/** Find cuBLASLt and cuDNN, in the order in which the program does. Needs no GPU. */
void od_gpu_find_cublas(struct od_gpu_library *ret);
void od_gpu_find_cudnn(struct od_gpu_library *ret);

/** What came out of a trial on a GPU. */
struct od_gpu_trial {
    char library[64];      ///< what computed the product: "cuBLASLt 13.1.0", "own kernel"
    double library_error;  ///< largest error of an element beside the sum of its terms' sizes
    double own_error;      ///< the same of the own kernel
    bool products_right;   ///< both within what fp32 sums may differ
};

/**
 * Run the probe kernel and compare its bits with the processor's, then multiply two random
 * matrices of ragged shape with the library and with the own kernel and compare with sums in
 * double. Takes 64 MiB of the GPU for a moment.
 * @error OD_E_REFUSED when the probe's results are wrong; else what the GPU said.
 */
enum od_status od_gpu_try(struct od_cuda *cuda, struct od_gpu_trial *ret,
                          struct od_error *err) OD_MUST_CHECK;

#endif
