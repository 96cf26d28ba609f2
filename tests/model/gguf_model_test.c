// GGUF files of models: one is made, and then spoiled in one way at a time; each is refused with a
// line that names the trouble. What a good file computes is compared in flow/convert_test.

#include "model/gguf_model.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "flow/convert.h"
#include "flow/model_files.h"
#include "formats/dtype.h"
#include "formats/gguf.h"
#include "model/program.h"
#include "model/spec.h"
#include "model/weights.h"
#include "ops/op.h"
#include "plan/plan.h"
#include "support.h"

enum { FILE_MAX_BYTES = 1 << 24, REPORT_MAX_BYTES = 1 << 16 };

static const char config[] =
    "{\"model_type\":\"llama\",\"vocab_size\":259,\"hidden_size\":16,\"intermediate_size\":24,"
    "\"num_hidden_layers\":1,\"num_attention_heads\":2,\"num_key_value_heads\":1,"
    "\"max_position_embeddings\":32,\"tie_word_embeddings\":true}";

// Where the last file was made, with the model's folder beside it.
static char made_folder[OD_PATH_MAX_BYTES];

// The bytes of a small model's file. @memory Gives: od_free.
static char *make_file(const char *text, size_t *ret_size)
{
    struct od_error err = {0};
    struct od_buf out;
    char path[OD_PATH_MAX_BYTES];
    char model[OD_PATH_MAX_BYTES];
    char output[OD_PATH_MAX_BYTES];
    char *bytes = NULL;
    const char *folder = test_folder();
    (void)snprintf(made_folder, sizeof made_folder, "%s", folder);
    const struct od_convert_options options = {.output = output, .type = "f32", .no_check = true};
    assert_ok(od_path_join(path, folder, "config.json", &err), &err);
    assert_ok(od_path_join(model, folder, "model", &err), &err);
    assert_ok(od_path_join(output, folder, "model.gguf", &err), &err);
    assert_ok(od_file_write(path, text, strlen(text), &err), &err);
    assert_ok(od_model_init(path, NULL, 1, 1, model, &err), &err);
    od_buf_init(&out, REPORT_MAX_BYTES);
    assert_ok(od_convert_gguf(model, &options, &out, &err), &err);
    od_buf_release(&out);
    assert_ok(od_file_read(output, FILE_MAX_BYTES, &bytes, ret_size, &err), &err);
    return bytes;
}

// Facts and weights, as far as they can be read.
static enum od_status load(const char *bytes, size_t size, struct od_error *err)
{
    static const struct od_program_options options = {.mode = OD_PROGRAM_INFER,
                                                      .tokens = 1,
                                                      .threads = 1,
                                                      .cache_slots = 1,
                                                      .cache_length = 1,
                                                      .logit_rows = 1};
    struct od_gguf *gguf = NULL;
    struct od_spec spec;
    struct od_program program = {0};
    struct od_plan plan = {0};
    struct od_arrays arrays = {0};
    enum od_status status = od_gguf_parse(bytes, size, "test", &gguf, err);
    if (status == OD_OK) {
        status = od_spec_of_gguf(gguf, &spec, err);
    }
    if (status == OD_OK) {
        status = od_program_build(&spec, &options, &program, err);
    }
    if (status == OD_OK) {
        assert_ok(od_plan_make(&program, &plan, err), err);
        assert_ok(od_arrays_make(&plan, &arrays, err), err);
        status = od_weights_read_gguf(&program, arrays.tensor, gguf, err);
    }
    od_arrays_release(&arrays);
    od_plan_release(&plan);
    od_program_release(&program);
    od_gguf_close(gguf);
    return status;
}

static void overwrite(char *at, const char *text)
{
    for (size_t i = 0; text[i] != '\0'; i++) {
        at[i] = text[i];
    }
}

// One place of the file becomes another text of the same length; NULL leaves it.
static void assert_spoiled_of(const char *model, const char *from, const char *to, size_t skip,
                              enum od_status want, const char *part)
{
    struct od_error err = {0};
    size_t size = 0;
    char *bytes = make_file(model, &size);
    char *at = from ? memmem(bytes, size, from, strlen(from)) : NULL;
    assert_true(!from || at);
    if (from) {
        overwrite(at + skip, to);
    }
    const enum od_status status = load(bytes, size, &err);
    if (status != want || !strstr(err.message, part)) {
        fail_msg("'%s' as '%s' gives %d '%s'", from ? from : "", to ? to : "", (int)status,
                 err.message);
    }
    od_free(bytes);
}

