// Goal: eight-bit floats are torch's float8_e4m3fn, bit for bit, and saturate as the hardware's cast.
// Method: the codes of all bf16 numbers, of all halfway points and of rows, recorded by
// tests/oracle/e4m3_codes.py; properties for what no record covers.

#include "formats/e4m3.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "formats/dtype.h"
#include "formats/safetensors.h"
#include "support.h"

enum { BF16_NUMBERS = 65536, CODES = 256, HALVES = 126, ROWS = 16, COLS = 331, NO_NUMBER = 0x7F };

struct record {
    uint8_t codes[BF16_NUMBERS];
    uint8_t unheld[BF16_NUMBERS];
    float values[CODES];
    uint8_t halfway[2][2 * HALVES];
    uint8_t row_codes[ROWS][COLS];
    float row_scales[ROWS];
};
static struct record record;

static void read(const struct od_safetensors *st, const char *name, size_t bytes, void *to)
{
    struct od_error err = {0};
    const struct od_tensor_info *info = od_safetensors_find(st, name);
    assert_non_null(info);
    size_t held = od_dtype_size(info->dtype);
    for (int i = 0; i < info->rank; i++) {
        held *= (size_t)info->shape[i];
    }
    assert_int_equal(held, bytes);
    assert_ok(od_safetensors_read_raw(st, info, to, &err), &err);
}

static int open_record(void **state)
{
    struct od_error err = {0};
    struct od_safetensors *st = NULL;
    (void)state;
    assert_ok(od_safetensors_open(test_source("tests/golden/oracle/e4m3.safetensors"), &st, &err),
              &err);
    read(st, "codes", sizeof record.codes, record.codes);
    read(st, "unheld", sizeof record.unheld, record.unheld);
    read(st, "values", sizeof record.values, record.values);
    read(st, "halfway", sizeof record.halfway, record.halfway);
    read(st, "row_codes", sizeof record.row_codes, record.row_codes);
    read(st, "row_scales", sizeof record.row_scales, record.row_scales);
    od_safetensors_close(st);
    return 0;
}

static float of_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static void every_bf16_number_has_torchs_code(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < BF16_NUMBERS; i++) {
        const float x = of_bits(i << 16);
        const uint8_t code = od_e4m3_encode(x);
        const uint8_t want = isnan(x) ? NO_NUMBER : record.codes[i];
        if (code != want) {
            fail_msg("%a: %02x, not %02x", (double)x, code, want);
        }
        // Where torch's own cast overflows, and nowhere else, it has another opinion.
        if (fabsf(x) <= 464.0F && code != record.unheld[i]) {
            fail_msg("%a: %02x, torch without a bound %02x", (double)x, code, record.unheld[i]);
        }
        if (isnan(x)) {
            assert_int_equal(record.codes[i] & NO_NUMBER, NO_NUMBER);
        }
    }
}

static void every_code_has_torchs_value(void **state)
{
    (void)state;
    for (int i = 0; i < CODES; i++) {
        const float x = od_e4m3_decode((uint8_t)i);
        if ((i & NO_NUMBER) == NO_NUMBER) {
            assert_true(isnan(x) && isnan(record.values[i]));
            continue;
        }
        assert_int_equal(bits_of(x), bits_of(record.values[i]));
        assert_int_equal(od_e4m3_encode(x), i);
    }
}

static void halfway_goes_to_the_even_code(void **state)
{
    (void)state;
    for (int i = 0; i < HALVES; i++) {
        const float middle = (od_e4m3_decode((uint8_t)i) + od_e4m3_decode((uint8_t)(i + 1))) / 2.0F;
        const float above = nextafterf(middle, INFINITY);
        const uint8_t even = (uint8_t)(i + (i & 1));
        assert_int_equal(od_e4m3_encode(middle), even);
        assert_int_equal(od_e4m3_encode(middle), record.halfway[0][i]);
        assert_int_equal(od_e4m3_encode(-middle), record.halfway[0][HALVES + i]);
        assert_int_equal(od_e4m3_encode(above), record.halfway[1][i]);
        assert_int_equal(od_e4m3_encode(-above), record.halfway[1][HALVES + i]);
    }
}

