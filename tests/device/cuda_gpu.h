/**
 * @file
 * What tests on a GPU share: open it, or skip with the reason. ONEDAY_REQUIRE_GPU=1 makes a machine
 * without a GPU a failure.
 * @thread One owner.
 */
#ifndef OD_TESTS_DEVICE_CUDA_GPU_H
#define OD_TESTS_DEVICE_CUDA_GPU_H

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "device/cuda/cuda.h"
#include "support.h"

/** GPU 0, opened once for the program; skips the running test where there is none. */
static inline struct od_cuda *test_gpu(void)
{
    static struct od_cuda *gpu;
    struct od_error err = {0};
    if (!gpu && od_cuda_open(0, &gpu, &err) != OD_OK) {
        const char *required = getenv("ONEDAY_REQUIRE_GPU");
        if (required && strcmp(required, "1") == 0) {
            fail_msg("%s", err.message);
        }
        print_message("# skipped: %s\n", err.message);
        skip();
    }
    return gpu;
}

/** Whether this machine has a GPU; says why not. */
static inline bool have_gpu(void)
{
    struct od_error err = {0};
    if (od_cuda_count(&err) > 0) {
        return true;
    }
    print_message("# no GPU: %s\n", err.message);
    return false;
}

/** Whether GPU 0 multiplies eight-bit floats, and this program has machine code for that; says why not. */
static inline bool gpu_has_e4m3(void)
{
    struct od_error err = {0};
    struct od_cuda_kernel *kernel = NULL;
    struct od_cuda *gpu = test_gpu();
    assert_ok(od_cuda_kernel(gpu, "od_round_e4m3", &kernel, &err), &err);
    if (od_cuda_kernel_ptx(gpu, kernel) >= 89) {
        return true;
    }
    print_message("# skipped: fp8 needs compute capability 8.9 and machine code for it\n");
    return false;
}

#endif
