#include "device/cuda/matmul_rows.h"

#include <assert.h>
#include <inttypes.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "device/cuda/cuda.h"
#include "device/cuda/cuda_internal.h"
#include "device/cuda/matmul.h"
#include "device/cuda/matmul_tile.h"

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

struct od_matmul_rows {
    struct od_cuda *cuda;
    struct od_cuda_kernel *kernels[SIZES][2];
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

void od_matmul_rows_run(struct od_matmul_rows *rows, const struct od_matmul_call *call)
{
    const int which = size_for(call->m);
    const struct size *size = &sizes[which];
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
    void *args[] = {&a, &lda, &b, &ldb, &c, &ldc, &d, &ldd, &m, &n, &k, &alpha, &bias};
    assert(!call->a_transposed && call->b_transposed && !(call->bias && call->d_is_float));
    assert(call->lda % 8 == 0 && call->ldb % 8 == 0 && call->a % 16 == 0 && call->b % 16 == 0);
    if (m <= 0 || n <= 0) {
        return;
    }
    const int64_t tiles =
        ((m + size->tile_m - 1) / size->tile_m) * ((n + size->tile_n - 1) / size->tile_n);
    if (tiles > INT32_MAX || k > INT32_MAX - OD_TILE_K || lda > INT32_MAX || ldb > INT32_MAX) {
        od_cuda_fault(rows->cuda, OD_E_LIMIT,
                      "a product of %" PRId64 " x %" PRId64 " x %" PRId64 " is too large", m, n, k);
        return;
    }
    od_cuda_launch(rows->cuda, rows->kernels[which][call->d_is_float],
                   (struct od_cuda_grid){.x = (unsigned)tiles,
                                         .threads = size->threads,
                                         .shared_bytes = size->shared_bytes,
                                         .overlaps = true},
                   args);
}
