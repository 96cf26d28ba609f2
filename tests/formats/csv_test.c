// Goal: rows are those that Python's csv module gives.
// Method: small texts with Python's answers and digests of whole data sets, both recorded by
// tests/oracle/csv_cases.py; limits, faults and messages by hand.

#include "formats/csv.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/hash.h"
#include "base/memory.h"
#include "base/status.h"
#include "formats/json.h"
#include "support.h"

static bool row_equals(const struct od_csv_row *row, const json_t *want)
{
    if (row->count != json_array_size(want)) {
        return false;
    }
    for (size_t i = 0; i < row->count; i++) {
        const json_t *field = json_array_get(want, i);
        if (row->fields[i].size != json_string_length(field) ||
            memcmp(row->fields[i].text, json_string_value(field), row->fields[i].size) != 0 ||
            row->fields[i].text[row->fields[i].size] != '\0') {
            return false;
        }
    }
    return true;
}

static void python_cases(void **state)
{
    (void)state;
    struct od_error err = {0};
    json_t *root = NULL;
    assert_ok(od_json_read(test_source("tests/golden/oracle/csv/cases.json"), &root, &err), &err);
    const json_t *cases = json_object_get(root, "cases");
    assert_true(json_array_size(cases) > 400);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *one = json_array_get(cases, i);
        const json_t *text = json_object_get(one, "text");
        const json_t *rows = json_object_get(one, "rows");
        const char *delimiter = json_string_value(json_object_get(one, "delimiter"));
        struct od_csv csv = {0};
        assert_ok(od_csv_parse(json_string_value(text), json_string_length(text), delimiter[0],
                               "case", &csv, &err),
                  &err);
        bool equal = csv.count == json_array_size(rows);
        for (size_t k = 0; k < csv.count && equal; k++) {
            equal = row_equals(&csv.rows[k], json_array_get(rows, k));
        }
        if (!equal) {
            fail_msg("case %zu: %s", i, json_string_value(text));
        }
        od_csv_release(&csv);
    }
    json_decref(root);
}

// Number of files that were compared; checks that MMLU's rows have six fields.
static size_t check_file(const json_t *one)
{
    struct od_error err = {0};
    struct od_csv csv = {0};
    struct od_buf buf;
    char digest[OD_SHA256_HEX_BYTES];
    const char *file = json_string_value(json_object_get(one, "file"));
    assert_ok(od_csv_read(test_shared(file), ',', &csv, &err), &err);
    od_buf_init(&buf, OD_CSV_FILE_MAX_BYTES);
    for (size_t i = 0; i < csv.count; i++) {
        if (strstr(file, "/mmlu/")) {
            assert_int_equal(csv.rows[i].count, 6);
        }
        for (size_t k = 0; k < csv.rows[i].count; k++) {
            od_buf_append(&buf, csv.rows[i].fields[k].text, csv.rows[i].fields[k].size);
            od_buf_putc(&buf, '\x1f');
        }
        od_buf_putc(&buf, '\x1e');
    }
    assert_ok(od_buf_check(&buf, &err), &err);
    od_sha256_hex(od_buf_text(&buf), buf.size, digest);
    assert_string_equal(digest, json_string_value(json_object_get(one, "sha256")));
    assert_int_equal(csv.count, json_integer_value(json_object_get(one, "rows")));
    od_buf_release(&buf);
    od_csv_release(&csv);
    return 1;
}

static void python_files(void **state)
{
    (void)state;
    struct od_error err = {0};
    json_t *root = NULL;
    size_t compared = 0;
    (void)test_shared("eval/mmlu");
    assert_ok(od_json_read(test_source("tests/golden/oracle/csv/files.json"), &root, &err), &err);
    const json_t *files = json_object_get(root, "files");
    for (size_t i = 0; i < json_array_size(files); i++) {
        compared += check_file(json_array_get(files, i));
    }
    assert_int_equal(compared, 183);
    json_decref(root);
}

static void knows_lines(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_csv csv = {0};
    const char *text = "a\r\n\"b\r\nc\",d\r\r\ne";
    assert_ok(od_csv_parse(text, strlen(text), ',', "x.csv", &csv, &err), &err);
    assert_int_equal(csv.count, 4);
    const size_t lines[] = {1, 2, 4, 5};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(csv.rows[i].line, lines[i]);
    }
    assert_non_null(csv.rows[2].fields);
    od_csv_release(&csv);
    od_csv_release(&csv);
}

static void refuses(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_csv csv = {0};
    assert_int_equal(od_csv_parse("a\nb\0c\n", 6, ',', "x.csv", &csv, &err), OD_E_FORMAT);
    assert_string_equal(err.message, "x.csv:2: the line holds a NUL");
    assert_int_equal(od_csv_parse("a\n\n\xFF\n", 5, ',', "x.csv", &csv, &err), OD_E_FORMAT);
    assert_string_equal(err.message, "x.csv:3: the line is no UTF-8");
    const size_t size = OD_CSV_FIELD_MAX_BYTES + 1;
    char *big = od_alloc(size, 1);
    assert_non_null(big);
    memset(big, 'x', size);
    assert_int_equal(od_csv_parse(big, size, ',', "x.csv", &csv, &err), OD_E_LIMIT);
    assert_ok(od_csv_parse(big, size - 1, ',', "x.csv", &csv, &err), &err);
    assert_int_equal(csv.rows[0].fields[0].size, OD_CSV_FIELD_MAX_BYTES);
    od_csv_release(&csv);
    od_free(big);
    const size_t many = (size_t)OD_CSV_FIELDS_MAX + 1;
    big = od_alloc(many, 1);
    assert_non_null(big);
    memset(big, ',', many);
    assert_int_equal(od_csv_parse(big, many, ',', "x.csv", &csv, &err), OD_E_LIMIT);
    od_free(big);
    assert_int_equal(od_csv_read("/nonexistent/x.csv", ',', &csv, &err), OD_E_NOT_FOUND);
}

static void faults(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_buf buf;
    od_buf_init(&buf, 1 << 20);
    for (int i = 0; i < 2000; i++) {
        od_buf_puts(&buf, "a,b\n");
    }
    enum od_status status = OD_E_MEMORY;
    uint64_t n = 0;
    while (status != OD_OK) {
        struct od_csv csv = {0};
        od_alloc_fail_at(++n);
        status = od_csv_parse(od_buf_text(&buf), buf.size, ',', "x.csv", &csv, &err);
        od_alloc_fail_at(0);
        assert_true(status == OD_OK || status == OD_E_MEMORY);
        od_csv_release(&csv);
    }
    assert_true(n > 8);
    od_buf_release(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(python_cases), cmocka_unit_test(python_files),
        cmocka_unit_test(knows_lines),  cmocka_unit_test(refuses),
        cmocka_unit_test(faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
