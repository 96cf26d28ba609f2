// Goal: products of one or two rows (ops/vector/vector.h), with norms before them, are what
// their formulas say, and leave alone what is not theirs.
// Method: ragged shapes against sums in double over the same bf16 values; outputs that start as NaN; calls
// that these kernels have no way to do are told apart. Skipped where no GPU is.

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "device/cuda/cuda.h"
#include "device/cuda/matmul.h"
#include "device/cuda_gpu.h"
#include "ops/vector/vector.h"
#include "support.h"

enum { SPARE = 8, PARTS = 6 };
static const float eps = 1e-5F;

/** A call and what the host knows of it; what is absent is 0. */
struct world {
    int64_t m;
    int64_t n;
    int64_t k;
    bool is_float;
    bool adds;  ///< C and a bias
    bool has_norm;
    int64_t lda;
    int64_t ldd;
    uint16_t *a, *b, *c, *bias;
    float *norm;
    unsigned char *d;
    size_t bytes[PARTS];
    od_dev memory;
    od_dev at[PARTS];
};

static uint64_t drawn;

static float random_value(void)
{
    return od_uniform_f32(od_philox_draw(test_seed(), 35, 0, drawn++).word[0]) - 0.5F;
}

static uint16_t narrow(double x)
{
    const float single = (float)x;
    uint32_t bits;
    memcpy(&bits, &single, sizeof bits);
    return (uint16_t)((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

static double wide(uint16_t half)
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
        made[i] = narrow((double)random_value());
    }
    return made;
}

static void open_world(struct world *w)
{
    struct od_cuda *cuda = test_gpu();
    struct od_error err = {0};
    size_t total = 0;
    w->lda = (w->k + 7) / 8 * 8 + 8;
    w->ldd = (w->n + 7) / 8 * 8 + 8;
    w->a = halves(w->m * w->lda);
    w->b = halves(w->n * w->lda);
    w->c = halves(w->m * w->ldd);
    w->bias = halves(w->n);
    w->norm = od_alloc((size_t)w->k, sizeof *w->norm);
    w->bytes[0] = (size_t)(w->m * w->lda) * 2u;
    w->bytes[1] = (size_t)(w->n * w->lda) * 2u;
    w->bytes[2] = (size_t)(w->m * w->ldd) * 2u;
    w->bytes[3] = (size_t)w->n * 2u;
    w->bytes[4] = (size_t)w->k * sizeof *w->norm;
    w->bytes[5] = (size_t)((w->m + 1) * w->ldd + SPARE) * (w->is_float ? 4u : 2u);
    w->d = od_alloc(w->bytes[5], 1);
    assert_true(w->norm && w->d);
    for (int64_t i = 0; i < w->k; i++) {
        w->norm[i] = 1.0F + random_value();
    }
    for (int i = 0; i < PARTS; i++) {
        total += (w->bytes[i] + 255u) & ~(size_t)255u;
    }
    assert_ok(od_cuda_alloc(cuda, total, &w->memory, &err), &err);
    const void *from[PARTS] = {w->a, w->b, w->c, w->bias, w->norm, w->d};
    total = 0;
    for (int i = 0; i < PARTS; i++) {
        w->at[i] = w->memory + total;
        od_cuda_upload(cuda, w->at[i], from[i], w->bytes[i]);
        total += (w->bytes[i] + 255u) & ~(size_t)255u;
    }
    od_cuda_fill(cuda, w->at[5], 0xFF, w->bytes[5]);
    assert_ok(od_cuda_sync(cuda, &err), &err);
}

static void close_world(struct world *w)
{
    od_cuda_free(test_gpu(), w->memory);
    od_free(w->a);
    od_free(w->b);
    od_free(w->c);
    od_free(w->bias);
    od_free(w->norm);
    od_free(w->d);
}

static struct od_vector_call call_of(const struct world *w)
{
    return (struct od_vector_call){.product = {.m = w->m,
                                               .n = w->n,
                                               .k = w->k,
                                               .a = w->at[0],
                                               .lda = w->lda,
                                               .b = w->at[1],
                                               .ldb = w->lda,
                                               .b_transposed = true,
                                               .c = w->adds ? w->at[2] : 0,
                                               .ldc = w->ldd,
                                               .bias = w->adds ? w->at[3] : 0,
                                               .d = w->at[5],
                                               .ldd = w->ldd,
                                               .d_is_float = w->is_float,
                                               .alpha = 1.0F},
                                   .norm = w->has_norm ? w->at[4] : 0,
                                   .eps = eps};
}

// Rows of A as the product reads them.
static void normalise(struct world *w)
{
    for (int64_t i = 0; w->has_norm && i < w->m; i++) {
        uint16_t *row = w->a + i * w->lda;
        double squares = 0.0;
        for (int64_t e = 0; e < w->k; e++) {
            squares += wide(row[e]) * wide(row[e]);
        }
        const double r = 1.0 / sqrt(squares / (double)w->k + (double)eps);
        for (int64_t e = 0; e < w->k; e++) {
            row[e] = narrow(wide(row[e]) * r * (double)w->norm[e]);
        }
    }
}

static double product(const struct world *w, int64_t i, int64_t j)
{
    double sum = w->adds ? wide(w->bias[j]) : 0.0;
    sum += w->adds ? wide(w->c[i * w->ldd + j]) : 0.0;
    for (int64_t e = 0; e < w->k; e++) {
        sum += wide(w->a[i * w->lda + e]) * wide(w->b[j * w->lda + e]);
    }
    return sum;
}

static double got(const struct world *w, int64_t at)
{
    float single;
    uint16_t half;
    if (w->is_float) {
        memcpy(&single, w->d + at * 4, sizeof single);
        return (double)single;
    }
    memcpy(&half, w->d + at * 2, sizeof half);
    return wide(half);
}

static void check(struct od_vector *vector, struct world *w)
{
    struct od_error err = {0};
    double error = 0.0;
    double norm = 1e-3;  // a single sum may be next to nothing
    open_world(w);
    const struct od_vector_call call = call_of(w);
    assert_true(od_vector_can(&call));
    od_vector_run(vector, &call);
    od_cuda_download(test_gpu(), w->d, w->at[5], w->bytes[5]);
    assert_ok(od_cuda_sync(test_gpu(), &err), &err);
    normalise(w);
    for (int64_t i = 0; i <= w->m; i++) {
        for (int64_t j = 0; j < w->ldd; j++) {
            const double value = got(w, i * w->ldd + j);
            if (i == w->m || j >= w->n) {
                assert_true(value != value);  // nobody's
                continue;
            }
            const double want = product(w, i, j);
            error += (value - want) * (value - want);
            norm += want * want;
        }
    }
    error = sqrt(error / norm);
    print_message("#   %lld x %lld x %lld, %s%s%s: %.2g\n", (long long)w->m, (long long)w->n,
                  (long long)w->k, w->is_float ? "fp32" : "bf16", w->adds ? ", C and bias" : "",
                  w->has_norm ? ", norm" : "", error);
    assert_true(error < (w->is_float && !w->has_norm ? 3e-5 : 5e-3));
    close_world(w);
}

static void formulas(void **state)
{
    static const struct {
        int64_t n;
        int64_t k;
    } shapes[] = {{1, 8}, {34, 72}, {64, 64}, {200, 513}, {518, 4096}, {4096, 1000}, {78, 4104}};
    struct od_vector *vector = NULL;
    struct od_error err = {0};
    (void)state;
    assert_ok(od_vector_create(test_gpu(), &vector, &err), &err);
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        for (int64_t m = 1; m <= OD_VECTOR_ROWS; m++) {
            struct world plain = {.m = m, .n = shapes[s].n, .k = shapes[s].k};
            plain.adds = true;
            check(vector, &plain);
            plain.adds = false;
            plain.is_float = true;
            check(vector, &plain);
            plain.is_float = false;
            plain.has_norm = shapes[s].k % 8 == 0;
            check(vector, &plain);
        }
    }
    od_vector_free(vector);
}

static void what_is_refused(void **state)
{
    struct world w = {.m = 1, .n = 64, .k = 512};
    (void)state;
    open_world(&w);
    const struct od_vector_call good = call_of(&w);
    assert_true(od_vector_can(&good));
    for (int i = 0; i < 7; i++) {
        struct od_vector_call bad = good;
        switch (i) {
        case 0: bad.product.m = OD_VECTOR_ROWS + 1; break;
        case 1: bad.product.m = 0; break;
        case 2: bad.product.lda = 513; break;
        case 3: bad.product.b += 2; break;
        case 4: bad.product.b_transposed = false; break;
        case 5: bad.product.k = OD_VECTOR_SHARED_MAX / 2 + 8; break;
        default: bad.norm = good.product.a + 4;
        }
        assert_false(od_vector_can(&bad));
    }
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(formulas),
                                       cmocka_unit_test(what_is_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
