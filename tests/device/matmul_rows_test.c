// Goal: products of device/cuda/matmul_rows.h compute what they should, and a row's bits do not depend on
// how many rows there are.
// Method: ragged shapes against sums in double; outputs that start as NaN; rows behind the last one must
// stay so; one product of many rows against products of fewer. Skipped where no GPU is.

#include "device/cuda/matmul_rows.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "cuda_gpu.h"
#include "device/cuda/cuda.h"
#include "device/cuda/matmul.h"
#include "support.h"

enum { ROWS = 300, SPARE_ROWS = 2 };

/** Operands of a product, on both sides. */
struct product {
    int64_t n;
    int64_t k;
    int64_t lda;
    int64_t ldd;
    bool is_float;
    bool adds;  ///< C and a bias
    uint16_t *a;
    uint16_t *b;
    uint16_t *c;
    uint16_t *bias;
    unsigned char *d;
    od_dev memory;
    od_dev at[5];
};

static uint64_t drawn;

static uint16_t random_half(void)
{
    const float x = od_uniform_f32(od_philox_draw(test_seed(), 33, 0, drawn++).word[0]) - 0.5F;
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)(bits >> 16);
}

static double value(uint16_t half)
{
    const uint32_t bits = (uint32_t)half << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return (double)x;
}

static uint16_t *halves(int64_t count)
{
    uint16_t *made = od_alloc((size_t)count, sizeof *made);
    assert_non_null(made);
    for (int64_t i = 0; i < count; i++) {
        made[i] = random_half();
    }
    return made;
}

static size_t d_bytes(const struct product *p)
{
    return (size_t)((ROWS + SPARE_ROWS) * p->ldd) * (p->is_float ? 4u : 2u);
}

static void open_product(struct product *p, int64_t n, int64_t k, bool is_float, bool adds)
{
    struct od_cuda *cuda = test_gpu();
    struct od_error err = {0};
    *p = (struct product){.n = n, .k = k, .is_float = is_float, .adds = adds};
    p->lda = (k + 7) / 8 * 8 + 8;
    p->ldd = (n + 7) / 8 * 8 + 8;
    p->a = halves(ROWS * p->lda);
    p->b = halves(n * p->lda);
    p->c = halves(ROWS * p->ldd);
    p->bias = halves(n);
    p->d = od_alloc(d_bytes(p), 1);
    assert_non_null(p->d);
    const void *from[] = {p->a, p->b, p->c, p->bias, p->d};
    const size_t bytes[] = {(size_t)(ROWS * p->lda) * 2u, (size_t)(n * p->lda) * 2u,
                            (size_t)(ROWS * p->ldd) * 2u, (size_t)n * 2u, d_bytes(p)};
    size_t total = 0;
    for (int i = 0; i < 5; i++) {
        total += (bytes[i] + 255u) & ~(size_t)255u;
    }
    assert_ok(od_cuda_alloc(cuda, total, &p->memory, &err), &err);
    total = 0;
    for (int i = 0; i < 5; i++) {
        p->at[i] = p->memory + total;
        od_cuda_upload(cuda, p->at[i], from[i], bytes[i]);
        total += (bytes[i] + 255u) & ~(size_t)255u;
    }
    assert_ok(od_cuda_sync(cuda, &err), &err);
}

static void close_product(struct product *p)
{
    od_cuda_free(test_gpu(), p->memory);
    od_free(p->a);
    od_free(p->b);
    od_free(p->c);
    od_free(p->bias);
    od_free(p->d);
}

// The first `m` rows; d is NaN before.
static void run(struct product *p, struct od_matmul_rows *rows, int64_t m)
{
    struct od_cuda *cuda = test_gpu();
    struct od_error err = {0};
    od_cuda_fill(cuda, p->at[4], 0xFF, d_bytes(p));
    od_matmul_rows_run(rows, &(struct od_matmul_call){.m = m,
                                                      .n = p->n,
                                                      .k = p->k,
                                                      .a = p->at[0],
                                                      .lda = p->lda,
                                                      .b = p->at[1],
                                                      .ldb = p->lda,
                                                      .b_transposed = true,
                                                      .c = p->adds ? p->at[2] : 0,
                                                      .ldc = p->ldd,
                                                      .bias = p->adds ? p->at[3] : 0,
                                                      .d = p->at[4],
                                                      .ldd = p->ldd,
                                                      .d_is_float = p->is_float,
                                                      .alpha = 1.0F});
    od_cuda_download(cuda, p->d, p->at[4], d_bytes(p));
    assert_ok(od_cuda_sync(cuda, &err), &err);
}

static void expect_definition(const struct product *p)
{
    double error = 0.0;
    double norm = 0.0;
    for (int64_t i = 0; i < ROWS; i += 7) {
        for (int64_t j = 0; j < p->n; j++) {
            double want = p->adds ? value(p->c[i * p->ldd + j]) + value(p->bias[j]) : 0.0;
            for (int64_t e = 0; e < p->k; e++) {
                want += value(p->a[i * p->lda + e]) * value(p->b[j * p->lda + e]);
            }
            float wide = 0.0F;
            uint16_t half = 0;
            memcpy(&wide, p->d + (i * p->ldd + j) * 4 * p->is_float, sizeof wide);
            memcpy(&half, p->d + (i * p->ldd + j) * 2, sizeof half);
            const double got = p->is_float ? (double)wide : value(half);
            error += (got - want) * (got - want);
            norm += want * want;
        }
    }
    error = sqrt(error / norm);
    print_message("#   n %lld, k %lld, %s: %.2g\n", (long long)p->n, (long long)p->k,
                  p->is_float ? "fp32" : "bf16", error);
    assert_true(error < (p->is_float ? 3e-5 : 4e-3));  // no number is a failure, too
}

static void rows_do_not_know_of_each_other(void **state)
{
    static const struct {
        int64_t n;
        int64_t k;
    } shapes[] = {{1, 8}, {33, 72}, {64, 64}, {200, 513}, {517, 4096}, {4096, 1000}};
    static const int64_t counts[] = {1, 2, 3, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129};
    struct od_cuda *cuda = test_gpu();
    struct od_matmul_rows *rows = NULL;
    struct od_error err = {0};
    (void)state;
    assert_ok(od_matmul_rows_create(cuda, &rows, &err), &err);
    for (size_t s = 0; s < 2 * sizeof shapes / sizeof shapes[0]; s++) {
        struct product p;
        const bool is_float = s % 2 == 1;
        open_product(&p, shapes[s / 2].n, shapes[s / 2].k, is_float, !is_float);
        const size_t row_bytes = d_bytes(&p) / (ROWS + SPARE_ROWS);
        unsigned char *whole = od_alloc(d_bytes(&p), 1);
        unsigned char *nothing = od_alloc(d_bytes(&p), 1);
        assert_true(whole && nothing);
        memset(nothing, 0xFF, d_bytes(&p));
        run(&p, rows, ROWS);
        expect_definition(&p);
        memcpy(whole, p.d, d_bytes(&p));
        assert_memory_equal(p.d + ROWS * row_bytes, nothing, SPARE_ROWS * row_bytes);
        for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
            const size_t bytes = (size_t)counts[i] * row_bytes;
            run(&p, rows, counts[i]);
            assert_memory_equal(p.d, whole, bytes);
            assert_memory_equal(p.d + bytes, nothing, d_bytes(&p) - bytes);
        }
        od_free(whole);
        od_free(nothing);
        close_product(&p);
    }
    od_matmul_rows_free(rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rows_do_not_know_of_each_other)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