static void assert_spoiled(const char *from, const char *to, size_t skip, enum od_status want,
                           const char *part)
{
    assert_spoiled_of(config, from, to, skip, want, part);
}

static void test_spoiled(void **state)
{
    (void)state;
    static const char head_count[] = "llama.attention.head_count";
    // From the start of a key: its text, four bytes of type, then the value.
    const size_t block_value = strlen("llama.block_count") + 4;
    const size_t head_value = strlen(head_count) + 4;
    const size_t dimension_value = strlen("llama.rope.dimension_count") + 4;
    assert_spoiled(NULL, NULL, 0, OD_OK, "");
    assert_spoiled("blk.0.attn_q.weight", "blk.0.attn_x.weight", 0, OD_E_FORMAT,
                   "self_attn.q_proj.weight' is missing");
    assert_spoiled("llama.block_count", "\2", block_value, OD_E_FORMAT,
                   "model.layers.1.input_layernorm.weight' is missing");
    assert_spoiled("llama.block_count", "llama.block_counx", 0, OD_E_LIMIT, "llama.block_count");
    assert_spoiled(head_count, "\3", head_value, OD_E_FORMAT, "'blk.0.attn_q.weight' does not fit");
    assert_spoiled("llama.rope.dimension_count", "\4", dimension_value, OD_E_UNSUPPORTED, "turned");
    assert_spoiled("llama.feed_forward_length", "\x20", strlen("llama.feed_forward_length") + 4,
                   OD_E_FORMAT, "'blk.0.ffn_gate.weight' does not fit");
    assert_spoiled("token_embd.weight", "token_embx.weight", 0, OD_E_FORMAT, "token_embd.weight");
    assert_spoiled("llama.rope.freq_base", "\xFF\xFF\xFF\xFF", strlen("llama.rope.freq_base") + 4,
                   OD_E_FORMAT, "makes no sense");
    // general.architecture: its type, the length of its value, the value.
    assert_spoiled("general.architecture", "gemma", strlen("general.architecture") + 12,
                   OD_E_UNSUPPORTED, "'gemma'");
    assert_spoiled("general.type", "mudel", strlen("general.type") + 12, OD_E_ARGUMENT, "'mudel'");
    // A file that does not say its type holds a model.
    assert_spoiled("general.type", "generic.name", 0, OD_OK, "");
}

static void test_no_number(void **state)
{
    (void)state;
    struct od_error err = {0};
    size_t size = 0;
    char *bytes = make_file(config, &size);
    memset(bytes + size - 4, 0xFF, 4);
    assert_int_equal(load(bytes, size, &err), OD_E_FORMAT);
    assert_non_null(strstr(err.message, "no number"));
    od_free(bytes);
}

static void assert_refused_keys(const char *key, const char *text, uint32_t number,
                                const char *part)
{
    struct od_error err = {0};
    struct od_gguf_keys keys;
    struct od_gguf_writer *writer = NULL;
    struct od_gguf *gguf = NULL;
    struct od_spec spec;
    char path[OD_PATH_MAX_BYTES];
    assert_ok(od_path_join(path, test_folder(), "x.gguf", &err), &err);
    od_gguf_keys_init(&keys);
    od_gguf_put_text(&keys, "general.architecture", "llama");
    if (text) {
        od_gguf_put_text(&keys, key, text);
    } else {
        od_gguf_put_u32(&keys, key, number);
    }
    assert_ok(od_gguf_create(path, &keys, NULL, 0, &writer, &err), &err);
    assert_ok(od_gguf_commit(writer, &err), &err);
    assert_ok(od_gguf_open(path, &gguf, &err), &err);
    assert_int_equal(od_spec_of_gguf(gguf, &spec, &err), OD_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, part));
    od_gguf_close(gguf);
    od_gguf_keys_release(&keys);
}

static void test_other_models(void **state)
{
    (void)state;
    assert_refused_keys("llama.expert_count", NULL, 8, "experts");
}

