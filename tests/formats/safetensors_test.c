// Goal: od_safetensors reads what the format allows, names what it does not, and writes files that
// read back to the same bits; faults leave nothing half-written.
// Method: files made byte by byte here, the shared stories260K checkpoint, counted faults.

#include "formats/safetensors.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "formats/dtype.h"
#include "formats/half.h"
#include "support.h"

// Write a file with header text and `data_bytes` bytes of data 0, 1, 2, ...
static void make_file(const char *path, const char *header, size_t data_bytes)
{
    struct od_error err = {0};
    struct od_buf buf;
    const uint64_t size = strlen(header);
    od_buf_init(&buf, 1 << 20);
    od_buf_append(&buf, &size, sizeof size);
    od_buf_puts(&buf, header);
    for (size_t i = 0; i < data_bytes; i++) {
        od_buf_putc(&buf, (char)i);
    }
    assert_false(buf.failed);
    assert_ok(od_file_write(path, buf.bytes, buf.size, &err), &err);
    od_buf_release(&buf);
}

static const char *in_folder(const char *folder, const char *name)
{
    static char path[4][OD_PATH_MAX_BYTES];
    static int next;
    next = (next + 1) % 4;
    (void)snprintf(path[next], sizeof path[next], "%s/%s", folder, name);
    return path[next];
}

static void reads_a_file(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_safetensors *st = NULL;
    const char *path = in_folder(test_folder(), "a.safetensors");
    make_file(path,
              "{\"__metadata__\":{\"format\":\"pt\"},"
              "\"b\":{\"dtype\":\"I16\",\"shape\":[2,1],\"data_offsets\":[4,8]},"
              "\"a\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[0,4]},"
              "\"empty\":{\"dtype\":\"F32\",\"shape\":[0,3],\"data_offsets\":[8,8]},"
              "\"s\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[8,12]}}   ",
              12);
    assert_ok(od_safetensors_open(path, &st, &err), &err);
    assert_int_equal(od_safetensors_count(st), 4);
    assert_string_equal(od_safetensors_get(st, 0)->name, "a");
    assert_string_equal(od_safetensors_get(st, 1)->name, "b");
    assert_string_equal(od_safetensors_get(st, 2)->name, "empty");
    assert_string_equal(od_safetensors_metadata(st, "format"), "pt");
    assert_null(od_safetensors_metadata(st, "other"));
    assert_null(od_safetensors_find(st, "c"));
    const struct od_tensor_info *b = od_safetensors_find(st, "b");
    assert_non_null(b);
    assert_int_equal(b->rank, 2);
    assert_int_equal(b->shape[0], 2);
    assert_int_equal(b->count, 2);
    unsigned char raw[4];
    float values[2];
    assert_ok(od_safetensors_read_raw(st, b, raw, &err), &err);
    assert_int_equal(raw[0], 4);
    assert_int_equal(raw[3], 7);
    assert_int_equal(od_safetensors_read_f32(st, b, values, &err), OD_E_UNSUPPORTED);
    assert_ok(od_safetensors_read_f32(st, od_safetensors_find(st, "a"), values, &err), &err);
    assert_true(values[0] == od_bf16_to_f32(0x0100) && values[1] == od_bf16_to_f32(0x0302));
    const struct od_tensor_info *scalar = od_safetensors_find(st, "s");
    assert_int_equal(scalar->count, 1);
    assert_ok(od_safetensors_read_f32(st, scalar, values, &err), &err);
    assert_int_equal(od_f32_bits(values[0]), 0x0B0A0908);
    assert_ok(od_safetensors_read_f32(st, od_safetensors_find(st, "empty"), values, &err), &err);
    od_safetensors_close(st);
}

// A header that must be refused, with the status and a piece of the message.
struct bad {
    const char *header;
    size_t data_bytes;
    enum od_status status;
    const char *message;
};

#define T(name, dtype, shape, begin, end)                                                        \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" begin "," end \
    "]}"

