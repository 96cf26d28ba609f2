// GGUF files: what the gguf package wrote is read to the last bit, what is written here is what that
// package writes (tests/oracle/gguf_files.py), and broken files are refused by name.

#include "formats/gguf.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "formats/ggml.h"
#include "formats/json.h"
#include "support.h"

enum { FILE_MAX_BYTES = 1 << 24, TRIES_MAX = 10000, RULE_COUNT = 300 * 64 };

#define FOLDER "tests/golden/oracle/gguf/"

static json_t *read_record(const char *part, json_t **ret_all)
{
    struct od_error err = {0};
    assert_ok(od_json_read(test_source(FOLDER "values.json"), ret_all, &err), &err);
    json_t *found = json_object_get(*ret_all, part);
    assert_non_null(found);
    return found;
}

static char *read_file(const char *path, size_t *ret_size)
{
    struct od_error err = {0};
    char *bytes = NULL;
    assert_ok(od_file_read(path, FILE_MAX_BYTES, &bytes, ret_size, &err), &err);
    return bytes;
}

static void check_scalars(const struct od_gguf *gguf, const json_t *keys)
{
    static const char *const integers[] = {"k.u8",  "k.i8",  "k.u16", "k.i16",
                                           "k.u32", "k.i32", "k.i64"};
    struct od_error err = {0};
    int64_t number = 0;
    double real = 0;
    bool truth = false;
    const char *text = NULL;
    for (size_t i = 0; i < sizeof integers / sizeof integers[0]; i++) {
        assert_ok(od_gguf_int_or(gguf, integers[i], 0, &number, &err), &err);
        assert_true(number == json_integer_value(json_object_get(keys, integers[i])));
        assert_ok(od_gguf_number_or(gguf, integers[i], 0, &real, &err), &err);
        assert_true(real == (double)number);
    }
    assert_int_equal(od_gguf_int_or(gguf, "k.u64", 7, &number, &err), OD_E_FORMAT);  // 2^63 + 5
    assert_int_equal(od_gguf_int_or(gguf, "k.f32", 7, &number, &err), OD_E_FORMAT);
    assert_ok(od_gguf_int_or(gguf, "k.none", 7, &number, &err), &err);
    assert_int_equal(number, 7);
    assert_ok(od_gguf_number_or(gguf, "k.f32", 0, &real, &err), &err);
    assert_true(real == 0.5);
    assert_ok(od_gguf_number_or(gguf, "k.f64", 0, &real, &err), &err);
    assert_true(real == 0.1);
    assert_int_equal(od_gguf_number_or(gguf, "k.text", 0, &real, &err), OD_E_FORMAT);
    assert_ok(od_gguf_bool_or(gguf, "k.bool", false, &truth, &err), &err);
    assert_true(truth);
    assert_ok(od_gguf_bool_or(gguf, "k.no", true, &truth, &err), &err);
    assert_false(truth);
    assert_int_equal(od_gguf_bool_or(gguf, "k.u8", true, &truth, &err), OD_E_FORMAT);
    assert_ok(od_gguf_text_or(gguf, "k.text", NULL, &text, &err), &err);
    assert_string_equal(text, json_string_value(json_object_get(keys, "k.text")));
    assert_ok(od_gguf_text_or(gguf, "k.none", "x", &text, &err), &err);
    assert_string_equal(text, "x");
    assert_int_equal(od_gguf_text_or(gguf, "k.texts", "x", &text, &err), OD_E_FORMAT);
}

