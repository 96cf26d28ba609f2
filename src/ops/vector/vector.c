// Products of one or two rows: the host's side.

#include "ops/vector/vector.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "device/cuda/cuda.h"
#include "device/cuda/matmul.h"

enum { LANES = 32 };

// By whether there is more than one row, and whether the result is fp32.
static const char *const names[2][2] = {{"od_vector_one_bf16", "od_vector_one_f32"},
                                        {"od_vector_few_bf16", "od_vector_few_f32"}};

struct od_vector {
    struct od_cuda *cuda;
    struct od_cuda_kernel *kernels[2][2];
};

enum od_status od_vector_create(struct od_cuda *cuda, struct od_vector **ret, struct od_error *err)
{
    struct od_vector *vector = od_alloc(1, sizeof *vector);
    enum od_status status = OD_OK;
    if (!vector) {
        return od_fail(err, OD_E_MEMORY, "no memory for products of few rows");
    }
    vector->cuda = cuda;
    for (int i = 0; i < 4 && status == OD_OK; i++) {
        status = od_cuda_kernel(cuda, names[i / 2][i % 2], &vector->kernels[i / 2][i % 2], err);
    }
    if (status != OD_OK) {
        od_vector_free(vector);
        return status;
    }
    *ret = vector;
    return OD_OK;
}

void od_vector_free(struct od_vector *vector)
{
    od_free(vector);
}

static int64_t row_bytes(const struct od_matmul_call *p)
{
    return p->m * ((p->k + 7) / 8 * 16);
}

static int64_t blocks_of(const struct od_vector_call *call)
{
    const int64_t of_block = (int64_t)OD_VECTOR_WARPS * OD_VECTOR_COLUMNS;
    return (call->product.n + of_block - 1) / of_block;
}

bool od_vector_can(const struct od_vector_call *call)
{
    const struct od_matmul_call *p = &call->product;
    const bool is_plain = p->b_transposed && !p->a_transposed;
    const bool is_aligned = p->lda % 8 == 0 && p->ldb % 8 == 0 && p->a % 16 == 0 && p->b % 16 == 0;
    const bool norm_fits = call->norm == 0 || (call->norm % 16 == 0 && p->k % 8 == 0);
    return is_plain && is_aligned && norm_fits && p->m >= 1 && p->m <= OD_VECTOR_ROWS &&
           p->n >= 1 && row_bytes(p) <= OD_VECTOR_SHARED_MAX && blocks_of(call) <= INT32_MAX;
}

void od_vector_run(struct od_vector *vector, const struct od_vector_call *call)
{
    const struct od_matmul_call *p = &call->product;
    od_dev a = p->a;
    od_dev b = p->b;
    od_dev c = p->c;
    od_dev d = p->d;
    od_dev bias = p->bias;
    od_dev norm = call->norm;
    int64_t lda = p->lda;
    int64_t ldb = p->ldb;
    int64_t ldc = p->ldc;
    int64_t ldd = p->ldd;
    int64_t m = p->m;
    int64_t n = p->n;
    int64_t k = p->k;
    float eps = call->eps;
    float alpha = p->alpha;
    void *args[] = {&a, &lda, &b, &ldb, &c, &ldc, &d, &ldd, &m, &n, &k, &alpha, &bias, &norm, &eps};
    assert(od_vector_can(call));
    od_cuda_launch(vector->cuda, vector->kernels[p->m > 1][p->d_is_float],
                   (struct od_cuda_grid){.x = (unsigned)blocks_of(call),
                                         .threads = OD_VECTOR_WARPS * LANES,
                                         .shared_bytes = (unsigned)row_bytes(p),
                                         .overlaps = true},
                   args);
}
