// Models as GGUF files and merged models: the same logits when they are opened again, and what is
// refused. What llama.cpp says of the files: convert_llama_cpp_test.

#include "flow/convert.h"

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
#include "flow/convert_check.h"
#include "flow/convert_world.h"
#include "flow/model_files.h"
#include "formats/e4m3.h"
#include "formats/ggml.h"
#include "formats/gguf.h"
#include "formats/json.h"
#include "formats/nf4.h"
#include "formats/safetensors.h"
#include "infer/engine.h"
#include "support.h"

// bf16 weights are exact in f32 and in bf16, and nearly in f16; q8_0 is coarse.
static void test_types(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        double difference_most;
        double difference_least;
    } types[] = {{"f32", 0, 0}, {"bf16", 0, 0}, {"f16", 1e-3, 0}, {"q8_0", 1, 1e-3}};
    char model[OD_PATH_MAX_BYTES];
    char output[OD_PATH_MAX_BYTES];
    make_model(model);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        new_path(output, "x.gguf");
        const struct od_convert_options options = {.type = types[i].type, .output = output};
        const struct od_convert_check check = convert(model, &options, false);
        assert_int_equal(check.prompts, 8);
        assert_true(check.positions > 200);
        assert_true(check.logit_max > 1);
        if (check.difference_max > types[i].difference_most ||
            check.difference_max < types[i].difference_least) {
            fail_msg("%s: logits differ by %g", types[i].type, check.difference_max);
        }
    }
}

// Keys, types and rows of a file as llama.cpp's reader wants them.
static void test_contents(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        int64_t value;
    } integers[] = {{"general.file_type", 7},           {"general.quantization_version", 2},
                    {"llama.block_count", 2},           {"llama.context_length", 64},
                    {"llama.embedding_length", 32},     {"llama.feed_forward_length", 44},
                    {"llama.attention.head_count", 4},  {"llama.attention.head_count_kv", 2},
                    {"llama.attention.key_length", 12}, {"llama.rope.dimension_count", 12},
                    {"llama.vocab_size", 259}};
    char model[OD_PATH_MAX_BYTES];
    char output[OD_PATH_MAX_BYTES];
    struct od_error err = {0};
    struct od_gguf *gguf = NULL;
    struct od_safetensors *st = NULL;
    const char *text = NULL;
    double number = 0;
    make_model(model);
    new_path(output, "x.gguf");
    const struct od_convert_options options = {.type = "q8_0", .output = output, .no_check = true};
    (void)convert(model, &options, false);
    assert_ok(od_gguf_open(output, &gguf, &err), &err);
    for (size_t i = 0; i < sizeof integers / sizeof integers[0]; i++) {
        int64_t value = -1;
        assert_ok(od_gguf_int_or(gguf, integers[i].key, -1, &value, &err), &err);
        if (value != integers[i].value) {
            fail_msg("'%s' is %lld", integers[i].key, (long long)value);
        }
    }
    assert_ok(od_gguf_text_or(gguf, "tokenizer.chat_template", "", &text, &err), &err);
    assert_string_equal(text, "{{ messages }}\n");
    assert_ok(od_gguf_text_or(gguf, "general.name", "", &text, &err), &err);
    assert_string_equal(text, "model");
    assert_ok(od_gguf_number_or(gguf, "llama.rope.freq_base", 0, &number, &err), &err);
    assert_true(number == 5000);
    assert_ok(od_gguf_number_or(gguf, "llama.attention.layer_norm_rms_epsilon", 0, &number, &err),
              &err);
    assert_true(number == (double)2e-5F);
    // Norms stay f32; rows of 44 and 48 are no blocks of 32.
    assert_int_equal(od_gguf_find_tensor(gguf, "blk.1.ffn_norm.weight")->type, OD_GGML_F32);
    assert_int_equal(od_gguf_find_tensor(gguf, "blk.1.ffn_down.weight")->type, OD_GGML_F16);
    assert_int_equal(od_gguf_find_tensor(gguf, "blk.1.attn_output.weight")->type, OD_GGML_F16);
    assert_int_equal(od_gguf_find_tensor(gguf, "output.weight")->type, OD_GGML_Q8_0);
    assert_int_equal(od_gguf_tensor_count(gguf), 3 + 2 * 9);
    od_gguf_close(gguf);

    // Row 12 h + 2 i + j of the file is row 12 h + 6 j + i of the model.
    new_path(output, "x.gguf");
    const struct od_convert_options exact = {.type = "f32", .output = output, .no_check = true};
    (void)convert(model, &exact, false);
    assert_ok(od_gguf_open(output, &gguf, &err), &err);
    assert_ok(od_safetensors_open(model, &st, &err), &err);
    float ours[48 * 32];
    float theirs[48 * 32];
    assert_ok(
        od_safetensors_read_f32(
            st, od_safetensors_find(st, "model.layers.1.self_attn.q_proj.weight"), ours, &err),
        &err);
    assert_ok(
        od_gguf_read_f32(gguf, od_gguf_find_tensor(gguf, "blk.1.attn_q.weight"), theirs, &err),
        &err);
    for (int head = 0; head < 4; head++) {
        for (int i = 0; i < 6; i++) {
            for (int j = 0; j < 2; j++) {
                assert_memory_equal(theirs + ((ptrdiff_t)(12 * head + 2 * i + j)) * 32,
                                    ours + ((ptrdiff_t)(12 * head + 6 * j + i)) * 32,
                                    32 * sizeof(float));
            }
        }
    }
    od_safetensors_close(st);
    od_gguf_close(gguf);
}