static void check_lists(const struct od_gguf *gguf)
{
    static const char *const texts[] = {"a", "", "éa"};
    struct od_error err = {0};
    const struct od_gguf_value *list = NULL;
    const char *text = NULL;
    size_t size = 0;
    size_t at = 0;
    assert_ok(od_gguf_list(gguf, "k.texts", OD_GGUF_TEXT, &list, &err), &err);
    assert_int_equal(list->count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_true(od_gguf_next_text(list, &at, &text, &size));
        assert_int_equal(size, strlen(texts[i]));
        assert_memory_equal(text, texts[i], size);
    }
    assert_false(od_gguf_next_text(list, &at, &text, &size));
    assert_ok(od_gguf_list(gguf, "k.ints", OD_GGUF_I32, &list, &err), &err);
    assert_int_equal(od_gguf_int_at(list, 1), -2);
    assert_ok(od_gguf_list(gguf, "k.floats", OD_GGUF_F32, &list, &err), &err);
    assert_true(od_gguf_f32_at(list, 1) == -1.25F);
    assert_int_equal(od_gguf_list(gguf, "k.floats", OD_GGUF_I32, &list, &err), OD_E_FORMAT);
    assert_int_equal(od_gguf_list(gguf, "k.u8", OD_GGUF_I32, &list, &err), OD_E_FORMAT);
    assert_ok(od_gguf_list(gguf, "k.none", OD_GGUF_I32, &list, &err), &err);
    assert_null(list);
    const struct od_gguf_value *nested = od_gguf_find(gguf, "k.lists");
    assert_int_equal(nested->items, OD_GGUF_LIST);
    assert_int_equal(nested->count, 2);
}

static void check_tensors(const struct od_gguf *gguf, const json_t *tensors)
{
    struct od_error err = {0};
    const char *name;
    json_t *want;
    size_t count = 0;
    json_object_foreach((json_t *)(uintptr_t)tensors, name, want)
    {
        const struct od_gguf_tensor *tensor = od_gguf_find_tensor(gguf, name);
        const json_t *shape = json_object_get(want, "shape");
        const json_t *values = json_object_get(want, "values");
        assert_non_null(tensor);
        assert_int_equal(tensor->type, json_integer_value(json_object_get(want, "type")));
        assert_int_equal(tensor->rank, json_array_size(shape));
        for (int i = 0; i < tensor->rank; i++) {
            assert_int_equal(tensor->shape[i],
                             json_integer_value(json_array_get(shape, (size_t)i)));
        }
        assert_int_equal(tensor->count, json_array_size(values));
        float *have = od_alloc((size_t)tensor->count, sizeof *have);
        assert_ok(od_gguf_read_f32(gguf, tensor, have, &err), &err);
        for (size_t i = 0; i < (size_t)tensor->count; i++) {
            assert_true(have[i] == (float)json_number_value(json_array_get(values, i)));
        }
        od_free(have);
        count++;
    }
    assert_int_equal(count, od_gguf_tensor_count(gguf));
}

static void check_every(const struct od_gguf *gguf)
{
    json_t *all = NULL;
    const json_t *record = read_record("every", &all);
    check_scalars(gguf, json_object_get(record, "keys"));
    check_lists(gguf);
    check_tensors(gguf, json_object_get(record, "tensors"));
    assert_null(od_gguf_find_tensor(gguf, "none"));
    assert_string_equal(od_gguf_get_tensor(gguf, 1)->name, "f16");
    assert_string_equal(od_gguf_get(gguf, 0)->key, "general.architecture");
    json_decref(all);
}

static void test_every(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_gguf *gguf = NULL;
    size_t size = 0;
    assert_ok(od_gguf_open(test_source(FOLDER "every.gguf"), &gguf, &err), &err);
    assert_int_equal(od_gguf_version(gguf), 3);
    check_every(gguf);
    od_gguf_close(gguf);
    // The same as version 2, and from memory.
    char *bytes = read_file(test_source(FOLDER "every.gguf"), &size);
    bytes[4] = 2;
    assert_ok(od_gguf_parse(bytes, size, "memory", &gguf, &err), &err);
    assert_int_equal(od_gguf_version(gguf), 2);
    check_every(gguf);
    od_gguf_close(gguf);
    od_free(bytes);
}

