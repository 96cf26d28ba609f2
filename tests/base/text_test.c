// Goal: text helpers agree with Python: UTF-8 with errors="replace", strip, repr of floats.
// Method: records of tests/oracle/json_cases.py; every code point there and back; edges by hand.

#include "base/text.h"

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "support.h"

static void utf8_all_code_points(void **state)
{
    (void)state;
    for (uint32_t code = 0; code <= 0x110000; code++) {
        char bytes[4];
        uint32_t back = 0;
        const int length = od_utf8_encode(code, bytes);
        if (code > 0x10FFFF) {
            assert_int_equal(length, 0);
            continue;
        }
        const bool surrogate = code >= 0xD800 && code < 0xE000;
        assert_int_equal(length, code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4);
        assert_int_equal(od_utf8_decode(bytes, (size_t)length, &back), surrogate ? 0 : length);
        assert_true(surrogate || back == code);
        for (int cut = 0; cut < length; cut++) {
            assert_int_equal(od_utf8_decode(bytes, (size_t)cut, &back), 0);
        }
    }
}

static void utf8_invalid(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "\x80",
        "\xBF",
        "\xC0\x80",
        "\xC1\xBF",
        "\xC2\x41",
        "\xE0\x80\x80",
        "\xE0\x9F\xBF",
        "\xED\xA0\x80",
        "\xF0\x80\x80\x80",
        "\xF0\x8F\xBF\xBF",
        "\xF4\x90\x80\x80",
        "\xF5\x80\x80\x80",
        "\xF8\x88\x80\x80\x80",
        "\xFF",
        "\xE2\x28\xA1",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint32_t code = 0;
        assert_int_equal(od_utf8_decode(bad[i], strlen(bad[i]), &code), 0);
    }
    assert_int_equal(od_utf8_invalid_at("a\xC3\xA9\xFFz", 5), 3);
    assert_int_equal(od_utf8_invalid_at("a\xC3\xA9z", 4), 4);
    assert_int_equal(od_utf8_count("a\xC3\xA9\xFFz", 5), 4);
}

// Bytes of a hex text; the count is half its length. @memory Gives: od_free.
static char *from_hex(const json_t *hex)
{
    const char *digits = json_string_value(hex);
    const size_t size = json_string_length(hex) / 2;
    char *bytes = od_alloc(size + 1, 1);
    assert_non_null(bytes);
    for (size_t i = 0; i < size; i++) {
        const char pair[3] = {digits[2 * i], digits[2 * i + 1], '\0'};
        bytes[i] = (char)strtoul(pair, NULL, 16);
    }
    return bytes;
}

static void check_case(const json_t *one)
{
    struct od_buf buf;
    char *raw = from_hex(json_object_get(one, "raw"));
    char *text = from_hex(json_object_get(one, "text"));
    char *strip = from_hex(json_object_get(one, "strip"));
    char *rstrip = from_hex(json_object_get(one, "rstrip"));
    od_buf_init(&buf, 4096);
    od_utf8_append_valid(&buf, raw, json_string_length(json_object_get(one, "raw")) / 2);
    assert_int_equal(buf.size, json_string_length(json_object_get(one, "text")) / 2);
    assert_memory_equal(od_buf_text(&buf), text, buf.size);
    assert_int_equal(od_utf8_count(text, buf.size),
                     json_integer_value(json_object_get(one, "count")));
    const char *at = text;
    size_t size = buf.size;
    od_strip(&at, &size);
    assert_int_equal(size, json_string_length(json_object_get(one, "strip")) / 2);
    assert_memory_equal(at, strip, size);
    size = od_rstrip_size(text, buf.size);
    assert_int_equal(size, json_string_length(json_object_get(one, "rstrip")) / 2);
    assert_memory_equal(text, rstrip, size);
    od_buf_release(&buf);
    od_free(rstrip);
    od_free(strip);
    od_free(text);
    od_free(raw);
}

static void python_texts(void **state)
{
    (void)state;
    json_error_t error;
    json_t *root = json_load_file(test_source("tests/golden/oracle/python/strip.json"), 0, &error);
    assert_non_null(root);
    const json_t *cases = json_object_get(root, "cases");
    assert_int_equal(json_array_size(cases), 300);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        check_case(json_array_get(cases, i));
    }
    json_decref(root);
}

static void python_doubles(void **state)
{
    (void)state;
    struct od_error err = {0};
    char *text = NULL;
    size_t size = 0;
    size_t count = 0;
    assert_ok(od_file_read(test_source("tests/golden/oracle/python/doubles.txt"), 1 << 20, &text,
                           &size, &err),
              &err);
    for (char *line = text; *line != '\0';) {
        char *end = NULL;
        char got[OD_NUMBER_BYTES];
        double value = 0;
        double back = 0;
        const uint64_t bits = strtoull(line, &end, 16);
        char *newline = strchr(end, '\n');
        assert_non_null(newline);
        *newline = '\0';
        memcpy(&value, &bits, sizeof value);
        od_double_text(value, got);
        assert_string_equal(got, end + 1);
        assert_true(od_parse_double(got, &back));
        assert_memory_equal(&back, &value, sizeof value);
        line = newline + 1;
        count++;
    }
    assert_true(count > 2000);
    od_free(text);
    char got[OD_NUMBER_BYTES];
    od_double_text((double)NAN, got);
    assert_string_equal(got, "NaN");
    od_double_text(-(double)INFINITY, got);
    assert_string_equal(got, "-Infinity");
}

