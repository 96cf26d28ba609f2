// Goal: the GPU's kernels for eight-bit floats read and write what they should, on any machine: rows are
// rounded to the CPU's codes, codes are turned, products are those of the definition, nothing beside
// the result is written.
// Method: the kernels' source runs on a CPU (e4m3_lanes.h); ragged shapes, poison around the results.

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "device/cuda/matmul_e4m3.h"
#include "formats/e4m3.h"
#include "ops/e4m3_lanes.h"
#include "support.h"

// The style of kernels.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunknown-pragmas"
#ifdef __clang__
#pragma GCC diagnostic ignored "-Wpass-failed"  // it may leave them as they are
#endif
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wcast-align"
#pragma GCC diagnostic ignored "-Wcast-qual"
#include "device/cuda/matmul_e4m3.cu"
#include "ops/linear/fp8.cu"
#pragma GCC diagnostic pop

enum { POISON = 0xA5, SPARE = 64, ROWS_MAX = 8, COLS_MAX = 4200, NUMBERS = 254 };

static uint64_t drawn;

static uint32_t draw(void)
{
    return od_philox_draw(test_seed(), 41, 0, drawn++).word[0];
}

static float uniform(void)
{
    return 2.0F * od_uniform_f32(draw()) - 1.0F;
}

static uint8_t draw_code(void)
{
    const uint32_t code = draw() % NUMBERS;  // all numbers of both signs
    return (uint8_t)(code < NUMBERS / 2 ? code : code + 1);
}

// What the threads of a launch work on.
static struct {
    uint8_t *codes, *turned;
    const uint8_t *a, *b;
    od_bf16 *x, *c, *d, *bias;
    float *scales, *factor, *a_scale, *b_scale;
    int64_t rows, cols, ld, m, n, k;
} work;

static void round_body(void)
{
    od_round_e4m3(work.codes, work.scales, work.x, work.ld, work.factor, work.cols);
}

static void turn_body(void)
{
    od_transpose_codes(work.turned, work.codes, work.rows, work.cols);
}

static void product_body(void)
{
    od_matmul_e4m3(work.a, work.k, work.b, work.k, work.c, work.ld, work.d, work.ld, work.m, work.n,
                   work.k, work.a_scale, work.b_scale, work.bias);
}

static void rows_are_rounded(void **state)
{
    static const int64_t shapes[][2] = {{3, 16}, {5, 208}, {2, 2064}, {2, 4176}};
    static _Alignas(16) od_bf16 x[ROWS_MAX * (COLS_MAX + SPARE)];
    static _Alignas(16) float factor[COLS_MAX];
    static _Alignas(8) uint8_t codes[ROWS_MAX * COLS_MAX + SPARE];
    static uint8_t want[COLS_MAX];
    static float row[COLS_MAX];
    float scales[ROWS_MAX];
    (void)state;
    for (int s = 0; s < 8; s++) {
        const int64_t rows = shapes[s / 2][0];
        const int64_t cols = shapes[s / 2][1];
        work.rows = rows;
        work.cols = cols;
        work.ld = cols + SPARE;
        work.x = x;
        work.codes = codes;
        work.scales = scales;
        work.factor = s % 2 ? factor : NULL;
        for (int64_t i = 0; i < rows * work.ld; i++) {
            const float value = uniform() * (draw() % 50 == 0 ? 300.0F : 4.0F);
            x[i] = i / work.ld == 1 ? 0 : __float2bfloat16_rn(value);  // a row without a scale
        }
        for (int64_t i = 0; i < cols; i++) {
            factor[i] = 0.5F + uniform() * 0.4F;
        }
        memset(codes, POISON, sizeof codes);
        run_blocks((unsigned)rows, 1, round_body);
        for (int64_t r = 0; r < rows; r++) {
            for (int64_t c = 0; c < cols; c++) {
                row[c] = __bfloat162float(x[r * work.ld + c]);
            }
            const float scale = od_e4m3_encode_row(row, work.factor, cols, want);
            assert_memory_equal(&scale, &scales[r], sizeof scale);
            assert_memory_equal(want, codes + r * cols, (size_t)cols);
        }
        for (int i = 0; i < SPARE; i++) {
            assert_int_equal(codes[rows * cols + i], POISON);
        }
    }
}

static void codes_are_turned(void **state)
{
    static const int64_t shapes[][2] = {{16, 16}, {64, 64}, {80, 144}, {272, 48}};
    (void)state;
    for (int s = 0; s < 4; s++) {
        const size_t count = (size_t)(shapes[s][0] * shapes[s][1]);
        work.rows = shapes[s][0];
        work.cols = shapes[s][1];
        work.codes = od_alloc(count, 1);
        work.turned = od_alloc(count + SPARE, 1);
        assert_true(work.codes && work.turned);
        for (size_t i = 0; i < count; i++) {
            work.codes[i] = (uint8_t)draw();
        }
        memset(work.turned, POISON, count + SPARE);
        run_blocks((unsigned)(work.cols + 63) / 64, (unsigned)(work.rows + 63) / 64, turn_body);
        for (int64_t r = 0; r < work.rows; r++) {
            for (int64_t c = 0; c < work.cols; c++) {
                assert_int_equal(work.turned[c * work.rows + r], work.codes[r * work.cols + c]);
            }
        }
        for (size_t i = 0; i < SPARE; i++) {
            assert_int_equal(work.turned[count + i], POISON);
        }
        od_free(work.turned);
        od_free(work.codes);
    }
}