static void refuses_bad_headers(void **state)
{
    (void)state;
    static const struct bad bad[] = {
        {"[1,2]", 0, OD_E_FORMAT, "does not start with '{'"},
        {" {}", 0, OD_E_FORMAT, "does not start with '{'"},
        {"{\"a\":", 0, OD_E_FORMAT, ":1:"},
        {"{" T("a", "F32", "[1]", "0", "4") "," T("a", "F32", "[1]", "4", "8") "}", 8, OD_E_FORMAT,
         "duplicate"},
        {"{" T("a", "F32", "[1]", "0", "4") "}", 3, OD_E_FORMAT, "cut short"},
        {"{" T("a", "F32", "[1]", "0", "4") "}", 5, OD_E_FORMAT, "end at byte 4 of 5"},
        {"{" T("a", "F32", "[2]", "0", "4") "}", 4, OD_E_FORMAT, "do not fill"},
        {"{" T("a", "F32", "[1]", "4", "0") "}", 4, OD_E_FORMAT, "data_offsets [4, 0]"},
        {"{" T("a", "F32", "[1]", "-4", "0") "}", 4, OD_E_FORMAT, "data_offsets [-4, 0]"},
        {"{" T("a", "F32", "[-1]", "0", "4") "}", 4, OD_E_FORMAT, "dimension 0"},
        {"{" T("a", "F32", "[1.0]", "0", "4") "}", 4, OD_E_FORMAT, "dimension 0"},
        {"{" T("a", "F32", "[1,1,1,1,1,1,1,1,1]", "0", "4") "}", 4, OD_E_LIMIT, "9 dimensions"},
        {"{" T("a", "F32", "[4611686018427387904,4]", "0", "4") "}", 4, OD_E_LIMIT, "too many"},
        {"{" T("a", "F32", "[4611686018427387904]", "0", "0") "}", 0, OD_E_FORMAT, "do not fill"},
        {"{" T("a", "Q4", "[1]", "0", "4") "}", 4, OD_E_UNSUPPORTED, "dtype 'Q4'"},
        {"{" T("a", "F32", "[1]", "0", "4") "," T("b", "F32", "[1]", "2", "6") "}", 6, OD_E_FORMAT,
         "'b' overlaps"},
        {"{" T("a", "F32", "[1]", "0", "4") "," T("b", "F32", "[1]", "6", "10") "}", 10,
         OD_E_FORMAT, "'b' leaves a gap"},
        {"{" T("a", "F32", "[1]", "4", "8") "}", 8, OD_E_FORMAT, "'a' leaves a gap"},
        {"{\"a\":3}", 0, OD_E_FORMAT, "no 'dtype'"},
        {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, OD_E_FORMAT, "no 'shape'"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, OD_E_FORMAT, "no pair"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,8]}}", 4, OD_E_FORMAT,
         "no pair"},
        {"{\"__metadata__\":{\"a\":1}}", 0, OD_E_FORMAT, "'a' must be a text"},
        {"{\"__metadata__\":[]}", 0, OD_E_FORMAT, "must be an object"},
        {"{}", 1, OD_E_FORMAT, "end at byte 0 of 1"},
    };
    struct od_error err = {0};
    const char *path = in_folder(test_folder(), "bad.safetensors");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct od_safetensors *st = NULL;
        make_file(path, bad[i].header, bad[i].data_bytes);
        const enum od_status status = od_safetensors_open(path, &st, &err);
        if (status != bad[i].status || !strstr(err.message, bad[i].message)) {
            fail_msg("%s: status %d, %s", bad[i].header, (int)status, err.message);
        }
        assert_null(st);
    }
}

static void refuses_bad_lengths(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_safetensors *st = NULL;
    const char *folder = test_folder();
    const char *path = in_folder(folder, "a.safetensors");
    const unsigned char files[][12] = {
        {0},                                                         // empty header
        {5, 0, 0, 0, 0, 0, 0, 0, '{', '}', ' ', ' '},                // header behind the end
        {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, '{', '}'},  // 2^64 - 1
        {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F, '{', '}'},  // 2^63 - 1
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        assert_ok(od_file_write(path, files[i], sizeof files[i], &err), &err);
        assert_int_equal(od_safetensors_open(path, &st, &err), OD_E_FORMAT);
    }
    assert_ok(od_file_write(path, files[0], 7, &err), &err);
    assert_int_equal(od_safetensors_open(path, &st, &err), OD_E_FORMAT);
    assert_int_equal(od_safetensors_open(folder, &st, &err), OD_E_NOT_FOUND);
    assert_int_equal(od_safetensors_open(in_folder(folder, "none"), &st, &err), OD_E_NOT_FOUND);
    assert_int_equal(od_safetensors_open("/dev/null", &st, &err), OD_E_ARGUMENT);
}