static void fill_row(int row, float x[COLS])
{
    for (int i = 0; i < COLS; i++) {
        x[i] = ldexpf((float)((i * 7919 + row * 104729) % 8191 - 4095) / 4096.0F, row - 8);
    }
}

static void rows_are_torchs(void **state)
{
    (void)state;
    for (int row = 0; row < ROWS; row++) {
        float x[COLS];
        uint8_t codes[COLS];
        fill_row(row, x);
        const float scale = od_e4m3_encode_row(x, NULL, COLS, codes);
        assert_int_equal(bits_of(scale), bits_of(record.row_scales[row]));
        assert_memory_equal(codes, record.row_codes[row], COLS);
        // A factor is the same as values that were multiplied before.
        float factor[COLS];
        float before[COLS];
        uint8_t with_factor[COLS];
        for (int i = 0; i < COLS; i++) {
            factor[i] = 1.0F + (float)(i % 5) / 3.0F;
            before[i] = x[i] * factor[i];
        }
        const float other = od_e4m3_encode_row(before, NULL, COLS, codes);
        assert_int_equal(bits_of(od_e4m3_encode_row(x, factor, COLS, with_factor)), bits_of(other));
        assert_memory_equal(codes, with_factor, COLS);
    }
}

static void values_stay_near_and_extremes_are_kept(void **state)
{
    (void)state;
    for (int row = 0; row < ROWS; row++) {
        float x[COLS];
        float back[COLS];
        uint8_t codes[COLS];
        float most = 0.0F;
        fill_row(row, x);
        const float scale = od_e4m3_encode_row(x, NULL, COLS, codes);
        od_e4m3_decode_row(codes, scale, COLS, back);
        for (int i = 0; i < COLS; i++) {
            most = fmaxf(most, fabsf(x[i]));
            // Half of the last of three bits, or half of the smallest step.
            const float bound = fmaxf(fabsf(x[i]) / 16.0F, scale * 0x1p-10F) * 1.001F;
            assert_true(fabsf(back[i] - x[i]) <= bound);
        }
        float kept = 0.0F;
        for (int i = 0; i < COLS; i++) {
            kept = fmaxf(kept, fabsf(back[i]));
        }
        assert_true(fabsf(kept - most) <= most * 1e-6F);
    }
}

static void rows_without_a_scale(void **state)
{
    float x[4] = {0.0F, -0.0F, 0.0F, 0.0F};
    float back[4];
    uint8_t codes[4];
    (void)state;
    assert_true(od_e4m3_encode_row(x, NULL, 4, codes) <= 0.0F);
    od_e4m3_decode_row(codes, 0.0F, 4, back);
    for (int i = 0; i < 4; i++) {
        assert_true(fabsf(back[i]) <= 0.0F);
    }
    x[1] = 1e-40F;  // so small that nothing could be divided by its scale
    assert_true(od_e4m3_encode_row(x, NULL, 4, codes) <= 0.0F);
    assert_int_equal(codes[1], 0);
    // What is no number stays none.
    const float wild[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++) {
        bool is_bad = false;
        x[1] = 3.0F;
        x[2] = wild[i];
        const float scale = od_e4m3_encode_row(x, NULL, 4, codes);
        od_e4m3_decode_row(codes, scale, 4, back);
        for (int j = 0; j < 4; j++) {
            is_bad = is_bad || isnan(back[j]);
        }
        assert_true(is_bad);
    }
    assert_int_equal(od_e4m3_encode_row(NULL, NULL, 0, codes) <= 0.0F, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_bf16_number_has_torchs_code),
        cmocka_unit_test(every_code_has_torchs_value),
        cmocka_unit_test(halfway_goes_to_the_even_code),
        cmocka_unit_test(rows_are_torchs),
        cmocka_unit_test(values_stay_near_and_extremes_are_kept),
        cmocka_unit_test(rows_without_a_scale),
    };
    return cmocka_run_group_tests(tests, open_record, NULL);
}
