// Models as GGUF files and merged models: the same logits when they are opened again, llama.cpp's
// greedy ids for the files (tests/oracle/llama_cpp.py), and what is refused.

#include "flow/convert.h"

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "flow/convert_check.h"
#include "flow/model_files.h"
#include "formats/dtype.h"
#include "formats/ggml.h"
#include "formats/gguf.h"
#include "formats/json.h"
#include "formats/nf4.h"
#include "formats/safetensors.h"
#include "infer/engine.h"
#include "model/spec.h"
#include "support.h"
#include "text/tokenizer.h"

enum {
    REPORT_MAX_BYTES = 1 << 20,
    IDS_MAX = 1 << 16,
    FILE_MAX_BYTES = 1 << 24,
    FAULTS_MAX = 400,
    RANK = 3
};

#define STORIES "models/stories260K/hf"
#define RECORD  "tests/golden/oracle/llama_cpp/"
#define FAMILY  "tests/golden/oracle/tiny_families/"

static void put(const char *folder, const char *name, const char *text)
{
    char path[OD_PATH_MAX_BYTES];
    struct od_error err = {0};
    assert_ok(od_path_join(path, folder, name, &err), &err);
    assert_ok(od_file_write(path, text, strlen(text), &err), &err);
}

static void new_path(char out[OD_PATH_MAX_BYTES], const char *name)
{
    struct od_error err = {0};
    assert_ok(od_path_join(out, test_folder(), name, &err), &err);
}

// A model with random weights: two heads of keys for four of queries, a head of its own.
static void make_model(char model[OD_PATH_MAX_BYTES])
{
    static const char config[] =
        "{\"model_type\":\"llama\",\"vocab_size\":259,\"hidden_size\":32,\"intermediate_size\":44,"
        "\"num_hidden_layers\":2,\"num_attention_heads\":4,\"num_key_value_heads\":2,"
        "\"head_dim\":12,\"max_position_embeddings\":64,\"tie_word_embeddings\":false,"
        "\"rope_theta\":5000.0,\"rms_norm_eps\":2e-5,\"initializer_range\":0.3}";
    char path[OD_PATH_MAX_BYTES];
    struct od_error err = {0};
    const char *folder = test_folder();
    put(folder, "config.json", config);
    assert_ok(od_path_join(path, folder, "config.json", &err), &err);
    assert_ok(od_path_join(model, folder, "model", &err), &err);
    assert_ok(od_model_init(path, NULL, 7, 1, model, &err), &err);
    put(model, "chat_template.jinja", "{{ messages }}\n");
}

// An adapter for that model, on query, value and down projections.
static void make_adapter(char folder[OD_PATH_MAX_BYTES], const char *base)
{
    static const struct {
        const char *module;
        int64_t rows;
        int64_t cols;
    } modules[] = {
        {"self_attn.q_proj", 48, 32}, {"self_attn.v_proj", 24, 32}, {"mlp.down_proj", 32, 44}};
    enum { TENSORS = 2 * 2 * 3 };
    static char names[TENSORS][128];
    struct od_tensor_out tensors[TENSORS];
    float *values = od_alloc(TENSORS, 4096 * sizeof *values);
    struct od_mt19937 random;
    struct od_error err = {0};
    char path[OD_PATH_MAX_BYTES];
    char config[OD_PATH_MAX_BYTES + 256];
    size_t count = 0;
    assert_non_null(values);
    od_mt_seed_python_int(&random, 11);
    for (int i = 0; i < TENSORS * 4096; i++) {
        values[i] = (float)od_py_random(&random) - 0.5F;
    }
    for (int layer = 0; layer < 2; layer++) {
        for (int i = 0; i < 3; i++) {
            for (int side = 0; side < 2; side++) {
                (void)snprintf(names[count], sizeof names[count],
                               "base_model.model.model.layers.%d.%s.lora_%c.weight", layer,
                               modules[i].module, side == 0 ? 'A' : 'B');
                tensors[count] =
                    (struct od_tensor_out){.name = names[count],
                                           .dtype = OD_DTYPE_F32,
                                           .rank = 2,
                                           .shape = {side == 0 ? RANK : modules[i].rows,
                                                     side == 0 ? modules[i].cols : RANK},
                                           .data = values + 4096 * count};
                count++;
            }
        }
    }
    (void)snprintf(folder, OD_PATH_MAX_BYTES, "%s", test_folder());
    (void)snprintf(config, sizeof config,
                   "{\"peft_type\": \"LORA\", \"r\": %d, \"lora_alpha\": 5, \"use_rslora\": true, "
                   "\"base_model_name_or_path\": \"%s\", \"target_modules\": [\"q_proj\", "
                   "\"v_proj\", \"down_proj\"]}",
                   RANK, base);
    put(folder, "adapter_config.json", config);
    assert_ok(od_path_join(path, folder, "adapter_model.safetensors", &err), &err);
    const struct od_safetensors_plan plan = {.path = path, .tensors = tensors, .count = count};
    assert_ok(od_safetensors_write(&plan, &err), &err);
    od_free(values);
}

