// Goal: event files have the bytes that TensorBoard's own writer gives them, and stand in the order in
// which they were begun.
// Method: the record of tests/oracle/tensorboard_events.py, byte for byte; folders with files in them;
// every allocation fails once.

#include "formats/tensorboard.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "formats/json.h"
#include "support.h"

enum { FILE_MAX_BYTES = 1 << 20, FAULTS_MAX = 1000 };

static json_t *record_read(void)
{
    struct od_error err = {0};
    json_t *record = NULL;
    assert_ok(od_json_read(test_source("tests/golden/oracle/tensorboard.json"), &record, &err),
              &err);
    return record;
}

static double number(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

// The scalars of a row of the record.
static size_t scalars_of(const json_t *row, struct od_tensorboard_scalar *out)
{
    const json_t *scalars = json_object_get(row, "scalars");
    const size_t count = json_array_size(scalars);
    assert_true(count <= OD_TENSORBOARD_SCALARS_MAX);
    for (size_t i = 0; i < count; i++) {
        const json_t *scalar = json_array_get(scalars, i);
        out[i].tag = json_string_value(json_array_get(scalar, 0));
        out[i].value = (float)json_number_value(json_array_get(scalar, 1));
    }
    return count;
}

static void assert_bytes(const char *bytes, size_t size, const char *hex)
{
    assert_int_equal(2 * size, strlen(hex));
    for (size_t i = 0; i < size; i++) {
        char two[3];
        (void)snprintf(two, sizeof two, "%02x", (unsigned)(unsigned char)bytes[i]);
        if (memcmp(two, hex + 2 * i, 2) != 0) {
            fail_msg("byte %zu is %s, not %.2s", i, two, hex + 2 * i);
        }
    }
}

static void same_bytes(void **state)
{
    (void)state;
    struct od_error err = {0};
    json_t *record = record_read();
    const json_t *files = json_object_get(record, "files");
    const char *folder = test_folder();
    char path[OD_PATH_MAX_BYTES];
    assert_int_equal(json_array_size(files), 3);
    for (size_t f = 0; f < json_array_size(files); f++) {
        const json_t *file = json_array_get(files, f);
        const json_t *rows = json_object_get(file, "rows");
        struct od_tensorboard board = {.fd = -1};
        char *bytes = NULL;
        size_t size = 0;
        assert_ok(od_tensorboard_open(folder, number(file, "wall_s"),
                                      (int64_t)number(file, "restart"), &board, &err),
                  &err);
        for (size_t r = 0; r < json_array_size(rows); r++) {
            const json_t *row = json_array_get(rows, r);
            struct od_tensorboard_scalar scalars[OD_TENSORBOARD_SCALARS_MAX];
            const size_t count = scalars_of(row, scalars);
            assert_ok(od_tensorboard_write(&board, number(row, "wall_s"),
                                           (int64_t)number(row, "step"), scalars, count, &err),
                      &err);
        }
        od_tensorboard_close(&board);
        od_tensorboard_close(&board);
        assert_ok(
            od_path_join(path, folder, json_string_value(json_object_get(file, "name")), &err),
            &err);
        assert_ok(od_file_read(path, FILE_MAX_BYTES, &bytes, &size, &err), &err);
        assert_bytes(bytes, size, json_string_value(json_object_get(file, "bytes")));
        od_free(bytes);
    }
    json_decref(record);
}

// Each new file stands behind those that are there, whatever the clock says.
static void in_order(void **state)
{
    (void)state;
    struct od_error err = {0};
    const char *folder = test_folder();
    static const double clocks[] = {1764331200.0, 1764331200.0, 1764331100.0, -5.0, 1764331300.0};
    char last[OD_PATH_MAX_BYTES] = "";
    char path[OD_PATH_MAX_BYTES];
    for (size_t i = 0; i < sizeof clocks / sizeof clocks[0]; i++) {
        struct od_tensorboard board = {.fd = -1};
        assert_ok(od_tensorboard_open(folder, clocks[i], 0, &board, &err), &err);
        assert_true(strcmp(board.path, last) > 0);
        (void)snprintf(last, sizeof last, "%s", board.path);
        od_tensorboard_close(&board);
        // Names of others, which count or do not.
        assert_ok(od_path_join(path, folder, "events.out.tfevents.99.machine", &err), &err);
        assert_ok(od_file_write(path, "", 0, &err), &err);
        assert_ok(od_path_join(path, folder, "events.out.tfevents.99999999999999999999", &err),
                  &err);
        assert_ok(od_file_write(path, "", 0, &err), &err);
    }
    assert_non_null(strstr(last, "events.out.tfevents.1764331300.oneday"));
    struct od_tensorboard board = {.fd = -1};
    assert_ok(od_path_join(path, folder, "events.out.tfevents.9999999999.machine", &err), &err);
    assert_ok(od_file_write(path, "", 0, &err), &err);
    assert_int_equal(od_tensorboard_open(folder, clocks[0], 0, &board, &err), OD_E_LIMIT);
    assert_ok(od_path_join(path, folder, "events.out.tfevents.99.machine", &err), &err);
    assert_int_equal(od_tensorboard_open(path, clocks[0], 0, &board, &err), OD_E_IO);
    assert_true(board.fd < 0);
}

// Without memory: an error, and no half record.
static void no_memory(void **state)
{
    (void)state;
    static const struct od_tensorboard_scalar scalars[] = {{"train/loss", 1.5F}, {"b", 2.0F}};
    struct od_buf whole;
    struct od_buf out;
    od_buf_init(&whole, FILE_MAX_BYTES);
    od_tensorboard_put_scalars(&whole, 1.0, 3, scalars, 2);
    assert_false(whole.failed);
    int failures = 0;
    for (uint64_t n = 1; n < FAULTS_MAX; n++) {
        od_buf_init(&out, FILE_MAX_BYTES);
        od_alloc_fail_at(n);
        od_tensorboard_put_scalars(&out, 1.0, 3, scalars, 2);
        od_alloc_fail_at(0);
        const bool failed = out.failed;
        if (!failed) {
            assert_int_equal(out.size, whole.size);
            assert_memory_equal(out.bytes, whole.bytes, whole.size);
        }
        failures += failed ? 1 : 0;
        od_buf_release(&out);
        if (!failed) {
            break;
        }
    }
    assert_true(failures >= 4 && failures < FAULTS_MAX - 1);
    od_buf_release(&whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(same_bytes), cmocka_unit_test(in_order),
                                       cmocka_unit_test(no_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