static void put_keys(struct od_gguf_keys *keys)
{
    static const char *const tokens[] = {"<unk>", "▁a", "b"};
    static const float scores[] = {0, -1.5F, -2.25F};
    static const int32_t types[] = {2, 1, 1};
    od_gguf_keys_init(keys);
    od_gguf_put_text(keys, "general.architecture", "llama");
    od_gguf_put_u32(keys, "llama.block_count", 5);
    od_gguf_put_f32(keys, "llama.attention.layer_norm_rms_epsilon", 1e-5F);
    od_gguf_put_bool(keys, "tokenizer.ggml.add_bos_token", true);
    od_gguf_put_text(keys, "tokenizer.ggml.model", "llama");
    od_gguf_put_list(keys, "tokenizer.ggml.tokens", OD_GGUF_TEXT, 3);
    for (int i = 0; i < 3; i++) {
        od_gguf_put_text_item(keys, tokens[i], strlen(tokens[i]));
    }
    od_gguf_put_list(keys, "tokenizer.ggml.scores", OD_GGUF_F32, 3);
    for (int i = 0; i < 3; i++) {
        od_gguf_put_f32_item(keys, scores[i]);
    }
    od_gguf_put_list(keys, "tokenizer.ggml.token_type", OD_GGUF_I32, 3);
    for (int i = 0; i < 3; i++) {
        od_gguf_put_i32_item(keys, types[i]);
    }
}

static const struct od_gguf_out our_tensors[] = {
    {"norm.weight", OD_GGML_F32, 1, {10}},  {"a.weight", OD_GGML_F16, 2, {3, 7}},
    {"b.weight", OD_GGML_BF16, 2, {3, 7}},  {"c.weight", OD_GGML_Q8_0, 2, {5, 96}},
    {"e.weight", OD_GGML_Q8_0, 2, {2, 32}}, {"d.weight", OD_GGML_Q8_0, 2, {300, 64}},
};

enum { OUR_TENSORS = sizeof our_tensors / sizeof our_tensors[0] };

// Everything of ours.gguf, `piece` values at a time.
static enum od_status write_ours(const char *path, int64_t piece, struct od_error *err)
{
    struct od_gguf_keys keys;
    struct od_gguf_writer *writer = NULL;
    json_t *all = NULL;
    const json_t *record = read_record("ours", &all);
    float *values = od_alloc(1 << 16, sizeof *values);
    int64_t count = 0;
    assert_non_null(values);
    for (size_t i = 0; i < OUR_TENSORS - 1; i++) {
        const json_t *list =
            json_object_get(json_object_get(record, our_tensors[i].name), "values");
        for (size_t j = 0; j < json_array_size(list); j++) {
            values[count++] = (float)json_number_value(json_array_get(list, j));
        }
    }
    for (int64_t i = 0; i < RULE_COUNT; i++) {
        values[count++] = (float)(i * 37 % 1001 - 500) / 64;
    }
    json_decref(all);
    put_keys(&keys);
    enum od_status status = od_gguf_create(path, &keys, our_tensors, OUR_TENSORS, &writer, err);
    for (int64_t at = 0; at < count && status == OD_OK; at += piece) {
        status = od_gguf_put(writer, values + at, piece < count - at ? piece : count - at, err);
    }
    if (status == OD_OK) {
        status = od_gguf_commit(writer, err);
        writer = NULL;
    }
    od_gguf_abort(writer);
    od_gguf_keys_release(&keys);
    od_free(values);
    return status;
}

static void test_written(void **state)
{
    (void)state;
    static const int64_t pieces[] = {1 << 20, 1, 33, 8192, 8191};
    struct od_error err = {0};
    char path[OD_PATH_MAX_BYTES];
    size_t want_size = 0;
    char *want = read_file(test_source(FOLDER "ours.gguf"), &want_size);
    assert_ok(od_path_join(path, test_folder(), "ours.gguf", &err), &err);
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        size_t size = 0;
        assert_ok(write_ours(path, pieces[i], &err), &err);
        char *have = read_file(path, &size);
        assert_int_equal(size, want_size);
        assert_memory_equal(have, want, size);
        od_free(have);
    }
    od_free(want);
}

