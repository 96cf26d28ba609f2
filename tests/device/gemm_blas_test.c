// Goal: the products are those of a library that we did not write. Method: OpenBLAS on the same
// operands; the difference stays below what rounding explains, sqrt(k) 2^-23 sum |a| |b|.

#include <cblas.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "base/threads.h"
#include "device/cpu/gemm.h"
#include "support.h"

struct shape {
    int m;
    int n;
    int k;
    bool a_transposed;
    bool b_transposed;
    bool accumulate;
};

static const struct shape shapes[] = {
    {1, 1, 1, false, false, false},     {7, 17, 33, false, true, true},
    {64, 64, 64, true, false, false},   {193, 77, 536, false, true, false},
    {130, 259, 300, true, true, true},  {257, 16, 512, false, true, false},
    {300, 300, 16, false, false, true}, {16, 300, 411, true, false, true},
    {1, 512, 384, false, true, false},  {500, 8, 128, true, false, true},
};

static float *random_floats(int64_t count, uint64_t seed, uint32_t stream)
{
    float *values = od_alloc((size_t)count, sizeof *values);
    assert_non_null(values);
    for (int64_t i = 0; i < count; i++) {
        values[i] = od_uniform_f32(od_philox_draw(seed, stream, 0, (uint64_t)i).word[0]) - 0.5F;
    }
    return values;
}

static void take_absolute(float *values, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        values[i] = fabsf(values[i]);
    }
}

static void check_shape(struct od_gemm *gemm, const struct shape *s, uint64_t seed)
{
    const int64_t a_count = (int64_t)s->m * s->k;
    const int64_t b_count = (int64_t)s->k * s->n;
    const int64_t c_count = (int64_t)s->m * s->n;
    float *a_data = random_floats(a_count, seed, 1);
    float *b_data = random_floats(b_count, seed, 2);
    float *ours = random_floats(c_count, seed, 3);
    float *theirs = random_floats(c_count, seed, 3);
    float *bound = random_floats(c_count, seed, 3);
    const struct od_mat a = {a_data, s->a_transposed ? 1 : s->k, s->a_transposed ? s->m : 1};
    const struct od_mat b = {b_data, s->b_transposed ? 1 : s->n, s->b_transposed ? s->k : 1};
    od_gemm_run(gemm, s->m, s->n, s->k, a, b, ours, s->n, s->accumulate);
    cblas_sgemm(CblasRowMajor, s->a_transposed ? CblasTrans : CblasNoTrans,
                s->b_transposed ? CblasTrans : CblasNoTrans, s->m, s->n, s->k, 1.0F, a_data,
                s->a_transposed ? s->m : s->k, b_data, s->b_transposed ? s->k : s->n,
                s->accumulate ? 1.0F : 0.0F, theirs, s->n);
    take_absolute(a_data, a_count);
    take_absolute(b_data, b_count);
    take_absolute(bound, c_count);
    od_gemm_ref(s->m, s->n, s->k, a, b, bound, s->n, s->accumulate);
    for (int64_t i = 0; i < c_count; i++) {
        const double limit = sqrt((double)s->k + 1.0) * 0x1p-23 * (double)bound[i];
        if (!(fabs((double)ours[i] - (double)theirs[i]) <= limit)) {
            fail_msg("%d x %d x %d: element %d is %a, OpenBLAS has %a", s->m, s->n, s->k, (int)i,
                     (double)ours[i], (double)theirs[i]);
        }
    }
    od_free(a_data);
    od_free(b_data);
    od_free(ours);
    od_free(theirs);
    od_free(bound);
}

static void products_of_openblas(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_pool *pool = NULL;
    struct od_gemm *gemm = NULL;
    const uint64_t seed = test_seed();
    assert_ok(od_pool_create(2, &pool, &err), &err);
    assert_ok(od_gemm_create(pool, od_cpu_features_detect(true), &gemm, &err), &err);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        check_shape(gemm, &shapes[i], seed);
    }
    od_gemm_free(gemm);
    od_pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(products_of_openblas)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
