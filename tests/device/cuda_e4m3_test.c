// Goal: products of eight-bit floats on the GPU are what their definition says, by the library and by
// the own kernel, with C, in place and with a bias; nothing beside D is written; two runs are the same.
// Method: ragged shapes, all codes, poison in and around D; the definition in double on the host.

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "device/cuda/cuda.h"
#include "device/cuda/matmul.h"
#include "device/cuda_gpu.h"
#include "formats/e4m3.h"
#include "support.h"

enum { POISON = 0xA5, SPARE = 64, CHECKS_MAX = 4000, CODES = 254 };

static uint64_t drawn;

static uint32_t draw(void)
{
    return od_philox_draw(test_seed(), 31, 0, drawn++).word[0];
}

static float of_half(uint16_t half)
{
    const uint32_t bits = (uint32_t)half << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static uint16_t half_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)(bits >> 16);
}

static od_dev to_device(struct od_cuda *gpu, const void *from, size_t bytes)
{
    struct od_error err = {0};
    od_dev at = 0;
    assert_ok(od_cuda_alloc(gpu, bytes, &at, &err), &err);
    od_cuda_upload(gpu, at, from, bytes);
    assert_ok(od_cuda_sync(gpu, &err), &err);
    return at;
}

struct product {
    int64_t m, n, k;
    int64_t pad;  // of D and C
    int c;        // 0: none, 1: of its own, 2: D itself
    bool bias;
};

struct operands {
    uint8_t *a, *b;
    float *a_scale, *b_scale;
    uint16_t *c, *bias;
    uint8_t *poison;
    size_t d_bytes;
};

static struct operands operands_make(const struct product *p, int64_t ldd)
{
    struct operands o = {.d_bytes = (size_t)(p->m * ldd + SPARE) * 2};
    o.a = od_alloc((size_t)(p->m * p->k), 1);
    o.b = od_alloc((size_t)(p->n * p->k), 1);
    o.a_scale = od_alloc((size_t)p->m, sizeof *o.a_scale);
    o.b_scale = od_alloc((size_t)p->n, sizeof *o.b_scale);
    o.c = od_alloc(o.d_bytes, 1);
    o.bias = od_alloc((size_t)p->n, sizeof *o.bias);
    o.poison = od_alloc(o.d_bytes, 1);
    assert_true(o.a && o.b && o.a_scale && o.b_scale && o.c && o.bias && o.poison);
    for (int64_t i = 0; i < p->m * p->k; i++) {
        const uint32_t code = draw() % CODES;  // all numbers of both signs
        o.a[i] = (uint8_t)(code < CODES / 2 ? code : code + 1);
    }
    for (int64_t i = 0; i < p->n * p->k; i++) {
        const uint32_t code = draw() % CODES;
        o.b[i] = (uint8_t)(code < CODES / 2 ? code : code + 1);
    }
    for (int64_t i = 0; i < p->m; i++) {
        o.a_scale[i] = 0.001F + od_uniform_f32(draw());
    }
    for (int64_t i = 0; i < p->n; i++) {
        o.b_scale[i] = 0.001F + od_uniform_f32(draw()) * 1e-3F;
        o.bias[i] = half_of(od_uniform_f32(draw()) * 20.0F - 10.0F);
    }
    memset(o.poison, POISON, o.d_bytes);
    memset(o.c, POISON, o.d_bytes);
    for (int64_t i = 0; i < p->m; i++) {
        for (int64_t j = 0; j < p->n; j++) {
            o.c[i * ldd + j] = half_of(od_uniform_f32(draw()) * 200.0F - 100.0F);
        }
    }
    return o;
}

static void operands_release(struct operands *o)
{
    od_free(o->poison);
    od_free(o->bias);
    od_free(o->c);
    od_free(o->b_scale);
    od_free(o->a_scale);
    od_free(o->b);
    od_free(o->a);
}

static void check_element(const struct product *p, const struct operands *o, const uint16_t *got,
                          int64_t ldd, int64_t i, int64_t j, const char *who)
{
    double sum = 0.0;
    double size = 0.0;
    double add = 0.0;
    const double scale = (double)o->a_scale[i] * (double)o->b_scale[j];
    for (int64_t x = 0; x < p->k; x++) {
        const double one =
            (double)od_e4m3_decode(o->a[i * p->k + x]) * (double)od_e4m3_decode(o->b[j * p->k + x]);
        sum += one;
        size += fabs(one);
    }
    sum *= scale;
    size *= scale;
    add += p->c ? (double)of_half(o->c[i * ldd + j]) : 0.0;
    add += p->bias ? (double)of_half(o->bias[j]) : 0.0;
    // The tensor core keeps 13 bits or more below its largest product; bf16 may round the sum, and
    // what it is with C and with the bias.
    const double with_c = fabs(sum + (p->c ? (double)of_half(o->c[i * ldd + j]) : 0.0));
    const double allowed =
        size * 0x1p-12 + (2.0 * fabs(sum) + with_c + fabs(sum + add)) * 1.01 / 256.0;
    const double real = (double)of_half(got[i * ldd + j]);
    if (!(fabs(real - (sum + add)) <= allowed)) {
        fail_msg("%s: %lld x %lld x %lld c %d bias %d: [%lld][%lld] is %.9g, not %.9g", who,
                 (long long)p->m, (long long)p->n, (long long)p->k, p->c, p->bias, (long long)i,
                 (long long)j, real, sum + add);
    }
}