// The n-th write, sync or rename fails, and the n-th allocation: the old file stays, or the new one
// is whole.
static void test_faults(void **state)
{
    (void)state;
    struct od_error err = {0};
    char path[OD_PATH_MAX_BYTES];
    const char *folder = test_folder();
    size_t want_size = 0;
    char *want = read_file(test_source(FOLDER "ours.gguf"), &want_size);
    assert_ok(od_path_join(path, folder, "ours.gguf", &err), &err);
    uint64_t n = 1;
    for (; n < TRIES_MAX; n++) {
        size_t size = 0;
        assert_ok(od_file_write(path, "old", 3, &err), &err);
        od_file_fail_at(n);
        const enum od_status status = write_ours(path, 1 << 20, &err);
        od_file_fail_at(0);
        char *have = read_file(path, &size);
        if (status == OD_OK || size != 3) {
            assert_int_equal(size, want_size);
            assert_memory_equal(have, want, size);
        }
        od_free(have);
        char **names = NULL;
        size_t count = 0;
        assert_ok(od_dir_list(folder, &names, &count, &err), &err);
        od_names_free(names, count);
        assert_int_equal(count, 1);
        if (status == OD_OK) {
            break;
        }
        assert_int_equal(status, OD_E_IO);
    }
    assert_true(n > 5 && n < TRIES_MAX);
    for (n = 1; n < TRIES_MAX; n++) {
        struct od_gguf *gguf = NULL;
        od_alloc_fail_at(n);
        const enum od_status status = od_gguf_open(path, &gguf, &err);
        od_alloc_fail_at(0);
        od_gguf_close(gguf);
        if (status == OD_OK) {
            break;
        }
        assert_int_equal(status, OD_E_MEMORY);
    }
    assert_true(n > 3 && n < TRIES_MAX);
    od_free(want);
}

static void assert_create(const struct od_gguf_out *tensors, size_t count, const char *part)
{
    struct od_error err = {0};
    struct od_gguf_keys keys;
    struct od_gguf_writer *writer = NULL;
    char path[OD_PATH_MAX_BYTES];
    assert_ok(od_path_join(path, test_folder(), "x.gguf", &err), &err);
    put_keys(&keys);
    assert_int_equal(od_gguf_create(path, &keys, tensors, count, &writer, &err), OD_E_ARGUMENT);
    assert_non_null(strstr(err.message, part));
    assert_false(od_path_exists(path));
    od_gguf_keys_release(&keys);
}

static void test_refused_writes(void **state)
{
    (void)state;
    const struct od_gguf_out twice[] = {{"a", OD_GGML_F32, 1, {1}}, {"a", OD_GGML_F32, 1, {2}}};
    const struct od_gguf_out rows = {"rows", OD_GGML_Q8_0, 2, {32, 31}};
    const struct od_gguf_out type = {"type", 2, 1, {32}};
    const struct od_gguf_out rank = {"rank", OD_GGML_F32, 5, {1}};
    const struct od_gguf_out empty = {"empty", OD_GGML_F32, 1, {0}};
    const struct od_gguf_out one = {"one", OD_GGML_F32, 1, {3}};
    const float values[4] = {0};
    struct od_error err = {0};
    struct od_gguf_keys keys;
    struct od_gguf_writer *writer = NULL;
    char path[OD_PATH_MAX_BYTES];
    assert_create(twice, 2, "'a'");
    assert_create(&rows, 1, "'rows'");
    assert_create(&type, 1, "'type'");
    assert_create(&rank, 1, "'rank'");
    assert_create(&empty, 1, "'empty'");
    assert_ok(od_path_join(path, test_folder(), "x.gguf", &err), &err);
    put_keys(&keys);
    assert_ok(od_gguf_create(path, &keys, &one, 1, &writer, &err), &err);
    assert_int_equal(od_gguf_put(writer, values, 4, &err), OD_E_ARGUMENT);
    od_gguf_abort(writer);
    assert_ok(od_gguf_create(path, &keys, &one, 1, &writer, &err), &err);
    assert_ok(od_gguf_put(writer, values, 2, &err), &err);
    assert_int_equal(od_gguf_commit(writer, &err), OD_E_ARGUMENT);
    assert_non_null(strstr(err.message, "'one'"));
    assert_false(od_path_exists(path));
    od_gguf_keys_release(&keys);
}