static void test_adapter(void **state)
{
    (void)state;
    char model[OD_PATH_MAX_BYTES];
    char adapter[OD_PATH_MAX_BYTES];
    char output[OD_PATH_MAX_BYTES];
    struct od_error err = {0};
    struct od_gguf *gguf = NULL;
    struct od_convert_check apart = {0};
    double alpha = 0;
    make_model(model);
    make_adapter(adapter, model);
    new_path(output, "adapter.gguf");
    const struct od_convert_options options = {.output = output};
    const struct od_convert_check check = convert(adapter, &options, false);
    assert_true(check.difference_max <= check.logit_max * 1e-5);  // the scale is alpha / r, rounded
    assert_ok(od_gguf_open(output, &gguf, &err), &err);
    assert_ok(od_gguf_number_or(gguf, "adapter.lora.alpha", 0, &alpha, &err), &err);
    assert_true(fabs(alpha - 5 * sqrt(3)) < 1e-5);  // 5 / sqrt(3) times the rank
    assert_int_equal(od_gguf_tensor_count(gguf), 12);
    od_gguf_close(gguf);
    // The adapter does something, and on a GGUF model does the same.
    const struct od_convert_side plain = {model, NULL};
    const struct od_convert_side with = {model, output};
    assert_ok(od_convert_compare(&plain, &with, 1, &apart, &err), &err);
    assert_true(apart.difference_max > 0.1);
    char base[OD_PATH_MAX_BYTES];
    new_path(base, "base.gguf");
    const struct od_convert_options exact = {.output = base, .type = "f32", .no_check = true};
    (void)convert(model, &exact, false);
    const struct od_convert_side both = {base, output};
    assert_ok(od_convert_compare(&with, &both, 1, &apart, &err), &err);
    assert_true(apart.difference_max == 0);
}

static void test_merge(void **state)
{
    (void)state;
    static const struct {
        const char *type;
        double most;
    } types[] = {{"f32", 0}, {"f16", 0.1}, {NULL, 1}};
    char model[OD_PATH_MAX_BYTES];
    char adapter[OD_PATH_MAX_BYTES];
    char output[OD_PATH_MAX_BYTES];
    char path[OD_PATH_MAX_BYTES];
    struct od_error err = {0};
    make_model(model);
    make_adapter(adapter, model);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        new_path(output, "merged");
        const struct od_convert_options options = {.output = output, .type = types[i].type};
        const struct od_convert_check check = convert(adapter, &options, true);
        if (check.difference_max > types[i].most) {
            fail_msg("%s: logits differ by %g", types[i].type ? types[i].type : "bf16",
                     check.difference_max);
        }
        assert_ok(od_path_join(path, output, "chat_template.jinja", &err), &err);
        assert_true(od_path_exists(path));
    }
    // A merged model converts like any other.
    new_path(path, "merged.gguf");
    const struct od_convert_options options = {.output = path, .type = "bf16"};
    assert_true(convert(output, &options, false).difference_max == 0);
}