// The config with one member more.
static void test_rope(void **state)
{
    (void)state;
    static const char linear[] = "\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":4.0}";
    static const char llama3[] =
        "\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":4.0,\"low_freq_factor\":1.0,"
        "\"high_freq_factor\":4.0,\"original_max_position_embeddings\":16}";
    char text[sizeof config + sizeof llama3 + 8];
    (void)snprintf(text, sizeof text, "{%s,%s", linear, config + 1);
    assert_spoiled_of(text, NULL, NULL, 0, OD_OK, "");
    assert_spoiled_of(text, "linear", "longro", 0, OD_E_UNSUPPORTED, "'longro'");
    (void)snprintf(text, sizeof text, "{%s,%s", llama3, config + 1);
    assert_spoiled_of(text, NULL, NULL, 0, OD_OK, "");
    assert_spoiled_of(text, "oneday.rope.low", "oneday.rope.lov", 0, OD_E_UNSUPPORTED,
                      "cannot be told from it");
    // The highest byte of a float: 4 becomes 16.
    assert_spoiled_of(text, "oneday.rope.factor", "\x41", strlen("oneday.rope.factor") + 7,
                      OD_E_UNSUPPORTED, "divisors");
    assert_spoiled_of(text, "rope_freqs.weight", "rope_frexs.weight", 0, OD_E_UNSUPPORTED,
                      "11 of them belong");
}

// The facts in a file of a model, after every `from` in it became `to`, of the same length.
static enum od_status facts_of(const char *model, const char *from, const char *to,
                               struct od_spec *ret, struct od_error *err)
{
    size_t size = 0;
    struct od_gguf *gguf = NULL;
    char *bytes = make_file(model, &size);
    char *at = bytes;
    while (from && (at = memmem(at, size - (size_t)(at - bytes), from, strlen(from)))) {
        overwrite(at, to);
    }
    enum od_status status = od_gguf_parse(bytes, size, "test", &gguf, err);
    if (status == OD_OK) {
        status = od_spec_of_gguf(gguf, ret, err);
    }
    od_gguf_close(gguf);
    od_free(bytes);
    return status;
}

// Files of other programs have the divisors alone. What they were made from is found again, for the
// numbers of Llama 3.1 and 3.2 and for twice the same.
static void test_rope_of_divisors(void **state)
{
    (void)state;
    static const struct {
        int head_dim;
        double factor;
        double low;
        double high;
        double original;
        double want[3];  // low, high, original
    } cases[] = {{128, 8, 1, 4, 8192, {1, 4, 8192}},
                 {64, 32, 1, 4, 8192, {1, 4, 8192}},
                 {128, 8, 2, 8, 16384, {1, 4, 8192}},
                 {128, 2.5, 1, 9, 4000, {1, 9, 4000}}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[sizeof config + 512];
        struct od_error err = {0};
        struct od_spec spec = {0};
        (void)snprintf(text, sizeof text,
                       "{\"head_dim\":%d,\"rope_theta\":500000.0,\"rope_scaling\":{\"rope_type\":"
                       "\"llama3\",\"factor\":%g,\"low_freq_factor\":%g,\"high_freq_factor\":%g,"
                       "\"original_max_position_embeddings\":%g},%s",
                       cases[i].head_dim, cases[i].factor, cases[i].low, cases[i].high,
                       cases[i].original, config + 1);
        assert_ok(facts_of(text, "oneday.rope", "others.rope", &spec, &err), &err);
        assert_int_equal(spec.rope_scaling, OD_ROPE_LLAMA3);
        const double have[] = {spec.rope_factor, spec.rope_low, spec.rope_high, spec.rope_original};
        const double want[] = {cases[i].factor, cases[i].want[0], cases[i].want[1],
                               cases[i].want[2]};
        for (int j = 0; j < 4; j++) {
            if (!(fabs(have[j] - want[j]) < 1e-9)) {
                fail_msg("case %zu: number %d is %.9g, not %g", i, j, have[j], want[j]);
            }
        }
    }
}

