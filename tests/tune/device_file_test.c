// Goal: a device.json is read as it was written, and a broken one is refused with a message.
// Method: the file of a real run on an H200 (bench/results); lines by hand.

#include "tune/device_file.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "support.h"

static void a_real_run(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_device_file file;
    char *text = NULL;
    size_t size = 0;
    const char *path = test_source("bench/results/2026-11-24-h200-real-run/device.json");
    assert_ok(od_file_read(path, 1 << 20, &text, &size, &err), &err);
    assert_ok(od_device_parse(text, size, path, &file, &err), &err);
    assert_string_equal(file.device, "NVIDIA H200");
    assert_string_equal(file.driver, "580.159.04");
    assert_string_equal(file.library, "cuBLASLt 13.1.0");
    assert_int_equal(file.count, 38);
    size_t timed = 0;
    for (size_t i = 0; i < file.count; i++) {
        char key[128];
        char want[17];
        (void)snprintf(key, sizeof key, "\"shape\": \"%s\"", file.choices[i].shape);
        const char *at = strstr(text, key);
        assert_non_null(at);
        (void)snprintf(want, sizeof want, "%016llx", (unsigned long long)file.choices[i].algo[0]);
        at = strstr(at, "\"algo\": \"");
        assert_non_null(at);
        assert_memory_equal(at + 9, want, 16);
        timed += file.choices[i].us > 1.0;
    }
    assert_int_equal(timed, file.count);
    od_device_file_release(&file);
    od_free(text);
}

#define HEAD  "{\"device\": \"d\", \"driver\": \"1\", \"matrix_products\": \"l\""
#define WORDS "1 2 3 4 5 6 7 "

static void refused(const char *text, enum od_status want, const char *words)
{
    struct od_error err = {0};
    struct od_device_file file;
    assert_int_equal(od_device_parse(text, strlen(text), "device.json", &file, &err), want);
    if (!strstr(err.message, words)) {
        fail_msg("'%s' is not in: %s", words, err.message);
    }
}

static void broken_ones(void **state)
{
    (void)state;
    static char many[64 * 300 + 200];
    refused("{", OD_E_FORMAT, "device.json");
    refused("[]", OD_E_FORMAT, "'device' is missing");
    refused("{\"device\": \"cpu\"}", OD_E_FORMAT, "'driver' is missing");
    refused(HEAD ", \"algorithms\": [{}]}", OD_E_FORMAT, "'shape' is missing");
    refused(HEAD ", \"algorithms\": [{\"shape\": \"1\", \"algo\": \"" WORDS "\"}]}", OD_E_FORMAT,
            "no eight words");
    refused(HEAD ", \"algorithms\": [{\"shape\": \"1\", \"algo\": \"" WORDS "8 9\"}]}", OD_E_FORMAT,
            "no eight words");
    refused(HEAD ", \"algorithms\": [{\"shape\": \"1\", \"algo\": \"" WORDS
                 "11112222333344445\"}]}",
            OD_E_FORMAT, "no eight words");
    size_t at = (size_t)snprintf(many, sizeof many, "%s", HEAD ", \"algorithms\": [");
    for (int i = 0; i < 257; i++) {
        at += (size_t)snprintf(many + at, sizeof many - at,
                               "%s{\"shape\": \"%d\", \"algo\": \"" WORDS "8\"}", i > 0 ? "," : "",
                               i);
    }
    (void)snprintf(many + at, sizeof many - at, "]}");
    refused(many, OD_E_LIMIT, "more than 256");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_real_run), cmocka_unit_test(broken_ones)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
