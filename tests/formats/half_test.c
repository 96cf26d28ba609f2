// Goal: 16-bit floats convert exactly and round to the nearest, ties to even.
// Method: every 16-bit value there and back; every midpoint between neighbours and the floats next
// to it, against the rule worked out on the neighbours; vectors by hand for the edges.

#include "formats/half.h"

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "support.h"

static void known_values(void **state)
{
    (void)state;
    assert_true(od_bf16_to_f32(0x3F80) == 1.0f);
    assert_true(od_bf16_to_f32(0xC2F7) == -123.5f);
    assert_true(od_f16_to_f32(0x3C00) == 1.0f);
    assert_true(od_f16_to_f32(0x3555) == 0x1.554p-2f);
    assert_true(od_f16_to_f32(0x7BFF) == 65504.0f);
    assert_true(od_f16_to_f32(0x0001) == 0x1p-24f);
    assert_true(od_f16_to_f32(0x83FF) == -0x1.ff8p-15f);
    assert_int_equal(od_f32_to_f16(65519.996f), 0x7BFF);
    assert_int_equal(od_f32_to_f16(65520.0f), 0x7C00);
    assert_int_equal(od_f32_to_f16(-INFINITY), 0xFC00);
    assert_int_equal(od_f32_to_f16(0x1p-25f), 0x0000);
    assert_int_equal(od_f32_to_f16(0x1.000002p-25f), 0x0001);
    assert_int_equal(od_f32_to_f16(0x1.8p-24f), 0x0002);
    assert_int_equal(od_f32_to_f16(-0.0f), 0x8000);
    assert_int_equal(od_f32_to_bf16(-0.0f), 0x8000);
    assert_int_equal(od_f32_to_bf16(3.4028235e38f), 0x7F80);
    assert_int_equal(od_f32_to_bf16(0x1.01p0f), 0x3F80);  // tie to the even 1.0
    assert_int_equal(od_f32_to_bf16(0x1.03p0f), 0x3F82);  // tie to the even above
    assert_int_equal(od_f32_to_bf16(0x1p-149f), 0x0000);
    assert_int_equal(od_f32_to_bf16(od_f32_from_bits(0x00018000)), 0x0002);  // subnormal tie
}

static void nan_stays_nan(void **state)
{
    (void)state;
    assert_int_equal(od_f32_bits(od_f16_to_f32(0x7C01)), 0x7FC02000);  // becomes quiet
    assert_int_equal(od_f32_bits(od_f16_to_f32(0xFE05)), 0xFFC0A000);
    const uint32_t nans[] = {0x7F800001, 0x7FFFFFFF, 0xFF800001, 0xFFC00000, 0x7F80FFFF};
    for (size_t i = 0; i < sizeof nans / sizeof *nans; i++) {
        const float value = od_f32_from_bits(nans[i]);
        const int sign = nans[i] >> 31 ? 0x8000 : 0;
        assert_true((od_f32_to_bf16(value) & 0x7FFF) > 0x7F80);
        assert_true((od_f32_to_f16(value) & 0x7FFF) > 0x7C00);
        assert_int_equal(od_f32_to_bf16(value) & 0x8000, sign);
        assert_int_equal(od_f32_to_f16(value) & 0x8000, sign);
    }
}

// Round trip of all values, and rounding at and beside the midpoint to the next larger one.
static void check_all(uint16_t (*to)(float), float (*from)(uint16_t), uint16_t infinity)
{
    for (uint32_t half = 0; half <= 0xFFFF; half++) {
        const uint16_t size = half & 0x7FFF;
        if (size > infinity) {
            assert_true(isnan(from((uint16_t)half)));
            continue;
        }
        assert_int_equal(to(from((uint16_t)half)), half);
        if (size == infinity) {
            continue;
        }
        const double low = (double)from((uint16_t)half);
        // The largest finite value's upper neighbour is where the next one would be.
        const double high = size + 1 == infinity ? 2 * low - (double)from((uint16_t)(half - 1))
                                                 : (double)from((uint16_t)(half + 1));
        const float middle = (float)((low + high) / 2);
        const uint16_t even = half & 1 ? (uint16_t)(half + 1) : (uint16_t)half;
        if ((double)middle != (low + high) / 2) {
            continue;  // no float: below the smallest subnormal
        }
        assert_int_equal(to(middle), even);
        assert_int_equal(to(nextafterf(middle, 0.0f)), half);
        assert_int_equal(to(nextafterf(middle, (float)high * 2)), half + 1);
    }
}

static uint16_t to_f16(float value)
{
    return od_f32_to_f16(value);
}

static float from_f16(uint16_t half)
{
    return od_f16_to_f32(half);
}

static uint16_t to_bf16(float value)
{
    return od_f32_to_bf16(value);
}

static float from_bf16(uint16_t half)
{
    return od_bf16_to_f32(half);
}

static void all_f16(void **state)
{
    (void)state;
    check_all(to_f16, from_f16, 0x7C00);
}

static void all_bf16(void **state)
{
    (void)state;
    check_all(to_bf16, from_bf16, 0x7F80);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_values),
        cmocka_unit_test(nan_stays_nan),
        cmocka_unit_test(all_f16),
        cmocka_unit_test(all_bf16),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