// What a merge leaves of one weight; the adapter does not touch it.
static void read_merged(const char *folder, const char *name, float *out)
{
    struct od_error err = {0};
    struct od_safetensors *st = NULL;
    assert_ok(od_safetensors_open(folder, &st, &err), &err);
    const struct od_tensor_info *info = od_safetensors_find(st, name);
    assert_non_null(info);
    assert_ok(od_safetensors_read_f32(st, info, out, &err), &err);
    od_safetensors_close(st);
}

// The adapter is on query, value and down projections; keys [24, 32] show the base alone.
static void test_merge_base(void **state)
{
    (void)state;
    enum { COUNT = 24 * 32, BLOCKS = COUNT / OD_NF4_BLOCK };
    static const char key[] = "model.layers.1.self_attn.k_proj.weight";
    static const char head[] = "lm_head.weight";
    char model[OD_PATH_MAX_BYTES];
    char adapter[OD_PATH_MAX_BYTES];
    char output[OD_PATH_MAX_BYTES];
    struct od_error err = {0};
    struct od_buf out;
    float plain[COUNT];
    float merged[COUNT];
    float want[COUNT];
    float head_plain[259 * 32];
    float head_merged[259 * 32];
    uint8_t codes[COUNT / 2];
    float magnitudes[BLOCKS];
    make_model(model);
    make_adapter(adapter, model);
    read_merged(model, key, plain);
    read_merged(model, head, head_plain);

    uint8_t *scales = od_alloc(od_nf4_places(COUNT).bytes, 1);
    assert_non_null(scales);
    od_nf4_encode(plain, 0, BLOCKS, codes, magnitudes);
    od_nf4_nest(magnitudes, COUNT, scales);
    od_nf4_decode(codes, scales, COUNT, 0, COUNT, want);
    od_free(scales);
    new_path(output, "merged");
    const struct od_convert_options four = {
        .output = output, .type = "f32", .merge_base = "dequant", .no_check = true};
    (void)convert(adapter, &four, true);
    read_merged(output, key, merged);
    assert_memory_equal(merged, want, sizeof merged);
    read_merged(output, head, head_merged);
    assert_memory_equal(head_merged, head_plain, sizeof head_merged);

    new_path(output, "merged");
    const struct od_convert_options eight = {
        .output = output, .type = "f32", .merge_base = "dequant8", .no_check = true};
    (void)convert(adapter, &eight, true);
    read_merged(output, key, merged);
    for (int row = 0; row < 24; row++) {
        float most = 0;
        for (int i = 0; i < 32; i++) {
            most = fmaxf(most, fabsf(plain[32 * row + i]));
        }
        for (int i = 0; i < 32; i++) {
            const float scale = most / 127;
            assert_true(merged[32 * row + i] == rintf(plain[32 * row + i] / scale) * scale);
        }
    }

    new_path(output, "merged");
    const struct od_convert_options floats = {
        .output = output, .type = "f32", .merge_base = "dequant-fp8", .no_check = true};
    (void)convert(adapter, &floats, true);
    read_merged(output, key, merged);
    for (int row = 0; row < 24; row++) {
        uint8_t row_codes[32];
        const float scale = od_e4m3_encode_row(plain + 32 * row, NULL, 32, row_codes);
        od_e4m3_decode_row(row_codes, scale, 32, want + 32 * row);
    }
    assert_memory_equal(merged, want, sizeof merged);

    new_path(output, "merged");
    const struct od_convert_options own = {
        .output = output, .type = "f32", .merge_base = "w16", .no_check = true};
    (void)convert(adapter, &own, true);
    read_merged(output, key, merged);
    assert_memory_equal(merged, plain, sizeof merged);

    // A run on a quantised base must say it.
    char path[OD_PATH_MAX_BYTES];
    const char *run = test_folder();
    assert_ok(od_path_join(path, run, "adapter", &err), &err);
    assert_int_equal(rename(adapter, path), 0);
    put(run, "recipe.yaml",
        "base_model: /nowhere\nadapter: qlora\nload_in_4bit: true\nmax_steps: 1\n"
        "datasets:\n  - path: x.jsonl\n    type: completion\n");
    new_path(output, "merged");
    const struct od_convert_options silent = {.output = output, .no_check = true};
    od_buf_init(&out, REPORT_MAX_BYTES);
    assert_int_equal(od_convert_merge(run, &silent, &out, &err), OD_E_REFUSED);
    if (!strstr(err.message, "--merge-base dequant (")) {
        fail_msg("%s", err.message);
    }
    put(run, "recipe.yaml",
        "base_model: /nowhere\nadapter: lora\nfp8: true\nmax_steps: 1\n"
        "datasets:\n  - path: x.jsonl\n    type: completion\n");
    assert_int_equal(od_convert_merge(run, &silent, &out, &err), OD_E_REFUSED);
    if (!strstr(err.message, "--merge-base dequant-fp8 (")) {
        fail_msg("%s", err.message);
    }
    const struct od_convert_options wrong = {.output = output, .merge_base = "w8"};
    assert_int_equal(od_convert_merge(run, &wrong, &out, &err), OD_E_ARGUMENT);
    assert_false(od_path_exists(output));
    od_buf_release(&out);
}

