// Goal: JSON is read strictly with messages that say where, and written as Python writes it.
// Method: values and layouts recorded from Python by tests/oracle/json_cases.py; errors and faults
// by hand.

#include "formats/json.h"

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "support.h"

static void check_layout(const json_t *one, const char *key, enum od_json_style style, bool ascii)
{
    struct od_error err = {0};
    struct od_buf buf;
    struct od_json_writer w;
    const json_t *want = json_object_get(one, key);
    od_buf_init(&buf, 1 << 20);
    od_json_writer_init(&w, &buf, style, ascii);
    od_json_put_value(&w, json_object_get(one, "value"));
    assert_ok(od_buf_check(&buf, &err), &err);
    assert_int_equal(buf.size, json_string_length(want));
    assert_memory_equal(od_buf_text(&buf), json_string_value(want), buf.size);
    od_buf_release(&buf);
}

static void writes_as_python(void **state)
{
    (void)state;
    struct od_error err = {0};
    json_t *root = NULL;
    assert_ok(od_json_read(test_source("tests/golden/oracle/python/json.json"), &root, &err), &err);
    const json_t *cases = json_object_get(root, "cases");
    assert_int_equal(json_array_size(cases), 90);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *one = json_array_get(cases, i);
        check_layout(one, "compact", OD_JSON_COMPACT, true);
        check_layout(one, "line", OD_JSON_LINE, true);
        check_layout(one, "line_utf8", OD_JSON_LINE, false);
        check_layout(one, "indent_2", OD_JSON_INDENT_2, true);
        check_layout(one, "indent_4_utf8", OD_JSON_INDENT_4, false);
    }
    json_decref(root);
}

static void writes_members(void **state)
{
    (void)state;
    struct od_buf buf;
    struct od_json_writer w;
    od_buf_init(&buf, 4096);
    od_json_writer_init(&w, &buf, OD_JSON_LINE, true);
    od_json_object_begin(&w);
    od_json_member_text(&w, "t", "x\xFF\xE2\x82y");
    od_json_member_int(&w, "i", INT64_MIN);
    od_json_member_number(&w, "n", (double)NAN);
    od_json_member_number(&w, "m", -(double)INFINITY);
    od_json_member_bool(&w, "b", false);
    od_json_key(&w, "l");
    od_json_array_begin(&w);
    od_json_put_null(&w);
    od_json_put_text_n(&w, "a\0b", 3);
    od_json_array_end(&w);
    od_json_object_end(&w);
    assert_string_equal(od_buf_text(&buf),
                        "{\"t\": \"x\\ufffd\\ufffdy\", \"i\": -9223372036854775808, \"n\": NaN, "
                        "\"m\": -Infinity, \"b\": false, \"l\": [null, \"a\\u0000b\"]}");
    od_buf_reset(&buf);
    od_json_writer_init(&w, &buf, OD_JSON_COMPACT, false);
    od_json_put_text(&w, "x\xFFy\x7F");
    assert_string_equal(od_buf_text(&buf), "\"x\xEF\xBF\xBDy\x7F\"");
    od_buf_release(&buf);
}

static void deep_writing_fails_softly(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_buf buf;
    struct od_json_writer w;
    for (int depth = OD_JSON_DEPTH_MAX; depth <= OD_JSON_DEPTH_MAX + 3; depth++) {
        od_buf_init(&buf, 1 << 20);
        od_json_writer_init(&w, &buf, OD_JSON_INDENT_2, true);
        for (int i = 0; i < depth; i++) {
            od_json_array_begin(&w);
            if (i % 3 == 0) {
                od_json_put_int(&w, i);
            }
        }
        for (int i = 0; i < depth; i++) {
            od_json_array_end(&w);
        }
        assert_int_equal(od_buf_check(&buf, &err) == OD_OK, depth <= OD_JSON_DEPTH_MAX);
        od_buf_release(&buf);
    }
}