static void put_text(const char *path, const char *text)
{
    struct od_error err = {0};
    assert_ok(od_file_write(path, text, strlen(text), &err), &err);
}

static void reads_shards(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_safetensors *st = NULL;
    const char *folder = test_folder();
    const char *index = in_folder(folder, OD_SAFETENSORS_INDEX);
    char one[OD_PATH_MAX_BYTES];
    char two[OD_PATH_MAX_BYTES];
    (void)snprintf(one, sizeof one, "%s/1.safetensors", folder);
    (void)snprintf(two, sizeof two, "%s/2.safetensors", folder);
    make_file(one, "{" T("a", "F32", "[1]", "0", "4") "}", 4);
    make_file(two, "{" T("b", "U8", "[3]", "0", "3") "}", 3);
    put_text(index, "{\"weight_map\":{\"b\":\"2.safetensors\",\"a\":\"1.safetensors\"}}");
    assert_ok(od_safetensors_open(folder, &st, &err), &err);
    assert_int_equal(od_safetensors_count(st), 2);
    assert_int_equal(od_safetensors_shard_count(st), 2);
    unsigned char raw[3];
    assert_ok(od_safetensors_read_raw(st, od_safetensors_find(st, "b"), raw, &err), &err);
    assert_int_equal(raw[2], 2);
    od_safetensors_close(st);
    st = NULL;

    static const struct bad bad[] = {
        {"{\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"1.safetensors\"}}", 0, OD_E_FORMAT,
         "'b' is not in '1.safetensors'"},
        {"{\"weight_map\":{\"a\":\"2.safetensors\",\"b\":\"1.safetensors\"}}", 0, OD_E_FORMAT,
         "'a' is in '1.safetensors' and not in '2.safetensors'"},
        {"{\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"3.safetensors\"}}", 0, OD_E_NOT_FOUND,
         "3.safetensors"},
        {"{\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"../2.safetensors\"}}", 0, OD_E_FORMAT,
         "names no file of the folder"},
        {"{\"weight_map\":{\"a\":1}}", 0, OD_E_FORMAT, "names no file"},
        {"{\"weight_map\":[]}", 0, OD_E_FORMAT, "no 'weight_map'"},
        {"{}", 0, OD_E_FORMAT, "no 'weight_map'"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        put_text(index, bad[i].header);
        const enum od_status status = od_safetensors_open(folder, &st, &err);
        if (status != bad[i].status || !strstr(err.message, bad[i].message)) {
            fail_msg("%s: status %d, %s", bad[i].header, (int)status, err.message);
        }
    }
    make_file(two, "{" T("b", "U8", "[3]", "0", "3") "," T("c", "U8", "[1]", "3", "4") "}", 4);
    put_text(index, "{\"weight_map\":{\"b\":\"2.safetensors\",\"a\":\"1.safetensors\"}}");
    assert_int_equal(od_safetensors_open(folder, &st, &err), OD_E_FORMAT);
    assert_non_null(strstr(err.message, "'c' of '2.safetensors' is not in the index"));
    make_file(two, "{" T("a", "U8", "[3]", "0", "3") "}", 3);
    assert_int_equal(od_safetensors_open(folder, &st, &err), OD_E_FORMAT);
    assert_non_null(strstr(err.message, "tensor 'a' is in"));
}

static const float some[6] = {1.0f, -2.5f, 0.1f, 3e38f, -0.0f, 1e-8f};

static const struct od_tensor_out outs[] = {
    {.name = "w", .dtype = OD_DTYPE_F32, .rank = 2, .shape = {2, 3}, .data = some},
    {.name = "h", .dtype = OD_DTYPE_F16, .rank = 1, .shape = {6}, .data = some},
    {.name = "none", .dtype = OD_DTYPE_F16, .rank = 1, .shape = {0}, .data = some},
    {.name = "b", .dtype = OD_DTYPE_BF16, .rank = 1, .shape = {5}, .data = some},
};
static const struct od_text_pair pairs[] = {{"format", "pt"}, {"note", "a \"b\""}};

static void check_outs(const char *path, size_t shards)
{
    struct od_error err = {0};
    struct od_safetensors *st = NULL;
    float got[6];
    assert_ok(od_safetensors_open(path, &st, &err), &err);
    assert_int_equal(od_safetensors_count(st), 4);
    assert_int_equal(od_safetensors_shard_count(st), shards);
    assert_string_equal(od_safetensors_metadata(st, "note"), "a \"b\"");
    const struct od_tensor_info *w = od_safetensors_find(st, "w");
    assert_int_equal(w->shape[0], 2);
    assert_int_equal(w->shape[1], 3);
    assert_int_equal(w->offset % 8, 0);
    assert_ok(od_safetensors_read_f32(st, w, got, &err), &err);
    assert_memory_equal(got, some, sizeof some);
    assert_ok(od_safetensors_read_f32_part(st, w, 4, 2, got, &err), &err);
    assert_memory_equal(got, some + 4, 2 * sizeof *some);
    assert_int_equal(od_safetensors_read_f32_part(st, w, 5, 2, got, &err), OD_E_ARGUMENT);
    assert_int_equal(od_safetensors_read_f32_part(st, w, INT64_MAX, INT64_MAX, got, &err),
                     OD_E_ARGUMENT);
    assert_ok(od_safetensors_read_f32(st, od_safetensors_find(st, "h"), got, &err), &err);
    assert_true(got[0] == 1.0f && got[3] == INFINITY && got[5] == 0.0f && got[2] == 0x1.998p-4f);
    assert_ok(od_safetensors_read_f32(st, od_safetensors_find(st, "b"), got, &err), &err);
    assert_true(got[1] == -2.5f && signbit(got[4]) && got[2] == 0x1.9ap-4f);
    od_safetensors_close(st);
}

static void writes_a_file(void **state)
{
    (void)state;
    struct od_error err = {0};
    const char *path = in_folder(test_folder(), "out.safetensors");
    const struct od_safetensors_plan plan = {
        .path = path, .tensors = outs, .count = 4, .metadata = pairs, .metadata_count = 2};
    assert_ok(od_safetensors_write(&plan, &err), &err);
    check_outs(path, 1);
    char *bytes = NULL;
    size_t size = 0;
    assert_ok(od_file_read(path, 4096, &bytes, &size, &err), &err);
    assert_non_null(strstr(bytes + 8,
                           "\"w\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
                           "\"h\":{\"dtype\":\"F16\",\"shape\":[6],\"data_offsets\":[24,36]}"));
    od_free(bytes);
}

// Bytes are written as they are; they cannot be put as values.
static void writes_bytes(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_safetensors *st = NULL;
    struct od_safetensors_writer *writer = NULL;
    static const uint8_t raw[7] = {0, 255, 1, 128, 127, 3, 200};
    uint8_t got[7];
    float values[6];
    const char *path = in_folder(test_folder(), "bytes.safetensors");
    const struct od_tensor_out mixed[] = {
        {.name = "w", .dtype = OD_DTYPE_F32, .rank = 2, .shape = {2, 3}, .data = some},
        {.name = "c", .dtype = OD_DTYPE_U8, .rank = 2, .shape = {7, 1}, .bytes = raw},
        {.name = "empty", .dtype = OD_DTYPE_U8, .rank = 1, .shape = {0}}};
    const struct od_safetensors_plan plan = {.path = path, .tensors = mixed, .count = 3};
    assert_ok(od_safetensors_write(&plan, &err), &err);
    assert_ok(od_safetensors_open(path, &st, &err), &err);
    assert_int_equal(od_safetensors_find(st, "c")->dtype, OD_DTYPE_U8);
    assert_ok(od_safetensors_read_raw(st, od_safetensors_find(st, "c"), got, &err), &err);
    assert_memory_equal(got, raw, sizeof raw);
    assert_ok(od_safetensors_read_f32(st, od_safetensors_find(st, "w"), values, &err), &err);
    assert_memory_equal(values, some, sizeof some);
    od_safetensors_close(st);
    assert_ok(od_safetensors_create(&plan, &writer, &err), &err);
    assert_ok(od_safetensors_put(writer, some, 6, &err), &err);
    assert_int_equal(od_safetensors_put(writer, some, 1, &err), OD_E_ARGUMENT);
    od_safetensors_abort(writer);
}

static void writes_in_pieces(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_safetensors_writer *writer = NULL;
    const char *path = in_folder(test_folder(), "out.safetensors");
    const struct od_safetensors_plan plan = {
        .path = path, .tensors = outs, .count = 4, .metadata = pairs, .metadata_count = 2};
    float all[17];
    memcpy(all, some, sizeof some);
    memcpy(all + 6, some, sizeof some);
    memcpy(all + 12, some, 5 * sizeof *some);
    for (int64_t step = 1; step <= 17; step++) {
        assert_ok(od_safetensors_create(&plan, &writer, &err), &err);
        for (int64_t at = 0; at < 17; at += step) {
            const int64_t part = at + step < 17 ? step : 17 - at;
            assert_ok(od_safetensors_put(writer, all + at, part, &err), &err);
        }
        assert_int_equal(od_safetensors_put(writer, all, 1, &err), OD_E_ARGUMENT);
        assert_ok(od_safetensors_commit(writer, &err), &err);
        check_outs(path, 1);
    }
    assert_ok(od_safetensors_create(&plan, &writer, &err), &err);
    assert_ok(od_safetensors_put(writer, all, 16, &err), &err);
    assert_int_equal(od_safetensors_commit(writer, &err), OD_E_ARGUMENT);
    assert_non_null(strstr(err.message, "tensor 'b'"));
    check_outs(path, 1);  // the old one is still there
}

static void writes_shards(void **state)
{
    (void)state;
    struct od_error err = {0};
    const size_t limits[] = {1, 24, 30, 36, 1000};
    const size_t shards[] = {3, 2, 2, 2, 1};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        const char *folder = test_folder();
        const struct od_safetensors_plan plan = {.path = folder,
                                                 .tensors = outs,
                                                 .count = 4,
                                                 .metadata = pairs,
                                                 .metadata_count = 2,
                                                 .max_shard_bytes = limits[i]};
        char **names = NULL;
        size_t count = 0;
        assert_ok(od_safetensors_write(&plan, &err), &err);
        check_outs(folder, shards[i]);
        assert_ok(od_dir_list(folder, &names, &count, &err), &err);
        assert_int_equal(count, shards[i] == 1 ? 1 : shards[i] + 1);
        od_names_free(names, count);
    }
}