static void check(struct od_cuda *gpu, struct od_matmul *matmul, const struct product *p)
{
    struct od_error err = {0};
    const int64_t ldd = (p->n + 7) / 8 * 8 + p->pad;
    struct operands o = operands_make(p, ldd);
    uint16_t *got = od_alloc(o.d_bytes, 1);
    uint16_t *again = od_alloc(o.d_bytes, 1);
    assert_true(got && again);
    const od_dev a = to_device(gpu, o.a, (size_t)(p->m * p->k));
    const od_dev b = to_device(gpu, o.b, (size_t)(p->n * p->k));
    const od_dev a_scale = to_device(gpu, o.a_scale, (size_t)p->m * sizeof(float));
    const od_dev b_scale = to_device(gpu, o.b_scale, (size_t)p->n * sizeof(float));
    const od_dev c = to_device(gpu, o.c, o.d_bytes);
    const od_dev bias = to_device(gpu, o.bias, (size_t)p->n * sizeof *o.bias);
    const od_dev d = to_device(gpu, o.poison, o.d_bytes);
    const struct od_matmul_call call = {.m = p->m,
                                        .n = p->n,
                                        .k = p->k,
                                        .a = a,
                                        .lda = p->k,
                                        .b = b,
                                        .ldb = p->k,
                                        .b_transposed = true,
                                        .c = p->c == 1 ? c : (p->c == 2 ? d : 0),
                                        .ldc = ldd,
                                        .bias = p->bias ? bias : 0,
                                        .d = d,
                                        .ldd = ldd,
                                        .alpha = 1.0F,
                                        .is_e4m3 = true,
                                        .a_scale = a_scale,
                                        .b_scale = b_scale};
    for (int run = 0; run < 2; run++) {
        od_cuda_upload(gpu, d, p->c == 2 ? (const void *)o.c : o.poison, o.d_bytes);
        od_matmul_run(matmul, &call);
        od_cuda_download(gpu, run ? again : got, d, o.d_bytes);
        assert_ok(od_cuda_sync(gpu, &err), &err);
    }
    assert_memory_equal(got, again, o.d_bytes);
    const int64_t elements = p->m * p->n;
    for (int64_t e = 0; e < elements && e < CHECKS_MAX; e++) {
        const int64_t at = elements <= CHECKS_MAX ? e : (int64_t)(draw() % (uint32_t)elements);
        check_element(p, &o, got, ldd, at / p->n, at % p->n, od_matmul_library(matmul));
    }
    for (size_t i = 0; i < o.d_bytes / 2; i++) {
        const bool inside = (int64_t)i / ldd < p->m && (int64_t)i % ldd < p->n;
        if (!inside && got[i] != (POISON << 8 | POISON)) {
            fail_msg("%s: element %zu outside D was written", od_matmul_library(matmul), i);
        }
    }
    const od_dev all[] = {a, b, a_scale, b_scale, c, bias, d};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        od_cuda_free(gpu, all[i]);
    }
    od_free(again);
    od_free(got);
    operands_release(&o);
}

static void products_are_right(void **state)
{
    static const int64_t shapes[][3] = {{1, 16, 16},     {3, 32, 48},     {128, 128, 64},
                                        {129, 144, 80},  {257, 272, 208}, {77, 528, 1008},
                                        {603, 384, 4112}};
    struct od_error err = {0};
    struct od_cuda *gpu = test_gpu();
    od_dev workspace = 0;
    (void)state;
    if (!gpu_has_e4m3()) {
        skip();
    }
    assert_ok(od_cuda_alloc(gpu, OD_MATMUL_WORKSPACE_BYTES, &workspace, &err), &err);
    for (int who = 0; who < 2; who++) {
        struct od_matmul *matmul = NULL;
        size_t count = 0;
        int chosen = 0;
        assert_ok(od_matmul_create(gpu, workspace, who == 0, &matmul, &err), &err);
        for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
            for (int i = 0; i < 6; i++) {
                check(gpu, matmul,
                      &(struct product){shapes[s][0], shapes[s][1], shapes[s][2], (i & 1) * 8,
                                        i / 2, i % 2 == 1});
            }
        }
        const struct od_matmul_choice *choices = od_matmul_choices(matmul, &count);
        for (size_t i = 0; i < count; i++) {
            static const uint64_t none[8];
            chosen += memcmp(choices[i].algo, none, sizeof none) != 0;
            assert_int_equal(choices[i].shape[strlen(choices[i].shape) - 1], 'e');
        }
        print_message("# %s: it took %d of %zu shapes\n", od_matmul_library(matmul), chosen, count);
        od_matmul_free(matmul);
    }
    od_cuda_free(gpu, workspace);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_are_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