// A header built by hand.
struct draft {
    struct od_buf bytes;
};

static void put(struct draft *draft, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        od_buf_putc(&draft->bytes, (char)(unsigned char)(value >> (8 * i) & 0xFFu));
    }
}

static void put_text(struct draft *draft, const char *text)
{
    put(draft, strlen(text), 8);
    od_buf_puts(&draft->bytes, text);
}

static void start(struct draft *draft, uint64_t tensors, uint64_t keys)
{
    od_buf_init(&draft->bytes, FILE_MAX_BYTES);
    od_buf_puts(&draft->bytes, "GGUF");
    put(draft, 3, 4);
    put(draft, tensors, 8);
    put(draft, keys, 8);
}

static void put_tensor(struct draft *draft, const char *name, uint64_t size, uint64_t type,
                       uint64_t offset)
{
    put_text(draft, name);
    put(draft, 1, 4);
    put(draft, size, 8);
    put(draft, type, 4);
    put(draft, offset, 8);
}

static void put_data(struct draft *draft, size_t size)
{
    while (draft->bytes.size % 32 != 0) {
        put(draft, 0, 1);
    }
    for (size_t i = 0; i < size; i++) {
        put(draft, 0, 1);
    }
}

static void assert_broken(struct draft *draft, enum od_status want, const char *part)
{
    struct od_error err = {0};
    struct od_gguf *gguf = NULL;
    char *copy = od_memdup(draft->bytes.bytes, draft->bytes.size);
    const enum od_status status = od_gguf_parse(copy, draft->bytes.size, "test", &gguf, &err);
    od_gguf_close(gguf);
    if (status != want || (part && !strstr(err.message, part))) {
        fail_msg("gives %d '%s', not %d '%s'", (int)status, err.message, (int)want,
                 part ? part : "");
    }
    od_free(copy);
    od_buf_release(&draft->bytes);
}

static void test_broken_keys(void **state)
{
    (void)state;
    struct draft draft;
    start(&draft, 0, 0);
    draft.bytes.bytes[3] = 'X';
    assert_broken(&draft, OD_E_FORMAT, "no GGUF");
    start(&draft, 0, 0);
    draft.bytes.bytes[4] = 1;
    assert_broken(&draft, OD_E_UNSUPPORTED, "another version");
    start(&draft, 0, 0);
    draft.bytes.bytes[4] = 0;
    draft.bytes.bytes[7] = 3;
    assert_broken(&draft, OD_E_UNSUPPORTED, "big endian");
    start(&draft, 0, OD_GGUF_KEYS_MAX + 1);
    assert_broken(&draft, OD_E_LIMIT, "keys");
    start(&draft, (uint64_t)OD_GGUF_TENSORS_MAX + 1, 0);
    assert_broken(&draft, OD_E_LIMIT, "tensors");
    start(&draft, 0, 1);
    assert_broken(&draft, OD_E_FORMAT, "byte 24");
    start(&draft, 0, 1);
    put_text(&draft, "");
    assert_broken(&draft, OD_E_FORMAT, "key is empty");
    start(&draft, 0, 1);
    put(&draft, OD_GGUF_KEY_MAX_BYTES + 1, 8);
    assert_broken(&draft, OD_E_LIMIT, "1025 bytes");
    start(&draft, 0, 1);
    put_text(&draft, "k");
    put(&draft, 13, 4);
    assert_broken(&draft, OD_E_FORMAT, "type 13");
    start(&draft, 0, 1);
    put_text(&draft, "k");
    put(&draft, OD_GGUF_BOOL, 4);
    put(&draft, 2, 1);
    assert_broken(&draft, OD_E_FORMAT, "truth value is 2");
    start(&draft, 0, 1);
    put_text(&draft, "k");
    put(&draft, OD_GGUF_TEXT, 4);
    put(&draft, UINT64_MAX, 8);
    assert_broken(&draft, OD_E_FORMAT, "ends inside");
    start(&draft, 0, 1);
    put_text(&draft, "k");
    put(&draft, OD_GGUF_LIST, 4);
    put(&draft, OD_GGUF_U64, 4);
    put(&draft, (uint64_t)1 << 61, 8);  // times 8 is 0
    assert_broken(&draft, OD_E_FORMAT, "ends inside");
    start(&draft, 0, 1);
    put_text(&draft, "k");
    put(&draft, OD_GGUF_LIST, 4);
    for (int i = 0; i < 100; i++) {
        put(&draft, OD_GGUF_LIST, 4);
        put(&draft, 1, 8);
    }
    assert_broken(&draft, OD_E_LIMIT, "nested");
    start(&draft, 0, 2);
    for (int i = 0; i < 2; i++) {
        put_text(&draft, "k");
        put(&draft, OD_GGUF_U8, 4);
        put(&draft, 0, 1);
    }
    assert_broken(&draft, OD_E_FORMAT, "'k' twice");
    for (uint64_t alignment = 0; alignment <= 3; alignment += 3) {
        start(&draft, 0, 1);
        put_text(&draft, "general.alignment");
        put(&draft, OD_GGUF_U32, 4);
        put(&draft, alignment, 4);
        assert_broken(&draft, OD_E_FORMAT, "alignment");
    }
}

