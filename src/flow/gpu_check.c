#include "flow/gpu_check.h"

#include <dlfcn.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "device/cuda/cuda.h"
#include "device/cuda/library.h"
#include "device/cuda/matmul.h"
#include "formats/half.h"

enum {
    PROBE_COUNT = 100003,
    M = 300,
    N = 216,
    K = 1000,
    LD_K = 1000,
    SEED = 1,
    STREAM_A = 1,
    STREAM_B = 2
};
/** fp32 sums of K terms, with room for a tensor core that cuts instead of rounding. */
static const double ERROR_MAX = 1e-6;

// Libraries.

struct wanted {
    struct od_gpu_library *found;
    const char *version_symbol;
    int thousand;  // what the major version is multiplied with
};

static bool look_at(void *context, const char *path)
{
    const struct wanted *wanted = context;
    size_t (*version)(void) = NULL;
    Dl_info info;
    // Never unloaded: they keep memory of their own until the program ends.
    void *library = dlopen(path, RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE);
    if (!library) {
        return false;
    }
    void *symbol = dlsym(library, wanted->version_symbol);
    const bool works = symbol && dladdr(symbol, &info) != 0;
    if (works) {
        char whole[OD_PATH_MAX_BYTES];
        memcpy((void *)&version, (const void *)&symbol, sizeof version);
        const int number = (int)version();
        const char *real = realpath(info.dli_fname, whole);
        (void)snprintf(wanted->found->path, sizeof wanted->found->path, "%s",
                       real ? real : info.dli_fname);
        wanted->found->major = number / wanted->thousand;
        wanted->found->minor = number % wanted->thousand / 100;
        wanted->found->patch = number % 100;
    }
    (void)dlclose(library);
    return works;
}

void od_gpu_find_cublas(struct od_gpu_library *ret)
{
    static const char *const names[] = {"libcublasLt.so.13", "libcublasLt.so.12"};
    struct wanted wanted = {ret, "cublasLtGetVersion", 10000};
    *ret = (struct od_gpu_library){.major = 0};
    (void)od_library_search(names, 2, look_at, &wanted);
}

void od_gpu_find_cudnn(struct od_gpu_library *ret)
{
    static const char *const names[] = {"libcudnn.so.9"};
    struct wanted wanted = {ret, "cudnnGetVersion", 10000};
    *ret = (struct od_gpu_library){.major = 0};
    (void)od_library_search(names, 1, look_at, &wanted);
}

// The trial.

static float draw(uint32_t stream, size_t at)
{
    return od_uniform_f32(od_philox_draw(SEED, stream, 0, at).word[0]) * 2.0F - 1.0F;
}

static enum od_status try_probe(struct od_cuda *cuda, od_dev memory, struct od_error *err)
{
    enum od_status status = OD_OK;
    struct od_cuda_kernel *kernel = NULL;
    const size_t bytes = PROBE_COUNT * sizeof(float);
    float *host = od_alloc(3 * (size_t)PROBE_COUNT, sizeof *host);
    if (!host) {
        return od_fail(err, OD_E_MEMORY, "cannot hold a trial's numbers");
    }
    float *x = host;
    float *y = host + PROBE_COUNT;
    float *out = host + (size_t)2 * PROBE_COUNT;
    float a = 1.25F;
    int64_t count = PROBE_COUNT;
    od_dev dx = memory;
    od_dev dy = memory + bytes;
    od_dev dout = memory + 2 * bytes;
    void *args[] = {&dout, &dx, &dy, &a, &count};
    for (size_t i = 0; i < PROBE_COUNT; i++) {
        x[i] = draw(STREAM_A, i);
        y[i] = draw(STREAM_B, i);
    }
    status = od_cuda_kernel(cuda, "od_probe", &kernel, err);
    if (status) {
        goto done;
    }
    od_cuda_upload(cuda, dx, x, bytes);
    od_cuda_upload(cuda, dy, y, bytes);
    od_cuda_fill(cuda, dout, UINT8_MAX, bytes);
    od_cuda_launch(cuda, kernel, (struct od_cuda_grid){.x = 64, .threads = 256}, args);
    od_cuda_download(cuda, out, dout, bytes);
    status = od_cuda_sync(cuda, err);
    for (size_t i = 0; i < PROBE_COUNT && !status; i++) {
        if (od_f32_bits(out[i]) != od_f32_bits(fmaf(a, x[i], y[i]))) {
            status = od_fail(err, OD_E_REFUSED,
                             "the GPU computes wrong: element %zu of the probe is %.9g, not %.9g",
                             i, (double)out[i], (double)fmaf(a, x[i], y[i]));
        }
    }

done:
    od_free(host);
    return status;
}

