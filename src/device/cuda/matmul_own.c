#include "device/cuda/matmul_own.h"

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/status.h"
#include "device/cuda/cuda.h"
#include "device/cuda/cuda_internal.h"
#include "device/cuda/matmul.h"
#include "device/cuda/matmul_e4m3.h"
#include "device/cuda/matmul_tile.h"

/**
 * A kernel is loaded when it is first needed: there are four in an image, and where they come as PTX,
 * the driver compiles for seconds. False: the fault is noted.
 */
static bool load(struct od_cuda *cuda, const char *name, struct od_cuda_kernel **kernel)
{
    struct od_error err = {0};
    if (*kernel) {
        return true;
    }
    const enum od_status status = od_cuda_kernel(cuda, name, kernel, &err);
    if (status != OD_OK) {
        od_cuda_fault(cuda, status, "%s", err.message);
        *kernel = NULL;
    }
    return status == OD_OK;
}

static bool is_too_large(struct od_cuda *cuda, const struct od_matmul_call *call, int64_t tiles)
{
    const bool large = tiles > INT32_MAX || call->k > INT32_MAX - OD_TILE_K ||
                       call->lda > INT32_MAX || call->ldb > INT32_MAX;
    if (large) {
        od_cuda_fault(cuda, OD_E_LIMIT,
                      "a product of %" PRId64 " x %" PRId64 " x %" PRId64 " is too large", call->m,
                      call->n, call->k);
    }
    return large;
}

static void run_e4m3(struct od_cuda *cuda, struct od_matmul_own *own,
                     const struct od_matmul_call *call)
{
    struct od_matmul_call copy = *call;
    const int64_t rows = (call->m + OD_E4M3_TILE_M - 1) / OD_E4M3_TILE_M;
    const int64_t cols = (call->n + OD_E4M3_TILE_N - 1) / OD_E4M3_TILE_N;
    void *args[] = {&copy.a,   &copy.lda,     &copy.b,       &copy.ldb, &copy.c,
                    &copy.ldc, &copy.d,       &copy.ldd,     &copy.m,   &copy.n,
                    &copy.k,   &copy.a_scale, &copy.b_scale, &copy.bias};
    assert(call->k % 16 == 0 && call->lda % 16 == 0 && call->ldb % 16 == 0 && call->a % 16 == 0 &&
           call->b % 16 == 0);
    if (is_too_large(cuda, call, rows * cols) || !load(cuda, "od_matmul_e4m3", &own->e4m3)) {
        return;
    }
    od_cuda_launch(cuda, own->e4m3,
                   (struct od_cuda_grid){.x = (unsigned)rows,
                                         .y = (unsigned)cols,
                                         .threads = OD_E4M3_THREADS,
                                         .shared_bytes = OD_E4M3_SHARED_BYTES},
                   args);
}

static void run_bf16(struct od_cuda *cuda, struct od_matmul_own *own,
                     const struct od_matmul_call *call, bool aligned)
{
    struct od_matmul_call copy = *call;
    struct od_cuda_kernel **kernel =
        &own->bf16[call->a_transposed][call->b_transposed][call->d_is_float][aligned];
    const int64_t tiles =
        ((call->m + OD_TILE_M - 1) / OD_TILE_M) * ((call->n + OD_TILE_N - 1) / OD_TILE_N);
    void *args[] = {&copy.a,   &copy.lda, &copy.b, &copy.ldb, &copy.c,     &copy.ldc, &copy.d,
                    &copy.ldd, &copy.m,   &copy.n, &copy.k,   &copy.alpha, &copy.bias};
    char name[48];
    (void)snprintf(name, sizeof name, "od_matmul_%s%s_%c%c", aligned ? "" : "any_",
                   call->d_is_float ? "f32" : "bf16", call->a_transposed ? 't' : 'n',
                   call->b_transposed ? 't' : 'n');
    if (!load(cuda, name, kernel) || is_too_large(cuda, call, tiles)) {
        return;
    }
    od_cuda_launch(cuda, *kernel,
                   (struct od_cuda_grid){.x = (unsigned)tiles,
                                         .threads = OD_TILE_THREADS,
                                         .shared_bytes = OD_TILE_SHARED_BYTES},
                   args);
}

void od_matmul_own(struct od_cuda *cuda, struct od_matmul_own *own,
                   const struct od_matmul_call *call, bool aligned)
{
    if (call->is_e4m3) {
        run_e4m3(cuda, own, call);
    } else {
        run_bf16(cuda, own, call, aligned);
    }
}