// Divisors that no scaling of this kind has. The tensor is the last one: [8] floats.
static void test_other_divisors(void **state)
{
    (void)state;
    char text[sizeof config + 512];
    struct od_error err = {0};
    size_t size = 0;
    (void)snprintf(text, sizeof text,
                   "{\"head_dim\":16,\"rope_theta\":500000.0,\"rope_scaling\":{\"rope_type\":"
                   "\"llama3\",\"factor\":8.0,\"low_freq_factor\":1.0,\"high_freq_factor\":64.0,"
                   "\"original_max_position_embeddings\":8192},%s",
                   config + 1);
    for (int place = 0; place < 8; place++) {
        float divisors[8];
        char *bytes = make_file(text, &size);
        char *key = bytes;
        while ((key = memmem(key, size - (size_t)(key - bytes), "oneday.rope", 11))) {
            overwrite(key, "others.rope");
        }
        memcpy(divisors, bytes + size - sizeof divisors, sizeof divisors);
        assert_ok(load(bytes, size, &err), &err);
        assert_true(divisors[0] > 0.999F && divisors[0] < 1.001F);
        assert_true(divisors[7] > 7.999F && divisors[7] < 8.001F);
        divisors[place] *= 1.01F;
        memcpy(bytes + size - sizeof divisors, divisors, sizeof divisors);
        assert_int_equal(load(bytes, size, &err), OD_E_UNSUPPORTED);
        assert_non_null(strstr(err.message, "rope_freqs.weight"));
        od_free(bytes);
    }
}

static void test_old_linear(void **state)
{
    (void)state;
    char text[sizeof config + 128];
    struct od_error err = {0};
    struct od_spec spec = {0};
    (void)snprintf(text, sizeof text,
                   "{\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":4.0},%s", config + 1);
    // Keys of the same length, of which one is what old files have.
    assert_ok(facts_of(text, "llama.rope.scaling.type", "llama.rope.scaling.typx", &spec, &err),
              &err);
    assert_int_equal(spec.rope_scaling, OD_ROPE_LINEAR);
    assert_true(spec.rope_factor > 3.999 && spec.rope_factor < 4.001);
    struct od_gguf_keys keys;
    struct od_gguf_writer *writer = NULL;
    struct od_gguf *gguf = NULL;
    char path[OD_PATH_MAX_BYTES];
    const struct od_gguf_out table = {
        .name = "token_embd.weight", .type = 0, .rank = 2, .shape = {5, 8}};
    const float values[40] = {0};
    assert_ok(od_path_join(path, test_folder(), "old.gguf", &err), &err);
    od_gguf_keys_init(&keys);
    od_gguf_put_text(&keys, "general.architecture", "llama");
    od_gguf_put_u32(&keys, "llama.block_count", 1);
    od_gguf_put_u32(&keys, "llama.context_length", 16);
    od_gguf_put_u32(&keys, "llama.embedding_length", 8);
    od_gguf_put_u32(&keys, "llama.feed_forward_length", 8);
    od_gguf_put_u32(&keys, "llama.attention.head_count", 2);
    od_gguf_put_f32(&keys, "llama.rope.scale_linear", 2.0F);
    assert_ok(od_gguf_create(path, &keys, &table, 1, &writer, &err), &err);
    assert_ok(od_gguf_put(writer, values, 40, &err), &err);
    assert_ok(od_gguf_commit(writer, &err), &err);
    assert_ok(od_gguf_open(path, &gguf, &err), &err);
    assert_ok(od_spec_of_gguf(gguf, &spec, &err), &err);
    assert_int_equal(spec.rope_scaling, OD_ROPE_LINEAR);
    assert_true(spec.rope_factor > 1.999 && spec.rope_factor < 2.001);
    od_gguf_close(gguf);
    od_gguf_keys_release(&keys);
}

// Qwen's window lies behind some layers, which only files that were written here say.
static void test_window(void **state)
{
    (void)state;
    static const char qwen[] =
        "{\"model_type\":\"qwen2\",\"vocab_size\":259,\"hidden_size\":16,"
        "\"intermediate_size\":24,\"num_hidden_layers\":3,\"num_attention_heads\":2,"
        "\"num_key_value_heads\":2,"
        "\"max_position_embeddings\":32,\"use_sliding_window\":true,\"sliding_window\":5,"
        "\"max_window_layers\":1}";
    static const char mistral[] =
        "{\"model_type\":\"mistral\",\"vocab_size\":259,\"hidden_size\":16,"
        "\"intermediate_size\":24,\"num_hidden_layers\":3,\"num_attention_heads\":2,"
        "\"num_key_value_heads\":2,"
        "\"max_position_embeddings\":32,\"sliding_window\":5}";
    static const char from[] = "oneday.window_from";
    static const char other[] = "others.window_from";
    struct od_error err = {0};
    struct od_spec spec = {0};
    assert_ok(facts_of(qwen, NULL, NULL, &spec, &err), &err);
    assert_string_equal(spec.family, "qwen2");
    assert_int_equal(spec.window, 5);
    assert_int_equal(spec.window_from, 1);
    assert_int_equal(facts_of(qwen, from, other, &spec, &err), OD_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "says from which layer"));
    assert_ok(facts_of(mistral, NULL, NULL, &spec, &err), &err);
    assert_string_equal(spec.family, "mistral");
    assert_int_equal(spec.window, 5);
    assert_int_equal(spec.window_from, 0);
    assert_ok(facts_of(mistral, from, other, &spec, &err), &err);
    assert_int_equal(spec.window, 5);
    assert_ok(facts_of(mistral, "attention.sliding", "attention.slidong", &spec, &err), &err);
    assert_string_equal(spec.family, "llama");
    assert_int_equal(spec.window, 0);
}