static void refuses_bad_plans(void **state)
{
    (void)state;
    struct od_error err = {0};
    const char *path = in_folder(test_folder(), "out.safetensors");
    const struct od_tensor_out bad[][2] = {
        {outs[0], outs[0]},
        {outs[3], outs[0]},  // F32 behind five BF16
        {outs[0], {.name = "", .dtype = OD_DTYPE_F32}},
        {outs[0], {.name = "__metadata__", .dtype = OD_DTYPE_F32}},
        {outs[0], {.name = "\xFF", .dtype = OD_DTYPE_F32}},
        {outs[0], {.name = "x", .dtype = OD_DTYPE_I8}},
        {outs[0], {.name = "x", .dtype = OD_DTYPE_F32, .rank = 9}},
        {outs[0], {.name = "x", .dtype = OD_DTYPE_F32, .rank = 1, .shape = {-1}}},
        {outs[0], {.name = "x", .dtype = OD_DTYPE_F32, .rank = 1, .shape = {INT64_MAX / 2}}},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const struct od_safetensors_plan plan = {.path = path, .tensors = bad[i], .count = 2};
        assert_int_equal(od_safetensors_write(&plan, &err), OD_E_ARGUMENT);
        assert_false(od_path_exists(path));
    }
}

// Everything in a folder but names that are expected is litter.
static void check_no_litter(const char *folder)
{
    struct od_error err = {0};
    char **names = NULL;
    size_t count = 0;
    assert_ok(od_dir_list(folder, &names, &count, &err), &err);
    for (size_t i = 0; i < count; i++) {
        assert_null(strstr(names[i], ".tmp-"));
    }
    od_names_free(names, count);
}