static void refuses(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *start;
    } bad[] = {
        {"", "x:1:0: "},
        {"{\n  \"a\": 1,\n  \"a\": 2}", "x:3:"},
        {"[1,]", "x:1:4: "},
        {"[1] 2", "x:1:5: "},
        {"\"\\ud800\"", "x:1:"},
        {"\"\xFF\"", "x:1:"},
        {"NaN", "x:1:"},
        {"[1e999]", "x:1:"},
        {"9223372036854775808", "x:1:"},
        {"'a'", "x:1:"},
        {"{\"a\\u0000\": 1}", "x:1:"},
        {"\"a\nb\"", "x:1:2: unexpected newline"},
        {"\xEF\xBB\xBF{}", "x:1:"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct od_error err = {0};
        json_t *value = NULL;
        assert_int_equal(od_json_parse(bad[i].text, strlen(bad[i].text), "x", &value, &err),
                         OD_E_FORMAT);
        if (strncmp(err.message, bad[i].start, strlen(bad[i].start)) != 0) {
            fail_msg("%s: %s", bad[i].text, err.message);
        }
        assert_null(strchr(err.message, '\n'));
        assert_null(value);
    }
}

static void limits_depth(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_buf buf;
    json_t *value = NULL;
    od_buf_init(&buf, 1 << 20);
    od_buf_puts(&buf, "\n");
    for (int i = 0; i < OD_JSON_READ_DEPTH_MAX; i++) {
        od_buf_puts(&buf, "[");
    }
    od_buf_puts(&buf, "\"[[[\\\"[[[\"");  // brackets in a text do not count
    for (int i = 0; i < OD_JSON_READ_DEPTH_MAX; i++) {
        od_buf_puts(&buf, "]");
    }
    assert_ok(od_json_parse(od_buf_text(&buf), buf.size, "x", &value, &err), &err);
    json_decref(value);
    buf.bytes[OD_JSON_READ_DEPTH_MAX + 1] = '[';
    assert_int_equal(od_json_parse(od_buf_text(&buf), buf.size, "x", &value, &err), OD_E_LIMIT);
    assert_string_equal(err.message, "x:2:129: nested deeper than 128");
    od_buf_release(&buf);
}

static void reads_members(void **state)
{
    (void)state;
    struct od_error err = {0};
    json_t *object = NULL;
    const char *source = "{\"t\":\"x\",\"i\":3,\"r\":2.5,\"b\":true,\"n\":null,\"z\":\"a\\u0000\"}";
    const char *text = NULL;
    int64_t number = 0;
    double real = 0;
    bool truth = false;
    assert_ok(od_json_parse(source, strlen(source), "x", &object, &err), &err);
    assert_ok(od_json_text(object, "t", "c", &text, &err), &err);
    assert_string_equal(text, "x");
    assert_ok(od_json_int(object, "i", "c", &number, &err), &err);
    assert_int_equal(number, 3);
    assert_int_equal(od_json_text(object, "q", "c.json", &text, &err), OD_E_FORMAT);
    assert_string_equal(err.message, "c.json: 'q' is missing");
    assert_int_equal(od_json_int(object, "r", "c.json", &number, &err), OD_E_FORMAT);
    assert_string_equal(err.message,
                        "c.json: 'r' must be an integer and is a number with a fraction");
    assert_int_equal(od_json_text(object, "n", "c", &text, &err), OD_E_FORMAT);
    assert_int_equal(od_json_text(object, "z", "c", &text, &err), OD_E_FORMAT);
    assert_ok(od_json_text_or(object, "n", "c", "other", &text, &err), &err);
    assert_string_equal(text, "other");
    assert_ok(od_json_int_or(object, "q", "c", -7, &number, &err), &err);
    assert_int_equal(number, -7);
    assert_ok(od_json_number_or(object, "i", "c", 0.5, &real, &err), &err);
    assert_true(real == 3.0);
    assert_ok(od_json_number_or(object, "n", "c", 0.5, &real, &err), &err);
    assert_true(real == 0.5);
    assert_int_equal(od_json_number_or(object, "t", "c", 0.5, &real, &err), OD_E_FORMAT);
    assert_ok(od_json_bool_or(object, "b", "c", false, &truth, &err), &err);
    assert_true(truth);
    assert_ok(od_json_bool_or(object, "q", "c", false, &truth, &err), &err);
    assert_false(truth);
    assert_int_equal(od_json_bool_or(object, "i", "c", false, &truth, &err), OD_E_FORMAT);
    json_decref(object);
}