// GPT-2: names, what stays F32, and rows that stay where they are.
static void test_gpt2(void **state)
{
    (void)state;
    static const char gpt2[] =
        "{\"model_type\":\"gpt2\",\"vocab_size\":259,\"n_embd\":16,\"n_layer\":2,\"n_head\":2,"
        "\"n_positions\":32,\"layer_norm_epsilon\":3e-5}";
    char name[OD_GGUF_NAME_MAX_BYTES + 1];
    struct od_error err = {0};
    struct od_spec spec = {0};
    assert_spoiled_of(gpt2, NULL, NULL, 0, OD_OK, "");
    assert_ok(facts_of(gpt2, NULL, NULL, &spec, &err), &err);
    assert_string_equal(spec.family, "gpt2");
    assert_int_equal(spec.ffn, 64);
    assert_true(spec.tied && spec.layer_norm && spec.learned_positions && spec.plain_mlp);
    assert_true(fabs((double)spec.norm_eps - 3e-5) < 1e-9);
    assert_spoiled_of(gpt2, "position_embd.weight", "position_embx.weight", 0, OD_E_FORMAT,
                      "transformer.wpe.weight");
    assert_spoiled_of(gpt2, "blk.1.attn_qkv.bias", "blk.1.attn_qkv.bios", 0, OD_E_FORMAT,
                      "h.1.attn.c_attn.bias");
    assert_true(od_gguf_weight_name("transformer.h.11.mlp.c_proj.bias", name));
    assert_string_equal(name, "blk.11.ffn_down.bias");
    assert_true(od_gguf_weight_name("transformer.ln_f.bias", name));
    assert_string_equal(name, "output_norm.bias");
    assert_false(od_gguf_weight_name("transformer.h.0.self_attn.q_proj.weight", name));
}