static void assert_refused(const char *path, const struct od_convert_options *options, bool merge,
                           enum od_status want, const char *part)
{
    struct od_error err = {0};
    struct od_buf out;
    od_buf_init(&out, REPORT_MAX_BYTES);
    const enum od_status status = merge ? od_convert_merge(path, options, &out, &err)
                                        : od_convert_gguf(path, options, &out, &err);
    if (status != want || !strstr(err.message, part)) {
        fail_msg("gives %d '%s', not %d '%s'", (int)status, err.message, (int)want, part);
    }
    od_buf_release(&out);
}

static void test_refused(void **state)
{
    (void)state;
    char model[OD_PATH_MAX_BYTES];
    char adapter[OD_PATH_MAX_BYTES];
    char output[OD_PATH_MAX_BYTES];
    make_model(model);
    make_adapter(adapter, model);
    new_path(output, "x.gguf");
    const struct od_convert_options options = {.output = output};
    const struct od_convert_options type = {.output = output, .type = "q4_0"};
    const struct od_convert_options coarse = {.output = output, .type = "q8_0"};
    const struct od_convert_options name = {.output = "x.bin"};
    const struct od_convert_options other = {.output = output, .base = "/nowhere"};
    assert_refused(model, &type, false, OD_E_ARGUMENT, "'q4_0'");
    assert_refused(model, &name, false, OD_E_ARGUMENT, ".gguf");
    assert_refused(adapter, &coarse, false, OD_E_UNSUPPORTED, "q8_0");
    assert_refused(adapter, &coarse, true, OD_E_ARGUMENT, "q8_0");
    assert_refused(model, &options, true, OD_E_ARGUMENT, "no adapter to merge");
    assert_refused(adapter, &other, true, OD_E_NOT_FOUND, "/nowhere");
    assert_refused("/nowhere", &options, false, OD_E_NOT_FOUND, "/nowhere");
    assert_false(od_path_exists(output));
    (void)convert(model, &options, false);
    assert_refused(model, &options, false, OD_E_REFUSED, "exists already");
    char second[OD_PATH_MAX_BYTES];
    new_path(second, "y.gguf");
    const struct od_convert_options again = {.output = second};
    assert_refused(output, &again, false, OD_E_UNSUPPORTED, "is a GGUF file");
}

// The n-th write, sync or rename fails while an adapter is merged: nothing is there under the output's
// name, or a model that opens.
static void check_merge_faults(const char *path, const char *output)
{
    const struct od_convert_options options = {
        .output = output, .type = "f32", .threads = 1, .no_check = true};
    uint64_t n = 1;
    for (; n < FAULTS_MAX; n++) {
        struct od_error err = {0};
        struct od_buf out;
        od_buf_init(&out, REPORT_MAX_BYTES);
        od_file_fail_at(n);
        const enum od_status status = od_convert_merge(path, &options, &out, &err);
        od_file_fail_at(0);
        od_buf_release(&out);
        if (od_path_exists(output)) {
            struct od_engine *engine = NULL;
            const struct od_engine_options engine_options = {.threads = 1, .slots = 1};
            assert_ok(od_engine_open(output, &engine_options, &engine, &err), &err);
            od_engine_close(engine);
            assert_ok(od_dir_remove(output, &err), &err);
        }
        if (status == OD_OK) {
            break;
        }
        assert_int_equal(status, OD_E_IO);
    }
    assert_true(n > 3 && n < FAULTS_MAX);
}