// Convert, and read the report's check.
static struct od_convert_check convert(const char *path, const struct od_convert_options *options,
                                       bool merge)
{
    struct od_error err = {0};
    struct od_buf out;
    json_t *report = NULL;
    struct od_convert_options full = *options;
    full.json = true;
    full.threads = 1;
    od_buf_init(&out, REPORT_MAX_BYTES);
    assert_ok(merge ? od_convert_merge(path, &full, &out, &err)
                    : od_convert_gguf(path, &full, &out, &err),
              &err);
    assert_ok(od_json_parse(od_buf_text(&out), out.size, "report", &report, &err), &err);
    const json_t *check = json_object_get(report, "check");
    const struct od_convert_check result = {
        .prompts = (int)json_integer_value(json_object_get(check, "prompts")),
        .positions = json_integer_value(json_object_get(check, "positions")),
        .difference_max = json_number_value(json_object_get(check, "difference_max")),
        .logit_max = json_number_value(json_object_get(check, "logit_max")),
        .same_best = json_integer_value(json_object_get(check, "same_best"))};
    json_decref(report);
    od_buf_release(&out);
    return result;
}

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

struct tally {
    size_t compared;
    size_t same;
    size_t far;  // log-probabilities beyond the tolerance
};

// What llama.cpp continues a prompt with, and how likely it finds it. Rows beyond the model's window
// are passed over: llama.cpp looks at all keys there.
static void check_answer(struct od_engine *engine, const char *prompt, const json_t *want,
                         double tolerance, struct tally *tally)
{
    struct od_error err = {0};
    struct od_ids ids;
    const json_t *want_ids = json_object_get(want, "ids");
    const json_t *want_logprobs = json_object_get(want, "logprobs");
    const int64_t vocab = od_engine_spec(engine)->vocab;
    const int64_t window = od_engine_spec(engine)->window;
    const size_t count = json_array_size(want_ids);
    od_ids_init(&ids, IDS_MAX);
    assert_ok(od_tokenizer_encode(od_engine_tokenizer(engine), prompt, strlen(prompt),
                                  OD_ENCODE_SPECIAL, &ids, &err),
              &err);
    const size_t first = ids.count;
    assert_int_equal(first, json_integer_value(json_object_get(want, "prompt_ids")));
    for (size_t i = 0; i < count; i++) {
        od_ids_push(&ids, (int32_t)json_integer_value(json_array_get(want_ids, i)));
    }
    float *logits = od_alloc(ids.count * (size_t)vocab, sizeof *logits);
    assert_non_null(logits);
    assert_ok(od_engine_logits(engine, ids.data, (int64_t)ids.count, logits, &err), &err);
    for (size_t i = 0; i < count; i++) {
        if (window > 0 && (int64_t)(first + i) > window) {
            break;
        }
        const float *row = logits + (int64_t)(first + i - 1) * vocab;
        int32_t best = 0;
        double sum = 0;
        for (int32_t id = 1; id < vocab; id++) {
            best = row[id] > row[best] ? id : best;
        }
        for (int32_t id = 0; id < vocab; id++) {
            sum += exp((double)row[id] - (double)row[best]);
        }
        const int32_t their = ids.data[first + i];
        const double logprob = (double)row[their] - (double)row[best] - log(sum);
        const double theirs = json_number_value(json_array_get(want_logprobs, i));
        tally->compared++;
        tally->same += best == their ? 1 : 0;
        if (fabs(logprob - theirs) > tolerance) {
            print_message("# '%s' %zu: id %d at %g, llama.cpp has %g\n", prompt, i, (int)their,
                          logprob, theirs);
            tally->far++;
        }
    }
    od_free(logits);
    od_ids_release(&ids);
}