// Llama with biases: named, found again, those of queries and keys in the order that their rows have
// (neighbouring pairs, as the converter of transformers' files permutes them).
static void test_biases(void **state)
{
    (void)state;
    enum { HEADS = 2, D = 8 };
    static const char biased[] =
        "{\"model_type\":\"llama\",\"vocab_size\":259,\"hidden_size\":16,\"intermediate_size\":24,"
        "\"num_hidden_layers\":1,\"num_attention_heads\":2,\"num_key_value_heads\":1,"
        "\"attention_bias\":true,\"mlp_bias\":true,"
        "\"max_position_embeddings\":32,\"tie_word_embeddings\":true}";
    static const struct od_program_options infer = {.mode = OD_PROGRAM_INFER,
                                                    .tokens = 1,
                                                    .threads = 1,
                                                    .cache_slots = 1,
                                                    .cache_length = 1,
                                                    .logit_rows = 1};
    char folder[OD_PATH_MAX_BYTES];
    char weights[OD_PATH_MAX_BYTES];
    char output[OD_PATH_MAX_BYTES];
    struct od_error err = {0};
    struct od_spec spec = {0};
    struct od_program program;
    struct od_plan plan;
    struct od_arrays arrays[2];
    struct od_gguf *gguf = NULL;
    struct od_buf out;
    float bias[HEADS * D];
    size_t size = 0;
    od_free(make_file(biased, &size));
    assert_ok(od_path_join(folder, made_folder, "model", &err), &err);
    assert_ok(od_path_join(weights, folder, "model.safetensors", &err), &err);
    assert_ok(od_path_join(output, made_folder, "biased.gguf", &err), &err);
    assert_ok(facts_of(biased, NULL, NULL, &spec, &err), &err);
    assert_true(spec.qkv_bias && spec.out_bias && spec.mlp_bias);
    assert_string_equal(spec.family, "llama");
    assert_ok(od_program_build(&spec, &infer, &program, &err), &err);
    assert_ok(od_plan_make(&program, &plan, &err), &err);
    for (int i = 0; i < 2; i++) {
        assert_ok(od_arrays_make(&plan, &arrays[i], &err), &err);
    }
    assert_ok(od_weights_read(&program, arrays[0].tensor, folder, &err), &err);
    int biases = 0;
    for (int32_t i = 0; i < program.weight_count; i++) {
        const struct od_part *part = &program.weights[i];
        for (int64_t j = 0; strstr(part->name, ".bias") && j < part->rows; j++) {
            arrays[0].tensor[part->tensor][part->row + j] = (float)(100 * i + j);
            biases += j == 0;
        }
    }
    assert_int_equal(biases, 7);
    assert_ok(od_parts_write(program.weights, program.weight_count, arrays[0].tensor, weights,
                             OD_DTYPE_F32, &err),
              &err);
    const struct od_convert_options options = {.output = output, .type = "f32", .no_check = true};
    od_buf_init(&out, REPORT_MAX_BYTES);
    assert_ok(od_convert_gguf(folder, &options, &out, &err), &err);
    od_buf_release(&out);
    assert_ok(od_gguf_open(output, &gguf, &err), &err);
    const struct od_gguf_tensor *q = od_gguf_find_tensor(gguf, "blk.0.attn_q.bias");
    assert_non_null(q);
    assert_int_equal(q->count, HEADS * D);
    assert_ok(od_gguf_read_f32(gguf, q, bias, &err), &err);
    const float first = bias[0];
    for (int h = 0; h < HEADS; h++) {
        for (int i = 0; i < D / 2; i++) {
            for (int j = 0; j < 2; j++) {
                assert_true(bias[h * D + 2 * i + j] == first + (float)(h * D + j * D / 2 + i));
            }
        }
    }
    assert_ok(od_weights_read_gguf(&program, arrays[1].tensor, gguf, &err), &err);
    for (int32_t i = 0; i < program.weight_count; i++) {
        const struct od_part *part = &program.weights[i];
        const int64_t at = part->row * part->cols;
        assert_memory_equal(arrays[0].tensor[part->tensor] + at,
                            arrays[1].tensor[part->tensor] + at,
                            (size_t)(part->rows * part->cols) * sizeof(float));
    }
    od_gguf_close(gguf);
    for (int i = 0; i < 2; i++) {
        od_arrays_release(&arrays[i]);
    }
    od_plan_release(&plan);
    od_program_release(&program);
    // One of the three is not there: the file does not fit its own facts.
    assert_spoiled_of(biased, "blk.0.attn_k.bias", "blk.0.attn_k.bios", 0, OD_E_FORMAT,
                      "self_attn.k_proj.bias");
}

// What a sink is given: values as floats, codes and scales as they are.
struct kept {
    struct od_buf all;
    float piece[64];
    int64_t quantised;
};

static void *kept_buffer(void *context, struct od_error *err)
{
    (void)err;
    return ((struct kept *)context)->piece;
}

static void kept_put(void *context, const struct od_part *part, enum od_dtype dtype, int64_t first,
                     int64_t count)
{
    struct kept *kept = context;
    (void)part;
    (void)first;
    for (int64_t i = 0; i < count; i++) {
        float value;
        if (dtype == OD_DTYPE_F32) {
            value = kept->piece[i];
        } else {
            assert_int_equal(dtype, OD_DTYPE_BF16);
            uint16_t half = 0;
            memcpy(&half, (const char *)kept->piece + 2 * i, sizeof half);
            const uint32_t bits = (uint32_t)half << 16;
            memcpy(&value, &bits, sizeof value);
        }
        od_buf_append(&kept->all, (const char *)&value, sizeof value);
    }
}

static enum od_status kept_codes(void *context, const struct od_part *part, const uint8_t *codes,
                                 const uint8_t *scales, struct od_error *err)
{
    struct kept *kept = context;
    od_buf_append(&kept->all, (const char *)codes, od_quant_code_bytes(part));
    od_buf_append(&kept->all, (const char *)scales, od_quant_scale_bytes(part));
    kept->quantised++;
    return od_buf_check(&kept->all, err);
}

static enum od_status kept_finish(void *context, uint64_t *ret_bad, struct od_error *err)
{
    *ret_bad = 0;
    return od_buf_check(&((struct kept *)context)->all, err);
}