static void test_faults(void **state)
{
    (void)state;
    char model[OD_PATH_MAX_BYTES];
    char adapter[OD_PATH_MAX_BYTES];
    char output[OD_PATH_MAX_BYTES];
    make_model(model);
    make_adapter(adapter, model);
    new_path(output, "merged");
    check_merge_faults(adapter, output);
    struct od_error err = {0};
    // A single file is put in place by one rename; what is there afterwards is whole.
    for (uint64_t n = 1; n < FAULTS_MAX; n++) {
        struct od_buf out;
        new_path(output, "x.gguf");
        const struct od_convert_options options = {.output = output, .no_check = true};
        od_buf_init(&out, REPORT_MAX_BYTES);
        od_file_fail_at(n);
        const enum od_status status = od_convert_gguf(model, &options, &out, &err);
        od_file_fail_at(0);
        od_buf_release(&out);
        if (od_path_exists(output)) {
            struct od_gguf *gguf = NULL;
            assert_ok(od_gguf_open(output, &gguf, &err), &err);
            od_gguf_close(gguf);
        }
        if (status == OD_OK) {
            break;
        }
        assert_int_equal(status, OD_E_IO);
        assert_true(n < FAULTS_MAX - 1);
    }
}

// GPT-2 keeps its norms, biases and positions as F32; its adapters become files, too.
static void test_gpt2_types(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint32_t type;
    } tensors[] = {{"token_embd.weight", OD_GGML_Q8_0},     {"position_embd.weight", OD_GGML_F32},
                   {"blk.1.attn_qkv.weight", OD_GGML_Q8_0}, {"blk.1.attn_qkv.bias", OD_GGML_F32},
                   {"blk.0.ffn_down.weight", OD_GGML_F16},  {"output_norm.bias", OD_GGML_F32}};
    char model[OD_PATH_MAX_BYTES];
    char adapter[OD_PATH_MAX_BYTES];
    char output[OD_PATH_MAX_BYTES];
    struct od_error err = {0};
    struct od_gguf *gguf = NULL;
    new_path(model, "model");
    assert_ok(od_dir_make(model, &err), &err);
    copy_file(FAMILY "gpt2/config.json", model, "config.json");
    copy_file(FAMILY "gpt2/model.safetensors", model, "model.safetensors");
    copy_file(RECORD "letters/tokenizer.json", model, "tokenizer.json");
    new_path(output, "x.gguf");
    const struct od_convert_options options = {.output = output, .type = "q8_0"};
    const struct od_convert_check check = convert(model, &options, false);
    assert_true(check.difference_max > 0 && check.difference_max < 0.3);
    assert_ok(od_gguf_open(output, &gguf, &err), &err);
    for (size_t i = 0; i < sizeof tensors / sizeof tensors[0]; i++) {
        const struct od_gguf_tensor *tensor = od_gguf_find_tensor(gguf, tensors[i].name);
        if (!tensor || tensor->type != tensors[i].type) {
            fail_msg("'%s' has type %d", tensors[i].name, tensor ? (int)tensor->type : -1);
        }
    }
    od_gguf_close(gguf);
    new_path(adapter, "adapter");
    assert_ok(od_dir_make(adapter, &err), &err);
    copy_file(FAMILY "gpt2/adapter_end.safetensors", adapter, "adapter_model.safetensors");
    put(adapter, "adapter_config.json",
        "{\"peft_type\": \"LORA\", \"r\": 4, \"lora_alpha\": 8, \"fan_in_fan_out\": true, "
        "\"base_model_name_or_path\": \"\", \"target_modules\": [\"c_attn\", \"c_proj\", "
        "\"c_fc\"]}");
    new_path(output, "adapter.gguf");
    const struct od_convert_options with = {.output = output, .adapter = adapter};
    const struct od_convert_check same = convert(model, &with, false);
    assert_true(same.difference_max <= same.logit_max * 1e-5);
}

