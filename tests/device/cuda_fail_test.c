// Goal: what can go wrong with a GPU is said so that a person can mend it, with the right status.
// Method: a driver that computes nothing and fails where it is told to (fake_cuda.c) stands in for
// libcuda.so.1; needs no GPU.

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "device/cuda/cuda.h"
#include "device/cuda/images.h"
#include "support.h"

static void tell(const char *settings)
{
    assert_int_equal(setenv("FAKE_CUDA", settings, 1), 0);
}

static void assert_says(const struct od_error *err, const char *part)
{
    if (!strstr(err->message, part)) {
        fail_msg("'%s' is not in '%s'", part, err->message);
    }
}

static void assert_open_fails(const char *settings, enum od_status status, const char *part)
{
    struct od_error err = {0};
    struct od_cuda *cuda = NULL;
    tell(settings);
    assert_int_equal(od_cuda_open(0, &cuda, &err), status);
    assert_null(cuda);
    assert_says(&err, part);
}

static void opening_fails_with_advice(void **state)
{
    struct od_error err = {0};
    struct od_cuda *cuda = NULL;
    (void)state;
    assert_open_fails("lacks=cuGraphInstantiateWithFlags", OD_E_UNSUPPORTED,
                      "no cuGraphInstantiateWithFlags of CUDA 12.0: install version 580 or newer");
    assert_open_fails("version=11080", OD_E_UNSUPPORTED,
                      "offers CUDA 11.8, this program needs 12.0");
    assert_open_fails("cuInit=100", OD_E_NOT_FOUND, "sees no GPU");
    assert_open_fails("cuInit=803", OD_E_UNSUPPORTED, "restart after an update");
    assert_open_fails("cuInit=999", OD_E_IO, "dmesg");
    assert_open_fails("gpus=0", OD_E_NOT_FOUND, "no GPU 0: this machine has 0");
    assert_open_fails("capability=75", OD_E_UNSUPPORTED, "Fake GPU has capability 7.5");
    assert_open_fails("cuDevicePrimaryCtxRetain=46", OD_E_IO, "another program holds the GPU");
    assert_open_fails("cuDevicePrimaryCtxRetain=2", OD_E_MEMORY, "FAKE_ERROR_2 (2: as told)");
    tell("");
    assert_int_equal(od_cuda_open(3, &cuda, &err), OD_E_NOT_FOUND);
    assert_says(&err, "no GPU 3: this machine has 1");
    if (od_cuda_image_count == 0) {
        assert_open_fails("", OD_E_UNSUPPORTED, "this build has no CUDA kernels");
        return;
    }
    assert_open_fails("cuModuleLoadData=222 version=12040 capability=121", OD_E_UNSUPPORTED,
                      "capability 12.1, driver , CUDA 12.4) cannot run the kernels");
    assert_open_fails("cuModuleLoadData=209", OD_E_UNSUPPORTED, "install driver 580 or newer");
    assert_open_fails("cuModuleLoadData=2", OD_E_MEMORY, "cannot load the kernels of");
}

static void counting_says_why_none(void **state)
{
    struct od_error err = {0};
    (void)state;
    tell("gpus=2");
    assert_int_equal(od_cuda_count(&err), 2);
    tell("gpus=0");
    assert_int_equal(od_cuda_count(&err), 0);
    assert_says(&err, "sees no GPU");
    tell("cuInit=100");
    assert_int_equal(od_cuda_count(&err), 0);
    assert_says(&err, "CUDA_VISIBLE_DEVICES");
}

static void work_fails_with_advice(void **state)
{
    struct od_error err = {0};
    struct od_cuda *cuda = NULL;
    struct od_cuda_kernel *kernel = NULL;
    struct od_cuda_graph *graph = NULL;
    od_dev memory = 7;
    void *pinned = NULL;
    void *args[] = {NULL};
    (void)state;
    if (od_cuda_image_count == 0) {
        print_message("# skipped: this build has no CUDA kernels\n");
        skip();
    }
    tell("");
    assert_ok(od_cuda_open(0, &cuda, &err), &err);
    assert_string_equal(od_cuda_info(cuda)->name, "Fake GPU");
    tell("cuMemAlloc=2 free=1500000000");
    assert_int_equal(od_cuda_alloc(cuda, 5000000000, &memory, &err), OD_E_MEMORY);
    assert_says(&err, "cannot take 5.00 GB of Fake GPU: 1.50 GB of 80.0 GB are free");
    assert_true(memory == 7);
    tell("cuMemHostAlloc=2");
    assert_int_equal(od_cuda_host_alloc(cuda, 1 << 20, &pinned, &err), OD_E_MEMORY);
    assert_says(&err, "cannot pin 1.05 MB");
    tell("cuModuleGetFunction=500");
    assert_int_equal(od_cuda_kernel(cuda, "od_none", &kernel, &err), OD_E_NOT_FOUND);
    assert_says(&err, "no kernel 'od_none'");
    tell("");
    assert_ok(od_cuda_kernel(cuda, "od_probe", &kernel, &err), &err);
    // The first failure is the one that is told, once.
    tell("cuLaunchKernelEx=701 cuMemsetD8Async=1");
    od_cuda_launch(cuda, kernel, (struct od_cuda_grid){.x = 1, .threads = 32}, args);
    od_cuda_fill(cuda, 16, 0, 16);
    assert_int_equal(od_cuda_check(cuda, &err), OD_E_IO);
    assert_says(&err, "cannot start kernel od_probe on Fake GPU");
    assert_ok(od_cuda_check(cuda, &err), &err);
    tell("cuFuncSetAttribute=1");
    od_cuda_launch(cuda, kernel,
                   (struct od_cuda_grid){.x = 1, .threads = 32, .shared_bytes = 1 << 20}, args);
    assert_int_equal(od_cuda_sync(cuda, &err), OD_E_IO);
    assert_says(&err, "shared memory of kernel od_probe");
    // A GPU that is lost while it works.
    tell("cuStreamSynchronize=719");
    assert_int_equal(od_cuda_sync(cuda, &err), OD_E_IO);
    assert_says(&err, "--resume");
    tell("cuStreamSynchronize=214");
    assert_int_equal(od_cuda_sync(cuda, &err), OD_E_IO);
    assert_says(&err, "Xid");
    // What spoilt a recording is told before the recording itself.
    tell("cuMemsetD8Async=1 cuStreamEndCapture=901");
    assert_ok(od_cuda_graph_begin(cuda, &err), &err);
    od_cuda_fill(cuda, 16, 0, 16);
    assert_int_equal(od_cuda_graph_end(cuda, &graph, &err), OD_E_IO);
    assert_says(&err, "cannot fill memory");
    assert_null(graph);
    tell("");
    assert_ok(od_cuda_sync(cuda, &err), &err);
    od_cuda_close(cuda);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opening_fails_with_advice),
        cmocka_unit_test(counting_says_why_none),
        cmocka_unit_test(work_fails_with_advice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
