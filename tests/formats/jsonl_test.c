// Goal: values come line by line, and a broken line is named.
// Method: small texts by hand; a shared data set's count of records.

#include "formats/jsonl.h"

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "formats/text_file.h"
#include "support.h"

static void reads_lines(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_jsonl lines;
    json_t *value = NULL;
    const char *text = "{\"a\":1}\r\n\n \t\r\n[2]\n\"x\"";
    const size_t numbers[] = {1, 4, 5};
    od_jsonl_init(&lines, text, strlen(text), "x.jsonl");
    for (size_t i = 0; i < 3; i++) {
        assert_ok(od_jsonl_next(&lines, &value, &err), &err);
        assert_non_null(value);
        assert_int_equal(lines.line, numbers[i]);
        json_decref(value);
    }
    assert_ok(od_jsonl_next(&lines, &value, &err), &err);
    assert_null(value);
    od_jsonl_init(&lines, "", 0, "x.jsonl");
    assert_ok(od_jsonl_next(&lines, &value, &err), &err);
    assert_null(value);
}

static void names_bad_lines(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_jsonl lines;
    json_t *value = NULL;
    const char *text = "1\n[1,\n[[[\"\n2\n123456\n3";
    od_jsonl_init(&lines, text, strlen(text), "x.jsonl");
    lines.max_line_bytes = 5;
    assert_ok(od_jsonl_next(&lines, &value, &err), &err);
    json_decref(value);
    assert_int_equal(od_jsonl_next(&lines, &value, &err), OD_E_FORMAT);
    assert_int_equal(strncmp(err.message, "x.jsonl:2:", 10), 0);
    assert_int_equal(od_jsonl_next(&lines, &value, &err), OD_E_FORMAT);
    assert_int_equal(strncmp(err.message, "x.jsonl:3:", 10), 0);
    assert_ok(od_jsonl_next(&lines, &value, &err), &err);
    assert_int_equal(json_integer_value(value), 2);
    json_decref(value);
    assert_int_equal(od_jsonl_next(&lines, &value, &err), OD_E_LIMIT);
    assert_string_equal(err.message, "x.jsonl:5: the line has 6 bytes, at most 5 are read");
    assert_ok(od_jsonl_next(&lines, &value, &err), &err);
    assert_int_equal(lines.line, 6);
    json_decref(value);
}

static void reads_a_data_set(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_jsonl lines;
    char *text = NULL;
    size_t size = 0;
    size_t count = 0;
    json_t *value = NULL;
    assert_ok(
        od_text_read(test_shared("eval/extra_mc/arc_easy.jsonl.gz"), 64 << 20, &text, &size, &err),
        &err);
    od_jsonl_init(&lines, text, size, "arc_easy.jsonl");
    for (;;) {
        assert_ok(od_jsonl_next(&lines, &value, &err), &err);
        if (!value) {
            break;
        }
        assert_true(json_is_string(json_object_get(value, "query")));
        json_decref(value);
        count++;
    }
    assert_int_equal(count, 1782);
    od_free(text);
}

static void faults(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_jsonl lines;
    enum od_status status = OD_E_MEMORY;
    uint64_t n = 0;
    while (status != OD_OK) {
        json_t *value = NULL;
        od_jsonl_init(&lines, "[1,{\"a\":\"b\"}]\n", 14, "x.jsonl");
        od_alloc_fail_at(++n);
        status = od_jsonl_next(&lines, &value, &err);
        od_alloc_fail_at(0);
        assert_true(status == OD_OK || status == OD_E_MEMORY);
        json_decref(value);
    }
    assert_true(n > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_lines),
        cmocka_unit_test(names_bad_lines),
        cmocka_unit_test(reads_a_data_set),
        cmocka_unit_test(faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