// What `model inspect` tells of a file, and of one that is cut off.
static void test_inspect(void **state)
{
    (void)state;
    char model[OD_PATH_MAX_BYTES];
    char output[OD_PATH_MAX_BYTES];
    char cut[OD_PATH_MAX_BYTES];
    char *bytes = NULL;
    size_t size = 0;
    struct od_error err = {0};
    struct od_buf out;
    json_t *report = NULL;
    make_model(model);
    new_path(output, "x.gguf");
    const struct od_convert_options options = {.type = "q8_0", .output = output, .no_check = true};
    (void)convert(model, &options, false);
    od_buf_init(&out, REPORT_MAX_BYTES);
    assert_ok(od_model_inspect(output, true, true, &out, &err), &err);
    assert_ok(od_json_parse(od_buf_text(&out), out.size, "report", &report, &err), &err);
    assert_true(json_is_true(json_object_get(report, "usable")));
    assert_string_equal(json_string_value(json_object_get(report, "family")), "llama");
    assert_int_equal(json_integer_value(json_object_get(report, "head_dim")), 12);
    assert_int_equal(json_integer_value(json_object_get(report, "tokenizer_ids")), 259);
    const json_t *tensors = json_object_get(report, "tensors");
    assert_int_equal(json_array_size(tensors), 3 + 2 * 9);
    const json_t *first = json_array_get(tensors, 0);
    assert_string_equal(json_string_value(json_object_get(first, "name")), "token_embd.weight");
    assert_string_equal(json_string_value(json_object_get(first, "dtype")), "Q8_0");
    const json_t *shape = json_object_get(first, "shape");
    assert_int_equal(json_integer_value(json_array_get(shape, 0)), 259);
    assert_int_equal(json_integer_value(json_array_get(shape, 1)), 32);
    json_decref(report);
    od_buf_reset(&out);
    assert_ok(od_model_inspect(output, false, false, &out, &err), &err);
    assert_non_null(strstr(od_buf_text(&out), "21 tensors in 1 file(s): 5 F32 4 F16 12 Q8_0"));
    od_buf_reset(&out);
    assert_ok(od_file_read(output, FILE_MAX_BYTES, &bytes, &size, &err), &err);
    new_path(cut, "cut.gguf");
    assert_ok(od_file_write(cut, bytes, size / 2, &err), &err);
    od_free(bytes);
    assert_int_equal(od_model_inspect(cut, false, false, &out, &err), OD_E_FORMAT);
    od_buf_release(&out);
}

// What a file cannot say is refused before anything is written.
static void test_other_families(void **state)
{
    (void)state;
    static const struct {
        const char *family;
        const char *part;
    } cases[] = {{"llama_gelu", "activation"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char model[OD_PATH_MAX_BYTES];
        char output[OD_PATH_MAX_BYTES];
        char from[256];
        struct od_error err = {0};
        new_path(model, "model");
        assert_ok(od_dir_make(model, &err), &err);
        (void)snprintf(from, sizeof from, FAMILY "%s/config.json", cases[i].family);
        copy_file(from, model, "config.json");
        (void)snprintf(from, sizeof from, FAMILY "%s/model.safetensors", cases[i].family);
        copy_file(from, model, "model.safetensors");
        copy_file(RECORD "letters/tokenizer.json", model, "tokenizer.json");
        new_path(output, "x.gguf");
        const struct od_convert_options options = {.output = output};
        assert_refused(model, &options, false, OD_E_UNSUPPORTED, cases[i].part);
        assert_false(od_path_exists(output));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),      cmocka_unit_test(test_contents),
        cmocka_unit_test(test_adapter),    cmocka_unit_test(test_merge),
        cmocka_unit_test(test_merge_base), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_faults),     cmocka_unit_test(test_gpt2_types),
        cmocka_unit_test(test_inspect),    cmocka_unit_test(test_other_families),
    };
    return cmocka_run_group_tests_name("convert", tests, NULL, NULL);
}