static void test_broken_tensors(void **state)
{
    (void)state;
    struct draft draft;
    start(&draft, 2, 0);
    put_tensor(&draft, "a", 3, OD_GGML_F32, 0);
    put_tensor(&draft, "b", 32, OD_GGML_Q8_0, 32);
    put_data(&draft, 32 + 34);
    assert_broken(&draft, OD_OK, NULL);
    start(&draft, 2, 0);
    put_tensor(&draft, "a", 3, OD_GGML_F32, 0);
    put_tensor(&draft, "b", 32, OD_GGML_Q8_0, 32);
    put_data(&draft, 32 + 33);
    assert_broken(&draft, OD_E_FORMAT, "'b' ends after");
    start(&draft, 2, 0);
    put_tensor(&draft, "a", 3, OD_GGML_F32, 0);
    put_tensor(&draft, "b", 3, OD_GGML_F32, 0);
    put_data(&draft, 64);
    assert_broken(&draft, OD_E_FORMAT, "'b' begins at 0 of the data, not at 32");
    start(&draft, 1, 0);
    put_tensor(&draft, "a", 3, OD_GGML_F32, 32);
    put_data(&draft, 64);
    assert_broken(&draft, OD_E_FORMAT, "'a' begins at 32 of the data, not at 0");
    start(&draft, 1, 0);
    put_tensor(&draft, "a", 3, OD_GGML_F32, 0);
    put_data(&draft, 33);
    assert_broken(&draft, OD_E_FORMAT, "1 bytes stand behind");
    start(&draft, 2, 0);
    put_tensor(&draft, "a", 3, OD_GGML_F32, 0);
    put_tensor(&draft, "a", 3, OD_GGML_F32, 32);
    put_data(&draft, 64);
    assert_broken(&draft, OD_E_FORMAT, "'a' twice");
    start(&draft, 1, 0);
    put_tensor(&draft, "a", 3, 99, 0);
    put_data(&draft, 32);
    assert_broken(&draft, OD_E_UNSUPPORTED, "type 99");
    start(&draft, 1, 0);
    put_tensor(&draft, "a", 33, OD_GGML_Q8_0, 0);
    put_data(&draft, 96);
    assert_broken(&draft, OD_E_FORMAT, "no blocks of Q8_0");
    start(&draft, 1, 0);
    put_tensor(&draft, "a", (uint64_t)1 << 62, OD_GGML_F32, 0);
    put_data(&draft, 32);
    assert_broken(&draft, OD_E_FORMAT, "'a'");
    start(&draft, 1, 0);
    put_tensor(&draft, "a", 0, OD_GGML_F32, 0);
    assert_broken(&draft, OD_E_FORMAT, "makes no sense");
    start(&draft, 1, 0);
    put_tensor(&draft, "0123456789012345678901234567890123456789012345678901234567890123", 1,
               OD_GGML_F32, 0);
    put_data(&draft, 4);
    assert_broken(&draft, OD_E_LIMIT, "64 bytes, at most 63");
    start(&draft, 1, 0);
    put_text(&draft, "a");
    put(&draft, 5, 4);
    assert_broken(&draft, OD_E_LIMIT, "5 dimensions");
}

