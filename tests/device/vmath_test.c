// Goal: exp is accurate over its range, exact at its corners, and every function has the same bits
// with and without AVX2. Method: every 61st float against exp in double; random arrays.

#include "device/cpu/vmath.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/random.h"
#include "device/cpu/gemm.h"
#include "support.h"
#include "vmath_lanes.h"

enum { CHUNK = 4096, STEP = 61, ARRAYS = 300, ARRAY_MAX = 100 };

static float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

// The worst relative error over a chunk; where the result may be subnormal or infinite, the rule.
static double check_exp(const float *x, const float *y, int64_t count)
{
    double worst = 0.0;
    for (int64_t i = 0; i < count; i++) {
        if (isnan(x[i])) {
            assert_true(isnan(y[i]));
        } else if (x[i] < -87.33655F) {
            assert_true(y[i] == 0.0F);
        } else if (x[i] > 88.72284F) {
            assert_true(isinf(y[i]) && y[i] > 0.0F);
        } else {
            const double exact = exp((double)x[i]);
            const double error = fabs((double)y[i] - exact) / exact;
            worst = error > worst ? error : worst;
        }
    }
    return worst;
}

static void exp_of_all_floats(void **state)
{
    (void)state;
    const bool vector = od_cpu_features_detect(true).avx2_fma;
    float x[CHUNK];
    float any[CHUNK];
    float fast[CHUNK];
    double worst = 0.0;
    for (uint64_t bits = 0; bits <= UINT32_MAX;) {
        for (int i = 0; i < CHUNK; i++, bits += STEP) {
            x[i] = float_of(bits <= UINT32_MAX ? (uint32_t)bits : 0);
        }
        vmath_lanes_any.exp(any, x, CHUNK);
        if (vector) {
            vmath_lanes_avx2.exp(fast, x, CHUNK);
            assert_memory_equal(fast, any, sizeof any);
        }
        const double error = check_exp(x, any, CHUNK);
        worst = error > worst ? error : worst;
    }
    print_message("# largest relative error of exp: %.3g\n", worst);
    assert_true(worst < 1.2e-7);
}

static void exp_at_its_corners(void **state)
{
    (void)state;
    const float x[8] = {0.0F,      -0.0F,    -87.33654F, -87.33656F,
                        88.72283F, 88.7229F, INFINITY,   -INFINITY};
    float y[8];
    vmath_lanes_any.exp(y, x, 8);
    assert_true(y[0] == 1.0F && y[1] == 1.0F);
    assert_true(y[2] >= 0x1p-126F && y[2] < 0x1.001p-126F);
    assert_true(y[3] == 0.0F && !signbit(y[3]));
    assert_true(y[4] > 3.4e38F && !isinf(y[4]));
    assert_true(isinf(y[5]) && isinf(y[6]));
    assert_true(y[7] == 0.0F && !signbit(y[7]));
    assert_true(y[5] > 0.0F);
    for (int i = 0; i < 8; i++) {
        assert_true(od_exp_f32(x[i]) == y[i]);
    }
}

// The order that vmath.h states, in plain loops.
static float sum_in_order(const float *x, int64_t count)
{
    volatile float lane[8] = {0};
    for (int64_t i = 0; i < count; i++) {
        lane[i % 8] = lane[i % 8] + x[i];
    }
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) +
           ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

static void arrays_of_any_length(void **state)
{
    (void)state;
    const bool vector = od_cpu_features_detect(true).avx2_fma;
    const uint64_t seed = test_seed();
    float x[ARRAY_MAX];
    float any[ARRAY_MAX + 1];
    float fast[ARRAY_MAX + 1];
    for (uint32_t round = 0; round < ARRAYS; round++) {
        const int64_t count = (int64_t)(round % (ARRAY_MAX + 1));
        float largest = -INFINITY;
        for (int64_t i = 0; i < count; i++) {
            x[i] = 40.0F *
                   (od_uniform_f32(od_philox_draw(seed, 1, round, (uint64_t)i).word[0]) - 0.5F);
            largest = x[i] > largest ? x[i] : largest;
        }
        any[count] = fast[count] = 123.0F;
        const float sum = vmath_lanes_any.sum(x, count);
        const float exp_sum = vmath_lanes_any.exp_sum(any, x, count, largest);
        assert_true(sum == sum_in_order(x, count));
        assert_true(vmath_lanes_any.max(x, count) == largest);
        assert_true(count == 0 || exp_sum == sum_in_order(any, count));
        assert_true(any[count] == 123.0F);
        if (vector) {
            assert_true(vmath_lanes_avx2.sum(x, count) == sum);
            assert_true(vmath_lanes_avx2.max(x, count) == largest);
            assert_true(vmath_lanes_avx2.exp_sum(fast, x, count, largest) == exp_sum);
            assert_memory_equal(fast, any, (size_t)(count + 1) * sizeof *any);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exp_of_all_floats),
        cmocka_unit_test(exp_at_its_corners),
        cmocka_unit_test(arrays_of_any_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
