#include "device/cuda/matmul_rows.h"

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "device/cuda/cuda.h"
#include "device/cuda/cuda_internal.h"
#include "device/cuda/matmul.h"
#include "device/cuda/matmul_tile.h"
#include "device/cuda/matmul_vector.h"

/** A kernel's tile, and its names with a bf16 and with an fp32 result. */
struct size {
    int64_t tile_m;
    int64_t tile_n;
    unsigned threads;
    unsigned shared_bytes;
    const char *names[2];
};

enum { SIZES = 3, WARP = 32 };

#define THREADS(m, n, warp_m, warp_n) ((m) / (warp_m) * ((n) / (warp_n)) * WARP)
#define SHARED(m, n, stages)          ((stages) * ((m) + (n)) * OD_ROWS_TILE_K * 2)

static const struct size sizes[SIZES] = {
    {OD_ROWS16_TILE_M,
     OD_ROWS16_TILE_N,
     THREADS(OD_ROWS16_TILE_M, OD_ROWS16_TILE_N, OD_ROWS16_WARP_M, OD_ROWS16_WARP_N),
     SHARED(OD_ROWS16_TILE_M, OD_ROWS16_TILE_N, OD_ROWS16_STAGES),
     {"od_matmul_rows16_bf16", "od_matmul_rows16_f32"}},
    {OD_ROWS64_TILE_M,
     OD_ROWS64_TILE_N,
     THREADS(OD_ROWS64_TILE_M, OD_ROWS64_TILE_N, OD_ROWS64_WARP_M, OD_ROWS64_WARP_N),
     SHARED(OD_ROWS64_TILE_M, OD_ROWS64_TILE_N, OD_ROWS64_STAGES),
     {"od_matmul_rows64_bf16", "od_matmul_rows64_f32"}},
    {OD_TILE_M,
     OD_TILE_N,
     OD_TILE_THREADS,
     OD_TILE_SHARED_BYTES,
     {"od_matmul_bf16_nt", "od_matmul_f32_nt"}},
};

// By whether there is more than one row, and whether the result is fp32.
static const char *const vector_names[2][2] = {
    {"od_matmul_vector_bf16", "od_matmul_vector_f32"},
    {"od_matmul_vector_few_bf16", "od_matmul_vector_few_f32"}};

struct od_matmul_rows {
    struct od_cuda *cuda;
    struct od_cuda_kernel *kernels[SIZES][2];
    struct od_cuda_kernel *vector[2][2];
};

enum od_status od_matmul_rows_create(struct od_cuda *cuda, struct od_matmul_rows **ret,
                                     struct od_error *err)
{
    struct od_matmul_rows *rows = od_alloc(1, sizeof *rows);
    enum od_status status = OD_OK;
    if (!rows) {
        return od_fail(err, OD_E_MEMORY, "no memory for matrix products");
    }
    rows->cuda = cuda;
    for (int i = 0; i < SIZES; i++) {
        for (int j = 0; j < 2 && status == OD_OK; j++) {
            status = od_cuda_kernel(cuda, sizes[i].names[j], &rows->kernels[i][j], err);
        }
    }
    for (int i = 0; i < 4 && status == OD_OK; i++) {
        status = od_cuda_kernel(cuda, vector_names[i / 2][i % 2], &rows->vector[i / 2][i % 2], err);
    }
    if (status != OD_OK) {
        od_matmul_rows_free(rows);
        return status;
    }
    *ret = rows;
    return OD_OK;
}

void od_matmul_rows_free(struct od_matmul_rows *rows)
{
    od_free(rows);
}

// The smallest tile that one row of tiles of covers D with; else the largest.
static int size_for(int64_t m)
{
    int size = 0;
    while (size < SIZES - 1 && m > sizes[size].tile_m) {
        size++;
    }
    return size;
}