static void write_faults(void **state)
{
    (void)state;
    struct od_error err = {0};
    for (size_t max_shard_bytes = 0; max_shard_bytes <= 24; max_shard_bytes += 24) {
        const char *folder = test_folder();
        char path[OD_PATH_MAX_BYTES];
        (void)snprintf(path, sizeof path, "%s%s", folder,
                       max_shard_bytes > 0 ? "" : "/" OD_SAFETENSORS_FILE);
        const struct od_safetensors_plan plan = {.path = path,
                                                 .tensors = outs,
                                                 .count = 4,
                                                 .metadata = pairs,
                                                 .metadata_count = 2,
                                                 .max_shard_bytes = max_shard_bytes};
        enum od_status status = OD_E_IO;
        uint64_t faults = 0;
        while (status != OD_OK) {
            od_file_fail_at(++faults);
            status = od_safetensors_write(&plan, &err);
            od_file_fail_at(0);
            assert_true(status == OD_OK || status == OD_E_IO);
            check_no_litter(folder);
            if (od_path_exists(in_folder(folder, OD_SAFETENSORS_FILE)) ||
                od_path_exists(in_folder(folder, OD_SAFETENSORS_INDEX))) {
                // Only the last sync can fail with the whole file in place.
                if (max_shard_bytes == 0) {
                    check_outs(folder, 1);
                }
            }
        }
        assert_true(faults > 5);
        check_outs(folder, max_shard_bytes > 0 ? 2 : 1);
        status = OD_E_MEMORY;
        for (faults = 1; status != OD_OK; faults++) {
            od_alloc_fail_at(faults);
            status = od_safetensors_write(&plan, &err);
            od_alloc_fail_at(0);
            assert_true(status == OD_OK || status == OD_E_MEMORY);
            check_no_litter(folder);
        }
        assert_true(faults > 3);
        check_outs(folder, max_shard_bytes > 0 ? 2 : 1);
        status = OD_E_MEMORY;
        for (faults = 1; status != OD_OK; faults++) {
            struct od_safetensors *st = NULL;
            od_alloc_fail_at(faults);
            status = od_safetensors_open(folder, &st, &err);
            od_alloc_fail_at(0);
            if (status != OD_OK && status != OD_E_MEMORY) {
                fail_msg("allocation %d: status %d, %s", (int)faults, (int)status, err.message);
            }
            od_safetensors_close(st);
        }
        assert_true(faults > 10);
    }
}