// Of a repeated key the last value counts, where the reader is told to be lenient.
static void repeated_keys(void **state)
{
    (void)state;
    static const char text[] = "{\"a\": 1, \"a\": 2}";
    struct od_error err = {0};
    json_t *value = NULL;
    assert_int_equal(od_json_parse(text, sizeof text - 1, "x", &value, &err), OD_E_FORMAT);
    assert_ok(od_json_parse_lenient(text, sizeof text - 1, "x", &value, &err), &err);
    assert_int_equal(json_integer_value(json_object_get(value, "a")), 2);
    json_decref(value);
    value = NULL;
    assert_int_equal(od_json_parse_lenient("{", 1, "x", &value, &err), OD_E_FORMAT);
    od_alloc_fail_at(1);
    assert_int_equal(od_json_parse_lenient(text, sizeof text - 1, "x", &value, &err), OD_E_MEMORY);
    od_alloc_fail_at(0);
    assert_null(value);
}

// Every allocation of the parser fails once, in tokens of every length around its buffers' sizes: the
// answer is "no memory" and nothing else, and the parser survives.
static void parser_faults(void **state)
{
    (void)state;
    struct od_error err = {0};
    char source[512];
    char sevens[131];
    for (int length = 1; length < (int)sizeof sevens; length++) {
        enum od_status status = OD_E_MEMORY;
        uint64_t n = 0;
        memset(sevens, '7', (size_t)length);
        sevens[length] = '\0';
        (void)snprintf(source, sizeof source, "[1.%s, {\"%s\": \"%s\\u00e9\"}, %.17s]", sevens,
                       sevens, sevens, sevens);
        while (status != OD_OK) {
            json_t *value = NULL;
            od_alloc_fail_at(++n);
            status = od_json_parse(source, strlen(source), "x", &value, &err);
            od_alloc_fail_at(0);
            if (status != OD_OK && status != OD_E_MEMORY) {
                fail_msg("allocation %d of '%s': %s", (int)n, source, err.message);
            }
            json_decref(value);
        }
        assert_true(n > 10);
    }
}

static void faults(void **state)
{
    (void)state;
    struct od_error err = {0};
    const char *source =
        "{\"a long key, longer than a first buffer\":[1,2.5,{\"b\":\"\\u00e9 and "
        "some more text to make the buffer grow\"},[],[3,4,5,6,7,8,9,10,11,12]]}";
    struct od_buf buf;
    struct od_json_writer w;
    enum od_status status = OD_E_MEMORY;
    uint64_t n = 0;
    while (status != OD_OK) {
        json_t *value = NULL;
        od_alloc_fail_at(++n);
        status = od_json_parse(source, strlen(source), "x", &value, &err);
        od_alloc_fail_at(0);
        assert_true(status == OD_OK || status == OD_E_MEMORY);
        if (status == OD_OK) {
            od_buf_init(&buf, 4096);
            od_json_writer_init(&w, &buf, OD_JSON_COMPACT, true);
            od_json_put_value(&w, value);
            assert_string_equal(od_buf_text(&buf), source);
            od_buf_release(&buf);
        }
        json_decref(value);
    }
    assert_true(n > 20);
    for (n = 1, status = OD_E_MEMORY; status != OD_OK; n++) {
        od_buf_init(&buf, 4096);
        od_alloc_fail_at(n);
        od_json_writer_init(&w, &buf, OD_JSON_INDENT_4, true);
        od_json_array_begin(&w);
        od_json_put_text(&w,
                         "\xFF and a text that is longer than the first buffer is, by far, really");
        od_json_array_end(&w);
        od_alloc_fail_at(0);
        status = od_buf_check(&buf, &err);
        od_buf_release(&buf);
    }
    assert_true(n > 3);
}

static void reads_files(void **state)
{
    (void)state;
    struct od_error err = {0};
    json_t *value = NULL;
    assert_int_equal(od_json_read("/nonexistent/x.json", &value, &err), OD_E_NOT_FOUND);
    // Packed, and named without its .gz.
    assert_ok(od_json_read(test_shared("eval/bigbench/strategyqa/task.json.gz"), &value, &err),
              &err);
    assert_true(json_array_size(json_object_get(value, "examples")) == 1717);
    json_decref(value);
    char path[OD_PATH_MAX_BYTES];
    assert_ok(od_path_join(path, test_shared("eval/bigbench/strategyqa"), "task.json", &err), &err);
    assert_ok(od_json_read(path, &value, &err), &err);
    json_decref(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_as_python),
        cmocka_unit_test(writes_members),
        cmocka_unit_test(deep_writing_fails_softly),
        cmocka_unit_test(refuses),
        cmocka_unit_test(limits_depth),
        cmocka_unit_test(reads_members),
        cmocka_unit_test(faults),
        cmocka_unit_test(parser_faults),
        cmocka_unit_test(repeated_keys),
        cmocka_unit_test(reads_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