static void stream(const struct od_program *program, const char *path, struct kept *kept)
{
    struct od_error err = {0};
    const struct od_weight_sink sink = {.context = kept,
                                        .piece_bytes = sizeof kept->piece,
                                        .buffer = kept_buffer,
                                        .put = kept_put,
                                        .put_codes = kept_codes,
                                        .finish = kept_finish};
    kept->quantised = 0;
    od_buf_init(&kept->all, FILE_MAX_BYTES);
    assert_ok(od_weights_stream(program, path, &sink, &err), &err);
}

// A sink, which is what a GPU is filled by, gets the same of a file and of a folder.
static void test_stream(void **state)
{
    (void)state;
    static const char wide[] =
        "{\"model_type\":\"llama\",\"vocab_size\":259,\"hidden_size\":64,"
        "\"intermediate_size\":128,\"num_hidden_layers\":2,\"num_attention_heads\":2,"
        "\"max_position_embeddings\":32}";
    for (int quantised = 0; quantised < 2; quantised++) {
        const struct od_program_options options = {.mode = OD_PROGRAM_TRAIN_LORA,
                                                   .tokens = 4,
                                                   .threads = 1,
                                                   .quant =
                                                       quantised ? OD_QUANT_NF4 : OD_QUANT_NONE,
                                                   .lora_r = 2,
                                                   .lora_scale = 1,
                                                   .lora_targets = OD_TARGET_ALL};
        struct od_error err = {0};
        struct od_spec spec;
        struct od_program program = {0};
        struct kept of_file;
        struct kept of_folder;
        size_t size = 0;
        char path[OD_PATH_MAX_BYTES];
        char *bytes = make_file(wide, &size);
        const char *folder = made_folder;
        od_free(bytes);
        assert_ok(od_path_join(path, folder, "model.gguf", &err), &err);
        assert_ok(od_spec_read_gguf(path, &spec, &err), &err);
        assert_ok(od_program_build(&spec, &options, &program, &err), &err);
        stream(&program, path, &of_file);
        assert_ok(od_path_join(path, folder, "model", &err), &err);
        stream(&program, path, &of_folder);
        assert_int_equal(of_file.quantised, quantised ? 14 : 0);
        assert_int_equal(of_folder.quantised, of_file.quantised);
        assert_true(of_file.all.size > 100000);
        assert_int_equal(of_file.all.size, of_folder.all.size);
        assert_memory_equal(od_buf_text(&of_file.all), od_buf_text(&of_folder.all),
                            of_file.all.size);
        od_buf_release(&of_file.all);
        od_buf_release(&of_folder.all);
        od_program_release(&program);
    }
}

static void test_names(void **state)
{
    (void)state;
    static const char *const none[] = {"model.layers.0.self_attn.rotary.bias",
                                       "model.layers..x",
                                       "model.layers.123456789.mlp.up_proj.weight",
                                       "model.layers.1.mlp.up_proj",
                                       "lm_head.bias",
                                       ""};
    char name[OD_GGUF_NAME_MAX_BYTES + 1];
    uint32_t type = 99;
    assert_true(od_gguf_weight_name("model.layers.31.mlp.down_proj.weight", name));
    assert_string_equal(name, "blk.31.ffn_down.weight");
    assert_true(od_gguf_weight_name("lm_head.weight", name));
    assert_string_equal(name, "output.weight");
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        assert_false(od_gguf_weight_name(none[i], name));
    }
    assert_true(od_gguf_type_of("q8_0", &type));
    assert_int_equal(type, 8);
    assert_false(od_gguf_type_of("Q8", &type));
    assert_true(od_gguf_is_path("a.gguf"));
    assert_false(od_gguf_is_path(".gguf"));
    assert_false(od_gguf_is_path("a.gguf/"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spoiled),      cmocka_unit_test(test_no_number),
        cmocka_unit_test(test_other_models), cmocka_unit_test(test_names),
        cmocka_unit_test(test_rope),         cmocka_unit_test(test_rope_of_divisors),
        cmocka_unit_test(test_old_linear),   cmocka_unit_test(test_other_divisors),
        cmocka_unit_test(test_stream),       cmocka_unit_test(test_window),
        cmocka_unit_test(test_gpt2),         cmocka_unit_test(test_biases),
    };
    return cmocka_run_group_tests_name("gguf_model", tests, NULL, NULL);
}