static void check_product(const od_bf16 *c)
{
    for (int64_t i = 0; i < work.m; i++) {
        for (int64_t j = 0; j < work.n; j++) {
            double sum = 0.0;
            double size = 0.0;
            for (int64_t x = 0; x < work.k; x++) {
                const double one = (double)od_e4m3_decode(work.a[i * work.k + x]) *
                                   (double)od_e4m3_decode(work.b[j * work.k + x]);
                sum += one;
                size += fabs(one);
            }
            const double scale = (double)work.a_scale[i] * (double)work.b_scale[j];
            sum = sum * scale + (c ? (double)__bfloat162float(c[i * work.ld + j]) : 0.0) +
                  (work.bias ? (double)__bfloat162float(work.bias[j]) : 0.0);
            const double got = (double)__bfloat162float(work.d[i * work.ld + j]);
            if (!(fabs(got - sum) <= fabs(sum) / 255.0 + size * scale * 1e-6)) {
                fail_msg("seed %llu: %lld x %lld x %lld: [%lld][%lld] is %.9g, not %.9g",
                         (unsigned long long)test_seed(), (long long)work.m, (long long)work.n,
                         (long long)work.k, (long long)i, (long long)j, got, sum);
            }
        }
    }
    for (int64_t i = 0; i < work.m * work.ld + SPARE; i++) {
        if (i / work.ld >= work.m || i % work.ld >= work.n) {
            assert_int_equal(work.d[i], POISON << 8 | POISON);
        }
    }
}

// kind 0: nothing is added; 1: C of its own and a bias; 2: C is D.
static void product(int64_t m, int64_t n, int64_t k, int kind)
{
    uint8_t *a = od_alloc((size_t)(m * k), 1);
    uint8_t *b = od_alloc((size_t)(n * k), 1);
    const int64_t ld = n + 8;
    const size_t count = (size_t)(m * ld + SPARE);
    od_bf16 *c = od_alloc(count, sizeof *c);
    od_bf16 *bias = od_alloc((size_t)n, sizeof *bias);
    work.d = od_alloc(count, sizeof *work.d);
    work.a_scale = od_alloc((size_t)m, sizeof *work.a_scale);
    work.b_scale = od_alloc((size_t)n, sizeof *work.b_scale);
    assert_true(a && b && c && bias && work.d && work.a_scale && work.b_scale);
    for (int64_t i = 0; i < m * k; i++) {
        a[i] = draw_code();
    }
    for (int64_t i = 0; i < n * k; i++) {
        b[i] = draw_code();
    }
    for (int64_t i = 0; i < m; i++) {
        work.a_scale[i] = 1.5F + uniform();
    }
    for (int64_t i = 0; i < n; i++) {
        work.b_scale[i] = 1e-3F * (1.5F + uniform());
        bias[i] = __float2bfloat16_rn(10.0F * uniform());
    }
    memset(work.d, POISON, count * sizeof *work.d);
    for (size_t i = 0; i < count; i++) {
        c[i] = __float2bfloat16_rn(100.0F * uniform());
        if (kind == 2 && (int64_t)i / ld < m && (int64_t)i % ld < n) {
            work.d[i] = c[i];
        }
    }
    work.a = a;
    work.b = b;
    work.m = m;
    work.n = n;
    work.k = k;
    work.ld = ld;
    work.c = kind == 0 ? NULL : (kind == 1 ? c : work.d);
    work.bias = kind == 1 ? bias : NULL;
    run_blocks((unsigned)(m + OD_E4M3_TILE_M - 1) / OD_E4M3_TILE_M,
               (unsigned)(n + OD_E4M3_TILE_N - 1) / OD_E4M3_TILE_N, product_body);
    check_product(kind == 0 ? NULL : c);
    od_free(work.b_scale);
    od_free(work.a_scale);
    od_free(work.d);
    od_free(bias);
    od_free(c);
    od_free(b);
    od_free(a);
}

static void products_are_right(void **state)
{
    (void)state;
    _Static_assert(OD_E4M3_THREADS == OD_GPU_THREADS, "lanes run blocks of one size");
    _Static_assert(OD_E4M3_SHARED_BYTES <= SHARED_BYTES, "lanes have room for a block");
    product(1, 16, 16, 0);
    product(3, 32, 48, 1);
    product(130, 144, 80, 2);
    product(77, 128, 336, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_rounded),
        cmocka_unit_test(codes_are_turned),
        cmocka_unit_test(products_are_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