static void test_llama_cpp(void **state)
{
    (void)state;
    // llama.cpp rounds the activations that meet f16, bf16 and q8_0 weights to the weights' types.
    static const struct {
        const char *type;
        double tolerance;
        size_t same_least;  // of 8 prompts of 24 ids
    } types[] = {{"f32", 1e-4, 192},
                 {"f16", 0.05, 192},
                 {"bf16", 0.3, 190},
                 {"q8_0", 0.3, 190},
                 {"adapter", 1e-4, 192}};
    char model[OD_PATH_MAX_BYTES];
    char exact[OD_PATH_MAX_BYTES] = "";
    struct od_error err = {0};
    json_t *record = NULL;
    bool good = true;
    (void)snprintf(model, sizeof model, "%s", test_shared(STORIES));
    assert_ok(od_json_read(test_source(RECORD "record.json"), &record, &err), &err);
    const json_t *prompts = json_object_get(record, "prompts");
    const json_t *files = json_object_get(record, "files");
    assert_int_equal(json_array_size(files), sizeof types / sizeof types[0]);
    for (size_t i = 0; i < json_array_size(files); i++) {
        const json_t *file = json_array_get(files, i);
        const json_t *answers = json_object_get(file, "answers");
        const bool adapter = strcmp(types[i].type, "adapter") == 0;
        char output[OD_PATH_MAX_BYTES];
        char digest[OD_SHA256_HEX_BYTES];
        struct od_engine *engine = NULL;
        struct tally tally = {0};
        new_path(output, adapter ? "adapter.gguf" : types[i].type);
        (void)snprintf(output + strlen(output), 8, "%s", adapter ? "" : ".gguf");
        const struct od_convert_options options = {
            .output = output,
            .type = adapter ? NULL : types[i].type,
            .adapter = adapter ? test_source(RECORD "adapter") : NULL};
        (void)convert(model, &options, false);
        // llama.cpp was given this very file.
        assert_ok(od_sha256_file(output, digest, &err), &err);
        assert_string_equal(digest, json_string_value(json_object_get(file, "sha256")));
        if (i == 0) {
            (void)snprintf(exact, sizeof exact, "%s", output);
        }
        const struct od_engine_options engine_options = {
            .threads = 1, .slots = 1, .adapter = adapter ? output : NULL};
        assert_ok(od_engine_open(adapter ? exact : output, &engine_options, &engine, &err), &err);
        for (size_t j = 0; j < json_array_size(prompts); j++) {
            check_answer(engine, json_string_value(json_array_get(prompts, j)),
                         json_array_get(answers, j), types[i].tolerance, &tally);
        }
        print_message("# %s: %zu of 192 ids are llama.cpp's\n", types[i].type, tally.same);
        good = good && tally.far == 0 && tally.same >= types[i].same_least;
        od_engine_close(engine);
    }
    json_decref(record);
    assert_true(good);
}

static void copy_file(const char *from, const char *folder, const char *name)
{
    char path[OD_PATH_MAX_BYTES];
    char *bytes = NULL;
    size_t size = 0;
    struct od_error err = {0};
    assert_ok(od_file_read(test_source(from), FILE_MAX_BYTES, &bytes, &size, &err), &err);
    assert_ok(od_path_join(path, folder, name, &err), &err);
    assert_ok(od_file_write(path, bytes, size, &err), &err);
    od_free(bytes);
}

// Qwen2 has biases, Qwen3 norms of heads, and both turn halves; their rows stay where they are.
// Llama 3 divides its rotary frequencies. GPT-2's GELU is a table of 16-bit floats in llama.cpp.
static void test_llama_cpp_families(void **state)
{
    (void)state;
    struct od_error err = {0};
    json_t *record = NULL;
    assert_ok(od_json_read(test_source(RECORD "record.json"), &record, &err), &err);
    const json_t *prompts = json_object_get(record, "letter_prompts");
    const json_t *families = json_object_get(record, "families");
    assert_int_equal(json_array_size(families), 5);
    for (size_t i = 0; i < json_array_size(families); i++) {
        const json_t *one = json_array_get(families, i);
        const char *family = json_string_value(json_object_get(one, "family"));
        char model[OD_PATH_MAX_BYTES];
        char output[OD_PATH_MAX_BYTES];
        char from[256];
        char digest[OD_SHA256_HEX_BYTES];
        struct od_engine *engine = NULL;
        struct tally tally = {0};
        new_path(model, family);  // the name stands in the file
        assert_ok(od_dir_make(model, &err), &err);
        (void)snprintf(from, sizeof from, FAMILY "%s/config.json", family);
        copy_file(from, model, "config.json");
        (void)snprintf(from, sizeof from, FAMILY "%s/model.safetensors", family);
        copy_file(from, model, "model.safetensors");
        copy_file(RECORD "letters/tokenizer.json", model, "tokenizer.json");
        new_path(output, "x.gguf");
        const struct od_convert_options options = {.output = output, .type = "f32"};
        assert_true(convert(model, &options, false).difference_max == 0);
        assert_ok(od_sha256_file(output, digest, &err), &err);
        assert_string_equal(digest, json_string_value(json_object_get(one, "sha256")));
        const struct od_engine_options engine_options = {.threads = 1, .slots = 1};
        assert_ok(od_engine_open(output, &engine_options, &engine, &err), &err);
        for (size_t j = 0; j < json_array_size(prompts); j++) {
            check_answer(engine, json_string_value(json_array_get(prompts, j)),
                         json_array_get(json_object_get(one, "answers"), j),
                         strcmp(family, "gpt2") == 0 ? 2e-3 : 1e-4, &tally);
        }
        print_message("# %s: %zu of %zu ids are llama.cpp's\n", family, tally.same, tally.compared);
        assert_true(od_engine_spec(engine)->window > 0 ? tally.compared >= 20
                                                       : tally.compared == 192);
        assert_int_equal(tally.same, tally.compared);
        assert_int_equal(tally.far, 0);
        od_engine_close(engine);
    }
    json_decref(record);
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
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_contents),
        cmocka_unit_test(test_adapter),
        cmocka_unit_test(test_merge),
        cmocka_unit_test(test_merge_base),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_llama_cpp),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_llama_cpp_families),
        cmocka_unit_test(test_gpt2_types),
        cmocka_unit_test(test_inspect),
        cmocka_unit_test(test_other_families),
    };
    return cmocka_run_group_tests_name("convert", tests, NULL, NULL);
}