// A type that is only known by its size is listed and read as bytes, not as floats; a text with a NUL
// inside is a value, but no text to use.
static void test_other_types(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_gguf *gguf = NULL;
    struct draft draft;
    unsigned char raw[18];
    float values[32];
    const char *text = NULL;
    start(&draft, 1, 1);
    put_text(&draft, "k");
    put(&draft, OD_GGUF_TEXT, 4);
    put(&draft, 3, 8);
    od_buf_append(&draft.bytes, "a\0b", 3);
    put_tensor(&draft, "a", 32, 2, 0);
    put_data(&draft, 18);
    draft.bytes.bytes[draft.bytes.size - 1] = 7;
    assert_ok(od_gguf_parse(draft.bytes.bytes, draft.bytes.size, "test", &gguf, &err), &err);
    const struct od_gguf_tensor *tensor = od_gguf_find_tensor(gguf, "a");
    assert_int_equal(tensor->size_bytes, 18);
    assert_ok(od_gguf_read_raw(gguf, tensor, raw, &err), &err);
    assert_int_equal(raw[17], 7);
    assert_int_equal(od_gguf_read_f32(gguf, tensor, values, &err), OD_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "Q4_0"));
    assert_int_equal(od_gguf_text_or(gguf, "k", "", &text, &err), OD_E_FORMAT);
    od_gguf_close(gguf);
    od_buf_release(&draft.bytes);
    assert_int_equal(od_gguf_open("/nowhere/x.gguf", &gguf, &err), OD_E_NOT_FOUND);
    assert_int_equal(od_gguf_open("/", &gguf, &err), OD_E_ARGUMENT);
}

// A header longer than what is read first.
static void test_long_header(void **state)
{
    (void)state;
    enum { ITEMS = 1 << 20 };
    struct od_error err = {0};
    struct od_gguf_keys keys;
    struct od_gguf_writer *writer = NULL;
    struct od_gguf *gguf = NULL;
    const struct od_gguf_value *list = NULL;
    const struct od_gguf_out one = {"one", OD_GGML_F32, 1, {3}};
    const float values[3] = {1, 2, 3};
    float back[3] = {0};
    char path[OD_PATH_MAX_BYTES];
    assert_ok(od_path_join(path, test_folder(), "x.gguf", &err), &err);
    od_gguf_keys_init(&keys);
    od_gguf_put_list(&keys, "long", OD_GGUF_I32, ITEMS);
    for (int32_t i = 0; i < ITEMS; i++) {
        od_gguf_put_i32_item(&keys, i);
    }
    assert_ok(od_gguf_create(path, &keys, &one, 1, &writer, &err), &err);
    assert_ok(od_gguf_put(writer, values, 3, &err), &err);
    assert_ok(od_gguf_commit(writer, &err), &err);
    assert_ok(od_gguf_open(path, &gguf, &err), &err);
    assert_ok(od_gguf_list(gguf, "long", OD_GGUF_I32, &list, &err), &err);
    assert_int_equal(list->count, ITEMS);
    assert_int_equal(od_gguf_int_at(list, ITEMS - 1), ITEMS - 1);
    assert_ok(od_gguf_read_f32(gguf, od_gguf_find_tensor(gguf, "one"), back, &err), &err);
    assert_memory_equal(back, values, sizeof values);
    od_gguf_close(gguf);
    od_gguf_keys_release(&keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every),       cmocka_unit_test(test_written),
        cmocka_unit_test(test_faults),      cmocka_unit_test(test_refused_writes),
        cmocka_unit_test(test_broken_keys), cmocka_unit_test(test_broken_tensors),
        cmocka_unit_test(test_other_types), cmocka_unit_test(test_long_header),
    };
    return cmocka_run_group_tests_name("gguf", tests, NULL, NULL);
}