// Start a kernel of the form that all of these have. Weights are read before the kernel in front is done.
static void launch(struct od_matmul_rows *rows, struct od_cuda_kernel *kernel,
                   const struct od_matmul_call *call, od_dev norm, float eps,
                   struct od_cuda_grid grid)
{
    od_dev a = call->a;
    od_dev b = call->b;
    od_dev c = call->c;
    od_dev d = call->d;
    od_dev bias = call->bias;
    int64_t lda = call->lda;
    int64_t ldb = call->ldb;
    int64_t ldc = call->ldc;
    int64_t ldd = call->ldd;
    int64_t m = call->m;
    int64_t n = call->n;
    int64_t k = call->k;
    float alpha = 1.0F;
    void *args[] = {&a, &lda, &b, &ldb,   &c,    &ldc,  &d,  &ldd,
                    &m, &n,   &k, &alpha, &bias, &norm, &eps};  // the last two of vectors only
    assert(!call->a_transposed && call->b_transposed && !(call->bias && call->d_is_float));
    assert(call->lda % 8 == 0 && call->ldb % 8 == 0 && call->a % 16 == 0 && call->b % 16 == 0);
    grid.overlaps = true;
    od_cuda_launch(rows->cuda, kernel, grid, args);
}

static bool is_too_large(struct od_matmul_rows *rows, const struct od_matmul_call *call,
                         int64_t blocks)
{
    if (blocks <= INT32_MAX && call->k <= INT32_MAX - OD_TILE_K && call->lda <= INT32_MAX &&
        call->ldb <= INT32_MAX) {
        return false;
    }
    od_cuda_fault(rows->cuda, OD_E_LIMIT,
                  "a product of %" PRId64 " x %" PRId64 " x %" PRId64 " is too large", call->m,
                  call->n, call->k);
    return true;
}

void od_matmul_rows_run(struct od_matmul_rows *rows, const struct od_matmul_call *call)
{
    const int which = size_for(call->m);
    const struct size *size = &sizes[which];
    if (call->m <= 0 || call->n <= 0) {
        return;
    }
    const int64_t tiles = ((call->m + size->tile_m - 1) / size->tile_m) *
                          ((call->n + size->tile_n - 1) / size->tile_n);
    if (!is_too_large(rows, call, tiles)) {
        launch(rows, rows->kernels[which][call->d_is_float], call, 0, 0.0F,
               (struct od_cuda_grid){.x = (unsigned)tiles,
                                     .threads = size->threads,
                                     .shared_bytes = size->shared_bytes});
    }
}

static int64_t vector_bytes(const struct od_matmul_call *call)
{
    return call->m * ((call->k + 7) / 8 * 16);
}

static void run_vector(struct od_matmul_rows *rows, const struct od_matmul_call *call, od_dev norm,
                       float eps)
{
    enum { COLUMNS = OD_VECTOR_WARPS * OD_VECTOR_COLUMNS };
    const int64_t blocks = (call->n + COLUMNS - 1) / COLUMNS;
    assert(call->m >= 1 && call->m <= OD_VECTOR_ROWS);
    if (!is_too_large(rows, call, blocks)) {
        launch(rows, rows->vector[call->m > 1][call->d_is_float], call, norm, eps,
               (struct od_cuda_grid){.x = (unsigned)blocks,
                                     .threads = OD_VECTOR_WARPS * WARP,
                                     .shared_bytes = (unsigned)vector_bytes(call)});
    }
}

void od_matmul_vector_run(struct od_matmul_rows *rows, const struct od_matmul_call *call)
{
    if (vector_bytes(call) > OD_VECTOR_SHARED_MAX) {
        od_matmul_rows_run(rows, call);
    } else {
        run_vector(rows, call, 0, 0.0F);
    }
}

bool od_matmul_vector_can_norm(const struct od_matmul_call *call)
{
    return call->m >= 1 && call->m <= OD_VECTOR_ROWS && call->k % 8 == 0 &&
           vector_bytes(call) <= OD_VECTOR_SHARED_MAX;
}

void od_matmul_vector_norm_run(struct od_matmul_rows *rows, const struct od_matmul_call *call,
                               od_dev norm, float eps)
{
    assert(od_matmul_vector_can_norm(call) && norm % 16 == 0);
    run_vector(rows, call, norm, eps);
}