/** Largest error of d = a b^T beside the sizes of the terms; NaN counts as infinite. */
static double largest_error(const uint16_t *a, const uint16_t *b, const float *d)
{
    double worst = 0.0;
    for (size_t i = 0; i < M; i++) {
        for (size_t j = 0; j < N; j++) {
            double sum = 0.0;
            double size = 0.0;
            for (size_t k = 0; k < K; k++) {
                const double term = (double)od_bf16_to_f32(a[i * LD_K + k]) *
                                    (double)od_bf16_to_f32(b[j * LD_K + k]);
                sum += term;
                size += fabs(term);
            }
            const double error = fabs((double)d[i * N + j] - sum) / size;
            worst = error <= worst ? worst : error < 1.0 ? error : (double)INFINITY;
        }
    }
    return worst;
}

/** Multiply once, with the library or the own kernel. `memory` holds the workspace, then A, B, D. */
static enum od_status try_product(struct od_cuda *cuda, od_dev memory, bool use_library,
                                  const uint16_t *host, float *d, double *ret_error, char name[64],
                                  struct od_error *err)
{
    struct od_matmul *matmul = NULL;
    const od_dev a = memory + OD_MATMUL_WORKSPACE_BYTES;
    const size_t a_bytes = (size_t)M * LD_K * sizeof *host;
    const size_t b_bytes = (size_t)N * LD_K * sizeof *host;
    const size_t d_bytes = (size_t)M * N * sizeof *d;
    enum od_status status = od_matmul_create(cuda, memory, use_library, &matmul, err);
    if (status) {
        return status;
    }
    const struct od_matmul_call call = {.m = M,
                                        .n = N,
                                        .k = K,
                                        .a = a,
                                        .lda = LD_K,
                                        .b = a + a_bytes,
                                        .ldb = LD_K,
                                        .b_transposed = true,
                                        .d = a + a_bytes + b_bytes,
                                        .ldd = N,
                                        .d_is_float = true,
                                        .alpha = 1.0F};
    od_cuda_upload(cuda, a, host, a_bytes + b_bytes);
    od_cuda_fill(cuda, call.d, UINT8_MAX, d_bytes);
    od_matmul_run(matmul, &call);
    od_cuda_download(cuda, d, call.d, d_bytes);
    status = od_cuda_sync(cuda, err);
    if (!status) {
        *ret_error = largest_error(host, host + (size_t)M * LD_K, d);
        (void)snprintf(name, 64, "%.63s", od_matmul_library(matmul));
    }
    od_matmul_free(matmul);
    return status;
}

enum od_status od_gpu_try(struct od_cuda *cuda, struct od_gpu_trial *ret, struct od_error *err)
{
    enum od_status status = OD_OK;
    od_dev memory = 0;
    struct od_gpu_trial trial = {.products_right = false};
    char own[64];
    const size_t count = (size_t)(M + N) * LD_K;
    const size_t bytes =
        OD_MATMUL_WORKSPACE_BYTES + count * sizeof(uint16_t) + (size_t)M * N * sizeof(float);
    uint16_t *host = od_alloc(count, sizeof *host);
    float *d = od_alloc((size_t)M * N, sizeof *d);
    if (!host || !d) {
        status = od_fail(err, OD_E_MEMORY, "cannot hold a trial's numbers");
        goto done;
    }
    for (size_t i = 0; i < count; i++) {
        host[i] = od_f32_to_bf16(draw(STREAM_A, i));
    }
    status = od_cuda_alloc(cuda, bytes, &memory, err);
    if (!status) {
        status = try_probe(cuda, memory, err);
    }
    if (!status) {
        status = try_product(cuda, memory, true, host, d, &trial.library_error, trial.library, err);
    }
    if (!status) {
        status = try_product(cuda, memory, false, host, d, &trial.own_error, own, err);
    }
    if (!status) {
        trial.products_right = trial.library_error <= ERROR_MAX && trial.own_error <= ERROR_MAX;
        *ret = trial;
    }

done:
    if (memory) {
        od_cuda_free(cuda, memory);
    }
    od_free(host);
    od_free(d);
    return status;
}