static void parses_numbers(void **state)
{
    (void)state;
    double real = 7;
    int64_t whole = 7;
    static const char *const no_real[] = {"", " 1", "1 ", "0x10", "1e", "a", "1.5x", "--1", "1,5"};
    static const char *const no_whole[] = {"", " 1", "1 ", "1.0", "0x10", "9223372036854775808",
                                           "a"};
    for (size_t i = 0; i < sizeof no_real / sizeof *no_real; i++) {
        assert_false(od_parse_double(no_real[i], &real));
    }
    for (size_t i = 0; i < sizeof no_whole / sizeof *no_whole; i++) {
        assert_false(od_parse_int(no_whole[i], &whole));
    }
    assert_true(real == 7 && whole == 7);
    assert_true(od_parse_double("-1.5e-3", &real));
    assert_true(real == -1.5e-3);
    assert_true(od_parse_int("-9223372036854775808", &whole));
    assert_true(whole == INT64_MIN);
}

static void nearest_names(void **state)
{
    (void)state;
    static const char *const names[] = {"learning_rate", "batch", "steps", "seed"};
    assert_string_equal(od_nearest_name("learning-rate", names, 4), "learning_rate");
    assert_string_equal(od_nearest_name("stesp", names, 4), "steps");
    assert_string_equal(od_nearest_name("seed", names, 4), "seed");
    assert_null(od_nearest_name("xyzzy", names, 4));
    assert_null(od_nearest_name("seed", names, 0));
    char longer[200];
    memset(longer, 's', sizeof longer);
    longer[199] = '\0';
    assert_null(od_nearest_name(longer, names, 4));
}

static void distances(void **state)
{
    (void)state;
    char longer[66];
    memset(longer, 'x', 65);
    longer[65] = '\0';
    assert_int_equal(od_edit_distance("kitten", "sitting"), 3);
    assert_int_equal(od_edit_distance("", "abc"), 3);
    assert_int_equal(od_edit_distance("abc", "abc"), 0);
    assert_true(od_edit_distance("abc", longer) == SIZE_MAX);
    assert_int_equal(od_edit_distance("abc", longer + 1), 64);
}

static void sizes_and_times(void **state)
{
    (void)state;
    static const char *const bad[] = {"",     "GB",  "0",     "-1GB",  "1 XB",
                                      "1GBx", "inf", "nanGB", "1.2.3", "24h "};
    uint64_t bytes = 7;
    double seconds = 7.0;
    assert_true(od_parse_size("24GB", &bytes) && bytes == UINT64_C(24000000000));
    assert_true(od_parse_size("16 GiB", &bytes) && bytes == UINT64_C(17179869184));
    assert_true(od_parse_size("1.5kB", &bytes) && bytes == 1500);
    assert_true(od_parse_size("512", &bytes) && bytes == 512);
    assert_true(od_parse_time("24h", &seconds) && seconds == 86400.0);
    assert_true(od_parse_time("90min", &seconds) && seconds == 5400.0);
    assert_true(od_parse_time("0.5s", &seconds) && seconds == 0.5);
    assert_true(od_parse_time("45", &seconds) && seconds == 45.0);
    bytes = 7;
    seconds = 7.0;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (od_parse_size(bad[i], &bytes) || od_parse_time(bad[i], &seconds)) {
            fail_msg("'%s' was taken", bad[i]);
        }
    }
    assert_true(bytes == 7 && seconds == 7.0);
}

// The examples of RFC 4648, section 10, and texts that are none.
static void base64(void **state)
{
    (void)state;
    static const char *const good[][2] = {
        {"", ""},
        {"Zg==", "f"},
        {"Zm8=", "fo"},
        {"Zm9v", "foo"},
        {"Zm9vYg==", "foob"},
        {"Zm9vYmE=", "fooba"},
        {"Zm9vYmFy", "foobar"},
        {"+/+/", "\xFB\xFF\xBF"},
    };
    static const char *const bad[] = {"Z",    "Zg=",      "Zg=a",     "Zm9=",      "Zh==", "====",
                                      "=Zg=", "Zg==Zg==", "Zm 9vYmF", "Zm9v\n123", "Zm-_"};
    struct od_buf out;
    od_buf_init(&out, 64);
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        od_buf_reset(&out);
        assert_true(od_base64_append(&out, good[i][0], strlen(good[i][0])));
        assert_string_equal(od_buf_text(&out), good[i][1]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        od_buf_reset(&out);
        od_buf_puts(&out, "x");
        assert_false(od_base64_append(&out, bad[i], strlen(bad[i])));
        assert_int_equal(out.size, 1);
    }
    od_buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(utf8_all_code_points),
        cmocka_unit_test(utf8_invalid),
        cmocka_unit_test(python_texts),
        cmocka_unit_test(python_doubles),
        cmocka_unit_test(parses_numbers),
        cmocka_unit_test(nearest_names),
        cmocka_unit_test(distances),
        cmocka_unit_test(sizes_and_times),
        cmocka_unit_test(base64),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
