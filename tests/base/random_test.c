// Goal: the generators give exactly the numbers that CPython, NumPy and the Philox paper give.
// Method: vectors of CPython and NumPy themselves, and Random123's known answers.

#include "base/random.h"

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/status.h"
#include "support.h"

static void python_int_seed(void **state)
{
    (void)state;
    struct od_mt19937 mt;
    od_mt_seed_python_int(&mt, 0);
    const uint32_t expected[] = {3626764237u, 1654615998u, 3255389356u, 3823568514u};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(od_mt_u32(&mt), expected[i]);
    }
    od_mt_seed_python_int(&mt, 0);
    assert_true(od_py_random(&mt) == 0.8444218515250481);
    int64_t ten[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    const int64_t shuffled[] = {7, 8, 1, 5, 3, 4, 2, 0, 9, 6};
    od_mt_seed_python_int(&mt, 0);
    od_py_shuffle(&mt, ten, 10);
    assert_memory_equal(ten, shuffled, sizeof ten);
    od_mt_seed_python_int(&mt, 0);
    assert_int_equal(od_py_randbelow(&mt, 7473), 6917);
    assert_int_equal(od_py_randbelow(&mt, 7473), 3155);
    assert_int_equal(od_py_randbelow(&mt, 7473), 6209);
    int64_t sample[3];
    od_mt_seed_python_int(&mt, 0);
    assert_int_equal(od_py_sample(&mt, 10, 3, sample, NULL), OD_OK);
    assert_int_equal(sample[0], 6);
    assert_int_equal(sample[1], 9);
    assert_int_equal(sample[2], 0);
}

static void python_string_seed(void **state)
{
    (void)state;
    struct od_mt19937 mt;
    assert_int_equal(od_mt_seed_python_str(&mt, "id5", 3, NULL), OD_OK);
    const uint32_t expected[] = {3468607041u, 1350958228u, 1944922364u, 2884360784u};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(od_mt_u32(&mt), expected[i]);
    }
    assert_int_equal(od_mt_seed_python_str(&mt, "0", 1, NULL), OD_OK);
    assert_true(od_py_random(&mt) == 0.3616904771377427);
}

static void numpy_seed(void **state)
{
    (void)state;
    struct od_mt19937 mt;
    int64_t order[1319];
    const int64_t expected[] = {658, 406, 1202, 202, 1187, 186, 45, 487, 1188, 597};
    od_mt_seed_numpy(&mt, 0);
    assert_int_equal(od_mt_u32(&mt), 2357136044u);
    od_mt_seed_numpy(&mt, 0);
    od_np_permutation(&mt, order, 1319);
    assert_memory_equal(order, expected, sizeof expected);
}

static void philox_known_answers(void **state)
{
    (void)state;
    const struct od_philox zero = od_philox_draw(0, 0, 0, 0);
    const uint32_t zero_expected[] = {0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u};
    assert_memory_equal(zero.word, zero_expected, sizeof zero_expected);
    const struct od_philox ones = od_philox_draw(UINT64_MAX, UINT32_MAX, UINT32_MAX, UINT64_MAX);
    const uint32_t ones_expected[] = {0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu};
    assert_memory_equal(ones.word, ones_expected, sizeof ones_expected);
}

static void permutation_is_one(void **state)
{
    (void)state;
    for (uint64_t count = 1; count < 200; count += 7) {
        unsigned char seen[200] = {0};
        for (uint64_t i = 0; i < count; i++) {
            const uint64_t at = od_permute(i, count, 42, 3);
            assert_true(at < count);
            assert_int_equal(seen[at], 0);
            seen[at] = 1;
        }
    }
}

// Own logarithm, cosine and sine against the C library's in long double.
static void normals_of_the_formula(void **state)
{
    (void)state;
    double worst = 0.0;
    for (uint64_t i = 0; i < 200000; i++) {
        struct od_philox draw = od_philox_draw(3, 4, 5, i);
        if (i < 64) {  // both ends of u and all corners of the circle
            draw.word[0] = (i & 1) != 0 ? 0xFFFFFFFFu : (i & 2) != 0 ? 1u << 5 : 0;
            draw.word[1] = (i & 1) != 0 ? 0xFFFFFFFFu : (i & 2) != 0 ? 0 : 1u << 6;
            draw.word[2] = (uint32_t)(i >> 2) << 28;
            draw.word[3] = 0;
        }
        const long double u =
            1.0L -
            ((long double)(draw.word[0] >> 5) * 67108864.0L + (draw.word[1] >> 6)) * 0x1p-53L;
        const long double t =
            ((long double)(draw.word[2] >> 5) * 67108864.0L + (draw.word[3] >> 6)) * 0x1p-53L;
        const long double radius = sqrtl(-2.0L * logl(u));
        const long double angle = 2.0L * acosl(-1.0L) * t;
        double a;
        double b;
        od_normal_pair(draw, &a, &b);
        const double error_a = (double)(fabsl((long double)a - radius * cosl(angle)) / radius);
        const double error_b = (double)(fabsl((long double)b - radius * sinl(angle)) / radius);
        worst = error_a > worst ? error_a : worst;
        worst = error_b > worst ? error_b : worst;
    }
    if (!(worst < 6e-16)) {
        fail_msg("largest error over the radius: %g", worst);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(python_int_seed),    cmocka_unit_test(python_string_seed),
        cmocka_unit_test(numpy_seed),         cmocka_unit_test(philox_known_answers),
        cmocka_unit_test(permutation_is_one), cmocka_unit_test(normals_of_the_formula),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