static void reads_stories(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_safetensors *st = NULL;
    const char *folder = test_shared("models/stories260K/hf");
    assert_ok(od_safetensors_open(folder, &st, &err), &err);
    assert_int_equal(od_safetensors_count(st), 47);
    const struct od_tensor_info *info = od_safetensors_find(st, "model.embed_tokens.weight");
    assert_non_null(info);
    assert_int_equal(info->rank, 2);
    assert_int_equal(info->shape[0], 512);
    assert_int_equal(info->shape[1], 64);
    // The .bin file of the same model starts with seven integers, then the same embedding.
    char *bin = NULL;
    size_t bin_size = 0;
    assert_ok(od_file_read(test_shared("models/stories260K/stories260K.bin"), 1 << 22, &bin,
                           &bin_size, &err),
              &err);
    static float values[512 * 64];
    assert_ok(od_safetensors_read_f32(st, info, values, &err), &err);
    assert_memory_equal(values, bin + 7 * sizeof(int32_t), sizeof values);
    od_free(bin);
    od_safetensors_close(st);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_file),        cmocka_unit_test(refuses_bad_headers),
        cmocka_unit_test(refuses_bad_lengths), cmocka_unit_test(reads_shards),
        cmocka_unit_test(writes_a_file),       cmocka_unit_test(writes_bytes),
        cmocka_unit_test(writes_in_pieces),    cmocka_unit_test(writes_shards),
        cmocka_unit_test(refuses_bad_plans),   cmocka_unit_test(write_faults),
        cmocka_unit_test(reads_stories),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
